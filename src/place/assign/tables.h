/*
 * The tables of the assignment solver, private to src/place/assign.
 *
 * A problem is compiled into struct tables once: costs in integers, links as matrices of site by
 * site, a price list of the bins of each component at each site. struct state is an assignment that
 * is changed an item at a time. An item is lifted from its bin, priced at sites and at bins, and
 * dropped on one. What an item pays for links hangs on sites only and is the same for all replicas
 * of a component; it is kept in `pull` for all sites at once, so that pricing is a look-up and only
 * a drop at another site costs work: a row for each link.
 *
 * Hard constraints may be broken on the way. How much they are is `over`, in OVER_ONE for one
 * bin's room or one whole breach, and comes in addition to the cost.
 */
#ifndef CONTINUO_PLACE_ASSIGN_TABLES_H
#define CONTINUO_PLACE_ASSIGN_TABLES_H

#include "base/rand.h"
#include "base/vec.h"
#include "place/assign/assign.h"

#define OVER_ONE ((int64_t)1 << 20)
#define OVER_MOST (OVER_ONE << 10) /* of one bin's resource or one path */
#define ASSIGN_FEW_BINS 64         /* up to here they are not decided about site by site first */
#define PRICE_LIST 12              /* bins of a component at a site that are kept in order */

struct edge { /* one end of a link, as its component sees it */
	uint32_t partner, link;
	bool outward;        /* traffic goes to the partner */
	int64_t share;       /* bits a second of one pair */
	const int64_t *rows; /* [site of the partner][own site]: cost of a pair */
	const int32_t *over; /* the same for a hard bound; null */
};

struct component {
	uint32_t first, replicas; /* items */
	uint32_t edge_first, edge_count;
	bool inner; /* has a link to itself */
	int64_t spread_bin, spread_site, move;
	const struct assign_component *given;
};

struct bin {
	uint32_t site, plane_first, plane_count;
	bool concave;
	int64_t on, base; /* base: the potential of nothing */
};

struct priced {
	int64_t cost;
	uint32_t bin;
};

struct tables {
	const struct assign_problem *problem;
	uint32_t r, items, bins, sites, components;
	struct component *component; /* by component */
	uint32_t *component_of;      /* by item */
	uint32_t *home;              /* by item */
	struct edge *edges;
	int64_t *matrices; /* two a link */
	int32_t *over_matrices;
	struct bin *bin;
	int64_t *room, *need; /* bins x r, components x r */
	double *inverse;      /* bins x r: OVER_ONE / room */
	double *base, *slope; /* of all planes; slopes x r */
	int64_t *fixed;       /* components x bins: statics; ASSIGN_NEVER: not allowed */
	int64_t *tied;        /* components x sites: anchors */
	int32_t *tied_over;
	bool has_over, has_limits; /* any hard bound of latency; any limited path that is used */
	int64_t *limit;            /* sites x sites */
	double *limit_inverse;
	int64_t *tied_out,
		*tied_in; /* components x sites: traffic of one replica to and from sites */
	uint32_t *site_bin, *site_bins;   /* bins by site; offsets, sites + 1 */
	uint32_t *open_site, *open_sites; /* sites by component where it has bins; offsets */
	struct priced *list;  /* components x sites x PRICE_LIST, ascending; bin ASSIGN_NONE: end */
	uint32_t *list_total; /* components x sites: bins that are open to it */
	struct assign_component *coarse; /* of coarse tables: what they say of components */
};
#define ASSIGN_NEVER INT64_MAX

/* ---- cost.c: numbers of the problem as integers, by site ---- */

/* What one pair of replicas pays for a link between two sites; the terms too unless null. */
int64_t assign_link_cost(const struct assign_problem *p, const struct assign_link *l, uint32_t from,
	uint32_t to, int64_t *ret_terms);
int64_t assign_anchor_cost(const struct assign_problem *p, const struct assign_anchor *a,
	uint32_t site, int64_t *ret_terms);
int64_t assign_pairs(const struct assign_problem *p, const struct assign_link *l);
int64_t assign_share(const struct assign_problem *p, const struct assign_link *l);
int64_t assign_anchor_share(const struct assign_problem *p, const struct assign_anchor *a);
/* In ASSIGN_UNIT; half away from 0. Clamped, so that what is too large can still be added up until
 * it is refused. */
static inline int64_t assign_fix(double cost)
{
	double most = (double)((int64_t)1 << 54), fixed = cost * (double)ASSIGN_UNIT;
	fixed = fixed > most ? most : fixed < -most ? -most : fixed;
	return (int64_t)(fixed + (fixed < 0 ? -0.5 : 0.5));
}
double assign_latency(const struct assign_problem *p, uint32_t from, uint32_t to);
int64_t assign_limit(const struct assign_problem *p, uint32_t from, uint32_t to);
bool assign_link_holds(const struct assign_problem *p, const struct assign_link *l, uint32_t from,
	uint32_t to);
bool assign_anchor_holds(const struct assign_problem *p, const struct assign_anchor *a,
	uint32_t site, enum assign_constraint *ret_broken);
bool assign_allows(const struct assign_component *c, uint32_t bin);
/* Of what is used, from base and slopes as they are laid out in a problem or in tables. */
int64_t assign_plane_value(double base, const double *slope, const int64_t *used, uint32_t r);

/* ---- compile.c ---- */

int assign_compile(const struct assign_problem *problem, struct tables *ret_t,
	struct err *e) MUST_CHECK;
void assign_tables_done(struct tables *t);
/* The greatest or the least of a bin's planes. Rounded once, after the choice of the plane: that is
 * the same as rounding them all. */
static inline int64_t assign_potential(const struct tables *t, const struct bin *b,
	const int64_t *used)
{
	double value = 0, amount[ASSIGN_RESOURCES_MAX];
	const double *slope = &t->slope[(size_t)b->plane_first * t->r];
	for (uint32_t i = 0; i < t->r; i++)
		amount[i] = (double)used[i];
	for (uint32_t k = 0; k < b->plane_count; k++, slope += t->r) {
		double one = t->base[b->plane_first + k];
		for (uint32_t i = 0; i < t->r; i++)
			one += slope[i] * amount[i];
		if (k == 0 || (b->concave ? one < value : one > value))
			value = one;
	}
	return assign_fix(value);
}

/* ---- state.c ---- */

struct price {
	int64_t cost, over;
};

struct state {
	const struct tables *t;
	uint32_t *bin_of,
		*site_of;   /* by item; ASSIGN_NONE: lifted. site_of: as the links know it */
	int64_t *used;      /* bins x r */
	uint32_t *on_bin;   /* items by bin */
	uint16_t *kin_bin;  /* components x bins: replicas there */
	uint32_t *kin_site; /* components x sites */
	uint32_t *placed;   /* replicas by component */
	int64_t *pull;      /* components x sites: what one replica there pays */
	int64_t *pull_over;
	int64_t *out, *in;        /* components x sites: traffic of one replica */
	int64_t *load;            /* sites x sites */
	int64_t *level;           /* by bin: the potential as it is */
	uint32_t *busy, *busy_at; /* bins with items by site: sites x slots; by bin: where */
	uint32_t *busy_count;     /* by site */
	int64_t cost, over;
	uint64_t steps;
};

void assign_state_init(struct state *s, const struct tables *t);
void assign_state_done(struct state *s);
/* The item is taken from its bin; links keep to where it was until it is dropped elsewhere. */
void assign_lift(struct state *s, uint32_t item);
/* As lift, and the links forget it. */
void assign_forget(struct state *s, uint32_t item);
void assign_drop(struct state *s, uint32_t item, uint32_t bin);
static inline void assign_move(struct state *s, uint32_t item, uint32_t bin)
{
	assign_lift(s, item);
	assign_drop(s, item, bin);
}
/* What a lifted item costs on top of the state, by site and by bin. */
struct price assign_price_site(const struct state *s, uint32_t item, uint32_t site);
struct price assign_price_bin(const struct state *s, uint32_t item, uint32_t bin);
/* The bin of the site with the least cost + strict * over; ASSIGN_NONE. not: this one does not
 * count. */
uint32_t assign_best_bin(struct state *s, uint32_t item, uint32_t site, double strict, uint32_t not,
	struct price *ret_price);
/* The same over all sites. */
uint32_t assign_best(struct state *s, uint32_t item, double strict, uint32_t not,
	struct price *ret_price);
void assign_restore(struct state *s, const uint32_t *bin_of);

/* ---- build.c ---- */

enum assign_order {
	ASSIGN_LARGE_FIRST,
	ASSIGN_LINKED_FIRST,
	ASSIGN_BY_REGRET,
	ASSIGN_AT_RANDOM,
	ASSIGN_ORDERS
};
void assign_build(struct state *s, enum assign_order order, double strict, struct rand *rand);
/* All that can be at the site are there, the others where they cost least then. */
void assign_build_at(struct state *s, uint32_t site, double strict);

/* ---- search.c ---- */

struct best {
	uint32_t *bin_of;
	int64_t cost, over; /* over 0: feasible */
};
#define ASSIGN_STARTS 4 /* first assignments that are improved before one is chosen */
struct search {
	struct state *s;
	struct rand rand;
	struct best best;
	double strict;    /* cost of OVER_ONE is this times OVER_ONE */
	uint32_t *starts; /* STARTS assignments */
	double start_value[ASSIGN_STARTS];
	uint32_t start_count;
	uint32_t *undo_item, *undo_bin;
	uint32_t undo_count;
};
void assign_note(struct search *x); /* keeps the state if it is the best one */
/* Items one by one until none can be put anywhere for less. */
bool assign_descend_items(struct search *x, uint64_t until);
bool assign_is_without(const struct search *x, enum assign_step step);
/* The same with pairs, components and bins. */
void assign_descend(struct search *x, uint64_t until);
void assign_anneal(struct search *x, uint64_t until, double heat);

/* ---- coarse.c: one bin a site; the rest is shared with the tables ---- */

/* crowd: of how many bins of a site, the best ones, the mean is what a replica costs there. */
void assign_coarsen(const struct tables *t, uint32_t crowd, struct tables *ret);
void assign_coarse_done(struct tables *t);

/* ---- start.c ---- */

/* The best assignment is kept in bin_of. */
void assign_search_init(struct search *x, struct state *s, uint64_t seed, uint32_t *bin_of);
void assign_search_done(struct search *x);
/* Finds a first assignment and sets `strict`. Returns how much a move changes the cost, usually. */
double assign_start(struct search *x, uint64_t budget);

/* ---- bound.c, reason.c ---- */

int64_t assign_bound(const struct tables *t);
/* A single constraint that no plan can meet. */
bool assign_impossible(const struct tables *t, struct assign_reason *ret_reason);
#define ASSIGN_REASON_NONE                                                                         \
	{                                                                                          \
		0, ASSIGN_NONE, ASSIGN_NONE, ASSIGN_NONE, ASSIGN_NONE, ASSIGN_NONE, ASSIGN_NONE,   \
			ASSIGN_NONE                                                                \
	}

#endif
