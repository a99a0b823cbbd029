/*
 * Random fleets and applications, many seeds: no bound of a link and no constraint of a pod is
 * broken, no node and no path is overcommitted, what a plan is said to cost is what it costs
 * (computed here anew, from the sites of the pods alone), one seed gives one plan, an undone plan
 * leaves the tables as they were, and the whole is never dearer than one pod after the other.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "place/graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 60
#define SITES 4
#define NODES_MOST 12
#define COMPONENTS 5
#define LINKS_MOST 8
#define OTHERS_MOST 3
#define RUNNING_MOST 4
#define WANTS (COMPONENTS + 1)

static const char *const site_names[] = {"s0", "s1", "s2", "s3"};
static const char *const component_names[] = {"c0", "c1", "c2", "c3", "c4"};

struct path_fact {
	bool known;
	double ms, bits;
};
struct world {
	struct place *p;
	struct rand rand;
	uint32_t node_count, sites[SITES];
	struct path_fact paths[SITES][SITES];
	double price_out[SITES];
	struct place_want wants[WANTS];
	struct place_link links[LINKS_MOST];
	struct place_data data[OTHERS_MOST];
	struct place_consumer consumers[OTHERS_MOST];
	struct place_present present[RUNNING_MOST];
	bool ports[WANTS], apart[WANTS];
	struct place_application application;
	struct place_weights weights;
	struct place_problem problem;
};

static uint32_t below(struct world *w, uint64_t bound)
{
	return (uint32_t)rand_below(&w->rand, bound);
}

static void add_sites(struct world *w)
{
	for (uint32_t i = 0; i < SITES; i++) {
		w->price_out[i] = below(w, 3) / 100.0;
		struct place_site s = {.name = site_names[i],
			.carbon_g_per_kwh = below(w, 600),
			.price_per_kwh = 0.1 * below(w, 4),
			.price_per_gigabyte_out = w->price_out[i]};
		assert_int_equal(place_site_set(w->p, &s, &w->sites[i], NULL), 0);
	}
	for (uint32_t i = 0; i < SITES; i++) {
		for (uint32_t k = 0; k < SITES; k++) {
			struct path_fact *f = &w->paths[i][k];
			*f = (struct path_fact){i == k, 0, INFINITY};
			if (i == k || below(w, 8) == 0)
				continue;
			*f = (struct path_fact){true, 1 + below(w, 60), 1e6 * (1 + below(w, 100))};
			assert_int_equal(place_path_set(w->p, w->sites[i], w->sites[k], f->ms,
						 f->bits, NULL),
				0);
		}
	}
}

static void add_nodes(struct world *w)
{
	w->node_count = 3 + below(w, NODES_MOST - 2);
	for (uint32_t i = 0; i < w->node_count; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%u", i);
		uint32_t site = below(w, SITES);
		struct place_amount capacity[] = {{"cpu", 1000 * (1 + below(w, 8)), false},
			{"memory", (int64_t)(1 + below(w, 8)) << 30, false},
			{"pods", 1 + below(w, 10), false}};
		struct place_label labels[] = {{"kubernetes.io/hostname", name},
			{"topology.kubernetes.io/zone", site_names[site]},
			{"disk", below(w, 2) ? "ssd" : "hdd"}};
		struct place_node n = {.name = name,
			.site = site_names[site],
			.capacity = capacity,
			.capacity_count = 3,
			.labels = labels,
			.label_count = 3,
			.idle_watts = below(w, 100),
			.full_watts = 100 + below(w, 200),
			.price_per_hour = 0.1 * below(w, 10),
			.trust = (int)below(w, 101)};
		uint32_t node;
		assert_int_equal(place_node_set(w->p, &n, &node, NULL), 0);
	}
}

static void add_want(struct world *w, uint32_t i)
{
	const char *name = component_names[i % COMPONENTS];
	struct place_label labels[] = {{"app", name}}, disk[] = {{"disk", "ssd"}};
	struct place_requirement same = {"app", PLACE_IN, &name, 1, false};
	struct place_amount requests[] = {{"cpu", 100 * (1 + below(w, 15)), false},
		{"memory", (int64_t)below(w, 8) << 27, false}};
	struct place_port port = {"TCP", NULL, 80 + (int)i};
	struct place_pod_term term = {.required = true,
		.anti = true,
		.topology_key =
			below(w, 2) ? "kubernetes.io/hostname" : "topology.kubernetes.io/zone",
		.selector = {&same, 1}};
	struct place_spread spread = {.topology_key = "topology.kubernetes.io/zone",
		.max_skew = 1,
		.required = true,
		.selector = {&same, 1}};
	w->ports[i] = below(w, 6) == 0;
	w->apart[i] = below(w, 6) == 0;
	struct place_spec spec = {.namespace = "ns",
		.labels = labels,
		.label_count = 1,
		.requests = requests,
		.request_count = 2,
		.node_selector = disk,
		.node_selector_count = below(w, 5) == 0,
		.pod_terms = &term,
		.pod_term_count = w->apart[i],
		.spreads = &spread,
		.spread_count = below(w, 8) == 0,
		.ports = &port,
		.port_count = w->ports[i]};
	w->wants[i] = (struct place_want){.count = 1 + below(w, 4),
		.node = PLACE_NONE,
		.priority = (int)below(w, 3),
		.component = i % COMPONENTS,
		.expected = below(w, 6) == 0};
	assert_int_equal(place_shape(w->p, &spec, &w->wants[i].shape, NULL), 0);
}

static void add_running(struct world *w)
{
	for (uint32_t i = 0; i < below(w, RUNNING_MOST + 1); i++) {
		struct place_present *r = &w->present[w->application.present_count++];
		r->component = below(w, COMPONENTS);
		assert_int_equal(place_pod_put(w->p, w->wants[r->component].shape,
					 below(w, w->node_count), 0, &r->pod, NULL),
			0);
	}
}

static void add_links(struct world *w)
{
	for (uint32_t i = 0; i < below(w, LINKS_MOST + 1); i++) {
		struct place_link l = {below(w, COMPONENTS), below(w, COMPONENTS),
			below(w, 3) ? 1e6 * below(w, 40) : 0, below(w, 2) ? 5 + below(w, 60) : 0,
			below(w, 3) == 0};
		if (l.from != l.to || w->wants[l.from].count > 1)
			w->links[w->application.link_count++] = l;
	}
	for (uint32_t i = 0; i < below(w, OTHERS_MOST + 1); i++)
		w->data[w->application.data_count++] = (struct place_data){
			"d", site_names[below(w, SITES)], 1e8 * below(w, 50), below(w, COMPONENTS)};
	for (uint32_t i = 0; i < below(w, OTHERS_MOST + 1); i++)
		w->consumers[w->application.consumer_count++] = (struct place_consumer){
			site_names[below(w, SITES)], below(w, COMPONENTS), 1e6 * below(w, 20),
			below(w, 2) ? 5 + below(w, 60) : 0, below(w, 4) == 0};
}

static void world_init(struct world *w, uint64_t seed)
{
	*w = (struct world){.p = place_new()};
	rand_init(&w->rand, seed);
	add_sites(w);
	add_nodes(w);
	for (uint32_t i = 0; i < WANTS; i++)
		add_want(w, i);
	add_running(w);
	add_links(w);
	w->weights = place_weights_default();
	for (int i = PLACE_TERM_ENERGY; i <= PLACE_TERM_TRUST; i++)
		if (i != PLACE_TERM_FRAGMENTATION)
			w->weights.of[i] = below(w, 3);
	w->application.name = "app";
	w->application.components = component_names;
	w->application.component_count = COMPONENTS;
	w->application.links = w->links;
	w->application.data = w->data;
	w->application.consumers = w->consumers;
	w->application.present = w->present;
	w->problem = (struct place_problem){.mode = PLACE_BATCH,
		.wants = w->wants,
		.want_count = WANTS,
		.application = &w->application,
		.weights = &w->weights,
		.seed = seed,
		.apply = true};
}

static void world_done(struct world *w)
{
	for (uint32_t i = 0; i < WANTS; i++)
		place_shape_release(w->p, w->wants[i].shape);
	place_free(w->p);
}

static struct place_plan solve(struct world *w)
{
	struct place_plan plan = {0};
	struct err e = ERR_INIT;
	if (place_solve(w->p, &w->problem, &plan, &e) != 0)
		fail_msg("%s", e.text);
	return plan;
}

/* ---- computed anew ---- */

struct replica {
	uint32_t component, site;
	bool runs;
};
struct replicas {
	struct replica items[WANTS * 4 + RUNNING_MOST];
	uint32_t count;
	double all[COMPONENTS]; /* with those that found no node */
};

static uint32_t site_of(const struct world *w, uint32_t node)
{
	uint32_t site = w->p->nodes.items[node].site, i = 0;
	while (i < SITES && w->sites[i] != site)
		i++;
	assert_true(i < SITES);
	return i;
}

static uint32_t site_named(const char *name)
{
	return (uint32_t)(name[1] - '0');
}

static void list_replicas(const struct world *w, const struct place_plan *plan, struct replicas *r)
{
	*r = (struct replicas){0};
	for (uint32_t i = 0; i < w->application.present_count; i++) {
		const struct place_present *x = &w->present[i];
		r->items[r->count++] = (struct replica){
			x->component, site_of(w, place_pod_node(w->p, x->pod)), true};
		r->all[x->component]++;
	}
	for (uint32_t i = 0; i < plan->assignment_count; i++)
		r->items[r->count++] =
			(struct replica){w->wants[plan->assignments[i].want].component,
				site_of(w, plan->assignments[i].node), false};
	for (uint32_t i = 0; i < WANTS; i++)
		r->all[w->wants[i].component] += w->wants[i].count;
}

struct traffic {
	double all[SITES][SITES], required[SITES][SITES];
};

static void add_traffic(struct traffic *t, uint32_t from, uint32_t to, double bits, bool required)
{
	t->all[from][to] += bits;
	t->required[from][to] += required ? bits : 0;
}

static double pairs_of(const struct replicas *r, const struct place_link *l)
{
	return l->from == l->to ? r->all[l->from] * (r->all[l->from] - 1)
				: r->all[l->from] * r->all[l->to];
}

static struct traffic traffic_of(const struct world *w, const struct replicas *r)
{
	struct traffic t = {0};
	for (uint32_t i = 0; i < w->application.link_count; i++) {
		const struct place_link *l = &w->links[i];
		for (uint32_t a = 0; a < r->count; a++)
			for (uint32_t b = 0; b < r->count; b++)
				if (a != b && r->items[a].component == l->from &&
					r->items[b].component == l->to)
					add_traffic(&t, r->items[a].site, r->items[b].site,
						l->bits_per_s / pairs_of(r, l), l->required);
	}
	for (uint32_t i = 0; i < w->application.consumer_count; i++) {
		const struct place_consumer *c = &w->consumers[i];
		for (uint32_t a = 0; a < r->count; a++)
			if (r->items[a].component == c->component)
				add_traffic(&t, r->items[a].site, site_named(c->site),
					c->bits_per_s / r->all[c->component], c->required);
	}
	return t;
}

static bool is_full(const struct world *w, double bits, uint32_t from, uint32_t to)
{
	return from != to && bits > w->paths[from][to].bits + 2;
}

/* One pair, or a replica and its users: its bounds, and what it costs. */
static void pay(const struct world *w, const struct traffic *t, const struct replica *a,
	uint32_t to, bool all_run, double bits, double weight, double bound, bool required,
	double *terms)
{
	const struct path_fact *f = &w->paths[a->site][to];
	double ms = f->known ? f->ms : PLACE_FAR_MS, over = 0;
	if (all_run)
		return;
	if (required && (bound > 0 || bits > 0)) {
		assert_true(f->known);
		assert_true(bound == 0 || ms <= bound);
		assert_true(bits == 0 || !is_full(w, t->required[a->site][to], a->site, to));
	}
	if (!required && f->known && is_full(w, t->all[a->site][to], a->site, to) &&
		ms < PLACE_FAR_MS)
		ms = PLACE_FAR_MS;
	if (!required && bound > 0 && ms > bound)
		over = 4 * (ms - bound);
	terms[PLACE_TERM_LATENCY] += weight * (ms + over) / 100;
	if (a->site == to)
		return;
	terms[PLACE_TERM_TRAFFIC] += bits / 1e8;
	terms[PLACE_TERM_MONEY] += bits * 3600 / 8e9 * w->price_out[a->site] / 0.1;
}

static void price_links(const struct world *w, const struct replicas *r, double *terms)
{
	struct traffic t = traffic_of(w, r);
	for (uint32_t i = 0; i < w->application.link_count; i++) {
		const struct place_link *l = &w->links[i];
		double pairs = pairs_of(r, l), n = r->all[l->from], m = r->all[l->to];
		for (uint32_t k = 0; k < r->count * r->count; k++) {
			const struct replica *a = &r->items[k / r->count];
			const struct replica *b = &r->items[k % r->count];
			if (a != b && a->component == l->from && b->component == l->to)
				pay(w, &t, a, b->site, a->runs && b->runs, l->bits_per_s / pairs,
					(n + m) / 2 / pairs, l->latency_ms, l->required, terms);
		}
	}
	for (uint32_t i = 0; i < w->application.consumer_count; i++) {
		const struct place_consumer *c = &w->consumers[i];
		for (uint32_t k = 0; k < r->count; k++)
			if (r->items[k].component == c->component)
				pay(w, &t, &r->items[k], site_named(c->site), r->items[k].runs,
					c->bits_per_s / r->all[c->component], 1, c->latency_ms,
					c->required, terms);
	}
}

static void price_data(const struct world *w, const struct replicas *r, double *terms)
{
	for (uint32_t i = 0; i < w->application.data_count; i++) {
		const struct place_data *d = &w->data[i];
		for (uint32_t k = 0; k < r->count; k++) {
			uint32_t from = site_named(d->site), to = r->items[k].site;
			const struct path_fact *f = &w->paths[from][to];
			double speed = f->known ? f->bits : 1e7;
			if (r->items[k].component != d->reader || r->items[k].runs || from == to)
				continue;
			terms[PLACE_TERM_DATA] += d->size_bytes * 8 / fmin(speed, 1e9) / 100;
		}
	}
}

/* What the machines themselves cost: watts by share of cpu, idle ones where a node was empty. */
static void price_machines(const struct world *w, const struct place_plan *plan, double *terms)
{
	uint32_t before[NODES_MOST + 1] = {0};
	for (uint32_t i = 0; i < w->application.present_count; i++)
		before[place_pod_node(w->p, w->present[i].pod)]++;
	for (uint32_t i = 0; i < plan->assignment_count; i++) {
		const struct place_assignment *a = &plan->assignments[i];
		const struct node *n = &w->p->nodes.items[a->node];
		const struct shape *s = &w->p->shapes.items[w->wants[a->want].shape];
		const struct machine *m = &w->p->machines.items[a->node];
		const struct place_site *site = &w->p->sites.items[n->site].facts;
		double cpu = (double)s->requests.items[0].amount / (double)n->usual[0].capacity;
		double memory = s->requests.count > 2 ? (double)s->requests.items[1].amount /
								(double)n->usual[1].capacity
						      : 0;
		double watts = cpu * (m->full_watts - m->idle_watts) +
			       (before[a->node] == 0 ? m->idle_watts : 0);
		before[a->node]++; /* switched on once */
		terms[PLACE_TERM_ENERGY] += watts / 100;
		terms[PLACE_TERM_CARBON] += watts / 1000 * site->carbon_g_per_kwh / 50;
		terms[PLACE_TERM_MONEY] += (m->price_per_hour * fmax(cpu, memory) +
						   watts / 1000 * site->price_per_kwh) /
					   0.1;
		terms[PLACE_TERM_TRUST] += (100 - n->trust) / 100.0;
	}
}

static void check_costs(const struct world *w, const struct place_plan *plan)
{
	double terms[PLACE_TERM_COUNT] = {0}, total = 0, sums[PLACE_TERM_COUNT] = {0}, sum = 0;
	struct replicas r;
	list_replicas(w, plan, &r);
	price_links(w, &r, terms);
	price_data(w, &r, terms);
	price_machines(w, plan, terms);
	bool upkeep = false;
	for (int i = PLACE_TERM_ENERGY; i <= PLACE_TERM_TRUST; i++)
		upkeep = upkeep || w->weights.of[i] != 0;
	for (int i = PLACE_TERM_LATENCY; i < PLACE_TERM_COUNT; i++) {
		bool link = i <= PLACE_TERM_DATA;
		if (link || upkeep)
			if (fabs(plan->cost.terms[i] - terms[i]) > 1e-6 * (1 + terms[i]))
				fail_msg("%s: %.9f is said, %.9f found",
					place_term_name((enum place_term)i), plan->cost.terms[i],
					terms[i]);
	}
	for (uint32_t i = 0; i < plan->assignment_count; i++) {
		sum += plan->assignments[i].cost.total;
		for (int k = 0; k < PLACE_TERM_COUNT; k++)
			sums[k] += plan->assignments[i].cost.terms[k];
	}
	for (int k = 0; k < PLACE_TERM_COUNT; k++) {
		assert_true(fabs(sums[k] - plan->cost.terms[k]) < 1e-9);
		total += w->weights.of[k] * sums[k];
	}
	assert_true(fabs(sum - plan->cost.total) < 1e-9);
	assert_true(fabs(total - plan->cost.total) < 1e-6);
}

/* ---- constraints ---- */

static void check_nodes(const struct world *w, const struct place_plan *plan)
{
	struct place_plan put = *plan;
	for (uint32_t i = 0; i < w->node_count; i++) {
		uint32_t there[WANTS] = {0};
		int64_t cpu = 0, memory = 0, pods = 0;
		for (uint32_t k = 0; k < w->application.present_count; k++)
			if (place_pod_node(w->p, w->present[k].pod) == i)
				return; /* those that run may be too many already */
		for (uint32_t k = 0; k < put.assignment_count; k++) {
			const struct place_assignment *a = &put.assignments[k];
			const struct shape *s = &w->p->shapes.items[w->wants[a->want].shape];
			if (a->node != i)
				continue;
			cpu += s->requests.items[0].amount;
			memory += s->requests.count > 2 ? s->requests.items[1].amount : 0;
			pods++;
			there[a->want]++;
			bool fits = place_bits_get(&place_profile_of(w->p, s)->affine, i);
			assert_true(fits);
		}
		const struct node *n = &w->p->nodes.items[i];
		assert_true(cpu <= n->usual[0].capacity && memory <= n->usual[1].capacity &&
			    pods <= n->usual[2].capacity);
		for (uint32_t k = 0; k < WANTS; k++)
			assert_true(there[k] <= 1 || !(w->ports[k] || w->apart[k]));
	}
}

static void check_counts(const struct world *w, const struct place_plan *plan)
{
	uint32_t found[WANTS] = {0};
	for (uint32_t i = 0; i < plan->assignment_count; i++) {
		const struct place_assignment *a = &plan->assignments[i];
		found[a->want]++;
		assert_int_equal(a->pod == PLACE_NONE, w->wants[a->want].expected);
	}
	for (uint32_t i = 0; i < plan->refusal_count; i++) {
		found[plan->refusals[i].want] += plan->refusals[i].count;
		assert_true(plan->refusals[i].reason_count > 0);
	}
	for (uint32_t i = 0; i < WANTS; i++)
		assert_int_equal(found[i], w->wants[i].count);
}

/* ---- all of it ---- */

/* One after the other, as the engine tries it first. */
static double one_by_one(struct world *w, uint32_t *left)
{
	int64_t weights[PLACE_TERM_COUNT];
	struct graph g;
	struct trial t;
	place_weights_fix(&w->weights, weights);
	assert_int_equal(graph_init(&g, w->p, &w->problem, weights, NULL), 0);
	assert_int_equal(trial_run(&g, NULL, &t, NULL), 0);
	trial_take_back(&g, &t);
	double total = t.total;
	memcpy(left, t.left, WANTS * sizeof(*left));
	trial_done(&t);
	graph_done(&g);
	return total;
}

/* Below 0: the plan leaves out less of what comes first in the order of wants. */
static int compare_left(const struct world *w, const struct place_plan *plan, const uint32_t *left)
{
	for (int rank = 5; rank >= 0; rank--) {
		int64_t more = 0;
		for (uint32_t i = 0; i < WANTS; i++)
			if (w->wants[i].priority + (w->wants[i].expected ? 0 : 3) == rank)
				more -= left[i];
		for (uint32_t i = 0; i < plan->refusal_count; i++) {
			const struct place_refusal *r = &plan->refusals[i];
			const struct place_want *x = &w->wants[r->want];
			if (x->priority + (x->expected ? 0 : 3) == rank)
				more += r->count;
		}
		if (more != 0)
			return more < 0 ? -1 : 1;
	}
	return 0;
}

static void applications_are_placed_well(void **state)
{
	(void)state;
	uint32_t better = 0, whole = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world w;
		world_init(&w, seed);
		uint32_t left[WANTS], before = place_pod_count(w.p);
		double greedy = one_by_one(&w, left);
		assert_int_equal(place_pod_count(w.p), before);
		CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
		check_counts(&w, &plan);
		check_nodes(&w, &plan);
		check_costs(&w, &plan);
		int more = compare_left(&w, &plan, left);
		assert_true(more < 0 || (more == 0 && plan.cost.total <= greedy + 1e-9));
		better += more < 0 || plan.cost.total < greedy - 1e-6;
		whole += plan.refusal_count == 0;
		place_plan_undo(w.p, &plan);
		assert_int_equal(place_pod_count(w.p), before);
		w.problem.explain = true;
		CLEANUP(place_plan_done) struct place_plan again = solve(&w);
		assert_int_equal(again.assignment_count, plan.assignment_count);
		for (uint32_t i = 0; i < plan.assignment_count; i++)
			assert_int_equal(again.assignments[i].node, plan.assignments[i].node);
		assert_true(again.cost.total == plan.cost.total);
		world_done(&w);
	}
	print_message("%u of %u as a whole, %u better than one by one\n", whole, SEEDS, better);
	assert_true(whole > SEEDS / 3);
	assert_true(better > SEEDS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(applications_are_placed_well)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
