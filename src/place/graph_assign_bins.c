/* The nodes and places that the solver for wholes looks at: all that are possible, or the best of
 * many. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/graph_assign.h"

/* A node for a want, or a place by its cheapest node. */
struct priced {
	uint32_t place;
	int32_t cost;
	uint32_t order, index;
};

static int compare_priced(const void *a, const void *b)
{
	const struct priced *x = a, *y = b;
	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* ---- nodes ---- */

/* The rank of a node: the best one that it has at its place for any want. */
static void rank_nodes(const struct build *b, uint32_t *rank)
{
	CLEANUP(mem_free_ptr)
	struct priced *priced = mem_alloc_array(b->bin_count, sizeof(*priced));
	memset(rank, 0xff, b->g->p->nodes.count * sizeof(*rank));
	for (uint32_t i = 0; i < b->part_count; i++) {
		uint32_t n = 0, at = 0;
		for (uint32_t k = 0; k < b->bin_count; k++) {
			uint32_t node = b->nodes[k];
			if (b->parts[i].cost[node] != PART_NEVER)
				priced[n++] = (struct priced){graph_place_of(b->g, node),
					b->parts[i].cost[node], place_order_of(node), node};
		}
		qsort(priced, n, sizeof(*priced), compare_priced);
		for (uint32_t k = 0; k < n; k++, at++) {
			at = k == 0 || priced[k].place != priced[k - 1].place ? 0 : at;
			if (at < rank[priced[k].index])
				rank[priced[k].index] = at;
		}
	}
}

/* As many of each place, the best ones. */
static void keep_best_nodes(struct build *b)
{
	uint32_t count = b->bin_count, places = 0, at = 0;
	CLEANUP(mem_free_ptr)
	uint32_t *rank = mem_alloc_array(b->g->p->nodes.count, sizeof(*rank));
	CLEANUP(mem_free_ptr) struct priced *all = mem_alloc_array(count, sizeof(*all));
	rank_nodes(b, rank);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t node = b->nodes[i];
		all[i] = (struct priced){graph_place_of(b->g, node), (int32_t)rank[node],
			place_order_of(node), node};
	}
	qsort(all, count, sizeof(*all), compare_priced);
	for (uint32_t i = 0; i < count; i++)
		places += i == 0 || all[i].place != all[i - 1].place;
	uint32_t most = GRAPH_BINS_MOST / places;
	most = most ? most : 1;
	b->bin_count = 0;
	for (uint32_t i = 0; i < count; i++, at++) {
		at = i == 0 || all[i].place != all[i - 1].place ? 0 : at;
		if (at < most)
			b->nodes[b->bin_count++] = all[i].index;
	}
}

/* ---- places ---- */

/* Where some of the application run, where users are, and where one replica after the other went.
 */
static uint32_t mark_kept(const struct build *b, bool *keep)
{
	const struct graph *g = b->g;
	uint32_t count = 0;
	memcpy(keep, g->favoured, g->place_count * sizeof(*keep));
	for (uint32_t i = 0; i < g->tie_count; i++)
		if (g->ties[i].to == PLACE_NONE && g->ties[i].users.place != GRAPH_NOWHERE)
			keep[g->ties[i].users.place] = true;
	for (uint32_t c = 0; c < g->problem->application->component_count; c++) {
		VEC_EACH (&g->components[c].held, struct crowd, h)
			keep[h->place] = true;
	}
	for (uint32_t i = 0; i < g->place_count; i++)
		count += keep[i];
	return count;
}

/* The rank of a place: the best one that it has for any want, by its cheapest node. */
static void rank_places(const struct build *b, struct priced *places)
{
	uint32_t count = b->g->place_count;
	CLEANUP(mem_free_ptr) struct priced *one = mem_alloc_array(count, sizeof(*one));
	for (uint32_t k = 0; k < count; k++)
		places[k] = (struct priced){0, PART_NEVER, place_order_of(k), k};
	for (uint32_t i = 0; i < b->part_count; i++) {
		for (uint32_t k = 0; k < count; k++)
			one[k] = (struct priced){0, PART_NEVER, place_order_of(k), k};
		for (uint32_t k = 0; k < b->bin_count; k++) {
			int32_t *least = &one[graph_place_of(b->g, b->nodes[k])].cost;
			int32_t cost = b->parts[i].cost[b->nodes[k]];
			*least = cost < *least ? cost : *least;
		}
		qsort(one, count, sizeof(*one), compare_priced);
		for (uint32_t k = 0; k < count && one[k].cost != PART_NEVER; k++)
			if ((int32_t)k < places[one[k].index].cost)
				places[one[k].index].cost = (int32_t)k;
	}
	qsort(places, count, sizeof(*places), compare_priced);
}

static void keep_best_places(struct build *b, uint32_t most)
{
	struct graph *g = b->g;
	CLEANUP(mem_free_ptr) bool *keep = mem_alloc_array(g->place_count, sizeof(*keep));
	CLEANUP(mem_free_ptr)
	struct priced *ranked = mem_alloc_array(g->place_count, sizeof(*ranked));
	uint32_t kept = mark_kept(b, keep), bins = 0;
	rank_places(b, ranked);
	for (uint32_t i = 0; i < g->place_count && kept < most; i++) {
		if (keep[ranked[i].index] || ranked[i].cost == PART_NEVER)
			continue;
		keep[ranked[i].index] = true;
		kept++;
	}
	for (uint32_t i = 0; i < b->bin_count; i++)
		if (keep[graph_place_of(g, b->nodes[i])])
			b->nodes[bins++] = b->nodes[i];
	b->bin_count = bins;
}

/* ---- both ---- */

static bool is_open(const struct build *b, uint32_t node)
{
	for (uint32_t i = 0; i < b->part_count; i++)
		if (b->parts[i].cost[node] != PART_NEVER)
			return true;
	return false;
}

void graph_assign_bins(struct build *b)
{
	size_t count = b->g->p->nodes.count;
	uint32_t links = graph_assign_link_count(b);
	double most = sqrt((double)ASSIGN_CELLS_MAX / (links ? links : 1));
	uint32_t places = most < GRAPH_PLACES_MOST ? (uint32_t)most : GRAPH_PLACES_MOST;
	b->nodes = arena_new_array(&b->arena, count + 1, uint32_t);
	for (uint32_t node = 0; node < count; node++)
		if (is_open(b, node))
			b->nodes[b->bin_count++] = node;
	if (b->g->place_count > places)
		keep_best_places(b, places);
	if (b->bin_count > GRAPH_BINS_MOST)
		keep_best_nodes(b);
}
