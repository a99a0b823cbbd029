/*
 * Applications to place, made up from a seed: for tests and benches, not part of the library.
 *
 * Sites lie on a map: latency grows with distance. The first is a cloud with large nodes, far away;
 * the others are edges. Power, its price and its carbon differ by site, prices of nodes by node.
 * Components have replicas, wishes, statics under all terms, and some are kept apart, together or
 * near; links are a tree and more at random, some with bounds; users and data are tied to sites.
 */
#ifndef CONTINUO_PLACE_ASSIGN_SAMPLE_H
#define CONTINUO_PLACE_ASSIGN_SAMPLE_H

#include "base/arena.h"
#include "place/assign/assign.h"

struct assign_sample {
	uint32_t components, links, bins, sites;
	uint32_t replicas_most;
	double fill; /* all needs by all room, of the resource that is scarcest; 0: as it comes */
	uint64_t seed;
};

/* 5 to 20 components on 5 to 30 bins at 2 to 6 sites: what an exact solver can close. */
struct assign_sample assign_sample_small(uint64_t seed);
/* The application of app50_ms. */
struct assign_sample assign_sample_large(uint64_t seed);
/* The problem and all that it points to live in the arena. */
struct assign_problem *assign_sample_make(const struct assign_sample *sample, struct arena *a);

#endif
