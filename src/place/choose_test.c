/*
 * Random fleets, pods and changes: what the ranking finds is what a look at all nodes finds, node,
 * cost and alternative, after whatever came, changed and went.
 */
#include "base/rand.h"
#include "place/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NODES 60
#define SHAPES 24
#define PODS 300
#define STEPS 1500
#define SEEDS 30
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const words[] = {"a", "b", "c"};
static const char *const images[] = {"one:1", "two:1", "three:1"};

struct world {
	struct place *p;
	struct rand rand;
	int sites;
	uint32_t shapes[SHAPES];
	uint32_t pods[PODS];
	int pod_count;
};

static const char *word(struct world *w)
{
	return words[rand_below(&w->rand, 3)];
}

static bool maybe(struct world *w, uint64_t one_in)
{
	return rand_below(&w->rand, one_in) == 0;
}

static void set_node(struct world *w, int i)
{
	char name[16], site[16];
	snprintf(name, sizeof(name), "n%d", i);
	snprintf(site, sizeof(site), "s%d", (int)rand_below(&w->rand, (uint64_t)w->sites));
	struct place_label labels[] = {{"kubernetes.io/hostname", name}, {"zone", word(w)},
		{"disk", word(w)}, {"x", word(w)}};
	/* Some alike, some each with a capacity of its own. */
	int64_t size =
		maybe(w, 2) ? rand_between(&w->rand, 1, 2) * 8 : rand_between(&w->rand, 2, 16);
	struct place_amount capacity[] = {{"cpu", size * 500 + (maybe(w, 3) ? i : 0), false},
		{"memory", (size << 29) + (maybe(w, 3) ? i * 4096 : 0), false},
		{"pods", rand_between(&w->rand, 2, 20), false},
		{"dev/cam", rand_between(&w->rand, 0, 2), false}};
	struct place_taint taints[] = {
		{"t", word(w), PLACE_NO_SCHEDULE}, {"soft", word(w), PLACE_PREFER_NO_SCHEDULE}};
	struct place_node n = {.name = name,
		.idle_watts = (double)rand_below(&w->rand, 100),
		.full_watts = (double)rand_below(&w->rand, 300),
		.price_per_hour = (double)rand_below(&w->rand, 10) / 10,
		.site = maybe(w, 8) ? NULL : site,
		.flags = maybe(w, 12) ? PLACE_NODE_UNSCHEDULABLE : 0,
		.capacity = capacity,
		.capacity_count = 4,
		.labels = labels,
		.label_count = (uint32_t)rand_between(&w->rand, 2, 4),
		.taints = taints + rand_below(&w->rand, 2),
		.taint_count = (uint32_t)rand_below(&w->rand, 2),
		.images = images + rand_below(&w->rand, 3),
		.image_count = (uint32_t)rand_below(&w->rand, 2),
		.trust = (int)rand_between(&w->rand, 0, 100),
		.runtimes = words,
		.runtime_count = (uint32_t)rand_below(&w->rand, 4)};
	uint32_t node;
	assert_int_equal(place_node_set(w->p, &n, &node, NULL), 0);
	struct place_site facts = {.name = site,
		.carbon_g_per_kwh = (double)rand_below(&w->rand, 600),
		.price_per_kwh = (double)rand_below(&w->rand, 4) / 10};
	uint32_t index;
	assert_int_equal(place_site_set(w->p, &facts, &index, NULL), 0);
}

static void make_shape(struct world *w, int i)
{
	const char *app = word(w), *value = word(w), *other = word(w);
	struct place_label labels[] = {{"app", app}};
	struct place_label selector[] = {{"disk", word(w)}};
	struct place_amount requests[] = {{"cpu", rand_between(&w->rand, 0, 8) * 100, false},
		{"memory", rand_between(&w->rand, 0, 8) << 27, false}, {"dev/cam", 1, false}};
	struct place_requirement likes = {"x", PLACE_IN, &value, 1, false};
	struct place_requirement alike = {"app", PLACE_IN, &other, 1, false};
	struct place_node_preference preferred[] = {
		{(int)rand_between(&w->rand, 1, 100), {&likes, 1}}};
	struct place_pod_term terms[] = {{.required = maybe(w, 2),
		.anti = !maybe(w, 4),
		.weight = (int)rand_between(&w->rand, 1, 100),
		.topology_key = maybe(w, 2) ? "zone" : "kubernetes.io/hostname",
		.selector = {&alike, 1}}};
	struct place_spread spreads[] = {
		{.topology_key = maybe(w, 2) ? "zone" : "kubernetes.io/hostname",
			.max_skew = (int)rand_between(&w->rand, 1, 3),
			.min_domains = maybe(w, 4) ? 3 : 0,
			.required = maybe(w, 2),
			.ignore_affinity = maybe(w, 2),
			.honor_taints = maybe(w, 2),
			.selector = {&alike, 1}}};
	struct place_toleration tolerations[] = {{"t", NULL, true, PLACE_ANY_EFFECT}};
	struct place_port ports[] = {{"TCP", NULL, (int)rand_between(&w->rand, 80, 83)}};
	struct place_spec s = {.namespace = "ns",
		.labels = labels,
		.label_count = 1,
		.requests = requests,
		.request_count = maybe(w, 4) ? 3 : 2,
		.node_selector = selector,
		.node_selector_count = maybe(w, 3),
		.preferred = preferred,
		.preferred_count = maybe(w, 3),
		.pod_terms = terms,
		.pod_term_count = maybe(w, 3),
		.spreads = spreads,
		.spread_count = maybe(w, 3),
		.tolerations = tolerations,
		.toleration_count = maybe(w, 2),
		.ports = ports,
		.port_count = maybe(w, 8),
		.images = images,
		.image_count = (uint32_t)rand_below(&w->rand, 4),
		.trust_min = maybe(w, 6) ? 50 : 0,
		.runtime = maybe(w, 6) ? word(w) : NULL};
	assert_int_equal(place_shape(w->p, &s, &w->shapes[i], NULL), 0);
}

static struct place_choice decide(struct world *w, uint32_t shape)
{
	struct place_weights weights = place_weights_default();
	int64_t fixed[PLACE_TERM_COUNT];
	int64_t by_place[101 + 1];
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		if (maybe(w, i <= PLACE_TERM_IMAGE ? 6 : 12))
			weights.of[i] = (double)rand_between(&w->rand, 0, 5);
	place_weights_fix(&weights, fixed);
	for (size_t i = 0; i < COUNT(by_place); i++)
		by_place[i] =
			maybe(w, 6) ? RANK_NEVER : rand_between(&w->rand, 0, 100) * RANK_UNIT / 100;
	struct place_choice found, wanted;
	struct place_question q = {
		shape, PLACE_NONE, fixed, true, false, maybe(w, 4) ? by_place : NULL};
	place_choose(w->p, &q, &found);
	q.scan = true;
	place_choose(w->p, &q, &wanted);
	assert_int_equal(found.node, wanted.node);
	assert_int_equal(found.alternative, wanted.alternative);
	assert_memory_equal(&found.cost, &wanted.cost, sizeof(found.cost));
	return found;
}

static void step(struct world *w)
{
	uint32_t shape = w->shapes[rand_below(&w->rand, SHAPES)];
	if (maybe(w, 10)) {
		set_node(w, (int)rand_below(&w->rand, NODES));
	} else if (maybe(w, 100)) {
		char name[16];
		snprintf(name, sizeof(name), "n%d", (int)rand_below(&w->rand, NODES));
		uint32_t node = place_node_find(w->p, name);
		for (int i = w->pod_count; node != PLACE_NONE && i-- > 0;)
			if (place_pod_node(w->p, w->pods[i]) == node)
				w->pods[i] = w->pods[--w->pod_count];
		if (node != PLACE_NONE)
			place_node_remove(w->p, node);
	} else if (w->pod_count > 0 && maybe(w, w->pod_count == PODS ? 1 : 3)) {
		int i = (int)rand_below(&w->rand, (uint64_t)w->pod_count);
		place_pod_remove(w->p, w->pods[i]);
		w->pods[i] = w->pods[--w->pod_count];
	} else {
		struct place_choice c = decide(w, shape);
		if (c.node != PLACE_NONE && w->pod_count < PODS)
			assert_int_equal(place_pod_put(w->p, shape, c.node, 0,
						 &w->pods[w->pod_count++], NULL),
				0);
	}
}

static void ranked_is_scanned(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world w = {.p = place_new(), .sites = seed % 3 == 0 ? 100 : 3};
		rand_init(&w.rand, seed);
		for (int i = 0; i < NODES; i++)
			set_node(&w, i);
		for (int i = 0; i < SHAPES; i++)
			make_shape(&w, i);
		for (int i = 0; i < STEPS; i++)
			step(&w);
		for (int i = 0; i < SHAPES; i++)
			place_shape_release(w.p, w.shapes[i]);
		place_free(w.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ranked_is_scanned)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
