#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sys/loop_uv.h"

#define LIMIT_MS 10000

static bool is_set(void *arg)
{
	return *(bool *)arg;
}

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

static void test_defer_comes_later_and_in_order(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	bool first = false, second = false;
	loop_defer(l, set_flag, &first);
	loop_defer(l, set_flag, &second);
	assert_false(first);
	assert_true(loop_uv_run_until(l, is_set, &second, LIMIT_MS));
	assert_true(first);
	loop_uv_free(l);
}

static void test_timer_fires_once_and_not_after_free(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	bool fired = false, freed_fired = false;
	struct loop_timer *t = loop_timer_new(l, set_flag, &fired);
	struct loop_timer *gone = loop_timer_new(l, set_flag, &freed_fired);
	loop_timer_start(gone, 0);
	loop_timer_free(gone);
	int64_t before = loop_now_ms(l);
	loop_timer_start(t, 5);
	assert_true(loop_timer_active(t));
	assert_true(loop_uv_run_until(l, is_set, &fired, LIMIT_MS));
	assert_true(loop_now_ms(l) - before >= 4);
	assert_false(loop_timer_active(t));
	assert_false(freed_fired);
	loop_timer_free(t);
	loop_uv_free(l);
}

struct job_state {
	pthread_t thread;
	bool worked, done;
};

static void job_work(void *arg)
{
	struct job_state *j = arg;
	j->thread = pthread_self();
	j->worked = true;
}

static void job_done(void *arg)
{
	struct job_state *j = arg;
	assert_true(j->worked);
	assert_false(pthread_equal(j->thread, pthread_self()));
	j->done = true;
}

static void test_jobs_run_elsewhere_and_return_here(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(2);
	struct job_state jobs[20] = {0};
	for (int i = 0; i < 20; i++)
		loop_job(l, job_work, job_done, &jobs[i]);
	for (int i = 0; i < 20; i++)
		assert_true(loop_uv_run_until(l, is_set, &jobs[i].done, LIMIT_MS));
	loop_uv_free(l);
}

static void test_free_waits_for_jobs(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	struct job_state job = {0};
	loop_job(l, job_work, job_done, &job);
	loop_uv_free(l);
	assert_true(job.done);
}

/* ---- streams ---- */

struct end {
	struct stream *s;
	struct buf got;
	bool open, ended, drained, closed, free_on_data;
	struct err why;
};

static void end_open(void *arg)
{
	((struct end *)arg)->open = true;
}

static void end_data(void *arg, const uint8_t *data, size_t size)
{
	struct end *x = arg;
	buf_append(&x->got, data, size);
	if (x->free_on_data) {
		stream_free(x->s);
		x->s = NULL;
	}
}

static void end_end(void *arg)
{
	((struct end *)arg)->ended = true;
}

static void end_drained(void *arg)
{
	((struct end *)arg)->drained = true;
}

static void end_closed(void *arg, const struct err *why)
{
	struct end *x = arg;
	assert_false(x->closed);
	x->closed = true;
	x->why = *why;
}

static const struct stream_events end_events = {
	end_open, end_data, end_end, end_drained, end_closed};
static const struct stream_events no_end_events = {end_open, end_data, NULL, NULL, end_closed};

struct pair {
	struct loop *l;
	struct listener *x;
	struct end client, server;
	bool accepted;
};

static void on_accept(void *arg, struct stream *s)
{
	struct pair *p = arg;
	p->server.s = s;
	p->accepted = true;
}

static void pair_open(struct pair *p, const char *address)
{
	p->l = loop_uv_new(1);
	struct err e = ERR_INIT;
	assert_int_equal(loop_listen(p->l, address, on_accept, p, &p->x, &e), 0);
	p->client.s = loop_connect(p->l, listener_address(p->x));
	stream_set_events(p->client.s, &end_events, &p->client);
	assert_false(p->client.open);
	stream_write(p->client.s, "hello", 5);
	assert_true(loop_uv_run_until(p->l, is_set, &p->accepted, LIMIT_MS));
	assert_true(loop_uv_run_until(p->l, is_set, &p->client.open, LIMIT_MS));
}

static void pair_close(struct pair *p)
{
	stream_free(p->client.s);
	stream_free(p->server.s);
	listener_free(p->x);
	buf_done(&p->client.got);
	buf_done(&p->server.got);
	loop_uv_free(p->l);
}

static bool server_has_hello(void *arg)
{
	return ((struct pair *)arg)->server.got.size == 5;
}

static void check_exchange(const char *address)
{
	struct pair p = {0};
	pair_open(&p, address);
	assert_int_equal(p.server.got.size, 0); /* nothing before set_events */
	stream_set_events(p.server.s, &end_events, &p.server);
	assert_true(loop_uv_run_until(p.l, server_has_hello, &p, LIMIT_MS));
	assert_string_equal(buf_text(&p.server.got), "hello");
	assert_true(loop_uv_run_until(p.l, is_set, &p.client.drained, LIMIT_MS));
	stream_end(p.client.s);
	assert_true(loop_uv_run_until(p.l, is_set, &p.server.ended, LIMIT_MS));
	assert_false(p.server.closed);
	stream_write(p.server.s, "bye", 3); /* half closed: the other way still works */
	stream_end(p.server.s);
	assert_true(loop_uv_run_until(p.l, is_set, &p.client.ended, LIMIT_MS));
	assert_string_equal(buf_text(&p.client.got), "bye");
	pair_close(&p);
}

static void test_tcp_exchange(void **state)
{
	(void)state;
	check_exchange("127.0.0.1:0");
	check_exchange("[::1]:0");
}

static void test_unix_exchange_over_stale_socket(void **state)
{
	(void)state;
	char folder[] = "/tmp/continuo-loop-XXXXXX";
	assert_non_null(mkdtemp(folder));
	char *path = mem_format("%s/x.sock", folder), *address = mem_format("unix:%s", path);
	check_exchange(address);
	check_exchange(address);
	unlink(path);
	rmdir(folder);
	free(path);
	free(address);
}

static void test_close_without_on_end_is_closed(void **state)
{
	(void)state;
	struct pair p = {0};
	pair_open(&p, "127.0.0.1:0");
	stream_set_events(p.server.s, &no_end_events, &p.server);
	stream_end(p.client.s);
	assert_true(loop_uv_run_until(p.l, is_set, &p.server.closed, LIMIT_MS));
	assert_int_equal(p.server.why.code, ERR_CLOSED);
	pair_close(&p);
}

static bool server_stream_gone(void *arg)
{
	return !((struct pair *)arg)->server.s;
}

static void test_free_inside_a_callback(void **state)
{
	(void)state;
	struct pair p = {0};
	pair_open(&p, "127.0.0.1:0");
	p.server.free_on_data = true;
	stream_set_events(p.server.s, &end_events, &p.server);
	assert_true(loop_uv_run_until(p.l, server_stream_gone, &p, LIMIT_MS));
	assert_true(loop_uv_run_until(p.l, is_set, &p.client.ended, LIMIT_MS));
	assert_false(p.server.closed);
	pair_close(&p);
}

static void check_refused(const char *address, enum err_code code)
{
	struct loop *l = loop_uv_new(1);
	struct end x = {0};
	x.s = loop_connect(l, address);
	stream_set_events(x.s, &end_events, &x);
	assert_false(x.closed);
	assert_true(loop_uv_run_until(l, is_set, &x.closed, LIMIT_MS));
	assert_int_equal(x.why.code, code);
	assert_false(x.open);
	stream_free(x.s);
	loop_uv_free(l);
}

static void test_failures_to_connect(void **state)
{
	(void)state;
	check_refused("127.0.0.1:1", ERR_UNAVAILABLE);
	check_refused("localhost:1", ERR_UNAVAILABLE);
	check_refused("unix:/nonexistent/x.sock", ERR_UNAVAILABLE);
	check_refused("no port", ERR_INVALID);
	check_refused("1.2.3.4:70000", ERR_INVALID);
}

static void test_connect_by_name(void **state)
{
	(void)state;
	struct pair p = {0};
	p.l = loop_uv_new(1);
	assert_int_equal(loop_listen(p.l, "127.0.0.1:0", on_accept, &p, &p.x, NULL), 0);
	char *address = mem_format("localhost%s", strrchr(listener_address(p.x), ':'));
	p.client.s = loop_connect(p.l, address);
	stream_set_events(p.client.s, &end_events, &p.client);
	stream_write(p.client.s, "hello", 5);
	assert_true(loop_uv_run_until(p.l, is_set, &p.client.open, LIMIT_MS));
	assert_true(loop_uv_run_until(p.l, is_set, &p.accepted, LIMIT_MS));
	stream_set_events(p.server.s, &end_events, &p.server);
	assert_true(loop_uv_run_until(p.l, server_has_hello, &p, LIMIT_MS));
	free(address);
	pair_close(&p);
}

static void test_free_while_looking_up(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	struct end x = {0};
	x.s = loop_connect(l, "localhost:1");
	stream_set_events(x.s, &end_events, &x);
	stream_free(x.s);
	loop_uv_free(l);
	assert_false(x.closed);
}

static bool server_has_all(void *arg)
{
	return ((struct pair *)arg)->server.got.size == 5 + ((size_t)8 << 20);
}

static void test_bulk_pauses_and_drains(void **state)
{
	(void)state;
	struct pair p = {0};
	pair_open(&p, "127.0.0.1:0");
	stream_set_events(p.server.s, &end_events, &p.server);
	assert_true(loop_uv_run_until(p.l, server_has_hello, &p, LIMIT_MS));
	stream_pause(p.server.s, true);
	p.client.drained = false;
	char *block = mem_alloc((size_t)8 << 20);
	stream_write(p.client.s, block, (size_t)8 << 20);
	assert_false(loop_uv_run_until(p.l, is_set, &p.client.drained, 30));
	assert_true(stream_queued(p.client.s) > 0);
	assert_int_equal(p.server.got.size, 5);
	stream_pause(p.server.s, false);
	assert_true(loop_uv_run_until(p.l, server_has_all, &p, LIMIT_MS));
	assert_true(loop_uv_run_until(p.l, is_set, &p.client.drained, LIMIT_MS));
	assert_int_equal(stream_queued(p.client.s), 0);
	free(block);
	pair_close(&p);
}

static void on_datagram(void *arg, const uint8_t *data, size_t size, const char *from)
{
	assert_int_equal(size, 4);
	assert_memory_equal(data, "ping", 4);
	assert_memory_equal(from, "127.0.0.1:", 10);
	*(bool *)arg = true;
}

static void test_datagrams(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	bool got = false;
	struct datagram *a, *b;
	assert_int_equal(loop_datagram(l, "127.0.0.1:0", on_datagram, &got, &a, NULL), 0);
	char to[32];
	snprintf(to, sizeof(to), "127.0.0.1:%d", 20000 + getpid() % 20000);
	assert_int_equal(loop_datagram(l, to, on_datagram, &got, &b, NULL), 0);
	datagram_send(a, to, "ping", 4);
	assert_true(loop_uv_run_until(l, is_set, &got, LIMIT_MS));
	datagram_free(a);
	datagram_free(b);
	loop_uv_free(l);
}

static void test_poll(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	bool readable = false;
	struct loop_poll *p = loop_poll_new(l, ends[0], set_flag, &readable);
	assert_false(loop_uv_run_until(l, is_set, &readable, 5));
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_true(loop_uv_run_until(l, is_set, &readable, LIMIT_MS));
	loop_poll_free(p);
	close(ends[0]);
	close(ends[1]);
	loop_uv_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defer_comes_later_and_in_order),
		cmocka_unit_test(test_timer_fires_once_and_not_after_free),
		cmocka_unit_test(test_jobs_run_elsewhere_and_return_here),
		cmocka_unit_test(test_free_waits_for_jobs),
		cmocka_unit_test(test_tcp_exchange),
		cmocka_unit_test(test_unix_exchange_over_stale_socket),
		cmocka_unit_test(test_close_without_on_end_is_closed),
		cmocka_unit_test(test_free_inside_a_callback),
		cmocka_unit_test(test_failures_to_connect),
		cmocka_unit_test(test_connect_by_name),
		cmocka_unit_test(test_free_while_looking_up),
		cmocka_unit_test(test_bulk_pauses_and_drains),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_poll),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
