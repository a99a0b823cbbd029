/* What a container has of its host: files, network, rights. Part of adopt_spec.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/adopt_spec.h"

#define SHM_BYTES ((int64_t)64 << 20) /* Docker's default */

static void append(json_t *object, const char *key, json_t *item)
{
	json_t *list = json_object_get(object, key);
	if (!list)
		json_object_set_new(object, key, list = json_array());
	json_array_append_new(list, item);
}

/* ---- files ---- */

static void add_mount(json_t *pod, json_t *out, json_t *source, const char *kind, const char *path,
	bool read_only)
{
	char name[24];
	snprintf(name, sizeof(name), "mount-%zu", json_array_size(json_object_get(pod, "volumes")));
	append(pod, "volumes", json_pack("{s:s, s:o}", "name", name, kind, source));
	json_t *mount = json_pack("{s:s, s:s}", "name", name, "mountPath", path);
	if (read_only)
		json_object_set_new(mount, "readOnly", json_true());
	append(out, "volumeMounts", mount);
}

static void map_mount(const struct adopt_spec *s, const json_t *mount, json_t *pod, json_t *out)
{
	const char *type = json_text(mount, "", "Type"), *from = json_text(mount, "", "Source");
	const char *to = json_text(mount, "", "Destination");
	bool read_only = !json_bool(mount, true, "RW");
	if (str_equal(type, "tmpfs")) {
		add_mount(pod, out, json_pack("{s:s}", "medium", "Memory"), "emptyDir", to,
			read_only);
		return;
	}
	if (*from != '/' || *to != '/' || strchr(to, ':') || strstr(from, "..")) {
		adopt_spec_warn(s, "its %s mount at %s cannot be said in a pod", type, to);
		return;
	}
	if (str_equal(type, "volume"))
		adopt_spec_warn(s,
			"volume %.40s stays Docker's: a roll-out mounts its folder %s from this "
			"node",
			json_text(mount, "", "Name"), from);
	const char *spread = json_text(mount, "", "Propagation");
	if (str_equal(spread, "rshared") || str_equal(spread, "shared"))
		adopt_spec_warn(s, "its mount at %s is %s; a pod's is private", to, spread);
	add_mount(pod, out, json_pack("{s:s}", "path", from), "hostPath", to, read_only);
}

/* "rw,size=16m" as a limit; null when it names none. */
static char *tmpfs_size(const char *options)
{
	const char *at = strstr(options, "size=");
	if (!at || (at != options && at[-1] != ','))
		return NULL;
	char *end;
	long long number = strtoll(at + 5, &end, 10);
	const char *unit = tolower((unsigned char)*end) == 'k'   ? "Ki"
			   : tolower((unsigned char)*end) == 'm' ? "Mi"
			   : tolower((unsigned char)*end) == 'g' ? "Gi"
								 : "";
	return number > 0 && *end != '%' ? mem_format("%lld%s", number, unit) : NULL;
}

void adopt_spec_volumes(const struct adopt_spec *s, json_t *pod, json_t *out)
{
	size_t i;
	json_t *mount, *options;
	const char *path;
	json_array_foreach (json_at(s->container, "Mounts"), i, mount)
		map_mount(s, mount, pod, out);
	json_object_foreach (json_at(s->container, "HostConfig", "Tmpfs"), path, options) {
		CLEANUP(mem_free_ptr) char *size = tmpfs_size(json_text_or(options, ""));
		json_t *source = json_pack("{s:s}", "medium", "Memory");
		if (size)
			json_object_set_new(source, "sizeLimit", json_string(size));
		add_mount(pod, out, source, "emptyDir", path, false);
	}
}

/* ---- network ---- */

/* "443/tcp"; false when it is no port of a protocol that pods know. */
static bool read_port(const char *text, int64_t *ret_number, char ret_protocol[static 8])
{
	const char *slash = strchr(text, '/');
	char *end;
	long long number = strtoll(text, &end, 10);
	const char *protocol = slash ? slash + 1 : "tcp";
	if (number < 1 || number > 65535 || (*end && end != slash) || strlen(protocol) > 7)
		return false;
	size_t i = 0;
	for (; protocol[i]; i++)
		ret_protocol[i] = (char)toupper((unsigned char)protocol[i]);
	ret_protocol[i] = '\0';
	*ret_number = number;
	return str_equal(ret_protocol, "TCP") || str_equal(ret_protocol, "UDP") ||
	       str_equal(ret_protocol, "SCTP");
}

static void publish(const struct adopt_spec *s, json_t *out, int64_t number, const char *protocol,
	const json_t *binding)
{
	int64_t host = strtoll(json_text(binding, "0", "HostPort"), NULL, 10);
	const char *ip = json_text(binding, "", "HostIp");
	json_t *port =
		json_pack("{s:I, s:s}", "containerPort", (json_int_t)number, "protocol", protocol);
	if (host >= 1 && host <= 65535) {
		json_object_set_new(port, "hostPort", json_integer(host));
		if (*ip && !str_equal(ip, "0.0.0.0"))
			json_object_set_new(port, "hostIP", json_string(ip));
	} else {
		adopt_spec_warn(s,
			"its port %lld is published at a port that Docker chose; a roll-out does "
			"not publish it",
			(long long)number);
	}
	append(out, "ports", port);
}

static void map_ports(const struct adopt_spec *s, bool host_network, json_t *out)
{
	const json_t *bindings = json_at(s->container, "HostConfig", "PortBindings");
	const char *key;
	json_t *value, *binding;
	size_t i;
	json_object_foreach (json_at(s->container, "Config", "ExposedPorts"), key, value) {
		int64_t number;
		char protocol[8];
		const json_t *list = json_object_get(bindings, key);
		if (!read_port(key, &number, protocol)) {
			adopt_spec_warn(s, "its port %s cannot be said in a pod", key);
		} else if (json_array_size(list) == 0 || host_network) {
			json_t *port = json_pack("{s:I, s:s}", "containerPort", (json_int_t)number,
				"protocol", protocol);
			if (host_network)
				json_object_set_new(port, "hostPort", json_integer(number));
			append(out, "ports", port);
		} else {
			json_array_foreach (list, i, binding)
				publish(s, out, number, protocol, binding);
		}
	}
}

/* "name:address" by address, as hostAliases has it. */
static void map_hosts(const struct adopt_spec *s, json_t *pod)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_at(s->container, "HostConfig", "ExtraHosts"), i, item) {
		const char *text = json_text_or(item, ""), *colon = strchr(text, ':');
		if (!colon || str_equal(colon + 1, "host-gateway")) {
			adopt_spec_warn(s, "its extra host %s cannot be said in a pod", text);
			continue;
		}
		CLEANUP(mem_free_ptr) char *name = mem_dup_bytes(text, (size_t)(colon - text));
		append(pod, "hostAliases",
			json_pack("{s:s, s:[s]}", "ip", colon + 1, "hostnames", name));
	}
}

/* Names by which others of its network reach it, but for its id and its own name. */
static void warn_of_network(const struct adopt_spec *s, const char *mode)
{
	const char *network;
	json_t *settings;
	if (str_equal(mode, "none")) {
		adopt_spec_warn(s, "it has no network; a pod has one");
		return;
	}
	if (str_starts(mode, "container:")) {
		adopt_spec_warn(s, "it shares the network of another container; a roll-out gives "
				   "it one of its own");
		return;
	}
	json_object_foreach (json_at(s->container, "NetworkSettings", "Networks"), network,
		settings) {
		if (!str_equal(network, "bridge"))
			adopt_spec_warn(s,
				"it stays in Docker's network %.60s; a roll-out moves it to the "
				"pod network, where others find it by a Service",
				network);
	}
}

void adopt_spec_network(const struct adopt_spec *s, json_t *pod, json_t *out)
{
	const char *mode = json_text(s->container, "default", "HostConfig", "NetworkMode");
	const char *name = json_text(s->container, "", "Config", "Hostname");
	const char *id = json_text(s->container, "", "Id");
	bool host = str_equal(mode, "host");
	char label[ADOPT_LABEL_SIZE];
	if (host) {
		json_object_set_new(pod, "hostNetwork", json_true());
		json_object_set_new(pod, "dnsPolicy", json_string("ClusterFirstWithHostNet"));
	} else {
		warn_of_network(s, mode);
	}
	map_ports(s, host, out);
	map_hosts(s, pod);
	adopt_label(name, label);
	if (*name && !host && !str_starts(id, name) && str_equal(label, name))
		json_object_set_new(pod, "hostname", json_string(name));
	if (json_array_size(json_at(s->container, "HostConfig", "Dns")))
		adopt_spec_warn(s, "its name servers are set for it; a pod asks the node's");
	if (json_array_size(json_at(s->container, "HostConfig", "Links")))
		adopt_spec_warn(s, "it is linked to other containers by name; use Services");
}

/* ---- rights ---- */

/* "1000:1000"; names are only known inside the image. */
static void map_user(const struct adopt_spec *s, json_t *context)
{
	const char *user = json_text(s->container, "", "Config", "User");
	char *end;
	if (!*user || str_equal(user, json_text(s->image, "", "Config", "User")))
		return;
	long long uid = strtoll(user, &end, 10);
	long long gid = *end == ':' ? strtoll(end + 1, &end, 10) : -1;
	if (!isdigit((unsigned char)*user) || *end) {
		adopt_spec_warn(s, "its user \"%.40s\" is a name; a pod wants numbers", user);
		return;
	}
	json_object_set_new(context, "runAsUser", json_integer(uid));
	if (gid >= 0)
		json_object_set_new(context, "runAsGroup", json_integer(gid));
}

static json_t *capabilities(const json_t *list)
{
	json_t *names = json_array(), *item;
	size_t i;
	json_array_foreach (list, i, item) {
		const char *name = json_text_or(item, "");
		json_array_append_new(names,
			json_string(str_starts(name, "CAP_") ? name + 4 : name));
	}
	return names;
}

static void map_capabilities(const json_t *host, json_t *context)
{
	const json_t *add = json_at(host, "CapAdd"), *drop = json_at(host, "CapDrop");
	json_t *both = json_object();
	if (json_array_size(add))
		json_object_set_new(both, "add", capabilities(add));
	if (json_array_size(drop))
		json_object_set_new(both, "drop", capabilities(drop));
	if (json_object_size(both))
		json_object_set(context, "capabilities", both);
	json_decref(both);
}

static void map_options(const struct adopt_spec *s, json_t *context)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_at(s->container, "HostConfig", "SecurityOpt"), i, item) {
		const char *text = json_text_or(item, "");
		if (str_equal(text, "seccomp=unconfined"))
			json_object_set_new(context, "seccompProfile",
				json_pack("{s:s}", "type", "Unconfined"));
		else if (str_equal(text, "no-new-privileges") ||
			 str_equal(text, "no-new-privileges:true"))
			json_object_set_new(context, "allowPrivilegeEscalation", json_false());
		else
			adopt_spec_warn(s, "its security option %.60s is not carried over", text);
	}
}

static void map_groups(const struct adopt_spec *s, json_t *pod)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_at(s->container, "HostConfig", "GroupAdd"), i, item) {
		const char *text = json_text_or(item, "");
		int64_t number;
		if (str_to_int64(text, "group", &number, NULL) < 0)
			adopt_spec_warn(s, "its group \"%.40s\" is a name; a pod wants numbers",
				text);
		else
			append(json_ensure_object(pod, "securityContext"), "supplementalGroups",
				json_integer(number));
	}
}

void adopt_spec_security(const struct adopt_spec *s, json_t *pod, json_t *out)
{
	const json_t *host = json_at(s->container, "HostConfig");
	json_t *context = json_object();
	map_user(s, context);
	map_capabilities(host, context);
	map_options(s, context);
	map_groups(s, pod);
	if (json_bool(host, false, "Privileged"))
		json_object_set_new(context, "privileged", json_true());
	if (json_bool(host, false, "ReadonlyRootfs"))
		json_object_set_new(context, "readOnlyRootFilesystem", json_true());
	if (str_equal(json_text(host, "", "PidMode"), "host"))
		json_object_set_new(pod, "hostPID", json_true());
	if (str_equal(json_text(host, "", "IpcMode"), "host"))
		json_object_set_new(pod, "hostIPC", json_true());
	if (json_object_size(context))
		json_object_set(out, "securityContext", context);
	json_decref(context);
}

/* ---- what is left ---- */

void adopt_spec_leftovers(const struct adopt_spec *s)
{
	const json_t *host = json_at(s->container, "HostConfig");
	static const char *const lists[][2] = {{"Ulimits", "limits (ulimits)"},
		{"DeviceRequests", "requested devices (GPUs)"},
		{"DeviceCgroupRules", "device rules"},
		{"BlkioWeightDevice", "weights of block devices"}};
	size_t i;
	json_t *device;
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		if (json_array_size(json_object_get(host, lists[i][0])))
			adopt_spec_warn(s, "its %s are not carried over", lists[i][1]);
	json_array_foreach (json_at(host, "Devices"), i, device)
		adopt_spec_warn(s,
			"it has device %s; give the node it as continuo.dev/NAME and ask for that "
			"in the limits",
			json_text(device, "", "PathOnHost"));
	if (json_object_size(json_at(host, "Sysctls")))
		adopt_spec_warn(s, "its sysctls are not carried over");
	if (json_bool(host, false, "Init"))
		adopt_spec_warn(s, "it runs under Docker's init; in a roll-out its command is the "
				   "first process");
	if (json_bool(host, false, "AutoRemove"))
		adopt_spec_warn(s, "Docker removes it when it ends (--rm): then an ordinary pod "
				   "takes its place");
	if (json_int(host, SHM_BYTES, "ShmSize") != SHM_BYTES)
		adopt_spec_warn(s, "the size of its /dev/shm is not carried over");
	if (json_int(host, 0, "PidsLimit") > 0)
		adopt_spec_warn(s, "its limit of processes is not carried over");
	if (*json_text(host, "", "CpusetCpus"))
		adopt_spec_warn(s, "its set of CPUs is not carried over");
	const char *logs = json_text(host, "json-file", "LogConfig", "Type");
	if (!str_equal(logs, "json-file") && !str_equal(logs, "local") &&
		!str_equal(logs, "journald"))
		adopt_spec_warn(s,
			"Docker logs it by %.40s, which cannot be read back: logs shows "
			"nothing",
			logs);
}
