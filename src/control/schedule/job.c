#include "control/schedule/job.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/schedule/graph_problem.h"
#include "control/schedule/plan.h"
#include "control/schedule/result.h"

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
		object_unref(problem->about);
		free(problem->text);
	}
	vec_done(&job->problems);
	VEC_EACH (&job->plans, struct schedule_plan *, plan)
		plan_free(*plan);
	vec_done(&job->plans);
}

/* ---- what is decided together ---- */

/* Pods of one Application, or pods that are on their own. */
struct unit {
	struct graph *graph; /* null: on their own */
	int priority;        /* the highest */
	size_t number;
	VEC(struct place_want) wants;
	VEC(size_t) candidates; /* by want */
};

typedef VEC(struct unit) units;

static void unit_add(struct unit *u, const struct place_want *want, size_t candidate)
{
	if (u->wants.count == 0 || want->priority > u->priority)
		u->priority = want->priority;
	vec_push(&u->wants, *want);
	vec_push(&u->candidates, candidate);
}

static void unit_done(struct unit *u)
{
	vec_done(&u->wants);
	vec_done(&u->candidates);
}

static void units_done(units *all)
{
	VEC_EACH (all, struct unit, u)
		unit_done(u);
	vec_done(all);
}

/* Where a pod belongs: pods on their own are decided with others of their priority. */
static struct unit *unit_for(units *all, struct map *numbers, struct graph *graph, int priority)
{
	CLEANUP(mem_free_ptr)
	char *key = graph ? mem_dup_string(graph->id) : mem_format("%d", priority);
	size_t number = (size_t)(uintptr_t)map_get(numbers, key);
	if (number)
		return &all->items[number - 1];
	struct unit *u = vec_add(all);
	u->graph = graph;
	u->number = all->count;
	map_put(numbers, key, (void *)(uintptr_t)all->count);
	return u;
}

/* By priority; pods on their own first, then Applications in the order of their first pods. */
static int compare_units(const void *left, const void *right)
{
	const struct unit *a = left, *b = right;
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (!a->graph != !b->graph)
		return a->graph ? 1 : -1;
	return a->number < b->number ? -1 : 1;
}

static void read_units(struct schedule_job *job, units *ret_units)
{
	struct map numbers = {0};
	for (size_t i = 0; i < job->candidates.count; i++) {
		struct schedule_candidate *c = &job->candidates.items[i];
		CLEANUP(json_done) json_t *tree = object_tree(c->pod);
		struct place_want want = {.count = 1, .node = PLACE_NONE};
		struct err e = ERR_INIT;
		if (tables_shape(job->tables, tree, c->pod, &want.shape, &want.priority, &e) != 0) {
			result_failed(job, c, &e);
			continue;
		}
		struct graph *graph = tables_graph_of(job->tables, c->pod);
		unit_add(unit_for(ret_units, &numbers, graph, want.priority), &want, i);
	}
	map_done(&numbers);
	if (ret_units->count)
		qsort(ret_units->items, ret_units->count, sizeof(struct unit), compare_units);
}

/* ---- deciding ---- */

static void take_plan(const struct result_context *x, const struct unit *u,
	const struct place_plan *plan)
{
	struct schedule_candidate *candidates = x->job->candidates.items;
	for (uint32_t i = 0; i < plan->assignment_count; i++) {
		const struct place_assignment *a = &plan->assignments[i];
		if (a->want < u->wants.count) /* else it is one of those that are expected */
			result_assigned(x, &candidates[u->candidates.items[a->want]],
				&u->wants.items[a->want], a);
	}
	for (uint32_t i = 0; i < plan->refusal_count; i++) {
		const struct place_refusal *r = &plan->refusals[i];
		if (r->want < u->wants.count)
			result_refused(x, &candidates[u->candidates.items[r->want]],
				&u->wants.items[r->want], r);
	}
}

static void solve_pods(struct schedule_job *job, const struct unit *u)
{
	struct result_context x = {.job = job, .weights = place_weights_default()};
	struct place_problem problem = {.mode = PLACE_BATCH,
		.wants = u->wants.items,
		.want_count = (uint32_t)u->wants.count,
		.seed = job->seed,
		.apply = true,
		.explain = true};
	CLEANUP(place_plan_done) struct place_plan plan = {0};
	if (place_solve(job->tables->place, &problem, &plan, &job->err) == 0) {
		take_plan(&x, u, &plan);
		return;
	}
	for (size_t i = 0; i < u->wants.count; i++) {
		place_shape_release(job->tables->place, u->wants.items[i].shape);
		result_failed(job, &job->candidates.items[u->candidates.items[i]], &job->err);
	}
}

/* What is not news was told before. */
static void tell_problem(struct schedule_job *job, struct graph *graph, const char *text)
{
	if (str_equal(text, graph->problem))
		return;
	free(graph->problem);
	graph->problem = text ? mem_dup_string(text) : NULL;
	if (text)
		vec_push(&job->problems,
			(struct schedule_problem){object_ref(graph->object), mem_dup_string(text)});
}

/* Those of components that the Application does not have go to others. */
static void add_waiting(struct schedule_job *job, const struct unit *u, struct graph_problem *g,
	struct unit *ret_known, struct unit *ret_others)
{
	for (size_t i = 0; i < u->wants.count; i++) {
		size_t candidate = u->candidates.items[i];
		const struct object *pod = job->candidates.items[candidate].pod;
		bool known = graph_problem_add(g, pod, &u->wants.items[i]);
		unit_add(known ? ret_known : ret_others, &u->wants.items[i], candidate);
	}
}

static int solve_known(struct schedule_job *job, struct graph *graph, struct graph_problem *g,
	const struct unit *known, struct err *e)
{
	int rc = graph_problem_finish(g, graph, job->tables, e);
	if (rc != 0)
		return rc;
	struct result_context x = {
		.job = job, .weights = g->weights, .application = graph->object->name};
	struct place_problem problem = {.mode = PLACE_BATCH,
		.wants = g->wants.items,
		.want_count = (uint32_t)g->wants.count,
		.application = &g->application,
		.weights = &g->weights,
		.seed = job->seed,
		.apply = true,
		.explain = true};
	CLEANUP(place_plan_done) struct place_plan plan = {0};
	rc = place_solve(job->tables->place, &problem, &plan, e);
	if (rc == 0)
		take_plan(&x, known, &plan);
	return rc;
}

/* An Application that the engine cannot take as a whole is told of, and its pods are placed one by
 * one. */
static void solve_graph(struct schedule_job *job, const struct unit *u)
{
	struct graph_problem g;
	CLEANUP(unit_done) struct unit known = {0}, others = {0};
	struct err e = ERR_INIT;
	graph_problem_init(&g, u->graph);
	add_waiting(job, u, &g, &known, &others);
	int rc = known.wants.count ? solve_known(job, u->graph, &g, &known, &e) : 0;
	tell_problem(job, u->graph, rc ? e.text : NULL);
	graph_problem_done(&g, job->tables);
	if (rc != 0)
		solve_pods(job, &known);
	if (others.wants.count)
		solve_pods(job, &others);
}

/* Pods on their own whose turn is one after the other's are seen together: some of them may seek
 * the company of others. */
static void solve_on_their_own(struct schedule_job *job, const units *all, size_t from, size_t to)
{
	CLEANUP(unit_done) struct unit together = {0};
	for (size_t i = from; i < to; i++) {
		const struct unit *u = &all->items[i];
		for (size_t k = 0; k < u->wants.count; k++)
			unit_add(&together, &u->wants.items[k], u->candidates.items[k]);
	}
	solve_pods(job, &together);
}

void schedule_job_run(struct schedule_job *job)
{
	units all = {0};
	tables_apply(job);
	read_units(job, &all);
	for (size_t i = 0, end; i < all.count; i = end) {
		end = i + 1;
		if (all.items[i].graph) {
			solve_graph(job, &all.items[i]);
			continue;
		}
		while (end < all.count && !all.items[end].graph)
			end++;
		solve_on_their_own(job, &all, i, end);
	}
	units_done(&all);
	VEC_EACH (&job->plans, struct schedule_plan *, plan)
		plan_make(job, *plan);
}
