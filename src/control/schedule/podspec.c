#include "control/schedule/podspec.h"

#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "control/schedule/nodespec.h"
#include "control/step.h"
#include "model/application.h"
#include "model/pod_singleton.h"

/* ---- selectors ---- */

static int read_operator(const char *text, enum place_operator *ret_operator, struct err *e)
{
	static const char *const names[] = {[PLACE_IN] = "In",
		[PLACE_NOT_IN] = "NotIn",
		[PLACE_EXISTS] = "Exists",
		[PLACE_DOES_NOT_EXIST] = "DoesNotExist",
		[PLACE_GT] = "Gt",
		[PLACE_LT] = "Lt"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_equal(text, names[i])) {
			*ret_operator = (enum place_operator)i;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, "operator \"%s\" is not known", text);
}

static const char **read_texts(const json_t *list, struct arena *a, uint32_t *ret_count)
{
	size_t count = json_array_size(list);
	const char **texts = arena_new_array(a, count, const char *);
	for (size_t i = 0; i < count; i++)
		texts[i] = json_text_or(json_array_get(list, i), "");
	*ret_count = (uint32_t)count;
	return texts;
}

static int read_expressions(const json_t *list, bool field, struct arena *a,
	struct place_requirement *to, struct err *e)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		struct place_requirement *r = &to[i];
		r->key = json_text(item, "", "key");
		r->field = field;
		r->values = read_texts(json_object_get(item, "values"), a, &r->value_count);
		int rc = read_operator(json_text(item, "", "operator"), &r->operator, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* A LabelSelector: matchLabels and matchExpressions. */
static int read_label_selector(const json_t *json, struct arena *a,
	struct place_selector *ret_selector, struct err *e)
{
	const json_t *labels = json_object_get(json, "matchLabels");
	const json_t *expressions = json_object_get(json, "matchExpressions");
	size_t equal = json_object_size(labels), count = equal + json_array_size(expressions);
	struct place_requirement *items = arena_new_array(a, count, struct place_requirement);
	const char *key;
	json_t *value;
	size_t i = 0;
	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		const char **text = arena_new(a, const char *);
		*text = json_text_or(value, "");
		items[i++] = (struct place_requirement){key, PLACE_IN, text, 1, false};
	}
	*ret_selector = (struct place_selector){items, (uint32_t)count};
	return read_expressions(expressions, false, a, items + equal, e);
}

/* A NodeSelectorTerm: matchExpressions and matchFields. */
static int read_node_term(const json_t *json, struct arena *a, struct place_selector *ret_selector,
	struct err *e)
{
	const json_t *expressions = json_object_get(json, "matchExpressions");
	const json_t *fields = json_object_get(json, "matchFields");
	size_t first = json_array_size(expressions), count = first + json_array_size(fields);
	struct place_requirement *items = arena_new_array(a, count, struct place_requirement);
	*ret_selector = (struct place_selector){items, (uint32_t)count};
	int rc = read_expressions(expressions, false, a, items, e);
	return rc ? rc : read_expressions(fields, true, a, items + first, e);
}

/* ---- parts of a pod ---- */

struct place_label *podspec_read_labels(const json_t *map, struct arena *a, uint32_t *ret_count)
{
	struct place_label *labels = arena_new_array(a, json_object_size(map), struct place_label);
	const char *key;
	json_t *value;
	uint32_t i = 0;
	json_object_foreach ((json_t *)(uintptr_t)map, key, value)
		labels[i++] = (struct place_label){key, json_text_or(value, "")};
	*ret_count = i;
	return labels;
}

/* The names of all resources that a container asks for. */
static void collect_resources(const json_t *spec, struct map *names)
{
	static const char *const lists[] = {"containers", "initContainers"};
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		size_t i;
		json_t *container, *value;
		const char *key;
		json_array_foreach (json_object_get(spec, lists[l]), i, container)
			json_object_foreach (json_at(container, "resources", "requests"), key,
				value)
				map_put(names, key, names);
	}
	const char *key;
	json_t *value;
	json_object_foreach (json_object_get(spec, "overhead"), key, value)
		map_put(names, key, names);
}

static void read_requests(const json_t *pod, struct arena *a, struct place_spec *spec)
{
	struct map names = {0};
	collect_resources(json_object_get(pod, "spec"), &names);
	struct place_amount *amounts = arena_new_array(a, names.count, struct place_amount);
	MAP_EACH (&names, entry) {
		int64_t amount = model_pod_request(pod, entry->key);
		if (amount > 0)
			amounts[spec->request_count++] =
				(struct place_amount){arena_dup(a, entry->key), amount, false};
	}
	map_done(&names);
	spec->requests = amounts;
}

static void read_ports(const json_t *pod_spec, struct arena *a, struct place_spec *spec)
{
	size_t count = 0, i, k;
	json_t *container, *port;
	const json_t *containers = json_object_get(pod_spec, "containers");
	json_array_foreach (containers, i, container)
		count += json_array_size(json_object_get(container, "ports"));
	struct place_port *ports = arena_new_array(a, count, struct place_port);
	const char **images = arena_new_array(a, json_array_size(containers), const char *);
	json_array_foreach (containers, i, container) {
		const char *image = json_text(container, "", "image");
		if (*image)
			images[spec->image_count++] = image;
		json_array_foreach (json_object_get(container, "ports"), k, port) {
			int64_t number = json_int(port, 0, "hostPort");
			if (number > 0 && number <= 65535)
				ports[spec->port_count++] =
					(struct place_port){json_text(port, "TCP", "protocol"),
						json_text(port, "", "hostIP"), (int)number};
		}
	}
	spec->ports = ports;
	spec->images = images;
}

enum place_effect podspec_read_effect(const char *text)
{
	if (str_equal(text, "NoSchedule"))
		return PLACE_NO_SCHEDULE;
	if (str_equal(text, "PreferNoSchedule"))
		return PLACE_PREFER_NO_SCHEDULE;
	return str_equal(text, "NoExecute") ? PLACE_NO_EXECUTE : PLACE_ANY_EFFECT;
}

static void read_tolerations(const json_t *list, struct arena *a, struct place_spec *spec)
{
	struct place_toleration *to =
		arena_new_array(a, json_array_size(list), struct place_toleration);
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item)
		to[i] = (struct place_toleration){json_text(item, "", "key"),
			json_text(item, "", "value"),
			str_equal(json_text(item, "Equal", "operator"), "Exists"),
			podspec_read_effect(json_text(item, "", "effect"))};
	spec->tolerations = to;
	spec->toleration_count = (uint32_t)json_array_size(list);
}

static int read_node_affinity(const json_t *affinity, struct arena *a, struct place_spec *spec,
	struct err *e)
{
	const json_t *required =
		json_object_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
	const json_t *preferred =
		json_object_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution");
	size_t i;
	json_t *item;
	int rc = 0;
	if (required) {
		const json_t *list = json_object_get(required, "nodeSelectorTerms");
		struct place_selector *terms =
			arena_new_array(a, json_array_size(list), struct place_selector);
		json_array_foreach (list, i, item)
			if (rc == 0)
				rc = read_node_term(item, a, &terms[i], e);
		struct place_node_terms *all = arena_new(a, struct place_node_terms);
		*all = (struct place_node_terms){
			PLACE_TERMS_AFFINITY, terms, (uint32_t)json_array_size(list)};
		spec->required = all;
		spec->required_count = 1;
	}
	struct place_node_preference *wishes =
		arena_new_array(a, json_array_size(preferred), struct place_node_preference);
	json_array_foreach (preferred, i, item) {
		wishes[i].weight = (int)json_int(item, 0, "weight");
		if (rc == 0)
			rc = read_node_term(json_object_get(item, "preference"), a, &wishes[i].term,
				e);
	}
	spec->preferred = wishes;
	spec->preferred_count = (uint32_t)json_array_size(preferred);
	return rc;
}

/* The namespaces of a term: those that are listed and those that the selector matches. */
static int read_namespaces(const json_t *json, const struct map *known, struct arena *a,
	struct place_pod_term *to, struct err *e)
{
	const json_t *list = json_object_get(json, "namespaces");
	const json_t *by_label = json_object_get(json, "namespaceSelector");
	if (!by_label) {
		to->namespaces = read_texts(list, a, &to->namespace_count);
		return 0;
	}
	struct selector *selector;
	int rc = selector_from_json(by_label, &selector, e);
	if (rc != 0)
		return rc;
	to->all_namespaces = json_array_size(json_object_get(by_label, "matchExpressions")) == 0 &&
			     json_object_size(json_object_get(by_label, "matchLabels")) == 0;
	const char **names =
		arena_new_array(a, json_array_size(list) + known->count + 1, const char *);
	size_t i, count = 0;
	json_t *item;
	json_array_foreach (list, i, item)
		names[count++] = json_text_or(item, "");
	MAP_EACH (known, entry) {
		const struct object *o = entry->value;
		if (!to->all_namespaces && selector_matches(selector, o->labels, o->label_count))
			names[count++] = arena_dup(a, o->name);
	}
	selector_free(selector);
	if (count == 0 && !to->all_namespaces)
		names[count++] = ""; /* none matches: not the pod's own either */
	to->namespaces = names;
	to->namespace_count = (uint32_t)count;
	return 0;
}

static int read_pod_term(const json_t *json, const struct map *namespaces, struct arena *a,
	struct place_pod_term *to, struct err *e)
{
	const json_t *selector = json_object_get(json, "labelSelector");
	to->topology_key = json_text(json, "", "topologyKey");
	to->nobody = !selector;
	int rc = read_label_selector(selector, a, &to->selector, e);
	return rc ? rc : read_namespaces(json, namespaces, a, to, e);
}

static int read_pod_affinity(const json_t *affinity, bool anti, const struct map *namespaces,
	struct arena *a, struct place_pod_term *terms, struct place_spec *spec, struct err *e)
{
	size_t i;
	json_t *item;
	int rc = 0;
	json_array_foreach (json_object_get(affinity,
				    "requiredDuringSchedulingIgnoredDuringExecution"),
		i, item) {
		struct place_pod_term *t = &terms[spec->pod_term_count++];
		*t = (struct place_pod_term){.required = true, .anti = anti};
		if (rc == 0)
			rc = read_pod_term(item, namespaces, a, t, e);
	}
	json_array_foreach (json_object_get(affinity,
				    "preferredDuringSchedulingIgnoredDuringExecution"),
		i, item) {
		struct place_pod_term *t = &terms[spec->pod_term_count++];
		*t = (struct place_pod_term){
			.anti = anti, .weight = (int)json_int(item, 0, "weight")};
		if (rc == 0)
			rc = read_pod_term(json_object_get(item, "podAffinityTerm"), namespaces, a,
				t, e);
	}
	return rc;
}

static size_t count_terms(const json_t *affinity)
{
	return json_array_size(json_object_get(affinity,
		       "requiredDuringSchedulingIgnoredDuringExecution")) +
	       json_array_size(json_object_get(affinity,
		       "preferredDuringSchedulingIgnoredDuringExecution"));
}

static int read_affinity(const json_t *affinity, const struct map *namespaces, struct arena *a,
	struct place_spec *spec, struct err *e)
{
	const json_t *with = json_object_get(affinity, "podAffinity");
	const json_t *without = json_object_get(affinity, "podAntiAffinity");
	struct place_pod_term *terms =
		arena_new_array(a, count_terms(with) + count_terms(without), struct place_pod_term);
	spec->pod_terms = terms;
	int rc = read_node_affinity(json_object_get(affinity, "nodeAffinity"), a, spec, e);
	if (rc == 0)
		rc = read_pod_affinity(with, false, namespaces, a, terms, spec, e);
	return rc ? rc : read_pod_affinity(without, true, namespaces, a, terms, spec, e);
}

/* matchLabelKeys: the pod's own values of these labels are asked for too. */
static void add_match_keys(const json_t *spread, const struct object *pod, struct arena *a,
	struct place_selector *selector)
{
	const json_t *keys = json_object_get(spread, "matchLabelKeys");
	size_t count = selector->count, i;
	json_t *key;
	if (json_array_size(keys) == 0)
		return;
	struct place_requirement *items =
		arena_new_array(a, count + json_array_size(keys), struct place_requirement);
	memcpy(items, selector->items, count * sizeof(*items));
	json_array_foreach (keys, i, key) {
		const char **value = arena_new(a, const char *);
		*value = object_label(pod, json_text_or(key, ""));
		if (*value)
			items[count++] = (struct place_requirement){
				json_string_value(key), PLACE_IN, value, 1, false};
	}
	*selector = (struct place_selector){items, (uint32_t)count};
}

static int read_spreads(const json_t *list, const struct object *pod, struct arena *a,
	struct place_spec *spec, struct err *e)
{
	struct place_spread *to = arena_new_array(a, json_array_size(list), struct place_spread);
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		struct place_spread *s = &to[i];
		*s = (struct place_spread){.topology_key = json_text(item, "", "topologyKey"),
			.max_skew = (int)json_int(item, 1, "maxSkew"),
			.min_domains = (int)json_int(item, 0, "minDomains"),
			.required = !str_equal(json_text(item, "", "whenUnsatisfiable"),
				"ScheduleAnyway"),
			.ignore_affinity =
				str_equal(json_text(item, "", "nodeAffinityPolicy"), "Ignore"),
			.honor_taints =
				str_equal(json_text(item, "", "nodeTaintsPolicy"), "Honor")};
		int rc = read_label_selector(json_object_get(item, "labelSelector"), a,
			&s->selector, e);
		if (rc != 0)
			return rc;
		add_match_keys(item, pod, a, &s->selector);
	}
	spec->spreads = to;
	spec->spread_count = (uint32_t)json_array_size(list);
	return 0;
}

/* One term more that must hold. */
static void require(struct arena *a, struct place_spec *spec, int source,
	const struct place_selector *term)
{
	uint32_t count = spec->required_count;
	struct place_node_terms *all = arena_new_array(a, count + 1, struct place_node_terms);
	if (count)
		memcpy(all, spec->required, count * sizeof(*all));
	all[count] = (struct place_node_terms){(unsigned)source, term, 1};
	spec->required = all;
	spec->required_count = count + 1;
}

/* A pod that must never run twice runs under a fence (agent/fences.h). A node's label says that
 * none can stand there. */
static void require_fence(const struct object *pod, struct arena *a, struct place_spec *spec)
{
	static const char *const none = "none";
	static const struct place_requirement has_one = {
		"continuo.dev/fence", PLACE_NOT_IN, &none, 1, false};
	static const struct place_selector term = {&has_one, 1};
	if (pod_singleton(pod) != SINGLETON_HANDOVER)
		return;
	require(a, spec, PLACE_TERMS_FENCE, &term);
}

/* Data that the pod reads may be processed in these countries only ("DE,FR"). A node whose country
 * is not known is in none of them. */
static void require_countries(const json_t *pod, struct arena *a, struct place_spec *spec)
{
	const char *text = json_text(pod, NULL, "metadata", "annotations", COUNTRIES_ANNOTATION);
	if (!text)
		return;
	char *list = arena_dup(a, text), *rest = list;
	const char **values = arena_new_array(a, strlen(text) + 1, const char *);
	struct place_requirement *in = arena_new(a, struct place_requirement);
	struct place_selector *term = arena_new(a, struct place_selector);
	*in = (struct place_requirement){.key = NODESPEC_COUNTRY_LABEL, .values = values};
	for (char *country; (country = strsep(&rest, ","));)
		values[in->value_count++] = country;
	*term = (struct place_selector){in, 1};
	require(a, spec, PLACE_TERMS_RESIDENCY, term);
}

int podspec_read(const json_t *pod, const struct object *object, const struct map *namespaces,
	struct arena *arena, struct place_spec *ret_spec, struct err *e)
{
	const json_t *from = json_object_get(pod, "spec");
	struct place_spec spec = {.namespace = object->namespace};
	spec.labels =
		podspec_read_labels(json_at(pod, "metadata", "labels"), arena, &spec.label_count);
	spec.node_selector = podspec_read_labels(json_object_get(from, "nodeSelector"), arena,
		&spec.node_selector_count);
	read_requests(pod, arena, &spec);
	read_ports(from, arena, &spec);
	read_tolerations(json_object_get(from, "tolerations"), arena, &spec);
	int rc = read_affinity(json_object_get(from, "affinity"), namespaces, arena, &spec, e);
	if (rc == 0)
		rc = read_spreads(json_object_get(from, "topologySpreadConstraints"), object, arena,
			&spec, e);
	require_fence(object, arena, &spec);
	require_countries(pod, arena, &spec);
	if (rc == 0)
		*ret_spec = spec;
	return rc;
}

int podspec_priority(const json_t *pod)
{
	int64_t priority = json_int(pod, 0, "spec", "priority");
	return priority > INT_MAX ? INT_MAX : priority < INT_MIN ? INT_MIN : (int)priority;
}
