/* A rebalance under way. Private to src/place. */
#ifndef CONTINUO_PLACE_REBALANCE_H
#define CONTINUO_PLACE_REBALANCE_H

#include "base/rand.h"
#include "place/solver.h"

struct entry {
	uint32_t node, shape;
	double gain;         /* or its bound */
	uint32_t target, at; /* at: how many moves there were when it was evaluated; NEVER */
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
	double *fullest; /* by shape: what any node would become with one more of it, at most */
	bool exact;      /* the ranking can be used */
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

/* ---- rebalance_more.c ---- */

/* Other plans from the same start, while there are steps; the best one is carried out. */
void place_rebalance_try_others(struct rebalance *r);

#endif
