/*
 * One run: the arrivals one at a time, none leaves, a pod that fits nowhere is dropped. The figure
 * is the share of the fleet's GPU thousandths in use once arrivals have asked for 100 and 130 % of
 * them; as in the published table, the mean over the arrivals that round to that percentage.
 */
#ifndef CONTINUO_BENCH_OPENB_RUN_H
#define CONTINUO_BENCH_OPENB_RUN_H

#include "openb/arrivals.h"
#include "openb/policy.h"

#define OPENB_LOAD 1.3

struct openb_result {
	double allocated_100, allocated_130; /* percent */
	double cpu_percent, memory_percent;  /* in use at the end */
	size_t arrived, dropped;
	size_t wronged; /* dropped although they fit somewhere; must be 0 */
	double run_ms;  /* decisions and placements; reading and preparing the arrivals not counted
			 */
};

/* now_ms tells the time of a clock that never jumps. */
void openb_run(const struct openb_trace *t, const struct openb_policy *policy,
	const struct openb_arrivals *arrivals, uint64_t seed, double (*now_ms)(void),
	struct openb_result *ret_result);

#endif
