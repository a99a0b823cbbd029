/*
 * Leases of nodes that run handover pods (docs/time-and-leases.md). A node asks (a report line
 * "beat"), the server grants on the feed, in order with the slice: what was deleted before is not
 * covered. The node counts the lease from when it asked, the server from when it answered, and each
 * allows for the drift of its own clock, so that a node's lease ends before the server says so.
 *
 * Nothing of this is on a disk: after its start a server holds no lease for over before one
 * that its predecessor granted in its last moment is.
 */
#ifndef CONTINUO_SERVER_LEASES_H
#define CONTINUO_SERVER_LEASES_H

#include "server/state.h"

#define LEASE_MS 10000
#define LEASE_DRIFT_PERMILLE 5

/* lease_ms, wait_ms: as in server_config. */
struct leases *leases_new(struct server *s, int64_t lease_ms, int64_t wait_ms) MUST_CHECK;
void leases_free(struct leases *x);
size_t leases_ending(const struct leases *x); /* pods whose end was noted and not sent yet */
size_t leases_held(const struct leases *x);   /* nodes of which one is remembered */
/* A node comes that knew another epoch: this store is an older copy, or another one. What its
 * predecessor granted may be for pods that are not in it, so that nothing is granted before all
 * that is over. */
void leases_other_epoch(struct leases *x);
/* For how long no handover pod may begin, ms: the store may have been put back to an older copy,
 * whose predecessor granted leases for pods that it lacks. What runs goes on. */
int64_t leases_begin_wait_ms(const struct leases *x);
/* A node asks; nothing is granted while one of its pods is being removed. */
void leases_beat(struct leases *x, const char *node, int64_t id);
/* As control_config.lease_over. */
bool leases_over(struct leases *x, const char *node, const char *pod_uid, bool end);
/* The pod's object is gone, and what is granted from now on comes after its deletion. */
void leases_pod_gone(struct leases *x, const char *pod_uid);

#endif
