/*
 * The runtime: what carries the reconcilers and the scheduler. Private to src/control.
 *
 *              a change names the key           its turn, the step writes
 *   (no item) ───────────────────────▶ READY ───────────────────────────▶ COMMITTING
 *                                      ▲  ▲ │ step failed, or asked for later     │
 *                        due, changed  │  │ ▼                                     │
 *                                      │ WAITING ◀──── commit failed ─────────────┤
 *                                      └────────────── it changed meanwhile ──────┘
 * An item with nothing left to do is freed.
 */
#ifndef CONTINUO_CONTROL_RUNTIME_H
#define CONTINUO_CONTROL_RUNTIME_H

#include "base/list.h"
#include "base/map.h"
#include "control/view.h"

#define CONTROL_TURN_MS 4     /* of the 5 ms that a handler may hold the loop */
#define CONTROL_TURN_STEPS 64 /* where the clock stands still (simulation) */
#define CONTROL_RETRY_MIN_MS 2
#define CONTROL_RETRY_MAX_MS 15000

struct work_queue { /* of one reconciler */
	const struct reconciler *reconciler;
	struct map items; /* key -> work_item */
	int64_t steps, conflicts, errors;
};

struct scheduler;
struct recorder;

struct control {
	struct control_config config;
	struct control_view *view;
	struct store_watch *watch;
	struct work_queue *queues;
	size_t queue_count;
	struct list ready;   /* work_items */
	struct list commits; /* on their way */
	struct loop_timer *turn;
	struct loop_timer *reload; /* the watch ended: list again */
	struct rand rand;
	struct scheduler *scheduler;
	struct recorder *recorder;
	int64_t writes, commits_total;
};

/* ---- write.c: from what a step wants to what the store takes ---- */

/* Fills one operation and its comparison. ret_op->key and ret_compare->key are ret_key. Returns 1
 * when there is nothing to write. Takes w->tree in any case. */
int control_write_op(struct control *c, struct control_write *w, int64_t wall_ms,
	char ret_key[static OBJECT_KEY_MAX], struct store_op *ret_op,
	struct store_compare *ret_compare, struct err *e) MUST_CHECK;
/* As model_stamp_new, with uid from the loop's random bytes. */
void control_stamp(struct control *c, json_t *tree, int64_t wall_ms);

/* ---- runtime.c ---- */

typedef void control_commit_cb(void *arg, const struct err *err);
/* Commits with the fence, then shows the result in the view, then calls done (may be null), unless
 * control was freed meanwhile: then done is called with -ERR_CANCELLED's err. Keys are copied. */
void control_commit(struct control *c, const struct store_compare *compares, size_t compare_count,
	const struct store_op *ops, size_t op_count, control_commit_cb *done, void *arg);

/* ---- events.c ---- */

struct recorder *recorder_new(struct control *c) MUST_CHECK;
void recorder_free(struct recorder *r);
/* Kubernetes' events: the same thing about the same object is counted, not repeated. */
void recorder_add(struct recorder *r, const struct control_event *event);
void recorder_flush(struct recorder *r); /* writes what came in this turn */

/* ---- scheduler.c ---- */

struct scheduler *scheduler_new(struct control *c) MUST_CHECK;
void scheduler_free(struct scheduler *s);
void scheduler_on_change(struct scheduler *s, const struct object *object,
	const struct object *previous);
void scheduler_node_changed(struct scheduler *s, const char *node); /* a session came or went */
json_t *scheduler_explain(struct scheduler *s, const struct object *pod) MUST_CHECK;
/* See control_plan; kinds: one for each tree. */
int scheduler_plan(struct scheduler *s, json_t *const *trees, const struct kind *const *kinds,
	size_t count, control_plan_cb *done, void *arg, struct err *e) MUST_CHECK;
void scheduler_metrics(const struct scheduler *s, struct buf *b);

#endif
