/* What free devices are worth, where it can be computed by hand. */
#include "place/worth.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ANY PLACE_NONE

/* Class 1 has two devices, class 2 has one and meets demand 1 too. */
static struct worth made(const struct usual *usuals, size_t count)
{
	const struct worth_class classes[] = {{0, 0}, {1, 2}, {3, 1}};
	struct worth w = {0};
	place_worth_learn(&w, usuals, count);
	place_worth_survey(&w, usuals, count, classes, 3);
	return w;
}

static bool close_to(double value, double expected, double within)
{
	if (fabs(value - expected) <= within)
		return true;
	print_error("%.9f instead of %.9f\n", value, expected);
	return false;
}

static double milli(int64_t worth)
{
	return (double)worth / (1 << WORTH_SHIFT);
}

static void test_fill(void **state)
{
	(void)state;
	struct worth w =
		made((struct usual[]){{1, 1, 1000, ANY, 15.0 / 16}, {1, 1, 500, ANY, 1.0 / 16}}, 2);
	/* That none of 32 offers is a half: (15/16)^32. */
	assert_true(close_to(milli(w.fill[500]), 500 * (1 - pow(15.0 / 16, 32)), 1e-3));
	assert_true(w.fill[999] == w.fill[500]);
	assert_true(w.fill[499] == 0);
	place_worth_done(&w);
	/* 1,000: 600 and then 400, or 400 and then 600 or 400. Those of eight do not matter. */
	w = made((struct usual[]){{1, 1, 600, ANY, 0.3}, {1, 1, 400, ANY, 0.3},
			 {1, 8, 1000, ANY, 0.4}},
		3);
	assert_true(close_to(milli(w.fill[400]), 400, 1e-3));
	assert_true(close_to(milli(w.fill[600]), 500, 1e-2));
	assert_true(close_to(milli(w.fill[1000]), 950, 1e-2));
	place_worth_done(&w);
}

/* The part of what is free that there is enough CPU for. */
static double enough(const struct worth *w, int64_t left, int64_t cpu)
{
	return (double)place_worth_of(w, 0, cpu, (int64_t)1 << 24, left, 0) / (1 << 24);
}

static void test_enough(void **state)
{
	(void)state;
	const struct usual one = {2000, 1, 1000, ANY, 1};
	struct worth w = made(&one, 1);
	const struct {
		int64_t left, cpu;
		double expected;
	} cases[] = {{1000, 1000, 0}, {1000, 1500, 0.5}, {1000, 2000, 1}, {2000, 2000, 0.5},
		{2000, 4000, 1}, {8000, 2000000000, 1}, {8000, INT64_C(1) << 60, 1},
		{1000, -5000, 0},
		/* A half of four devices, with its part of the CPU. */
		{4000, 4000, 0.5}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_true(close_to(enough(&w, cases[i].left, cases[i].cpu), cases[i].expected,
			1e-4));
	place_worth_done(&w);
	w = made((struct usual[]){{2000, 1, 1000, ANY, 0.5}, {4000, 1, 1000, ANY, 0.5}}, 2);
	/* Half of the pods fit; one that does not ends it with 0.1: 0.5 / 0.55. */
	assert_true(close_to(enough(&w, 1000, 2000), 0.5 / 0.55, 1e-4));
	place_worth_done(&w);
}

static void test_price(void **state)
{
	(void)state;
	/* Half of the load asks for what a third of the devices has: 1 + 2 * 0.5 * (3 - 1). */
	struct worth w = made((struct usual[]){{2000, 1, 500, 0, 0.5}, {2000, 1, 500, 1, 0.5}}, 2);
	assert_true(close_to(milli(w.price.items[0]), 1, 1e-4));
	assert_true(close_to(milli(w.price.items[1]), 1, 1e-4));
	assert_true(close_to(milli(w.price.items[2]), 3, 1e-4));
	place_worth_done(&w);
	/* What no node has is worth nothing more anywhere. */
	w = made((struct usual[]){{2000, 1, 500, 5, 1}}, 1);
	assert_true(close_to(milli(w.price.items[2]), 1, 1e-4));
	place_worth_done(&w);
}

static void test_whole(void **state)
{
	(void)state;
	struct worth w =
		made((struct usual[]){{2000, 1, 1000, ANY, 0.5}, {4000, 2, 1000, 1, 0.5}}, 2);
	int64_t fill = 2 * w.fill[1000];
	double price = milli(w.price.items[2]);
	/* Both devices are filled, the CPU is enough, and the pair counts with 0.3 of its half. */
	assert_true(close_to(milli(place_worth_of(&w, 2, 4000, fill, 2000, 2)),
		price * (2000 + 0.3 * 0.5 * 2000), 0.1));
	/* No pair may go where demand 1 is not met. */
	assert_true(close_to(milli(place_worth_of(&w, 1, 4000, fill, 2000, 2)), 2000, 0.1));
	/* With 3,000 there is CPU for one of two, and none for a pair. */
	assert_true(close_to(milli(place_worth_of(&w, 2, 3000, fill, 2000, 2)), price * 2000 * 0.5,
		0.1));
	assert_true(place_worth_of(&w, 2, 4000, 0, 0, 0) == 0);
	place_worth_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_fill),
		cmocka_unit_test(test_enough), cmocka_unit_test(test_price),
		cmocka_unit_test(test_whole)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
