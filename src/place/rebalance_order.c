/*
 * The best node where a weight is below 0, for which rankings are not made: nodes are kept in the
 * order in which the weight of balance likes them (the fullest first when it is negative), and are
 * looked at until none that follows can be better.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/rebalance.h"

static int32_t fullness_of(const struct rebalance *r, uint32_t node)
{
	const struct fullness *f = &r->p->nodes.items[node].full;
	return f->u > f->v ? f->u : f->v;
}

static bool is_before(const struct rebalance *r, uint32_t a, uint32_t b)
{
	int32_t x = fullness_of(r, a), y = fullness_of(r, b);
	if (x == y)
		return a < b;
	return r->s->weights[PLACE_TERM_BALANCE] < 0 ? x > y : x < y;
}

struct sortable {
	int64_t key;
	uint32_t node;
};

static int compare(const void *a, const void *b)
{
	const struct sortable *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

void place_rebalance_sort(struct rebalance *r)
{
	if (r->ranked)
		return;
	size_t count = r->p->nodes.count;
	struct sortable *all = mem_alloc_array(count, sizeof(*all));
	r->by_fullness = mem_alloc_array(count, sizeof(*r->by_fullness));
	for (uint32_t i = 0; i < count; i++) {
		const struct node *n = &r->p->nodes.items[i];
		if (!n->used)
			continue;
		int64_t f = fullness_of(r, i);
		all[r->node_count++] =
			(struct sortable){r->s->weights[PLACE_TERM_BALANCE] < 0 ? -f : f, i};
		if (n->measure.cpu > r->smallest.cpu)
			r->smallest.cpu = n->measure.cpu;
		if (n->measure.memory > r->smallest.memory)
			r->smallest.memory = n->measure.memory;
	}
	if (r->node_count)
		qsort(all, r->node_count, sizeof(*all), compare);
	for (uint32_t i = 0; i < r->node_count; i++)
		r->by_fullness[i] = all[i].node;
	free(all);
}

void place_rebalance_resort(struct rebalance *r, uint32_t node)
{
	uint32_t *order = r->by_fullness, at = 0;
	if (r->ranked)
		return;
	while (order[at] != node)
		at++;
	for (; at > 0 && is_before(r, node, order[at - 1]); at--)
		order[at] = order[at - 1];
	for (; at + 1 < r->node_count && is_before(r, order[at + 1], node); at++)
		order[at] = order[at + 1];
	order[at] = node;
}

/* What the other terms come to at least. */
static int64_t floor_of(const struct rebalance *r, const struct shape *s)
{
	/* In halves of what is 1. */
	const int64_t most[] = {[PLACE_TERM_BALANCE] = 0,
		[PLACE_TERM_PREFERENCE] = 5,
		[PLACE_TERM_SPREAD] = 2 + 2 * (int64_t)s->spreads.count,
		[PLACE_TERM_IMAGE] = 2};
	int64_t floor = 0;
	for (int i = PLACE_TERM_ENERGY; i <= PLACE_TERM_TRUST; i++)
		if (r->s->weights[i] < 0) /* there is no most of watts and of money */
			return INT64_MIN / 2;
	for (size_t i = 0; i < ARRAY_SIZE(most); i++)
		if (r->s->weights[i] < 0)
			floor += place_weigh(r->s->weights[i], most[i] * (RANK_UNIT / 2));
	return floor;
}

static void look_in_order(struct rebalance *r, const struct look *l, uint32_t from,
	struct place_choice *c)
{
	int64_t weight = r->s->weights[PLACE_TERM_BALANCE], best = RANK_NEVER;
	int64_t floor = floor_of(r, l->shape);
	struct fullness pod = {0, 0};
	if (weight < 0) /* it adds most where nodes are small */
		pod = place_fullness_of_pod(l->shape, &r->smallest);
	for (uint32_t i = 0; i < r->node_count; i++) {
		uint32_t node = r->by_fullness[i];
		int64_t f = fullness_of(r, node) + (int64_t)(pod.u > pod.v ? pod.u : pod.v);
		if (node == from) /* not in its place while the pod is off it */
			continue;
		if (place_weigh(weight, f << RANK_FULL_SHIFT) + floor > best)
			break;
		c->steps++;
		if (!place_look_fits(l, node, NULL))
			continue;
		int64_t total = place_look_total(l, node, NULL);
		if (total < best ||
			(total == best && place_order_of(node) < place_order_of(c->node))) {
			best = total;
			c->node = node;
		}
	}
}

void place_rebalance_choose(struct rebalance *r, uint32_t shape, uint32_t from,
	struct place_choice *ret_choice)
{
	if (r->ranked) {
		place_choose(r->p,
			&(struct place_question){
				shape, PLACE_NONE, r->s->weights, false, false, NULL},
			ret_choice);
		return;
	}
	struct look l;
	place_look_init(&l, r->p, shape, PLACE_NONE, NULL);
	place_look_weigh(&l, r->s->weights);
	*ret_choice = (struct place_choice){.node = PLACE_NONE, .alternative = PLACE_NONE};
	look_in_order(r, &l, from, ret_choice);
	if (ret_choice->node != PLACE_NONE)
		place_look_score(&l, ret_choice->node, &ret_choice->cost);
	place_look_done(&l);
}
