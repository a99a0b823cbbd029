/* Pods on nodes that are not there: nobody will ever report that they stopped. */
#include "base/str.h"
#include "control/step.h"
#include "model/pod_singleton.h"

#define QUARANTINE_MS 40000 /* of a pod whose node was never seen, as in Kubernetes' podgc */

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *o = object ? object : previous;
	if (o->kind == &kind_node) {
		if (!object) /* its pods are looked at together */
			step_add(o, queue_add, queue);
		return;
	}
	if (object && object->node[0] && !view_get(v, &kind_node, "", object->node))
		step_add(object, queue_add, queue);
}

static void remove_pod(const struct object *pod, struct control_out *out)
{
	if (pod_singleton(pod) == SINGLETON_HANDOVER)
		return; /* handover.c's: its node may still run it */
	step_event(out, pod, "pod-garbage-collector", true, "NodeGone",
		"Node %s does not exist any more; the pod was removed", pod->node);
	step_remove(out, pod);
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)e;
	const struct object *o = view_get_key(v, key);
	if (!o) { /* a node was deleted: its name is the last part of the key */
		const char *slash = key;
		for (const char *c = key; *c; c++)
			slash = *c == '/' ? c + 1 : slash;
		struct view_list pods = {0};
		if (str_starts(key, "core/nodes/"))
			pods = view_on_node(v, slash);
		for (size_t i = 0; i < pods.count; i++)
			remove_pod(pods.objects[i], out);
		return 0;
	}
	if (o->kind != &kind_pod || !o->node[0] || view_get(v, &kind_node, "", o->node))
		return 0;
	/* Far in the future: the clock was wrong then or is now, and its age says nothing. */
	int64_t age_ms = wall_ms - o->created_ms;
	if (age_ms >= QUARANTINE_MS || age_ms < -QUARANTINE_MS)
		remove_pod(o, out);
	else
		out->requeue_ms = QUARANTINE_MS - age_ms;
	return 0;
}

static const struct kind *const watched[] = {&kind_node, &kind_pod, NULL};
const struct reconciler reconciler_nodes = {"nodes", on_change, watched, step};
