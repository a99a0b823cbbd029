/*
 * The modes of placement over random fleets: gangs are whole or not there at all; every move gains
 * what it says and fits at its turn; a what-if is what happens when it is done; and tables are
 * afterwards what they were, to the number that the next pod gets.
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

/* ---- gangs ---- */

static uint32_t placed_of(const struct place_plan *plan, uint32_t want)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < plan->assignment_count; i++)
		count += plan->assignments[i].want == want;
	return count;
}

static uint32_t refused_of(const struct place_plan *plan, uint32_t want, bool *ret_gang)
{
	uint32_t count = 0;
	*ret_gang = false;
	for (uint32_t i = 0; i < plan->refusal_count; i++) {
		const struct place_refusal *r = &plan->refusals[i];
		count += r->want == want ? r->count : 0;
		*ret_gang = *ret_gang || (r->want == want && r->gang_minimum > 0);
		assert_true(r->reason_count > 0);
	}
	return count;
}

static void check_gangs(const struct place_plan *plan, const struct place_want *wants)
{
	for (uint32_t i = 0; i < SAMPLE_WANTS; i++) {
		bool gang, other;
		uint32_t placed = placed_of(plan, i);
		assert_int_equal(placed + refused_of(plan, i, &gang), wants[i].count);
		assert_true(placed >= wants[i].gang_minimum || placed == 0);
		assert_true(!gang || placed == 0);
		assert_true(placed > 0 || gang || wants[i].gang_minimum == 0);
		for (uint32_t k = 0; k < SAMPLE_WANTS && wants[i].gang; k++) {
			(void)refused_of(plan, k, &other);
			if (wants[k].gang == wants[i].gang)
				assert_int_equal(gang, other);
		}
	}
}

static void test_gangs_are_whole_or_not_there(void **state)
{
	(void)state;
	uint32_t refused = 0, whole = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sample s;
		sample_init(&s, seed, 6, seed % 2);
		sample_fill(&s, 12);
		struct place_want wants[SAMPLE_WANTS];
		sample_wants(&s, wants, true);
		struct place_problem problem = {.mode = seed % 3 == 0   ? PLACE_ONLINE
							: seed % 3 == 1 ? PLACE_BATCH
									: PLACE_PREEMPT,
			.wants = wants,
			.want_count = SAMPLE_WANTS,
			.explain = seed % 5 == 0};
		CLEANUP(mem_free_ptr) char *before = sample_digest(s.p);
		struct place_plan plan = sample_solve_twice(s.p, &problem);
		check_gangs(&plan, wants);
		assert_false(sample_is_overcommitted(s.p));
		for (uint32_t i = 0; i < plan.refusal_count; i++)
			refused += plan.refusals[i].gang_minimum > 0;
		whole += plan.assignment_count > 0;
		sample_undo(s.p, &plan, before);
		sample_done(&s);
	}
	print_message("# %u wants refused with their gangs, %u plans with pods\n", refused, whole);
	assert_true(refused > SEEDS / 4 && whole > SEEDS / 4);
}

/* ---- rebalance ---- */

static double cost_at(struct place *p, uint32_t shape, uint32_t node, const int64_t *weights)
{
	struct look l;
	place_look_init(&l, p, shape, PLACE_NONE, NULL);
	l.weights = weights;
	int64_t total = place_look_total(&l, node, NULL);
	place_look_done(&l);
	return (double)total / (double)RANK_UNIT;
}

/* The most that any pod that may move gains, every node tried. */
static double most_gain(struct place *p, const struct limits *l, const struct place_plan *moved,
	const int64_t *weights, double move)
{
	double best = 0;
	VEC(uint32_t) gone = {0};
	for (uint32_t i = 0; i < moved->move_count; i++)
		vec_push(&gone, moved->moves[i].pod);
	vec_push(&gone, 0);
	for (uint32_t pod = 0; pod < p->pods.count; pod++) {
		uint32_t from = place_pod_node(p, pod), shape = p->pods.items[pod].shape;
		bool again = from == PLACE_NONE;
		for (size_t i = 0; i + 1 < gone.count; i++)
			again = again || gone.items[i] == pod;
		gone.items[gone.count - 1] = pod;
		if (again || !limits_let(l, gone.items, (uint32_t)gone.count))
			continue;
		place_pod_lift(p, pod);
		double here = cost_at(p, shape, from, weights);
		for (uint32_t node = 0; node < p->nodes.count; node++) {
			if (node == from || !sample_fits(p, shape, node))
				continue;
			double gain = here - cost_at(p, shape, node, weights) - move;
			best = gain > best ? gain : best;
		}
		place_pod_return(p, pod, from);
	}
	vec_done(&gone);
	return best;
}

/* Pods whose required affinity is not met, and spreads beyond what is allowed. */
static int64_t broken_rules(struct place *p)
{
	int64_t broken = 0;
	VEC_EACH (&p->pods, struct pod, pod) {
		if (pod->node == PLACE_NONE)
			continue;
		VEC_EACH (&p->shapes.items[pod->shape].terms, struct shape_term, t) {
			const struct counter *c = &p->counters.items[t->counter];
			uint32_t domain = place_counter_domain(p, c, pod->node);
			broken += t->required && !t->anti &&
				  place_counter_at(c, domain).matching == 0;
		}
		VEC_EACH (&p->shapes.items[pod->shape].spreads, struct shape_spread, t) {
			uint32_t least, most;
			place_tally_bounds(&p->tallies.items[t->tally], &least, &most);
			int64_t excess = (int64_t)most - least - t->max_skew;
			broken += t->required && excess > 0 ? excess : 0;
		}
	}
	return broken;
}

static void check_moves(struct sample *s, const struct place_problem *problem,
	const struct limits *limits, const struct place_plan *plan)
{
	int64_t weights[PLACE_TERM_COUNT];
	struct place_weights usual = place_weights_default();
	VEC(uint32_t) pods = {0};
	double sum = 0;
	if (problem->weights)
		usual = *problem->weights;
	place_weights_fix(&usual, weights);
	double move = (double)weights[PLACE_TERM_MOVE] / (1 << RANK_WEIGHT_SHIFT);
	for (uint32_t i = 0; i < plan->move_count; i++) {
		const struct place_move *m = &plan->moves[i];
		uint32_t shape = s->p->pods.items[m->pod].shape;
		int64_t broken = broken_rules(s->p);
		assert_int_equal(place_pod_node(s->p, m->pod), m->from);
		VEC_EACH (&pods, uint32_t, other)
			assert_int_not_equal(*other, m->pod);
		vec_push(&pods, m->pod);
		place_pod_lift(s->p, m->pod);
		double here = cost_at(s->p, shape, m->from, weights);
		double there = cost_at(s->p, shape, m->to, weights);
		assert_true(sample_fits(s->p, shape, m->to));
		place_pod_return(s->p, m->pod, m->to);
		assert_true(m->gain == here - there - move);
		assert_true(m->gain == m->before.total - m->after.total);
		assert_true(m->gain > problem->gain_min);
		assert_false(sample_is_overcommitted(s->p));
		assert_true(broken_rules(s->p) <= broken);
		sum += m->gain;
	}
	assert_true(plan->gain - sum < 1e-9 && sum - plan->gain < 1e-9);
	if (pods.count)
		assert_true(limits_let(limits, pods.items, (uint32_t)pods.count));
	if (s->plain && plan->move_count < problem->moves_max)
		assert_true(most_gain(s->p, limits, plan, weights, move) <= problem->gain_min);
	vec_done(&pods);
}

static void rebalance_one(uint64_t seed, double balance, uint64_t steps_max, uint32_t *moves)
{
	struct sample s;
	sample_init(&s, seed, 8, seed % 2);
	sample_fill(&s, 40);
	struct place_weights w = place_weights_default();
	w.of[PLACE_TERM_BALANCE] = balance;
	struct place_problem problem = {.mode = PLACE_REBALANCE,
		.weights = &w,
		.moves_max = (uint32_t)rand_between(&s.rand, 1, 30),
		.gain_min = seed % 3 ? 0 : 0.1,
		.seed = seed,
		.steps_max = steps_max};
	CLEANUP(limits_done) struct limits limits;
	limits_init(&limits, &s, &problem);
	struct place_plan none = {0};
	int64_t weights[PLACE_TERM_COUNT];
	place_weights_fix(&w, weights);
	double most = most_gain(s.p, &limits, &none, weights, w.of[PLACE_TERM_MOVE]);
	CLEANUP(mem_free_ptr) char *before = sample_digest(s.p);
	struct place_plan plan = sample_solve_twice(s.p, &problem);
	assert_true(plan.move_count <= problem.moves_max);
	CLEANUP(mem_free_ptr) char *after = sample_digest(s.p);
	place_plan_undo(s.p, &plan);
	CLEANUP(mem_free_ptr) char *undone = sample_digest(s.p);
	assert_string_equal(before, undone);
	if (s.plain && steps_max == 0 && most > problem.gain_min + 1e-3)
		assert_true(plan.moves[0].gain > most - 1e-3); /* weights are in 2^-12 */
	check_moves(&s, &problem, &limits, &plan);
	CLEANUP(mem_free_ptr) char *again = sample_digest(s.p);
	assert_string_equal(after, again);
	*moves += plan.move_count;
	place_plan_done(&plan);
	sample_done(&s);
}

static void test_moves_gain_and_fit(void **state)
{
	(void)state;
	uint32_t spread = 0, packed = 0, longer = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		rebalance_one(seed, 1, 0, &spread);
		rebalance_one(seed, -1, 0, &packed);
		if (seed % 4 == 0)
			rebalance_one(seed, 1, 20000, &longer);
	}
	print_message("# moves: %u to spread, %u to consolidate, %u in longer runs\n", spread,
		packed, longer);
	assert_true(spread > SEEDS && packed > SEEDS && longer > SEEDS / 4);
}

/* ---- what if ---- */

static void add_spare(struct place_node *n, const char *name)
{
	static const struct place_amount capacity[] = {
		{"cpu", 1500, false}, {"memory", (int64_t)1 << 30, false}, {"pods", 5, false}};
	static const struct place_label labels[] = {{"zone", "w"}, {"disk", "x"}};
	*n = (struct place_node){.name = name,
		.site = "w",
		.capacity = capacity,
		.capacity_count = 3,
		.labels = labels,
		.label_count = 2};
}

/* What the what-if said, done: the same pods go to the same nodes at the same cost. */
static void do_it(uint64_t seed, const struct place_problem *problem, const struct place_plan *said)
{
	struct sample s;
	sample_init(&s, seed, 8, seed % 2);
	sample_fill(&s, 40);
	VEC(struct place_want) wants = {0};
	for (uint32_t i = 0; i < problem->want_count; i++)
		vec_push(&wants, problem->wants[i]);
	for (uint32_t i = 0; i < problem->change_count; i++) {
		const struct place_change *c = &problem->changes[i];
		uint32_t node;
		if (c->kind == PLACE_ADD) {
			assert_int_equal(place_node_set(s.p, c->add, &node, NULL), 0);
			continue;
		}
		uint32_t pod;
		while ((pod = s.p->nodes.items[c->node].first_pod) != PLACE_NONE) {
			const struct pod *x = &s.p->pods.items[pod];
			vec_push(&wants, (struct place_want){.shape = x->shape,
						 .count = 1,
						 .priority = x->priority,
						 .node = PLACE_NONE});
			place_pod_remove(s.p, pod);
		}
		if (c->kind == PLACE_REMOVE)
			place_node_remove(s.p, c->node);
		else
			place_node_drain(s.p, c->node, true);
	}
	struct place_problem real = {
		.mode = PLACE_BATCH, .wants = wants.items, .want_count = (uint32_t)wants.count};
	struct place_plan plan = sample_solve(s.p, &real, true);
	assert_int_equal(plan.assignment_count, said->assignment_count);
	assert_int_equal(plan.refusal_count, said->refusal_count);
	for (uint32_t i = 0; i < plan.assignment_count; i++) {
		const struct place_assignment *a = &plan.assignments[i], *b = &said->assignments[i];
		assert_true(a->cost.total == b->cost.total);
		assert_string_equal(place_node_name(s.p, a->node),
			b->added == PLACE_NONE ? place_node_name(s.p, b->node)
					       : problem->changes[b->added].add->name);
	}
	vec_done(&wants);
	place_plan_done(&plan);
	sample_done(&s);
}

static void test_what_if_is_what_happens(void **state)
{
	(void)state;
	uint32_t displaced = 0, added = 0, refused = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sample s;
		struct place_node spare;
		add_spare(&spare, "spare");
		sample_init(&s, seed, 8, seed % 2);
		sample_fill(&s, 40);
		struct place_change changes[] = {{PLACE_ADD, PLACE_NONE, &spare},
			{PLACE_DRAIN, (uint32_t)(seed % 4), NULL},
			{PLACE_REMOVE, 4 + (uint32_t)(seed % 4), NULL}};
		struct place_want wants[SAMPLE_WANTS];
		sample_wants(&s, wants, seed % 3 == 0);
		struct place_problem problem = {.mode = PLACE_WHAT_IF,
			.wants = wants,
			.want_count = (uint32_t)rand_below(&s.rand, 3),
			.changes = changes + (seed % 5 == 0),
			.change_count = seed % 5 == 0 ? 2 : 3};
		if (seed % 3 == 0)
			problem.want_count = SAMPLE_WANTS;
		CLEANUP(mem_free_ptr) char *before = sample_digest(s.p);
		uint32_t pods = 0;
		for (uint32_t i = 0; i < problem.change_count; i++)
			for (uint32_t pod = 0; pod < s.p->pods.count; pod++)
				pods += problem.changes[i].kind != PLACE_ADD &&
					place_pod_node(s.p, pod) == problem.changes[i].node;
		struct place_plan plan = sample_solve(s.p, &problem, false);
		CLEANUP(mem_free_ptr) char *after = sample_digest(s.p);
		assert_string_equal(before, after);
		uint32_t found = 0;
		for (uint32_t i = 0; i < plan.assignment_count; i++) {
			found += plan.assignments[i].want == PLACE_NONE;
			added += plan.assignments[i].added != PLACE_NONE;
			if (plan.assignments[i].added == PLACE_NONE)
				for (uint32_t k = 0; k < problem.change_count; k++)
					assert_int_not_equal(plan.assignments[i].node,
						problem.changes[k].node);
		}
		for (uint32_t i = 0; i < plan.refusal_count; i++) {
			found += plan.refusals[i].want == PLACE_NONE;
			refused += plan.refusals[i].want == PLACE_NONE;
		}
		assert_int_equal(found, pods);
		displaced += pods;
		do_it(seed, &problem, &plan);
		place_plan_done(&plan);
		sample_done(&s);
	}
	print_message("# %u displaced, %u on added nodes, %u without a place\n", displaced, added,
		refused);
	assert_true(displaced > SEEDS && added > SEEDS / 4 && refused > SEEDS / 10);
}

/* ---- a million ---- */

static void test_a_million_in_bounded_time(void **state)
{
	(void)state;
	struct sample s;
	sample_init(&s, 1, 8, true);
	sample_fill(&s, 100);
	struct place_amount huge[] = {{"cpu", PLACE_AMOUNT_MAX, false}};
	struct place_spec spec = {.namespace = "ns", .requests = huge, .request_count = 1};
	uint32_t shape;
	assert_int_equal(place_shape(s.p, &spec, &shape, NULL), 0);
	struct place_want *wants = mem_alloc_array(1000000, sizeof(*wants));
	for (uint32_t i = 0; i < 1000000; i++)
		wants[i] = (struct place_want){
			.shape = shape, .count = 1, .priority = 9, .node = PLACE_NONE};
	for (int kind = 0; kind < 3; kind++) {
		for (uint32_t i = 0; i < 1000000; i++)
			wants[i].gang_minimum = kind > 0;
		struct place_problem problem = {.mode = kind == 2 ? PLACE_ONLINE : PLACE_PREEMPT,
			.wants = wants,
			.want_count = 1000000};
		struct place_plan plan = sample_solve(s.p, &problem, true);
		assert_int_equal(plan.refusal_count, 1000000);
		assert_true(plan.steps < 20000000);
		print_message("# %llu steps\n", (unsigned long long)plan.steps);
		place_plan_done(&plan);
	}
	free(wants);
	sample_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_gangs_are_whole_or_not_there),
		cmocka_unit_test(test_moves_gain_and_fit),
		cmocka_unit_test(test_what_if_is_what_happens),
		cmocka_unit_test(test_a_million_in_bounded_time)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
