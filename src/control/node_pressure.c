/*
 * A node that says that something is wrong with it (a condition of its agent's) gets no new pods: a
 * taint with effect NoSchedule for each, as in Kubernetes ("taint nodes by condition").
 */
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "control/step.h"

static const struct {
	const char *condition, *taint;
} taints_of[] = {{"DiskPressure", "node.kubernetes.io/disk-pressure"},
	{"NetworkUnavailable", "node.kubernetes.io/network-unavailable"}};

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	(void)v, (void)previous;
	if (object && object->kind == &kind_node)
		step_add(object, queue_add, queue);
}

static bool is_true(const json_t *node, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(node, "status", "conditions"), i, c) {
		if (str_equal(json_text(c, "", "type"), type))
			return str_equal(json_text(c, "", "status"), "True");
	}
	return false;
}

static size_t find_taint(const json_t *taints, const char *key)
{
	size_t i;
	json_t *taint;
	json_array_foreach (taints, i, taint) {
		if (str_equal(json_text(taint, "", "key"), key))
			return i;
	}
	return SIZE_MAX;
}

static void add_taint(json_t *spec, const char *key, int64_t wall_ms)
{
	json_t *taints = json_object_get(spec, "taints");
	char now[TIME_TEXT_SIZE];
	if (!taints)
		json_object_set_new(spec, "taints", taints = json_array());
	time_format(wall_ms, now);
	json_array_append_new(taints,
		json_pack("{s:s, s:s, s:s}", "key", key, "effect", "NoSchedule", "timeAdded", now));
}

static void remove_taint(json_t *spec, size_t at)
{
	json_t *taints = json_object_get(spec, "taints");
	json_array_remove(taints, at);
	if (json_array_size(taints) == 0)
		json_object_del(spec, "taints");
}

/* Whether something had to be changed. */
static bool correct(json_t *node, int64_t wall_ms)
{
	json_t *spec = json_ensure_object(node, "spec");
	bool changed = false;
	for (size_t i = 0; i < ARRAY_SIZE(taints_of); i++) {
		size_t at = find_taint(json_object_get(spec, "taints"), taints_of[i].taint);
		bool wanted = is_true(node, taints_of[i].condition);
		if (wanted == (at != SIZE_MAX))
			continue;
		changed = true;
		if (wanted)
			add_taint(spec, taints_of[i].taint, wall_ms);
		else
			remove_taint(spec, at);
	}
	return changed;
}

/* Most nodes say nothing of the kind: they are not decoded. */
static bool concerns(const struct object *node)
{
	for (size_t i = 0; i < ARRAY_SIZE(taints_of); i++)
		if (strstr(node->blob, taints_of[i].condition) ||
			strstr(node->blob, taints_of[i].taint))
			return true;
	return false;
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)e;
	const struct object *node = view_get_key(v, key);
	if (!node || !concerns(node))
		return 0;
	json_t *tree = object_tree(node);
	if (correct(tree, wall_ms))
		step_update(out, node, tree);
	else
		json_decref(tree);
	return 0;
}

static const struct kind *const watched[] = {&kind_node, NULL};
const struct reconciler reconciler_node_pressure = {"node-pressure", on_change, watched, step};
