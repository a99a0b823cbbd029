#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
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

struct solver {
	struct place *p;
	const struct place_problem *problem;
	int64_t weights[PLACE_TERM_COUNT];
	VEC(struct place_assignment) assignments;
	VEC(struct place_refusal) refusals;
	struct explained *explained; /* by shape; null until something is refused */
	struct surveyed *surveyed;   /* by shape; null when nothing is explained */
	uint64_t steps;
};

/* ---- the problem ---- */

static int check_weights(const struct place_weights *w, struct err *e)
{
	for (int i = 0; i < PLACE_TERM_COUNT; i++) {
		const char *name = place_term_name((enum place_term)i);
		if (!isfinite(w->of[i]) || w->of[i] < -1000 || w->of[i] > 1000)
			return err_set(e, ERR_INVALID, "weight of %s is not -1000 to 1000", name);
		if (w->of[i] != 0 && i > PLACE_TERM_IMAGE && i != PLACE_TERM_FRAGMENTATION)
			return err_set(e, ERR_UNSUPPORTED, "objective %s is not supported yet",
				name);
	}
	return 0;
}

static int check(const struct place *p, const struct place_problem *problem, struct err *e)
{
	if (problem->mode != PLACE_ONLINE && problem->mode != PLACE_BATCH)
		return err_set(e, ERR_UNSUPPORTED, "this mode of placement is not supported yet");
	if (problem->application || problem->moves_max)
		return err_set(e, ERR_UNSUPPORTED,
			"placement of an application's graph is not "
			"supported yet");
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
		if (w->gang_minimum)
			return err_set(e, ERR_UNSUPPORTED, "gangs are not supported yet");
		pods += w->count;
	}
	if (pods > PLACE_PODS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %u pods", PLACE_PODS_MAX);
	return problem->weights ? check_weights(problem->weights, e) : 0;
}

/* ---- decisions ---- */

static bool out_of_steps(const struct solver *s)
{
	return s->problem->steps_max && s->steps >= s->problem->steps_max;
}

/* ---- refusals ---- */

static void copy_reasons(struct place_refusal *to, const struct place_refusal *from)
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
	struct place_refusal r = {.want = want, .count = count, .nodes = s->p->node_count};
	bool any_node = w->node == PLACE_NONE;
	if (any_node && known->refusal && known->assignments == s->assignments.count)
		copy_reasons(&r, &s->refusals.items[known->refusal - 1]);
	else if (!out_of_steps(s) && !s->problem->brief)
		place_explain(s->p, w->shape, w->node, &r, &s->steps);
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
	copy_reasons(&copy, &x->found);
	a->feasible = x->feasible;
	a->reasons = copy.reasons;
	a->reason_count = copy.reason_count;
}

static int assign(struct solver *s, uint32_t want, const struct place_choice *c, struct err *e)
{
	const struct place_want *w = &s->problem->wants[want];
	struct place_assignment a = {
		.want = want, .node = c->node, .cost = c->cost, .alternative = PLACE_NONE};
	if (s->problem->explain && c->alternative != PLACE_NONE) {
		a.alternative = c->alternative;
		a.alternative_cost = c->alternative_cost;
	}
	if (s->problem->explain)
		add_reasons(s, w->shape, &a);
	int rc = place_pod_put(s->p, w->shape, c->node, w->priority, &a.pod, e);
	if (rc == 0)
		vec_push(&s->assignments, a);
	else
		free(a.reasons);
	return rc;
}

/* Places as many of *left replicas as there is room for. */
static int place_replicas(struct solver *s, uint32_t want, uint32_t *left, struct err *e)
{
	while (*left > 0 && !out_of_steps(s)) {
		const struct place_want *w = &s->problem->wants[want];
		struct place_choice c;
		place_choose(s->p,
			&(struct place_question){
				w->shape, w->node, s->weights, s->problem->explain, false},
			&c);
		s->steps += c.steps;
		if (c.node == PLACE_NONE)
			return 0;
		int rc = assign(s, want, &c, e);
		if (rc != 0)
			return rc;
		--*left;
	}
	return 0;
}

struct turn {
	uint32_t want;
	int priority;
	bool wishes; /* has preferred node affinities */
};

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
	if (problem->mode == PLACE_BATCH)
		qsort(turns, problem->want_count, sizeof(*turns), compare_turns);
	return turns;
}

/* A shape that found no node finds none later either, since nodes only fill up; unless it seeks the
 * company of pods that are placed later, or others of the same spread raise the minimum. */
static bool stays_refused(const struct shape *s)
{
	return !s->seeks && s->spreads.count == 0;
}

static int one_round(struct solver *s, const struct turn *turns, uint32_t *left, bool *full,
	struct err *e)
{
	for (uint32_t i = 0; i < s->problem->want_count; i++) {
		uint32_t want = turns[i].want;
		const struct place_want *w = &s->problem->wants[want];
		if (left[want] == 0)
			continue;
		int rc = full[w->shape] ? 0 : place_replicas(s, want, &left[want], e);
		if (rc != 0)
			return rc;
		if (left[want] > 0 && w->node == PLACE_NONE && !out_of_steps(s))
			full[w->shape] = stays_refused(&s->p->shapes.items[w->shape]);
		if (left[want] > 0 && s->problem->mode == PLACE_ONLINE)
			refuse(s, want, left[want]); /* as things are at its turn */
	}
	return 0;
}

static int place_all(struct solver *s, uint32_t *left, struct err *e)
{
	struct turn *turns = order(s->p, s->problem);
	bool *full = mem_alloc_array(s->p->shapes.count, sizeof(*full));
	size_t before;
	int rc;
	do {
		before = s->assignments.count;
		rc = one_round(s, turns, left, full, e);
	} while (rc == 0 && s->problem->mode == PLACE_BATCH && s->assignments.count > before);
	for (uint32_t i = 0;
		rc == 0 && s->problem->mode == PLACE_BATCH && i < s->problem->want_count; i++)
		if (left[i] > 0)
			refuse(s, i, left[i]);
	free(turns);
	free(full);
	return rc;
}

static int compare_assignments(const void *a, const void *b)
{
	const struct place_assignment *x = a, *y = b;
	if (x->want != y->want)
		return x->want < y->want ? -1 : 1;
	return x->pod < y->pod ? -1 : x->pod > y->pod;
}

static void take_back(struct solver *s)
{
	for (size_t i = s->assignments.count; i-- > 0;) {
		place_pod_undo(s->p, s->assignments.items[i].pod);
		s->assignments.items[i].pod = PLACE_NONE;
	}
}

static void fill_plan(struct solver *s, struct place_plan *plan)
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
		.steps = s->steps};
	VEC_EACH (&s->assignments, struct place_assignment, a) {
		plan->cost.total += a->cost.total;
		for (int i = 0; i < PLACE_TERM_COUNT; i++)
			plan->cost.terms[i] += a->cost.terms[i];
	}
}

int place_solve(struct place *p, const struct place_problem *problem, struct place_plan *ret_plan,
	struct err *e)
{
	int rc = check(p, problem, e);
	if (rc != 0)
		return rc;
	struct solver s = {.p = p, .problem = problem};
	struct place_weights usual = place_weights_default();
	place_weights_fix(problem->weights ? problem->weights : &usual, s.weights);
	struct outlook *aside = NULL;
	if (s.weights[PLACE_TERM_FRAGMENTATION] != 0)
		aside = place_outlook_prepare(p, problem);
	uint32_t *left = mem_alloc_array(problem->want_count, sizeof(*left));
	for (uint32_t i = 0; i < problem->want_count; i++)
		left[i] = problem->wants[i].count;
	if (problem->explain)
		s.surveyed = mem_alloc_array(p->shapes.count, sizeof(*s.surveyed));
	rc = place_all(&s, left, e);
	if (rc == 0) {
		fill_plan(&s, ret_plan);
	} else {
		take_back(&s);
		VEC_EACH (&s.assignments, struct place_assignment, a)
			free(a->reasons);
		vec_done(&s.assignments);
		VEC_EACH (&s.refusals, struct place_refusal, r)
			free(r->reasons);
		vec_done(&s.refusals);
	}
	place_outlook_restore(p, aside);
	for (size_t i = 0; s.surveyed && i < p->shapes.count; i++)
		place_refusal_done(&s.surveyed[i].found);
	free(s.surveyed);
	free(s.explained);
	free(left);
	return rc;
}

void place_plan_undo(struct place *p, struct place_plan *plan)
{
	for (uint32_t i = plan->assignment_count; i-- > 0;) {
		if (plan->assignments[i].pod == PLACE_NONE)
			continue;
		place_pod_undo(p, plan->assignments[i].pod);
		plan->assignments[i].pod = PLACE_NONE;
	}
}

void place_plan_done(struct place_plan *plan)
{
	for (uint32_t i = 0; i < plan->refusal_count; i++)
		free(plan->refusals[i].reasons);
	for (uint32_t i = 0; i < plan->assignment_count; i++)
		free(plan->assignments[i].reasons);
	free(plan->assignments);
	free(plan->refusals);
	*plan = (struct place_plan){0};
}
