#include "control/schedule_job.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/nodespec.h"
#include "control/podspec.h"
#include "control/sites.h"
#include "control/step.h"

struct placed { /* a pod that counts on a node, or would if the node were known */
	uint32_t shape;
	uint32_t pod; /* PLACE_NONE: its node is not in the tables */
	int priority;
	char *node;
};

static void free_placed(void *value)
{
	struct placed *x = value;
	free(x->node);
	free(x);
}

struct known_node {
	struct object *object;
	bool connected;
	char *problems; /* that were told; null: none */
};

static void free_known_node(void *value)
{
	struct known_node *x = value;
	object_unref(x->object);
	free(x->problems);
	free(x);
}

static void free_object(void *value)
{
	object_unref(value);
}

struct schedule_tables *schedule_tables_new(void)
{
	struct schedule_tables *t = mem_new(struct schedule_tables);
	t->place = place_new();
	map_init(&t->pods, free_placed);
	map_init(&t->namespaces, free_object);
	map_init(&t->nodes, free_known_node);
	map_init(&t->sites, sites_free_row);
	return t;
}

void schedule_tables_free(struct schedule_tables *t)
{
	if (!t)
		return;
	map_done(&t->pods);
	map_done(&t->namespaces);
	map_done(&t->nodes);
	map_done(&t->sites);
	place_free(t->place);
	free(t);
}

void schedule_change_free(void *value)
{
	struct schedule_change *change = value;
	object_unref(change->object);
	free(change->id);
	free(change);
}

static void candidate_done(struct schedule_candidate *c)
{
	object_unref(c->pod);
	object_unref(c->next);
	free(c->node);
	free(c->message);
	free(c->explanation);
}

void schedule_job_done(struct schedule_job *job)
{
	map_done(&job->changes);
	VEC_EACH (&job->candidates, struct schedule_candidate, c)
		candidate_done(c);
	vec_done(&job->candidates);
	VEC_EACH (&job->problems, struct schedule_problem, problem) {
		object_unref(problem->node);
		free(problem->text);
	}
	vec_done(&job->problems);
}

/* ---- pods ---- */

static int shape_of(struct schedule_tables *t, const struct object *pod, uint32_t *ret_shape,
	int *ret_priority, struct err *e)
{
	CLEANUP(json_done) json_t *tree = object_tree(pod);
	CLEANUP(arena_done) struct arena arena = {0};
	struct place_spec spec;
	int rc = podspec_read(tree, pod, &t->namespaces, &arena, &spec, e);
	if (rc != 0)
		return rc;
	*ret_priority = podspec_priority(tree);
	return place_shape(t->place, &spec, ret_shape, e);
}

static void forget_pod(struct schedule_tables *t, const char *uid)
{
	struct placed *x = map_get(&t->pods, uid);
	if (!x)
		return;
	if (x->pod != PLACE_NONE)
		place_pod_remove(t->place, x->pod);
	place_shape_release(t->place, x->shape);
	map_remove(&t->pods, uid);
}

static int put_on_node(struct schedule_tables *t, struct placed *x, struct err *e)
{
	uint32_t node = place_node_find(t->place, x->node);
	if (node == PLACE_NONE)
		return 0;
	return place_pod_put(t->place, x->shape, node, x->priority, &x->pod, e);
}

/* Takes the reference to the shape. */
static struct placed *remember_pod(struct schedule_tables *t, const char *uid, const char *node,
	uint32_t shape, int priority)
{
	struct placed *x = mem_new(struct placed);
	*x = (struct placed){shape, PLACE_NONE, priority, mem_dup_string(node)};
	map_put(&t->pods, uid, x);
	return x;
}

static int change_pod(struct schedule_tables *t, const struct schedule_change *change,
	struct err *e)
{
	if (!change->object) {
		forget_pod(t, change->id);
		return 0;
	}
	uint32_t shape;
	int priority;
	int rc = shape_of(t, change->object, &shape, &priority, e);
	if (rc != 0)
		return rc;
	const struct placed *have = map_get(&t->pods, change->id);
	if (have && have->shape == shape && str_equal(have->node, change->object->node)) {
		place_shape_release(t->place, shape);
		return 0;
	}
	forget_pod(t, change->id);
	return put_on_node(t, remember_pod(t, change->id, change->object->node, shape, priority),
		e);
}

/* ---- nodes ---- */

static void remove_node(struct schedule_tables *t, const char *name)
{
	uint32_t node = place_node_find(t->place, name);
	if (node == PLACE_NONE)
		return;
	place_node_remove(t->place, node);
	MAP_EACH (&t->pods, entry) {
		struct placed *x = entry->value;
		if (str_equal(x->node, name))
			x->pod = PLACE_NONE;
	}
}

/* What is not news was told before. */
static void tell_problems(struct schedule_job *job, struct known_node *x,
	const struct buf *problems)
{
	const char *text = problems->size ? buf_text(problems) : NULL;
	if (str_equal(text, x->problems))
		return;
	free(x->problems);
	x->problems = text ? mem_dup_string(text) : NULL;
	if (text)
		vec_push(&job->problems,
			(struct schedule_problem){object_ref(x->object), mem_dup_string(text)});
}

static int set_node(struct schedule_job *job, struct known_node *x, struct err *e)
{
	struct schedule_tables *t = job->tables;
	CLEANUP(json_done) json_t *tree = object_tree(x->object);
	CLEANUP(arena_done) struct arena arena = {0};
	CLEANUP(buf_done) struct buf problems = BUF_INIT;
	struct place_node node;
	uint32_t index;
	const char *country = sites_country(&t->sites, nodespec_site(x->object));
	nodespec_read(tree, x->object, x->connected, country, &arena, &node, &problems);
	int rc = place_node_set(t->place, &node, &index, e);
	tell_problems(job, x, &problems);
	return rc;
}

static struct known_node *know_node(struct schedule_tables *t, const struct schedule_change *change)
{
	struct known_node *x = map_get(&t->nodes, change->id);
	if (!x) {
		x = mem_new(struct known_node);
		map_put(&t->nodes, change->id, x);
	}
	object_unref(x->object);
	x->object = object_ref(change->object);
	x->connected = change->connected;
	return x;
}

static int change_node(struct schedule_job *job, const struct schedule_change *change,
	struct err *e)
{
	struct schedule_tables *t = job->tables;
	if (!change->object) {
		remove_node(t, change->id);
		map_remove(&t->nodes, change->id);
		return 0;
	}
	bool known = place_node_find(t->place, change->id) != PLACE_NONE;
	int rc = set_node(job, know_node(t, change), e);
	if (rc != 0 || known)
		return rc;
	MAP_EACH (&t->pods, entry) { /* pods that were there before their node was known */
		struct placed *x = entry->value;
		if (rc == 0 && x->pod == PLACE_NONE && str_equal(x->node, change->id))
			rc = put_on_node(t, x, e);
	}
	return rc;
}

static void change_namespace(struct schedule_tables *t, const struct schedule_change *change)
{
	if (change->object)
		map_put(&t->namespaces, change->id, object_ref(change->object));
	else
		map_remove(&t->namespaces, change->id);
}

static int change(struct schedule_job *job, const struct schedule_change *change, struct err *e)
{
	if (change->what == SCHEDULE_NODE)
		return change_node(job, change, e);
	if (change->what == SCHEDULE_POD)
		return change_pod(job->tables, change, e);
	if (change->what == SCHEDULE_NAMESPACE)
		change_namespace(job->tables, change);
	return 0;
}

static void keep_err(struct schedule_job *job, int rc, const char *what, struct err *e)
{
	if (rc == 0)
		return;
	err_prefix(e, "%s", what);
	job->err = *e;
}

/* Before the nodes, whose country they say. */
static void apply_sites(struct schedule_job *job, struct map *ret_moved)
{
	struct schedule_tables *t = job->tables;
	MAP_EACH (&job->changes, entry) {
		const struct schedule_change *change = entry->value;
		struct err e = ERR_INIT;
		bool moved = false;
		if (change->what != SCHEDULE_SITE)
			continue;
		int rc = sites_change(&t->sites, t->place, change->id, change->object, &moved, &e);
		if (moved)
			map_put(ret_moved, change->id, ret_moved);
		keep_err(job, rc, change->id, &e);
	}
}

/* Nodes whose site went into another country. */
static void move_nodes(struct schedule_job *job, const struct map *moved)
{
	if (moved->count == 0)
		return;
	MAP_EACH (&job->tables->nodes, entry) {
		struct known_node *x = entry->value;
		const char *site = nodespec_site(x->object);
		struct err e = ERR_INIT;
		if (site && map_has(moved, site))
			keep_err(job, set_node(job, x, &e), entry->key, &e);
	}
}

static void apply_changes(struct schedule_job *job)
{
	struct map moved = {0};
	apply_sites(job, &moved);
	move_nodes(job, &moved);
	map_done(&moved);
	MAP_EACH (&job->changes, entry) {
		const struct schedule_change *one = entry->value;
		struct err e = ERR_INIT;
		keep_err(job, change(job, one, &e), one->id, &e);
	}
}

/* ---- explanations ---- */

static json_t *terms_json(const struct place_cost *cost)
{
	const struct place_weights weights = place_weights_default();
	json_t *terms = json_object();
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		if (weights.of[i] != 0)
			json_object_set_new(terms, place_term_name((enum place_term)i),
				json_real(cost->terms[i]));
	return terms;
}

static json_t *reasons_json(const struct place_reason *reasons, uint32_t count)
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

static char *explain_assignment(const struct place *p, const struct place_assignment *a)
{
	json_t *json = json_pack("{s:s, s:I, s:I, s:f, s:o}", "node", place_node_name(p, a->node),
		"nodes", (json_int_t)place_node_count(p), "feasible", (json_int_t)a->feasible,
		"cost", a->cost.total, "terms", terms_json(&a->cost));
	if (a->alternative != PLACE_NONE)
		json_object_set_new(json, "alternative",
			json_pack("{s:s, s:f, s:o}", "node", place_node_name(p, a->alternative),
				"cost", a->alternative_cost.total, "terms",
				terms_json(&a->alternative_cost)));
	json_object_set_new(json, "refusals", reasons_json(a->reasons, a->reason_count));
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

static void take_assignment(struct schedule_job *job, struct schedule_candidate *c,
	const struct place_want *want, const struct place_assignment *a)
{
	struct schedule_tables *t = job->tables;
	c->node = mem_dup_string(place_node_name(t->place, a->node));
	c->explanation = explain_assignment(t->place, a);
	bind(job, c);
	if (!c->placed) {
		place_pod_remove(t->place, a->pod);
		place_shape_release(t->place, want->shape);
		return;
	}
	forget_pod(t, c->pod->uid);
	remember_pod(t, c->pod->uid, c->node, want->shape, want->priority)->pod = a->pod;
}

static void take_refusal(struct schedule_job *job, struct schedule_candidate *c,
	const struct place_want *want, const struct place_refusal *r)
{
	CLEANUP(buf_done) struct buf message = BUF_INIT;
	place_refusal_write(r, &message);
	c->message = buf_take(&message, NULL);
	c->explanation = explanation_text(json_pack("{s:n, s:s, s:I, s:o}", "node", "message",
		c->message, "nodes", (json_int_t)r->nodes, "refusals",
		reasons_json(r->reasons, r->reason_count)));
	refuse(job, c);
	place_shape_release(job->tables->place, want->shape);
}

static void take_error(struct schedule_job *job, struct schedule_candidate *c, const struct err *e)
{
	c->message = mem_dup_string(e->text);
	c->explanation = explanation_text(json_pack("{s:n, s:s, s:[]}", "node", "message",
		c->message, "refusals"));
	refuse(job, c);
}

/* ---- the job ---- */

static int solve(struct schedule_job *job, struct place_want *wants, size_t *from, size_t count)
{
	struct place *p = job->tables->place;
	struct place_problem problem = {.mode = PLACE_BATCH,
		.wants = wants,
		.want_count = (uint32_t)count,
		.seed = job->seed,
		.apply = true,
		.explain = true};
	CLEANUP(place_plan_done) struct place_plan plan = {0};
	int rc = place_solve(p, &problem, &plan, &job->err);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < plan.assignment_count; i++) {
		const struct place_assignment *a = &plan.assignments[i];
		const struct place_want *want = &wants[a->want];
		take_assignment(job, &job->candidates.items[from[a->want]], want, a);
	}
	for (uint32_t i = 0; i < plan.refusal_count; i++) {
		const struct place_refusal *r = &plan.refusals[i];
		take_refusal(job, &job->candidates.items[from[r->want]], &wants[r->want], r);
	}
	return 0;
}

void schedule_job_run(struct schedule_job *job)
{
	apply_changes(job);
	size_t total = job->candidates.count, count = 0;
	struct place_want *wants = mem_alloc_array(total, sizeof(*wants));
	size_t *from = mem_alloc_array(total, sizeof(*from));
	for (size_t i = 0; i < total; i++) {
		struct schedule_candidate *c = &job->candidates.items[i];
		struct place_want *want = &wants[count];
		struct err e = ERR_INIT;
		*want = (struct place_want){.count = 1, .node = PLACE_NONE};
		if (shape_of(job->tables, c->pod, &want->shape, &want->priority, &e) == 0)
			from[count++] = i;
		else
			take_error(job, c, &e);
	}
	if (count && solve(job, wants, from, count) != 0)
		for (size_t i = 0; i < count; i++) {
			place_shape_release(job->tables->place, wants[i].shape);
			take_error(job, &job->candidates.items[from[i]], &job->err);
		}
	free(wants);
	free(from);
}
