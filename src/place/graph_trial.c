/* One way to place an application's wants: they are put into the tables, one after the other, each
 * against all constraints, and the whole is priced. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/graph.h"

/* A move that gains less is not worth it (costs are rounded). */
#define GAIN_LEAST (RANK_UNIT >> 20)

bool graph_out_of_steps(const struct graph *g)
{
	return g->problem->steps_max && g->steps >= g->problem->steps_max;
}

/* ---- one replica ---- */

static int put_one(struct graph *g, struct put *put, struct err *e)
{
	const struct place_want *w = &g->problem->wants[put->want];
	int rc = place_pod_put(g->p, w->shape, put->node, w->priority, &put->pod, e);
	if (rc == 0)
		graph_shift(g, w->component, graph_place_of(g, put->node), 1);
	return rc;
}

static void take_one(struct graph *g, struct put *put)
{
	const struct place_want *w = &g->problem->wants[put->want];
	place_pod_undo(g->p, put->pod);
	put->pod = PLACE_NONE;
	graph_shift(g, w->component, graph_place_of(g, put->node), -1);
}

static int add(struct graph *g, struct trial *t, uint32_t want, uint32_t node, struct err *e)
{
	struct put put = {.want = want, .node = node};
	int rc = put_one(g, &put, e);
	if (rc != 0)
		return rc;
	vec_push(&t->puts, put);
	t->left[want]--;
	return 0;
}

static bool fits(struct graph *g, const struct place_want *w, uint32_t node)
{
	struct look l;
	struct verdict v;
	g->steps++;
	place_look_init(&l, g->p, w->shape, w->node, NULL);
	bool ok = place_look_fits(&l, node, NULL);
	place_look_done(&l);
	if (ok)
		graph_judge(g, w->component, graph_place_of(g, node), &v, NULL);
	return ok && !v.barred;
}

static struct place_choice choose(struct graph *g, const struct place_want *w, bool alternative)
{
	struct place_choice c;
	graph_price_places(g, w->component);
	place_choose(g->p,
		&(struct place_question){
			w->shape, w->node, g->weights, alternative, false, g->by_place},
		&c);
	g->steps += c.steps;
	return c;
}

/* ---- all of them ---- */

static int compare_turns(const void *a, const void *b)
{
	const struct graph_turn *x = a, *y = b;
	if (x->expected != y->expected) /* what is here comes before what will come */
		return x->expected ? 1 : -1;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return x->want < y->want ? -1 : x->want > y->want;
}

struct graph_turn *graph_order(const struct place_problem *problem)
{
	struct graph_turn *turns = mem_alloc_array(problem->want_count, sizeof(*turns));
	uint32_t first = 0;
	for (uint32_t i = 0; i < problem->want_count; i++) {
		const struct place_want *w = &problem->wants[i];
		turns[i] = (struct graph_turn){
			i, first, problem->mode == PLACE_BATCH ? w->priority : 0, w->expected};
		first += w->count;
	}
	if (problem->want_count)
		qsort(turns, problem->want_count, sizeof(*turns), compare_turns);
	return turns;
}

/* Those that have a node: again as long as one gets there, since some wait for others. */
static int put_planned(struct graph *g, struct trial *t, const struct graph_turn *turns,
	uint32_t *nodes, struct err *e)
{
	size_t before;
	int rc = 0;
	do {
		before = t->puts.count;
		for (uint32_t i = 0; rc == 0 && i < g->problem->want_count; i++) {
			const struct place_want *w = &g->problem->wants[turns[i].want];
			for (uint32_t k = 0; rc == 0 && k < w->count; k++) {
				uint32_t *node = &nodes[turns[i].first + k];
				if (*node == PLACE_NONE || !fits(g, w, *node))
					continue;
				rc = add(g, t, turns[i].want, *node, e);
				*node = PLACE_NONE;
			}
		}
	} while (rc == 0 && t->puts.count > before);
	return rc;
}

static int put_others(struct graph *g, struct trial *t, const struct graph_turn *turns,
	struct err *e)
{
	size_t before;
	int rc = 0;
	do {
		before = t->puts.count;
		for (uint32_t i = 0; rc == 0 && i < g->problem->want_count; i++) {
			uint32_t want = turns[i].want;
			const struct place_want *w = &g->problem->wants[want];
			while (rc == 0 && t->left[want] > 0 && !graph_out_of_steps(g)) {
				struct place_choice c = choose(g, w, false);
				if (c.node == PLACE_NONE)
					break;
				rc = add(g, t, want, c.node, e);
			}
		}
	} while (rc == 0 && t->puts.count > before);
	return rc;
}

int trial_run(struct graph *g, const uint32_t *nodes, struct trial *ret_trial, struct err *e)
{
	const struct place_problem *problem = g->problem;
	struct trial t = {.left = mem_alloc_array(problem->want_count, sizeof(*t.left))};
	CLEANUP(mem_free_ptr) struct graph_turn *turns = graph_order(problem);
	uint32_t items = 0;
	for (uint32_t i = 0; i < problem->want_count; i++) {
		t.left[i] = problem->wants[i].count;
		items += t.left[i];
	}
	int rc = 0;
	if (nodes) {
		CLEANUP(mem_free_ptr) uint32_t *open = mem_alloc_array(items, sizeof(*open));
		memcpy(open, nodes, items * sizeof(*open));
		rc = put_planned(g, &t, turns, open, e);
	}
	if (rc == 0)
		rc = put_others(g, &t, turns, e);
	if (rc == 0)
		rc = trial_price(g, &t, e);
	if (rc != 0) {
		trial_take_back(g, &t);
		trial_done(&t);
		return rc;
	}
	*ret_trial = t;
	return 0;
}

void trial_take_back(struct graph *g, struct trial *t)
{
	for (size_t i = t->puts.count; i-- > 0;)
		if (t->puts.items[i].pod != PLACE_NONE)
			take_one(g, &t->puts.items[i]);
}

int trial_put_again(struct graph *g, struct trial *t, struct err *e)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < t->puts.count; i++)
		rc = put_one(g, &t->puts.items[i], e);
	return rc;
}

void trial_done(struct trial *t)
{
	vec_done(&t->puts);
	free(t->left);
	*t = (struct trial){0};
}

/* ---- what it costs ---- */

/* How many of the plan are on a node on which nothing else is; 0: others are. The replica that is
 * asked about is not in the tables. */
static uint32_t alone_with(const struct graph *g, const uint32_t *planned, uint32_t node)
{
	uint32_t there = 0;
	VEC_EACH (&g->p->nodes.items[node].shapes, struct node_shape, s)
		there += s->count;
	return there + 1 == planned[node] ? planned[node] : 0;
}

static void weigh(const struct graph *g, struct place_cost *c)
{
	c->total = 0;
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		c->total += g->weigh[i] * c->terms[i];
}

static void price_pod(struct graph *g, uint32_t want, uint32_t node, const double *links,
	uint32_t first_ones, struct place_cost *ret_cost)
{
	const struct place_want *w = &g->problem->wants[want];
	struct look l;
	place_look_init(&l, g->p, w->shape, PLACE_NONE, NULL);
	place_look_weigh(&l, g->weights);
	place_look_score(&l, node, ret_cost);
	if (first_ones > 1)
		place_look_add_idle(&l, node, 1.0 / first_ones, ret_cost->terms);
	place_look_done(&l);
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		ret_cost->terms[i] += links[i];
	weigh(g, ret_cost);
}

static uint32_t *planned_by_node(const struct graph *g, const struct trial *t)
{
	uint32_t *planned = mem_alloc_array(g->p->nodes.count, sizeof(*planned));
	VEC_EACH (&t->puts, struct put, put)
		planned[put->node]++;
	return planned;
}

int trial_price(struct graph *g, struct trial *t, struct err *e)
{
	CLEANUP(mem_free_ptr) uint32_t *planned = planned_by_node(g, t);
	int rc = 0;
	t->total = 0;
	for (size_t i = 0; rc == 0 && i < t->puts.count; i++) {
		struct put *put = &t->puts.items[i];
		const struct place_want *w = &g->problem->wants[put->want];
		struct verdict v;
		take_one(g, put);
		graph_judge(g, w->component, graph_place_of(g, put->node), &v, NULL);
		price_pod(g, put->want, put->node, v.share, alone_with(g, planned, put->node),
			&put->cost);
		rc = put_one(g, put, e);
		t->total += put->cost.total;
	}
	return rc;
}

/* ---- the best alternative ---- */

/* With the replica out of the tables. What it would cost elsewhere is its own cost and what comes
 * to the whole plan. */
static void find_alternative(struct graph *g, const struct put *put, struct place_assignment *a)
{
	const struct place_want *w = &g->problem->wants[put->want];
	struct place_choice c = choose(g, w, true);
	struct verdict here, there;
	uint32_t node = c.node == put->node ? c.alternative : c.node;
	if (node == PLACE_NONE)
		return;
	graph_judge(g, w->component, graph_place_of(g, put->node), &here, NULL);
	graph_judge(g, w->component, graph_place_of(g, node), &there, NULL);
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		there.whole[i] += here.share[i] - here.whole[i];
	a->alternative = node;
	price_pod(g, put->want, node, there.whole, 0, &a->alternative_cost);
}

int trial_explain(struct graph *g, struct put *put, bool survey, struct place_assignment *a,
	struct err *e)
{
	const struct place_want *w = &g->problem->wants[put->want];
	take_one(g, put);
	find_alternative(g, put, a);
	if (survey) {
		struct site_bars bars = {0};
		struct place_refusal found;
		graph_find_bars(g, w->component, &bars);
		a->feasible = place_survey_with(g->p, w->shape, &bars, &found);
		a->reasons = found.reasons;
		a->reason_count = found.reason_count;
		vec_done(&bars.items);
	}
	return put_one(g, put, e);
}

/* ---- one step further ---- */

static int64_t cost_now(struct graph *g, const struct put *put)
{
	const struct place_want *w = &g->problem->wants[put->want];
	struct look l;
	place_look_init(&l, g->p, w->shape, PLACE_NONE, NULL);
	place_look_weigh(&l, g->weights);
	int64_t there = g->by_place[graph_place_of(g, put->node)];
	int64_t cost = there == RANK_NEVER ? there : there + place_look_total(&l, put->node, NULL);
	place_look_done(&l);
	return cost;
}

int trial_improve(struct graph *g, struct trial *t, bool *ret_moved, struct err *e)
{
	int rc = 0;
	*ret_moved = false;
	for (size_t i = 0; rc == 0 && i < t->puts.count && !graph_out_of_steps(g); i++) {
		struct put *put = &t->puts.items[i], to = *put;
		take_one(g, put);
		struct place_choice c = choose(g, &g->problem->wants[put->want], false);
		to.node = c.node;
		if (c.node != PLACE_NONE && c.node != put->node &&
			cost_now(g, &to) + GAIN_LEAST < cost_now(g, put)) {
			put->node = c.node;
			*ret_moved = true;
		}
		rc = put_one(g, put, e);
	}
	return rc;
}
