/* A rebalance under way. Private to src/place. */
#ifndef CONTINUO_PLACE_REBALANCE_H
#define CONTINUO_PLACE_REBALANCE_H

#include "base/rand.h"
#include "place/solver.h"

struct entry {
	uint32_t node, shape;
	double gain;
	uint32_t target, at; /* at: how many moves there were when it was evaluated */
};
struct keyed {
	double key;
	uint32_t entry;
};
/* What a required spread allows. */
struct allowed_skew {
	int64_t skew; /* 0: it is nobody's */
	uint32_t min_domains;
};
struct rebalance {
	struct solver *s;
	struct place *p;
	VEC(struct entry) entries; /* node by node */
	uint32_t *first;           /* by node: where its entries begin */
	double *keys;              /* by entry: its key; what else is in the heap is outdated */
	VEC(struct keyed) heap;
	struct allowed_skew *skews; /* by tally */
	struct bits moved;          /* pods */
	double weight, least;       /* of a move; what it must gain */
	bool ranked;                /* the ranking can be used: no weight is below 0 */
	/* Else: nodes in the order in which the weight of balance likes them. */
	uint32_t *by_fullness;
	uint32_t node_count;
	struct measure smallest; /* of the nodes */
	/* What it was before the first move. */
	struct entry *fresh;
	double *fresh_keys;
	VEC(struct keyed) fresh_heap;
	struct rand rand;
	double uneven;   /* of a key: how far lots change it */
	size_t swept_at; /* how many moves there were when all entries were looked at */
};

/* Moves while it is worth it. */
void place_rebalance_run(struct rebalance *r);
/* One pod, if it gains enough and nobody loses by it. */
bool place_rebalance_move(struct rebalance *r, uint32_t pod, uint32_t to);
void place_rebalance_move_back(struct rebalance *r, const struct place_move *m);
/* Back to the start, as it was. */
void place_rebalance_restart(struct rebalance *r);

/* ---- rebalance_order.c ---- */

void place_rebalance_sort(struct rebalance *r);
void place_rebalance_resort(struct rebalance *r, uint32_t node); /* its pods changed */
/* The best node for a pod that is lifted off `from`; any but that one when a weight is below 0. */
void place_rebalance_choose(struct rebalance *r, uint32_t shape, uint32_t from,
	struct place_choice *ret_choice);

/* ---- rebalance_more.c ---- */

/* Other plans from the same start, while there are steps; the best one is carried out. */
void place_rebalance_try_others(struct rebalance *r);

#endif
