/* Over many made-up applications: what is kept up to date equals what is computed anew, no plan
 * breaks a hard constraint or undercuts the bound, one seed gives one plan. */
#include "base/mem.h"
#include "place/assign/sample.h"
#include "place/assign/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct assign_problem *sample(uint64_t seed, struct arena *a)
{
	struct assign_sample s = assign_sample_small(seed);
	struct assign_problem *p = assign_sample_make(&s, a);
	if (seed % 3 == 0 && p->link_count > 2) { /* a link within a component that has replicas */
		struct assign_link *l = (struct assign_link *)&p->links[1];
		for (uint32_t c = 0; c < p->component_count; c++)
			if (p->components[c].replicas > 1)
				l->from = l->to = c;
	}
	return p;
}

static uint32_t any_bin(const struct tables *t, uint32_t item, struct rand *rand)
{
	const int64_t *fixed = &t->fixed[(size_t)t->component_of[item] * t->bins];
	uint32_t start = (uint32_t)rand_below(rand, t->bins);
	for (uint32_t k = 0; k < t->bins; k++)
		if (fixed[(start + k) % t->bins] != ASSIGN_NEVER)
			return (start + k) % t->bins;
	return ASSIGN_NONE;
}

static void check_against_scratch(const struct state *s)
{
	struct assign_cost cost;
	uint32_t broken = assign_evaluate(s->t->problem, s->bin_of, &cost, NULL, 0);
	assert_int_equal(cost.total, s->cost);
	assert_int_equal(broken == 0, s->over == 0);
}

static void walk(const struct tables *t, uint64_t seed)
{
	struct state s;
	struct rand rand;
	rand_init(&rand, seed);
	assign_state_init(&s, t);
	for (uint32_t i = 0; i < t->items; i++)
		assign_drop(&s, i, any_bin(t, i, &rand));
	check_against_scratch(&s);
	for (int n = 0; n < 200; n++) {
		uint32_t item = (uint32_t)rand_below(&rand, t->items);
		if (n % 7 == 0)
			assign_forget(&s, item);
		else
			assign_lift(&s, item);
		assign_drop(&s, item, any_bin(t, item, &rand));
		check_against_scratch(&s);
	}
	for (uint32_t i = 0; i < t->items; i++)
		assign_forget(&s, i);
	assert_int_equal(s.cost, 0);
	assert_int_equal(s.over, 0);
	assert_memory_equal(s.pull, t->tied, (size_t)t->components * t->sites * sizeof(*s.pull));
	assign_state_done(&s);
}

static void kept_cost_equals_the_cost_anew(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		CLEANUP(arena_done) struct arena a = {0};
		struct assign_problem *p = sample(seed, &a);
		struct tables t;
		struct assign_reason reason;
		struct err e;
		assert_int_equal(assign_check(p, &e), 0);
		assert_int_equal(assign_compile(p, &t, &e), 0);
		if (!assign_impossible(&t, &reason))
			walk(&t, seed);
		assign_tables_done(&t);
	}
}

/* The best bin is what a look at all bins says. */
static void best_bin_is_the_best_of_all(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		CLEANUP(arena_done) struct arena a = {0};
		struct assign_problem *p = sample(seed, &a);
		struct tables t;
		struct state s;
		struct rand rand;
		struct assign_reason reason;
		rand_init(&rand, seed);
		assert_int_equal(assign_compile(p, &t, NULL), 0);
		assign_state_init(&s, &t);
		for (uint32_t i = 0; i < t.items && !assign_impossible(&t, &reason); i++) {
			struct price found, price;
			double best = 0;
			uint32_t bin = assign_best(&s, i, 1e6, ASSIGN_NONE, &found), count = 0;
			for (uint32_t b = 0; b < t.bins; b++) {
				if (t.fixed[(size_t)t.component_of[i] * t.bins + b] == ASSIGN_NEVER)
					continue;
				price = assign_price_bin(&s, i, b);
				struct price at = assign_price_site(&s, i, t.bin[b].site);
				double value = (double)(price.cost + at.cost) +
					       1e6 * (double)(price.over + at.over);
				best = count++ == 0 || value < best ? value : best;
			}
			assert_true((double)found.cost + 1e6 * (double)found.over == best);
			assign_drop(&s, i, bin);
		}
		assign_state_done(&s);
		assign_tables_done(&t);
	}
}

static void plans_hold_and_are_repeated(void **state)
{
	(void)state;
	uint32_t feasible = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		CLEANUP(arena_done) struct arena a = {0};
		CLEANUP(assign_result_done) struct assign_result one = {0}, two = {0};
		struct assign_problem *p = sample(seed, &a);
		struct assign_cost cost;
		struct err e;
		p->steps = 5000;
		assert_int_equal(assign_solve(p, &one, &e), 0);
		assert_int_equal(assign_solve(p, &two, &e), 0);
		assert_memory_equal(one.bin_of, two.bin_of,
			assign_item_count(p) * sizeof(*one.bin_of));
		if (!one.feasible)
			continue;
		feasible++;
		assert_int_equal(assign_evaluate(p, one.bin_of, &cost, NULL, 0), 0);
		assert_int_equal(cost.total, one.cost.total);
		assert_true(one.cost.total >= one.bound);
	}
	assert_true(feasible >= 30);
}

/* No step of the search is what keeps a plan right, and each of them changes something. */
static void every_step_can_be_left_out(void **state)
{
	(void)state;
	for (int step = 0; step < ASSIGN_STEP_COUNT; step++) {
		uint32_t changed = 0;
		for (uint64_t seed = 1; seed <= 4; seed++) {
			CLEANUP(arena_done) struct arena a = {0};
			CLEANUP(assign_result_done) struct assign_result usual = {0}, less = {0};
			struct assign_sample s = assign_sample_large(seed);
			struct assign_problem *p = assign_sample_make(&s, &a);
			struct assign_cost cost;
			p->steps = 20000;
			assert_int_equal(assign_solve(p, &usual, NULL), 0);
			p->without = 1u << step;
			assert_int_equal(assign_solve(p, &less, NULL), 0);
			assert_true(less.feasible);
			assert_int_equal(assign_evaluate(p, less.bin_of, &cost, NULL, 0), 0);
			assert_int_equal(cost.total, less.cost.total);
			changed += less.cost.total != usual.cost.total;
		}
		assert_true(changed > 0);
		assert_string_not_equal(assign_step_name((enum assign_step)step), "unknown");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_cost_equals_the_cost_anew),
		cmocka_unit_test(best_bin_is_the_best_of_all),
		cmocka_unit_test(plans_hold_and_are_repeated),
		cmocka_unit_test(every_step_can_be_left_out),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("place/assign property", tests, NULL, NULL);
}
