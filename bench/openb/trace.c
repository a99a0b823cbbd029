#include "openb/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define COLUMNS_MAX 32
#define AMOUNT_MAX 1000000000 /* milli or MiB */

/* One file while it is read: the header's names, then a row at a time. */
struct csv {
	const char *path;
	size_t line;
	char *rest;
	char *header[COLUMNS_MAX];
	size_t column_count;
	char *cells[COLUMNS_MAX];
};

static int read_file(const char *path, struct buf *b, struct err *e)
{
	char chunk[16384];
	size_t size;
	FILE *f = fopen(path, "re");
	if (!f)
		return err_set_errno(e, errno, "cannot open %s", path);
	while ((size = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_append(b, chunk, size);
	int status = ferror(f) ? err_set_errno(e, EIO, "cannot read %s", path) : 0;
	fclose(f);
	return status ? status : buf_check(b, path, e);
}

static int bad(const struct csv *c, const char *what, const char *cell, struct err *e)
{
	return err_set(e, ERR_DECODE, "%s:%zu: %s \"%.40s\"", c->path, c->line, what, cell);
}

/* Splits the next line that is not empty; 1: there is one, 0: the end. */
static int split_line(struct csv *c, char *ret_cells[static COLUMNS_MAX], size_t *ret_count,
	struct err *e)
{
	char *line;
	do {
		line = strsep(&c->rest, "\n");
		c->line++;
		if (!line)
			return 0;
		line[strcspn(line, "\r")] = '\0';
	} while (!*line);
	for (*ret_count = 0; line; (*ret_count)++) {
		if (*ret_count == COLUMNS_MAX)
			return err_set(e, ERR_DECODE, "%s:%zu: more than %d columns", c->path,
				c->line, COLUMNS_MAX);
		ret_cells[*ret_count] = strsep(&line, ",");
	}
	return 1;
}

static int open_csv(struct csv *c, const char *path, struct buf *b, struct err *e)
{
	*c = (struct csv){.path = path};
	int status = read_file(path, b, e);
	if (status)
		return status;
	if (memchr(buf_text(b), '\0', b->size))
		return err_set(e, ERR_DECODE, "%s: holds a NUL byte; a CSV file is text", path);
	c->rest = b->data;
	status = split_line(c, c->header, &c->column_count, e);
	return status == 0 ? err_set(e, ERR_DECODE, "%s: is empty; a header is needed", path)
			   : (status < 0 ? status : 0);
}

static int next_row(struct csv *c, struct err *e)
{
	size_t count;
	int status = split_line(c, c->cells, &count, e);
	if (status > 0 && count != c->column_count)
		return err_set(e, ERR_DECODE, "%s:%zu: %zu columns where the header has %zu",
			c->path, c->line, count, c->column_count);
	return status;
}

/* The cell under a name; null when there is no such column. */
static const char *cell(const struct csv *c, const char *name)
{
	for (size_t i = 0; i < c->column_count; i++)
		if (str_equal(c->header[i], name))
			return c->cells[i];
	return NULL;
}

static int text_cell(const struct csv *c, const char *name, const char **ret_text, struct err *e)
{
	*ret_text = cell(c, name);
	if (!*ret_text)
		return err_set(e, ERR_DECODE, "%s: has no column %s", c->path, name);
	return str_empty(*ret_text)
		       ? err_set(e, ERR_DECODE, "%s:%zu: %s is empty", c->path, c->line, name)
		       : 0;
}

static int number_cell(const struct csv *c, const char *name, int64_t most, int64_t *ret_number,
	struct err *e)
{
	const char *text;
	int status = text_cell(c, name, &text, e);
	if (status)
		return status;
	if (str_to_int64(text, name, ret_number, e) != 0)
		return err_prefix(e, "%s:%zu", c->path, c->line);
	if (*ret_number < 0 || *ret_number > most)
		return err_set(e, ERR_DECODE, "%s:%zu: %s is %s; 0 to %lld are possible", c->path,
			c->line, name, text, (long long)most);
	return 0;
}

static int find_model(struct openb_trace *t, const struct csv *c, const char *name, size_t size,
	uint8_t *ret_model, struct err *e)
{
	for (uint8_t i = 0; i < t->models.count; i++)
		if (strlen(t->models.items[i]) == size &&
			memcmp(t->models.items[i], name, size) == 0) {
			*ret_model = i;
			return 0;
		}
	if (t->models.count == OPENB_MODELS_MAX)
		return bad(c, "one GPU model too many:", name, e);
	*ret_model = (uint8_t)t->models.count;
	*vec_add(&t->models) = mem_format("%.*s", (int)size, name);
	return 0;
}

static int read_node(struct openb_trace *t, const struct csv *c, struct err *e)
{
	const char *name, *model = cell(c, "model");
	int64_t cpu, memory, devices;
	int status;
	if ((status = text_cell(c, "sn", &name, e)) ||
		(status = number_cell(c, "cpu_milli", AMOUNT_MAX, &cpu, e)) ||
		(status = number_cell(c, "memory_mib", AMOUNT_MAX, &memory, e)) ||
		(status = number_cell(c, "gpu", OPENB_DEVICES_MAX, &devices, e)))
		return status;
	if (devices && str_empty(model))
		return bad(c, "no model is given for the GPUs of", name, e);
	struct openb_node n = {.cpu_milli = (int32_t)cpu,
		.memory_mib = (int32_t)memory,
		.devices = (uint8_t)devices};
	if (devices && (status = find_model(t, c, model, strlen(model), &n.model, e)))
		return status;
	n.name = mem_dup_string(name);
	t->gpu_milli += devices * OPENB_GPU_MILLI;
	vec_push(&t->nodes, n);
	return 0;
}

int openb_trace_read_nodes(struct openb_trace *t, const char *path, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	struct csv c;
	int status = open_csv(&c, path, &b, e);
	if (status)
		return status;
	while ((status = next_row(&c, e)) > 0)
		if ((status = read_node(t, &c, e)) != 0)
			return status;
	return status;
}

static uint32_t intern_shape(struct openb_trace *t, const struct openb_shape *s)
{
	char key[80];
	snprintf(key, sizeof(key), "%d,%d,%d,%d,%x", s->cpu_milli, s->memory_mib, s->gpus,
		s->gpu_milli, s->models);
	uintptr_t id = (uintptr_t)map_get(&t->shape_ids, key);
	if (!id) {
		vec_push(&t->shapes, *s);
		id = t->shapes.count;
		map_put(&t->shape_ids, key, (void *)id);
	}
	return (uint32_t)(id - 1);
}

static int read_models(struct openb_trace *t, const struct csv *c, uint32_t *ret_models,
	struct err *e)
{
	const char *at = cell(c, "gpu_spec");
	*ret_models = 0;
	while (at && *at) {
		size_t size = strcspn(at, "|");
		uint8_t model;
		int status = size ? find_model(t, c, at, size, &model, e) : 0;
		if (status)
			return status;
		if (size)
			*ret_models |= 1u << model;
		at += size + (at[size] == '|');
	}
	return 0;
}

static int read_pod(struct openb_trace *t, const struct csv *c, struct err *e)
{
	const char *name;
	int64_t cpu, memory, gpus, milli;
	struct openb_shape s = {0};
	int status;
	if ((status = text_cell(c, "name", &name, e)) ||
		(status = number_cell(c, "cpu_milli", AMOUNT_MAX, &cpu, e)) ||
		(status = number_cell(c, "memory_mib", AMOUNT_MAX, &memory, e)) ||
		(status = number_cell(c, "num_gpu", OPENB_DEVICES_MAX, &gpus, e)) ||
		(status = number_cell(c, "gpu_milli", OPENB_GPU_MILLI, &milli, e)))
		return status;
	if (gpus > 1 && milli != OPENB_GPU_MILLI)
		return bad(c, "a pod with several GPUs takes whole ones (gpu_milli 1000), not so",
			name, e);
	if ((gpus == 0) != (milli == 0))
		return bad(c, "num_gpu and gpu_milli contradict each other in", name, e);
	if (gpus && (status = read_models(t, c, &s.models, e)))
		return status;
	s.cpu_milli = (int32_t)cpu;
	s.memory_mib = (int32_t)memory;
	s.gpus = (uint8_t)gpus;
	s.gpu_milli = (int16_t)milli;
	uint32_t shape = intern_shape(t, &s);
	t->shapes.items[shape].count++;
	vec_push(&t->pods, (struct openb_pod){.name = mem_dup_string(name), .shape = shape});
	return 0;
}

int openb_trace_read_pods(struct openb_trace *t, const char *path, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	struct csv c;
	int status = open_csv(&c, path, &b, e);
	if (status)
		return status;
	while ((status = next_row(&c, e)) > 0)
		if ((status = read_pod(t, &c, e)) != 0)
			return status;
	return status;
}

void openb_trace_clear_pods(struct openb_trace *t)
{
	VEC_EACH (&t->pods, struct openb_pod, pod)
		free(pod->name);
	vec_done(&t->pods);
	vec_done(&t->shapes);
	map_done(&t->shape_ids);
	t->shape_ids = (struct map){0};
}

void openb_trace_done(struct openb_trace *t)
{
	openb_trace_clear_pods(t);
	VEC_EACH (&t->nodes, struct openb_node, node)
		free(node->name);
	VEC_EACH (&t->models, char *, model)
		free(*model);
	vec_done(&t->nodes);
	vec_done(&t->models);
	t->gpu_milli = 0;
}
