/*
 * Random fleets and pods, many seeds: no node is overcommitted, one seed gives one plan, an undone
 * plan leaves the tables as they were, and what a refusal names is true: with exactly the
 * constraints at fault relaxed the pod fits, and with any of them kept it does not.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "place/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 400
#define NODES 8

static const char *const zones[] = {"a", "b", "c"};
static const char *const apps[] = {"web", "db", "job"};
static const char *const values[] = {"x", "y"};

/* The storage of one random pod. Its lists are edited to relax a constraint. */
struct sample {
	struct place_spec spec;
	struct place_label labels[1], selector[2];
	struct place_amount requests[4];
	struct place_requirement requirement[2], neighbour;
	struct place_selector term[2];
	struct place_node_terms required[1];
	struct place_pod_term pod_terms[2];
	struct place_spread spread[1];
	struct place_toleration tolerations[8];
	struct place_port ports[1];
};

static const char *pick(struct rand *r, const char *const *from, uint64_t count)
{
	return from[rand_below(r, count)];
}

static void add_node(struct place *p, struct rand *r, int i)
{
	char name[8];
	snprintf(name, sizeof(name), "n%d", i);
	struct place_label labels[] = {{"kubernetes.io/hostname", name},
		{"zone", pick(r, zones, 3)}, {"disk", pick(r, values, 2)},
		{"gen", pick(r, values, 2)}};
	struct place_amount capacity[] = {{"cpu", rand_between(r, 1, 8) * 500, false},
		{"memory", rand_between(r, 1, 8) << 28, false},
		{"pods", rand_between(r, 1, 6), false}, {"dev/cam", rand_between(r, 0, 1), false},
		{"gpu", rand_between(r, 0, 2) * 1000, true}};
	struct place_taint taints[] = {{"t", pick(r, values, 2), PLACE_NO_SCHEDULE}};
	struct place_node n = {.name = name,
		.site = labels[1].value,
		.capacity = capacity,
		.capacity_count = 5,
		.labels = labels,
		.label_count = (uint32_t)rand_between(r, 2, 4),
		.taints = taints,
		.taint_count = rand_below(r, 3) == 0,
		.trust = (int)rand_between(r, 0, 100),
		.runtimes = values,
		.runtime_count = (uint32_t)rand_below(r, 3),
		.flags = rand_below(r, 8) == 0   ? PLACE_NODE_NOT_READY
			 : rand_below(r, 8) == 0 ? PLACE_NODE_UNSCHEDULABLE
						 : 0};
	uint32_t node;
	assert_int_equal(place_node_set(p, &n, &node, NULL), 0);
}

static void sample_init(struct sample *s, struct rand *r, bool demanding)
{
	uint64_t odds = demanding ? 2 : 5;
	*s = (struct sample){0};
	s->labels[0] = (struct place_label){"app", pick(r, apps, 3)};
	s->spec.namespace = "ns";
	s->spec.trust_min = rand_below(r, odds * 2) == 0 ? 80 : 0;
	s->spec.runtime = rand_below(r, odds * 2) == 0 ? "y" : NULL;
	s->spec.labels = s->labels;
	s->spec.label_count = 1;
	int64_t scale = demanding ? 4 : 1;
	s->requests[0] = (struct place_amount){"cpu", rand_between(r, 0, 6) * 100 * scale, false};
	s->requests[1] =
		(struct place_amount){"memory", rand_between(r, 0, 4) * scale << 26, false};
	s->requests[2] = (struct place_amount){"dev/cam", rand_below(r, odds * 2) == 0, false};
	s->spec.requests = s->requests;
	int64_t gpu = rand_below(r, 2) ? rand_between(r, 1, 2) * 1000 : rand_between(r, 1, 9) * 100;
	s->requests[3] = (struct place_amount){"gpu", rand_below(r, odds) == 0 ? gpu : 0, true};
	s->spec.request_count = 4;
	s->selector[0] = (struct place_label){"disk", pick(r, values, 2)};
	s->selector[1] = (struct place_label){"gen", pick(r, values, 2)};
	s->spec.node_selector = s->selector;
	s->spec.node_selector_count = rand_below(r, odds) == 0 ? 2 : 0;
	s->requirement[0] = (struct place_requirement){
		"zone", (enum place_operator)rand_below(r, 2), &zones[rand_below(r, 3)], 1, false};
	s->term[0] = (struct place_selector){s->requirement, 1};
	s->required[0] = (struct place_node_terms){PLACE_TERMS_AFFINITY, s->term, 1};
	s->spec.required = s->required;
	s->spec.required_count = rand_below(r, odds) == 0;
	s->neighbour =
		(struct place_requirement){"app", PLACE_IN, &apps[rand_below(r, 3)], 1, false};
	for (int i = 0; i < 2; i++)
		s->pod_terms[i] = (struct place_pod_term){.required = rand_below(r, 3) > 0,
			.anti = i == 0,
			.weight = 50,
			.topology_key = i == 0 ? "kubernetes.io/hostname" : "zone",
			.selector = {&s->neighbour, 1}};
	s->spec.pod_terms = s->pod_terms + rand_below(r, 2);
	s->spec.pod_term_count = rand_below(r, odds) == 0;
	s->spread[0] = (struct place_spread){.topology_key = "zone",
		.max_skew = 1,
		.required = true,
		.ignore_affinity = rand_below(r, 2),
		.selector = {&s->neighbour, 1}};
	s->spec.spreads = s->spread;
	s->spec.spread_count = rand_below(r, odds * 2) == 0;
	s->spec.tolerations = s->tolerations;
	s->ports[0] = (struct place_port){"TCP", NULL, 80};
	s->spec.ports = s->ports;
	s->spec.port_count = rand_below(r, odds * 2) == 0;
}

static struct place_plan solve_mode(struct place *p, const struct sample *s, uint32_t count,
	uint64_t seed, bool apply)
{
	struct err e = ERR_INIT;
	struct place_want w = {.count = count, .node = PLACE_NONE};
	assert_int_equal(place_shape(p, &s->spec, &w.shape, &e), 0);
	struct place_problem problem = {.mode = PLACE_BATCH,
		.wants = &w,
		.want_count = 1,
		.seed = seed,
		.apply = apply,
		.explain = true};
	struct place_plan plan = {0};
	assert_int_equal(place_solve(p, &problem, &plan, &e), 0);
	place_shape_release(p, w.shape);
	return plan;
}

static bool fits(struct place *p, const struct sample *s)
{
	struct place_plan plan = solve_mode(p, s, 1, 0, false);
	bool ok = plan.assignment_count == 1;
	place_plan_done(&plan);
	return ok;
}

static void assert_not_overcommitted(const struct place *p)
{
	static const char *const resources[] = {"cpu", "memory", "pods", "dev/cam", "gpu"};
	for (uint32_t n = 0; n < NODES; n++)
		for (size_t i = 0; i < 5; i++)
			assert_true(place_node_free(p, n, resources[i]) >= 0);
	for (uint32_t n = 0; n < NODES; n++) {
		int32_t left[PLACE_DEVICES_MAX];
		uint32_t devices = place_node_devices(p, n, "gpu", left);
		for (uint32_t i = 0; i < devices; i++)
			assert_true(left[i] >= 0);
	}
}

static void add_toleration(struct sample *s, const char *key)
{
	s->tolerations[s->spec.toleration_count++] =
		(struct place_toleration){key, NULL, true, PLACE_ANY_EFFECT};
}

/* The edit that a user would make. False: what stands in the way is another pod's rule. */
static bool relax(struct sample *s, const struct place_reason *r)
{
	switch (r->constraint) {
	case PLACE_C_RESOURCE:
		if (r->index >= 4)
			return false; /* pods */
		s->requests[r->index].amount = 0;
		return true;
	case PLACE_C_TAINT:
		s->tolerations[s->spec.toleration_count++] = (struct place_toleration){"t",
			strncmp(r->detail, "t=x", 3) == 0 ? "x" : "y", false, PLACE_ANY_EFFECT};
		return true;
	case PLACE_C_NOT_READY:
		add_toleration(s, "node.kubernetes.io/not-ready");
		return true;
	case PLACE_C_UNSCHEDULABLE:
		add_toleration(s, "node.kubernetes.io/unschedulable");
		return true;
	case PLACE_C_SELECTOR: /* by key, since removing one entry moves the others */
		for (uint32_t i = 0; i < s->spec.node_selector_count; i++) {
			size_t size = strlen(s->selector[i].key);
			if (strncmp(r->detail, s->selector[i].key, size) != 0)
				continue;
			s->selector[i] = s->selector[--s->spec.node_selector_count];
			return true;
		}
		return false;
	case PLACE_C_AFFINITY:
		s->spec.required_count = 0;
		return true;
	case PLACE_C_PORT:
		s->spec.port_count = 0;
		return true;
	case PLACE_C_TRUST:
		s->spec.trust_min = 0;
		return true;
	case PLACE_C_RUNTIME:
		s->spec.runtime = NULL;
		return true;
	case PLACE_C_SPREAD:
		s->spec.spread_count = 0;
		return true;
	case PLACE_C_POD_AFFINITY:
	case PLACE_C_POD_ANTI_AFFINITY:
		s->spec.pod_term_count = 0;
		return true;
	default:
		return false;
	}
}

/* Copies the sample so that its lists point into the copy. */
static void sample_copy(struct sample *to, const struct sample *from)
{
	*to = *from;
	to->spec.labels = to->labels;
	to->spec.requests = to->requests;
	to->spec.node_selector = to->selector;
	to->term[0].items = to->requirement;
	to->required[0].terms = to->term;
	to->spec.required = to->required;
	to->pod_terms[0].selector.items = to->pod_terms[1].selector.items = &to->neighbour;
	to->spec.pod_terms = to->pod_terms + (from->spec.pod_terms - from->pod_terms);
	to->spread[0].selector.items = &to->neighbour;
	to->spec.spreads = to->spread;
	to->spec.tolerations = to->tolerations;
	to->spec.ports = to->ports;
}

/* Relaxes all that is at fault but `keep` (reason_count: nothing is kept). */
static bool relax_all(struct sample *to, const struct sample *s, const struct place_refusal *r,
	uint32_t keep)
{
	bool can = true;
	sample_copy(to, s);
	for (uint32_t i = 0; i < r->reason_count; i++)
		if (r->reasons[i].at_fault && i != keep)
			can = relax(to, &r->reasons[i]) && can;
	return can;
}

static int check_refusal(struct place *p, const struct sample *s, const struct place_refusal *r)
{
	struct sample relaxed;
	uint32_t at_fault = 0;
	for (uint32_t i = 0; i < r->reason_count; i++)
		at_fault += r->reasons[i].at_fault;
	assert_true(at_fault > 0);
	if (!relax_all(&relaxed, s, r, r->reason_count))
		return 0;
	assert_true(fits(p, &relaxed));
	for (uint32_t i = 0; i < r->reason_count; i++) {
		if (!r->reasons[i].at_fault)
			continue;
		assert_true(relax_all(&relaxed, s, r, i));
		assert_false(fits(p, &relaxed));
	}
	return 1;
}

static void test_named_constraints_are_the_ones(void **state)
{
	(void)state;
	int checked = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct rand r;
		rand_init(&r, seed);
		struct place *p = place_new();
		for (int i = 0; i < NODES; i++)
			add_node(p, &r, i);
		for (int i = 0; i < 12; i++) {
			struct sample s;
			sample_init(&s, &r, i >= 6);
			struct place_plan plan =
				solve_mode(p, &s, (uint32_t)rand_between(&r, 1, 4), seed, true);
			assert_not_overcommitted(p);
			for (uint32_t k = 0; k < plan.refusal_count; k++)
				checked += check_refusal(p, &s, &plan.refusals[k]);
			place_plan_done(&plan);
		}
		place_free(p);
	}
	print_message("# %d refusals checked\n", checked);
	assert_true(checked > SEEDS);
}

static struct place *fleet(uint64_t seed, struct rand *ret_rand)
{
	rand_init(ret_rand, seed);
	struct place *p = place_new();
	for (int i = 0; i < NODES; i++)
		add_node(p, ret_rand, i);
	return p;
}

static void test_one_seed_one_plan(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
		struct place_plan plans[2];
		for (int k = 0; k < 2; k++) {
			struct rand r;
			struct place *p = fleet(seed, &r);
			struct sample s;
			sample_init(&s, &r, false);
			plans[k] = solve_mode(p, &s, 9, seed, false);
			assert_int_equal(place_pod_count(p), 0);
			place_free(p);
		}
		assert_int_equal(plans[0].assignment_count, plans[1].assignment_count);
		for (uint32_t i = 0; i < plans[0].assignment_count; i++) {
			assert_int_equal(plans[0].assignments[i].node,
				plans[1].assignments[i].node);
			assert_memory_equal(&plans[0].assignments[i].cost,
				&plans[1].assignments[i].cost, sizeof(struct place_cost));
		}
		place_plan_done(&plans[0]);
		place_plan_done(&plans[1]);
	}
}

static void test_undo_restores(void **state)
{
	(void)state;
	static const char *const resources[] = {"cpu", "memory", "pods", "dev/cam", "gpu"};
	for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
		struct rand r;
		struct place *p = fleet(seed, &r);
		struct sample samples[3];
		for (int i = 0; i < 3; i++)
			sample_init(&samples[i], &r, false);
		struct place_plan base = solve_mode(p, &samples[0], 3, seed, true);
		int64_t before[NODES][5];
		for (uint32_t n = 0; n < NODES; n++)
			for (size_t i = 0; i < 5; i++)
				before[n][i] = place_node_free(p, n, resources[i]);
		struct place_plan first = solve_mode(p, &samples[1], 5, seed, false);
		struct place_plan other = solve_mode(p, &samples[2], 4, seed, true);
		place_plan_undo(p, &other);
		for (uint32_t n = 0; n < NODES; n++)
			for (size_t i = 0; i < 5; i++)
				assert_int_equal(place_node_free(p, n, resources[i]), before[n][i]);
		struct place_plan again = solve_mode(p, &samples[1], 5, seed, false);
		assert_int_equal(first.assignment_count, again.assignment_count);
		for (uint32_t i = 0; i < first.assignment_count; i++)
			assert_int_equal(first.assignments[i].node, again.assignments[i].node);
		place_plan_done(&base);
		place_plan_done(&first);
		place_plan_done(&other);
		place_plan_done(&again);
		place_free(p);
	}
}

static void test_a_million_that_fit_nowhere(void **state)
{
	(void)state;
	struct rand r;
	struct place *p = fleet(1, &r);
	struct place_amount huge[] = {{"cpu", PLACE_AMOUNT_MAX, false}};
	struct place_spec spec = {.namespace = "ns", .requests = huge, .request_count = 1};
	struct place_want *wants = mem_alloc_array(1000000, sizeof(*wants));
	assert_int_equal(place_shape(p, &spec, &wants[0].shape, NULL), 0);
	for (int i = 0; i < 1000000; i++)
		wants[i] = (struct place_want){
			.shape = wants[0].shape, .count = 1, .node = PLACE_NONE};
	struct place_problem problem = {
		.mode = PLACE_BATCH, .wants = wants, .want_count = 1000000, .apply = true};
	struct place_plan plan = {0};
	assert_int_equal(place_solve(p, &problem, &plan, NULL), 0);
	assert_int_equal(plan.refusal_count, 1000000);
	assert_true(plan.steps < 1000);
	place_plan_done(&plan);
	free(wants);
	place_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_named_constraints_are_the_ones),
		cmocka_unit_test(test_one_seed_one_plan), cmocka_unit_test(test_undo_restores),
		cmocka_unit_test(test_a_million_that_fit_nowhere)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
