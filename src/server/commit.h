/*
 * Read, change, commit, again on a conflict: how the parts of the server that are not an API write
 * (sessions, reports, revocations, tokens) change one object.
 */
#ifndef CONTINUO_SERVER_COMMIT_H
#define CONTINUO_SERVER_COMMIT_H

#include "server/state.h"

/*
 * old is null when there is no object. Returns what to do; *tree (new reference, or null when
 * absent) may be changed in place or replaced. Called again on the newer state after a conflict.
 */
enum commit_action { COMMIT_NOTHING, COMMIT_PUT, COMMIT_DELETE, COMMIT_FAIL };
typedef enum commit_action commit_change(void *arg, const struct object *old, json_t **tree,
	struct err *e);
typedef void commit_done(void *arg, const struct err *e); /* e null: durable, or nothing to do */

/* arg must live until done, which always comes, on a later turn unless there was nothing to do.
 * After COMMIT_FAIL done gets what change wrote into e. Gives up with -ERR_CONFLICT after 20
 * attempts. */
void commit_object(struct server *s, const struct kind *k, const char *namespace, const char *name,
	commit_change *change, commit_done *done, void *arg);

/* Fills in uid, creationTimestamp and defaults of a tree that is to be created. */
void commit_stamp(struct server *s, const struct kind *k, json_t *tree);

#endif
