/* The rules of a write: what is kept of the old object, when it is gone, how it is answered. */
#ifndef CONTINUO_SERVER_WRITE_STEPS_H
#define CONTINUO_SERVER_WRITE_STEPS_H

#include "server/request.h"

enum write_outcome { WRITE_PUT = 0, WRITE_DELETE = 1, WRITE_UNCHANGED = 2 };

/* Whether the client named the state that it wants to change, so that a conflict is its own. */
bool write_is_pinned(const struct request *r);

/* resourceVersion and uid of the new state, where given, must be the base's. -ERR_CONFLICT. */
int write_check_preconditions(const struct request *r, const json_t *tree,
	struct err *e) MUST_CHECK;

/* Puts back what a client cannot change (identity, times, status or all but the status), counts the
 * generation. May replace *tree. */
int write_keep(const struct request *r, const json_t *old, json_t **tree, struct err *e) MUST_CHECK;

/* Whether the last finalizer of an object that is being deleted has gone with this change. */
bool write_is_finished(const json_t *tree, const json_t *old);

/* -ERR_FORBIDDEN for the namespaces that the domain itself lives in: the Secrets of kube-system are
 * its join tokens and revocations. */
int write_check_deletable(const struct kind *k, const char *name, struct err *e) MUST_CHECK;

/* Applies a delete: gone at once, or marked (deletionTimestamp, grace, finalizers). */
enum write_outcome write_mark_deleted(struct request *r, json_t *tree, int64_t wall_ms);

/* The comparison that keeps new objects out of namespaces that are missing or going. key is the
 * caller's. */
int write_namespace(const struct request *r, char key[static OBJECT_KEY_MAX],
	struct store_compare *ret_compare, struct err *e) MUST_CHECK;

bool write_is_same(const struct object *a, const struct object *b); /* blobs are equal */

/* Answers with the object, or for a completed delete (o null) with a Status of success. Ends the
 * request. */
void write_answer(struct request *r, const struct object *o);

#endif
