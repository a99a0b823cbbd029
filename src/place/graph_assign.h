/* An application's way into the solver for wholes. Private to graph_assign.c and
 * graph_assign_links.c.
 */
#ifndef CONTINUO_PLACE_GRAPH_ASSIGN_H
#define CONTINUO_PLACE_GRAPH_ASSIGN_H

#include "place/assign/assign.h"
#include "place/graph.h"

#define PART_NEVER INT32_MAX /* may not go there */
#define FIRST_REAL 2u        /* before it: what cpu and memory count for in the balance */
#define MEMORY_SHIFT 20
#define STEPS 5u /* of the balance, for cpu and for memory */

struct part { /* a want, or as many of its replicas as there is room for */
	uint32_t want, count, open;
	int32_t *cost; /* by node, in ASSIGN_FINE */
};
struct build {
	struct graph *g;
	struct arena arena;
	struct part *parts;
	uint32_t part_count;
	bool missing; /* a part has no node to go to */
	bool has_soft_traffic;
	uint32_t *nodes; /* by bin */
	uint32_t bin_count;
	uint32_t resources[ASSIGN_RESOURCES_MAX], resource_count;
	int64_t needed[FIRST_REAL]; /* by all parts */
	uint32_t *site_of;          /* by place; ASSIGN_NONE */
	uint32_t *places;           /* by site */
	uint32_t site_count;
	double far_ms; /* further than any path and any bound */
	struct assign_problem problem;
};

/* A required affinity to pods of which there are none yet. */
bool graph_waits_for_company(const struct place *p, const struct shape_term *t);
/* Chooses the bins. */
void graph_assign_bins(struct build *b);
uint32_t graph_assign_link_count(const struct build *b);
/* Numbers the places that matter. */
void graph_assign_sites(struct build *b);
/* Paths, links and anchors; the limits of paths for all traffic, or for what is required only. */
void graph_assign_links(struct build *b, bool all_traffic);

#endif
