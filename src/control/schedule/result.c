#include "control/schedule/result.h"

#include "base/mem.h"
#include "base/str.h"
#include "control/schedule/tables.h"
#include "control/step.h"

/* ---- explanations ---- */

/* The terms that every pod has, and the others where they cost something. */
json_t *result_terms(const struct place_weights *weights, const struct place_cost *cost)
{
	json_t *terms = json_object();
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		if (weights->of[i] != 0 && (i <= PLACE_TERM_IMAGE || cost->terms[i] != 0))
			json_object_set_new(terms, place_term_name((enum place_term)i),
				json_real(cost->terms[i]));
	return terms;
}

json_t *result_reasons(const struct place_reason *reasons, uint32_t count)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < count; i++) {
		const struct place_reason *x = &reasons[i];
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:I, s:I, s:b}", "constraint",
				place_constraint_name(x->constraint), "detail", x->detail, "nodes",
				(json_int_t)x->nodes, "alone", (json_int_t)x->alone, "atFault",
				(int)x->at_fault));
	}
	return list;
}

static char *explanation_text(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(4));
	json_decref(json);
	return text;
}

json_t *result_alternative(const struct place_weights *weights, const struct place *p,
	const struct place_assignment *a)
{
	return json_pack("{s:s, s:f, s:o}", "node", place_node_name(p, a->alternative), "cost",
		a->alternative_cost.total, "terms", result_terms(weights, &a->alternative_cost));
}

static char *explain_assignment(const struct result_context *x, const struct place_assignment *a)
{
	const struct place *p = x->job->tables->place;
	json_t *json = json_pack("{s:s, s:I, s:I, s:f, s:o}", "node", place_node_name(p, a->node),
		"nodes", (json_int_t)place_node_count(p), "feasible", (json_int_t)a->feasible,
		"cost", a->cost.total, "terms", result_terms(&x->weights, &a->cost));
	if (x->application)
		json_object_set_new(json, "application", json_string(x->application));
	if (a->alternative != PLACE_NONE)
		json_object_set_new(json, "alternative", result_alternative(&x->weights, p, a));
	json_object_set_new(json, "refusals", result_reasons(a->reasons, a->reason_count));
	return explanation_text(json);
}

/* ---- results ---- */

static bool set_scheduled(json_t *pod, bool scheduled, const char *message, int64_t wall_ms)
{
	json_t *status = json_ensure_object(pod, "status");
	json_t *conditions = json_object_get(status, "conditions");
	if (!conditions)
		json_object_set_new(status, "conditions", conditions = json_array());
	if (!scheduled)
		return step_condition(conditions, "PodScheduled", false, "Unschedulable", message,
			wall_ms);
	bool changed = step_condition(conditions, "PodScheduled", true, "", "", wall_ms);
	size_t i;
	json_t *condition;
	json_array_foreach (conditions, i, condition) {
		if (!str_equal(json_text(condition, "", "type"), "PodScheduled"))
			continue;
		json_object_del(condition, "reason");
		json_object_del(condition, "message");
	}
	return changed;
}

static void bind(struct schedule_job *job, struct schedule_candidate *c)
{
	CLEANUP(json_done) json_t *tree = object_tree(c->pod);
	json_object_set_new(json_object_get(tree, "spec"), "nodeName", json_string(c->node));
	json_t *metadata = json_ensure_object(tree, "metadata");
	json_object_set_new(json_ensure_object(metadata, "annotations"),
		CONTROL_PLACEMENT_ANNOTATION, json_string(c->explanation));
	set_scheduled(tree, true, NULL, job->wall_ms);
	if (object_from_json(&kind_pod, tree, &c->next, &job->err) == 0)
		c->placed = true;
}

static void refuse(struct schedule_job *job, struct schedule_candidate *c)
{
	CLEANUP(json_done) json_t *tree = object_tree(c->pod);
	if (set_scheduled(tree, false, c->message, job->wall_ms) &&
		object_from_json(&kind_pod, tree, &c->next, &job->err) != 0)
		c->next = NULL;
}

void result_assigned(const struct result_context *x, struct schedule_candidate *c,
	const struct place_want *want, const struct place_assignment *a)
{
	struct schedule_tables *t = x->job->tables;
	c->node = mem_dup_string(place_node_name(t->place, a->node));
	c->explanation = explain_assignment(x, a);
	bind(x->job, c);
	if (!c->placed) {
		place_pod_remove(t->place, a->pod);
		place_shape_release(t->place, want->shape);
		return;
	}
	tables_forget_pod(t, c->pod->uid);
	tables_remember_pod(t, c->pod, c->node, want->shape, want->priority)->pod = a->pod;
}

void result_refused(const struct result_context *x, struct schedule_candidate *c,
	const struct place_want *want, const struct place_refusal *r)
{
	CLEANUP(buf_done) struct buf message = BUF_INIT;
	place_refusal_write(r, &message);
	c->message = buf_take(&message, NULL);
	json_t *json = json_pack("{s:n, s:s, s:I, s:o}", "node", "message", c->message, "nodes",
		(json_int_t)r->nodes, "refusals", result_reasons(r->reasons, r->reason_count));
	if (x->application)
		json_object_set_new(json, "application", json_string(x->application));
	c->explanation = explanation_text(json);
	refuse(x->job, c);
	place_shape_release(x->job->tables->place, want->shape);
}

void result_failed(struct schedule_job *job, struct schedule_candidate *c, const struct err *e)
{
	c->message = mem_dup_string(e->text);
	c->explanation = explanation_text(json_pack("{s:n, s:s, s:[]}", "node", "message",
		c->message, "refusals"));
	refuse(job, c);
}
