/* One HTTP/2 connection of a client: all calls share it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/http2_session.h"

struct http2_link {
	struct http_link base;
	nghttp2_session *session;
	struct loop_timer *kick;
	struct loop_timer *silence;
	struct list exchanges;
	struct list ready;
	size_t count; /* of exchanges */
	bool pinged;
	bool doomed;
	struct err why;
	bool dead; /* freed when depth is 0 */
	int depth; /* of pump() */
};

struct http2_exchange {
	struct list link, ready;
	struct http2_link *x;
	struct http_call *call; /* null: cancelled */
	int32_t id;
	struct http2_head head;
	struct buf input; /* bounded by the stream's window */
	size_t output_at; /* of call->body */
	bool head_due, drain_due, ended, closed;
	uint32_t error;
};

static void mark(struct http2_exchange *s)
{
	list_remove(&s->ready);
	list_append(&s->x->ready, &s->ready);
}

static void kick(struct http2_link *x)
{
	loop_timer_start(x->kick, 0);
}

static void exchange_done(struct http2_exchange *s)
{
	s->x->count--;
	list_remove(&s->link);
	list_remove(&s->ready);
	http2_head_done(&s->head);
	buf_done(&s->input);
	if (s->call)
		s->call->exchange = NULL;
	free(s);
}

/* ---- nghttp2's callbacks: they take notes ---- */

static struct http2_exchange *find(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *arg)
{
	(void)flags, (void)arg;
	struct http2_exchange *s = find(session, frame->hd.stream_id);
	if (s && frame->hd.type == NGHTTP2_HEADERS && !s->head_due)
		http2_head_add(&s->head, name, name_size, value, value_size);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2_link *x = arg;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		x->base.draining = true;
	struct http2_exchange *s = find(session, frame->hd.stream_id);
	if (!s || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && !s->head_due && s->head.status >= 200)
		s->head_due = true;
	else if (frame->hd.type == NGHTTP2_HEADERS && !s->head_due)
		http2_head_done(&s->head); /* 1xx */
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		s->ended = true;
	mark(s);
	return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
	size_t size, void *arg)
{
	(void)flags, (void)arg;
	nghttp2_session_consume_connection(session, size);
	struct http2_exchange *s = find(session, id);
	if (!s)
		return 0;
	buf_append(&s->input, data, size);
	mark(s);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	(void)arg;
	struct http2_exchange *s = find(session, id);
	if (!s)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	s->closed = true;
	s->error = error;
	mark(s);
	return 0;
}

static ssize_t read_output(nghttp2_session *session, int32_t id, uint8_t *data, size_t size,
	uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	(void)source, (void)arg;
	struct http2_exchange *s = find(session, id);
	if (!s || !s->call)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	struct buf *body = &s->call->body;
	size_t taken = http2_take(body, &s->output_at, data, size);
	if (s->output_at < body->size)
		return (ssize_t)taken;
	if (s->call->streaming && body->size) {
		buf_done(body);
		s->output_at = 0;
		s->drain_due = true;
		mark(s);
	}
	if (s->call->body_ended)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (taken == 0)
		return NGHTTP2_ERR_DEFERRED;
	return (ssize_t)taken;
}

/* ---- freeing ---- */

static void destroy(struct http2_link *x)
{
	x->dead = true;
	stream_free(take_ptr(x->base.stream));
	list_remove(&x->base.link);
	if (x->depth > 0)
		return;
	while (!list_empty(&x->exchanges))
		exchange_done(LIST_ITEM(x->exchanges.next, struct http2_exchange, link));
	nghttp2_session_del(x->session);
	loop_timer_free(x->kick);
	loop_timer_free(x->silence);
	free(x);
}

static bool idempotent(const struct http_call *call)
{
	static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (str_equal(call->method, methods[i]))
			return true;
	return false;
}

/* The connection is of no more use; its calls fail or run again on another one. */
static void fail(struct http2_link *x)
{
	struct http_client *client = x->base.client;
	x->depth++;
	x->doomed = true;
	x->base.draining = true;
	stream_free(take_ptr(x->base.stream));
	while (!x->dead && !list_empty(&x->exchanges)) {
		struct http2_exchange *s =
			LIST_ITEM(x->exchanges.next, struct http2_exchange, link);
		struct http_call *call = s->call;
		nghttp2_session_set_stream_user_data(x->session, s->id, NULL);
		exchange_done(s);
		if (call)
			http_call_retry(call, &x->why, x->base.used && idempotent(call));
	}
	bool dead = x->dead, tried = x->base.tried;
	struct err why = x->why;
	x->depth--;
	destroy(x);
	if (!dead)
		http_client_lost(client, tried, &why);
}

/* ---- the pump: calls the users ---- */

static void close_exchange(struct http2_exchange *s)
{
	struct http_call *call = s->call;
	struct http_client *client = s->x->base.client;
	bool complete = s->error == NGHTTP2_NO_ERROR && s->ended && call && call->responded;
	bool refused = s->error == NGHTTP2_REFUSED_STREAM;
	struct err e = ERR_INIT;
	s->x->base.used = true;
	if (!complete)
		err_set(&e, s->error == NGHTTP2_NO_ERROR ? ERR_CLOSED : ERR_PROTOCOL,
			"%.100s ended the exchange before it was complete (%s)", client->authority,
			nghttp2_http2_strerror(s->error));
	exchange_done(s);
	http_client_kick(client); /* there is room for another */
	if (!call)
		return;
	if (complete)
		http_call_finish(call, NULL);
	else
		http_call_retry(call, &e, refused);
}

static void give_input(struct http2_exchange *s)
{
	size_t size = 0;
	uint8_t *data = (uint8_t *)buf_take(&s->input, &size);
	if (!s->closed)
		nghttp2_session_consume_stream(s->x->session, s->id, size);
	if (s->call)
		http_call_deliver(s->call, data, size);
	free(data);
}

/* One step for one exchange; s may be freed by it. Marked again while there is more. */
static void serve_exchange(struct http2_exchange *s)
{
	struct http_call *call = s->call;
	bool paused = call && call->paused;
	if (s->head_due && call && !call->responded) {
		mark(s);
		http_call_response(call, s->head.status, s->head.headers.items,
			s->head.headers.count);
	} else if (s->input.size && !paused) {
		mark(s);
		give_input(s);
	} else if (s->closed && !paused) {
		close_exchange(s);
	} else if (s->ended && call && !paused) {
		/* The server answered without the rest of our body. */
		s->call = NULL;
		nghttp2_submit_rst_stream(s->x->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
		http_call_finish(call, NULL);
	} else if (s->drain_due) {
		s->drain_due = false;
		mark(s);
		if (call)
			http_call_drained(call);
	}
}

static void pump(struct http2_link *x)
{
	if (x->depth > 0)
		return;
	x->depth++;
	bool more = true;
	while (more && !x->dead && !x->doomed) {
		while (!x->dead && !x->doomed && !list_empty(&x->ready)) {
			struct list *link = x->ready.next;
			list_remove(link);
			serve_exchange(LIST_ITEM(link, struct http2_exchange, ready));
		}
		if (x->dead || x->doomed)
			break;
		if (!http2_session_send(x->session, x->base.stream)) {
			x->doomed = true;
			err_set(&x->why, ERR_PROTOCOL, "the HTTP/2 connection broke");
		}
		more = !list_empty(&x->ready);
	}
	x->depth--;
	if (!x->dead && !x->doomed && x->base.draining && list_empty(&x->exchanges)) {
		x->doomed = true;
		err_set(&x->why, ERR_CLOSED, "the server closed the connection");
	}
	if (x->dead)
		destroy(x);
	else if (x->doomed)
		fail(x);
}

/* ---- events ---- */

static void watch_silence(struct http2_link *x)
{
	loop_timer_start(x->silence, HTTP2_PING_MS);
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	struct http2_link *x = arg;
	x->pinged = false;
	watch_silence(x);
	ssize_t used = nghttp2_session_mem_recv(x->session, data, size);
	if (used < 0) {
		x->doomed = true;
		err_set(&x->why, ERR_PROTOCOL, "the server broke HTTP/2: %s",
			nghttp2_strerror((int)used));
	}
	pump(x);
}

static void on_drained(void *arg)
{
	pump(arg);
}

static void on_closed(void *arg, const struct err *why)
{
	struct http2_link *x = arg;
	x->why = *why;
	fail(x);
}

static void on_kick(void *arg)
{
	pump(arg);
}

/* A call may wait for ever, but not for a server that is gone. */
static void on_silence(void *arg)
{
	struct http2_link *x = arg;
	if (list_empty(&x->exchanges))
		return;
	if (x->pinged) {
		err_set(&x->why, ERR_TIMEOUT, "%.100s has not answered for %d s",
			x->base.client->authority, 2 * HTTP2_PING_MS / 1000);
		fail(x);
		return;
	}
	x->pinged = true;
	nghttp2_submit_ping(x->session, NGHTTP2_FLAG_NONE, NULL);
	watch_silence(x);
	pump(x);
}

static const struct stream_events stream_handlers = {
	.on_data = on_data, .on_drained = on_drained, .on_closed = on_closed};

/* ---- what calls ask for ---- */

static bool link_has_room(const struct http_link *base)
{
	const struct http2_link *x = (const struct http2_link *)base;
	uint32_t limit = nghttp2_session_get_remote_settings(x->session,
		NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	return !x->doomed && !x->dead && x->count < limit && x->count < HTTP2_STREAMS_MAX &&
	       nghttp2_session_check_request_allowed(x->session);
}

static void link_start(struct http_link *base, struct http_call *call)
{
	struct http2_link *x = (struct http2_link *)base;
	struct http2_fields fields CLEANUP(http2_fields_done) = {0};
	struct http2_exchange *s = mem_new(struct http2_exchange);
	s->x = x;
	s->call = call;
	call->exchange = s;
	list_init(&s->ready);
	list_append(&x->exchanges, &s->link);
	x->count++;
	http2_fields_add(&fields, ":method", call->method);
	http2_fields_add(&fields, ":scheme", "https");
	http2_fields_add(&fields, ":authority", base->client->authority);
	http2_fields_add(&fields, ":path", call->path);
	if (call->content_type)
		http2_fields_add(&fields, "content-type", call->content_type);
	if (call->has_body && !call->streaming) {
		char length[32];
		snprintf(length, sizeof(length), "%zu", call->body.size);
		http2_fields_add(&fields, "content-length", length);
	}
	http2_fields_add_all(&fields, call->headers, call->header_count);
	nghttp2_data_provider provider = {.source.ptr = NULL, .read_callback = read_output};
	s->id = nghttp2_submit_request(x->session, NULL, fields.items, fields.count,
		call->has_body ? &provider : NULL, s);
	if (s->id < 0) {
		s->closed = true; /* no ids left, or no memory: another connection is made */
		s->error = NGHTTP2_REFUSED_STREAM;
		base->draining = true;
		mark(s);
	}
	watch_silence(x);
	kick(x);
}

static void link_write(struct http_call *call)
{
	struct http2_exchange *s = call->exchange;
	struct http2_link *x = (struct http2_link *)call->connection;
	if (s && !s->closed)
		nghttp2_session_resume_data(x->session, s->id);
	kick(x);
}

static size_t link_queued(const struct http_call *call)
{
	const struct http2_exchange *s = call->exchange;
	return call->body.size - (s ? s->output_at : 0);
}

static void link_resume(struct http_call *call)
{
	if (call->exchange)
		mark(call->exchange);
	kick((struct http2_link *)call->connection);
}

static void link_cancel(struct http_call *call)
{
	struct http2_link *x = (struct http2_link *)call->connection;
	struct http2_exchange *s = call->exchange;
	if (!s)
		return;
	s->call = NULL;
	call->exchange = NULL;
	if (!s->closed)
		nghttp2_submit_rst_stream(x->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
	mark(s);
	kick(x);
}

static void link_free(struct http_link *base)
{
	struct http2_link *x = (struct http2_link *)base;
	/* One attempt to say goodbye, as far as the stream takes it at once. */
	if (x->base.stream && x->depth == 0 && !x->doomed &&
		nghttp2_session_terminate_session(x->session, NGHTTP2_NO_ERROR) == 0)
		(void)!http2_session_send(x->session, x->base.stream);
	destroy(x);
}

static const struct http_link_ops link_ops = {
	.has_room = link_has_room,
	.start = link_start,
	.write = link_write,
	.queued = link_queued,
	.resume = link_resume,
	.cancel = link_cancel,
	.free = link_free,
};

static nghttp2_session *session_new(struct http2_link *x)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_session *session = NULL;
	nghttp2_option *option = http2_options();
	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		abort();
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	if (nghttp2_session_client_new2(&session, callbacks, x, option) != 0 ||
		!http2_session_begin(session, false))
		abort();
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return session;
}

struct http_link *http2_link_new(struct http_client *c, struct stream *stream)
{
	struct http2_link *x = mem_new(struct http2_link);
	x->base.ops = &link_ops;
	x->base.client = c;
	x->base.stream = stream;
	list_init(&x->exchanges);
	list_init(&x->ready);
	x->kick = loop_timer_new(c->loop, on_kick, x);
	x->silence = loop_timer_new(c->loop, on_silence, x);
	x->session = session_new(x);
	stream_set_events(stream, &stream_handlers, x);
	kick(x);
	return &x->base;
}
