/* A small world for tests of applications. */
#ifndef CONTINUO_PLACE_GRAPH_FIXTURE_H
#define CONTINUO_PLACE_GRAPH_FIXTURE_H

#include "base/buf.h"
#include "place/place.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof((array)[0]))
#define WANTS_MOST 6
#define assert_near(a, b, by) assert_true(fabs((a) - (b)) <= (by))

static const char *const names[] = {"camera", "detector", "store", "web"};

/* Sites shop, near (5 ms from the shop) and far (80 ms), with two nodes each: shop-0, ... */
struct world {
	struct place *p;
	uint32_t site[3], shape[COUNT(names)];
	struct place_want wants[WANTS_MOST];
	struct place_application application;
	struct place_weights weights;
	struct place_problem problem;
};
static const char *const sites[] = {"shop", "near", "far"};
static const double latency[3][3] = {{0, 5, 80}, {5, 0, 80}, {80, 80, 0}};

static inline void add_node(struct world *w, const char *name, const char *site, int64_t cores)
{
	struct place_amount capacity[] = {{"cpu", cores * 1000, false},
		{"memory", cores << 30, false}, {"pods", 20, false}, {"dev/camera", 1, false}};
	struct place_label labels[] = {{"kubernetes.io/hostname", name},
		{"topology.kubernetes.io/zone", site ? site : "none"}};
	bool has_camera = site && strcmp(site, "shop") == 0;
	struct place_node n = {.name = name,
		.site = site,
		.capacity = capacity,
		.capacity_count = has_camera ? 4 : 3,
		.labels = labels,
		.label_count = 2};
	uint32_t node;
	assert_int_equal(place_node_set(w->p, &n, &node, NULL), 0);
}

static inline uint32_t shape_of(struct world *w, const char *name, int64_t cpu)
{
	struct place_label labels[] = {{"app", name}};
	struct place_amount requests[] = {{"cpu", cpu, false}, {"dev/camera", 1, false}};
	struct place_spec spec = {.namespace = "ns",
		.labels = labels,
		.label_count = 1,
		.requests = requests,
		.request_count = strcmp(name, "camera") == 0 ? 2 : 1};
	uint32_t shape;
	assert_int_equal(place_shape(w->p, &spec, &shape, NULL), 0);
	return shape;
}

static inline void world_init(struct world *w, int64_t cores)
{
	*w = (struct world){.p = place_new()};
	for (int i = 0; i < 3; i++) {
		struct place_site s = {.name = sites[i]};
		assert_int_equal(place_site_set(w->p, &s, &w->site[i], NULL), 0);
		for (int k = 0; k < 2; k++) {
			char name[16];
			snprintf(name, sizeof(name), "%s-%d", sites[i], k);
			add_node(w, name, sites[i], cores);
		}
	}
	for (uint32_t i = 0; i < 9; i++)
		if (i / 3 != i % 3)
			assert_int_equal(place_path_set(w->p, w->site[i / 3], w->site[i % 3],
						 latency[i / 3][i % 3], 1e8, NULL),
				0);
	for (uint32_t i = 0; i < COUNT(names); i++)
		w->shape[i] = shape_of(w, names[i], 1000);
	w->weights = place_weights_default();
	w->application = (struct place_application){
		.name = "app", .components = names, .component_count = COUNT(names)};
	w->problem = (struct place_problem){.mode = PLACE_BATCH,
		.wants = w->wants,
		.application = &w->application,
		.weights = &w->weights,
		.seed = 1,
		.apply = true,
		.explain = true};
}

static inline void world_done(struct world *w)
{
	for (uint32_t i = 0; i < COUNT(names); i++)
		place_shape_release(w->p, w->shape[i]);
	place_free(w->p);
}

static inline struct place_want *want(struct world *w, uint32_t component, uint32_t count)
{
	struct place_want *x = &w->wants[w->problem.want_count++];
	*x = (struct place_want){.shape = w->shape[component],
		.count = count,
		.node = PLACE_NONE,
		.component = component};
	return x;
}

static inline struct place_plan solve(struct world *w)
{
	struct place_plan plan = {0};
	struct err e = ERR_INIT;
	if (place_solve(w->p, &w->problem, &plan, &e) != 0)
		fail_msg("%s", e.text);
	return plan;
}

/* "shop" of the i-th assignment's "shop-1". */
static inline bool is_at(const struct world *w, const struct place_plan *plan, uint32_t i,
	const char *site)
{
	assert_true(i < plan->assignment_count);
	return strncmp(place_node_name(w->p, plan->assignments[i].node), site, strlen(site)) == 0;
}

static inline uint32_t node_of(const struct world *w, const char *name)
{
	uint32_t node = place_node_find(w->p, name);
	assert_int_not_equal(node, PLACE_NONE);
	return node;
}

#endif
