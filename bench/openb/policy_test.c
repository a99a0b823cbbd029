/* The policies, on fleets and workloads small enough to compute by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/str.h"
#include "openb/openb_bench.h"
#include "openb/policy.h"

static uint32_t seat_of(const struct openb_cluster *c, const char *name)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (str_equal(c->seats[i].node->name, name))
			return i;
	fail_msg("no node %s", name);
	return OPENB_NONE;
}

struct bench {
	struct openb_trace trace;
	struct openb_cluster cluster;
	const struct openb_policy *policy;
	void *state;
};

static void begin(struct bench *b, const struct openb_policy *p, uint64_t seed)
{
	b->trace = bench_trace(SMALL_NODES, SMALL_PODS);
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

static void test_fgd_steps(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	buf_append_string(&b, PODS_HEAD);
	bench_add_pods(&b, 60, "h,1000,1,1,500,");
	bench_add_pods(&b, 31, "n,1000,1,0,0,");
	bench_add_pods(&b, 3, "r1,1000,1,1,1000,");
	bench_add_pods(&b, 3, "r2,2000,1,1,1000,");
	bench_add_pods(&b, 3, "r3,4000,1,1,1000,");
	CLEANUP(openb_trace_done)
	struct openb_trace t =
		bench_trace(NODES_HEAD "x,8000,10,1,X\ny,3500,10,1,X\n", buf_text(&b));
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
	struct openb_trace t = bench_trace(NODES_HEAD "a,128000,10,8,X\nb,64000,10,8,X\n",
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

/* No policy refuses what fits, and what it keeps of past scores never shows. The engine keeps its
 * own account of what was placed. */
static void check_policy(const struct openb_policy *p, uint64_t seed)
{
	struct bench b;
	struct rand r;
	bool accounts = p == &openb_policy_engine || p == &openb_policy_told;
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
		openb_cluster_place(&b.cluster, s, at);
		if (accounts)
			continue;
		openb_cluster_undo(&b.cluster, s, at);
		void *other = p->start(&(struct openb_setting){
			.trace = &b.trace, .cluster = &b.cluster, .seed = seed});
		assert_true(p->choose(other, &b.cluster, shape, &fresh));
		p->end(other);
		assert_true(p == &openb_policy_random ||
			    (at.seat == fresh.seat && at.devices == fresh.devices));
		if (rand_below(&r, 4))
			openb_cluster_place(&b.cluster, s, at);
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

/* ---- the engine ---- */

/* Where the first pod of a shape goes, whatever the order of the nodes. */
static void expect_told(const char *nodes, const char *pods, uint32_t shape, const char *node)
{
	CLEANUP(openb_trace_done) struct openb_trace t = bench_trace(nodes, pods);
	for (uint64_t seed = 0; seed < 20; seed++) {
		CLEANUP(openb_cluster_done) struct openb_cluster c;
		struct openb_choice at;
		openb_cluster_init(&c, &t, seed);
		void *s = openb_policy_told.start(&(struct openb_setting){
			.trace = &t, .cluster = &c});
		assert_true(openb_policy_told.choose(s, &c, shape, &at));
		assert_string_equal(c.seats[at.seat].node->name, node);
		openb_policy_told.end(s);
	}
}

static void test_told(void **state)
{
	(void)state;
	/* Away from the model that others ask for by name. */
	expect_told(NODES_HEAD "x,9000,9,1,X\ny,9000,9,1,Y\n",
		PODS_HEAD "p,1,1,1,500,\nq,1,1,1,500,Y\n", 0, "x");
	/* Where there is more CPU than the GPUs there will need. */
	expect_told(NODES_HEAD "x,4000,9,1,X\ny,20000,9,1,X\n",
		PODS_HEAD "p,4000,1,0,0,\nq,4000,1,1,1000,\n", 0, "y");
	/* Not where a pair would find two whole ones. */
	expect_told(NODES_HEAD "x,9000,9,2,X\ny,9000,9,1,X\n",
		PODS_HEAD "p,1,1,1,1000,\nq,1,1,2,1000,\n", 0, "y");
}

/* It is the fuller one by its CPU; only what usually comes speaks for it. */
static void test_engine_learns(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t =
		bench_trace(NODES_HEAD "x,90000,90,8,X\nw,90000,90,8,X\ny,8000,90,1,X\n",
			PODS_HEAD "p,1000,1,1,1000,\nq,1,1,2,1000,\nr,1,1,2,1000,\n");
	for (uint64_t seed = 0; seed < 20; seed++) {
		CLEANUP(openb_cluster_done) struct openb_cluster c;
		openb_cluster_init(&c, &t, seed);
		void *s = openb_policy_engine.start(&(struct openb_setting){
			.trace = &t, .cluster = &c, .seed = seed});
		struct openb_choice at;
		for (int i = 0; i < 4; i++)
			assert_true(openb_policy_engine.choose(s, &c, 1, &at));
		assert_true(openb_policy_engine.choose(s, &c, 0, &at));
		assert_int_equal(at.seat, seat_of(&c, "y"));
		openb_policy_engine.end(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fgd),
		cmocka_unit_test(test_fgd_devices),
		cmocka_unit_test(test_fgd_steps),
		cmocka_unit_test(test_simple_scores),
		cmocka_unit_test(test_dotprod),
		cmocka_unit_test(test_all_policies),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_engine_learns),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, bench_put_file, bench_drop_file);
}
