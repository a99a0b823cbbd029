/* The parts of the GPU-sharing bench, on fleets and workloads small enough to compute by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "openb/published.h"
#include "openb/run.h"
#include "openb/usable.h"

#define NODES_HEAD "sn,cpu_milli,memory_mib,gpu,model\n"
#define PODS_HEAD "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"

/* Shares: half of the GPU, a whole one, none. */
static const char small_nodes[] = NODES_HEAD "a,8000,1000,2,X\nb,4000,1000,1,Y\n";
static const char small_pods[] = PODS_HEAD "p1,2000,10,1,500,\n"
					   "p0,2000,10,1,500,\r\n"
					   "p2,4000,10,1,1000,\n"
					   "p3,1000,10,0,0,\n";
enum { HALF, WHOLE, NONE }; /* shapes of small_pods */

static char file_name[] = "/tmp/openb-test-XXXXXX";

static int put_file(void **state)
{
	(void)state;
	int fd = mkstemp(file_name);
	return fd < 0 ? -1 : close(fd);
}

static int drop_file(void **state)
{
	(void)state;
	return unlink(file_name);
}

static const char *write_text(const char *text)
{
	FILE *f = fopen(file_name, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	return file_name;
}

static struct openb_trace read_trace(const char *nodes, const char *pods)
{
	struct openb_trace t = OPENB_TRACE_INIT;
	struct err e = ERR_INIT;
	if (openb_trace_read_nodes(&t, write_text(nodes), &e) ||
		openb_trace_read_pods(&t, write_text(pods), &e))
		fail_msg("%s", e.text);
	return t;
}

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
		read_trace(small_nodes, "gpu_milli,gpu_spec,name,x,cpu_milli,memory_mib,num_gpu\n"
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
	const char *path = write_text(text);
	int status =
		nodes ? openb_trace_read_nodes(&t, path, &e) : openb_trace_read_pods(&t, path, &e);
	assert_int_equal(status, -ERR_DECODE);
	assert_true(str_starts(e.text, file_name));
	assert_string_equal(e.text + strlen(file_name), sentence);
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
	assert_int_equal(openb_trace_read_pods(&t, write_text(PODS_HEAD "p,1,1,1x,1,\n"), &e),
		-ERR_DECODE);
	assert_non_null(strstr(e.text, ":2: num_gpu"));
	assert_int_equal(openb_trace_read_pods(&t, "/nonexistent/pods", &e), -ERR_NOT_FOUND);
}

/* ---- arrivals ---- */

static void test_arrivals(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done) struct openb_trace t = read_trace(small_nodes, small_pods);
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
		read_trace(NODES_HEAD "a,8,8,8,X\nb,8,8,8,X\n", PODS_HEAD "p,1,1,8,1000,\n");
	struct openb_arrivals a;
	struct err e = ERR_INIT;
	/* 1.3 of 16,000 is 20,800: 16,000 and 1,000 are below it, so that a third pod comes. */
	assert_int_equal(openb_arrivals_make(&t, 42, 1.3, &a, &e), 0);
	assert_int_equal(a.gpu_milli, 24000);
	openb_arrivals_done(&a);
	openb_trace_clear_pods(&t);
	assert_int_equal(openb_trace_read_pods(&t, write_text(PODS_HEAD "p,1,1,0,0,\n"), &e), 0);
	assert_int_equal(openb_arrivals_make(&t, 42, 1.3, &a, &e), -ERR_INVALID);
}

/* ---- cluster ---- */

static void test_cluster(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t = read_trace(small_nodes,
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

/* ---- FGD ---- */

static void test_usuals(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t = read_trace(small_nodes,
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
	CLEANUP(openb_trace_done) struct openb_trace t = read_trace(small_nodes, small_pods);
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
		read_trace(small_nodes, PODS_HEAD "p0,1,1,2,1000,\np1,1,1,1,300,Y\n");
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

struct bench {
	struct openb_trace trace;
	struct openb_cluster cluster;
	const struct openb_policy *policy;
	void *state;
};

static void begin(struct bench *b, const struct openb_policy *p, uint64_t seed)
{
	b->trace = read_trace(small_nodes, small_pods);
	openb_cluster_init(&b->cluster, &b->trace, seed);
	b->policy = p;
	b->state = p->start(&(struct openb_setting){
		.trace = &b->trace, .cluster = &b->cluster, .seed = seed});
}

static void finish(struct bench *b)
{
	b->policy->end(b->state);
	openb_cluster_done(&b->cluster);
	openb_trace_done(&b->trace);
}

static void expect(struct bench *b, uint32_t shape, const char *node, uint8_t devices)
{
	struct openb_choice at;
	assert_true(b->policy->choose(b->state, &b->cluster, shape, &at));
	assert_string_equal(b->cluster.seats[at.seat].node->name, node);
	assert_int_equal(at.devices, devices);
	openb_cluster_place(&b->cluster, &b->trace.shapes.items[shape], at);
}

static void test_fgd(void **state)
{
	(void)state;
	bool first_a = false, first_b = false;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct bench b;
		begin(&b, &openb_policy_fgd, seed);
		/* A half loses 500 of use on either node and takes 500: a tie at 50, so that the
		 * order of the nodes decides. */
		struct openb_choice at;
		assert_true(openb_policy_fgd.choose(b.state, &b.cluster, HALF, &at));
		assert_int_equal(at.seat, 0);
		first_a = first_a || seat_of(&b.cluster, "a") == 0;
		first_b = first_b || seat_of(&b.cluster, "b") == 0;
		/* Without GPUs: on a nothing is lost (50), on b the CPU of a whole one (43). */
		expect(&b, NONE, "a", 0);
		/* On a: 7,000 and [1000, 1000], worth 1,500. A half there leaves 5,000 and worth
		 * 1,000; on b worth 250 of 750 remains: a tie. Put it on a. */
		openb_cluster_place(&b.cluster, &b.trace.shapes.items[HALF],
			(struct openb_choice){.seat = seat_of(&b.cluster, "a"), .devices = 2});
		/* a has 5,000 and [1000, 500]: the next half on the used device leaves 3,000 and
		 * [1000, 0], worth 500 of 1,000: lost 500 (50). On the free one [500, 500]: lost
		 * 500 as well (50), and it is the first. b: lost 500 (50). */
		assert_true(openb_policy_fgd.choose(b.state, &b.cluster, HALF, &at));
		assert_int_equal(at.seat, 0);
		assert_int_equal(at.devices, 1);
		finish(&b);
	}
	assert_true(first_a && first_b);
}

static void test_fgd_devices(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct bench b;
		begin(&b, &openb_policy_fgd, seed);
		openb_cluster_place(&b.cluster, &b.trace.shapes.items[HALF],
			(struct openb_choice){.seat = seat_of(&b.cluster, "a"), .devices = 2});
		/* a has 6,000 and [1000, 500]: on the used device 4,000 and [1000, 0] remain, worth
		 * 750 of 1,000: 56. On the free one 500 remain: 50. b: 50. */
		expect(&b, HALF, "a", 2);
		/* a whole one: a loses 750 and takes 1,000 (56), b the same: the first node. */
		struct openb_choice at;
		assert_true(openb_policy_fgd.choose(b.state, &b.cluster, WHOLE, &at));
		assert_int_equal(at.seat, 0);
		finish(&b);
	}
}

static void add_pods(struct buf *b, int count, const char *rest)
{
	for (int i = 0; i < count; i++)
		buf_printf(b, "%s\n", rest);
}

static void test_fgd_steps(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	buf_append_string(&b, PODS_HEAD);
	add_pods(&b, 60, "h,1000,1,1,500,");
	add_pods(&b, 31, "n,1000,1,0,0,");
	add_pods(&b, 3, "r1,1000,1,1,1000,");
	add_pods(&b, 3, "r2,2000,1,1,1000,");
	add_pods(&b, 3, "r3,4000,1,1,1000,");
	CLEANUP(openb_trace_done)
	struct openb_trace t =
		read_trace(NODES_HEAD "x,8000,10,1,X\ny,3500,10,1,X\n", buf_text(&b));
	/* All but r1 are usual: 60, 31, 3 and 3 of 97. A half loses 309 + 62 on x and, where r3 has
	 * no CPU anyway, 309 + 31 on y: both are 53, and the first is taken. */
	for (uint64_t seed = 0; seed < 20; seed++) {
		CLEANUP(openb_cluster_done) struct openb_cluster c;
		struct openb_choice at;
		openb_cluster_init(&c, &t, seed);
		void *s =
			openb_policy_fgd.start(&(struct openb_setting){.trace = &t, .cluster = &c});
		assert_true(openb_policy_fgd.choose(s, &c, 0, &at));
		assert_int_equal(at.seat, 0);
		openb_policy_fgd.end(s);
	}
}

/* ---- the others ---- */

static void test_simple_scores(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct bench b;
		begin(&b, &openb_policy_bestfit, seed);
		expect(&b, WHOLE, "b", 1); /* (0 + 0) left over against (4,000 + 1,000) */
		expect(&b, HALF, "a", 1);
		expect(&b, HALF, "a", 1);
		finish(&b);
		begin(&b, &openb_policy_packing, seed);
		expect(&b, HALF, "b", 1); /* free nodes: 33 - 1 against 33 - 2 */
		expect(&b, HALF, "b", 1); /* on a used device: 95 */
		expect(&b, HALF, "a", 1);
		finish(&b);
		begin(&b, &openb_policy_clustering, seed);
		expect(&b, HALF, "b", 1);  /* free nodes: 21 + 25 against 18 + 25 */
		expect(&b, HALF, "b", 1);  /* only its own kind: 23 + 75 */
		expect(&b, WHOLE, "a", 1); /* the only one with a free GPU */
		expect(&b, HALF, "a", 2);
		finish(&b);
	}
}

static void test_dotprod(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t = read_trace(NODES_HEAD "a,128000,10,8,X\nb,64000,10,8,X\n",
		PODS_HEAD "p,64000,1,4,1000,\n");
	for (uint64_t seed = 0; seed < 20; seed++) {
		CLEANUP(openb_cluster_done) struct openb_cluster c;
		struct openb_choice at;
		openb_cluster_init(&c, &t, seed);
		void *s = openb_policy_dotprod.start(&(struct openb_setting){
			.trace = &t, .cluster = &c});
		/* a: 1 - (0.5 + 0.5) / 2 = 50 %; b: 1 - (0.25 + 0.5) / 2 = 62 % */
		assert_true(openb_policy_dotprod.choose(s, &c, 0, &at));
		assert_int_equal(at.seat, seat_of(&c, "b"));
		openb_policy_dotprod.end(s);
	}
}

/* No policy refuses what fits, and what it keeps of past scores never shows. */
static void check_policy(const struct openb_policy *p, uint64_t seed)
{
	struct bench b;
	struct rand r;
	rand_init(&r, seed);
	begin(&b, p, seed);
	for (int i = 0; i < 12; i++) {
		uint32_t shape = (uint32_t)rand_below(&r, b.trace.shapes.count);
		const struct openb_shape *s = &b.trace.shapes.items[shape];
		struct openb_choice at, fresh;
		bool fits = false;
		for (size_t n = 0; n < b.cluster.count; n++)
			fits = fits || openb_seat_fits(&b.cluster.seats[n], s);
		assert_int_equal(p->choose(b.state, &b.cluster, shape, &at), fits);
		if (!fits)
			continue;
		void *other = p->start(&(struct openb_setting){
			.trace = &b.trace, .cluster = &b.cluster, .seed = seed});
		assert_true(p->choose(other, &b.cluster, shape, &fresh));
		p->end(other);
		assert_true(p == &openb_policy_random ||
			    (at.seat == fresh.seat && at.devices == fresh.devices));
		openb_cluster_place(&b.cluster, s, at);
		if (rand_below(&r, 4) == 0)
			openb_cluster_undo(&b.cluster, s, at);
	}
	finish(&b);
}

static void test_all_policies(void **state)
{
	(void)state;
	for (const struct openb_policy *const *p = openb_policies; *p; p++) {
		assert_ptr_equal(openb_policy_find((*p)->name), *p);
		for (uint64_t seed = 0; seed < 50; seed++)
			check_policy(*p, seed);
	}
	assert_null(openb_policy_find("none"));
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
		read_trace(NODES_HEAD "a,8,8,8,X\nb,8,8,8,X\n", PODS_HEAD "p,4,2,8,1000,\n");
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
		cmocka_unit_test(test_usuals),
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_usable_of_several),
		cmocka_unit_test(test_fgd),
		cmocka_unit_test(test_fgd_devices),
		cmocka_unit_test(test_fgd_steps),
		cmocka_unit_test(test_simple_scores),
		cmocka_unit_test(test_dotprod),
		cmocka_unit_test(test_all_policies),
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_published),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, put_file, drop_file);
}
