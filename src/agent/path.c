#include "agent/path.h"

#include <stdlib.h>

#include "base/mem.h"

#define KNOCKS 3        /* at once: a round trip may take as long as so many distances */
#define DISTANCE_MS 250 /* between two */
#define LONG_DISTANCE_MS 600
#define LONG_AFTER 20 /* of these distances it becomes the longer one */

struct knock {
	struct agent_path *path;
	struct stream *stream; /* null: none under way */
};

struct agent_path {
	struct loop *loop;
	struct agent_transport transport;
	struct agent_path_events events;
	void *arg;
	char *address; /* null: not trying */
	struct knock knocks[KNOCKS];
	struct loop_timer *timer;
	int tries;
};

static void end_all(struct agent_path *p)
{
	for (size_t i = 0; i < KNOCKS; i++)
		stream_free(take_ptr(p->knocks[i].stream));
	loop_timer_stop(p->timer);
	free(take_ptr(p->address));
}

static void on_open(void *arg)
{
	struct agent_path *p = ((struct knock *)arg)->path;
	end_all(p);
	p->events.on_open(p->arg, p->tries);
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	(void)arg, (void)data, (void)size; /* it ends when it opens */
}

static void on_closed(void *arg, const struct err *why)
{
	struct agent_path *p = ((struct knock *)arg)->path;
	struct err e = *why;
	end_all(p);
	p->events.on_refused(p->arg, &e);
}

static void on_timer(void *arg)
{
	static const struct stream_events events = {
		.on_open = on_open, .on_data = on_data, .on_closed = on_closed};
	struct agent_path *p = arg;
	struct knock *k = &p->knocks[p->tries++ % KNOCKS];
	stream_free(take_ptr(k->stream)); /* the oldest */
	loop_timer_start(p->timer, p->tries < LONG_AFTER ? DISTANCE_MS : LONG_DISTANCE_MS);
	k->stream = p->transport.ops->knock(p->transport.context, p->address);
	stream_set_events(k->stream, &events, k);
}

struct agent_path *agent_path_new(struct loop *l, const struct agent_transport *transport,
	const struct agent_path_events *events, void *arg)
{
	struct agent_path *p = mem_new(struct agent_path);
	*p = (struct agent_path){.loop = l, .transport = *transport, .events = *events, .arg = arg};
	for (size_t i = 0; i < KNOCKS; i++)
		p->knocks[i].path = p;
	p->timer = loop_timer_new(l, on_timer, p);
	return p;
}

void agent_path_free(struct agent_path *p)
{
	if (!p)
		return;
	end_all(p);
	loop_timer_free(p->timer);
	free(p);
}

void agent_path_try(struct agent_path *p, const char *address)
{
	if (p->address)
		return;
	p->address = mem_dup_string(address);
	p->tries = 0;
	loop_timer_start(p->timer, 0);
}

void agent_path_stop(struct agent_path *p)
{
	end_all(p);
}

bool agent_path_trying(const struct agent_path *p)
{
	return p->address;
}
