/*
 * One HTTP/2 connection of a server. Each stream:
 *
 *   HEAD ──headers──▶ request handed to the handler ──▶ both sides ended ──▶ freed
 *                        └── reset by either side ──▶ freed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/http2_session.h"

struct http2_connection {
	struct http_connection base;
	struct loop *loop;
	struct stream *stream;
	nghttp2_session *session;
	struct loop_timer *kick;
	struct loop_timer *silence;
	struct list streams;
	struct list ready; /* streams for which something is to be done */
	bool pinged;       /* and not yet heard from */
	bool doomed;       /* to be broken off at the next kick */
	bool dead;         /* freed when depth is 0 */
	int depth;         /* of pump() */
};

struct http2_stream {
	struct list link, ready;
	struct http2_connection *c;
	int32_t id;
	struct http2_head head;
	struct http_request *request; /* null: not yet, or freed by its handler */
	struct buf input;             /* bounded by the stream's window */
	struct buf output;
	size_t output_at;
	bool head_due, input_ended;
	bool started, output_ended, output_sent, bodiless;
	bool drain_due, closed;
	uint32_t error;
};

static const struct http_exchange_ops exchange_ops;

static void mark(struct http2_stream *s)
{
	list_remove(&s->ready);
	list_append(&s->c->ready, &s->ready);
}

static void kick(struct http2_connection *c)
{
	loop_timer_start(c->kick, 0);
}

static void stream_done(struct http2_stream *s)
{
	list_remove(&s->link);
	list_remove(&s->ready);
	http2_head_done(&s->head);
	buf_done(&s->input);
	buf_done(&s->output);
	free(s);
}

/* ---- nghttp2's callbacks: they take notes ---- */

static struct http2_stream *find(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2_connection *c = arg;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct http2_stream *s = mem_new(struct http2_stream);
	s->c = c;
	s->id = frame->hd.stream_id;
	list_init(&s->ready);
	list_append(&c->streams, &s->link);
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *arg)
{
	(void)flags, (void)arg;
	struct http2_stream *s = find(session, frame->hd.stream_id);
	if (s && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		http2_head_add(&s->head, name, name_size, value, value_size);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	(void)arg;
	struct http2_stream *s = find(session, frame->hd.stream_id);
	if (!s || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		s->head_due = true;
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		s->input_ended = true;
	mark(s);
	return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
	size_t size, void *arg)
{
	(void)flags, (void)arg;
	nghttp2_session_consume_connection(session, size);
	struct http2_stream *s = find(session, id);
	if (!s)
		return 0;
	buf_append(&s->input, data, size);
	mark(s);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	(void)arg;
	struct http2_stream *s = find(session, id);
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
	(void)session, (void)id, (void)arg;
	struct http2_stream *s = source->ptr;
	size_t taken = http2_take(&s->output, &s->output_at, data, size);
	if (s->output_at == s->output.size) {
		if (s->output.size)
			s->drain_due = true;
		buf_done(&s->output);
		s->output_at = 0;
		mark(s);
		if (s->output_ended) {
			*flags |= NGHTTP2_DATA_FLAG_EOF;
			s->output_sent = true;
		} else if (taken == 0) {
			return NGHTTP2_ERR_DEFERRED;
		}
	}
	return (ssize_t)taken;
}

/* ---- freeing ---- */

static void destroy(struct http2_connection *c)
{
	c->dead = true;
	stream_free(take_ptr(c->stream));
	if (c->depth > 0)
		return;
	list_remove(&c->base.link);
	while (!list_empty(&c->streams)) {
		struct http2_stream *s = LIST_ITEM(c->streams.next, struct http2_stream, link);
		struct http_request *r = take_ptr(s->request);
		if (r)
			http_request_silence(r);
		stream_done(s);
	}
	nghttp2_session_del(c->session);
	loop_timer_free(c->kick);
	loop_timer_free(c->silence);
	http_peer_box_unref(c->base.peer);
	free(c);
}

static void break_off(struct http2_connection *c)
{
	c->depth++;
	c->doomed = true;
	stream_free(take_ptr(c->stream));
	while (!c->dead && !list_empty(&c->streams)) {
		struct http2_stream *s = LIST_ITEM(c->streams.next, struct http2_stream, link);
		struct http_request *r = take_ptr(s->request);
		nghttp2_session_set_stream_user_data(c->session, s->id, NULL);
		stream_done(s);
		if (r)
			http_request_lose(r);
	}
	c->depth--;
	destroy(c);
}

/* ---- the pump: calls the users ---- */

static void refuse(struct http2_stream *s, const char *status)
{
	struct http2_fields fields CLEANUP(http2_fields_done) = {0};
	http2_fields_add(&fields, ":status", status);
	s->started = s->output_ended = s->output_sent = true;
	nghttp2_submit_response(s->c->session, s->id, fields.items, fields.count, NULL);
}

static void handle_head(struct http2_stream *s)
{
	struct http2_connection *c = s->c;
	struct http2_head *h = &s->head;
	struct err e = ERR_INIT;
	s->head_due = false;
	if (h->too_large) {
		refuse(s, "431");
		return;
	}
	if (!h->method || !h->path || (h->path[0] != '/' && !str_equal(h->path, "*")) ||
		strpbrk(h->path, "# \t")) {
		refuse(s, "400");
		return;
	}
	if (h->authority && !http_find_header(h->headers.items, h->headers.count, "host"))
		vec_push(&h->headers, (struct http_header){"host", h->authority});
	struct http_header *headers =
		arena_new_array(&h->arena, h->headers.count + 1, struct http_header);
	if (h->headers.count)
		memcpy(headers, h->headers.items, h->headers.count * sizeof(*headers));
	size_t count = h->headers.count;
	if (http_request_new(c->loop, &exchange_ops, s, c->base.peer, &h->arena, h->method, h->path,
		    headers, count, &s->request, &e) < 0) {
		refuse(s, "400");
		return;
	}
	http2_head_done(h);
	c->base.server->handler(c->base.server->arg, s->request);
}

static void give_input(struct http2_stream *s)
{
	size_t size = s->input.size;
	if (!s->request || s->output_ended) {
		buf_done(&s->input);
	} else {
		if (!http_request_reads(s->request))
			return;
		size_t ignored = 0;
		uint8_t *data = (uint8_t *)buf_take(&s->input, &ignored);
		http_request_deliver(s->request, data, size);
		free(data);
	}
	if (!s->closed)
		nghttp2_session_consume_stream(s->c->session, s->id, size);
}

static bool end_is_due(const struct http2_stream *s)
{
	return s->input_ended && s->input.size == 0 && s->request && !s->request->body_ended &&
	       !s->output_ended && http_request_reads(s->request);
}

static void close_stream(struct http2_stream *s)
{
	struct http_request *r = take_ptr(s->request);
	bool in_order = s->output_sent;
	stream_done(s);
	if (!r)
		return;
	if (in_order)
		http_request_finish(r);
	else
		http_request_lose(r);
}

/* One step for one stream; s may be freed by it. Steps are marked again while there is more. */
static void serve_stream(struct http2_stream *s)
{
	if (s->head_due && s->closed) {
		close_stream(s); /* reset before we looked at it: no work for that */
	} else if (s->head_due) {
		mark(s);
		handle_head(s);
	} else if (s->input.size && (!s->request || http_request_reads(s->request))) {
		mark(s);
		give_input(s);
	} else if (end_is_due(s)) {
		mark(s);
		http_request_deliver(s->request, NULL, 0);
	} else if (s->closed) {
		close_stream(s);
	} else if (s->drain_due) {
		s->drain_due = false;
		mark(s);
		if (s->request && !s->output_ended)
			http_request_drained(s->request);
	} else if (s->output_sent && !s->input_ended) {
		/* RFC 9113 section 8.1: the rest of the body is not needed. */
		s->input_ended = true;
		nghttp2_submit_rst_stream(s->c->session, NGHTTP2_FLAG_NONE, s->id,
			NGHTTP2_NO_ERROR);
	}
}

static void watch_silence(struct http2_connection *c)
{
	loop_timer_start(c->silence, list_empty(&c->streams) ? HTTP_IDLE_MS : HTTP2_PING_MS);
}

/* A stream that is closed in order with its body undelivered stays until the handler takes it. */
static void pump(struct http2_connection *c)
{
	if (c->depth > 0)
		return;
	c->depth++;
	bool more = true;
	while (more && !c->dead && !c->doomed) {
		while (!c->dead && !c->doomed && !list_empty(&c->ready)) {
			struct list *link = c->ready.next;
			list_remove(link);
			serve_stream(LIST_ITEM(link, struct http2_stream, ready));
		}
		if (c->dead || c->doomed)
			break;
		if (!http2_session_send(c->session, c->stream))
			c->doomed = true;
		more = !list_empty(&c->ready);
	}
	c->depth--;
	bool finished = !c->dead && !nghttp2_session_want_read(c->session) &&
			!nghttp2_session_want_write(c->session) && stream_queued(c->stream) == 0;
	if (c->dead)
		destroy(c);
	else if (c->doomed || finished)
		break_off(c);
	else
		stream_pause(c->stream, stream_queued(c->stream) > 4 * HTTP_QUEUE_MAX);
}

/* ---- events ---- */

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	struct http2_connection *c = arg;
	c->pinged = false;
	ssize_t used = nghttp2_session_mem_recv(c->session, data, size);
	if (used < 0)
		c->doomed = true;
	watch_silence(c);
	pump(c);
}

static void on_drained(void *arg)
{
	pump(arg);
}

static void on_closed(void *arg, const struct err *why)
{
	(void)why;
	break_off(arg);
}

static void on_kick(void *arg)
{
	struct http2_connection *c = arg;
	if (c->doomed)
		break_off(c);
	else
		pump(c);
}

/* A silent peer is asked once; one without streams is told to go. */
static void on_silence(void *arg)
{
	struct http2_connection *c = arg;
	if (c->pinged) {
		break_off(c);
		return;
	}
	c->pinged = true;
	if (list_empty(&c->streams))
		nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
			nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR, NULL,
			0);
	else
		nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
	watch_silence(c);
	pump(c);
}

static const struct stream_events stream_handlers = {
	.on_data = on_data, .on_drained = on_drained, .on_closed = on_closed};

/* ---- what requests ask for ---- */

static void exchange_start(struct http_request *r, int status, const struct http_header *headers,
	size_t header_count, const char *content_type, int64_t length)
{
	struct http2_stream *s = r->exchange;
	struct http2_fields fields CLEANUP(http2_fields_done) = {0};
	char text[32];
	snprintf(text, sizeof(text), "%d", status);
	http2_fields_add(&fields, ":status", text);
	http_date(loop_wall_ms(s->c->loop), text);
	http2_fields_add(&fields, "date", text);
	if (content_type)
		http2_fields_add(&fields, "content-type", content_type);
	if (length >= 0 && status != 204 && status != 304) {
		snprintf(text, sizeof(text), "%lld", (long long)length);
		http2_fields_add(&fields, "content-length", text);
	}
	http2_fields_add_all(&fields, headers, header_count);
	s->started = true;
	s->bodiless = r->head_only || status == 204 || status == 304 || length == 0;
	if (s->bodiless)
		s->output_sent = true;
	nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_output};
	if (!s->closed && nghttp2_submit_response(s->c->session, s->id, fields.items, fields.count,
				  s->bodiless ? NULL : &provider) != 0)
		nghttp2_submit_rst_stream(s->c->session, NGHTTP2_FLAG_NONE, s->id,
			NGHTTP2_INTERNAL_ERROR);
	kick(s->c);
}

static void exchange_write(struct http_request *r, const void *data, size_t size)
{
	struct http2_stream *s = r->exchange;
	if (s->bodiless || s->closed)
		return;
	if (s->output_at == s->output.size) {
		buf_clear(&s->output);
		s->output_at = 0;
	}
	buf_append(&s->output, data, size);
	nghttp2_session_resume_data(s->c->session, s->id);
	kick(s->c);
}

static void exchange_end(struct http_request *r)
{
	struct http2_stream *s = r->exchange;
	s->output_ended = true;
	if (!s->bodiless && !s->closed)
		nghttp2_session_resume_data(s->c->session, s->id);
	mark(s);
	kick(s->c);
}

static size_t exchange_queued(const struct http_request *r)
{
	const struct http2_stream *s = r->exchange;
	return s->output.size - s->output_at;
}

static void exchange_read(struct http_request *r)
{
	struct http2_stream *s = r->exchange;
	mark(s);
	kick(s->c);
}

static void exchange_detach(struct http_request *r)
{
	struct http2_stream *s = r->exchange;
	s->request = NULL;
	if (!s->output_ended && !s->closed && s->c->session)
		nghttp2_submit_rst_stream(s->c->session, NGHTTP2_FLAG_NONE, s->id,
			NGHTTP2_INTERNAL_ERROR);
	mark(s);
	kick(s->c);
}

static const struct http_exchange_ops exchange_ops = {
	.start = exchange_start,
	.write = exchange_write,
	.end = exchange_end,
	.queued = exchange_queued,
	.read = exchange_read,
	.detach = exchange_detach,
};

/* ---- what the server asks for ---- */

static void connection_free(struct http_connection *base)
{
	struct http2_connection *c = (struct http2_connection *)base;
	LIST_EACH (&c->streams, link) {
		struct http2_stream *s = LIST_ITEM(link, struct http2_stream, link);
		struct http_request *r = take_ptr(s->request);
		if (r)
			http_request_silence(r);
	}
	list_remove(&c->base.link);
	destroy(c);
}

static void connection_drop(struct http_connection *base)
{
	struct http2_connection *c = (struct http2_connection *)base;
	c->doomed = true;
	kick(c);
}

static const struct http_connection_ops connection_ops = {
	.free = connection_free, .drop = connection_drop};

static nghttp2_session *session_new(struct http2_connection *c)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_session *session = NULL;
	nghttp2_option *option = http2_options();
	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		abort();
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	if (nghttp2_session_server_new2(&session, callbacks, c, option) != 0 ||
		!http2_session_begin(session, true))
		abort();
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return session;
}

struct http_connection *http2_serve(struct http_server *s, struct stream *stream,
	struct http_peer_box *peer)
{
	struct http2_connection *c = mem_new(struct http2_connection);
	c->base.ops = &connection_ops;
	c->base.server = s;
	c->base.peer = peer;
	c->loop = s->loop;
	c->stream = stream;
	list_init(&c->streams);
	list_init(&c->ready);
	c->kick = loop_timer_new(s->loop, on_kick, c);
	c->silence = loop_timer_new(s->loop, on_silence, c);
	c->session = session_new(c);
	watch_silence(c);
	stream_set_events(stream, &stream_handlers, c);
	kick(c);
	return &c->base;
}
