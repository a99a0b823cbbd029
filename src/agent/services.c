#include "agent/services.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/vec.h"

#define SERVICE_NAME_LABEL "kubernetes.io/service-name"

typedef VEC(struct overlay_endpoint) endpoint_list;

/* ---- endpoints ---- */

static void add_endpoint(struct arena *a, const json_t *endpoint, uint16_t port,
	endpoint_list *list)
{
	size_t i;
	json_t *address;
	json_array_foreach (json_object_get(endpoint, "addresses"), i, address) {
		struct overlay_endpoint *x = vec_add(list);
		x->ip = arena_dup(a, json_text_or(address, ""));
		x->port = port;
		x->hostname = arena_dup(a, json_text(endpoint, "", "hostname"));
		x->node = arena_dup(a, json_text(endpoint, "", "nodeName"));
		/* A missing "ready" counts as ready (discovery/v1, EndpointConditions). */
		x->ready = json_bool(endpoint, true, "conditions", "ready");
	}
}

/* The number that a slice gives the service's port, matched by name; 0: none. */
static uint16_t port_in_slice(const json_t *slice, const char *name)
{
	size_t i;
	json_t *port;
	json_array_foreach (json_object_get(slice, "ports"), i, port) {
		if (!str_equal(json_text(port, "", "name"), name))
			continue;
		int64_t number = json_int(port, 0, "port");
		return number > 0 && number <= 65535 ? (uint16_t)number : 0;
	}
	return 0;
}

/* name null: the endpoints whatever their ports, with port 0. */
static void add_of_slice(struct arena *a, const json_t *slice, const char *name,
	endpoint_list *list)
{
	uint16_t port = name ? port_in_slice(slice, name) : 0;
	if ((name && port == 0) || str_equal(json_text(slice, "IPv4", "addressType"), "IPv6"))
		return;
	size_t i;
	json_t *endpoint;
	json_array_foreach (json_object_get(slice, "endpoints"), i, endpoint)
		add_endpoint(a, endpoint, port, list);
}

static void set_endpoints(struct arena *a, const json_t *slices, const char *name,
	struct overlay_port *ret_port)
{
	endpoint_list list = {0};
	size_t i;
	json_t *slice;
	json_array_foreach (slices, i, slice)
		add_of_slice(a, slice, name, &list);
	struct overlay_endpoint *kept = arena_new_array(a, list.count + 1, struct overlay_endpoint);
	if (list.count > 0)
		memcpy(kept, list.items, list.count * sizeof(*kept));
	ret_port->endpoints = kept;
	ret_port->endpoint_count = list.count;
	vec_done(&list);
}

/* ---- services ---- */

/* EndpointSlices of each service, parsed once: "NAMESPACE/NAME" to a JSON array. */
static json_t *slices_by_service(const struct agent_slice *s)
{
	json_t *all = json_object();
	MAP_EACH (agent_slice_objects(s), entry) {
		const struct object *o = entry->value;
		const char *service =
			o->kind == &kind_endpointslice ? object_label(o, SERVICE_NAME_LABEL) : NULL;
		if (!service)
			continue;
		struct arena a CLEANUP(arena_done) = {0};
		const char *key = arena_format(&a, "%s/%s", o->namespace, service);
		if (!json_object_get(all, key))
			json_object_set_new(all, key, json_array());
		json_array_append_new(json_object_get(all, key), object_tree(o));
	}
	return all;
}

static void read_port(struct arena *a, const json_t *port, struct overlay_port *ret_port)
{
	int64_t number = json_int(port, 0, "port"), node_port = json_int(port, 0, "nodePort");
	ret_port->name = arena_dup(a, json_text(port, "", "name"));
	ret_port->protocol = arena_dup(a, json_text(port, "TCP", "protocol"));
	ret_port->port = number > 0 && number <= 65535 ? (uint16_t)number : 0;
	ret_port->node_port = node_port > 0 && node_port <= 65535 ? (uint16_t)node_port : 0;
}

/* Ports with their endpoints. A service without ports is headless and has names only. */
static void read_ports(struct arena *a, const json_t *ports, const json_t *slices,
	struct overlay_service *ret_service)
{
	size_t i, count = json_array_size(ports);
	json_t *port;
	struct overlay_port *list = arena_new_array(a, count + 1, struct overlay_port);
	json_array_foreach (ports, i, port) {
		read_port(a, port, &list[i]);
		set_endpoints(a, slices, list[i].name, &list[i]);
	}
	if (count == 0) {
		list[0] = (struct overlay_port){.name = "", .protocol = "TCP"};
		set_endpoints(a, slices, NULL, &list[0]);
	}
	ret_service->ports = list;
	ret_service->port_count = count ? count : 1;
}

static void read_service(struct arena *a, const json_t *tree, const json_t *slices,
	struct overlay_service *ret_service)
{
	const json_t *spec = json_object_get(tree, "spec");
	bool external = str_equal(json_text(spec, "", "type"), "ExternalName");
	bool sticky = str_equal(json_text(spec, "", "sessionAffinity"), "ClientIP");
	ret_service->namespace = arena_dup(a, json_text(tree, "", "metadata", "namespace"));
	ret_service->name = arena_dup(a, json_text(tree, "", "metadata", "name"));
	ret_service->cluster_ip = arena_dup(a, json_text(spec, "", "clusterIP"));
	ret_service->external_name =
		arena_dup(a, external ? json_text(spec, "", "externalName") : "");
	ret_service->publish_not_ready = json_bool(spec, false, "publishNotReadyAddresses");
	ret_service->affinity_seconds = sticky ? (int)json_int(spec, 10800, "sessionAffinityConfig",
							 "clientIP", "timeoutSeconds")
					       : 0;
	read_ports(a, json_object_get(spec, "ports"), slices, ret_service);
}

struct overlay_service *agent_services_make(const struct agent_slice *s, struct arena *a,
	size_t *ret_count)
{
	CLEANUP(json_done) json_t *slices = slices_by_service(s);
	struct overlay_service *list =
		arena_new_array(a, agent_slice_count(s) + 1, struct overlay_service);
	size_t count = 0;
	MAP_EACH (agent_slice_objects(s), entry) {
		const struct object *o = entry->value;
		if (o->kind != &kind_service)
			continue;
		CLEANUP(json_done) json_t *tree = object_tree(o);
		const char *key = arena_format(a, "%s/%s", o->namespace, o->name);
		read_service(a, tree, json_object_get(slices, key), &list[count++]);
	}
	*ret_count = count;
	return list;
}

struct overlay_peer *agent_peers_make(const json_t *peers, const char *own_node, struct arena *a,
	size_t *ret_count)
{
	struct overlay_peer *list =
		arena_new_array(a, json_array_size(peers) + 1, struct overlay_peer);
	size_t i, count = 0;
	json_t *peer;
	json_array_foreach (peers, i, peer) {
		const char *node = json_text_or(json_array_get(peer, 0), "");
		const char *address = json_text_or(json_array_get(peer, 1), "");
		const char *cidr = json_text_or(json_array_get(peer, 2), "");
		if (*node && *address && *cidr && !str_equal(node, own_node))
			list[count++] = (struct overlay_peer){
				arena_dup(a, node), arena_dup(a, address), arena_dup(a, cidr)};
	}
	*ret_count = count;
	return list;
}
