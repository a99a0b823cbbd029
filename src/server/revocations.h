/*
 * Nodes whose certificates are not taken any more. Kept in the store as the ConfigMap
 * kube-system/continuo-revoked-nodes: node name -> wall_ms of the revocation; every certificate
 * that was issued before it is refused, so a node that joins anew is welcome again.
 */
#ifndef CONTINUO_SERVER_REVOCATIONS_H
#define CONTINUO_SERVER_REVOCATIONS_H

#include "server/state.h"

struct revocations *
revocations_new(struct server *s) MUST_CHECK; /* reads the store and follows it */
void revocations_free(struct revocations *r);
bool revocations_has(const struct revocations *r, const char *node, int64_t issued_ms);

/* Writes it durably, then closes the node's session and connections. done may be null. */
void revocations_add(struct revocations *r, const char *node,
	void (*done)(void *arg, const struct err *e), void *arg);

#endif
