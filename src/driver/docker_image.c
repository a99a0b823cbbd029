/*
 * Images. The agent's store has them as folders (host.image_pull); the engine gets the layers by
 * POST /images/load, from a continuo-pull that reads the folders and ends (ADR 0006). Which image
 * that is follows from the names of the folders, which the store makes from digests: one load for
 * each, however many containers want it at once.
 */
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"
#include "sys/process.h"

#define IMAGE_NAME_SIZE 96
#define LOAD_QUEUE_MAX ((size_t)1 << 20) /* bytes on the way to the engine */
#define LAYERS_MAX 256
#define LAYERS_LABEL "dev.continuo.layers"

struct docker_wants {
	struct list link; /* in load->wants */
	void (*done)(void *arg, const char *image, const struct err *e);
	void *arg;
};

/* In docker->loading until all who want it were told. */
struct docker_load {
	struct docker *docker;
	char name[IMAGE_NAME_SIZE];
	char **layers;
	struct list wants;
	struct process *process; /* the export; null: over */
	struct http_call *call;  /* null: over */
	int status;
	struct buf answer, complaint;
	struct err e;
};

static void image_name(const char *const *layers, char ret_name[static IMAGE_NAME_SIZE])
{
	EVP_MD_CTX *sum = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1];
	unsigned size = 0;
	EVP_DigestInit_ex(sum, EVP_sha256(), NULL);
	for (size_t i = 0; layers[i]; i++)
		EVP_DigestUpdate(sum, layers[i], strlen(layers[i]) + 1);
	EVP_DigestFinal_ex(sum, digest, &size);
	EVP_MD_CTX_free(sum);
	str_hex(digest, size, text);
	snprintf(ret_name, IMAGE_NAME_SIZE, "localhost/continuo/layers:%.40s", text);
}

static void load_end(struct docker_load *l)
{
	struct docker *d = l->docker;
	(void)map_take(&d->loading, l->name);
	if (l->e.code && !d->closed)
		log_err(d->log, LOG_WARN, "image_not_loaded", &l->e, "image=%s", l->name);
	LIST_EACH (&l->wants, link) {
		struct docker_wants *w = LIST_ITEM(link, struct docker_wants, link);
		w->done(w->arg, l->name, l->e.code ? &l->e : NULL);
		free(w);
	}
	oci_strings_free(l->layers);
	buf_done(&l->answer);
	buf_done(&l->complaint);
	docker_unref(d);
	free(l);
}

/* ---- from the export to the engine ---- */

/* Both are over: the engine's answer decides, but the export's trouble explains more. */
static void load_step(struct docker_load *l)
{
	if (l->process || l->call)
		return;
	if (l->e.code == 0 && (l->status < 200 || l->status > 299))
		docker_api_refusal(l->status, buf_text(&l->answer), l->answer.size, &l->e);
	else if (l->e.code == 0 && strstr(buf_text(&l->answer), "\"errorDetail\""))
		(void)err_set(&l->e, ERR_INTERNAL, "the container engine refused the image: %.300s",
			buf_text(&l->answer));
	load_end(l);
}

static void load_on_stdout(void *arg, const char *data, size_t size)
{
	struct docker_load *l = arg;
	if (!l->call)
		return;
	http_call_write(l->call, data, size);
	if (http_call_queued(l->call) > LOAD_QUEUE_MAX)
		process_pause(l->process, true);
}

static void load_on_stderr(void *arg, const char *data, size_t size)
{
	struct docker_load *l = arg;
	if (l->complaint.size + size < 300)
		buf_append(&l->complaint, data, size);
}

static void load_on_exit(void *arg, int status)
{
	struct docker_load *l = arg;
	l->process = NULL;
	if (status == 0 && l->call) {
		http_call_end(l->call);
	} else if (status != 0 && l->e.code == 0) {
		const char *text = buf_text(&l->complaint);
		(void)err_set(&l->e, ERR_IO, "cannot export the image: %.*s",
			(int)strcspn(text, "\n"), *text ? text : "continuo-pull ended");
		http_call_free(take_ptr(l->call)); /* an image that was cut off is no image */
	}
	load_step(l);
}

static void load_on_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers, (void)header_count;
	((struct docker_load *)arg)->status = status;
}

static void load_on_body(void *arg, const uint8_t *data, size_t size)
{
	struct docker_load *l = arg;
	if (l->answer.size + size < 65536)
		buf_append(&l->answer, data, size);
}

static void load_on_done(void *arg, const struct err *e)
{
	struct docker_load *l = arg;
	if (e)
		(void)err_set(&l->e, ERR_UNAVAILABLE, "the container engine took no image: %s",
			e->text);
	http_call_free(take_ptr(l->call));
	if (l->process) {
		process_pause(l->process, false);
		process_kill(l->process, SIGKILL);
	}
	load_step(l);
}

static void load_on_drained(void *arg)
{
	struct docker_load *l = arg;
	if (l->process)
		process_pause(l->process, false);
}

static const struct http_call_events load_events = {.on_response = load_on_response,
	.on_body = load_on_body,
	.on_done = load_on_done,
	.on_drained = load_on_drained};

static void load_begin(struct docker_load *l)
{
	struct docker *d = l->docker;
	const char *argv[LAYERS_MAX + 4] = {d->pull_program, "export", l->name};
	size_t count = 0;
	while (l->layers[count] && count < LAYERS_MAX) {
		argv[3 + count] = l->layers[count];
		count++;
	}
	const struct process_spec spec = {.argv = argv,
		.on_stdout = load_on_stdout,
		.on_stderr = load_on_stderr,
		.on_exit = load_on_exit,
		.arg = l};
	if (!d->pull_program || !*d->pull_program)
		(void)err_set(&l->e, ERR_UNSUPPORTED, "continuo-pull is missing");
	else if (l->layers[count] || count == 0)
		(void)err_set(&l->e, ERR_UNSUPPORTED, "an image has 1 to %d layers", LAYERS_MAX);
	if (l->e.code || process_start(d->loop, &spec, &l->process, &l->e)) {
		load_end(l);
		return;
	}
	const struct docker_stream stream = {.method = "POST",
		.path = "/images/load?quiet=1",
		.content_type = "application/x-tar"};
	l->call = docker_api_stream(d->api, &stream, &load_events, l);
}

static void load_cancelled(void *arg)
{
	load_step(arg);
}

/* Those that still ask whether the image is there end with the answer. */
void docker_image_close(struct docker *d)
{
	MAP_EACH (&d->loading, entry) {
		struct docker_load *l = entry->value;
		if (!l->process && !l->call)
			continue;
		(void)err_set(&l->e, ERR_CANCELLED, "the driver was closed");
		bool exported = !l->process;
		http_call_free(take_ptr(l->call));
		if (exported) {
			loop_defer(d->loop, load_cancelled, l);
		} else {
			process_pause(l->process, false);
			process_kill(l->process, SIGKILL);
		}
	}
}

/* ---- what is there already ---- */

static void load_on_inspected(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_load *l = arg;
	(void)status, (void)answer;
	if (e && e->code == ERR_NOT_FOUND && !l->docker->closed) {
		load_begin(l);
		return;
	}
	if (e)
		l->e = *e;
	load_end(l);
}

void docker_image_ensure(struct docker *d, const char *const *layers,
	void (*done)(void *arg, const char *image, const struct err *e), void *arg)
{
	char name[IMAGE_NAME_SIZE];
	struct docker_wants *w = mem_new(struct docker_wants);
	*w = (struct docker_wants){.done = done, .arg = arg};
	image_name(layers, name);
	struct docker_load *l = map_get(&d->loading, name);
	if (l) {
		list_append(&l->wants, &w->link);
		return;
	}
	l = mem_new(struct docker_load);
	*l = (struct docker_load){.docker = docker_ref(d), .layers = oci_strings_copy(layers)};
	memcpy(l->name, name, sizeof(name));
	list_init(&l->wants);
	list_append(&l->wants, &w->link);
	map_put(&d->loading, name, l);
	docker_request(d, "GET", NULL, load_on_inspected, l, "/images/%s/json", name);
}

/* ---- what is of no more use ---- */

static void sweep_on_removed(void *arg, int status, const json_t *answer, const struct err *e)
{
	(void)status, (void)answer, (void)e; /* 409: a container has it */
	docker_unref(arg);
}

static bool is_stale(const char *label)
{
	json_t *folders CLEANUP(json_done) = NULL;
	struct stat st;
	size_t i;
	json_t *folder;
	if (json_decode(label, strlen(label), &folders, NULL))
		return false;
	json_array_foreach (folders, i, folder)
		if (stat(json_text_or(folder, "/"), &st) < 0)
			return true;
	return false;
}

static void sweep_on_list(void *arg, int status, const json_t *images, const struct err *e)
{
	struct docker *d = arg;
	size_t i;
	json_t *image;
	(void)status;
	json_array_foreach (e || d->closed ? NULL : images, i, image) {
		const char *id = json_text(image, "", "Id");
		if (*id && is_stale(json_text(image, "[]", "Labels", LAYERS_LABEL)))
			docker_request(d, "DELETE", NULL, sweep_on_removed, docker_ref(d),
				"/images/%s", id);
	}
	docker_unref(d);
}

void docker_image_sweep(struct docker *d)
{
	static const char *const labels[] = {LAYERS_LABEL, NULL};
	char *query CLEANUP(mem_free_ptr) = docker_label_query("", labels);
	docker_request(d, "GET", NULL, sweep_on_list, docker_ref(d), "/images/json%s", query);
}
