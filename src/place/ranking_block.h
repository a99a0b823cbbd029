/* What the trees of a ranking are made of. Private to ranking*.c. */
#ifndef CONTINUO_PLACE_RANKING_BLOCK_H
#define CONTINUO_PLACE_RANKING_BLOCK_H

#include "base/attr.h"
#include "place/ranking.h"

#define RANK_WIDTH 16       /* a column of a block is one cache line */
#define RANK_FAR (1 << 30)  /* the u and v of entries that are not there: above any sum */
#define RANK_LAST INT32_MAX /* the rest of them */

/* What is minimised over a subtree. Free amounts are negated, and the order is shifted into int32.
 */
enum rank_lane { RANK_LANE_U, RANK_LANE_V, RANK_LANE_FREE, RANK_LANE_ORDER = 2 + RANK_FREE };

/* A leaf has nodes, in no order; a branch has blocks by their low d: what a child has is not below
 * its own and not above that of the next one. That of the first child is INT32_MIN. Entries from
 * `count` on are filled such that they are never least. */
struct rank_block {
	union rank_entry entries[RANK_WIDTH];
	int32_t u[RANK_WIDTH], v[RANK_WIDTH]; /* of the entries, once more: these are searched */
	int32_t low[RANK_WIDTH];              /* of a branch */
	uint32_t count;
	uint32_t parent, slot; /* its place; RANK_NONE: a root */
	uint32_t tree;
	bool leaf;
} __attribute__((aligned(64)));

static inline int32_t rank_order_in(uint32_t order)
{
	return (int32_t)(order ^ 0x80000000u);
}
static inline uint32_t rank_order_out(int32_t order)
{
	return (uint32_t)order ^ 0x80000000u;
}

/* All are looked at, so that it is a few instructions on many. */
static inline int32_t rank_least(const int32_t *column)
{
	int32_t least = RANK_LAST;
	for (int i = 0; i < RANK_WIDTH; i++)
		least = column[i] < least ? column[i] : least;
	return least;
}

#endif
