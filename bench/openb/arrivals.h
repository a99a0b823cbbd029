/*
 * The order in which a workload's pods come: the trace's pods sorted by name and shuffled by the
 * seed; then pods drawn from the trace with replacement until the next one would lift the requested
 * GPU thousandths above the load. That test adds a draw's gpu_milli once, whatever its number of
 * GPUs, because the published experiment does so. A trace that is above the load by itself loses
 * pods at random instead.
 */
#ifndef CONTINUO_BENCH_OPENB_ARRIVALS_H
#define CONTINUO_BENCH_OPENB_ARRIVALS_H

#include "openb/trace.h"

struct openb_arrivals {
	VEC(uint32_t) shapes;
	int64_t gpu_milli; /* requested by all of them */
};

/* load: of the fleet's GPU thousandths (1.3: 130 %), above 0. The trace needs pods, one of them
 * with a GPU: -ERR_INVALID else, because no load could be reached. */
int openb_arrivals_make(const struct openb_trace *t, uint64_t seed, double load,
	struct openb_arrivals *ret_arrivals, struct err *e) MUST_CHECK;
void openb_arrivals_done(struct openb_arrivals *a);

#endif
