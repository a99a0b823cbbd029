/* What one replica more costs at a place for its links, users and data, and which of their bounds
 * keep it from there. */
#include <math.h>

#include "place/graph.h"

#define SECONDS_PER_HOUR 3600.0
#define BITS_PER_GIGABYTE 8e9

struct span graph_span(const struct graph *g, uint32_t from, uint32_t to)
{
	struct span s = {.within = from == to, .bits_per_s = INFINITY};
	bool named = from != 0 && to != 0 && from != GRAPH_NOWHERE && to != GRAPH_NOWHERE;
	const struct path *path = named ? place_path_find(g->p, from - 1, to - 1) : NULL;
	s.known = s.within || (path && path->bits_per_s > 0);
	if (path)
		s.latency_ms = path->latency_ms;
	if (s.known && !s.within)
		s.bits_per_s = path->bits_per_s;
	if (!s.known)
		s.latency_ms = PLACE_FAR_MS;
	return s;
}

/* Sums of parts that were rounded. */
static bool has_room(const struct span *s, int64_t flow)
{
	return (double)flow / GRAPH_FLOW_UNIT <= s->bits_per_s * (1 + 1e-9) + 1;
}

static void add_bar(struct site_bars *bars, uint32_t place, enum place_constraint constraint,
	uint32_t index, uint32_t text)
{
	if (!bars)
		return;
	VEC_EACH (&bars->items, struct site_bar, b) {
		if (b->place == place && b->constraint == constraint && b->index == index)
			return;
	}
	vec_push(&bars->items, (struct site_bar){place, constraint, index, text});
}

struct case_of { /* one replica at a place, and a tie of it */
	struct graph *g;
	uint32_t component, place;
	const struct tie *tie;
	struct verdict *verdict;
	struct site_bars *bars;
};

static void check_bounds(const struct case_of *c, const struct span *s, const struct flow *f)
{
	const struct tie *t = c->tie;
	uint32_t index = (uint32_t)(t - c->g->ties);
	bool late = t->latency_ms > 0 && (!s->known || s->latency_ms > t->latency_ms);
	bool narrow = t->flow > 0 && !s->within && (!s->known || !has_room(s, f->required));
	if (!t->required || (!late && !narrow))
		return;
	c->verdict->barred = true;
	add_bar(c->bars, c->place, late ? PLACE_C_LATENCY : PLACE_C_BANDWIDTH, index, t->text);
}

static double latency_cost(const struct tie *t, const struct span *s, const struct flow *f)
{
	double ms = s->latency_ms, over = 0;
	if (!t->required && s->known && !s->within && !has_room(s, f->all) && ms < PLACE_FAR_MS)
		ms = PLACE_FAR_MS;
	if (!t->required && t->latency_ms > 0 && ms > t->latency_ms)
		over = (ms - t->latency_ms) * (PLACE_LATENCY_OVER - 1);
	return place_cost_bound((ms + over) / PLACE_LATENCY_MS);
}

/* Pairs with the replicas at one place. */
static void judge_pairs(const struct case_of *c, const struct crowd *other, bool outward)
{
	const struct graph *g = c->g;
	const struct tie *t = c->tie;
	uint32_t from = outward ? c->place : other->place, to = outward ? other->place : c->place;
	if (other->running + other->planned == 0)
		return;
	struct span s = graph_span(g, from, to);
	struct flow f = s.within ? (struct flow){0} : graph_flow(g, from, to);
	check_bounds(c, &s, &f);
	double whole = other->running + other->planned,
	       half = other->running + other->planned / 2.0;
	double latency = t->weight * latency_cost(t, &s, &f), traffic = 0, money = 0;
	if (!s.within) {
		double price = from ? g->p->sites.items[from - 1].facts.price_per_gigabyte_out : 0;
		traffic = t->bits_per_s / PLACE_TRAFFIC_BITS_PER_S;
		money = place_cost_bound(t->bits_per_s * SECONDS_PER_HOUR / BITS_PER_GIGABYTE *
					 price / PLACE_MONEY_PER_HOUR);
	}
	c->verdict->whole[PLACE_TERM_LATENCY] += whole * latency;
	c->verdict->share[PLACE_TERM_LATENCY] += half * latency;
	c->verdict->whole[PLACE_TERM_TRAFFIC] += whole * traffic;
	c->verdict->share[PLACE_TERM_TRAFFIC] += half * traffic;
	c->verdict->whole[PLACE_TERM_MONEY] += whole * money;
	c->verdict->share[PLACE_TERM_MONEY] += half * money;
}

static void judge_tie(const struct case_of *c, bool outward)
{
	size_t count;
	const struct crowd *others = graph_partners(c->g, c->tie, outward, &count);
	for (size_t i = 0; i < count; i++)
		judge_pairs(c, &others[i], outward);
}

static void judge_parcel(const struct case_of *c, const struct parcel *x)
{
	struct graph *g = c->g;
	uint32_t index = g->tie_count + (uint32_t)(x - g->parcels);
	if (x->place == c->place || x->size_bytes == 0)
		return;
	bool named = x->place != 0 && x->place != GRAPH_NOWHERE && c->place != 0;
	const struct path *path = named ? place_path_find(g->p, x->place - 1, c->place - 1) : NULL;
	double speed = path ? path->bits_per_s : PLACE_DATA_SLOW;
	if (speed <= 0) {
		c->verdict->barred = true;
		add_bar(c->bars, c->place, PLACE_C_BANDWIDTH, index, x->text);
		return;
	}
	speed = speed < PLACE_DATA_FAST ? speed : PLACE_DATA_FAST;
	double cost = place_cost_bound(x->size_bytes / speed * 8 / PLACE_DATA_S);
	c->verdict->whole[PLACE_TERM_DATA] += cost;
	c->verdict->share[PLACE_TERM_DATA] += cost;
}

void graph_judge(struct graph *g, uint32_t component, uint32_t place, struct verdict *ret_verdict,
	struct site_bars *bars)
{
	const struct graph_component *k = &g->components[component];
	struct case_of c = {g, component, place, NULL, ret_verdict, bars};
	*ret_verdict = (struct verdict){0};
	graph_shift_flows(g, component, place, 1);
	VEC_EACH (&k->ties, uint32_t, i) {
		c.tie = &g->ties[*i];
		if (c.tie->from == component)
			judge_tie(&c, true);
		if (c.tie->to == component)
			judge_tie(&c, false);
	}
	graph_shift_flows(g, component, place, -1);
	VEC_EACH (&k->parcels, uint32_t, i)
		judge_parcel(&c, &g->parcels[*i]);
}

void graph_price_places(struct graph *g, uint32_t component)
{
	for (uint32_t place = 0; place < g->place_count; place++) {
		struct verdict v;
		double cost = 0;
		g->by_place[place] = RANK_NEVER;
		if (!g->inhabited[place])
			continue;
		graph_judge(g, component, place, &v, NULL);
		for (int i = 0; i < PLACE_TERM_COUNT; i++)
			cost += g->weigh[i] * v.whole[i];
		if (!v.barred)
			g->by_place[place] = place_cost_fix(cost);
	}
}

void graph_find_bars(struct graph *g, uint32_t component, struct site_bars *ret_bars)
{
	for (uint32_t place = 0; place < g->place_count; place++) {
		struct verdict v;
		if (g->inhabited[place])
			graph_judge(g, component, place, &v, ret_bars);
	}
}
