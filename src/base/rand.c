#include "base/rand.h"

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void rand_init(struct rand *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->state[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

uint64_t rand_next(struct rand *r)
{
	uint64_t *s = r->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t rand_below(struct rand *r, uint64_t bound)
{
	uint64_t threshold = -bound % bound;
	for (;;) {
		uint64_t x = rand_next(r);
		if (x >= threshold)
			return x % bound;
	}
}

int64_t rand_between(struct rand *r, int64_t low, int64_t high)
{
	return low + (int64_t)rand_below(r, (uint64_t)(high - low) + 1);
}

double rand_unit(struct rand *r)
{
	return (double)(rand_next(r) >> 11) * 0x1.0p-53;
}
