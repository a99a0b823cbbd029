/*
 * What usually comes: the most frequent shapes of a workload, memory left aside, that together
 * cover 95 % of its pods, with shares that add up to 1. The input of FGD and of any engine that
 * knows its workload.
 */
#ifndef CONTINUO_BENCH_OPENB_USUAL_H
#define CONTINUO_BENCH_OPENB_USUAL_H

#include "openb/trace.h"

#define OPENB_USUAL_COVER 0.95

struct openb_usual {
	struct openb_shape shape; /* memory_mib and count are 0 */
	double share;
};

struct openb_usuals {
	VEC(struct openb_usual) items; /* most frequent first */
};

void openb_usuals_make(const struct openb_trace *t, double cover, struct openb_usuals *ret_usuals);
void openb_usuals_done(struct openb_usuals *u);

#endif
