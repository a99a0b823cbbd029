/* Node objects as the server writes them: registration, readiness, what agents report of
 * themselves. */
#ifndef CONTINUO_SERVER_NODES_H
#define CONTINUO_SERVER_NODES_H

#include "server/commit.h"

/* Who made a Node, by its first session, has its name until it is deleted. That session's
 * certificate tells from when on certificates are taken as this node's; those of the machines that
 * had the name before are older. Set once, as an annotation. */
#define NODES_SINCE "continuo.dev/certificates-since"
/* wall_ms, in whole seconds as certificates have it; 0: there is no such Node, or it does not say.
 */
int64_t nodes_since_ms(struct server *s, const char *name);

/* Creates or updates the Node from an agent's hello: labels (not those the domain alone sets),
 * capacity, status, podCIDR, condition Ready. node: the tree the agent sent (borrowed until done).
 * issued_ms: when its certificate was; -ERR_UNAUTHORIZED when another machine has the name by now.
 * lost: that it was lost may be on its way into the store. */
void nodes_register(struct server *s, const char *name, const json_t *node, int64_t issued_ms,
	bool lost, commit_done *done, void *arg);

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
