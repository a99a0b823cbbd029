#include "place/modes_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

static bool maybe(struct rand *r, uint64_t one_in)
{
	return rand_below(r, one_in) == 0;
}

static const char *word(struct rand *r)
{
	static const char *const words[] = {"x", "y", "z"};
	return words[rand_below(r, 3)];
}

uint32_t sample_set_node(struct sample *s, uint32_t i)
{
	char name[16];
	struct rand *r = &s->rand;
	snprintf(name, sizeof(name), "n%u", i);
	struct place_label labels[] = {
		{"kubernetes.io/hostname", name}, {"zone", word(r)}, {"disk", word(r)}};
	struct place_amount capacity[] = {{"cpu", rand_between(r, 2, 8) * 250, false},
		{"memory", rand_between(r, 2, 8) << 28, false},
		{"pods", rand_between(r, 3, 8), false}};
	struct place_taint taint = {"t", "x", PLACE_NO_SCHEDULE};
	struct place_node n = {.name = name,
		.site = labels[1].value,
		.capacity = capacity,
		.capacity_count = 3,
		.labels = labels,
		.label_count = 3,
		.taints = &taint,
		.taint_count = !s->plain && maybe(r, 6)};
	uint32_t node;
	if (place_node_set(s->p, &n, &node, NULL) != 0)
		abort();
	return node;
}

static void make_shape(struct sample *s, int i)
{
	struct rand *r = &s->rand;
	const char *app = word(r), *other = word(r);
	struct place_label labels[] = {{"app", app}}, selector[] = {{"disk", word(r)}};
	int64_t scale = i == SAMPLE_SHAPES - 1 ? 3 : 1; /* one that needs several to go */
	struct place_amount requests[] = {{"cpu", rand_between(r, 1, 8) * 100 * scale, false},
		{"memory", rand_between(r, 0, 8) << 26, false}};
	struct place_requirement alike = {"app", PLACE_IN, &other, 1, false};
	struct place_pod_term term = {.required = maybe(r, 2),
		.anti = !maybe(r, 3),
		.weight = 50,
		.topology_key = maybe(r, 2) ? "zone" : "kubernetes.io/hostname",
		.selector = {&alike, 1}};
	struct place_spread spread = {.topology_key = "zone",
		.max_skew = (int)rand_between(r, 1, 3),
		.required = maybe(r, 2),
		.selector = {&alike, 1}};
	struct place_port port = {"TCP", NULL, (int)rand_between(r, 80, 81)};
	struct place_spec spec = {.namespace = "ns",
		.labels = labels,
		.label_count = 1,
		.requests = requests,
		.request_count = 2,
		.node_selector = selector,
		.node_selector_count = !s->plain && maybe(r, 4),
		.pod_terms = &term,
		.pod_term_count = !s->plain && maybe(r, 2),
		.spreads = &spread,
		.spread_count = !s->plain && maybe(r, 3),
		.ports = &port,
		.port_count = !s->plain && maybe(r, 4)};
	if (place_shape(s->p, &spec, &s->shapes[i], NULL) != 0)
		abort();
}

void sample_init(struct sample *s, uint64_t seed, uint32_t nodes, bool plain)
{
	*s = (struct sample){.p = place_new(), .plain = plain, .nodes = nodes};
	rand_init(&s->rand, seed);
	for (uint32_t i = 0; i < nodes; i++)
		(void)sample_set_node(s, i);
	for (int i = 0; i < SAMPLE_SHAPES; i++)
		make_shape(s, i);
}

void sample_fill(struct sample *s, uint32_t pods)
{
	for (uint32_t i = 0; i < pods; i++) {
		uint32_t shape = s->shapes[rand_below(&s->rand, SAMPLE_SHAPES)], pod;
		uint32_t node = (uint32_t)rand_below(&s->rand, s->nodes);
		int priority = (int)rand_below(&s->rand, 4);
		struct look l;
		place_look_init(&l, s->p, shape, PLACE_NONE, NULL);
		bool fits = place_look_fits(&l, node, NULL);
		place_look_done(&l);
		if (fits && place_pod_put(s->p, shape, node, priority, &pod, NULL) != 0)
			abort();
	}
}

void sample_done(struct sample *s)
{
	place_free(s->p);
}

bool sample_is_overcommitted(const struct place *p)
{
	VEC_EACH (&p->nodes, struct node, n) {
		for (uint32_t i = 0; n->used && i < p->resources.count; i++)
			if (place_node_taken(n, i) > place_node_capacity(n, i))
				return true;
	}
	return false;
}

/* ---- the digest ---- */

static int compare_shapes(const void *a, const void *b)
{
	const struct node_shape *x = a, *y = b;
	return x->shape < y->shape ? -1 : x->shape > y->shape;
}

static int compare_ports(const void *a, const void *b)
{
	return ((const struct node_port *)a)->port - ((const struct node_port *)b)->port;
}

static void write_node(const struct place *p, const struct node *n, struct buf *b)
{
	buf_printf(b, "%s %u %d %u %lld %lld %d %d:", place_text(p, n->name), n->flags, n->drained,
		n->site, (long long)n->score_cpu, (long long)n->score_memory, n->full.u, n->full.v);
	for (uint32_t i = 0; i < p->resources.count; i++)
		buf_printf(b, " %lld", (long long)place_node_taken(n, i));
	for (uint32_t i = n->first_pod; i != PLACE_NONE; i = p->pods.items[i].next)
		buf_printf(b, " pod %u %u %d", i, p->pods.items[i].shape,
			p->pods.items[i].priority);
	/* Lists whose order means nothing. */
	if (n->shapes.count)
		qsort(n->shapes.items, n->shapes.count, sizeof(*n->shapes.items), compare_shapes);
	VEC_EACH (&n->shapes, struct node_shape, s)
		buf_printf(b, " shape %u %u", s->shape, s->count);
	if (n->ports.count)
		qsort(n->ports.items, n->ports.count, sizeof(*n->ports.items), compare_ports);
	VEC_EACH (&n->ports, struct node_port, x)
		buf_printf(b, " port %d %u", x->port, x->count);
	VEC_EACH (&n->taints, uint32_t, t)
		buf_printf(b, " taint %u", *t);
	buf_append_string(b, "\n");
}

static void write_neighbours(const struct place *p, struct buf *b)
{
	VEC_EACH (&p->counters, struct counter, c) {
		buf_printf(b, "counter %llu %llu %llu", (unsigned long long)c->matching,
			(unsigned long long)c->holders, (unsigned long long)c->pulls);
		for (uint32_t d = 0; d < c->domains.count; d++) {
			struct domain_count at = c->domains.items[d];
			if (at.matching || at.holders || at.pull)
				buf_printf(b, " %u:%u,%u,%lld", d, at.matching, at.holders,
					(long long)at.pull);
		}
		buf_append_string(b, "\n");
	}
	VEC_EACH (&p->tallies, struct tally, t) {
		uint32_t least, most;
		place_tally_bounds(t, &least, &most);
		buf_printf(b, "tally %u %u %u", t->domain_count, least, most);
		for (uint32_t d = 0; d < t->domains.count; d++)
			if (t->domains.items[d].nodes || t->domains.items[d].pods)
				buf_printf(b, " %u:%u,%u", d, t->domains.items[d].nodes,
					t->domains.items[d].pods);
		buf_append_string(b, "\n");
	}
}

/* Which profiles have which node, and where a node that is ranked stands. */
static void write_profiles(const struct place *p, struct buf *b)
{
	VEC_EACH (&p->profiles, struct profile, x) {
		for (uint32_t i = 0; i < p->nodes.count; i++)
			if (p->nodes.items[i].used)
				buf_printf(b, "%d%d%d ", place_bits_get(&x->affine, i),
					place_bits_get(&x->tolerated, i),
					place_bits_get(&x->able, i));
		buf_append_string(b, "\n");
	}
}

static void write_next_numbers(const struct place *p, struct buf *b)
{
	uint32_t next = p->free_pod, fresh = (uint32_t)p->pods.count;
	for (int i = 0; i < 64; i++) {
		buf_printf(b, " %u", next != PLACE_NONE ? next : fresh++);
		next = next != PLACE_NONE ? p->pods.items[next].next : PLACE_NONE;
	}
	next = p->free_node, fresh = (uint32_t)p->nodes.count;
	for (int i = 0; i < 8; i++) {
		buf_printf(b, " %u", next != PLACE_NONE ? next : fresh++);
		next = next != PLACE_NONE ? p->nodes.items[next].next_free : PLACE_NONE;
	}
}

char *sample_digest(const struct place *p)
{
	struct buf b = BUF_INIT;
	buf_printf(&b, "%u nodes %u pods %zu sites\n", p->node_count, p->pod_count, p->sites.count);
	VEC_EACH (&p->nodes, struct node, n) {
		if (n->used)
			write_node(p, n, &b);
	}
	VEC_EACH (&p->shapes, struct shape, s) {
		buf_printf(&b, "shape %u %u:", s->references, s->here.used);
		for (uint32_t i = 0; i < s->at_site.count; i++)
			if (s->at_site.items[i])
				buf_printf(&b, " %u:%u", i, s->at_site.items[i]);
		buf_append_string(&b, "\n");
	}
	write_neighbours(p, &b);
	write_profiles(p, &b);
	write_next_numbers(p, &b);
	return buf_take(&b, NULL);
}

/* ---- problems ---- */

void sample_wants(struct sample *s, struct place_want *wants, bool gangs)
{
	for (int i = 0; i < SAMPLE_WANTS; i++) {
		wants[i] =
			(struct place_want){.shape = s->shapes[rand_below(&s->rand, SAMPLE_SHAPES)],
				.count = (uint32_t)rand_between(&s->rand, 1, 5),
				.priority = (int)rand_below(&s->rand, 5),
				.node = PLACE_NONE,
				.gang = gangs ? (uint32_t)rand_below(&s->rand, 3) : 0};
		if (gangs)
			wants[i].gang_minimum = (uint32_t)rand_below(&s->rand, wants[i].count + 1);
	}
}

void limits_done(struct limits *l)
{
	vec_done(&l->of);
	vec_done(&l->pinned);
}

void limits_init(struct limits *l, struct sample *s, struct place_problem *problem)
{
	*l = (struct limits){
		.budgets = {{"none", 0}, {"one", 1}, {"some", (uint32_t)rand_below(&s->rand, 5)}}};
	bool free = rand_below(&s->rand, 2);
	for (uint32_t i = 0; i < s->p->pods.count; i++) {
		if (place_pod_node(s->p, i) == PLACE_NONE || free)
			continue;
		for (uint32_t b = 0; b < SAMPLE_BUDGETS; b++)
			if (rand_below(&s->rand, b == 0 ? 8 : 3) == 0)
				vec_push(&l->of, (struct place_pod_budget){i, b});
		if (rand_below(&s->rand, 8) == 0)
			vec_push(&l->pinned, i);
	}
	problem->budgets = l->budgets;
	problem->budget_count = SAMPLE_BUDGETS;
	problem->pod_budgets = l->of.items;
	problem->pod_budget_count = (uint32_t)l->of.count;
	problem->pinned = l->pinned.items;
	problem->pinned_count = (uint32_t)l->pinned.count;
}

bool limits_let(const struct limits *l, const uint32_t *pods, uint32_t count)
{
	uint32_t gone[SAMPLE_BUDGETS] = {0};
	for (uint32_t k = 0; k < count; k++) {
		VEC_EACH (&l->of, struct place_pod_budget, x)
			gone[x->budget] += x->pod == pods[k];
		VEC_EACH (&l->pinned, uint32_t, pod) {
			if (*pod == pods[k])
				return false;
		}
	}
	for (uint32_t b = 0; b < SAMPLE_BUDGETS; b++)
		if (gone[b] > l->budgets[b].allowed)
			return false;
	return true;
}

bool sample_fits(struct place *p, uint32_t shape, uint32_t node)
{
	struct look l;
	place_look_init(&l, p, shape, PLACE_NONE, NULL);
	bool ok = place_look_fits(&l, node, NULL);
	place_look_done(&l);
	return ok;
}

struct place_plan sample_solve(struct place *p, const struct place_problem *problem, bool apply)
{
	struct place_plan plan = {0};
	struct place_problem copy = *problem;
	struct err e = ERR_INIT;
	copy.apply = apply;
	int rc = place_solve(p, &copy, &plan, &e);
	if (rc != 0)
		fail_msg("%s", e.text);
	return plan;
}

static void assert_same_plan(const struct place_plan *a, const struct place_plan *b)
{
	assert_int_equal(a->assignment_count, b->assignment_count);
	assert_int_equal(a->victim_count, b->victim_count);
	assert_int_equal(a->move_count, b->move_count);
	assert_int_equal(a->refusal_count, b->refusal_count);
	for (uint32_t i = 0; i < a->assignment_count; i++) {
		assert_int_equal(a->assignments[i].want, b->assignments[i].want);
		assert_int_equal(a->assignments[i].node, b->assignments[i].node);
	}
	for (uint32_t i = 0; i < a->victim_count; i++)
		assert_int_equal(a->victims[i].pod, b->victims[i].pod);
	for (uint32_t i = 0; i < a->move_count; i++) {
		assert_int_equal(a->moves[i].pod, b->moves[i].pod);
		assert_int_equal(a->moves[i].to, b->moves[i].to);
	}
}

struct place_plan sample_solve_twice(struct place *p, const struct place_problem *problem)
{
	CLEANUP(mem_free_ptr) char *before = sample_digest(p);
	struct place_plan dry = sample_solve(p, problem, false);
	CLEANUP(mem_free_ptr) char *after = sample_digest(p);
	assert_string_equal(before, after);
	struct place_plan plan = sample_solve(p, problem, true);
	assert_same_plan(&dry, &plan);
	place_plan_done(&dry);
	return plan;
}

void sample_undo(struct place *p, struct place_plan *plan, const char *before)
{
	place_plan_undo(p, plan);
	CLEANUP(mem_free_ptr) char *after = sample_digest(p);
	assert_string_equal(before, after);
	place_plan_done(plan);
}
