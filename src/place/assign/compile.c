/* From a problem to tables. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/assign/tables.h"

/* Half of what an int64_t holds: what is added on the way must not overflow either. */
#define SUM_MOST (ASSIGN_COST_MAX * 256)

static void compile_items(struct tables *t)
{
	const struct assign_problem *p = t->problem;
	uint32_t item = 0;
	t->component = mem_alloc_array(t->components, sizeof(*t->component));
	t->component_of = mem_alloc_array(t->items, sizeof(*t->component_of));
	t->home = mem_alloc_array(t->items, sizeof(*t->home));
	t->need = mem_alloc_array((size_t)t->components * t->r + 1, sizeof(*t->need));
	for (uint32_t c = 0; c < t->components; c++) {
		const struct assign_component *given = &p->components[c];
		t->component[c] = (struct component){.first = item,
			.replicas = given->replicas,
			.spread_bin = assign_fix(given->spread_bin),
			.spread_site = assign_fix(given->spread_site),
			.move = assign_fix(given->move_cost),
			.given = given};
		for (uint32_t k = 0; k < t->r; k++)
			t->need[c * t->r + k] = given->need[k];
		for (uint32_t i = 0; i < given->replicas; i++, item++) {
			t->component_of[item] = c;
			t->home[item] = given->home ? given->home[i] : ASSIGN_NONE;
		}
	}
}

static void compile_bin(struct tables *t, uint32_t b, uint32_t *plane)
{
	const struct assign_bin *given = &t->problem->bins[b];
	struct bin *bin = &t->bin[b];
	int64_t none[ASSIGN_RESOURCES_MAX] = {0};
	*bin = (struct bin){given->site, *plane, given->plane_count, given->concave, 0, 0};
	if (!given->occupied)
		bin->on = assign_fix(given->on_energy) + assign_fix(given->on_carbon) +
			  assign_fix(given->on_money);
	for (uint32_t k = 0; k < given->plane_count; k++, (*plane)++) {
		const struct assign_plane *from = &given->planes[k];
		t->base[*plane] = from->base;
		memcpy(&t->slope[(size_t)*plane * t->r], from->slope, t->r * sizeof(*t->slope));
		int64_t value = assign_plane_value(from->base, from->slope, none, t->r);
		if (k == 0 || (bin->concave ? value < bin->base : value > bin->base))
			bin->base = value;
	}
	for (uint32_t k = 0; k < t->r; k++) {
		int64_t room = given->room[k];
		t->room[(size_t)b * t->r + k] = room;
		t->inverse[(size_t)b * t->r + k] = (double)OVER_ONE / (double)(room > 0 ? room : 1);
	}
}

static void compile_bins(struct tables *t)
{
	const struct assign_problem *p = t->problem;
	uint32_t planes = 0, plane = 0;
	for (uint32_t b = 0; b < t->bins; b++)
		planes += p->bins[b].plane_count;
	t->bin = mem_alloc_array(t->bins, sizeof(*t->bin));
	t->base = mem_alloc_array(planes + 1, sizeof(*t->base));
	t->slope = mem_alloc_array((size_t)planes * t->r + 1, sizeof(*t->slope));
	t->room = mem_alloc_array((size_t)t->bins * t->r + 1, sizeof(*t->room));
	t->inverse = mem_alloc_array((size_t)t->bins * t->r + 1, sizeof(*t->inverse));
	t->site_bin = mem_alloc_array(t->sites + 1, sizeof(*t->site_bin));
	t->site_bins = mem_alloc_array(t->bins, sizeof(*t->site_bins));
	for (uint32_t b = 0; b < t->bins; b++) {
		compile_bin(t, b, &plane);
		t->site_bin[p->bins[b].site + 1]++;
	}
	for (uint32_t s = 0; s < t->sites; s++)
		t->site_bin[s + 1] += t->site_bin[s];
	for (uint32_t b = t->bins; b-- > 0;)
		t->site_bins[--t->site_bin[p->bins[b].site + 1]] = b;
	memmove(t->site_bin, t->site_bin + 1, t->sites * sizeof(*t->site_bin));
	t->site_bin[t->sites] = t->bins;
}

/* One cost that is too large makes the sum too large: it was clamped. */
static double worst_of(int64_t most, double count)
{
	double one = (double)most;
	return one > ASSIGN_COST_MAX * (double)ASSIGN_UNIT ? INFINITY : one * count;
}

/* How far a pair of sites is beyond a hard bound; never 0 when it is. */
static int32_t beyond(double ms, double bound)
{
	double share = (ms - bound) / bound;
	return (int32_t)(OVER_ONE / 4) + (int32_t)((double)OVER_ONE / 4 * (share < 1 ? share : 1));
}

/* Both matrices of a link: as `from` sees it and as `to` does. Returns its greatest cost. */
static int64_t compile_link(struct tables *t, uint32_t index)
{
	const struct assign_link *l = &t->problem->links[index];
	size_t s = t->sites, cells = s * s;
	int64_t *from_rows = t->matrices + 2 * index * cells, *to_rows = from_rows + cells;
	int32_t *from_over = t->over_matrices ? t->over_matrices + 2 * index * cells : NULL;
	int64_t most = 0;
	for (uint32_t from = 0; from < s; from++) {
		for (uint32_t to = 0; to < s; to++) {
			int64_t cost = assign_link_cost(t->problem, l, from, to, NULL);
			from_rows[to * s + from] = to_rows[from * s + to] = cost;
			most = cost > most ? cost : most;
			if (!from_over || assign_link_holds(t->problem, l, from, to))
				continue;
			from_over[to * s + from] = from_over[cells + from * s + to] =
				beyond(assign_latency(t->problem, from, to), l->latency_ms);
		}
	}
	return most;
}

static void add_edge(struct tables *t, uint32_t component, uint32_t *used, struct edge e)
{
	struct component *c = &t->component[component];
	t->edges[c->edge_first + used[component]++] = e;
	c->inner |= e.partner == component;
}

/* Every link is an edge of both its ends; one of a component to itself is two edges of it. */
static double compile_links(struct tables *t)
{
	const struct assign_problem *p = t->problem;
	size_t cells = (size_t)t->sites * t->sites;
	double sum = 0;
	CLEANUP(mem_free_ptr) uint32_t *used = mem_alloc_array(t->components, sizeof(*used));
	t->edges = mem_alloc_array(2 * (size_t)p->link_count + 1, sizeof(*t->edges));
	t->matrices = mem_alloc_array(2 * p->link_count * cells + 1, sizeof(*t->matrices));
	for (uint32_t l = 0; l < p->link_count; l++) {
		t->component[p->links[l].from].edge_count++;
		t->component[p->links[l].to].edge_count++;
		t->has_over |= p->links[l].hard && p->links[l].latency_ms > 0;
	}
	if (t->has_over)
		t->over_matrices =
			mem_alloc_array(2 * p->link_count * cells, sizeof(*t->over_matrices));
	for (uint32_t c = 1; c < t->components; c++)
		t->component[c].edge_first =
			t->component[c - 1].edge_first + t->component[c - 1].edge_count;
	for (uint32_t l = 0; l < p->link_count; l++) {
		const struct assign_link *link = &p->links[l];
		bool hard = link->hard && link->latency_ms > 0;
		int64_t share = assign_share(p, link), *rows = t->matrices + 2 * l * cells;
		const int32_t *over = hard ? t->over_matrices + 2 * l * cells : NULL;
		if (assign_pairs(p, link) == 0)
			continue;
		sum += worst_of(compile_link(t, l), (double)assign_pairs(p, link));
		add_edge(t, link->from, used, (struct edge){link->to, l, true, share, rows, over});
		add_edge(t, link->to, used,
			(struct edge){link->from, l, false, share, rows + cells,
				over ? over + cells : NULL});
	}
	for (uint32_t c = 0; c < t->components; c++)
		t->component[c].edge_count = used[c];
	return sum;
}

static double compile_anchors(struct tables *t)
{
	const struct assign_problem *p = t->problem;
	size_t cells = (size_t)t->components * t->sites;
	double sum = 0;
	t->tied = mem_alloc_array(cells, sizeof(*t->tied));
	t->tied_over = mem_alloc_array(cells, sizeof(*t->tied_over));
	t->tied_out = mem_alloc_array(cells, sizeof(*t->tied_out));
	t->tied_in = mem_alloc_array(cells, sizeof(*t->tied_in));
	for (uint32_t a = 0; a < p->anchor_count; a++) {
		const struct assign_anchor *anchor = &p->anchors[a];
		size_t row = (size_t)anchor->component * t->sites;
		int64_t most = 0;
		for (uint32_t s = 0; s < t->sites; s++) {
			enum assign_constraint broken;
			int64_t cost = assign_anchor_cost(p, anchor, s, NULL);
			t->tied[row + s] += cost;
			most = cost > most ? cost : most;
			if (!assign_anchor_holds(p, anchor, s, &broken))
				t->tied_over[row + s] = 1;
		}
		(anchor->inward ? t->tied_in : t->tied_out)[row + anchor->site] +=
			assign_anchor_share(p, anchor);
		sum += worst_of(most, p->components[anchor->component].replicas);
		if (sum > SUM_MOST * (double)ASSIGN_UNIT)
			break;
	}
	return sum;
}

static void compile_paths(struct tables *t)
{
	size_t cells = (size_t)t->sites * t->sites;
	t->limit = mem_alloc_array(cells, sizeof(*t->limit));
	t->limit_inverse = mem_alloc_array(cells, sizeof(*t->limit_inverse));
	for (uint32_t i = 0; i < cells; i++) {
		int64_t limit = assign_limit(t->problem, i / t->sites, i % t->sites);
		t->limit[i] = limit;
		t->limit_inverse[i] = (double)OVER_ONE / (double)(limit > 0 ? limit : 1);
		t->has_limits |= limit != ASSIGN_UNLIMITED;
	}
}

static bool fits_alone(const struct tables *t, uint32_t c, uint32_t b)
{
	for (uint32_t k = 0; k < t->r; k++)
		if (t->need[c * t->r + k] > t->room[(size_t)b * t->r + k])
			return false;
	return true;
}

/* A bin on which a constraint of the component alone can never hold is not open to it. */
static double compile_fixed(struct tables *t)
{
	double sum = 0;
	t->fixed = mem_alloc_array((size_t)t->components * t->bins, sizeof(*t->fixed));
	for (uint32_t c = 0; c < t->components; c++) {
		const struct assign_component *given = t->component[c].given;
		int64_t *row = &t->fixed[(size_t)c * t->bins], most = 0;
		for (uint32_t k = 0; k < given->static_count; k++)
			for (uint32_t b = 0; b < t->bins; b++)
				row[b] += (int64_t)given->statics[k].by_bin[b] *
					  (ASSIGN_UNIT / ASSIGN_FINE);
		for (uint32_t b = 0; b < t->bins; b++) {
			int64_t size = row[b] < 0 ? -row[b] : row[b];
			most = size > most ? size : most;
			if (!assign_allows(given, b) || !fits_alone(t, c, b) ||
				t->tied_over[c * t->sites + t->bin[b].site])
				row[b] = ASSIGN_NEVER;
		}
		double n = given->replicas;
		sum += n * ((double)most + (double)t->component[c].move) +
		       n * n / 2 *
			       (double)(t->component[c].spread_bin + t->component[c].spread_site);
	}
	return sum;
}

/* As many bins as there are items can cost. */
static double worst_of_bins(const struct tables *t)
{
	double most = 0;
	for (uint32_t b = 0; b < t->bins; b++) {
		const struct assign_bin *given = &t->problem->bins[b];
		double one = (double)t->bin[b].on, plane = 0;
		for (uint32_t k = 0; k < given->plane_count; k++) {
			double value = fabs(given->planes[k].base);
			for (uint32_t r = 0; r < t->r; r++)
				value += fabs(given->planes[k].slope[r]) * (double)given->room[r];
			plane = value > plane ? value : plane;
		}
		one += 2 * plane * (double)ASSIGN_UNIT;
		most = one > most ? one : most;
	}
	return most * t->items;
}

/* What the bin costs with one replica of the component alone on it. */
static int64_t price_alone(const struct tables *t, uint32_t c, uint32_t b)
{
	const struct bin *bin = &t->bin[b];
	int64_t value = assign_potential(t, bin, &t->need[c * t->r]);
	return t->fixed[(size_t)c * t->bins + b] + bin->on + value - bin->base;
}

/* Keeps the PRICE_LIST cheapest in order; equal ones in the order of the bins. */
static void list_bin(struct priced *list, uint32_t *count, struct priced one)
{
	uint32_t at = *count;
	if (at == PRICE_LIST) {
		if (one.cost >= list[at - 1].cost)
			return;
		at--;
	} else {
		(*count)++;
	}
	for (; at > 0 && list[at - 1].cost > one.cost; at--)
		list[at] = list[at - 1];
	list[at] = one;
}

static void compile_lists(struct tables *t)
{
	size_t rows = (size_t)t->components * t->sites;
	uint32_t open = 0;
	t->list = mem_alloc_array(rows * PRICE_LIST, sizeof(*t->list));
	t->list_total = mem_alloc_array(rows, sizeof(*t->list_total));
	t->open_site = mem_alloc_array(t->components + 1, sizeof(*t->open_site));
	t->open_sites = mem_alloc_array(rows, sizeof(*t->open_sites));
	for (uint32_t c = 0; c < t->components; c++) {
		for (uint32_t s = 0; s < t->sites; s++) {
			size_t row = (size_t)c * t->sites + s;
			struct priced *list = &t->list[row * PRICE_LIST];
			uint32_t count = 0;
			for (uint32_t i = t->site_bin[s]; i < t->site_bin[s + 1]; i++) {
				uint32_t b = t->site_bins[i];
				if (t->fixed[(size_t)c * t->bins + b] == ASSIGN_NEVER)
					continue;
				t->list_total[row]++;
				list_bin(list, &count, (struct priced){price_alone(t, c, b), b});
			}
			for (; count < PRICE_LIST; count++)
				list[count].bin = ASSIGN_NONE;
			if (t->list_total[row])
				t->open_sites[open++] = s;
		}
		t->open_site[c + 1] = open;
	}
}

int assign_compile(const struct assign_problem *p, struct tables *t, struct err *e)
{
	*t = (struct tables){.problem = p,
		.r = p->resource_count,
		.items = assign_item_count(p),
		.bins = p->bin_count,
		.sites = p->sites.count,
		.components = p->component_count};
	compile_items(t);
	compile_bins(t);
	compile_paths(t);
	double sum = compile_links(t) + compile_anchors(t);
	sum += compile_fixed(t) + worst_of_bins(t);
	if (sum > SUM_MOST * (double)ASSIGN_UNIT) {
		assign_tables_done(t);
		return err_set(e, ERR_TOO_LARGE,
			"the costs of the application could come to %g; at most %g is possible",
			sum / (double)ASSIGN_UNIT, SUM_MOST);
	}
	compile_lists(t);
	return 0;
}

void assign_tables_done(struct tables *t)
{
	void *all[] = {t->component, t->component_of, t->home, t->edges, t->matrices,
		t->over_matrices, t->bin, t->room, t->need, t->inverse, t->base, t->slope, t->fixed,
		t->tied, t->tied_over, t->limit, t->limit_inverse, t->tied_out, t->tied_in,
		t->site_bin, t->site_bins, t->open_site, t->open_sites, t->list, t->list_total};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		free(all[i]);
	*t = (struct tables){0};
}
