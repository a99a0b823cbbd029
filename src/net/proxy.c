/*
 * The stream through a proxy. Once it is open it is nothing but the lower one: the owner's events
 * go straight there.
 *
 *   CONNECTING ──open──▶ ASKED ──2xx──▶ OPEN
 *        └─────────────────┴── closed, another answer ──▶ CLOSED
 */
#include "net/proxy.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/base64.h"
#include "net/http1_parse.h"

struct proxy {
	char *address;
	char *authorization; /* value of proxy-authorization; null: none */
	char *no_proxy;
};

/* ---- the proxy's URL ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_percent(const char *text, size_t size, struct buf *b)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] != '%') {
			buf_append_char(b, text[i]);
			continue;
		}
		if (i + 2 >= size || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
			return -ERR_INVALID;
		buf_append_char(b, (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2])));
		i += 2;
	}
	return 0;
}

/* "USER:PASSWORD" as it stands before the "@". */
static int set_authorization(struct proxy *p, const char *text, size_t size, struct err *e)
{
	CLEANUP(buf_done) struct buf plain = BUF_INIT, value = BUF_INIT;
	const char *colon = memchr(text, ':', size);
	size_t user_size = colon ? (size_t)(colon - text) : size;
	int r = decode_percent(text, user_size, &plain);
	if (r == 0 && plain.size && memchr(plain.data, ':', plain.size))
		r = -ERR_INVALID; /* Basic could not tell where the user ends (RFC 7617) */
	buf_append_char(&plain, ':');
	if (r == 0 && colon)
		r = decode_percent(colon + 1, size - user_size - 1, &plain);
	if (r < 0)
		return err_set(e, ERR_INVALID,
			"the proxy's user or password is not percent-encoded as in a URL");
	buf_append_string(&value, "Basic ");
	base64_encode(plain.data, plain.size, &value);
	explicit_bzero(plain.data, plain.size);
	p->authorization = buf_take(&value, NULL);
	return 0;
}

static int set_address(struct proxy *p, const char *text, size_t size, struct err *e)
{
	bool skips;
	int64_t port = 0;
	p->address = mem_dup_bytes(text, size);
	const char *colon = strrchr(p->address, ':');
	int r = colon && colon != p->address ? str_to_int64(colon + 1, "port", &port, NULL)
					     : -ERR_INVALID;
	if (r == 0)
		r = proxy_skips(NULL, p->address, &skips, NULL);
	if (r < 0 || port < 1 || port > 65535 || strpbrk(p->address, " \t\r\n/?#"))
		return err_set(e, ERR_INVALID,
			"the proxy \"%.200s\" needs a host and a port, such as "
			"http://proxy.example:3128",
			p->address);
	return 0;
}

static int parse_url(struct proxy *p, const char *url, struct err *e)
{
	const char *scheme = strstr(url, "://"), *rest = scheme ? scheme + 3 : url;
	if (scheme && !str_starts(url, "http://"))
		return err_set(e, ERR_UNSUPPORTED,
			"a proxy that is spoken to by %.*s is not supported: its URL must begin "
			"with http://",
			(int)(scheme - url > 20 ? 20 : scheme - url), url);
	size_t size = strlen(rest);
	if (size && rest[size - 1] == '/')
		size--;
	const char *at = memrchr(rest, '@', size);
	if (at) {
		int r = set_authorization(p, rest, (size_t)(at - rest), e);
		if (r < 0)
			return r;
		size -= (size_t)(at + 1 - rest);
		rest = at + 1;
	}
	return set_address(p, rest, size, e);
}

int proxy_new(const char *url, const char *no_proxy, struct proxy **ret_proxy, struct err *e)
{
	bool skips;
	struct proxy *p = mem_new(struct proxy);
	p->no_proxy = mem_dup_string(no_proxy);
	int r = parse_url(p, url, e);
	if (r == 0)
		r = proxy_skips(no_proxy, p->address, &skips, e);
	if (r < 0) {
		proxy_free(p);
		return r;
	}
	*ret_proxy = p;
	return 0;
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	if (p->authorization)
		explicit_bzero(p->authorization, strlen(p->authorization));
	free(p->authorization);
	free(p->address);
	free(p->no_proxy);
	free(p);
}

const char *proxy_address(const struct proxy *p)
{
	return p->address;
}

/* ---- the stream ---- */

enum state { CONNECTING, ASKED, OPEN, CLOSED };

struct way {
	struct stream base;
	const struct proxy *proxy;
	struct stream *lower;
	enum state state;
	char *target, *peer;
	struct buf early, answer;
	size_t scanned;
	bool paused, end_due;
	const struct stream_events *events;
	void *arg;
};

/* The last thing that a handler does: the owner may free the stream. */
static void close_with(struct way *w, const struct err *why)
{
	struct err copy = *why;
	w->state = CLOSED;
	stream_free(take_ptr(w->lower));
	buf_done(&w->early);
	if (w->events->on_closed)
		w->events->on_closed(w->arg, &copy);
}

static void explain_status(const struct way *w, int status, struct err *e)
{
	const char *proxy = w->proxy->address;
	if (status == 407 || status == 401) /* tinyproxy says 401 when they are wrong */
		(void)err_set(e, ERR_UNAVAILABLE, "proxy %s %s (%d): %s", proxy,
			w->proxy->authorization ? "refuses the user and password that it was given"
						: "wants a user and a password",
			status, "give them in its URL, http://USER:PASSWORD@HOST:PORT");
	else if (status == 403 || status == 405)
		(void)err_set(e, ERR_UNAVAILABLE,
			"proxy %s does not allow a way to %s (%d): have it permit CONNECT to this "
			"host and port, or name the host in no_proxy",
			proxy, w->target, status);
	else if (status >= 500)
		(void)err_set(e, ERR_UNAVAILABLE, "proxy %s cannot reach %s (%d)", proxy, w->target,
			status);
	else
		(void)err_set(e, ERR_UNAVAILABLE, "proxy %s answers %d when asked for a way to %s",
			proxy, status, w->target);
}

static void opened(struct way *w)
{
	w->state = OPEN;
	buf_done(&w->answer);
	stream_set_events(w->lower, w->events, w->arg);
	if (w->early.size)
		stream_write(w->lower, w->early.data, w->early.size);
	buf_done(&w->early);
	if (w->end_due)
		stream_end(w->lower);
	if (w->paused)
		stream_pause(w->lower, true);
	if (w->events->on_open)
		w->events->on_open(w->arg);
}

/* *ret_open: it said yes. 0 without that: more is to come. */
static int read_answer(struct way *w, bool *ret_open, struct err *e)
{
	for (;;) {
		struct arena arena CLEANUP(arena_done) = {0};
		struct http1_head head;
		size_t size = 0;
		int r = http1_head_size(buf_text(&w->answer), w->answer.size, &w->scanned, &size,
			e);
		if (r < 0 || size == 0)
			return r;
		r = http1_parse_response(w->answer.data, size, "CONNECT", &arena, &head, e);
		if (r < 0)
			return r;
		buf_consume(&w->answer, size);
		w->scanned = 0;
		if (head.status >= 100 && head.status < 200 && head.status != 101)
			continue;
		if (head.status < 200 || head.status > 299) {
			explain_status(w, head.status, e);
			return -(int)e->code;
		}
		if (w->answer.size)
			return err_set(e, ERR_PROTOCOL, "bytes come behind its answer");
		*ret_open = true;
		return 0;
	}
}

static void on_lower_open(void *arg)
{
	struct way *w = arg;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	buf_printf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", w->target, w->target);
	if (w->proxy->authorization)
		buf_printf(&b, "Proxy-Authorization: %s\r\n", w->proxy->authorization);
	buf_append_string(&b, "\r\n");
	w->state = ASKED;
	stream_write(w->lower, b.data, b.size);
	explicit_bzero(b.data, b.size);
}

static void on_lower_data(void *arg, const uint8_t *data, size_t size)
{
	struct way *w = arg;
	struct err e = ERR_INIT;
	bool open = false;
	buf_append(&w->answer, data, size);
	int r = buf_check(&w->answer, "the answer", &e);
	if (r == 0)
		r = read_answer(w, &open, &e);
	if (open) {
		opened(w);
	} else if (r < 0) {
		if (e.code != ERR_UNAVAILABLE) {
			e.code = ERR_PROTOCOL;
			err_prefix(&e, "proxy %s does not answer as one", w->proxy->address);
		}
		close_with(w, &e);
	}
}

static void on_lower_closed(void *arg, const struct err *why)
{
	struct way *w = arg;
	struct err e = *why;
	e.code = ERR_UNAVAILABLE;
	if (w->state == ASKED)
		(void)err_set(&e, ERR_UNAVAILABLE,
			"proxy %s closed the connection when asked for a way to %s",
			w->proxy->address, w->target);
	else
		err_prefix(&e, "proxy %s", w->proxy->address);
	close_with(w, &e);
}

static const struct stream_events lower_handlers = {
	.on_open = on_lower_open, .on_data = on_lower_data, .on_closed = on_lower_closed};

static void op_set_events(struct stream *base, const struct stream_events *events, void *arg)
{
	struct way *w = (struct way *)base;
	bool first = !w->events;
	w->events = events;
	w->arg = arg;
	if (w->state == OPEN)
		stream_set_events(w->lower, events, arg);
	else if (first)
		stream_set_events(w->lower, &lower_handlers, w);
}

static void op_write(struct stream *base, const void *data, size_t size)
{
	struct way *w = (struct way *)base;
	if (w->state == OPEN)
		stream_write(w->lower, data, size);
	else if (w->state != CLOSED)
		buf_append(&w->early, data, size);
}

static size_t op_queued(const struct stream *base)
{
	const struct way *w = (const struct way *)base;
	return w->early.size + (w->state == OPEN ? stream_queued(w->lower) : 0);
}

static void op_pause(struct stream *base, bool paused)
{
	struct way *w = (struct way *)base;
	w->paused = paused;
	if (w->state == OPEN)
		stream_pause(w->lower, paused);
}

static void op_end(struct stream *base)
{
	struct way *w = (struct way *)base;
	w->end_due = true;
	if (w->state == OPEN)
		stream_end(w->lower);
}

static const char *op_peer(const struct stream *base)
{
	return ((const struct way *)base)->peer;
}

static void op_free(struct stream *base)
{
	struct way *w = (struct way *)base;
	stream_free(w->lower);
	buf_done(&w->early);
	buf_done(&w->answer);
	free(w->target);
	free(w->peer);
	free(w);
}

static const struct stream_ops ops = {
	op_set_events, op_write, op_queued, op_pause, op_end, op_peer, op_free};

struct stream *proxy_connect(struct loop *l, const struct proxy *p, const char *address)
{
	bool skips = true;
	/* An address that cannot be read: connecting says what is wrong with it. */
	if (!p || strpbrk(address, " \t\r\n") ||
		proxy_skips(p->no_proxy, address, &skips, NULL) < 0 || skips)
		return loop_connect(l, address);
	struct way *w = mem_new(struct way);
	w->base.ops = &ops;
	w->proxy = p;
	w->target = mem_dup_string(address);
	w->peer = mem_format("%s (proxy %s)", address, p->address);
	w->answer.limit = PROXY_ANSWER_MAX;
	w->lower = loop_connect(l, p->address);
	return &w->base;
}
