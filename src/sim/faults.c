/*
 * Faults: each kind strikes after a random while, lasts a random while and is healed, all from a
 * random sequence of its own, so that turning one kind on or off leaves the others as they were.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "sim/cluster.h"

#define SECOND_US INT64_C(1000000)

struct strike {
	struct sim_event event;
	struct sim_faults *faults;
	enum sim_fault fault;
	struct rand rand;
	bool active; /* struck, not healed yet */
	bool power_loss;
	int victim; /* crash: node, or -1 the server */
	/* Partition and delay: the machines on one side of the cut, or at the ends of the slow
	 * link. */
	bool *side;
	int from, to;
	uint64_t count;
};

#define STRIKES 4 /* crashes of nodes, crashes of the server, partitions, delays */
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

/* ---- striking and healing ---- */

static void strike(struct strike *s)
{
	s->active = true;
	s->count++;
	if (s->fault == SIM_FAULT_PARTITION)
		partition(s);
	else if (s->fault == SIM_FAULT_DELAY)
		slow(s);
	else if (s == &s->faults->strikes[0])
		crash_node(s);
	else
		crash_server(s);
}

static void heal(struct strike *s)
{
	struct sim_world *w = s->faults->cluster->world;
	s->active = false;
	if (s->fault == SIM_FAULT_PARTITION) {
		sim_trace_line(&w->trace, w->now_us, "partition healed");
		cut(s, -1);
	} else if (s->fault == SIM_FAULT_DELAY) {
		sim_link(w, w->machines.items[s->from], w->machines.items[s->to])->extra_us = 0;
	} else {
		restart(s);
	}
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
		plan(s, 5, 90);
	} else {
		strike(s);
		plan(s, 1, 45);
	}
}

void sim_faults_begin(struct sim_faults *f)
{
	for (int i = 0; i < STRIKES; i++)
		if (f->kinds & f->strikes[i].fault)
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
	r->crashes = f->strikes[0].count + f->strikes[1].count;
	r->partitions = f->strikes[2].count;
	r->delays = f->strikes[3].count;
}

struct sim_faults *sim_faults_new(struct sim_cluster *c, unsigned kinds)
{
	static const enum sim_fault of[STRIKES] = {
		SIM_FAULT_CRASH, SIM_FAULT_CRASH, SIM_FAULT_PARTITION, SIM_FAULT_DELAY};
	struct sim_faults *f = mem_new(struct sim_faults);
	f->cluster = c;
	f->kinds = kinds;
	for (int i = 0; i < STRIKES; i++) {
		struct strike *s = &f->strikes[i];
		s->event.fire = on_strike;
		s->faults = f;
		s->fault = of[i];
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
