/*
 * One HTTP/1.1 connection of a client: one call at a time, then idle until the next.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/exchange.h"
#include "net/http1_parse.h"

#define INPUT_KEEP 16384 /* bytes of an empty buffer that are kept for the next response */

struct http1_link {
	struct http_link base;
	struct loop_timer *kick;
	struct buf input;
	size_t taken;           /* of the input, by the running process() */
	size_t scanned;         /* of the input, for the end of a head */
	struct http_call *call; /* null: idle, or it was cancelled */
	struct http1_body body;
	bool head_read, keep_alive, until_close, sent;
	bool upgraded; /* plain bytes both ways, until the stream closes */
	bool closing;  /* the stream closed; what is in the input is still delivered */
	struct err why;
	bool dead; /* freed when depth is 0 */
	int depth; /* of process() */
};

static void destroy(struct http1_link *x)
{
	x->dead = true;
	stream_free(take_ptr(x->base.stream));
	if (x->base.link.next)
		list_remove(&x->base.link);
	if (x->depth > 0)
		return;
	loop_timer_free(x->kick);
	buf_done(&x->input);
	free(x);
}

/* The connection is of no more use; its call, if any, fails or runs again on another one. */
static void fail(struct http1_link *x, const struct err *e)
{
	struct http_call *call = take_ptr(x->call);
	struct err copy = *e;
	bool used = x->base.used, tried = x->base.tried;
	struct http_client *client = x->base.client;
	destroy(x);
	if (call) {
		/* A kept-alive connection may be closed by the server just as we use it. */
		bool safe = used && (strcmp(call->method, "GET") == 0 ||
					    strcmp(call->method, "HEAD") == 0 ||
					    strcmp(call->method, "PUT") == 0 ||
					    strcmp(call->method, "DELETE") == 0);
		http_client_kick(client); /* for the others that wait */
		http_call_retry(call, &copy, safe);
	} else {
		http_client_lost(client, tried, &copy);
	}
}

static void finish_call(struct http1_link *x)
{
	struct http_call *call = take_ptr(x->call);
	struct http_client *client = x->base.client;
	bool reusable = x->keep_alive && x->sent && !x->closing && x->taken == x->input.size;
	x->base.used = true;
	x->head_read = false;
	x->scanned = 0;
	if (!reusable)
		destroy(x);
	http_client_kick(client);
	http_call_finish(call, NULL);
}

/* ---- the response ---- */

static bool protocol_error(struct http1_link *x, const struct err *e)
{
	x->closing = true;
	x->why = *e;
	x->taken = x->input.size;
	return false;
}

static void write_plain(struct http1_link *x, struct http_call *call)
{
	if (!x->upgraded || !x->base.stream)
		return;
	if (call->body.size)
		stream_write(x->base.stream, call->body.data, call->body.size);
	buf_clear(&call->body);
	if (call->body_ended && !x->sent)
		stream_end(x->base.stream);
	x->sent = call->body_ended;
}

static void become_plain(struct http1_link *x, const struct http1_head *head)
{
	const struct http1_head plain = {.framing = HTTP1_UNTIL_CLOSE};
	x->head_read = x->upgraded = x->until_close = true;
	x->keep_alive = false;
	http1_body_init(&x->body, &plain);
	write_plain(x, x->call);
	http_call_response(x->call, head->status, head->headers, head->header_count);
}

static bool read_head(struct http1_link *x)
{
	struct err e = ERR_INIT;
	struct arena arena CLEANUP(arena_done) = {0};
	struct http1_head head;
	const char *data = x->input.data + x->taken;
	size_t head_size = 0;
	int r = http1_head_size(data, x->input.size - x->taken, &x->scanned, &head_size, &e);
	if (r == 0 && head_size == 0)
		return false;
	if (r == 0)
		r = http1_parse_response(data, head_size, x->call->method, &arena, &head, &e);
	if (r == 0 && head.status == 101 && !x->call->upgrade)
		r = err_set(&e, ERR_PROTOCOL, "the server wants to change the protocol");
	if (r < 0) {
		err_prefix(&e, "%.60s", x->base.client->authority);
		return protocol_error(x, &e);
	}
	x->taken += head_size;
	x->scanned = 0;
	if (head.status == 101) {
		become_plain(x, &head);
		return true;
	}
	if (head.status < 200)
		return true;
	x->head_read = true;
	x->keep_alive = head.keep_alive;
	x->until_close = head.framing == HTTP1_UNTIL_CLOSE;
	http1_body_init(&x->body, &head);
	http_call_response(x->call, head.status, head.headers, head.header_count);
	return true;
}

static bool read_body(struct http1_link *x)
{
	struct err e = ERR_INIT;
	size_t used = 0, size = 0;
	const char *data = NULL;
	int r = http1_body_read(&x->body, x->input.data + x->taken, x->input.size - x->taken, &used,
		&data, &size, &e);
	if (r < 0)
		return protocol_error(x, &e);
	x->taken += used;
	http_call_deliver(x->call, (const uint8_t *)data, size);
	return true;
}

static bool step(struct http1_link *x)
{
	if (!x->call || x->call->paused)
		return false;
	if (x->head_read && http1_body_ended(&x->body)) {
		finish_call(x);
		return false;
	}
	if (x->taken == x->input.size)
		return false;
	return x->head_read ? read_body(x) : read_head(x);
}

static void close_if_due(struct http1_link *x)
{
	if (!x->closing || (x->call && x->call->paused && x->input.size))
		return;
	if (x->call && x->head_read && x->until_close && x->why.code == ERR_CLOSED) {
		finish_call(x);
		return;
	}
	fail(x, &x->why);
}

static void process(struct http1_link *x)
{
	if (x->depth > 0)
		return;
	x->depth++;
	while (!x->dead && step(x))
		;
	if (!x->dead) {
		if (!x->call && x->input.size > x->taken && !x->closing) {
			x->closing = true; /* bytes that nobody asked for */
			err_set(&x->why, ERR_PROTOCOL, "the server sent more than the response");
		}
		buf_consume(&x->input, x->taken);
		x->taken = 0;
		if (x->input.size == 0 && x->input.capacity > INPUT_KEEP)
			buf_done(&x->input);
		if (x->base.stream)
			stream_pause(x->base.stream, x->call && x->call->paused);
		close_if_due(x);
	}
	x->depth--;
	if (x->dead)
		destroy(x);
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	struct http1_link *x = arg;
	buf_append(&x->input, data, size);
	process(x);
}

static void on_drained(void *arg)
{
	struct http1_link *x = arg;
	if (!x->call)
		return;
	x->depth++;
	http_call_drained(x->call);
	x->depth--;
	process(x);
}

static void on_closed(void *arg, const struct err *why)
{
	struct http1_link *x = arg;
	x->closing = true;
	x->why = *why;
	process(x);
}

static void on_kick(void *arg)
{
	process(arg);
}

static const struct stream_events stream_handlers = {
	.on_data = on_data, .on_drained = on_drained, .on_closed = on_closed};

/* ---- the request ---- */

static void append_header(struct buf *b, const char *name, const char *value)
{
	buf_append_string(b, name);
	buf_append_string(b, ": ");
	http_append_value(b, value);
	buf_append_string(b, "\r\n");
}

static void append_head(struct buf *b, const struct http_link *x, const struct http_call *call)
{
	buf_printf(b, "%s %s HTTP/1.1\r\n", call->method, call->path);
	append_header(b, "host", x->client->authority);
	if (call->content_type)
		append_header(b, "content-type", call->content_type);
	for (size_t i = 0; i < call->header_count; i++)
		append_header(b, call->headers[i].name, call->headers[i].value);
	if (call->upgrade) {
		append_header(b, "connection", "Upgrade");
		append_header(b, "upgrade", call->upgrade);
		buf_printf(b, "content-length: %zu\r\n", call->request_size);
	} else if (call->streaming)
		append_header(b, "transfer-encoding", "chunked");
	else if (call->has_body || strcmp(call->method, "POST") == 0 ||
		 strcmp(call->method, "PUT") == 0 || strcmp(call->method, "PATCH") == 0)
		buf_printf(b, "content-length: %zu\r\n", call->body.size);
	buf_append_string(b, "\r\n");
}

static void append_chunks(struct http1_link *x, struct buf *b, struct http_call *call)
{
	if (call->body.size) {
		buf_printf(b, "%zx\r\n", call->body.size);
		buf_append(b, call->body.data, call->body.size);
		buf_append_string(b, "\r\n");
		buf_clear(&call->body);
	}
	if (call->body_ended && !x->sent) {
		buf_append_string(b, "0\r\n\r\n");
		x->sent = true;
	}
}

static bool link_has_room(const struct http_link *base)
{
	const struct http1_link *x = (const struct http1_link *)base;
	return !x->call && !x->closing && !x->dead;
}

static void link_start(struct http_link *base, struct http_call *call)
{
	struct http1_link *x = (struct http1_link *)base;
	struct buf out CLEANUP(buf_done) = BUF_INIT_LIMIT((size_t)128 << 20);
	x->call = call;
	x->sent = !call->streaming && !call->upgrade;
	x->head_read = x->until_close = false;
	append_head(&out, base, call);
	if (call->upgrade) {
		buf_append(&out, call->body.data, call->request_size);
		buf_consume(&call->body, call->request_size);
	} else if (call->streaming)
		append_chunks(x, &out, call);
	else
		buf_append(&out, call->body.data, call->body.size);
	stream_write(base->stream, out.data, out.size);
}

static void link_write(struct http_call *call)
{
	struct http1_link *x = (struct http1_link *)call->connection;
	struct buf out CLEANUP(buf_done) = BUF_INIT_LIMIT((size_t)128 << 20);
	if (call->upgrade) {
		write_plain(x, call);
		return;
	}
	append_chunks(x, &out, call);
	if (out.size && x->base.stream)
		stream_write(x->base.stream, out.data, out.size);
}

static size_t link_queued(const struct http_call *call)
{
	const struct http_link *x = call->connection;
	size_t waiting = call->upgrade ? call->body.size : 0; /* for the 101 */
	return waiting + (x->stream ? stream_queued(x->stream) : 0);
}

static void link_resume(struct http_call *call)
{
	loop_timer_start(((struct http1_link *)call->connection)->kick, 0);
}

/* HTTP/1.1 has no way to take a request back but to close. */
static void link_cancel(struct http_call *call)
{
	struct http1_link *x = (struct http1_link *)call->connection;
	struct http_client *client = x->base.client;
	x->call = NULL;
	destroy(x);
	http_client_kick(client);
}

static void link_free(struct http_link *base)
{
	struct http1_link *x = (struct http1_link *)base;
	x->call = NULL;
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

struct http_link *http1_link_new(struct http_client *c, struct stream *stream)
{
	struct http1_link *x = mem_new(struct http1_link);
	x->base.ops = &link_ops;
	x->base.client = c;
	x->base.stream = stream;
	x->kick = loop_timer_new(c->loop, on_kick, x);
	stream_set_events(stream, &stream_handlers, x);
	return &x->base;
}
