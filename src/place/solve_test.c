/* One constraint, one score or one rule of solving in each test. */
#include "base/buf.h"
#include "place/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof((array)[0]))

static struct place_amount capacity[] = {
	{"cpu", 4000, false}, {"memory", (int64_t)8 << 30, false}, {"pods", 20, false}};

static uint32_t add_node(struct place *p, const char *name, const char *zone, const char *disk)
{
	struct place_label labels[] = {{"kubernetes.io/hostname", name},
		{"topology.kubernetes.io/zone", zone}, {"disk", disk}, {"size", "7"}};
	struct place_node n = {.name = name,
		.site = zone,
		.capacity = capacity,
		.capacity_count = COUNT(capacity),
		.labels = labels,
		.label_count = COUNT(labels)};
	uint32_t node;
	struct err e = ERR_INIT;
	assert_int_equal(place_node_set(p, &n, &node, &e), 0);
	return node;
}

/* Six nodes: a1 a2 (ssd) at a, b1 b2 (hdd) at b, c1 c2 (nvme) at c. */
static struct place *six_nodes(void)
{
	struct place *p = place_new();
	add_node(p, "a1", "a", "ssd");
	add_node(p, "a2", "a", "ssd");
	add_node(p, "b1", "b", "hdd");
	add_node(p, "b2", "b", "hdd");
	add_node(p, "c1", "c", "nvme");
	add_node(p, "c2", "c", "nvme");
	return p;
}

static struct place_label web[] = {{"app", "web"}};
static struct place_amount small[] = {{"cpu", 100, false}, {"memory", 64 << 20, false}};

static struct place_spec web_spec(void)
{
	return (struct place_spec){.namespace = "shop",
		.labels = web,
		.label_count = 1,
		.requests = small,
		.request_count = COUNT(small)};
}

static struct place_plan solve(struct place *p, const struct place_spec *spec, uint32_t count)
{
	uint32_t shape;
	struct err e = ERR_INIT;
	struct place_plan plan = {0};
	assert_int_equal(place_shape(p, spec, &shape, &e), 0);
	struct place_want want = {.shape = shape, .count = count, .node = PLACE_NONE};
	struct place_problem problem = {.mode = PLACE_BATCH,
		.wants = &want,
		.want_count = 1,
		.seed = 1,
		.apply = true,
		.explain = true};
	assert_int_equal(place_solve(p, &problem, &plan, &e), 0);
	place_shape_release(p, shape);
	return plan;
}

/* How many of the plan's pods are on nodes whose name starts with the prefix. */
static uint32_t on(const struct place *p, const struct place_plan *plan, const char *prefix)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < plan->assignment_count; i++) {
		const char *name = place_node_name(p, plan->assignments[i].node);
		count += strncmp(name, prefix, strlen(prefix)) == 0;
	}
	return count;
}

static void assert_refused(struct place *p, const struct place_spec *spec, const char *message)
{
	struct place_plan plan = solve(p, spec, 1);
	assert_int_equal(plan.assignment_count, 0);
	assert_int_equal(plan.refusal_count, 1);
	struct buf b = BUF_INIT;
	place_refusal_write(&plan.refusals[0], &b);
	assert_string_equal(buf_text(&b), message);
	buf_done(&b);
	place_plan_done(&plan);
}

static void test_resources(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_amount big[] = {{"cpu", 3000, false}, {"memory", 64 << 20, false}};
	struct place_spec s = web_spec();
	s.requests = big;
	struct place_plan plan = solve(p, &s, 7);
	assert_int_equal(plan.assignment_count, 6);
	assert_int_equal(plan.refusals[0].count, 1);
	struct place_amount device[] = {{"continuo.dev/camera", 1, false}, {"cpu", 3000, false}};
	s.requests = device;
	assert_refused(p, &s,
		"0/6 nodes are available: 6 Insufficient continuo.dev/camera, 6 Insufficient cpu.");
	place_plan_undo(p, &plan);
	place_plan_done(&plan);
	assert_int_equal(place_pod_count(p), 0);
	assert_int_equal(place_node_free(p, place_node_find(p, "a1"), "cpu"), 4000);
	place_free(p);
}

static void test_pods_count(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_spec s = web_spec();
	struct place_plan plan = solve(p, &s, 121);
	assert_int_equal(plan.assignment_count, 120);
	assert_string_equal(plan.refusals[0].reasons[0].detail, "pods");
	place_plan_done(&plan);
	place_free(p);
}

static void test_selector_and_every_operator(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_spec s = web_spec();
	struct place_label ssd[] = {{"disk", "ssd"}};
	s.node_selector = ssd;
	s.node_selector_count = 1;
	struct place_plan plan = solve(p, &s, 4);
	assert_int_equal(on(p, &plan, "a"), 4);
	place_plan_done(&plan);
	static const char *const two[] = {"ssd", "hdd"}, *const six[] = {"6"},
				 *const eight[] = {"8"};
	const struct {
		struct place_requirement r;
		const char *prefix;
		uint32_t nodes;
	} cases[] = {{{"disk", PLACE_IN, two, 2, false}, "", 4},
		{{"disk", PLACE_NOT_IN, two, 2, false}, "c", 2},
		{{"none", PLACE_NOT_IN, two, 2, false}, "", 6},
		{{"disk", PLACE_EXISTS, NULL, 0, false}, "", 6},
		{{"disk", PLACE_DOES_NOT_EXIST, NULL, 0, false}, "", 0},
		{{"size", PLACE_GT, six, 1, false}, "", 6},
		{{"size", PLACE_GT, eight, 1, false}, "", 0},
		{{"size", PLACE_LT, eight, 1, false}, "", 6},
		{{"metadata.name", PLACE_IN, (const char *const[]){"b2"}, 1, true}, "b2", 1}};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct place_selector term = {&cases[i].r, 1};
		struct place_node_terms terms = {PLACE_TERMS_AFFINITY, &term, 1};
		s = web_spec();
		s.required = &terms;
		s.required_count = 1;
		plan = solve(p, &s, 1);
		uint32_t feasible = plan.assignment_count ? plan.assignments[0].feasible : 0;
		assert_int_equal(feasible, cases[i].nodes);
		assert_int_equal(on(p, &plan, cases[i].prefix), cases[i].nodes > 0);
		place_plan_undo(p, &plan);
		place_plan_done(&plan);
	}
	place_free(p);
}

static void test_taints(void **state)
{
	(void)state;
	struct place *p = place_new();
	struct place_taint gpu[] = {{"gpu", "yes", PLACE_NO_SCHEDULE}};
	struct place_node n = {.name = "x",
		.capacity = capacity,
		.capacity_count = COUNT(capacity),
		.taints = gpu,
		.taint_count = 1};
	uint32_t node;
	assert_int_equal(place_node_set(p, &n, &node, NULL), 0);
	n.name = "y";
	n.taints = NULL;
	n.taint_count = 0;
	n.flags = PLACE_NODE_NOT_READY;
	assert_int_equal(place_node_set(p, &n, &node, NULL), 0);
	n.name = "z";
	n.flags = PLACE_NODE_UNSCHEDULABLE;
	assert_int_equal(place_node_set(p, &n, &node, NULL), 0);
	struct place_spec s = web_spec();
	assert_refused(p, &s,
		"0/3 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) "
		"had "
		"untolerated taint {node.kubernetes.io/not-ready: }, 1 node(s) were "
		"unschedulable.");
	const struct {
		struct place_toleration t;
		uint32_t feasible;
	} cases[] = {{{"gpu", "yes", false, PLACE_NO_SCHEDULE}, 1},
		{{"gpu", "no", false, PLACE_NO_SCHEDULE}, 0},
		{{"gpu", NULL, true, PLACE_ANY_EFFECT}, 1},
		{{"gpu", NULL, true, PLACE_NO_EXECUTE}, 0},
		{{"node.kubernetes.io/not-ready", NULL, true, PLACE_ANY_EFFECT}, 1},
		{{NULL, NULL, true, PLACE_ANY_EFFECT}, 3}};
	for (size_t i = 0; i < COUNT(cases); i++) {
		s.tolerations = &cases[i].t;
		s.toleration_count = 1;
		struct place_plan plan = solve(p, &s, 1);
		assert_int_equal(plan.assignment_count ? plan.assignments[0].feasible : 0,
			cases[i].feasible);
		place_plan_undo(p, &plan);
		place_plan_done(&plan);
	}
	n.name = "y"; /* ready again */
	n.flags = 0;
	assert_int_equal(place_node_set(p, &n, &node, NULL), 0);
	s = web_spec();
	struct place_plan plan = solve(p, &s, 1);
	assert_int_equal(on(p, &plan, "y"), 1);
	place_plan_done(&plan);
	place_free(p);
}

static void test_host_ports(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_port port = {"TCP", NULL, 80}, one = {"TCP", "10.0.0.1", 80},
			  udp = {"UDP", NULL, 80};
	struct place_spec s = web_spec();
	s.ports = &port;
	s.port_count = 1;
	struct place_plan plan = solve(p, &s, 6);
	assert_int_equal(plan.assignment_count, 6);
	s.ports = &one;
	assert_refused(p, &s,
		"0/6 nodes are available: 6 node(s) didn't have free ports for the requested pod "
		"ports.");
	s.ports = &udp;
	struct place_plan second = solve(p, &s, 1);
	assert_int_equal(second.assignment_count, 1);
	place_plan_done(&second);
	place_plan_done(&plan);
	place_free(p);
}

static const char *const web_values[] = {"web"};
static const struct place_requirement is_web = {"app", PLACE_IN, web_values, 1, false};

static struct place_pod_term term_on_web(bool required, bool anti, const char *topology_key)
{
	return (struct place_pod_term){.required = required,
		.anti = anti,
		.weight = 100,
		.topology_key = topology_key,
		.selector = {&is_web, 1}};
}

static void test_anti_affinity_both_ways(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_pod_term apart = term_on_web(true, true, "topology.kubernetes.io/zone");
	struct place_spec s = web_spec();
	s.pod_terms = &apart;
	s.pod_term_count = 1;
	struct place_plan plan = solve(p, &s, 4);
	assert_int_equal(plan.assignment_count, 3);
	assert_int_equal(on(p, &plan, "a"), 1);
	assert_int_equal(on(p, &plan, "b"), 1);
	struct place_spec plain = web_spec();
	assert_refused(p, &plain,
		"0/6 nodes are available: 6 node(s) didn't satisfy existing pods anti-affinity "
		"rules.");
	plain.namespace = "other";
	struct place_plan other = solve(p, &plain, 1);
	assert_int_equal(other.assignment_count, 1);
	place_plan_undo(p, &plan);
	plain.namespace = "shop";
	struct place_plan after = solve(p, &plain, 1);
	assert_int_equal(after.assignment_count, 1);
	place_plan_done(&after);
	place_plan_done(&other);
	place_plan_done(&plan);
	place_free(p);
}

static void test_affinity_to_itself_and_to_later_ones(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_pod_term together = term_on_web(true, false, "topology.kubernetes.io/zone");
	struct place_spec s = web_spec();
	s.pod_terms = &together;
	s.pod_term_count = 1;
	struct place_plan plan = solve(p, &s, 5);
	assert_int_equal(plan.assignment_count, 5);
	char zone[2] = {place_node_name(p, plan.assignments[0].node)[0], 0};
	assert_int_equal(on(p, &plan, zone), 5);
	place_plan_undo(p, &plan);
	place_plan_done(&plan);
	/* A client that comes before what it wants to be near to waits for it, in one batch. */
	struct place_label client[] = {{"app", "client"}};
	struct place_spec near = {.namespace = "shop",
		.labels = client,
		.label_count = 1,
		.pod_terms = &together,
		.pod_term_count = 1};
	struct place_spec plain = web_spec();
	struct place_want wants[2] = {
		{.count = 1, .node = PLACE_NONE}, {.count = 1, .node = PLACE_NONE}};
	assert_int_equal(place_shape(p, &near, &wants[0].shape, NULL), 0);
	assert_int_equal(place_shape(p, &plain, &wants[1].shape, NULL), 0);
	struct place_problem problem = {.mode = PLACE_BATCH, .wants = wants, .want_count = 2};
	assert_int_equal(place_solve(p, &problem, &plan, NULL), 0);
	assert_int_equal(plan.assignment_count, 2);
	assert_int_equal(place_node_name(p, plan.assignments[0].node)[0],
		place_node_name(p, plan.assignments[1].node)[0]);
	place_plan_done(&plan);
	problem.mode = PLACE_ONLINE;
	assert_int_equal(place_solve(p, &problem, &plan, NULL), 0);
	assert_int_equal(plan.refusal_count, 1);
	assert_int_equal(plan.refusals[0].reasons[0].constraint, PLACE_C_POD_AFFINITY);
	place_plan_done(&plan);
	place_free(p);
}

static void test_spread(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_spread even = {.topology_key = "topology.kubernetes.io/zone",
		.max_skew = 1,
		.required = true,
		.selector = {&is_web, 1}};
	struct place_spec s = web_spec();
	s.spreads = &even;
	s.spread_count = 1;
	struct place_plan plan = solve(p, &s, 9);
	assert_int_equal(plan.assignment_count, 9);
	assert_int_equal(on(p, &plan, "a"), 3);
	assert_int_equal(on(p, &plan, "b"), 3);
	place_plan_undo(p, &plan);
	place_plan_done(&plan);
	even.min_domains = 4; /* there are three: at most one in each */
	plan = solve(p, &s, 9);
	assert_int_equal(plan.assignment_count, 3);
	place_plan_undo(p, &plan);
	place_plan_done(&plan);
	even.required = false;
	even.min_domains = 0;
	plan = solve(p, &s, 6);
	assert_int_equal(on(p, &plan, "c"), 2);
	place_plan_done(&plan);
	place_free(p);
}

static void test_preferences(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	static const char *const hdd[] = {"hdd"};
	static const struct place_requirement is_hdd = {"disk", PLACE_IN, hdd, 1, false};
	struct place_node_preference prefer = {1, {&is_hdd, 1}};
	struct place_spec s = web_spec();
	s.preferred = &prefer;
	s.preferred_count = 1;
	struct place_plan plan = solve(p, &s, 4);
	assert_int_equal(on(p, &plan, "b"), 4);
	assert_int_equal(on(p, &plan, "b1"), 2);
	place_plan_done(&plan);
	/* Others keep away from web when they may. */
	struct place_label db[] = {{"app", "db"}};
	struct place_pod_term away = term_on_web(false, true, "topology.kubernetes.io/zone");
	struct place_spec d = {.namespace = "shop",
		.labels = db,
		.label_count = 1,
		.pod_terms = &away,
		.pod_term_count = 1};
	plan = solve(p, &d, 4);
	assert_int_equal(on(p, &plan, "b"), 0);
	place_plan_undo(p, &plan);
	place_plan_done(&plan);
	away.anti = false;
	plan = solve(p, &d, 2);
	assert_int_equal(on(p, &plan, "b"), 2);
	place_plan_done(&plan);
	place_free(p);
}

static void test_replicas_spread_and_alternative(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_spec s = web_spec();
	struct place_plan plan = solve(p, &s, 6);
	assert_int_equal(on(p, &plan, "a"), 2);
	assert_int_equal(on(p, &plan, "a1"), 1);
	for (uint32_t i = 0; i < 6; i++) {
		const struct place_assignment *a = &plan.assignments[i];
		assert_int_equal(a->feasible, 6);
		assert_int_not_equal(a->alternative, PLACE_NONE);
		assert_true(a->alternative_cost.total >= a->cost.total);
		assert_int_equal(a->reason_count, 0);
	}
	place_plan_undo(p, &plan);
	place_plan_done(&plan);
	/* Reasons are those of the moment: the second finds the first in its way. */
	struct place_pod_term apart = term_on_web(true, true, "topology.kubernetes.io/zone");
	s.pod_terms = &apart;
	s.pod_term_count = 1;
	plan = solve(p, &s, 2);
	assert_int_equal(plan.assignments[0].reason_count, 0);
	assert_int_equal(plan.assignments[1].feasible, 4);
	assert_int_equal(plan.assignments[1].reasons[0].nodes, 2);
	place_plan_done(&plan);
	place_free(p);
}

static void test_minimal_fault(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_label ssd[] = {{"disk", "ssd"}, {"arch", "arm64"}};
	struct place_amount huge[] = {{"cpu", 5000, false}};
	struct place_spec s = web_spec();
	s.node_selector = ssd;
	s.node_selector_count = 2;
	struct place_plan plan = solve(p, &s, 1);
	const struct place_refusal *r = &plan.refusals[0];
	assert_int_equal(r->reason_count, 2);
	assert_string_equal(r->reasons[0].detail, "arch=arm64");
	assert_int_equal(r->reasons[0].nodes, 6);
	assert_int_equal(r->reasons[0].alone, 2);
	assert_true(r->reasons[0].at_fault);
	assert_string_equal(r->reasons[1].detail, "disk=ssd");
	assert_int_equal(r->reasons[1].nodes, 4);
	assert_false(r->reasons[1].at_fault);
	place_plan_done(&plan);
	s.requests = huge;
	s.request_count = 1;
	plan = solve(p, &s, 1);
	assert_int_equal(plan.refusals[0].reason_count, 3);
	uint32_t at_fault = 0;
	for (uint32_t i = 0; i < 3; i++)
		at_fault += plan.refusals[0].reasons[i].at_fault;
	assert_int_equal(at_fault, 2);
	place_plan_done(&plan);
	place_free(p);
}

static void test_priority_order(void **state)
{
	(void)state;
	struct place *p = place_new();
	add_node(p, "only", "a", "ssd");
	struct place_amount most[] = {{"cpu", 3000, false}};
	struct place_spec s = {.namespace = "shop", .requests = most, .request_count = 1};
	struct place_want wants[2] = {
		{.count = 1, .node = PLACE_NONE}, {.count = 1, .priority = 9, .node = PLACE_NONE}};
	assert_int_equal(place_shape(p, &s, &wants[0].shape, NULL), 0);
	wants[1].shape = wants[0].shape;
	struct place_problem problem = {.mode = PLACE_BATCH, .wants = wants, .want_count = 2};
	struct place_plan plan = {0};
	assert_int_equal(place_solve(p, &problem, &plan, NULL), 0);
	assert_int_equal(plan.assignments[0].want, 1);
	assert_int_equal(plan.refusals[0].want, 0);
	assert_int_equal(place_pod_count(p), 0);
	place_plan_done(&plan);
	place_free(p);
}

static void test_wishes_come_first(void **state)
{
	(void)state;
	struct place *p = place_new();
	add_node(p, "x", "a", "ssd");
	add_node(p, "y", "b", "hdd");
	static const char *const ssd[] = {"ssd"};
	static const struct place_requirement is_ssd = {"disk", PLACE_IN, ssd, 1, false};
	struct place_node_preference prefer = {100, {&is_ssd, 1}};
	struct place_label db[] = {{"app", "db"}};
	struct place_pod_term apart = term_on_web(true, true, "kubernetes.io/hostname");
	struct place_spec keeps_away = {.namespace = "shop",
		.labels = db,
		.label_count = 1,
		.pod_terms = &apart,
		.pod_term_count = 1};
	struct place_spec picky = web_spec();
	picky.preferred = &prefer;
	picky.preferred_count = 1;
	struct place_want wants[2] = {
		{.count = 1, .node = PLACE_NONE}, {.count = 1, .node = PLACE_NONE}};
	assert_int_equal(place_shape(p, &keeps_away, &wants[0].shape, NULL), 0);
	assert_int_equal(place_shape(p, &picky, &wants[1].shape, NULL), 0);
	for (uint64_t seed = 0; seed < 16; seed++) {
		struct place_problem problem = {
			.mode = PLACE_BATCH, .wants = wants, .want_count = 2, .seed = seed};
		struct place_plan plan = {0};
		assert_int_equal(place_solve(p, &problem, &plan, NULL), 0);
		assert_int_equal(plan.assignment_count, 2);
		assert_string_equal(place_node_name(p, plan.assignments[1].node), "x");
		place_plan_done(&plan);
	}
	place_free(p);
}

static void test_no_nodes_and_bad_input(void **state)
{
	(void)state;
	struct place *p = place_new();
	struct place_spec s = web_spec();
	assert_refused(p, &s, "no nodes available to schedule pods");
	struct err e = ERR_INIT;
	uint32_t out;
	struct place_amount negative[] = {{"cpu", -1, false}};
	s.requests = negative;
	s.request_count = 1;
	assert_int_equal(place_shape(p, &s, &out, &e), -ERR_INVALID);
	s = web_spec();
	struct place_amount overflow[] = {
		{"cpu", PLACE_AMOUNT_MAX, false}, {"cpu", PLACE_AMOUNT_MAX, false}};
	s.requests = overflow;
	s.request_count = 2;
	assert_int_equal(place_shape(p, &s, &out, &e), -ERR_INVALID);
	struct place_node n = {.name = "x", .capacity = negative, .capacity_count = 1};
	assert_int_equal(place_node_set(p, &n, &out, &e), -ERR_INVALID);
	assert_int_equal(place_node_find(p, "x"), PLACE_NONE);
	struct place_problem problem = {.mode = (enum place_mode)9};
	struct place_plan plan = {0};
	assert_int_equal(place_solve(p, &problem, &plan, &e), -ERR_INVALID);
	struct place_weights w = place_weights_default();
	w.of[PLACE_TERM_BALANCE] = __builtin_nan("");
	problem = (struct place_problem){.mode = PLACE_BATCH, .weights = &w};
	assert_int_equal(place_solve(p, &problem, &plan, &e), -ERR_INVALID);
	w = place_weights_default();
	const struct place_application none = {.name = "none"};
	problem = (struct place_problem){.mode = PLACE_REBALANCE, .application = &none};
	assert_int_equal(place_solve(p, &problem, &plan, &e), -ERR_UNSUPPORTED);
	place_free(p);
}

static void test_node_changes_under_its_pods(void **state)
{
	(void)state;
	struct place *p = six_nodes();
	struct place_pod_term apart = term_on_web(true, true, "topology.kubernetes.io/zone");
	struct place_spec s = web_spec();
	s.pod_terms = &apart;
	s.pod_term_count = 1;
	struct place_plan plan = solve(p, &s, 3);
	assert_int_equal(plan.assignment_count, 3);
	assert_refused(p, &s,
		"0/6 nodes are available: 6 node(s) didn't satisfy existing pods anti-affinity "
		"rules.");
	char moved[8];
	snprintf(moved, sizeof(moved), "%s", place_node_name(p, plan.assignments[0].node));
	char old_zone = moved[0];
	add_node(p, moved, "d", "ssd"); /* it takes its pod to another zone */
	struct place_plan next = solve(p, &s, 2);
	assert_int_equal(next.assignment_count, 1);
	assert_int_equal(place_node_name(p, next.assignments[0].node)[0], old_zone);
	place_node_remove(p, place_node_find(p, moved));
	assert_int_equal(place_pod_count(p), 3);
	assert_int_equal(place_node_count(p), 5);
	place_plan_done(&next);
	place_plan_done(&plan);
	place_free(p);
}

/* Each of them decides between two nodes that are equal otherwise. */
static void test_upkeep_counts_when_asked_for(void **state)
{
	(void)state;
	static const struct {
		enum place_term term;
		double cost; /* of one of four cores on the better node */
	} cases[] = {{PLACE_TERM_ENERGY, (40 + 0.25 * 60) / 100},
		{PLACE_TERM_CARBON, 0.055 * 100 / 50},
		{PLACE_TERM_MONEY, (0.25 * 0.2 + 0.055 * 0.3) / 0.1}, {PLACE_TERM_TRUST, 0.1}};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct place *p = place_new();
		struct place_site site = {"green", NULL, 100, 0.3, 0};
		uint32_t index, shape, node;
		assert_int_equal(place_site_set(p, &site, &index, NULL), 0);
		for (int k = 0; k < 2; k++) {
			struct place_node n = {.name = k ? "better" : "worse",
				.site = "green",
				.capacity = capacity,
				.capacity_count = COUNT(capacity),
				.idle_watts = k ? 40 : 80,
				.full_watts = k ? 100 : 200,
				.price_per_hour = k ? 0.2 : 0.4,
				.trust = k ? 90 : 50};
			assert_int_equal(place_node_set(p, &n, &node, NULL), 0);
		}
		struct place_amount core[] = {{"cpu", 1000, false}};
		struct place_spec spec = {
			.namespace = "shop", .requests = core, .request_count = 1};
		assert_int_equal(place_shape(p, &spec, &shape, NULL), 0);
		struct place_weights w = {0};
		w.of[cases[i].term] = 2;
		struct place_want want = {.shape = shape, .count = 1, .node = PLACE_NONE};
		struct place_problem problem = {.mode = PLACE_BATCH,
			.wants = &want,
			.want_count = 1,
			.weights = &w,
			.explain = true};
		CLEANUP(place_plan_done) struct place_plan plan = {0};
		assert_int_equal(place_solve(p, &problem, &plan, NULL), 0);
		assert_string_equal(place_node_name(p, plan.assignments[0].node), "better");
		double found = plan.assignments[0].cost.terms[cases[i].term];
		assert_true(found > cases[i].cost - 1e-6 && found < cases[i].cost + 1e-6);
		assert_true(plan.assignments[0].alternative_cost.total >
			    plan.assignments[0].cost.total);
		place_shape_release(p, shape);
		place_free(p);
	}
}

/* Paths are found whatever the order they came in, replaced, and forgotten. */
static void test_paths(void **state)
{
	(void)state;
	struct place *p = place_new();
	uint32_t site[20];
	for (uint32_t i = 0; i < 20; i++) {
		char name[16];
		snprintf(name, sizeof(name), "s%u", i);
		struct place_site s = {.name = name};
		assert_int_equal(place_site_set(p, &s, &site[i], NULL), 0);
	}
	for (uint32_t round = 1; round <= 2; round++)
		for (uint32_t i = 0; i < 20; i++)
			assert_int_equal(place_path_set(p, site[3], site[i * 7 % 20],
						 i * 7 % 20 * round, 1, NULL),
				0);
	place_path_remove(p, site[3], site[11]);
	assert_int_equal(place_path_set(p, site[4], site[5], 999, 1, NULL), 0); /* takes its room */
	place_path_remove(p, site[3], 99);
	place_path_remove(p, 99, site[3]);
	for (uint32_t i = 0; i < 20; i++) {
		const struct path *path = place_path_find(p, site[3], site[i]);
		assert_int_equal(path == NULL, i == 11);
		assert_true(!path || path->latency_ms == 2 * i);
		assert_null(place_path_find(p, site[i], 99));
	}
	place_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_resources),
		cmocka_unit_test(test_pods_count),
		cmocka_unit_test(test_selector_and_every_operator), cmocka_unit_test(test_taints),
		cmocka_unit_test(test_host_ports), cmocka_unit_test(test_anti_affinity_both_ways),
		cmocka_unit_test(test_affinity_to_itself_and_to_later_ones),
		cmocka_unit_test(test_spread), cmocka_unit_test(test_preferences),
		cmocka_unit_test(test_replicas_spread_and_alternative),
		cmocka_unit_test(test_minimal_fault), cmocka_unit_test(test_priority_order),
		cmocka_unit_test(test_wishes_come_first),
		cmocka_unit_test(test_no_nodes_and_bad_input),
		cmocka_unit_test(test_upkeep_counts_when_asked_for), cmocka_unit_test(test_paths),
		cmocka_unit_test(test_node_changes_under_its_pods)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
