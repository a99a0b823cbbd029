/*
 * A whole application at once: 50 components, 300 links, 1,000 nodes at 20 sites, all objectives.
 *
 *   bench-place-app             mean milliseconds (of processor time) over SEEDS instances, and the
 * bound bench-place-app STEPS       and how much dearer each is than with that many steps
 *
 * SEEDS, FIRST and BUDGET (steps of the short run; 0: the usual) change the numbers. Prints "name
 * value" lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "place/assign/sample.h"

static int64_t number(const char *name, int64_t usual)
{
	const char *text = getenv(name);
	return text ? atoll(text) : usual;
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Returns the milliseconds. */
static double solve(struct assign_problem *p, uint64_t steps, struct assign_result *ret_result)
{
	struct err e = ERR_INIT;
	double began = now_ms();
	p->steps = steps;
	if (assign_solve(p, ret_result, &e) != 0) {
		fprintf(stderr, "bench-place-app: %s\n", e.text);
		exit(1);
	}
	return now_ms() - began;
}

int main(int argc, char **argv)
{
	uint64_t more = argc > 1 ? (uint64_t)atoll(argv[1]) : 0;
	uint64_t seeds = (uint64_t)number("SEEDS", 20), first = (uint64_t)number("FIRST", 1);
	double sum_ms = 0, most_ms = 0, gap_sum = 0, gap_most = 0, bound_gap = 0, long_ms = 0;
	uint64_t refused = 0;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		CLEANUP(arena_done) struct arena a = {0};
		CLEANUP(assign_result_done) struct assign_result one = {0}, two = {0};
		struct assign_sample s = assign_sample_large(seed);
		struct assign_problem *p = assign_sample_make(&s, &a);
		double ms = solve(p, (uint64_t)number("BUDGET", 0), &one), gap = 0;
		sum_ms += ms;
		most_ms = ms > most_ms ? ms : most_ms;
		refused += !one.feasible;
		bound_gap += (double)(one.cost.total - one.bound) / (double)one.cost.total;
		if (more) {
			long_ms += solve(p, more, &two);
			gap = (double)(one.cost.total - two.cost.total) / (double)two.cost.total *
			      100;
			gap_sum += gap;
			gap_most = gap > gap_most ? gap : gap_most;
		}
		printf("# seed %llu: %.1f ms, %llu steps, cost %.4f, bound %.4f, %.2f %% above the "
		       "long run\n",
			(unsigned long long)seed, ms, (unsigned long long)one.steps,
			(double)one.cost.total / ASSIGN_UNIT, (double)one.bound / ASSIGN_UNIT, gap);
	}
	printf("app50_ms %.1f\napp50_ms_worst %.1f\nrefused %llu\nabove_bound_percent %.2f\n",
		sum_ms / (double)seeds, most_ms, (unsigned long long)refused,
		bound_gap / (double)seeds * 100);
	if (more)
		printf("long_run_ms %.0f\nabove_long_run_percent "
		       "%.3f\nabove_long_run_worst_percent %.3f\n",
			long_ms / (double)seeds, gap_sum / (double)seeds, gap_most);
	return refused > 0;
}
