/*
 * Reverse calls: logs and exec. A client's request is announced on the feed of the pod's node; the
 * agent answers with a stream of its own (POST /agent/v1/calls/ID), and the two are joined with
 * back-pressure.
 */
#ifndef CONTINUO_SERVER_CALLS_H
#define CONTINUO_SERVER_CALLS_H

#include "server/request.h"

void calls_logs(struct request *r); /* GET pods/NAME/log */
void calls_exec(struct request *r); /* POST pods/NAME/exec */

/* POST /agent/v1/calls/ID: takes http. */
void calls_answer(struct server *s, struct http_request *http, const struct user *u, int64_t id);

/* The node's session has ended, and with it all calls to it: each client is told. */
void calls_lose_node(struct server *s, const char *node);
void calls_drop(struct server *s); /* server_free: ends all */

#endif
