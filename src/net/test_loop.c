#include "net/test_loop.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

struct test_event {
	struct test_event *next;
	int64_t at_ms;
	uint64_t sequence;
	void (*run)(void *arg);
	void *arg;
};

static void post(struct test_loop *l, int64_t delay_ms, void (*run)(void *arg), void *arg)
{
	struct test_event *event = mem_new(struct test_event);
	*event = (struct test_event){.at_ms = l->now_ms + (delay_ms > 0 ? delay_ms : 0),
		.sequence = l->sequence++,
		.run = run,
		.arg = arg};
	struct test_event **place = &l->events;
	while (*place && (*place)->at_ms <= event->at_ms)
		place = &(*place)->next;
	event->next = *place;
	*place = event;
}

static void unpost(struct test_loop *l, const void *arg)
{
	for (struct test_event **place = &l->events; *place;) {
		struct test_event *event = *place;
		if (event->arg != arg) {
			place = &event->next;
			continue;
		}
		*place = event->next;
		free(event);
	}
}

/* ---- timers ---- */

struct test_timer {
	struct loop_timer base;
	struct test_loop *loop;
	loop_timer_cb *cb;
	void *arg;
	bool active;
};

static void timer_fire(void *arg)
{
	struct test_timer *t = arg;
	t->active = false;
	t->cb(t->arg);
}

static void timer_stop(struct loop_timer *base)
{
	struct test_timer *t = (struct test_timer *)base;
	if (t->active)
		unpost(t->loop, t);
	t->active = false;
}

static void timer_start(struct loop_timer *base, int64_t delay_ms)
{
	struct test_timer *t = (struct test_timer *)base;
	timer_stop(base);
	t->active = true;
	post(t->loop, delay_ms, timer_fire, t);
}

static bool timer_active(const struct loop_timer *base)
{
	return ((const struct test_timer *)base)->active;
}

static void timer_free(struct loop_timer *base)
{
	timer_stop(base);
	free(base);
}

static struct loop_timer *op_timer_new(struct loop *l, loop_timer_cb *cb, void *arg)
{
	struct test_timer *t = mem_new(struct test_timer);
	*t = (struct test_timer){.base = {timer_start, timer_stop, timer_active, timer_free},
		.loop = (struct test_loop *)l,
		.cb = cb,
		.arg = arg};
	return &t->base;
}

/* ---- streams ---- */

struct test_stream {
	struct stream base;
	struct test_loop *loop;
	struct test_stream *other; /* null: the other end is freed */
	const struct stream_events *events;
	void *arg;
	struct buf inbox; /* what the other end wrote */
	bool opening, paused, end_sent, end_due, closed, broken, drain_due, stuck;
};

static void stream_turn(void *arg);

static void wake(struct test_stream *s)
{
	post(s->loop, 0, stream_turn, s);
}

static void close_stream(struct test_stream *s, enum err_code code, const char *text)
{
	struct err e = ERR_INIT;
	err_set(&e, code, "%s", text);
	s->closed = true;
	if (s->events && s->events->on_closed)
		s->events->on_closed(s->arg, &e);
}

static void deliver(struct test_stream *s)
{
	size_t size = s->inbox.size;
	if (s->loop->piece && size > s->loop->piece)
		size = s->loop->piece;
	uint8_t *copy = (uint8_t *)mem_dup_bytes(s->inbox.data, size);
	buf_consume(&s->inbox, size);
	if (s->inbox.size)
		wake(s);
	else if (s->end_due)
		wake(s);
	if (s->other) {
		s->other->drain_due = s->inbox.size == 0;
		if (s->other->drain_due)
			wake(s->other);
	}
	s->events->on_data(s->arg, copy, size);
	free(copy);
}

/* At most one callback a turn, since each may free the stream. */
static void stream_turn(void *arg)
{
	struct test_stream *s = arg;
	s->stuck |= s->loop->black;
	if (s->closed || s->stuck || !s->events)
		return;
	if (s->opening) {
		s->opening = false;
		wake(s);
		if (s->events->on_open)
			s->events->on_open(s->arg);
	} else if (s->broken) {
		close_stream(s, ERR_IO, "the network is gone");
	} else if (s->drain_due) {
		s->drain_due = false;
		wake(s);
		if (s->events->on_drained)
			s->events->on_drained(s->arg);
	} else if (s->inbox.size && !s->paused) {
		deliver(s);
	} else if (s->end_due && !s->inbox.size && !s->paused) {
		s->end_due = false;
		if (s->events->on_end)
			s->events->on_end(s->arg);
		else
			close_stream(s, ERR_CLOSED, "closed by the peer");
	}
}

static void op_set_events(struct stream *base, const struct stream_events *events, void *arg)
{
	struct test_stream *s = (struct test_stream *)base;
	s->events = events;
	s->arg = arg;
	wake(s);
}

static void op_write(struct stream *base, const void *data, size_t size)
{
	struct test_stream *s = (struct test_stream *)base;
	if (!s->other || s->end_sent)
		return;
	buf_append(&s->other->inbox, data, size);
	wake(s->other);
}

static size_t op_queued(const struct stream *base)
{
	const struct test_stream *s = (const struct test_stream *)base;
	size_t size = s->other ? s->other->inbox.size : 0;
	return size > s->loop->capacity ? size - s->loop->capacity : 0;
}

static void op_pause(struct stream *base, bool paused)
{
	struct test_stream *s = (struct test_stream *)base;
	if (s->paused && !paused)
		wake(s);
	s->paused = paused;
}

static void op_end(struct stream *base)
{
	struct test_stream *s = (struct test_stream *)base;
	if (s->end_sent)
		return;
	s->end_sent = true;
	if (s->other) {
		s->other->end_due = true;
		wake(s->other);
	}
}

static const char *op_peer(const struct stream *base)
{
	(void)base;
	return "192.0.2.1:1234";
}

static void op_free(struct stream *base)
{
	struct test_stream *s = (struct test_stream *)base;
	op_end(base);
	if (s->other)
		s->other->other = NULL;
	unpost(s->loop, s);
	buf_done(&s->inbox);
	free(s);
}

static const struct stream_ops stream_ops = {
	op_set_events, op_write, op_queued, op_pause, op_end, op_peer, op_free};

static struct test_stream *stream_new(struct test_loop *l)
{
	struct test_stream *s = mem_new(struct test_stream);
	s->base.ops = &stream_ops;
	s->loop = l;
	return s;
}

void test_stream_pair(struct loop *l, struct stream **ret_a, struct stream **ret_b)
{
	struct test_stream *a = stream_new((struct test_loop *)l);
	struct test_stream *b = stream_new((struct test_loop *)l);
	a->other = b;
	b->other = a;
	*ret_a = &a->base;
	*ret_b = &b->base;
}

void test_stream_break(struct stream *base)
{
	struct test_stream *s = (struct test_stream *)base;
	s->broken = true;
	wake(s);
	if (s->other) {
		s->other->broken = true;
		wake(s->other);
	}
}

struct test_listener {
	struct listener base;
	struct test_loop *loop;
	struct test_listener *next;
	char *address;
	listener_cb *cb;
	void *arg;
};

struct accept_event {
	struct test_loop *loop;
	char *address;
	struct test_stream *stream;
};

static void accept_later(void *arg)
{
	struct accept_event *a = arg;
	struct test_listener *x = a->loop->listeners;
	while (x && strcmp(x->address, a->address) != 0)
		x = x->next;
	if (x)
		x->cb(x->arg, &a->stream->base);
	else
		op_free(&a->stream->base);
	free(a->address);
	free(a);
}

static struct stream *op_connect(struct loop *base, const char *address)
{
	struct test_loop *l = (struct test_loop *)base;
	struct stream *a = NULL, *b = NULL;
	test_stream_pair(base, &a, &b);
	struct test_listener *x = l->listeners;
	while (x && strcmp(x->address, address) != 0)
		x = x->next;
	if (!x) {
		test_stream_break(a);
		op_free(b);
		return a;
	}
	((struct test_stream *)a)->opening = true;
	struct accept_event *event = mem_new(struct accept_event);
	*event = (struct accept_event){l, mem_dup_string(address), (struct test_stream *)b};
	post(l, 0, accept_later, event);
	return a;
}

static const char *listener_address_op(const struct listener *x)
{
	return ((const struct test_listener *)x)->address;
}

static void listener_free_op(struct listener *base)
{
	struct test_listener *x = (struct test_listener *)base;
	struct test_listener **place = &x->loop->listeners;
	while (*place != x)
		place = &(*place)->next;
	*place = x->next;
	free(x->address);
	free(x);
}

static int op_listen(struct loop *l, const char *address, listener_cb *cb, void *arg,
	struct listener **ret_listener, struct err *e)
{
	(void)e;
	struct test_listener *x = mem_new(struct test_listener);
	*x = (struct test_listener){.base = {listener_address_op, listener_free_op},
		.loop = (struct test_loop *)l,
		.next = ((struct test_loop *)l)->listeners,
		.address = mem_dup_string(address),
		.cb = cb,
		.arg = arg};
	x->loop->listeners = x;
	*ret_listener = &x->base;
	return 0;
}

/* ---- the rest of a loop ---- */

static int64_t op_now_ms(struct loop *l)
{
	return ((struct test_loop *)l)->now_ms;
}

static int64_t op_wall_ms(struct loop *l)
{
	return ((struct test_loop *)l)->wall_ms + ((struct test_loop *)l)->now_ms;
}

static void op_random_bytes(struct loop *l, void *ret_bytes, size_t size)
{
	struct rand r;
	rand_init(&r, ((struct test_loop *)l)->random++);
	for (size_t i = 0; i < size; i++)
		((unsigned char *)ret_bytes)[i] = (unsigned char)rand_next(&r);
}

static void op_defer(struct loop *l, void (*cb)(void *arg), void *arg)
{
	post((struct test_loop *)l, 0, cb, arg);
}

struct job {
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void run_job(void *arg)
{
	struct job *job = arg;
	job->work(job->arg);
	job->done(job->arg);
	free(job);
}

static void op_job(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct job *job = mem_new(struct job);
	*job = (struct job){work, done, arg};
	post((struct test_loop *)l, 0, run_job, job);
}

static const struct loop_ops loop_operations = {
	.now_ms = op_now_ms,
	.wall_ms = op_wall_ms,
	.random_bytes = op_random_bytes,
	.timer_new = op_timer_new,
	.defer = op_defer,
	.job = op_job,
	.connect = op_connect,
	.listen = op_listen,
};

struct loop *test_loop_new(void)
{
	struct test_loop *l = mem_new(struct test_loop);
	l->base.ops = &loop_operations;
	l->wall_ms = 1790000000000;
	l->capacity = SIZE_MAX / 2;
	return &l->base;
}

static bool run_one(struct test_loop *l, int64_t until_ms)
{
	struct test_event *event = l->events;
	if (!event || event->at_ms > until_ms)
		return false;
	l->events = event->next;
	if (event->at_ms > l->now_ms)
		l->now_ms = event->at_ms;
	void (*run)(void *arg) = event->run;
	void *arg = event->arg;
	free(event);
	run(arg);
	return true;
}

bool test_loop_until(struct loop *base, bool (*condition)(void *arg), void *arg, int64_t limit_ms)
{
	struct test_loop *l = (struct test_loop *)base;
	int64_t until_ms = l->now_ms + limit_ms;
	while (!condition(arg))
		if (!run_one(l, until_ms))
			return false;
	return true;
}

void test_loop_run(struct loop *base, int64_t ms)
{
	struct test_loop *l = (struct test_loop *)base;
	int64_t until_ms = l->now_ms + ms;
	while (run_one(l, until_ms))
		;
	l->now_ms = until_ms;
}

void test_loop_free(struct loop *base)
{
	struct test_loop *l = (struct test_loop *)base;
	while (l->events) {
		struct test_event *next = l->events->next;
		free(l->events);
		l->events = next;
	}
	free(l);
}
