/*
 * One HTTP/1.1 connection of a server.
 *
 *   IDLE ──head──▶ BUSY ──response ended and body read──▶ IDLE (kept alive)
 *                    │                              └──▶ LINGER ──peer closed, 5 s──▶ freed
 *                    └── broken, or r freed without a response ──▶ freed
 *
 * One request is handled at a time; those that a client pipelines behind it wait in the input
 * buffer, and when that is full, in the client.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/exchange.h"
#include "net/http1_parse.h"

#define INPUT_MAX (2 * HTTP_HEAD_MAX)   /* bytes held back from a request that is not ready */
#define DISCARD_MAX ((size_t)256 << 10) /* bytes of a body that nobody wants, before we close */
#define COPY_MAX 4096                   /* larger writes go to the stream without another copy */

enum connection_state { IDLE, BUSY, LINGER };

struct http1_connection {
	struct http_connection base;
	struct loop *loop;
	struct stream *stream;
	struct loop_timer *kick;
	struct loop_timer *deadline;
	struct buf input;
	size_t taken;   /* of the input, by the running process() */
	size_t scanned; /* of the input, for the end of a head */
	struct buf output;
	enum connection_state state;
	/* of the request that is handled: */
	struct http_request *request; /* null: freed by its handler */
	struct http1_body body;
	size_t discarded;
	bool response_started, response_ended, chunked, bodiless, keep_alive, old_client;
	bool continue_due;
	/* of the whole: */
	bool head_begun;
	bool doomed; /* to be broken off at the next kick */
	bool dead;   /* freed when depth is 0 */
	int depth;   /* of process() */
};

static const struct http_exchange_ops exchange_ops;

static void destroy(struct http1_connection *c)
{
	c->dead = true;
	stream_free(take_ptr(c->stream));
	if (c->depth > 0)
		return;
	if (c->base.link.next)
		list_remove(&c->base.link);
	loop_timer_free(c->kick);
	loop_timer_free(c->deadline);
	buf_done(&c->input);
	buf_done(&c->output);
	http_peer_box_unref(c->base.peer);
	free(c);
}

static void break_off(struct http1_connection *c)
{
	struct http_request *r = take_ptr(c->request);
	c->depth++;
	c->doomed = true;
	if (r)
		http_request_lose(r);
	c->depth--;
	destroy(c);
}

static void flush(struct http1_connection *c)
{
	if (c->output.size && c->stream)
		stream_write(c->stream, c->output.data, c->output.size);
	if (c->output.capacity > COPY_MAX * 4)
		buf_done(&c->output);
	else
		buf_clear(&c->output);
}

static void kick(struct http1_connection *c)
{
	loop_timer_start(c->kick, 0);
}

/* No more requests: what is queued still leaves, then both sides close. Closing at once with bytes
 * unread would reset the connection and could destroy the response on its way. */
static void linger(struct http1_connection *c)
{
	flush(c);
	c->state = LINGER;
	stream_pause(c->stream, false);
	stream_end(c->stream);
	loop_timer_start(c->deadline, HTTP_LINGER_MS);
}

static void become_idle(struct http1_connection *c)
{
	c->state = IDLE;
	c->scanned = 0;
	c->head_begun = false;
	loop_timer_start(c->deadline, HTTP_IDLE_MS);
}

static void finish_exchange(struct http1_connection *c)
{
	struct http_request *r = take_ptr(c->request);
	if (r)
		http_request_finish(r);
	flush(c);
	if (c->keep_alive)
		become_idle(c);
	else
		linger(c);
}

/* An answer to what could not be understood; there is no request for it. */
static void refuse(struct http1_connection *c, const struct err *why)
{
	int status = why->code == ERR_TOO_LARGE ? 431 : 400;
	if (why->code == ERR_UNSUPPORTED)
		status = strstr(why->text, "version") ? 505 : 501;
	buf_printf(&c->output,
		"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\n"
		"content-length: %zu\r\nconnection: close\r\n\r\n%s\n",
		status, http_reason(status), strlen(why->text) + 1, why->text);
	linger(c);
}

static void begin_request(struct http1_connection *c, const struct http1_head *head)
{
	c->state = BUSY;
	http1_body_init(&c->body, head);
	c->discarded = 0;
	c->response_started = c->response_ended = c->chunked = c->bodiless = false;
	c->keep_alive = head->keep_alive;
	c->old_client = head->minor == 0;
	c->continue_due = head->expects_continue;
	loop_timer_stop(c->deadline);
}

/* One request's head off the input; false when there is nothing more to do now. */
static bool read_head(struct http1_connection *c)
{
	const char *data = c->input.data + c->taken;
	size_t size = c->input.size - c->taken, head_size = 0;
	if (size >= 2 && c->scanned == 0 && memcmp(data, "\r\n", 2) == 0) {
		c->taken += 2; /* RFC 9112 section 2.2: an empty line before a request */
		data += 2;
		size -= 2;
	}
	if (size == 0)
		return false;
	if (!c->head_begun) {
		c->head_begun = true;
		loop_timer_start(c->deadline, HTTP_HEAD_MS);
	}
	struct err e = ERR_INIT;
	struct arena arena CLEANUP(arena_done) = {0};
	struct http1_head head;
	struct http_request *r = NULL;
	int result = http1_head_size(data, size, &c->scanned, &head_size, &e);
	if (result == 0 && head_size == 0)
		return false;
	if (result == 0)
		result = http1_parse_request(data, head_size, &arena, &head, &e);
	if (result == 0)
		result = http_request_new(c->loop, &exchange_ops, c, c->base.peer, &arena,
			head.method, head.target, head.headers, head.header_count, &r, &e);
	if (result < 0) {
		refuse(c, &e);
		return false;
	}
	c->taken += head_size;
	c->request = r;
	begin_request(c, &head);
	c->base.server->handler(c->base.server->arg, r);
	return true;
}

static void body_broken(struct http1_connection *c, const struct err *e)
{
	struct http_request *r = take_ptr(c->request);
	bool answered = c->response_started;
	if (r)
		http_request_lose(r);
	if (c->dead || c->doomed)
		return;
	if (answered)
		c->doomed = true;
	else
		refuse(c, e);
}

/* Bytes of the body, to the handler or away; false when there is nothing more to do now. */
static bool read_body(struct http1_connection *c)
{
	bool wanted = c->request && !c->response_ended;
	if (c->taken == c->input.size || (wanted && !http_request_reads(c->request)))
		return false;
	struct err e = ERR_INIT;
	size_t used = 0, size = 0;
	const char *data = NULL;
	int result = http1_body_read(&c->body, c->input.data + c->taken, c->input.size - c->taken,
		&used, &data, &size, &e);
	if (result < 0) {
		body_broken(c, &e);
		return false;
	}
	c->taken += used;
	if (size && wanted) {
		http_request_deliver(c->request, (const uint8_t *)data, size);
		return true;
	}
	c->discarded += size;
	if (c->discarded <= DISCARD_MAX)
		return true;
	c->keep_alive = false;
	if (c->response_ended)
		finish_exchange(c);
	else
		c->doomed = true;
	return false;
}

/* The body is complete: tell the handler once, and go on when the response is complete too. */
static bool body_is_read(struct http1_connection *c)
{
	struct http_request *r = c->request;
	if (r && !r->body_ended && !c->response_ended && http_request_reads(r)) {
		http_request_deliver(r, NULL, 0);
		return true;
	}
	if (!c->response_ended)
		return false;
	finish_exchange(c);
	return true;
}

static bool step(struct http1_connection *c)
{
	if (c->doomed)
		return false;
	switch (c->state) {
	case IDLE:
		return read_head(c);
	case BUSY:
		return http1_body_ended(&c->body) ? body_is_read(c) : read_body(c);
	case LINGER:
		c->taken = c->input.size;
		return false;
	}
	return false;
}

static void process(struct http1_connection *c)
{
	if (c->depth > 0)
		return;
	c->depth++;
	while (!c->dead && step(c))
		;
	c->depth--;
	if (c->dead) {
		destroy(c);
		return;
	}
	if (c->doomed) {
		break_off(c);
		return;
	}
	buf_consume(&c->input, c->taken);
	c->taken = 0;
	if (c->input.size == 0 && c->state != BUSY)
		buf_done(&c->input); /* idle connections are many */
	flush(c);
	stream_pause(c->stream, c->state == BUSY && c->input.size >= INPUT_MAX);
}

/* ---- the stream's events ---- */

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	struct http1_connection *c = arg;
	buf_append(&c->input, data, size);
	process(c);
}

static void on_drained(void *arg)
{
	struct http1_connection *c = arg;
	if (!c->request || c->response_ended)
		return;
	c->depth++;
	http_request_drained(c->request);
	c->depth--;
	process(c);
}

static void on_closed(void *arg, const struct err *why)
{
	(void)why;
	break_off(arg);
}

static void on_kick(void *arg)
{
	process(arg);
}

static void on_deadline(void *arg)
{
	struct http1_connection *c = arg;
	if (c->state != IDLE || !c->head_begun) {
		break_off(c);
		return;
	}
	buf_append_string(&c->output, "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n"
				      "connection: close\r\n\r\n");
	linger(c);
}

static const struct stream_events stream_handlers = {
	.on_data = on_data, .on_drained = on_drained, .on_closed = on_closed};

/* ---- what requests ask for ---- */

static void append_headers(struct http1_connection *c, const struct http_header *headers,
	size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!http_is_token(headers[i].name))
			continue;
		buf_append_string(&c->output, headers[i].name);
		buf_append_string(&c->output, ": ");
		http_append_value(&c->output, headers[i].value);
		buf_append_string(&c->output, "\r\n");
	}
}

static void append_framing(struct http1_connection *c, int status, int64_t length, bool head_only)
{
	c->bodiless = head_only || status == 204 || status == 304;
	if (length >= 0 && status != 204 && status != 304)
		buf_printf(&c->output, "content-length: %lld\r\n", (long long)length);
	if (length >= 0 || c->bodiless)
		return;
	if (c->old_client) {
		c->keep_alive = false;
		return;
	}
	c->chunked = true;
	buf_append_string(&c->output, "transfer-encoding: chunked\r\n");
}

static void exchange_start(struct http_request *r, int status, const struct http_header *headers,
	size_t header_count, const char *content_type, int64_t length)
{
	struct http1_connection *c = r->exchange;
	char date[32];
	if (c->continue_due)
		c->keep_alive = false; /* whether the body still comes, nobody can know */
	c->continue_due = false;
	c->response_started = true;
	http_date(loop_wall_ms(c->loop), date);
	buf_printf(&c->output, "HTTP/1.1 %d %s\r\ndate: %s\r\n", status, http_reason(status), date);
	if (content_type)
		append_headers(c, &(struct http_header){"content-type", content_type}, 1);
	append_framing(c, status, length, r->head_only);
	append_headers(c, headers, header_count);
	if (!c->keep_alive)
		buf_append_string(&c->output, "connection: close\r\n");
	else if (c->old_client)
		buf_append_string(&c->output, "connection: keep-alive\r\n");
	buf_append_string(&c->output, "\r\n");
	kick(c);
}

static void exchange_write(struct http_request *r, const void *data, size_t size)
{
	struct http1_connection *c = r->exchange;
	if (c->bodiless)
		return;
	if (c->chunked)
		buf_printf(&c->output, "%zx\r\n", size);
	if (size <= COPY_MAX) {
		buf_append(&c->output, data, size);
	} else {
		flush(c);
		stream_write(c->stream, data, size);
	}
	if (c->chunked)
		buf_append_string(&c->output, "\r\n");
	if (c->output.size > COPY_MAX)
		flush(c);
	else
		kick(c);
}

static void exchange_end(struct http_request *r)
{
	struct http1_connection *c = r->exchange;
	if (c->chunked)
		buf_append_string(&c->output, "0\r\n\r\n");
	c->response_ended = true;
	if (!http1_body_ended(&c->body)) /* which nobody waits for any more */
		loop_timer_start(c->deadline, HTTP_BODY_MS);
	flush(c);
	kick(c);
}

static size_t exchange_queued(const struct http_request *r)
{
	const struct http1_connection *c = r->exchange;
	return c->output.size + stream_queued(c->stream);
}

static void exchange_read(struct http_request *r)
{
	struct http1_connection *c = r->exchange;
	if (c->continue_due && !c->response_started && http_request_reads(r)) {
		c->continue_due = false;
		buf_append_string(&c->output, "HTTP/1.1 100 Continue\r\n\r\n");
	}
	kick(c);
}

static struct stream *exchange_upgrade(struct http_request *r, const struct http_header *headers,
	size_t header_count)
{
	struct http1_connection *c = r->exchange;
	if (!http1_body_ended(&c->body) || c->taken < c->input.size || c->doomed)
		return NULL;
	buf_append_string(&c->output, "HTTP/1.1 101 Switching Protocols\r\n"
				      "connection: Upgrade\r\n");
	append_headers(c, headers, header_count);
	buf_append_string(&c->output, "\r\n");
	flush(c);
	r->exchange = NULL;
	c->request = NULL;
	struct stream *stream = take_ptr(c->stream);
	destroy(c);
	return stream;
}

static void exchange_detach(struct http_request *r)
{
	struct http1_connection *c = r->exchange;
	c->request = NULL;
	if (!c->response_ended)
		c->doomed = true;
	kick(c);
}

static const struct http_exchange_ops exchange_ops = {
	.start = exchange_start,
	.write = exchange_write,
	.end = exchange_end,
	.queued = exchange_queued,
	.read = exchange_read,
	.upgrade = exchange_upgrade,
	.detach = exchange_detach,
};

/* ---- what the server asks for ---- */

static void connection_free(struct http_connection *base)
{
	struct http1_connection *c = (struct http1_connection *)base;
	struct http_request *r = take_ptr(c->request);
	if (r)
		http_request_silence(r);
	list_remove(&c->base.link);
	destroy(c);
}

static void connection_drop(struct http_connection *base)
{
	struct http1_connection *c = (struct http1_connection *)base;
	c->doomed = true;
	kick(c);
}

static const struct http_connection_ops connection_ops = {
	.free = connection_free, .drop = connection_drop};

struct http_connection *http1_serve(struct http_server *s, struct stream *stream,
	struct http_peer_box *peer)
{
	struct http1_connection *c = mem_new(struct http1_connection);
	c->base.ops = &connection_ops;
	c->base.server = s;
	c->base.peer = peer;
	c->loop = s->loop;
	c->stream = stream;
	c->kick = loop_timer_new(s->loop, on_kick, c);
	c->deadline = loop_timer_new(s->loop, on_deadline, c);
	become_idle(c);
	stream_set_events(stream, &stream_handlers, c);
	return &c->base;
}
