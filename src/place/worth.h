/*
 * What a node's free devices are still worth to the workload that usually comes, in thousandths of
 * a device that it can be expected to take there:
 *
 *     worth = price(class) * (enough(L, C) * sum of fill(l) + 0.3 * whole(n, C))
 *
 * fill(l): what 32 usual pods of at most one device, offered one after another to a device with l
 *     thousandths free, would take of it together. It knows that 650 leaves room for 320, and 810
 *     for next to nothing.
 * enough(L, C): the part of the node's L free thousandths that usual pods of at most one device
 *     take before its C free CPU runs out, against the same with CPU without end. It knows that CPU
 *     is dear where there is little of it for a device, and free where there is plenty. Of more
 *     than two devices two are looked at, with their part of the CPU: else pods that want much CPU
 *     would look for company on empty nodes, and leave none for pods of eight devices.
 * whole(n, C): for each usual shape of several devices that fits, its share of all n whole ones.
 * price: 1, and for each usual shape that only some nodes will do for, on these, 2 times its part
 *     of what is asked for, times supply / what those nodes have, less 1.
 *
 * All four come from tables that are made once from the usual shapes and the fleet; a look at a
 * node then costs a few look-ups. Tables are made in doubles and read in integers. Memory is left
 * aside. Why each part is there, with figures: bench/openb/NOTES.md. Private to src/place.
 */
#ifndef CONTINUO_PLACE_WORTH_H
#define CONTINUO_PLACE_WORTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "place/place.h"

#define PLACE_DEVICE 1000    /* thousandths of one device */
#define WORTH_SHIFT 16       /* worth and fill are in 2^-16 thousandths */
#define WORTH_KINDS_MAX 64u  /* demands that only some nodes meet */
#define WORTH_USUAL_MAX 256u /* shapes */

#define WORTH_POOL 2000 /* thousandths: the grid of `enough` is up to two devices and 130 cores */
#define WORTH_STEP 50
#define WORTH_CPU_STEP 1000
#define WORTH_POINTS (WORTH_POOL / WORTH_STEP + 1)
#define WORTH_CPU_POINTS 131

/* A shape that usually comes, as far as one shared resource goes. */
struct usual {
	int64_t cpu;     /* thousandths of a core */
	int32_t devices; /* from 1 */
	int32_t milli;   /* of each; less than PLACE_DEVICE only of a single one */
	uint32_t kind;   /* which nodes will do; PLACE_NONE: all */
	double share;    /* of the usual pods */
};

/* Nodes that meet the same demands. */
struct worth_class {
	uint64_t able;  /* bit k: demand k is met */
	double devices; /* on all its nodes together */
};

struct worth {
	int64_t fill[PLACE_DEVICE + 1];
	int32_t enough[WORTH_POINTS][WORTH_CPU_POINTS]; /* 2^-16 */
	VEC(int64_t) cpus;                              /* of usual shapes of several devices */
	VEC(int64_t) price;                             /* by class; 2^-16 */
	int64_t *whole; /* by class, CPU class, whole devices; weighted */
};

/* Makes what hangs on the usual shapes alone. */
void place_worth_learn(struct worth *w, const struct usual *usuals, size_t count);
/* Then, and again when nodes changed: what hangs on the fleet. */
void place_worth_survey(struct worth *w, const struct usual *usuals, size_t count,
	const struct worth_class *classes, size_t class_count);
void place_worth_done(struct worth *w);

/* fill: sum of w->fill of the devices' free thousandths; left: their sum; whole: free ones. */
int64_t place_worth_of(const struct worth *w, uint32_t class, int64_t cpu_left, int64_t fill,
	int64_t left, uint32_t whole);

#endif
