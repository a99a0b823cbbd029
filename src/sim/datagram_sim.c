/* Datagrams between simulated machines: late, lost to partitions, and now and then lost anyway. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/loop_sim.h"

#define LOST_IN 1000 /* one of so many */

struct sim_datagram {
	struct datagram datagram;
	struct list link; /* in loop->datagrams */
	struct sim_loop *loop;
	int port;
	datagram_cb *cb;
	void *arg;
};

struct packet {
	struct sim_event event;
	struct sim_world *world;
	struct sim_machine *from, *to;
	int from_port, to_port;
	size_t size;
	unsigned char data[];
};

static struct sim_datagram *find(const struct sim_machine *m, int port)
{
	LIST_EACH (&m->loops, loop_link) {
		struct sim_loop *l = LIST_ITEM(loop_link, struct sim_loop, link);
		LIST_EACH (&l->datagrams, link) {
			struct sim_datagram *d = LIST_ITEM(link, struct sim_datagram, link);
			if (d->port == port)
				return d;
		}
	}
	return NULL;
}

static void on_packet(struct sim_event *event)
{
	struct packet *p = CONTAINER_OF(event, struct packet, event);
	struct sim_datagram *d = find(p->to, p->to_port);
	if (d && sim_link_up(p->world, p->from, p->to)) {
		char from[64];
		snprintf(from, sizeof(from), "%s:%d", p->from->address, p->from_port);
		sim_trace_line(&p->world->trace, p->world->now_us, "datagram %s>%s %zu %016" PRIx64,
			p->from->name, p->to->name, p->size, sim_trace_sum(p->data, p->size));
		d->cb(d->arg, p->data, p->size, from);
	}
	free(p);
}

static void datagram_sim_send(struct datagram *base, const char *to, const void *data, size_t size)
{
	struct sim_datagram *d = CONTAINER_OF(base, struct sim_datagram, datagram);
	struct sim_world *w = d->loop->world;
	size_t host_size;
	int port;
	if (d->loop->dead || !sim_net_parse(to, &host_size, &port))
		return;
	struct sim_machine *m = sim_machine_find(w, to, host_size);
	if (!m || !sim_link_up(w, d->loop->machine, m) || rand_below(&w->net_rand, LOST_IN) == 0)
		return;
	struct packet *p = mem_alloc(sizeof(*p) + size);
	*p = (struct packet){.event.fire = on_packet,
		.world = w,
		.from = d->loop->machine,
		.to = m,
		.from_port = d->port,
		.to_port = port,
		.size = size};
	if (size)
		memcpy(p->data, data, size);
	sim_event_at(w, &p->event, w->now_us + sim_link_latency_us(w, p->from, m));
}

static void datagram_sim_free(struct datagram *base)
{
	struct sim_datagram *d = CONTAINER_OF(base, struct sim_datagram, datagram);
	list_remove(&d->link);
	free(d);
}

int sim_net_datagram(struct loop *base, const char *address, datagram_cb *cb, void *arg,
	struct datagram **ret_datagram, struct err *e)
{
	struct sim_loop *l = CONTAINER_OF(base, struct sim_loop, loop);
	size_t size;
	int port;
	if (!sim_net_parse(address, &size, &port))
		return err_set(e, ERR_INVALID, "address \"%s\": want HOST:PORT", address);
	if (!port)
		port = 30000 + (int)(l->machine->ports++ % 10000);
	if (find(l->machine, port))
		return err_set(e, ERR_IO, "%s is in use", address);
	struct sim_datagram *d = mem_new(struct sim_datagram);
	*d = (struct sim_datagram){.datagram = {datagram_sim_send, datagram_sim_free},
		.loop = l,
		.port = port,
		.cb = cb,
		.arg = arg};
	list_append(&l->datagrams, &d->link);
	*ret_datagram = &d->datagram;
	return 0;
}
