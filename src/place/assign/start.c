/* Where annealing begins. With few bins: assignments in several orders and around each site. With
 * many: the same with one bin a site, annealed there, and then each item on the best bin of its
 * site. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/assign/tables.h"

#define SAMPLE 256      /* moves by which the scale of costs is judged */
#define STRICT 4        /* times that scale is what OVER_ONE / 4 costs */
#define CENTRES_MOST 64 /* sites around each of which an assignment is built */
#define MANY_BINS 4     /* a site */
#define COARSE_HEAT 0.5 /* of the scale */
#define COARSE_STEPS 4  /* that take as long as one with all bins */
#define CROWDS 2, 5, 12
#define COARSE_SHARE 3 /* the part of the budget that goes there */

void assign_search_init(struct search *x, struct state *s, uint64_t seed, uint32_t *bin_of)
{
	size_t items = s->t->items;
	*x = (struct search){.s = s, .best = {bin_of, INT64_MAX, INT64_MAX}};
	x->starts = mem_alloc_array(ASSIGN_STARTS * items, sizeof(*x->starts));
	/* A move takes each item at most twice. */
	x->undo_item = mem_alloc_array(4 * items + 4, sizeof(*x->undo_item));
	x->undo_bin = mem_alloc_array(4 * items + 4, sizeof(*x->undo_bin));
	rand_init(&x->rand, seed);
}

void assign_search_done(struct search *x)
{
	free(x->starts);
	free(x->undo_item);
	free(x->undo_bin);
}

/* How much a move changes the cost, usually. */
static double scale_of(struct search *x)
{
	struct state *s = x->s;
	double sum = 0;
	uint32_t count = 0;
	for (uint32_t n = 0; n < SAMPLE; n++) {
		uint32_t i = (uint32_t)rand_below(&x->rand, s->t->items);
		uint32_t c = s->t->component_of[i], old = s->bin_of[i];
		uint32_t open = s->t->open_site[c + 1] - s->t->open_site[c];
		uint32_t site = s->t->open_sites[s->t->open_site[c] + rand_below(&x->rand, open)];
		struct price at_bin, at_site;
		int64_t before = s->cost;
		assign_lift(s, i);
		int64_t own = before - s->cost;
		at_site = assign_price_site(s, i, site);
		if (assign_best_bin(s, i, site, x->strict, old, &at_bin) != ASSIGN_NONE) {
			int64_t change = at_site.cost + at_bin.cost - own;
			sum += (double)(change < 0 ? -change : change);
			count++;
		}
		assign_drop(s, i, old);
	}
	double scale = count ? sum / count : 0;
	return scale > 1 ? scale : 1;
}

static double value_of(const struct search *x)
{
	return (double)x->s->cost + x->strict * (double)x->s->over;
}

/* Keeps the state among the best first assignments. */
static void keep_start(struct search *x)
{
	uint32_t items = x->s->t->items, at = x->start_count;
	double value = value_of(x);
	assign_note(x);
	for (uint32_t i = 0; i < x->start_count; i++)
		if (x->start_value[i] == value)
			return;
	if (at == ASSIGN_STARTS) {
		at = 0;
		for (uint32_t i = 1; i < ASSIGN_STARTS; i++)
			at = x->start_value[i] > x->start_value[at] ? i : at;
		if (value >= x->start_value[at])
			return;
	} else {
		x->start_count++;
	}
	x->start_value[at] = value;
	memcpy(&x->starts[(size_t)at * items], x->s->bin_of, items * sizeof(*x->starts));
}

/* First assignments in several orders and around each site, as far as the budget goes. */
static void build_starts(struct search *x, uint64_t budget)
{
	struct state *s = x->s;
	uint64_t until = assign_is_without(x, ASSIGN_STEP_STARTS) ? 0 : s->steps + budget;
	for (int order = 0; order < ASSIGN_ORDERS && (order == 0 || s->steps < until); order++) {
		assign_build(s, (enum assign_order)order, x->strict, &x->rand);
		keep_start(x);
	}
	for (uint32_t site = 0; site < s->t->sites && s->t->sites <= CENTRES_MOST; site++) {
		if (s->steps >= until)
			return;
		assign_build_at(s, site, x->strict);
		keep_start(x);
	}
}

/* The best few are improved a little. */
static void improve_starts(struct search *x, uint64_t budget)
{
	const struct tables *t = x->s->t;
	uint64_t each = 2 * (uint64_t)t->items * t->sites;
	each = each < budget / ASSIGN_STARTS ? each : budget / ASSIGN_STARTS;
	for (uint32_t i = 0; i < x->start_count; i++) {
		assign_restore(x->s, &x->starts[(size_t)i * t->items]);
		assign_descend_items(x, x->s->steps + each);
		assign_note(x);
	}
}

static double judge_scale(struct search *x)
{
	x->strict = 1e9;
	assign_build(x->s, ASSIGN_LARGE_FIRST, x->strict, &x->rand);
	double scale = scale_of(x);
	x->strict = scale * STRICT / ((double)OVER_ONE / 4);
	return scale;
}

/* Each item on the best bin of the site that it was given. */
static void expand(struct search *x, const uint32_t *site_of)
{
	for (uint32_t i = 0; i < x->s->t->items; i++) {
		struct price price;
		if (x->s->bin_of[i] != ASSIGN_NONE)
			assign_forget(x->s, i);
		uint32_t bin = assign_best_bin(x->s, i, site_of[i], x->strict, ASSIGN_NONE, &price);
		assign_drop(x->s, i, bin);
	}
	keep_start(x);
}

static void start_coarse(struct search *x, uint32_t crowd, uint64_t budget)
{
	struct tables t;
	struct state s;
	struct search y;
	assign_coarsen(x->s->t, crowd, &t);
	assign_state_init(&s, &t);
	CLEANUP(mem_free_ptr) uint32_t *best = mem_alloc_array(t.items, sizeof(*best));
	assign_search_init(&y, &s, x->s->t->problem->seed + crowd, best);
	double scale = judge_scale(&y);
	build_starts(&y, budget * COARSE_STEPS);
	improve_starts(&y, budget * COARSE_STEPS);
	assign_restore(&s, best);
	assign_anneal(&y, s.steps + budget * COARSE_STEPS, scale * COARSE_HEAT);
	assign_descend_items(&y, s.steps + budget);
	expand(x, best);
	x->s->steps += s.steps / COARSE_STEPS;
	assign_search_done(&y);
	assign_state_done(&s);
	assign_coarse_done(&t);
}

double assign_start(struct search *x, uint64_t budget)
{
	static const uint32_t crowds[] = {CROWDS};
	double scale = judge_scale(x);
	bool many = x->s->t->bins > MANY_BINS * x->s->t->sites && x->s->t->bins > ASSIGN_FEW_BINS;
	if (many && !assign_is_without(x, ASSIGN_STEP_COARSE))
		for (uint32_t i = 0; i < ARRAY_SIZE(crowds); i++)
			start_coarse(x, crowds[i], budget / COARSE_SHARE / ARRAY_SIZE(crowds));
	else
		build_starts(x, budget);
	improve_starts(x, budget / 2);
	return scale;
}
