#include "sys/loop.h"

int64_t loop_now_ms(struct loop *l)
{
	return l->ops->now_ms(l);
}

int64_t loop_wall_ms(struct loop *l)
{
	return l->ops->wall_ms(l);
}

void loop_random_bytes(struct loop *l, void *ret_bytes, size_t size)
{
	l->ops->random_bytes(l, ret_bytes, size);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_cb *cb, void *arg)
{
	return l->ops->timer_new(l, cb, arg);
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ms)
{
	t->start(t, delay_ms < 0 ? 0 : delay_ms);
}

void loop_timer_stop(struct loop_timer *t)
{
	t->stop(t);
}

bool loop_timer_active(const struct loop_timer *t)
{
	return t->active(t);
}

void loop_timer_free(struct loop_timer *t)
{
	if (t)
		t->free(t);
}

void loop_defer(struct loop *l, void (*cb)(void *arg), void *arg)
{
	l->ops->defer(l, cb, arg);
}

void loop_job(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	l->ops->job(l, work, done, arg);
}

struct stream *loop_connect(struct loop *l, const char *address)
{
	return l->ops->connect(l, address);
}

int loop_listen(struct loop *l, const char *address, listener_cb *cb, void *arg,
	struct listener **ret_listener, struct err *e)
{
	return l->ops->listen(l, address, cb, arg, ret_listener, e);
}

const char *listener_address(const struct listener *x)
{
	return x->address(x);
}

void listener_free(struct listener *x)
{
	if (x)
		x->free(x);
}

int loop_datagram(struct loop *l, const char *address, datagram_cb *cb, void *arg,
	struct datagram **ret_datagram, struct err *e)
{
	return l->ops->datagram(l, address, cb, arg, ret_datagram, e);
}

void datagram_send(struct datagram *d, const char *to, const void *data, size_t size)
{
	d->send(d, to, data, size);
}

void datagram_free(struct datagram *d)
{
	if (d)
		d->free(d);
}

struct loop_poll *loop_poll_new(struct loop *l, int fd, void (*cb)(void *arg), void *arg)
{
	return l->ops->poll(l, fd, cb, arg);
}

void loop_poll_free(struct loop_poll *p)
{
	if (p)
		p->free(p);
}
