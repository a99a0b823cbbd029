#include "control/runtime.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

static const struct reconciler *const reconcilers[] = {&reconciler_deployment,
	&reconciler_replicaset, &reconciler_endpoints, &reconciler_garbage, &reconciler_namespace,
	&reconciler_nodes, &reconciler_node_lifecycle, &reconciler_node_pressure,
	&reconciler_taint_eviction, &reconciler_handover, &reconciler_application};

enum work_state { WORK_IDLE, WORK_READY, WORK_COMMITTING, WORK_WAITING };

struct work_item {
	struct list link; /* in control.ready while READY */
	struct control *control;
	struct work_queue *queue;
	char *key;
	enum work_state state;
	bool changed;     /* while COMMITTING: step again */
	int on_their_way; /* commits of this item */
	enum err_code failed;
	int failures; /* in a row */
	int64_t requeue_ms;
	struct loop_timer *timer; /* made when first needed */
	/* Told when the commits succeed: what did not happen is not told. Strings and references
	 * are owned. */
	VEC(struct control_event) events;
};

/* ---- items ---- */

static void drop_events(struct work_item *item)
{
	VEC_EACH (&item->events, struct control_event, event) {
		object_unref(event->about);
		free((char *)(uintptr_t)event->message);
	}
	vec_done(&item->events);
}

static void keep_events(struct work_item *item, const struct control_out *out)
{
	VEC_EACH (&out->events, struct control_event, event) {
		struct control_event *kept = vec_add(&item->events);
		*kept = *event; /* reason and component are constants */
		kept->about = object_ref(event->about);
		kept->message = mem_dup_string(event->message);
	}
}

static void tell_events(struct work_item *item)
{
	VEC_EACH (&item->events, struct control_event, event)
		recorder_add(item->control->recorder, event);
	drop_events(item);
}

static void free_item(void *value)
{
	struct work_item *item = value;
	drop_events(item);
	list_remove(&item->link);
	loop_timer_free(item->timer);
	free(item->key);
	free(item);
}

static void make_ready(struct work_item *item)
{
	struct control *c = item->control;
	if (item->timer)
		loop_timer_stop(item->timer);
	item->state = WORK_READY;
	list_append(&c->ready, &item->link);
	if (!loop_timer_active(c->turn))
		loop_timer_start(c->turn, 0);
}

static void on_due(void *arg)
{
	make_ready(arg);
}

static void wait_for(struct work_item *item, int64_t delay_ms)
{
	item->state = WORK_WAITING;
	if (!item->timer)
		item->timer = loop_timer_new(item->control->config.loop, on_due, item);
	loop_timer_start(item->timer, delay_ms);
}

static int64_t retry_delay(const struct work_item *item)
{
	int shift = item->failures < 16 ? item->failures : 16;
	int64_t delay_ms = (int64_t)CONTROL_RETRY_MIN_MS << shift;
	return delay_ms < CONTROL_RETRY_MAX_MS ? delay_ms : CONTROL_RETRY_MAX_MS;
}

struct adding {
	struct control *control;
	struct work_queue *queue;
};

static void queue_add(void *arg, const char *key)
{
	struct adding *to = arg;
	struct work_item *item = map_get(&to->queue->items, key);
	if (!item) {
		item = mem_new(struct work_item);
		list_init(&item->link);
		item->control = to->control;
		item->queue = to->queue;
		item->key = mem_dup_string(key);
		map_put(&to->queue->items, key, item);
	}
	item->changed = true;
	if (item->state == WORK_IDLE || item->state == WORK_WAITING)
		make_ready(item);
}

/* ---- changes ---- */

static bool watches(const struct reconciler *r, const struct kind *kind)
{
	if (!r->watches)
		return true;
	for (const struct kind *const *k = r->watches; *k; k++)
		if (*k == kind)
			return true;
	return false;
}

static void apply(struct control *c, const char *key, const struct object *object, int64_t revision)
{
	CLEANUP(object_done) struct object *previous = NULL;
	if (!view_apply(c->view, key, object, revision, &previous))
		return;
	const struct kind *kind = object ? object->kind : previous->kind;
	for (size_t i = 0; i < c->queue_count; i++) {
		struct adding to = {c, &c->queues[i]};
		if (watches(to.queue->reconciler, kind))
			to.queue->reconciler->on_change(c->view, object, previous, queue_add, &to);
	}
	view_end_step(c->view);
	scheduler_on_change(c->scheduler, object, previous);
}

static void on_events(void *arg, const struct store_event *events, size_t count)
{
	struct control *c = arg;
	for (size_t i = 0; i < count; i++) {
		const struct store_event *event = &events[i];
		apply(c, event->key, event->type == STORE_PUT ? event->object : NULL,
			event->revision);
		view_delivered(c->view, event->key, event->revision);
	}
}

static void on_ended(void *arg, const struct err *why)
{
	struct control *c = arg;
	log_err(c->config.log, LOG_WARN, "control_watch_ended", why, "action=reload");
	loop_timer_start(c->reload, 0);
}

/* What the view has and the list has not was deleted while nobody looked. */
static void drop_missing(struct control *c, const struct map *listed, int64_t revision)
{
	const struct kind *kind;
	VEC(char *) gone = {0};
	for (size_t at = 0; (kind = view_next_kind(c->view, &at));) {
		struct view_list have = view_list(c->view, kind, NULL);
		for (size_t i = 0; i < have.count; i++) {
			char key[OBJECT_KEY_MAX];
			object_key(have.objects[i], key);
			if (!map_has(listed, key))
				vec_push(&gone, mem_dup_string(key));
		}
	}
	VEC_EACH (&gone, char *, key) {
		apply(c, *key, NULL, revision);
		view_delivered(c->view, *key, revision);
		free(*key);
	}
	vec_done(&gone);
}

static int load(struct control *c, struct err *e)
{
	static const struct store_watch_events events = {
		.on_events = on_events, .on_ended = on_ended};
	struct store_list list;
	int rc = store_list(c->config.store, "", NULL, 0, 0, &list, e);
	if (rc != 0)
		return rc;
	struct map listed = {0};
	for (size_t i = 0; i < list.count; i++) {
		char key[OBJECT_KEY_MAX];
		object_key(list.objects[i], key);
		map_put(&listed, key, c);
		apply(c, key, list.objects[i], list.objects[i]->revision);
	}
	drop_missing(c, &listed, list.revision);
	map_done(&listed);
	store_list_done(&list);
	return store_watch(c->config.store, "", 0, &events, c, &c->watch, e);
}

static void on_reload(void *arg)
{
	struct control *c = arg;
	struct err e = ERR_INIT;
	store_watch_free(take_ptr(c->watch));
	if (load(c, &e) == 0)
		return;
	log_err(c->config.log, LOG_ERROR, "control_reload_failed", &e, "retry_ms=1000");
	loop_timer_start(c->reload, 1000);
}

/* ---- commits ---- */

struct commit {
	struct list link;        /* in control.commits */
	struct control *control; /* null: freed meanwhile */
	control_commit_cb *done;
	void *arg;
	size_t key_count;
	char *keys[];
};

static void free_commit(struct commit *x)
{
	for (size_t i = 0; i < x->key_count; i++)
		free(x->keys[i]);
	list_remove(&x->link);
	free(x);
}

static void on_committed(void *arg, const struct store_result *result)
{
	struct commit *x = arg;
	struct control *c = x->control;
	if (!c) {
		free_commit(x);
		return;
	}
	for (size_t i = 0; !result->err && i < x->key_count; i++) {
		CLEANUP(object_done) struct object *o = store_get(c->config.store, x->keys[i]);
		apply(c, x->keys[i], o, o ? o->revision : result->revision);
	}
	if (x->done)
		x->done(x->arg, result->err);
	free_commit(x);
}

void control_commit(struct control *c, const struct store_compare *compares, size_t compare_count,
	const struct store_op *ops, size_t op_count, control_commit_cb *done, void *arg)
{
	struct commit *x = mem_alloc(sizeof(*x) + op_count * sizeof(x->keys[0]));
	x->control = c;
	x->done = done;
	x->arg = arg;
	x->key_count = op_count;
	for (size_t i = 0; i < op_count; i++)
		x->keys[i] = mem_dup_string(ops[i].key);
	list_append(&c->commits, &x->link);
	c->commits_total++;
	c->writes += (int64_t)op_count;
	struct store_compare *all = mem_alloc_array(compare_count + 1, sizeof(*all));
	if (compare_count)
		memcpy(all, compares, compare_count * sizeof(*all));
	if (c->config.leader_key)
		all[compare_count++] = (struct store_compare){c->config.leader_key,
			STORE_IF_CREATE_REVISION, c->config.leader_create_revision};
	store_commit(c->config.store, all, compare_count, ops, op_count, on_committed, x);
	free(all);
}

/* ---- steps ---- */

static void settle(struct work_item *item)
{
	if (item->failed)
		drop_events(item);
	else
		tell_events(item);
	if (item->failed) {
		wait_for(item, retry_delay(item));
		item->failures++;
	} else if (item->changed) {
		item->failures = 0;
		make_ready(item);
	} else if (item->requeue_ms > 0) {
		item->failures = 0;
		wait_for(item, item->requeue_ms);
	} else {
		map_remove(&item->queue->items, item->key);
	}
}

static void fail(struct work_item *item, const struct err *e)
{
	struct work_queue *q = item->queue;
	bool race = e->code == ERR_CONFLICT || e->code == ERR_EXISTS || e->code == ERR_NOT_FOUND;
	q->conflicts += race;
	q->errors += !race;
	item->failed = e->code ? e->code : ERR_INTERNAL;
	if (!race && e->code != ERR_CANCELLED)
		log_err(item->control->config.log, LOG_WARN, "reconcile_failed", e,
			"reconciler=%s key=%s failures=%d", q->reconciler->name, item->key,
			item->failures + 1);
}

static void on_item_committed(void *arg, const struct err *err)
{
	struct work_item *item = arg;
	if (err)
		fail(item, err);
	if (--item->on_their_way == 0)
		settle(item);
}

/* Commits writes [from, to). */
static int commit_chunk(struct work_item *item, struct control_write *writes, size_t count,
	int64_t wall_ms, struct err *e)
{
	struct control *c = item->control;
	struct store_op ops[STORE_OPS_MAX];
	struct store_compare compares[STORE_OPS_MAX];
	char(*keys)[OBJECT_KEY_MAX] = mem_alloc_array(count, sizeof(*keys));
	size_t used = 0;
	int rc = 0;
	for (size_t i = 0; i < count && rc >= 0; i++) {
		rc = control_write_op(c, &writes[i], wall_ms, keys[used], &ops[used],
			&compares[used], e);
		used += rc == 0;
	}
	if (rc < 0) {
		for (size_t i = 0; i < used; i++)
			object_unref(ops[i].object);
	} else if (used) {
		item->on_their_way++;
		control_commit(c, compares, used, ops, used, on_item_committed, item);
	}
	free(keys);
	return rc < 0 ? rc : 0;
}

static void write_out(struct work_item *item, struct control_out *out, int64_t wall_ms)
{
	item->state = WORK_COMMITTING;
	item->on_their_way = 1; /* until all are asked for */
	struct err e = ERR_INIT;
	int rc = 0;
	for (size_t i = 0; i < out->writes.count && rc == 0; i += STORE_OPS_MAX) {
		size_t left = out->writes.count - i;
		rc = commit_chunk(item, out->writes.items + i,
			left < STORE_OPS_MAX ? left : STORE_OPS_MAX, wall_ms, &e);
	}
	if (rc != 0)
		fail(item, &e);
	if (--item->on_their_way == 0)
		settle(item);
}

static void out_done(struct control_out *out)
{
	VEC_EACH (&out->writes, struct control_write, w)
		json_done(&w->tree);
	vec_done(&out->writes);
	vec_done(&out->events);
	arena_done(out->arena);
}

static void step(struct work_item *item)
{
	struct control *c = item->control;
	struct work_queue *q = item->queue;
	struct arena arena = {0};
	struct err e = ERR_INIT;
	CLEANUP(out_done) struct control_out out = {.arena = &arena, .rand = &c->rand};
	int64_t wall_ms = loop_wall_ms(c->config.loop);
	q->steps++;
	item->changed = false;
	item->failed = ERR_OK;
	item->requeue_ms = 0;
	int rc = q->reconciler->step(c->view, item->key, wall_ms, &out, &e);
	keep_events(item, &out);
	item->requeue_ms = out.requeue_ms;
	if (rc != 0) { /* what a failed step tells is why */
		tell_events(item);
		fail(item, &e);
	}
	write_out(item, &out, wall_ms);
	view_end_step(c->view);
}

static void on_turn(void *arg)
{
	struct control *c = arg;
	int64_t start_ms = loop_now_ms(c->config.loop);
	for (int i = 0; i < CONTROL_TURN_STEPS && !list_empty(&c->ready); i++) {
		struct work_item *item = LIST_ITEM(c->ready.next, struct work_item, link);
		list_remove(&item->link);
		step(item);
		if (loop_now_ms(c->config.loop) - start_ms >= CONTROL_TURN_MS)
			break;
	}
	recorder_flush(c->recorder);
	if (!list_empty(&c->ready))
		loop_timer_start(c->turn, 0);
}

/* ---- life ---- */

struct control *control_new(const struct control_config *config)
{
	struct control *c = mem_new(struct control);
	c->config = *config;
	c->view = view_new(config->kinds);
	view_set_node_state(c->view, config->node_state, config->context);
	view_set_lease_over(c->view, config->lease_over, config->context);
	list_init(&c->ready);
	list_init(&c->commits);
	rand_init(&c->rand, config->seed);
	c->turn = loop_timer_new(config->loop, on_turn, c);
	c->reload = loop_timer_new(config->loop, on_reload, c);
	c->queue_count = ARRAY_SIZE(reconcilers);
	c->queues = mem_alloc_array(c->queue_count, sizeof(*c->queues));
	for (size_t i = 0; i < c->queue_count; i++) {
		c->queues[i].reconciler = reconcilers[i];
		map_init(&c->queues[i].items, free_item);
	}
	c->recorder = recorder_new(c);
	c->scheduler = scheduler_new(c);
	struct err e = ERR_INIT;
	if (load(c, &e) != 0) {
		log_err(config->log, LOG_ERROR, "control_start_failed", &e, "action=abort");
		abort();
	}
	return c;
}

void control_node_changed(struct control *c, const char *node)
{
	char key[OBJECT_KEY_MAX];
	if (object_key_of(&kind_node, "", node, key, NULL) < 0 || !view_get_key(c->view, key))
		return;
	scheduler_node_changed(c->scheduler, node);
	for (size_t i = 0; i < c->queue_count; i++)
		if (c->queues[i].reconciler == &reconciler_node_lifecycle)
			queue_add(&(struct adding){c, &c->queues[i]}, key);
}

json_t *control_explain(struct control *c, const char *namespace, const char *pod)
{
	const struct object *o = view_get(c->view, &kind_pod, namespace, pod);
	return o ? scheduler_explain(c->scheduler, o) : NULL;
}

int control_plan(struct control *c, json_t *const *trees, const struct kind *const *kinds,
	size_t count, control_plan_cb *done, void *arg, struct err *e)
{
	return scheduler_plan(c->scheduler, trees, kinds, count, done, arg, e);
}

void control_metrics(const struct control *c, struct buf *b)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} metrics[] = {{"continuo_reconcile_steps_total", "Steps of reconcilers.",
			       offsetof(struct work_queue, steps)},
		{"continuo_reconcile_conflicts_total", "Commits that lost a race.",
			offsetof(struct work_queue, conflicts)},
		{"continuo_reconcile_errors_total", "Steps and commits that failed.",
			offsetof(struct work_queue, errors)}};
	for (size_t m = 0; m < ARRAY_SIZE(metrics); m++) {
		buf_printf(b, "# HELP %s %s\n# TYPE %s counter\n", metrics[m].name, metrics[m].help,
			metrics[m].name);
		for (size_t i = 0; i < c->queue_count; i++) {
			const struct work_queue *q = &c->queues[i];
			int64_t value;
			memcpy(&value, (const char *)q + metrics[m].offset, sizeof(value));
			buf_printf(b, "%s{reconciler=\"%s\"} %lld\n", metrics[m].name,
				q->reconciler->name, (long long)value);
		}
	}
	buf_printf(b, "# HELP continuo_reconcile_queue Keys that wait for a step or a commit.\n"
		      "# TYPE continuo_reconcile_queue gauge\n");
	for (size_t i = 0; i < c->queue_count; i++)
		buf_printf(b, "continuo_reconcile_queue{reconciler=\"%s\"} %zu\n",
			c->queues[i].reconciler->name, c->queues[i].items.count);
	buf_printf(b,
		"# HELP continuo_control_writes_total Objects written by reconcilers.\n"
		"# TYPE continuo_control_writes_total counter\n"
		"continuo_control_writes_total %lld\n"
		"# HELP continuo_view_objects Objects in the view.\n"
		"# TYPE continuo_view_objects gauge\ncontinuo_view_objects %zu\n",
		(long long)c->writes, view_count(c->view));
	scheduler_metrics(c->scheduler, b);
}

static void cancel_commits(struct control *c)
{
	struct err e = ERR_INIT;
	err_set(&e, ERR_CANCELLED, "the reconcilers stopped");
	LIST_EACH (&c->commits, link) {
		struct commit *x = LIST_ITEM(link, struct commit, link);
		list_remove(link);
		x->control = NULL;
		if (x->done && x->done != on_item_committed)
			x->done(x->arg, &e);
		x->done = NULL;
	}
}

void control_free(struct control *c)
{
	if (!c)
		return;
	cancel_commits(c);
	store_watch_free(c->watch);
	scheduler_free(c->scheduler);
	recorder_free(c->recorder);
	for (size_t i = 0; i < c->queue_count; i++)
		map_done(&c->queues[i].items);
	free(c->queues);
	loop_timer_free(c->turn);
	loop_timer_free(c->reload);
	view_free(c->view);
	free(c);
}
