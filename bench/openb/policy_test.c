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

static bool draws(const struct openb_policy *p)
{
	return p == &openb_policy_random || p == &openb_policy_outlook ||
	       p == &openb_policy_learner;
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
		assert_true(draws(p) || (at.seat == fresh.seat && at.devices == fresh.devices));
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

/* ---- ours ---- */

/* Where the first pod of a shape goes, whatever the order of the nodes. */
static void expect_outlook(const char *nodes, const char *pods, uint32_t shape, const char *node)
{
	CLEANUP(openb_trace_done) struct openb_trace t = bench_trace(nodes, pods);
	for (uint64_t seed = 0; seed < 20; seed++) {
		CLEANUP(openb_cluster_done) struct openb_cluster c;
		struct openb_choice at;
		openb_cluster_init(&c, &t, seed);
		void *s = openb_policy_outlook.start(&(struct openb_setting){
			.trace = &t, .cluster = &c});
		assert_true(openb_policy_outlook.choose(s, &c, shape, &at));
		assert_string_equal(c.seats[at.seat].node->name, node);
		openb_policy_outlook.end(s);
	}
}

static void test_outlook(void **state)
{
	(void)state;
	/* Away from the model that others ask for by name. */
	expect_outlook(NODES_HEAD "x,9000,9,1,X\ny,9000,9,1,Y\n",
		PODS_HEAD "p,1,1,1,500,\nq,1,1,1,500,Y\n", 0, "x");
	/* Where there is more CPU than the GPUs there will need. */
	expect_outlook(NODES_HEAD "x,4000,9,1,X\ny,20000,9,1,X\n",
		PODS_HEAD "p,4000,1,0,0,\nq,4000,1,1,1000,\n", 0, "y");
	/* Not where a pair would find two whole ones. */
	expect_outlook(NODES_HEAD "x,9000,9,2,X\ny,9000,9,1,X\n",
		PODS_HEAD "p,1,1,1,1000,\nq,1,1,2,1000,\n", 0, "y");
}

/* How often each of the nodes x and y is drawn in 100 decisions on the first pod. */
static void draw(const struct openb_trace *t, uint32_t shape, int ret_drawn[static 2])
{
	CLEANUP(openb_cluster_done) struct openb_cluster c;
	struct openb_choice at;
	openb_cluster_init(&c, t, 7);
	void *s = openb_policy_outlook.start(&(struct openb_setting){
		.trace = t, .cluster = &c, .seed = 7});
	ret_drawn[0] = ret_drawn[1] = 0;
	for (int i = 0; i < 100; i++) {
		assert_true(openb_policy_outlook.choose(s, &c, shape, &at));
		ret_drawn[0] += at.seat == seat_of(&c, "x");
		ret_drawn[1] += at.seat == seat_of(&c, "y");
	}
	openb_policy_outlook.end(s);
}

static void test_outlook_draws(void **state)
{
	(void)state;
	int drawn[2], again[2];
	CLEANUP(openb_trace_done)
	struct openb_trace t = bench_trace(NODES_HEAD "x,9000,9,1,X\nz,1,9,1,X\ny,9000,9,1,X\n",
		PODS_HEAD "p,2,1,1,500,\n");
	draw(&t, 0, drawn);
	assert_int_equal(drawn[0] + drawn[1], 100);
	assert_true(drawn[0] && drawn[1]);
	draw(&t, 0, again);
	assert_memory_equal(drawn, again, sizeof(drawn));
	/* The CPU for 0.9 and for 0.903 of the GPU is lost: the same step of 0.01. */
	openb_trace_done(&t);
	t = bench_trace(NODES_HEAD "x,6900,9,1,X\ny,6903,9,1,X\n",
		PODS_HEAD "p,6500,1,1,1000,\nn,1000,1,0,0,\n");
	draw(&t, 1, drawn);
	assert_true(drawn[0] && drawn[1]);
	/* 0.9 and 0.92: two steps. */
	openb_trace_done(&t);
	t = bench_trace(NODES_HEAD "x,6900,9,1,X\ny,6920,9,1,X\n",
		PODS_HEAD "p,6500,1,1,1000,\nn,1000,1,0,0,\n");
	draw(&t, 1, drawn);
	assert_int_equal(drawn[0], 100);
}

static void test_learner(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t = bench_trace(NODES_HEAD "x,9000,9,2,X\ny,9000,9,1,X\n",
		PODS_HEAD "p,1,1,1,1000,\nq,1,1,2,1000,\nr,1,1,2,1000,\ns,1,1,2,1000,\n");
	CLEANUP(openb_cluster_done) struct openb_cluster c;
	struct openb_choice at;
	openb_cluster_init(&c, &t, 1);
	const struct openb_setting setting = {.trace = &t, .cluster = &c};
	int to_x = 0;
	for (uint64_t seed = 0; seed < 20; seed++) {
		void *s = openb_policy_learner.start(&(struct openb_setting){
			.trace = &t, .cluster = &c, .seed = seed});
		assert_true(openb_policy_learner.choose(s, &c, 0, &at));
		to_x += at.seat == seat_of(&c, "x"); /* it knows of no pairs yet */
		assert_true(openb_policy_learner.choose(s, &c, 1, &at));
		for (int i = 0; i < 2; i++)
			assert_true(openb_policy_learner.choose(s, &c, 1, &at));
		/* Four came, three of them pairs. */
		assert_true(openb_policy_learner.choose(s, &c, 0, &at));
		assert_int_equal(at.seat, seat_of(&c, "y"));
		openb_policy_learner.end(s);
	}
	assert_true(to_x > 0 && to_x < 20);
	openb_policy_learner.end(openb_policy_learner.start(&setting));
}

static void test_outlook_devices(void **state)
{
	(void)state;
	CLEANUP(openb_trace_done)
	struct openb_trace t =
		bench_trace(NODES_HEAD "x,9000,9,3,X\n", PODS_HEAD "p,1,1,1,600,\nq,1,1,1,400,\n");
	CLEANUP(openb_cluster_done) struct openb_cluster c;
	struct openb_choice at;
	openb_cluster_init(&c, &t, 1);
	openb_cluster_place(&c, &t.shapes.items[0], (struct openb_choice){.devices = 2});
	void *s = openb_policy_outlook.start(&(struct openb_setting){.trace = &t, .cluster = &c});
	/* 400 of 400 against 950 - 500. */
	assert_true(openb_policy_outlook.choose(s, &c, 1, &at));
	assert_int_equal(at.devices, 2);
	/* The first of those that are as good. */
	assert_true(openb_policy_outlook.choose(s, &c, 0, &at));
	assert_int_equal(at.devices, 1);
	openb_policy_outlook.end(s);
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
		cmocka_unit_test(test_outlook),
		cmocka_unit_test(test_outlook_draws),
		cmocka_unit_test(test_outlook_devices),
		cmocka_unit_test(test_learner),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, bench_put_file, bench_drop_file);
}
