#include "openb/cluster.h"

#include <assert.h>

#include "base/mem.h"
#include "base/rand.h"

/* A stream of its own, so that the order of nodes does not depend on how many pods were drawn. */
#define NODE_STREAM 0x6e6f646573ull

void openb_cluster_init(struct openb_cluster *c, const struct openb_trace *t, uint64_t seed)
{
	struct rand r;
	rand_init(&r, seed ^ NODE_STREAM);
	*c = (struct openb_cluster){.count = t->nodes.count};
	c->seats = mem_alloc_array(c->count, sizeof(*c->seats));
	c->versions = mem_alloc_array(c->count, sizeof(*c->versions));
	for (size_t i = 0; i < c->count; i++) {
		size_t j = (size_t)rand_below(&r, i + 1);
		c->seats[i].node = c->seats[j].node;
		c->seats[j].node = &t->nodes.items[i];
	}
	for (size_t i = 0; i < c->count; i++) {
		struct openb_seat *seat = &c->seats[i];
		seat->cpu_left = seat->node->cpu_milli;
		seat->memory_left = seat->node->memory_mib;
		seat->devices = seat->node->devices;
		seat->model = seat->node->model;
		seat->gpu_left_total = seat->devices * OPENB_GPU_MILLI;
		for (int d = 0; d < seat->devices; d++)
			seat->gpu_left[d] = OPENB_GPU_MILLI;
	}
}

void openb_cluster_done(struct openb_cluster *c)
{
	free(c->seats);
	free(c->versions);
	*c = (struct openb_cluster){0};
}

bool openb_seat_fits(const struct openb_seat *seat, const struct openb_shape *s)
{
	if (seat->cpu_left < s->cpu_milli || seat->memory_left < s->memory_mib)
		return false;
	if (!s->gpus)
		return true;
	if (s->models && !(s->models >> seat->model & 1u))
		return false;
	int able = 0;
	for (int d = 0; d < seat->devices; d++)
		able += seat->gpu_left[d] >= s->gpu_milli;
	return able >= s->gpus;
}

uint8_t openb_seat_whole_free(const struct openb_seat *seat)
{
	uint8_t count = 0;
	for (int d = 0; d < seat->devices; d++)
		count = (uint8_t)(count + (seat->gpu_left[d] == OPENB_GPU_MILLI));
	return count;
}

int openb_shape_kind(const struct openb_shape *s)
{
	return openb_shape_shares(s) ? OPENB_KIND_SHARE : OPENB_KIND_WHOLE + s->gpus - 1;
}

/* Gives amounts back (sign 1) or takes them (sign -1). */
static void change(struct openb_cluster *c, const struct openb_shape *s, struct openb_choice at,
	int sign)
{
	assert(at.seat < c->count && __builtin_popcount(at.devices) == s->gpus);
	struct openb_seat *seat = &c->seats[at.seat];
	seat->cpu_left += sign * s->cpu_milli;
	seat->memory_left += sign * s->memory_mib;
	seat->gpu_left_total += sign * openb_shape_gpu_total(s);
	c->gpu_used -= sign * openb_shape_gpu_total(s);
	if (s->gpus)
		seat->kinds[openb_shape_kind(s)] -= (uint32_t)sign;
	for (int d = 0; d < OPENB_DEVICES_MAX; d++) {
		if (!(at.devices >> d & 1))
			continue;
		assert(d < seat->devices);
		seat->gpu_left[d] = (int16_t)(seat->gpu_left[d] + sign * s->gpu_milli);
		assert(seat->gpu_left[d] >= 0 && seat->gpu_left[d] <= OPENB_GPU_MILLI);
	}
	assert(seat->cpu_left >= 0 && seat->cpu_left <= seat->node->cpu_milli);
	assert(seat->memory_left >= 0 && seat->memory_left <= seat->node->memory_mib);
	c->versions[at.seat]++;
}

void openb_cluster_place(struct openb_cluster *c, const struct openb_shape *s,
	struct openb_choice at)
{
	assert(at.seat < c->count && openb_seat_fits(&c->seats[at.seat], s));
	change(c, s, at, -1);
}

void openb_cluster_undo(struct openb_cluster *c, const struct openb_shape *s,
	struct openb_choice at)
{
	change(c, s, at, 1);
}

uint8_t openb_seat_tightest(const struct openb_seat *seat, const struct openb_shape *s)
{
	int best = -1;
	for (int d = 0; d < seat->devices; d++)
		if (seat->gpu_left[d] >= s->gpu_milli &&
			(best < 0 || seat->gpu_left[d] < seat->gpu_left[best]))
			best = d;
	assert(best >= 0);
	return (uint8_t)(1u << best);
}

uint8_t openb_seat_first_whole(const struct openb_seat *seat, uint8_t gpus)
{
	uint8_t set = 0;
	for (int d = 0; d < seat->devices && gpus; d++) {
		if (seat->gpu_left[d] != OPENB_GPU_MILLI)
			continue;
		set = (uint8_t)(set | 1u << d);
		gpus--;
	}
	assert(!gpus);
	return set;
}
