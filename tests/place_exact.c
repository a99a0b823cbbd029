/*
 * An application as a mixed-integer program, for an exact solver, and what our solver says.
 *
 *   place-exact SEED FILE   writes the program of the small application of that seed
 *
 * Prints "feasible 0|1", "proven 0|1" (that there is no plan: then nothing is written), "cost" and
 * "bound", in units of 1.
 * Binary: replica i is on bin b. A link's pair of replicas has a variable for each pair of sites,
 * tied to where the two are. Everything else is the greatest of linear functions, or, where it is
 * the least (concave), one binary a plane. Coefficients are the solver's integers, so that both
 * price the same thing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "place/assign/sample.h"
#include "place/assign/tables.h"

struct writer {
	FILE *file;
	const struct tables *t;
	uint32_t rows;
};

static double unit(int64_t cost)
{
	return (double)cost / (double)ASSIGN_UNIT;
}

static bool is_open(const struct tables *t, uint32_t item, uint32_t bin)
{
	return t->fixed[(size_t)t->component_of[item] * t->bins + bin] != ASSIGN_NEVER;
}

static void row(struct writer *w)
{
	fprintf(w->file, "\n r%u:", ++w->rows);
}

/* The sum over bins of the site of "item is there". */
static void at_site(struct writer *w, const char *sign, uint32_t item, uint32_t site)
{
	for (uint32_t b = 0; b < w->t->bins; b++)
		if (w->t->bin[b].site == site && is_open(w->t, item, b))
			fprintf(w->file, " %s x_%u_%u", sign, item, b);
}

static bool goes_to(const struct tables *t, uint32_t item, uint32_t site)
{
	return t->list_total[(size_t)t->component_of[item] * t->sites + site] > 0;
}

/* ---- pairs of replicas ---- */

typedef void (*pair_fn)(struct writer *w, uint32_t link, uint32_t i, uint32_t j, void *arg);

static void each_pair(struct writer *w, pair_fn fn, void *arg)
{
	const struct assign_problem *p = w->t->problem;
	for (uint32_t l = 0; l < p->link_count; l++) {
		const struct component *from = &w->t->component[p->links[l].from];
		const struct component *to = &w->t->component[p->links[l].to];
		for (uint32_t i = from->first; i < from->first + from->replicas; i++)
			for (uint32_t j = to->first; j < to->first + to->replicas; j++)
				if (i != j)
					fn(w, l, i, j, arg);
	}
}

static bool pair_may(const struct writer *w, uint32_t l, uint32_t i, uint32_t j, uint32_t s,
	uint32_t u)
{
	return goes_to(w->t, i, s) && goes_to(w->t, j, u) &&
	       assign_link_holds(w->t->problem, &w->t->problem->links[l], s, u);
}

static void pair_cost(struct writer *w, uint32_t l, uint32_t i, uint32_t j, void *arg)
{
	const struct assign_problem *p = w->t->problem;
	(void)arg;
	for (uint32_t s = 0; s < w->t->sites; s++)
		for (uint32_t u = 0; u < w->t->sites; u++)
			if (pair_may(w, l, i, j, s, u))
				fprintf(w->file, "\n + %.12g y_%u_%u_%u_%u_%u",
					unit(assign_link_cost(p, &p->links[l], s, u, NULL)), l, i,
					j, s, u);
}

/* The pair is at (s, any) as often as i is at s, and at (any, u) as often as j is at u. */
static void pair_rows(struct writer *w, uint32_t l, uint32_t i, uint32_t j, void *arg)
{
	(void)arg;
	for (int end = 0; end < 2; end++) {
		for (uint32_t s = 0; s < w->t->sites; s++) {
			uint32_t terms = 0;
			if (!goes_to(w->t, end ? j : i, s))
				continue;
			row(w);
			at_site(w, "-", end ? j : i, s);
			for (uint32_t u = 0; u < w->t->sites; u++) {
				uint32_t from = end ? u : s, to = end ? s : u;
				if (!pair_may(w, l, i, j, from, to))
					continue;
				fprintf(w->file, " + y_%u_%u_%u_%u_%u", l, i, j, from, to);
				terms++;
			}
			fprintf(w->file, " = 0");
		}
	}
}

struct path {
	uint32_t from, to;
	bool any;
};

static void pair_traffic(struct writer *w, uint32_t l, uint32_t i, uint32_t j, void *arg)
{
	struct path *path = arg;
	int64_t share = assign_share(w->t->problem, &w->t->problem->links[l]);
	if (share == 0 || !pair_may(w, l, i, j, path->from, path->to))
		return;
	if (!path->any)
		row(w);
	path->any = true;
	fprintf(w->file, "\n + %.12g y_%u_%u_%u_%u_%u", (double)share / 1e6, l, i, j, path->from,
		path->to);
}

static void anchor_traffic(struct writer *w, struct path *path)
{
	const struct assign_problem *p = w->t->problem;
	for (uint32_t k = 0; k < p->anchor_count; k++) {
		const struct assign_anchor *a = &p->anchors[k];
		const struct component *c = &w->t->component[a->component];
		uint32_t there = a->inward ? path->from : path->to;
		uint32_t here = a->inward ? path->to : path->from;
		if (a->site != there || a->bits_per_s == 0)
			continue;
		for (uint32_t i = c->first; i < c->first + c->replicas; i++) {
			char sign[48];
			if (!goes_to(w->t, i, here))
				continue;
			if (!path->any)
				row(w);
			path->any = true;
			snprintf(sign, sizeof(sign), "+ %.12g",
				(double)assign_anchor_share(p, a) / 1e6);
			at_site(w, sign, i, here);
		}
	}
}

static void path_rows(struct writer *w)
{
	for (uint32_t s = 0; s < w->t->sites; s++) {
		for (uint32_t u = 0; u < w->t->sites; u++) {
			struct path path = {s, u, false};
			int64_t limit = assign_limit(w->t->problem, s, u);
			if (s == u || limit == ASSIGN_UNLIMITED)
				continue;
			each_pair(w, pair_traffic, &path);
			anchor_traffic(w, &path);
			if (path.any)
				fprintf(w->file, " <= %.12g", (double)limit / 1e6);
		}
	}
}

/* ---- the objective ---- */

static void item_costs(struct writer *w)
{
	const struct tables *t = w->t;
	for (uint32_t i = 0; i < t->items; i++) {
		uint32_t c = t->component_of[i];
		for (uint32_t b = 0; b < t->bins; b++) {
			if (!is_open(t, i, b))
				continue;
			int64_t cost = t->fixed[(size_t)c * t->bins + b] +
				       t->tied[(size_t)c * t->sites + t->bin[b].site];
			if (t->home[i] != ASSIGN_NONE && t->home[i] != b)
				cost += t->component[c].move;
			fprintf(w->file, "\n %+.12g x_%u_%u", unit(cost), i, b);
		}
	}
}

static void objective(struct writer *w)
{
	const struct tables *t = w->t;
	fprintf(w->file, "Minimize\n obj:");
	item_costs(w);
	each_pair(w, pair_cost, NULL);
	for (uint32_t b = 0; b < t->bins; b++)
		fprintf(w->file, "\n + %.12g on_%u + p_%u", unit(t->bin[b].on), b, b);
	for (uint32_t c = 0; c < t->components; c++) {
		const struct component *k = &t->component[c];
		for (uint32_t n = 1; n < k->replicas; n++) {
			for (uint32_t b = 0; b < t->bins; b++)
				fprintf(w->file, "\n + %.12g kb_%u_%u_%u", unit(k->spread_bin) * n,
					c, b, n);
			for (uint32_t s = 0; s < t->sites; s++)
				fprintf(w->file, "\n + %.12g ks_%u_%u_%u", unit(k->spread_site) * n,
					c, s, n);
		}
	}
}

/* ---- bins ---- */

/* The sum over items of factor[component] times "item is on the bin". */
static void on_bin(struct writer *w, const double *factor, uint32_t bin)
{
	for (uint32_t i = 0; i < w->t->items; i++)
		if (is_open(w->t, i, bin) && factor[w->t->component_of[i]] != 0)
			fprintf(w->file, " %+.12g x_%u_%u", factor[w->t->component_of[i]], i, bin);
}

static void room_rows(struct writer *w, uint32_t bin)
{
	const struct tables *t = w->t;
	CLEANUP(mem_free_ptr) double *need = mem_alloc_array(t->components, sizeof(*need));
	for (uint32_t k = 0; k < t->r; k++) {
		double room = (double)t->room[(size_t)bin * t->r + k], any = 0;
		double scale = room > 0 ? room : 1;
		for (uint32_t c = 0; c < t->components; c++)
			need[c] = (double)t->need[c * t->r + k] / scale;
		for (uint32_t i = 0; i < t->items; i++)
			any += is_open(t, i, bin) ? need[t->component_of[i]] : 0;
		if (any <= room / scale)
			continue;
		row(w);
		on_bin(w, need, bin);
		fprintf(w->file, " <= %.12g", room / scale);
	}
	for (uint32_t i = 0; i < t->items; i++) {
		if (!is_open(t, i, bin) || t->bin[bin].on == 0)
			continue;
		row(w);
		fprintf(w->file, " x_%u_%u - on_%u <= 0", i, bin, bin);
	}
}

/* What a plane comes to at most within the room of the bin. */
static double most_of_plane(const struct tables *t, uint32_t bin, size_t plane)
{
	double most = t->base[plane];
	for (uint32_t k = 0; k < t->r; k++)
		most += t->slope[plane * t->r + k] * (double)t->room[(size_t)bin * t->r + k];
	return most;
}

static void plane_rows(struct writer *w, uint32_t bin)
{
	const struct tables *t = w->t;
	const struct bin *b = &t->bin[bin];
	CLEANUP(mem_free_ptr) double *growth = mem_alloc_array(t->components, sizeof(*growth));
	for (uint32_t k = 0; k < b->plane_count; k++) {
		size_t plane = b->plane_first + k;
		double base = t->base[plane] - unit(b->base);
		double most = most_of_plane(t, bin, plane) - unit(b->base);
		for (uint32_t c = 0; c < t->components; c++) {
			growth[c] = 0;
			for (uint32_t r = 0; r < t->r; r++)
				growth[c] +=
					t->slope[plane * t->r + r] * (double)t->need[c * t->r + r];
		}
		row(w);
		fprintf(w->file, " - p_%u", bin);
		on_bin(w, growth, bin);
		if (b->concave) /* p >= plane - most (1 - w) */
			fprintf(w->file, " + %.12g w_%u_%u <= %.12g", most, bin, k, most - base);
		else
			fprintf(w->file, " <= %.12g", -base);
	}
	if (b->plane_count == 0) {
		row(w);
		fprintf(w->file, " p_%u = 0", bin);
	}
	if (!b->concave || b->plane_count == 0)
		return;
	row(w);
	for (uint32_t k = 0; k < b->plane_count; k++)
		fprintf(w->file, " + w_%u_%u", bin, k);
	fprintf(w->file, " = 1");
}

/* ---- replicas ---- */

static void spread_rows(struct writer *w, uint32_t c)
{
	const struct component *k = &w->t->component[c];
	for (uint32_t b = 0; b < w->t->bins && k->replicas > 1; b++) {
		row(w);
		for (uint32_t n = 0; n < k->replicas; n++)
			fprintf(w->file, " - kb_%u_%u_%u", c, b, n);
		for (uint32_t i = k->first; i < k->first + k->replicas; i++)
			if (is_open(w->t, i, b))
				fprintf(w->file, " + x_%u_%u", i, b);
		uint32_t most = k->given->per_bin_max;
		fprintf(w->file, " = 0");
		for (uint32_t n = most; most && n < k->replicas; n++) {
			row(w);
			fprintf(w->file, " kb_%u_%u_%u = 0", c, b, n);
		}
	}
	for (uint32_t s = 0; s < w->t->sites && k->replicas > 1; s++) {
		row(w);
		for (uint32_t n = 0; n < k->replicas; n++)
			fprintf(w->file, " - ks_%u_%u_%u", c, s, n);
		for (uint32_t i = k->first; i < k->first + k->replicas; i++)
			at_site(w, "+", i, s);
		uint32_t most = k->given->per_site_max;
		fprintf(w->file, " = 0");
		for (uint32_t n = most; most && n < k->replicas; n++) {
			row(w);
			fprintf(w->file, " ks_%u_%u_%u = 0", c, s, n);
		}
	}
}

static void together_rows(struct writer *w, uint32_t c)
{
	const struct component *k = &w->t->component[c];
	for (uint32_t i = k->first + 1; i < k->first + k->replicas; i++) {
		for (uint32_t s = 0; k->given->together == ASSIGN_SAME_SITE && s < w->t->sites;
			s++) {
			if (!goes_to(w->t, i, s))
				continue;
			row(w);
			at_site(w, "+", i, s);
			at_site(w, "-", k->first, s);
			fprintf(w->file, " = 0");
		}
		for (uint32_t b = 0; k->given->together == ASSIGN_SAME_BIN && b < w->t->bins; b++) {
			if (!is_open(w->t, i, b))
				continue;
			row(w);
			fprintf(w->file, " x_%u_%u - x_%u_%u = 0", i, b, k->first, b);
		}
	}
}

/* Replicas that are alike are put in the order of their bins. */
static void order_rows(struct writer *w, uint32_t c)
{
	const struct component *k = &w->t->component[c];
	for (uint32_t i = k->first; i + 1 < k->first + k->replicas; i++) {
		if (w->t->home[i] != w->t->home[i + 1])
			continue;
		row(w);
		for (uint32_t b = 0; b < w->t->bins; b++)
			if (is_open(w->t, i, b))
				fprintf(w->file, " + %u x_%u_%u - %u x_%u_%u", b + 1, i, b, b + 1,
					i + 1, b);
		fprintf(w->file, " <= 0");
	}
}

static void rows(struct writer *w)
{
	const struct tables *t = w->t;
	fprintf(w->file, "\nSubject To");
	for (uint32_t i = 0; i < t->items; i++) {
		row(w);
		for (uint32_t b = 0; b < t->bins; b++)
			if (is_open(t, i, b))
				fprintf(w->file, " + x_%u_%u", i, b);
		fprintf(w->file, " = 1");
	}
	for (uint32_t b = 0; b < t->bins; b++) {
		room_rows(w, b);
		plane_rows(w, b);
	}
	each_pair(w, pair_rows, NULL);
	path_rows(w);
	for (uint32_t c = 0; c < t->components; c++) {
		spread_rows(w, c);
		together_rows(w, c);
		order_rows(w, c);
	}
}

static void bounds(struct writer *w)
{
	const struct tables *t = w->t;
	fprintf(w->file, "\nBounds");
	for (uint32_t b = 0; b < t->bins; b++)
		fprintf(w->file, "\n p_%u free\n 0 <= on_%u <= 1", b, b);
	for (uint32_t c = 0; c < t->components; c++)
		for (uint32_t n = 0; n < t->component[c].replicas && t->component[c].replicas > 1;
			n++) {
			for (uint32_t b = 0; b < t->bins; b++)
				fprintf(w->file, "\n 0 <= kb_%u_%u_%u <= 1", c, b, n);
			for (uint32_t s = 0; s < t->sites; s++)
				fprintf(w->file, "\n 0 <= ks_%u_%u_%u <= 1", c, s, n);
		}
	fprintf(w->file, "\nBinaries");
	for (uint32_t i = 0; i < t->items; i++)
		for (uint32_t b = 0; b < t->bins; b++)
			if (is_open(t, i, b))
				fprintf(w->file, "\n x_%u_%u", i, b);
	for (uint32_t b = 0; b < t->bins; b++)
		for (uint32_t k = 0; t->bin[b].concave && k < t->bin[b].plane_count; k++)
			fprintf(w->file, "\n w_%u_%u", b, k);
	fprintf(w->file, "\nEnd\n");
}

static int write_program(const struct tables *t, const char *path)
{
	struct writer w = {.file = fopen(path, "w"), .t = t};
	if (!w.file) {
		perror(path);
		return 1;
	}
	objective(&w);
	rows(&w);
	bounds(&w);
	return fclose(w.file) ? 1 : 0;
}

int main(int argc, char **argv)
{
	CLEANUP(arena_done) struct arena a = {0};
	CLEANUP(assign_result_done) struct assign_result result = {0};
	struct tables t;
	struct err e = ERR_INIT;
	if (argc != 3) {
		fprintf(stderr, "Usage: place-exact SEED FILE\n");
		return 2;
	}
	struct assign_sample s = assign_sample_small((uint64_t)atoll(argv[1]));
	struct assign_problem *p = assign_sample_make(&s, &a);
	if (assign_solve(p, &result, &e) != 0 || assign_compile(p, &t, &e) != 0) {
		fprintf(stderr, "place-exact: %s\n", e.text);
		return 1;
	}
	printf("feasible %d\nproven %d\ncost %.9f\nbound %.9f\n", result.feasible, result.proven,
		unit(result.cost.total), unit(result.bound));
	int status = result.proven ? 0 : write_program(&t, argv[2]);
	assign_tables_done(&t);
	return status;
}
