#include "sim/loop_sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LAST_TURNS                                                                                 \
	100000 /* of a dead process: a timer that starts itself again would never end              \
		*/

#define SPIN_TURNS 700

static struct sim_loop *of(struct loop *l)
{
	return CONTAINER_OF(l, struct sim_loop, loop);
}

static int64_t now_ms(struct loop *l)
{
	return sim_machine_now_us(of(l)->machine) / 1000;
}

static int64_t wall_ms(struct loop *l)
{
	const struct sim_machine *m = of(l)->machine;
	return SIM_START_WALL_MS + m->world->now_us / 1000 + m->wall_offset_ms;
}

static void random_bytes(struct loop *l, void *ret_bytes, size_t size)
{
	for (unsigned char *p = ret_bytes; size; size--)
		*p++ = (unsigned char)rand_next(&of(l)->rand);
}

/* ---- timers ---- */

struct timer {
	struct loop_timer timer;
	struct sim_event event;
	struct list link;
	struct sim_loop *loop;
	uint64_t id;
	int64_t due_us; /* by the machine's clock */
	int64_t turns_since_us;
	int turns;
	bool due; /* of a dead process: it was running, or was started since */
	loop_timer_cb *cb;
	void *arg;
};

static struct timer *timer_of(struct loop_timer *t)
{
	return CONTAINER_OF(t, struct timer, timer);
}

/* A timer that starts itself again with no delay, for a whole millisecond: a processor would be
 * busy with nothing else. */
static void count_turn(struct timer *t)
{
	struct sim_world *w = t->loop->world;
	if (w->now_us - t->turns_since_us > 1000) {
		t->turns_since_us = w->now_us;
		t->turns = 0;
	}
	if (++t->turns > SPIN_TURNS && !w->spins)
		w->spins = t->loop->name;
}

static void fire_timer(struct sim_event *e)
{
	struct timer *t = CONTAINER_OF(e, struct timer, event);
	count_turn(t);
	sim_trace_line(&t->loop->world->trace, t->loop->world->now_us, "timer %s %s %" PRIu64,
		t->loop->machine->name, t->loop->name, t->id);
	t->cb(t->arg);
}

/* A turn of the loop takes a microsecond: time goes on even when timers of 0 chase each other. */
static void timer_start(struct loop_timer *base, int64_t delay_ms)
{
	struct timer *t = timer_of(base);
	const struct sim_machine *m = t->loop->machine;
	t->due = t->loop->dead;
	t->due_us = sim_machine_now_us(m) + (delay_ms > 0 ? delay_ms * 1000 : 0);
	if (!t->loop->dead)
		sim_event_at(t->loop->world, &t->event, sim_machine_when_us(m, t->due_us) + 1);
}

void sim_machine_set_rate(struct sim_machine *m, int rate_ppm)
{
	m->clock_us = sim_machine_now_us(m);
	m->clock_at_us = m->world->now_us;
	m->rate_ppm = rate_ppm;
	LIST_EACH (&m->loops, loop_link) {
		struct sim_loop *l = LIST_ITEM(loop_link, struct sim_loop, link);
		LIST_EACH (&l->timers, link) {
			struct timer *t = LIST_ITEM(link, struct timer, link);
			if (t->event.slot)
				sim_event_at(m->world, &t->event,
					sim_machine_when_us(m, t->due_us) + 1);
		}
	}
}

static void timer_stop(struct loop_timer *base)
{
	struct timer *t = timer_of(base);
	t->due = false;
	sim_event_cancel(t->loop->world, &t->event);
}

static bool timer_active(const struct loop_timer *base)
{
	const struct timer *t = timer_of((struct loop_timer *)(uintptr_t)base);
	return t->due || t->event.slot != 0;
}

static void timer_free(struct loop_timer *base)
{
	struct timer *t = timer_of(base);
	sim_event_cancel(t->loop->world, &t->event);
	list_remove(&t->link);
	free(t);
}

static struct loop_timer *timer_new(struct loop *l, loop_timer_cb *cb, void *arg)
{
	struct timer *t = mem_new(struct timer);
	t->timer = (struct loop_timer){timer_start, timer_stop, timer_active, timer_free};
	t->event.fire = fire_timer;
	t->loop = of(l);
	t->id = ++t->loop->ids;
	t->cb = cb;
	t->arg = arg;
	list_append(&t->loop->timers, &t->link);
	return &t->timer;
}

/* ---- deferred calls and jobs ---- */

struct task {
	struct sim_event event;
	struct list link;
	struct sim_loop *loop;
	uint64_t id;
	void (*work)(void *arg); /* null: done already, or deferred */
	void (*done)(void *arg);
	void *arg;
};

static void fire_task(struct sim_event *e)
{
	struct task *t = CONTAINER_OF(e, struct task, event);
	struct sim_loop *l = t->loop;
	void (*work)(void *arg) = t->work;
	sim_trace_line(&l->world->trace, l->world->now_us, "%s %s %s %" PRIu64,
		work ? "work" : "done", l->machine->name, l->name, t->id);
	if (work) {
		t->work = NULL;
		work(t->arg);
		sim_event_at(l->world, &t->event,
			l->world->now_us + rand_between(&l->world->net_rand, 1, 300));
		return;
	}
	list_remove(&t->link);
	t->done(t->arg);
	free(t);
}

static void add_task(struct loop *base, void (*work)(void *arg), void (*done)(void *arg), void *arg,
	int64_t delay_us)
{
	struct sim_loop *l = of(base);
	struct task *t = mem_new(struct task);
	*t = (struct task){.event.fire = fire_task,
		.loop = l,
		.id = ++l->ids,
		.work = work,
		.done = done,
		.arg = arg};
	list_append(&l->tasks, &t->link);
	if (!l->dead)
		sim_event_at(l->world, &t->event, l->world->now_us + delay_us);
}

static void defer(struct loop *l, void (*cb)(void *arg), void *arg)
{
	add_task(l, NULL, cb, arg, 1);
}

static void job(struct loop *l, void (*work)(void *), void (*done)(void *), void *arg)
{
	add_task(l, work, done, arg, rand_between(&of(l)->world->net_rand, 50, 1500));
}

static struct loop_poll *poll_refused(struct loop *l, int fd, void (*cb)(void *), void *arg)
{
	(void)l, (void)fd, (void)cb, (void)arg;
	abort(); /* loop.h: not in the simulator */
}

/* ---- life and death ---- */

static const struct loop_ops ops = {
	.now_ms = now_ms,
	.wall_ms = wall_ms,
	.random_bytes = random_bytes,
	.timer_new = timer_new,
	.defer = defer,
	.job = job,
	.connect = sim_net_connect,
	.listen = sim_net_listen,
	.datagram = sim_net_datagram,
	.poll = poll_refused,
};

struct sim_loop *sim_loop_new(struct sim_machine *m, const char *name)
{
	struct sim_loop *l = mem_new(struct sim_loop);
	l->loop.ops = &ops;
	l->machine = m;
	l->world = m->world;
	l->name = name;
	rand_init(&l->rand, m->world->seed * 1000003 + (uint64_t)m->index * 1009 + ++m->boots);
	list_init(&l->timers);
	list_init(&l->tasks);
	list_init(&l->ends);
	list_init(&l->listeners);
	list_init(&l->datagrams);
	list_append(&m->loops, &l->link);
	return l;
}

void sim_loop_kill(struct sim_loop *l, bool power_loss)
{
	l->dead = true;
	list_remove(&l->link);
	LIST_EACH (&l->timers, link) {
		struct timer *t = LIST_ITEM(link, struct timer, link);
		t->due = t->event.slot != 0;
		sim_event_cancel(l->world, &t->event);
	}
	LIST_EACH (&l->tasks, link)
		sim_event_cancel(l->world, &LIST_ITEM(link, struct task, link)->event);
	sim_net_kill(l, power_loss);
}

static bool run_task(struct sim_loop *l)
{
	if (list_empty(&l->tasks))
		return false;
	struct task *t = LIST_ITEM(l->tasks.next, struct task, link);
	list_remove(&t->link);
	if (t->work)
		t->work(t->arg);
	t->done(t->arg);
	free(t);
	return true;
}

static bool run_timer(struct sim_loop *l)
{
	LIST_EACH (&l->timers, link) {
		struct timer *t = LIST_ITEM(link, struct timer, link);
		if (t->due) {
			t->due = false;
			t->cb(t->arg);
			return true;
		}
	}
	return false;
}

/* Roles are free by now: what still waits are calls that hold memory until they were answered. */
void sim_loop_free(struct sim_loop *l)
{
	if (!l)
		return;
	for (int i = 0; i < LAST_TURNS && (run_task(l) || run_timer(l)); i++)
		;
	free(l);
}
