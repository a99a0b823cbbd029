/*
 * What each term of the cost and each step of the search adds, on the applications of app50_ms.
 *
 *   bench-place-ablation       over SEEDS (20) instances
 *
 * Terms: an application is placed as if the term cost nothing, and the plan is then priced with all
 * terms: how much dearer it is, and how many times as high the term itself has become. Steps: the
 * search does without one, with the same budget: how much dearer the plan is, and how much the
 * worst one of the instances. Prints a Markdown table each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "place/assign/sample.h"

static void must(int rc, const struct err *e)
{
	if (rc == 0)
		return;
	fprintf(stderr, "bench-place-ablation: %s\n", e->text);
	exit(1);
}

/* ---- without a term ---- */

static void drop_statics(struct assign_component *c, enum place_term term, struct arena *a)
{
	struct assign_static *kept = arena_new_array(a, c->static_count, struct assign_static);
	uint32_t count = 0;
	for (uint32_t i = 0; i < c->static_count; i++)
		if (c->statics[i].term != term)
			kept[count++] = c->statics[i];
	c->statics = kept;
	c->static_count = count;
}

static void drop_from_components(struct assign_problem *p, enum place_term term, struct arena *a)
{
	struct assign_component *all =
		arena_new_array(a, p->component_count, struct assign_component);
	memcpy(all, p->components, p->component_count * sizeof(*all));
	for (uint32_t i = 0; i < p->component_count; i++) {
		drop_statics(&all[i], term, a);
		if (term == PLACE_TERM_SPREAD)
			all[i].spread_bin = all[i].spread_site = 0;
		if (term == PLACE_TERM_MOVE)
			all[i].move_cost = 0;
	}
	p->components = all;
}

static void drop_from_bins(struct assign_problem *p, enum place_term term, struct arena *a)
{
	struct assign_bin *all = arena_new_array(a, p->bin_count, struct assign_bin);
	memcpy(all, p->bins, p->bin_count * sizeof(*all));
	for (uint32_t i = 0; i < p->bin_count; i++) {
		all[i].on_energy = term == PLACE_TERM_ENERGY ? 0 : all[i].on_energy;
		all[i].on_carbon = term == PLACE_TERM_CARBON ? 0 : all[i].on_carbon;
		all[i].on_money = term == PLACE_TERM_MONEY ? 0 : all[i].on_money;
		all[i].plane_count = term == PLACE_TERM_BALANCE ? 0 : all[i].plane_count;
	}
	p->bins = all;
}

static void drop_from_links(struct assign_problem *p, enum place_term term, struct arena *a)
{
	struct assign_link *links = arena_new_array(a, p->link_count, struct assign_link);
	struct assign_anchor *anchors = arena_new_array(a, p->anchor_count, struct assign_anchor);
	memcpy(links, p->links, p->link_count * sizeof(*links));
	memcpy(anchors, p->anchors, p->anchor_count * sizeof(*anchors));
	for (uint32_t i = 0; i < p->link_count && term == PLACE_TERM_LATENCY; i++)
		links[i].cost_per_ms = links[i].cost_over = 0;
	for (uint32_t i = 0; i < p->link_count && term == PLACE_TERM_TRAFFIC; i++)
		links[i].traffic_weight = 0;
	for (uint32_t i = 0; i < p->anchor_count; i++) {
		if (term == PLACE_TERM_LATENCY)
			anchors[i].cost_per_ms = anchors[i].cost_over = 0;
		if (term == PLACE_TERM_TRAFFIC)
			anchors[i].traffic_weight = 0;
		if (term == PLACE_TERM_DATA)
			anchors[i].data_weight = anchors[i].cost_per_s = 0;
	}
	p->links = links;
	p->anchors = anchors;
}

static struct assign_problem without_term(const struct assign_problem *p, enum place_term term,
	struct arena *a)
{
	struct assign_problem less = *p;
	drop_from_components(&less, term, a);
	drop_from_bins(&less, term, a);
	drop_from_links(&less, term, a);
	return less;
}

/* ---- measuring ---- */

struct sums {
	double whole, dearer, worst_percent;
	double term_with, term_without;
	uint32_t infeasible;
};

static void add(struct sums *x, int64_t usual, int64_t other)
{
	double percent = (double)(other - usual) / (double)usual * 100;
	x->whole += (double)usual;
	x->dearer += (double)(other - usual);
	x->worst_percent = percent > x->worst_percent ? percent : x->worst_percent;
}

static void measure(uint64_t seed, struct sums terms[PLACE_TERM_COUNT],
	struct sums steps[ASSIGN_STEP_COUNT])
{
	CLEANUP(arena_done) struct arena a = {0};
	CLEANUP(assign_result_done) struct assign_result usual = {0};
	struct assign_sample s = assign_sample_large(seed);
	struct assign_problem *p = assign_sample_make(&s, &a);
	struct err e = ERR_INIT;
	must(assign_solve(p, &usual, &e), &e);
	for (int i = 0; i < PLACE_TERM_COUNT; i++) {
		CLEANUP(assign_result_done) struct assign_result r = {0};
		struct assign_problem less = without_term(p, (enum place_term)i, &a);
		struct assign_cost cost;
		if (usual.cost.terms[i] == 0)
			continue;
		must(assign_solve(&less, &r, &e), &e);
		(void)assign_evaluate(p, r.bin_of, &cost, NULL, 0);
		add(&terms[i], usual.cost.total, cost.total);
		terms[i].term_with += (double)usual.cost.terms[i];
		terms[i].term_without += (double)cost.terms[i];
	}
	for (int i = 0; i < ASSIGN_STEP_COUNT; i++) {
		CLEANUP(assign_result_done) struct assign_result r = {0};
		struct assign_problem less = *p;
		less.without = 1u << i;
		must(assign_solve(&less, &r, &e), &e);
		steps[i].infeasible += !r.feasible;
		add(&steps[i], usual.cost.total, r.cost.total);
	}
}

int main(void)
{
	static struct sums terms[PLACE_TERM_COUNT], steps[ASSIGN_STEP_COUNT];
	const char *text = getenv("SEEDS");
	uint64_t seeds = text ? (uint64_t)atoll(text) : 20;
	for (uint64_t seed = 1; seed <= seeds; seed++)
		measure(seed, terms, steps);
	puts("| as if it cost nothing | the plan is dearer by | the term itself is | its share of "
	     "the "
	     "cost |\n|---|---|---|---|");
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		if (terms[i].whole > 0)
			printf("| %s | %.1f %% | %.2f times as high | %.1f %% |\n",
				place_term_name((enum place_term)i),
				terms[i].dearer / terms[i].whole * 100,
				terms[i].term_without / terms[i].term_with,
				terms[i].term_with / terms[i].whole * 100);
	puts("\n| search without | the plan is dearer by | the worst one by | not feasible "
	     "|\n|---|---|---|---|");
	for (int i = 0; i < ASSIGN_STEP_COUNT; i++)
		printf("| %s | %.2f %% | %.2f %% | %u |\n", assign_step_name((enum assign_step)i),
			steps[i].dearer / steps[i].whole * 100, steps[i].worst_percent,
			steps[i].infeasible);
	return 0;
}
