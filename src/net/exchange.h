/*
 * What HTTP/1.1 and HTTP/2 share: the halves of a request (server) and of a call (client) that do
 * not know the version, and what the connections must offer them. Internal to src/net.
 *
 * Nothing calls its user back from inside the call that caused it: connections have a timer of 0 ms
 * ("kick") for what must happen on a later turn.
 */
#ifndef CONTINUO_NET_EXCHANGE_H
#define CONTINUO_NET_EXCHANGE_H

#include "base/arena.h"
#include "base/list.h"
#include "base/vec.h"
#include "net/http.h"

#define HTTP_QUEUE_MAX ((size_t)256 << 10) /* bytes queued in a stream before we stop adding */
#define HTTP_IDLE_MS 120000                /* a kept-alive connection without a request */
#define HTTP_HEAD_MS 30000                 /* for the whole head of a request */
#define HTTP_LINGER_MS 5000                /* for the peer to close after we did */
#define HTTP_BODY_MS 30000                 /* in which a body must grow by HTTP_BODY_MIN or end */
#define HTTP_BODY_MIN 4096                 /* bytes */
#define HTTP_STRANGERS_MAX 512             /* connections of peers without a certificate */

typedef VEC(struct http_header) http_header_vec;

/* A copy of a peer that connections and requests share. */
struct http_peer_box {
	int refs;
	struct http_peer peer;
	struct arena arena;
};
struct http_peer_box *http_peer_box_new(const struct http_peer *peer) MUST_CHECK;
struct http_peer_box *http_peer_box_ref(struct http_peer_box *b) MUST_CHECK;
void http_peer_box_unref(struct http_peer_box *b);

/* ---- server ---- */

/* The connection's side of a request. r->exchange is its own pointer and not null when called. */
struct http_exchange_ops {
	/* length -1: unknown. r->head_only: no body is sent. */
	void (*start)(struct http_request *r, int status, const struct http_header *headers,
		size_t header_count, const char *content_type, int64_t length);
	void (*write)(struct http_request *r, const void *data, size_t size);
	void (*end)(struct http_request *r);
	size_t (*queued)(const struct http_request *r);
	void (*read)(struct http_request *r); /* events were set or the pause ended */
	struct stream *(*upgrade)(struct http_request *r, const struct http_header *headers,
		size_t header_count);
	void (*detach)(struct http_request *r); /* r goes away; break off what is unfinished */
};

struct http_request {
	const struct http_exchange_ops *ops;
	void *exchange; /* null: nothing can be sent any more */
	struct loop *loop;
	struct arena arena; /* of everything below */
	const char *method, *raw_path, *path;
	const struct http_header *headers;
	size_t header_count;
	http_header_vec query; /* decoded */
	struct http_peer_box *peer;
	const struct http_request_events *events;
	void *arg;
	bool paused;
	bool head_only; /* HEAD */
	bool started, ended;
	bool body_ended;         /* on_body(size 0) was delivered */
	bool lost;               /* the connection broke; on_closed is due or was delivered */
	bool told;               /* on_closed was delivered */
	bool *freed;             /* set when r is freed while an event is being delivered */
	struct loop_timer *late; /* delivers on_closed to events that were set after the break */
	/* http_request_collect */
	struct buf collected;
	size_t collected_before; /* at the last look for progress */
	struct loop_timer *slow; /* looks for progress */
	void (*collect_done)(void *arg, struct http_request *r, const char *data, size_t size,
		const struct err *e);
	void *collect_arg;
};

/* method, target and headers must live in the arena, which is taken. -ERR_PROTOCOL: the target
 * cannot be decoded. */
int http_request_new(struct loop *l, const struct http_exchange_ops *ops, void *exchange,
	struct http_peer_box *peer, struct arena *arena, const char *method, const char *target,
	const struct http_header *headers, size_t header_count, struct http_request **ret_request,
	struct err *e) MUST_CHECK;
/* These call r's user, who may free r: then detach was called. */
void http_request_deliver(struct http_request *r, const uint8_t *data, size_t size);
void http_request_drained(struct http_request *r);
bool http_request_reads(const struct http_request *r); /* somebody takes the body now */
void http_request_lose(struct http_request *r);        /* the connection broke: on_closed */
void http_request_finish(struct http_request *r);      /* done in order: the connection lets go */
void http_request_silence(struct http_request *r);     /* the server is freed: no events */

struct http_connection;

struct http_connection_ops {
	void (*free)(struct http_connection *c); /* at once; tells the requests nothing */
	void (*drop)(struct http_connection *c); /* on a later turn; requests get on_closed */
};

/* A server's connection; first member of either version's struct. */
struct http_connection {
	const struct http_connection_ops *ops;
	struct list link; /* in server->connections */
	struct http_server *server;
	struct http_peer_box *peer;
	bool dropped; /* to make room; it goes on a later turn */
};

struct http_server {
	struct loop *loop;
	http_handler *handler;
	void *arg;
	struct list connections;
};

struct http_connection *http1_serve(struct http_server *s, struct stream *stream,
	struct http_peer_box *peer);
struct http_connection *http2_serve(struct http_server *s, struct stream *stream,
	struct http_peer_box *peer);

/* ---- client ---- */

struct http_link;

struct http_call {
	struct list link;             /* in client->calls */
	struct http_client *client;   /* null: the client is gone, the call is deaf */
	struct http_link *connection; /* null: waits for one, or done */
	void *exchange;               /* HTTP/2: its stream */
	struct loop_timer *timer;     /* timeout */
	const struct http_call_events *events;
	void *arg;
	struct arena arena; /* of the next four */
	char *method, *path, *content_type;
	struct http_header *headers;
	size_t header_count;
	struct buf body; /* not yet handed to the connection */
	bool has_body, streaming, body_ended;
	char *upgrade;       /* in the arena; null: the protocol is not to be changed */
	size_t request_size; /* of an upgrade: what of body is the request's; the rest follows */
	bool responded;      /* anything of the response came */
	bool retried;
	bool finished; /* on_done was delivered or is not wanted any more */
	bool paused;
	struct err error; /* of a call that fails before it starts */
	bool doomed;
};

struct http_link_ops {
	/* Whether another call can start now. */
	bool (*has_room)(const struct http_link *x);
	void (*start)(struct http_link *x, struct http_call *call);
	void (*write)(struct http_call *call); /* call->body or body_ended changed */
	size_t (*queued)(const struct http_call *call);
	void (*resume)(struct http_call *call);
	void (*cancel)(struct http_call *call); /* the call goes away */
	void (*free)(struct http_link *x);
};

/* A client's connection; first member of either version's struct. */
struct http_link {
	const struct http_link_ops *ops;
	struct list link; /* in client->links */
	struct http_client *client;
	struct stream *stream;
	bool draining; /* takes no more calls */
	bool tried;    /* a call was started on it */
	bool used;     /* and one was completed */
};

struct http_client {
	struct loop *loop;
	struct http_connector connector;
	int max_connections;
	char *authority;
	struct list links;    /* open connections */
	struct list openings; /* connections that are being made */
	struct list calls;    /* all calls, in the order they were started */
	struct loop_timer *kick;
	int depth; /* of loops over calls that are being told something */
	bool dead; /* freed when depth is 0 */
	struct list fetches;
	bool version_known; /* of the last connection: */
	bool multiplexed;   /* HTTP/2 */
};

struct http_link *http1_link_new(struct http_client *c, struct stream *stream);
struct http_link *http2_link_new(struct http_client *c, struct stream *stream);

/* These call the call's user, who may free the call (then cancel was called) and the client. */
void http_call_response(struct http_call *call, int status, const struct http_header *headers,
	size_t header_count);
void http_call_deliver(struct http_call *call, const uint8_t *data, size_t size);
void http_call_drained(struct http_call *call);
void http_call_finish(struct http_call *call, const struct err *e); /* null: complete */
/* The connection broke before anything of a response came and the call may run again. */
void http_call_retry(struct http_call *call, const struct err *e, bool safe);
void http_client_kick(struct http_client *c); /* look for calls that can start */
/* A connection is gone, after its own calls were told. One that closes before it was tried counts
 * as not made, else a server that closes at once would be asked for ever. */
void http_client_lost(struct http_client *c, bool tried, const struct err *e);

/* ---- both ---- */

/* Appends a header's value with what could break out of it (CR, LF, NUL ...) made a space. */
void http_append_value(struct buf *b, const char *value);
bool http_is_token(const char *text);
/* The time as IMF-fixdate (RFC 9110 section 5.6.7). */
void http_date(int64_t wall_ms, char ret_text[static 32]);
const char *http_reason(int status);
const char *http_find_header(const struct http_header *headers, size_t count, const char *name);

#endif
