/*
 * Logs. dockerd keeps them with the container, which stays until the run after the next, and is
 * asked for them. Podman's monitors write files where those of `oci` are, which are read as those
 * are: its API gives who does not follow all that is written while it reads, and whole seconds for
 * time stamps.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/docker.h"
#include "driver/docker_frames.h"

struct docker_logs {
	struct driver_logs_call base;
	struct list link; /* in docker->followers */
	struct docker *docker;
	struct driver_logs spec;
	struct http_call *call;
	struct docker_frames frames;
	int status;
	int64_t given; /* bytes */
	bool ended;    /* on_end was called, or nobody waits for it */
	bool full;     /* the limit was reached: freed on a later turn */
	struct buf refusal;
};

static void logs_free(struct docker_logs *l)
{
	list_remove(&l->link);
	http_call_free(l->call);
	buf_done(&l->refusal);
	docker_unref(l->docker);
	free(l);
}

static void logs_end(struct docker_logs *l, const struct err *e)
{
	if (!l->ended) {
		l->ended = true;
		l->spec.on_end(l->spec.arg, e);
	}
	logs_free(l);
}

static void logs_on_full(void *arg)
{
	logs_end(arg, NULL);
}

static bool logs_on_frame(void *arg, int stream, const char *data, size_t size)
{
	struct docker_logs *l = arg;
	int64_t limit = l->spec.limit_bytes;
	(void)stream;
	if (limit > 0 && l->given + (int64_t)size >= limit) {
		size = (size_t)(limit - l->given);
		l->full = true;
	}
	l->given += (int64_t)size;
	if (size && !l->ended)
		l->spec.on_data(l->spec.arg, data, size);
	return !l->full && !l->ended;
}

static void logs_on_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers, (void)header_count;
	((struct docker_logs *)arg)->status = status;
}

static void logs_on_body(void *arg, const uint8_t *data, size_t size)
{
	struct docker_logs *l = arg;
	struct err e = ERR_INIT;
	if (l->full || l->ended)
		return;
	if (l->status != 200) {
		if (l->refusal.size + size < 4096)
			buf_append(&l->refusal, data, size);
		return;
	}
	(void)!docker_frames_feed(&l->frames, data, size, logs_on_frame, l, &e);
	if (!l->full)
		return;
	http_call_pause(l->call, true);
	loop_defer(l->docker->loop, logs_on_full, l);
}

static void logs_on_done(void *arg, const struct err *e)
{
	struct docker_logs *l = arg;
	struct err why = ERR_INIT;
	if (l->full)
		return; /* logs_on_full ends it */
	if (!e && l->status != 200)
		docker_api_refusal(l->status, buf_text(&l->refusal), l->refusal.size, &why);
	logs_end(l, e ? e : why.code ? &why : NULL);
}

static const struct http_call_events logs_events = {
	.on_response = logs_on_response, .on_body = logs_on_body, .on_done = logs_on_done};

static char *logs_path(const char *uid, const char *name, int attempt, bool follow,
	const struct driver_logs *spec)
{
	char container[DOCKER_NAME_SIZE];
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	docker_container_name(uid, name, attempt, container);
	buf_printf(&b, "/containers/%s/logs?stdout=1&stderr=1&follow=%d&timestamps=%d", container,
		follow, spec->timestamps);
	if (spec->tail_lines >= 0)
		buf_printf(&b, "&tail=%lld", (long long)spec->tail_lines);
	if (spec->since_ms > 0)
		buf_printf(&b, "&since=%lld.%03d", (long long)(spec->since_ms / 1000),
			(int)(spec->since_ms % 1000));
	return buf_take(&b, NULL);
}

struct driver_logs_call *docker_logs(struct container_engine *x, const char *uid, const char *name,
	int attempt, bool live, const struct driver_logs *spec)
{
	struct docker *d = docker_of(x);
	char *file CLEANUP(mem_free_ptr) = oci_log_path(d->oci, uid, name, attempt);
	char *part CLEANUP(mem_free_ptr) = mem_format("%s.1", file);
	/* While it is rotated the file has its other name only. */
	if (access(file, F_OK) == 0 || access(part, F_OK) == 0)
		return oci_logs(&d->oci->base, uid, name, attempt, live, spec);
	struct docker_logs *l = mem_new(struct docker_logs);
	char *path CLEANUP(mem_free_ptr) =
		logs_path(uid, name, attempt, live && spec->follow, spec);
	const struct docker_stream stream = {.method = "GET", .path = path};
	*l = (struct docker_logs){.base.ops = x->ops, .docker = docker_ref(d), .spec = *spec};
	list_append(&d->followers, &l->link);
	l->call = docker_api_stream(d->api, &stream, &logs_events, l);
	return &l->base;
}

void docker_logs_pause(struct driver_logs_call *call, bool paused)
{
	struct docker_logs *l = CONTAINER_OF(call, struct docker_logs, base);
	if (!l->full && !l->ended)
		http_call_pause(l->call, paused);
}

static void logs_free_later(void *arg)
{
	logs_free(arg);
}

void docker_logs_cancel(struct driver_logs_call *call)
{
	struct docker_logs *l = CONTAINER_OF(call, struct docker_logs, base);
	if (l->ended)
		return;
	l->ended = true;
	if (l->full)
		return;
	http_call_free(take_ptr(l->call));
	loop_defer(l->docker->loop, logs_free_later, l);
}

void docker_logs_close(struct docker *d)
{
	oci_logs_close(d->oci);
	LIST_EACH (&d->followers, link) {
		struct docker_logs *l = LIST_ITEM(link, struct docker_logs, link);
		docker_logs_cancel(&l->base);
	}
}
