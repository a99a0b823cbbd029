/* The node where making room for a pod does the least harm. Every node gets a bound of its harm
 * from the sizes of its pods alone; then nodes are searched in the order of their bounds, until no
 * bound is below the best that was found. */
#include <stdlib.h>

#include "base/mem.h"
#include "place/solver.h"

#define EQUALS_MOST 16u /* nodes with equal harm of which the cheapest is taken */

struct preemption {
	struct solver *s;
	const struct place_want *want;
	struct bounds *bounds;
	bool asks; /* what is impossible on a node may become possible by what happens on others */
	struct victims candidates; /* of the node at hand */
	struct victims best;
	uint32_t best_node;
	int64_t best_total;
	uint32_t equals;
};

/* ---- who may go ---- */

static int compare_candidates(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;
	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->shape != y->shape)
		return x->shape < y->shape ? -1 : 1;
	return x->pod < y->pod ? -1 : x->pod > y->pod;
}

/* Those that are in the same budgets too. */
static bool are_alike(const struct budgets *b, const struct victim *x, const struct victim *y)
{
	uint32_t count, other_count;
	const uint32_t *of = place_budgets_of(b, x->pod, &count);
	const uint32_t *other = place_budgets_of(b, y->pod, &other_count);
	if (x->shape != y->shape || x->priority != y->priority || count != other_count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (of[i] != other[i])
			return false;
	return true;
}

/* What one node's pods come to by themselves. */
static bool is_fixed_against(const struct place *p, const struct shape *s, uint32_t node)
{
	const struct profile *x = place_profile_of(p, s);
	return !p->nodes.items[node].used || !place_bits_get(&x->affine, node) ||
	       !place_bits_get(&x->tolerated, node) || !place_bits_get(&x->able, node);
}

static void list_candidates(struct preemption *x, uint32_t node)
{
	const struct place *p = x->s->p;
	struct victims *c = &x->candidates;
	c->items.count = 0;
	for (uint32_t i = p->nodes.items[node].first_pod; i != PLACE_NONE;
		i = p->pods.items[i].next) {
		const struct pod *pod = &p->pods.items[i];
		if (pod->priority < x->want->priority && !place_bits_get(&x->s->placed, i) &&
			place_budgets_let(&x->s->budgets, i))
			vec_push(&c->items, (struct victim){i, pod->shape, pod->priority, 0});
	}
}

static void sort_candidates(struct preemption *x)
{
	struct victims *c = &x->candidates;
	if (c->items.count)
		qsort(c->items.items, c->items.count, sizeof(*c->items.items), compare_candidates);
	for (size_t i = 1; i < c->items.count; i++) {
		struct victim *v = &c->items.items[i];
		v->kind = v[-1].kind + !are_alike(&x->s->budgets, &v[-1], v);
	}
}

/* ---- bounds ---- */

static int64_t amount_of(const struct place *p, uint32_t shape, uint32_t resource)
{
	VEC_EACH (&p->shapes.items[shape].requests, struct want_amount, r) {
		if (r->resource == resource)
			return r->amount;
	}
	return 0;
}

/* The least priority up to which pods must go so that enough of a resource is free; the number of
 * the largest of all that would do. False: not even all of them. */
static bool bound_by(const struct preemption *x, uint32_t resource, int64_t lacking,
	int *ret_highest, int64_t *ret_number)
{
	const struct place *p = x->s->p;
	int64_t most = 1;
	VEC_EACH (&x->candidates.items, struct victim, v) {
		int64_t amount = amount_of(p, v->shape, resource);
		most = amount > most ? amount : most;
	}
	*ret_number = (lacking + most - 1) / most;
	VEC_EACH (&x->candidates.items, struct victim, v) {
		*ret_highest = v->priority;
		lacking -= amount_of(p, v->shape, resource);
		if (lacking <= 0)
			return true;
	}
	return false;
}

/* Needs sorted candidates. */
static bool bound_of(struct preemption *x, uint32_t node, struct place_harm *ret_bound)
{
	const struct place *p = x->s->p;
	const struct shape *s = &p->shapes.items[x->want->shape];
	const struct victim *items = x->candidates.items.items;
	int64_t least = items[0].priority + ((int64_t)1 << 31), number = 1;
	*ret_bound = (struct place_harm){.highest = items[0].priority};
	VEC_EACH (&s->requests, struct want_amount, r) {
		struct stock stock = place_node_stock(&p->nodes.items[node], r->resource);
		int64_t lacking = r->amount - (stock.capacity - stock.taken), some;
		int highest = 0;
		if (r->amount == 0 || lacking <= 0)
			continue;
		if (!bound_by(x, r->resource, lacking, &highest, &some))
			return false;
		number = some > number ? some : number;
		ret_bound->highest = highest > ret_bound->highest ? highest : ret_bound->highest;
	}
	ret_bound->sum = number * least;
	return true;
}

/* ---- the order of nodes ---- */

static bool is_before(const struct bounded *a, const struct bounded *b)
{
	int c = place_harm_compare(&a->bound, &b->bound);
	return c != 0 ? c < 0 : place_order_of(a->node) < place_order_of(b->node);
}

static void sift_down(struct bounds *b, size_t at)
{
	struct bounded *items = b->heap.items;
	for (;;) {
		size_t least = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++)
			if (child < b->heap.count && is_before(&items[child], &items[least]))
				least = child;
		if (least == at)
			return;
		struct bounded moved = items[at];
		items[at] = items[least];
		items[least] = moved;
		at = least;
	}
}

static struct bounded pop(struct bounds *b)
{
	struct bounded first = b->heap.items[0];
	b->heap.items[0] = b->heap.items[--b->heap.count];
	sift_down(b, 0);
	return first;
}

static void push(struct bounds *b, const struct bounded *one)
{
	size_t at = b->heap.count;
	vec_push(&b->heap, *one);
	struct bounded *items = b->heap.items;
	for (; at > 0 && is_before(one, &items[(at - 1) / 2]); at = (at - 1) / 2)
		items[at] = items[(at - 1) / 2];
	items[at] = *one;
}

static bool bound_node(struct preemption *x, uint32_t node, struct bounded *ret_one)
{
	const struct place *p = x->s->p;
	const struct shape *s = &p->shapes.items[x->want->shape];
	if ((x->want->node != PLACE_NONE && node != x->want->node) || is_fixed_against(p, s, node))
		return false;
	x->s->steps++;
	list_candidates(x, node);
	if (x->candidates.items.count == 0)
		return false;
	sort_candidates(x);
	ret_one->node = node;
	return bound_of(x, node, &ret_one->bound);
}

/* From anew, or those of the nodes that had victims since. */
static void bound_nodes(struct preemption *x)
{
	const struct place_want *w = x->want;
	struct bounds *b = x->bounds;
	struct bounded one;
	bool known = b->known && b->shape == w->shape && b->priority == w->priority &&
		     w->node == PLACE_NONE && b->victims <= x->s->victims.count;
	for (size_t i = b->victims; known && i < x->s->victims.count; i++)
		if (bound_node(x, x->s->victims.items[i].node, &one))
			push(b, &one);
	b->victims = x->s->victims.count;
	if (known)
		return;
	b->known = w->node == PLACE_NONE;
	b->shape = w->shape;
	b->priority = w->priority;
	b->heap.count = 0;
	for (uint32_t i = 0; i < x->s->p->nodes.count; i++)
		if (bound_node(x, i, &one))
			vec_push(&b->heap, one);
	for (size_t i = b->heap.count / 2; i-- > 0;)
		sift_down(b, i);
}

/* ---- the best ---- */

/* The pod's cost with the victims gone. */
static int64_t total_without(struct preemption *x, uint32_t node, const struct victims *v)
{
	struct place *p = x->s->p;
	VEC_EACH (&v->items, struct victim, one)
		place_node_count_pods(p, node, one->shape, -1);
	struct look l;
	place_look_init(&l, p, x->want->shape, PLACE_NONE, NULL);
	place_look_weigh(&l, x->s->weights);
	int64_t total = place_look_total(&l, node, NULL);
	place_look_done(&l);
	VEC_EACH (&v->items, struct victim, one)
		place_node_count_pods(p, node, one->shape, 1);
	return total;
}

/* Returns whether the node is worth another look for the next pod: *bound is what is known then. */
static bool look_at(struct preemption *x, uint32_t node, struct place_harm *bound)
{
	struct victims found = {0};
	bool first = x->best_node == PLACE_NONE;
	list_candidates(x, node);
	sort_candidates(x);
	if (!place_victims_find(x->s, x->want->shape, node, &x->candidates,
		    first ? NULL : &x->best.harm, &found))
		return !first || x->asks;
	if (!x->asks)
		*bound = found.harm;
	int worse = first ? -1 : place_harm_compare(&found.harm, &x->best.harm);
	int64_t total = total_without(x, node, &found);
	x->equals = worse == 0 ? x->equals + 1 : 0;
	if (worse < 0 || (worse == 0 && total < x->best_total)) {
		vec_done(&x->best.items);
		x->best = found;
		x->best_node = node;
		x->best_total = total;
	} else {
		vec_done(&found.items);
	}
	return true;
}

/* Those that were looked at go back with what is known of them now. */
static void look_at_all(struct preemption *x)
{
	VEC(struct bounded) seen = {0};
	struct bounds *b = x->bounds;
	while (b->heap.count > 0 && x->equals < EQUALS_MOST) {
		if (x->best_node != PLACE_NONE &&
			place_harm_compare(&b->heap.items[0].bound, &x->best.harm) > 0)
			break;
		struct bounded next = pop(b);
		if (look_at(x, next.node, &next.bound))
			vec_push(&seen, next);
	}
	VEC_EACH (&seen, struct bounded, one)
		push(b, one);
	vec_done(&seen);
}

static void take_best(struct preemption *x, uint32_t want, struct place_choice *c)
{
	struct solver *s = x->s;
	VEC_EACH (&x->best.items, struct victim, v) {
		vec_push(&s->victims,
			(struct place_victim){v->pod, x->best_node, v->priority, want});
		place_budgets_take(&s->budgets, v->pod, 1);
		place_pod_lift(s->p, v->pod);
	}
	struct look l;
	place_look_init(&l, s->p, x->want->shape, PLACE_NONE, NULL);
	place_look_weigh(&l, s->weights);
	*c = (struct place_choice){.node = x->best_node, .alternative = PLACE_NONE};
	place_look_score(&l, c->node, &c->cost);
	place_look_done(&l);
}

bool place_preempt(struct solver *s, uint32_t want, struct place_choice *ret_choice,
	struct place_harm *ret_harm)
{
	const struct place_want *w = &s->problem->wants[want];
	struct spared *known = &s->spared[w->shape];
	if (w->node == PLACE_NONE && known->known && known->priority >= w->priority &&
		known->assignments == s->assignments.count)
		return false;
	struct preemption x = {.s = s,
		.want = w,
		.bounds = &s->bounds,
		.asks = place_victims_ask(s->p, &s->p->shapes.items[w->shape]),
		.best_node = PLACE_NONE};
	bound_nodes(&x);
	look_at_all(&x);
	bool found = x.best_node != PLACE_NONE;
	if (found) {
		*ret_harm = x.best.harm;
		take_best(&x, want, ret_choice);
	} else if (w->node == PLACE_NONE) {
		*known = (struct spared){true, w->priority, s->assignments.count};
	}
	vec_done(&x.best.items);
	vec_done(&x.candidates.items);
	return found;
}
