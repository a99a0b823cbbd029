/*
 * The fleet while pods arrive: what is left on each node. CPU, memory, the thousandths of each GPU
 * and its model are hard limits. Nodes are numbered in the order that decides between equals: the
 * published experiment prefixes their names with a permutation of the seed and takes the smallest.
 */
#ifndef CONTINUO_BENCH_OPENB_CLUSTER_H
#define CONTINUO_BENCH_OPENB_CLUSTER_H

#include <stdbool.h>

#include "openb/trace.h"

#define OPENB_NONE UINT32_MAX

/* Kinds of GPU pods that one node can hold: shares, and whole ones by their number. */
enum { OPENB_KIND_SHARE, OPENB_KIND_WHOLE, OPENB_KIND_COUNT = OPENB_DEVICES_MAX + 1 };

struct openb_seat {
	int32_t cpu_left, memory_left;
	int16_t gpu_left[OPENB_DEVICES_MAX]; /* thousandths of each device */
	int32_t gpu_left_total;
	uint8_t devices, model;
	uint32_t kinds[OPENB_KIND_COUNT]; /* GPU pods here */
	const struct openb_node *node;
};

struct openb_cluster {
	struct openb_seat *seats;
	uint32_t *versions; /* by seat: changes with it */
	size_t count;
	int64_t gpu_used; /* thousandths, all nodes */
};

/* Where a pod goes. */
struct openb_choice {
	uint32_t seat;
	uint8_t devices; /* set of devices; as many as the pod's GPUs */
};

/* The nodes must outlive it. The seed orders them. */
void openb_cluster_init(struct openb_cluster *c, const struct openb_trace *t, uint64_t seed);
void openb_cluster_done(struct openb_cluster *c);

bool openb_seat_fits(const struct openb_seat *seat, const struct openb_shape *s);
uint8_t openb_seat_whole_free(const struct openb_seat *seat); /* devices that nobody uses */

/* The choice must be possible (asserted); undo takes back a place in any order. */
void openb_cluster_place(struct openb_cluster *c, const struct openb_shape *s,
	struct openb_choice at);
void openb_cluster_undo(struct openb_cluster *c, const struct openb_shape *s,
	struct openb_choice at);

/* Devices that a share may take, and the usual choices among them. All need a pod that fits. */
uint8_t openb_seat_tightest(const struct openb_seat *seat, const struct openb_shape *s);
uint8_t openb_seat_first_whole(const struct openb_seat *seat, uint8_t gpus);

int openb_shape_kind(const struct openb_shape *s); /* of a shape with GPUs: into kinds */

static inline bool openb_shape_shares(const struct openb_shape *s)
{
	return s->gpus == 1 && s->gpu_milli < OPENB_GPU_MILLI;
}

#endif
