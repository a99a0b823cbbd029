/* What usually comes, and what it can use of a node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "openb/openb_bench.h"
#include "openb/usable.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usuals),
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_usable_of_several),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, bench_put_file, bench_drop_file);
}
