/* First assignments: one item after the other, each to the bin that costs least as things are. They
 * differ in the order. */
#include <stdlib.h>

#include "base/mem.h"
#include "place/assign/tables.h"

#define REGRET_MOST 30 /* items of which each is priced again after each decision */

struct ranked {
	double key;
	uint32_t item;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->key != y->key)
		return x->key > y->key ? -1 : 1;
	return x->item < y->item ? -1 : x->item > y->item;
}

static void place_best(struct state *s, uint32_t item, double strict)
{
	struct price price;
	uint32_t bin = assign_best(s, item, strict, ASSIGN_NONE, &price);
	assign_drop(s, item, bin);
}

/* The largest share of all room that a replica takes of any resource. */
static double size_of(const struct tables *t, uint32_t c)
{
	double most = 0;
	for (uint32_t k = 0; k < t->r; k++) {
		double room = 1;
		for (uint32_t b = 0; b < t->bins; b++)
			room += (double)t->room[(size_t)b * t->r + k];
		double share = (double)t->need[c * t->r + k] / room;
		most = share > most ? share : most;
	}
	return most;
}

/* What a link costs between the two sites where it costs most: how much it matters. */
static double weight_of(const struct tables *t, const struct edge *e)
{
	int64_t most = 0;
	for (size_t i = 0; i < (size_t)t->sites * t->sites; i++)
		most = e->rows[i] > most ? e->rows[i] : most;
	return (double)most;
}

static void build_sorted(struct state *s, bool at_random, double strict, struct rand *rand)
{
	const struct tables *t = s->t;
	CLEANUP(mem_free_ptr) struct ranked *order = mem_alloc_array(t->items, sizeof(*order));
	for (uint32_t c = 0; c < t->components; c++) {
		double size = at_random ? 0 : size_of(t, c);
		for (uint32_t i = 0; i < t->component[c].replicas; i++) {
			uint32_t item = t->component[c].first + i;
			order[item] = (struct ranked){at_random ? rand_unit(rand) : size, item};
		}
	}
	qsort(order, t->items, sizeof(*order), compare_ranked);
	for (uint32_t i = 0; i < t->items; i++)
		place_best(s, order[i].item, strict);
}

/* The component that is tied most to those that are placed comes next. */
static void build_linked(struct state *s, double strict)
{
	const struct tables *t = s->t;
	CLEANUP(mem_free_ptr) double *tie = mem_alloc_array(t->components, sizeof(*tie));
	CLEANUP(mem_free_ptr) bool *done = mem_alloc_array(t->components, sizeof(*done));
	CLEANUP(mem_free_ptr)
	double *weight = mem_alloc_array(2 * (size_t)t->problem->link_count + 1, sizeof(*weight));
	for (uint32_t c = 0; c < t->components; c++) {
		const struct component *k = &t->component[c];
		for (uint32_t i = 0; i < k->edge_count; i++) {
			weight[k->edge_first + i] = weight_of(t, &t->edges[k->edge_first + i]);
			tie[c] += weight[k->edge_first + i] * 1e-3;
		}
	}
	for (uint32_t n = 0; n < t->components; n++) {
		uint32_t next = ASSIGN_NONE;
		for (uint32_t c = 0; c < t->components; c++)
			if (!done[c] && (next == ASSIGN_NONE || tie[c] > tie[next]))
				next = c;
		const struct component *k = &t->component[next];
		done[next] = true;
		for (uint32_t i = 0; i < k->replicas; i++)
			place_best(s, k->first + i, strict);
		for (uint32_t i = 0; i < k->edge_count; i++)
			tie[t->edges[k->edge_first + i].partner] += weight[k->edge_first + i];
	}
}

/* What it costs to place the item at its second best site instead of the best. */
static double regret(struct state *s, uint32_t item, double strict)
{
	const struct tables *t = s->t;
	uint32_t c = t->component_of[item], found = 0;
	double first = 0, second = 0;
	for (uint32_t i = t->open_site[c]; i < t->open_site[c + 1]; i++) {
		uint32_t site = t->open_sites[i];
		struct price at_bin, price = assign_price_site(s, item, site);
		if (assign_best_bin(s, item, site, strict, ASSIGN_NONE, &at_bin) == ASSIGN_NONE)
			continue;
		double value = (double)(price.cost + at_bin.cost) +
			       strict * (double)(price.over + at_bin.over);
		if (!found || value < first) {
			second = first;
			first = value;
		} else if (found == 1 || value < second) {
			second = value;
		}
		found++;
	}
	return found > 1 ? second - first : 1e300;
}

static void build_by_regret(struct state *s, double strict)
{
	const struct tables *t = s->t;
	for (uint32_t n = 0; n < t->items; n++) {
		uint32_t next = ASSIGN_NONE;
		double most = 0;
		for (uint32_t i = 0; i < t->items; i++) {
			if (s->bin_of[i] != ASSIGN_NONE)
				continue;
			double r = regret(s, i, strict);
			if (next == ASSIGN_NONE || r > most) {
				next = i;
				most = r;
			}
		}
		place_best(s, next, strict);
	}
}

static void clear(struct state *s)
{
	for (uint32_t i = 0; i < s->t->items; i++)
		if (s->bin_of[i] != ASSIGN_NONE)
			assign_forget(s, i);
}

void assign_build_at(struct state *s, uint32_t site, double strict)
{
	const struct tables *t = s->t;
	clear(s);
	for (uint32_t i = 0; i < t->items; i++) {
		struct price price;
		uint32_t bin = assign_best_bin(s, i, site, strict, ASSIGN_NONE, &price);
		if (bin != ASSIGN_NONE && price.over == 0)
			assign_drop(s, i, bin);
	}
	for (uint32_t i = 0; i < t->items; i++)
		if (s->bin_of[i] == ASSIGN_NONE)
			place_best(s, i, strict);
}

void assign_build(struct state *s, enum assign_order order, double strict, struct rand *rand)
{
	clear(s);
	if (order == ASSIGN_BY_REGRET && s->t->items <= REGRET_MOST)
		build_by_regret(s, strict);
	else if (order == ASSIGN_LINKED_FIRST)
		build_linked(s, strict);
	else
		build_sorted(s, order == ASSIGN_AT_RANDOM, strict, rand);
}
