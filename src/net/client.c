/* The client: calls wait here until a connection has room for them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/exchange.h"

#define CONNECTIONS_DEFAULT 4
#define FETCH_MAX ((size_t)4 << 20)

/* A connection that is being made. */
struct opening {
	struct list link;
	struct http_client *client;
	struct stream *stream;
};

void http_client_kick(struct http_client *c)
{
	loop_timer_start(c->kick, 0);
}

static size_t list_count(const struct list *head)
{
	size_t count = 0;
	for (const struct list *link = head->next; link != head; link = link->next)
		count++;
	return count;
}

static void leave(struct http_client *c)
{
	if (--c->depth == 0 && c->dead)
		free(c);
}

static bool waits(const struct http_call *call)
{
	return !call->connection && !call->finished && !call->doomed;
}

/* From the start again after each, since anything may happen while a call is being told. */
static struct http_call *find_call(struct http_client *c, bool (*wanted)(const struct http_call *))
{
	if (c->dead)
		return NULL;
	LIST_EACH (&c->calls, link) {
		struct http_call *call = LIST_ITEM(link, struct http_call, link);
		if (wanted(call))
			return call;
	}
	return NULL;
}

static void fail_waiting(struct http_client *c, const struct err *e)
{
	c->depth++;
	for (struct http_call *call; (call = find_call(c, waits));)
		http_call_finish(call, e);
	leave(c);
}

/* Connections that still take calls. */
static size_t count_links(const struct http_client *c)
{
	size_t links = 0;
	for (const struct list *link = c->links.next; link != &c->links; link = link->next)
		links += !LIST_ITEM(link, const struct http_link, link)->draining;
	return links;
}

void http_client_lost(struct http_client *c, bool tried, const struct err *e)
{
	/* Other attempts may be under way, to the same address: waiting for them as well would let
	 * two of them keep each other going without end, as fast as they are refused. */
	if (!tried && count_links(c) == 0)
		fail_waiting(c, e);
	else
		http_client_kick(c);
}

/* ---- connections ---- */

static void opening_done(struct opening *o)
{
	list_remove(&o->link);
	stream_free(o->stream);
	free(o);
}

static void on_opened(void *arg)
{
	struct opening *o = arg;
	struct http_client *c = o->client;
	struct stream *stream = take_ptr(o->stream);
	bool http2 = c->connector.is_http2 && c->connector.is_http2(c->connector.context, stream);
	opening_done(o);
	struct http_link *x = http2 ? http2_link_new(c, stream) : http1_link_new(c, stream);
	x->client = c;
	c->multiplexed = http2;
	c->version_known = true;
	list_append(&c->links, &x->link);
	http_client_kick(c);
}

static void on_open_failed(void *arg, const struct err *why)
{
	struct opening *o = arg;
	struct http_client *c = o->client;
	struct err e = *why;
	opening_done(o);
	http_client_lost(c, false, &e);
}

static void on_early_data(void *arg, const uint8_t *data, size_t size)
{
	(void)arg, (void)data, (void)size; /* cannot come before on_open */
}

static const struct stream_events opening_handlers = {
	.on_open = on_opened, .on_data = on_early_data, .on_closed = on_open_failed};

static void open_connection(struct http_client *c)
{
	struct opening *o = mem_new(struct opening);
	o->client = c;
	list_append(&c->openings, &o->link);
	o->stream = c->connector.connect(c->connector.context);
	stream_set_events(o->stream, &opening_handlers, o);
}

/* HTTP/2 carries all calls on one connection, so another is made only when that one is closing;
 * until the first answer tells the version, one is enough as well. */
static bool may_open(const struct http_client *c, size_t waiting)
{
	size_t openings = list_count(&c->openings), links = count_links(c);
	if (c->connector.is_http2 && (!c->version_known || c->multiplexed))
		return openings == 0 && links == 0;
	return openings < waiting && links + openings < (size_t)c->max_connections;
}

static struct http_link *link_with_room(struct http_client *c)
{
	LIST_EACH (&c->links, link) {
		struct http_link *x = LIST_ITEM(link, struct http_link, link);
		if (!x->draining && x->ops->has_room(x))
			return x;
	}
	return NULL;
}

static void dispatch(struct http_client *c)
{
	size_t waiting = 0;
	LIST_EACH (&c->calls, link) {
		struct http_call *call = LIST_ITEM(link, struct http_call, link);
		if (!waits(call))
			continue;
		struct http_link *x = link_with_room(c);
		if (!x) {
			waiting++;
			continue;
		}
		call->connection = x;
		x->tried = true;
		x->ops->start(x, call);
	}
	while (waiting && may_open(c, waiting))
		open_connection(c);
}

/* Calls that were refused before they began, or lost their connection to http_client_reset. */
static bool is_doomed(const struct http_call *call)
{
	return call->doomed && !call->finished;
}

static void on_kick(void *arg)
{
	struct http_client *c = arg;
	c->depth++;
	for (struct http_call *call; (call = find_call(c, is_doomed));)
		http_call_finish(call, &call->error);
	if (!c->dead)
		dispatch(c);
	leave(c);
}

struct http_client *http_client_new(struct loop *l, const struct http_connector *connector,
	int max_connections)
{
	struct http_client *c = mem_new(struct http_client);
	c->loop = l;
	c->connector = *connector;
	c->authority = mem_dup_string(connector->authority ? connector->authority : "localhost");
	c->max_connections = max_connections > 0 ? max_connections : CONNECTIONS_DEFAULT;
	c->kick = loop_timer_new(l, on_kick, c);
	list_init(&c->links);
	list_init(&c->openings);
	list_init(&c->calls);
	list_init(&c->fetches);
	return c;
}

void http_client_reset(struct http_client *c)
{
	struct err e = ERR_INIT;
	err_set(&e, ERR_CLOSED, "the connection was closed to be made anew");
	LIST_EACH (&c->calls, link) {
		struct http_call *call = LIST_ITEM(link, struct http_call, link);
		if (!call->connection)
			continue;
		call->connection->ops->cancel(call);
		call->connection = NULL;
		call->doomed = true;
		call->error = e;
	}
	while (!list_empty(&c->links)) {
		struct http_link *x = LIST_ITEM(c->links.next, struct http_link, link);
		list_remove(&x->link);
		x->ops->free(x);
	}
	while (!list_empty(&c->openings))
		opening_done(LIST_ITEM(c->openings.next, struct opening, link));
	http_client_kick(c);
}

/* ---- calls ---- */

static void on_timeout(void *arg)
{
	struct http_call *call = arg;
	struct err e = ERR_INIT;
	err_set(&e, ERR_TIMEOUT, "%s %.120s%s: no answer in time", call->method,
		call->client->authority, call->path);
	if (call->connection)
		call->connection->ops->cancel(call);
	call->connection = NULL;
	http_call_finish(call, &e);
}

static void copy_headers(struct http_call *call, const struct http_call_spec *spec)
{
	call->headers = arena_new_array(&call->arena, spec->header_count + 1, struct http_header);
	for (size_t i = 0; i < spec->header_count; i++) {
		if (!http_is_token(spec->headers[i].name))
			continue;
		call->headers[call->header_count++] =
			(struct http_header){arena_dup(&call->arena, spec->headers[i].name),
				arena_dup(&call->arena, spec->headers[i].value)};
	}
}

static bool target_is_clean(const char *path)
{
	if (*path != '/')
		return false;
	for (; *path; path++)
		if (*path <= ' ' || *path >= 0x7f || *path == '#')
			return false;
	return true;
}

struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec,
	const struct http_call_events *events, void *arg)
{
	struct http_call *call = mem_new(struct http_call);
	call->client = c;
	call->events = events;
	call->arg = arg;
	call->method = arena_dup(&call->arena, spec->method);
	call->path = arena_dup(&call->arena, spec->path);
	call->content_type = arena_dup(&call->arena, spec->content_type);
	copy_headers(call, spec);
	call->streaming = spec->streaming;
	call->has_body = spec->streaming || spec->content_type || spec->body_size;
	call->body_ended = !spec->streaming && !spec->upgrade;
	call->upgrade = arena_dup(&call->arena, spec->upgrade);
	call->request_size = spec->body_size;
	if (spec->body_size)
		buf_append(&call->body, spec->body, spec->body_size);
	if (!http_is_token(call->method) || !target_is_clean(call->path)) {
		call->doomed = true;
		err_set(&call->error, ERR_USAGE, "\"%.200s\" is not a percent-encoded path",
			call->path);
	} else if (buf_check(&call->body, "the request's body", &call->error) < 0) {
		call->doomed = true;
	}
	if (spec->timeout_ms > 0) {
		call->timer = loop_timer_new(c->loop, on_timeout, call);
		loop_timer_start(call->timer, spec->timeout_ms);
	}
	list_append(&c->calls, &call->link);
	http_client_kick(c);
	return call;
}

void http_call_write(struct http_call *call, const void *data, size_t size)
{
	if (call->finished || call->body_ended || !size)
		return;
	buf_append(&call->body, data, size);
	if (call->connection)
		call->connection->ops->write(call);
}

void http_call_end(struct http_call *call)
{
	if (call->finished || call->body_ended)
		return;
	call->body_ended = true;
	if (call->connection)
		call->connection->ops->write(call);
}

size_t http_call_queued(const struct http_call *call)
{
	if (call->finished)
		return 0;
	return call->connection ? call->connection->ops->queued(call) : call->body.size;
}

void http_call_pause(struct http_call *call, bool paused)
{
	if (call->paused == paused)
		return;
	call->paused = paused;
	if (!paused && call->connection)
		call->connection->ops->resume(call);
}

void http_call_free(struct http_call *call)
{
	if (!call)
		return;
	if (call->connection)
		call->connection->ops->cancel(call);
	list_remove(&call->link);
	loop_timer_free(call->timer);
	buf_done(&call->body);
	arena_done(&call->arena);
	free(call);
}

void http_call_response(struct http_call *call, int status, const struct http_header *headers,
	size_t header_count)
{
	call->responded = true;
	if (call->events->on_response)
		call->events->on_response(call->arg, status, headers, header_count);
}

void http_call_deliver(struct http_call *call, const uint8_t *data, size_t size)
{
	if (call->events->on_body && size)
		call->events->on_body(call->arg, data, size);
}

void http_call_drained(struct http_call *call)
{
	if (call->events->on_drained)
		call->events->on_drained(call->arg);
}

void http_call_finish(struct http_call *call, const struct err *e)
{
	call->connection = NULL;
	call->exchange = NULL;
	call->finished = true;
	list_remove(&call->link);
	if (call->timer)
		loop_timer_stop(call->timer);
	buf_done(&call->body);
	if (call->events->on_done)
		call->events->on_done(call->arg, e);
}

/* Once: a second connection that breaks at once is no accident. */
void http_call_retry(struct http_call *call, const struct err *e, bool safe)
{
	call->connection = NULL;
	call->exchange = NULL;
	if (!safe || call->retried || call->responded || call->streaming) {
		http_call_finish(call, e);
		return;
	}
	call->retried = true;
	http_client_kick(call->client);
}

/* ---- the short way ---- */

struct fetch {
	struct list link; /* in client->fetches */
	struct http_call *call;
	struct buf body;
	int status;
	void (*done)(void *arg, int status, const char *body, size_t size, const struct err *e);
	void *arg;
};

static void fetch_free(struct fetch *f)
{
	list_remove(&f->link);
	http_call_free(f->call);
	buf_done(&f->body);
	free(f);
}

static void fetch_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers, (void)header_count;
	((struct fetch *)arg)->status = status;
}

static void fetch_end(struct fetch *f, const struct err *e)
{
	list_remove(&f->link); /* the client may be freed by done */
	f->done(f->arg, f->status, buf_text(&f->body), f->body.size, e);
	fetch_free(f);
}

static void fetch_body(void *arg, const uint8_t *data, size_t size)
{
	struct fetch *f = arg;
	buf_append(&f->body, data, size);
	struct err e = ERR_INIT;
	if (buf_check(&f->body, "the response", &e) < 0)
		fetch_end(f, &e);
}

static void fetch_done(void *arg, const struct err *e)
{
	fetch_end(arg, e);
}

static const struct http_call_events fetch_events = {
	.on_response = fetch_response, .on_body = fetch_body, .on_done = fetch_done};

void http_fetch(struct http_client *c, const struct http_call_spec *spec,
	void (*done)(void *arg, int status, const char *body, size_t size, const struct err *e),
	void *arg)
{
	struct fetch *f = mem_new(struct fetch);
	f->body.limit = FETCH_MAX;
	f->done = done;
	f->arg = arg;
	list_append(&c->fetches, &f->link);
	f->call = http_call_start(c, spec, &fetch_events, f);
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	while (!list_empty(&c->fetches))
		fetch_free(LIST_ITEM(c->fetches.next, struct fetch, link));
	while (!list_empty(&c->calls)) {
		struct http_call *call = LIST_ITEM(c->calls.next, struct http_call, link);
		if (call->connection)
			call->connection->ops->cancel(call);
		call->connection = NULL;
		call->finished = true;
		list_remove(&call->link);
		if (call->timer)
			loop_timer_stop(call->timer);
	}
	while (!list_empty(&c->links)) {
		struct http_link *x = LIST_ITEM(c->links.next, struct http_link, link);
		list_remove(&x->link);
		x->ops->free(x);
	}
	while (!list_empty(&c->openings))
		opening_done(LIST_ITEM(c->openings.next, struct opening, link));
	loop_timer_free(c->kick);
	free(c->authority);
	c->dead = true;
	if (c->depth == 0)
		free(c);
}
