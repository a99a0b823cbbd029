/*
 * The text of HTTP/1.1 (RFC 9112), without I/O: heads of messages and the framing of bodies.
 * Strict where leniency lets two readers of one byte stream disagree (request smuggling): bare CR
 * or LF, obs-fold, white space before a colon, a repeated or a signed content-length, one together
 * with transfer-encoding, any coding but a single "chunked" are errors.
 */
#ifndef CONTINUO_NET_HTTP1_PARSE_H
#define CONTINUO_NET_HTTP1_PARSE_H

#include "base/arena.h"
#include "net/http.h"

#define HTTP_HEAD_MAX ((size_t)64 << 10) /* bytes of request line and headers */
#define HTTP_HEADERS_MAX 100
#define HTTP1_TRAILER_MAX 8192 /* bytes of chunk extensions and trailers of one message */

enum http1_framing {
	HTTP1_NO_BODY,
	HTTP1_LENGTH,
	HTTP1_CHUNKED,
	HTTP1_UNTIL_CLOSE /* responses only */
};

struct http1_head {
	const char *method;          /* requests; also given in for responses: HEAD has no body */
	const char *target;          /* requests: origin-form or "*" */
	int status;                  /* responses */
	int minor;                   /* HTTP/1.minor: 0 or 1 */
	struct http_header *headers; /* in the arena; names in lower case */
	size_t header_count;
	enum http1_framing framing;
	uint64_t length; /* HTTP1_LENGTH */
	bool keep_alive; /* the sender allows another message on the connection */
	bool expects_continue;
	bool upgrade; /* "connection: upgrade" */
};

/* The size of the head that data begins with, its empty line included; 0: not all of it is there.
 * scanned: where an earlier call left off (0 at first). -ERR_PROTOCOL, -ERR_TOO_LARGE. */
int http1_head_size(const char *data, size_t size, size_t *scanned, size_t *ret_head_size,
	struct err *e) MUST_CHECK;

/* A whole head of size bytes (at most HTTP_HEAD_MAX). Everything that is returned lives in the
 * arena. -ERR_PROTOCOL; -ERR_UNSUPPORTED: another version or transfer coding; -ERR_TOO_LARGE: more
 * than HTTP_HEADERS_MAX headers. */
int http1_parse_request(const char *data, size_t size, struct arena *arena,
	struct http1_head *ret_head, struct err *e) MUST_CHECK;
int http1_parse_response(const char *data, size_t size, const char *request_method,
	struct arena *arena, struct http1_head *ret_head, struct err *e) MUST_CHECK;

/*
 * The framing of one body. Chunked (RFC 9112 section 7.1):
 *
 *   SIZE ──▶ EXTENSION ──▶ SIZE_LF ──▶ DATA ──▶ DATA_CR ──▶ DATA_LF ──▶ SIZE ...
 *     └──────────────────────▲  └─ size 0 ─▶ TRAILER ──▶ TRAILER_LINE ... ──▶ END_LF ──▶ ENDED
 */
enum http1_body_state {
	HTTP1_BODY_PLAIN, /* counted or until close */
	HTTP1_BODY_SIZE,
	HTTP1_BODY_EXTENSION,
	HTTP1_BODY_SIZE_LF,
	HTTP1_BODY_DATA,
	HTTP1_BODY_DATA_CR,
	HTTP1_BODY_DATA_LF,
	HTTP1_BODY_TRAILER, /* at the start of a trailer line */
	HTTP1_BODY_TRAILER_LINE,
	HTTP1_BODY_TRAILER_LF,
	HTTP1_BODY_END_LF,
	HTTP1_BODY_ENDED
};

struct http1_body {
	enum http1_body_state state;
	uint64_t left; /* of the body or of the chunk */
	bool until_close;
	int digits;      /* of the chunk's size */
	size_t overhead; /* bytes of extensions and trailers so far */
};

void http1_body_init(struct http1_body *b, const struct http1_head *head);
static inline bool http1_body_ended(const struct http1_body *b)
{
	return b->state == HTTP1_BODY_ENDED;
}

/* Takes framing off the front of data: *ret_used bytes were looked at, of which the *ret_size bytes
 * at *ret_data are body (at most one run; call again with the rest until all is used or the body
 * ended). -ERR_PROTOCOL. */
int http1_body_read(struct http1_body *b, const char *data, size_t size, size_t *ret_used,
	const char **ret_data, size_t *ret_size, struct err *e) MUST_CHECK;

#endif
