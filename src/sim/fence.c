/*
 * The fence of a simulated node's pod: what continuo-fence is on a machine, over its very core. A
 * process of its own, which outlives the agent and goes when the machine does. It kills what runs
 * in the engine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fence_core.h"
#include "base/mem.h"
#include "base/str.h"
#include "sim/cluster.h"

struct sim_fence {
	struct list link;
	struct sim_node *node;
	struct sim_loop *loop;
	char uid[64];
	struct fence_core core;
	struct listener *listener;
	struct loop_timer *timer;
	struct agent_end {
		struct sim_fence *fence;
		struct stream *stream; /* null: free */
		char line[FENCE_LINE_SIZE];
	} agents[FENCE_AGENTS_MAX];
	int gone;
};

static enum sim_plant plant_of(const struct sim_fence *f)
{
	return f->node->cluster->config->plant;
}

static int64_t now_ms(const struct sim_fence *f)
{
	return loop_now_ms(&f->loop->loop);
}

static void end(struct sim_fence *f, bool power_loss)
{
	struct sim_world *w = f->node->cluster->world;
	sim_trace_line(&w->trace, w->now_us, "fence of %s on %s ends", f->uid,
		f->node->machine->name);
	list_remove(&f->link);
	sim_loop_kill(f->loop, power_loss);
	for (int i = 0; i < FENCE_AGENTS_MAX; i++)
		stream_free(f->agents[i].stream);
	listener_free(f->listener);
	loop_timer_free(f->timer);
	sim_loop_free(f->loop);
	free(f);
}

/* ---- the deadline ---- */

static void say(struct sim_fence *f, struct stream *s)
{
	char line[FENCE_LINE_SIZE];
	size_t size = fence_core_say(&f->core, line);
	stream_write(s, line, size);
}

static bool was_replaced(const struct sim_fence *f)
{
	bool later = false;
	LIST_EACH (&f->node->fences, link) {
		const struct sim_fence *other = LIST_ITEM(link, struct sim_fence, link);
		if (other != f && later && str_equal(other->uid, f->uid))
			return true;
		later = later || other == f;
	}
	return false;
}

static void on_deadline(void *arg)
{
	struct sim_fence *f = arg;
	bool first = !f->core.fired;
	if (!fence_core_due(&f->core, now_ms(f))) {
		loop_timer_start(f->timer, f->core.until_ms - now_ms(f));
		return;
	}
	if (was_replaced(f)) {
		end(f, false);
		return;
	}
	bool there =
		plant_of(f) == SIM_PLANT_NO_FENCE || sim_engine_kill_pod(&f->node->engine, f->uid);
	f->gone = there && plant_of(f) != SIM_PLANT_NO_FENCE ? 0 : f->gone + 1;
	for (int i = 0; first && i < FENCE_AGENTS_MAX; i++)
		if (f->agents[i].stream)
			say(f, f->agents[i].stream);
	if (f->gone > FENCE_GONE_ROUNDS)
		end(f, false);
	else
		loop_timer_start(f->timer, FENCE_AGAIN_MS);
}

/* ---- the agent ---- */

/* The planted bug: as though a lease counted from an answer that took three seconds. */
static const char *from_the_answer(const char *line, char ret_line[static FENCE_LINE_SIZE])
{
	snprintf(ret_line, FENCE_LINE_SIZE, "until %lld", atoll(line + strlen("until ")) + 3000);
	return ret_line;
}

/* Whether it still stands. */
static bool obey(struct sim_fence *f, const char *line)
{
	char late[FENCE_LINE_SIZE];
	if (plant_of(f) == SIM_PLANT_FENCE_LATE && str_starts(line, "until "))
		line = from_the_answer(line, late);
	switch (fence_core_obey(&f->core, line, now_ms(f))) {
	case FENCE_QUIT:
		end(f, false);
		return false;
	case FENCE_LATER:
		loop_timer_start(f->timer, f->core.until_ms - now_ms(f));
		break;
	case FENCE_NO_WORD:
		break;
	}
	return true;
}

static void on_open(void *arg)
{
	(void)arg; /* it is open when it comes */
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	struct agent_end *a = arg;
	while (size > 0) {
		bool whole;
		size_t taken = fence_core_take(a->line, (const char *)data, size, &whole);
		data += taken;
		size -= taken;
		if (whole && !obey(a->fence, a->line))
			return;
		if (whole)
			a->line[0] = '\0';
	}
}

static void on_closed(void *arg, const struct err *why)
{
	struct agent_end *a = arg;
	(void)why;
	stream_free(take_ptr(a->stream));
}

static void on_agent(void *arg, struct stream *stream)
{
	static const struct stream_events events = {
		.on_open = on_open, .on_data = on_data, .on_closed = on_closed};
	struct sim_fence *f = arg;
	for (int i = 0; i < FENCE_AGENTS_MAX; i++)
		if (!f->agents[i].stream) {
			f->agents[i] = (struct agent_end){.fence = f, .stream = stream};
			stream_set_events(stream, &events, &f->agents[i]);
			say(f, stream);
			return;
		}
	stream_free(stream);
}

/* ---- life ---- */

static void stand(struct sim_node *n, const char *path, const char *uid, int64_t until_ms)
{
	struct sim_world *w = n->cluster->world;
	struct sim_fence *f = mem_new(struct sim_fence);
	struct err e = ERR_INIT;
	f->node = n;
	f->core.until_ms = until_ms;
	if (!str_copy(f->uid, sizeof(f->uid), uid))
		abort();
	CLEANUP(mem_free_ptr) char *address = mem_format("unix:%s", path);
	f->loop = sim_loop_new(n->machine, "fence");
	sim_trace_line(&w->trace, w->now_us, "fence of %s on %s", uid, n->machine->name);
	if (loop_listen(&f->loop->loop, address, on_agent, f, &f->listener, &e) < 0)
		abort();
	f->timer = loop_timer_new(&f->loop->loop, on_deadline, f);
	loop_timer_start(f->timer, until_ms - now_ms(f));
	list_append(&n->fences, &f->link);
}

struct raised {
	struct loop_timer *timer;
	void (*done)(void *arg, int status, const char *why);
	void *arg;
};

static void on_raised(void *arg)
{
	struct raised *r = arg;
	loop_timer_free(r->timer);
	r->done(r->arg, 0, "");
	free(r);
}

void sim_fence_raise(void *context, const char *path, const char *pod_uid, int64_t until_ms,
	void (*done)(void *arg, int status, const char *why), void *arg)
{
	struct sim_node *n = context;
	struct raised *r = mem_new(struct raised);
	*r = (struct raised){.done = done, .arg = arg};
	stand(n, path, pod_uid, until_ms);
	r->timer = loop_timer_new(&n->loop->loop, on_raised, r);
	loop_timer_start(r->timer, rand_between(&n->loop->rand, 1, 30));
}

bool sim_fence_kill_one(struct sim_node *n, uint64_t which)
{
	uint64_t count = 0;
	LIST_EACH (&n->fences, link)
		count++;
	LIST_EACH (&n->fences, link)
		if (which % count-- == 0) {
			end(LIST_ITEM(link, struct sim_fence, link), false);
			return true;
		}
	return false;
}

void sim_fences_power_off(struct sim_node *n)
{
	LIST_EACH (&n->fences, link)
		end(LIST_ITEM(link, struct sim_fence, link), true);
}

size_t sim_fences_count(const struct sim_node *n)
{
	size_t count = 0;
	LIST_EACH (&n->fences, link)
		count++;
	return count;
}
