/*
 * Three machines at two sites, and pods that look for a place: what the engine decides and why.
 *
 *   cc example.c $(pkg-config --cflags --libs libcontinuo-place) -o example && ./example
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "place/place.h"

static void give_up(const struct err *e)
{
	fprintf(stderr, "error: %s\n", e->text);
	exit(1);
}

static void add_node(struct place *p, const char *name, const char *site, int64_t millicores)
{
	const struct place_amount capacity[] = {{.resource = "cpu", .amount = millicores},
		{.resource = "memory", .amount = (int64_t)8 << 30},
		{.resource = "pods", .amount = 110}};
	const struct place_label labels[] = {
		{"kubernetes.io/hostname", name}, {"topology.kubernetes.io/zone", site}};
	const struct place_node node = {.name = name,
		.site = site,
		.capacity = capacity,
		.capacity_count = 3,
		.labels = labels,
		.label_count = 2};
	struct err e = ERR_INIT;
	uint32_t number;
	if (place_node_set(p, &node, &number, &e) != 0)
		give_up(&e);
}

/* A pod of so much cpu, at the site if that is not null. */
static uint32_t add_shape(struct place *p, int64_t millicores, const char *site)
{
	const struct place_amount requests[] = {{.resource = "cpu", .amount = millicores}};
	const struct place_label selector[] = {{"topology.kubernetes.io/zone", site}};
	const struct place_spec spec = {.namespace = "default",
		.requests = requests,
		.request_count = 1,
		.node_selector = selector,
		.node_selector_count = site ? 1 : 0};
	struct err e = ERR_INIT;
	uint32_t shape;
	if (place_shape(p, &spec, &shape, &e) != 0)
		give_up(&e);
	return shape;
}

static void print_plan(const struct place *p, const struct place_plan *plan)
{
	for (uint32_t i = 0; i < plan->assignment_count; i++) {
		const struct place_assignment *a = &plan->assignments[i];
		printf("want %u: %s, at a cost of %.3f", a->want, place_node_name(p, a->node),
			a->cost.total);
		if (a->alternative != PLACE_NONE)
			printf("; %s would cost %.3f", place_node_name(p, a->alternative),
				a->alternative_cost.total);
		putchar('\n');
	}
	for (uint32_t i = 0; i < plan->refusal_count; i++) {
		struct buf why = BUF_INIT;
		place_refusal_write(&plan->refusals[i], &why);
		printf("want %u: nowhere for %u of it: %s\n", plan->refusals[i].want,
			plan->refusals[i].count, why.data);
		buf_done(&why);
	}
}

int main(void)
{
	struct place *p = place_new();
	struct place_plan plan = {0};
	struct err e = ERR_INIT;
	add_node(p, "cloud-1", "frankfurt", 8000);
	add_node(p, "cloud-2", "frankfurt", 8000);
	add_node(p, "edge-1", "factory", 2000);
	const struct place_want wants[] = {
		{.shape = add_shape(p, 500, NULL), .count = 2, .node = PLACE_NONE},
		{.shape = add_shape(p, 1500, "factory"), .count = 2, .node = PLACE_NONE}};
	const struct place_problem problem = {
		.mode = PLACE_BATCH, .wants = wants, .want_count = 2, .explain = true};
	if (place_solve(p, &problem, &plan, &e) != 0)
		give_up(&e);
	print_plan(p, &plan);
	place_plan_done(&plan);
	place_free(p);
	return 0;
}
