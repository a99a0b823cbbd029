/*
 * Preemption over random fleets: victims are of lower priority, within budgets, and no smaller harm
 * is possible, by brute force over all sets of pods of all nodes.
 */
#include "place/modes_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define SEEDS 300

/* Every set of pods of every node. */
static bool least_harm(struct place *p, const struct place_want *w, const struct limits *l,
	struct place_harm *ret_best)
{
	bool found = false;
	for (uint32_t node = 0; node < p->nodes.count; node++) {
		uint32_t pods[16], count = 0;
		for (uint32_t i = p->nodes.items[node].first_pod; i != PLACE_NONE;
			i = p->pods.items[i].next)
			if (p->pods.items[i].priority < w->priority)
				pods[count++] = i;
		for (uint32_t set = 1; set < 1u << count; set++) {
			uint32_t out[16], number = 0;
			struct place_harm harm = {.highest = INT32_MIN};
			for (uint32_t i = 0; i < count; i++) {
				int priority = p->pods.items[pods[i]].priority;
				if (!(set >> i & 1))
					continue;
				out[number++] = pods[i];
				harm.highest = priority > harm.highest ? priority : harm.highest;
				harm.sum += priority + ((int64_t)1 << 31);
			}
			harm.count = number;
			if (!limits_let(l, out, number) ||
				(found && place_harm_compare(&harm, ret_best) >= 0))
				continue;
			for (uint32_t i = 0; i < number; i++)
				place_pod_lift(p, out[i]);
			bool ok = sample_fits(p, w->shape, node);
			while (number > 0)
				place_pod_return(p, out[--number], node);
			if (!ok)
				continue;
			found = true;
			*ret_best = harm;
		}
	}
	return found;
}

static void test_no_smaller_harm_is_possible(void **state)
{
	(void)state;
	int preempted = 0, refused = 0, of_many = 0;
	for (uint64_t seed = 1; seed <= 4 * SEEDS; seed++) {
		struct sample s;
		sample_init(&s, seed, 5, seed % 3 == 0);
		sample_fill(&s, 200);
		uint64_t shape = seed % 2 ? SAMPLE_SHAPES - 1 : seed % SAMPLE_SHAPES;
		struct place_want w = {.shape = s.shapes[shape],
			.count = 1,
			.priority = (int)rand_between(&s.rand, 1, 4),
			.node = PLACE_NONE};
		struct place_problem problem = {
			.mode = PLACE_PREEMPT, .wants = &w, .want_count = 1};
		CLEANUP(limits_done) struct limits limits;
		limits_init(&limits, &s, &problem);
		CLEANUP(mem_free_ptr) char *before = sample_digest(s.p);
		struct place_harm best = {0};
		bool possible = least_harm(s.p, &w, &limits, &best);
		struct place_plan plan = sample_solve_twice(s.p, &problem);
		bool without = plan.assignment_count && plan.assignments[0].harm.count == 0;
		if (!without) {
			assert_int_equal(plan.assignment_count, possible);
			refused += !possible;
		}
		if (possible && !without) {
			const struct place_harm *harm = &plan.assignments[0].harm;
			assert_int_equal(harm->highest, best.highest);
			assert_int_equal(harm->sum, best.sum);
			assert_int_equal(harm->count, plan.victim_count);
			preempted++;
			of_many += harm->count > 1;
		}
		sample_undo(s.p, &plan, before);
		sample_done(&s);
	}
	print_message("# %d with victims (%d with several), %d refused\n", preempted, of_many,
		refused);
	assert_true(preempted > SEEDS && of_many > SEEDS / 10 && refused > SEEDS / 4);
}

static const struct place_assignment *at_order(const struct place_plan *plan, uint32_t order)
{
	for (uint32_t i = 0; i < plan->assignment_count; i++)
		if (plan->assignments[i].order == order)
			return &plan->assignments[i];
	return NULL;
}

/* The plan once more, one pod at a time: each time no smaller harm is possible. */
static void replay(struct sample *s, const struct place_want *wants, struct limits *limits,
	const struct place_plan *plan)
{
	for (uint32_t i = 0; i < plan->assignment_count; i++) {
		const struct place_assignment *a = at_order(plan, i);
		const struct place_want *w = &wants[a->want];
		struct place_harm best;
		uint32_t pod;
		if (a->harm.count > 0) {
			assert_true(least_harm(s->p, w, limits, &best));
			assert_int_equal(place_harm_compare(&best, &a->harm), 0);
		}
		for (uint32_t k = 0; k < a->harm.count; k++) {
			uint32_t victim = plan->victims[a->victim + k].pod;
			place_pod_lift(s->p, victim);
			VEC_EACH (&limits->of, struct place_pod_budget, x)
				limits->budgets[x->budget].allowed -= x->pod == victim;
		}
		assert_true(sample_fits(s->p, w->shape, a->node));
		assert_int_equal(place_pod_put(s->p, w->shape, a->node, w->priority, &pod, NULL),
			0);
		vec_push(&limits->pinned, pod);
	}
}

static void test_victims_of_many_wants(void **state)
{
	(void)state;
	uint32_t victims = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sample s;
		sample_init(&s, seed, 8, seed % 2);
		sample_fill(&s, 300);
		struct place_want wants[SAMPLE_WANTS];
		sample_wants(&s, wants, seed % 4 == 0);
		struct place_problem problem = {
			.mode = PLACE_PREEMPT, .wants = wants, .want_count = SAMPLE_WANTS};
		CLEANUP(limits_done) struct limits limits;
		limits_init(&limits, &s, &problem);
		CLEANUP(mem_free_ptr) char *before = sample_digest(s.p);
		struct place_plan plan = sample_solve_twice(s.p, &problem);
		assert_false(sample_is_overcommitted(s.p));
		VEC(uint32_t) out = {0};
		for (uint32_t i = 0; i < plan.assignment_count; i++) {
			const struct place_assignment *a = &plan.assignments[i];
			for (uint32_t k = 0; k < a->harm.count; k++) {
				const struct place_victim *v = &plan.victims[a->victim + k];
				assert_true(v->priority < wants[a->want].priority);
				assert_int_equal(v->node, a->node);
				assert_int_equal(v->want, a->want);
				assert_int_equal(place_pod_node(s.p, v->pod), PLACE_NONE);
				vec_push(&out, v->pod);
			}
		}
		assert_int_equal(out.count, plan.victim_count);
		if (out.count)
			assert_true(limits_let(&limits, out.items, (uint32_t)out.count));
		victims += (uint32_t)out.count;
		vec_done(&out);
		if (seed % 2) {
			place_plan_undo(s.p, &plan);
			CLEANUP(mem_free_ptr) char *after = sample_digest(s.p);
			assert_string_equal(before, after);
			replay(&s, wants, &limits, &plan);
			place_plan_done(&plan);
		} else { /* for good: the tables are whole without them */
			uint32_t pods = place_pod_count(s.p);
			place_plan_done(&plan);
			assert_int_equal(place_pod_count(s.p), pods);
		}
		sample_done(&s);
	}
	assert_true(victims > SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_smaller_harm_is_possible),
		cmocka_unit_test(test_victims_of_many_wants)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
