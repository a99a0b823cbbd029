/*
 * A fleet and a workload of the GPU-sharing experiment ("Beware of Fragmentation", USENIX ATC
 * 2023), read from the CSV files of the production trace that the paper published: nodes with the
 * columns sn, cpu_milli, memory_mib, gpu, model; pods with name, cpu_milli, memory_mib, num_gpu,
 * gpu_milli and, where there is one, gpu_spec (models separated by |). Other columns are ignored.
 *
 * A trace owns its strings and arrays until openb_trace_done.
 */
#ifndef CONTINUO_BENCH_OPENB_TRACE_H
#define CONTINUO_BENCH_OPENB_TRACE_H

#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"

#define OPENB_DEVICES_MAX 8 /* GPUs of one node */
#define OPENB_MODELS_MAX 32
#define OPENB_GPU_MILLI 1000 /* one whole GPU */

struct openb_node {
	char *name;
	int32_t cpu_milli, memory_mib;
	uint8_t devices;
	uint8_t model; /* into trace.models; 0 when it has no GPU */
};

/* All that matters about a pod for where it can go. A pod with gpus == 1 may take a part of one
 * GPU; with more it takes whole ones. */
struct openb_shape {
	int32_t cpu_milli, memory_mib;
	uint8_t gpus;
	int16_t gpu_milli; /* of each GPU: 1 to 1000; 0 without GPUs */
	uint32_t models;   /* set of those that will do; 0: any */
	uint32_t count;    /* pods of this shape in the trace */
};

struct openb_pod {
	char *name;
	uint32_t shape;
};

struct openb_trace {
	VEC(struct openb_node) nodes;
	VEC(struct openb_pod) pods;
	VEC(struct openb_shape) shapes;
	VEC(char *) models;
	struct map shape_ids; /* text -> shape + 1 */
	int64_t gpu_milli;    /* of all nodes together */
};

#define OPENB_TRACE_INIT ((struct openb_trace){0})

/* Adds the nodes or pods of one file. -ERR_NOT_FOUND, -ERR_IO, -ERR_TOO_LARGE, or -ERR_DECODE
 * "FILE:LINE: ..."; the trace then holds the rows before that line. */
int openb_trace_read_nodes(struct openb_trace *t, const char *path, struct err *e) MUST_CHECK;
int openb_trace_read_pods(struct openb_trace *t, const char *path, struct err *e) MUST_CHECK;

/* Frees the pods and shapes, keeps the fleet: another workload can be read. */
void openb_trace_clear_pods(struct openb_trace *t);
void openb_trace_done(struct openb_trace *t); /* for CLEANUP too; can be used again */

static inline int32_t openb_shape_gpu_total(const struct openb_shape *s)
{
	return s->gpus * s->gpu_milli;
}

#endif
