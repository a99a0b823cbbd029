#include <stdlib.h>

#include "base/map.h"
#include "base/str.h"
#include "model/format.h"
#include "model/validate.h"

/* One name space for both lists. */
static void check_names(struct findings *f, const struct path *p, const json_t *spec)
{
	static const char *const lists[] = {"initContainers", "containers"};
	struct map seen = {0};
	size_t i;
	json_t *container;
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		json_array_foreach (json_object_get(spec, lists[l]), i, container) {
			const char *name = json_text(container, "", "name");
			if (*name && map_has(&seen, name))
				find_duplicate(f,
					PATH_FIELD(PATH_ITEM(PATH_FIELD(p, lists[l]), i), "name"),
					name);
			map_put(&seen, name, &seen);
		}
	}
	map_done(&seen);
}

static void check_dns(struct findings *f, const struct path *p, const json_t *spec)
{
	const json_t *servers = json_at(spec, "dnsConfig", "nameservers");
	const struct path *at = PATH_FIELD(PATH_FIELD(p, "dnsConfig"), "nameservers");
	if (str_equal(json_text(spec, "", "dnsPolicy"), "None") && !json_array_size(servers))
		find_required(f, at,
			"must provide at least one DNS nameserver when `dnsPolicy` is None");
	if (json_array_size(servers) > 3)
		find_invalid(f, at, servers, "must not have more than 3 nameservers");
	size_t i;
	json_t *server;
	json_array_foreach (servers, i, server) {
		const char *why = format_check(FORMAT_IP, json_text_or(server, ""));
		if (why)
			find_invalid(f, PATH_ITEM(at, i), server, why);
	}
}

static void check_pod_security(struct findings *f, const struct path *p, const json_t *spec)
{
	const struct path *at = PATH_FIELD(p, "securityContext");
	const json_t *users = json_object_get(spec, "hostUsers");
	if (json_is_false(users))
		find_forbidden(f, PATH_FIELD(p, "hostUsers"),
			"user namespaces are not supported by this version");
	size_t i;
	json_t *group;
	json_array_foreach (json_at(spec, "securityContext", "supplementalGroups"), i, group) {
		int64_t id = json_int_or(group, 0);
		if (id < 0 || id > 2147483647)
			find_invalid(f, PATH_ITEM(PATH_FIELD(at, "supplementalGroups"), i), group,
				"must be between 0 and 2147483647, inclusive");
	}
	if (json_bool(spec, false, "shareProcessNamespace") && json_bool(spec, false, "hostPID"))
		find_invalid(f, PATH_FIELD(p, "shareProcessNamespace"), json_true(),
			"ShareProcessNamespace and HostPID cannot both be enabled");
}

void validate_pod_spec(struct findings *f, const struct path *p, const json_t *spec)
{
	check_names(f, p, spec);
	validate_volumes(f, p, spec);
	validate_containers(f, p, spec);
	validate_scheduling(f, p, spec);
	check_dns(f, p, spec);
	check_pod_security(f, p, spec);
	validate_unique(f, PATH_FIELD(p, "imagePullSecrets"),
		json_object_get(spec, "imagePullSecrets"), "name");
}

/* ---- updates ---- */

static void copy_member(json_t *to, const json_t *from, const char *name)
{
	json_t *value = json_object_get(from, name);
	if (value)
		json_object_set(to, name, value);
	else
		json_object_del(to, name);
}

static void copy_images(json_t *to, const json_t *from, const char *list)
{
	size_t i;
	json_t *container;
	json_array_foreach (json_object_get(to, list), i, container) {
		copy_member(container, json_array_get(json_object_get(from, list), i), "image");
	}
}

#define TOLERATIONS_MAX 256 /* beyond it, the old ones must come first and in order */

static bool has_toleration(const json_t *tolerations, const json_t *wanted)
{
	for (size_t i = 0; i < json_array_size(tolerations) && i < TOLERATIONS_MAX; i++)
		if (json_equal(json_array_get(tolerations, i), wanted))
			return true;
	return false;
}

/* Whether each old toleration is still there. */
static bool tolerations_only_added(const json_t *spec, const json_t *old)
{
	const json_t *now = json_object_get(spec, "tolerations");
	size_t i;
	json_t *before;
	json_array_foreach (json_object_get(old, "tolerations"), i, before) {
		if (json_equal(json_array_get(now, i), before))
			continue;
		if (i >= TOLERATIONS_MAX || !has_toleration(now, before))
			return false;
	}
	return true;
}

/* Takes over what may change, and compares the rest. nodeName may be set once: that is binding. */
static void check_pod_update(const struct validation *v, const json_t *spec, const json_t *old)
{
	if (json_equal(spec, old))
		return;
	CLEANUP(json_done)
	json_t *was = json_deep_copy(old);
	copy_images(was, spec, "containers");
	copy_images(was, spec, "initContainers");
	copy_member(was, spec, "activeDeadlineSeconds");
	if (tolerations_only_added(spec, old))
		copy_member(was, spec, "tolerations");
	if (str_empty(json_text(old, "", "nodeName")))
		copy_member(was, spec, "nodeName");
	if (json_int(old, 0, "terminationGracePeriodSeconds") < 0)
		copy_member(was, spec, "terminationGracePeriodSeconds");
	if (json_object_get(old, "schedulingGates"))
		copy_member(was, spec, "schedulingGates");
	if (!json_equal(spec, was))
		find_forbidden(v->findings, PATH_FIELD(NULL, "spec"),
			"pod updates may not change fields other than "
			"`spec.containers[*].image`,`spec.initContainers[*].image`,"
			"`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
			"existing tolerations)");
}

void validate_pod(const struct validation *v)
{
	const struct path *p = PATH_FIELD(NULL, "spec");
	const json_t *spec = json_object_get(v->json, "spec");
	if (!json_object_get(spec, "containers"))
		return; /* the schema's rules have said so */
	validate_pod_spec(v->findings, p, spec);
	if (v->old)
		check_pod_update(v, spec, json_object_get(v->old, "spec"));
}
