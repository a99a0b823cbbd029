/* Node objects as the server writes them: registration, readiness, what agents report of
 * themselves. */
#ifndef CONTINUO_SERVER_NODES_H
#define CONTINUO_SERVER_NODES_H

#include "server/commit.h"

/* Creates or updates the Node from an agent's hello: labels (not those the domain alone sets),
 * capacity, status, podCIDR, condition Ready. node: the tree the agent sent (borrowed until done).
 * lost: that it was lost may be on its way into the store. */
void nodes_register(struct server *s, const char *name, const json_t *node, bool lost,
	commit_done *done, void *arg);

/* Nodes whose traffic is dear (tier iot, or continuo.dev/metered "true"): heartbeats are far apart,
 * and so is what a server says idly. */
bool nodes_heard_rarely(const struct object *node);
bool nodes_labels_heard_rarely(const json_t *labels);

/* The agent's session is gone: Ready becomes Unknown. */
void nodes_lost(struct server *s, const char *name, const char *why);

/* A changed status from the agent (copied). */
void nodes_status(struct server *s, const char *name, const json_t *status, commit_done *done,
	void *arg);

/* Some time after a start: nodes that are Ready in the store and have no session are lost. */
void nodes_sweep(struct server *s);

/* An Event of type Warning about the node. reason: CamelCase, at most 39 bytes. */
void nodes_warn(struct server *s, const char *node, const char *reason, const char *text);

#endif
