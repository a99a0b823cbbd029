/*
 * A container's runtime-spec, as oci_spec.c makes it, in the words of containers/create
 * (https://docs.docker.com/engine/api/v1.41/#operation/ContainerCreate). So a pod means the same
 * under both engines. What the engine mounts by itself (/proc, /dev, ...) is left to it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"

#define LOG_BYTES ((int64_t)10 << 20)
#define LOG_FILES "5"

/* Only a privileged container sees all of /proc. */
static bool is_privileged(const struct docker_create *c)
{
	return json_array_size(json_at(c->spec, "linux", "maskedPaths")) == 0;
}

static void set_copy(json_t *to, const char *key, const json_t *value)
{
	if (value)
		json_object_set_new(to, key, json_deep_copy(value));
}

/* ---- namespaces ---- */

static void create_namespaces(const struct docker_create *c, json_t *host)
{
	json_t *joined CLEANUP(json_done) = json_sprintf("container:%s", c->pause);
	const json_t *spec = json_at(c->pod, "spec");
	json_t *host_word CLEANUP(json_done) = json_string("host");
	json_object_set(host, "NetworkMode",
		json_bool(spec, false, "hostNetwork") ? host_word : joined);
	/* Docker joins it with the network, and refuses to be told so. */
	if (c->podman && !json_bool(spec, false, "hostNetwork"))
		json_object_set(host, "UTSMode", joined);
	json_object_set(host, "IpcMode", json_bool(spec, false, "hostIPC") ? host_word : joined);
	if (json_bool(spec, false, "hostPID"))
		json_object_set(host, "PidMode", host_word);
	else if (oci_shares_pids(c->pod))
		json_object_set(host, "PidMode", joined);
}

/* ---- mounts ---- */

static bool has_option(const json_t *mount, const char *name)
{
	size_t i;
	json_t *option;
	json_array_foreach (json_object_get(mount, "options"), i, option)
		if (str_equal(json_text_or(option, ""), name))
			return true;
	return false;
}

static void create_mounts(const struct docker_create *c, json_t *host)
{
	json_t *mounts = json_array();
	size_t i;
	json_t *mount;
	json_object_set_new(host, "Mounts", mounts);
	json_array_foreach (json_at(c->spec, "mounts"), i, mount) {
		const char *target = json_text(mount, "", "destination");
		if (!str_equal(json_text(mount, "", "type"), "bind") || str_equal(target, "/sys"))
			continue;
		json_array_append_new(mounts,
			json_pack("{s:s,s:s,s:s,s:b,s:{s:s}}", "Type", "bind", "Source",
				json_text(mount, "", "source"), "Target", target, "ReadOnly",
				has_option(mount, "ro"), "BindOptions", "Propagation", "rprivate"));
	}
}

/* ---- limits and devices ---- */

static void create_limits(const struct docker_create *c, json_t *host)
{
	const json_t *r = json_at(c->spec, "linux", "resources");
	set_copy(host, "Memory", json_at(r, "memory", "limit"));
	set_copy(host, "MemorySwap", json_at(r, "memory", "swap"));
	set_copy(host, "CpuShares", json_at(r, "cpu", "shares"));
	set_copy(host, "CpuQuota", json_at(r, "cpu", "quota"));
	set_copy(host, "CpuPeriod", json_at(r, "cpu", "period"));
	set_copy(host, "PidsLimit", json_at(r, "pids", "limit"));
	set_copy(host, "OomScoreAdj", json_at(c->spec, "process", "oomScoreAdj"));
}

/* What the rules allow for a device; "rwm" where they name none (a privileged container's). */
static const char *device_access(const json_t *rules, const json_t *device)
{
	size_t i;
	json_t *rule;
	json_array_foreach (rules, i, rule)
		if (json_int(rule, -1, "major") == json_int(device, -2, "major") &&
			json_int(rule, -1, "minor") == json_int(device, -2, "minor"))
			return json_text(rule, "rwm", "access");
	return "rwm";
}

static const char *device_source(const struct docker_create *c, const char *path)
{
	for (size_t i = 0; i < c->device_count; i++) {
		const struct driver_device *d = &c->devices[i];
		if (str_equal(d->container, c->container) && str_equal(d->container_path, path))
			return d->path;
	}
	return path;
}

static void create_devices(const struct docker_create *c, json_t *host)
{
	const json_t *rules = json_at(c->spec, "linux", "resources", "devices");
	json_t *devices = json_array();
	size_t i;
	json_t *device;
	json_array_foreach (json_at(c->spec, "linux", "devices"), i, device) {
		const char *path = json_text(device, "", "path");
		json_array_append_new(devices,
			json_pack("{s:s,s:s,s:s}", "PathOnHost", device_source(c, path),
				"PathInContainer", path, "CgroupPermissions",
				device_access(rules, device)));
	}
	json_object_set_new(host, "Devices", devices);
	if (is_privileged(c))
		json_object_set_new(host, "DeviceCgroupRules", json_pack("[s]", "a *:* rwm"));
}

/* ---- privileges ---- */

/* The names of capabilities without CAP_, as engines of all ages take them. */
static void create_capabilities(const struct docker_create *c, json_t *host)
{
	json_t *add = json_array();
	size_t i;
	json_t *name;
	json_array_foreach (json_at(c->spec, "process", "capabilities", "bounding"), i, name) {
		const char *text = json_text_or(name, "");
		json_array_append_new(add, json_string(str_starts(text, "CAP_") ? text + 4 : text));
	}
	json_object_set_new(host, "CapDrop", json_pack("[s]", "ALL"));
	json_object_set_new(host, "CapAdd", add);
}

static void create_security(const struct docker_create *c, json_t *host)
{
	json_t *options = json_array();
	json_object_set_new(host, "SecurityOpt", options);
	if (json_bool(c->spec, false, "process", "noNewPrivileges"))
		json_array_append_new(options, json_string("no-new-privileges"));
	json_array_append_new(options,
		json_sprintf("seccomp=%s", c->seccomp ? c->seccomp : "unconfined"));
	json_object_set_new(host, "ReadonlyRootfs",
		json_boolean(json_bool(c->spec, false, "root", "readonly")));
	/* An empty list, other than none, is not the engine's own choice. */
	const json_t *masked = json_at(c->spec, "linux", "maskedPaths");
	const json_t *read_only = json_at(c->spec, "linux", "readonlyPaths");
	json_object_set_new(host, "MaskedPaths", masked ? json_deep_copy(masked) : json_array());
	json_object_set_new(host, "ReadonlyPaths",
		read_only ? json_deep_copy(read_only) : json_array());
}

static void create_user(const struct docker_create *c, json_t *body, json_t *host)
{
	const json_t *user = json_at(c->spec, "process", "user");
	json_t *groups = json_array();
	size_t i;
	json_t *group;
	json_object_set_new(body, "User",
		json_sprintf("%lld:%lld", (long long)json_int(user, 0, "uid"),
			(long long)json_int(user, 0, "gid")));
	json_array_foreach (json_at(user, "additionalGids"), i, group)
		json_array_append_new(groups,
			json_sprintf("%lld", (long long)json_integer_value(group)));
	json_object_set_new(host, "GroupAdd", groups);
}

/* Docker keeps five parts of a log. Podman cannot limit one without losing what is newest; its file
 * is where those of `oci` are, so that we read and rotate it. */
static json_t *create_log(const struct docker_create *c)
{
	char size[32];
	if (c->podman)
		return json_pack("{s:s,s:{s:s}}", "Type", "k8s-file", "Config", "path", c->log);
	/* A record is half as long again as conmon's, so that as many lines are kept. */
	snprintf(size, sizeof(size), "%lld",
		(long long)(c->log_bytes > 0 ? c->log_bytes : LOG_BYTES) * 3 / 2);
	return json_pack("{s:s,s:{s:s,s:s}}", "Type", "json-file", "Config", "max-size", size,
		"max-file", LOG_FILES);
}

json_t *docker_create_body(const struct docker_create *c, json_t *labels)
{
	const json_t *process = json_at(c->spec, "process");
	json_t *body = json_object(), *host = json_object();
	json_object_set_new(body, "Image", json_string(c->image));
	json_object_set(body, "Labels", labels);
	set_copy(body, "Entrypoint", json_at(process, "args"));
	set_copy(body, "Env", json_at(process, "env"));
	set_copy(body, "WorkingDir", json_at(process, "cwd"));
	json_object_set_new(body, "HostConfig", host);
	create_user(c, body, host);
	create_namespaces(c, host);
	create_mounts(c, host);
	create_limits(c, host);
	create_security(c, host);
	if (is_privileged(c) && c->all_capabilities) {
		json_object_set_new(host, "Privileged", json_true());
	} else {
		create_capabilities(c, host);
		create_devices(c, host);
	}
	if (c->cgroup)
		json_object_set_new(host, "CgroupParent", json_string(c->cgroup));
	json_object_set_new(host, "LogConfig", create_log(c));
	json_object_set_new(host, "RestartPolicy", json_pack("{s:s}", "Name", "no"));
	return body;
}
