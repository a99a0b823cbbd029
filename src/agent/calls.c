#include "agent/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "wire/wire.h"

#define COMMAND_WORDS_MAX 1024

struct call {
	struct list link;
	struct agent_calls *calls;
	int64_t id;
	struct http_call *http;
	struct driver_logs_call *logs;
	struct driver_exec_call *exec;
	struct wire_reader input;
	bool working; /* the driver's call is under way */
	bool ended;   /* the last frame was sent: only the answer's end is awaited */
	bool refused; /* the body is not ours to read */
};

/* Ends the driver's part; no callback of it comes after. */
static void stop_work(struct call *c)
{
	struct driver *d = c->calls->driver;
	if (!c->working)
		return;
	c->working = false;
	if (c->logs)
		d->ops->logs_cancel(c->logs);
	if (c->exec)
		d->ops->exec_cancel(c->exec);
	c->logs = NULL;
	c->exec = NULL;
}

static void pause_work(struct call *c, bool paused)
{
	struct driver *d = c->calls->driver;
	if (c->working && c->logs)
		d->ops->logs_pause(c->logs, paused);
	if (c->working && c->exec)
		d->ops->exec_pause(c->exec, paused);
}

static void call_free(struct call *c)
{
	stop_work(c);
	http_call_free(c->http);
	wire_reader_done(&c->input);
	list_remove(&c->link);
	c->calls->count--;
	free(c);
}

/* ---- up ---- */

static void end_call(struct call *c, int exit_code, const struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (c->ended)
		return;
	c->ended = true;
	wire_write_end(&b, exit_code, e);
	http_call_write(c->http, b.data, b.size);
	http_call_end(c->http);
}

static void send_output(struct call *c, int channel, const char *data, size_t size)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (c->ended)
		return;
	wire_write_frame(&b, channel, data, size);
	http_call_write(c->http, b.data, b.size);
	if (http_call_queued(c->http) > AGENT_CALL_QUEUE)
		pause_work(c, true);
}

static void on_stdout(void *arg, const char *data, size_t size)
{
	send_output(arg, WIRE_STDOUT, data, size);
}

static void on_stderr(void *arg, const char *data, size_t size)
{
	send_output(arg, WIRE_STDERR, data, size);
}

static void on_exit_code(void *arg, int exit_code, const struct err *e)
{
	struct call *c = arg;
	c->working = false; /* the driver frees its call after this */
	c->exec = NULL;
	end_call(c, exit_code, e);
	http_call_pause(c->http, false); /* input that it left is read and dropped */
}

static void on_logs_end(void *arg, const struct err *e)
{
	struct call *c = arg;
	c->working = false;
	c->logs = NULL;
	end_call(c, 0, e);
}

/* ---- down ---- */

static void on_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	struct call *c = arg;
	(void)headers;
	(void)header_count;
	if (status == 200)
		return;
	c->refused = true; /* nobody waits for it any more */
	stop_work(c);
}

static int on_input_frame(void *arg, int channel, const char *data, size_t size, struct err *e)
{
	struct call *c = arg;
	(void)e;
	const struct driver_ops *ops = c->calls->driver->ops;
	if (channel != WIRE_STDIN || !c->working || !c->exec)
		return 0;
	ops->exec_input(c->exec, data, size);
	if (ops->exec_queued(c->exec) > AGENT_CALL_QUEUE)
		http_call_pause(c->http, true); /* until on_input_taken */
	return 0;
}

static void on_body(void *arg, const uint8_t *data, size_t size)
{
	struct call *c = arg;
	struct err e = ERR_INIT;
	if (!c->refused && wire_read_frames(&c->input, data, size, on_input_frame, c, &e) < 0) {
		stop_work(c);
		end_call(c, 0, &e);
	}
}

static void on_drained(void *arg)
{
	pause_work(arg, false);
}

static void on_input_taken(void *arg)
{
	http_call_pause(((struct call *)arg)->http, false);
}

/* The server ends its side last: the call is over, or nobody listens to it any more. */
static void on_done(void *arg, const struct err *e)
{
	(void)e;
	call_free(arg);
}

/* ---- the two verbs ---- */

static int64_t number_of(const json_t *query, const char *name, int64_t fallback)
{
	int64_t number;
	const json_t *value = json_object_get(query, name);
	if (json_is_integer(value))
		return json_integer_value(value);
	const char *text = json_text_or(value, NULL);
	return text && str_to_int64(text, name, &number, NULL) == 0 ? number : fallback;
}

static bool flag_of(const json_t *query, const char *name)
{
	const json_t *value = json_object_get(query, name);
	const char *text = json_text_or(value, "");
	return json_is_true(value) || str_equal(text, "true") || str_equal(text, "1");
}

static int64_t since_of(const struct agent_calls *calls, const json_t *query)
{
	int64_t at_ms, seconds = number_of(query, "sinceSeconds", 0);
	const char *time = json_text(query, NULL, "sinceTime");
	if (time && time_parse(time, &at_ms, NULL) == 0)
		return at_ms;
	return seconds > 0 && seconds < INT32_MAX ? loop_wall_ms(calls->loop) - seconds * 1000 : 0;
}

/* The first one, as the driver would say: it does not know pods that ended before a boot. The tree
 * is to be freed with json_decref. */
static const char *first_container(const struct agent_calls *calls, const char *uid,
	json_t **ret_tree)
{
	MAP_EACH (agent_slice_objects(calls->slice), entry) {
		const struct object *o = entry->value;
		if (o->kind != &kind_pod || !str_equal(o->uid, uid))
			continue;
		*ret_tree = object_tree(o);
		return json_text(json_array_get(json_at(*ret_tree, "spec", "containers"), 0), NULL,
			"name");
	}
	return NULL;
}

static void begin_logs(struct call *c, const char *uid, const json_t *query)
{
	struct driver *d = c->calls->driver;
	CLEANUP(json_done) json_t *tree = NULL;
	const char *named = json_text(query, NULL, "container");
	struct driver_logs spec = {
		.container = named ? named : first_container(c->calls, uid, &tree),
		.follow = flag_of(query, "follow"),
		.previous = flag_of(query, "previous"),
		.timestamps = flag_of(query, "timestamps"),
		.tail_lines = number_of(query, "tailLines", -1),
		.since_ms = since_of(c->calls, query),
		.limit_bytes = number_of(query, "limitBytes", 0),
		.on_data = on_stdout,
		.on_end = on_logs_end,
		.arg = c};
	c->working = true;
	c->logs = d->ops->logs(d, uid, &spec);
}

static int begin_exec(struct call *c, const char *uid, const json_t *query, struct err *e)
{
	struct driver *d = c->calls->driver;
	const json_t *words = json_object_get(query, "command");
	size_t count = json_array_size(words);
	if (count == 0 || count > COMMAND_WORDS_MAX)
		return err_set(e, ERR_DECODE, "a command has 1 to %d words, not %zu",
			COMMAND_WORDS_MAX, count);
	CLEANUP(mem_free_ptr)
	const char **command = mem_alloc_array(count + 1, sizeof(*command));
	for (size_t i = 0; i < count; i++)
		command[i] = json_text_or(json_array_get(words, i), "");
	struct driver_exec spec = {.container = json_text(query, NULL, "container"),
		.command = command,
		.stdin_open = flag_of(query, "stdin"),
		.on_stdout = on_stdout,
		.on_stderr = on_stderr,
		.on_exit = on_exit_code,
		.on_drained = on_input_taken,
		.arg = c};
	c->working = true;
	d->ops->exec(d, uid, &spec, &c->exec);
	return 0;
}

static void begin(struct call *c, const json_t *message)
{
	const char *verb = json_text(message, "", "verb"), *uid = json_text(message, "", "pod");
	const json_t *query = json_object_get(message, "query");
	struct err e = ERR_INIT;
	int r = 0;
	if (c->calls->count > AGENT_CALLS_MAX)
		r = err_set(&e, ERR_BUSY, "this node serves %d calls already", AGENT_CALLS_MAX);
	else if (str_equal(verb, "logs"))
		begin_logs(c, uid, query);
	else if (str_equal(verb, "exec"))
		r = begin_exec(c, uid, query, &e);
	else
		r = err_set(&e, ERR_UNSUPPORTED, "this agent does not know the call \"%.40s\"",
			verb);
	if (r < 0)
		end_call(c, 0, &e);
}

void agent_calls_begin(struct agent_calls *calls, struct http_client *client, const json_t *message)
{
	static const struct http_call_events events = {.on_response = on_response,
		.on_body = on_body,
		.on_done = on_done,
		.on_drained = on_drained};
	if (!client)
		return;
	struct call *c = mem_new(struct call);
	c->calls = calls;
	c->id = json_int(message, 0, "id");
	list_append(&calls->open, &c->link);
	calls->count++;
	calls->served++;
	char path[64];
	snprintf(path, sizeof(path), "/agent/v1/calls/%lld", (long long)c->id);
	struct http_call_spec spec = {.method = "POST",
		.path = path,
		.content_type = "application/octet-stream",
		.streaming = true};
	c->http = http_call_start(client, &spec, &events, c);
	begin(c, message);
}

void agent_calls_cancel(struct agent_calls *calls, int64_t id)
{
	LIST_EACH (&calls->open, link) {
		struct call *c = LIST_ITEM(link, struct call, link);
		if (c->id == id)
			call_free(c);
	}
}

void agent_calls_cancel_all(struct agent_calls *calls)
{
	LIST_EACH (&calls->open, link)
		call_free(LIST_ITEM(link, struct call, link));
}

void agent_calls_init(struct agent_calls *c, struct loop *loop, struct log *log,
	struct driver *driver, const struct agent_slice *slice)
{
	*c = (struct agent_calls){.loop = loop, .log = log, .driver = driver, .slice = slice};
	list_init(&c->open);
}
