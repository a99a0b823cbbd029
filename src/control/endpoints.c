/*
 * EndpointSlices of Services that have a selector: which pods serve, on which ports. Pods whose
 * named ports have the same numbers share a slice, of at most SLICE_MAX endpoints. The addresses of
 * a pod beyond the first are not used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/step.h"

#define SLICE_MAX 100 /* Kubernetes' --max-endpoints-per-slice */
#define ZONE_LABEL "topology.kubernetes.io/zone"
#define MANAGER "endpointslice-controller.k8s.io"

/* ---- changes ---- */

static bool same_labels(const struct object *a, const struct object *b)
{
	if (a->label_count != b->label_count)
		return false;
	for (size_t i = 0; i < a->label_count; i++)
		if (!str_equal(a->labels[i].key, b->labels[i].key) ||
			!str_equal(a->labels[i].value, b->labels[i].value))
			return false;
	return true;
}

/* The text of "podIP" in the blob; keys in blobs are never inside a string. */
static bool same_address(const struct object *a, const struct object *b)
{
	static const char key[] = "\"podIP\":\"";
	const char *x = strstr(a->blob, key), *y = strstr(b->blob, key);
	if (!x || !y)
		return x == y;
	size_t size = strcspn(x + sizeof(key) - 1, "\"") + sizeof(key);
	return strncmp(x, y, size) == 0;
}

static bool pod_matters(const struct object *pod, const struct object *previous)
{
	if (!pod || !previous)
		return true;
	return pod->ready != previous->ready || pod->deletion_ms != previous->deletion_ms ||
	       !str_equal(pod->node, previous->node) || !str_equal(pod->phase, previous->phase) ||
	       !same_labels(pod, previous) || !same_address(pod, previous);
}

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *o = object ? object : previous;
	if (o->kind == &kind_service) {
		step_add(o, queue_add, queue);
		return;
	}
	if (o->kind == &kind_endpointslice) { /* somebody wrote one of ours */
		step_add_owner(v, o, &kind_service, queue_add, queue);
		return;
	}
	bool pod = o->kind == &kind_pod;
	if (pod ? !pod_matters(object, previous)
		: object && previous && same_labels(object, previous))
		return;
	struct view_list services = view_list(v, &kind_service, pod ? o->namespace : NULL);
	for (size_t i = 0; i < services.count; i++)
		step_add(services.objects[i], queue_add, queue);
}

/* ---- what should be ---- */

struct group { /* pods with the same port numbers */
	json_t *ports;
	const char *family;
	VEC(json_t *) endpoints;
};

struct service {
	struct control_view *view;
	const struct object *object;
	json_t *tree;
	VEC(struct group) groups;
};

static void service_done(struct service *s)
{
	VEC_EACH (&s->groups, struct group, g) {
		VEC_EACH (&g->endpoints, json_t *, endpoint)
			json_decref(*endpoint);
		vec_done(&g->endpoints);
		json_decref(g->ports);
	}
	vec_done(&s->groups);
	json_done(&s->tree);
}

static bool selects(const json_t *selector, const struct object *pod)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)selector, key, value)
		if (!str_equal(object_label(pod, key), json_string_value(value)))
			return false;
	return true;
}

/* The number of a named container port; 0 when the pod has none of the name. */
static int64_t named_port(const json_t *pod, const char *name, const char *protocol)
{
	size_t i, k;
	json_t *container, *port;
	json_array_foreach (json_at(pod, "spec", "containers"), i, container)
		json_array_foreach (json_object_get(container, "ports"), k, port)
			if (str_equal(json_text(port, "", "name"), name) &&
				str_equal(json_text(port, "TCP", "protocol"), protocol))
				return json_int(port, 0, "containerPort");
	return 0;
}

static json_t *resolve_ports(const json_t *service, const json_t *pod)
{
	json_t *ports = json_array(), *port;
	size_t i;
	json_array_foreach (json_at(service, "spec", "ports"), i, port) {
		const json_t *target = json_object_get(port, "targetPort");
		const char *protocol = json_text(port, "TCP", "protocol");
		int64_t number = json_is_string(target)
					 ? named_port(pod, json_string_value(target), protocol)
					 : json_int_or(target, json_int(port, 0, "port"));
		if (number == 0)
			continue;
		json_t *one = json_pack("{s:s, s:s, s:I}", "name", json_text(port, "", "name"),
			"protocol", protocol, "port", (json_int_t)number);
		const char *application = json_text(port, NULL, "appProtocol");
		if (application)
			json_object_set_new(one, "appProtocol", json_string(application));
		json_array_append_new(ports, one);
	}
	return ports;
}

static json_t *endpoint_of(const struct service *s, const struct object *pod, const char *address)
{
	bool all = json_bool(s->tree, false, "spec", "publishNotReadyAddresses");
	bool going = pod->deletion_ms != 0;
	json_t *endpoint = json_pack("{s:[s], s:{s:b, s:b, s:b}, s:{s:s, s:s, s:s, s:s}}",
		"addresses", address, "conditions", "ready", (int)(all || (pod->ready && !going)),
		"serving", (int)pod->ready, "terminating", (int)going, "targetRef", "kind", "Pod",
		"namespace", pod->namespace, "name", pod->name, "uid", pod->uid);
	if (!pod->node[0])
		return endpoint;
	json_object_set_new(endpoint, "nodeName", json_string(pod->node));
	const struct object *node = view_get(s->view, &kind_node, "", pod->node);
	const char *zone = node ? object_label(node, ZONE_LABEL) : NULL;
	if (zone)
		json_object_set_new(endpoint, "zone", json_string(zone));
	return endpoint;
}

static void add_endpoint(struct service *s, json_t *ports, const char *family, json_t *endpoint)
{
	VEC_EACH (&s->groups, struct group, g) {
		if (!json_equal(g->ports, ports) || g->endpoints.count >= SLICE_MAX ||
			!str_equal(g->family, family))
			continue;
		vec_push(&g->endpoints, endpoint);
		json_decref(ports);
		return;
	}
	struct group *g = vec_add(&s->groups);
	g->ports = ports;
	g->family = family;
	vec_push(&g->endpoints, endpoint);
}

static void add_pods(struct service *s)
{
	const json_t *selector = json_at(s->tree, "spec", "selector");
	struct view_list pods = view_list(s->view, &kind_pod, s->object->namespace);
	for (size_t i = 0; i < pods.count; i++) {
		const struct object *pod = pods.objects[i];
		if (step_pod_over(pod) || !selects(selector, pod) ||
			!strstr(pod->blob, "\"podIP\":\""))
			continue;
		CLEANUP(json_done) json_t *tree = object_tree(pod);
		const char *address = json_text(tree, "", "status", "podIP");
		if (*address)
			add_endpoint(s, resolve_ports(s->tree, tree),
				strchr(address, ':') ? "IPv6" : "IPv4",
				endpoint_of(s, pod, address));
	}
	if (s->groups.count == 0) { /* an empty slice says that the service is known */
		struct group *g = vec_add(&s->groups);
		g->ports = json_array();
		g->family = "IPv4";
	}
}

/* ---- what is ---- */

static json_t *slice_labels(const struct service *s)
{
	json_t *labels = json_deep_copy(json_at(s->tree, "metadata", "labels"));
	labels = labels ? labels : json_object();
	json_object_set_new(labels, "kubernetes.io/service-name", json_string(s->object->name));
	json_object_set_new(labels, "endpointslice.kubernetes.io/managed-by", json_string(MANAGER));
	if (str_equal(json_text(s->tree, "", "spec", "clusterIP"), "None"))
		json_object_set_new(labels, "service.kubernetes.io/headless", json_string(""));
	return labels;
}

static json_t *endpoints_array(const struct group *g)
{
	json_t *list = json_array();
	VEC_EACH (&g->endpoints, json_t *, endpoint)
		json_array_append(list, *endpoint);
	return list;
}

static void create_slice(struct service *s, const struct group *g, struct control_out *out)
{
	char base[80];
	snprintf(base, sizeof(base), "%.63s-", s->object->name);
	step_create(out, &kind_endpointslice,
		json_pack("{s:{s:s, s:s, s:o, s:[o]}, s:s, s:o, s:O}", "metadata", "generateName",
			base, "namespace", s->object->namespace, "labels", slice_labels(s),
			"ownerReferences", step_owner(s->object), "addressType", g->family,
			"endpoints", endpoints_array(g), "ports", g->ports));
}

static void update_slice(const struct service *s, const struct group *g, const struct object *slice,
	struct control_out *out)
{
	json_t *tree = object_tree(slice);
	json_object_set_new(json_object_get(tree, "metadata"), "labels", slice_labels(s));
	json_object_set_new(tree, "endpoints", endpoints_array(g));
	json_object_set(tree, "ports", g->ports);
	step_update(out, slice, tree); /* nothing is written when nothing changed */
}

/* The slice that comes closest: same family, and the same ports if there is one. */
static size_t find_slice(json_t *const *trees, const bool *used, size_t count,
	const struct group *g)
{
	size_t found = count;
	for (size_t i = 0; i < count; i++) {
		if (used[i] || !str_equal(json_text(trees[i], "", "addressType"), g->family))
			continue;
		if (json_equal(json_object_get(trees[i], "ports"), g->ports))
			return i;
		found = found == count ? i : found;
	}
	return found;
}

static void write_slices(struct service *s, struct control_out *out)
{
	struct view_list have = view_owned(s->view, &kind_endpointslice, s->object->uid);
	json_t **trees = arena_new_array(out->arena, have.count + 1, json_t *);
	bool *used = arena_new_array(out->arena, have.count + 1, bool);
	for (size_t i = 0; i < have.count; i++)
		trees[i] = object_tree(have.objects[i]);
	VEC_EACH (&s->groups, struct group, g) {
		size_t i = find_slice(trees, used, have.count, g);
		if (i == have.count) {
			create_slice(s, g, out);
			continue;
		}
		used[i] = true;
		update_slice(s, g, have.objects[i], out);
	}
	for (size_t i = 0; i < have.count; i++) {
		if (!used[i])
			step_delete(out, have.objects[i]);
		json_decref(trees[i]);
	}
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)wall_ms;
	(void)e;
	const struct object *o = view_get_key(v, key);
	if (!o || o->deletion_ms)
		return 0;
	CLEANUP(service_done) struct service s = {.view = v, .object = o, .tree = object_tree(o)};
	if (json_object_size(json_at(s.tree, "spec", "selector")) == 0 ||
		str_equal(json_text(s.tree, "", "spec", "type"), "ExternalName"))
		return 0;
	add_pods(&s);
	write_slices(&s, out);
	return 0;
}

static const struct kind *const watched[] = {
	&kind_service, &kind_pod, &kind_node, &kind_endpointslice, NULL};
const struct reconciler reconciler_endpoints = {"endpoints", on_change, watched, step};
