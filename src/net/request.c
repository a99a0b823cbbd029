#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/exchange.h"

#define QUERY_MAX 256 /* parameters */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; plus: '+' is a space, as in queries. A NUL cannot be in a C string: refused. */
static int percent_decode(char *text, bool plus, struct err *e)
{
	char *out = text;
	for (; *text; text++) {
		char c = *text;
		if (c == '+' && plus)
			c = ' ';
		if (c == '%') {
			int high = hex_value(text[1]);
			int low = high < 0 ? -1 : hex_value(text[2]);
			if (low < 0 || high * 16 + low == 0)
				return err_set(e, ERR_PROTOCOL,
					"the request's target is not properly percent-encoded");
			c = (char)(high * 16 + low);
			text += 2;
		}
		*out++ = c;
	}
	*out = '\0';
	return 0;
}

static int parse_query(char *text, http_header_vec *ret_query, struct err *e)
{
	char *rest = text;
	for (char *pair; (pair = strsep(&rest, "&"));) {
		if (!*pair)
			continue;
		if (ret_query->count >= QUERY_MAX)
			return err_set(e, ERR_TOO_LARGE, "more than %d query parameters",
				QUERY_MAX);
		char *value = strchr(pair, '=');
		if (value)
			*value++ = '\0';
		else
			value = pair + strlen(pair);
		int r = percent_decode(pair, true, e);
		if (r == 0)
			r = percent_decode(value, true, e);
		if (r < 0)
			return r;
		vec_push(ret_query, (struct http_header){pair, value});
	}
	return 0;
}

int http_request_new(struct loop *l, const struct http_exchange_ops *ops, void *exchange,
	struct http_peer_box *peer, struct arena *arena, const char *method, const char *target,
	const struct http_header *headers, size_t header_count, struct http_request **ret_request,
	struct err *e)
{
	char *path = arena_dup(arena, target);
	char *query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	http_header_vec parameters = {0};
	int r = percent_decode(path, false, e);
	if (r == 0 && query)
		r = parse_query(query, &parameters, e);
	if (r < 0) {
		vec_done(&parameters);
		return r;
	}
	struct http_request *request = mem_new(struct http_request);
	*request = (struct http_request){.ops = ops,
		.exchange = exchange,
		.loop = l,
		.arena = *arena,
		.method = method,
		.raw_path = target,
		.path = path,
		.headers = headers,
		.header_count = header_count,
		.query = parameters,
		.peer = http_peer_box_ref(peer),
		.head_only = str_equal(method, "HEAD")};
	*arena = (struct arena){0};
	*ret_request = request;
	return 0;
}

const char *http_request_method(const struct http_request *r)
{
	return r->method;
}

const char *http_request_path(const struct http_request *r)
{
	return r->path;
}

const char *http_request_raw_path(const struct http_request *r)
{
	return r->raw_path;
}

const char *http_request_query(const struct http_request *r, const char *name, size_t n)
{
	for (size_t i = 0; i < r->query.count; i++)
		if (strcmp(r->query.items[i].name, name) == 0 && n-- == 0)
			return r->query.items[i].value;
	return NULL;
}

const char *http_request_header(const struct http_request *r, const char *name)
{
	return http_find_header(r->headers, r->header_count, name);
}

const struct http_peer *http_request_peer(const struct http_request *r)
{
	return &r->peer->peer;
}

/* ---- events ---- */

static void tell_closed(struct http_request *r)
{
	if (r->told || !r->events)
		return;
	r->told = true;
	if (r->events->on_closed)
		r->events->on_closed(r->arg);
}

static void late_closed(void *arg)
{
	tell_closed(arg);
}

void http_request_set_events(struct http_request *r, const struct http_request_events *events,
	void *arg)
{
	r->events = events;
	r->arg = arg;
	if (r->exchange) {
		r->ops->read(r);
	} else if (r->lost && !r->told) {
		if (!r->late)
			r->late = loop_timer_new(r->loop, late_closed, r);
		loop_timer_start(r->late, 0);
	}
}

void http_request_pause(struct http_request *r, bool paused)
{
	if (r->paused == paused)
		return;
	r->paused = paused;
	if (!paused && r->exchange)
		r->ops->read(r);
}

bool http_request_reads(const struct http_request *r)
{
	return r->events && !r->paused;
}

void http_request_deliver(struct http_request *r, const uint8_t *data, size_t size)
{
	if (size == 0)
		r->body_ended = true;
	if (r->events && r->events->on_body)
		r->events->on_body(r->arg, data, size);
}

void http_request_drained(struct http_request *r)
{
	if (r->events && r->events->on_drained)
		r->events->on_drained(r->arg);
}

void http_request_lose(struct http_request *r)
{
	r->exchange = NULL;
	r->lost = true;
	tell_closed(r);
}

void http_request_finish(struct http_request *r)
{
	r->exchange = NULL;
	r->told = true;
}

void http_request_silence(struct http_request *r)
{
	r->exchange = NULL;
	r->told = true;
}

/* ---- the whole body at once ---- */

static void collect_end(struct http_request *r, const struct err *e)
{
	void (*done)(void *, struct http_request *, const char *, size_t, const struct err *) =
		r->collect_done;
	r->collect_done = NULL;
	loop_timer_stop(r->slow);
	if (done)
		done(r->collect_arg, r, buf_text(&r->collected), e ? 0 : r->collected.size, e);
}

static void collect_body(void *arg, const uint8_t *data, size_t size)
{
	struct http_request *r = arg;
	if (!r->collect_done)
		return;
	if (size == 0) {
		collect_end(r, NULL);
		return;
	}
	buf_append(&r->collected, data, size);
	if (r->collected.failed) {
		struct err e = ERR_INIT;
		err_set(&e, ERR_TOO_LARGE, "the request's body is larger than %zu bytes",
			r->collected.limit);
		collect_end(r, &e);
	}
}

static void collect_closed(void *arg)
{
	struct err e = ERR_INIT;
	err_set(&e, ERR_CLOSED, "the connection broke off within the request's body");
	collect_end(arg, &e);
}

/* Who sends a byte now and then would hold the request for ever. */
static void collect_slow(void *arg)
{
	struct http_request *r = arg;
	struct err e = ERR_INIT;
	if (r->collected.size - r->collected_before >= HTTP_BODY_MIN) {
		r->collected_before = r->collected.size;
		loop_timer_start(r->slow, HTTP_BODY_MS);
		return;
	}
	err_set(&e, ERR_TIMEOUT, "less than %d bytes of the request's body came in %d s",
		HTTP_BODY_MIN, HTTP_BODY_MS / 1000);
	collect_end(r, &e);
}

static const struct http_request_events collect_events = {
	.on_body = collect_body, .on_closed = collect_closed};

void http_request_collect(struct http_request *r, size_t limit,
	void (*done)(void *arg, struct http_request *r, const char *data, size_t size,
		const struct err *e),
	void *arg)
{
	buf_done(&r->collected);
	r->collected.limit = limit ? limit : 1;
	r->collect_done = done;
	r->collect_arg = arg;
	r->collected_before = 0;
	if (!r->slow)
		r->slow = loop_timer_new(r->loop, collect_slow, r);
	loop_timer_start(r->slow, HTTP_BODY_MS);
	http_request_set_events(r, &collect_events, r);
}

/* ---- responses ---- */

static bool has_no_body(const struct http_request *r, int status)
{
	return r->head_only || status == 204 || status == 304;
}

void http_respond(struct http_request *r, int status, const struct http_header *headers,
	size_t header_count, const char *content_type, const void *body, size_t size)
{
	if (r->started)
		return;
	r->started = r->ended = true;
	if (!r->exchange)
		return;
	r->ops->start(r, status, headers, header_count, content_type, (int64_t)size);
	if (size && r->exchange && !has_no_body(r, status))
		r->ops->write(r, body, size);
	if (r->exchange)
		r->ops->end(r);
}

void http_respond_start(struct http_request *r, int status, const struct http_header *headers,
	size_t header_count, const char *content_type)
{
	if (r->started)
		return;
	r->started = true;
	if (r->exchange)
		r->ops->start(r, status, headers, header_count, content_type, -1);
}

void http_respond_write(struct http_request *r, const void *data, size_t size)
{
	if (r->exchange && r->started && !r->ended && !r->head_only && size)
		r->ops->write(r, data, size);
}

void http_respond_end(struct http_request *r)
{
	if (!r->started || r->ended)
		return;
	r->ended = true;
	if (r->exchange)
		r->ops->end(r);
}

size_t http_respond_queued(const struct http_request *r)
{
	return r->exchange ? r->ops->queued(r) : 0;
}

struct stream *http_request_upgrade(struct http_request *r, const struct http_header *headers,
	size_t header_count)
{
	struct stream *stream = NULL;
	if (r->exchange && !r->started && r->ops->upgrade)
		stream = r->ops->upgrade(r, headers, header_count);
	http_request_free(r);
	return stream;
}

void http_request_free(struct http_request *r)
{
	if (!r)
		return;
	if (r->exchange)
		r->ops->detach(r);
	loop_timer_free(r->late);
	loop_timer_free(r->slow);
	buf_done(&r->collected);
	vec_done(&r->query);
	http_peer_box_unref(r->peer);
	arena_done(&r->arena);
	free(r);
}
