#include "control/nodespec.h"

#include <string.h>

#include "base/str.h"
#include "control/podspec.h"

#define HOSTNAME_LABEL "kubernetes.io/hostname"
#define ZONE_LABEL "topology.kubernetes.io/zone"

static int read_capacity(const json_t *node, struct arena *a, struct place_node *to, struct err *e)
{
	const json_t *map = json_at(node, "status", "allocatable");
	if (json_object_size(map) == 0)
		map = json_at(node, "status", "capacity");
	struct place_amount *amounts =
		arena_new_array(a, json_object_size(map), struct place_amount);
	const char *key;
	json_t *value;
	uint32_t i = 0;
	json_object_foreach ((json_t *)(uintptr_t)map, key, value) {
		const char *text = json_text_or(value, "");
		int64_t amount;
		int rc = str_equal(key, "cpu") ? quantity_milli(text, &amount, e)
					       : quantity_units(text, &amount, e);
		if (rc != 0)
			return rc;
		amounts[i++] = (struct place_amount){key, amount, false};
	}
	to->capacity = amounts;
	to->capacity_count = i;
	return 0;
}

static void read_taints(const json_t *list, struct arena *a, struct place_node *to)
{
	struct place_taint *taints = arena_new_array(a, json_array_size(list), struct place_taint);
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		enum place_effect effect = podspec_read_effect(json_text(item, "", "effect"));
		if (effect != PLACE_ANY_EFFECT)
			taints[to->taint_count++] = (struct place_taint){
				json_text(item, "", "key"), json_text(item, "", "value"), effect};
	}
	to->taints = taints;
}

static void read_images(const json_t *list, struct arena *a, struct place_node *to)
{
	size_t count = 0, i, k;
	json_t *image, *name;
	json_array_foreach (list, i, image)
		count += json_array_size(json_object_get(image, "names"));
	const char **names = arena_new_array(a, count, const char *);
	json_array_foreach (list, i, image)
		json_array_foreach (json_object_get(image, "names"), k, name)
			names[to->image_count++] = json_text_or(name, "");
	to->images = names;
}

int nodespec_read(const json_t *node, const struct object *object, bool connected,
	struct arena *arena, struct place_node *ret_node, struct err *e)
{
	struct place_node n = {.name = object->name};
	uint32_t count;
	struct place_label *labels =
		podspec_read_labels(json_at(node, "metadata", "labels"), arena, &count);
	struct place_label *all = arena_new_array(arena, count + 1, struct place_label);
	memcpy(all, labels, count * sizeof(*all));
	if (!object_label(object, HOSTNAME_LABEL)) /* topology by host works on every node */
		all[count++] = (struct place_label){HOSTNAME_LABEL, object->name};
	n.labels = all;
	n.label_count = count;
	n.site = object_label(object, ZONE_LABEL);
	n.flags |= object->ready && connected ? 0 : PLACE_NODE_NOT_READY;
	n.flags |= json_bool(node, false, "spec", "unschedulable") ? PLACE_NODE_UNSCHEDULABLE : 0;
	read_taints(json_at(node, "spec", "taints"), arena, &n);
	read_images(json_at(node, "status", "images"), arena, &n);
	int rc = read_capacity(node, arena, &n, e);
	if (rc == 0)
		*ret_node = n;
	return rc;
}
