/* What an assignment costs, straight from the problem. The tables are made with the same functions
 * of a link, an anchor and a plane; how they are put together here is written a second time on
 * purpose. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "place/assign/tables.h"

double assign_latency(const struct assign_problem *p, uint32_t from, uint32_t to)
{
	return p->sites.latency_ms[(size_t)from * p->sites.count + to];
}

int64_t assign_limit(const struct assign_problem *p, uint32_t from, uint32_t to)
{
	if (from == to || !p->sites.bits_per_s)
		return ASSIGN_UNLIMITED;
	return p->sites.bits_per_s[(size_t)from * p->sites.count + to];
}

static double price_per_gigabyte(const struct assign_problem *p, uint32_t from, uint32_t to)
{
	return p->sites.price_per_gigabyte
		       ? p->sites.price_per_gigabyte[(size_t)from * p->sites.count + to]
		       : 0;
}

int64_t assign_pairs(const struct assign_problem *p, const struct assign_link *l)
{
	int64_t from = p->components[l->from].replicas, to = p->components[l->to].replicas;
	return l->from == l->to ? from * (from - 1) : from * to;
}

/* Rounded up, so that the sum of the shares is never less than the whole. */
int64_t assign_share(const struct assign_problem *p, const struct assign_link *l)
{
	int64_t pairs = assign_pairs(p, l);
	return pairs ? (l->bits_per_s + pairs - 1) / pairs : 0;
}

int64_t assign_anchor_share(const struct assign_problem *p, const struct assign_anchor *a)
{
	int64_t replicas = p->components[a->component].replicas;
	return (a->bits_per_s + replicas - 1) / replicas;
}

static double latency_cost(double ms, double bound, bool hard, double per_ms, double over)
{
	double cost = ms * per_ms;
	return !hard && bound > 0 && ms > bound ? cost + (ms - bound) * over : cost;
}

/* Of a steady traffic: currency an hour. */
static double traffic_price(double bits_per_s, double price)
{
	return bits_per_s * 3600 / 8e9 * price;
}

int64_t assign_link_cost(const struct assign_problem *p, const struct assign_link *l, uint32_t from,
	uint32_t to, int64_t *ret_terms)
{
	double pairs = (double)assign_pairs(p, l);
	double ms = assign_latency(p, from, to);
	int64_t latency =
		assign_fix(latency_cost(ms, l->latency_ms, l->hard, l->cost_per_ms, l->cost_over) /
			   pairs);
	int64_t traffic = assign_fix(traffic_price((double)l->bits_per_s / pairs,
					     price_per_gigabyte(p, from, to)) *
				     l->traffic_weight);
	if (ret_terms) {
		ret_terms[PLACE_TERM_LATENCY] += latency;
		ret_terms[PLACE_TERM_TRAFFIC] += traffic;
	}
	return latency + traffic;
}

static double data_cost(const struct assign_problem *p, const struct assign_anchor *a,
	uint32_t site)
{
	int64_t limit = assign_limit(p, a->site, site);
	if (a->size_bytes == 0 || site == a->site || limit == 0)
		return 0;
	double cost =
		(double)a->size_bytes / 1e9 * price_per_gigabyte(p, a->site, site) * a->data_weight;
	if (limit != ASSIGN_UNLIMITED)
		cost += (double)a->size_bytes * 8 / (double)limit * a->cost_per_s;
	return cost;
}

int64_t assign_anchor_cost(const struct assign_problem *p, const struct assign_anchor *a,
	uint32_t site, int64_t *ret_terms)
{
	double replicas = p->components[a->component].replicas;
	uint32_t from = a->inward ? a->site : site, to = a->inward ? site : a->site;
	int64_t latency = assign_fix(latency_cost(assign_latency(p, from, to), a->latency_ms,
					     a->hard, a->cost_per_ms, a->cost_over) /
				     replicas);
	int64_t traffic = assign_fix(traffic_price((double)a->bits_per_s / replicas,
					     price_per_gigabyte(p, from, to)) *
				     a->traffic_weight);
	int64_t data = assign_fix(data_cost(p, a, site));
	if (ret_terms) {
		ret_terms[PLACE_TERM_LATENCY] += latency;
		ret_terms[PLACE_TERM_TRAFFIC] += traffic;
		ret_terms[PLACE_TERM_DATA] += data;
	}
	return latency + traffic + data;
}

bool assign_link_holds(const struct assign_problem *p, const struct assign_link *l, uint32_t from,
	uint32_t to)
{
	return !l->hard || l->latency_ms == 0 || assign_latency(p, from, to) <= l->latency_ms;
}

bool assign_anchor_holds(const struct assign_problem *p, const struct assign_anchor *a,
	uint32_t site, enum assign_constraint *ret_broken)
{
	uint32_t from = a->inward ? a->site : site, to = a->inward ? site : a->site;
	*ret_broken = ASSIGN_C_LATENCY;
	if (a->hard && a->latency_ms > 0 && assign_latency(p, from, to) > a->latency_ms)
		return false;
	*ret_broken = ASSIGN_C_DATA;
	return a->size_bytes == 0 || assign_limit(p, a->site, site) > 0;
}

bool assign_allows(const struct assign_component *c, uint32_t bin)
{
	return !c->bins || (c->bins[bin / 64] >> bin % 64 & 1);
}

int64_t assign_plane_value(double base, const double *slope, const int64_t *used, uint32_t r)
{
	for (uint32_t k = 0; k < r; k++)
		base += slope[k] * (double)used[k];
	return assign_fix(base);
}

/* ---- an assignment ---- */

struct evaluation {
	const struct assign_problem *p;
	const uint32_t *bin_of;
	uint32_t *first; /* item by component */
	int64_t *terms;
	struct assign_reason *broken;
	uint32_t broken_count, most;
};

static void breaks(struct evaluation *v, enum assign_constraint constraint,
	struct assign_reason reason)
{
	reason.constraint = constraint;
	if (v->broken_count < v->most)
		v->broken[v->broken_count] = reason;
	v->broken_count++;
}

static uint32_t site_of(const struct evaluation *v, uint32_t component, uint32_t replica)
{
	return v->p->bins[v->bin_of[v->first[component] + replica]].site;
}

static void evaluate_component(struct evaluation *v, uint32_t c)
{
	const struct assign_component *given = &v->p->components[c];
	for (uint32_t i = 0; i < given->replicas; i++) {
		uint32_t bin = v->bin_of[v->first[c] + i];
		struct assign_reason reason = ASSIGN_REASON_NONE;
		reason.component = c;
		reason.bin = bin;
		for (uint32_t k = 0; k < given->static_count; k++)
			v->terms[given->statics[k].term] += (int64_t)given->statics[k].by_bin[bin] *
							    (ASSIGN_UNIT / ASSIGN_FINE);
		if (given->home && given->home[i] != ASSIGN_NONE && given->home[i] != bin)
			v->terms[PLACE_TERM_MOVE] += assign_fix(given->move_cost);
		if (!assign_allows(given, bin))
			breaks(v, ASSIGN_C_BINS, reason);
	}
}

static void evaluate_kin(struct evaluation *v, uint32_t c)
{
	const struct assign_component *given = &v->p->components[c];
	int64_t apart = 0;
	uint32_t most_bin = 0, most_site = 0;
	for (uint32_t i = 0; i < given->replicas; i++) {
		uint32_t same_bin = 0, same_site = 0;
		for (uint32_t j = 0; j < i; j++) {
			same_bin += v->bin_of[v->first[c] + i] == v->bin_of[v->first[c] + j];
			same_site += site_of(v, c, i) == site_of(v, c, j);
		}
		v->terms[PLACE_TERM_SPREAD] += same_bin * assign_fix(given->spread_bin) +
					       same_site * assign_fix(given->spread_site);
		apart += given->together == ASSIGN_SAME_BIN    ? i - same_bin
			 : given->together == ASSIGN_SAME_SITE ? i - same_site
							       : 0;
		most_bin = same_bin + 1 > most_bin ? same_bin + 1 : most_bin;
		most_site = same_site + 1 > most_site ? same_site + 1 : most_site;
	}
	struct assign_reason reason = ASSIGN_REASON_NONE;
	reason.component = c;
	if (given->per_bin_max && most_bin > given->per_bin_max)
		breaks(v, ASSIGN_C_PER_BIN, reason);
	if (given->per_site_max && most_site > given->per_site_max)
		breaks(v, ASSIGN_C_PER_SITE, reason);
	if (apart)
		breaks(v, ASSIGN_C_TOGETHER, reason);
}

static void evaluate_link(struct evaluation *v, uint32_t index, int64_t *load)
{
	const struct assign_link *l = &v->p->links[index];
	bool holds = true;
	for (uint32_t i = 0; i < v->p->components[l->from].replicas; i++) {
		for (uint32_t j = 0; j < v->p->components[l->to].replicas; j++) {
			if (l->from == l->to && i == j)
				continue;
			uint32_t from = site_of(v, l->from, i), to = site_of(v, l->to, j);
			(void)assign_link_cost(v->p, l, from, to, v->terms);
			holds &= assign_link_holds(v->p, l, from, to);
			load[(size_t)from * v->p->sites.count + to] += assign_share(v->p, l);
		}
	}
	struct assign_reason reason = ASSIGN_REASON_NONE;
	reason.link = index;
	if (!holds)
		breaks(v, ASSIGN_C_LATENCY, reason);
}

static void evaluate_anchor(struct evaluation *v, uint32_t index, int64_t *load)
{
	const struct assign_anchor *a = &v->p->anchors[index];
	enum assign_constraint broken, worst = ASSIGN_C_COUNT;
	for (uint32_t i = 0; i < v->p->components[a->component].replicas; i++) {
		uint32_t site = site_of(v, a->component, i);
		uint32_t from = a->inward ? a->site : site, to = a->inward ? site : a->site;
		(void)assign_anchor_cost(v->p, a, site, v->terms);
		load[(size_t)from * v->p->sites.count + to] += assign_anchor_share(v->p, a);
		if (!assign_anchor_holds(v->p, a, site, &broken))
			worst = broken;
	}
	struct assign_reason reason = ASSIGN_REASON_NONE;
	reason.anchor = index;
	if (worst != ASSIGN_C_COUNT)
		breaks(v, worst, reason);
}

static void evaluate_paths(struct evaluation *v, const int64_t *load)
{
	uint32_t sites = v->p->sites.count;
	for (uint32_t from = 0; from < sites; from++) {
		for (uint32_t to = 0; to < sites; to++) {
			if (load[(size_t)from * sites + to] <= assign_limit(v->p, from, to))
				continue;
			struct assign_reason reason = ASSIGN_REASON_NONE;
			reason.from_site = from;
			reason.to_site = to;
			breaks(v, ASSIGN_C_BANDWIDTH, reason);
		}
	}
}

static int64_t potential(const struct assign_problem *p, const struct assign_bin *b,
	const int64_t *used)
{
	int64_t value = 0;
	for (uint32_t k = 0; k < b->plane_count; k++) {
		int64_t plane = assign_plane_value(b->planes[k].base, b->planes[k].slope, used,
			p->resource_count);
		if (k == 0 || (b->concave ? plane < value : plane > value))
			value = plane;
	}
	return value;
}

static void evaluate_bin(struct evaluation *v, uint32_t bin)
{
	const struct assign_problem *p = v->p;
	const struct assign_bin *b = &p->bins[bin];
	int64_t used[ASSIGN_RESOURCES_MAX] = {0}, none[ASSIGN_RESOURCES_MAX] = {0};
	uint32_t there = 0;
	for (uint32_t c = 0; c < p->component_count; c++) {
		for (uint32_t i = 0; i < p->components[c].replicas; i++) {
			if (v->bin_of[v->first[c] + i] != bin)
				continue;
			there++;
			for (uint32_t r = 0; r < p->resource_count; r++)
				used[r] += p->components[c].need[r];
		}
	}
	v->terms[PLACE_TERM_BALANCE] += potential(p, b, used) - potential(p, b, none);
	if (there && !b->occupied) {
		v->terms[PLACE_TERM_ENERGY] += assign_fix(b->on_energy);
		v->terms[PLACE_TERM_CARBON] += assign_fix(b->on_carbon);
		v->terms[PLACE_TERM_MONEY] += assign_fix(b->on_money);
	}
	for (uint32_t r = 0; r < p->resource_count; r++) {
		struct assign_reason reason = ASSIGN_REASON_NONE;
		reason.resource = r;
		reason.bin = bin;
		if (used[r] > b->room[r])
			breaks(v, ASSIGN_C_ROOM, reason);
	}
}

uint32_t assign_item_count(const struct assign_problem *p)
{
	uint32_t items = 0;
	for (uint32_t c = 0; c < p->component_count; c++)
		items += p->components[c].replicas;
	return items;
}

uint32_t assign_evaluate(const struct assign_problem *p, const uint32_t *bin_of,
	struct assign_cost *ret_cost, struct assign_reason *ret_broken, uint32_t most)
{
	*ret_cost = (struct assign_cost){0};
	struct evaluation v = {.p = p,
		.bin_of = bin_of,
		.terms = ret_cost->terms,
		.broken = ret_broken,
		.most = most};
	CLEANUP(mem_free_ptr)
	int64_t *load = mem_alloc_array((size_t)p->sites.count * p->sites.count, sizeof(*load));
	CLEANUP(mem_free_ptr)
	uint32_t *first = mem_alloc_array(p->component_count, sizeof(*first));
	CLEANUP(mem_free_ptr) uint8_t *seen = mem_alloc(p->bin_count);
	v.first = first;
	for (uint32_t c = 1; c < p->component_count; c++)
		first[c] = first[c - 1] + p->components[c - 1].replicas;
	for (uint32_t c = 0; c < p->component_count; c++) {
		evaluate_component(&v, c);
		evaluate_kin(&v, c);
	}
	for (uint32_t i = 0; i < assign_item_count(p); i++)
		seen[bin_of[i]] = 1;
	for (uint32_t b = 0; b < p->bin_count; b++)
		if (seen[b])
			evaluate_bin(&v, b);
	for (uint32_t l = 0; l < p->link_count; l++)
		evaluate_link(&v, l, load);
	for (uint32_t a = 0; a < p->anchor_count; a++)
		evaluate_anchor(&v, a, load);
	evaluate_paths(&v, load);
	for (int k = 0; k < PLACE_TERM_COUNT; k++)
		ret_cost->total += ret_cost->terms[k];
	return v.broken_count;
}
