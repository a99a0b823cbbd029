/*
 * Random fleets, pods and changes: what the ranking finds, and with shared devices what is kept of
 * each node, is what a look at all nodes finds, node, cost and alternative, after whatever came,
 * changed and went.
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
	bool devices; /* some nodes have shared ones, some pods ask for them */
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
		{"dev/cam", rand_between(&w->rand, 0, 2), false},
		{"gpu", w->devices ? rand_between(&w->rand, 0, 4) * PLACE_DEVICE : 0, true}};
	struct place_taint taints[] = {
		{"t", word(w), PLACE_NO_SCHEDULE}, {"soft", word(w), PLACE_PREFER_NO_SCHEDULE}};
	struct place_node n = {.name = name,
		.idle_watts = (double)rand_below(&w->rand, 100),
		.full_watts = (double)rand_below(&w->rand, 300),
		.price_per_hour = (double)rand_below(&w->rand, 10) / 10,
		.site = maybe(w, 8) ? NULL : site,
		.flags = maybe(w, 12) ? PLACE_NODE_UNSCHEDULABLE : 0,
		.capacity = capacity,
		.capacity_count = 5,
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
	if (w->devices && !maybe(w, 4))
		requests[2] = (struct place_amount){"gpu",
			maybe(w, 4) ? rand_between(&w->rand, 1, 3) * PLACE_DEVICE
				    : rand_between(&w->rand, 1, 9) * 100,
			true};
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
		.request_count = w->devices || maybe(w, 4) ? 3 : 2,
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

/* What the node's GPUs are worth with these left, counted anew. */
static int64_t worth_of(const struct place *p, const struct node *n, const int32_t *left,
	uint32_t count, int64_t cpu_left)
{
	const struct worth *w = &p->outlook.of[0];
	int64_t fill = 0, all = 0;
	uint32_t whole = 0;
	for (uint32_t i = 0; i < count; i++) {
		fill += left[i] > 0 ? w->fill[left[i]] : 0;
		all += left[i] > 0 ? left[i] : 0;
		whole += left[i] == PLACE_DEVICE;
	}
	return place_worth_of(w, place_devices_of(p, n)->class, cpu_left, fill, all, whole);
}

/* The term against all that could be done with the devices. */
static void check_term(const struct place *p, uint32_t shape, uint32_t node, double term)
{
	const struct node *n = &p->nodes.items[node];
	int32_t left[PLACE_DEVICES_MAX];
	uint32_t count = place_node_devices(p, node, "gpu", left);
	int64_t cpu_left = place_node_cpu_left(n), cpu = 0, gpu = 0, best = INT64_MIN;
	if (!p->outlook.ready || count == 0) {
		assert_true(term == 0);
		return;
	}
	int64_t before = worth_of(p, n, left, count, cpu_left);
	VEC_EACH (&p->shapes.items[shape].requests, struct want_amount, r) {
		cpu += r->resource == PLACE_CPU ? r->amount : 0;
		gpu += r->shared ? r->amount : 0;
	}
	for (uint32_t set = 0; set < 1u << count; set++) {
		int32_t then[PLACE_DEVICES_MAX], each = gpu < PLACE_DEVICE ? (int32_t)gpu : 1000;
		bool able = __builtin_popcount(set) == (gpu + PLACE_DEVICE - 1) / PLACE_DEVICE;
		for (uint32_t i = 0; i < count; i++) {
			then[i] = left[i] - (set >> i & 1 ? each : 0);
			able = able && (then[i] >= 0 || then[i] == left[i]);
		}
		int64_t worth = able ? worth_of(p, n, then, count, cpu_left - cpu) : INT64_MIN;
		best = worth > best ? worth : best;
	}
	double lost = (double)(before - best) / (1 << WORTH_SHIFT) / PLACE_DEVICE;
	double devices = gpu > PLACE_DEVICE ? (double)gpu / PLACE_DEVICE : 1;
	/* Rounded, and a device in use goes before a free one. */
	assert_true(term > (lost - 0.00501) / devices && term < (lost + 0.01001) / devices);
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
	struct place_want want = {.shape = shape, .count = 1, .node = PLACE_NONE};
	struct outlook *aside = place_outlook_prepare(w->p,
		&(struct place_problem){.wants = &want, .want_count = 1});
	struct place_choice found, wanted;
	struct place_question q = {
		shape, PLACE_NONE, fixed, true, false, maybe(w, 4) ? by_place : NULL};
	place_choose(w->p, &q, &found);
	q.scan = true;
	place_choose(w->p, &q, &wanted);
	assert_int_equal(found.node, wanted.node);
	assert_int_equal(found.alternative, wanted.alternative);
	assert_memory_equal(&found.cost, &wanted.cost, sizeof(found.cost));
	if (found.node != PLACE_NONE && fixed[PLACE_TERM_FRAGMENTATION])
		check_term(w->p, shape, found.node, found.cost.terms[PLACE_TERM_FRAGMENTATION]);
	place_outlook_restore(w->p, aside);
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

/* Each device has what no pod there holds. */
static void check_devices(const struct place *p)
{
	for (uint32_t node = 0; node < p->nodes.count; node++) {
		int32_t left[PLACE_DEVICES_MAX];
		if (!p->nodes.items[node].used)
			continue;
		uint32_t count = place_node_devices(p, node, "gpu", left);
		for (uint32_t i = 0; i < p->pods.count; i++) {
			const struct pod *x = &p->pods.items[i];
			uint64_t devices = place_pod_devices(p, i, "gpu");
			if (x->node != node || !devices)
				continue;
			VEC_EACH (&p->shapes.items[x->shape].requests, struct want_amount, r) {
				int64_t amount = r->amount < 1000 ? r->amount : 1000;
				for (uint32_t d = 0; r->shared && d < count; d++)
					left[d] += devices >> d & 1 ? (int32_t)amount : 0;
			}
		}
		for (uint32_t d = 0; d < count; d++)
			assert_int_equal(left[d], PLACE_DEVICE);
	}
}

static void run(bool devices)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world w = {
			.p = place_new(), .sites = seed % 3 == 0 ? 100 : 3, .devices = devices};
		rand_init(&w.rand, seed);
		for (int i = 0; i < NODES; i++)
			set_node(&w, i);
		for (int i = 0; i < SHAPES; i++)
			make_shape(&w, i);
		for (int i = 0; i < STEPS; i++)
			step(&w);
		check_devices(w.p);
		for (int i = 0; i < SHAPES; i++)
			place_shape_release(w.p, w.shapes[i]);
		place_free(w.p);
	}
}

static void ranked_is_scanned(void **state)
{
	(void)state;
	run(false);
}

static void kept_is_scanned(void **state)
{
	(void)state;
	run(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranked_is_scanned), cmocka_unit_test(kept_is_scanned)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
