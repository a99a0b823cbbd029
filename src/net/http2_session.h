/*
 * What both sides of HTTP/2 (RFC 9113) do with nghttp2. Internal to src/net.
 *
 * nghttp2's callbacks only note what came; users are called afterwards, by the connection's pump,
 * when no nghttp2 function is on the stack. So everything may be freed from inside any event.
 * The connection's flow-control window is given back at once, a stream's when its bytes were
 * delivered: one slow reader never stops the others.
 */
#ifndef CONTINUO_NET_HTTP2_SESSION_H
#define CONTINUO_NET_HTTP2_SESSION_H

#include <nghttp2/nghttp2.h>

#include "net/exchange.h"
#include "net/http1_parse.h"

#define HTTP2_STREAMS_MAX 250             /* that a client may have open */
#define HTTP2_CONNECTION_WINDOW (1 << 20) /* bytes */
#define HTTP2_PING_MS 60000               /* of silence, then we ask whether the peer lives */

/* Settings and windows of a new session; false when nghttp2 refuses (no memory). */
bool http2_session_begin(nghttp2_session *session, bool server) MUST_CHECK;

/* Options for both sides; freed with nghttp2_option_del. */
nghttp2_option *http2_options(void) MUST_CHECK;

/* Sends what the session has, as long as the stream takes it; false when the session is broken. */
bool http2_session_send(nghttp2_session *session, struct stream *stream) MUST_CHECK;

/* A header block on its way out; values are cleaned, names made lower case. */
struct http2_fields {
	nghttp2_nv items[HTTP_HEADERS_MAX + 10];
	size_t count;
	struct arena arena;
};
void http2_fields_done(struct http2_fields *f); /* for CLEANUP */
void http2_fields_add(struct http2_fields *f, const char *name, const char *value);
/* Without those that HTTP/2 forbids (RFC 9113 section 8.2.2). */
void http2_fields_add_all(struct http2_fields *f, const struct http_header *headers, size_t count);

/* A header block on its way in. */
struct http2_head {
	struct arena arena;
	http_header_vec headers; /* pseudo-headers not among them */
	const char *method, *path, *authority;
	int status;
	size_t size; /* bytes */
	bool too_large;
};
void http2_head_done(struct http2_head *h);
void http2_head_add(struct http2_head *h, const uint8_t *name, size_t name_size,
	const uint8_t *value, size_t value_size);

/* Copies from a buffer whose first *at bytes are gone, and moves *at. */
size_t http2_take(struct buf *b, size_t *at, uint8_t *data, size_t size);

#endif
