/*
 * Applications: one Deployment per component, kept equal to what the Application says and removed
 * when the component goes. What a component requires comes first: its Deployment is made when those
 * that it requires are available; once made it stays, whatever becomes of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "control/step.h"
#include "model/application.h"

#define COMPONENT "application-controller"
#define TOLD_MAX 3 /* components that a message names */

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *o = object ? object : previous;
	if (o->kind == &kind_application) {
		step_add(o, queue_add, queue);
		return;
	}
	step_add_owner(v, object, &kind_application, queue_add, queue);
	step_add_owner(v, previous, &kind_application, queue_add, queue);
	if (object)
		return;
	/* Its name may be what one of them waits for. */
	struct view_list all = view_list(v, &kind_application, o->namespace);
	for (size_t i = 0; i < all.count; i++)
		step_add(all.objects[i], queue_add, queue);
}

struct component {
	const json_t *json;
	const char *name;
	char deployment[160]; /* its name */
	const struct object *object;
	const json_t *tree; /* of the Deployment; null: there is none */
	bool taken;         /* another object has the name */
	bool ready, available;
	int64_t wanted;
	json_t *waits_for; /* names, borrowed from status; null: none */
};

/* What a step works on. */
struct application {
	struct control_view *view;
	struct control_out *out;
	const struct object *object;
	json_t *tree;
	struct component *components;
	size_t count;
	struct map names; /* -> struct component */
	int64_t wall_ms;
};

/* ---- what there is ---- */

static bool is_current(const struct component *c)
{
	return json_int(c->tree, 0, "status", "observedGeneration") >= c->object->generation;
}

static bool condition_is_true(const json_t *tree, const char *type)
{
	size_t i;
	json_t *condition;
	json_array_foreach (json_at(tree, "status", "conditions"), i, condition)
		if (str_equal(json_text(condition, "", "type"), type))
			return str_equal(json_text(condition, "", "status"), "True");
	return false;
}

static void look_at_deployment(struct component *c)
{
	int64_t all = json_int(c->tree, 0, "status", "replicas");
	int64_t updated = json_int(c->tree, 0, "status", "updatedReplicas");
	int64_t available = json_int(c->tree, 0, "status", "availableReplicas");
	bool current = is_current(c);
	c->available = current && condition_is_true(c->tree, "Available");
	c->ready = current && json_int(c->tree, -1, "spec", "replicas") == c->wanted &&
		   all == c->wanted && updated == c->wanted && available == c->wanted;
}

static void read_component(struct application *a, struct component *c, const json_t *json)
{
	c->json = json;
	c->name = json_text(json, "", "name");
	c->wanted = json_int(json, 1, "replicas");
	snprintf(c->deployment, sizeof(c->deployment), "%.80s-%.70s", a->object->name, c->name);
	c->object = view_get(a->view, &kind_deployment, a->object->namespace, c->deployment);
	if (!c->object)
		return;
	c->taken = !str_equal(c->object->owner_uid, a->object->uid);
	if (c->taken)
		return;
	c->tree = object_tree(c->object);
	if (!c->object->deletion_ms)
		look_at_deployment(c);
}

static void read_components(struct application *a)
{
	const json_t *list = json_at(a->tree, "spec", "components");
	a->count = json_array_size(list);
	a->components = arena_new_array(a->out->arena, a->count, struct component);
	for (size_t i = 0; i < a->count; i++) {
		read_component(a, &a->components[i], json_array_get(list, i));
		map_put(&a->names, a->components[i].name, &a->components[i]);
	}
}

static void application_done(struct application *a)
{
	for (size_t i = 0; i < a->count; i++) {
		json_decref((json_t *)(uintptr_t)a->components[i].tree);
		json_decref(a->components[i].waits_for);
	}
	map_done(&a->names);
}

/* ---- what there should be ---- */

static void start(struct application *a, struct component *c)
{
	json_t *metadata = json_pack("{s:s, s:s, s:[o]}", "name", c->deployment, "namespace",
		a->object->namespace, "ownerReferences", step_owner(a->object));
	application_set_labels(a->tree, c->json, metadata);
	step_create(a->out, &kind_deployment,
		json_pack("{s:o, s:{s:I, s:{s:{s:s, s:s}}, s:o}}", "metadata", metadata, "spec",
			"replicas", (json_int_t)c->wanted, "selector", "matchLabels",
			APPLICATION_PART_OF_LABEL, a->object->name, APPLICATION_COMPONENT_LABEL,
			c->name, "template", application_template(a->tree, c->json)));
	step_event(a->out, a->object, COMPONENT, false, "ComponentStarted",
		"Started component %s with %" PRId64 " replicas", c->name, c->wanted);
}

static void correct(struct application *a, struct component *c)
{
	json_t *tree = json_deep_copy(c->tree);
	json_t *spec = json_ensure_object(tree, "spec");
	json_object_set_new(spec, "replicas", json_integer(c->wanted));
	json_object_set_new(spec, "template", application_template(a->tree, c->json));
	application_set_labels(a->tree, c->json, json_ensure_object(tree, "metadata"));
	if (json_equal(tree, c->tree)) {
		json_decref(tree);
		return;
	}
	step_update(a->out, c->object, tree);
	c->ready = false; /* what is ready is the old */
}

/* Names of those that it requires and that are not available yet. */
static json_t *waits_for(const struct application *a, const struct component *c)
{
	json_t *names = json_array();
	size_t i;
	json_t *name;
	json_array_foreach (json_object_get(c->json, "requires"), i, name) {
		const struct component *other = map_get(&a->names, json_text_or(name, ""));
		if (other && !other->available)
			json_array_append(names, name);
	}
	return names;
}

static void keep_component(struct application *a, struct component *c)
{
	if (c->taken || (c->object && c->object->deletion_ms))
		return;
	if (c->tree) {
		correct(a, c);
		return;
	}
	c->waits_for = waits_for(a, c);
	if (json_array_size(c->waits_for) == 0)
		start(a, c);
}

static void remove_others(struct application *a)
{
	struct view_list owned = view_owned(a->view, &kind_deployment, a->object->uid);
	for (size_t i = 0; i < owned.count; i++) {
		const struct object *o = owned.objects[i];
		bool wanted = false;
		for (size_t k = 0; k < a->count; k++)
			wanted |= a->components[k].object == o;
		if (wanted || o->deletion_ms)
			continue;
		step_delete(a->out, o);
		step_event(a->out, a->object, COMPONENT, false, "ComponentRemoved",
			"Removed Deployment %s, which is of no component any more", o->name);
	}
}

/* ---- status ---- */

static json_t *component_status(const struct component *c)
{
	static const char *const counts[] = {
		"updatedReplicas", "readyReplicas", "availableReplicas"};
	json_t *status = json_pack("{s:s}", "name", c->name);
	if (c->tree)
		json_object_set_new(status, "deployment", json_string(c->deployment));
	json_object_set_new(status, "replicas", json_integer(c->wanted));
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		json_object_set_new(status, counts[i],
			json_integer(json_int(c->tree, 0, "status", counts[i])));
	if (json_array_size(c->waits_for) > 0)
		json_object_set(status, "waitsFor", c->waits_for);
	return status;
}

static void tell_component(const struct component *c, struct buf *b)
{
	if (c->taken) {
		buf_printf(b, "; %s: there is a Deployment %s already, which is not its own",
			c->name, c->deployment);
	} else if (json_array_size(c->waits_for) > 0) {
		buf_printf(b, "; %s waits for %s", c->name,
			json_text_or(json_array_get(c->waits_for, 0), ""));
	} else {
		buf_printf(b, "; %s: %" PRId64 " of %" PRId64 " replicas are available", c->name,
			json_int(c->tree, 0, "status", "availableReplicas"), c->wanted);
	}
}

/* Those whose name is taken come first: they need somebody who does something. */
static void tell_unready(const struct application *a, struct buf *b)
{
	size_t told = 0, unready = 0;
	for (int taken = 1; taken >= 0; taken--)
		for (size_t i = 0; i < a->count; i++) {
			const struct component *c = &a->components[i];
			if (c->ready || c->taken != (taken == 1))
				continue;
			if (unready++ < TOLD_MAX) {
				tell_component(c, b);
				told++;
			}
		}
	if (unready > told)
		buf_printf(b, "; and %zu more", unready - told);
}

static void set_ready(struct application *a, json_t *status, size_t ready, size_t taken)
{
	CLEANUP(buf_done) struct buf message = BUF_INIT;
	json_t *conditions = json_object_get(status, "conditions");
	if (!conditions)
		json_object_set_new(status, "conditions", conditions = json_array());
	buf_printf(&message, "%zu of %zu components are ready", ready, a->count);
	tell_unready(a, &message);
	bool all = ready == a->count;
	const char *reason = all ? "ComponentsReady" : taken ? "NameTaken" : "ComponentsNotReady";
	bool changed =
		step_condition(conditions, "Ready", all, reason, buf_text(&message), a->wall_ms);
	if (changed && taken)
		step_event(a->out, a->object, COMPONENT, true, reason, "%s", buf_text(&message));
	size_t i;
	json_t *condition;
	json_array_foreach (conditions, i, condition)
		if (str_equal(json_text(condition, "", "type"), "Ready"))
			json_object_set_new(condition, "observedGeneration",
				json_integer(a->object->generation));
}

static void write_status(struct application *a)
{
	json_t *tree = json_deep_copy(a->tree), *list = json_array();
	json_t *status = json_ensure_object(tree, "status");
	size_t ready = 0, taken = 0;
	for (size_t i = 0; i < a->count; i++) {
		ready += a->components[i].ready;
		taken += a->components[i].taken;
		json_array_append_new(list, component_status(&a->components[i]));
	}
	json_object_set_new(status, "observedGeneration", json_integer(a->object->generation));
	json_object_set_new(status, "readyComponents", json_integer((json_int_t)ready));
	json_object_set_new(status, "components", list);
	set_ready(a, status, ready, taken);
	if (json_equal(tree, a->tree))
		json_decref(tree);
	else
		step_status(a->out, a->object, tree);
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)e;
	const struct object *o = view_get_key(v, key);
	if (!o || o->deletion_ms)
		return 0;
	CLEANUP(json_done) json_t *tree = object_tree(o);
	CLEANUP(application_done)
	struct application a = {
		.view = v, .out = out, .object = o, .tree = tree, .wall_ms = wall_ms};
	read_components(&a);
	for (size_t i = 0; i < a.count; i++)
		keep_component(&a, &a.components[i]);
	remove_others(&a);
	write_status(&a);
	return 0;
}

static const struct kind *const watched[] = {&kind_application, &kind_deployment, NULL};
const struct reconciler reconciler_application = {"application", on_change, watched, step};
