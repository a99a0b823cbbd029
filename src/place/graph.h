/*
 * An application while it is placed: its links, users and data, and where its replicas are so far.
 * Private to src/place; place_solve() hands problems with an application to place_graph_solve().
 *
 * How it is done:
 *
 *   graph.c         checks the application and keeps count: replicas by place, traffic by path
 *   graph_costs.c   what a replica pays at a place, and what keeps it from there
 *   graph_assign.c  the whole as a problem of assign/assign.h, which sees all at once
 *   graph_trial.c   puts replicas into the tables, one after the other, and prices the whole
 *   graph_solve.c   tries what the solver found, and one after the other too, and takes the better
 *
 * The solver knows rooms, links and places; of the rules between pods it knows keeping apart from
 * its own kind by host or zone. What it found is put into the tables pod by pod, each against all
 * constraints (filter.c) and all bounds of links; a pod that is against one of them goes where a
 * single decision puts it, with what links cost at each place. So no constraint is ever broken,
 * whatever the solver takes for one.
 *
 * Fleets. The solver is given at most GRAPH_BINS_MOST nodes: of each site the best for each want by
 * themselves. Of many sites (GRAPH_PLACES_MOST, or fewer with many links: 163 with 300) it is given
 * those where the application runs, where its users are and where one replica after the other
 * went, and those that are best for a want by itself. An application that is too large for it
 * (4,096 replicas, or wants times nodes above 8 million; see assign.h) is placed one after the
 * other.
 *
 * A place is where distances are from: 0 for all nodes without a site, else site + 1. Between two
 * places a path is known when it is in the tables and has more than 0 bit/s. Within a place there
 * is no distance but what is set, and no limit.
 */
#ifndef CONTINUO_PLACE_GRAPH_H
#define CONTINUO_PLACE_GRAPH_H

#include "base/arena.h"
#include "place/tables.h"

#define GRAPH_BINS_MOST 2000u
#define GRAPH_PLACES_MOST 250u
#define GRAPH_COMPONENTS_MAX 1000u
#define GRAPH_LINKS_MAX 10000u   /* links, users and data */
#define GRAPH_TRAFFIC_MAX 1e15   /* bits a second of all links */
#define GRAPH_NOWHERE UINT32_MAX /* a place that is not in the tables */
#define GRAPH_FLOW_UNIT 1024     /* parts of a bit a second */

struct crowd { /* replicas of a component at a place */
	uint32_t place, running, planned;
};
struct flow { /* traffic to a place, in 1 / GRAPH_FLOW_UNIT bit/s */
	uint32_t to;
	int64_t all, required;
};
struct flows {
	VEC(struct flow) items;
};

/* A link between components, or between one and users. */
struct tie {
	uint32_t from, to;  /* components; to: PLACE_NONE for users */
	struct crowd users; /* one, at their place */
	bool required;
	double latency_ms; /* bound; 0: none */
	double weight;     /* of the latency of a pair */
	double bits_per_s; /* of a pair */
	int64_t flow;      /* the same */
	uint32_t text;     /* "link web -> db: 5 ms" */
};
struct parcel { /* data for each replica of a component */
	uint32_t reader, place;
	double size_bytes;
	uint32_t text;
};

struct graph_component {
	uint32_t replicas; /* that run and that are wanted */
	VEC(struct crowd) held;
	VEC(uint32_t) ties, parcels;
};

struct graph {
	struct place *p;
	const struct place_problem *problem;
	int64_t weights[PLACE_TERM_COUNT];
	double weigh[PLACE_TERM_COUNT]; /* the same as real numbers */
	struct graph_component *components;
	struct tie *ties;
	uint32_t tie_count; /* links, then users */
	struct parcel *parcels;
	uint32_t parcel_count;
	uint32_t place_count;
	bool *inhabited;     /* by place: has nodes */
	bool *favoured;      /* by place: one replica after the other went there */
	struct flows *flows; /* by place that they come from */
	int64_t *by_place;   /* for one decision */
	uint64_t steps;
};

/* ---- graph.c ---- */

/* On an error nothing is to be undone. */
int graph_init(struct graph *g, struct place *p, const struct place_problem *problem,
	const int64_t *weights, struct err *e) MUST_CHECK;
void graph_done(struct graph *g);
uint32_t graph_place_of(const struct graph *g, uint32_t node);
/* Counts one planned replica more (sign 1) or less (-1) at a place. */
void graph_shift(struct graph *g, uint32_t component, uint32_t place, int sign);
/* The traffic alone. The replica itself is not among those that are held. */
void graph_shift_flows(struct graph *g, uint32_t component, uint32_t place, int sign);
struct flow graph_flow(const struct graph *g, uint32_t from, uint32_t to);
/* Those at the other end of a tie. */
const struct crowd *graph_partners(const struct graph *g, const struct tie *t, bool outward,
	size_t *ret_count);

/* ---- graph_costs.c ---- */

struct span { /* between two places */
	bool known, within;
	double latency_ms, bits_per_s;
};
struct span graph_span(const struct graph *g, uint32_t from, uint32_t to);

struct verdict {
	bool barred;
	double whole[PLACE_TERM_COUNT]; /* what comes to the plan with the replica */
	double share[PLACE_TERM_COUNT]; /* its own part of that */
};
/* Of one more replica at a place; bars: what keeps it away is added; null: not asked for. */
void graph_judge(struct graph *g, uint32_t component, uint32_t place, struct verdict *ret_verdict,
	struct site_bars *bars);
/* Fills by_place for place_choose. */
void graph_price_places(struct graph *g, uint32_t component);
void graph_find_bars(struct graph *g, uint32_t component, struct site_bars *ret_bars);

/* ---- graph_assign.c ---- */

/* The node of each replica, want by want; PLACE_NONE: none found. counts: replicas by want. steps:
 * of the solver; 0: as many as it likes. False: there is no plan for all of them, or none that the
 * solver can look for; ret_nodes is as it was. */
bool graph_assign(struct graph *g, const uint32_t *counts, uint64_t steps, uint32_t *ret_nodes);

/* ---- graph_trial.c ---- */

struct graph_turn {
	uint32_t want, first; /* first: of its replicas, counted want by want */
	int priority;
	bool expected;
};
/* The order in which wants are served, one a want. The caller frees it. */
struct graph_turn *graph_order(const struct place_problem *problem) MUST_CHECK;

struct put {
	uint32_t want, node, pod;
	struct place_cost cost;
};
/* One way to place the wants. */
struct trial {
	VEC(struct put) puts; /* in the order in which they fit */
	uint32_t *left;       /* by want: replicas without a node */
	double total;
};
/* Puts all that it can into the tables: first what has a node in `nodes` (null: nothing), then
 * one after the other. */
int trial_run(struct graph *g, const uint32_t *nodes, struct trial *ret_trial,
	struct err *e) MUST_CHECK;
void trial_take_back(struct graph *g, struct trial *t);
int trial_put_again(struct graph *g, struct trial *t, struct err *e) MUST_CHECK;
/* Prices those that are in the tables, each as if it came last. */
int trial_price(struct graph *g, struct trial *t, struct err *e) MUST_CHECK;
/* Moves replicas, each to where it costs least as things are. */
int trial_improve(struct graph *g, struct trial *t, bool *ret_moved, struct err *e) MUST_CHECK;
/* The best other node for one of them, all else equal; with survey also what rules out nodes. */
int trial_explain(struct graph *g, struct put *put, bool survey, struct place_assignment *a,
	struct err *e) MUST_CHECK;
void trial_done(struct trial *t);
bool graph_out_of_steps(const struct graph *g);

/* ---- graph_solve.c ---- */

int place_graph_solve(struct place *p, const struct place_problem *problem, const int64_t *weights,
	struct place_plan *ret_plan, struct err *e) MUST_CHECK;

#endif
