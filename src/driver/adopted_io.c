/* Logs and commands of adopted containers. Docker keeps one log of all runs of a container. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/adopted_private.h"
#include "driver/docker_frames.h"

#define ANSWER_MAX ((size_t)64 << 10) /* of a refusal */
#define INPUT_MAX ((size_t)16 << 20)  /* before the command runs */
#define EXIT_RETRY_MS 20
#define EXIT_TRIES 250 /* the connection may end a little before the engine knows the code */

/* ---- logs ---- */

struct logs_call {
	struct driver_logs_call base;
	struct adopted *engine;
	struct driver_logs spec;
	struct http_call *http;
	struct docker_frames frames;
	struct buf refusal;
	int status;
	bool tty, over;
	int64_t left; /* bytes that may still be given; -1: all */
	struct err e;
};

static void logs_free(struct logs_call *l)
{
	http_call_free(l->http);
	adopted_unref(l->engine);
	buf_done(&l->refusal);
	free(l);
}

static void logs_end(void *arg)
{
	struct logs_call *l = arg;
	if (l->spec.on_end)
		l->spec.on_end(l->spec.arg, l->e.code ? &l->e : NULL);
	logs_free(l);
}

/* Its end is told on a later turn, once. */
static void logs_over(struct logs_call *l)
{
	if (l->over)
		return;
	l->over = true;
	loop_defer(l->engine->loop, logs_end, l);
}

static bool logs_give(void *arg, int stream, const char *data, size_t size)
{
	struct logs_call *l = arg;
	(void)stream;
	if (l->over)
		return false;
	if (l->left >= 0 && (int64_t)size > l->left)
		size = (size_t)l->left;
	if (size)
		l->spec.on_data(l->spec.arg, data, size);
	if (l->left >= 0)
		l->left -= (int64_t)size;
	return !l->over && l->left != 0;
}

static void logs_on_response(void *arg, int status, const struct http_header *headers, size_t count)
{
	(void)headers;
	(void)count;
	((struct logs_call *)arg)->status = status;
}

static void logs_on_body(void *arg, const uint8_t *data, size_t size)
{
	struct logs_call *l = arg;
	if (l->over)
		return;
	if (l->status != 200) {
		buf_append(&l->refusal, data, size);
	} else if (l->tty) {
		if (!logs_give(l, 1, (const char *)data, size))
			logs_over(l);
	} else if (docker_frames_feed(&l->frames, data, size, logs_give, l, &l->e) < 0) {
		if (l->e.code == ERR_CANCELLED)
			l->e = ERR_INIT;
		logs_over(l);
	}
}

static void logs_on_done(void *arg, const struct err *e)
{
	struct logs_call *l = arg;
	if (!l->over && e)
		l->e = *e;
	else if (!l->over && l->status != 200)
		docker_api_refusal(l->status, buf_text(&l->refusal), l->refusal.size, &l->e);
	logs_over(l);
}

struct driver_logs_call *adopted_logs(struct container_engine *base, const char *uid,
	const char *name, int attempt, bool live, const struct driver_logs *spec)
{
	struct adopted *x = adopted_of(base);
	const struct adopted_container *c = adopted_find(x, uid);
	struct logs_call *l = mem_new(struct logs_call);
	(void)name;
	*l = (struct logs_call){.base.ops = base->ops,
		.engine = adopted_ref(x),
		.spec = *spec,
		.refusal = BUF_INIT_LIMIT(ANSWER_MAX),
		.tty = c && c->tty,
		.left = spec->limit_bytes > 0 ? spec->limit_bytes : -1};
	if (!c || spec->previous || attempt < 0) {
		(void)err_set(&l->e, ERR_NOT_FOUND,
			"Docker keeps one log of all runs of an adopted container: ask without "
			"--previous");
		logs_over(l);
		return &l->base;
	}
	struct buf path CLEANUP(buf_done) = BUF_INIT;
	buf_printf(&path, "/containers/%s/logs?stdout=true&stderr=true", c->docker_id);
	if (spec->follow && live)
		buf_append_string(&path, "&follow=true");
	if (spec->timestamps)
		buf_append_string(&path, "&timestamps=true");
	if (spec->tail_lines >= 0)
		buf_printf(&path, "&tail=%lld", (long long)spec->tail_lines);
	if (spec->since_ms > 0)
		buf_printf(&path, "&since=%lld.%03lld000000", (long long)(spec->since_ms / 1000),
			(long long)(spec->since_ms % 1000));
	static const struct http_call_events events = {
		.on_response = logs_on_response, .on_body = logs_on_body, .on_done = logs_on_done};
	const struct docker_stream stream = {.method = "GET", .path = path.data};
	l->http = docker_api_stream(x->api, &stream, &events, l);
	return &l->base;
}

void adopted_logs_cancel(struct driver_logs_call *call)
{
	struct logs_call *l = CONTAINER_OF(call, struct logs_call, base);
	l->spec.on_end = NULL;
	logs_over(l);
}

void adopted_logs_pause(struct driver_logs_call *call, bool paused)
{
	struct logs_call *l = CONTAINER_OF(call, struct logs_call, base);
	if (l->http && !l->over)
		http_call_pause(l->http, paused);
}

/* ---- commands ---- */

/*
 *   MAKING ──▶ RUNNING (the connection is the command's) ──▶ ASKING (for its exit) ──▶ told
 *      └─────────── refused ──────────────┴──────────────────────────────────────────▶ told
 */
struct exec_call {
	struct driver_exec_call base;
	struct adopted *engine;
	struct driver_exec spec;
	char id[72]; /* Docker's, of the command; "": not made yet */
	struct http_call *http;
	struct docker_frames frames;
	struct buf input, refusal;
	bool input_ended, asking, cancelled, over;
	int status, exit_code, tries;
	struct loop_timer *timer;
	struct err e;
};

static void exec_free(struct exec_call *x)
{
	http_call_free(x->http);
	loop_timer_free(x->timer);
	buf_done(&x->input);
	buf_done(&x->refusal);
	adopted_unref(x->engine);
	free(x);
}

static void exec_end(void *arg)
{
	struct exec_call *x = arg;
	if (!x->cancelled)
		x->spec.on_exit(x->spec.arg, x->exit_code, x->e.code ? &x->e : NULL);
	exec_free(x);
}

static void exec_over(struct exec_call *x)
{
	if (x->over)
		return;
	x->over = true;
	loop_defer(x->engine->loop, exec_end, x);
}

static void exec_on_timer(void *arg);

static void exec_on_inspected(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct exec_call *x = arg;
	(void)status;
	bool runs = json_bool(answer, false, "Running") ||
		    !json_is_integer(json_at(answer, "ExitCode"));
	if (!e && runs && !x->cancelled && !x->engine->closed && x->tries++ < EXIT_TRIES) {
		if (!x->timer)
			x->timer = loop_timer_new(x->engine->loop, exec_on_timer, x);
		loop_timer_start(x->timer, EXIT_RETRY_MS);
		return;
	}
	x->exit_code = e ? -1 : (int)json_int(answer, -1, "ExitCode");
	if (e)
		x->e = *e;
	exec_over(x);
}

static void exec_ask(struct exec_call *x, docker_answer *done, void *arg)
{
	char path[128];
	snprintf(path, sizeof(path), "/exec/%s/json", x->id);
	docker_api_call(x->engine->api, "GET", path, NULL, done, arg);
}

static void exec_on_timer(void *arg)
{
	struct exec_call *x = arg;
	if (!x->engine->closed)
		exec_ask(x, exec_on_inspected, x);
	else
		exec_over(x);
}

static bool exec_give(void *arg, int stream, const char *data, size_t size)
{
	struct exec_call *x = arg;
	if (x->cancelled)
		return false;
	if (stream == 2)
		x->spec.on_stderr(x->spec.arg, data, size);
	else
		x->spec.on_stdout(x->spec.arg, data, size);
	return !x->cancelled;
}

static void exec_on_response(void *arg, int status, const struct http_header *headers, size_t count)
{
	struct exec_call *x = arg;
	(void)headers;
	(void)count;
	x->status = status;
}

static void exec_on_body(void *arg, const uint8_t *data, size_t size)
{
	struct exec_call *x = arg;
	struct err e = ERR_INIT;
	if (x->status != 101 && x->status != 200)
		buf_append(&x->refusal, data, size);
	else if (docker_frames_feed(&x->frames, data, size, exec_give, x, &e) < 0 &&
		 e.code != ERR_CANCELLED)
		x->e = e;
}

static void exec_on_done(void *arg, const struct err *e)
{
	struct exec_call *x = arg;
	x->exit_code = -1;
	if (e && !x->e.code && e->code != ERR_CLOSED)
		x->e = *e;
	else if (x->status >= 400)
		docker_api_refusal(x->status, buf_text(&x->refusal), x->refusal.size, &x->e);
	x->asking = !x->e.code && !x->cancelled;
	if (x->asking)
		exec_ask(x, exec_on_inspected, x);
	else
		exec_over(x);
}

static void exec_on_drained(void *arg)
{
	struct exec_call *x = arg;
	if (!x->cancelled && x->spec.on_drained)
		x->spec.on_drained(x->spec.arg);
}

static void exec_on_made(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct exec_call *x = arg;
	(void)status;
	if (e)
		x->e = *e;
	else if (!str_copy(x->id, sizeof(x->id), json_text(answer, "", "Id")) || !x->id[0])
		(void)err_set(&x->e, ERR_PROTOCOL, "Docker made a command without an id");
	if (x->e.code || x->cancelled) {
		x->exit_code = -1;
		exec_over(x);
		return;
	}
	char path[128];
	json_t *body CLEANUP(json_done) = json_pack("{s:b, s:b}", "Detach", 0, "Tty", 0);
	snprintf(path, sizeof(path), "/exec/%s/start", x->id);
	static const struct http_call_events events = {.on_response = exec_on_response,
		.on_body = exec_on_body,
		.on_done = exec_on_done,
		.on_drained = exec_on_drained};
	const struct docker_stream stream = {
		.method = "POST", .path = path, .body = body, .upgrade = true};
	x->http = docker_api_stream(x->engine->api, &stream, &events, x);
	if (x->input.size)
		http_call_write(x->http, x->input.data, x->input.size);
	if (x->input_ended)
		http_call_end(x->http);
	buf_done(&x->input);
}

void adopted_exec(struct container_engine *base, const char *id, const struct driver_exec *spec,
	struct driver_exec_call **ret_call)
{
	struct adopted *engine = adopted_of(base);
	const struct adopted_container *c = adopted_by_run(engine, id);
	struct exec_call *x = mem_new(struct exec_call);
	*x = (struct exec_call){.base.ops = base->ops,
		.engine = adopted_ref(engine),
		.spec = *spec,
		.input = BUF_INIT_LIMIT(INPUT_MAX),
		.refusal = BUF_INIT_LIMIT(ANSWER_MAX),
		.input_ended = !spec->stdin_open};
	*ret_call = &x->base;
	if (!c) {
		x->exit_code = -1;
		(void)err_set(&x->e, ERR_CONFLICT, "the container is not running");
		exec_over(x);
		return;
	}
	json_t *command = json_array();
	for (size_t i = 0; spec->command[i]; i++)
		json_array_append_new(command, json_string(spec->command[i]));
	json_t *body CLEANUP(json_done) = json_pack("{s:b, s:b, s:b, s:o}", "AttachStdin",
		spec->stdin_open, "AttachStdout", 1, "AttachStderr", 1, "Cmd", command);
	char path[128];
	snprintf(path, sizeof(path), "/containers/%s/exec", c->docker_id);
	docker_api_call(engine->api, "POST", path, body, exec_on_made, x);
}

void adopted_exec_input(struct driver_exec_call *call, const void *data, size_t size)
{
	struct exec_call *x = CONTAINER_OF(call, struct exec_call, base);
	if (x->over || x->asking || x->input_ended)
		return;
	x->input_ended = size == 0;
	if (!x->http)
		buf_append(&x->input, data, size);
	else if (size)
		http_call_write(x->http, data, size);
	else
		http_call_end(x->http);
}

size_t adopted_exec_queued(const struct driver_exec_call *call)
{
	const struct exec_call *x = CONTAINER_OF(call, struct exec_call, base);
	return x->http ? http_call_queued(x->http) : x->input.size;
}

void adopted_exec_pause(struct driver_exec_call *call, bool paused)
{
	struct exec_call *x = CONTAINER_OF(call, struct exec_call, base);
	if (x->http && !x->over && !x->asking)
		http_call_pause(x->http, paused);
}

/* Docker cannot end a command; its process can be. */
static void exec_on_kill(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct exec_call *x = arg;
	int64_t pid = e ? 0 : json_int(answer, 0, "Pid");
	(void)status;
	if (pid > 1 && json_bool(answer, false, "Running"))
		(void)kill((pid_t)pid, SIGKILL);
	exec_over(x);
}

void adopted_exec_cancel(struct driver_exec_call *call)
{
	struct exec_call *x = CONTAINER_OF(call, struct exec_call, base);
	bool runs = x->http && !x->over && !x->asking && !x->cancelled;
	x->cancelled = true;
	if (!runs)
		return; /* what is under way ends it */
	http_call_free(take_ptr(x->http));
	exec_ask(x, exec_on_kill, x);
}
