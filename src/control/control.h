/*
 * The reconcilers: each compares what should be with what is, for one key, and says what to write.
 * Pure step functions over a view of the store; the runtime (runtime.c) feeds them from watches,
 * carries their commits out and calls them again.
 *
 * A step that lost a race (conflict) is simply called again on the newer state: level-triggered. A
 * key is never stepped while a commit of its own is on its way, and the view shows what a commit
 * wrote before the next step (read your writes), so that nothing is made twice.
 *
 * Everything here runs on the loop's thread, apart from placement, which is a job. What is not
 * carried out: a Deployment's strategy RollingUpdate is carried out as Recreate (all old pods go
 * before the first new one comes), paused deployments only keep their status current.
 */
#ifndef CONTINUO_CONTROL_CONTROL_H
#define CONTINUO_CONTROL_CONTROL_H

#include "base/arena.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/vec.h"
#include "store/store.h"

/* A view: the store's current state with indexes. Objects are borrowed and live until the step
 * ends, and so do lists. The order of a list is that of the names. */
struct control_view;
const struct object *view_get(struct control_view *v, const struct kind *k, const char *namespace,
	const char *name);
const struct object *view_get_key(struct control_view *v, const char *key);
struct view_list {
	const struct object **objects;
	size_t count;
};
/* namespace "" or null: all. */
struct view_list view_list(struct control_view *v, const struct kind *k, const char *namespace);
/* Those that name the uid as their owner; kind null: of every kind. An object with a controller is
 * found under that one only, one without under each of its owners. owner_uid "": pods that no
 * controller has. */
struct view_list view_owned(struct control_view *v, const struct kind *k, const char *owner_uid);
struct view_list view_on_node(struct control_view *v, const char *node); /* pods */
const struct object *view_get_uid(struct control_view *v, const char *uid);
/* Reason of condition Ready of pods whose node was lost; it goes when the node says all again. */
#define CONTROL_NODE_NOT_READY "NodeNotReady"
/* What the server's sessions know of a node. It is no part of the store: liveness never reaches it,
 * apart from a node's condition when a session begins or ends. Times are of a clock that does not
 * jump. */
struct control_node_state {
	bool connected;
	bool back_lately; /* it was lost until a short while ago; others may still be on their way
			   */
	bool silent;      /* it was asked for a sign of life when another was lost, and gave none */
	int64_t lost_ms;  /* how long it has been without a session; 0 when connected */
	int64_t evict_ms; /* from the loss until its pods may be replaced */
	/* For how long this server, which began lately, may still lack nodes that are well. */
	int64_t blind_ms;
};
struct control_node_state view_node_state(struct control_view *v, const char *node);
/* Whether the lease under which this node runs the handover pod is surely over, and will not be
 * granted again before the pod's object is gone. With end it is ended if it may be; else this only
 * asks whether it was ended before. */
bool view_lease_over(struct control_view *v, const char *node, const char *pod_uid, bool end);
/* The kinds that the view holds; null at the end. */
const struct kind *view_next_kind(const struct control_view *v, size_t *position);

/* What a step wants written. Trees are taken. Writes of one step go in order, in commits of at most
 * STORE_OPS_MAX: each commit is all or nothing. */
struct control_write {
	enum {
		CONTROL_CREATE,
		CONTROL_UPDATE, /* spec or metadata; the generation follows by itself */
		CONTROL_STATUS,
		CONTROL_DELETE, /* as the API does it: with finalizers and a pod's grace period */
		CONTROL_REMOVE  /* at once, whatever stands in the way */
	} verb;
	const struct kind *kind;
	json_t *tree;              /* create: without uid; update, status: the whole new object */
	const struct object *base; /* update, status, delete, remove: compared by revision */
};
struct control_event { /* an Event about an object */
	const struct object *about;
	bool warning;
	const char *reason, *message, *component; /* reason and component: constants */
};
struct control_out {
	VEC(struct control_write) writes;
	VEC(struct control_event) events;
	int64_t requeue_ms;  /* call again after this long; 0: only when something changes */
	struct arena *arena; /* for strings in events; freed after the pass */
	struct rand *rand;
};

struct reconciler {
	const char *name; /* "deployment" */
	/* Which key must be looked at when this object changed (add keys by queue_add). previous
	 * null: created; object null: deleted. */
	void (*on_change)(struct control_view *v, const struct object *object,
		const struct object *previous, void (*queue_add)(void *queue, const char *key),
		void *queue);
	const struct kind *const *watches; /* null terminated; null: all kinds */
	/* An error is logged and the key is stepped again with growing delay. */
	int (*step)(struct control_view *v, const char *key, int64_t wall_ms,
		struct control_out *out, struct err *e);
};

extern const struct reconciler reconciler_deployment, reconciler_replicaset, reconciler_endpoints,
	reconciler_garbage, reconciler_namespace, reconciler_nodes, reconciler_node_lifecycle,
	reconciler_node_pressure, reconciler_taint_eviction, reconciler_handover,
	reconciler_application;

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
	/* Liveness comes from the sessions, not from the store; null: every node is connected, and
	 * its condition Ready alone counts. */
	struct control_node_state (*node_state)(void *context, const char *node);
	/* See view_lease_over; null: no lease is ever over. */
	bool (*lease_over)(void *context, const char *node, const char *pod_uid, bool end);
	void *context;
};
/* Starts all reconcilers and the scheduler (scheduler.c: pending pods → place → bind). Aborts when
 * the store cannot be read. */
struct control *control_new(const struct control_config *config) MUST_CHECK;
/* A session of this node came or went: its state is looked at, pending pods are tried again. */
void control_node_changed(struct control *c, const char *node);
/* Why a pod is where it is, or why it is pending: JSON
 * {"pod":"ns/name", "node":N or null, "message":…, "nodes":N, "feasible":N, "cost":X,
 *  "terms":{"balance":X,…}, "alternative":{"node":N,"cost":X,"terms":{…}},
 *  "refusals":[{"constraint":…,"detail":…,"nodes":N,"alone":N,"atFault":B},…]}
 * terms: balance, preference, spread and image, and others where they cost something.
 * refusals: the constraints that rule nodes out (of a placed pod: the others). Members that are not
 * known are absent; null when nothing is known. New reference. Survives a restart: it is kept in
 * the pod's annotation continuo.dev/placement. */
json_t *control_explain(struct control *c, const char *namespace, const char *pod) MUST_CHECK;
/* Where the pods of workloads would go if these (Pods, ReplicaSets, Deployments, Applications,
 * complete with defaults) were applied now, one after the other; nothing is changed. done gets, on
 * a later turn, JSON that it borrows:
 * {"workloads":[{"kind":…,"namespace":…,"name":…,"cost":X,"terms":{…},
 *   "replaced":N,                      pods that would go
 *   "pods":[{"component":C,"node":N,"site":S,"running":B,"cost":X,"terms":{…},"alternative":{…}}],
 *   "refused":[{"component":C,"replicas":N,"message":…,"refusals":[…]}],
 *   "links":[…]}]}                     as the Application has them
 * running: it is there already and stays; then nothing is said of its cost. Other members are those
 * of control_explain. Or done gets an error: -ERR_CANCELLED, or what the engine does not take. */
typedef void control_plan_cb(void *arg, const json_t *result, const struct err *e);
/* -ERR_UNSUPPORTED (a kind without pods), -ERR_TOO_LARGE: done will not be called. */
int control_plan(struct control *c, json_t *const *trees, const struct kind *const *kinds,
	size_t count, control_plan_cb *done, void *arg, struct err *e) MUST_CHECK;
void control_metrics(const struct control *c, struct buf *b);
/* A placement job that runs meanwhile ends by itself later; the loop must run on until then.
 * Commits under way are carried out by the store. */
void control_free(struct control *c);

#define CONTROL_PLACEMENT_ANNOTATION "continuo.dev/placement"

#endif
