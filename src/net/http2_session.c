#include "net/http2_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define WRITE_SIZE 16384 /* frames are put together to about one TLS record */
#define RESET_BURST 200  /* streams that a peer may reset at once, */
#define RESET_RATE 20    /* and each second (rapid reset, CVE-2023-44487) */

nghttp2_option *http2_options(void)
{
	nghttp2_option *option = NULL;
	if (nghttp2_option_new(&option) != 0)
		abort();
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, 100);
	nghttp2_option_set_max_settings(option, 16);
	nghttp2_option_set_stream_reset_rate_limit(option, RESET_BURST, RESET_RATE);
	return option;
}

bool http2_session_begin(nghttp2_session *session, bool server)
{
	nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)HTTP_HEAD_MAX},
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX},
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	};
	/* ENABLE_PUSH is the client's to send. */
	size_t count = server ? 2 : 3;
	return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, count) == 0 &&
	       nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
		       HTTP2_CONNECTION_WINDOW) == 0;
}

bool http2_session_send(nghttp2_session *session, struct stream *stream)
{
	struct buf out CLEANUP(buf_done) = BUF_INIT;
	while (stream_queued(stream) < HTTP_QUEUE_MAX) {
		const uint8_t *data = NULL;
		ssize_t size = nghttp2_session_mem_send(session, &data);
		if (size < 0)
			return false;
		if (size == 0)
			break;
		buf_append(&out, data, (size_t)size);
		if (out.size < WRITE_SIZE)
			continue;
		stream_write(stream, out.data, out.size);
		buf_clear(&out);
	}
	if (out.size)
		stream_write(stream, out.data, out.size);
	return true;
}

/* ---- headers out ---- */

void http2_fields_done(struct http2_fields *f)
{
	arena_done(&f->arena);
}

void http2_fields_add(struct http2_fields *f, const char *name, const char *value)
{
	if (f->count == ARRAY_SIZE(f->items))
		return;
	char *lower = arena_dup(&f->arena, name);
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	struct buf clean CLEANUP(buf_done) = BUF_INIT;
	http_append_value(&clean, value);
	const char *copy = arena_dup(&f->arena, buf_text(&clean));
	copy += strspn(copy, " ");
	f->items[f->count++] = (nghttp2_nv){(uint8_t *)lower, (uint8_t *)copy, strlen(lower),
		strlen(copy), NGHTTP2_NV_FLAG_NONE};
}

void http2_fields_add_all(struct http2_fields *f, const struct http_header *headers, size_t count)
{
	static const char *const forbidden[] = {"connection", "keep-alive", "proxy-connection",
		"transfer-encoding", "upgrade", "host"};
	for (size_t i = 0; i < count; i++) {
		bool skip = !http_is_token(headers[i].name);
		for (size_t j = 0; j < ARRAY_SIZE(forbidden); j++)
			skip = skip || str_equal(headers[i].name, forbidden[j]);
		if (!skip)
			http2_fields_add(f, headers[i].name, headers[i].value);
	}
}

/* ---- headers in ---- */

void http2_head_done(struct http2_head *h)
{
	vec_done(&h->headers);
	arena_done(&h->arena);
	*h = (struct http2_head){0};
}

static char *copy_text(struct http2_head *h, const uint8_t *text, size_t size)
{
	char *copy = arena_alloc(&h->arena, size + 1);
	if (size)
		memcpy(copy, text, size);
	return copy;
}

void http2_head_add(struct http2_head *h, const uint8_t *name, size_t name_size,
	const uint8_t *value, size_t value_size)
{
	h->size += name_size + value_size + 4;
	if (h->size > HTTP_HEAD_MAX || h->headers.count >= HTTP_HEADERS_MAX)
		h->too_large = true;
	if (h->too_large)
		return;
	const char *key = copy_text(h, name, name_size);
	const char *text = copy_text(h, value, value_size);
	if (key[0] != ':')
		vec_push(&h->headers, (struct http_header){key, text});
	else if (str_equal(key, ":method"))
		h->method = text;
	else if (str_equal(key, ":path"))
		h->path = text;
	else if (str_equal(key, ":authority"))
		h->authority = text;
	else if (str_equal(key, ":status"))
		h->status = (int)strtol(text, NULL, 10);
}

size_t http2_take(struct buf *b, size_t *at, uint8_t *data, size_t size)
{
	size_t left = b->size - *at;
	if (size > left)
		size = left;
	if (size)
		memcpy(data, b->data + *at, size);
	*at += size;
	return size;
}
