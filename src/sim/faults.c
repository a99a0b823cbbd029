/*
 * Faults: each kind strikes after a random while, lasts a random while and is healed, all from a
 * random sequence of its own, so that turning one kind on or off leaves the others as they were.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "sim/cluster.h"

/* Indices of machines, see sim.c. */
#define SERVER 0
#define CLIENT 1
#define FIRST_NODE 2
#define SECOND_US INT64_C(1000000)

struct strike_kind;
struct strike {
	struct sim_event event;
	struct sim_faults *faults;
	const struct strike_kind *kind;
	struct rand rand;
	bool active; /* struck, not healed yet */
	bool power_loss;
	int victim; /* crash, full disk: node, or -1 the server */
	/* Partition, delay, clock: the machines on one side of the cut, or at the ends of the slow
	 * link, or the one whose clock is wrong. */
	bool *side;
	int from, to;
	uint64_t count;
};

#define STRIKES 10     /* see kinds */
#define DRIFT_PPM 5000 /* as docs/time-and-leases.md states it */
struct sim_faults {
	struct sim_cluster *cluster;
	unsigned kinds;
	struct strike strikes[STRIKES];
};

static int machine_count(const struct sim_faults *f)
{
	return (int)f->cluster->world->machines.count;
}

/* ---- crashes ---- */

static void crash_node(struct strike *s)
{
	struct sim_cluster *c = s->faults->cluster;
	s->victim = (int)rand_below(&s->rand, (uint64_t)c->node_count);
	s->power_loss = rand_below(&s->rand, 2) == 0;
	sim_node_kill(&c->nodes[s->victim], s->power_loss);
}

/* Half of the time at once, else in the midst of a write: the disk stops after some more changes,
 * and with it the machine. */
static void crash_server(struct strike *s)
{
	struct sim_cluster *c = s->faults->cluster;
	s->victim = -1;
	s->power_loss = rand_below(&s->rand, 3) > 0;
	if (rand_below(&s->rand, 2) == 0 || !c->server.loop)
		sim_server_kill(c, s->power_loss);
	else
		c->server.machine->disk->fuse = rand_between(&s->rand, 1, 40);
}

static void restart(struct strike *s)
{
	struct sim_cluster *c = s->faults->cluster;
	if (s->victim >= 0) {
		sim_node_start(&c->nodes[s->victim]);
		return;
	}
	c->server.machine->disk->fuse = 0;
	sim_server_start(c);
}

/* ---- partitions and delays ---- */

static void cut(struct strike *s, int change)
{
	struct sim_world *w = s->faults->cluster->world;
	s->faults->cluster->troubles += s->side[SERVER] != s->side[CLIENT];
	for (int a = 0; a < machine_count(s->faults); a++)
		for (int b = 0; b < a; b++)
			if (s->side[a] != s->side[b])
				sim_link(w, w->machines.items[a], w->machines.items[b])->cuts +=
					change;
}

static void partition(struct strike *s)
{
	int count = machine_count(s->faults);
	bool alone = rand_below(&s->rand, 2) == 0;
	uint64_t one = rand_below(&s->rand, (uint64_t)count);
	for (int i = 0; i < count; i++)
		s->side[i] = alone ? (uint64_t)i == one : rand_below(&s->rand, 3) == 0;
	struct sim_world *w = s->faults->cluster->world;
	sim_trace_line(&w->trace, w->now_us, "partition");
	cut(s, 1);
}

/* One node, and nobody else. */
static void black_out(struct strike *s)
{
	int count = machine_count(s->faults);
	int victim = (int)rand_between(&s->rand, FIRST_NODE, count - 1);
	struct sim_world *w = s->faults->cluster->world;
	for (int i = 0; i < count; i++)
		s->side[i] = i == victim;
	sim_trace_line(&w->trace, w->now_us, "blackout of %s",
		((struct sim_machine *)w->machines.items[victim])->name);
	cut(s, 1);
}

static void slow(struct strike *s)
{
	struct sim_world *w = s->faults->cluster->world;
	/* Mostly a link of the server, which is machine 0: nodes hardly talk to each other. */
	s->from = rand_below(&s->rand, 4) == 0
			  ? (int)rand_below(&s->rand, (uint64_t)machine_count(s->faults))
			  : 0;
	s->to = (int)rand_below(&s->rand, (uint64_t)machine_count(s->faults));
	sim_link(w, w->machines.items[s->from], w->machines.items[s->to])->extra_us =
		rand_between(&s->rand, 50000, 2500000);
	sim_trace_line(&w->trace, w->now_us, "delay %d %d", s->from, s->to);
}

static void partition_heal(struct strike *s)
{
	struct sim_world *w = s->faults->cluster->world;
	sim_trace_line(&w->trace, w->now_us, "partition healed");
	cut(s, -1);
}

static void slow_heal(struct strike *s)
{
	struct sim_world *w = s->faults->cluster->world;
	sim_link(w, w->machines.items[s->from], w->machines.items[s->to])->extra_us = 0;
}

/* ---- disks and clocks ---- */

/* What room is left is little, and may be none: some writes still fit. */
static void fill_disk(struct strike *s, struct sim_machine *m, int64_t room)
{
	struct sim_world *w = s->faults->cluster->world;
	m->disk->capacity_bytes = sim_disk_used(m->disk) + rand_between(&s->rand, 1, room);
	sim_trace_line(&w->trace, w->now_us, "disk of %s is full", m->name);
}

static void free_disk(struct strike *s, struct sim_machine *m)
{
	struct sim_world *w = s->faults->cluster->world;
	m->disk->capacity_bytes = 0;
	sim_trace_line(&w->trace, w->now_us, "disk of %s has room", m->name);
}

static void fill_node(struct strike *s)
{
	struct sim_cluster *c = s->faults->cluster;
	s->victim = (int)rand_below(&s->rand, (uint64_t)c->node_count);
	fill_disk(s, c->nodes[s->victim].machine, 4096);
}

static void free_node(struct strike *s)
{
	struct sim_node *n = &s->faults->cluster->nodes[s->victim];
	free_disk(s, n->machine);
	if (n->no_space)
		sim_node_start(n);
}

static void fill_server(struct strike *s)
{
	fill_disk(s, s->faults->cluster->server.machine, 256 << 10);
}

static void free_server(struct strike *s)
{
	struct sim_server *x = &s->faults->cluster->server;
	free_disk(s, x->machine);
	if (x->no_space)
		sim_server_start(s->faults->cluster);
}

static void set_clock(struct strike *s, int64_t offset_ms)
{
	struct sim_world *w = s->faults->cluster->world;
	struct sim_machine *m = w->machines.items[s->from];
	m->wall_offset_ms = offset_ms;
	sim_trace_line(&w->trace, w->now_us, "clock of %s is off by %lld ms", m->name,
		(long long)offset_ms);
}

/* By up to ten seconds, an hour or a day, either way; the server's every third time. */
static void jump(struct strike *s)
{
	static const int64_t most_ms[] = {10000, 3600000, 86400000};
	int64_t most = most_ms[rand_below(&s->rand, ARRAY_SIZE(most_ms))];
	s->from = rand_below(&s->rand, 3) == 0
			  ? 0
			  : (int)rand_below(&s->rand, (uint64_t)machine_count(s->faults));
	set_clock(s, rand_between(&s->rand, -most, most));
}

static void jump_back(struct strike *s)
{
	set_clock(s, 0);
}

int sim_drift_ppm(const struct sim_cluster *c)
{
	return c->config->plant == SIM_PLANT_WILD_DRIFT ? 40 * DRIFT_PPM : DRIFT_PPM;
}

/* Each at the bound, either way, or in between; all of them at once, as it is their difference that
 * matters. */
static void drift(struct strike *s)
{
	struct sim_cluster *c = s->faults->cluster;
	struct sim_world *w = c->world;
	int most = sim_drift_ppm(c);
	for (int i = 0; i < machine_count(s->faults); i++) {
		static const int edges[] = {-1, 0, 1};
		uint64_t edge = rand_below(&s->rand, 4);
		int rate = edge < 3 ? edges[edge] * most : (int)rand_between(&s->rand, -most, most);
		sim_machine_set_rate(w->machines.items[i], rate);
		sim_trace_line(&w->trace, w->now_us, "clock %d drifts by %d ppm", i, rate);
	}
}

static void drift_ends(struct strike *s)
{
	struct sim_world *w = s->faults->cluster->world;
	for (int i = 0; i < machine_count(s->faults); i++)
		sim_machine_set_rate(w->machines.items[i], 0);
}

/* One fence alone. With its agent down as well nobody would be left to end its pod. */
static void crash_fence(struct strike *s)
{
	struct sim_cluster *c = s->faults->cluster;
	uint64_t from = rand_below(&s->rand, (uint64_t)c->node_count);
	uint64_t which = rand_below(&s->rand, 8);
	for (uint64_t i = 0; i < (uint64_t)c->node_count; i++) {
		struct sim_node *n = &c->nodes[(from + i) % (uint64_t)c->node_count];
		if (n->loop && sim_fence_kill_one(n, which))
			return;
	}
}

static void nothing_to_heal(struct strike *s)
{
	(void)s;
}

/* ---- striking and healing ---- */

static const struct strike_kind {
	enum sim_fault fault;
	void (*strike)(struct strike *s);
	void (*heal)(struct strike *s);
	struct {
		int64_t least_s, most_s;
	} lasts, pause;
} kinds[STRIKES] = {
	{SIM_FAULT_CRASH, crash_node, restart, {1, 45}, {5, 90}},
	{SIM_FAULT_CRASH, crash_server, restart, {1, 45}, {5, 90}},
	{SIM_FAULT_PARTITION, partition, partition_heal, {1, 45}, {5, 90}},
	{SIM_FAULT_DELAY, slow, slow_heal, {1, 45}, {5, 90}},
	{SIM_FAULT_DISK, fill_node, free_node, {1, 45}, {5, 90}},
	{SIM_FAULT_DISK, fill_server, free_server, {1, 45}, {5, 90}},
	{SIM_FAULT_CLOCK, jump, jump_back, {1, 45}, {5, 90}},
	{SIM_FAULT_BLACKOUT, black_out, partition_heal, {3, 3}, {2, 20}},
	{SIM_FAULT_DRIFT, drift, drift_ends, {20, 200}, {1, 30}},
	{SIM_FAULT_CRASH, crash_fence, nothing_to_heal, {1, 1}, {5, 60}},
};

static void strike(struct strike *s)
{
	s->active = true;
	s->count++;
	s->kind->strike(s);
}

static void heal(struct strike *s)
{
	s->active = false;
	s->kind->heal(s);
}

static void plan(struct strike *s, int64_t low_s, int64_t high_s)
{
	struct sim_world *w = s->faults->cluster->world;
	sim_event_at(w, &s->event,
		w->now_us + rand_between(&s->rand, low_s * SECOND_US, high_s * SECOND_US));
}

static void on_strike(struct sim_event *event)
{
	struct strike *s = CONTAINER_OF(event, struct strike, event);
	if (s->active) {
		heal(s);
		plan(s, s->kind->pause.least_s, s->kind->pause.most_s);
	} else {
		strike(s);
		plan(s, s->kind->lasts.least_s, s->kind->lasts.most_s);
	}
}

void sim_faults_begin(struct sim_faults *f)
{
	for (int i = 0; i < STRIKES; i++)
		if (f->kinds & kinds[i].fault)
			plan(&f->strikes[i], 1, 60);
}

void sim_faults_stop(struct sim_faults *f)
{
	for (int i = 0; i < STRIKES; i++) {
		sim_event_cancel(f->cluster->world, &f->strikes[i].event);
		if (f->strikes[i].active)
			heal(&f->strikes[i]);
	}
}

/* Called after every step: a machine whose disk stopped in the midst of a write loses its power. */
void sim_faults_step(struct sim_faults *f)
{
	struct sim_cluster *c = f->cluster;
	if (c->server.machine->disk->blown)
		sim_server_kill(c, true);
}

void sim_faults_count(const struct sim_faults *f, struct sim_result *r)
{
	r->crashes = f->strikes[0].count + f->strikes[1].count + f->strikes[9].count;
	r->partitions = f->strikes[2].count;
	r->delays = f->strikes[3].count;
	r->full_disks = f->strikes[4].count + f->strikes[5].count;
	r->clock_jumps = f->strikes[6].count;
	r->blackouts = f->strikes[7].count;
	r->drifts = f->strikes[8].count;
}

struct sim_faults *sim_faults_new(struct sim_cluster *c, unsigned faults)
{
	struct sim_faults *f = mem_new(struct sim_faults);
	f->cluster = c;
	f->kinds = faults;
	for (int i = 0; i < STRIKES; i++) {
		struct strike *s = &f->strikes[i];
		s->event.fire = on_strike;
		s->faults = f;
		s->kind = &kinds[i];
		s->side = mem_alloc_array(c->world->machines.count, sizeof(bool));
		rand_init(&s->rand, c->config->seed * 31 + (uint64_t)i);
	}
	return f;
}

void sim_faults_free(struct sim_faults *f)
{
	for (int i = 0; i < STRIKES; i++) {
		sim_event_cancel(f->cluster->world, &f->strikes[i].event);
		free(f->strikes[i].side);
	}
	free(f);
}
