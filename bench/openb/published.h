/*
 * The results that the paper published: allocated GPU thousandths in percent, mean of ten seeds,
 * when arrivals reach 100 and 130 % of capacity (hkust-adsl/kubernetes-scheduler-simulator,
 * experiments/analysis/expected_results).
 */
#ifndef CONTINUO_BENCH_OPENB_PUBLISHED_H
#define CONTINUO_BENCH_OPENB_PUBLISHED_H

#define OPENB_PUBLISHED_POLICIES 6

struct openb_published {
	const char *trace; /* "default" */
	struct {
		double at_100, at_130;
	} of[OPENB_PUBLISHED_POLICIES]; /* in the order of openb_policies */
};

extern const struct openb_published openb_published[];
extern const int openb_published_count;

const struct openb_published *openb_published_find(const char *trace); /* null */

#endif
