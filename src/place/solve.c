#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/graph.h"
#include "place/solver.h"

/* ---- the problem ---- */

static int check_weights(const struct place_weights *w, struct err *e)
{
	for (int i = 0; i < PLACE_TERM_COUNT; i++) {
		const char *name = place_term_name((enum place_term)i);
		if (!isfinite(w->of[i]) || w->of[i] < -1000 || w->of[i] > 1000)
			return err_set(e, ERR_INVALID, "weight of %s is not -1000 to 1000", name);
	}
	return 0;
}

static int check(const struct place *p, const struct place_problem *problem, struct err *e)
{
	if ((unsigned)problem->mode > PLACE_WHAT_IF)
		return err_set(e, ERR_INVALID, "there is no mode %u of placement",
			(unsigned)problem->mode);
	if (problem->application && problem->mode != PLACE_ONLINE && problem->mode != PLACE_BATCH)
		return err_set(e, ERR_UNSUPPORTED,
			"an application's graph is placed online or as a batch only");
	if (p->device_nodes && problem->mode >= PLACE_REBALANCE)
		return err_set(e, ERR_UNSUPPORTED,
			"rebalance, preemption and what-if do not move shared devices yet");
	uint64_t pods = p->pod_count;
	for (uint32_t i = 0; i < problem->want_count; i++) {
		const struct place_want *w = &problem->wants[i];
		if (w->shape >= p->shapes.count || !p->shapes.items[w->shape].used)
			return err_set(e, ERR_INVALID,
				"want %u has a shape that is not in the tables", i);
		if (w->count == 0 ||
			(w->node != PLACE_NONE &&
				(w->node >= p->nodes.count || !p->nodes.items[w->node].used)))
			return err_set(e, ERR_INVALID, "want %u: no replicas, or an unknown node",
				i);
		pods += w->count;
	}
	if (pods > PLACE_PODS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %u pods", PLACE_PODS_MAX);
	int rc = problem->weights ? check_weights(problem->weights, e) : 0;
	return rc == 0 ? place_problem_check_modes(p, problem, e) : rc;
}

/* ---- refusals ---- */

void place_solver_copy_reasons(struct place_refusal *to, const struct place_refusal *from)
{
	to->reason_count = from->reason_count;
	if (!from->reason_count)
		return;
	to->reasons = mem_alloc_array(from->reason_count, sizeof(*to->reasons));
	memcpy(to->reasons, from->reasons, from->reason_count * sizeof(*to->reasons));
}

static void refuse(struct solver *s, uint32_t want, uint32_t count)
{
	const struct place_want *w = &s->problem->wants[want];
	if (!s->explained)
		s->explained = mem_alloc_array(s->p->shapes.count, sizeof(*s->explained));
	struct explained *known = &s->explained[w->shape];
	struct place_refusal r = {
		.want = want, .count = count, .nodes = s->p->node_count, .displaced = PLACE_NONE};
	bool any_node = w->node == PLACE_NONE;
	if (any_node && known->refusal && known->assignments == s->assignments.count)
		place_solver_copy_reasons(&r, &s->refusals.items[known->refusal - 1]);
	else if (!place_solver_exhausted(s) && !s->problem->brief)
		place_explain(s->p, w->shape, w->node, NULL, &r, &s->steps);
	else
		r.undecided = true;
	vec_push(&s->refusals, r);
	if (any_node && !r.undecided)
		*known = (struct explained){s->refusals.count, s->assignments.count};
}

/* ---- all of them ---- */

/* Before the pod is put: it does not stand in its own way. */
static void add_reasons(struct solver *s, uint32_t shape, struct place_assignment *a)
{
	struct surveyed *x = &s->surveyed[shape];
	uint64_t size = (uint64_t)s->problem->want_count * s->p->node_count;
	bool current = x->assignments == s->assignments.count || size > PLACE_SURVEY_MAX;
	if (!x->done || !current) {
		place_refusal_done(&x->found);
		x->feasible = place_survey(s->p, shape, &x->found);
		x->done = true;
		x->assignments = s->assignments.count;
	}
	struct place_refusal copy = {0};
	place_solver_copy_reasons(&copy, &x->found);
	a->feasible = x->feasible;
	a->reasons = copy.reasons;
	a->reason_count = copy.reason_count;
}

static int assign(struct solver *s, uint32_t want, const struct place_choice *c,
	const struct place_harm *harm, struct err *e)
{
	const struct place_want *w = &s->problem->wants[want];
	struct place_assignment a = {.want = want,
		.node = c->node,
		.cost = c->cost,
		.alternative = PLACE_NONE,
		.displaced = PLACE_NONE,
		.added = PLACE_NONE,
		.order = (uint32_t)s->assignments.count,
		.victim = (uint32_t)s->victims.count - harm->count,
		.harm = *harm};
	if (s->problem->explain && c->alternative != PLACE_NONE) {
		a.alternative = c->alternative;
		a.alternative_cost = c->alternative_cost;
	}
	if (s->problem->explain)
		add_reasons(s, w->shape, &a);
	int rc = place_pod_put(s->p, w->shape, c->node, w->priority, &a.pod, e);
	if (rc != 0) {
		free(a.reasons);
		return rc;
	}
	vec_push(&s->assignments, a);
	if (s->spared)
		place_bits_set(&s->placed, a.pod, true);
	return 0;
}

int place_solver_replicas(struct solver *s, uint32_t want, uint32_t *left, struct err *e)
{
	while (*left > 0 && !place_solver_exhausted(s)) {
		const struct place_want *w = &s->problem->wants[want];
		struct place_choice c;
		struct place_harm harm = {0};
		place_choose(s->p,
			&(struct place_question){
				w->shape, w->node, s->weights, s->problem->explain, false, NULL},
			&c);
		s->steps += c.steps;
		if (c.node == PLACE_NONE && !(s->spared && place_preempt(s, want, &c, &harm)))
			return 0;
		int rc = assign(s, want, &c, &harm, e);
		if (rc != 0)
			return rc;
		--*left;
	}
	return 0;
}

struct solver_mark place_solver_mark(const struct solver *s)
{
	return (struct solver_mark){s->assignments.count, s->victims.count};
}

/* Back onto its node, in the reverse order of how they went. */
static void return_victims(struct solver *s, size_t down_to)
{
	while (s->victims.count > down_to) {
		const struct place_victim *v = &s->victims.items[--s->victims.count];
		place_pod_return(s->p, v->pod, v->node);
		place_budgets_take(&s->budgets, v->pod, -1);
	}
}

void place_solver_rollback(struct solver *s, const struct solver_mark *to)
{
	while (s->assignments.count > to->assignments) {
		struct place_assignment *a = &s->assignments.items[--s->assignments.count];
		place_pod_undo(s->p, a->pod);
		if (s->spared)
			place_bits_set(&s->placed, a->pod, false);
		return_victims(s, a->victim);
		free(a->reasons);
	}
	return_victims(s, to->victims);
	s->bounds.known = false;
}

static int compare_turns(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->wishes != y->wishes) /* who has none gives way at no cost */
		return x->wishes ? -1 : 1;
	return x->want < y->want ? -1 : x->want > y->want;
}

static struct turn *order(const struct place *p, const struct place_problem *problem)
{
	struct turn *turns = mem_alloc_array(problem->want_count, sizeof(*turns));
	for (uint32_t i = 0; i < problem->want_count; i++) {
		const struct place_want *w = &problem->wants[i];
		turns[i] = (struct turn){i, w->priority,
			place_profile_of(p, &p->shapes.items[w->shape])->preferred.count > 0};
	}
	if (problem->mode != PLACE_ONLINE && problem->want_count)
		qsort(turns, problem->want_count, sizeof(*turns), compare_turns);
	return turns;
}

/* A shape that found no node finds none later either, since nodes only fill up; unless it seeks the
 * company of pods that are placed later, or others of the same spread raise the minimum. Where pods
 * go too, those that keep others out may be among them. */
static bool stays_refused(const struct solver *s, const struct shape *x)
{
	return !x->seeks && x->spreads.count == 0 &&
	       (!s->spared || (x->terms.count == 0 && x->matches.count == 0));
}

/* Those that are in a gang get what is above its minimum by themselves. */
static int one_want(struct solver *s, uint32_t want, uint32_t *left, bool *full, struct err *e)
{
	const struct place_want *w = &s->problem->wants[want];
	bool online = s->problem->mode == PLACE_ONLINE;
	struct gang *g = s->gang_of && s->gang_of[want] != PLACE_NONE
				 ? &s->gangs.items[s->gang_of[want]]
				 : NULL;
	if (g && g->refusal)
		return 0;
	if (g && !g->whole) {
		int rc = place_gang_try(s, g, left, e);
		if (rc == 0 && !g->whole && online)
			rc = place_gang_refuse(s, g, e);
		if (rc != 0 || !g->whole)
			return rc;
	}
	int rc = full[w->shape] ? 0 : place_solver_replicas(s, want, &left[want], e);
	if (rc != 0)
		return rc;
	if (left[want] > 0 && w->node == PLACE_NONE && !place_solver_exhausted(s))
		full[w->shape] = stays_refused(s, &s->p->shapes.items[w->shape]);
	if (left[want] > 0 && online)
		refuse(s, want, left[want]); /* as things are at its turn */
	return 0;
}

static int one_round(struct solver *s, const struct turn *turns, uint32_t *left, bool *full,
	struct err *e)
{
	int rc = 0;
	for (uint32_t i = 0; i < s->problem->want_count && rc == 0; i++)
		if (left[turns[i].want] > 0)
			rc = one_want(s, turns[i].want, left, full, e);
	return rc;
}

static int refuse_rest(struct solver *s, const uint32_t *left, struct err *e)
{
	int rc = 0;
	for (uint32_t i = 0; i < s->problem->want_count && rc == 0; i++) {
		uint32_t gang = s->gang_of ? s->gang_of[i] : PLACE_NONE;
		if (left[i] == 0)
			continue;
		if (gang == PLACE_NONE || s->gangs.items[gang].whole)
			refuse(s, i, left[i]);
		else if (s->gangs.items[gang].refusal == 0)
			rc = place_gang_refuse(s, &s->gangs.items[gang], e);
	}
	return rc;
}

int place_solver_run(struct solver *s, struct err *e)
{
	uint32_t *left = mem_alloc_array(s->problem->want_count, sizeof(*left));
	for (uint32_t i = 0; i < s->problem->want_count; i++)
		left[i] = s->problem->wants[i].count;
	struct turn *turns = order(s->p, s->problem);
	place_gangs_init(s, turns);
	bool *full = mem_alloc_array(s->p->shapes.count, sizeof(*full));
	bool batch = s->problem->mode != PLACE_ONLINE;
	size_t before;
	int rc;
	do {
		before = s->assignments.count;
		rc = one_round(s, turns, left, full, e);
	} while (rc == 0 && batch && s->assignments.count > before);
	if (rc == 0 && batch)
		rc = refuse_rest(s, left, e);
	free(turns);
	free(full);
	free(left);
	return rc;
}

/* ---- the plan ---- */

static int compare_assignments(const void *a, const void *b)
{
	const struct place_assignment *x = a, *y = b;
	if (x->want != y->want)
		return x->want < y->want ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* The tables as they were; the decisions stay. */
static void take_back(struct solver *s)
{
	size_t victims = s->victims.count;
	for (size_t i = s->assignments.count; i-- > 0;) {
		struct place_assignment *a = &s->assignments.items[i];
		place_pod_undo(s->p, a->pod);
		a->pod = PLACE_NONE;
		return_victims(s, a->victim);
	}
	s->victims.count = victims;
}

void place_solver_fill(struct solver *s, struct place_plan *plan)
{
	if (!s->problem->apply)
		take_back(s);
	if (s->assignments.count)
		qsort(s->assignments.items, s->assignments.count, sizeof(*s->assignments.items),
			compare_assignments);
	*plan = (struct place_plan){.assignments = s->assignments.items,
		.assignment_count = (uint32_t)s->assignments.count,
		.refusals = s->refusals.items,
		.refusal_count = (uint32_t)s->refusals.count,
		.victims = s->victims.items,
		.victim_count = (uint32_t)s->victims.count,
		.moves = s->moves.items,
		.move_count = (uint32_t)s->moves.count,
		.steps = s->steps,
		.holds = s->problem->apply && s->victims.count ? s->p : NULL};
	VEC_EACH (&s->assignments, struct place_assignment, a) {
		plan->cost.total += a->cost.total;
		for (int i = 0; i < PLACE_TERM_COUNT; i++)
			plan->cost.terms[i] += a->cost.terms[i];
	}
	VEC_EACH (&s->moves, struct place_move, m) {
		plan->gain += m->gain;
		plan->cost.total += m->after.total - m->before.total;
		for (int i = 0; i < PLACE_TERM_COUNT; i++)
			plan->cost.terms[i] += m->after.terms[i] - m->before.terms[i];
	}
	s->assignments.items = NULL;
	s->refusals.items = NULL;
	s->victims.items = NULL;
	s->moves.items = NULL;
}

void place_solver_init(struct solver *s, struct place *p, const struct place_problem *problem)
{
	struct place_weights usual = place_weights_default();
	*s = (struct solver){.p = p, .problem = problem};
	place_weights_fix(problem->weights ? problem->weights : &usual, s->weights);
	if (problem->explain)
		s->surveyed = mem_alloc_array(p->shapes.count, sizeof(*s->surveyed));
	if (problem->mode == PLACE_PREEMPT)
		s->spared = mem_alloc_array(p->shapes.count, sizeof(*s->spared));
	if (problem->mode == PLACE_PREEMPT || problem->mode == PLACE_REBALANCE)
		place_budgets_init(s);
}

/* What place_solver_fill did not take: the solving failed. */
void place_solver_done(struct solver *s)
{
	if (s->assignments.items)
		place_solver_rollback(s, &(struct solver_mark){0});
	vec_done(&s->assignments);
	for (size_t i = 0; s->refusals.items && i < s->refusals.count; i++)
		free(s->refusals.items[i].reasons);
	vec_done(&s->refusals);
	vec_done(&s->victims);
	vec_done(&s->moves);
	for (size_t i = 0; s->surveyed && i < s->p->shapes.count; i++)
		place_refusal_done(&s->surveyed[i].found);
	free(s->surveyed);
	free(s->explained);
	free(s->spared);
	vec_done(&s->bounds.heap);
	place_budgets_done(&s->budgets);
	place_bits_done(&s->placed);
	place_gangs_done(s);
}

int place_solve(struct place *p, const struct place_problem *problem, struct place_plan *ret_plan,
	struct err *e)
{
	int rc = check(p, problem, e);
	if (rc != 0)
		return rc;
	if (problem->mode == PLACE_WHAT_IF)
		return place_what_if(p, problem, ret_plan, e);
	if (problem->application) {
		int64_t weights[PLACE_TERM_COUNT];
		struct place_weights usual = place_weights_default();
		place_weights_fix(problem->weights ? problem->weights : &usual, weights);
		return place_graph_solve(p, problem, weights, ret_plan, e);
	}
	struct solver s;
	place_solver_init(&s, p, problem);
	struct outlook *aside = NULL;
	if (s.weights[PLACE_TERM_FRAGMENTATION] != 0)
		aside = place_outlook_prepare(p, problem);
	if (problem->mode == PLACE_REBALANCE)
		place_rebalance(&s);
	else
		rc = place_solver_run(&s, e);
	if (rc == 0)
		place_solver_fill(&s, ret_plan);
	place_outlook_restore(p, aside);
	place_solver_done(&s);
	return rc;
}

/* ---- afterwards ---- */

static int compare_orders(const void *a, const void *b)
{
	const struct place_assignment *const *x = a, *const *y = b;
	return (*x)->order < (*y)->order ? -1 : (*x)->order > (*y)->order;
}

/* In the reverse order, so that all numbers are given out as they were. */
static void undo_assignments(struct place *p, struct place_plan *plan)
{
	struct place_assignment **sorted =
		mem_alloc_array(plan->assignment_count, sizeof(struct place_assignment *));
	for (uint32_t i = 0; i < plan->assignment_count; i++)
		sorted[i] = &plan->assignments[i];
	if (plan->assignment_count)
		qsort(sorted, plan->assignment_count, sizeof(struct place_assignment *),
			compare_orders);
	for (uint32_t i = plan->assignment_count; i-- > 0;) {
		struct place_assignment *a = sorted[i];
		if (a->pod == PLACE_NONE)
			continue;
		place_pod_undo(p, a->pod);
		a->pod = PLACE_NONE;
		for (uint32_t k = a->harm.count; k-- > 0 && plan->holds;)
			place_pod_return(p, plan->victims[a->victim + k].pod,
				plan->victims[a->victim + k].node);
	}
	free(sorted);
	plan->holds = NULL;
}

void place_plan_undo(struct place *p, struct place_plan *plan)
{
	undo_assignments(p, plan);
	for (uint32_t i = plan->move_count; i-- > 0;) {
		const struct place_move *m = &plan->moves[i];
		if (place_pod_node(p, m->pod) != m->to)
			continue; /* it was not applied */
		place_pod_lift(p, m->pod);
		p->pods.items[m->pod].previous = m->previous;
		p->pods.items[m->pod].next = m->next;
		place_pod_return(p, m->pod, m->from);
	}
}

void place_plan_done(struct place_plan *plan)
{
	for (uint32_t i = plan->victim_count; i-- > 0 && plan->holds;)
		place_pod_drop(plan->holds, plan->victims[i].pod);
	for (uint32_t i = 0; i < plan->refusal_count; i++)
		free(plan->refusals[i].reasons);
	for (uint32_t i = 0; i < plan->assignment_count; i++)
		free(plan->assignments[i].reasons);
	free(plan->assignments);
	free(plan->refusals);
	free(plan->victims);
	free(plan->moves);
	*plan = (struct place_plan){0};
}
