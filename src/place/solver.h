/*
 * A solving under way: what the modes of placement share. Private to src/place.
 *
 * Assignments are in the order in which they were decided; the victims of each stand together, in
 * the same order. All of it can be taken back to an earlier point, exactly.
 */
#ifndef CONTINUO_PLACE_SOLVER_H
#define CONTINUO_PLACE_SOLVER_H

#include "place/tables.h"

/* Pods alike are refused alike, as long as nothing else was placed. */
struct explained {
	size_t refusal; /* the one that has the reasons, + 1 */
	size_t assignments;
};

/* What stands against nodes, as of one decision. */
struct surveyed {
	bool done;
	size_t assignments;
	struct place_refusal found;
	uint32_t feasible;
};

/* No victims were found for this shape, as of so many assignments: nor are there any for less. */
struct spared {
	bool known;
	int priority;
	size_t assignments;
};

/* Bounds of the harm on each node, kept from one pod to the next that is alike. Those of nodes that
 * lost or got pods otherwise may be too low, which does no harm. */
struct bounded {
	struct place_harm bound;
	uint32_t node;
};
struct bounds {
	bool known;
	uint32_t shape;
	int priority;
	size_t victims; /* as of so many */
	VEC(struct bounded) heap;
};

struct budgets {
	uint32_t *allowed; /* by budget: how many may go yet */
	uint32_t *first;   /* by pod: where its budgets begin in of_pod; null: there are none */
	uint32_t *of_pod;
	size_t pod_count;
	struct bits pinned; /* pods */
};

/* Wants that stand or fall together. */
struct gang {
	VEC(uint32_t) wants; /* in the order of their turns */
	uint32_t minimum;
	bool whole;
	size_t failed_at; /* assignments when it last failed, + 1 */
	size_t refusal;   /* its first refusal, + 1 */
};

struct solver {
	struct place *p;
	const struct place_problem *problem;
	int64_t weights[PLACE_TERM_COUNT];
	VEC(struct place_assignment) assignments;
	VEC(struct place_refusal) refusals;
	VEC(struct place_victim) victims;
	VEC(struct place_move) moves;
	struct explained *explained; /* by shape */
	struct surveyed *surveyed;   /* by shape */
	struct spared *spared;       /* by shape; null unless it preempts */
	struct bounds bounds;
	struct budgets budgets;
	struct bits placed; /* pods that this solving put: no victims */
	VEC(struct gang) gangs;
	uint32_t *gang_of; /* by want: index of its gang; PLACE_NONE */
	uint64_t steps;
};

/* A point to come back to. */
struct solver_mark {
	size_t assignments, victims;
};

static inline bool place_solver_exhausted(const struct solver *s)
{
	return s->problem->steps_max && s->steps >= s->problem->steps_max;
}

/* ---- problem.c ---- */

/* What the modes ask for; -ERR_INVALID, -ERR_UNSUPPORTED, -ERR_TOO_LARGE name it. */
int place_problem_check_modes(const struct place *p, const struct place_problem *problem,
	struct err *e) MUST_CHECK;

/* ---- solve.c ---- */

struct turn {
	uint32_t want;
	int priority;
	bool wishes; /* has preferred node affinities */
};
/* Places as many of *left replicas of the want as there is room for. */
int place_solver_replicas(struct solver *s, uint32_t want, uint32_t *left,
	struct err *e) MUST_CHECK;
void place_solver_copy_reasons(struct place_refusal *to, const struct place_refusal *from);
struct solver_mark place_solver_mark(const struct solver *s);
void place_solver_rollback(struct solver *s, const struct solver_mark *to);
/* Wants of a problem that has been checked, one after the other or as a batch, into the solver. */
int place_solver_run(struct solver *s, struct err *e) MUST_CHECK;
void place_solver_init(struct solver *s, struct place *p, const struct place_problem *problem);
void place_solver_fill(struct solver *s, struct place_plan *plan); /* takes its results */
void place_solver_done(struct solver *s);

/* ---- gang.c ---- */

void place_gangs_init(struct solver *s, const struct turn *turns);
void place_gangs_done(struct solver *s);
/* Tries to give each of its wants the minimum. left: by want, of all. */
int place_gang_try(struct solver *s, struct gang *g, uint32_t *left, struct err *e) MUST_CHECK;
/* Says why it is not whole. */
int place_gang_refuse(struct solver *s, struct gang *g, struct err *e) MUST_CHECK;

/* ---- lift.c: pods that go for a while ---- */

/* Off its node; the row stays, and with it the number and the reference to the shape. */
void place_pod_lift(struct place *p, uint32_t pod);
/* Onto a node; onto the one that it was lifted from: as if it had never gone, if pods are returned
 * in the reverse order. */
void place_pod_return(struct place *p, uint32_t pod, uint32_t node);
void place_pod_drop(struct place *p, uint32_t pod); /* a lifted one, for good */

/* ---- budget.c ---- */

void place_budgets_init(struct solver *s);
void place_budgets_done(struct budgets *b);
bool place_budgets_let(const struct budgets *b, uint32_t pod); /* go: not pinned, budgets allow */
void place_budgets_take(struct budgets *b, uint32_t pod, int64_t count);
/* The budgets of a pod. */
const uint32_t *place_budgets_of(const struct budgets *b, uint32_t pod, uint32_t *ret_count);

/* ---- preempt.c, victims.c ---- */

/* Looks for the node with the least harm, and lifts its victims (into s->victims). False: none. */
bool place_preempt(struct solver *s, uint32_t want, struct place_choice *ret_choice,
	struct place_harm *ret_harm);

struct victim {
	uint32_t pod, shape;
	int priority;
	uint32_t kind; /* the same for pods that are all alike */
};
struct victims {
	VEC(struct victim) items;
	struct place_harm harm;
};
static inline int place_harm_compare(const struct place_harm *a, const struct place_harm *b)
{
	if (a->highest != b->highest)
		return a->highest < b->highest ? -1 : 1;
	return a->sum < b->sum ? -1 : a->sum > b->sum;
}
/* The set with the least harm among candidates (sorted by priority) that lets a pod of the shape
 * onto the node. Nothing but sets with less harm than `below` (null: all) is looked for. False:
 * there is none. Tables are as before. */
bool place_victims_find(struct solver *s, uint32_t shape, uint32_t node,
	const struct victims *candidates, const struct place_harm *below,
	struct victims *ret_victims);

/* Whether a pod of the shape has constraints besides resources. */
bool place_victims_ask(const struct place *p, const struct shape *s);

/* ---- rebalance.c, whatif.c ---- */

void place_rebalance(struct solver *s);
int place_what_if(struct place *p, const struct place_problem *problem, struct place_plan *ret_plan,
	struct err *e) MUST_CHECK;

#endif
