#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "model/format.h"
#include "model/quantity.h"
#include "model/validate.h"

/* ---- resources ---- */

/* Without a domain only Kubernetes' own resources have a meaning. */
static bool is_native(const char *name)
{
	static const char *const names[] = {"cpu", "memory", "ephemeral-storage"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_equal(name, names[i]))
			return true;
	return str_starts(name, "hugepages-");
}

static void check_amount(struct findings *f, const struct path *p, const char *name,
	const json_t *value)
{
	struct quantity q = {0};
	enum quantity_format format;
	const char *why = format_check(FORMAT_LABEL_KEY, name);
	if (why)
		find_invalid_text(f, p, name, why);
	else if (!is_native(name) && !strchr(name, '/'))
		find_invalid_text(f, p, name,
			"must be a standard resource type or fully qualified");
	if (quantity_parse(json_text_or(value, ""), &q, &format, NULL) < 0 || q.units < 0 ||
		q.nano < 0)
		find_invalid(f, p, value, "must be greater than or equal to 0");
	else if (!is_native(name) && q.nano)
		find_invalid(f, p, value, "must be an integer");
}

static void check_request(struct findings *f, const struct path *p, const char *name,
	const json_t *request, const json_t *limit)
{
	struct quantity want = {0}, most = {0};
	enum quantity_format format;
	char why[256];
	if (!limit && !is_native(name))
		find_required(f, PATH_FIELD(p, "limits"),
			"limit must be set for non overcommitable resources");
	if (!limit || quantity_parse(json_text_or(request, ""), &want, &format, NULL) < 0 ||
		quantity_parse(json_text_or(limit, ""), &most, &format, NULL) < 0)
		return;
	bool exact = !is_native(name);
	int order = quantity_compare(want, most);
	if (exact ? order == 0 : order <= 0)
		return;
	snprintf(why, sizeof(why), "must be %s %.100s limit of %.60s",
		exact ? "equal to" : "less than or equal to", name, json_text_or(limit, ""));
	find_invalid(f, PATH_FIELD(p, "requests"), request, why);
}

void validate_resources(struct findings *f, const struct path *p, const json_t *resources)
{
	const json_t *limits = json_object_get(resources, "limits");
	json_t *requests = json_object_get(resources, "requests");
	const char *name;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)limits, name, value) {
		check_amount(f, PATH_KEY(PATH_FIELD(p, "limits"), name), name, value);
	}
	json_object_foreach (requests, name, value) {
		check_amount(f, PATH_KEY(PATH_FIELD(p, "requests"), name), name, value);
		check_request(f, p, name, value, json_object_get(limits, name));
	}
}

/* ---- environment ---- */

static void check_reference(struct findings *f, const struct path *p, const json_t *holder,
	const char *member)
{
	const json_t *reference = json_object_get(holder, member);
	if (reference && str_empty(json_text(reference, "", "name")))
		find_required(f, PATH_FIELD(PATH_FIELD(p, member), "name"), "");
}

static void check_env(struct findings *f, const struct path *p, const json_t *variable)
{
	const json_t *from = json_object_get(variable, "valueFrom");
	if (!from)
		return;
	const struct path *at = PATH_FIELD(p, "valueFrom");
	if (*json_text(variable, "", "value"))
		find_invalid_text(f, at, "", "may not be specified when `value` is not empty");
	if (json_object_size(from) == 0)
		find_invalid_text(f, at, "",
			"must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
			"`secretKeyRef`");
	if (json_object_size(from) > 1)
		find_invalid_text(f, at, "",
			"may not have more than one field specified at a time");
	check_reference(f, at, from, "configMapKeyRef");
	check_reference(f, at, from, "secretKeyRef");
}

static void check_env_from(struct findings *f, const struct path *p, const json_t *source)
{
	const json_t *map = json_object_get(source, "configMapRef");
	const json_t *secret = json_object_get(source, "secretRef");
	const char *prefix = json_text(source, "", "prefix");
	const char *why = *prefix ? format_check(FORMAT_ENV_NAME, prefix) : NULL;
	if (why)
		find_invalid_text(f, PATH_FIELD(p, "prefix"), prefix, why);
	if (!map && !secret)
		find_invalid_text(f, p, "", "must specify one of: `configMapRef` or `secretRef`");
	if (map && secret)
		find_invalid_text(f, p, "", "may not have more than one field specified at a time");
	check_reference(f, p, source, "configMapRef");
	check_reference(f, p, source, "secretRef");
}

/* ---- mounts ---- */

static void check_mounts(struct findings *f, const struct path *p, const json_t *mounts,
	const struct map *volumes)
{
	struct map seen = {0};
	size_t i;
	json_t *mount;
	json_array_foreach (mounts, i, mount) {
		const struct path *at = PATH_ITEM(p, i);
		const char *name = json_text(mount, "", "name");
		const char *path = json_text(mount, "", "mountPath");
		if (*name && !map_has(volumes, name))
			find_not_found(f, PATH_FIELD(at, "name"), name);
		if (map_has(&seen, path))
			find_invalid_text(f, PATH_FIELD(at, "mountPath"), path, "must be unique");
		map_put(&seen, path, &seen);
		const char *sub = json_text(mount, "", "subPath");
		const char *why = format_check_relative_path(sub);
		if (why)
			find_invalid_text(f, PATH_FIELD(at, "subPath"), sub, why);
		if (*sub && *json_text(mount, "", "subPathExpr"))
			find_invalid_text(f, PATH_FIELD(at, "subPathExpr"),
				json_text(mount, "", "subPathExpr"),
				"subPathExpr and subPath are mutually exclusive");
	}
	map_done(&seen);
}

/* ---- probes ---- */

static void check_port_value(struct findings *f, const struct path *p, const json_t *port)
{
	if (json_is_integer(port) && (json_int_or(port, 0) < 1 || json_int_or(port, 0) > 65535))
		find_invalid(f, p, port, "must be between 1 and 65535, inclusive");
	const char *why =
		json_is_string(port) ? format_check_port_name(json_string_value(port)) : NULL;
	if (why)
		find_invalid(f, p, port, why);
}

static void check_probe(struct findings *f, const struct path *p, const json_t *probe,
	bool readiness)
{
	static const char *const handlers[] = {"exec", "httpGet", "tcpSocket", "grpc"};
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
		const json_t *handler = json_object_get(probe, handlers[i]);
		const struct path *at = PATH_FIELD(p, handlers[i]);
		if (handler && ++count > 1)
			find_forbidden(f, at, "may not specify more than 1 handler type");
		if (handler && json_object_get(handler, "port"))
			check_port_value(f, PATH_FIELD(at, "port"),
				json_object_get(handler, "port"));
	}
	if (!count)
		find_required(f, p, "must specify a handler type");
	if (!readiness && json_int(probe, 1, "successThreshold") != 1)
		find_invalid(f, PATH_FIELD(p, "successThreshold"),
			json_object_get(probe, "successThreshold"), "must be 1");
}

static void check_probes(struct findings *f, const struct path *p, const json_t *container,
	bool init)
{
	static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
	bool stays = str_equal(json_text(container, "", "restartPolicy"), "Always");
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		const json_t *probe = json_object_get(container, probes[i]);
		const struct path *at = PATH_FIELD(p, probes[i]);
		if (probe && init && !stays)
			find_forbidden(f, at, "may not be set for init containers");
		else if (probe)
			check_probe(f, at, probe, i == 1);
	}
	if (init && !stays && json_object_get(container, "lifecycle"))
		find_forbidden(f, PATH_FIELD(p, "lifecycle"), "may not be set for init containers");
	if (!init && json_object_get(container, "restartPolicy"))
		find_forbidden(f, PATH_FIELD(p, "restartPolicy"),
			"may not be set for non-init containers");
}

/* ---- ports and security ---- */

static void check_ports(struct findings *f, const struct path *p, const json_t *ports,
	bool host_network)
{
	validate_unique(f, p, ports, "name");
	size_t i;
	json_t *port;
	json_array_foreach (ports, i, port) {
		const json_t *number = json_object_get(port, "containerPort");
		if (host_network && json_int(port, 0, "hostPort") != json_int_or(number, 0))
			find_invalid(f, PATH_FIELD(PATH_ITEM(p, i), "containerPort"), number,
				"must match `hostPort` when `hostNetwork` is true");
	}
}

static void check_security(struct findings *f, const struct path *p, const json_t *security)
{
	const json_t *escalation = json_object_get(security, "allowPrivilegeEscalation");
	const struct path *at = PATH_FIELD(p, "allowPrivilegeEscalation");
	if (json_is_false(escalation) && json_bool(security, false, "privileged"))
		find_invalid(f, at, escalation,
			"cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
	size_t i;
	json_t *name;
	json_array_foreach (json_at(security, "capabilities", "add"), i, name) {
		if (json_is_false(escalation) &&
			(str_equal(json_text_or(name, ""), "CAP_SYS_ADMIN") ||
				str_equal(json_text_or(name, ""), "SYS_ADMIN")))
			find_invalid(f, at, escalation,
				"cannot set `allowPrivilegeEscalation` to false and "
				"`capabilities.Add` CAP_SYS_ADMIN");
	}
	const json_t *armor = json_object_get(security, "appArmorProfile");
	if (str_equal(json_text(armor, "", "type"), "Localhost"))
		find_forbidden(f, PATH_FIELD(p, "appArmorProfile"),
			"this version does not load AppArmor profiles");
	const json_t *profile = json_object_get(security, "seccompProfile");
	const struct path *local = PATH_FIELD(PATH_FIELD(p, "seccompProfile"), "localhostProfile");
	bool wanted = str_equal(json_text(profile, "", "type"), "Localhost");
	const char *file = json_text(profile, "", "localhostProfile");
	if (wanted && !*file)
		find_required(f, local, "must be set when seccomp type is Localhost");
	if (!wanted && *file)
		find_invalid_text(f, local, file, "can only be set when seccomp type is Localhost");
	if (format_check_relative_path(file))
		find_invalid_text(f, local, file, format_check_relative_path(file));
}

/* What containers need to know of their pod. */
struct pod_context {
	struct map volumes; /* their names */
	bool host_network;
};

static void check_container(struct findings *f, const struct path *p, const json_t *container,
	const struct pod_context *pod, bool init)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_object_get(container, "env"), i, item) {
		check_env(f, PATH_ITEM(PATH_FIELD(p, "env"), i), item);
	}
	json_array_foreach (json_object_get(container, "envFrom"), i, item) {
		check_env_from(f, PATH_ITEM(PATH_FIELD(p, "envFrom"), i), item);
	}
	check_ports(f, PATH_FIELD(p, "ports"), json_object_get(container, "ports"),
		pod->host_network);
	check_mounts(f, PATH_FIELD(p, "volumeMounts"), json_object_get(container, "volumeMounts"),
		&pod->volumes);
	validate_resources(f, PATH_FIELD(p, "resources"), json_object_get(container, "resources"));
	check_probes(f, p, container, init);
	check_security(f, PATH_FIELD(p, "securityContext"),
		json_object_get(container, "securityContext"));
}

/* A host port can be had once in a pod. */
static void check_host_ports(struct findings *f, const struct path *p, const json_t *spec)
{
	struct map seen = {0};
	size_t i, j;
	json_t *container, *port;
	json_array_foreach (json_object_get(spec, "containers"), i, container) {
		const struct path *list =
			PATH_FIELD(PATH_ITEM(PATH_FIELD(p, "containers"), i), "ports");
		json_array_foreach (json_object_get(container, "ports"), j, port) {
			int64_t number = json_int(port, 0, "hostPort");
			char key[64];
			snprintf(key, sizeof(key), "%.8s/%.30s/%lld",
				json_text(port, "TCP", "protocol"), json_text(port, "", "hostIP"),
				(long long)number);
			if (number && map_has(&seen, key))
				find_duplicate(f, PATH_FIELD(PATH_ITEM(list, j), "hostPort"), key);
			map_put(&seen, key, &seen);
		}
	}
	map_done(&seen);
}

void validate_containers(struct findings *f, const struct path *p, const json_t *spec)
{
	static const char *const lists[] = {"initContainers", "containers"};
	struct pod_context pod = {.host_network = json_bool(spec, false, "hostNetwork")};
	size_t i;
	json_t *item;
	json_array_foreach (json_object_get(spec, "volumes"), i, item) {
		map_put(&pod.volumes, json_text(item, "", "name"), &pod);
	}
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		json_array_foreach (json_object_get(spec, lists[l]), i, item) {
			check_container(f, PATH_ITEM(PATH_FIELD(p, lists[l]), i), item, &pod,
				l == 0);
		}
	}
	map_done(&pod.volumes);
	check_host_ports(f, p, spec);
	check_security(f, PATH_FIELD(p, "securityContext"),
		json_object_get(spec, "securityContext"));
}
