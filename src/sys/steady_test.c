#include "sys/steady.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HOUR ((int64_t)3600 * 1000)
#define START ((int64_t)1790000000000)

static int64_t now, wall;

static int64_t get_now(struct loop *l)
{
	(void)l;
	return now;
}

static int64_t get_wall(struct loop *l)
{
	(void)l;
	return wall;
}

static const struct loop_ops ops = {.now_ms = get_now, .wall_ms = get_wall};
static struct loop loop = {&ops};

static void pass(int64_t ms)
{
	now += ms;
	wall += ms;
}

static void begin(struct steady *s, int64_t floor_ms)
{
	now = 5000;
	wall = START;
	steady_init(s, &loop, floor_ms);
}

static void it_counts_on(void **state)
{
	struct steady s;
	(void)state;
	begin(&s, 0);
	assert_int_equal(steady_ms(&s), START);
	for (int i = 0; i < 1000; i++) {
		pass(i % 7);
		assert_int_equal(steady_ms(&s), wall);
	}
}

static void a_jump_is_followed_slowly(void **state)
{
	static const int64_t jumps[] = {3 * HOUR, -3 * HOUR};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct steady s;
		begin(&s, 0);
		wall += jumps[i];
		int64_t before = steady_ms(&s);
		assert_int_equal(before, START);
		for (int look = 0; look < 60; look++) { /* an hour */
			pass(60 * 1000);
			int64_t at = steady_ms(&s);
			assert_true(at >= before);
			before = at;
		}
		int64_t followed = before - (START + HOUR);
		assert_int_equal(followed, jumps[i] / 30);
		for (int look = 0; look < 30 * 60; look++) {
			pass(60 * 1000);
			(void)steady_ms(&s);
		}
		assert_int_equal(steady_ms(&s), wall);
	}
}

/* However often it is looked at: fractions of a step are not lost. */
static void frequent_looks_follow_as_well(void **state)
{
	struct steady s;
	(void)state;
	begin(&s, 0);
	wall += HOUR;
	for (int i = 0; i < 100000; i++) {
		pass(1);
		(void)steady_ms(&s);
	}
	assert_int_equal(steady_ms(&s), START + 100000 + 10000);
}

static void it_does_not_begin_before_what_was_seen(void **state)
{
	struct steady s;
	(void)state;
	begin(&s, START + 2 * HOUR);
	assert_int_equal(steady_ms(&s), START + 2 * HOUR);
	begin(&s, START - 2 * HOUR);
	assert_int_equal(steady_ms(&s), START);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_counts_on),
		cmocka_unit_test(a_jump_is_followed_slowly),
		cmocka_unit_test(frequent_looks_follow_as_well),
		cmocka_unit_test(it_does_not_begin_before_what_was_seen),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
