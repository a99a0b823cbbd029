/* Places, paths and links in the terms of the solver for wholes. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "place/graph_assign.h"

#define COMPANY_PER_MS 1.0
#define GIGABYTES_PER_HOUR 4.5e-7 /* of a bit a second */

/* ---- sites ---- */

static void add_site(struct build *b, uint32_t place)
{
	if (place == GRAPH_NOWHERE || b->site_of[place] != ASSIGN_NONE)
		return;
	b->places[b->site_count] = place;
	b->site_of[place] = b->site_count++;
}

void graph_assign_sites(struct build *b)
{
	struct graph *g = b->g;
	uint32_t components = g->problem->application->component_count;
	b->site_of = arena_new_array(&b->arena, g->place_count, uint32_t);
	b->places = arena_new_array(&b->arena, g->place_count, uint32_t);
	for (uint32_t i = 0; i < g->place_count; i++)
		b->site_of[i] = ASSIGN_NONE;
	for (uint32_t i = 0; i < b->bin_count; i++)
		add_site(b, graph_place_of(g, b->nodes[i]));
	for (uint32_t i = 0; i < g->tie_count; i++)
		if (g->ties[i].to == PLACE_NONE)
			add_site(b, g->ties[i].users.place);
	for (uint32_t c = 0; c < components; c++) {
		VEC_EACH (&g->components[c].held, struct crowd, h)
			add_site(b, h->place);
	}
}

/* A path that is not known is further than any bound. */
static double farthest(const struct build *b)
{
	const struct graph *g = b->g;
	double most = PLACE_FAR_MS;
	for (uint32_t i = 0; i < g->tie_count; i++)
		most = g->ties[i].latency_ms > most ? g->ties[i].latency_ms : most;
	for (uint32_t i = 0; i < b->site_count * b->site_count; i++) {
		struct span s =
			graph_span(g, b->places[i / b->site_count], b->places[i % b->site_count]);
		if (s.known && s.latency_ms > most)
			most = s.latency_ms;
	}
	return most + 1;
}

static int64_t limit_of(const struct build *b, uint32_t from, uint32_t to, const struct span *s,
	bool all_traffic)
{
	if (!s->known || s->within || s->bits_per_s >= (double)ASSIGN_AMOUNT_MAX)
		return ASSIGN_UNLIMITED;
	struct flow f = graph_flow(b->g, from, to);
	int64_t taken = (all_traffic ? f.all : f.required) / GRAPH_FLOW_UNIT;
	int64_t left = (int64_t)s->bits_per_s - taken;
	return left > 0 ? left : 0;
}

static void fill_paths(struct build *b, bool all_traffic)
{
	const struct graph *g = b->g;
	uint32_t n = b->site_count;
	double *latency = arena_new_array(&b->arena, (size_t)n * n, double);
	double *price = arena_new_array(&b->arena, (size_t)n * n, double);
	int64_t *limit = arena_new_array(&b->arena, (size_t)n * n, int64_t);
	double traffic =
		g->weigh[PLACE_TERM_TRAFFIC] / (PLACE_TRAFFIC_BITS_PER_S * GIGABYTES_PER_HOUR);
	double money = g->weigh[PLACE_TERM_MONEY] / PLACE_MONEY_PER_HOUR;
	for (uint32_t i = 0; i < n * n; i++) {
		uint32_t from = b->places[i / n], to = b->places[i % n];
		struct span s = graph_span(g, from, to);
		double out = from ? g->p->sites.items[from - 1].facts.price_per_gigabyte_out : 0;
		double cost = traffic + money * out;
		latency[i] = s.known ? s.latency_ms : b->far_ms;
		limit[i] = limit_of(b, from, to, &s, all_traffic);
		price[i] = s.within || cost < 0 ? 0 : cost;
	}
	b->problem.sites = (struct assign_sites){n, NULL, latency, limit, price};
}

/* ---- links ---- */

static int64_t bits_of(const struct tie *t, double pairs, bool all_traffic)
{
	return t->required || all_traffic ? llround(t->bits_per_s * pairs) : 0;
}

static void fill_bounds(const struct build *b, const struct tie *t, double pairs,
	struct assign_link *l)
{
	double weight = b->g->weigh[PLACE_TERM_LATENCY];
	l->cost_per_ms = weight > 0 ? weight * t->weight * pairs / PLACE_LATENCY_MS : 0;
	l->latency_ms = t->latency_ms;
	l->hard = t->required;
	if (t->required && t->latency_ms == 0) /* there is a path */
		l->latency_ms = b->far_ms - 0.5;
	if (!t->required && t->latency_ms > 0)
		l->cost_over = l->cost_per_ms * (PLACE_LATENCY_OVER - 1);
}

static uint32_t component_of(const struct build *b, uint32_t part)
{
	return b->g->problem->wants[b->parts[part].want].component;
}

static uint32_t link_parts(const struct build *b, const struct tie *t, bool all_traffic,
	struct assign_link *links)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < b->part_count; i++) {
		for (uint32_t k = 0; component_of(b, i) == t->from && k < b->part_count; k++) {
			if (component_of(b, k) != t->to)
				continue;
			double n = b->parts[i].count, m = b->parts[k].count - (i == k ? 1.0 : 0.0);
			if (m > 0 && links) {
				struct assign_link *l = &links[count];
				*l = (struct assign_link){.from = i,
					.to = k,
					.bits_per_s = bits_of(t, n * m, all_traffic),
					.traffic_weight = 1};
				fill_bounds(b, t, n * m, l);
			}
			count += m > 0;
		}
	}
	return count;
}

/* Traffic with users and with those that run. What it costs is in the costs by node. */
static uint32_t anchor_parts(const struct build *b, const struct tie *t, bool outward,
	bool all_traffic, struct assign_anchor *anchors)
{
	size_t others;
	uint32_t count = 0;
	const struct crowd *held = graph_partners(b->g, t, outward, &others);
	for (uint32_t i = 0; i < b->part_count; i++) {
		if (component_of(b, i) != (outward ? t->from : t->to))
			continue;
		for (size_t k = 0; k < others; k++) {
			int64_t bits = bits_of(t, (double)b->parts[i].count * held[k].running,
				all_traffic);
			if (held[k].place == GRAPH_NOWHERE || bits == 0)
				continue;
			if (anchors)
				anchors[count] = (struct assign_anchor){.component = i,
					.site = b->site_of[held[k].place],
					.inward = !outward,
					.bits_per_s = bits};
			count++;
		}
	}
	return count;
}

static uint32_t anchor_tie(const struct build *b, const struct tie *t, bool all_traffic,
	struct assign_anchor *anchors)
{
	uint32_t count = anchor_parts(b, t, true, all_traffic, anchors);
	if (t->to != PLACE_NONE)
		count += anchor_parts(b, t, false, all_traffic, anchors ? anchors + count : NULL);
	return count;
}

static bool matches(const struct shape *s, uint32_t counter)
{
	for (size_t i = 0; i < s->matches.count; i++)
		if (s->matches.items[i] == counter)
			return true;
	return false;
}

static const struct shape *shape_of(const struct build *b, uint32_t part)
{
	const struct graph *g = b->g;
	return &g->p->shapes.items[g->problem->wants[b->parts[part].want].shape];
}

/* A want that must be where another is, which is not there yet: the solver keeps them at one site,
 * where the table's own rules find the node. */
static uint32_t link_company(const struct build *b, struct assign_link *links)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < b->part_count; i++) {
		VEC_EACH (&shape_of(b, i)->terms, struct shape_term, t) {
			if (!graph_waits_for_company(b->g->p, t))
				continue;
			for (uint32_t k = 0; k < b->part_count; k++) {
				if (k == i || !matches(shape_of(b, k), t->counter))
					continue;
				if (links)
					links[count] = (struct assign_link){
						.from = i, .to = k, .cost_per_ms = COMPANY_PER_MS};
				count++;
			}
		}
	}
	return count;
}

uint32_t graph_assign_link_count(const struct build *b)
{
	uint32_t count = link_company(b, NULL);
	for (uint32_t i = 0; i < b->g->tie_count; i++)
		if (b->g->ties[i].to != PLACE_NONE)
			count += link_parts(b, &b->g->ties[i], true, NULL);
	return count;
}

void graph_assign_links(struct build *b, bool all_traffic)
{
	const struct graph *g = b->g;
	uint32_t links = graph_assign_link_count(b), anchors = 0;
	b->has_soft_traffic = false;
	for (uint32_t i = 0; i < g->tie_count; i++) {
		const struct tie *t = &g->ties[i];
		b->has_soft_traffic |= !t->required && t->flow > 0;
		anchors += anchor_tie(b, t, all_traffic, NULL);
	}
	struct assign_link *link = arena_new_array(&b->arena, links + 1, struct assign_link);
	struct assign_anchor *anchor =
		arena_new_array(&b->arena, anchors + 1, struct assign_anchor);
	b->problem.links = link;
	b->problem.link_count = links;
	b->problem.anchors = anchor;
	b->problem.anchor_count = anchors;
	b->far_ms = farthest(b);
	fill_paths(b, all_traffic);
	link += link_company(b, link);
	for (uint32_t i = 0; i < g->tie_count; i++) {
		const struct tie *t = &g->ties[i];
		link += t->to == PLACE_NONE ? 0 : link_parts(b, t, all_traffic, link);
		anchor += anchor_tie(b, t, all_traffic, anchor);
	}
}
