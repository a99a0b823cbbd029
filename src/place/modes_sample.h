/* Random fleets with pods on them, and what their tables come to; for tests. */
#ifndef CONTINUO_PLACE_MODES_SAMPLE_H
#define CONTINUO_PLACE_MODES_SAMPLE_H

#include "base/rand.h"
#include "place/solver.h"

#define SAMPLE_SHAPES 6

struct sample {
	struct place *p;
	struct rand rand;
	bool plain; /* cpu and memory only */
	uint32_t nodes;
	uint32_t shapes[SAMPLE_SHAPES];
};

/* The same numbers give the same sample. */
void sample_init(struct sample *s, uint64_t seed, uint32_t nodes, bool plain);
/* A node that is there or not: one seed, one node. */
uint32_t sample_set_node(struct sample *s, uint32_t i);
/* Pods of priorities 0 to 3, where they fit, one anywhere. */
void sample_fill(struct sample *s, uint32_t pods);
void sample_done(struct sample *s);
/* All that the tables know, as text: equal texts, equal tables. Freed by the caller. */
char *sample_digest(const struct place *p);
/* Whether any resource of any node is taken more than it has. */
bool sample_is_overcommitted(const struct place *p);
bool sample_fits(struct place *p, uint32_t shape, uint32_t node);

#define SAMPLE_WANTS 6
void sample_wants(struct sample *s, struct place_want *wants, bool gangs);

#define SAMPLE_BUDGETS 3
struct limits {
	struct place_budget budgets[SAMPLE_BUDGETS];
	VEC(struct place_pod_budget) of;
	VEC(uint32_t) pinned;
};

void limits_done(struct limits *l);
/* Random ones into the problem, which points into them. */
void limits_init(struct limits *l, struct sample *s, struct place_problem *problem);
bool limits_let(const struct limits *l, const uint32_t *pods, uint32_t count); /* all of them go */

/* Plans; what is impossible ends the test. */
struct place_plan sample_solve(struct place *p, const struct place_problem *problem, bool apply);
/* Solves dry and applied, compares the two, hands out the applied one. */
struct place_plan sample_solve_twice(struct place *p, const struct place_problem *problem);
/* The tables are what they were, or the test ends. Ends the plan. */
void sample_undo(struct place *p, struct place_plan *plan, const char *before);

#endif
