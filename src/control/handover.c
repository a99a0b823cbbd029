/*
 * Singletons that may move (continuo.dev/singleton: handover): when their node is lost, or was
 * deleted, they are removed once its lease is surely over, and not before, so that whatever makes
 * the replacement never makes a second one. The node's fence has killed the pod by then.
 */
#include <string.h>

#include "base/str.h"
#include "control/step.h"
#include "model/pod_singleton.h"

#define COMPONENT "handover-controller"
#define LOOK_MS 500 /* whether the lease is over by now */
#define LOST "\"key\":\"node.kubernetes.io/unreachable\""

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *o = object ? object : previous;
	if (o->kind == &kind_pod) {
		if (object && object->node[0] && pod_singleton(object) == SINGLETON_HANDOVER)
			step_add(object, queue_add, queue);
		return;
	}
	struct view_list pods = view_on_node(v, o->name);
	for (size_t i = 0; i < pods.count; i++)
		if (pod_singleton(pods.objects[i]) == SINGLETON_HANDOVER)
			step_add(pods.objects[i], queue_add, queue);
}

/* As the life cycle of nodes decided, with its brake: lost for so long that pods go. */
static bool is_lost(struct control_view *v, const struct object *node, const char *name)
{
	if (!node)
		return true;
	return !view_node_state(v, name).connected && strstr(node->blob, LOST) &&
	       strstr(node->blob, "\"NoExecute\"");
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)wall_ms;
	(void)e;
	const struct object *pod = view_get_key(v, key);
	if (!pod || pod->kind != &kind_pod || !pod->node[0] || step_pod_over(pod) ||
		pod_singleton(pod) != SINGLETON_HANDOVER)
		return 0;
	const struct object *node = view_get(v, &kind_node, "", pod->node);
	bool lost = is_lost(v, node, pod->node);
	/* What was ended once is removed even if the node is back: it gets no lease before. */
	if (view_lease_over(v, pod->node, pod->uid, lost)) {
		step_event(out, pod, COMPONENT, true, "Handover",
			"Node %s is %s and its lease is over; the pod was removed", pod->node,
			node ? "lost" : "gone");
		step_remove(out, pod);
	} else if (lost) {
		out->requeue_ms = LOOK_MS;
	}
	return 0;
}

static const struct kind *const watched[] = {&kind_node, &kind_pod, NULL};
const struct reconciler reconciler_handover = {"handover", on_change, watched, step};
