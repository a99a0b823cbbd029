/*
 * What the placement engine is asked about an Application: its pods that wait, the replicas that
 * are still to come, those that run, and what is between them. Runs in the placement job. Private
 * to src/control.
 */
#ifndef CONTINUO_CONTROL_SCHEDULE_GRAPH_PROBLEM_H
#define CONTINUO_CONTROL_SCHEDULE_GRAPH_PROBLEM_H

#include "base/map.h"
#include "base/vec.h"
#include "control/schedule/tables.h"

struct graph_problem {
	json_t *tree;       /* of the Application; strings below are in it */
	struct map numbers; /* component's name -> its number + 1 */
	VEC(struct place_want) wants;
	uint32_t waiting;  /* how many of them; the rest is expected, with shapes of our own */
	bool put_expected; /* put them into the tables too: of a plan that is undone */
	struct place_application application;
	struct place_weights weights;
	struct arena arena;
};

/* Starts with the Application as it is; graph->object is not null. */
void graph_problem_init(struct graph_problem *g, const struct graph *graph);
void graph_problem_done(struct graph_problem *g, struct schedule_tables *t);

/* A pod that waits. False: its component is none of the Application's (any more). */
bool graph_problem_add(struct graph_problem *g, const struct object *pod,
	const struct place_want *want);

/* When all have been added: the rest. -ERR_INVALID when a template cannot be read. */
int graph_problem_finish(struct graph_problem *g, const struct graph *graph,
	struct schedule_tables *t, struct err *e) MUST_CHECK;

#endif
