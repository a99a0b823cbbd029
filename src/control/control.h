/*
 * The reconcilers: each compares what should be with what is, for one key, and says what to write.
 * Pure step functions over a view of the store; the runtime (runtime.c) feeds them from watches,
 * carries their commits out and calls them again.
 *
 * A step that lost a race (conflict) is simply called again on the newer state: level-triggered.
 */
#ifndef CONTINUO_CONTROL_CONTROL_H
#define CONTINUO_CONTROL_CONTROL_H

#include "base/arena.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/vec.h"
#include "store/store.h"

/* A view: the store's current state with indexes. Objects are borrowed and live until the step
 * ends. */
struct control_view;
const struct object *view_get(
        struct control_view *v, const struct kind *k, const char *namespace, const char *name);
const struct object *view_get_key(struct control_view *v, const char *key);
struct view_list {
	const struct object **objects;
	size_t count;
};
struct view_list view_list(struct control_view *v, const struct kind *k, const char *namespace);
struct view_list view_owned(struct control_view *v, const struct kind *k, const char *owner_uid);
struct view_list view_on_node(struct control_view *v, const char *node); /* pods */

/* What a step wants written, as one commit. Trees are taken. */
struct control_write {
	enum { CONTROL_CREATE, CONTROL_UPDATE, CONTROL_STATUS, CONTROL_DELETE } verb;
	const struct kind *kind;
	json_t *tree;              /* create: without uid; update: the whole new object */
	const struct object *base; /* update, delete: compared by revision */
};
struct control_event { /* an Event about an object */
	const struct object *about;
	bool warning;
	const char *reason, *message, *component;
};
struct control_out {
	VEC(struct control_write) writes;
	VEC(struct control_event) events;
	int64_t requeue_ms;  /* call again after this long; 0: only when something changes */
	struct arena *arena; /* for strings in events; freed after the pass */
	struct rand *rand;   /* names' suffixes */
};

struct reconciler {
	const char *name; /* "deployment" */
	/* Which key must be looked at when this object changed (add keys by queue_add). */
	void (*on_change)(struct control_view *v, const struct object *object,
	        const struct object *previous, void (*queue_add)(void *queue, const char *key),
	        void *queue);
	const struct kind *const *watches; /* null terminated */
	int (*step)(struct control_view *v, const char *key, int64_t wall_ms,
	        struct control_out *out, struct err *e);
};

extern const struct reconciler reconciler_deployment, reconciler_replicaset, reconciler_endpoints,
        reconciler_garbage, reconciler_namespace;

struct control;
struct control_config {
	struct loop *loop;
	struct log *log;
	struct store *store;
	const struct kind_registry *kinds;
	uint64_t seed;
	const char *leader_key; /* fence: every commit compares its create-revision; null: single
	                           server */
	int64_t leader_create_revision;
	/* Liveness comes from the sessions, not from the store (asked by the scheduler and the
	 * view). */
	bool (*node_connected)(void *context, const char *node);
	void *context;
};
/* Starts all reconcilers and the scheduler (scheduler.c: pending pods → place → bind). */
struct control *control_new(const struct control_config *config) MUST_CHECK;
void control_nodes_changed(
        struct control *c); /* a session came or went: pending pods are tried again */
/* Why a pod is where it is, or why it is pending: JSON
 * {"pod":…,"node":…,"terms":[…],"alternative":…, "refusals":[{"constraint":…,"nodes":N},…]}; null
 * when nothing is known. New reference. */
json_t *control_explain(struct control *c, const char *namespace, const char *pod) MUST_CHECK;
void control_metrics(const struct control *c, struct buf *b);
void control_free(struct control *c);

#endif
