/*
 * Better plans of moves, at the price of time: some of the moves of the best plan are left out, the
 * others made again in their order, and the gaps filled in an order that lots change a little.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "place/rebalance.h"

struct moves {
	VEC(struct place_move) items;
	double gain;
};

static void keep(struct moves *to, const struct rebalance *r)
{
	to->items.count = 0;
	to->gain = 0;
	VEC_EACH (&r->s->moves, struct place_move, m) {
		vec_push(&to->items, *m);
		to->gain += m->gain;
	}
}

static double gain_now(const struct rebalance *r)
{
	double gain = 0;
	VEC_EACH (&r->s->moves, struct place_move, m)
		gain += m->gain;
	return gain;
}

/* Without about one in so many. */
static void make_again(struct rebalance *r, const struct moves *moves, uint64_t one_in)
{
	VEC_EACH (&moves->items, struct place_move, m) {
		if (rand_below(&r->rand, one_in) > 0)
			(void)place_rebalance_move(r, m->pod, m->to);
	}
}

void place_rebalance_try_others(struct rebalance *r)
{
	static const uint64_t one_in[] = {2, 4, 8, 16, 32, 64};
	struct moves best = {0};
	keep(&best, r);
	while (!place_solver_exhausted(r->s)) {
		place_rebalance_restart(r);
		r->s->steps += 1 + r->entries.count / 32; /* also where nothing can move */
		r->uneven = 0.2 * rand_unit(&r->rand);
		make_again(r, &best, one_in[rand_below(&r->rand, ARRAY_SIZE(one_in))]);
		place_rebalance_run(r);
		if (gain_now(r) > best.gain)
			keep(&best, r);
	}
	place_rebalance_restart(r);
	VEC_EACH (&best.items, struct place_move, m) {
		place_pod_lift(r->p, m->pod);
		place_pod_return(r->p, m->pod, m->to);
		vec_push(&r->s->moves, *m);
	}
	vec_done(&best.items);
}
