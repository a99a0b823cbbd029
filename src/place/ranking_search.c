#include <assert.h>
#include <string.h>

#include "place/ranking_block.h"

struct search {
	const struct ranking *r;
	const struct rank_query *q;
	struct rank_best *best;
	uint32_t count;
	int32_t f_most; /* f of what is no worse than the last of the best, at most */
	uint64_t asked;
};

static bool is_worse(const struct search *s, int64_t total, uint32_t order)
{
	const struct rank_best *last = &s->best[s->count - 1];
	return total > last->total || (total == last->total && order > last->order);
}

/* The greatest f with rank_total(f) <= total. */
static int32_t greatest_f(const struct rank_query *q, int64_t total)
{
	const int shift = RANK_WEIGHT_SHIFT - RANK_FULL_SHIFT;
	int64_t budget = total == RANK_NEVER ? RANK_NEVER : total - q->rest;
	if (budget < 0)
		return -1;
	if (q->weight == 0 || budget >= q->weight * RANK_FAR >> shift)
		return RANK_FAR - 1;
	return (int32_t)((((budget + 1) << shift) - 1) / q->weight);
}

static void narrow(struct search *s)
{
	s->f_most = greatest_f(s->q, s->best[s->count - 1].total);
}

void rank_offer(struct rank_best *best, uint32_t count, const struct rank_best *one)
{
	uint32_t at = 0;
	while (at < count && (best[at].total < one->total ||
				     (best[at].total == one->total && best[at].order < one->order)))
		at++;
	if (one->total == RANK_NEVER || at == count || best[at].node == one->node)
		return;
	memmove(&best[at + 1], &best[at], (count - at - 1) * sizeof(*best));
	best[at] = *one;
}

static void ask(struct search *s, uint32_t node, int64_t least, uint32_t order)
{
	s->asked++;
	struct rank_best one = {s->q->total(s->q->arg, node, least), node, order};
	if (one.total == RANK_NEVER)
		return;
	rank_offer(s->best, s->count, &one);
	narrow(s);
}

static bool has_room(const struct rank_query *q, const int32_t *least)
{
	for (int i = 0; i < RANK_FREE; i++)
		if (-least[RANK_LANE_FREE + i] < q->need[i])
			return false;
	return true;
}

/* f of each entry, at least: on one side of the turn u + cu is the greater of each node's two sums
 * and hence of the two minima, on the other side v + cv. */
static ALWAYS_INLINE void bound_entries(const struct rank_query *q, const struct rank_block *b,
	int32_t *ret_f)
{
	for (int i = 0; i < RANK_WIDTH; i++) {
		int32_t fu = b->u[i] + q->cu, fv = b->v[i] + q->cv;
		ret_f[i] = fu > fv ? fu : fv;
	}
}

/* The entry with the least f, of equals the one that is first in order. */
static ALWAYS_INLINE uint32_t first_of(const int32_t *f, const struct rank_block *b)
{
	int32_t least = rank_least(f);
	uint32_t at = 0, equals = 0;
	for (uint32_t i = 0; i < RANK_WIDTH; i++) {
		at += f[i] == least ? i : 0;
		equals += f[i] == least;
	}
	if (equals == 1)
		return at;
	at = RANK_WIDTH;
	for (uint32_t i = 0; i < RANK_WIDTH; i++)
		if (f[i] == least &&
			(at == RANK_WIDTH || b->entries[i].least[RANK_LANE_ORDER] <
						     b->entries[at].least[RANK_LANE_ORDER]))
			at = i;
	return at;
}

WIDE_TOO static void search_block(struct search *s, uint32_t block)
{
	const struct rank_block *b = &s->r->blocks[block];
	int32_t f[RANK_WIDTH];
	bound_entries(s->q, b, f);
	for (;;) {
		uint32_t at = first_of(f, b);
		if (f[at] > s->f_most)
			return;
		const union rank_entry *e = &b->entries[at];
		int64_t least = rank_total(s->q, f[at]);
		uint32_t order = rank_order_out(e->least[RANK_LANE_ORDER]);
		f[at] = RANK_FAR;
		if (is_worse(s, least, order) || !has_room(s->q, e->least))
			continue;
		if (b->leaf)
			ask(s, e->id, least, order);
		else
			search_block(s, e->id);
	}
}

uint64_t ranking_search(const struct ranking *r, uint32_t tree, const struct rank_query *q,
	struct rank_best *best, uint32_t count)
{
	struct search s = {r, q, best, count, 0, 0};
	assert(count > 0 && q->weight >= 0);
	narrow(&s);
	if (!ranking_is_empty(r, tree))
		search_block(&s, r->trees.items[tree].root);
	return s.asked;
}

int64_t ranking_bound(const struct ranking *r, uint32_t tree, const struct rank_query *q)
{
	if (ranking_is_empty(r, tree))
		return RANK_NEVER;
	const int32_t *least = r->trees.items[tree].all.least;
	if (!has_room(q, least))
		return RANK_NEVER;
	int32_t fu = least[RANK_LANE_U] + q->cu, fv = least[RANK_LANE_V] + q->cv;
	return rank_total(q, fu > fv ? fu : fv);
}
