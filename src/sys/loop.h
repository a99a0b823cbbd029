/*
 * The event loop: time, timers, jobs, byte streams and datagrams. This is the first seam of the
 * simulator: roles (server, agent) see only these functions, so the same code runs over libuv
 * (loop_uv_new, in loop_uv.h) and over simulated time and a simulated network (src/sim).
 *
 * One thread, the loop's, owns all state; every callback runs on it and none may hold it over 5 ms.
 * Work that takes longer runs as a job on a pool and returns by its done callback.
 * No callback ever runs from inside the call that caused it: it comes on a later turn of the loop.
 */
#ifndef CONTINUO_SYS_LOOP_H
#define CONTINUO_SYS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop {
	const struct loop_ops *ops;
};

/* ---- time and chance ---- */

int64_t loop_now_ms(struct loop *l);  /* never jumps, counts on while suspended (CLOCK_BOOTTIME) */
int64_t loop_wall_ms(struct loop *l); /* since 1970 UTC; may jump */
void loop_random_bytes(struct loop *l, void *ret_bytes, size_t size); /* for keys and tokens too */

/* ---- timers ---- */

struct loop_timer;
typedef void loop_timer_cb(void *arg);

/* A timer that is not running. Owned by the caller until loop_timer_free (null is fine), after
 * which its callback never runs. */
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_cb *cb, void *arg) MUST_CHECK;
void loop_timer_start(struct loop_timer *t,
	int64_t delay_ms); /* once; starting again moves it; < 0 counts as 0 */
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_active(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/* Runs cb once on a later turn of the loop. Cannot be cancelled: arg must live until then. */
void loop_defer(struct loop *l, void (*cb)(void *arg), void *arg);

/* ---- jobs ---- */

/* work(arg) runs on another thread (in the simulator: as an event of its own) and may block; it
 * must touch nothing that the loop's thread touches meanwhile. Then done(arg) runs on the loop. */
void loop_job(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* ---- byte streams ---- */

struct stream;

/*
 *            connect/accept                peer closed or error
 *   OPENING ───────────────▶ OPEN ─────────────────────────────▶ CLOSED
 *      └───────────────── on_closed (could not connect) ───────────┘
 *
 * The owner ends each stream with exactly one stream_free, in any state, also from inside one of
 * its callbacks; after it no callback runs. on_closed comes at most once, and nothing after it.
 */
struct stream_events {
	/* Connect succeeded (and TLS shook hands). Streams from a listener are OPEN from the start
	 * and do not give it. */
	void (*on_open)(void *arg);
	void (*on_data)(void *arg, const uint8_t *data,
		size_t size); /* data valid during the call only */
	void (*on_end)(
		void *arg); /* the peer will send no more; may be null: then it counts as closed */
	void (*on_drained)(void *arg); /* all that was written has left; may be null */
	void (*on_closed)(void *arg,
		const struct err *why); /* why->code ERR_CLOSED when the peer closed in order */
};

/* The vtable that every kind of stream implements: TCP, unix socket, TLS over another stream,
 * simulated. Use the inline functions below. */
struct stream_ops {
	void (*set_events)(struct stream *s, const struct stream_events *events, void *arg);
	void (*write)(struct stream *s, const void *data, size_t size);
	size_t (*queued)(const struct stream *s);
	void (*pause)(struct stream *s, bool paused);
	void (*end)(struct stream *s);
	const char *(*peer)(const struct stream *s);
	void (*free)(struct stream *s);
};

struct stream {
	const struct stream_ops *ops;
};

/* Who gets the events. A stream from a listener delivers nothing until this was called. */
static inline void stream_set_events(struct stream *s, const struct stream_events *events,
	void *arg)
{
	s->ops->set_events(s, events, arg);
}

/* Copies the data and sends it in order; allowed while OPENING. Never blocks, never fails: an error
 * comes as on_closed. Writers of bulk data watch stream_queued and go on at on_drained. */
static inline void stream_write(struct stream *s, const void *data, size_t size)
{
	s->ops->write(s, data, size);
}

static inline size_t stream_queued(const struct stream *s) /* bytes written and not yet sent */
{
	return s->ops->queued(s);
}

static inline void stream_pause(struct stream *s, bool paused) /* stops on_data until unpaused */
{
	s->ops->pause(s, paused);
}

/* Sends what is queued, then tells the peer that no more comes (TCP FIN, TLS close_notify). */
static inline void stream_end(struct stream *s)
{
	s->ops->end(s);
}

/* The peer's address for logs and rate limits, "192.0.2.7:4711"; valid as long as the stream. */
static inline const char *stream_peer(const struct stream *s)
{
	return s->ops->peer(s);
}

/* Closes at once; what is queued may be lost. Null is fine. */
static inline void stream_free(struct stream *s)
{
	if (s)
		s->ops->free(s);
}

/*
 * Addresses: "192.0.2.7:6443", "[2001:db8::1]:6443", "host.example:6443" (names are looked up on
 * the pool), "unix:/run/x.sock". A stream that is opening at once; failures come as on_closed.
 */
struct stream *loop_connect(struct loop *l, const char *address) MUST_CHECK;

struct listener;
typedef void listener_cb(void *arg, struct stream *accepted); /* takes the stream */

/* Port 0 picks one: listener_address tells. Numeric addresses and unix paths only. */
int loop_listen(struct loop *l, const char *address, listener_cb *cb, void *arg,
	struct listener **ret_listener, struct err *e) MUST_CHECK;
const char *
listener_address(const struct listener *x); /* as bound; valid as long as the listener */
void listener_free(struct listener *x);

/* ---- datagrams ---- */

struct datagram;
typedef void datagram_cb(void *arg, const uint8_t *data, size_t size, const char *from);

/* UDP, bound to a numeric address ("0.0.0.0:0" for any). from and to have the form of addresses. */
int loop_datagram(struct loop *l, const char *address, datagram_cb *cb, void *arg,
	struct datagram **ret_datagram, struct err *e) MUST_CHECK;
void datagram_send(struct datagram *d, const char *to, const void *data,
	size_t size); /* may be lost */
void datagram_free(struct datagram *d);

/* ---- file descriptors (not in the simulator: aborts there) ---- */

struct loop_poll;
/* cb runs while fd is readable. The caller owns fd and closes it after loop_poll_free. */
struct loop_poll *loop_poll_new(struct loop *l, int fd, void (*cb)(void *arg),
	void *arg) MUST_CHECK;
void loop_poll_free(struct loop_poll *p);

/* ---- what an implementation provides ---- */

struct loop_ops {
	int64_t (*now_ms)(struct loop *l);
	int64_t (*wall_ms)(struct loop *l);
	void (*random_bytes)(struct loop *l, void *ret_bytes, size_t size);
	struct loop_timer *(*timer_new)(struct loop *l, loop_timer_cb *cb, void *arg);
	void (*defer)(struct loop *l, void (*cb)(void *arg), void *arg);
	void (*job)(struct loop *l, void (*work)(void *), void (*done)(void *), void *arg);
	struct stream *(*connect)(struct loop *l, const char *address);
	int (*listen)(struct loop *l, const char *address, listener_cb *cb, void *arg,
		struct listener **ret_listener, struct err *e);
	int (*datagram)(struct loop *l, const char *address, datagram_cb *cb, void *arg,
		struct datagram **ret_datagram, struct err *e);
	struct loop_poll *(*poll)(struct loop *l, int fd, void (*cb)(void *), void *arg);
};

/* An implementation's own timer, listener, datagram and poll structs begin with these. */
struct loop_timer {
	void (*start)(struct loop_timer *t, int64_t delay_ms);
	void (*stop)(struct loop_timer *t);
	bool (*active)(const struct loop_timer *t);
	void (*free)(struct loop_timer *t);
};
struct listener {
	const char *(*address)(const struct listener *x);
	void (*free)(struct listener *x);
};
struct datagram {
	void (*send)(struct datagram *d, const char *to, const void *data, size_t size);
	void (*free)(struct datagram *d);
};
struct loop_poll {
	void (*free)(struct loop_poll *p);
};

#endif
