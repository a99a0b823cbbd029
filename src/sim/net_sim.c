/*
 * Streams and listeners between simulated machines. A connection is two pipes, one for each
 * direction; a pipe delivers its segments in order, each after the latency of the link. What cannot
 * be delivered (partition, power off) waits and is tried again, as TCP does, until GIVE_UP_US have
 * passed; then the sender hears of a time-out, while the other end knows nothing until it writes,
 * or until its keep-alive finds out.
 *
 * An opening connection is a pipe towards the client whose first segment is "open".
 *
 * "unix:PATH" is a socket of the machine itself. Whoever listens there last has it, as after an
 * unlink and a bind.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/loop_sim.h"

#define GIVE_UP_US INT64_C(20000000)
#define RETRY_US INT64_C(200000)
#define KEEPALIVE_US INT64_C(70000000) /* STREAM_KEEPALIVE_S and ten tries, see sys/stream_uv.c */

enum segment_type { SEGMENT_OPEN, SEGMENT_DATA, SEGMENT_FIN, SEGMENT_RESET };

struct segment {
	struct list link;
	enum segment_type type;
	int64_t sent_us;
	size_t size;
	unsigned char data[];
};

struct end;

struct pipe {
	struct sim_event event;
	struct end *from, *to;
	struct list segments;
	size_t bytes;
	int64_t last_us;  /* when the last segment arrived: the next one does not overtake it */
	int64_t stuck_us; /* since when the first one could not be delivered; 0: it could */
	bool given_up;    /* nothing comes any more; the event is the receiver's keep-alive */
};

enum end_state { END_OPENING, END_OPEN, END_CLOSED };

struct end {
	struct stream stream;
	struct list link;      /* in loop->ends */
	struct sim_loop *loop; /* null: given back by its owner, or its process is dead */
	struct sim_machine *machine;
	struct conn *conn;
	struct pipe *out, *in;
	const struct stream_events *events;
	void *arg;
	enum end_state state;
	bool owned; /* somebody has the stream and will free it */
	bool paused, ended;
	bool broken; /* closed by a reset or a time-out: the peer is not told any more */
	struct sim_event notice; /* tells on_drained, or on_closed */
	bool tell_drained, tell_closed;
	struct err why;
	char peer[64];
};

struct conn {
	struct sim_world *world;
	uint64_t id;
	struct end ends[2]; /* client, server */
	struct pipe pipes[2];
	struct list link; /* in world->conns */
	struct sim_event syn;
	int64_t syn_us; /* when the client began */
	struct sim_machine *target;
	int port;
	char path[128]; /* of a socket; else "" */
	int busy;       /* one of its events is running */
};

struct sim_listener {
	struct listener listener;
	struct list link; /* in loop->listeners */
	struct sim_loop *loop;
	int port; /* 0: a socket */
	listener_cb *cb;
	void *arg;
	char address[136];
};

static struct end *of(const struct stream *s)
{
	return CONTAINER_OF((struct stream *)(uintptr_t)s, struct end, stream);
}

/* ---- pipes ---- */

static void clear_pipe(struct sim_world *w, struct pipe *p)
{
	sim_event_cancel(w, &p->event);
	LIST_EACH (&p->segments, link) {
		list_remove(link);
		free(LIST_ITEM(link, struct segment, link));
	}
	p->bytes = 0;
}

static void schedule(struct pipe *p)
{
	if (p->given_up && !list_empty(&p->segments)) { /* a reset is sooner than the keep-alive */
		p->given_up = false;
		sim_event_cancel(p->from->conn->world, &p->event);
	}
	if (list_empty(&p->segments) || p->event.slot || p->from->state == END_OPENING)
		return;
	struct sim_world *w = p->from->conn->world;
	const struct segment *first = LIST_ITEM(p->segments.next, struct segment, link);
	int64_t at_us = first->sent_us + sim_link_latency_us(w, p->from->machine, p->to->machine);
	sim_event_at(w, &p->event, at_us > p->last_us ? at_us : p->last_us + 1);
}

static void send_segment(struct pipe *p, enum segment_type type, const void *data, size_t size)
{
	struct segment *s = mem_alloc(sizeof(*s) + size);
	s->type = type;
	s->sent_us = p->from->conn->world->now_us;
	s->size = size;
	if (size)
		memcpy(s->data, data, size);
	list_append(&p->segments, &s->link);
	p->bytes += size;
	schedule(p);
}

static void on_notice(struct sim_event *event)
{
	struct end *end = CONTAINER_OF(event, struct end, notice);
	if (!end->loop || !end->events)
		return;
	end->conn->busy++;
	if (end->tell_closed) {
		end->tell_closed = end->tell_drained = false;
		sim_trace_line(&end->conn->world->trace, end->conn->world->now_us,
			"closed %" PRIu64 " %s %s", end->conn->id, end->machine->name,
			err_name(end->why.code));
		end->events->on_closed(end->arg, &end->why);
	} else if (end->tell_drained) {
		end->tell_drained = false;
		if (end->out->bytes == 0 && end->events->on_drained)
			end->events->on_drained(end->arg);
	}
	end->conn->busy--;
}

static void notify(struct end *end, int64_t delay_us)
{
	sim_event_at(end->conn->world, &end->notice, end->conn->world->now_us + delay_us);
}

static void close_end(struct end *end, enum err_code code, bool broken, const char *what)
{
	if (end->state == END_CLOSED)
		return;
	end->state = END_CLOSED;
	end->broken = broken;
	end->tell_closed = true;
	err_set(&end->why, code, "%s: %s", end->peer, what);
	clear_pipe(end->conn->world, end->out);
	notify(end, 1);
}

/* The receiver is not there to take it: an orderly kernel answers with a reset. */
static void bounce(struct pipe *p, const struct segment *s)
{
	if (s->type == SEGMENT_DATA || s->type == SEGMENT_OPEN) {
		clear_pipe(p->from->conn->world, p);
		if (p->from->loop)
			send_segment(p->from->in, SEGMENT_RESET, NULL, 0);
	}
}

static void take_fin(struct end *to)
{
	if (to->events->on_end)
		to->events->on_end(to->arg);
	else
		close_end(to, ERR_CLOSED, false, "the peer closed the connection");
}

static void take_segment(struct end *to, const struct segment *s)
{
	switch (s->type) {
	case SEGMENT_OPEN:
		to->state = END_OPEN;
		schedule(to->out);
		if (to->events && to->events->on_open)
			to->events->on_open(to->arg);
		break;
	case SEGMENT_DATA:
		to->events->on_data(to->arg, s->data, s->size);
		break;
	case SEGMENT_FIN:
		take_fin(to);
		break;
	case SEGMENT_RESET:
		close_end(to, ERR_CLOSED, true, "the connection was reset");
		break;
	}
}

static void trace_segment(const struct pipe *p, const struct segment *s)
{
	static const char *const names[] = {"open", "data", "fin", "reset"};
	struct conn *c = p->from->conn;
	sim_trace_line(&c->world->trace, c->world->now_us, "%s %" PRIu64 " %s>%s %zu %016" PRIx64,
		names[s->type], c->id, p->from->machine->name, p->to->machine->name, s->size,
		sim_trace_sum(s->data, s->size));
}

/* Tries again later, or gives up. */
static void stuck(struct pipe *p)
{
	struct sim_world *w = p->from->conn->world;
	if (!p->stuck_us)
		p->stuck_us = w->now_us;
	if (w->now_us - p->stuck_us < GIVE_UP_US) {
		sim_event_at(w, &p->event, w->now_us + RETRY_US);
		return;
	}
	clear_pipe(w, p);
	if (p->from->loop)
		close_end(p->from, ERR_TIMEOUT, true, "the connection timed out");
	p->given_up = true;
	sim_event_at(w, &p->event, w->now_us + KEEPALIVE_US);
}

static void on_pipe(struct sim_event *event)
{
	struct pipe *p = CONTAINER_OF(event, struct pipe, event);
	struct conn *c = p->from->conn;
	struct end *to = p->to;
	if (p->given_up) {
		if (to->loop && to->state != END_CLOSED)
			close_end(to, ERR_TIMEOUT, true, "the peer is gone");
		return;
	}
	if (!sim_link_up(c->world, p->from->machine, to->machine)) {
		stuck(p);
		return;
	}
	p->stuck_us = 0;
	struct segment *s = LIST_ITEM(p->segments.next, struct segment, link);
	if (to->loop && to->state == END_OPEN && (to->paused || !to->events) &&
		s->type != SEGMENT_RESET)
		return; /* goes on when it is unpaused, or gets its events */
	list_remove(&s->link);
	p->bytes -= s->size;
	p->last_us = c->world->now_us;
	trace_segment(p, s);
	if (p->bytes == 0 && s->type == SEGMENT_DATA && p->from->loop) {
		p->from->tell_drained = true;
		if (!p->from->notice.slot)
			notify(p->from,
				sim_link_latency_us(c->world, p->from->machine, to->machine));
	}
	c->busy++;
	if (!to->loop || to->state == END_CLOSED)
		bounce(p, s);
	else
		take_segment(to, s);
	c->busy--;
	free(s);
	schedule(p);
}

/* ---- the stream ---- */

static void end_set_events(struct stream *s, const struct stream_events *events, void *arg)
{
	struct end *end = of(s);
	end->events = events;
	end->arg = arg;
	schedule(end->in);
	if (end->tell_closed && end->loop && !end->notice.slot)
		notify(end, 1);
}

static void end_write(struct stream *s, const void *data, size_t size)
{
	struct end *end = of(s);
	if (!end->loop || end->state == END_CLOSED || end->ended || !size)
		return;
	send_segment(end->out, SEGMENT_DATA, data, size);
}

static size_t end_queued(const struct stream *s)
{
	return of(s)->out->bytes;
}

static void end_pause(struct stream *s, bool paused)
{
	struct end *end = of(s);
	end->paused = paused;
	if (!paused && end->loop)
		schedule(end->in);
}

static void end_end(struct stream *s)
{
	struct end *end = of(s);
	if (!end->loop || end->state == END_CLOSED || end->ended)
		return;
	end->ended = true;
	send_segment(end->out, SEGMENT_FIN, NULL, 0);
}

static const char *end_peer(const struct stream *s)
{
	return of(s)->peer;
}

/* What was written still leaves, as after close(2); whatever arrives bounces. */
static void give_back(struct end *end)
{
	struct sim_world *w = end->conn->world;
	if (end->loop && end->state != END_OPENING && !end->broken && !end->ended)
		send_segment(end->out, SEGMENT_FIN, NULL, 0);
	if (end->state == END_OPENING) {
		sim_event_cancel(w, &end->conn->syn);
		clear_pipe(w, end->out);
	}
	sim_event_cancel(w, &end->notice);
	list_remove(&end->link);
	end->loop = NULL;
	schedule(end->in);
}

static void end_free(struct stream *s)
{
	struct end *end = of(s);
	give_back(end);
	end->owned = false;
}

static const struct stream_ops stream_ops = {
	.set_events = end_set_events,
	.write = end_write,
	.queued = end_queued,
	.pause = end_pause,
	.end = end_end,
	.peer = end_peer,
	.free = end_free,
};

struct sim_machine *sim_stream_machine(const struct stream *s)
{
	const struct end *end = of(s);
	return end->conn->ends[end == &end->conn->ends[0]].machine;
}

/* ---- connections ---- */

static bool unused(const struct conn *c)
{
	for (int i = 0; i < 2; i++)
		if (c->ends[i].owned || !list_empty(&c->pipes[i].segments) ||
			c->pipes[i].event.slot || c->ends[i].notice.slot)
			return false;
	return !c->busy && !c->syn.slot;
}

void sim_net_collect(struct sim_world *w)
{
	LIST_EACH (&w->conns, link) {
		struct conn *c = LIST_ITEM(link, struct conn, link);
		if (unused(c)) {
			list_remove(link);
			free(c);
		}
	}
}

static struct sim_listener *find_listener(const struct sim_machine *m, int port)
{
	LIST_EACH (&m->loops, loop_link) {
		struct sim_loop *l = LIST_ITEM(loop_link, struct sim_loop, link);
		LIST_EACH (&l->listeners, link) {
			struct sim_listener *x = LIST_ITEM(link, struct sim_listener, link);
			if (x->port == port)
				return x;
		}
	}
	return NULL;
}

static struct sim_listener *find_socket(const struct sim_machine *m, const char *path)
{
	struct sim_listener *found = NULL;
	LIST_EACH (&m->loops, loop_link) {
		struct sim_loop *l = LIST_ITEM(loop_link, struct sim_loop, link);
		LIST_EACH (&l->listeners, link) {
			struct sim_listener *x = LIST_ITEM(link, struct sim_listener, link);
			if (str_equal(x->address, path))
				found = x;
		}
	}
	return found;
}

static void accept_conn(struct conn *c, struct sim_listener *x)
{
	struct end *end = &c->ends[1];
	end->loop = x->loop;
	end->state = END_OPEN;
	end->owned = true;
	list_append(&x->loop->ends, &end->link);
	snprintf(end->peer, sizeof(end->peer), "%s:%" PRIu64, c->ends[0].machine->address,
		40000 + c->ends[0].machine->ports++ % 20000);
	sim_trace_line(&c->world->trace, c->world->now_us, "accept %" PRIu64 " %s>%s", c->id,
		c->ends[0].machine->name, end->machine->name);
	send_segment(end->out, SEGMENT_OPEN, NULL, 0);
	x->cb(x->arg, &end->stream);
}

static void on_syn(struct sim_event *event)
{
	struct conn *c = CONTAINER_OF(event, struct conn, syn);
	struct sim_world *w = c->world;
	struct end *client = &c->ends[0];
	if (!c->target) {
		close_end(client, ERR_UNAVAILABLE, true, "no such host");
		return;
	}
	if (!sim_link_up(w, client->machine, c->target)) {
		if (w->now_us - c->syn_us < GIVE_UP_US)
			sim_event_at(w, &c->syn, w->now_us + RETRY_US);
		else
			close_end(client, ERR_TIMEOUT, true, "no answer");
		return;
	}
	struct sim_listener *x =
		*c->path ? find_socket(c->target, c->path) : find_listener(c->target, c->port);
	c->busy++;
	if (x)
		accept_conn(c, x);
	else
		close_end(client, ERR_UNAVAILABLE, true, "connection refused");
	c->busy--;
}

static void join_ends(struct conn *c, struct sim_machine *client, struct sim_machine *server)
{
	for (int i = 0; i < 2; i++) {
		struct end *end = &c->ends[i];
		struct pipe *p = &c->pipes[i];
		*end = (struct end){.stream.ops = &stream_ops,
			.machine = i == 0 ? client : server,
			.conn = c,
			.out = &c->pipes[i],
			.in = &c->pipes[!i],
			.notice.fire = on_notice};
		list_init(&end->link);
		*p = (struct pipe){.event.fire = on_pipe, .from = end, .to = &c->ends[!i]};
		list_init(&p->segments);
	}
}

bool sim_net_parse(const char *address, size_t *ret_host_size, int *ret_port)
{
	const char *colon = strrchr(address, ':');
	int64_t port;
	if (!colon || str_to_int64(colon + 1, "port", &port, NULL) < 0 || port < 0 || port > 65535)
		return false;
	*ret_host_size = (size_t)(colon - address);
	*ret_port = (int)port;
	return true;
}

struct stream *sim_net_connect(struct loop *base, const char *address)
{
	struct sim_loop *l = CONTAINER_OF(base, struct sim_loop, loop);
	struct sim_world *w = l->world;
	sim_net_collect(w);
	struct conn *c = mem_new(struct conn);
	c->world = w;
	c->id = ++w->conns_made;
	c->syn.fire = on_syn;
	c->syn_us = w->now_us;
	list_append(&w->conns, &c->link);
	size_t size;
	if (str_starts(address, "unix:"))
		c->target = str_copy(c->path, sizeof(c->path), address) ? l->machine : NULL;
	else if (sim_net_parse(address, &size, &c->port))
		c->target = sim_machine_find(w, address, size);
	join_ends(c, l->machine, c->target ? c->target : l->machine);
	struct end *end = &c->ends[0];
	(void)str_copy(end->peer, sizeof(end->peer), address);
	end->owned = true;
	if (!l->dead) {
		end->loop = l;
		list_append(&l->ends, &end->link);
		sim_event_at(w, &c->syn,
			w->now_us + sim_link_latency_us(w, l->machine, end->out->to->machine));
	}
	return &end->stream;
}

/* ---- listeners ---- */

static const char *listener_text(const struct listener *base)
{
	return CONTAINER_OF((struct listener *)(uintptr_t)base, struct sim_listener, listener)
		->address;
}

static void free_listener(struct listener *base)
{
	struct sim_listener *x = CONTAINER_OF(base, struct sim_listener, listener);
	list_remove(&x->link);
	free(x);
}

int sim_net_listen(struct loop *base, const char *address, listener_cb *cb, void *arg,
	struct listener **ret_listener, struct err *e)
{
	struct sim_loop *l = CONTAINER_OF(base, struct sim_loop, loop);
	size_t size;
	int port = 0;
	bool socket = str_starts(address, "unix:");
	if (!socket && !sim_net_parse(address, &size, &port))
		return err_set(e, ERR_INVALID, "address \"%s\": want HOST:PORT or unix:PATH",
			address);
	if (!socket && !port)
		port = 30000 + (int)(l->machine->ports++ % 10000);
	if (!socket && find_listener(l->machine, port))
		return err_set(e, ERR_IO, "%s is in use", address);
	struct sim_listener *x = mem_new(struct sim_listener);
	*x = (struct sim_listener){.listener = {listener_text, free_listener},
		.loop = l,
		.port = port,
		.cb = cb,
		.arg = arg};
	if (socket)
		snprintf(x->address, sizeof(x->address), "%s", address);
	else
		snprintf(x->address, sizeof(x->address), "%s:%d", l->machine->address, port);
	list_append(&l->listeners, &x->link);
	*ret_listener = &x->listener;
	return 0;
}

/* ---- the end of a process ---- */

void sim_net_kill(struct sim_loop *l, bool power_loss)
{
	LIST_EACH (&l->ends, link) {
		struct end *end = LIST_ITEM(link, struct end, link);
		if (power_loss) {
			clear_pipe(l->world, end->out);
			end->loop = NULL;
		}
		give_back(end);
	}
	LIST_EACH (&l->listeners, link)
		list_remove(link);
	LIST_EACH (&l->datagrams, link)
		list_remove(link);
}

/* Everybody is dead and freed: what is left is under way to nobody. */
void sim_net_done(struct sim_world *w)
{
	LIST_EACH (&w->conns, link) {
		struct conn *c = LIST_ITEM(link, struct conn, link);
		for (int i = 0; i < 2; i++) {
			clear_pipe(w, &c->pipes[i]);
			sim_event_cancel(w, &c->ends[i].notice);
		}
		sim_event_cancel(w, &c->syn);
		list_remove(link);
		free(c);
	}
}
