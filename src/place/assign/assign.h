/*
 * Where all components of one application go at once.
 *
 * The online engine (place.h) decides one pod after the other. An application whose components talk
 * to each other is cheaper when it is placed as a whole: this solver sees all replicas ("items"),
 * all nodes ("bins"), the sites that the bins are at, the links between the components and what is
 * tied to a site, and looks for the assignment that costs least and breaks no hard constraint. It
 * knows nothing of labels and taints: whoever compiles its tables says which component may go to
 * which bin and what that costs.
 *
 * Pure: no clock, no I/O, no globals. The same problem gives the same result, whatever the machine:
 * effort is counted in steps (an item priced at a site), never in time. A call belongs to one
 * thread; the problem is borrowed for the call, and nothing in it is changed.
 *
 * Units. Resources are integers in whatever unit the caller likes. Costs in the problem are real
 * numbers that are weighted already: a cost of 1 is what the caller takes 1 to be. Inside and in
 * results they are integers of 2^-32 (ASSIGN_UNIT), so that a sum does not depend on its order and
 * a cost that was kept up to date equals the one that is computed anew; each number is rounded
 * once, where it enters. Every function of a term is one of where the items are, so that the parts
 * of the cost add up to its total.
 *
 * What a plan costs, by the terms of place.h:
 *
 *   by bin      the sum over items of what their component is said to cost on their bin, under any
 *               term (statics): preference, image, trust, marginal energy, carbon and money
 *   LATENCY     of a link: the mean over all pairs of replicas of what their two sites' latency
 *               costs, cost_per_ms for each ms and cost_over for each ms above the bound. A hard
 *               bound holds for every pair, so for the worst one
 *   TRAFFIC     of a link: its traffic is spread evenly over the pairs of replicas; a pair pays the
 *               price of the path between its sites, in currency an hour, times traffic_weight
 *   DATA        of an anchor with a size: each replica fetches it once: the price of the path for
 *               so many bytes, times data_weight, and the seconds that it takes on the whole path,
 *               times cost_per_s; nothing within the site
 *   ENERGY, CARBON, MONEY   of an empty bin that gets an item: on[]
 *   BALANCE     of a bin: the greatest of its planes, each a linear function of what its items use
 *               (convex: evens out), or the least (concave: fills some and leaves others free),
 *               less what it is when none is there
 *   SPREAD      for each pair of replicas of a component on one bin, spread_bin, and at one site,
 *               spread_site: convex in the number that is there
 *   MOVE        of each replica that runs already and is put on another bin
 *
 * Hard: the bins that a component may go to; room; the bandwidth of a path between two sites, for
 * the sum of all that goes over it in that direction; latency bounds; most replicas of a component
 * on one bin and at one site; replicas kept together. A failure domain is a site.
 *
 * All of it is linear in "replica i is on bin b" and in products of two of those, or the greatest
 * of such functions: tests compare with an exact solver.
 */
#ifndef CONTINUO_PLACE_ASSIGN_H
#define CONTINUO_PLACE_ASSIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "place/place.h"

#define ASSIGN_NONE UINT32_MAX
#define ASSIGN_UNIT ((int64_t)1 << 32) /* a cost of 1 in results */
#define ASSIGN_FINE ((int32_t)1 << 20) /* a cost of 1 in costs by bin */
#define ASSIGN_UNLIMITED INT64_MAX     /* bandwidth */

#define ASSIGN_RESOURCES_MAX 16u
#define ASSIGN_COMPONENTS_MAX 1000u
#define ASSIGN_ITEMS_MAX 4096u
#define ASSIGN_BINS_MAX 100000u
#define ASSIGN_SITES_MAX 1000u
#define ASSIGN_LINKS_MAX 10000u
#define ASSIGN_PLANES_MAX 16u
#define ASSIGN_CELLS_MAX 8000000u            /* components x bins; links x sites x sites */
#define ASSIGN_AMOUNT_MAX ((int64_t)1 << 50) /* of a resource, and of bits a second */
#define ASSIGN_COST_MAX 1048576.0            /* a number in the problem; the sum: 256 times */

/* From the first site of the index (row) to the second. Names are for errors and may be null, here
 * and below. */
struct assign_sites {
	uint32_t count;
	const char *const *names;
	const double *latency_ms;         /* count x count, from 0 */
	const int64_t *bits_per_s;        /* from 0; null: all unlimited. Within a site: no limit */
	const double *price_per_gigabyte; /* from 0; null: nothing costs */
};

/* base + the sum over resources of slope times what is used; slopes: one a resource. */
struct assign_plane {
	double base;
	const double *slope;
};

struct assign_bin {
	const char *name;
	uint32_t site;
	const int64_t *room; /* one a resource: what is left for this application, from 0 */
	bool occupied;       /* others run there: it is on already */
	double on_energy, on_carbon, on_money; /* of switching on, from 0 */
	const struct assign_plane *planes;
	uint32_t plane_count;
	bool concave; /* the least of the planes, else the greatest */
};

/* What one replica costs on each bin under one term, in ASSIGN_FINE. */
struct assign_static {
	enum place_term term;
	const int32_t *by_bin;
};

enum assign_together {
	ASSIGN_APART_OR_NOT,
	ASSIGN_SAME_SITE, /* all replicas at one site */
	ASSIGN_SAME_BIN
};

struct assign_component {
	const char *name;
	uint32_t replicas;    /* from 1; items are numbered component by component */
	const int64_t *need;  /* of one replica, one a resource, from 0 */
	const uint64_t *bins; /* bit b % 64 of word b / 64: may go to b; null: to all */
	const struct assign_static *statics;
	uint32_t static_count;
	uint32_t per_bin_max, per_site_max; /* 0: no limit */
	enum assign_together together;
	double spread_bin, spread_site; /* from 0 */
	const uint32_t *home; /* by replica: the bin it runs on or ASSIGN_NONE; null: none */
	double move_cost;     /* from 0 */
};

struct assign_link {
	uint32_t from, to; /* components; the same one: between its replicas, each pair both ways */
	int64_t bits_per_s;            /* from, to; all replicas together */
	double latency_ms;             /* bound; 0: none */
	bool hard;                     /* the bound holds; else cost_over */
	double cost_per_ms, cost_over; /* from 0 */
	double traffic_weight;         /* cost of one unit of currency an hour, from 0 */
};

/* A tie to a site: users there, or a data set. Its traffic is spread evenly over the replicas, its
 * latency is the mean over them, a size is fetched by each. */
struct assign_anchor {
	uint32_t component, site;
	bool inward; /* traffic goes from the site to the component; data always does */
	int64_t bits_per_s;
	double latency_ms; /* of the path in that direction; as of a link */
	bool hard;
	double cost_per_ms, cost_over, traffic_weight;
	int64_t size_bytes; /* 0: none. Without a path (0 bit/s) it cannot be fetched: hard */
	double data_weight; /* cost of one unit of currency */
	double cost_per_s;  /* of fetching */
};

/* What the search is made of, for ablations. */
enum assign_step {
	ASSIGN_STEP_COARSE,   /* beginning with one bin a site */
	ASSIGN_STEP_STARTS,   /* beginning with more than one assignment */
	ASSIGN_STEP_ANNEAL,   /* accepting what is worse */
	ASSIGN_STEP_SWAP,     /* two items change places */
	ASSIGN_STEP_EXCHANGE, /* so do all items of two bins */
	ASSIGN_STEP_GROUP,    /* a component and a partner move to a site */
	ASSIGN_STEP_EJECTION, /* an item takes the place of others, which look for another one */
	ASSIGN_STEP_EMPTYING, /* all items leave a bin */
	ASSIGN_STEP_SITE,     /* all items leave a site */
	ASSIGN_STEP_DESCENT,  /* descent by pairs and groups at the end */
	ASSIGN_STEP_COUNT
};
const char *assign_step_name(enum assign_step step); /* "coarse" */

struct assign_problem {
	uint32_t resource_count;
	const char *const *resources; /* names */
	struct assign_sites sites;
	const struct assign_bin *bins;
	uint32_t bin_count;
	const struct assign_component *components;
	uint32_t component_count;
	const struct assign_link *links;
	uint32_t link_count;
	const struct assign_anchor *anchors;
	uint32_t anchor_count;
	uint64_t seed;
	uint64_t steps;   /* budget; 0: the usual one for its size */
	bool terse;       /* no reasons are looked for beyond what is proven */
	uint32_t without; /* 1 << enum assign_step: left out */
};

struct assign_cost {
	int64_t total;
	int64_t terms[PLACE_TERM_COUNT];
};

enum assign_constraint {
	ASSIGN_C_BINS,      /* no bin is open to the component */
	ASSIGN_C_ROOM,      /* of a resource; component: it alone is too large; else all together */
	ASSIGN_C_LATENCY,   /* of a link or an anchor */
	ASSIGN_C_BANDWIDTH, /* between two sites */
	ASSIGN_C_DATA,      /* no path on which an anchor's data can be fetched */
	ASSIGN_C_PER_BIN,   /* too many replicas on one bin */
	ASSIGN_C_PER_SITE,
	ASSIGN_C_TOGETHER,
	ASSIGN_C_COUNT
};
const char *assign_constraint_name(enum assign_constraint constraint); /* "bandwidth" */

/* What is in the way. Fields that do not apply are ASSIGN_NONE. */
struct assign_reason {
	enum assign_constraint constraint;
	uint32_t component, resource, link, anchor, bin, from_site, to_site;
};

struct assign_result {
	bool feasible;
	/* By item. When not feasible: the assignment that breaks least, ASSIGN_NONE when that is
	 * proven. Owned. */
	uint32_t *bin_of;
	struct assign_cost cost;
	int64_t bound;  /* no feasible plan costs less */
	uint64_t steps; /* that were used */
	/* When not feasible. With `proven` no plan exists because of reasons[0] alone; else none
	 * was found: the reasons are the constraints of one kind without which one is found, or,
	 * where no single kind is at fault, all that the best assignment breaks. */
	bool proven;
	struct assign_reason *reasons; /* owned */
	uint32_t reason_count;
};

/* -ERR_INVALID or -ERR_TOO_LARGE name the number that is impossible. No plan is not an error. On
 * an error ret_result is untouched. */
int assign_solve(const struct assign_problem *problem, struct assign_result *ret_result,
	struct err *e) MUST_CHECK;
void assign_result_done(struct assign_result *result); /* for CLEANUP too */

/* "component web has no bin with enough memory" */
struct buf;
void assign_reason_write(const struct assign_problem *problem, const struct assign_reason *reason,
	struct buf *b);

/* What an assignment costs, computed anew from the problem alone; every item has a bin. Returns how
 * many hard constraints it breaks; the first `most` of them are put into ret_broken (may be null
 * with most 0). Slow, for checks and reports. The problem must have passed assign_check. */
uint32_t assign_evaluate(const struct assign_problem *problem, const uint32_t *bin_of,
	struct assign_cost *ret_cost, struct assign_reason *ret_broken, uint32_t most);

int assign_check(const struct assign_problem *problem, struct err *e) MUST_CHECK;
uint32_t assign_item_count(const struct assign_problem *problem);

#endif
