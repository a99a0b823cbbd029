/*
 * What a decision comes to: the pod's object as it is to be committed, and why, as JSON for
 * control_explain. Runs in the placement job. Private to src/control.
 */
#ifndef CONTINUO_CONTROL_SCHEDULE_RESULT_H
#define CONTINUO_CONTROL_SCHEDULE_RESULT_H

#include "control/schedule/job.h"

/* Of all decisions of one plan. */
struct result_context {
	struct schedule_job *job;
	struct place_weights weights;
	const char *application; /* name; null: they were made pod by pod */
};

/* Both take the want's reference to its shape. */
void result_assigned(const struct result_context *x, struct schedule_candidate *c,
	const struct place_want *want, const struct place_assignment *a);
void result_refused(const struct result_context *x, struct schedule_candidate *c,
	const struct place_want *want, const struct place_refusal *r);
/* Nothing could be decided. */
void result_failed(struct schedule_job *job, struct schedule_candidate *c, const struct err *e);

/* ---- parts of explanations; new references ---- */

json_t *result_terms(const struct place_weights *weights, const struct place_cost *cost);
json_t *result_reasons(const struct place_reason *reasons, uint32_t count);
json_t *result_alternative(const struct place_weights *weights, const struct place *p,
	const struct place_assignment *a); /* it has one */

#endif
