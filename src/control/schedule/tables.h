/*
 * What the placement job knows between its runs: the engine's tables, and the objects that their
 * rows were made of. Runs in the placement job. Private to src/control.
 */
#ifndef CONTINUO_CONTROL_SCHEDULE_TABLES_H
#define CONTINUO_CONTROL_SCHEDULE_TABLES_H

#include "control/schedule/job.h"

struct graph;

struct placed { /* a pod that counts on a node, or would if the node were known */
	uint32_t shape;
	uint32_t pod; /* PLACE_NONE: its node is not in the tables */
	int priority;
	char *node;
	struct graph *graph; /* of its Application; null: it has none */
	char *component;
	bool leaving; /* it was deleted, and is not gone yet */
};

/* An Application: what is said of it, and what runs of it. */
struct graph {
	char *id;
	struct object *object; /* null: not known (any more), its pods are */
	struct map pods;       /* uid -> struct placed, of the tables */
	char *problem;         /* that was told; null: none */
};

struct schedule_tables {
	struct place *place;
	struct map pods;       /* uid -> struct placed */
	struct map namespaces; /* name -> object */
	struct map nodes;      /* name -> struct known_node */
	struct map sites;      /* see sites.h */
	struct map graphs;     /* "namespace/name" -> struct graph */
};

/* Applies the changes of the job. What could not be read is job->err, the rest is applied. */
void tables_apply(struct schedule_job *job);

/* One reference to the shape for the caller. pod: the tree of object. */
int tables_shape(struct schedule_tables *t, const json_t *pod, const struct object *object,
	uint32_t *ret_shape, int *ret_priority, struct err *e) MUST_CHECK;

/* Takes the reference to the shape. */
struct placed *tables_remember_pod(struct schedule_tables *t, const struct object *pod,
	const char *node, uint32_t shape, int priority);
void tables_forget_pod(struct schedule_tables *t, const char *uid);

/* By what its labels say; null: no Application is known by that name. */
struct graph *tables_graph_of(struct schedule_tables *t, const struct object *pod);

/* Of a node; null: it has none, or is not known. Until the node changes. */
const char *tables_site_of(const struct schedule_tables *t, const char *node);

#endif
