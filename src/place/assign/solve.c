/* The solver as a whole: tables, first assignments, rounds of annealing and descent, and when that
 * finds no plan, what is in the way. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "place/assign/tables.h"

#define FRESH_HEAT 0.5 /* of that scale, of a round from a new assignment */
#define WARM_HEAT 0.08 /* of a round from the best one */
#define LEAST_STEPS 60000
#define LEAST_STEPS_FEW_BINS 240000 /* they are cheaper: some 40 ms */
#define MOST_STEPS 2000000
#define ROUNDS_MOST 64
#define PATIENCE 6       /* budgets that are spent while no plan is found */
#define PATIENCE_TERSE 2 /* when who asks has something else to try */
#define REASONS_MOST 64

static uint64_t usual_steps(const struct tables *t)
{
	uint64_t one = (uint64_t)t->items * (t->sites < 64 ? t->sites : 64);
	uint64_t steps = 50 * one;
	uint64_t least = t->bins <= ASSIGN_FEW_BINS ? LEAST_STEPS_FEW_BINS : LEAST_STEPS;
	return steps < least ? least : steps > MOST_STEPS ? MOST_STEPS : steps;
}

/* Rounds grow longer with the budget, and there are more of them. */
static uint32_t rounds_for(const struct tables *t, uint64_t steps)
{
	uint64_t least = 25 * (uint64_t)t->items * (t->sites < 64 ? t->sites : 64);
	uint64_t rounds = 1;
	least = least < 8000 ? 8000 : least;
	while (rounds < ROUNDS_MOST && rounds * rounds * least < steps)
		rounds++;
	return (uint32_t)rounds;
}

static void run_round(struct search *x, uint64_t until, double scale, bool fresh)
{
	uint64_t begun = x->s->steps < until ? x->s->steps : until;
	if (fresh)
		assign_build(x->s, ASSIGN_AT_RANDOM, x->strict, &x->rand);
	else
		assign_restore(x->s, x->best.bin_of);
	assign_anneal(x, until, scale * (fresh ? FRESH_HEAT : WARM_HEAT));
	x->strict *= 64;
	assign_descend_items(x, x->s->steps + (until - begun) / 2 + 1000);
	x->strict /= 64;
}

static void search(struct search *x, uint64_t budget)
{
	struct state *s = x->s;
	double scale = assign_start(x, budget);
	uint32_t rounds = rounds_for(s->t, budget);
	uint32_t patience = s->t->problem->terse ? PATIENCE_TERSE : PATIENCE;
	uint64_t begun = s->steps, left = budget > begun ? budget - begun : budget / 2;
	for (uint32_t i = 0; i < rounds; i++)
		run_round(x, begun + left * (i + 1) / rounds, scale, i % 2 == 1);
	for (uint32_t i = 1; i < patience && x->best.over > 0; i++)
		run_round(x, s->steps + left, scale, i % 2 == 1);
	assign_restore(s, x->best.bin_of);
	x->strict *= 64;
	assign_descend(x, s->steps + budget / 8 + 1000);
}

static void run_search(const struct tables *t, uint64_t steps, struct assign_result *result)
{
	struct state s;
	struct search x;
	assign_state_init(&s, t);
	assign_search_init(&x, &s, t->problem->seed, result->bin_of);
	search(&x, steps ? steps : usual_steps(t));
	result->feasible = x.best.over == 0;
	result->steps = s.steps;
	assign_search_done(&x);
	assign_state_done(&s);
}

/* ---- what is in the way ---- */

/* The problem without one kind of constraint. */
static struct assign_problem relax(const struct assign_problem *p, enum assign_constraint kind,
	struct arena *a)
{
	struct assign_problem r = *p;
	struct assign_component *c =
		arena_new_array(a, p->component_count, struct assign_component);
	struct assign_link *l = arena_new_array(a, p->link_count + 1, struct assign_link);
	struct assign_bin *b = arena_new_array(a, p->bin_count, struct assign_bin);
	int64_t *room = arena_new_array(a, p->resource_count + 1, int64_t);
	memcpy(c, p->components, p->component_count * sizeof(*c));
	memcpy(b, p->bins, p->bin_count * sizeof(*b));
	for (uint32_t i = 0; i < p->link_count; i++) {
		l[i] = p->links[i];
		l[i].hard &= kind != ASSIGN_C_LATENCY;
	}
	for (uint32_t k = 0; k < p->resource_count; k++)
		room[k] = ASSIGN_AMOUNT_MAX;
	for (uint32_t i = 0; kind == ASSIGN_C_ROOM && i < p->bin_count; i++) {
		b[i].room = room;
		b[i].plane_count = 0;
	}
	for (uint32_t i = 0; i < p->component_count; i++) {
		c[i].per_bin_max = kind == ASSIGN_C_PER_BIN ? 0 : c[i].per_bin_max;
		c[i].per_site_max = kind == ASSIGN_C_PER_SITE ? 0 : c[i].per_site_max;
		c[i].together = kind == ASSIGN_C_TOGETHER ? ASSIGN_APART_OR_NOT : c[i].together;
	}
	r.components = c;
	r.links = l;
	r.bins = b;
	if (kind == ASSIGN_C_BANDWIDTH)
		r.sites.bits_per_s = NULL;
	return r;
}

/* Whether a plan is found once the kind does not count. */
static bool kind_is_at_fault(const struct assign_problem *p, enum assign_constraint kind,
	uint64_t steps)
{
	CLEANUP(arena_done) struct arena a = {0};
	struct assign_problem relaxed = relax(p, kind, &a);
	struct tables t;
	struct assign_reason none;
	struct assign_result result = {0};
	if (assign_compile(&relaxed, &t, NULL) != 0)
		return false;
	if (!assign_impossible(&t, &none)) {
		result.bin_of = mem_alloc_array(t.items, sizeof(*result.bin_of));
		run_search(&t, steps, &result);
	}
	free(result.bin_of);
	assign_tables_done(&t);
	return result.feasible;
}

static void find_reasons(const struct assign_problem *p, struct assign_result *result)
{
	struct assign_reason *all = mem_alloc_array(REASONS_MOST, sizeof(*all));
	struct assign_cost cost;
	uint32_t count = assign_evaluate(p, result->bin_of, &cost, all, REASONS_MOST), kept = 0;
	count = count < REASONS_MOST ? count : REASONS_MOST;
	result->reasons = all;
	result->reason_count = count;
	for (unsigned kind = 0; kind < ASSIGN_C_COUNT; kind++) {
		uint32_t i = 0;
		while (i < count && all[i].constraint != kind)
			i++;
		if (i == count || !kind_is_at_fault(p, (enum assign_constraint)kind, p->steps))
			continue;
		for (i = 0; i < count; i++)
			if (all[i].constraint == kind)
				all[kept++] = all[i];
		result->reason_count = kept;
		return;
	}
}

static void refuse(const struct tables *t, const struct assign_reason *reason,
	struct assign_result *result)
{
	result->proven = true;
	result->reasons = mem_new(struct assign_reason);
	result->reasons[0] = *reason;
	result->reason_count = 1;
	memset(result->bin_of, 0xff, t->items * sizeof(*result->bin_of));
}

int assign_solve(const struct assign_problem *p, struct assign_result *ret_result, struct err *e)
{
	struct tables t;
	struct assign_reason reason;
	int r = assign_check(p, e);
	if (r == 0)
		r = assign_compile(p, &t, e);
	if (r != 0)
		return r;
	struct assign_result result = {.bin_of = mem_alloc_array(t.items, sizeof(*result.bin_of))};
	if (assign_impossible(&t, &reason)) {
		refuse(&t, &reason, &result);
	} else {
		result.bound = assign_bound(&t);
		run_search(&t, p->steps, &result);
		(void)assign_evaluate(p, result.bin_of, &result.cost, NULL, 0);
		if (!result.feasible && !p->terse)
			find_reasons(p, &result);
	}
	assign_tables_done(&t);
	*ret_result = result;
	return 0;
}

void assign_result_done(struct assign_result *result)
{
	free(result->bin_of);
	free(result->reasons);
	*result = (struct assign_result){0};
}
