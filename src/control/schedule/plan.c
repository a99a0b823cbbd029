#include "control/schedule/plan.h"

#include <stdlib.h>

#include "base/str.h"
#include "control/schedule/graph_problem.h"
#include "control/schedule/nodespec.h"
#include "control/schedule/result.h"

/* A workload's decisions, kept until all are made: what is decided first is there for the next. */
struct making {
	struct schedule_job *job;
	const struct plan_workload *workload;
	struct graph graph; /* what of it stays; object null: not an Application */
	struct graph_problem problem;
	struct place_plan plan;
};

/* ---- what leaves ---- */

struct gone {
	struct placed *placed;
	uint32_t node;
};
typedef VEC(struct gone) all_gone;

static void take_out(struct schedule_tables *t, const struct schedule_plan *plan, all_gone *gone)
{
	VEC_EACH (&plan->workloads, struct plan_workload, w) {
		VEC_EACH (&w->leaving, char *, uid) {
			struct placed *x = map_get(&t->pods, *uid);
			if (!x || x->pod == PLACE_NONE)
				continue;
			vec_push(gone, (struct gone){x, place_pod_node(t->place, x->pod)});
			place_pod_remove(t->place, x->pod);
			x->pod = PLACE_NONE;
		}
	}
}

/* There is always room for what was there before. */
static void put_back(struct schedule_job *job, all_gone *gone)
{
	struct err e = ERR_INIT;
	for (size_t i = gone->count; i-- > 0;) {
		struct placed *x = gone->items[i].placed;
		if (place_pod_put(job->tables->place, x->shape, gone->items[i].node, x->priority,
			    &x->pod, &e) != 0)
			job->err = e;
	}
	vec_done(gone);
}

/* ---- what is asked ---- */

static int add_part(struct making *m, const struct plan_part *part, struct err *e)
{
	const struct object *owner = m->workload->object;
	struct place_want want = {.node = PLACE_NONE};
	int64_t missing = part->replicas - (int64_t)part->staying.count;
	if (missing <= 0)
		return 0;
	CLEANUP(json_done) json_t *pod = json_deep_copy(part->template);
	CLEANUP(object_done) struct object *o = NULL;
	json_t *metadata = json_ensure_object(pod, "metadata");
	json_object_set_new(metadata, "name", json_string(owner->name));
	json_object_set_new(metadata, "namespace", json_string(owner->namespace));
	int rc = object_from_json(&kind_pod, pod, &o, e);
	if (rc == 0)
		rc = tables_shape(m->job->tables, pod, o, &want.shape, &want.priority, e);
	if (rc != 0)
		return rc;
	want.count = (uint32_t)missing;
	vec_push(&m->problem.wants, want);
	return 0;
}

static int ask_parts(struct making *m, struct err *e)
{
	m->problem.weights = place_weights_default();
	VEC_EACH (&m->workload->parts, struct plan_part, part) {
		int rc = add_part(m, part, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int ask_graph(struct making *m, struct place_problem *problem, struct err *e)
{
	struct schedule_tables *t = m->job->tables;
	VEC_EACH (&m->workload->parts, struct plan_part, part) {
		VEC_EACH (&part->staying, char *, uid) {
			struct placed *x = map_get(&t->pods, *uid);
			if (x)
				map_put(&m->graph.pods, *uid, x);
		}
	}
	m->problem.put_expected = true;
	problem->application = &m->problem.application;
	return graph_problem_finish(&m->problem, &m->graph, t, e);
}

static int make(struct making *m, struct err *e)
{
	bool whole = m->workload->object->kind == &kind_application;
	struct place_problem problem = {
		.mode = PLACE_BATCH, .seed = m->job->seed, .apply = true, .explain = true};
	if (whole) {
		m->graph.object = m->workload->object;
		graph_problem_init(&m->problem, &m->graph);
	}
	int rc = whole ? ask_graph(m, &problem, e) : ask_parts(m, e);
	if (rc != 0)
		return rc;
	problem.wants = m->problem.wants.items;
	problem.want_count = (uint32_t)m->problem.wants.count;
	problem.weights = &m->problem.weights;
	return place_solve(m->job->tables->place, &problem, &m->plan, e);
}

static void unmake(struct making *m)
{
	place_plan_undo(m->job->tables->place, &m->plan);
	place_plan_done(&m->plan);
	graph_problem_done(&m->problem, m->job->tables);
	map_done(&m->graph.pods);
}

/* ---- what is answered ---- */

static void set_component(const struct making *m, uint32_t component, json_t *json)
{
	if (m->graph.object)
		json_object_set_new(json, "component",
			json_string(m->problem.application.components[component]));
}

static void set_node(const struct making *m, const char *node, json_t *json)
{
	const char *site = tables_site_of(m->job->tables, node);
	json_object_set_new(json, "node", json_string(node));
	if (site)
		json_object_set_new(json, "site", json_string(site));
}

static void answer_staying(const struct making *m, json_t *pods)
{
	VEC_EACH (&m->workload->parts, struct plan_part, part) {
		VEC_EACH (&part->staying, char *, uid) {
			const struct placed *x = map_get(&m->job->tables->pods, *uid);
			if (!x)
				continue;
			json_t *json = json_pack("{s:b}", "running", 1);
			if (part->component)
				json_object_set_new(json, "component",
					json_string(part->component));
			set_node(m, x->node, json);
			json_array_append_new(pods, json);
		}
	}
}

static json_t *answer_pods(const struct making *m)
{
	const struct place *p = m->job->tables->place;
	json_t *pods = json_array();
	answer_staying(m, pods);
	for (uint32_t i = 0; i < m->plan.assignment_count; i++) {
		const struct place_assignment *a = &m->plan.assignments[i];
		json_t *json = json_pack("{s:b, s:f, s:o}", "running", 0, "cost", a->cost.total,
			"terms", result_terms(&m->problem.weights, &a->cost));
		set_component(m, m->problem.wants.items[a->want].component, json);
		set_node(m, place_node_name(p, a->node), json);
		if (a->alternative != PLACE_NONE)
			json_object_set_new(json, "alternative",
				result_alternative(&m->problem.weights, p, a));
		json_array_append_new(pods, json);
	}
	return pods;
}

static json_t *answer_refused(const struct making *m)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < m->plan.refusal_count; i++) {
		const struct place_refusal *r = &m->plan.refusals[i];
		CLEANUP(buf_done) struct buf message = BUF_INIT;
		place_refusal_write(r, &message);
		json_t *json = json_pack("{s:I, s:s, s:o}", "replicas", (json_int_t)r->count,
			"message", buf_text(&message), "refusals",
			result_reasons(r->reasons, r->reason_count));
		set_component(m, m->problem.wants.items[r->want].component, json);
		json_array_append_new(list, json);
	}
	return list;
}

static json_t *answer(const struct making *m)
{
	const struct object *o = m->workload->object;
	json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:f, s:o, s:o, s:o}", "kind", o->kind->name,
		"namespace", o->namespace, "name", o->name, "replaced",
		(json_int_t)m->workload->leaving.count, "cost", m->plan.cost.total, "terms",
		result_terms(&m->problem.weights, &m->plan.cost), "pods", answer_pods(m), "refused",
		answer_refused(m));
	if (m->graph.object && json_at(m->problem.tree, "spec", "links"))
		json_object_set(json, "links", json_at(m->problem.tree, "spec", "links"));
	return json;
}

void plan_make(struct schedule_job *job, struct schedule_plan *plan)
{
	VEC(struct making) all = {0};
	all_gone gone = {0};
	plan->result = json_pack("{s:[]}", "workloads");
	take_out(job->tables, plan, &gone);
	VEC_EACH (&plan->workloads, struct plan_workload, w) {
		struct making *m = vec_add(&all);
		m->job = job;
		m->workload = w;
		if (make(m, &plan->err) != 0) {
			err_prefix(&plan->err, "%s %.100s/%.200s", w->object->kind->name,
				w->object->namespace, w->object->name);
			break;
		}
		json_array_append_new(json_object_get(plan->result, "workloads"), answer(m));
	}
	for (size_t i = all.count; i-- > 0;)
		unmake(&all.items[i]);
	vec_done(&all);
	put_back(job, &gone);
}
