/*
 * For tests of this room: a server over the memory store on a real loop, and a client of it, both
 * in this process over loopback without TLS; who the client is, is said instead of proven.
 */
#ifndef CONTINUO_SERVER_FIXTURE_H
#define CONTINUO_SERVER_FIXTURE_H

#include "server/server.h"
#include "sys/loop_uv.h"

enum fixture_user {
	FIXTURE_ADMIN,
	FIXTURE_NODE,  /* "node-a" */
	FIXTURE_OTHER, /* "node-b" */
	FIXTURE_NOBODY,
	FIXTURE_USERS
};

#define FIXTURE_THREADS 2 /* of the loop's pool */

struct fixture {
	struct loop *loop;
	struct log log;
	struct kind_registry *kinds;
	struct store *store;
	char folder[64]; /* of the store; "": in memory */
	struct pki_pair ca;
	struct server *server;
	struct listener *listeners[FIXTURE_USERS];
	struct http_client *clients[FIXTURE_USERS];
	struct fixture_endpoint *endpoints[FIXTURE_USERS];
};

struct fixture_answer {
	int status;
	json_t *body;        /* null when it is not JSON */
	char warnings[2048]; /* Warning headers, one a line */
};
void fixture_answer_done(struct fixture_answer *a);

int fixture_set_up(void **state);         /* for cmocka: *state is the struct fixture */
int fixture_set_up_on_disk(void **state); /* commits take a while */
int fixture_tear_down(void **state);

/* The times of the user's certificate; before its first call. */
/* As another node's; before its first call. */
void fixture_set_spiffe(struct fixture *f, enum fixture_user user, const char *spiffe_id);
void fixture_set_certificate(struct fixture *f, enum fixture_user user, int64_t not_before_ms,
	int64_t not_after_ms);

/* One request; runs the loop until the answer is whole (fails the test after 10 s). body may be
 * null; may have single quotes for double ones. content_type null: application/json. */
struct fixture_answer fixture_call(struct fixture *f, enum fixture_user user, const char *method,
	const char *path, const char *content_type, const char *body);

/* The same for the administrator, for calls that must give this status; the body (a new reference).
 */
json_t *fixture_expect(struct fixture *f, int status, const char *method, const char *path,
	const char *body);

/* A response that goes on: watches and feeds. Lines are put into text as they come. */
struct fixture_stream {
	struct http_call *call;
	int status;
	struct buf text;
	bool ended;
};
struct fixture_stream *fixture_stream_open(struct fixture *f, enum fixture_user user,
	const char *method, const char *path, const char *body);
/* Runs the loop until the text has the words; fails the test after 10 s, printing the text. */
void fixture_stream_await(struct fixture *f, struct fixture_stream *s, const char *words);
void fixture_stream_free(struct fixture_stream *s);

#endif
