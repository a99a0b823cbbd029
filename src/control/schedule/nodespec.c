#include "control/schedule/nodespec.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "control/schedule/podspec.h"
#include "model/node_figures.h"

#define HOSTNAME_LABEL "kubernetes.io/hostname"
#define REGION_LABEL "topology.kubernetes.io/region"
#define ZONE_LABEL "topology.kubernetes.io/zone"

static void tell(struct buf *problems, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell(struct buf *problems, const char *format, ...)
{
	char text[300];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	str_end_whole(text);
	buf_printf(problems, "%s%s", problems->size ? "; " : "", text);
}

/* How many of a list the engine takes. */
static uint32_t at_most(size_t count, const char *what, struct buf *problems)
{
	if (count <= PLACE_ITEMS_MAX)
		return (uint32_t)count;
	tell(problems, "%zu %s, of which placement looks at the first %u", count, what,
		PLACE_ITEMS_MAX);
	return PLACE_ITEMS_MAX;
}

/* ---- resources ---- */

static int64_t read_amount(const char *resource, const json_t *value, struct buf *problems)
{
	const char *text = json_text_or(value, "");
	int64_t amount = 0;
	int rc = str_equal(resource, "cpu") ? quantity_milli(text, &amount, NULL)
					    : quantity_units(text, &amount, NULL);
	if (rc == 0 && amount >= 0 && amount <= PLACE_AMOUNT_MAX)
		return amount;
	bool huge = rc == -ERR_INVALID || (rc == 0 && amount > 0);
	tell(problems, "%s \"%.60s\" %s", resource, text,
		huge ? "is more than placement counts" : "is no amount: none is there");
	return huge ? PLACE_AMOUNT_MAX : 0;
}

static void read_capacity(const json_t *node, struct arena *a, struct place_node *to,
	struct buf *problems)
{
	json_t *map = json_at(node, "status", "allocatable");
	if (json_object_size(map) == 0)
		map = json_at(node, "status", "capacity");
	size_t count = json_object_size(map);
	struct place_amount *amounts = arena_new_array(a, count, struct place_amount);
	uint32_t most = at_most(count, "resources", problems);
	const char *key;
	json_t *value;
	json_object_foreach (map, key, value)
		if (*key && to->capacity_count < most)
			amounts[to->capacity_count++] = (struct place_amount){
				key, read_amount(key, value, problems), false};
	to->capacity = amounts;
}

/* ---- the rest ---- */

/* Those beyond what the engine takes cannot be minded: nothing new may come then. */
static void read_taints(const json_t *list, struct arena *a, struct place_node *to,
	struct buf *problems)
{
	struct place_taint *taints = arena_new_array(a, json_array_size(list), struct place_taint);
	uint32_t most = at_most(json_array_size(list), "taints", problems);
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		enum place_effect effect = podspec_read_effect(json_text(item, "", "effect"));
		const char *key = json_text(item, "", "key");
		if (effect == PLACE_ANY_EFFECT || !*key)
			continue;
		if (to->taint_count == most)
			to->flags |= PLACE_NODE_UNSCHEDULABLE;
		else
			taints[to->taint_count++] =
				(struct place_taint){key, json_text(item, "", "value"), effect};
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

static bool is_country(const char *text)
{
	return text && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z' &&
	       !text[2];
}

/* What the engine must know of every node comes first, so that it is never cut off. */
static void read_labels(const json_t *node, const struct object *object, const char *country,
	struct arena *a, struct place_node *to, struct buf *problems)
{
	const char *region = object_label(object, REGION_LABEL);
	size_t count = 0;
	struct place_label *all = arena_new_array(a, object->label_count + 2, struct place_label);
	if (!object_label(object, HOSTNAME_LABEL)) /* topology by host works on every node */
		all[count++] = (struct place_label){HOSTNAME_LABEL, object->name};
	if (!country && is_country(region))
		country = region;
	if (country)
		all[count++] = (struct place_label){NODESPEC_COUNTRY_LABEL, country};
	const char *key;
	json_t *value;
	json_object_foreach (json_at(node, "metadata", "labels"), key, value)
		if (!str_equal(key, NODESPEC_COUNTRY_LABEL)) /* nobody claims one */
			all[count++] = (struct place_label){key, json_text_or(value, "")};
	to->labels = all;
	to->label_count = at_most(count, "labels", problems);
}

/* "oci://crun-1.8": the driver, and the program when the version begins with one. */
static void read_runtimes(const json_t *node, struct arena *a, struct place_node *to)
{
	const char *text = json_text(node, "", "status", "nodeInfo", "containerRuntimeVersion");
	const char *colon = strstr(text, "://");
	const char **names = arena_new_array(a, 2, const char *);
	if (!colon || colon == text || str_starts(text, "unknown"))
		return;
	names[to->runtime_count++] = arena_format(a, "%.*s", (int)(colon - text), text);
	size_t size = strcspn(colon + 3, "-0123456789. ");
	if (size)
		names[to->runtime_count++] = arena_format(a, "%.*s", (int)size, colon + 3);
	to->runtimes = names;
}

const char *nodespec_site(const struct object *node)
{
	return object_label(node, ZONE_LABEL);
}

void nodespec_read(const json_t *node, const struct object *object, bool connected,
	const char *country, struct arena *arena, struct place_node *ret_node, struct buf *problems)
{
	struct place_node n = {.name = object->name};
	struct node_figures figures;
	node_figures_read(node, &figures, problems);
	n.idle_watts = figures.idle_watts;
	n.full_watts = figures.full_watts;
	n.price_per_hour = figures.price_per_hour;
	n.trust = figures.trust;
	n.site = nodespec_site(object);
	n.flags |= object->ready && connected ? 0 : PLACE_NODE_NOT_READY;
	n.flags |= json_bool(node, false, "spec", "unschedulable") ? PLACE_NODE_UNSCHEDULABLE : 0;
	read_labels(node, object, country, arena, &n, problems);
	read_taints(json_at(node, "spec", "taints"), arena, &n, problems);
	read_images(json_at(node, "status", "images"), arena, &n);
	read_runtimes(node, arena, &n);
	read_capacity(node, arena, &n, problems);
	*ret_node = n;
}
