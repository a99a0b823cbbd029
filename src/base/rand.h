/*
 * Pseudo-random numbers from a seed: xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64. For
 * choices that must replay, never for keys or tokens (those come from loop_random_bytes).
 */
#ifndef CONTINUO_BASE_RAND_H
#define CONTINUO_BASE_RAND_H

#include <stdint.h>

struct rand {
	uint64_t state[4];
};

void rand_init(struct rand *r, uint64_t seed);
uint64_t rand_next(struct rand *r);
uint64_t rand_below(struct rand *r, uint64_t bound); /* 0 to bound - 1, unbiased; bound > 0 */
int64_t rand_between(struct rand *r, int64_t low, int64_t high); /* low to high, both included */
double rand_unit(struct rand *r);                                /* [0, 1) */

#endif
