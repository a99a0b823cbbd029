/* One question to a container: a command in it, an HTTP request or a TCP connection to it. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/probe.h"
#include "net/tls.h"

struct probe_check {
	const struct probe_spec *spec;
	struct container_engine *engine;
	void (*done)(void *arg, bool ok, const char *text);
	void *arg;
	struct loop_timer *timeout;
	struct stream *stream;
	char *host; /* as the request names it when it does not itself */
	struct driver_exec_call *exec;
	char answer[512]; /* the beginning of what came */
	size_t answer_size;
};

static void probe_check_free(struct probe_check *c)
{
	loop_timer_free(c->timeout);
	stream_free(c->stream);
	if (c->exec)
		c->engine->ops->exec_cancel(c->exec);
	free(c->host);
	free(c);
}

void probe_check_cancel(struct probe_check *c)
{
	if (c)
		probe_check_free(c);
}

static void probe_check_end(struct probe_check *c, bool ok, const char *text)
{
	void (*done)(void *, bool, const char *) = c->done;
	void *arg = c->arg;
	char kept[600];
	snprintf(kept, sizeof(kept), "%s", text);
	str_end_whole(kept); /* the answer was cut where its buffer ends */
	probe_check_free(c);
	done(arg, ok, kept);
}

static void probe_on_timeout(void *arg)
{
	struct probe_check *c = arg;
	char text[100];
	if (c->spec->action == PROBE_SLEEP) {
		probe_check_end(c, true, "slept");
		return;
	}
	snprintf(text, sizeof(text), "no answer within %lld s",
		(long long)(c->spec->timeout_ms / 1000));
	probe_check_end(c, false, text);
}

static void probe_keep(struct probe_check *c, const char *data, size_t size)
{
	size_t room = sizeof(c->answer) - 1 - c->answer_size;
	size_t take = size < room ? size : room;
	memcpy(c->answer + c->answer_size, data, take);
	c->answer_size += take;
}

/* ---- exec ---- */

static void probe_on_output(void *arg, const char *data, size_t size)
{
	probe_keep(arg, data, size);
}

static void probe_on_exit(void *arg, int exit_code, const struct err *e)
{
	struct probe_check *c = arg;
	char text[600];
	c->exec = NULL;
	if (e)
		snprintf(text, sizeof(text), "%s", e->text);
	else
		snprintf(text, sizeof(text), "exit code %d: %.*s", exit_code, (int)c->answer_size,
			c->answer);
	probe_check_end(c, !e && exit_code == 0, text);
}

static void probe_start_exec(struct probe_check *c, const char *id)
{
	struct driver_exec spec = {.command = (const char *const *)c->spec->command,
		.on_stdout = probe_on_output,
		.on_stderr = probe_on_output,
		.on_exit = probe_on_exit,
		.arg = c};
	c->engine->ops->exec(c->engine, id, &spec, &c->exec);
}

/* ---- HTTP and TCP ---- */

static void probe_on_open(void *arg)
{
	struct probe_check *c = arg;
	if (c->spec->action == PROBE_TCP) {
		probe_check_end(c, true, "connected");
		return;
	}
	stream_write(c->stream, c->spec->request, strlen(c->spec->request));
	if (!c->spec->has_host) {
		stream_write(c->stream, "Host: ", 6);
		stream_write(c->stream, c->host, strlen(c->host));
		stream_write(c->stream, "\r\n", 2);
	}
	stream_write(c->stream, "\r\n", 2);
}

/* The status line of RFC 9112 section 4: "HTTP/1.1 200 OK". */
static void probe_on_data(void *arg, const uint8_t *data, size_t size)
{
	struct probe_check *c = arg;
	if (c->spec->action == PROBE_TCP)
		return;
	probe_keep(c, (const char *)data, size);
	if (c->answer_size < 12)
		return;
	const char *a = c->answer;
	if (strncmp(a, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)a[9])) {
		probe_check_end(c, false, "the answer is not HTTP");
		return;
	}
	int status = atoi(a + 9);
	char text[80];
	snprintf(text, sizeof(text), "HTTP probe failed with statuscode: %d", status);
	probe_check_end(c, c->spec->any_status || (status >= 200 && status < 400), text);
}

static void probe_on_closed(void *arg, const struct err *why)
{
	probe_check_end(arg, false, why->text);
}

static const struct stream_events probe_stream_events = {
	.on_open = probe_on_open, .on_data = probe_on_data, .on_closed = probe_on_closed};

/* A context of its own each time: such probes are few, and a context that is kept is not small. */
static struct stream *probe_over_tls(struct loop *loop, struct stream *lower)
{
	const struct tls_config config = {.unverified = true, .alpn = "http/1.1"};
	struct tls_context *context;
	if (tls_context_new(&config, &context, NULL))
		abort(); /* nothing in it comes from outside */
	struct stream *s = tls_stream_new(loop, context, lower);
	tls_context_free(context);
	return s;
}

static void probe_start_stream(struct probe_check *c, const struct probe_target *t)
{
	const char *host = c->spec->host ? c->spec->host : t->ip;
	bool v6 = strchr(host, ':') != NULL;
	c->host = mem_format("%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", c->spec->port);
	c->stream = loop_connect(t->loop, c->host);
	if (c->spec->https)
		c->stream = probe_over_tls(t->loop, c->stream);
	stream_set_events(c->stream, &probe_stream_events, c);
}

struct probe_check *probe_check_start(const struct probe_spec *s, const struct probe_target *t,
	void (*done)(void *arg, bool ok, const char *text), void *arg)
{
	struct probe_check *c = mem_new(struct probe_check);
	*c = (struct probe_check){.spec = s, .engine = t->engine, .done = done, .arg = arg};
	c->timeout = loop_timer_new(t->loop, probe_on_timeout, c);
	if (s->timeout_ms > 0 || s->action == PROBE_SLEEP)
		loop_timer_start(c->timeout, s->timeout_ms + s->sleep_ms);
	if (s->action == PROBE_EXEC)
		probe_start_exec(c, t->id);
	else if (s->action != PROBE_SLEEP)
		probe_start_stream(c, t);
	return c;
}
