#include "driver/docker_api.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define CONNECTIONS_MAX 512 /* each follower of logs, each exec and the events have one */
#define CALL_TIMEOUT_MS 120000

struct docker_api {
	struct loop *loop;
	char *address; /* "unix:/var/run/docker.sock" */
	struct http_client *client;
	struct list calls; /* struct api_call */
};

struct api_call {
	struct list link;
	docker_answer *done;
	void *arg;
};

static struct stream *api_connect(void *context)
{
	const struct docker_api *a = context;
	return loop_connect(a->loop, a->address);
}

struct docker_api *docker_api_new(struct loop *l, const char *socket)
{
	struct docker_api *a = mem_new(struct docker_api);
	a->loop = l;
	list_init(&a->calls);
	a->address = mem_format("unix:%s", socket);
	const struct http_connector connector = {
		.connect = api_connect, .context = a, .authority = "docker"};
	a->client = http_client_new(l, &connector, CONNECTIONS_MAX);
	return a;
}

static void api_on_cancelled(void *arg)
{
	struct api_call *call = arg;
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_CANCELLED, "the driver was closed");
	call->done(call->arg, 0, NULL, &e);
	free(call);
}

void docker_api_free(struct docker_api *a)
{
	if (!a)
		return;
	http_client_free(a->client);
	LIST_EACH (&a->calls, link) {
		list_remove(link);
		loop_defer(a->loop, api_on_cancelled, LIST_ITEM(link, struct api_call, link));
	}
	free(a->address);
	free(a);
}

/* ---- requests and answers ---- */

void docker_api_refusal(int status, const char *body, size_t size, struct err *e)
{
	json_t *answer CLEANUP(json_done) = NULL;
	if (json_decode(body, size, &answer, NULL))
		answer = NULL;
	const char *message = json_text(answer, NULL, "message");
	if (message)
		(void)err_set(e, err_from_http(status), "%.380s", message);
	else
		(void)err_set(e, err_from_http(status), "the container engine answered %d", status);
}

static void api_on_answer(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	struct api_call *call = arg;
	json_t *answer CLEANUP(json_done) = NULL;
	struct err why = ERR_INIT;
	if (e)
		(void)err_set(&why, e->code == ERR_IO ? ERR_UNAVAILABLE : e->code,
			"the container engine: %s", e->text);
	else if (status >= 400)
		docker_api_refusal(status, body, size, &why);
	else if (size > 0 && json_decode(body, size, &answer, NULL))
		answer = NULL; /* "OK" of _ping, progress of a load: no document */
	list_remove(&call->link);
	call->done(call->arg, status, answer, why.code ? &why : NULL);
	free(call);
}

bool docker_api_runs(const json_t *state)
{
	return json_bool(state, false, "Running") ||
	       str_equal(json_text(state, "", "Status"), "stopping");
}

static char *versioned(const char *path)
{
	return mem_format("/" DOCKER_API_VERSION "%s", path);
}

void docker_api_call(struct docker_api *a, const char *method, const char *path, const json_t *body,
	docker_answer *done, void *arg)
{
	char *full CLEANUP(mem_free_ptr) = versioned(path);
	char *text CLEANUP(mem_free_ptr) = body ? json_encode_string(body) : NULL;
	struct api_call *call = mem_new(struct api_call);
	*call = (struct api_call){.done = done, .arg = arg};
	list_append(&a->calls, &call->link);
	const struct http_call_spec spec = {.method = method,
		.path = full,
		.content_type = text ? "application/json" : NULL,
		.body = text,
		.body_size = text ? strlen(text) : 0,
		.timeout_ms = CALL_TIMEOUT_MS};
	http_fetch(a->client, &spec, api_on_answer, call);
}

struct http_call *docker_api_stream(struct docker_api *a, const struct docker_stream *stream,
	const struct http_call_events *events, void *arg)
{
	char *full CLEANUP(mem_free_ptr) = versioned(stream->path);
	char *text CLEANUP(mem_free_ptr) = stream->body ? json_encode_string(stream->body) : NULL;
	const struct http_call_spec spec = {.method = stream->method,
		.path = full,
		.content_type = text ? "application/json" : stream->content_type,
		.body = text,
		.body_size = text ? strlen(text) : 0,
		.streaming = stream->content_type != NULL,
		.upgrade = stream->upgrade ? "tcp" : NULL};
	return http_call_start(a->client, &spec, events, arg);
}

/* ---- queries ---- */

void docker_query_append(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			buf_append_char(b, *text);
		else
			buf_printf(b, "%%%02X", (unsigned char)*text);
	}
}

char *docker_label_query(const char *extra, const char *const *labels)
{
	json_t *list = json_array();
	json_t *filters CLEANUP(json_done) = json_pack("{s:o}", "label", list);
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	for (size_t i = 0; labels[i]; i++)
		json_array_append_new(list, json_string(labels[i]));
	char *text CLEANUP(mem_free_ptr) = json_encode_string(filters);
	buf_append_string(&b, "?filters=");
	docker_query_append(&b, text);
	buf_append_string(&b, extra);
	return buf_take(&b, NULL);
}
