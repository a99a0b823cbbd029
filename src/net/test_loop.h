/*
 * A loop for unit tests: virtual time, jobs at once, and byte streams in memory that can be cut
 * into small pieces, held up and broken. Not linked into anything but tests.
 */
#ifndef CONTINUO_NET_TEST_LOOP_H
#define CONTINUO_NET_TEST_LOOP_H

#include "sys/loop.h"

struct test_loop {
	struct loop base;
	int64_t now_ms;
	int64_t wall_ms;
	size_t piece; /* streams deliver at most this many bytes at once; 0: any */
	/* The network is gone: streams that have something to do stay as they are, also afterwards,
	 * as TCP does whose pauses have grown long. */
	bool black;
	size_t capacity; /* bytes a stream takes before it reports itself queued; 0: any */
	struct test_event *events;
	uint64_t sequence;
	struct test_listener *listeners;
	uint64_t random;
};

struct loop *test_loop_new(void) MUST_CHECK;
void test_loop_free(struct loop *l);
/* Runs what is due; moves time on when nothing is. Until the condition holds, at most limit_ms of
 * virtual time. Returns whether it holds. */
bool test_loop_until(struct loop *l, bool (*condition)(void *arg), void *arg, int64_t limit_ms);
/* Runs for so long a virtual time. */
void test_loop_run(struct loop *l, int64_t ms);
/* Two ends of one connection, both open. */
void test_stream_pair(struct loop *l, struct stream **ret_a, struct stream **ret_b);
/* Breaks the connection as a lost network would. */
void test_stream_break(struct stream *s);

#endif
