/*
 * A node that says it is short of disk (condition DiskPressure, the agent's) gets no new pods: the
 * taint node.kubernetes.io/disk-pressure:NoSchedule, as in Kubernetes ("taint nodes by condition").
 */
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "control/step.h"

#define TAINT "node.kubernetes.io/disk-pressure"

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	(void)v, (void)previous;
	if (object && object->kind == &kind_node)
		step_add(object, queue_add, queue);
}

static bool under_pressure(const json_t *node)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(node, "status", "conditions"), i, c) {
		if (str_equal(json_text(c, "", "type"), "DiskPressure"))
			return str_equal(json_text(c, "", "status"), "True");
	}
	return false;
}

static size_t find_taint(const json_t *taints)
{
	size_t i;
	json_t *taint;
	json_array_foreach (taints, i, taint) {
		if (str_equal(json_text(taint, "", "key"), TAINT))
			return i;
	}
	return SIZE_MAX;
}

static void add_taint(json_t *spec, int64_t wall_ms)
{
	json_t *taints = json_object_get(spec, "taints");
	char now[TIME_TEXT_SIZE];
	if (!taints)
		json_object_set_new(spec, "taints", taints = json_array());
	time_format(wall_ms, now);
	json_array_append_new(taints, json_pack("{s:s, s:s, s:s}", "key", TAINT, "effect",
					      "NoSchedule", "timeAdded", now));
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)e;
	const struct object *node = view_get_key(v, key);
	if (!node || (!strstr(node->blob, "DiskPressure") && !strstr(node->blob, TAINT)))
		return 0;
	json_t *tree = object_tree(node);
	json_t *spec = json_ensure_object(tree, "spec");
	json_t *taints = json_object_get(spec, "taints");
	size_t at = find_taint(taints);
	bool wanted = under_pressure(tree);
	if (wanted == (at != SIZE_MAX)) {
		json_decref(tree);
		return 0;
	}
	if (wanted) {
		add_taint(spec, wall_ms);
	} else {
		json_array_remove(taints, at);
		if (json_array_size(taints) == 0)
			json_object_del(spec, "taints");
	}
	step_update(out, node, tree);
	return 0;
}

static const struct kind *const watched[] = {&kind_node, NULL};
const struct reconciler reconciler_node_pressure = {"node-pressure", on_change, watched, step};
