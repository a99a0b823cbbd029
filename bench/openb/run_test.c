/* Trace, arrivals, cluster, run: small enough to compute by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "openb/openb_bench.h"
#include "openb/published.h"
#include "openb/run.h"

static uint32_t seat_of(const struct openb_cluster *c, const char *name)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (str_equal(c->seats[i].node->name, name))
			return i;
	fail_msg("no node %s", name);
	return OPENB_NONE;
}

/* ---- trace ---- */

static void test_reading(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t =
		bench_trace(SMALL_NODES, "gpu_milli,gpu_spec,name,x,cpu_milli,memory_mib,num_gpu\n"
					 "500,X|Y,p0,,2000,10,1\n500,,p1,,2000,10,1\n1000,|Y,p2,,1,"
					 "2,8\n500,X|Y,p3,,2000,10,1\n");
	assert_int_equal(t.gpu_milli, 3000);
	assert_int_equal(t.nodes.count, 2);
	assert_string_equal(t.models.items[t.nodes.items[1].model], "Y");
	assert_int_equal(t.pods.count, 4);
	assert_int_equal(t.shapes.count, 3);
	assert_int_equal(t.pods.items[3].shape, 0);
	assert_int_equal(t.shapes.items[0].count, 2);
	assert_int_equal(t.shapes.items[0].models, 3);
	assert_int_equal(t.shapes.items[1].models, 0);
	assert_int_equal(t.shapes.items[2].models, 2);
	assert_int_equal(openb_shape_gpu_total(&t.shapes.items[2]), 8000);
}

static void refuse(bool nodes, const char *text, const char *sentence)
{
	CLEANUP(openb_trace_done) struct openb_trace t = OPENB_TRACE_INIT;
	struct err e = ERR_INIT;
	const char *path = bench_write(text);
	int status =
		nodes ? openb_trace_read_nodes(&t, path, &e) : openb_trace_read_pods(&t, path, &e);
	assert_int_equal(status, -ERR_DECODE);
	assert_true(str_starts(e.text, bench_file));
	assert_string_equal(e.text + strlen(bench_file), sentence);
}

static void test_bad_lines(void **state)
{
	(void)state;
	refuse(true, "", ": is empty; a header is needed");
	refuse(true, "sn,gpu\na,1\n", ": has no column cpu_milli");
	refuse(true, NODES_HEAD "a,1,1,1,X\n\nb,1,1\n", ":4: 3 columns where the header has 5");
	refuse(true, NODES_HEAD "a,1,1,9,X\n", ":2: gpu is 9; 0 to 8 are possible");
	refuse(true, NODES_HEAD "a,1,1,1,\n", ":2: no model is given for the GPUs of \"a\"");
	refuse(true, NODES_HEAD ",1,1,1,X\n", ":2: sn is empty");
	refuse(false, PODS_HEAD "p,1,1,2,500,\n",
		":2: a pod with several GPUs takes whole ones (gpu_milli 1000), not so \"p\"");
	refuse(false, PODS_HEAD "p,1,1,1,0,\n",
		":2: num_gpu and gpu_milli contradict each other in \"p\"");
	refuse(false, PODS_HEAD "p,-1,1,1,1,\n",
		":2: cpu_milli is -1; 0 to 1000000000 are possible");
	struct err e = ERR_INIT;
	CLEANUP(openb_trace_done) struct openb_trace t = OPENB_TRACE_INIT;
	assert_int_equal(openb_trace_read_pods(&t, bench_write(PODS_HEAD "p,1,1,1x,1,\n"), &e),
		-ERR_DECODE);
	assert_non_null(strstr(e.text, ":2: num_gpu"));
	assert_int_equal(openb_trace_read_pods(&t, "/nonexistent/pods", &e), -ERR_NOT_FOUND);
}

/* ---- arrivals ---- */

static void test_arrivals(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done) struct openb_trace t = bench_trace(SMALL_NODES, SMALL_PODS);
	struct openb_arrivals a, b;
	struct err e = ERR_INIT;
	bool differs = false;
	for (uint64_t seed = 0; seed < 50; seed++) {
		uint32_t of_shape[3] = {0};
		assert_int_equal(openb_arrivals_make(&t, seed, 1.3, &a, &e), 0);
		for (size_t i = 0; i < 4; i++)
			of_shape[a.shapes.items[i]]++;
		assert_int_equal(of_shape[HALF], 2);
		assert_int_equal(of_shape[WHOLE], 1);
		/* Of 3,900 that may be asked for, no draw of up to 1,000 fits any more. */
		assert_in_range(a.gpu_milli, 2901, 3900);
		assert_int_equal(openb_arrivals_make(&t, seed, 1.3, &b, &e), 0);
		assert_int_equal(a.shapes.count, b.shapes.count);
		assert_memory_equal(a.shapes.items, b.shapes.items,
			a.shapes.count * sizeof(uint32_t));
		differs = differs || a.shapes.items[0] != HALF;
		openb_arrivals_done(&b);
		openb_arrivals_done(&a);
		assert_int_equal(openb_arrivals_make(&t, seed, 0.5, &a, &e), 0);
		assert_in_range(a.gpu_milli, 0, 1500);
		assert_in_range(a.shapes.count, 0, 3);
		openb_arrivals_done(&a);
	}
	assert_true(differs);
}

static void test_stop_counts_one_gpu(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t =
		bench_trace(NODES_HEAD "a,8,8,8,X\nb,8,8,8,X\n", PODS_HEAD "p,1,1,8,1000,\n");
	struct openb_arrivals a;
	struct err e = ERR_INIT;
	/* 1.3 of 16,000 is 20,800: 16,000 and 1,000 are below it, so that a third pod comes. */
	assert_int_equal(openb_arrivals_make(&t, 42, 1.3, &a, &e), 0);
	assert_int_equal(a.gpu_milli, 24000);
	openb_arrivals_done(&a);
	openb_trace_clear_pods(&t);
	assert_int_equal(openb_trace_read_pods(&t, bench_write(PODS_HEAD "p,1,1,0,0,\n"), &e), 0);
	assert_int_equal(openb_arrivals_make(&t, 42, 1.3, &a, &e), -ERR_INVALID);
}

/* ---- cluster ---- */

static void test_cluster(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t = bench_trace(SMALL_NODES,
		PODS_HEAD "p0,8000,10,1,600,\np1,0,1001,0,0,\np2,0,1,1,500,Y\np3,0,1,2,1000,\n");
	CLEANUP(openb_cluster_done) struct openb_cluster c;
	openb_cluster_init(&c, &t, 1);
	uint32_t a = seat_of(&c, "a"), b = seat_of(&c, "b");
	const struct openb_shape *s = t.shapes.items;
	struct openb_seat before = c.seats[a];
	assert_true(openb_seat_fits(&c.seats[a], &s[0]));
	assert_false(openb_seat_fits(&c.seats[b], &s[0])); /* CPU */
	assert_false(openb_seat_fits(&c.seats[a], &s[1])); /* memory */
	assert_false(openb_seat_fits(&c.seats[a], &s[2])); /* model */
	assert_true(openb_seat_fits(&c.seats[b], &s[2]));
	assert_true(openb_seat_fits(&c.seats[a], &s[3]));
	assert_false(openb_seat_fits(&c.seats[b], &s[3])); /* devices */
	uint32_t version = c.versions[a];
	struct openb_choice at = {.seat = a, .devices = 2};
	openb_cluster_place(&c, &s[0], at);
	assert_int_equal(c.gpu_used, 600);
	assert_int_equal(c.seats[a].gpu_left[1], 400);
	assert_int_equal(c.seats[a].gpu_left_total, 1400);
	assert_int_equal(openb_seat_whole_free(&c.seats[a]), 1);
	assert_false(openb_seat_fits(&c.seats[a], &s[3]));
	assert_true(c.versions[a] != version);
	openb_cluster_undo(&c, &s[0], at);
	assert_memory_equal(&c.seats[a], &before, sizeof(before));
	assert_int_equal(c.gpu_used, 0);
}

/* ---- run ---- */

static double no_time(void)
{
	return 0;
}

static void test_run(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t =
		bench_trace(NODES_HEAD "a,8,8,8,X\nb,8,8,8,X\n", PODS_HEAD "p,4,2,8,1000,\n");
	struct openb_arrivals a;
	struct openb_result r;
	struct err e = ERR_INIT;
	assert_int_equal(openb_arrivals_make(&t, 42, 1.3, &a, &e), 0);
	openb_run(&t, &openb_policy_fgd, &a, 42, no_time, &r);
	openb_arrivals_done(&a);
	assert_int_equal(r.arrived, 3);
	assert_int_equal(r.dropped, 1);
	assert_true(r.allocated_100 == 100);
	assert_true(r.allocated_130 == 100);
	assert_true(r.cpu_percent == 50);
	assert_true(r.memory_percent == 25);
}

static void test_published(void **state)
{
	(void)state;
	const struct openb_published *p = openb_published_find("gpuspec33");
	assert_int_equal(openb_published_count, 17);
	assert_true(p->of[0].at_100 == 83.87);
	assert_true(p->of[OPENB_PUBLISHED_POLICIES - 1].at_130 == 94.55);
	assert_string_equal(openb_policies[OPENB_PUBLISHED_POLICIES - 1]->name, "fgd");
	assert_null(openb_published_find("other"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_arrivals),
		cmocka_unit_test(test_stop_counts_one_gpu),
		cmocka_unit_test(test_cluster),
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_published),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, bench_put_file, bench_drop_file);
}
