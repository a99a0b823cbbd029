/* A ranking against a scan of all nodes: rows that come, change, move between trees and go; queries
 * with random pods, costs that come on top and nodes that are refused. */
#include "base/mem.h"
#include "base/rand.h"
#include "place/ranking.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NODES 3000
#define TREES 3

struct world {
	struct ranking ranking;
	struct rank_row rows[NODES];
	uint32_t tree_of[NODES]; /* RANK_NONE: in none */
	struct rand rand;
	int32_t span; /* of u and v: a small one makes equals */
	uint64_t salt;
};

static struct world *world_new(uint64_t seed, int32_t span)
{
	struct world *w = mem_new(struct world);
	ranking_init(&w->ranking);
	rand_init(&w->rand, seed);
	memset(w->tree_of, 0xff, sizeof(w->tree_of));
	w->span = span;
	w->salt = seed;
	return w;
}

static void world_free(struct world *w)
{
	ranking_done(&w->ranking);
	free(w);
}

/* A little further, as pods that come and go make it, or anywhere. */
static int32_t moved(struct world *w, int32_t from)
{
	if (rand_below(&w->rand, 8) == 0)
		return (int32_t)rand_between(&w->rand, 0, w->span);
	int64_t to = from + rand_between(&w->rand, -w->span / 50, w->span / 50);
	return (int32_t)(to < 0 ? 0 : to > w->span ? w->span : to);
}

static void put(struct world *w, uint32_t node)
{
	struct rank_row *row = &w->rows[node];
	row->u = moved(w, row->u);
	row->v = moved(w, row->v);
	for (int i = 0; i < RANK_FREE; i++)
		row->free[i] = (int32_t)rand_between(&w->rand, -1, 20);
	row->order = node * 2654435761u;
	if (w->tree_of[node] == RANK_NONE || rand_below(&w->rand, 8) == 0)
		w->tree_of[node] = (uint32_t)rand_below(&w->rand, TREES);
	ranking_set(&w->ranking, node, w->tree_of[node], row);
}

static void change(struct world *w, uint32_t nodes)
{
	uint32_t node = (uint32_t)rand_below(&w->rand, nodes);
	if (rand_below(&w->rand, 4) == 0) {
		ranking_remove(&w->ranking, node);
		w->tree_of[node] = RANK_NONE;
	} else {
		put(w, node);
	}
}

/* What comes on top: nothing for most, something for some, and one in eight is refused. */
static int64_t total_of(void *arg, uint32_t node, int64_t least)
{
	struct world *w = arg;
	uint64_t x = (node + w->salt) * 0x9e3779b97f4a7c15ULL;
	x ^= x >> 29;
	if (x % 8 == 0)
		return RANK_NEVER;
	return x % 8 < 3 ? least + (int64_t)(x >> 8) % (w->span + 1) : least;
}

static bool fits(const struct rank_row *row, const struct rank_query *q)
{
	for (int i = 0; i < RANK_FREE; i++)
		if (row->free[i] < q->need[i])
			return false;
	return true;
}

static void scan(struct world *w, uint32_t tree, const struct rank_query *q, struct rank_best *best)
{
	for (uint32_t i = 0; i < NODES; i++) {
		const struct rank_row *row = &w->rows[i];
		if (w->tree_of[i] != tree || !fits(row, q))
			continue;
		int32_t u = row->u + q->cu, v = row->v + q->cv;
		int64_t total = total_of(w, i, rank_total(q, u > v ? u : v));
		struct rank_best one = {total, i, row->order};
		for (int k = 0; k < 2 && total != RANK_NEVER; k++) {
			if (one.total > best[k].total ||
				(one.total == best[k].total && one.order >= best[k].order))
				continue;
			struct rank_best other = best[k];
			best[k] = one;
			one = other;
		}
	}
}

static void check_query(struct world *w)
{
	struct rank_query q = {.cu = (int32_t)rand_between(&w->rand, 0, w->span),
		.cv = (int32_t)rand_between(&w->rand, 0, w->span),
		.weight = rand_between(&w->rand, 0, 3) << RANK_WEIGHT_SHIFT,
		.rest = rand_between(&w->rand, -5, 5),
		.total = total_of,
		.arg = w};
	for (int i = 0; i < RANK_FREE; i++)
		q.need[i] = rand_below(&w->rand, 2) ? INT32_MIN
						    : (int32_t)rand_between(&w->rand, 0, 15);
	struct rank_best none = {RANK_NEVER, RANK_NONE, RANK_NONE};
	struct rank_best found[2] = {none, none}, wanted[2] = {none, none};
	w->salt = rand_next(&w->rand);
	for (uint32_t t = 0; t < TREES; t++) {
		int64_t bound = ranking_bound(&w->ranking, t, &q);
		struct rank_best alone[2] = {none, none};
		scan(w, t, &q, alone);
		assert_true(bound <= alone[0].total);
		scan(w, t, &q, wanted);
		(void)ranking_search(&w->ranking, t, &q, found, 2);
	}
	for (int k = 0; k < 2; k++) {
		assert_int_equal(found[k].node, wanted[k].node);
		assert_int_equal(found[k].total, wanted[k].total);
	}
}

static void run(uint64_t seed, int32_t span, uint32_t nodes)
{
	struct world *w = world_new(seed, span);
	for (int i = 0; i < 20000; i++) {
		change(w, nodes);
		if (i % 100 == 0)
			check_query(w);
	}
	for (uint32_t i = 0; i < nodes; i++)
		ranking_remove(&w->ranking, i);
	for (uint32_t t = 0; t < TREES; t++)
		assert_true(ranking_is_empty(&w->ranking, t));
	world_free(w);
}

static void finds_what_a_scan_finds(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		run(seed, RANK_FULL, NODES);
		run(seed, 20, NODES); /* equals everywhere */
		run(seed, 100, 40);
	}
}

/* All nodes of a stretch of the order go, in any order, and come again close together elsewhere:
 * whole branches empty beside full ones. */
static void stretches_empty(void **state)
{
	(void)state;
	struct world *w = world_new(7, RANK_FULL);
	for (uint32_t i = 0; i < NODES; i++)
		put(w, i);
	for (int round = 0; round < 300; round++) {
		int32_t low =
			round % 2 ? -w->span : (int32_t)rand_between(&w->rand, -w->span, w->span);
		int32_t high = low + (int32_t)rand_between(&w->rand, 1, w->span / 2);
		int32_t u = (int32_t)rand_between(&w->rand, 0, w->span);
		uint32_t first = (uint32_t)rand_below(&w->rand, NODES);
		for (uint32_t i = 0; i < NODES; i++) {
			uint32_t node = (first + i * 7919) % NODES;
			struct rank_row *row = &w->rows[node];
			if (row->u - row->v < low || row->u - row->v > high)
				continue;
			ranking_remove(&w->ranking, node);
			row->u = u;
			row->v = (int32_t)rand_between(&w->rand, 0, w->span);
			if (i % 2 == 0)
				ranking_set(&w->ranking, node, w->tree_of[node], row);
			else
				w->tree_of[node] = RANK_NONE;
		}
		check_query(w);
		for (uint32_t i = 0; i < NODES; i++)
			if (w->tree_of[i] == RANK_NONE)
				put(w, i);
	}
	world_free(w);
}

/* Of nodes that are all alike, and of a fleet without room, few are looked at. */
static void looks_at_few(void **state)
{
	(void)state;
	struct world *w = world_new(1, 0);
	for (uint32_t i = 0; i < NODES; i++) {
		struct rank_row row = {.free = {10, 10, 10, 10}, .order = i * 2654435761u};
		ranking_set(&w->ranking, i, 0, &row);
	}
	struct rank_query q = {.weight = 1 << RANK_WEIGHT_SHIFT, .total = total_of, .arg = w};
	struct rank_best best = {RANK_NEVER, RANK_NONE, RANK_NONE};
	assert_in_range(ranking_search(&w->ranking, 0, &q, &best, 1), 1, 64);
	assert_int_equal(best.total, 0);
	q.need[3] = 11;
	best = (struct rank_best){RANK_NEVER, RANK_NONE, RANK_NONE};
	assert_int_equal(ranking_search(&w->ranking, 0, &q, &best, 1), 0);
	assert_int_equal(ranking_bound(&w->ranking, 0, &q), RANK_NEVER);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_a_scan_finds),
		cmocka_unit_test(stretches_empty),
		cmocka_unit_test(looks_at_few),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
