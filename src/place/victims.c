/*
 * Which pods of one node must go so that another fits: the set whose highest priority is lowest,
 * and of these the one with the least sum. Turned around: all of low priority go, and as much of
 * them as possible comes back. That is a knapsack with a weight for each pod and a limit for each
 * resource, searched to the end; constraints that hang on neighbours are asked of the tables, in
 * which pods are counted out and in.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/solver.h"

/* Pods looked at for one node; then the best set so far is taken, and after four times as many the
 * node is given up. */
#define WORK_MOST 4000000u
#define WEIGHT_LOWEST ((int64_t)1 << 31)

struct search {
	struct solver *s;
	uint32_t shape, node;
	const struct victim *pool; /* highest priority first, those of a kind together */
	uint32_t count;
	bool asks;              /* tables must be asked */
	bool monotone;          /* what does not fit does not fit with more pods either */
	int64_t *spare;         /* by request: what may come back */
	int64_t *prefix;        /* weights of the first i */
	int64_t returned, best; /* weights; best -1: none yet */
	bool *back, *best_back;
	uint64_t work;
};

static int64_t weight_of(const struct victim *v)
{
	return v->priority + WEIGHT_LOWEST;
}

static void count(const struct search *x, const struct victim *v, int64_t number)
{
	place_node_count_pods(x->s->p, x->node, v->shape, number);
}

static bool fits(const struct search *x)
{
	struct look l;
	place_look_init(&l, x->s->p, x->shape, PLACE_NONE, NULL);
	bool ok = place_look_fits(&l, x->node, NULL);
	place_look_done(&l);
	x->s->steps++;
	return ok;
}

static int64_t amount_of(const struct place *p, uint32_t shape, uint32_t resource)
{
	VEC_EACH (&p->shapes.items[shape].requests, struct want_amount, r) {
		if (r->resource == resource)
			return r->amount;
	}
	return 0;
}

/* ---- the search ---- */

static bool has_spare(const struct search *x, const struct victim *v)
{
	const struct shape *s = &x->s->p->shapes.items[x->shape];
	for (size_t i = 0; i < s->requests.count; i++)
		if (s->requests.items[i].amount > 0 &&
			amount_of(x->s->p, v->shape, s->requests.items[i].resource) > x->spare[i])
			return false;
	return true;
}

static void take_spare(struct search *x, const struct victim *v, int64_t sign)
{
	const struct shape *s = &x->s->p->shapes.items[x->shape];
	for (size_t i = 0; i < s->requests.count; i++)
		x->spare[i] -= sign * amount_of(x->s->p, v->shape, s->requests.items[i].resource);
}

static int compare_amounts(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

/* How many of the pods from `at` on can come back at most: the smallest ones, by one resource. */
static uint32_t most_back(struct search *x, uint32_t at, size_t request)
{
	uint32_t resource = x->s->p->shapes.items[x->shape].requests.items[request].resource;
	uint32_t left = x->count - at, most = 0;
	int64_t *sizes = mem_alloc_array(left, sizeof(*sizes)), sum = 0;
	for (uint32_t i = 0; i < left; i++)
		sizes[i] = amount_of(x->s->p, x->pool[at + i].shape, resource);
	qsort(sizes, left, sizeof(*sizes), compare_amounts);
	while (most < left && sum + sizes[most] <= x->spare[request])
		sum += sizes[most++];
	free(sizes);
	x->work += left;
	return most;
}

/* The weight that comes back in the end is no more than this. */
static int64_t bound(struct search *x, uint32_t at)
{
	const struct shape *s = &x->s->p->shapes.items[x->shape];
	uint32_t most = x->count - at;
	int64_t all = x->returned + x->prefix[x->count] - x->prefix[at];
	for (size_t i = 0; i < s->requests.count && most > 0 && all > x->best; i++) {
		if (s->requests.items[i].amount == 0)
			continue;
		uint32_t fit = most_back(x, at, i);
		most = fit < most ? fit : most;
		/* The first ones weigh most. */
		all = x->returned + x->prefix[at + most] - x->prefix[at];
	}
	return all;
}

static void descend(struct search *x, uint32_t at);

static void try_back(struct search *x, uint32_t at)
{
	const struct victim *v = &x->pool[at];
	/* Of pods that are alike the first ones come back. */
	if (at > 0 && v[-1].kind == v->kind && !x->back[at - 1])
		return;
	if (!has_spare(x, v))
		return;
	if (x->asks)
		count(x, v, 1);
	if (!x->asks || !x->monotone || fits(x)) {
		take_spare(x, v, 1);
		x->returned += weight_of(v);
		x->back[at] = true;
		descend(x, at + 1);
		x->back[at] = false;
		x->returned -= weight_of(v);
		take_spare(x, v, -1);
	}
	if (x->asks)
		count(x, v, -1);
}

static void descend(struct search *x, uint32_t at)
{
	x->work++;
	if (x->work > WORK_MOST && (x->best_back[x->count] || x->work > 4 * WORK_MOST))
		return;
	if (at == x->count) {
		if (x->returned > x->best && (!x->asks || fits(x))) {
			x->best = x->returned;
			memcpy(x->best_back, x->back, x->count * sizeof(*x->back));
			x->best_back[x->count] = true; /* there is one */
		}
		return;
	}
	if (bound(x, at) <= x->best)
		return;
	try_back(x, at);
	uint32_t pod = x->pool[at].pod;
	if (!place_budgets_let(&x->s->budgets, pod))
		return;
	place_budgets_take(&x->s->budgets, pod, 1);
	descend(x, at + 1);
	place_budgets_take(&x->s->budgets, pod, -1);
}

/* ---- which pods are in it ---- */

static int compare_pool(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->pod < y->pod ? -1 : x->pod > y->pod;
}

bool place_victims_ask(const struct place *p, const struct shape *s)
{
	bool asks = s->ports.count > 0;
	VEC_EACH (&s->terms, struct shape_term, t)
		asks = asks || t->required;
	VEC_EACH (&s->spreads, struct shape_spread, t)
		asks = asks || t->required;
	VEC_EACH (&s->matches, uint32_t, m)
		asks = asks || p->counters.items[*m].holders > 0;
	return asks;
}

static void prepare(struct search *x, const struct victim *pool, uint32_t number)
{
	const struct place *p = x->s->p;
	const struct shape *s = &p->shapes.items[x->shape];
	const struct node *n = &p->nodes.items[x->node];
	x->pool = pool;
	x->count = number;
	x->spare = mem_alloc_array(s->requests.count, sizeof(*x->spare));
	for (size_t i = 0; i < s->requests.count; i++) {
		const struct want_amount *r = &s->requests.items[i];
		x->spare[i] = place_node_capacity(n, r->resource) -
			      place_node_taken(n, r->resource) - r->amount;
		/* Otherwise they are out of the tables. */
		for (uint32_t k = 0; k < number && !x->asks; k++)
			x->spare[i] += amount_of(p, pool[k].shape, r->resource);
	}
	x->prefix = mem_alloc_array((size_t)number + 1, sizeof(*x->prefix));
	for (uint32_t i = 0; i < number; i++)
		x->prefix[i + 1] = x->prefix[i] + weight_of(&pool[i]);
	x->back = mem_alloc_array((size_t)number + 1, sizeof(*x->back));
	x->best_back = mem_alloc_array((size_t)number + 1, sizeof(*x->best_back));
}

static bool search(struct search *x, const struct victims *from, uint32_t number,
	const struct place_harm *below, struct victims *ret_victims)
{
	struct victim *pool = mem_alloc_array(number, sizeof(*pool));
	memcpy(pool, from->items.items, number * sizeof(*pool));
	qsort(pool, number, sizeof(*pool), compare_pool);
	prepare(x, pool, number);
	x->best = -1;
	if (below && below->highest == pool[0].priority)
		x->best = x->prefix[number] - below->sum - 1;
	x->returned = 0;
	x->work = 0;
	descend(x, 0);
	bool found = x->best_back[number];
	if (found) {
		ret_victims->items.count = 0;
		ret_victims->harm = (struct place_harm){
			.highest = pool[0].priority, .sum = x->prefix[number] - x->best};
		for (uint32_t i = 0; i < number; i++)
			if (!x->best_back[i])
				vec_push(&ret_victims->items, pool[i]);
		ret_victims->harm.count = (uint32_t)ret_victims->items.count;
	}
	x->s->steps += x->work / 64;
	free(x->spare);
	free(x->prefix);
	free(x->back);
	free(x->best_back);
	free(pool);
	return found;
}

/* Whether there is room when the first so many are gone. */
static bool has_room(const struct search *x, const struct victim *items, uint32_t gone)
{
	const struct place *p = x->s->p;
	const struct node *n = &p->nodes.items[x->node];
	VEC_EACH (&p->shapes.items[x->shape].requests, struct want_amount, r) {
		int64_t room = place_node_capacity(n, r->resource) -
			       place_node_taken(n, r->resource) - r->amount;
		for (uint32_t i = 0; i < gone && r->amount > 0 && room < 0; i++)
			room += amount_of(p, items[i].shape, r->resource);
		if (r->amount > 0 && room < 0)
			return false;
	}
	return true;
}

bool place_victims_find(struct solver *s, uint32_t shape, uint32_t node,
	const struct victims *candidates, const struct place_harm *below,
	struct victims *ret_victims)
{
	const struct shape *sh = &s->p->shapes.items[shape];
	struct search x = {.s = s,
		.shape = shape,
		.node = node,
		.asks = place_victims_ask(s->p, sh),
		.monotone = !sh->seeks};
	uint32_t gone = 0, all = (uint32_t)candidates->items.count;
	const struct victim *items = candidates->items.items;
	bool found = false;
	while (gone < all && !found) {
		int priority = items[gone].priority;
		if (below && priority > below->highest)
			break;
		for (; gone < all && items[gone].priority == priority; gone++)
			if (x.asks)
				count(&x, &items[gone], -1);
		if (!x.asks ? has_room(&x, items, gone) : !x.monotone || fits(&x))
			found = search(&x, candidates, gone, below, ret_victims);
	}
	for (; gone > 0 && x.asks; gone--)
		count(&x, &items[gone - 1], 1);
	return found;
}
