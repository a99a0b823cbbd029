/*
 * The placement job: what runs on the pool. It owns the engine's tables while it runs and nothing
 * else; the scheduler hands it what changed since the last job and the pods that wait, and gets
 * back whole objects to commit. Private to src/control.
 */
#ifndef CONTINUO_CONTROL_SCHEDULE_JOB_H
#define CONTINUO_CONTROL_SCHEDULE_JOB_H

#include "base/map.h"
#include "control/control.h"
#include "place/place.h"

struct schedule_tables; /* see tables.h */
struct schedule_tables *schedule_tables_new(void) MUST_CHECK;
void schedule_tables_free(struct schedule_tables *t);

/* The newest state of a node, a namespace, a Site, an Application or a pod that has a node. */
struct schedule_change {
	enum {
		SCHEDULE_NODE,
		SCHEDULE_NAMESPACE,
		SCHEDULE_SITE,
		SCHEDULE_APPLICATION,
		SCHEDULE_POD
	} what;
	struct object *object; /* null: it is gone, or no longer counts */
	char *id;              /* name, "namespace/name" of an Application, or the pod's uid */
	bool connected;
};
void schedule_change_free(void *change);

struct schedule_candidate {
	struct object *pod;
	/* Results: */
	bool placed;
	struct object *next; /* to commit: bound, or with the condition; null: nothing to write */
	char *node;
	char *message;
	char *explanation; /* JSON for control_explain, without the pod */
};

/* What is wrong with a node's figures or with an Application, told once. */
struct schedule_problem {
	struct object *about;
	char *text;
};

struct schedule_plan; /* see plan.h */

struct schedule_job {
	struct schedule_tables *tables;
	struct map changes;
	VEC(struct schedule_candidate) candidates;
	VEC(struct schedule_problem) problems; /* result */
	VEC(struct schedule_plan *)
	plans; /* to be made when the candidates have their places;
		* theirs is who told of them */
	uint64_t seed;
	int64_t wall_ms;
	struct err err; /* of the first change that could not be read, or of the engine */
};
void schedule_job_run(struct schedule_job *job);
void schedule_job_done(struct schedule_job *job); /* all but the tables */

#endif
