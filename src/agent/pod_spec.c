#include "agent/pod_spec.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "model/pod_security.h"

/* ---- ConfigMaps and Secrets ---- */

struct gather {
	const struct agent_slice *slice;
	const char *namespace;
	VEC(const struct object *) found;
	char *withheld; /* OBJECT_KEY_MAX: gets the first key that the slice does not have; or null
			 */
};

static void add_named(struct gather *g, const struct kind *kind, const json_t *name)
{
	char key[OBJECT_KEY_MAX];
	const char *text = json_text_or(name, NULL);
	if (!text || object_key_of(kind, g->namespace, text, key, NULL) < 0)
		return;
	if (g->withheld && !*g->withheld && agent_slice_withheld(g->slice, key))
		(void)str_copy(g->withheld, OBJECT_KEY_MAX, key);
	const struct object *o = agent_slice_get(g->slice, key);
	for (size_t i = 0; i < g->found.count; i++)
		if (g->found.items[i] == o)
			return;
	if (o)
		vec_push(&g->found, o);
}

static void add_of_containers(struct gather *g, const json_t *containers)
{
	size_t i, j;
	json_t *container, *env;
	json_array_foreach (containers, i, container) {
		json_array_foreach (json_object_get(container, "env"), j, env) {
			add_named(g, &kind_configmap,
				json_at(env, "valueFrom", "configMapKeyRef", "name"));
			add_named(g, &kind_secret,
				json_at(env, "valueFrom", "secretKeyRef", "name"));
		}
		json_array_foreach (json_object_get(container, "envFrom"), j, env) {
			add_named(g, &kind_configmap, json_at(env, "configMapRef", "name"));
			add_named(g, &kind_secret, json_at(env, "secretRef", "name"));
		}
	}
}

static void add_of_volumes(struct gather *g, const json_t *volumes)
{
	size_t i, j;
	json_t *volume, *source;
	json_array_foreach (volumes, i, volume) {
		add_named(g, &kind_configmap, json_at(volume, "configMap", "name"));
		add_named(g, &kind_secret, json_at(volume, "secret", "secretName"));
		json_array_foreach (json_at(volume, "projected", "sources"), j, source) {
			add_named(g, &kind_configmap, json_at(source, "configMap", "name"));
			add_named(g, &kind_secret, json_at(source, "secret", "name"));
		}
	}
}

static void find_objects(struct gather *g, const json_t *tree)
{
	const json_t *spec = json_object_get(tree, "spec");
	add_of_containers(g, json_object_get(spec, "initContainers"));
	add_of_containers(g, json_object_get(spec, "containers"));
	add_of_volumes(g, json_object_get(spec, "volumes"));
	size_t i;
	json_t *secret;
	json_array_foreach (json_object_get(spec, "imagePullSecrets"), i, secret)
		add_named(g, &kind_secret, json_object_get(secret, "name"));
}

bool agent_pod_lacks_secret(const struct agent_slice *s, const struct object *pod,
	char ret_key[static OBJECT_KEY_MAX])
{
	struct gather g = {.slice = s, .namespace = pod->namespace, .withheld = ret_key};
	*ret_key = '\0';
	if (!agent_slice_withholds(s))
		return false;
	CLEANUP(json_done) json_t *tree = object_tree(pod);
	find_objects(&g, tree);
	vec_done(&g.found);
	return *ret_key;
}

static void gather_objects(struct gather *g, const json_t *tree, struct arena *a,
	struct driver_pod *out)
{
	find_objects(g, tree);
	const struct object **objects =
		arena_new_array(a, g->found.count + 1, const struct object *);
	if (g->found.count > 0)
		memcpy(objects, g->found.items, g->found.count * sizeof(*objects));
	out->objects = objects;
	out->object_count = g->found.count;
	vec_done(&g->found);
}

/* ---- service variables ---- */

/* "my-web" becomes "MY_WEB" (Kubernetes: envvars.FromServices). */
static char *variable_name(struct arena *a, const char *name)
{
	char *text = arena_dup(a, name);
	for (char *c = text; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	return text;
}

struct env {
	struct arena *arena;
	VEC(const char *) lines;
};

static void add_service_env(struct env *v, const json_t *service)
{
	const char *ip = json_text(service, "", "spec", "clusterIP");
	const json_t *ports = json_at(service, "spec", "ports");
	if (str_empty(ip) || str_equal(ip, "None") || json_array_size(ports) == 0)
		return;
	const char *name = variable_name(v->arena, json_text(service, "", "metadata", "name"));
	long long first = (long long)json_int(json_array_get(ports, 0), 0, "port");
	vec_push(&v->lines, arena_format(v->arena, "%s_SERVICE_HOST=%s", name, ip));
	vec_push(&v->lines, arena_format(v->arena, "%s_SERVICE_PORT=%lld", name, first));
	size_t i;
	json_t *port;
	json_array_foreach (ports, i, port) {
		long long number = (long long)json_int(port, 0, "port");
		const char *port_name = json_text(port, "", "name");
		const char *upper = json_text(port, "TCP", "protocol");
		char lower[8] = "";
		for (size_t c = 0; upper[c] && c < sizeof(lower) - 1; c++)
			lower[c] = (char)tolower((unsigned char)upper[c]);
		if (*port_name)
			vec_push(&v->lines, arena_format(v->arena, "%s_SERVICE_PORT_%s=%lld", name,
						    variable_name(v->arena, port_name), number));
		if (i == 0)
			vec_push(&v->lines, arena_format(v->arena, "%s_PORT=%s://%s:%lld", name,
						    lower, ip, number));
		const char *prefix = arena_format(v->arena, "%s_PORT_%lld_%s", name, number, upper);
		vec_push(&v->lines,
			arena_format(v->arena, "%s=%s://%s:%lld", prefix, lower, ip, number));
		vec_push(&v->lines, arena_format(v->arena, "%s_PROTO=%s", prefix, lower));
		vec_push(&v->lines, arena_format(v->arena, "%s_PORT=%lld", prefix, number));
		vec_push(&v->lines, arena_format(v->arena, "%s_ADDR=%s", prefix, ip));
	}
}

static const char *const *gather_env(const struct agent_slice *s, const char *namespace,
	bool wanted, struct arena *a)
{
	struct env v = {.arena = a};
	if (wanted)
		MAP_EACH (agent_slice_objects(s), entry) {
			const struct object *o = entry->value;
			if (o->kind != &kind_service || !str_equal(o->namespace, namespace))
				continue;
			CLEANUP(json_done) json_t *tree = object_tree(o);
			add_service_env(&v, tree);
		}
	const char **lines = arena_new_array(a, v.lines.count + 1, const char *);
	if (v.lines.count > 0)
		memcpy(lines, v.lines.items, v.lines.count * sizeof(*lines));
	vec_done(&v.lines);
	return lines;
}

/* ---- all of it ---- */

static const char *const *search_list(struct arena *a, const char *namespace, const char *domain)
{
	const char **list = arena_new_array(a, 4, const char *);
	list[0] = arena_format(a, "%s.svc.%s", namespace, domain);
	list[1] = arena_format(a, "svc.%s", domain);
	list[2] = arena_dup(a, domain);
	return list;
}

static const char *privilege_of(const struct agent_slice *s, const char *namespace)
{
	char key[OBJECT_KEY_MAX];
	if (object_key_of(&kind_namespace, "", namespace, key, NULL) < 0)
		return "baseline";
	const struct object *o = agent_slice_get(s, key);
	return o ? pod_security_level(o) : "baseline";
}

static const char *dns_of(const json_t *tree, const char *dns_address)
{
	const char *policy = json_text(tree, "ClusterFirst", "spec", "dnsPolicy");
	bool host = json_bool(tree, false, "spec", "hostNetwork");
	if (str_equal(policy, "Default") || (host && str_equal(policy, "ClusterFirst")))
		return "";
	return dns_address;
}

struct driver_pod agent_pod_gather(const struct agent_slice *s, const struct object *pod,
	const json_t *tree, const char *cluster_domain, const char *dns_address, struct arena *a)
{
	struct driver_pod out = {.pod = pod};
	struct gather g = {.slice = s, .namespace = pod->namespace};
	gather_objects(&g, tree, a, &out);
	out.cluster_dns = dns_of(tree, dns_address);
	out.dns_search = search_list(a, pod->namespace, cluster_domain);
	out.service_env = gather_env(s, pod->namespace,
		json_bool(tree, true, "spec", "enableServiceLinks"), a);
	out.privilege = privilege_of(s, pod->namespace);
	return out;
}

/* FNV-1a (Fowler, Noll, Vo): tells that something changed, guards against nobody. */
static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *at = data;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ at[i]) * 0x100000001b3ULL;
	return hash;
}

uint64_t agent_pod_digest(const struct driver_pod *pod)
{
	CLEANUP(json_done) json_t *tree = object_tree(pod->pod);
	json_object_del(tree, "status");
	json_t *metadata = json_object_get(tree, "metadata");
	json_object_del(metadata, "resourceVersion");
	json_object_del(metadata, "deletionTimestamp");
	json_object_del(metadata, "deletionGracePeriodSeconds");
	CLEANUP(mem_free_ptr) char *text = json_encode_string(tree);
	uint64_t hash = mix(0xcbf29ce484222325ULL, text, strlen(text));
	for (size_t i = 0; i < pod->object_count; i++)
		hash = mix(hash, pod->objects[i]->blob, pod->objects[i]->blob_size);
	return hash;
}
