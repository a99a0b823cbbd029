/*
 * Nodes in an order in which the best one for a pod is found by looking at a few of them.
 *
 * The cost of a pod on a node is monotone in f = max(u + cu, v + cv): u and v are the node's (how
 * full it is in two mixtures of cpu and memory), cu and cv the pod's. A tree is a B+-tree over
 * d = u - v. Where d >= cv - cu the first sum is the greater one and elsewhere the second, so that
 * the minima of u and v over a subtree bound f exactly, but in the one block where the two meet.
 * Subtrees also know the most that any of their nodes has free of a few resources, and the first of
 * their nodes in the order that decides between equals.
 *
 * Costs are integers in units of 2^-32, so that sums do not depend on the order of their terms and
 * a bound equals the cost that it bounds when nothing comes to it. u, v and f have 24 bits behind
 * the point: exact as well, and sixteen of them are one cache line.
 *
 * A ranking is a forest: each node is in one tree of it at most. Private to src/place.
 */
#ifndef CONTINUO_PLACE_RANKING_H
#define CONTINUO_PLACE_RANKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"

#define RANK_UNIT ((int64_t)1 << 32) /* a cost of 1 */
#define RANK_WEIGHT_SHIFT 12         /* weights are in units of 2^-12 */
#define RANK_FULL ((int32_t)1 << 24) /* an f of 1 */
#define RANK_FULL_SHIFT 8            /* from an f to a cost */
#define RANK_FULL_MOST (31 * RANK_FULL)
#define RANK_FREE 4 /* resources whose free amounts are known */
#define RANK_LANES (3 + RANK_FREE)
#define RANK_NONE UINT32_MAX
#define RANK_NEVER INT64_MAX

struct rank_row {
	int32_t u, v;            /* 0 to RANK_FULL_MOST */
	int32_t free[RANK_FREE]; /* may be negative; above INT32_MIN */
	uint32_t order;          /* decides between nodes that cost the same: the lower one */
};

/* A node in a block, or a block with the least of all that is in it. With the id these are eight
 * lanes, which are computed at once; what that makes of the id is not used. */
union rank_entry {
	struct {
		int32_t least[RANK_LANES];
		uint32_t id;
	};
	int32_t lanes[RANK_LANES + 1];
};
struct rank_block;
struct rank_tree {
	uint32_t root;        /* RANK_NONE: empty */
	union rank_entry all; /* that is in it */
};
struct ranking {
	struct rank_block *blocks;
	uint32_t block_count, block_capacity, free_block;
	VEC(uint32_t) place_of; /* by node: its leaf and its slot there; RANK_NONE */
	VEC(struct rank_tree) trees;
};

void ranking_init(struct ranking *r);
void ranking_done(struct ranking *r);

/* Puts the node into the tree, with this row. A node that is there moves. */
void ranking_set(struct ranking *r, uint32_t node, uint32_t tree, const struct rank_row *row);
/* Nothing when it is in none. */
void ranking_remove(struct ranking *r, uint32_t node);
/* The same for a node that is there and stays in its tree. */
void ranking_update(struct ranking *r, uint32_t node, const struct rank_row *row);
/* Fetches what a change of the node will touch. */
void ranking_prefetch(const struct ranking *r, uint32_t node);
static inline bool ranking_has(const struct ranking *r, uint32_t node)
{
	return node < r->place_of.count && r->place_of.items[node] != RANK_NONE;
}
static inline bool ranking_is_empty(const struct ranking *r, uint32_t tree)
{
	return tree >= r->trees.count || r->trees.items[tree].root == RANK_NONE;
}

struct rank_best {
	int64_t total;
	uint32_t node, order;
};

struct rank_query {
	int32_t cu, cv;          /* 0 to RANK_FULL_MOST */
	int32_t need[RANK_FREE]; /* INT32_MIN: any */
	int64_t weight;          /* of f, from 0, in 2^-12 */
	int64_t rest;            /* a total is rank_total of f, or more */
	/* The total of a node, RANK_NEVER when it is not possible or no better than the best are;
	 * least is the bound above. */
	int64_t (*total)(void *arg, uint32_t node, int64_t least);
	void *arg;
};

/* The total of f by a query, without what else comes to it. */
static inline int64_t rank_total(const struct rank_query *q, int32_t f)
{
	return (q->weight * ((int64_t)f << RANK_FULL_SHIFT) >> RANK_WEIGHT_SHIFT) + q->rest;
}

/* No node of the tree costs less. RANK_NEVER: it has none with enough free. */
int64_t ranking_bound(const struct ranking *r, uint32_t tree, const struct rank_query *q);

/* Improves the `count` best, ascending by total and order, with the nodes of a tree; places not yet
 * taken have total RANK_NEVER. Returns how many nodes were asked for their total. */
uint64_t ranking_search(const struct ranking *r, uint32_t tree, const struct rank_query *q,
	struct rank_best *best, uint32_t count);

/* Puts one among the best if it is better and not there yet. */
void rank_offer(struct rank_best *best, uint32_t count, const struct rank_best *one);

#endif
