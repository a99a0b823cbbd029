/*
 * What the loss of a node does to it and to its pods.
 *
 *   READY ── session lost, Ready becomes Unknown ──▶ LOST: taint unreachable:NoSchedule, its pods
 *     ▲                                                │    are not Ready (Services leave them)
 *     │                                                │ evict_ms later, unless the brake holds
 *     └──────── a session: the taints go ◀──────── EVICTED: taint unreachable:NoExecute, upon which
 *                                                      reconciler_taint_eviction acts
 *
 * The brake: while half or more of all nodes, or of a site of at least SITE_MIN nodes, are lost,
 * give no sign of life when asked for one, or came back but lately, or this server began so lately
 * that nodes may still be on their way to it, it is we who are blind and nobody is evicted.
 * (Kubernetes: "rate limits on eviction", node lifecycle controller.)
 */
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "control/step.h"

#define COMPONENT "node-controller"
#define UNREACHABLE "node.kubernetes.io/unreachable"
#define SITE_LABEL "topology.kubernetes.io/zone"
#define SITE_MIN 3 /* nodes of a site that counts by itself */
#define BRAKE_RETRY_MS 1000

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	if (object && object->kind == &kind_node) {
		step_add(object, queue_add, queue);
		return;
	}
	/* A pod that a server wrote Ready, or that came to a node after it was lost. */
	if (!object || object->kind != &kind_pod || !object->node[0] || !object->ready)
		return;
	const struct object *node = view_get(v, &kind_node, "", object->node);
	if (node && !node->ready && (!previous || !previous->ready || !previous->node[0]))
		step_add(node, queue_add, queue);
}

/* ---- the brake ---- */

struct count {
	size_t nodes, lost;
};

static bool half_is_lost(const struct count *c)
{
	return c->lost * 2 >= c->nodes;
}

/* Its condition in the store may be older than this server. Nodes that shared a fate come back one
 * by one: the first of them must not let go of the brake at the cost of the last. (Kubernetes sets
 * all probe times anew when it leaves full disruption.) */
static bool is_lost(struct control_view *v, const struct object *node)
{
	struct control_node_state state = view_node_state(v, node->name);
	return !node->ready || !state.connected || state.silent || state.back_lately;
}

static bool brake_holds(struct control_view *v, const struct object *node)
{
	const char *site = object_label(node, SITE_LABEL);
	struct count all = {0}, here = {0};
	struct view_list nodes = view_list(v, &kind_node, NULL);
	for (size_t i = 0; i < nodes.count; i++) {
		const struct object *o = nodes.objects[i];
		bool lost = is_lost(v, o);
		all.nodes++;
		all.lost += lost;
		if (!site || !str_equal(object_label(o, SITE_LABEL), site))
			continue;
		here.nodes++;
		here.lost += lost;
	}
	return half_is_lost(&all) || (here.nodes >= SITE_MIN && half_is_lost(&here));
}

/* ---- taints ---- */

static size_t find_taint(const json_t *taints, const char *effect)
{
	size_t i;
	json_t *taint;
	json_array_foreach (taints, i, taint) {
		if (str_equal(json_text(taint, "", "key"), UNREACHABLE) &&
			str_equal(json_text(taint, "", "effect"), effect))
			return i;
	}
	return SIZE_MAX;
}

static bool set_taint(json_t *node, const char *effect, bool wanted, int64_t wall_ms)
{
	json_t *spec = json_ensure_object(node, "spec");
	json_t *taints = json_object_get(spec, "taints");
	size_t at = find_taint(taints, effect);
	if (wanted == (at != SIZE_MAX))
		return false;
	if (!wanted) {
		json_array_remove(taints, at);
		if (json_array_size(taints) == 0)
			json_object_del(spec, "taints");
		return true;
	}
	if (!taints)
		json_object_set_new(spec, "taints", taints = json_array());
	char now[TIME_TEXT_SIZE];
	time_format(wall_ms, now);
	json_array_append_new(taints, json_pack("{s:s, s:s, s:s}", "key", UNREACHABLE, "effect",
					      effect, "timeAdded", now));
	return true;
}

static void write_taints(const struct object *node, bool lost, bool evict, int64_t wall_ms,
	struct control_out *out)
{
	if (!lost && !strstr(node->blob, UNREACHABLE))
		return;
	json_t *tree = object_tree(node);
	bool changed = set_taint(tree, "NoSchedule", lost, wall_ms);
	bool told = evict && find_taint(json_at(tree, "spec", "taints"), "NoExecute") == SIZE_MAX;
	changed |= set_taint(tree, "NoExecute", evict, wall_ms);
	if (changed)
		step_update(out, node, tree);
	else
		json_decref(tree);
	if (told)
		step_event(out, node, COMPONENT, true, "NodeUnreachable",
			"Node %s is lost: its pods are replaced elsewhere", node->name);
}

/* ---- its pods ---- */

static void mark_not_ready(struct control_view *v, const struct object *node, int64_t wall_ms,
	struct control_out *out)
{
	struct view_list pods = view_on_node(v, node->name);
	for (size_t i = 0; i < pods.count; i++) {
		if (!pods.objects[i]->ready)
			continue;
		json_t *tree = object_tree(pods.objects[i]);
		json_t *status = json_ensure_object(tree, "status");
		json_t *conditions = json_object_get(status, "conditions");
		(void)step_condition(conditions, "Ready", false, CONTROL_NODE_NOT_READY,
			"the node is lost: what the pod does is not known", wall_ms);
		step_status(out, pods.objects[i], tree);
	}
}

static bool was_evicted(const struct object *node)
{
	if (!strstr(node->blob, UNREACHABLE))
		return false;
	CLEANUP(json_done) json_t *tree = object_tree(node);
	return find_taint(json_at(tree, "spec", "taints"), "NoExecute") != SIZE_MAX;
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)e;
	const struct object *node = view_get_key(v, key);
	if (!node)
		return 0;
	struct control_node_state state = view_node_state(v, node->name);
	if (node->ready) {
		/* Without a session: its condition is on the way to the store. */
		if (state.connected)
			write_taints(node, false, false, wall_ms, out);
		return 0;
	}
	if (state.connected)
		return 0; /* and this is its way back */
	mark_not_ready(v, node, wall_ms, out);
	bool evict = was_evicted(node);
	int64_t wait_ms = state.evict_ms - state.lost_ms;
	if (wait_ms < state.blind_ms)
		wait_ms = state.blind_ms;
	if (!evict && wait_ms <= 0) {
		evict = !brake_holds(v, node);
		wait_ms = evict ? 0 : BRAKE_RETRY_MS;
	}
	write_taints(node, true, evict, wall_ms, out);
	out->requeue_ms = evict ? 0 : wait_ms;
	return 0;
}

static const struct kind *const watched[] = {&kind_node, &kind_pod, NULL};
const struct reconciler reconciler_node_lifecycle = {"node-lifecycle", on_change, watched, step};
