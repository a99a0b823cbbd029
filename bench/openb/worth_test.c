/* What usually comes, and what a node is worth to it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "openb/openb_bench.h"
#include "openb/usable.h"
#include "openb/worth.h"

/* ---- usual shapes, what they can use ---- */

static void test_usuals(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t = bench_trace(SMALL_NODES,
		PODS_HEAD "p0,1,7,0,0,\np1,2,7,1,500,\np2,2,8,1,500,\np3,2,7,1,500,Y\n");
	struct openb_usuals u;
	openb_usuals_make(&t, 0.95, &u);
	assert_int_equal(u.items.count, 3);
	assert_true(u.items.items[0].share == 0.5); /* whatever their memory */
	assert_int_equal(u.items.items[0].shape.models, 0);
	openb_usuals_done(&u);
	openb_usuals_make(&t, 0.75, &u);
	assert_int_equal(u.items.count, 2);
	assert_true(u.items.items[1].share == 1.0 / 3);
	assert_int_equal(u.items.items[1].shape.cpu_milli, 2); /* of equals the larger */
	openb_usuals_done(&u);
}

static double usable(const struct openb_usable *u, int32_t cpu, int16_t first, int16_t second)
{
	return openb_usable_of(u, 0, cpu, (int16_t[OPENB_DEVICES_MAX]){first, second}, 2);
}

static void test_usable(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done) struct openb_trace t = bench_trace(SMALL_NODES, SMALL_PODS);
	struct openb_usuals usuals;
	openb_usuals_make(&t, OPENB_USUAL_COVER, &usuals);
	struct openb_usable *u = openb_usable_new(&usuals, t.models.count);
	assert_true(usable(u, 8000, 1000, 1000) == 0.5 * 2000 + 0.25 * 2000);
	assert_true(usable(u, 6000, 500, 1000) == 0.5 * 1500 + 0.25 * 1000);
	assert_true(usable(u, 3999, 500, 1000) == 0.5 * 1500); /* no CPU for a whole one */
	assert_true(usable(u, 1999, 1000, 1000) == 0);         /* a pod without GPUs uses none */
	assert_true(usable(u, 8000, 499, 0) == 0);
	openb_usable_free(u);
	openb_usuals_done(&usuals);
}

static void test_usable_of_several(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t =
		bench_trace(SMALL_NODES, PODS_HEAD "p0,1,1,2,1000,\np1,1,1,1,300,Y\n");
	struct openb_usuals usuals;
	openb_usuals_make(&t, OPENB_USUAL_COVER, &usuals);
	struct openb_usable *u = openb_usable_new(&usuals, t.models.count);
	const int16_t left[OPENB_DEVICES_MAX] = {1000, 299, 1000, 300, 1000};
	assert_true(openb_usable_of(u, 0, 1, left, 5) == 0.5 * 3000);
	assert_true(openb_usable_of(u, 1, 1, left, 5) == 0.5 * 3000 + 0.5 * 3300);
	assert_true(openb_usable_of(u, 1, 1, left, 2) == 0.5 * 1000);
	openb_usable_free(u);
	openb_usuals_done(&usuals);
}

/* ---- ours ---- */

static struct openb_worth *worth_of_pods(const char *pods, struct openb_trace *ret_trace)
{
	struct openb_usuals usuals;
	*ret_trace = bench_trace(SMALL_NODES, pods);
	openb_usuals_make(ret_trace, OPENB_USUAL_COVER, &usuals);
	struct openb_worth *w = openb_worth_new(&usuals, ret_trace);
	openb_usuals_done(&usuals);
	return w;
}

static bool close_to(double value, double expected)
{
	if (fabs(value - expected) < 1e-6)
		return true;
	print_error("%.9f instead of %.9f\n", value, expected);
	return false;
}

static void test_fill(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	struct openb_trace t;
	buf_append_string(&b, PODS_HEAD);
	bench_add_pods(&b, 15, "w,1,1,1,1000,");
	bench_add_pods(&b, 1, "h,1,1,1,500,");
	struct openb_worth *w = worth_of_pods(buf_text(&b), &t);
	/* That none of 32 offers is a half: (15/16)^32. */
	assert_true(close_to(openb_worth_fill(w, 500), 500 * (1 - pow(15.0 / 16, 32))));
	assert_true(close_to(openb_worth_fill(w, 999), 500 * (1 - pow(15.0 / 16, 32))));
	assert_true(close_to(openb_worth_fill(w, 499), 0));
	openb_worth_free(w);
	openb_trace_done(&t);
	w = worth_of_pods(PODS_HEAD "p,1,1,1,600,\nq,1,1,1,400,\nr,1,1,8,1000,\ns,1,1,0,0,\n", &t);
	/* 1,000: 600 and then 400, or 400 and then 600 or 400. */
	const double once = 1 - pow(0.5, 32);
	assert_true(close_to(openb_worth_fill(w, 400), 400 * once));
	assert_true(fabs(openb_worth_fill(w, 600) - 500) < 1e-3);
	assert_true(fabs(openb_worth_fill(w, 1000) - 950) < 1e-3);
	openb_worth_free(w);
	openb_trace_done(&t);
}

static void test_enough(void **state)
{
	(void)state;
	struct openb_trace t;
	struct openb_worth *w = worth_of_pods(PODS_HEAD "p,2000,1,1,1000,\nn,9000,1,0,0,\n", &t);
	assert_true(close_to(openb_worth_enough(w, 1000, 1000), 0));
	assert_true(close_to(openb_worth_enough(w, 1000, 1500), 0.5)); /* between 0 and 1 */
	assert_true(close_to(openb_worth_enough(w, 1000, 2000), 1));
	assert_true(close_to(openb_worth_enough(w, 2000, 2000), 0.5));
	assert_true(close_to(openb_worth_enough(w, 2000, 4000), 1));
	assert_true(close_to(openb_worth_enough(w, 8000, 2000000000), 1));
	/* A half of four GPUs, with its part of the CPU. */
	assert_true(close_to(openb_worth_enough(w, 4000, 4000), 0.5));
	openb_worth_free(w);
	openb_trace_done(&t);
	w = worth_of_pods(PODS_HEAD "p,2000,1,1,1000,\nq,4000,1,1,1000,\n", &t);
	/* Half of the pods fit; one that does not ends it with 0.1: 0.5 / 0.55. */
	assert_true(close_to(openb_worth_enough(w, 1000, 2000), 0.5 / 0.55));
	openb_worth_free(w);
	openb_trace_done(&t);
}

static void test_worth(void **state)
{
	(void)state;
	struct openb_trace t;
	const int16_t left[OPENB_DEVICES_MAX] = {1000, 1000};
	/* a, of model X, has 2 of 3 GPUs; b, of Y, has 1, and half of the load asks for it. */
	struct openb_worth *w = worth_of_pods(PODS_HEAD "p,2000,1,1,500,\nq,2000,1,1,500,Y\n", &t);
	assert_true(close_to(openb_worth_price(w, 0), 1));
	assert_true(close_to(openb_worth_price(w, 1), 1 + 2 * 0.5 / (1.0 / 3)));
	openb_worth_free(w);
	openb_trace_done(&t);
	w = worth_of_pods(PODS_HEAD "p,2000,1,1,1000,\nq,4000,1,2,1000,\n", &t);
	/* Both devices are filled, the CPU is enough, and the pair counts with 0.3 of its half of
	 * them. */
	assert_true(close_to(openb_worth_of(w, 0, 4000, left, 2), 2000 + 0.3 * 0.5 * 2000));
	/* With 3,000 there is CPU for one of two, and none for a pair. */
	assert_true(close_to(openb_worth_of(w, 0, 3000, left, 2), 2000 * 0.5));
	assert_true(close_to(openb_worth_of(w, 0, 4000, left, 0), 0));
	openb_worth_free(w);
	openb_trace_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usuals),
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_usable_of_several),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_enough),
		cmocka_unit_test(test_worth),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, bench_put_file, bench_drop_file);
}
