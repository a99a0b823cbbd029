/*
 * Decisions a second of the placement engine, one pod at a time on a fleet that is full to 70 %.
 *
 * bench-place-online simple NODES: cpu and memory only, 256 shapes; a departure for each arrival,
 * counted too; a sample is compared with a scan of all nodes.
 *
 * bench-place-online mixed NODES: half of the pods ask for a label that a tenth of the nodes has, a
 * fifth are spread over zones, a fifth keep apart from their own kind, a tenth of the nodes is
 * tainted; departures are not counted.
 *
 * Then what a change of one node costs (capacity, label, pod gone), and what the tables hold with
 * five pods for each node. DECISIONS, SEED, CHECKS and CHANGES change the numbers. Prints "name
 * value" lines.
 */
#include <malloc.h>
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
#define FULL 0.7

struct running {
	uint32_t pod, shape;
};
struct bench {
	struct place *p;
	struct rand rand;
	bool mixed;
	uint32_t nodes;
	uint32_t shapes[SHAPES];
	int64_t cpu[SHAPES];
	VEC(struct running) pods;
	int64_t weights[PLACE_TERM_COUNT];
	int64_t cpu_total, cpu_taken;
	uint64_t steps;
};

static const int64_t cores[] = {16, 32, 64}, gibs[] = {64, 128, 512};

static bool is_tainted(const struct bench *b, uint32_t node)
{
	return b->mixed && node % 10 == 3;
}

static int64_t number(const char *name, int64_t usual)
{
	const char *text = getenv(name);
	return text ? atoll(text) : usual;
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int r, const struct err *e)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench-place-online: %s\n", e->text);
	exit(1);
}

static void set_node(struct bench *b, uint32_t i, uint64_t size, uint32_t pool)
{
	char name[16], zone[16], label[16];
	struct err e = ERR_INIT;
	snprintf(name, sizeof(name), "node-%u", i);
	snprintf(zone, sizeof(zone), "zone-%u", i % ZONES);
	snprintf(label, sizeof(label), "label-%u", pool);
	struct place_label labels[] = {{"kubernetes.io/hostname", name},
		{"topology.kubernetes.io/zone", zone}, {"pool", label}};
	struct place_amount capacity[] = {{"cpu", cores[size] * 1000, false},
		{"memory", gibs[size] << 30, false}, {"pods", 110, false}};
	struct place_taint taint = {"dedicated", "some", PLACE_NO_SCHEDULE};
	struct place_node n = {.name = name,
		.capacity = capacity,
		.capacity_count = 3,
		.labels = labels,
		.label_count = 3,
		.taints = &taint,
		.taint_count = is_tainted(b, i)};
	uint32_t node;
	must(place_node_set(b->p, &n, &node, &e), &e);
}

static void add_nodes(struct bench *b)
{
	for (uint32_t i = 0; i < b->nodes; i++) {
		uint64_t size = rand_below(&b->rand, ARRAY_SIZE(cores));
		set_node(b, i, size, i * 7 % LABELS);
		if (!is_tainted(b, i))
			b->cpu_total += cores[size] * 1000;
	}
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
			.node_selector_count = b->mixed && i % 2 == 0,
			.spreads = &spread,
			.spread_count = b->mixed && i % 5 == 0,
			.pod_terms = &apart,
			.pod_term_count = b->mixed && i % 5 == 1};
		must(place_shape(b->p, &s, &b->shapes[i], &e), &e);
	}
}

static struct place_choice choose(struct bench *b, uint32_t shape, bool scan)
{
	struct place_choice c;
	place_choose(b->p,
		&(struct place_question){
			b->shapes[shape], PLACE_NONE, b->weights, false, scan, NULL},
		&c);
	b->steps += c.steps;
	return c;
}

static bool arrive(struct bench *b, uint32_t shape)
{
	struct err e = ERR_INIT;
	uint32_t pod;
	struct place_choice c = choose(b, shape, false);
	if (c.node == PLACE_NONE)
		return false;
	must(place_pod_put(b->p, b->shapes[shape], c.node, 0, &pod, &e), &e);
	vec_push(&b->pods, (struct running){pod, shape});
	b->cpu_taken += b->cpu[shape];
	return true;
}

static void depart(struct bench *b)
{
	size_t i = (size_t)rand_below(&b->rand, b->pods.count);
	b->cpu_taken -= b->cpu[b->pods.items[i].shape];
	place_pod_remove(b->p, b->pods.items[i].pod);
	b->pods.items[i] = b->pods.items[--b->pods.count];
}

static uint32_t any_shape(struct bench *b)
{
	return (uint32_t)rand_below(&b->rand, SHAPES);
}

/* Compared with a scan: equal in cost. Returns the two totals. */
static void check(struct bench *b, uint32_t shape, double *found, double *wanted, int64_t *worse)
{
	struct place_choice one = choose(b, shape, false), all = choose(b, shape, true);
	if ((one.node == PLACE_NONE) != (all.node == PLACE_NONE)) {
		fprintf(stderr, "bench-place-online: found none where there is one\n");
		exit(1);
	}
	*worse += one.cost.total > all.cost.total;
	*found += one.cost.total;
	*wanted += all.cost.total;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void run(struct bench *b)
{
	int64_t decisions = number("DECISIONS", b->mixed ? 200000 : 2000000);
	int64_t checks = number("CHECKS", b->nodes > 10000 ? 200 : b->mixed ? 1000 : 10000);
	double *each = mem_alloc_array((size_t)decisions, sizeof(*each)), deciding = 0, found = 0,
	       wanted = 0;
	int64_t refused = 0, worse = 0;
	b->steps = 0;
	double began = now_s();
	for (int64_t i = 0; i < decisions; i++) {
		depart(b);
		double t = b->mixed ? now_s() : 0;
		refused += !arrive(b, any_shape(b));
		if (b->mixed)
			deciding += each[i] = now_s() - t;
	}
	double all = b->mixed ? deciding : now_s() - began;
	printf("per_s %.0f\n", (double)decisions / all);
	printf("looked_at %.1f\n", (double)b->steps / (double)decisions);
	if (b->mixed) {
		qsort(each, (size_t)decisions, sizeof(*each), compare_doubles);
		printf("p99_us %.1f\n", each[decisions * 99 / 100] * 1e6);
	}
	for (int64_t i = 0; i < checks; i++) {
		depart(b);
		uint32_t shape = any_shape(b);
		check(b, shape, &found, &wanted, &worse);
		refused += !arrive(b, shape);
	}
	printf("refused %lld\nworse_than_scan %lld of %lld\nscore_ratio %.6f\n", (long long)refused,
		(long long)worse, (long long)checks, found / wanted);
	free(each);
}

static void print_memory(void)
{
	struct mallinfo2 m = mallinfo2();
	printf("mib %.1f\n", (double)(m.uordblks + m.hblkhd) / (1 << 20));
}

/* A third each: another capacity, another label, a pod that goes. */
static void change_nodes(struct bench *b)
{
	uint32_t changes = (uint32_t)number("CHANGES", 3000);
	double began = now_s();
	for (uint32_t i = 0; i < changes; i++) {
		uint32_t node = (uint32_t)rand_below(&b->rand, b->nodes);
		uint64_t size = rand_below(&b->rand, ARRAY_SIZE(cores));
		if (i % 3 == 0)
			depart(b);
		else
			set_node(b, node, size, i % 3 == 1 ? node * 7 % LABELS : i % LABELS);
	}
	printf("node_change_us %.2f\n", (now_s() - began) / changes * 1e6);
}

int main(int argc, char **argv)
{
	struct bench b = {.p = place_new()};
	if (argc != 3 || (strcmp(argv[1], "simple") != 0 && strcmp(argv[1], "mixed") != 0)) {
		fprintf(stderr, "Usage: bench-place-online simple|mixed NODES\n");
		return 2;
	}
	struct place_weights usual = place_weights_default();
	b.mixed = strcmp(argv[1], "mixed") == 0;
	b.nodes = (uint32_t)atoi(argv[2]);
	rand_init(&b.rand, (uint64_t)number("SEED", 1));
	place_weights_fix(&usual, b.weights);
	add_nodes(&b);
	add_shapes(&b);
	double began = now_s();
	while ((double)b.cpu_taken < FULL * (double)b.cpu_total) {
		if (!arrive(&b, any_shape(&b)) && b.steps > 1000000000)
			break;
		if (b.pods.count == 5 * (size_t)b.nodes)
			print_memory();
	}
	printf("pods %zu\nfull %.3f\nfill_s %.2f\n", b.pods.count,
		(double)b.cpu_taken / (double)b.cpu_total, now_s() - began);
	run(&b);
	change_nodes(&b);
	vec_done(&b.pods);
	place_free(b.p);
	return 0;
}
