/* What a problem may be: every number is looked at once, and the first that is impossible is named,
 * so that the solver itself never meets one. */
#include <math.h>
#include <stdio.h>

#include "place/assign/tables.h"

#define TRAFFIC_MOST 1152921504606846976.0 /* 2^60 */

/* A name for errors: what it is, its own name and its index. */
struct thing {
	char text[96];
};
static struct thing thing(const char *what, const char *name, uint32_t index)
{
	struct thing t;
	if (name)
		snprintf(t.text, sizeof(t.text), "%s %u (%.60s)", what, index, name);
	else
		snprintf(t.text, sizeof(t.text), "%s %u", what, index);
	return t;
}

static int check_cost(double value, const struct thing *t, const char *what, struct err *e)
{
	if (value >= 0 && value <= ASSIGN_COST_MAX)
		return 0;
	return err_set(e, ERR_INVALID, "%s: %s is %g; 0 to %g is possible", t->text, what, value,
		ASSIGN_COST_MAX);
}

static int check_amount(int64_t value, const struct thing *t, const char *what, struct err *e)
{
	if (value >= 0 && value <= ASSIGN_AMOUNT_MAX)
		return 0;
	return err_set(e, ERR_INVALID, "%s: %s is %lld; 0 to %lld is possible", t->text, what,
		(long long)value, (long long)ASSIGN_AMOUNT_MAX);
}

static int check_index(uint32_t value, uint32_t count, const struct thing *t, const char *what,
	struct err *e)
{
	if (value < count)
		return 0;
	return err_set(e, ERR_INVALID, "%s: %s %u is unknown; there are %u", t->text, what, value,
		count);
}

static int check_count(uint64_t value, uint64_t least, uint64_t most, const char *what,
	struct err *e)
{
	if (value >= least && value <= most)
		return 0;
	return err_set(e, value < least ? ERR_INVALID : ERR_TOO_LARGE,
		"an application with %llu %s; %llu to %llu are possible", (unsigned long long)value,
		what, (unsigned long long)least, (unsigned long long)most);
}

/* Whether there are as many of everything as the solver can hold. */
static int check_sizes(const struct assign_problem *p, struct err *e)
{
	uint64_t sites = p->sites.count, items = 0;
	int r = check_count(p->resource_count, 0, ASSIGN_RESOURCES_MAX, "resources", e);
	if (r == 0)
		r = check_count(sites, 1, ASSIGN_SITES_MAX, "sites", e);
	if (r == 0)
		r = check_count(p->bin_count, 1, ASSIGN_BINS_MAX, "nodes", e);
	if (r == 0)
		r = check_count(p->component_count, 1, ASSIGN_COMPONENTS_MAX, "components", e);
	if (r == 0)
		r = check_count(p->link_count, 0, ASSIGN_LINKS_MAX, "links", e);
	if (r == 0)
		r = check_count(p->anchor_count, 0, ASSIGN_LINKS_MAX, "links to sites", e);
	for (uint32_t c = 0; r == 0 && c < p->component_count; c++)
		items += p->components[c].replicas;
	if (r == 0)
		r = check_count(items, 1, ASSIGN_ITEMS_MAX, "replicas", e);
	if (r == 0)
		r = check_count((uint64_t)p->component_count * p->bin_count, 1, ASSIGN_CELLS_MAX,
			"components times nodes", e);
	if (r == 0)
		r = check_count(p->link_count * sites * sites, 0, ASSIGN_CELLS_MAX,
			"links times sites times sites", e);
	return r;
}

static int check_sites(const struct assign_sites *s, struct err *e)
{
	for (uint32_t i = 0; i < s->count * s->count; i++) {
		uint32_t from = i / s->count, to = i % s->count;
		struct thing t = thing("site", s->names ? s->names[from] : NULL, from);
		double ms = s->latency_ms[i],
		       price = s->price_per_gigabyte ? s->price_per_gigabyte[i] : 0;
		if (!(ms >= 0 && ms <= ASSIGN_COST_MAX))
			return err_set(e, ERR_INVALID, "%s: latency to site %u is %g ms", t.text,
				to, ms);
		if (!(price >= 0 && price <= ASSIGN_COST_MAX))
			return err_set(e, ERR_INVALID, "%s: price of a GB to site %u is %g", t.text,
				to, price);
		if (s->bits_per_s && s->bits_per_s[i] < 0)
			return err_set(e, ERR_INVALID, "%s: bandwidth to site %u is %lld bit/s",
				t.text, to, (long long)s->bits_per_s[i]);
	}
	return 0;
}

static int check_planes(const struct assign_problem *p, const struct assign_bin *b,
	const struct thing *t, struct err *e)
{
	if (b->plane_count > ASSIGN_PLANES_MAX)
		return err_set(e, ERR_TOO_LARGE, "%s: %u planes; at most %u are possible", t->text,
			b->plane_count, ASSIGN_PLANES_MAX);
	for (uint32_t k = 0; k < b->plane_count; k++) {
		double most = fabs(b->planes[k].base);
		for (uint32_t r = 0; r < p->resource_count; r++)
			most += fabs(b->planes[k].slope[r]) * (double)b->room[r];
		if (!(most <= ASSIGN_COST_MAX))
			return err_set(e, ERR_INVALID,
				"%s: plane %u comes to %g; at most %g is possible", t->text, k,
				most, ASSIGN_COST_MAX);
	}
	return 0;
}

static int check_bin(const struct assign_problem *p, uint32_t index, struct err *e)
{
	const struct assign_bin *b = &p->bins[index];
	struct thing t = thing("node", b->name, index);
	int r = check_index(b->site, p->sites.count, &t, "site", e);
	for (uint32_t k = 0; r == 0 && k < p->resource_count; k++)
		r = check_amount(b->room[k], &t, p->resources ? p->resources[k] : "room", e);
	if (r == 0)
		r = check_cost(b->on_energy, &t, "energy of switching on", e);
	if (r == 0)
		r = check_cost(b->on_carbon, &t, "carbon of switching on", e);
	if (r == 0)
		r = check_cost(b->on_money, &t, "price of switching on", e);
	return r ? r : check_planes(p, b, &t, e);
}

static int check_component(const struct assign_problem *p, uint32_t index, struct err *e)
{
	const struct assign_component *c = &p->components[index];
	struct thing t = thing("component", c->name, index);
	int r = c->replicas ? 0 : err_set(e, ERR_INVALID, "%s: has no replicas", t.text);
	for (uint32_t k = 0; r == 0 && k < p->resource_count; k++)
		r = check_amount(c->need[k], &t, p->resources ? p->resources[k] : "need", e);
	if (r == 0 && c->static_count > PLACE_TERM_COUNT)
		r = err_set(e, ERR_TOO_LARGE, "%s: %u costs by node; one a term is possible",
			t.text, c->static_count);
	for (uint32_t k = 0; r == 0 && k < c->static_count; k++)
		r = check_index(c->statics[k].term, PLACE_TERM_COUNT, &t, "term", e);
	for (uint32_t i = 0; r == 0 && c->home && i < c->replicas; i++)
		if (c->home[i] != ASSIGN_NONE)
			r = check_index(c->home[i], p->bin_count, &t, "runs on a node that: node",
				e);
	if (r == 0 && (unsigned)c->together > ASSIGN_SAME_BIN)
		r = err_set(e, ERR_INVALID, "%s: together is %d", t.text, (int)c->together);
	if (r == 0)
		r = check_cost(c->spread_bin, &t, "spread over nodes", e);
	if (r == 0)
		r = check_cost(c->spread_site, &t, "spread over sites", e);
	return r ? r : check_cost(c->move_cost, &t, "cost of moving", e);
}

static int check_ends(double latency_ms, double per_ms, double over, double traffic,
	const struct thing *t, struct err *e)
{
	int r = check_cost(latency_ms, t, "latency bound", e);
	if (r == 0)
		r = check_cost(per_ms, t, "cost of a ms", e);
	if (r == 0)
		r = check_cost(over, t, "cost of a ms above the bound", e);
	return r ? r : check_cost(traffic, t, "weight of traffic", e);
}

static int check_link(const struct assign_problem *p, uint32_t index, struct err *e)
{
	const struct assign_link *l = &p->links[index];
	struct thing t = thing("link", NULL, index);
	int r = check_index(l->from, p->component_count, &t, "component", e);
	if (r == 0)
		r = check_index(l->to, p->component_count, &t, "component", e);
	if (r == 0)
		r = check_amount(l->bits_per_s, &t, "traffic", e);
	return r ? r
		 : check_ends(l->latency_ms, l->cost_per_ms, l->cost_over, l->traffic_weight, &t,
			   e);
}

static int check_anchor(const struct assign_problem *p, uint32_t index, struct err *e)
{
	const struct assign_anchor *a = &p->anchors[index];
	struct thing t = thing("link to a site", NULL, index);
	int r = check_index(a->component, p->component_count, &t, "component", e);
	if (r == 0)
		r = check_index(a->site, p->sites.count, &t, "site", e);
	if (r == 0)
		r = check_amount(a->bits_per_s, &t, "traffic", e);
	if (r == 0)
		r = check_amount(a->size_bytes, &t, "size", e);
	if (r == 0)
		r = check_cost(a->data_weight, &t, "weight of data", e);
	if (r == 0)
		r = check_cost(a->cost_per_s, &t, "cost of a second", e);
	return r ? r
		 : check_ends(a->latency_ms, a->cost_per_ms, a->cost_over, a->traffic_weight, &t,
			   e);
}

/* All of it may come to one path. */
static int check_traffic(const struct assign_problem *p, struct err *e)
{
	double sum = 0;
	for (uint32_t l = 0; l < p->link_count; l++)
		sum += (double)p->links[l].bits_per_s;
	for (uint32_t a = 0; a < p->anchor_count; a++)
		sum += (double)p->anchors[a].bits_per_s;
	if (sum <= TRAFFIC_MOST)
		return 0;
	return err_set(e, ERR_TOO_LARGE,
		"the traffic of all links comes to %g bit/s; at most %g is possible", sum,
		TRAFFIC_MOST);
}

int assign_check(const struct assign_problem *p, struct err *e)
{
	int r = check_sizes(p, e);
	if (r == 0)
		r = check_sites(&p->sites, e);
	for (uint32_t b = 0; r == 0 && b < p->bin_count; b++)
		r = check_bin(p, b, e);
	for (uint32_t c = 0; r == 0 && c < p->component_count; c++)
		r = check_component(p, c, e);
	for (uint32_t l = 0; r == 0 && l < p->link_count; l++)
		r = check_link(p, l, e);
	for (uint32_t a = 0; r == 0 && a < p->anchor_count; a++)
		r = check_anchor(p, a, e);
	return r ? r : check_traffic(p, e);
}
