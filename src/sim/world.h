/*
 * The simulated world: one clock, one queue of events ordered by time and then by the order in
 * which they were put there, machines with disks, and a network between them. Everything that
 * happens is an event, so that one seed gives one history; the trace hashes it.
 *
 * One thread. Nothing here reads a clock, a real file or real randomness, and nothing depends on
 * addresses of memory: two programs by different compilers go the same way.
 *
 *   machine  has an address, a disk and a power switch
 *   process  (struct sim_loop, in loop_sim.h) runs on a machine and sees only sys/loop.h, sys/fs.h
 */
#ifndef CONTINUO_SIM_WORLD_H
#define CONTINUO_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rand.h"
#include "base/vec.h"
#include "sim/disk.h"
#include "sim/trace.h"

#define SIM_MACHINES_MAX 1024
#define SIM_START_WALL_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

/* ---- events ---- */

/* Embedded in what waits for it; zeroed is a fine start. */
struct sim_event {
	int64_t at_us;
	uint64_t order;
	size_t slot; /* in the heap, plus one; 0: not waiting */
	void (*fire)(struct sim_event *e);
};

struct sim_world;

/* Puts or moves an event; a time in the past counts as now. */
void sim_event_at(struct sim_world *w, struct sim_event *e, int64_t at_us);
void sim_event_cancel(struct sim_world *w, struct sim_event *e); /* not waiting is fine */

/* ---- machines and links ---- */

struct sim_machine {
	struct sim_world *world;
	int index;
	char name[64];
	char address[32]; /* "10.9.0.1" */
	char vfs_name[32];
	struct sim_disk *disk;
	bool powered;
	struct list loops;      /* struct sim_loop: the processes that run */
	uint64_t boots;         /* processes ever started: seeds of their randomness */
	uint64_t ports;         /* given to connections so far */
	int64_t wall_offset_ms; /* fault: its wall clock is wrong by that */
	/* CLOCK_BOOTTIME: what it said at a moment of the world's, and (fault: drift) by how many
	 * millionths it has run too fast since. It never jumps, except to 0 at a boot. */
	int64_t clock_us, clock_at_us;
	int rate_ppm;
};

void sim_machine_boot(struct sim_machine *m); /* nothing if it has power */
int64_t sim_machine_now_us(const struct sim_machine *m);
/* The first moment of the world's at which the machine's clock says clock_us, if its rate stays. */
int64_t sim_machine_when_us(const struct sim_machine *m, int64_t clock_us);

/* Between two machines, in both directions. */
struct sim_link {
	int64_t base_us, jitter_us;
	int64_t extra_us; /* fault: delay */
	int cuts;         /* faults: partitions that lie between them; 0: connected */
};

struct sim_world {
	int64_t now_us;
	uint64_t orders, events_fired;
	VEC(struct sim_event *) heap;
	struct rand net_rand; /* latencies */
	struct rand disk_rand;
	uint64_t seed;
	struct sim_trace trace;
	VEC(struct sim_machine *) machines;
	struct sim_link *links; /* see sim_link */
	struct list conns;      /* net_sim.c: every connection that is not quite gone */
	uint64_t conns_made;
	const char *spins; /* name of a process that is busy with nothing; null: none */
};

struct sim_world *sim_world_new(uint64_t seed) MUST_CHECK;
void sim_world_free(struct sim_world *w); /* machines too; their processes must be gone */

/* base and jitter of its links to the machines that there are: in microseconds. */
struct sim_machine *sim_machine_new(struct sim_world *w, const char *name, const char *address,
	int64_t base_us, int64_t jitter_us) MUST_CHECK;
struct sim_machine *sim_machine_find(struct sim_world *w, const char *address, size_t size);
struct sim_link *sim_link(struct sim_world *w, const struct sim_machine *a,
	const struct sim_machine *b);
/* What one packet takes now. */
int64_t sim_link_latency_us(struct sim_world *w, const struct sim_machine *a,
	const struct sim_machine *b);
bool sim_link_up(struct sim_world *w, const struct sim_machine *a, const struct sim_machine *b);

void sim_net_done(struct sim_world *w); /* net_sim.c, for sim_world_free */

/* Lets the next event happen; false when none waits, or none before until_us (then now is that). */
bool sim_world_step(struct sim_world *w, int64_t until_us);

#endif
