/*
 * The modes of the placement engine on a large fleet, one thread.
 *
 * bench-place-modes rebalance NODES PODS: pods were placed one by one on four fifths of the nodes,
 * a sixth of them went again, then the other nodes joined: which 500 moves are worth most? Then the
 * same with LONG node evaluations (0: not at all), in which other plans are tried, and what the
 * best 500 single moves gain in sum as things are at the start: no bound, but near one, as moves
 * mostly take from each other. FRESH=0: no other nodes join. CONSOLIDATE=1: balance has weight -1.
 *
 * bench-place-modes preempt NODES: nodes are full of pods of priorities 0 to 2; PODS (1,000) pods
 * of priority 10, which ask for more than any node has left.
 *
 * bench-place-modes gangs NODES: 1,000 gangs of eight pods of two kinds on a fleet that is 70 %
 * full, and as many of which the last pod finds no node.
 *
 * Half of the pods ask for a label that a tenth of the nodes has, a fifth are spread over zones, a
 * fifth keep apart from their own kind. SEED changes the numbers. Prints "name value" lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rand.h"
#include "place/tables.h"

#define SHAPES 256
#define ZONES 6
#define LABELS 10

struct bench {
	struct place *p;
	struct rand rand;
	uint32_t shapes[SHAPES];
	int64_t weights[PLACE_TERM_COUNT];
	VEC(uint32_t) pods;
	int64_t cpu_total, cpu_taken;
	int64_t cpu[SHAPES];
};

static int64_t number(const char *name, int64_t usual)
{
	const char *text = getenv(name);
	return text ? atoll(text) : usual;
}

/* Processor time: the machine has other things to do. */
static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int r, const struct err *e)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench-place-modes: %s\n", e->text);
	exit(1);
}

static void add_node(struct bench *b, uint32_t i)
{
	static const int64_t cores[] = {16, 32, 64}, gibs[] = {64, 128, 512};
	char name[16], zone[16], label[16];
	struct err e = ERR_INIT;
	uint64_t size = rand_below(&b->rand, 3);
	snprintf(name, sizeof(name), "node-%u", i);
	snprintf(zone, sizeof(zone), "zone-%u", i % ZONES);
	snprintf(label, sizeof(label), "label-%u", i * 7 % LABELS);
	struct place_label labels[] = {{"kubernetes.io/hostname", name},
		{"topology.kubernetes.io/zone", zone}, {"pool", label}};
	struct place_amount capacity[] = {{"cpu", cores[size] * 1000, false},
		{"memory", gibs[size] << 30, false}, {"pods", 110, false}};
	struct place_node n = {.name = name,
		.capacity = capacity,
		.capacity_count = 3,
		.labels = labels,
		.label_count = 3};
	uint32_t node;
	must(place_node_set(b->p, &n, &node, &e), &e);
	b->cpu_total += cores[size] * 1000;
}

static void add_shapes(struct bench *b)
{
	for (uint32_t i = 0; i < SHAPES; i++) {
		struct err e = ERR_INIT;
		char app[16], label[16];
		snprintf(app, sizeof(app), "app-%u", i);
		snprintf(label, sizeof(label), "label-%u", i % LABELS);
		const char *own = app;
		struct place_label labels[] = {{"app", app}}, pool[] = {{"pool", label}};
		b->cpu[i] = rand_between(&b->rand, 1, 40) * 100;
		struct place_amount requests[] = {{"cpu", b->cpu[i], false},
			{"memory", rand_between(&b->rand, 1, 64) << 27, false}};
		struct place_requirement alike = {"app", PLACE_IN, &own, 1, false};
		struct place_spread spread = {.topology_key = "topology.kubernetes.io/zone",
			.max_skew = 1,
			.required = true,
			.selector = {&alike, 1}};
		struct place_pod_term apart = {.required = true,
			.anti = true,
			.topology_key = "kubernetes.io/hostname",
			.selector = {&alike, 1}};
		struct place_spec s = {.namespace = "bench",
			.labels = labels,
			.label_count = 1,
			.requests = requests,
			.request_count = 2,
			.node_selector = pool,
			.node_selector_count = i % 2 == 0,
			.spreads = &spread,
			.spread_count = i % 5 == 0,
			.pod_terms = &apart,
			.pod_term_count = i % 5 == 1};
		must(place_shape(b->p, &s, &b->shapes[i], &e), &e);
	}
}

static bool arrive(struct bench *b, int priority)
{
	struct err e = ERR_INIT;
	struct place_choice c;
	uint32_t pod, shape = (uint32_t)rand_below(&b->rand, SHAPES);
	place_choose(b->p,
		&(struct place_question){
			b->shapes[shape], PLACE_NONE, b->weights, false, false, NULL},
		&c);
	if (c.node == PLACE_NONE)
		return false;
	must(place_pod_put(b->p, b->shapes[shape], c.node, priority, &pod, &e), &e);
	vec_push(&b->pods, pod);
	b->cpu_taken += b->cpu[shape];
	return true;
}

static void begin(struct bench *b, uint32_t nodes)
{
	struct place_weights usual = place_weights_default();
	b->p = place_new();
	rand_init(&b->rand, (uint64_t)number("SEED", 1));
	place_weights_fix(&usual, b->weights);
	add_shapes(b);
	for (uint32_t i = 0; i < nodes; i++)
		add_node(b, i);
}

static struct place_plan solve(struct bench *b, const struct place_problem *problem, double *ret_s)
{
	struct place_plan plan = {0};
	struct err e = ERR_INIT;
	double began = now_s();
	must(place_solve(b->p, problem, &plan, &e), &e);
	*ret_s = now_s() - began;
	return plan;
}

/* ---- rebalance ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x > y ? -1 : x < y;
}

/* What so many moves would gain if none took anything away from another. */
static double most_gain(struct bench *b, const struct place_weights *w, uint32_t moves)
{
	VEC(double) gains = {0};
	int64_t weights[PLACE_TERM_COUNT];
	double sum = 0;
	place_weights_fix(w, weights);
	VEC_EACH (&b->pods, uint32_t, pod) {
		uint32_t node = place_pod_node(b->p, *pod), shape = b->p->pods.items[*pod].shape;
		struct place_choice best;
		struct place_cost here;
		struct look l;
		place_node_count_pods(b->p, node, shape, -1);
		place_choose(b->p,
			&(struct place_question){shape, PLACE_NONE, weights, false, false, NULL},
			&best);
		place_look_init(&l, b->p, shape, PLACE_NONE, NULL);
		l.weights = weights;
		place_look_score(&l, node, &here);
		place_look_done(&l);
		place_node_count_pods(b->p, node, shape, 1);
		if (best.node != PLACE_NONE && best.node != node)
			vec_push(&gains, here.total - best.cost.total - w->of[PLACE_TERM_MOVE]);
	}
	if (gains.count)
		qsort(gains.items, gains.count, sizeof(double), compare_doubles);
	for (size_t i = 0; i < gains.count && i < moves && gains.items[i] > 0; i++)
		sum += gains.items[i];
	vec_done(&gains);
	return sum;
}

static void rebalance(struct bench *b, uint32_t nodes, uint32_t pods)
{
	uint32_t first = number("FRESH", 1) ? nodes / 5 * 4 : nodes;
	begin(b, first);
	while (b->pods.count < (size_t)pods / 5 * 6 && arrive(b, 0))
		;
	while (b->pods.count > pods) {
		size_t i = (size_t)rand_below(&b->rand, b->pods.count);
		place_pod_remove(b->p, b->pods.items[i]);
		b->pods.items[i] = b->pods.items[--b->pods.count];
	}
	for (uint32_t i = first; i < nodes; i++)
		add_node(b, i);
	struct place_weights w = place_weights_default();
	if (number("CONSOLIDATE", 0))
		w.of[PLACE_TERM_BALANCE] = -1;
	struct place_problem problem = {
		.mode = PLACE_REBALANCE, .weights = &w, .moves_max = 500, .seed = 1};
	double first_s, long_s;
	struct place_plan plan = solve(b, &problem, &first_s);
	printf("pods %u\nrebalance_ms %.0f\nmoves %u\ngain %.3f\nsteps %llu\n",
		place_pod_count(b->p), first_s * 1e3, plan.move_count, plan.gain,
		(unsigned long long)plan.steps);
	if (w.of[PLACE_TERM_BALANCE] > 0) {
		double most = most_gain(b, &w, problem.moves_max);
		printf("rebalance_below_sum_of_single_moves_percent %.2f\n",
			100 * (most - plan.gain) / most);
	}
	problem.steps_max = (uint64_t)number("LONG", 0);
	if (problem.steps_max) {
		struct place_plan more = solve(b, &problem, &long_s);
		printf("long_s %.1f\nlong_gain %.3f\nrebalance_below_long_run_percent %.2f\n",
			long_s, more.gain, 100 * (more.gain - plan.gain) / more.gain);
		place_plan_done(&more);
	}
	place_plan_done(&plan);
}

/* ---- preempt ---- */

static uint32_t shape_of(struct bench *b, int64_t cpu, int64_t memory, const char *pool)
{
	struct err e = ERR_INIT;
	uint32_t shape;
	struct place_amount requests[] = {{"cpu", cpu, false}, {"memory", memory, false}};
	struct place_label selector[] = {{"pool", pool}};
	struct place_spec s = {.namespace = "bench",
		.requests = requests,
		.request_count = 2,
		.node_selector = selector,
		.node_selector_count = pool != NULL};
	must(place_shape(b->p, &s, &shape, &e), &e);
	return shape;
}

static void preempt(struct bench *b, uint32_t nodes)
{
	begin(b, nodes);
	for (int refused = 0; refused < 100000;)
		refused += !arrive(b, (int)rand_below(&b->rand, 3));
	struct place_want want = {.shape = shape_of(b, 8000, (int64_t)16 << 30, NULL),
		.count = (uint32_t)number("PODS", 1000),
		.priority = 10,
		.node = PLACE_NONE};
	struct place_problem problem = {.mode = PLACE_PREEMPT, .wants = &want, .want_count = 1};
	double s;
	struct place_plan plan = solve(b, &problem, &s);
	printf("pods %u\npreempted_for %u\nvictims %u\npreempt_ms %.3f\n", place_pod_count(b->p),
		plan.assignment_count, plan.victim_count, s * 1e3 / want.count);
	place_plan_done(&plan);
}

/* ---- gangs ---- */

static void gangs(struct bench *b, uint32_t nodes)
{
	enum { GANGS = 1000 };
	begin(b, nodes);
	while ((double)b->cpu_taken < 0.7 * (double)b->cpu_total)
		(void)arrive(b, 0);
	struct place_want *wants = mem_alloc_array(2 * GANGS, sizeof(*wants));
	uint32_t head = shape_of(b, 2000, (int64_t)4 << 30, NULL);
	uint32_t workers[LABELS];
	for (uint32_t i = 0; i < LABELS; i++) {
		char label[16];
		snprintf(label, sizeof(label), "label-%u", i);
		workers[i] = shape_of(b, 4000, (int64_t)8 << 30, label);
	}
	uint32_t huge = shape_of(b, 1000000, (int64_t)8 << 30, NULL);
	for (int fits = 1; fits >= 0; fits--) {
		for (uint32_t i = 0; i < GANGS; i++) {
			wants[2 * i] = (struct place_want){.shape = workers[i % LABELS],
				.count = 7,
				.gang_minimum = 7,
				.gang = i + 1,
				.node = PLACE_NONE};
			wants[2 * i + 1] = (struct place_want){.shape = fits ? head : huge,
				.count = 1,
				.gang_minimum = 1,
				.gang = i + 1,
				.node = PLACE_NONE};
		}
		struct place_problem problem = {
			.mode = PLACE_BATCH, .wants = wants, .want_count = 2 * GANGS};
		double s;
		struct place_plan plan = solve(b, &problem, &s);
		printf(fits ? "gang_pods %u\ngang_pods_per_s %.0f\n"
			    : "refused_wants %u\nrefused_gangs_per_s %.0f\n",
			fits ? plan.assignment_count : plan.refusal_count,
			(fits ? plan.assignment_count : GANGS) / s);
		place_plan_done(&plan);
	}
	free(wants);
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	uint32_t nodes = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	if (argc == 4 && nodes >= 5 && strcmp(argv[1], "rebalance") == 0) {
		rebalance(&b, nodes, (uint32_t)atoi(argv[3]));
	} else if (argc == 3 && nodes > 0 && strcmp(argv[1], "preempt") == 0) {
		preempt(&b, nodes);
	} else if (argc == 3 && nodes > 0 && strcmp(argv[1], "gangs") == 0) {
		gangs(&b, nodes);
	} else {
		fprintf(stderr, "Usage: bench-place-modes rebalance NODES PODS | preempt NODES | "
				"gangs NODES\n");
		return 2;
	}
	vec_done(&b.pods);
	place_free(b.p);
	return 0;
}
