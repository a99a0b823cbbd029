/*
 * A whole application through place_solve(): 50 components (75 replicas or so), 300 links, nodes at
 * 20 sites, users and data, all objectives.
 *
 *   bench-place-graph [NODES]    mean milliseconds (of processor time) over SEEDS instances, with
 * 1,000 nodes or as many as said; how much dearer one replica after the other is, from the plan
 *
 * SEEDS and FIRST change the numbers. Prints "name value" lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rand.h"
#include "place/graph.h"

#define SITES 20
#define COMPONENTS 50
#define LINKS 300
#define OTHERS 10

struct world {
	struct place *p;
	struct rand rand;
	const char *names[COMPONENTS];
	char site_names[SITES][16];
	uint32_t sites[SITES];
	struct place_want wants[COMPONENTS];
	struct place_link links[LINKS];
	struct place_data data[OTHERS];
	struct place_consumer consumers[OTHERS];
	struct place_application application;
	struct place_weights weights;
};

static uint64_t number(const char *name, uint64_t usual)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : usual;
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void must(int rc, const struct err *e)
{
	if (rc == 0)
		return;
	fprintf(stderr, "bench-place-graph: %s\n", e->text);
	exit(1);
}

static double unit(struct world *w)
{
	return rand_unit(&w->rand);
}

static uint32_t below(struct world *w, uint32_t bound)
{
	return (uint32_t)rand_below(&w->rand, bound);
}

static void add_sites(struct world *w)
{
	struct err e = ERR_INIT;
	for (uint32_t i = 0; i < SITES; i++) {
		snprintf(w->site_names[i], sizeof(w->site_names[i]), "site-%u", i);
		struct place_site s = {.name = w->site_names[i],
			.carbon_g_per_kwh = 50 + 500 * unit(w),
			.price_per_kwh = 0.1 + 0.3 * unit(w),
			.price_per_gigabyte_out = 0.01 + 0.08 * unit(w)};
		must(place_site_set(w->p, &s, &w->sites[i], &e), &e);
	}
	for (uint32_t i = 0; i < SITES * SITES; i++)
		if (i / SITES != i % SITES)
			must(place_path_set(w->p, w->sites[i / SITES], w->sites[i % SITES],
				     2 + 30 * unit(w), 4e7 + 1e9 * unit(w), &e),
				&e);
}

static void add_nodes(struct world *w, uint32_t count)
{
	static const int64_t cores[] = {4, 8, 16, 32};
	struct err e = ERR_INIT;
	for (uint32_t i = 0; i < count; i++) {
		char name[16];
		snprintf(name, sizeof(name), "node-%u", i);
		const char *site = w->site_names[i % SITES];
		int64_t size = cores[below(w, 4)];
		struct place_amount capacity[] = {{"cpu", size * 1000, false},
			{"memory", size << 32, false}, {"pods", 110, false}};
		struct place_label labels[] = {{"kubernetes.io/hostname", name},
			{"topology.kubernetes.io/zone", site},
			{"disk", below(w, 3) ? "ssd" : "hdd"}};
		struct place_node n = {.name = name,
			.site = site,
			.capacity = capacity,
			.capacity_count = 3,
			.labels = labels,
			.label_count = 3,
			.idle_watts = 4.0 * (double)size,
			.full_watts = 12.0 * (double)size,
			.price_per_hour = 0.04 * (double)size,
			.trust = (int)below(w, 101)};
		uint32_t node;
		must(place_node_set(w->p, &n, &node, &e), &e);
	}
}

static void add_wants(struct world *w)
{
	struct err e = ERR_INIT;
	for (uint32_t i = 0; i < COMPONENTS; i++) {
		w->names[i] = mem_format("part-%u", i);
		struct place_label labels[] = {{"app", w->names[i]}}, disk[] = {{"disk", "ssd"}};
		struct place_amount requests[] = {{"cpu", 100 * (1 + below(w, 30)), false},
			{"memory", (int64_t)(1 + below(w, 48)) << 27, false}};
		struct place_spec spec = {.namespace = "bench",
			.labels = labels,
			.label_count = 1,
			.requests = requests,
			.request_count = 2,
			.node_selector = disk,
			.node_selector_count = below(w, 4) == 0};
		w->wants[i] = (struct place_want){.count = below(w, 3) ? 1 : 1 + below(w, 3),
			.node = PLACE_NONE,
			.component = i};
		must(place_shape(w->p, &spec, &w->wants[i].shape, &e), &e);
	}
}

static void add_links(struct world *w)
{
	for (uint32_t i = 0; i < LINKS; i++) {
		uint32_t from = below(w, COMPONENTS), to = below(w, COMPONENTS - 1);
		w->links[i] = (struct place_link){from, to + (to >= from), 1e5 + 5e6 * unit(w),
			below(w, 2) ? 10 + 30 * unit(w) : 0, below(w, 20) == 0};
	}
	for (uint32_t i = 0; i < OTHERS; i++) {
		w->data[i] = (struct place_data){"data", w->site_names[below(w, SITES)],
			1e9 * unit(w), below(w, COMPONENTS)};
		w->consumers[i] = (struct place_consumer){w->site_names[below(w, SITES)],
			below(w, COMPONENTS), 1e7 * unit(w), 20, false};
	}
	w->application = (struct place_application){.name = "bench",
		.components = w->names,
		.component_count = COMPONENTS,
		.links = w->links,
		.link_count = LINKS,
		.data = w->data,
		.data_count = OTHERS,
		.consumers = w->consumers,
		.consumer_count = OTHERS};
}

static void world_init(struct world *w, uint64_t seed, uint32_t nodes)
{
	*w = (struct world){.p = place_new()};
	rand_init(&w->rand, seed);
	add_sites(w);
	add_nodes(w, nodes);
	add_wants(w);
	add_links(w);
	w->weights = place_weights_default();
	w->weights.of[PLACE_TERM_ENERGY] = w->weights.of[PLACE_TERM_CARBON] = 1;
	w->weights.of[PLACE_TERM_MONEY] = w->weights.of[PLACE_TERM_TRUST] = 0.5;
}

static void world_done(struct world *w)
{
	for (uint32_t i = 0; i < COMPONENTS; i++)
		free((char *)w->names[i]);
	place_free(w->p);
}

/* Replicas that found no node. */
static uint32_t one_by_one(struct world *w, const struct place_problem *problem, double *ret_total)
{
	struct graph g;
	struct trial t;
	struct err e = ERR_INIT;
	int64_t weights[PLACE_TERM_COUNT];
	uint32_t left = 0;
	place_weights_fix(&w->weights, weights);
	must(graph_init(&g, w->p, problem, weights, &e), &e);
	must(trial_run(&g, NULL, &t, &e), &e);
	trial_take_back(&g, &t);
	*ret_total = t.total;
	for (uint32_t i = 0; i < COMPONENTS; i++)
		left += t.left[i];
	trial_done(&t);
	graph_done(&g);
	return left;
}

int main(int argc, char **argv)
{
	uint32_t nodes = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000, compared = 0, refused = 0;
	uint64_t seeds = number("SEEDS", 20), first = number("FIRST", 1);
	double sum_ms = 0, most_ms = 0, single_ms = 0, dearer = 0;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct world w;
		struct err e = ERR_INIT;
		world_init(&w, seed, nodes);
		struct place_problem problem = {.mode = PLACE_BATCH,
			.wants = w.wants,
			.want_count = COMPONENTS,
			.application = &w.application,
			.weights = &w.weights,
			.seed = seed};
		CLEANUP(place_plan_done) struct place_plan plan = {0};
		double began = now_ms(), single, ms;
		must(place_solve(w.p, &problem, &plan, &e), &e);
		ms = now_ms() - began;
		began = now_ms();
		uint32_t left = one_by_one(&w, &problem, &single);
		single_ms += now_ms() - began;
		printf("# seed %llu: %.1f ms, %u replicas, %u refused, cost %.4f; one by one %.4f, "
		       "%u refused\n",
			(unsigned long long)seed, ms, plan.assignment_count, plan.refusal_count,
			plan.cost.total, single, left);
		sum_ms += ms;
		most_ms = ms > most_ms ? ms : most_ms;
		refused += plan.refusal_count;
		if (plan.refusal_count == 0 && left == 0) {
			dearer += single / plan.cost.total - 1;
			compared++;
		}
		world_done(&w);
	}
	printf("graph50_ms %.1f\ngraph50_ms_worst %.1f\none_by_one_ms %.1f\nrefused %u\ncompared "
	       "%u\none_by_one_dearer_percent %.1f\n",
		sum_ms / (double)seeds, most_ms, single_ms / (double)seeds, refused, compared,
		compared ? dearer / compared * 100 : 0);
	return 0;
}
