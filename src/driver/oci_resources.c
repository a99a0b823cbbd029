/* Limits and devices of a container (runtime-spec, linux.resources and linux.devices). */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>

#include "base/str.h"
#include "driver/oci.h"
#include "driver/oom.h"
#include "model/model.h"
#include "model/pod_qos.h"

#define CPU_PERIOD_US 100000
#define PIDS_MAX                                                                                   \
	4096 /* of a container; kubelet's podPidsLimit is unlimited, which one bomb fills */

static int limit(const struct oci_bundle *b, const char *which, const char *name, bool milli,
	int64_t *ret_amount, struct err *e)
{
	const char *text = json_text(b->container, NULL, "resources", which, name);
	*ret_amount = 0;
	if (!text)
		return 0;
	return milli ? quantity_milli(text, ret_amount, e) : quantity_units(text, ret_amount, e);
}

static int add_cpu(const struct oci_bundle *b, json_t *resources, struct err *e)
{
	int64_t request = 0, most = 0;
	int rc = limit(b, "requests", "cpu", true, &request, e);
	if (!rc)
		rc = limit(b, "limits", "cpu", true, &most, e);
	if (rc)
		return rc;
	if (!request)
		request = most;
	int64_t shares = request * 1024 / 1000;
	json_t *cpu = json_pack("{s:I}", "shares", (json_int_t)(shares < 2 ? 2 : shares));
	if (most > 0) {
		int64_t quota = most * CPU_PERIOD_US / 1000;
		json_object_set_new(cpu, "quota", json_integer(quota < 1000 ? 1000 : quota));
		json_object_set_new(cpu, "period", json_integer(CPU_PERIOD_US));
	}
	json_object_set_new(resources, "cpu", cpu);
	return 0;
}

/* swap: memory and swap together, so that a limit cannot be evaded by swapping. */
static int add_memory(const struct oci_bundle *b, json_t *resources, struct err *e)
{
	int64_t most = 0;
	int rc = limit(b, "limits", "memory", false, &most, e);
	if (rc || most <= 0)
		return rc;
	json_t *memory = json_pack("{s:I}", "limit", (json_int_t)most);
	struct stat st;
	if (oci_cgroup_is_v2() ||
		stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", &st) == 0)
		json_object_set_new(memory, "swap", json_integer(most));
	json_object_set_new(resources, "memory", memory);
	return 0;
}

/* ---- memory that runs out ---- */

static bool may_lower_scores(void)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	const char *line = NULL;
	if (oci_read_file("/proc/self/status", &b, NULL) == 0)
		line = strstr(buf_text(&b), "\nCapEff:");
	return line && strtoull(line + 8, NULL, 16) >> CAP_SYS_RESOURCE & 1;
}

int oci_oom_score(const struct oci_bundle *b)
{
	int64_t request = 0;
	struct sysinfo machine = {0};
	struct buf own CLEANUP(buf_done) = BUF_INIT;
	if (limit(b, "requests", "memory", false, &request, NULL) || !request)
		(void)!limit(b, "limits", "memory", false, &request, NULL);
	(void)sysinfo(&machine);
	int score = oom_score_adj(pod_qos_class(json_at(b->pod, "spec")), request,
		(int64_t)machine.totalram * machine.mem_unit);
	if (score >= 0 || may_lower_scores() ||
		oci_read_file("/proc/self/oom_score_adj", &own, NULL))
		return score;
	return atoi(buf_text(&own)) > score ? atoi(buf_text(&own)) : score;
}

/* ---- devices ---- */

static json_t *device_rule(const char *type, json_int_t major, json_int_t minor, const char *access)
{
	json_t *rule = json_pack("{s:b,s:s,s:s}", "allow", true, "type", type, "access", access);
	if (major >= 0)
		json_object_set_new(rule, "major", json_integer(major));
	if (minor >= 0)
		json_object_set_new(rule, "minor", json_integer(minor));
	return rule;
}

/* Nothing, then what every container needs: the runtime makes these nodes itself. */
static json_t *device_rules(void)
{
	static const struct {
		json_int_t major, minor;
	} nodes[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, {136, -1}};
	json_t *rules = json_pack("[{s:b,s:s}]", "allow", false, "access", "rwm");
	json_array_append_new(rules, device_rule("c", -1, -1, "m"));
	json_array_append_new(rules, device_rule("b", -1, -1, "m"));
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		json_array_append_new(rules,
			device_rule("c", nodes[i].major, nodes[i].minor, "rwm"));
	return rules;
}

static int add_device(const struct driver_device *d, json_t *devices, json_t *rules, struct err *e)
{
	struct stat st;
	if (stat(d->path, &st) < 0)
		return err_set_errno(e, errno, "the device %s (%s)", d->name, d->path);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, ERR_INVALID, "%s (%s) is no device", d->name, d->path);
	const char *type = S_ISCHR(st.st_mode) ? "c" : "b";
	json_int_t major = major(st.st_rdev), minor = minor(st.st_rdev);
	json_array_append_new(devices,
		json_pack("{s:s,s:s,s:I,s:I,s:i}", "path", d->container_path, "type", type, "major",
			major, "minor", minor, "fileMode", 0666));
	json_array_append_new(rules, device_rule(type, major, minor, d->permissions));
	return 0;
}

static int add_devices(const struct oci_bundle *b, json_t *linux_section, json_t *rules,
	struct err *e)
{
	json_t *devices = json_array();
	json_object_set_new(linux_section, "devices", devices);
	if (json_bool(b->container, false, "securityContext", "privileged"))
		oci_devices_of_host(devices);
	const char *container = json_text(b->container, "", "name");
	int rc = 0;
	for (size_t i = 0; !rc && i < b->device_count; i++)
		if (str_equal(b->devices[i].container, container))
			rc = add_device(&b->devices[i], devices, rules, e);
	return rc;
}

/* A device that the container asks for and was not given must not be missing silently. */
static int check_devices(const struct oci_bundle *b, struct err *e)
{
	const char *name;
	json_t *amount;
	json_object_foreach (json_at(b->container, "resources", "limits"), name, amount) {
		bool given = !str_starts(name, "continuo.dev/") ||
			     str_equal(json_text_or(amount, ""), "0");
		for (size_t i = 0; i < b->device_count; i++)
			given = given || str_equal(b->devices[i].name, name);
		if (!given)
			return err_set(e, ERR_NOT_FOUND, "this node has no device %s", name);
	}
	return 0;
}

int oci_resources(const struct oci_bundle *b, json_t *linux_section, struct err *e)
{
	json_t *resources = json_object();
	json_object_set_new(linux_section, "resources", resources);
	json_t *rules = json_bool(b->container, false, "securityContext", "privileged")
				? json_pack("[{s:b,s:s}]", "allow", true, "access", "rwm")
				: device_rules();
	json_object_set_new(resources, "devices", rules);
	json_object_set_new(resources, "pids", json_pack("{s:i}", "limit", PIDS_MAX));
	int rc = add_cpu(b, resources, e);
	if (!rc)
		rc = add_memory(b, resources, e);
	if (!rc)
		rc = check_devices(b, e);
	if (!rc)
		rc = add_devices(b, linux_section, rules, e);
	return rc;
}
