/*
 * What a node's free GPUs are still worth to the workload that usually comes, in thousandths of a
 * GPU that it can be expected to take there:
 *
 *     worth = price(model) * (enough(G, C) * sum of fill(L) + 0.3 * whole(n, C))
 *
 * fill(L): what 32 usual pods of at most one GPU, offered one after another to a device with L
 *     thousandths free, would take of it together. It knows that 650 leaves room for 320, and 810
 *     for next to nothing.
 * enough(G, C): the part of the node's G free thousandths that usual pods of at most one GPU take
 *     before its C free CPU runs out, against the same with CPU without end. It knows that CPU is
 *     dear where there is little of it for a GPU, and free where there is plenty. Of more than two
 *     GPUs two are looked at, with their part of the CPU: else pods that want much CPU would look
 *     for company on empty nodes, and leave none for pods of eight GPUs.
 * whole(n, C): for each usual shape of several GPUs that fits, its share of all n whole devices.
 * price: 1 + 2 * what is asked for by name of a model (alone or among others), over its supply.
 *
 * All four come from tables that are made once from the usual shapes and the fleet; a look at a
 * node then costs a few look-ups per device. Memory is left aside, as in the paper.
 */
#ifndef CONTINUO_BENCH_OPENB_WORTH_H
#define CONTINUO_BENCH_OPENB_WORTH_H

#include "openb/usual.h"

struct openb_worth;

/* The trace gives the fleet. */
struct openb_worth *openb_worth_new(const struct openb_usuals *usuals, const struct openb_trace *t);
void openb_worth_free(struct openb_worth *w);

/* Of a node of this model with this CPU and these devices left, from 0. */
double openb_worth_of(const struct openb_worth *w, uint8_t model, int32_t cpu_left,
	const int16_t *gpu_left, uint8_t devices);

/* The parts, for tests. */
double openb_worth_fill(const struct openb_worth *w, int16_t gpu_left);
double openb_worth_enough(const struct openb_worth *w, int32_t gpu_left_total, int32_t cpu_left);
double openb_worth_price(const struct openb_worth *w, uint8_t model);

#endif
