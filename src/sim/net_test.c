#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "sim/loop_sim.h"

#define SECOND_US INT64_C(1000000)

struct peer {
	struct sim_machine *machine;
	struct sim_loop *loop;
	struct stream *stream;
	char got[4096];
	size_t size;
	bool open, drained;
	int ends, closes;
	enum err_code why;
};

struct fixture {
	struct sim_world *world;
	struct peer a, b; /* b listens */
	struct listener *listener;
};

static void on_open(void *arg)
{
	((struct peer *)arg)->open = true;
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	struct peer *p = arg;
	assert_true(p->size + size <= sizeof(p->got));
	memcpy(p->got + p->size, data, size);
	p->size += size;
}

static void on_end(void *arg)
{
	((struct peer *)arg)->ends++;
}

static void on_drained(void *arg)
{
	((struct peer *)arg)->drained = true;
}

static void on_closed(void *arg, const struct err *why)
{
	struct peer *p = arg;
	p->closes++;
	p->why = why->code;
}

static const struct stream_events events = {on_open, on_data, on_end, on_drained, on_closed};

static void on_accept(void *arg, struct stream *s)
{
	struct fixture *f = arg;
	stream_free(f->b.stream);
	f->b.stream = s;
	stream_set_events(s, &events, &f->b);
}

static void run(struct fixture *f, int64_t us)
{
	int64_t until_us = f->world->now_us + us;
	while (sim_world_step(f->world, until_us))
		;
}

static int setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	f->world = sim_world_new(3);
	f->a.machine = sim_machine_new(f->world, "a", "10.0.0.1", 1000, 500);
	f->b.machine = sim_machine_new(f->world, "b", "10.0.0.2", 1000, 500);
	f->a.loop = sim_loop_new(f->a.machine, "a");
	f->b.loop = sim_loop_new(f->b.machine, "b");
	*state = f;
	return loop_listen(&f->b.loop->loop, "10.0.0.2:80", on_accept, f, &f->listener, NULL);
}

static void kill_peer(struct peer *p, bool power_loss)
{
	if (p->loop)
		sim_loop_kill(p->loop, power_loss);
	stream_free(p->stream);
	p->stream = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	kill_peer(&f->a, false);
	kill_peer(&f->b, false);
	listener_free(f->listener);
	sim_loop_free(f->a.loop);
	sim_loop_free(f->b.loop);
	sim_world_free(f->world);
	free(f);
	return 0;
}

static void dial(struct fixture *f, const char *address)
{
	f->a.stream = loop_connect(&f->a.loop->loop, address);
	stream_set_events(f->a.stream, &events, &f->a);
}

static void dial_and_open(struct fixture *f)
{
	dial(f, "10.0.0.2:80");
	assert_false(f->a.open); /* never from inside */
	run(f, SECOND_US);
	assert_true(f->a.open);
	assert_non_null(f->b.stream);
}

static void set_cut(struct fixture *f, int cuts)
{
	sim_link(f->world, f->a.machine, f->b.machine)->cuts = cuts;
}

static void test_delivers_in_order(void **state)
{
	struct fixture *f = *state;
	dial(f, "10.0.0.2:80");
	stream_write(f->a.stream, "early ", 6); /* while opening */
	run(f, SECOND_US);
	char expected[2000] = "early ";
	for (int i = 0; i < 100; i++) {
		char text[16];
		int size = snprintf(text, sizeof(text), "%d,", i);
		stream_write(f->a.stream, text, (size_t)size);
		strcat(expected, text);
	}
	assert_true(stream_queued(f->a.stream) > 0);
	assert_int_equal(f->b.size, 6);
	run(f, SECOND_US);
	assert_int_equal(f->b.size, strlen(expected));
	assert_memory_equal(f->b.got, expected, f->b.size);
	assert_int_equal(stream_queued(f->a.stream), 0);
	assert_true(f->a.drained);
	assert_string_equal(stream_peer(f->a.stream), "10.0.0.2:80");
	assert_ptr_equal(sim_stream_machine(f->b.stream), f->a.machine);
}

static void test_pause_holds_back(void **state)
{
	struct fixture *f = *state;
	dial_and_open(f);
	stream_pause(f->b.stream, true);
	stream_write(f->a.stream, "12345", 5);
	run(f, 60 * SECOND_US);
	assert_int_equal(f->b.size, 0);
	assert_int_equal(stream_queued(f->a.stream), 5);
	stream_pause(f->b.stream, false);
	run(f, SECOND_US);
	assert_int_equal(f->b.size, 5);
}

static void test_ends_half_and_whole(void **state)
{
	struct fixture *f = *state;
	dial_and_open(f);
	stream_write(f->a.stream, "x", 1);
	stream_end(f->a.stream);
	run(f, SECOND_US);
	assert_int_equal(f->b.size, 1);
	assert_int_equal(f->b.ends, 1);
	stream_write(f->b.stream, "yy", 2); /* the other half is open */
	run(f, SECOND_US);
	assert_int_equal(f->a.size, 2);
	stream_free(take_ptr(f->b.stream));
	run(f, SECOND_US);
	assert_int_equal(f->a.ends, 1);
	assert_int_equal(f->a.closes, 0);
}

static void test_refused_and_unknown(void **state)
{
	struct fixture *f = *state;
	dial(f, "10.0.0.2:81");
	run(f, SECOND_US);
	assert_int_equal(f->a.closes, 1);
	assert_int_equal(f->a.why, ERR_UNAVAILABLE);
	stream_free(take_ptr(f->a.stream));
	dial(f, "10.9.9.9:80");
	run(f, SECOND_US);
	assert_int_equal(f->a.closes, 2);
}

static void test_short_partition_only_delays(void **state)
{
	struct fixture *f = *state;
	dial_and_open(f);
	set_cut(f, 1);
	stream_write(f->a.stream, "1", 1);
	run(f, 5 * SECOND_US);
	assert_int_equal(f->b.size, 0);
	set_cut(f, 0);
	run(f, SECOND_US);
	assert_int_equal(f->b.size, 1);
	assert_int_equal(f->a.closes, 0);
}

static void test_long_partition_breaks_the_sender_alone(void **state)
{
	struct fixture *f = *state;
	dial_and_open(f);
	set_cut(f, 1);
	stream_write(f->a.stream, "1", 1);
	run(f, 30 * SECOND_US);
	assert_int_equal(f->a.why, ERR_TIMEOUT);
	assert_int_equal(f->a.closes, 1);
	assert_int_equal(f->b.closes, 0); /* it cannot know */
	set_cut(f, 0);
	run(f, SECOND_US);
	assert_int_equal(f->b.size, 0);
	stream_write(f->b.stream, "2", 1); /* nobody is there any more: a reset */
	run(f, SECOND_US);
	assert_int_equal(f->b.closes, 1);
	assert_int_equal(f->b.why, ERR_CLOSED);
}

static void test_keep_alive_misses_a_peer(void **state)
{
	struct fixture *f = *state;
	dial_and_open(f);
	set_cut(f, 1);
	stream_write(f->a.stream, "1", 1);
	run(f, 30 * SECOND_US);
	set_cut(f, 0);
	run(f, 30 * SECOND_US);
	assert_int_equal(f->b.closes, 0);
	run(f, 60 * SECOND_US);
	assert_int_equal(f->b.closes, 1);
	assert_int_equal(f->b.why, ERR_TIMEOUT);
}

static void test_killed_process_closes(void **state)
{
	struct fixture *f = *state;
	dial_and_open(f);
	kill_peer(&f->b, false);
	sim_loop_free(f->b.loop);
	f->b.loop = NULL;
	run(f, SECOND_US);
	assert_int_equal(f->a.ends, 1);
	stream_write(f->a.stream, "1", 1);
	run(f, SECOND_US);
	assert_int_equal(f->a.closes, 1);
	assert_int_equal(f->a.why, ERR_CLOSED);
}

static void test_power_loss_is_silent(void **state)
{
	struct fixture *f = *state;
	dial_and_open(f);
	kill_peer(&f->b, true);
	sim_loop_free(f->b.loop);
	f->b.loop = NULL;
	f->b.machine->powered = false;
	run(f, 60 * SECOND_US);
	assert_int_equal(f->a.ends + f->a.closes, 0);
	stream_write(f->a.stream, "1", 1);
	run(f, 60 * SECOND_US);
	assert_int_equal(f->a.why, ERR_TIMEOUT);
}

static void test_connects_through_a_partition_later(void **state)
{
	struct fixture *f = *state;
	set_cut(f, 1);
	dial(f, "10.0.0.2:80");
	run(f, 5 * SECOND_US);
	assert_false(f->a.open);
	set_cut(f, 0);
	run(f, SECOND_US);
	assert_true(f->a.open);
	stream_free(take_ptr(f->a.stream));
	set_cut(f, 1);
	dial(f, "10.0.0.2:80");
	run(f, 60 * SECOND_US);
	assert_int_equal(f->a.why, ERR_TIMEOUT);
}

struct ticks {
	struct loop_timer *timer;
	int count;
	int64_t last_ms;
	struct loop *loop;
};

static void on_tick(void *arg)
{
	struct ticks *t = arg;
	t->count++;
	t->last_ms = loop_now_ms(t->loop);
	loop_timer_start(t->timer, 250);
}

static void work(void *arg)
{
	((struct ticks *)arg)->count++;
}

static void test_timers_and_jobs(void **state)
{
	struct fixture *f = *state;
	struct ticks t = {.loop = &f->a.loop->loop}, j = {0};
	t.timer = loop_timer_new(t.loop, on_tick, &t);
	loop_timer_start(t.timer, 1000);
	loop_job(t.loop, work, work, &j);
	assert_int_equal(j.count, 0);
	run(f, 2 * SECOND_US + 501000);
	assert_int_equal(j.count, 2);
	assert_int_equal(t.count, 7);
	assert_int_equal(t.last_ms, 2500);
	loop_timer_free(t.timer);
}

/* Of a dead process nothing happens any more; what waited is given back in the end. */
static void test_dead_processes_do_nothing(void **state)
{
	struct fixture *f = *state;
	struct ticks t = {.loop = &f->a.loop->loop}, j = {0};
	t.timer = loop_timer_new(t.loop, on_tick, &t);
	loop_timer_start(t.timer, 10);
	loop_job(t.loop, work, work, &j);
	kill_peer(&f->a, false);
	loop_timer_start(t.timer, 10);
	run(f, SECOND_US);
	assert_int_equal(t.count + j.count, 0);
	loop_timer_free(t.timer);
	sim_loop_free(f->a.loop);
	f->a.loop = NULL;
	assert_int_equal(j.count, 2);
}

struct mail {
	char got[64], from[64];
};

static void on_mail(void *arg, const uint8_t *data, size_t size, const char *from)
{
	struct mail *m = arg;
	snprintf(m->got, sizeof(m->got), "%.*s", (int)size, (const char *)data);
	snprintf(m->from, sizeof(m->from), "%s", from);
}

static void test_datagrams(void **state)
{
	struct fixture *f = *state;
	struct datagram *a, *b;
	struct mail mail = {0};
	assert_int_equal(loop_datagram(&f->a.loop->loop, "0.0.0.0:7", on_mail, NULL, &a, NULL), 0);
	assert_int_equal(loop_datagram(&f->b.loop->loop, "0.0.0.0:9", on_mail, &mail, &b, NULL), 0);
	datagram_send(a, "10.0.0.2:9", "hello", 5);
	run(f, SECOND_US);
	assert_string_equal(mail.got, "hello");
	assert_string_equal(mail.from, "10.0.0.1:7");
	set_cut(f, 1);
	datagram_send(a, "10.0.0.2:9", "lost", 4);
	run(f, SECOND_US);
	assert_string_equal(mail.got, "hello");
	datagram_free(a);
	datagram_free(b);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_delivers_in_order),
		TEST(test_pause_holds_back), TEST(test_ends_half_and_whole),
		TEST(test_refused_and_unknown), TEST(test_short_partition_only_delays),
		TEST(test_long_partition_breaks_the_sender_alone),
		TEST(test_keep_alive_misses_a_peer), TEST(test_killed_process_closes),
		TEST(test_power_loss_is_silent), TEST(test_connects_through_a_partition_later),
		TEST(test_timers_and_jobs), TEST(test_dead_processes_do_nothing),
		TEST(test_datagrams)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
