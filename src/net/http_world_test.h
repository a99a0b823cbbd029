/* A server and a client of it over streams in memory, handlers chosen by path, and connections that
 * a test writes by hand: what the tests of HTTP share. */
#ifndef CONTINUO_NET_HTTP_WORLD_TEST_H
#define CONTINUO_NET_HTTP_WORLD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/exchange.h"
#include "net/test_loop.h"

struct world {
	struct loop *l;
	struct http_server *server;
	struct listener *listener;
	struct http_client *client;
	bool http2, stranger;
	int connects;
	/* what the handler keeps: */
	struct http_request *held;
	int closed, drained, handled;
	size_t body_bytes;
	bool body_ended;
	struct stream *plain; /* of a request that became one */
};

/* http2: the version; piece: streams are cut into pieces of so many bytes, 0: not. */
struct world *world_new(bool http2, size_t piece);
void world_free(struct world *w);
void world_done(struct world **w);

/* A call and what came of it. */
struct answer {
	struct http_call *call;
	int status;
	struct buf body;
	bool done, failed, evil;
	enum err_code code;
	int drained;
};
extern const struct http_call_events answer_events;
extern const struct http_request_events held_events;
bool is_done(void *arg); /* of an answer */
void answer_free(struct answer *a);
void start(struct world *w, struct answer *a, const char *method, const char *path,
	const void *body, size_t size);
/* One whole call; text may be null. */
void get(struct world *w, const char *path, int status, const char *text);

/* A connection by hand. */
struct raw {
	struct stream *stream;
	struct buf in;
	bool closed;
};
void raw_open(struct world *w, struct raw *raw);
void raw_done(struct raw *raw);

#endif
