/*
 * The scheduler: pods without a node, all that wait at once, go to the placement job together with
 * what changed in the world since the last one; what comes back is committed against the revisions
 * that the job saw. One job at a time. There is no polling: a job starts when a pod starts to wait,
 * or when something changed that may help those who were refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/runtime.h"
#include "control/schedule/job.h"
#include "control/schedule/plan.h"
#include "control/step.h"
#include "control/view.h"

#define COMPONENT "default-scheduler"
#define CHANGES_MAX 2000    /* that wait for the next job before one is started for them */
#define CHANGES_IDLE_MS 500 /* after which a job is started for changes alone */
#define RETRY_MIN_MS 10     /* of refused pods; and at least four times as long as a job took */
#define STORE_RETRY_MS 1000 /* after the store refused a binding for a reason of its own */
#define RACES_MAX 3         /* lost in a row before that is waited: another server may lead now */
#define CANDIDATES_MAX 2000 /* of one job, so that the first are not kept waiting by the last */

struct waiting { /* a pod without a node */
	char *uid;
	int64_t since_ms;
	bool refused; /* tried, and nothing changed since */
	int races;    /* bindings in a row that did not succeed */
	bool binding; /* in the job, or its commit is on the way */
	char *message;
	char *explanation;
};

struct running_job {
	struct schedule_job job;
	struct scheduler *scheduler; /* null: freed meanwhile */
	int64_t start_ms;
};

struct scheduler {
	struct control *control;
	struct map waiting; /* key -> struct waiting */
	struct map changes; /* "n…", "s…", "z…", "a…", "p…" -> struct schedule_change */
	struct schedule_tables *tables; /* null while the job has them */
	struct running_job *running;
	struct loop_timer *start, *retry, *idle;
	struct list binds;                 /* on their way */
	VEC(struct schedule_plan *) plans; /* for the next job */
	int64_t last_job_ms;
	uint64_t jobs;
	int64_t placed, refused, bind_conflicts;
	int64_t wait_ms_total;
};

static void free_waiting(void *value)
{
	struct waiting *w = value;
	free(w->uid);
	free(w->message);
	free(w->explanation);
	free(w);
}

/* ---- what changed ---- */

static void note_change(struct scheduler *s, char tag, int what, const char *id,
	const struct object *object)
{
	struct schedule_change *change = mem_new(struct schedule_change);
	change->what = (unsigned)what;
	change->id = mem_dup_string(id);
	change->object = object ? object_ref(object) : NULL;
	change->connected =
		what != SCHEDULE_NODE || view_node_state(s->control->view, id).connected;
	CLEANUP(mem_free_ptr) char *key = mem_format("%c%s", tag, id);
	map_put(&s->changes, key, change);
	if (s->changes.count >= CHANGES_MAX)
		loop_timer_start(s->start, 0);
	else if (!loop_timer_active(s->idle))
		loop_timer_start(s->idle, CHANGES_IDLE_MS);
}

static void retry_refused(struct scheduler *s)
{
	if (loop_timer_active(s->retry))
		return;
	int64_t delay_ms = 4 * s->last_job_ms;
	loop_timer_start(s->retry, delay_ms > RETRY_MIN_MS ? delay_ms : RETRY_MIN_MS);
}

/* Keys in blobs are never inside a string, where their quotes would be escaped. */
static bool is_ours(const struct object *pod)
{
	static const char key[] = "\"schedulerName\":\"";
	const char *name = strstr(pod->blob, key);
	if (name && !str_starts(name + sizeof(key) - 1, COMPONENT "\""))
		return false;
	const char *gates = strstr(pod->blob, "\"schedulingGates\":[");
	return !gates || gates[sizeof("\"schedulingGates\":[") - 1] == ']';
}

static bool waits(const struct object *pod)
{
	return pod && !pod->node[0] && step_pod_active(pod) && is_ours(pod);
}

static bool same_labels(const struct object *a, const struct object *b)
{
	if (a->label_count != b->label_count)
		return false;
	for (size_t i = 0; i < a->label_count; i++)
		if (!str_equal(a->labels[i].key, b->labels[i].key) ||
			!str_equal(a->labels[i].value, b->labels[i].value))
			return false;
	return true;
}

static void note_waiting(struct scheduler *s, const char *key, const struct object *pod,
	const struct object *previous)
{
	struct waiting *w = map_get(&s->waiting, key);
	if (w && str_equal(w->uid, pod->uid)) {
		if (!previous || previous->generation != pod->generation ||
			!same_labels(previous, pod))
			w->refused = false;
	} else {
		w = mem_new(struct waiting);
		w->uid = mem_dup_string(pod->uid);
		w->since_ms = loop_now_ms(s->control->config.loop);
		map_put(&s->waiting, key, w);
	}
	if (!w->refused)
		loop_timer_start(s->start, 0);
}

/* A pod counts on its node until it is gone or over. */
static void note_pod(struct scheduler *s, const struct object *pod, const struct object *previous)
{
	char key[OBJECT_KEY_MAX];
	const struct object *any = pod ? pod : previous;
	object_key(any, key);
	if (waits(pod)) {
		note_waiting(s, key, pod, previous);
		return;
	}
	bool waited = map_remove(&s->waiting, key);
	bool counts = pod && pod->node[0] && !step_pod_over(pod);
	bool counted = previous && previous->node[0] && !step_pod_over(previous);
	if (counts && counted && same_labels(pod, previous) &&
		pod->generation == previous->generation)
		return;
	if (!counts && !counted && !waited)
		return;
	note_change(s, 'p', SCHEDULE_POD, any->uid, counts ? pod : NULL);
	retry_refused(s);
}

void scheduler_on_change(struct scheduler *s, const struct object *object,
	const struct object *previous)
{
	const struct object *any = object ? object : previous;
	if (any->kind == &kind_pod) {
		bool another = object && previous && !str_equal(object->uid, previous->uid);
		if (another)
			note_pod(s, NULL, previous);
		note_pod(s, object, another ? NULL : previous);
	} else if (any->kind == &kind_node) {
		note_change(s, 'n', SCHEDULE_NODE, any->name, object);
		retry_refused(s);
	} else if (any->kind == &kind_namespace) {
		note_change(s, 's', SCHEDULE_NAMESPACE, any->name, object);
	} else if (any->kind == &kind_site) {
		note_change(s, 'z', SCHEDULE_SITE, any->name, object);
		retry_refused(s); /* its country may be what data asks for */
	} else if (any->kind == &kind_application) {
		CLEANUP(mem_free_ptr) char *id = mem_format("%s/%s", any->namespace, any->name);
		note_change(s, 'a', SCHEDULE_APPLICATION, id, object);
		retry_refused(s);
	}
}

void scheduler_node_changed(struct scheduler *s, const char *node)
{
	const struct object *o = view_get(s->control->view, &kind_node, "", node);
	if (!o)
		return;
	note_change(s, 'n', SCHEDULE_NODE, node, o);
	retry_refused(s);
}

/* ---- commits of results ---- */

struct bind {
	struct list link; /* in scheduler.binds */
	struct scheduler *scheduler;
	size_t count;
	struct {
		char *key, *uid, *node;
		struct object *next; /* kept, to try one by one after a conflict */
		int64_t revision;
		bool placed;
	} pods[STORE_OPS_MAX];
};

static void bind_add(struct bind *b, const struct schedule_candidate *c)
{
	char key[OBJECT_KEY_MAX];
	object_key(c->pod, key);
	b->pods[b->count].key = mem_dup_string(key);
	b->pods[b->count].uid = mem_dup_string(c->pod->uid);
	b->pods[b->count].node = mem_dup_string(c->node);
	b->pods[b->count].next = object_ref(c->next);
	b->pods[b->count].revision = c->pod->revision;
	b->pods[b->count].placed = c->placed;
	b->count++;
}

static struct bind *bind_new(struct scheduler *s)
{
	struct bind *b = mem_new(struct bind);
	b->scheduler = s;
	list_append(&s->binds, &b->link);
	return b;
}

static void bind_free(struct bind *b)
{
	for (size_t i = 0; i < b->count; i++) {
		free(b->pods[i].key);
		free(b->pods[i].uid);
		free(b->pods[i].node);
		object_unref(b->pods[i].next);
	}
	list_remove(&b->link);
	free(b);
}

static void on_bound(void *arg, const struct err *err);

static void bind_commit(struct bind *b)
{
	struct store_op ops[STORE_OPS_MAX];
	struct store_compare compares[STORE_OPS_MAX];
	for (size_t i = 0; i < b->count; i++) {
		ops[i] = (struct store_op){b->pods[i].key, object_ref(b->pods[i].next)};
		compares[i] = (struct store_compare){
			b->pods[i].key, STORE_IF_REVISION, b->pods[i].revision};
	}
	control_commit(b->scheduler->control, compares, b->count, ops, b->count, on_bound, b);
}

static void tell_bound(struct scheduler *s, const struct bind *b, size_t i)
{
	const struct object *pod = view_get_key(s->control->view, b->pods[i].key);
	s->placed++;
	if (!pod)
		return;
	CLEANUP(mem_free_ptr)
	char *text = mem_format("Successfully assigned %s/%s to %s", pod->namespace, pod->name,
		b->pods[i].node);
	const struct control_event event = {pod, false, "Scheduled", text, COMPONENT};
	recorder_add(s->control->recorder, &event);
}

static bool is_race(const struct err *err)
{
	return err->code == ERR_CONFLICT || err->code == ERR_EXISTS || err->code == ERR_NOT_FOUND;
}

/* The pod changed meanwhile, is gone, or the store does not take it (a full disk). Its room is
 * given back; if it still waits it is next, after a while when the store is at fault. */
static void give_back(struct scheduler *s, const struct bind *b, size_t i, bool race)
{
	struct waiting *w = map_get(&s->waiting, b->pods[i].key);
	s->bind_conflicts++;
	if (b->pods[i].placed) {
		const struct object *pod = view_get_key(s->control->view, b->pods[i].key);
		bool same = pod && str_equal(pod->uid, b->pods[i].uid);
		bool counts = same && pod->node[0] && !step_pod_over(pod);
		note_change(s, 'p', SCHEDULE_POD, b->pods[i].uid, counts ? pod : NULL);
	}
	if (w && str_equal(w->uid, b->pods[i].uid)) {
		w->binding = false;
		bool at_once = race && w->races++ < RACES_MAX;
		w->refused = !at_once;
		if (at_once)
			loop_timer_start(s->start, 1);
		else
			loop_timer_start(s->retry, STORE_RETRY_MS);
	}
}

static void split(struct bind *b)
{
	struct scheduler *s = b->scheduler;
	for (size_t i = 0; i < b->count; i++) {
		struct bind *one = bind_new(s);
		one->pods[0] = b->pods[i];
		one->count = 1;
		bind_commit(one);
	}
	b->count = 0; /* its pods were handed on */
}

static void on_bound(void *arg, const struct err *err)
{
	struct bind *b = arg;
	struct scheduler *s = b->scheduler;
	if (err && err->code == ERR_CANCELLED) {
		bind_free(b);
		return;
	}
	if (err && !is_race(err))
		log_err(s->control->config.log, LOG_WARN, "bind_failed", err, "pods=%zu", b->count);
	if (err && is_race(err) && b->count > 1) {
		split(b);
	} else {
		for (size_t i = 0; i < b->count; i++) {
			if (err)
				give_back(s, b, i, is_race(err));
			else if (b->pods[i].placed)
				tell_bound(s, b, i);
		}
	}
	bind_free(b);
}

static void take_refusal(struct scheduler *s, struct waiting *w, struct schedule_candidate *c)
{
	bool news = !str_equal(w->message, c->message);
	w->binding = false;
	w->refused = true;
	free(w->message);
	free(w->explanation);
	w->message = take_ptr(c->message);
	w->explanation = take_ptr(c->explanation);
	s->refused++;
	if (!news)
		return;
	const struct control_event event = {
		c->pod, true, "FailedScheduling", w->message, COMPONENT};
	recorder_add(s->control->recorder, &event);
}

static void tell_problems(struct scheduler *s, const struct schedule_job *job)
{
	VEC_EACH (&job->problems, struct schedule_problem, problem) {
		const struct control_event event = {
			problem->about, true, "InvalidPlacementInput", problem->text, COMPONENT};
		recorder_add(s->control->recorder, &event);
	}
}

static void take_results(struct scheduler *s, struct schedule_job *job)
{
	int64_t now_ms = loop_now_ms(s->control->config.loop);
	struct bind *b = NULL;
	VEC_EACH (&job->candidates, struct schedule_candidate, c) {
		char key[OBJECT_KEY_MAX];
		object_key(c->pod, key);
		struct waiting *w = map_get(&s->waiting, key);
		bool current = w && str_equal(w->uid, c->pod->uid);
		if (!current) { /* gone while the job ran */
			if (c->placed)
				note_change(s, 'p', SCHEDULE_POD, c->pod->uid, NULL);
			continue;
		}
		if (c->placed)
			s->wait_ms_total += now_ms - w->since_ms;
		else
			take_refusal(s, w, c);
		if (!c->next)
			continue;
		if (!b)
			b = bind_new(s);
		bind_add(b, c);
		if (b->count == STORE_OPS_MAX)
			bind_commit(take_ptr(b));
	}
	if (b)
		bind_commit(b);
}

/* ---- jobs ---- */

static void work(void *arg)
{
	struct running_job *running = arg;
	schedule_job_run(&running->job);
}

static void start_if_needed(struct scheduler *s);

static void done(void *arg)
{
	struct running_job *running = arg;
	struct scheduler *s = running->scheduler;
	if (s) {
		s->running = NULL;
		s->tables = running->job.tables;
		s->last_job_ms = loop_now_ms(s->control->config.loop) - running->start_ms;
		if (running->job.err.code)
			log_err(s->control->config.log, LOG_WARN, "placement_problem",
				&running->job.err, "job=%llu", (unsigned long long)s->jobs);
		tell_problems(s, &running->job);
		take_results(s, &running->job);
		VEC_EACH (&running->job.plans, struct schedule_plan *, plan)
			plan_tell(*plan, NULL);
		start_if_needed(s);
	} else {
		schedule_tables_free(running->job.tables);
	}
	schedule_job_done(&running->job);
	free(running);
}

static void collect(struct scheduler *s, struct schedule_job *job)
{
	MAP_EACH (&s->waiting, entry) {
		struct waiting *w = entry->value;
		if (w->refused || w->binding || job->candidates.count >= CANDIDATES_MAX)
			continue;
		const struct object *pod = view_get_key(s->control->view, entry->key);
		if (!pod || !str_equal(pod->uid, w->uid))
			continue;
		w->binding = true;
		vec_add(&job->candidates)->pod = object_ref(pod);
	}
}

static void start(struct scheduler *s, struct schedule_job *filled)
{
	struct control_config *config = &s->control->config;
	struct running_job *running = mem_new(struct running_job);
	running->job = *filled;
	running->scheduler = s;
	running->start_ms = loop_now_ms(config->loop);
	running->job.tables = take_ptr(s->tables);
	running->job.changes = s->changes;
	running->job.seed = config->seed + s->jobs;
	running->job.wall_ms = loop_wall_ms(config->loop);
	map_init(&s->changes, schedule_change_free);
	s->jobs++;
	s->running = running;
	loop_timer_stop(s->idle);
	loop_job(config->loop, work, done, running);
}

static void start_with(struct scheduler *s, bool changes_alone)
{
	struct schedule_job job = {0};
	if (s->running)
		return; /* its end looks again */
	collect(s, &job);
	VEC_EACH (&s->plans, struct schedule_plan *, plan)
		vec_push(&job.plans, *plan);
	vec_done(&s->plans);
	if (job.candidates.count || job.plans.count || (changes_alone && s->changes.count))
		start(s, &job);
}

static void start_if_needed(struct scheduler *s)
{
	start_with(s, s->changes.count >= CHANGES_MAX);
}

static void on_start(void *arg)
{
	start_if_needed(arg);
}

static void on_idle(void *arg)
{
	start_with(arg, true);
}

static void on_retry(void *arg)
{
	struct scheduler *s = arg;
	MAP_EACH (&s->waiting, entry)
		((struct waiting *)entry->value)->refused = false;
	start_if_needed(s);
}

/* ---- explain, metrics, life ---- */

json_t *scheduler_explain(struct scheduler *s, const struct object *pod)
{
	char key[OBJECT_KEY_MAX];
	object_key(pod, key);
	const struct waiting *w = map_get(&s->waiting, key);
	CLEANUP(json_done) json_t *tree = object_tree(pod);
	const char *text = w && w->explanation ? w->explanation
					       : json_text(tree, NULL, "metadata", "annotations",
							 CONTROL_PLACEMENT_ANNOTATION);
	json_t *json = NULL;
	if (!text || json_decode(text, strlen(text), &json, NULL) != 0 || !json_is_object(json)) {
		json_done(&json);
		if (!pod->node[0])
			return NULL;
		json = json_pack("{s:s, s:s}", "node", pod->node, "message",
			"the node was given with the pod, nothing was decided");
	}
	char name[OBJECT_KEY_MAX];
	snprintf(name, sizeof(name), "%.250s/%.250s", pod->namespace, pod->name);
	json_object_set_new(json, "pod", json_string(name));
	return json;
}

int scheduler_plan(struct scheduler *s, json_t *const *trees, const struct kind *const *kinds,
	size_t count, control_plan_cb *on_plan, void *arg, struct err *e)
{
	struct schedule_plan *plan = mem_new(struct schedule_plan);
	int rc = 0;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = plan_add(plan, s->control->view, kinds[i], trees[i], e);
	view_end_step(s->control->view);
	if (rc != 0) {
		plan_free(plan);
		return rc;
	}
	plan->done = on_plan;
	plan->arg = arg;
	vec_push(&s->plans, plan);
	loop_timer_start(s->start, 0);
	return 0;
}

/* Those in a running job are freed with it. */
static void cancel_plans(struct scheduler *s)
{
	struct err e;
	err_set(&e, ERR_CANCELLED, "the server stops");
	VEC_EACH (&s->plans, struct schedule_plan *, plan) {
		plan_tell(*plan, &e);
		plan_free(*plan);
	}
	vec_done(&s->plans);
	if (s->running)
		VEC_EACH (&s->running->job.plans, struct schedule_plan *, plan)
			plan_tell(*plan, &e);
}

void scheduler_metrics(const struct scheduler *s, struct buf *b)
{
	const struct {
		const char *name, *type, *help;
		double value;
	} metrics[] = {
		{"continuo_scheduler_jobs_total", "counter", "Placement jobs.", (double)s->jobs},
		{"continuo_scheduler_placed_total", "counter", "Pods bound to a node.",
			(double)s->placed},
		{"continuo_scheduler_refused_total", "counter",
			"Attempts to place a pod that found no node.", (double)s->refused},
		{"continuo_scheduler_conflicts_total", "counter",
			"Bindings that lost a race and were tried again.",
			(double)s->bind_conflicts},
		{"continuo_scheduler_wait_seconds_total", "counter",
			"Time that placed pods waited for the decision, added up.",
			(double)s->wait_ms_total / 1000},
		{"continuo_scheduler_pending", "gauge", "Pods without a node.",
			(double)s->waiting.count},
		{"continuo_scheduler_last_job_seconds", "gauge", "How long the last job took.",
			(double)s->last_job_ms / 1000}};
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
		buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %g\n", metrics[i].name,
			metrics[i].help, metrics[i].name, metrics[i].type, metrics[i].name,
			metrics[i].value);
}

struct scheduler *scheduler_new(struct control *c)
{
	struct scheduler *s = mem_new(struct scheduler);
	s->control = c;
	s->tables = schedule_tables_new();
	map_init(&s->waiting, free_waiting);
	map_init(&s->changes, schedule_change_free);
	list_init(&s->binds);
	s->start = loop_timer_new(c->config.loop, on_start, s);
	s->retry = loop_timer_new(c->config.loop, on_retry, s);
	s->idle = loop_timer_new(c->config.loop, on_idle, s);
	return s;
}

void scheduler_free(struct scheduler *s)
{
	if (!s)
		return;
	cancel_plans(s);
	if (s->running)
		s->running->scheduler = NULL;
	LIST_EACH (&s->binds, link)
		bind_free(LIST_ITEM(link, struct bind, link));
	schedule_tables_free(s->tables);
	map_done(&s->waiting);
	map_done(&s->changes);
	loop_timer_free(s->start);
	loop_timer_free(s->retry);
	loop_timer_free(s->idle);
	free(s);
}
