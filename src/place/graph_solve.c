/* Places an application: what the solver for wholes finds, and one replica after the other; the
 * better of the two is the plan. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/graph.h"

#define IMPROVE_ROUNDS 3
#define GROW_MOST 1024u /* replicas of a want */
#define GROW_ATTEMPTS 20u
#define GROW_STEPS 6000u

struct run {
	struct graph g;
	struct trial best;
	bool any;
	uint32_t item_count, attempts;
};

/* ---- which of two ways is better ---- */

/* Replicas of a priority that found no node; what is expected counts after all that is here. */
static uint64_t missing(const struct graph *g, const struct trial *t, bool expected, int priority)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < g->problem->want_count; i++) {
		const struct place_want *w = &g->problem->wants[i];
		if (w->expected == expected && w->priority == priority)
			sum += t->left[i];
	}
	return sum;
}

/* Below 0: a leaves out less of what matters more. */
static int compare_missing(const struct graph *g, const struct trial *a, const struct trial *b)
{
	bool found = false, worse = false, expected = false;
	int priority = 0;
	for (uint32_t i = 0; i < g->problem->want_count; i++) {
		const struct place_want *w = &g->problem->wants[i];
		if (a->left[i] == b->left[i])
			continue;
		bool before =
			found && (w->expected != expected ? w->expected : w->priority <= priority);
		uint64_t x = missing(g, a, w->expected, w->priority);
		uint64_t y = missing(g, b, w->expected, w->priority);
		if (before || x == y)
			continue;
		found = true;
		expected = w->expected;
		priority = w->priority;
		worse = x > y;
	}
	return found ? (worse ? 1 : -1) : 0;
}

/* Takes it back from the tables, and keeps it if it is better. */
static void offer(struct run *r, struct trial *t)
{
	trial_take_back(&r->g, t);
	int missing_more = r->any ? compare_missing(&r->g, t, &r->best) : -1;
	if (missing_more < 0 || (missing_more == 0 && t->total < r->best.total)) {
		trial_done(&r->best);
		r->best = *t;
		r->any = true;
		*t = (struct trial){0};
	}
	trial_done(t);
}

/* ---- the ways ---- */

/* Others may count on a replica to be where it is. */
static bool may_improve(const struct graph *g)
{
	for (uint32_t i = 0; i < g->problem->want_count; i++) {
		const struct shape *s = &g->p->shapes.items[g->problem->wants[i].shape];
		if (s->seeks || s->spreads.count)
			return false;
	}
	return true;
}

static void copy_trial(const struct graph *g, struct trial *to, const struct trial *from)
{
	uint32_t wants = g->problem->want_count;
	*to = (struct trial){
		.left = mem_alloc_array(wants, sizeof(*to->left)), .total = from->total};
	memcpy(to->left, from->left, wants * sizeof(*to->left));
	VEC_EACH (&from->puts, struct put, put)
		vec_push(&to->puts, *put);
}

static int improve(struct run *r, struct err *e)
{
	bool moved = may_improve(&r->g) && r->best.puts.count > 1;
	struct trial t;
	int rc = 0;
	if (!moved)
		return 0;
	copy_trial(&r->g, &t, &r->best);
	rc = trial_put_again(&r->g, &t, e);
	for (int i = 0; rc == 0 && moved && i < IMPROVE_ROUNDS; i++)
		rc = trial_improve(&r->g, &t, &moved, e);
	if (rc == 0)
		rc = trial_price(&r->g, &t, e);
	if (rc == 0) {
		offer(r, &t);
	} else {
		trial_take_back(&r->g, &t);
		trial_done(&t);
	}
	return rc;
}

static int try_nodes(struct run *r, const uint32_t *nodes, struct err *e)
{
	struct trial t;
	int rc = trial_run(&r->g, nodes, &t, e);
	if (rc == 0)
		offer(r, &t);
	return rc;
}

/* As many replicas of a want as there is a plan for, with those of `counts` before it. */
static bool grow_one(struct run *r, uint32_t want, uint32_t *counts, uint32_t *nodes)
{
	uint32_t low = 0, most = r->g.problem->wants[want].count;
	uint32_t high = (most < GROW_MOST ? most : GROW_MOST) + 1;
	bool found = false;
	counts[want] = high - 1;
	while (low + 1 < high && r->attempts < GROW_ATTEMPTS && !graph_out_of_steps(&r->g)) {
		r->attempts++;
		if (graph_assign(&r->g, counts, GROW_STEPS, nodes)) {
			low = counts[want];
			found = true;
		} else {
			high = counts[want];
		}
		counts[want] = low + (high - low) / 2;
	}
	counts[want] = low;
	return found;
}

/* Whether a replica that was left out would have a node if it were not for links. */
static int is_link_bound(struct run *r, bool *ret_bound, struct err *e)
{
	struct graph *g = &r->g;
	*ret_bound = false;
	int rc = trial_put_again(g, &r->best, e);
	for (uint32_t i = 0; rc == 0 && i < g->problem->want_count && !*ret_bound; i++) {
		const struct place_want *w = &g->problem->wants[i];
		struct place_question q = {w->shape, w->node, g->weights, false, false, NULL};
		struct place_choice c;
		if (r->best.left[i] == 0)
			continue;
		place_choose(g->p, &q, &c);
		g->steps += c.steps;
		*ret_bound = c.node != PLACE_NONE;
	}
	trial_take_back(g, &r->best);
	return rc;
}

/* Want by want in their order, when all of them cannot be had: one after the other may have stood
 * where the bounds of links leave no room for the rest. */
static int try_growing(struct run *r, uint32_t *counts, uint32_t *nodes, struct err *e)
{
	const struct place_problem *problem = r->g.problem;
	CLEANUP(mem_free_ptr) struct graph_turn *turns = graph_order(problem);
	bool bound, found = false;
	int rc = is_link_bound(r, &bound, e);
	if (rc != 0 || !bound)
		return rc;
	memset(counts, 0, problem->want_count * sizeof(*counts));
	for (uint32_t i = 0; i < problem->want_count; i++)
		found = grow_one(r, turns[i].want, counts, nodes) || found;
	return found ? try_nodes(r, nodes, e) : 0;
}

/* The whole; if that is not to be had, as much of it as one after the other found room for, and as
 * much as can be had want by want. */
static int try_whole(struct run *r, uint32_t *counts, uint32_t *nodes, struct err *e)
{
	const struct place_problem *problem = r->g.problem;
	bool less = false;
	VEC_EACH (&r->best.puts, struct put, put)
		r->g.favoured[graph_place_of(&r->g, put->node)] = true;
	for (uint32_t i = 0; i < problem->want_count; i++)
		counts[i] = problem->wants[i].count;
	if (graph_assign(&r->g, counts, 0, nodes))
		return try_nodes(r, nodes, e);
	for (uint32_t i = 0; i < problem->want_count; i++) {
		counts[i] -= r->best.left[i];
		less = less || r->best.left[i] > 0;
	}
	if (!less)
		return 0;
	int rc = 0;
	if (r->best.puts.count > 1 && graph_assign(&r->g, counts, 0, nodes))
		rc = try_nodes(r, nodes, e);
	return rc ? rc : try_growing(r, counts, nodes, e);
}

static int try_all(struct run *r, struct err *e)
{
	uint32_t wants = r->g.problem->want_count;
	CLEANUP(mem_free_ptr) uint32_t *counts = mem_alloc_array(wants, sizeof(*counts));
	CLEANUP(mem_free_ptr) uint32_t *nodes = mem_alloc_array(r->item_count, sizeof(*nodes));
	int rc = try_nodes(r, NULL, e);
	/* One replica by itself is where it costs least. */
	if (rc == 0 && r->item_count > 1 && !graph_out_of_steps(&r->g))
		rc = try_whole(r, counts, nodes, e);
	return rc ? rc : improve(r, e);
}

/* ---- the plan ---- */

static void refuse(struct run *r, uint32_t want, struct place_refusal *x)
{
	struct graph *g = &r->g;
	const struct place_want *w = &g->problem->wants[want];
	struct site_bars bars = {0};
	*x = (struct place_refusal){
		.want = want, .count = r->best.left[want], .nodes = g->p->node_count};
	x->undecided = graph_out_of_steps(g);
	if (!x->undecided) {
		graph_find_bars(g, w->component, &bars);
		place_explain(g->p, w->shape, w->node, &bars, x, &g->steps);
	}
	vec_done(&bars.items);
}

static int compare_puts(const void *a, const void *b)
{
	const struct put *x = a, *y = b;
	if (x->want != y->want)
		return x->want < y->want ? -1 : 1;
	if (x->node != y->node) /* numbers of pods are not the same each time */
		return x->node < y->node ? -1 : 1;
	return x->pod < y->pod ? -1 : x->pod > y->pod;
}

static int fill_assignments(struct run *r, struct place_plan *plan, struct err *e)
{
	struct graph *g = &r->g;
	const struct place_problem *problem = g->problem;
	uint32_t count = (uint32_t)r->best.puts.count, surveyed = PLACE_NONE;
	uint64_t size = (uint64_t)count * g->p->node_count;
	struct put *puts = r->best.puts.items;
	int rc = 0;
	if (count)
		qsort(puts, count, sizeof(*puts), compare_puts);
	plan->assignments = mem_alloc_array(count, sizeof(*plan->assignments));
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct place_assignment *a = &plan->assignments[plan->assignment_count++];
		*a = (struct place_assignment){.want = puts[i].want,
			.node = puts[i].node,
			.cost = puts[i].cost,
			.alternative = PLACE_NONE};
		bool survey = size <= PLACE_SURVEY_MAX || surveyed != puts[i].want;
		if (problem->explain)
			rc = trial_explain(g, &puts[i], survey, a, e);
		surveyed = puts[i].want;
		a->pod = puts[i].pod;
		plan->cost.total += a->cost.total;
		for (int k = 0; k < PLACE_TERM_COUNT; k++)
			plan->cost.terms[k] += a->cost.terms[k];
	}
	return rc;
}

static void fill_refusals(struct run *r, struct place_plan *plan)
{
	uint32_t wants = r->g.problem->want_count;
	plan->refusals = mem_alloc_array(wants, sizeof(*plan->refusals));
	for (uint32_t i = 0; i < wants; i++)
		if (r->best.left[i] > 0)
			refuse(r, i, &plan->refusals[plan->refusal_count++]);
}

/* Those that are not to be in the tables, the last one first. */
static void take_out(struct run *r, struct place_plan *plan, bool all)
{
	for (uint32_t i = plan->assignment_count; i-- > 0;) {
		struct place_assignment *a = &plan->assignments[i];
		if (a->pod == PLACE_NONE || !(all || r->g.problem->wants[a->want].expected))
			continue;
		place_pod_undo(r->g.p, a->pod);
		a->pod = PLACE_NONE;
	}
}

static int fill_plan(struct run *r, struct place_plan *ret_plan, struct err *e)
{
	struct place_plan plan = {0};
	int rc = trial_put_again(&r->g, &r->best, e);
	if (rc == 0)
		rc = fill_assignments(r, &plan, e);
	if (rc != 0) {
		trial_take_back(&r->g, &r->best);
		place_plan_done(&plan);
		return rc;
	}
	fill_refusals(r, &plan);
	take_out(r, &plan, !r->g.problem->apply);
	plan.steps = r->g.steps;
	*ret_plan = plan;
	return 0;
}

int place_graph_solve(struct place *p, const struct place_problem *problem, const int64_t *weights,
	struct place_plan *ret_plan, struct err *e)
{
	struct run r = {0};
	int rc = graph_init(&r.g, p, problem, weights, e);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < problem->want_count; i++)
		r.item_count += problem->wants[i].count;
	rc = try_all(&r, e);
	if (rc == 0)
		rc = fill_plan(&r, ret_plan, e);
	trial_done(&r.best);
	graph_done(&r.g);
	return rc;
}
