#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "control/runtime.h"

#define EVENT_LIFE_MS ((int64_t)3600 * 1000) /* as kube-apiserver's --event-ttl */
#define EVENT_SWEEP_MS 60000
#define EVENT_KNOWN_MAX 4096 /* events that can still be counted up */

struct known { /* an event that was written */
	char *namespace, *name;
	unsigned char uid[16];
	int64_t first_ms, last_ms;
	int64_t count;
	bool changed; /* to be written at the end of the turn */
	json_t *tree;
};

struct recorder {
	struct control *control;
	struct map known; /* what it says -> known */
	struct loop_timer *sweep;
	bool changed;
};

static void free_known(void *value)
{
	struct known *x = value;
	free(x->namespace);
	free(x->name);
	json_decref(x->tree);
	free(x);
}

static json_t *build(const struct known *x, const struct control_event *event)
{
	const struct object *o = event->about;
	char version[128], first[TIME_TEXT_SIZE];
	kind_api_version(o->kind, version);
	time_format(x->first_ms, first);
	return json_pack(
		"{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:{s:s}, s:s, "
		"s:s, s:s, s:s}",
		"apiVersion", "v1", "kind", "Event", "metadata", "name", x->name, "namespace",
		x->namespace, "involvedObject", "kind", o->kind->name, "namespace", o->namespace,
		"name", o->name, "uid", o->uid, "apiVersion", version, "reason", event->reason,
		"message", event->message, "source", "component", event->component,
		"firstTimestamp", first, "type", event->warning ? "Warning" : "Normal",
		"reportingComponent", event->component, "reportingInstance", "");
}

static struct known *remember(struct recorder *r, const char *key,
	const struct control_event *event)
{
	struct control *c = r->control;
	const struct object *o = event->about;
	if (r->known.count >= EVENT_KNOWN_MAX) { /* they are counted anew */
		recorder_flush(r);
		map_done(&r->known);
	}
	struct known *x = mem_new(struct known);
	x->first_ms = loop_wall_ms(c->config.loop);
	x->namespace = mem_dup_string(o->namespace[0] ? o->namespace : "default");
	x->name = mem_format("%.200s.%016llx", o->name, (unsigned long long)rand_next(&c->rand));
	loop_random_bytes(c->config.loop, x->uid, sizeof(x->uid));
	x->tree = build(x, event);
	map_put(&r->known, key, x);
	return x;
}

void recorder_add(struct recorder *r, const struct control_event *event)
{
	if (event->about->namespace[0] &&
		!view_get(r->control->view, &kind_namespace, "", event->about->namespace))
		return; /* nobody can read it any more */
	CLEANUP(mem_free_ptr)
	char *key = mem_format("%s|%s|%s|%d|%s", event->about->uid, event->component, event->reason,
		event->warning, event->message);
	struct known *x = map_get(&r->known, key);
	if (!x)
		x = remember(r, key, event);
	x->count++;
	x->last_ms = loop_wall_ms(r->control->config.loop);
	x->changed = true;
	r->changed = true;
	if (!loop_timer_active(r->control->turn))
		loop_timer_start(r->control->turn, 0); /* which flushes */
}

static struct object *event_object(struct known *x)
{
	char last[TIME_TEXT_SIZE];
	struct object *o;
	struct err e = ERR_INIT;
	time_format(x->last_ms, last);
	json_object_set_new(x->tree, "lastTimestamp", json_string(last));
	json_object_set_new(x->tree, "count", json_integer(x->count));
	model_stamp_new(x->tree, x->uid, x->first_ms);
	return object_from_json(&kind_event, x->tree, &o, &e) == 0 ? o : NULL;
}

void recorder_flush(struct recorder *r)
{
	if (!r->changed)
		return;
	r->changed = false;
	struct store_op ops[STORE_OPS_MAX];
	char(*keys)[OBJECT_KEY_MAX] = mem_alloc_array(STORE_OPS_MAX, sizeof(*keys));
	size_t count = 0;
	MAP_EACH (&r->known, entry) {
		struct known *x = entry->value;
		if (!x->changed)
			continue;
		if (count == STORE_OPS_MAX) {
			control_commit(r->control, NULL, 0, ops, count, NULL, NULL);
			count = 0;
		}
		x->changed = false;
		struct object *o = event_object(x);
		if (!o)
			continue;
		object_key(o, keys[count]);
		ops[count] = (struct store_op){keys[count], o};
		count++;
	}
	if (count)
		control_commit(r->control, NULL, 0, ops, count, NULL, NULL);
	free(keys);
}

/* Of events that were written again since they were made, the last time counts. */
static bool is_old(const struct object *o, int64_t wall_ms)
{
	int64_t last_ms = o->created_ms;
	if (wall_ms - o->created_ms < EVENT_LIFE_MS)
		return false;
	CLEANUP(json_done) json_t *tree = object_tree(o);
	const char *text = json_text(tree, "", "lastTimestamp");
	if (time_parse(text, &last_ms, NULL) != 0)
		last_ms = o->created_ms;
	return wall_ms - last_ms >= EVENT_LIFE_MS;
}

static void on_sweep(void *arg)
{
	struct recorder *r = arg;
	struct control *c = r->control;
	int64_t wall_ms = loop_wall_ms(c->config.loop);
	struct view_list all = view_list(c->view, &kind_event, NULL);
	struct store_op ops[STORE_OPS_MAX];
	char(*keys)[OBJECT_KEY_MAX] = mem_alloc_array(STORE_OPS_MAX, sizeof(*keys));
	size_t count = 0;
	for (size_t i = 0; i < all.count && count < STORE_OPS_MAX; i++) {
		if (!is_old(all.objects[i], wall_ms))
			continue;
		object_key(all.objects[i], keys[count]);
		ops[count] = (struct store_op){keys[count], NULL};
		count++;
	}
	view_end_step(c->view);
	if (count)
		control_commit(c, NULL, 0, ops, count, NULL, NULL);
	free(keys);
	MAP_EACH (&r->known, entry) {
		const struct known *x = entry->value;
		if (wall_ms - x->last_ms >= EVENT_LIFE_MS)
			map_remove(&r->known, entry->key);
	}
	loop_timer_start(r->sweep, count == STORE_OPS_MAX ? 100 : EVENT_SWEEP_MS);
}

struct recorder *recorder_new(struct control *c)
{
	struct recorder *r = mem_new(struct recorder);
	r->control = c;
	map_init(&r->known, free_known);
	r->sweep = loop_timer_new(c->config.loop, on_sweep, r);
	loop_timer_start(r->sweep, EVENT_SWEEP_MS);
	return r;
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	loop_timer_free(r->sweep);
	map_done(&r->known);
	free(r);
}
