#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* ---- the queue: a binary heap ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void put(struct sim_world *w, size_t at, struct sim_event *e)
{
	w->heap.items[at] = e;
	e->slot = at + 1;
}

static void rise(struct sim_world *w, size_t at)
{
	struct sim_event *e = w->heap.items[at];
	while (at > 0 && before(e, w->heap.items[(at - 1) / 2])) {
		put(w, at, w->heap.items[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(w, at, e);
}

static void sink(struct sim_world *w, size_t at)
{
	struct sim_event *e = w->heap.items[at];
	for (size_t child; (child = 2 * at + 1) < w->heap.count; at = child) {
		if (child + 1 < w->heap.count &&
			before(w->heap.items[child + 1], w->heap.items[child]))
			child++;
		if (!before(w->heap.items[child], e))
			break;
		put(w, at, w->heap.items[child]);
	}
	put(w, at, e);
}

void sim_event_at(struct sim_world *w, struct sim_event *e, int64_t at_us)
{
	sim_event_cancel(w, e);
	e->at_us = at_us < w->now_us ? w->now_us : at_us;
	e->order = ++w->orders;
	vec_push(&w->heap, e);
	rise(w, w->heap.count - 1);
}

void sim_event_cancel(struct sim_world *w, struct sim_event *e)
{
	if (!e->slot)
		return;
	size_t at = e->slot - 1;
	e->slot = 0;
	struct sim_event *last = w->heap.items[--w->heap.count];
	if (last == e)
		return;
	put(w, at, last);
	sink(w, at);
	rise(w, last->slot - 1);
}

bool sim_world_step(struct sim_world *w, int64_t until_us)
{
	if (!w->heap.count || w->heap.items[0]->at_us > until_us) {
		if (w->now_us < until_us)
			w->now_us = until_us;
		return false;
	}
	struct sim_event *e = w->heap.items[0];
	sim_event_cancel(w, e);
	w->now_us = e->at_us;
	w->events_fired++;
	e->fire(e);
	return true;
}

/* ---- life ---- */

struct sim_world *sim_world_new(uint64_t seed)
{
	struct sim_world *w = mem_new(struct sim_world);
	w->seed = seed;
	rand_init(&w->net_rand, seed ^ UINT64_C(0x6e6574));
	rand_init(&w->disk_rand, seed ^ UINT64_C(0x6469736b));
	list_init(&w->conns);
	sim_trace_init(&w->trace);
	return w;
}

void sim_world_free(struct sim_world *w)
{
	if (!w)
		return;
	sim_net_done(w);
	for (size_t i = 0; i < w->machines.count; i++) {
		sim_disk_free(w->machines.items[i]->disk);
		free(w->machines.items[i]);
	}
	vec_done(&w->machines);
	vec_done(&w->heap);
	free(w->links);
	sim_trace_done(&w->trace);
	free(w);
}

/* ---- clocks ---- */

#define MILLION INT64_C(1000000)

int64_t sim_machine_now_us(const struct sim_machine *m)
{
	int64_t passed_us = m->world->now_us - m->clock_at_us;
	return m->clock_us + passed_us + passed_us * m->rate_ppm / MILLION;
}

int64_t sim_machine_when_us(const struct sim_machine *m, int64_t clock_us)
{
	int64_t left_us = clock_us - m->clock_us, rate = MILLION + m->rate_ppm;
	if (!m->rate_ppm || left_us <= 0)
		return m->clock_at_us + left_us;
	return m->clock_at_us + (left_us * MILLION + rate - 1) / rate;
}

#define BOOT_US INT64_C(5000000) /* until the first process of ours runs */

void sim_machine_boot(struct sim_machine *m)
{
	if (m->powered)
		return;
	m->powered = true;
	m->clock_us = BOOT_US;
	m->clock_at_us = m->world->now_us;
}

/* ---- machines and links ---- */

/* Links are a lower triangle: that of a with b is at a * (a + 1) / 2 + b, a being the later one. */
static size_t link_index(int a, int b)
{
	size_t high = (size_t)(a > b ? a : b), low = (size_t)(a > b ? b : a);
	return high * (high + 1) / 2 + low;
}

struct sim_machine *sim_machine_new(struct sim_world *w, const char *name, const char *address,
	int64_t base_us, int64_t jitter_us)
{
	struct sim_machine *m = mem_new(struct sim_machine);
	m->world = w;
	m->index = (int)w->machines.count;
	m->powered = true;
	list_init(&m->loops);
	if (!str_copy(m->name, sizeof(m->name), name) ||
		!str_copy(m->address, sizeof(m->address), address))
		abort();
	snprintf(m->vfs_name, sizeof(m->vfs_name), "sim-%d", m->index);
	m->disk = sim_disk_new(&w->disk_rand);
	vec_push(&w->machines, m);
	size_t end = link_index(m->index, m->index) + 1;
	w->links = mem_resize(w->links, end * sizeof(*w->links));
	for (int other = 0; other < m->index; other++)
		w->links[link_index(m->index, other)] =
			(struct sim_link){.base_us = base_us, .jitter_us = jitter_us};
	w->links[end - 1] = (struct sim_link){.base_us = 20, .jitter_us = 20};
	return m;
}

struct sim_machine *sim_machine_find(struct sim_world *w, const char *address, size_t size)
{
	for (size_t i = 0; i < w->machines.count; i++) {
		struct sim_machine *m = w->machines.items[i];
		if ((strlen(m->address) == size && memcmp(m->address, address, size) == 0) ||
			(strlen(m->name) == size && memcmp(m->name, address, size) == 0))
			return m;
	}
	return NULL;
}

struct sim_link *sim_link(struct sim_world *w, const struct sim_machine *a,
	const struct sim_machine *b)
{
	return &w->links[link_index(a->index, b->index)];
}

int64_t sim_link_latency_us(struct sim_world *w, const struct sim_machine *a,
	const struct sim_machine *b)
{
	const struct sim_link *link = sim_link(w, a, b);
	return link->base_us + rand_between(&w->net_rand, 0, link->jitter_us) + link->extra_us;
}

bool sim_link_up(struct sim_world *w, const struct sim_machine *a, const struct sim_machine *b)
{
	return a->powered && b->powered && sim_link(w, a, b)->cuts == 0;
}
