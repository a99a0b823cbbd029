/*
 * A process of the simulated world: an implementation of sys/loop.h. Timers, deferred calls and
 * jobs are events of the world; a job runs on the same thread, in an event of its own some time
 * after it was asked for, and its done call in a later one, so that a crash can fall between them.
 *
 * Death. sim_loop_kill cuts a process off from the world: no event reaches it, nothing it does
 * reaches a disk or a wire. After that its role may be freed as usual, which only gives memory
 * back, and sim_loop_free runs what was deferred or timed, without effect outside, and frees the
 * rest.
 */
#ifndef CONTINUO_SIM_LOOP_SIM_H
#define CONTINUO_SIM_LOOP_SIM_H

#include "sim/world.h"
#include "sys/loop.h"

struct sim_loop {
	struct loop loop;
	struct sim_machine *machine;
	struct sim_world *world;
	struct list link; /* in machine->loops, until it is dead */
	bool dead;
	const char *name; /* "server", for the trace */
	struct rand rand;
	uint64_t ids; /* of timers and tasks, for the trace */
	struct list timers, tasks, ends, listeners, datagrams;
};

struct sim_loop *sim_loop_new(struct sim_machine *m, const char *name) MUST_CHECK;
/* power_loss: peers hear nothing; else the kernel closes the connections. */
void sim_loop_kill(struct sim_loop *l, bool power_loss);
void sim_loop_free(struct sim_loop *l); /* killed before; null is fine */

/* Its clock runs so many millionths too fast from now on; timers that run follow it. */
void sim_machine_set_rate(struct sim_machine *m, int rate_ppm);

/* The machine at the other end of a stream of ours. */
struct sim_machine *sim_stream_machine(const struct stream *s);

/* ---- net_sim.c and datagram_sim.c, for loop_sim.c ---- */

struct stream *sim_net_connect(struct loop *l, const char *address);
int sim_net_listen(struct loop *l, const char *address, listener_cb *cb, void *arg,
	struct listener **ret_listener, struct err *e);
int sim_net_datagram(struct loop *l, const char *address, datagram_cb *cb, void *arg,
	struct datagram **ret_datagram, struct err *e);
void sim_net_kill(struct sim_loop *l, bool power_loss);
void sim_net_collect(struct sim_world *w); /* frees connections that nobody has any more */
/* Splits "10.9.0.1:6443"; false when it is not of that form. */
bool sim_net_parse(const char *address, size_t *ret_host_size, int *ret_port);

#endif
