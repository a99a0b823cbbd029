/*
 * How much of a node's free GPU thousandths the usual workload can use: for each usual GPU shape
 * that fits, the free thousandths on devices that are large enough for it, weighted by its share.
 * What is free less this is the fragmentation of the paper: a shape without GPUs can use none of
 * them, whether it fits or not.
 *
 * Built once from the usual shapes; then a table look-up per device. Memory is left aside, as in
 * the paper.
 */
#ifndef CONTINUO_BENCH_OPENB_USABLE_H
#define CONTINUO_BENCH_OPENB_USABLE_H

#include "openb/usual.h"

struct openb_usable;

struct openb_usable *openb_usable_new(const struct openb_usuals *usuals, size_t model_count);
void openb_usable_free(struct openb_usable *u);

/* Of a node with this CPU and these devices left; 0 to the sum of gpu_left. */
double openb_usable_of(const struct openb_usable *u, uint8_t model, int32_t cpu_left,
	const int16_t *gpu_left, uint8_t devices);

#endif
