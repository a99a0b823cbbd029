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
#endif
