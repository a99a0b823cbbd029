/* How the engine says that a container ended: its events, and a look at each container whenever the
 * connection is new, since what happened in between was told to nobody. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "driver/adopted_private.h"

#define RETRY_MS 500
#define RETRY_MAX_MS 10000
#define LINE_MAX_BYTES ((size_t)1 << 20)

/* {"type":["container"],"event":["die","died","start","destroy","remove"]}: Docker's words and
 * Podman's. */
#define EVENTS                                                                                     \
	"/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22die%22%2C"    \
	"%22died%22%2C%22start%22%2C%22destroy%22%2C%22remove%22%5D%7D"

static void tell_end(struct adopted_container *c, const json_t *state)
{
	struct adopted *x = c->engine;
	/* A later run's state says nothing of how this one ended. */
	bool known = state && !docker_api_runs(state);
	struct container_status status = {.id = c->id,
		.pod_uid = c->uid,
		.exit_code = known ? (int)json_int(state, 137, "ExitCode") : 255,
		.oom_killed = known && json_bool(state, false, "OOMKilled")};
	if (!known || time_parse(json_text(state, "", "FinishedAt"), &status.finished_ms, NULL) < 0)
		status.finished_ms = loop_wall_ms(x->loop);
	c->running = false;
	c->pid = 0;
	log_info(x->log, "adopted_ended", "container=%.12s pod=%s exit=%d", c->docker_id, c->uid,
		status.exit_code);
	x->events.on_exit(x->events.arg, &status);
}

static void check_on_inspected(struct adopted *x, struct adopted_container *c, const json_t *answer,
	const struct err *e, void *arg)
{
	int pid;
	(void)arg;
	if (!c)
		return;
	c->checking = false;
	if (e && e->code != ERR_NOT_FOUND) {
		if (x->watch) /* else it is away: looked at again when it is back */
			loop_timer_start(x->retry, RETRY_MS);
		return;
	}
	if (e)
		c->gone = true;
	else
		(void)adopted_read(c, answer, &pid);
	if (c->running && (e || pid != c->pid))
		tell_end(c, json_at(answer, "State"));
	if (!c->check_again)
		return;
	c->check_again = false;
	adopted_check(c);
}

void adopted_check(struct adopted_container *c)
{
	if (!c->running)
		return;
	if (c->checking) {
		c->check_again = true;
		return;
	}
	c->checking = true;
	adopted_call(c, "GET", "/json", check_on_inspected, NULL);
}

/* ---- the events ---- */

static void check_all(struct adopted *x)
{
	MAP_EACH (&x->pods, entry) {
		struct adopted_container *c = entry->value;
		adopted_check(c);
		if (c->running && c->signal)
			adopted_send_signal(c); /* the engine may not have heard it */
	}
}

static void note_gone(struct adopted_container *c)
{
	bool known = c->gone;
	c->gone = true;
	if (!c->running && !known)
		c->engine->on_gone(c->engine->gone_arg, c->uid);
}

static void on_event(struct adopted *x, const char *text, size_t size)
{
	json_t *event CLEANUP(json_done) = NULL;
	if (size == 0 || json_decode(text, size, &event, NULL) < 0)
		return;
	const char *id = json_text(event, "", "Actor", "ID");
	const char *action = json_text(event, "", "Action");
	MAP_EACH (&x->pods, entry) {
		struct adopted_container *c = entry->value;
		if (!str_equal(c->docker_id, id))
			continue;
		adopted_check(c);
		if (str_equal(action, "destroy") || str_equal(action, "remove"))
			note_gone(c);
	}
}

static void on_response(void *arg, int status, const struct http_header *headers, size_t count)
{
	struct adopted *x = arg;
	(void)headers;
	(void)count;
	if (status != 200)
		return; /* the end of the answer comes */
	if (x->failures)
		log_info(x->log, "docker_back", "tries=%d", x->failures);
	x->failures = 0;
	check_all(x);
}

static void on_body(void *arg, const uint8_t *data, size_t size)
{
	struct adopted *x = arg;
	buf_append(&x->lines, data, size);
	if (x->lines.failed) { /* no event is that long: whatever it was, all are looked at */
		buf_clear(&x->lines);
		check_all(x);
		return;
	}
	char *end;
	while (x->lines.size && (end = memchr(x->lines.data, '\n', x->lines.size))) {
		size_t line = (size_t)(end - x->lines.data);
		on_event(x, x->lines.data, line);
		buf_consume(&x->lines, line + 1);
	}
}

static void on_done(void *arg, const struct err *e)
{
	struct adopted *x = arg;
	http_call_free(take_ptr(x->watch));
	buf_clear(&x->lines);
	if (x->failures++ == 0)
		log_warn(x->log, "docker_away", "why=\"%s\"", e ? e->text : "it closed the events");
	int64_t delay_ms = (int64_t)RETRY_MS << (x->failures < 6 ? x->failures - 1 : 5);
	loop_timer_start(x->retry, delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS);
}

static void connect_events(struct adopted *x)
{
	static const struct http_call_events events = {
		.on_response = on_response, .on_body = on_body, .on_done = on_done};
	const struct docker_stream stream = {.method = "GET", .path = EVENTS};
	x->watch = docker_api_stream(x->api, &stream, &events, x);
}

/* Of the connection, or of a look at a container that had no answer. */
static void on_retry(void *arg)
{
	struct adopted *x = arg;
	if (x->watch)
		check_all(x);
	else
		connect_events(x);
}

void adopted_watch_start(struct adopted *x)
{
	x->lines.limit = LINE_MAX_BYTES;
	x->retry = loop_timer_new(x->loop, on_retry, x);
	connect_events(x);
}

void adopted_watch_stop(struct adopted *x)
{
	if (x->watch)
		http_call_free(take_ptr(x->watch));
	loop_timer_free(take_ptr(x->retry));
	buf_done(&x->lines);
}
