/* The best node for one pod: by the profile's ranking or, with shared devices, by what is kept of
 * each node, when all weights are from 0; else by looking at all nodes. All find the same. */
#include <stdlib.h>

#include "base/mem.h"
#include "place/tables.h"

#define HOLDERS_MOST 64u
#define GROUPS_FEW 32u

struct chooser {
	struct look look;
	const int64_t *by_place;
	int64_t least_place; /* of by_place */
	struct place_choice *choice;
	struct rank_best best[2];
	uint32_t count;
	int64_t floor; /* no total is less */
};

static int64_t total_of(void *arg, uint32_t node, int64_t least)
{
	struct chooser *c = arg;
	/* Most of what is looked at in vain has a pod of this kind already. */
	int64_t here = place_look_here_least(&c->look, node);
	if (here && (here == RANK_NEVER / 2 || least + here > c->best[c->count - 1].total))
		return RANK_NEVER;
	return place_look_fits(&c->look, node, NULL) ? place_look_total(&c->look, node, NULL)
						     : RANK_NEVER;
}

/* With what the node's place costs. */
static int64_t total_at_place(void *arg, uint32_t node, int64_t least)
{
	struct chooser *c = arg;
	int64_t there = c->by_place[c->look.p->nodes.items[node].site + 1];
	int64_t total = there == RANK_NEVER ? there : total_of(arg, node, least);
	return total == RANK_NEVER ? total : total + there;
}

static void consider(struct chooser *c, uint32_t node)
{
	c->choice->steps++;
	rank_offer(c->best, c->count,
		&(struct rank_best){c->by_place ? total_at_place(c, node, c->floor)
						: total_of(c, node, c->floor),
			node, place_order_of(node)});
}

static void scan(struct chooser *c, const struct place *p)
{
	for (uint32_t i = 0; i < p->nodes.count; i++)
		consider(c, i);
}

/* Nodes that hold an image of the pod are looked at by themselves when they are few, so that the
 * others are known to hold none. Returns the least that images cost there. */
static int64_t look_at_holders(struct chooser *c, const struct place *p)
{
	const struct shape *s = c->look.shape;
	uint64_t holders = 0;
	if (!s->images.count || !c->look.weights[PLACE_TERM_IMAGE])
		return 0;
	VEC_EACH (&s->images, uint32_t, image)
		holders += p->images.items[*image].nodes.count;
	if (holders > HOLDERS_MOST)
		return 0;
	VEC_EACH (&s->images, uint32_t, image) {
		VEC_EACH (&p->images.items[*image].nodes, uint32_t, node)
			consider(c, *node);
	}
	return RANK_UNIT;
}

struct candidate {
	int64_t bound;
	uint32_t group;
	struct rank_query query;
};

/* What a query is in all groups. */
static struct rank_query query_of(struct chooser *c, int64_t image)
{
	const int64_t *w = c->look.weights;
	struct rank_query q = {.weight = w[PLACE_TERM_BALANCE],
		.rest = place_weigh(w[PLACE_TERM_IMAGE], image),
		.total = c->by_place ? total_at_place : total_of,
		.arg = c};
	for (int i = 0; i < RANK_FREE; i++)
		q.need[i] = INT32_MIN;
	VEC_EACH (&c->look.shape->requests, struct want_amount, r) {
		uint32_t slot = r->resource <= PLACE_PODS ? r->resource : RANK_FREE - 1;
		if (r->amount > 0 &&
			(r->resource <= PLACE_PODS || r->resource == c->look.profile->scarce))
			q.need[slot] = place_coarse(r->amount, r->resource, false);
	}
	return q;
}

/* What it is in one of them. */
static void aim(struct rank_query *q, const struct look *l, const struct node_group *g)
{
	const int64_t *w = l->weights;
	struct fullness pod = place_fullness_of_pod(l->shape, &g->measure);
	q->cu = pod.u;
	q->cv = pod.v;
	q->rest += place_weigh(w[PLACE_TERM_PREFERENCE], place_look_preference_least(l, g)) +
		   place_weigh(w[PLACE_TERM_SPREAD], place_look_spread_least(l, g));
}

/* Adds what their places cost, and leaves out those that are ruled out. */
static uint32_t add_places(const struct chooser *c, const struct profile *x,
	struct candidate *candidates, uint32_t count)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct candidate *one = &candidates[i];
		uint32_t site = x->groups.items[one->group].site;
		int64_t there = site == PLACE_NONE ? c->least_place : c->by_place[site + 1];
		if (there == RANK_NEVER)
			continue;
		one->query.rest += there;
		one->bound += there;
		candidates[kept++] = *one;
	}
	return kept;
}

/* The groups that may have a node for the pod. */
static uint32_t list_candidates(struct chooser *c, const struct profile *x,
	struct candidate *candidates)
{
	struct rank_query common = query_of(c, look_at_holders(c, c->look.p));
	uint32_t count = 0;
	for (uint32_t i = 0; i < x->groups.count; i++) {
		const struct node_group *g = &x->groups.items[i];
		if (ranking_is_empty(&x->ranking, i) || !place_look_group_fits(&c->look, g))
			continue;
		struct candidate *one = &candidates[count];
		*one = (struct candidate){.group = i, .query = common};
		aim(&one->query, &c->look, g);
		one->bound = ranking_bound(&x->ranking, i, &one->query);
		count += one->bound != RANK_NEVER;
	}
	return c->by_place ? add_places(c, x, candidates, count) : count;
}

static void search(struct chooser *c, const struct profile *x)
{
	struct candidate few[GROUPS_FEW], *candidates = few;
	if (x->groups.count > GROUPS_FEW)
		candidates = mem_alloc_array(x->groups.count, sizeof(*candidates));
	uint32_t left = list_candidates(c, x, candidates);
	while (left > 0) {
		uint32_t best = 0;
		for (uint32_t i = 1; i < left; i++)
			if (candidates[i].bound < candidates[best].bound)
				best = i;
		if (candidates[best].bound > c->best[c->count - 1].total)
			break;
		c->choice->steps += ranking_search(&x->ranking, candidates[best].group,
			&candidates[best].query, c->best, c->count);
		candidates[best] = candidates[--left];
	}
	if (candidates != few)
		free(candidates);
}

/* Place 0 is that of nodes without a site: PLACE_NONE + 1. */
static void set_places(struct chooser *c, const struct place *p, const int64_t *by_place)
{
	c->by_place = by_place;
	c->least_place = RANK_NEVER;
	for (size_t i = 0; i <= p->sites.count; i++)
		c->least_place = by_place[i] < c->least_place ? by_place[i] : c->least_place;
}

/* On fleets with shared devices: the least that is known of each node, and the rest of what counts
 * where that is not too much already. */
static void look_at_kept(struct chooser *c, struct place *p)
{
	const int64_t *least = place_kept_least(p, c->look.shape_index, c->look.weights);
	uint32_t first = PLACE_NONE;
	int64_t lowest = RANK_NEVER;
	for (uint32_t i = 0; i < p->nodes.count; i++) {
		if (least[i] >= lowest)
			continue;
		lowest = least[i];
		first = i;
	}
	if (first == PLACE_NONE)
		return;
	consider(c, first);
	for (uint32_t i = 0; i < p->nodes.count; i++)
		if (least[i] != RANK_NEVER && i != first && least[i] <= c->best[c->count - 1].total)
			consider(c, i);
}

static bool keeps_costs(const struct look *l)
{
	return l->p->outlook.ready && l->weights[PLACE_TERM_FRAGMENTATION] > 0 && !l->negative;
}

void place_choose(struct place *p, const struct place_question *q, struct place_choice *ret_choice)
{
	static const struct rank_best none = {RANK_NEVER, PLACE_NONE, UINT32_MAX};
	struct chooser c = {
		.choice = ret_choice, .best = {none, none}, .count = q->alternative ? 2 : 1};
	*ret_choice = (struct place_choice){0};
	place_look_init(&c.look, p, q->shape, q->node, NULL);
	place_look_weigh(&c.look, q->weights);
	/* A pod may leave devices that are worth more than before. */
	bool gains = p->device_nodes && c.look.weights[PLACE_TERM_FRAGMENTATION];
	c.floor = c.look.negative || gains ? INT64_MIN / 2 : 0;
	if (q->by_place)
		set_places(&c, p, q->by_place);
	struct profile *x = &p->profiles.items[p->shapes.items[q->shape].profile];
	if (q->node != PLACE_NONE) {
		consider(&c, q->node);
	} else if (!q->scan && p->device_nodes && keeps_costs(&c.look)) {
		/* What is kept knows nothing of places; rankings know nothing of devices. */
		if (q->by_place)
			scan(&c, p);
		else
			look_at_kept(&c, p);
	} else if (!q->scan && !c.look.negative && !c.look.shape->shares) {
		/* A bound of a sum is the sum of bounds as long as nothing is subtracted. Rankings
		 * have the whole of balance. */
		place_profile_rank(p, x);
		search(&c, x);
	} else {
		scan(&c, p);
	}
	ret_choice->node = c.best[0].node;
	ret_choice->alternative = c.best[1].node;
	if (ret_choice->node != PLACE_NONE)
		place_look_score(&c.look, ret_choice->node, &ret_choice->cost);
	if (ret_choice->alternative != PLACE_NONE)
		place_look_score(&c.look, ret_choice->alternative, &ret_choice->alternative_cost);
	place_look_done(&c.look);
}
