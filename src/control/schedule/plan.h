/*
 * Plans that are only shown: where the pods of workloads would go if these were applied now. Read
 * on the loop's thread, made in the placement job on its tables, which are afterwards as before.
 * Private to src/control.
 */
#ifndef CONTINUO_CONTROL_SCHEDULE_PLAN_H
#define CONTINUO_CONTROL_SCHEDULE_PLAN_H

#include "control/schedule/job.h"

typedef VEC(char *) plan_uids;

/* Pods of one template. */
struct plan_part {
	char *component; /* null: not of an Application */
	json_t *template;
	int64_t replicas;
	plan_uids staying; /* that run and are what the template says */
};

struct plan_workload {
	struct object *object; /* as it would be stored */
	VEC(struct plan_part) parts;
	plan_uids leaving; /* would be replaced, or are too many */
};

struct schedule_plan {
	VEC(struct plan_workload) workloads;
	json_t *result; /* see control_plan */
	struct err err;
	control_plan_cb *done;
	void *arg;
};

/* -ERR_UNSUPPORTED: the kind has no pods. -ERR_TOO_LARGE. */
int plan_add(struct schedule_plan *plan, struct control_view *v, const struct kind *kind,
	json_t *tree, struct err *e) MUST_CHECK;
void plan_make(struct schedule_job *job, struct schedule_plan *plan);
/* Tells the result, once. e: instead of a result; null: what became of it. */
void plan_tell(struct schedule_plan *plan, const struct err *e);
void plan_free(struct schedule_plan *plan);

#endif
