/* What each mode of placement does on a handful of nodes, and what it says to impossible input. */
#include "base/buf.h"
#include "place/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CORE 1000
#define ANY PLACE_NONE

static uint32_t add_node(struct place *p, const char *name, int64_t cores)
{
	struct place_label labels[] = {{"kubernetes.io/hostname", name}};
	struct place_amount capacity[] = {{"cpu", cores * CORE, false},
		{"memory", (int64_t)64 << 30, false}, {"pods", 20, false}};
	struct place_node n = {.name = name,
		.capacity = capacity,
		.capacity_count = 3,
		.labels = labels,
		.label_count = 1};
	uint32_t node;
	assert_int_equal(place_node_set(p, &n, &node, NULL), 0);
	return node;
}

/* a, b and c with four cores each. */
static struct place *three_nodes(void)
{
	struct place *p = place_new();
	add_node(p, "a", 4);
	add_node(p, "b", 4);
	add_node(p, "c", 4);
	return p;
}

static uint32_t shape_of(struct place *p, int64_t milli)
{
	struct place_amount requests[] = {{"cpu", milli, false}};
	struct place_spec s = {.namespace = "shop", .requests = requests, .request_count = 1};
	uint32_t shape;
	assert_int_equal(place_shape(p, &s, &shape, NULL), 0);
	return shape;
}

static uint32_t put(struct place *p, int64_t milli, uint32_t node, int priority)
{
	uint32_t pod;
	assert_int_equal(place_pod_put(p, shape_of(p, milli), node, priority, &pod, NULL), 0);
	return pod;
}

static struct place_plan solve(struct place *p, const struct place_problem *problem)
{
	struct place_plan plan = {0};
	struct err e = ERR_INIT;
	if (place_solve(p, problem, &plan, &e) != 0)
		fail_msg("%s", e.text);
	return plan;
}

static void assert_impossible(struct place *p, const struct place_problem *problem,
	const char *text)
{
	struct place_plan plan = {0};
	struct err e = ERR_INIT;
	assert_int_equal(place_solve(p, problem, &plan, &e), -ERR_INVALID);
	if (!strstr(e.text, text))
		fail_msg("\"%s\" does not say \"%s\"", e.text, text);
}

static void assert_message(const struct place_refusal *r, const char *message)
{
	struct buf b = BUF_INIT;
	place_refusal_write(r, &b);
	assert_string_equal(buf_text(&b), message);
	buf_done(&b);
}

/* ---- gangs ---- */

static void test_a_gang_is_refused_as_a_whole(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	struct place_want w = {
		.shape = shape_of(p, 3 * CORE), .count = 5, .node = ANY, .gang_minimum = 4};
	for (int mode = PLACE_ONLINE; mode <= PLACE_BATCH; mode++) {
		struct place_problem problem = {
			.mode = (enum place_mode)mode, .wants = &w, .want_count = 1, .apply = true};
		struct place_plan plan = solve(p, &problem);
		assert_int_equal(plan.assignment_count, 0);
		assert_int_equal(place_pod_count(p), 0);
		assert_int_equal(plan.refusal_count, 1);
		assert_int_equal(plan.refusals[0].count, 5);
		assert_int_equal(plan.refusals[0].gang_placed, 3);
		assert_message(&plan.refusals[0],
			"3 of the 4 pods that the gang needs find a node; then 0/3 nodes are "
			"available: 3 Insufficient cpu.");
		place_plan_done(&plan);
	}
	w.gang_minimum = 3; /* the two above it are left over */
	struct place_problem problem = {
		.mode = PLACE_BATCH, .wants = &w, .want_count = 1, .apply = true};
	struct place_plan plan = solve(p, &problem);
	assert_int_equal(plan.assignment_count, 3);
	assert_int_equal(plan.refusals[0].count, 2);
	assert_int_equal(plan.refusals[0].gang_minimum, 0);
	place_plan_done(&plan);
	place_free(p);
}

static void test_wants_of_one_gang(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	struct place_want wants[] = {
		{.shape = shape_of(p, 1 * CORE),
			.count = 3,
			.node = ANY,
			.gang_minimum = 3,
			.gang = 7},
		{.shape = shape_of(p, 2 * CORE), .count = 1, .node = ANY},
		{.shape = shape_of(p, 9 * CORE),
			.count = 1,
			.node = ANY,
			.gang_minimum = 1,
			.gang = 7},
	};
	struct place_problem problem = {
		.mode = PLACE_ONLINE, .wants = wants, .want_count = 3, .apply = true};
	struct place_plan plan = solve(p, &problem);
	assert_int_equal(plan.assignment_count, 1);
	assert_int_equal(plan.assignments[0].want, 1);
	assert_int_equal(plan.refusal_count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(plan.refusals[i].gang_want, 2);
		assert_int_equal(plan.refusals[i].gang_minimum, 4);
		assert_int_equal(plan.refusals[i].reasons[0].constraint, PLACE_C_RESOURCE);
	}
	place_plan_done(&plan);
	wants[2].gang_minimum = 0; /* it may come along */
	plan = solve(p, &problem);
	assert_int_equal(plan.assignment_count, 4);
	assert_int_equal(plan.refusal_count, 1);
	place_plan_done(&plan);
	place_free(p);
}

/* ---- preemption ---- */

static void test_the_least_harm(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	put(p, 2 * CORE, 0, 5);
	put(p, 2 * CORE, 0, 1);
	put(p, 1 * CORE, 1, 1);
	uint32_t two = put(p, 2 * CORE, 1, 2);
	put(p, 1 * CORE, 1, 1);
	put(p, 4 * CORE, 2, 9);
	struct place_want w = {
		.shape = shape_of(p, 4 * CORE), .count = 1, .priority = 6, .node = ANY};
	struct place_problem problem = {
		.mode = PLACE_PREEMPT, .wants = &w, .want_count = 1, .apply = true};
	struct place_plan plan = solve(p, &problem); /* three of low priority, not one of 5 */
	assert_int_equal(plan.assignments[0].node, 1);
	assert_int_equal(plan.victim_count, 3);
	assert_int_equal(plan.assignments[0].harm.highest, 2);
	assert_int_equal(place_pod_node(p, two), PLACE_NONE);
	place_plan_undo(p, &plan);
	assert_int_equal(place_pod_node(p, two), 1);
	place_plan_done(&plan);
	struct place_budget budget = {"quorum", 0};
	struct place_pod_budget of = {two, 0};
	problem.budgets = &budget;
	problem.pod_budgets = &of;
	problem.budget_count = problem.pod_budget_count = 1;
	plan = solve(p, &problem);
	assert_int_equal(plan.assignments[0].node, 0);
	place_plan_undo(p, &plan);
	place_plan_done(&plan);
	w.priority = 5; /* nobody of equal priority goes */
	plan = solve(p, &problem);
	assert_int_equal(plan.assignment_count, 0);
	assert_int_equal(plan.refusal_count, 1);
	place_plan_done(&plan);
	place_free(p);
}

static void test_a_gang_that_fails_gives_budgets_back(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	uint32_t goes = put(p, 4 * CORE, 0, 0);
	put(p, 4 * CORE, 1, 10);
	put(p, 4 * CORE, 2, 10);
	struct place_budget budget = {"quorum", 1};
	struct place_pod_budget of = {goes, 0};
	uint32_t shape = shape_of(p, 4 * CORE);
	struct place_want wants[] = {
		{.shape = shape, .count = 2, .priority = 9, .node = ANY, .gang_minimum = 2},
		{.shape = shape, .count = 1, .priority = 8, .node = ANY}};
	struct place_problem problem = {.mode = PLACE_PREEMPT,
		.wants = wants,
		.want_count = 2,
		.budgets = &budget,
		.budget_count = 1,
		.pod_budgets = &of,
		.pod_budget_count = 1};
	struct place_plan plan = solve(p, &problem);
	assert_int_equal(plan.assignment_count, 1);
	assert_int_equal(plan.assignments[0].want, 1);
	assert_int_equal(plan.victim_count, 1);
	assert_int_equal(plan.victims[0].pod, goes);
	assert_int_equal(place_pod_node(p, goes), 0);
	place_plan_done(&plan);
	place_free(p);
}

/* ---- rebalance ---- */

static void test_consolidating_empties_nodes(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	for (uint32_t node = 0; node < 3; node++)
		put(p, 1 * CORE, node, 0);
	put(p, 1 * CORE, 2, 0);
	struct place_weights weights = {0};
	weights.of[PLACE_TERM_BALANCE] = -1;
	weights.of[PLACE_TERM_MOVE] = 0.1;
	struct place_problem problem = {
		.mode = PLACE_REBALANCE, .weights = &weights, .moves_max = 10, .apply = true};
	struct place_plan plan = solve(p, &problem);
	assert_int_equal(plan.move_count, 2);
	assert_int_equal(place_node_free(p, 0, "cpu"), 4 * CORE);
	assert_int_equal(place_node_free(p, 1, "cpu"), 4 * CORE);
	assert_int_equal(place_node_free(p, 2, "cpu"), 0);
	place_plan_done(&plan);
	place_free(p);
}

static void test_moves_that_are_worth_it(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	uint32_t first = put(p, 1 * CORE, 0, 0), second = put(p, 1 * CORE, 0, 0);
	put(p, 1 * CORE, 1, 0);
	uint32_t pinned[] = {first, second};
	struct place_problem problem = {
		.mode = PLACE_REBALANCE, .moves_max = 10, .pinned = pinned, .pinned_count = 2};
	struct place_plan plan = solve(p, &problem);
	assert_int_equal(plan.move_count, 0);
	place_plan_done(&plan);
	problem.pinned_count = 1;
	plan = solve(p, &problem);
	assert_int_equal(plan.move_count, 1);
	assert_int_equal(plan.moves[0].pod, second);
	assert_int_equal(plan.moves[0].from, 0);
	assert_int_equal(plan.moves[0].to, 2);
	double gain = plan.moves[0].gain;
	place_plan_done(&plan);
	problem.gain_min = gain;
	plan = solve(p, &problem);
	assert_int_equal(plan.move_count, 0);
	place_plan_done(&plan);
	place_free(p);
}

/* ---- what if ---- */

static void test_a_node_is_drained(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	uint32_t stays = put(p, 1 * CORE, 0, 0), goes = put(p, 3 * CORE, 0, 0);
	put(p, 2 * CORE, 1, 0);
	uint32_t large = put(p, 4 * CORE, 2, 0);
	struct place_node d = {.name = "d"};
	struct place_amount capacity[] = {{"cpu", 3 * CORE, false},
		{"memory", (int64_t)64 << 30, false}, {"pods", 20, false}};
	d.capacity = capacity;
	d.capacity_count = 3;
	struct place_change changes[] = {
		{PLACE_DRAIN, 0, NULL}, {PLACE_REMOVE, 2, NULL}, {PLACE_ADD, PLACE_NONE, &d}};
	struct place_problem problem = {.mode = PLACE_WHAT_IF,
		.pinned = &stays,
		.pinned_count = 1,
		.changes = changes,
		.change_count = 3};
	struct place_plan plan = solve(p, &problem);
	assert_int_equal(plan.assignment_count, 1);
	assert_int_equal(plan.assignments[0].displaced, goes);
	assert_int_equal(plan.assignments[0].added, 2);
	assert_int_equal(plan.refusal_count, 1);
	assert_int_equal(plan.refusals[0].displaced, large);
	assert_message(&plan.refusals[0],
		"0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.");
	assert_int_equal(place_node_find(p, "d"), PLACE_NONE);
	assert_int_equal(place_node_count(p), 3);
	assert_int_equal(place_pod_node(p, goes), 0);
	place_plan_done(&plan);
	place_free(p);
}

/* Pods of a daemon that tolerate everything would come back to a node that is only tainted. */
static void test_what_tolerates_all_is_drained_too(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	struct place_toleration all = {.exists = true, .effect = PLACE_ANY_EFFECT};
	struct place_spec s = {.namespace = "shop", .tolerations = &all, .toleration_count = 1};
	uint32_t shape, pod;
	assert_int_equal(place_shape(p, &s, &shape, NULL), 0);
	assert_int_equal(place_pod_put(p, shape, 0, 0, &pod, NULL), 0);
	struct place_change changes[] = {
		{PLACE_DRAIN, 0, NULL}, {PLACE_DRAIN, 1, NULL}, {PLACE_DRAIN, 2, NULL}};
	struct place_problem problem = {
		.mode = PLACE_WHAT_IF, .changes = changes, .change_count = 3};
	struct place_plan plan = solve(p, &problem);
	assert_int_equal(plan.assignment_count, 0);
	assert_message(&plan.refusals[0], "0/3 nodes are available: 3 node(s) were unschedulable.");
	place_plan_done(&plan);
	problem.change_count = 2;
	plan = solve(p, &problem);
	assert_int_equal(plan.assignments[0].node, 2);
	place_plan_done(&plan);
	place_free(p);
}

/* ---- impossible input ---- */

static void test_impossible_input_is_named(void **state)
{
	(void)state;
	struct place *p = three_nodes();
	uint32_t pod = put(p, 1 * CORE, 0, 0), unknown = 99;
	struct place_want w = {.shape = shape_of(p, 1), .count = 2, .node = ANY, .gang_minimum = 3};
	assert_impossible(p, &(struct place_problem){.wants = &w, .want_count = 1},
		"want 0: a gang of 3 or more with 2 replicas");
	w.gang_minimum = 0;
	assert_impossible(p,
		&(struct place_problem){.mode = PLACE_REBALANCE, .wants = &w, .want_count = 1},
		"a rebalance places no wants");
	assert_impossible(p, &(struct place_problem){.mode = PLACE_REBALANCE}, "moves_max");
	assert_impossible(p,
		&(struct place_problem){
			.mode = PLACE_REBALANCE, .moves_max = 1, .gain_min = __builtin_nan("")},
		"gain_min");
	assert_impossible(p, &(struct place_problem){.moves_max = 1}, "for a rebalance only");
	struct place_budget budget = {"quorum", 1};
	struct place_pod_budget of[] = {{pod, 0}, {pod, 0}};
	struct place_problem problem = {.mode = PLACE_PREEMPT,
		.budgets = &budget,
		.budget_count = 1,
		.pod_budgets = of,
		.pod_budget_count = 2};
	assert_impossible(p, &problem, "in budget quorum twice");
	of[1].budget = 5;
	assert_impossible(p, &problem, "budget 5, of 1");
	of[1] = (struct place_pod_budget){unknown, 0};
	assert_impossible(p, &problem, "budget quorum: there is no pod 99");
	problem.mode = PLACE_BATCH;
	assert_impossible(p, &problem, "budgets are for");
	problem = (struct place_problem){
		.mode = PLACE_PREEMPT, .pinned = &unknown, .pinned_count = 1};
	assert_impossible(p, &problem, "there is no pod 99");
	struct place_node a = {.name = "a"}, e = {.name = "e"};
	struct place_change changes[] = {{PLACE_REMOVE, 1, NULL}, {PLACE_DRAIN, 1, NULL}};
	problem = (struct place_problem){
		.mode = PLACE_WHAT_IF, .changes = changes, .change_count = 2};
	assert_impossible(p, &problem, "change 1: node b was removed before");
	changes[1].node = unknown;
	assert_impossible(p, &problem, "change 1: there is no node 99");
	changes[1] = (struct place_change){PLACE_ADD, 0, &a};
	assert_impossible(p, &problem, "adds node a, which is there");
	changes[0] = changes[1] = (struct place_change){PLACE_ADD, 0, &e};
	assert_impossible(p, &problem, "adds node e a second time");
	assert_int_equal(place_node_count(p), 3);
	problem.apply = true;
	assert_impossible(p, &problem, "a what-if is not applied");
	place_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_gang_is_refused_as_a_whole),
		cmocka_unit_test(test_wants_of_one_gang), cmocka_unit_test(test_the_least_harm),
		cmocka_unit_test(test_a_gang_that_fails_gives_budgets_back),
		cmocka_unit_test(test_consolidating_empties_nodes),
		cmocka_unit_test(test_moves_that_are_worth_it),
		cmocka_unit_test(test_a_node_is_drained),
		cmocka_unit_test(test_what_tolerates_all_is_drained_too),
		cmocka_unit_test(test_impossible_input_is_named)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
