/* The application as a problem of the solver for wholes (assign/assign.h): wants become components,
 * nodes bins, places sites. What users, data and those that run cost at a place is part of what a
 * node costs; only their traffic is told as anchors, since paths have limits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/assign/assign.h"
#include "place/graph.h"
#include "place/graph_assign.h"

/* ---- components ---- */

/* The costs of a pod on its node, but for what all pods there share. */
static double cost_of(const struct graph *g, const struct look *l, uint32_t node)
{
	double terms[PLACE_TERM_COUNT] = {0};
	double cost = (double)place_look_total(l, node, NULL) / (double)RANK_UNIT;
	if (g->p->nodes.items[node].first_pod == PLACE_NONE)
		place_look_add_idle(l, node, 1, terms);
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		cost -= g->weigh[i] * terms[i];
	return cost;
}

static int32_t fine(double cost)
{
	double most = 1024;
	cost = cost > most ? most : cost < -most ? -most : cost;
	return (int32_t)lround(cost * ASSIGN_FINE);
}

bool graph_waits_for_company(const struct place *p, const struct shape_term *t)
{
	return t->required && !t->anti && p->counters.items[t->counter].matching == 0;
}

/* What stands against a node now and may not when others of the application are there. */
static void relax_company(const struct place *p, const struct shape *s, struct failures *relaxed)
{
	for (uint32_t i = 0; i < s->terms.count; i++)
		if (graph_waits_for_company(p, &s->terms.items[i]))
			vec_push(&relaxed->items,
				(struct failure){PLACE_C_POD_AFFINITY, i, 0, false});
	for (uint32_t i = 0; i < s->spreads.count; i++)
		if (s->spreads.items[i].required)
			vec_push(&relaxed->items, (struct failure){PLACE_C_SPREAD, i, 0, false});
}

/* Which nodes a want may go to, and what it costs there. */
static void survey_part(struct build *b, struct part *part)
{
	struct graph *g = b->g;
	const struct place_want *w = &g->problem->wants[part->want];
	const struct shape *s = &g->p->shapes.items[w->shape];
	struct failures relaxed = {0};
	struct look l, scored;
	relax_company(g->p, s, &relaxed);
	graph_price_places(g, w->component);
	place_look_init(&l, g->p, w->shape, w->node, relaxed.items.count ? &relaxed : NULL);
	place_look_init(&scored, g->p, w->shape, PLACE_NONE, NULL);
	place_look_weigh(&scored, g->weights);
	part->cost = arena_new_array(&b->arena, g->p->nodes.count + 1, int32_t);
	for (uint32_t n = 0; n < g->p->nodes.count; n++) {
		part->cost[n] = PART_NEVER;
		if (!g->p->nodes.items[n].used)
			continue;
		int64_t there = g->by_place[graph_place_of(g, n)];
		if (there == RANK_NEVER || !place_look_fits(&l, n, NULL))
			continue;
		part->cost[n] = fine(cost_of(g, &scored, n) + (double)there / (double)RANK_UNIT);
		part->open++;
	}
	place_look_done(&l);
	place_look_done(&scored);
	vec_done(&relaxed.items);
}

static bool is_topology(const struct place *p, const struct counter *c, const char *key)
{
	return strcmp(place_text(p, p->topologies.items[c->topology].key), key) == 0;
}

static void fill_kin(const struct build *b, const struct shape *s, struct assign_component *c)
{
	const struct place *p = b->g->p;
	double weight = b->g->weigh[PLACE_TERM_SPREAD];
	/* Of two on a node 3/4, of two at a site 1/10 (score.c); more of them are taken for worse
	 * than they are. */
	c->spread_bin = weight > 0 ? 0.75 * weight : 0;
	c->spread_site = weight > 0 ? 0.1 * weight : 0;
	c->per_bin_max = s->ports.count ? 1 : 0;
	VEC_EACH (&s->terms, struct shape_term, t) {
		const struct counter *k = &p->counters.items[t->counter];
		bool host = is_topology(p, k, "kubernetes.io/hostname");
		bool zone = is_topology(p, k, "topology.kubernetes.io/zone");
		if (!t->matches_self)
			continue;
		if (t->required && t->anti && host)
			c->per_bin_max = 1;
		if (t->required && t->anti && zone)
			c->per_site_max = 1;
		if (graph_waits_for_company(p, t) && host)
			c->together = ASSIGN_SAME_BIN;
		else if (graph_waits_for_company(p, t) && zone && !c->together)
			c->together = ASSIGN_SAME_SITE;
	}
}

static void fill_component(struct build *b, const struct part *part, struct assign_component *c)
{
	struct graph *g = b->g;
	const struct place_want *w = &g->problem->wants[part->want];
	const struct shape *s = &g->p->shapes.items[w->shape];
	int64_t *need = arena_new_array(&b->arena, b->resource_count, int64_t);
	uint64_t *bins = arena_new_array(&b->arena, b->bin_count / 64 + 1, uint64_t);
	int32_t *by_bin = arena_new_array(&b->arena, b->bin_count, int32_t);
	struct assign_static *fixed = arena_new(&b->arena, struct assign_static);
	for (uint32_t i = 0; i < b->bin_count; i++) {
		int32_t cost = part->cost[b->nodes[i]];
		if (cost == PART_NEVER)
			continue;
		bins[i / 64] |= (uint64_t)1 << i % 64;
		by_bin[i] = cost;
	}
	need[0] = s->score_cpu;
	need[1] = s->score_memory >> MEMORY_SHIFT;
	VEC_EACH (&s->requests, struct want_amount, r) {
		for (uint32_t k = FIRST_REAL; k < b->resource_count; k++)
			if (b->resources[k] == r->resource)
				need[k] = r->amount;
	}
	*fixed = (struct assign_static){PLACE_TERM_BALANCE, by_bin};
	*c = (struct assign_component){.name = b->g->problem->application->components[w->component],
		.replicas = part->count,
		.need = need,
		.bins = bins,
		.statics = fixed,
		.static_count = 1};
	fill_kin(b, s, c);
}

/* ---- bins ---- */

/* The mean over the replicas of what one adds to the fullness of a node. */
static void mean_fullness(const struct build *b, const struct node *n, double *ret_u, double *ret_v)
{
	double u = 0, v = 0, replicas = 0;
	for (uint32_t i = 0; i < b->part_count; i++) {
		const struct place_want *w = &b->g->problem->wants[b->parts[i].want];
		struct fullness f =
			place_fullness_of_pod(&b->g->p->shapes.items[w->shape], &n->measure);
		u += (double)f.u * b->parts[i].count;
		v += (double)f.v * b->parts[i].count;
		replicas += b->parts[i].count;
	}
	*ret_u = u / replicas / RANK_FULL;
	*ret_v = v / replicas / RANK_FULL;
}

/* Each pod pays for how full the node is in the end. What the first of them pays is in the costs by
 * node; n pods of mean size s pay n (n - 1) s more, with the sum U = n s. Between counts i and j
 * that is at most (i + j - 1) U - i j s: the greatest of such lines. */
static void fill_planes(struct build *b, const struct node *n, struct assign_bin *bin)
{
	double weight = b->g->weigh[PLACE_TERM_BALANCE], mean[2];
	double cpu = n->measure.cpu / RANK_FULL / 8,
	       memory = n->measure.memory / RANK_FULL / 8 * (1 << MEMORY_SHIFT);
	struct assign_plane *planes =
		arena_new_array(&b->arena, 2 * STEPS + 1, struct assign_plane);
	static const double at[STEPS + 1] = {1, 2, 3, 5, 9, 17};
	if (weight == 0)
		return;
	mean_fullness(b, n, &mean[0], &mean[1]);
	for (uint32_t i = 0; i <= 2 * STEPS; i++) {
		double *slope = arena_new_array(&b->arena, b->resource_count, double);
		uint32_t k = i == 0 ? 0 : (i - 1) / 2;
		double steep = i == 0 ? 0 : at[k] + at[k + 1] - 1;
		double back = i == 0 ? 0 : at[k] * at[k + 1];
		bool u = i % 2 == 1;
		slope[0] = weight * steep * cpu * (u ? 5 : 1);
		slope[1] = weight * steep * memory * (u ? 1 : 5);
		planes[i] = (struct assign_plane){-weight * back * mean[u ? 0 : 1], slope};
	}
	bin->planes = planes;
	bin->plane_count = 2 * STEPS + 1;
	bin->concave = weight < 0;
}

static double not_below_0(double cost)
{
	return cost > 0 ? cost : 0;
}

static void fill_bin(struct build *b, uint32_t index, struct assign_bin *bin)
{
	struct graph *g = b->g;
	uint32_t node = b->nodes[index];
	const struct node *n = &g->p->nodes.items[node];
	int64_t *room = arena_new_array(&b->arena, b->resource_count, int64_t);
	struct look l = {.p = g->p};
	double terms[PLACE_TERM_COUNT] = {0};
	place_look_weigh(&l, g->weights);
	room[0] = b->needed[0];
	room[1] = b->needed[1];
	for (uint32_t k = FIRST_REAL; k < b->resource_count; k++) {
		struct stock s = place_node_stock(n, b->resources[k]);
		int64_t left = s.capacity - s.taken;
		room[k] = left < 0 ? 0 : left > ASSIGN_AMOUNT_MAX ? ASSIGN_AMOUNT_MAX : left;
	}
	*bin = (struct assign_bin){.name = place_node_name(g->p, node),
		.site = b->site_of[graph_place_of(g, node)],
		.room = room,
		.occupied = n->first_pod != PLACE_NONE};
	place_look_add_idle(&l, node, 1, terms);
	bin->on_energy = not_below_0(g->weigh[PLACE_TERM_ENERGY] * terms[PLACE_TERM_ENERGY]);
	bin->on_carbon = not_below_0(g->weigh[PLACE_TERM_CARBON] * terms[PLACE_TERM_CARBON]);
	bin->on_money = not_below_0(g->weigh[PLACE_TERM_MONEY] * terms[PLACE_TERM_MONEY]);
	fill_planes(b, n, bin);
}

/* ---- resources ---- */

static void add_resource(struct build *b, uint32_t resource)
{
	for (uint32_t k = FIRST_REAL; k < b->resource_count; k++)
		if (b->resources[k] == resource)
			return;
	if (b->resource_count < ASSIGN_RESOURCES_MAX) /* more are checked pod by pod */
		b->resources[b->resource_count++] = resource;
}

static void list_resources(struct build *b)
{
	b->resource_count = FIRST_REAL;
	for (uint32_t i = 0; i < b->part_count; i++) {
		const struct place_want *w = &b->g->problem->wants[b->parts[i].want];
		const struct shape *s = &b->g->p->shapes.items[w->shape];
		b->needed[0] += b->parts[i].count * s->score_cpu;
		b->needed[1] += b->parts[i].count * (s->score_memory >> MEMORY_SHIFT);
		VEC_EACH (&s->requests, struct want_amount, r) {
			if (r->amount > 0)
				add_resource(b, r->resource);
		}
	}
}

/* ---- the whole ---- */

static void list_parts(struct build *b, const uint32_t *counts)
{
	const struct place_problem *problem = b->g->problem;
	b->parts = arena_new_array(&b->arena, problem->want_count + 1, struct part);
	for (uint32_t i = 0; i < problem->want_count; i++) {
		struct part part = {.want = i, .count = counts[i]};
		if (counts[i] == 0)
			continue;
		survey_part(b, &part);
		b->missing = b->missing || part.open == 0;
		b->parts[b->part_count++] = part;
	}
}

static void build_problem(struct build *b)
{
	struct assign_problem *x = &b->problem;
	struct assign_bin *bins;
	struct assign_component *components;
	list_resources(b);
	graph_assign_bins(b);
	graph_assign_sites(b);
	bins = arena_new_array(&b->arena, b->bin_count + 1, struct assign_bin);
	components = arena_new_array(&b->arena, b->part_count, struct assign_component);
	for (uint32_t i = 0; i < b->bin_count; i++)
		fill_bin(b, i, &bins[i]);
	for (uint32_t i = 0; i < b->part_count; i++)
		fill_component(b, &b->parts[i], &components[i]);
	x->resource_count = b->resource_count;
	x->bins = bins;
	x->bin_count = b->bin_count;
	x->components = components;
	x->component_count = b->part_count;
	x->seed = b->g->problem->seed;
	x->terse = true;
}

/* Whether less traffic may help. */
static bool may_be_bandwidth(const struct assign_result *r)
{
	return !r->proven || r->reasons[0].constraint == ASSIGN_C_BANDWIDTH;
}

static bool solve(struct build *b, bool all_traffic, uint32_t *ret_nodes, bool *ret_retry)
{
	struct assign_result result;
	uint32_t item = 0, first = 0, part = 0;
	const struct place_problem *problem = b->g->problem;
	graph_assign_links(b, all_traffic);
	if (assign_solve(&b->problem, &result, NULL) != 0)
		return false; /* too large for it */
	*ret_retry =
		all_traffic && b->has_soft_traffic && !result.feasible && may_be_bandwidth(&result);
	b->g->steps += result.steps;
	bool feasible = result.feasible;
	for (uint32_t i = 0; feasible && i < problem->want_count; i++) {
		bool is_part = part < b->part_count && b->parts[part].want == i;
		uint32_t count = is_part ? b->parts[part++].count : 0;
		for (uint32_t k = 0; k < problem->wants[i].count; k++)
			ret_nodes[first + k] =
				k < count ? b->nodes[result.bin_of[item++]] : PLACE_NONE;
		first += problem->wants[i].count;
	}
	assign_result_done(&result);
	return feasible;
}

/* No more than is left. */
static uint64_t budget(const struct graph *g, uint64_t steps)
{
	uint64_t most = g->problem->steps_max;
	uint64_t left = most > g->steps ? most - g->steps : 1;
	return most && (steps == 0 || steps > left) ? left : steps;
}

bool graph_assign(struct graph *g, const uint32_t *counts, uint64_t steps, uint32_t *ret_nodes)
{
	struct build b = {.g = g};
	uint64_t items = 0;
	bool found = false, retry = false;
	for (uint32_t i = 0; i < g->problem->want_count; i++)
		items += counts[i];
	uint64_t cells = (uint64_t)g->problem->want_count * g->p->nodes.count;
	if (items > ASSIGN_ITEMS_MAX || g->problem->want_count > ASSIGN_COMPONENTS_MAX ||
		cells > ASSIGN_CELLS_MAX)
		return false;
	list_parts(&b, counts);
	if (b.part_count && !b.missing) {
		build_problem(&b);
		b.problem.steps = budget(g, steps);
		found = solve(&b, true, ret_nodes, &retry);
		if (retry)
			found = solve(&b, false, ret_nodes, &retry);
	}
	arena_done(&b.arena);
	return found;
}
