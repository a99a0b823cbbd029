/* Nodes come, go and are drained for the time of one solving; pods that lose their place ask for
 * another one like any want. Then all is taken back in the reverse order. */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "place/solver.h"

struct lifted {
	uint32_t pod, node;
};
struct done { /* a change */
	uint32_t node;
	size_t lifted; /* how many pods were lifted before it */
	bool drained;  /* by it */
};
struct what_if {
	struct place *p;
	const struct place_problem *problem;
	struct bits pinned;
	VEC(struct lifted) lifted;
	VEC(struct done) done;
	VEC(uint32_t) displaced;
	VEC(struct place_want) wants; /* those of the problem, then those of the displaced */
	size_t sites;
};

/* ---- changes ---- */

static void lift_pods(struct what_if *x, uint32_t node, bool all)
{
	uint32_t next;
	for (uint32_t i = x->p->nodes.items[node].first_pod; i != PLACE_NONE; i = next) {
		next = x->p->pods.items[i].next;
		bool pinned = place_bits_get(&x->pinned, i);
		if (pinned && !all)
			continue;
		place_pod_lift(x->p, i);
		vec_push(&x->lifted, (struct lifted){i, node});
		if (!pinned)
			vec_push(&x->displaced, i);
	}
}

static int add_node(struct what_if *x, uint32_t change, struct done *d, struct err *e)
{
	const struct place_node *add = x->problem->changes[change].add;
	if (place_node_find(x->p, add->name) != PLACE_NONE)
		return err_set(e, ERR_INVALID, "change %u adds node %s a second time", change,
			add->name);
	int rc = place_node_set(x->p, add, &d->node, e);
	uint32_t half = rc == 0 ? PLACE_NONE : place_node_find(x->p, add->name);
	if (half != PLACE_NONE)
		place_node_remove(x->p, half);
	return rc;
}

static int carry_out(struct what_if *x, uint32_t change, struct err *e)
{
	const struct place_change *c = &x->problem->changes[change];
	struct done d = {.node = c->node, .lifted = x->lifted.count};
	int rc = 0;
	if (c->kind == PLACE_ADD) {
		rc = add_node(x, change, &d, e);
	} else if (c->kind == PLACE_REMOVE) {
		lift_pods(x, c->node, true);
		place_node_hide(x->p, c->node);
	} else if (!x->p->nodes.items[c->node].drained) {
		lift_pods(x, c->node, false);
		place_node_drain(x->p, c->node, true);
		d.drained = true;
	}
	if (rc == 0)
		vec_push(&x->done, d);
	return rc;
}

static void take_back(struct what_if *x, uint32_t change)
{
	const struct place_change *c = &x->problem->changes[change];
	const struct done *d = &x->done.items[change];
	if (c->kind == PLACE_ADD)
		place_node_remove(x->p, d->node);
	else if (c->kind == PLACE_REMOVE)
		place_node_show(x->p, d->node);
	else if (d->drained)
		place_node_drain(x->p, d->node, false);
	while (x->lifted.count > d->lifted) {
		const struct lifted *l = &x->lifted.items[--x->lifted.count];
		place_pod_return(x->p, l->pod, l->node);
	}
}

/* Sites that added nodes named. */
static void drop_sites(struct what_if *x)
{
	while (x->p->sites.count > x->sites) {
		const struct site *s = &x->p->sites.items[--x->p->sites.count];
		map_remove(&x->p->site_ids, place_text(x->p, s->name));
	}
}

/* ---- the plan in terms of the problem ---- */

static uint32_t change_that_adds(const struct what_if *x, uint32_t node)
{
	for (uint32_t i = 0; i < x->done.count; i++)
		if (x->problem->changes[i].kind == PLACE_ADD && x->done.items[i].node == node)
			return i;
	return PLACE_NONE;
}

static void translate_want(const struct what_if *x, uint32_t *want, uint32_t *ret_displaced)
{
	*ret_displaced = PLACE_NONE;
	if (*want < x->problem->want_count)
		return;
	*ret_displaced = x->displaced.items[*want - x->problem->want_count];
	*want = PLACE_NONE;
}

static void translate(const struct what_if *x, struct place_plan *plan)
{
	for (uint32_t i = 0; i < plan->assignment_count; i++) {
		struct place_assignment *a = &plan->assignments[i];
		translate_want(x, &a->want, &a->displaced);
		a->added = change_that_adds(x, a->node);
		if (a->added != PLACE_NONE)
			a->node = PLACE_NONE;
		if (a->alternative != PLACE_NONE &&
			change_that_adds(x, a->alternative) != PLACE_NONE)
			a->alternative = PLACE_NONE; /* its cost is told all the same */
	}
	for (uint32_t i = 0; i < plan->refusal_count; i++)
		translate_want(x, &plan->refusals[i].want, &plan->refusals[i].displaced);
}

static int solve(struct what_if *x, struct place_plan *ret_plan, struct err *e)
{
	for (uint32_t i = 0; i < x->problem->want_count; i++)
		vec_push(&x->wants, x->problem->wants[i]);
	VEC_EACH (&x->displaced, uint32_t, pod) {
		const struct pod *one = &x->p->pods.items[*pod];
		vec_push(&x->wants, (struct place_want){.shape = one->shape,
					    .count = 1,
					    .priority = one->priority,
					    .node = PLACE_NONE});
	}
	struct place_problem inner = *x->problem;
	inner.wants = x->wants.items;
	inner.want_count = (uint32_t)x->wants.count;
	struct solver s;
	place_solver_init(&s, x->p, &inner);
	int rc = place_solver_run(&s, e);
	if (rc == 0) {
		place_solver_fill(&s, ret_plan);
		translate(x, ret_plan);
	}
	place_solver_done(&s);
	return rc;
}

int place_what_if(struct place *p, const struct place_problem *problem, struct place_plan *ret_plan,
	struct err *e)
{
	struct what_if x = {.p = p, .problem = problem, .sites = p->sites.count};
	for (uint32_t i = 0; i < problem->pinned_count; i++)
		place_bits_set(&x.pinned, problem->pinned[i], true);
	int rc = 0;
	for (uint32_t i = 0; i < problem->change_count && rc == 0; i++)
		rc = carry_out(&x, i, e);
	if (rc == 0)
		rc = solve(&x, ret_plan, e);
	for (size_t i = x.done.count; i-- > 0;)
		take_back(&x, (uint32_t)i);
	drop_sites(&x);
	place_bits_done(&x.pinned);
	vec_done(&x.lifted);
	vec_done(&x.done);
	vec_done(&x.displaced);
	vec_done(&x.wants);
	return rc;
}
