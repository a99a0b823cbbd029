/*
 * Commands in a container: exec/create, then exec/start on a connection that becomes a plain one
 * (input as it is, outputs in frames), then exec/json for the exit code.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/mem.h"
#include "driver/docker.h"
#include "driver/docker_frames.h"

#define EXIT_RETRY_MS 20
#define EXIT_TRIES 250 /* the connection may end a little before the engine knows the code */

struct docker_exec {
	struct driver_exec_call base;
	struct list link; /* in docker->execs */
	struct docker *docker;
	struct driver_exec spec;
	char exec_id[80];
	struct buf input; /* before there is a connection */
	bool input_ended, paused, cancelled;
	struct http_call *call;
	struct docker_frames frames;
	int status, tries;
	struct buf refusal;
	struct loop_timer *timer;
	struct err e;
};

static void exec_free(struct docker_exec *x)
{
	list_remove(&x->link);
	http_call_free(x->call);
	loop_timer_free(x->timer);
	buf_done(&x->input);
	buf_done(&x->refusal);
	docker_unref(x->docker);
	free(x);
}

static void exec_end(struct docker_exec *x, int code, const struct err *e)
{
	if (!x->cancelled)
		x->spec.on_exit(x->spec.arg, code, e);
	exec_free(x);
}

/* ---- the exit code ---- */

static void exec_ask(struct docker_exec *x);

static void exec_on_timer(void *arg)
{
	exec_ask(arg);
}

static void exec_on_code(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_exec *x = arg;
	(void)status;
	bool runs = json_bool(answer, false, "Running") || !json_at(answer, "ExitCode") ||
		    json_is_null(json_at(answer, "ExitCode"));
	int pid = (int)json_int(answer, 0, "Pid");
	if (x->cancelled && runs && pid > 1)
		(void)kill((pid_t)pid, SIGKILL);
	if (!e && runs && !x->cancelled && x->tries++ < EXIT_TRIES && x->timer)
		loop_timer_start(x->timer, EXIT_RETRY_MS);
	else
		exec_end(x, (int)json_int(answer, -1, "ExitCode"), e);
}

static void exec_ask(struct docker_exec *x)
{
	docker_request(x->docker, "GET", NULL, exec_on_code, x, "/exec/%s/json", x->exec_id);
}

/* ---- the connection ---- */

static bool exec_on_frame(void *arg, int stream, const char *data, size_t size)
{
	struct docker_exec *x = arg;
	void (*give)(void *, const char *, size_t) =
		stream == 2 ? x->spec.on_stderr : x->spec.on_stdout;
	if (give && !x->cancelled)
		give(x->spec.arg, data, size);
	return !x->cancelled;
}

static void exec_on_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers, (void)header_count;
	((struct docker_exec *)arg)->status = status;
}

static void exec_on_body(void *arg, const uint8_t *data, size_t size)
{
	struct docker_exec *x = arg;
	if (x->status != 101 && x->status != 200) {
		if (x->refusal.size + size < 4096)
			buf_append(&x->refusal, data, size);
	} else if (x->e.code == 0) {
		(void)!docker_frames_feed(&x->frames, data, size, exec_on_frame, x, &x->e);
	}
}

static void exec_on_done(void *arg, const struct err *e)
{
	struct docker_exec *x = arg;
	http_call_free(take_ptr(x->call));
	if (x->status >= 400)
		docker_api_refusal(x->status, buf_text(&x->refusal), x->refusal.size, &x->e);
	else if (x->e.code == 0 && e && x->status == 0)
		x->e = *e;
	if (x->e.code)
		exec_end(x, -1, &x->e);
	else
		exec_ask(x);
}

static void exec_on_drained(void *arg)
{
	struct docker_exec *x = arg;
	if (x->spec.on_drained && !x->cancelled)
		x->spec.on_drained(x->spec.arg);
}

static const struct http_call_events exec_events = {.on_response = exec_on_response,
	.on_body = exec_on_body,
	.on_done = exec_on_done,
	.on_drained = exec_on_drained};

static void exec_on_created(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_exec *x = arg;
	struct docker *d = x->docker;
	(void)status;
	if (e || x->cancelled || !d->api) {
		exec_end(x, -1, e);
		return;
	}
	snprintf(x->exec_id, sizeof(x->exec_id), "%.70s", json_text(answer, "", "Id"));
	char *path CLEANUP(mem_free_ptr) = mem_format("/exec/%s/start", x->exec_id);
	json_t *body CLEANUP(json_done) = json_pack("{s:b,s:b}", "Detach", false, "Tty", false);
	const struct docker_stream stream = {
		.method = "POST", .path = path, .body = body, .upgrade = true};
	x->call = docker_api_stream(d->api, &stream, &exec_events, x);
	http_call_write(x->call, x->input.data, x->input.size);
	buf_done(&x->input);
	if (x->input_ended)
		http_call_end(x->call);
	http_call_pause(x->call, x->paused);
}

void docker_exec(struct container_engine *engine, const char *id, const struct driver_exec *spec,
	struct driver_exec_call **ret_call)
{
	struct docker *d = docker_of(engine);
	const struct docker_container *c = map_get(&d->containers, id);
	struct docker_exec *x = mem_new(struct docker_exec);
	char name[DOCKER_NAME_SIZE] = "gone";
	*x = (struct docker_exec){.base.ops = engine->ops,
		.docker = docker_ref(d),
		.spec = *spec,
		.input_ended = !spec->stdin_open};
	x->timer = loop_timer_new(d->loop, exec_on_timer, x);
	list_append(&d->execs, &x->link);
	json_t *command = json_array();
	for (size_t i = 0; spec->command[i]; i++)
		json_array_append_new(command, json_string(spec->command[i]));
	x->spec.command = NULL; /* the caller's */
	json_t *body CLEANUP(json_done) =
		json_pack("{s:b,s:b,s:b,s:b,s:o}", "AttachStdin", spec->stdin_open, "AttachStdout",
			true, "AttachStderr", true, "Tty", false, "Cmd", command);
	if (c)
		docker_container_name(c->uid, c->name, c->attempt, name);
	docker_request(d, "POST", body, exec_on_created, x, "/containers/%s/exec", name);
	*ret_call = &x->base;
}

static struct docker_exec *exec_of(struct driver_exec_call *call)
{
	return CONTAINER_OF(call, struct docker_exec, base);
}

void docker_exec_input(struct driver_exec_call *call, const void *data, size_t size)
{
	struct docker_exec *x = exec_of(call);
	if (x->input_ended)
		return;
	x->input_ended = size == 0;
	if (!x->call)
		buf_append(&x->input, data, size);
	else if (size)
		http_call_write(x->call, data, size);
	else
		http_call_end(x->call);
}

size_t docker_exec_queued(const struct driver_exec_call *call)
{
	const struct docker_exec *x = CONTAINER_OF(call, const struct docker_exec, base);
	return x->input.size + (x->call ? http_call_queued(x->call) : 0);
}

void docker_exec_pause(struct driver_exec_call *call, bool paused)
{
	struct docker_exec *x = exec_of(call);
	x->paused = paused;
	if (x->call)
		http_call_pause(x->call, paused);
}

/* Closing the connection ends no command: it is killed by its process id. */
void docker_exec_cancel(struct driver_exec_call *call)
{
	struct docker_exec *x = exec_of(call);
	bool started = x->call != NULL;
	x->cancelled = true;
	http_call_free(take_ptr(x->call));
	if (started)
		exec_ask(x);
}

/* Those that wait for an answer end with it. */
void docker_exec_close(struct docker *d)
{
	LIST_EACH (&d->execs, link) {
		struct docker_exec *x = LIST_ITEM(link, struct docker_exec, link);
		x->cancelled = true;
		bool waits_for_answer = !x->call && !loop_timer_active(x->timer);
		loop_timer_free(take_ptr(x->timer));
		if (!waits_for_answer)
			exec_free(x);
	}
}
