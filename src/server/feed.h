/*
 * Sessions: one per connected agent, over its feed (wire/wire.h). Liveness lives here and never
 * reaches the store, but for the node's condition when a session opens or ends.
 *
 *   CHALLENGING ──▶ REGISTERING ──▶ OPEN ──▶ (freed) when another one replaces it
 *        │ old session answered          │ silence, revoked, too slow
 *        └──▶ refused: a clone           └──▶ node lost
 *
 * A session outlives its connection until silence ends it: agents that start anew or renew their
 * certificate are not lost.
 */
#ifndef CONTINUO_SERVER_FEED_H
#define CONTINUO_SERVER_FEED_H

#include "server/auth.h"

struct feed *feed_new(struct server *s) MUST_CHECK;
void feed_free(struct feed *f);

/* POST /agent/v1/feed: takes http. */
void feed_serve(struct feed *f, struct http_request *http, const struct user *u);

/* Anything came from the node (a report, a heartbeat, a call), in that session (0: it does not
 * say). False: that session is not open. */
bool feed_heard(struct feed *f, const char *node, int64_t session);
void feed_pong(struct feed *f, const char *node, int64_t id);

/* As nodes_since_ms, without a look into the store while the node has a session. */
int64_t feed_since_ms(const struct feed *f, const char *node);
bool feed_connected(const struct feed *f, const char *node);
/* How long the node has been without a session, as far as this server saw; 0: it has one. */
int64_t feed_lost_ms(const struct feed *f, const char *node);
/* Whether the node was lost and came back less than within_ms ago. */
bool feed_back_lately(const struct feed *f, const char *node, int64_t within_ms);
/* Whether the node was asked for a sign of life at least for_ms ago, when another one fell silent,
 * and gave none. */
bool feed_silent(const struct feed *f, const char *node, int64_t for_ms);
bool feed_slice_has(const struct feed *f, const char *node, const char *key);
/* Whether one more event of the node may be kept. Events live in memory for an hour, so that a node
 * that invents them must not fill it; 110 pods that start at once stay below the burst. */
bool feed_take_event(struct feed *f, const char *node);
size_t feed_event_nodes(const struct feed *f); /* whose events are counted: of Nodes only */
size_t feed_count(const struct feed *f);       /* open sessions */

/* Sends one line to a node. -ERR_UNAVAILABLE when it has no session. */
int feed_send(struct feed *f, const char *node, const json_t *message, struct err *e) MUST_CHECK;

/* Whether a session of the node is on its way: what it registers is being written. */
bool feed_registering(const struct feed *f, const char *node);

/* Ends the open session of a node; it is lost at once. */
void feed_drop_node(struct feed *f, const char *node, const char *why);
/* Ends all sessions of a node, those too that are on their way. */
void feed_revoke(struct feed *f, const char *node);

#endif
