/*
 * A life of the tables, read from bytes: sites, paths, nodes, shapes and pods come and go with
 * numbers that may be impossible, and pods are placed in between. Each refusal says why; no plan
 * overcommits a node; what is undone leaves as much as there was.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "place/place.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAMES 6
#define KEPT 64 /* shapes and pods that are remembered */

static const char *const names[NAMES] = {"a", "b", "c", "n1", "n2", "n3"};
static const char *const keys[] = {
	"zone", "kubernetes.io/hostname", "disk", "cpu", "memory", "pods", "gpu", "", "app"};
static const int64_t integers[] = {0, 1, 2, 3, 100, 500, 1000, 1500, 64000, -1, INT64_MAX,
	INT64_MIN, (int64_t)1 << 60, ((int64_t)1 << 60) + 1, 1 << 30};
static const double reals[] = {
	0, 1, 10, 1e6, 1e18, 1e300, -1, (double)NAN, (double)INFINITY, -(double)INFINITY, 0.5};

struct input {
	const uint8_t *data;
	size_t size;
};

struct life {
	struct input in;
	struct place *p;
	uint32_t shapes[KEPT], pods[KEPT];
	size_t shape_count, pod_count;
};

static unsigned take(struct input *in, unsigned below)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++ % below;
}

#define PICK(in, array) ((array)[take((in), ARRAY_SIZE(array))])

static void check(int rc, const struct err *e)
{
	if (rc != 0 && (e->code == ERR_OK || !e->text[0] || rc != -(int)e->code))
		abort();
}

/* ---- rows ---- */

static uint32_t take_amounts(struct input *in, struct place_amount *to, unsigned most)
{
	uint32_t count = take(in, most + 1);
	for (uint32_t i = 0; i < count; i++)
		to[i] = (struct place_amount){PICK(in, keys), PICK(in, integers), take(in, 4) == 0};
	return count;
}

static uint32_t take_labels(struct input *in, struct place_label *to, unsigned most)
{
	uint32_t count = take(in, most + 1);
	for (uint32_t i = 0; i < count; i++)
		to[i] = (struct place_label){PICK(in, keys), PICK(in, names)};
	return count;
}

static void set_site(struct life *l)
{
	struct input *in = &l->in;
	struct place_site site = {.name = PICK(in, names),
		.country = take(in, 2) ? "DE" : NULL,
		.carbon_g_per_kwh = PICK(in, reals),
		.price_per_kwh = PICK(in, reals),
		.price_per_gigabyte_out = PICK(in, reals)};
	struct err e = ERR_INIT;
	uint32_t index;
	check(place_site_set(l->p, &site, &index, &e), &e);
}

static void set_path(struct life *l)
{
	struct input *in = &l->in;
	struct err e = ERR_INIT;
	check(place_path_set(l->p, take(in, 8), take(in, 8), PICK(in, reals), PICK(in, reals), &e),
		&e);
}

static void set_node(struct life *l)
{
	struct input *in = &l->in;
	struct place_amount capacity[4];
	struct place_label labels[3];
	struct place_taint taint = {
		PICK(in, keys), PICK(in, names), (enum place_effect)take(in, PLACE_ANY_EFFECT)};
	struct place_node node = {.name = PICK(in, names),
		.site = take(in, 3) ? PICK(in, names) : NULL,
		.flags = take(in, 8),
		.capacity = capacity,
		.labels = labels,
		.taints = &taint,
		.taint_count = take(in, 4) == 0,
		.images = names,
		.image_count = take(in, NAMES),
		.idle_watts = PICK(in, reals),
		.full_watts = PICK(in, reals),
		.price_per_hour = PICK(in, reals),
		.trust = (int)take(in, 200) - 50};
	node.capacity_count = take_amounts(in, capacity, ARRAY_SIZE(capacity));
	node.label_count = take_labels(in, labels, ARRAY_SIZE(labels));
	struct err e = ERR_INIT;
	uint32_t index;
	check(place_node_set(l->p, &node, &index, &e), &e);
}

static void add_shape(struct life *l)
{
	struct input *in = &l->in;
	struct place_amount requests[4];
	struct place_label labels[2], selector[2];
	struct place_requirement match = {.key = PICK(in, keys),
		.operator=(enum place_operator) take(in, PLACE_LT + 1),
		.values = &PICK(in, names),
		.value_count = take(in, 2)};
	struct place_selector term = {&match, take(in, 2)};
	struct place_node_terms required = {PLACE_TERMS_AFFINITY, &term, take(in, 2)};
	struct place_node_preference preferred = {(int)take(in, 120), term};
	struct place_pod_term pods = {.required = take(in, 2),
		.anti = take(in, 2),
		.weight = (int)take(in, 120),
		.topology_key = PICK(in, keys),
		.selector = term,
		.all_namespaces = take(in, 2)};
	struct place_spread spread = {.topology_key = PICK(in, keys),
		.max_skew = (int)take(in, 3),
		.min_domains = (int)take(in, 3),
		.required = take(in, 2),
		.selector = term};
	struct place_port port = {"TCP", NULL, (int)PICK(in, integers)};
	struct place_spec spec = {.namespace = "ns",
		.labels = labels,
		.requests = requests,
		.node_selector = selector,
		.required = &required,
		.required_count = take(in, 2),
		.preferred = &preferred,
		.preferred_count = take(in, 2),
		.pod_terms = &pods,
		.pod_term_count = take(in, 2),
		.spreads = &spread,
		.spread_count = take(in, 2),
		.ports = &port,
		.port_count = take(in, 4) == 0,
		.images = names,
		.image_count = take(in, 2),
		.trust_min = (int)take(in, 120) - 10};
	spec.label_count = take_labels(in, labels, ARRAY_SIZE(labels));
	spec.node_selector_count = take(in, 3) ? 0 : take_labels(in, selector, 2);
	spec.request_count = take_amounts(in, requests, ARRAY_SIZE(requests));
	struct err e = ERR_INIT;
	uint32_t shape;
	int rc = place_shape(l->p, &spec, &shape, &e);
	check(rc, &e);
	if (rc != 0)
		return;
	if (l->shape_count == KEPT)
		place_shape_release(l->p, l->shapes[--l->shape_count]);
	l->shapes[l->shape_count++] = shape;
}

static void release_shape(struct life *l)
{
	if (l->shape_count)
		place_shape_release(l->p, l->shapes[--l->shape_count]);
}

static uint32_t find_node(struct life *l)
{
	return place_node_find(l->p, PICK(&l->in, names));
}

static void put_pod(struct life *l)
{
	uint32_t node = find_node(l), pod;
	struct err e = ERR_INIT;
	if (node == PLACE_NONE || !l->shape_count || l->pod_count == KEPT)
		return;
	uint32_t shape = l->shapes[take(&l->in, KEPT) % l->shape_count];
	int rc = place_pod_put(l->p, shape, node, (int)take(&l->in, 10), &pod, &e);
	check(rc, &e);
	if (rc == 0)
		l->pods[l->pod_count++] = pod;
}

static void remove_pod(struct life *l)
{
	if (!l->pod_count)
		return;
	uint32_t pod = l->pods[--l->pod_count];
	if (place_pod_node(l->p, pod) != PLACE_NONE)
		place_pod_remove(l->p, pod);
}

/* Its pods go with it, and their numbers may be given again. */
static void remove_node(struct life *l)
{
	uint32_t node = find_node(l);
	if (node == PLACE_NONE)
		return;
	for (size_t i = l->pod_count; i-- > 0;)
		if (place_pod_node(l->p, l->pods[i]) == node)
			l->pods[i] = l->pods[--l->pod_count];
	place_node_remove(l->p, node);
}

/* ---- plans ---- */

typedef int64_t room[NAMES][ARRAY_SIZE(keys)];

static void measure(struct life *l, room *ret_room)
{
	memset(ret_room, 0, sizeof(*ret_room));
	for (size_t n = 0; n < NAMES; n++) {
		uint32_t node = place_node_find(l->p, names[n]);
		for (size_t k = 0; k < ARRAY_SIZE(keys) && node != PLACE_NONE; k++)
			(*ret_room)[n][k] = place_node_free(l->p, node, keys[k]);
	}
}

static void check_room(room *before, room *after)
{
	for (size_t n = 0; n < NAMES; n++)
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			if ((*after)[n][k] < (*before)[n][k] && (*after)[n][k] < 0)
				abort();
}

static void solve(struct life *l)
{
	struct input *in = &l->in;
	struct place_want wants[3];
	struct place_weights weights = place_weights_default();
	struct place_problem problem = {.mode = (enum place_mode)take(in, 2),
		.wants = wants,
		.want_count = 1 + take(in, ARRAY_SIZE(wants)),
		.seed = take(in, 256),
		.apply = true,
		.explain = take(in, 2)};
	if (!l->shape_count)
		return;
	for (uint32_t i = 0; i < problem.want_count; i++)
		wants[i] = (struct place_want){.shape = l->shapes[take(in, KEPT) % l->shape_count],
			.count = take(in, 9),
			.priority = (int)take(in, 10),
			.node = take(in, 4) ? PLACE_NONE : take(in, 8)};
	if (take(in, 4) == 0) {
		weights.of[take(in, PLACE_TERM_COUNT)] = PICK(in, reals);
		problem.weights = &weights;
	}
	struct err e = ERR_INIT;
	struct place_plan plan = {0};
	room before, after;
	measure(l, &before);
	int rc = place_solve(l->p, &problem, &plan, &e);
	check(rc, &e);
	measure(l, &after);
	check_room(&before, &after);
	place_plan_undo(l->p, &plan);
	measure(l, &after);
	if (memcmp(&before, &after, sizeof(before)) != 0)
		abort();
	place_plan_done(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct life * l) = {set_site, set_path, set_node, set_node,
		remove_node, add_shape, add_shape, release_shape, put_pod, remove_pod, solve};
	struct life l = {.in = {data, size}, .p = place_new()};
	while (l.in.size)
		PICK(&l.in, steps)(&l);
	place_free(l.p);
	return 0;
}
