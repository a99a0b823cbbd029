/*
 * One request to the API on its way through the server: what it is about, who asks, and how it is
 * answered. Lives from routing to api_done, over any number of commits.
 */
#ifndef CONTINUO_SERVER_REQUEST_H
#define CONTINUO_SERVER_REQUEST_H

#include "server/auth.h"

#define REQUEST_BODY_MAX ((size_t)3 << 20)

struct request {
	struct server *server;
	struct http_request *http;
	struct user user;
	const struct kind *kind;
	char namespace[128], name[256], subresource[64];
	int64_t started_ms;
	struct findings findings;
	bool table; /* the client asked for a Table */
	/* A write under way (write.c): */
	json_t *body;
	int attempts;
	char key[OBJECT_KEY_MAX];
	const struct object *base; /* what the body was applied to */
	struct object *result;     /* what was committed */
	int (*change)(struct request *r, json_t **tree, struct err *e);
	int64_t grace_s; /* of a delete; -1: the object's own */
	char propagation[32];
	char claimed_ip[64]; /* taken for this write, given back when it fails */
};

struct request *request_new(struct server *s, struct http_request *http,
	const struct user *user) MUST_CHECK;
void request_done(struct request *r); /* ends the HTTP request and frees everything */

/* Answers that end the request. */
void request_fail(struct request *r,
	const struct err *e); /* a Status object, with causes for findings */
void request_object(struct request *r, int status, const struct object *o);
void request_json(struct request *r, int status, const json_t *json);
void request_text(struct request *r, int status, const char *content_type, const char *text,
	size_t size);

/* The same without a struct request, for what fails before there is one. */
void respond_err(struct server *s, struct http_request *http, const struct err *e);

#endif
