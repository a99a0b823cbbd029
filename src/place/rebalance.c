/*
 * Which pods are better off elsewhere. All pods of a shape on a node are one entry; its gain is
 * what the first of them saves at the best node for it, found by the ranking. Entries are in a heap
 * by gain. The first one is evaluated again if anything moved since, and moves if it still comes
 * first. Mostly a move lowers the gains of others; those on its two nodes, where it may raise them,
 * are evaluated at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/rebalance.h"

#define SWEEPS_MOST 2u
#define SWEEPS_LEAST 100000u

/* ---- the heap ---- */

static bool is_before(const struct keyed *a, const struct keyed *b)
{
	return a->key != b->key ? a->key > b->key : a->entry < b->entry;
}

static void push(struct rebalance *r, uint32_t entry)
{
	const struct entry *x = &r->entries.items[entry];
	double key = x->gain;
	if (r->uneven > 0)
		key *= 1 - r->uneven * rand_unit(&r->rand);
	r->keys[entry] = key;
	if (x->gain <= r->least)
		return;
	size_t at = r->heap.count;
	vec_push(&r->heap, (struct keyed){key, entry});
	struct keyed *items = r->heap.items, moved = items[at];
	for (; at > 0 && is_before(&moved, &items[(at - 1) / 2]); at = (at - 1) / 2)
		items[at] = items[(at - 1) / 2];
	items[at] = moved;
}

static void drop_first(struct rebalance *r)
{
	struct keyed *items = r->heap.items, last = items[--r->heap.count];
	size_t at = 0;
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= r->heap.count)
			break;
		if (child + 1 < r->heap.count && is_before(&items[child + 1], &items[child]))
			child++;
		if (!is_before(&items[child], &last))
			break;
		items[at] = items[child];
		at = child;
	}
	if (r->heap.count)
		items[at] = last;
}

/* ---- gains ---- */

static double cost_here(struct rebalance *r, const struct entry *x)
{
	struct look l;
	place_look_init(&l, r->p, x->shape, PLACE_NONE, NULL);
	place_look_weigh(&l, r->s->weights);
	int64_t total = place_look_total(&l, x->node, NULL);
	place_look_done(&l);
	return (double)total / (double)RANK_UNIT;
}

static void evaluate(struct rebalance *r, struct entry *x)
{
	struct place_choice c;
	place_node_count_pods(r->p, x->node, x->shape, -1);
	double before = cost_here(r, x);
	place_rebalance_choose(r, x->shape, x->node, &c);
	place_node_count_pods(r->p, x->node, x->shape, 1);
	r->s->steps += c.steps + 1;
	x->target = c.node == x->node ? PLACE_NONE : c.node;
	x->gain = x->target == PLACE_NONE ? -1 : before - c.cost.total - r->weight;
	x->at = (uint32_t)r->s->moves.count;
}

/* A pod of the entry that may move: of the lowest priority. PLACE_NONE: there is none. */
static uint32_t pod_of(const struct rebalance *r, const struct entry *x)
{
	uint32_t best = PLACE_NONE;
	for (uint32_t i = r->p->nodes.items[x->node].first_pod; i != PLACE_NONE;
		i = r->p->pods.items[i].next) {
		const struct pod *pod = &r->p->pods.items[i];
		if (pod->shape != x->shape || place_bits_get(&r->moved, i) ||
			!place_budgets_let(&r->s->budgets, i))
			continue;
		int difference =
			best == PLACE_NONE ? -1
			: pod->priority != r->p->pods.items[best].priority
				? (pod->priority < r->p->pods.items[best].priority ? -1 : 1)
				: (i < best ? -1 : 1);
		best = difference < 0 ? i : best;
	}
	return best;
}

static void look_again(struct rebalance *r, uint32_t entry)
{
	struct entry *x = &r->entries.items[entry];
	if (pod_of(r, x) == PLACE_NONE)
		x->gain = -1;
	else
		evaluate(r, x);
	push(r, entry);
}

/* ---- what others lose ---- */

static bool is_held_in(const struct place *p, uint32_t counter, uint32_t domain)
{
	const struct counter *c = &p->counters.items[counter];
	VEC_EACH (&p->shapes, struct shape, s) {
		bool holds = false;
		VEC_EACH (&s->terms, struct shape_term, t)
			holds = holds || (t->required && !t->anti && t->counter == counter);
		for (uint32_t i = 0; s->used && holds && i < s->here.size; i++)
			if (s->here.slots[i].count &&
				place_counter_domain(p, c, s->here.slots[i].node) == domain)
				return true;
	}
	return false;
}

/* A pod of the shape has just left the node: others there that must be near one no longer are. */
static bool leaves_others_alone(const struct place *p, uint32_t shape, uint32_t node)
{
	VEC_EACH (&p->shapes.items[shape].matches, uint32_t, m) {
		const struct counter *c = &p->counters.items[*m];
		uint32_t domain = place_counter_domain(p, c, node);
		if (c->pulls > 0 && domain != PLACE_NONE &&
			place_counter_at(c, domain).matching == 0 && is_held_in(p, *m, domain))
			return true;
	}
	return false;
}

static int64_t skew_of(struct rebalance *r, uint32_t tally)
{
	struct tally *t = &r->p->tallies.items[tally];
	uint32_t least, most;
	place_tally_bounds(t, &least, &most);
	return (int64_t)most - (t->domain_count < r->skews[tally].min_domains ? 0 : least);
}

/* How far the spreads that count this shape are beyond what is allowed: in sum. */
static int64_t excess_of(struct rebalance *r, uint32_t shape)
{
	int64_t excess = 0;
	VEC_EACH (&r->p->shapes.items[shape].matches, uint32_t, m) {
		VEC_EACH (&r->p->counters.items[*m].tallies, uint32_t, t) {
			int64_t skew = r->skews[*t].skew ? skew_of(r, *t) - r->skews[*t].skew : 0;
			excess += skew > 0 ? skew : 0;
		}
	}
	return excess;
}

static void learn_skews(struct rebalance *r)
{
	r->skews = mem_alloc_array(r->p->tallies.count, sizeof(*r->skews));
	VEC_EACH (&r->p->shapes, struct shape, s) {
		if (!s->used || s->here.used == 0)
			continue;
		VEC_EACH (&s->spreads, struct shape_spread, t) {
			struct allowed_skew *a = &r->skews[t->tally];
			if (!t->required)
				continue;
			a->skew = a->skew && a->skew < t->max_skew ? a->skew : t->max_skew;
			if ((uint32_t)t->min_domains > a->min_domains)
				a->min_domains = (uint32_t)t->min_domains;
		}
	}
}

/* ---- moves ---- */

static void score(struct rebalance *r, uint32_t shape, uint32_t node, struct place_cost *ret_cost)
{
	struct look l;
	place_look_init(&l, r->p, shape, PLACE_NONE, NULL);
	place_look_weigh(&l, r->s->weights);
	place_look_score(&l, node, ret_cost);
	place_look_done(&l);
}

void place_rebalance_move_back(struct rebalance *r, const struct place_move *m)
{
	struct pod *x = &r->p->pods.items[m->pod];
	place_pod_lift(r->p, m->pod);
	x->previous = m->previous;
	x->next = m->next;
	place_pod_return(r->p, m->pod, m->from);
	place_rebalance_resort(r, m->from);
	place_rebalance_resort(r, m->to);
}

static bool fits(struct rebalance *r, uint32_t shape, uint32_t node)
{
	struct look l;
	place_look_init(&l, r->p, shape, PLACE_NONE, NULL);
	bool ok = place_look_fits(&l, node, NULL);
	place_look_done(&l);
	return ok;
}

bool place_rebalance_move(struct rebalance *r, uint32_t pod, uint32_t to)
{
	struct pod *x = &r->p->pods.items[pod];
	struct place_move m = {
		.pod = pod, .from = x->node, .to = to, .previous = x->previous, .next = x->next};
	uint32_t shape = x->shape;
	int64_t excess = excess_of(r, shape);
	r->s->steps++;
	place_pod_lift(r->p, pod);
	score(r, shape, m.from, &m.before);
	score(r, shape, m.to, &m.after);
	m.after.terms[PLACE_TERM_MOVE] = 1;
	m.after.total += r->weight;
	m.gain = m.before.total - m.after.total;
	if (m.gain <= r->least || !fits(r, shape, to) || leaves_others_alone(r->p, shape, m.from)) {
		place_pod_return(r->p, pod, m.from);
		return false;
	}
	place_pod_return(r->p, pod, m.to);
	place_rebalance_resort(r, m.from);
	place_rebalance_resort(r, m.to);
	if (excess_of(r, shape) > excess) {
		place_rebalance_move_back(r, &m);
		return false;
	}
	place_bits_set(&r->moved, pod, true);
	place_budgets_take(&r->s->budgets, pod, 1);
	vec_push(&r->s->moves, m);
	return true;
}

static void look_again_at_node(struct rebalance *r, uint32_t node)
{
	for (uint32_t i = r->first[node]; i < r->first[node + 1]; i++)
		if (r->entries.items[i].gain > -2)
			look_again(r, i);
}

/* The heap's first one, if it is still what it was. */
static void take_first(struct rebalance *r)
{
	struct keyed first = r->heap.items[0];
	struct entry *x = &r->entries.items[first.entry];
	drop_first(r);
	if (first.key != r->keys[first.entry] || pod_of(r, x) == PLACE_NONE)
		return;
	if (x->at != r->s->moves.count) {
		evaluate(r, x);
		push(r, first.entry);
		return;
	}
	uint32_t pod = pod_of(r, x), from = x->node, to = x->target;
	if (x->gain <= r->least || pod == PLACE_NONE)
		return;
	if (!place_rebalance_move(r, pod, to)) {
		x->gain = -2; /* not again */
		r->keys[first.entry] = -2;
		return;
	}
	look_again_at_node(r, from);
	look_again_at_node(r, to);
}

static bool is_exhausted(const struct rebalance *r)
{
	return r->s->moves.count >= r->s->problem->moves_max || r->heap.count == 0 ||
	       place_solver_exhausted(r->s);
}

/* ---- plans ---- */

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->shape < y->shape ? -1 : x->shape > y->shape;
}

static void list_entries(struct rebalance *r)
{
	r->first = mem_alloc_array(r->p->nodes.count + 1, sizeof(*r->first));
	for (uint32_t i = 0; i < r->p->nodes.count; i++) {
		const struct node *n = &r->p->nodes.items[i];
		size_t before = r->entries.count;
		r->first[i] = (uint32_t)before;
		for (size_t k = 0; n->used && k < n->shapes.count; k++)
			vec_push(&r->entries,
				(struct entry){i, n->shapes.items[k].shape, -1, PLACE_NONE, 0});
		if (r->entries.count > before)
			qsort(r->entries.items + before, r->entries.count - before,
				sizeof(struct entry), compare_entries);
	}
	r->first[r->p->nodes.count] = (uint32_t)r->entries.count;
	r->keys = mem_alloc_array(r->entries.count, sizeof(*r->keys));
}

/* Looks at all entries again when the heap is empty: a node that became emptier may be better now
 * than what others have. Often enough for what is small, a few times for what is large. */
void place_rebalance_run(struct rebalance *r)
{
	uint64_t budget = SWEEPS_MOST * r->entries.count + SWEEPS_LEAST;
	size_t before;
	do {
		while (!is_exhausted(r))
			take_first(r);
		before = r->s->moves.count;
		if (before == r->swept_at || before >= r->s->problem->moves_max ||
			budget < r->entries.count || place_solver_exhausted(r->s))
			return;
		r->swept_at = before;
		budget -= r->entries.count;
		for (uint32_t i = 0; i < r->entries.count; i++)
			if (r->entries.items[i].gain > -2)
				look_again(r, i);
	} while (r->heap.count > 0);
}

void place_rebalance_restart(struct rebalance *r)
{
	while (r->s->moves.count > 0) {
		const struct place_move *m = &r->s->moves.items[--r->s->moves.count];
		place_rebalance_move_back(r, m);
		place_bits_set(&r->moved, m->pod, false);
		place_budgets_take(&r->s->budgets, m->pod, -1);
	}
	r->swept_at = 0;
	r->heap.count = 0;
	VEC_EACH (&r->fresh_heap, struct keyed, one)
		vec_push(&r->heap, *one);
	if (r->entries.count == 0)
		return;
	memcpy(r->entries.items, r->fresh, r->entries.count * sizeof(*r->fresh));
	memcpy(r->keys, r->fresh_keys, r->entries.count * sizeof(*r->keys));
}

static void keep_start(struct rebalance *r)
{
	r->fresh = mem_alloc_array(r->entries.count, sizeof(*r->fresh));
	r->fresh_keys = mem_alloc_array(r->entries.count, sizeof(*r->keys));
	if (r->entries.count == 0)
		return;
	memcpy(r->fresh, r->entries.items, r->entries.count * sizeof(*r->fresh));
	memcpy(r->fresh_keys, r->keys, r->entries.count * sizeof(*r->keys));
	VEC_EACH (&r->heap, struct keyed, one)
		vec_push(&r->fresh_heap, *one);
}

static void plan(struct rebalance *r)
{
	list_entries(r);
	learn_skews(r);
	place_rebalance_sort(r);
	for (uint32_t i = 0; i < r->entries.count && !place_solver_exhausted(r->s); i++)
		look_again(r, i);
	if (r->s->problem->steps_max)
		keep_start(r);
	place_rebalance_run(r);
	if (r->s->problem->steps_max)
		place_rebalance_try_others(r);
}

void place_rebalance(struct solver *s)
{
	struct rebalance r = {.s = s,
		.p = s->p,
		.weight = (double)s->weights[PLACE_TERM_MOVE] / (1 << RANK_WEIGHT_SHIFT),
		.least = s->problem->gain_min,
		.ranked = true};
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		r.ranked = r.ranked && s->weights[i] >= 0;
	rand_init(&r.rand, s->problem->seed);
	plan(&r);
	for (size_t i = s->moves.count; i-- > 0 && !s->problem->apply;)
		place_rebalance_move_back(&r, &s->moves.items[i]);
	vec_done(&r.entries);
	vec_done(&r.heap);
	vec_done(&r.fresh_heap);
	free(r.fresh_keys);
	free(r.fresh);
	free(r.first);
	free(r.keys);
	free(r.skews);
	free(r.by_fullness);
	place_bits_done(&r.moved);
}
