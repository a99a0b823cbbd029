#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "model/cells.h"
#include "model/model.h"

static int compare_cells(const void *a, const void *b)
{
	return strcmp(((const struct cell *)a)->name, ((const struct cell *)b)->name);
}

static const struct cell *cell_of(const char *name)
{
	struct cell wanted = {.name = name};
	return bsearch(&wanted, cell_functions, cell_count, sizeof(wanted), compare_cells);
}

/* ".spec.nodeName" in the tree. */
static const json_t *at_path(const json_t *json, const char *path)
{
	char name[64];
	while (json && *path == '.') {
		size_t size = strcspn(++path, ".");
		if (size >= sizeof(name))
			return NULL;
		memcpy(name, path, size);
		name[size] = '\0';
		json = json_object_get(json, name);
		path += size;
	}
	return json;
}

static json_t *age_cell(const json_t *json, int64_t wall_ms)
{
	char text[TIME_TEXT_SIZE];
	return json_string(cells_age(json_text_or(json, ""), wall_ms, text));
}

static json_t *cell_value(const struct kind_column *c, const json_t *tree, int64_t wall_ms)
{
	if (c->path[0] == '@') {
		const struct cell *cell = cell_of(c->path + 1);
		return cell ? cell->make(tree, wall_ms) : json_string("");
	}
	json_t *value = (json_t *)(uintptr_t)at_path(tree, c->path);
	if (str_equal(c->type, "date"))
		return age_cell(value, wall_ms);
	if (str_equal(c->type, "integer"))
		return json_integer(json_int_or(value, 0));
	if (str_equal(c->type, "number"))
		return json_is_number(value) ? json_incref(value) : json_string("");
	return json_is_string(value) ? json_incref(value) : json_string("");
}

static json_t *row_cells(const struct kind *k, const json_t *tree, int64_t wall_ms)
{
	json_t *cells = json_array();
	for (size_t i = 0; i < k->column_count; i++) {
		json_t *cell = cell_value(&k->columns[i], tree, wall_ms);
		if (json_array_append_new(cells, cell) < 0)
			abort();
	}
	return cells;
}

json_t *table_cells(const struct object *o, int64_t wall_ms)
{
	CLEANUP(json_done) json_t *tree = object_tree(o);
	return row_cells(o->kind, tree, wall_ms);
}

static void write_columns(const struct kind *k, struct buf *b)
{
	buf_append_string(b, ",\"columnDefinitions\":[");
	for (size_t i = 0; i < k->column_count; i++) {
		const struct kind_column *c = &k->columns[i];
		bool name = str_equal(c->path, ".metadata.name");
		/* kubectl shows dates as they come: they are ages already. */
		const char *type = str_equal(c->type, "date") ? "string" : c->type;
		buf_append_string(b, i ? ",{\"name\":" : "{\"name\":");
		json_write_string(b, c->name);
		buf_printf(b,
			",\"type\":\"%s\",\"format\":\"%s\",\"description\":\"\",\"priority\":%d}",
			type, name ? "name" : "", c->priority);
	}
	buf_append_char(b, ']');
}

static void write_text(json_t *metadata, const char *name, const char *text)
{
	if (*text)
		json_object_set_new(metadata, name, json_string(text));
}

static void write_row(const struct object *o, int64_t wall_ms, struct buf *b)
{
	CLEANUP(json_done) json_t *tree = object_tree(o);
	CLEANUP(json_done) json_t *cells = row_cells(o->kind, tree, wall_ms);
	buf_append_string(b, "{\"cells\":");
	json_encode(cells, b);
	buf_append_string(b, ",\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":"
			     "\"meta.k8s.io/v1\",\"metadata\":");
	json_encode(json_object_get(tree, "metadata"), b);
	buf_append_string(b, "}}");
}

void table_write(const struct kind *k, struct object *const *objects, size_t count,
	int64_t list_revision, const char *continue_token, int64_t wall_ms, struct buf *b)
{
	CLEANUP(json_done) json_t *metadata = json_object();
	char revision[24];
	snprintf(revision, sizeof(revision), "%lld", (long long)list_revision);
	write_text(metadata, "resourceVersion", revision);
	write_text(metadata, "continue", continue_token ? continue_token : "");
	buf_append_string(b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
	json_encode(metadata, b);
	write_columns(k, b);
	buf_append_string(b, ",\"rows\":[");
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_append_char(b, ',');
		write_row(objects[i], wall_ms, b);
	}
	buf_append_string(b, "]}");
}
