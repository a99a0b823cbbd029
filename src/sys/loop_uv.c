#include "sys/loop_uv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/mem.h"
#include "sys/loop_uv_private.h"

struct deferred {
	struct list link;
	void (*cb)(void *arg);
	void *arg;
};

void uv_impl_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
	(void)suggested;
	struct uv_impl *u = handle->loop->data;
	if (!u->read_buffer)
		u->read_buffer = mem_alloc(UV_READ_BUFFER_SIZE);
	*ret_buffer = uv_buf_init(u->read_buffer, UV_READ_BUFFER_SIZE);
}

/* ---- time and chance ---- */

static int64_t clock_ms(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t uv_now_ms(struct loop *l)
{
	(void)l;
	return clock_ms(CLOCK_BOOTTIME);
}

static int64_t uv_wall_ms(struct loop *l)
{
	(void)l;
	return clock_ms(CLOCK_REALTIME);
}

static void uv_random_bytes(struct loop *l, void *ret_bytes, size_t size)
{
	(void)l;
	char *at = ret_bytes;
	while (size > 0) {
		ssize_t got = getrandom(at, size, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort(); /* keys must never be made of anything else */
		at += got;
		size -= (size_t)got;
	}
}

/* ---- timers ---- */

/* libuv's timers count CLOCK_MONOTONIC: while the machine is suspended they stand still, and fire
 * late by that much; what must not be late compares with loop_now_ms. */
struct timer {
	struct loop_timer base;
	uv_timer_t uv;
	loop_timer_cb *cb;
	void *arg;
};

static void on_timer(uv_timer_t *handle)
{
	struct timer *t = handle->data;
	t->cb(t->arg);
}

static void timer_start(struct loop_timer *base, int64_t delay_ms)
{
	struct timer *t = CONTAINER_OF(base, struct timer, base);
	uv_update_time(t->uv.loop); /* else the delay counts from the beginning of this turn */
	uv_timer_start(&t->uv, on_timer, (uint64_t)delay_ms, 0);
}

static void timer_stop(struct loop_timer *base)
{
	uv_timer_stop(&CONTAINER_OF(base, struct timer, base)->uv);
}

static bool timer_active(const struct loop_timer *base)
{
	const struct timer *t = CONTAINER_OF(base, struct timer, base);
	return uv_is_active((const uv_handle_t *)&t->uv);
}

static void free_data(uv_handle_t *handle)
{
	free(handle->data);
}

static void timer_free(struct loop_timer *base)
{
	struct timer *t = CONTAINER_OF(base, struct timer, base);
	uv_close((uv_handle_t *)&t->uv, free_data);
}

static struct loop_timer *uv_timer_make(struct loop *l, loop_timer_cb *cb, void *arg)
{
	struct timer *t = mem_new(struct timer);
	t->base = (struct loop_timer){timer_start, timer_stop, timer_active, timer_free};
	t->cb = cb;
	t->arg = arg;
	uv_timer_init(&uv_impl_of(l)->uv, &t->uv);
	t->uv.data = t;
	return &t->base;
}

/* ---- deferred calls ---- */

/* Runs what was there when the turn began; what these calls defer waits for the next turn. */
static void run_deferred(uv_idle_t *idle)
{
	struct uv_impl *u = idle->loop->data;
	struct list ready;
	list_init(&ready);
	LIST_EACH (&u->deferred, link) {
		list_remove(link);
		list_append(&ready, link);
	}
	while (!list_empty(&ready)) {
		struct deferred *d = LIST_ITEM(ready.next, struct deferred, link);
		list_remove(&d->link);
		d->cb(d->arg);
		free(d);
	}
	if (list_empty(&u->deferred))
		uv_idle_stop(idle);
}

static void uv_defer(struct loop *l, void (*cb)(void *arg), void *arg)
{
	struct uv_impl *u = uv_impl_of(l);
	struct deferred *d = mem_new(struct deferred);
	d->cb = cb;
	d->arg = arg;
	list_append(&u->deferred, &d->link);
	uv_idle_start(&u->defer_idle, run_deferred);
}

/* ---- jobs ---- */

static void uv_job(struct loop *l, void (*work)(void *), void (*done)(void *), void *arg)
{
	pool_submit(uv_impl_of(l)->pool, work, done, arg);
}

static void wake_loop(void *arg)
{
	struct uv_impl *u = arg;
	uv_async_send(&u->jobs_done);
}

static void on_jobs_done(uv_async_t *async)
{
	struct uv_impl *u = async->loop->data;
	pool_run_done(u->pool);
}

/* ---- file descriptors ---- */

struct poll {
	struct loop_poll base;
	uv_poll_t uv;
	void (*cb)(void *arg);
	void *arg;
};

static void on_poll(uv_poll_t *handle, int status, int events)
{
	(void)status; /* an error is readable: the owner's read tells which */
	(void)events;
	struct poll *p = handle->data;
	p->cb(p->arg);
}

static void poll_free(struct loop_poll *base)
{
	struct poll *p = CONTAINER_OF(base, struct poll, base);
	uv_poll_stop(&p->uv); /* the caller may close the descriptor right away */
	uv_close((uv_handle_t *)&p->uv, free_data);
}

static struct loop_poll *uv_poll_make(struct loop *l, int fd, void (*cb)(void *), void *arg)
{
	struct poll *p = mem_new(struct poll);
	p->base.free = poll_free;
	p->cb = cb;
	p->arg = arg;
	if (uv_poll_init(&uv_impl_of(l)->uv, &p->uv, fd) < 0)
		abort(); /* not a descriptor that epoll takes: a mistake of the caller */
	p->uv.data = p;
	uv_poll_start(&p->uv, UV_READABLE, on_poll);
	return &p->base;
}

/* ---- signals ---- */

struct loop_signal {
	uv_signal_t uv;
	void (*cb)(void *arg, int signal);
	void *arg;
};

static void on_signal(uv_signal_t *handle, int number)
{
	struct loop_signal *s = handle->data;
	s->cb(s->arg, number);
}

struct loop_signal *loop_uv_signal(struct loop *l, int number, void (*cb)(void *arg, int signal),
	void *arg)
{
	struct loop_signal *s = mem_new(struct loop_signal);
	s->cb = cb;
	s->arg = arg;
	uv_signal_init(&uv_impl_of(l)->uv, &s->uv);
	s->uv.data = s;
	uv_signal_start(&s->uv, on_signal, number);
	return s;
}

void loop_signal_free(struct loop_signal *s)
{
	if (s)
		uv_close((uv_handle_t *)&s->uv, free_data);
}

/* ---- the loop ---- */

static const struct loop_ops uv_ops = {
	.now_ms = uv_now_ms,
	.wall_ms = uv_wall_ms,
	.random_bytes = uv_random_bytes,
	.timer_new = uv_timer_make,
	.defer = uv_defer,
	.job = uv_job,
	.connect = stream_uv_connect,
	.listen = listener_uv_new,
	.datagram = datagram_uv_new,
	.poll = uv_poll_make,
};

struct loop *loop_uv_new(int threads)
{
	signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error of the write */
	struct uv_impl *u = mem_new(struct uv_impl);
	u->loop.ops = &uv_ops;
	list_init(&u->deferred);
	list_init(&u->processes);
	if (uv_loop_init(&u->uv) < 0 || uv_async_init(&u->uv, &u->jobs_done, on_jobs_done) < 0)
		abort();
	u->uv.data = u;
	uv_idle_init(&u->uv, &u->defer_idle);
	u->pool = pool_new(threads, wake_loop, u);
	return &u->loop;
}

void loop_uv_run(struct loop *l)
{
	struct uv_impl *u = uv_impl_of(l);
	u->stopping = false;
	while (!u->stopping)
		uv_run(&u->uv, UV_RUN_ONCE);
}

void loop_uv_stop(struct loop *l)
{
	struct uv_impl *u = uv_impl_of(l);
	u->stopping = true;
	uv_async_send(&u->jobs_done); /* so that the turn that was begun does not wait */
}

static void do_nothing(void *arg)
{
	(void)arg;
}

struct until {
	uv_prepare_t prepare;
	bool (*condition)(void *arg);
	void *arg;
};

/* A turn runs timers before it waits for I/O. When one of them met the condition, the wait must not
 * happen. */
static void before_waiting(uv_prepare_t *prepare)
{
	struct until *x = prepare->data;
	struct uv_impl *u = prepare->loop->data;
	if (x->condition(x->arg))
		uv_async_send(&u->jobs_done);
}

static void free_until(uv_handle_t *handle)
{
	free(handle->data);
}

bool loop_uv_run_until(struct loop *l, bool (*condition)(void *arg), void *arg, int64_t timeout_ms)
{
	struct uv_impl *u = uv_impl_of(l);
	struct loop_timer *limit = loop_timer_new(l, do_nothing, NULL);
	struct until *x = mem_new(struct until);
	*x = (struct until){.condition = condition, .arg = arg};
	uv_prepare_init(&u->uv, &x->prepare);
	x->prepare.data = x;
	uv_prepare_start(&x->prepare, before_waiting);
	loop_timer_start(limit, timeout_ms);
	bool met = condition(arg);
	while (!met && loop_timer_active(limit)) {
		uv_run(&u->uv, UV_RUN_ONCE);
		met = condition(arg);
	}
	uv_close((uv_handle_t *)&x->prepare, free_until);
	loop_timer_free(limit);
	return met;
}

void loop_uv_free(struct loop *l)
{
	struct uv_impl *u = uv_impl_of(l);
	pool_free(u->pool);
	process_drop_all(u);
	run_deferred(&u->defer_idle);
	uv_close((uv_handle_t *)&u->jobs_done, NULL);
	uv_close((uv_handle_t *)&u->defer_idle, NULL);
	uv_run(&u->uv, UV_RUN_NOWAIT);
	uv_run(&u->uv, UV_RUN_NOWAIT);
	if (uv_loop_close(&u->uv) < 0)
		abort(); /* something made on the loop was not freed */
	free(u->read_buffer);
	free(u);
}
