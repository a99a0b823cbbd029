/*
 * Garbage: objects whose owners are gone. Background deletion is what happens when an owner simply
 * goes; the finalizers foregroundDeletion (dependents that block go first) and orphan (dependents
 * lose their reference and stay) are carried out here.
 */
#include <string.h>

#include "base/str.h"
#include "control/step.h"

#define FOREGROUND "foregroundDeletion"
#define ORPHAN "orphan"
#define BURST 100

static bool has_owners(const struct object *o)
{
	return o->owner_uid[0] || strstr(o->blob, "\"ownerReferences\"");
}

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *o = object ? object : previous;
	if (o->kind == &kind_event)
		return;
	bool leaves = object && object->deletion_ms && object->has_finalizers;
	if (leaves || (object && !previous && has_owners(object)))
		step_add(object, queue_add, queue);
	bool gone = !object || (previous && !str_equal(object->uid, previous->uid));
	if (!gone)
		return;
	struct view_list dependents = view_owned(v, NULL, previous->uid);
	for (size_t i = 0; i < dependents.count; i++)
		step_add(dependents.objects[i], queue_add, queue);
	/* An owner may be waiting for this one to go. */
	const struct object *owner =
		previous->owner_uid[0] ? view_get_uid(v, previous->owner_uid) : NULL;
	if (owner && owner->deletion_ms && owner->has_finalizers)
		step_add(owner, queue_add, queue);
}

static bool has_text(const json_t *list, const char *text)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item)
		if (str_equal(json_string_value(item), text))
			return true;
	return false;
}

static void remove_finalizer(const struct object *o, json_t *tree, const char *name,
	struct control_out *out)
{
	json_t *list = json_at(tree, "metadata", "finalizers");
	for (size_t i = json_array_size(list); i-- > 0;)
		if (str_equal(json_string_value(json_array_get(list, i)), name))
			json_array_remove(list, i);
	step_update(out, o, json_incref(tree));
}

static const json_t *reference_to(const json_t *tree, const char *uid)
{
	size_t i;
	json_t *owner;
	json_array_foreach (json_at(tree, "metadata", "ownerReferences"), i, owner)
		if (str_equal(json_text(owner, "", "uid"), uid))
			return owner;
	return NULL;
}

static void foreground(struct control_view *v, const struct object *o, json_t *tree,
	struct control_out *out)
{
	struct view_list dependents = view_owned(v, NULL, o->uid);
	size_t blocking = 0;
	for (size_t i = 0; i < dependents.count; i++) {
		const struct object *d = dependents.objects[i];
		CLEANUP(json_done) json_t *dependent = object_tree(d);
		blocking += json_bool(reference_to(dependent, o->uid), false, "blockOwnerDeletion");
		if (!d->deletion_ms && out->writes.count < BURST)
			step_delete(out, d);
	}
	if (blocking == 0)
		remove_finalizer(o, tree, FOREGROUND, out);
}

static void drop_references(const struct object *o, const char *uid,
	bool (*drop)(struct control_view *v, const char *uid), struct control_view *v,
	struct control_out *out)
{
	json_t *tree = object_tree(o);
	json_t *owners = json_at(tree, "metadata", "ownerReferences");
	for (size_t i = json_array_size(owners); i-- > 0;) {
		const char *owner = json_text(json_array_get(owners, i), "", "uid");
		if (uid ? str_equal(owner, uid) : drop(v, owner))
			json_array_remove(owners, i);
	}
	if (json_array_size(owners) == 0)
		json_object_del(json_object_get(tree, "metadata"), "ownerReferences");
	step_update(out, o, tree);
}

static void orphan(struct control_view *v, const struct object *o, json_t *tree,
	struct control_out *out)
{
	struct view_list dependents = view_owned(v, NULL, o->uid);
	if (dependents.count == 0) {
		remove_finalizer(o, tree, ORPHAN, out);
		return;
	}
	for (size_t i = 0; i < dependents.count && i < BURST; i++)
		drop_references(dependents.objects[i], o->uid, NULL, v, out);
	out->requeue_ms = 1;
}

static bool is_missing(struct control_view *v, const char *uid)
{
	return !view_get_uid(v, uid);
}

static void check_owners(struct control_view *v, const struct object *o, struct control_out *out)
{
	CLEANUP(json_done) json_t *tree = object_tree(o);
	const json_t *owners = json_at(tree, "metadata", "ownerReferences");
	size_t missing = 0, i;
	json_t *owner;
	json_array_foreach (owners, i, owner)
		missing += is_missing(v, json_text(owner, "", "uid"));
	if (missing == 0)
		return;
	if (missing == json_array_size(owners))
		step_delete(out, o);
	else
		drop_references(o, NULL, is_missing, v, out);
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)wall_ms;
	(void)e;
	const struct object *o = view_get_key(v, key);
	if (!o)
		return 0;
	if (!o->deletion_ms) {
		if (has_owners(o))
			check_owners(v, o, out);
		return 0;
	}
	CLEANUP(json_done) json_t *tree = object_tree(o);
	const json_t *finalizers = json_at(tree, "metadata", "finalizers");
	if (has_text(finalizers, ORPHAN))
		orphan(v, o, tree, out);
	else if (has_text(finalizers, FOREGROUND))
		foreground(v, o, tree, out);
	return 0;
}

const struct reconciler reconciler_garbage = {"garbage", on_change, NULL, step};
