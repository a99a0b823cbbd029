/*
 * Pods leave nodes that have a taint with effect NoExecute, unless they tolerate it, for as long as
 * they tolerate it (Kubernetes 1.30, "Taint based evictions"). Differences, which are DESIGN's: no
 * toleration of 300 s is injected, and from a node that is only lost, not drained, two kinds of
 * pods do not go: singletons, which must be confirmed gone first, and pods that no controller would
 * replace, since to delete those would only lose them.
 */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "control/step.h"
#include "model/pod_singleton.h"

#define COMPONENT "taint-eviction-controller"
#define FOREVER INT64_MAX
#define DOUBT_MS 1000 /* until a node that came back is looked at again */

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	if (!object)
		return;
	if (object->kind == &kind_pod) {
		const struct object *node = view_get(v, &kind_node, "", object->node);
		bool news = !previous || !str_equal(previous->node, object->node) ||
			    previous->generation != object->generation;
		if (news && node && strstr(node->blob, "\"NoExecute\""))
			step_add(object, queue_add, queue);
		return;
	}
	if (!strstr(object->blob, "\"NoExecute\""))
		return;
	struct view_list pods = view_on_node(v, object->name);
	for (size_t i = 0; i < pods.count; i++)
		step_add(pods.objects[i], queue_add, queue);
}

static bool tolerates(const json_t *toleration, const json_t *taint)
{
	const char *key = json_text(toleration, "", "key");
	const char *effect = json_text(toleration, "", "effect");
	bool exists = str_equal(json_text(toleration, "Equal", "operator"), "Exists");
	if (*effect && !str_equal(effect, "NoExecute"))
		return false;
	if (!*key)
		return exists;
	return str_equal(key, json_text(taint, "", "key")) &&
	       (exists || str_equal(json_text(toleration, "", "value"),
				  json_text(taint, "", "value")));
}

/* For how long the pod may stay beside the taint, as of when that was put: the shortest of the
 * tolerations that match (as in Kubernetes, GetMinTolerationTime). */
static int64_t tolerated_ms(const json_t *pod, const json_t *taint)
{
	int64_t least_ms = -1;
	size_t i;
	json_t *toleration;
	json_array_foreach (json_at(pod, "spec", "tolerations"), i, toleration) {
		if (!tolerates(toleration, taint))
			continue;
		const json_t *seconds = json_object_get(toleration, "tolerationSeconds");
		int64_t s = json_int_or(seconds, 0);
		int64_t ms = !seconds ? FOREVER : s <= 0 ? 0 : s < 1000000000 ? s * 1000 : FOREVER;
		least_ms = least_ms < 0 || ms < least_ms ? ms : least_ms;
	}
	return least_ms < 0 ? 0 : least_ms;
}

static bool is_loss(const json_t *taint)
{
	const char *key = json_text(taint, "", "key");
	return str_equal(key, "node.kubernetes.io/unreachable") ||
	       str_equal(key, "node.kubernetes.io/not-ready");
}

/* How long until the pod must go; 0: now, FOREVER: never. */
static int64_t time_left_ms(const struct object *pod, const json_t *pod_tree, const json_t *node,
	int64_t doubt_ms, int64_t wall_ms)
{
	bool stays_when_lost = !pod->owner_uid[0] || pod_singleton(pod) != SINGLETON_NONE;
	int64_t least_ms = FOREVER;
	size_t i;
	json_t *taint;
	json_array_foreach (json_at(node, "spec", "taints"), i, taint) {
		if (!str_equal(json_text(taint, "", "effect"), "NoExecute") ||
			(is_loss(taint) && stays_when_lost))
			continue;
		int64_t left_ms = tolerated_ms(pod_tree, taint), added_ms;
		if (left_ms == FOREVER)
			continue;
		if (left_ms > 0 &&
			time_parse(json_text(taint, "", "timeAdded"), &added_ms, NULL) == 0)
			left_ms -= wall_ms - added_ms;
		if (is_loss(taint) && left_ms < doubt_ms)
			left_ms = doubt_ms;
		least_ms = left_ms < least_ms ? left_ms : least_ms;
	}
	return least_ms < 0 ? 0 : least_ms;
}

/* Its session says that it is there: the taint is about to go. Or the server began lately, and
 * nodes may be on their way to it. How long to wait; 0: the node is lost. */
static int64_t doubt_ms(struct control_view *v, const struct object *node)
{
	struct control_node_state state = view_node_state(v, node->name);
	if (state.connected)
		return DOUBT_MS;
	return state.blind_ms;
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)e;
	const struct object *pod = view_get_key(v, key);
	if (!pod || pod->kind != &kind_pod || !pod->node[0] || !step_pod_active(pod))
		return 0;
	const struct object *node = view_get(v, &kind_node, "", pod->node);
	if (!node || !strstr(node->blob, "\"NoExecute\""))
		return 0;
	CLEANUP(json_done) json_t *pod_tree = object_tree(pod);
	CLEANUP(json_done) json_t *node_tree = object_tree(node);
	int64_t left_ms = time_left_ms(pod, pod_tree, node_tree, doubt_ms(v, node), wall_ms);
	if (left_ms == FOREVER)
		return 0;
	if (left_ms > 0) {
		out->requeue_ms = left_ms;
		return 0;
	}
	step_event(out, pod, COMPONENT, false, "TaintManagerEviction",
		"Marking for deletion Pod %s/%s", pod->namespace, pod->name);
	step_delete(out, pod);
	return 0;
}

static const struct kind *const watched[] = {&kind_node, &kind_pod, NULL};
const struct reconciler reconciler_taint_eviction = {"taint-eviction", on_change, watched, step};
