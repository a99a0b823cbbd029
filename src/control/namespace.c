/* Namespaces that are being deleted: what is in them goes first, then the namespace itself. */
#include "base/str.h"
#include "control/step.h"

#define BURST 100

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *o = object ? object : previous;
	if (o->kind == &kind_namespace) {
		if (object && object->deletion_ms)
			step_add(object, queue_add, queue);
		return;
	}
	if (!o->kind->namespaced || o->kind == &kind_event)
		return;
	const struct object *namespace = view_get(v, &kind_namespace, "", o->namespace);
	if (namespace && namespace->deletion_ms)
		step_add(namespace, queue_add, queue);
}

/* Deletes what is there; returns how much is left, events aside. */
static size_t empty(struct control_view *v, const struct object *namespace, struct control_out *out)
{
	size_t left = 0;
	const struct kind *kind;
	for (size_t at = 0; (kind = view_next_kind(v, &at));) {
		if (!kind->namespaced)
			continue;
		struct view_list list = view_list(v, kind, namespace->name);
		left += kind == &kind_event ? 0 : list.count;
		for (size_t i = 0; i < list.count && out->writes.count < BURST; i++)
			if (!list.objects[i]->deletion_ms)
				step_delete(out, list.objects[i]);
	}
	return left;
}

static void finish(const struct object *namespace, struct control_out *out)
{
	if (!namespace->has_finalizers) {
		step_delete(out, namespace);
		return;
	}
	json_t *tree = object_tree(namespace); /* somebody else's finalizers keep it */
	json_t *finalizers = json_at(tree, "spec", "finalizers");
	for (size_t i = json_array_size(finalizers); i-- > 0;)
		if (str_equal(json_string_value(json_array_get(finalizers, i)), "kubernetes"))
			json_array_remove(finalizers, i);
	step_update(out, namespace, tree);
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)wall_ms;
	(void)e;
	const struct object *namespace = view_get_key(v, key);
	if (!namespace || !namespace->deletion_ms)
		return 0;
	size_t left = empty(v, namespace, out);
	if (out->writes.count >= BURST)
		out->requeue_ms = 1; /* events are not watched */
	else if (left == 0)
		finish(namespace, out);
	return 0;
}

const struct reconciler reconciler_namespace = {"namespace", on_change, NULL, step};
