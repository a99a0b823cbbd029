/* What no plan can undercut: each item by itself, at the site that suits it best, with half of what
 * each of its links costs there at least. */
#include <stdlib.h>

#include "base/mem.h"
#include "place/assign/tables.h"

/* What holds for one bin whatever is on it. */
struct floor {
	double growth[ASSIGN_RESOURCES_MAX]; /* of a convex potential, by resource */
};

/* A convex potential grows at least along the planes that hold for nothing, and so along their
 * mean, which all items of the bin share. */
static struct floor floor_of(const struct tables *t, const struct bin *b)
{
	struct floor f = {{0}};
	double count = 0;
	for (uint32_t k = 0; k < b->plane_count && !b->concave; k++) {
		size_t plane = b->plane_first + k;
		if (assign_fix(t->base[plane]) != b->base)
			continue;
		count++;
		for (uint32_t i = 0; i < t->r; i++)
			f.growth[i] += (t->slope[plane * t->r + i] - f.growth[i]) / count;
	}
	return f;
}

static double dot(const double *slope, const int64_t *need, uint32_t r)
{
	double sum = 0;
	for (uint32_t i = 0; i < r; i++)
		sum += slope[i] * (double)need[i];
	return sum;
}

/* What the potential of a bin grows by at least for what one replica needs; a concave one along the
 * flattest plane. Planes are rounded, hence the 2. */
static int64_t least_growth(const struct tables *t, uint32_t c, const struct bin *b,
	const struct floor *f)
{
	const int64_t *need = &t->need[c * t->r];
	double least = b->concave ? 0 : dot(f->growth, need, t->r);
	for (uint32_t k = 0; k < b->plane_count && b->concave; k++) {
		double growth = dot(&t->slope[(b->plane_first + k) * t->r], need, t->r);
		if (k == 0 || growth < least)
			least = growth;
	}
	return b->plane_count ? assign_fix(least) - 2 : 0;
}

/* The share of switching the bin on that falls on one replica, by what it takes of the room. */
static int64_t least_of_on(const struct tables *t, uint32_t c, uint32_t bin, uint32_t scarce)
{
	if (t->r == 0 || t->bin[bin].on == 0)
		return 0;
	int64_t room = t->room[(size_t)bin * t->r + scarce];
	double share = room > 0 ? (double)t->need[c * t->r + scarce] / (double)room : 0;
	int64_t part = (int64_t)((double)t->bin[bin].on * share) - 1;
	return part > 0 ? part : 0;
}

/* The resource of which all items together take most of the room. */
static uint32_t scarce_resource(const struct tables *t)
{
	uint32_t scarce = 0;
	double most = -1;
	for (uint32_t k = 0; k < t->r; k++) {
		double room = 1, need = 0;
		for (uint32_t b = 0; b < t->bins; b++)
			room += (double)t->room[(size_t)b * t->r + k];
		for (uint32_t i = 0; i < t->items; i++)
			need += (double)t->need[t->component_of[i] * t->r + k];
		if (need / room > most) {
			most = need / room;
			scarce = k;
		}
	}
	return scarce;
}

/* Half of the least that the item's links cost when it is at the site. */
static int64_t least_of_links(const struct tables *t, uint32_t c, uint32_t site)
{
	const struct component *k = &t->component[c];
	int64_t sum = 0;
	for (uint32_t i = 0; i < k->edge_count; i++) {
		const struct edge *e = &t->edges[k->edge_first + i];
		int64_t least = ASSIGN_NEVER, pairs = t->component[e->partner].replicas;
		for (uint32_t u = t->open_site[e->partner]; u < t->open_site[e->partner + 1]; u++) {
			size_t cell = (size_t)t->open_sites[u] * t->sites + site;
			if ((!e->over || e->over[cell] == 0) && e->rows[cell] < least)
				least = e->rows[cell];
		}
		if (least != ASSIGN_NEVER)
			sum += least * (e->partner == c ? pairs - 1 : pairs);
	}
	return sum / 2;
}

static int64_t least_of_bins(const struct tables *t, uint32_t c, uint32_t site, uint32_t scarce,
	uint32_t home, const struct floor *floors)
{
	int64_t least = ASSIGN_NEVER;
	for (uint32_t i = t->site_bin[site]; i < t->site_bin[site + 1]; i++) {
		uint32_t b = t->site_bins[i];
		int64_t cost = t->fixed[(size_t)c * t->bins + b];
		if (cost == ASSIGN_NEVER)
			continue;
		cost += least_growth(t, c, &t->bin[b], &floors[b]) + least_of_on(t, c, b, scarce);
		if (home != ASSIGN_NONE && home != b)
			cost += t->component[c].move;
		least = cost < least ? cost : least;
	}
	return least;
}

static int64_t least_of_item(const struct tables *t, uint32_t c, uint32_t scarce, uint32_t home,
	const struct floor *floors)
{
	int64_t least = ASSIGN_NEVER;
	for (uint32_t u = t->open_site[c]; u < t->open_site[c + 1]; u++) {
		uint32_t site = t->open_sites[u];
		int64_t cost = least_of_bins(t, c, site, scarce, home, floors);
		cost += t->tied[(size_t)c * t->sites + site] + least_of_links(t, c, site);
		least = cost < least ? cost : least;
	}
	return least;
}

int64_t assign_bound(const struct tables *t)
{
	uint32_t scarce = scarce_resource(t);
	CLEANUP(mem_free_ptr) struct floor *floors = mem_alloc_array(t->bins, sizeof(*floors));
	int64_t sum = 0;
	for (uint32_t b = 0; b < t->bins; b++)
		floors[b] = floor_of(t, &t->bin[b]);
	for (uint32_t c = 0; c < t->components; c++) {
		const struct component *k = &t->component[c];
		int64_t least = least_of_item(t, c, scarce, ASSIGN_NONE, floors);
		for (uint32_t i = 0; i < k->replicas; i++) {
			uint32_t home = t->home[k->first + i];
			sum += home == ASSIGN_NONE ? least
						   : least_of_item(t, c, scarce, home, floors);
		}
	}
	return sum;
}
