/* Shared devices: who may have which, has which, and what is refused. */
#include "place/tables.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RESOURCES (int)(sizeof(resources) / sizeof(resources[0]))
static const char *const resources[] = {"cpu", "memory", "pods", "gpu", "npu"};

static uint32_t add_node(struct place *p, const char *name, int64_t cpu, int gpus, int npus)
{
	struct place_amount capacity[] = {{"cpu", cpu, false}, {"memory", (int64_t)64 << 30, false},
		{"pods", 100, false}, {"gpu", gpus * PLACE_DEVICE, true},
		{"npu", npus * PLACE_DEVICE, true}};
	struct place_node n = {.name = name, .capacity = capacity, .capacity_count = RESOURCES};
	uint32_t node;
	struct err e = ERR_INIT;
	assert_int_equal(place_node_set(p, &n, &node, &e), 0);
	return node;
}

static uint32_t shape_of(struct place *p, int64_t cpu, int64_t gpu, int64_t npu)
{
	struct place_amount requests[] = {
		{"cpu", cpu, false}, {"gpu", gpu, true}, {"npu", npu, true}};
	struct place_spec s = {.namespace = "ns",
		.requests = requests,
		.request_count = npu   ? 3
				 : gpu ? 2
				       : 1};
	uint32_t shape;
	struct err e = ERR_INIT;
	assert_int_equal(place_shape(p, &s, &shape, &e), 0);
	return shape;
}

static struct place_plan solve(struct place *p, uint32_t shape, uint32_t count, bool apply)
{
	struct place_want w = {.shape = shape, .count = count, .node = PLACE_NONE};
	struct place_problem problem = {.wants = &w, .want_count = 1, .apply = apply};
	struct place_plan plan = {0};
	struct err e = ERR_INIT;
	assert_int_equal(place_solve(p, &problem, &plan, &e), 0);
	return plan;
}

/* Places one; its devices. 0: it was refused. */
static uint64_t one(struct place *p, int64_t gpu, uint32_t *ret_pod)
{
	uint32_t shape = shape_of(p, 100, gpu, 0);
	CLEANUP(place_plan_done) struct place_plan plan = solve(p, shape, 1, true);
	place_shape_release(p, shape);
	if (!plan.assignment_count)
		return 0;
	if (ret_pod)
		*ret_pod = plan.assignments[0].pod;
	return place_pod_devices(p, plan.assignments[0].pod, "gpu");
}

static void test_shares_and_whole_ones(void **state)
{
	(void)state;
	struct place *p = place_new();
	uint32_t node = add_node(p, "n", 8000, 3, 0), pod;
	int32_t left[PLACE_DEVICES_MAX];
	assert_int_equal(one(p, 600, NULL), 1);
	assert_int_equal(one(p, 300, NULL), 1); /* beside the first: two stay whole */
	assert_int_equal(one(p, 300, &pod), 2);
	assert_int_equal(place_node_free(p, node, "gpu"), 1800);
	assert_int_equal(place_node_devices(p, node, "gpu", left), 3);
	assert_int_equal(left[0], 100);
	assert_int_equal(left[1], 700);
	assert_int_equal(left[2], 1000);
	assert_int_equal(one(p, 1000, NULL), 4);
	assert_int_equal(one(p, 1000, NULL), 0); /* 800 are left, and no whole one */
	assert_int_equal(one(p, 800, NULL), 0);  /* but 700 on any */
	assert_int_equal(one(p, 700, NULL), 2);
	place_pod_remove(p, pod);
	assert_int_equal(one(p, 300, NULL), 2);
	place_free(p);
}

static void test_several(void **state)
{
	(void)state;
	struct place *p = place_new();
	uint32_t a = add_node(p, "a", 8000, 2, 0), b = add_node(p, "b", 8000, 4, 2);
	uint32_t shape = shape_of(p, 100, 3000, 500);
	CLEANUP(place_plan_done) struct place_plan plan = solve(p, shape, 2, true);
	assert_int_equal(plan.assignment_count, 1);
	uint32_t pod = plan.assignments[0].pod;
	assert_int_equal(plan.assignments[0].node, b);
	assert_int_equal(place_pod_devices(p, pod, "gpu"), 7);
	assert_int_equal(place_pod_devices(p, pod, "npu"), 1);
	assert_int_equal(place_pod_devices(p, pod, "cpu"), 0);
	assert_int_equal(place_pod_devices(p, 12345, "gpu"), 0);
	assert_int_equal(place_node_free(p, a, "gpu"), 2000);
	/* On a there are too few of one kind and none of the other, on b too few of the first. */
	const struct place_refusal *r = &plan.refusals[0];
	assert_int_equal(r->reason_count, 2);
	assert_int_equal(r->reasons[0].constraint, PLACE_C_RESOURCE);
	assert_string_equal(r->reasons[0].detail, "gpu");
	assert_int_equal(r->reasons[0].nodes, 2);
	assert_true(r->reasons[0].at_fault);
	assert_string_equal(r->reasons[1].detail, "npu");
	place_free(p);
}

static void test_reason(void **state)
{
	(void)state;
	struct place *p = place_new();
	add_node(p, "n", 8000, 2, 0);
	assert_int_equal(one(p, 600, NULL), 1);
	assert_int_equal(one(p, 600, NULL), 2);
	uint32_t shape = shape_of(p, 100, 500, 0);
	CLEANUP(place_plan_done) struct place_plan plan = solve(p, shape, 1, true);
	assert_int_equal(plan.refusal_count, 1);
	assert_int_equal(plan.refusals[0].reasons[0].constraint, PLACE_C_RESOURCE);
	assert_string_equal(plan.refusals[0].reasons[0].detail, "gpu");
	struct place_want w = {.shape = shape, .count = 1, .node = PLACE_NONE};
	struct place_problem problem = {.wants = &w, .want_count = 1, .brief = true};
	CLEANUP(place_plan_done) struct place_plan brief = {0};
	assert_int_equal(place_solve(p, &problem, &brief, NULL), 0);
	assert_int_equal(brief.refusal_count, 1);
	assert_int_equal(brief.refusals[0].reason_count, 0);
	place_free(p);
}

static int put_with(struct place *p, uint32_t shape, const char *resource, uint64_t devices,
	uint32_t *ret_pod)
{
	struct place_pod_devices told = {resource, devices};
	struct err e = ERR_INIT;
	return place_pod_put_with(p, shape, 0, 0, &told, 1, ret_pod, &e);
}

static void test_put_back(void **state)
{
	(void)state;
	struct place *p = place_new();
	add_node(p, "n", 8000, 2, 0);
	uint32_t half = shape_of(p, 100, 500, 0), two = shape_of(p, 100, 2000, 0), pod, lost;
	int32_t left[PLACE_DEVICES_MAX];
	assert_int_equal(put_with(p, half, "gpu", 2, &pod), 0);
	assert_int_equal(place_pod_devices(p, pod, "gpu"), 2);
	assert_int_equal(put_with(p, half, "gpu", 3, &pod), -ERR_INVALID);
	assert_int_equal(put_with(p, half, "gpu", 0, &pod), -ERR_INVALID);
	assert_int_equal(put_with(p, two, "gpu", 1, &pod), -ERR_INVALID);
	assert_int_equal(put_with(p, half, "npu", 1, &pod), -ERR_INVALID);
	assert_int_equal(put_with(p, half, "cpu", 1, &pod), -ERR_INVALID);
	assert_int_equal(place_pod_count(p), 1);
	/* Two on one device, and one on a device that the node has lost: it is so. */
	assert_int_equal(put_with(p, two, "gpu", 6, &lost), 0);
	assert_int_equal(place_node_devices(p, 0, "gpu", left), 2);
	assert_int_equal(left[0], 1000);
	assert_int_equal(left[1], -500);
	assert_int_equal(place_node_free(p, 0, "gpu"), -500);
	assert_int_equal(one(p, 100, NULL), 0); /* nothing is left in all */
	/* Nothing serves it: it has no device, and counts. */
	assert_int_equal(place_pod_put(p, two, 0, 0, &pod, NULL), 0);
	assert_int_equal(place_pod_devices(p, pod, "gpu"), 0);
	assert_int_equal(place_node_free(p, 0, "gpu"), -2500);
	place_pod_remove(p, pod);
	place_pod_remove(p, lost);
	assert_int_equal(one(p, 500, NULL), 2);
	assert_int_equal(one(p, 1000, NULL), 1);
	place_free(p);
}

static void test_node_changes(void **state)
{
	(void)state;
	struct place *p = place_new();
	uint32_t node = add_node(p, "n", 8000, 3, 0), pod;
	int32_t left[PLACE_DEVICES_MAX];
	assert_int_equal(one(p, 3000, &pod), 7);
	assert_int_equal(add_node(p, "n", 8000, 1, 0), node);
	assert_int_equal(place_node_devices(p, node, "gpu", left), 1);
	assert_int_equal(left[0], 0);
	assert_int_equal(add_node(p, "n", 8000, 4, 0), node);
	assert_int_equal(one(p, 500, NULL), 8);
	place_pod_remove(p, pod);
	assert_int_equal(one(p, 3000, NULL), 7);
	place_node_remove(p, node);
	assert_int_equal(p->device_nodes, 0);
	assert_int_equal(p->held_count, 0);
	assert_int_equal(add_node(p, "m", 8000, 1, 0), node);
	assert_int_equal(one(p, 1000, NULL), 1);
	place_free(p);
}

/* ---- what is impossible ---- */

static void refuse_node(struct place *p, const char *resource, int64_t amount, bool shared,
	int code, const char *sentence)
{
	struct place_amount capacity[] = {{resource, amount, shared}};
	struct place_node n = {.name = "x", .capacity = capacity, .capacity_count = 1};
	uint32_t node;
	struct err e = ERR_INIT;
	assert_int_equal(place_node_set(p, &n, &node, &e), -code);
	assert_string_equal(e.text, sentence);
	assert_int_equal(place_node_find(p, "x"), PLACE_NONE);
}

static void test_bad_input(void **state)
{
	(void)state;
	struct place *p = place_new();
	add_node(p, "n", 8000, 1, 1);
	refuse_node(p, "gpu", 1500, true, ERR_INVALID,
		"node x: capacity of 1500 gpu is not 0 to 64 devices of 1000 each");
	refuse_node(p, "gpu", 65000, true, ERR_INVALID,
		"node x: capacity of 65000 gpu is not 0 to 64 devices of 1000 each");
	refuse_node(p, "gpu", 1, false, ERR_INVALID,
		"node x: gpu is shared elsewhere, and not here");
	refuse_node(p, "cpu", 1000, true, ERR_INVALID,
		"node x: cpu is not a device that can be shared");
	struct place_amount cam[] = {{"cam", 1, false}, {"a", 1000, true}, {"b", 1000, true}};
	struct place_node n = {.name = "c", .capacity = cam, .capacity_count = 3};
	uint32_t out;
	assert_int_equal(place_node_set(p, &n, &out, NULL), 0);
	refuse_node(p, "cam", 1000, true, ERR_INVALID,
		"node x: cam is counted whole elsewhere, and not here");
	refuse_node(p, "fifth", 1000, true, ERR_TOO_LARGE,
		"node x: more than 4 shared resources, fifth is too many");
	struct place_amount odd[] = {{"gpu", 1500, true}};
	struct place_spec s = {.namespace = "ns", .requests = odd, .request_count = 1};
	struct err e = ERR_INIT;
	assert_int_equal(place_shape(p, &s, &out, &e), -ERR_INVALID);
	assert_string_equal(e.text, "request of 1500 gpu: more than 1000 of a shared device is "
				    "whole ones");
	odd[0] = (struct place_amount){"gpu", 1, false};
	assert_int_equal(place_shape(p, &s, &out, &e), -ERR_INVALID);
	struct place_usual usual = {77, 1};
	assert_int_equal(place_outlook_set(p, &usual, 1, &e), -ERR_INVALID);
	usual = (struct place_usual){shape_of(p, 1, 500, 0), __builtin_nan("")};
	assert_int_equal(place_outlook_set(p, &usual, 1, &e), -ERR_INVALID);
	usual.weight = -1;
	assert_int_equal(place_outlook_set(p, &usual, 1, &e), -ERR_INVALID);
	place_free(p);
}

/* ---- random puts and removes ---- */

#define NODES 5
#define PODS 60

/* All that place.h tells of the nodes. */
struct picture {
	int64_t free[NODES][RESOURCES];
	int32_t left[NODES][2][PLACE_DEVICES_MAX];
	struct node_devices devices[NODES];
};

static void take_picture(const struct place *p, struct picture *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t n = 0; n < NODES; n++) {
		for (int i = 0; i < RESOURCES; i++)
			ret->free[n][i] = place_node_free(p, n, resources[i]);
		for (int i = 0; i < 2; i++)
			(void)place_node_devices(p, n, resources[3 + i], ret->left[n][i]);
		if (p->nodes.items[n].devices)
			memcpy(&ret->devices[n], place_devices_of(p, &p->nodes.items[n]),
				sizeof(ret->devices[n]));
	}
}

static void assert_none_overcommitted(const struct picture *x)
{
	for (int n = 0; n < NODES; n++) {
		for (int i = 0; i < RESOURCES; i++)
			assert_true(x->free[n][i] >= 0);
		for (int i = 0; i < 2; i++)
			for (uint32_t d = 0; d < PLACE_DEVICES_MAX; d++)
				assert_true(x->left[n][i][d] >= 0);
	}
}

static uint32_t random_shape(struct place *p, struct rand *r)
{
	bool whole = rand_below(r, 3) == 0;
	int64_t gpu = whole ? rand_between(r, 1, 4) * 1000 : rand_between(r, 1, 19) * 50;
	int64_t npu = rand_below(r, 4) == 0 ? rand_between(r, 1, 9) * 100 : 0;
	return shape_of(p, rand_between(r, 1, 10) * 100, rand_below(r, 5) == 0 ? 0 : gpu, npu);
}

/* Told or learning, every second seed. */
static struct place *random_fleet(struct rand *r, uint64_t seed)
{
	struct place *p = place_new();
	rand_init(r, seed);
	for (int i = 0; i < NODES; i++) {
		char name[8];
		snprintf(name, sizeof(name), "n%d", i);
		add_node(p, name, rand_between(r, 4, 20) * 1000, (int)rand_between(r, 0, 5),
			(int)rand_between(r, 0, 2));
	}
	struct place_usual usual = {random_shape(p, r), 1};
	if (seed % 2)
		assert_int_equal(place_outlook_set(p, &usual, 1, NULL), 0);
	place_shape_release(p, usual.shape);
	return p;
}

static void test_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct rand r;
		struct picture empty, before, now;
		struct place *p = random_fleet(&r, seed);
		VEC(uint32_t) pods = {0};
		take_picture(p, &empty);
		for (int i = 0; i < PODS; i++) {
			uint32_t shape = random_shape(p, &r);
			uint32_t count = (uint32_t)rand_between(&r, 1, 3);
			/* The first look at what is usual is no part of the tables. */
			struct place_plan look = solve(p, shape, count, false);
			place_plan_done(&look);
			take_picture(p, &before);
			struct place_plan dry = solve(p, shape, count, false);
			struct place_plan plan = solve(p, shape, count, true);
			assert_int_equal(dry.assignment_count, plan.assignment_count);
			for (uint32_t k = 0; k < dry.assignment_count; k++)
				assert_int_equal(dry.assignments[k].node, plan.assignments[k].node);
			take_picture(p, &now);
			assert_none_overcommitted(&now);
			bool undo = rand_below(&r, 3) == 0;
			for (uint32_t k = 0; !undo && k < plan.assignment_count; k++)
				vec_push(&pods, plan.assignments[k].pod);
			if (undo) {
				place_plan_undo(p, &plan);
				take_picture(p, &now);
				assert_memory_equal(&now, &before, sizeof(now));
			}
			place_plan_done(&plan);
			place_plan_done(&dry);
			place_shape_release(p, shape);
		}
		while (pods.count) {
			size_t i = (size_t)rand_below(&r, pods.count);
			place_pod_remove(p, pods.items[i]);
			vec_remove(&pods, i);
		}
		take_picture(p, &now);
		assert_memory_equal(&now.free, &empty.free, sizeof(now.free));
		assert_memory_equal(&now.left, &empty.left, sizeof(now.left));
		assert_int_equal(p->held_count, 0);
		vec_done(&pods);
		place_free(p);
	}
}

/* ---- what usually comes ---- */

static void solve_one(struct place *p, uint32_t shape, bool apply)
{
	struct place_plan plan = solve(p, shape, 1, apply);
	assert_int_equal(plan.assignment_count, 1);
	place_plan_done(&plan);
}

static void test_learning(void **state)
{
	(void)state;
	struct place *p = place_new();
	add_node(p, "n", 64000, 8, 0);
	uint32_t half = shape_of(p, 100, 500, 0), pair = shape_of(p, 100, 2000, 0),
		 none = shape_of(p, 100, 0, 0);
	const struct outlook *o = &p->outlook;
	solve_one(p, half, true);
	solve_one(p, pair, true);
	assert_false(o->ready); /* what waited was usual for that problem alone */
	solve_one(p, half, true);
	assert_int_equal(o->usuals[0].count, 2);
	assert_true(o->usuals[0].items[0].share == 0.5);
	assert_int_equal(o->usuals[0].items[0].devices, 2); /* of equals the larger */
	/* Another CPU changes nothing of what is usual, another GPU does. */
	uint32_t version = o->version;
	add_node(p, "n", 32000, 8, 0);
	solve_one(p, none, true);
	assert_int_equal(o->version, version);
	add_node(p, "n", 32000, 9, 0);
	solve_one(p, none, true);
	assert_int_equal(o->version, version + 1);
	/* Two were there; twice as many are. */
	solve_one(p, half, true);
	assert_int_equal(o->version, version + 1);
	solve_one(p, half, true);
	assert_int_equal(o->version, version + 2);
	assert_true(o->usuals[0].items[0].share == 0.75);
	struct place_usual usual = {half, 3};
	assert_int_equal(place_outlook_set(p, &usual, 1, NULL), 0);
	solve_one(p, none, false);
	assert_int_equal(o->usuals[0].count, 1);
	assert_int_equal(place_outlook_set(p, NULL, 0, NULL), 0);
	solve_one(p, none, false);
	assert_int_equal(o->usuals[0].count, 2);
	place_free(p);
}

/* Many that wait on an empty fleet are known before the first is placed. */
static void test_batch_knows_what_waits(void **state)
{
	(void)state;
	struct place *p = place_new();
	uint32_t big = add_node(p, "big", 90000, 8, 0), small = add_node(p, "small", 8000, 1, 0);
	struct place_want wants[] = {
		{.shape = shape_of(p, 1000, 1000, 0), .count = 1, .node = PLACE_NONE},
		{.shape = shape_of(p, 100, 8000, 0), .count = 1, .node = PLACE_NONE}};
	struct place_problem problem = {.wants = wants, .want_count = 2, .apply = true};
	CLEANUP(place_plan_done) struct place_plan plan = {0};
	assert_int_equal(place_solve(p, &problem, &plan, NULL), 0);
	assert_int_equal(plan.assignment_count, 2);
	assert_int_equal(plan.assignments[0].node, small);
	assert_int_equal(plan.assignments[1].node, big);
	place_free(p);
}

/* Modes that would have to move what a pod holds say so. */
static void test_modes_that_do_not_move_devices(void **state)
{
	(void)state;
	struct place *p = place_new();
	add_node(p, "n", 8000, 2, 0);
	struct place_plan plan = {0};
	struct err e = ERR_INIT;
	for (int mode = PLACE_REBALANCE; mode <= PLACE_WHAT_IF; mode++) {
		struct place_problem problem = {.mode = (enum place_mode)mode, .moves_max = 1};
		assert_int_equal(place_solve(p, &problem, &plan, &e), -ERR_UNSUPPORTED);
		assert_non_null(strstr(e.text, "shared devices"));
	}
	place_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares_and_whole_ones),
		cmocka_unit_test(test_several), cmocka_unit_test(test_reason),
		cmocka_unit_test(test_put_back), cmocka_unit_test(test_node_changes),
		cmocka_unit_test(test_bad_input),
		cmocka_unit_test(test_modes_that_do_not_move_devices),
		cmocka_unit_test(test_random), cmocka_unit_test(test_learning),
		cmocka_unit_test(test_batch_knows_what_waits)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
