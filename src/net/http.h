/*
 * HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) over any stream, server and client, one interface for
 * both versions. The second seam of the simulator: roles see requests and calls, never frames.
 * Everything runs on the loop's thread. Limits: request line and headers 64 KiB, 100 headers, body
 * as the handler says.
 */
#ifndef CONTINUO_NET_HTTP_H
#define CONTINUO_NET_HTTP_H

#include "base/buf.h"
#include "sys/loop.h"

struct http_header {
	const char *name; /* lower case */
	const char *value;
};

/* Who is at the other end, as TLS proved it. Empty strings: nobody. */
struct http_peer {
	const char *address;                    /* "192.0.2.7:4711" */
	const char *common_name, *organization; /* of the client certificate's subject (first O) */
	const char *spiffe_id;                  /* URI in the SAN */
	const char *serial;                     /* hexadecimal */
	int64_t not_before_ms, not_after_ms;    /* wall_ms */
};

/* ---- server ---- */

struct http_request;

struct http_request_events {
	/* Body bytes as they come (valid during the call); size 0: the end of the body. */
	void (*on_body)(void *arg, const uint8_t *data, size_t size);
	/* The client is gone or the connection broke, before or after the response was finished. At
	 * most once; never after http_request_free. */
	void (*on_closed)(void *arg);
	void (*on_drained)(void *arg); /* what was written has left; may be null */
};

/* Called for each request once its headers are there. The handler owns r: it sets events (or reads
 * no body) and ends it with http_request_free, at once or later, whatever happened to the
 * connection. */
typedef void http_handler(void *arg, struct http_request *r);

const char *http_request_method(const struct http_request *r);
const char *http_request_path(const struct http_request *r); /* percent-decoded, without query */
const char *http_request_raw_path(const struct http_request *r); /* as sent, with query */
/* The value of a query parameter, decoded; null when absent. The n-th when given several times. */
const char *http_request_query(const struct http_request *r, const char *name, size_t n);
const char *http_request_header(const struct http_request *r,
	const char *name); /* null when absent */
const struct http_peer *http_request_peer(const struct http_request *r);
void http_request_set_events(struct http_request *r, const struct http_request_events *events,
	void *arg);

/* Stops on_body until unpaused, and with it the sender (back-pressure). */
void http_request_pause(struct http_request *r, bool paused);

/* Collects the whole body (at most limit bytes) and then calls done, with an error when it was
 * larger
 * (-ERR_TOO_LARGE), broke off, or came too slowly (-ERR_TIMEOUT). data valid until
 * http_request_free. */
void http_request_collect(struct http_request *r, size_t limit,
	void (*done)(void *arg, struct http_request *r, const char *data, size_t size,
		const struct err *e),
	void *arg);

/* A whole response. headers may be null; content-length is added. */
void http_respond(struct http_request *r, int status, const struct http_header *headers,
	size_t header_count, const char *content_type, const void *body, size_t size);
/* Or in parts. Nothing happens once the client is gone. */
void http_respond_start(struct http_request *r, int status, const struct http_header *headers,
	size_t header_count, const char *content_type);
void http_respond_write(struct http_request *r, const void *data, size_t size);
void http_respond_end(struct http_request *r);
size_t
http_respond_queued(const struct http_request *r); /* bytes not yet sent: for back-pressure */
/* Takes the connection over after 101: the stream is the caller's; r is freed in any case. Null:
 * not HTTP/1.1, or the client is gone, or it sent on without waiting for the 101. */
struct stream *http_request_upgrade(struct http_request *r, const struct http_header *headers,
	size_t header_count) MUST_CHECK;
void http_request_free(struct http_request *r); /* an unfinished response is broken off */

struct http_server;
struct http_server *http_server_new(struct loop *l, http_handler *handler, void *arg) MUST_CHECK;
/* Serves one connection; takes the stream. peer is copied. http2: as ALPN chose. */
void http_server_take(struct http_server *s, struct stream *stream, const struct http_peer *peer,
	bool http2);
/* Closes connections whose peer certificate has this SPIFFE id (revocation). Returns how many. */
int http_server_drop_peer(struct http_server *s, const char *spiffe_id);
/* Closes all connections. Requests that are still held become deaf (no events, nothing is sent) and
 * are freed by their owners, before or after. */
void http_server_free(struct http_server *s);

/* ---- client ---- */

struct http_client;
struct http_call;

struct http_call_events {
	void (*on_response)(void *arg, int status, const struct http_header *headers,
		size_t header_count);
	void (*on_body)(void *arg, const uint8_t *data, size_t size);
	/* e null: the response is complete. Exactly once, unless http_call_free came first; then
	 * free the call. */
	void (*on_done)(void *arg, const struct err *e);
	void (*on_drained)(void *arg); /* the request body that was written has left; may be null */
};

struct http_call_spec {
	const char *method;
	const char *path; /* with query, already percent-encoded */
	const struct http_header *headers;
	size_t header_count;
	const char *content_type; /* null: no body */
	const void *body;
	size_t body_size;
	bool streaming; /* the body goes on with http_call_write, http_call_end */
	/* HTTP/1.1 only: asks to go on with this protocol ("tcp"). After on_response with 101 both
	 * sides send plain bytes: http_call_write (what was written before is sent then),
	 * http_call_end for the end of ours, on_body until the server closes. Null: not asked. */
	const char *upgrade;
	int64_t timeout_ms; /* for the whole call; 0: none */
};

/* Opens a stream to the endpoint: TCP, TLS, unix or simulated. ret_http2 is read after on_open. */
struct http_connector {
	struct stream *(*connect)(void *context);
	bool (*is_http2)(void *context, struct stream *s); /* may be null: HTTP/1.1 */
	void *context;
	const char *authority; /* Host */
};

/* Connects on the first call and again when the connection is gone; HTTP/2 multiplexes, HTTP/1.1
 * uses up to max_connections (0: 4) connections, kept alive. The connector's context must outlive
 * the client. */
struct http_client *http_client_new(struct loop *l, const struct http_connector *connector,
	int max_connections) MUST_CHECK;
struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec,
	const struct http_call_events *events, void *arg) MUST_CHECK;
void http_call_write(struct http_call *call, const void *data, size_t size);
void http_call_end(struct http_call *call);
size_t http_call_queued(const struct http_call *call);
/* Stops on_body until unpaused, and with it the sender (back-pressure). */
void http_call_pause(struct http_call *call, bool paused);
void http_call_free(struct http_call *call); /* cancels what is not done */
/* The short way: the whole response body (at most 4 MiB) at once. Cancelled when the client is
 * freed. */
void http_fetch(struct http_client *c, const struct http_call_spec *spec,
	void (*done)(void *arg, int status, const char *body, size_t size, const struct err *e),
	void *arg);
void http_client_reset(struct http_client *c); /* drops connections: new certificate */
/* Calls that are still held become deaf and are freed by their owners, before or after. */
void http_client_free(struct http_client *c);

#endif
