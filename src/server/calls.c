#include "server/calls.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/feed.h"
#include "wire/wire.h"

#define ANSWER_MS 10000
#define QUEUE_MAX                                                                                  \
	((size_t)256 << 10) /* bytes one side may be behind before the other is paused             \
			     */

struct call {
	struct list link;
	struct request *request;    /* the client's; null once it is gone */
	struct http_request *agent; /* null until the agent answers, and once it is gone */
	struct loop_timer *timer;   /* for the agent's answer */
	struct wire_reader reader;
	int64_t id;
	char node[128];
	bool plain;       /* logs for kubectl: frames are taken apart, the client gets their text */
	bool started;     /* the client's response has begun */
	struct buf early; /* frames of stdin that came before the agent did */
};

static void call_free(struct call *c)
{
	struct server *s = c->request->server;
	CLEANUP(json_done) json_t *cancel = NULL;
	list_remove(&c->link);
	if (c->agent)
		http_request_free(c->agent);
	/* Without an answer yet, or gone in the middle: the agent learns that nobody listens. */
	cancel = json_pack("{s:s, s:I}", "type", "cancel", "id", (json_int_t)c->id);
	if (!c->agent && c->timer && loop_timer_active(c->timer) &&
		feed_send(s->feed, c->node, cancel, NULL) < 0)
		log_debug(s->log, "cancel_lost", "call=%lld", (long long)c->id);
	loop_timer_free(c->timer);
	wire_reader_done(&c->reader);
	buf_done(&c->early);
	free(c);
}

/* Ends the call with an error, as late as it may be. */
static void call_fail(struct call *c, const struct err *e)
{
	struct request *r = c->request;
	if (!c->started) {
		call_free(c);
		request_fail(r, e);
		return;
	}
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (!c->plain)
		wire_write_end(&b, 0, e);
	else
		buf_printf(&b, "\n%s\n", e->text);
	http_respond_write(r->http, b.data, b.size);
	http_respond_end(r->http);
	call_free(c);
	request_done(r);
}

static void start_response(struct call *c)
{
	if (!c->started)
		http_respond_start(c->request->http, 200, NULL, 0,
			c->plain ? "text/plain" : WIRE_FRAMES_TYPE);
	c->started = true;
}

/* ---- from the agent to the client ---- */

#define CALL_ENDED 1

static int on_frame(void *arg, int channel, const char *data, size_t size, struct err *e)
{
	struct call *c = arg;
	int exit_code = 0;
	if (channel == WIRE_END && c->plain) {
		int r = wire_parse_end(data, size, &exit_code, e);
		return r < 0 ? r : CALL_ENDED;
	}
	if (channel == WIRE_END && !c->started && wire_parse_end(data, size, &exit_code, e) < 0)
		return -(int)e->code; /* nothing ran: an ordinary error */
	start_response(c);
	if (c->plain) {
		http_respond_write(c->request->http, data, size);
		return 0;
	}
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	wire_write_frame(&b, channel, data, size);
	http_respond_write(c->request->http, b.data, b.size);
	return channel == WIRE_END ? CALL_ENDED : 0;
}

static void call_end(struct call *c)
{
	struct request *r = c->request;
	start_response(c);
	http_respond_end(r->http);
	if (c->agent)
		http_respond_end(c->agent);
	call_free(c);
	request_done(r);
}

static void on_agent_body(void *arg, const uint8_t *data, size_t size)
{
	struct call *c = arg;
	struct err e = ERR_INIT;
	int r;
	if (size) {
		r = wire_read_frames(&c->reader, data, size, on_frame, c, &e);
	} else {
		r = err_set(&e, ERR_UNAVAILABLE, "node \"%s\" broke the call off", c->node);
	}
	if (r < 0)
		call_fail(c, &e);
	else if (r == CALL_ENDED)
		call_end(c);
	else if (http_respond_queued(c->request->http) > QUEUE_MAX)
		http_request_pause(c->agent, true);
}

/* The agent has taken the input so far, the client the output. */
static void on_agent_drained(void *arg)
{
	http_request_pause(((struct call *)arg)->request->http, false);
}

static void on_client_drained(void *arg)
{
	struct call *c = arg;
	if (c->agent)
		http_request_pause(c->agent, false);
}

static void on_agent_closed(void *arg)
{
	struct call *c = arg;
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_UNAVAILABLE, "the connection to node \"%s\" was lost", c->node);
	call_fail(c, &e);
}

/* ---- from the client to the agent ---- */

static void on_client_body(void *arg, const uint8_t *data, size_t size)
{
	struct call *c = arg;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (size)
		wire_write_frame(&b, WIRE_STDIN, data, size);
	else
		wire_write_input_end(&b);
	if (c->agent) {
		http_respond_write(c->agent, b.data, b.size);
		if (http_respond_queued(c->agent) > QUEUE_MAX)
			http_request_pause(c->request->http, true);
	} else {
		buf_append(&c->early, b.data, b.size);
		if (c->early.size > QUEUE_MAX)
			http_request_pause(c->request->http, true);
	}
}

static void on_client_closed(void *arg)
{
	struct call *c = arg;
	struct request *r = c->request;
	call_free(c);
	request_done(r);
}

void calls_answer(struct server *s, struct http_request *http, const struct user *u, int64_t id)
{
	static const struct http_request_events events = {.on_body = on_agent_body,
		.on_closed = on_agent_closed,
		.on_drained = on_agent_drained};
	LIST_EACH (&s->calls, link) {
		struct call *c = LIST_ITEM(link, struct call, link);
		if (c->id != id || c->agent || strcmp(c->node, u->node) != 0)
			continue;
		c->agent = http;
		loop_timer_stop(c->timer);
		http_respond_start(http, 200, NULL, 0, "application/octet-stream");
		if (c->early.size)
			http_respond_write(http, c->early.data, c->early.size);
		buf_done(&c->early);
		http_request_set_events(http, &events,
			c); /* when that has left: on_agent_drained */
		return;
	}
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_NOT_FOUND, "there is no call %lld for node \"%s\"", (long long)id,
		u->node);
	respond_err(s, http, &e);
}

/* ---- the announcement ---- */

static void on_no_answer(void *arg)
{
	struct call *c = arg;
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_TIMEOUT, "node \"%s\" did not answer within %d s", c->node,
		ANSWER_MS / 1000);
	call_fail(c, &e);
}

/* The query parameters that matter, as JSON; command is a list. */
static json_t *query_of(const struct request *r)
{
	static const char *const names[] = {"container", "follow", "previous", "timestamps",
		"tailLines", "sinceSeconds", "sinceTime", "limitBytes", "stdin"};
	json_t *query = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = http_request_query(r->http, names[i], 0);
		if (value)
			json_object_set_new(query, names[i], json_string(value));
	}
	json_t *command = json_array();
	const char *word;
	for (size_t n = 0; n < 1024 && (word = http_request_query(r->http, "command", n)); n++)
		json_array_append_new(command, json_string(word));
	json_object_set_new(query, "command", command);
	return query;
}

static int find_pod(struct request *r, struct object **ret_pod, struct err *e)
{
	int result = object_key_of(&kind_pod, r->namespace, r->name, r->key, e);
	if (result < 0)
		return result;
	*ret_pod = store_get(r->server->store, r->key);
	if (!*ret_pod)
		return err_set(e, ERR_NOT_FOUND, "pods \"%s\" not found", r->name);
	if (!(*ret_pod)->node[0])
		return err_set(e, ERR_DECODE, "pod \"%s\" has no node yet: nothing of it has run",
			r->name);
	return 0;
}

static bool wants_frames(const struct request *r)
{
	const char *accept = http_request_header(r->http, "accept");
	return accept && strstr(accept, WIRE_FRAMES_TYPE);
}

static void begin(struct request *r, const char *verb)
{
	static const struct http_request_events events = {.on_body = on_client_body,
		.on_closed = on_client_closed,
		.on_drained = on_client_drained};
	struct server *s = r->server;
	struct err e = ERR_INIT;
	CLEANUP(object_done) struct object *pod = NULL;
	if (find_pod(r, &pod, &e) < 0) {
		request_fail(r, &e);
		return;
	}
	int64_t id = ++s->next_call;
	CLEANUP(json_done)
	json_t *message = json_pack("{s:s, s:I, s:s, s:s, s:o}", "type", "call", "id",
		(json_int_t)id, "verb", verb, "pod", pod->uid, "query", query_of(r));
	if (feed_send(s->feed, pod->node, message, &e) < 0) {
		request_fail(r, &e);
		return;
	}
	struct call *c = mem_new(struct call);
	*c = (struct call){
		.request = r, .id = id, .plain = strcmp(verb, "logs") == 0 && !wants_frames(r)};
	snprintf(c->node, sizeof(c->node), "%.120s", pod->node);
	list_init(&c->link);
	list_append(&s->calls, &c->link);
	c->timer = loop_timer_new(s->loop, on_no_answer, c);
	loop_timer_start(c->timer, ANSWER_MS);
	s->counters.calls++;
	http_request_set_events(r->http, &events, c);
}

void calls_logs(struct request *r)
{
	begin(r, "logs");
}

void calls_exec(struct request *r)
{
	struct err e = ERR_INIT;
	if (!http_request_query(r->http, "command", 0))
		(void)err_set(&e, ERR_DECODE, "exec needs at least one command parameter");
	else if (http_request_header(r->http, "upgrade"))
		(void)err_set(&e, ERR_UNSUPPORTED,
			"exec over WebSocket and SPDY is not supported yet; use `continuo exec`");
	if (e.code)
		request_fail(r, &e);
	else
		begin(r, "exec");
}

void calls_lose_node(struct server *s, const char *node)
{
	LIST_EACH (&s->calls, link) {
		struct call *c = LIST_ITEM(link, struct call, link);
		if (strcmp(c->node, node) == 0)
			on_agent_closed(c);
	}
}

void calls_drop(struct server *s)
{
	LIST_EACH (&s->calls, link)
		on_client_closed(LIST_ITEM(link, struct call, link));
}
