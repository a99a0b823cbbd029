/*
 * What decides where a pod goes. A policy is a name and three functions; run.h calls them. It must
 * not refuse a pod that fits somewhere, and decides by the past alone: what it knows of the future
 * is the workload's usual shapes and shares, which the trace's counts give (setting.trace).
 */
#ifndef CONTINUO_BENCH_OPENB_POLICY_H
#define CONTINUO_BENCH_OPENB_POLICY_H

#include "openb/cluster.h"

struct openb_setting {
	const struct openb_trace *trace;
	const struct openb_cluster *cluster;
	uint64_t seed; /* for policies that draw */
};

struct openb_policy {
	const char *name;
	/* Once before the first pod of a run; what it returns is given to the others. */
	void *(*start)(const struct openb_setting *setting);
	/* True with the place of a pod of this shape; false: it fits nowhere. */
	bool (*choose)(void *state, const struct openb_cluster *c, uint32_t shape,
		struct openb_choice *ret_choice);
	void (*end)(void *state);
};

extern const struct openb_policy openb_policy_random;     /* any node that fits, any device */
extern const struct openb_policy openb_policy_bestfit;    /* least CPU and GPU left over */
extern const struct openb_policy openb_policy_dotprod;    /* the demand against what is left */
extern const struct openb_policy openb_policy_clustering; /* with pods of its own kind */
extern const struct openb_policy openb_policy_packing;    /* shared devices, then used nodes */
extern const struct openb_policy openb_policy_fgd;        /* least new fragmentation */
extern const struct openb_policy openb_policy_engine;     /* ours: place/place.h, by default */
extern const struct openb_policy openb_policy_told;       /* ours, told what usually comes */

/* All of them, in the order of the published table, then ours, null at the end. */
extern const struct openb_policy *const openb_policies[];
const struct openb_policy *openb_policy_find(const char *name); /* null */

#endif
