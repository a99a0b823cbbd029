/* An application's graph: what is checked before it is placed, and the counts while it is. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "place/graph.h"

/* ---- what an application may be ---- */

static bool impossible(double number)
{
	return !isfinite(number) || number < 0;
}

static const char *name_of(const struct place_application *a, uint32_t component)
{
	const char *name = a->components ? a->components[component] : NULL;
	return name ? name : "?";
}

static int check_counts(const struct place_application *a, struct err *e)
{
	const char *name = a->name ? a->name : "?";
	if (a->component_count > GRAPH_COMPONENTS_MAX)
		return err_set(e, ERR_TOO_LARGE, "application %s: %u components, at most %u", name,
			a->component_count, GRAPH_COMPONENTS_MAX);
	uint64_t ties = (uint64_t)a->link_count + a->data_count + a->consumer_count;
	if (ties > GRAPH_LINKS_MAX)
		return err_set(e, ERR_TOO_LARGE,
			"application %s: %llu links, data sets and consumers, at most %u", name,
			(unsigned long long)ties, GRAPH_LINKS_MAX);
	return 0;
}

static int check_links(const struct place_application *a, double *traffic, struct err *e)
{
	for (uint32_t i = 0; i < a->link_count; i++) {
		const struct place_link *l = &a->links[i];
		if (l->from >= a->component_count || l->to >= a->component_count)
			return err_set(e, ERR_INVALID,
				"link %u joins a component that the application does not have", i);
		if (impossible(l->bits_per_s) || impossible(l->latency_ms))
			return err_set(e, ERR_INVALID,
				"link %s -> %s: traffic or latency is no number from 0",
				name_of(a, l->from), name_of(a, l->to));
		*traffic += l->bits_per_s;
	}
	return 0;
}

static int check_outside(const struct place_application *a, double *traffic, struct err *e)
{
	for (uint32_t i = 0; i < a->data_count; i++) {
		const struct place_data *d = &a->data[i];
		const char *name = d->name ? d->name : "?";
		if (d->reader >= a->component_count || str_empty(d->site))
			return err_set(e, ERR_INVALID,
				"data %s has no site, or an unknown component reads it", name);
		if (impossible(d->size_bytes))
			return err_set(e, ERR_INVALID, "data %s: the size is no number from 0",
				name);
	}
	for (uint32_t i = 0; i < a->consumer_count; i++) {
		const struct place_consumer *c = &a->consumers[i];
		if (c->component >= a->component_count || str_empty(c->site))
			return err_set(e, ERR_INVALID,
				"consumer %u has no site, or uses an unknown component", i);
		if (impossible(c->bits_per_s) || impossible(c->latency_ms))
			return err_set(e, ERR_INVALID,
				"consumer at %s of %s: traffic or latency is no number from 0",
				c->site, name_of(a, c->component));
		*traffic += c->bits_per_s;
	}
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static int check_present(const struct place *p, const struct place_application *a, struct err *e)
{
	CLEANUP(mem_free_ptr) uint32_t *pods = mem_alloc_array(a->present_count, sizeof(*pods));
	for (uint32_t i = 0; i < a->present_count; i++) {
		const struct place_present *r = &a->present[i];
		if (r->component >= a->component_count)
			return err_set(e, ERR_INVALID, "pod %u runs an unknown component", r->pod);
		if (place_pod_node(p, r->pod) == PLACE_NONE)
			return err_set(e, ERR_INVALID,
				"pod %u of component %s is not in the tables", r->pod,
				name_of(a, r->component));
		pods[i] = r->pod;
	}
	if (a->present_count)
		qsort(pods, a->present_count, sizeof(*pods), compare_numbers);
	for (uint32_t i = 1; i < a->present_count; i++)
		if (pods[i] == pods[i - 1])
			return err_set(e, ERR_INVALID, "pod %u is said to run twice", pods[i]);
	return 0;
}

static int check(const struct place *p, const struct place_problem *problem, struct err *e)
{
	const struct place_application *a = problem->application;
	double traffic = 0;
	int rc = check_counts(a, e);
	if (rc == 0)
		rc = check_links(a, &traffic, e);
	if (rc == 0)
		rc = check_outside(a, &traffic, e);
	if (rc == 0 && traffic > GRAPH_TRAFFIC_MAX)
		rc = err_set(e, ERR_TOO_LARGE,
			"application %s: its traffic comes to %g bit/s, at most %g",
			a->name ? a->name : "?", traffic, GRAPH_TRAFFIC_MAX);
	if (rc == 0)
		rc = check_present(p, a, e);
	for (uint32_t i = 0; rc == 0 && i < problem->want_count; i++)
		if (problem->wants[i].component >= a->component_count)
			rc = err_set(e, ERR_INVALID,
				"want %u is of a component that the application does not have", i);
	return rc;
}

/* ---- the graph ---- */

static uint32_t find_place(const struct graph *g, const char *site)
{
	uint32_t index = place_find_index(&g->p->site_ids, site);
	return index == PLACE_NONE ? GRAPH_NOWHERE : index + 1;
}

uint32_t graph_place_of(const struct graph *g, uint32_t node)
{
	return g->p->nodes.items[node].site + 1; /* PLACE_NONE + 1 is 0 */
}

static uint32_t intern(struct graph *g, char *text)
{
	uint32_t id = place_intern(g->p, text);
	free(text);
	return id;
}

static char *bounds_text(const char *from, const char *to, double ms, double bits)
{
	if (ms > 0)
		return mem_format("link %s -> %s: %g ms", from, to, ms);
	return mem_format("link %s -> %s: %g bit/s", from, to, bits);
}

static void fill_tie(struct tie *t, double pairs, double weight, double bits)
{
	t->weight = weight;
	t->bits_per_s = pairs > 0 ? bits / pairs : 0;
	t->flow = llround(t->bits_per_s * GRAPH_FLOW_UNIT);
}

static void add_link(struct graph *g, const struct place_link *l)
{
	const struct place_application *a = g->problem->application;
	struct tie *t = &g->ties[g->tie_count];
	double n = g->components[l->from].replicas, m = g->components[l->to].replicas;
	bool self = l->from == l->to;
	double pairs = self ? n * (n - 1) : n * m;
	*t = (struct tie){.from = l->from,
		.to = l->to,
		.required = l->required && (l->latency_ms > 0 || l->bits_per_s > 0),
		.latency_ms = l->latency_ms};
	t->text = intern(g,
		bounds_text(name_of(a, l->from), name_of(a, l->to), l->latency_ms, l->bits_per_s));
	fill_tie(t, pairs, pairs > 0 ? (n + m) / 2 / pairs : 0, l->bits_per_s);
	vec_push(&g->components[l->from].ties, g->tie_count);
	if (!self)
		vec_push(&g->components[l->to].ties, g->tie_count);
	g->tie_count++;
}

static void add_consumer(struct graph *g, const struct place_consumer *c)
{
	const struct place_application *a = g->problem->application;
	struct tie *t = &g->ties[g->tie_count];
	*t = (struct tie){.from = c->component,
		.to = PLACE_NONE,
		.users = {find_place(g, c->site), 1, 0},
		.required = c->required && (c->latency_ms > 0 || c->bits_per_s > 0),
		.latency_ms = c->latency_ms};
	CLEANUP(mem_free_ptr) char *users = mem_format("users at %s", c->site);
	t->text = intern(g,
		bounds_text(name_of(a, c->component), users, c->latency_ms, c->bits_per_s));
	fill_tie(t, g->components[c->component].replicas, 1, c->bits_per_s);
	vec_push(&g->components[c->component].ties, g->tie_count);
	g->tie_count++;
}

static void add_data(struct graph *g, const struct place_data *d)
{
	struct parcel *x = &g->parcels[g->parcel_count];
	*x = (struct parcel){
		.reader = d->reader, .place = find_place(g, d->site), .size_bytes = d->size_bytes};
	x->text = intern(g, mem_format("data %s at %s", d->name ? d->name : "?", d->site));
	vec_push(&g->components[d->reader].parcels, g->parcel_count);
	g->parcel_count++;
}

/* ---- counts ---- */

const struct crowd *graph_partners(const struct graph *g, const struct tie *t, bool outward,
	size_t *ret_count)
{
	if (outward && t->to == PLACE_NONE) {
		*ret_count = 1;
		return &t->users;
	}
	const struct graph_component *c = &g->components[outward ? t->to : t->from];
	*ret_count = c->held.count;
	return c->held.items;
}

struct flow graph_flow(const struct graph *g, uint32_t from, uint32_t to)
{
	VEC_EACH (&g->flows[from].items, struct flow, f) {
		if (f->to == to)
			return *f;
	}
	return (struct flow){to, 0, 0};
}

static void add_flow(struct graph *g, uint32_t from, uint32_t to, int64_t amount, bool required)
{
	if (from == to || to == GRAPH_NOWHERE || amount == 0)
		return;
	struct flow *found = NULL;
	VEC_EACH (&g->flows[from].items, struct flow, f) {
		if (f->to == to)
			found = f;
	}
	if (!found) {
		found = vec_add(&g->flows[from].items);
		found->to = to;
	}
	found->all += amount;
	found->required += required ? amount : 0;
}

static void shift_flows_of_tie(struct graph *g, const struct tie *t, uint32_t place, bool outward,
	int sign)
{
	size_t count;
	const struct crowd *others = graph_partners(g, t, outward, &count);
	for (size_t i = 0; i < count; i++) {
		int64_t amount = sign * t->flow * (int64_t)(others[i].running + others[i].planned);
		if (outward)
			add_flow(g, place, others[i].place, amount, t->required);
		else
			add_flow(g, others[i].place, place, amount, t->required);
	}
}

void graph_shift_flows(struct graph *g, uint32_t component, uint32_t place, int sign)
{
	VEC_EACH (&g->components[component].ties, uint32_t, i) {
		const struct tie *t = &g->ties[*i];
		if (t->from == component)
			shift_flows_of_tie(g, t, place, true, sign);
		if (t->to == component)
			shift_flows_of_tie(g, t, place, false, sign);
	}
}

static struct crowd *held_at(struct graph *g, uint32_t component, uint32_t place)
{
	struct graph_component *c = &g->components[component];
	VEC_EACH (&c->held, struct crowd, h) {
		if (h->place == place)
			return h;
	}
	vec_push(&c->held, (struct crowd){place, 0, 0});
	return &c->held.items[c->held.count - 1];
}

void graph_shift(struct graph *g, uint32_t component, uint32_t place, int sign)
{
	if (sign < 0)
		held_at(g, component, place)->planned--;
	graph_shift_flows(g, component, place, sign);
	if (sign > 0)
		held_at(g, component, place)->planned++;
}

/* ---- from beginning to end ---- */

static void count_replicas(struct graph *g)
{
	const struct place_problem *problem = g->problem;
	const struct place_application *a = problem->application;
	for (uint32_t i = 0; i < a->present_count; i++)
		g->components[a->present[i].component].replicas++;
	for (uint32_t i = 0; i < problem->want_count; i++)
		g->components[problem->wants[i].component].replicas += problem->wants[i].count;
}

static int check_self_links(const struct graph *g, struct err *e)
{
	const struct place_application *a = g->problem->application;
	for (uint32_t i = 0; i < a->link_count; i++)
		if (a->links[i].from == a->links[i].to &&
			g->components[a->links[i].from].replicas == 1)
			return err_set(e, ERR_INVALID,
				"link %s -> %s: there is only one replica of %s",
				name_of(a, a->links[i].from), name_of(a, a->links[i].to),
				name_of(a, a->links[i].from));
	return 0;
}

static void count_running(struct graph *g)
{
	const struct place_application *a = g->problem->application;
	for (uint32_t i = 0; i < a->present_count; i++) {
		uint32_t component = a->present[i].component;
		uint32_t place = graph_place_of(g, place_pod_node(g->p, a->present[i].pod));
		graph_shift_flows(g, component, place, 1);
		held_at(g, component, place)->running++;
	}
}

static void build(struct graph *g)
{
	const struct place_application *a = g->problem->application;
	for (uint32_t i = 0; i < a->link_count; i++)
		add_link(g, &a->links[i]);
	for (uint32_t i = 0; i < a->consumer_count; i++)
		add_consumer(g, &a->consumers[i]);
	for (uint32_t i = 0; i < a->data_count; i++)
		add_data(g, &a->data[i]);
	g->place_count = (uint32_t)g->p->sites.count + 1;
	g->inhabited = mem_alloc_array(g->place_count, sizeof(*g->inhabited));
	g->favoured = mem_alloc_array(g->place_count, sizeof(*g->favoured));
	g->flows = mem_alloc_array(g->place_count, sizeof(*g->flows));
	g->by_place = mem_alloc_array(g->place_count, sizeof(*g->by_place));
	for (uint32_t i = 0; i < g->p->nodes.count; i++)
		if (g->p->nodes.items[i].used)
			g->inhabited[graph_place_of(g, i)] = true;
	count_running(g);
}

int graph_init(struct graph *g, struct place *p, const struct place_problem *problem,
	const int64_t *weights, struct err *e)
{
	const struct place_application *a = problem->application;
	int rc = check(p, problem, e);
	if (rc != 0)
		return rc;
	*g = (struct graph){.p = p, .problem = problem};
	for (int i = 0; i < PLACE_TERM_COUNT; i++) {
		g->weights[i] = weights[i];
		g->weigh[i] = ldexp((double)weights[i], -RANK_WEIGHT_SHIFT);
	}
	g->components = mem_alloc_array(a->component_count, sizeof(*g->components));
	count_replicas(g);
	rc = check_self_links(g, e);
	if (rc == 0) {
		g->ties = mem_alloc_array(a->link_count + a->consumer_count, sizeof(*g->ties));
		g->parcels = mem_alloc_array(a->data_count, sizeof(*g->parcels));
		build(g);
	} else {
		graph_done(g);
	}
	return rc;
}

void graph_done(struct graph *g)
{
	uint32_t count = g->problem ? g->problem->application->component_count : 0;
	for (uint32_t i = 0; i < count; i++) {
		vec_done(&g->components[i].held);
		vec_done(&g->components[i].ties);
		vec_done(&g->components[i].parcels);
	}
	for (uint32_t i = 0; g->flows && i < g->place_count; i++)
		vec_done(&g->flows[i].items);
	free(g->components);
	free(g->ties);
	free(g->parcels);
	free(g->inhabited);
	free(g->favoured);
	free(g->flows);
	free(g->by_place);
	*g = (struct graph){0};
}
