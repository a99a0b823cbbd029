#include "agent/node.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "model/model.h"

#define MAX_PODS 110
#define KUBERNETES_LEVEL "v1.30.0"

static void set(json_t *object, const char *key, const char *value)
{
	if (!str_empty(value))
		json_object_set_new(object, key, json_string(value));
}

bool agent_node_fences(const struct agent_config *c, const struct driver_probe *probe)
{
	return (c->fence_program || c->fence_maker.raise) && probe->capabilities & DRIVER_FENCES;
}

static json_t *make_labels(const struct agent_config *c, const char *name,
	const struct driver_probe *probe)
{
	json_t *labels = json_object();
	for (size_t i = 0; c->labels && c->labels[i]; i++) {
		const char *equals = strchr(c->labels[i], '=');
		char key[320];
		if (!equals || (size_t)(equals - c->labels[i]) >= sizeof(key))
			continue;
		snprintf(key, sizeof(key), "%.*s", (int)(equals - c->labels[i]), c->labels[i]);
		json_object_set_new(labels, key, json_string(equals + 1));
	}
	set(labels, "kubernetes.io/hostname", name);
	set(labels, "kubernetes.io/arch", c->facts.architecture);
	set(labels, "kubernetes.io/os", "linux");
	set(labels, "continuo.dev/tier", c->tier);
	if (probe)
		set(labels, "continuo.dev/fence", agent_node_fences(c, probe) ? "cgroup" : "none");
	return labels;
}

static json_t *make_annotations(const struct agent_config *c, const struct driver_probe *probe)
{
	json_t *annotations = json_object();
	set(annotations, "continuo.dev/cgroup", c->facts.cgroup_version);
	set(annotations, "continuo.dev/adopts", c->adopts);
	if (probe)
		set(annotations, "continuo.dev/driver-detail", probe->detail);
	return annotations;
}

/* able: whether pods can run here at all. */
static json_t *make_resources(const struct agent_config *c, const struct agent_devices *devices,
	bool allocatable, bool able)
{
	json_t *resources = json_object();
	char text[32];
	int64_t cpu = c->facts.cpu_milli - (allocatable ? c->reserved_cpu_milli : 0);
	int64_t memory = c->facts.memory_bytes - (allocatable ? c->reserved_memory_bytes : 0);
	quantity_format_milli(cpu > 0 ? cpu : 0, text);
	set(resources, "cpu", text);
	quantity_format_bytes(memory > 0 ? memory : 0, text);
	set(resources, "memory", text);
	quantity_format_bytes(c->facts.disk_bytes, text);
	set(resources, "ephemeral-storage", text);
	int64_t pods = !able && allocatable ? 0 : c->max_pods ? c->max_pods : MAX_PODS;
	snprintf(text, sizeof(text), "%lld", (long long)pods);
	set(resources, "pods", text);
	agent_devices_resources(devices, resources);
	return resources;
}

static json_t *make_info(const struct agent_config *c, const struct driver_probe *probe)
{
	char runtime[96] = "unknown://";
	if (probe) {
		char version[sizeof(probe->version)];
		snprintf(version, sizeof(version), "%s", probe->version);
		for (char *at = version; *at; at++)
			if (*at == ' ')
				*at = '-';
		snprintf(runtime, sizeof(runtime), "%s://%s", probe->name, version);
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "architecture",
		c->facts.architecture, "bootID", c->facts.boot_id, "containerRuntimeVersion",
		runtime, "kernelVersion", c->facts.kernel, "kubeProxyVersion", KUBERNETES_LEVEL,
		"kubeletVersion", KUBERNETES_LEVEL "-continuo" CONTINUO_VERSION, "machineID",
		c->facts.machine_id, "operatingSystem", "linux", "osImage", c->facts.os_image,
		"systemUUID", c->facts.machine_id);
}

static void add_condition(json_t *conditions, const char *type, bool status, const char *reason,
	const char *message)
{
	json_array_append_new(conditions,
		json_pack("{s:s, s:s, s:s, s:s}", "type", type, "status", status ? "True" : "False",
			"reason", reason, "message", message));
}

/* Null: nothing is known. */
static json_t *make_conditions(const struct agent_config *c)
{
	json_t *conditions = json_array();
	const char *problem = c->facts.network_problem;
	bool pressure = c->facts.disk_pressure;
	if (c->facts.disk_known)
		add_condition(conditions, "DiskPressure", pressure,
			pressure ? "AgentHasDiskPressure" : "AgentHasNoDiskPressure",
			pressure ? "the disk is fuller than it may be, and no image can be removed"
				 : "there is room on the disk");
	if (c->facts.network_known)
		add_condition(conditions, "NetworkUnavailable", *problem,
			*problem ? "NetworkNotOpen" : "NetworkOpen",
			*problem ? problem : "pods get addresses, services and names");
	if (json_array_size(conditions) == 0)
		json_done(&conditions);
	return conditions;
}

json_t *agent_node_make(const struct agent_config *c, const char *name,
	const struct driver_probe *probe, const struct agent_devices *devices)
{
	bool able = !probe || probe->ready;
	json_t *addresses = json_array();
	if (!str_empty(c->address))
		json_array_append_new(addresses,
			json_pack("{s:s, s:s}", "type", "InternalIP", "address", c->address));
	json_array_append_new(addresses,
		json_pack("{s:s, s:s}", "type", "Hostname", "address", name));
	return json_pack("{s:s, s:s, s:{s:s, s:o, s:o}, s:{s:o*, s:o, s:o, s:o, s:o}}",
		"apiVersion", "v1", "kind", "Node", "metadata", "name", name, "labels",
		make_labels(c, name, probe), "annotations", make_annotations(c, probe), "status",
		"conditions", make_conditions(c), "capacity",
		make_resources(c, devices, false, able), "allocatable",
		make_resources(c, devices, true, able), "addresses", addresses, "nodeInfo",
		make_info(c, probe));
}
