#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/node.h"
#include "sys/files_test.h"

#define MEMINFO                                                                                    \
	{                                                                                          \
		"/proc/meminfo", "MemTotal:       24683620 kB\nMemFree: 1 kB\n"                    \
	}

static struct agent_facts discover(const struct test_file *files)
{
	struct test_files t = {{&test_files_ops}, files};
	struct agent_facts f;
	agent_discover(&t.fs, "/state", &f);
	return f;
}

static void test_v1_group_with_a_limit_above_it(void **state)
{
	(void)state;
	const struct test_file files[] = {MEMINFO, {"/sys/devices/system/cpu/online", "0-3,8\n"},
		{"/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/demo/iot/self\n0::/u\n"},
		{"/sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n"},
		{"/sys/fs/cgroup/memory/demo/iot/self/memory.limit_in_bytes",
			"9223372036854771712\n"},
		{"/sys/fs/cgroup/memory/demo/iot/memory.limit_in_bytes", "67108864\n"},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
		{"/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"},
		{"/etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"},
		{NULL, NULL}};
	struct agent_facts f = discover(files);
	assert_int_equal(f.memory_bytes, 64 << 20);
	assert_int_equal(f.cpu_milli, 5000);
	assert_string_equal(f.cgroup_version, "hybrid");
	assert_string_equal(f.cgroup, "/demo/iot/self");
	assert_string_equal(f.kernel, "6.1.0-18-amd64");
	assert_string_equal(f.os_image, "Debian GNU/Linux 12 (bookworm)");
}

static void test_pure_v2(void **state)
{
	(void)state;
	const struct test_file files[] = {MEMINFO, {"/proc/self/cgroup", "0::/system.slice/x\n"},
		{"/sys/fs/cgroup/cgroup.controllers", "cpu memory\n"},
		{"/sys/fs/cgroup/system.slice/x/memory.max", "max\n"},
		{"/sys/fs/cgroup/system.slice/memory.max", "1073741824\n"}, {NULL, NULL}};
	struct agent_facts f = discover(files);
	assert_string_equal(f.cgroup_version, "v2");
	assert_int_equal(f.memory_bytes, 1 << 30);
}

static void test_a_machine_that_tells_nothing(void **state)
{
	(void)state;
	const struct test_file files[] = {{NULL, NULL}};
	struct agent_facts f = discover(files);
	assert_int_equal(f.memory_bytes, 0);
	assert_string_equal(f.kernel, "");
	assert_string_equal(f.cgroup_version, "v1");
}

static void test_node_object(void **state)
{
	(void)state;
	const char *const labels[] = {"topology.kubernetes.io/zone=site-a", "x=y=z", NULL};
	struct agent_config c = {.address = "10.0.0.1",
		.tier = "iot",
		.labels = labels,
		.reserved_cpu_milli = 500,
		.facts = {.cpu_milli = 2000, .memory_bytes = 64 << 20, .architecture = "arm64"}};
	struct driver_probe probe = {.ready = true, .name = "oci", .version = "runc 1.1.5"};
	CLEANUP(json_done) json_t *node = agent_node_make(&c, "n1", &probe, NULL);
	const json_t *labels_made = json_at(node, "metadata", "labels");
	assert_string_equal(json_text(labels_made, "", "kubernetes.io/arch"), "arm64");
	assert_string_equal(json_text(labels_made, "", "topology.kubernetes.io/zone"), "site-a");
	assert_string_equal(json_text(labels_made, "", "x"), "y=z");
	assert_string_equal(json_text(labels_made, "", "continuo.dev/tier"), "iot");
	assert_string_equal(json_text(node, "", "status", "capacity", "cpu"), "2");
	assert_string_equal(json_text(node, "", "status", "allocatable", "cpu"), "1500m");
	assert_string_equal(json_text(node, "", "status", "capacity", "memory"), "64Mi");
	assert_string_equal(json_text(node, "", "status", "nodeInfo", "containerRuntimeVersion"),
		"oci://runc-1.1.5");
	assert_string_equal(json_text(labels_made, "", "continuo.dev/fence"), "none");
	probe.ready = false;
	probe.capabilities = DRIVER_FENCES;
	c.fence_program = "continuo-fence";
	CLEANUP(json_done) json_t *lame = agent_node_make(&c, "n1", &probe, NULL);
	assert_string_equal(json_text(lame, "", "status", "allocatable", "pods"), "0");
	assert_string_equal(json_text(lame, "", "metadata", "labels", "continuo.dev/fence"),
		"cgroup");
	assert_null(json_at(lame, "status", "conditions"));
	c.facts.network_known = true;
	strcpy(c.facts.network_problem, "port 53 is taken");
	CLEANUP(json_done) json_t *cut_off = agent_node_make(&c, "n1", &probe, NULL);
	const json_t *condition = json_array_get(json_at(cut_off, "status", "conditions"), 0);
	assert_string_equal(json_text(condition, "", "type"), "NetworkUnavailable");
	assert_string_equal(json_text(condition, "", "status"), "True");
	assert_string_equal(json_text(condition, "", "message"), "port 53 is taken");
	c.facts.network_problem[0] = '\0';
	CLEANUP(json_done) json_t *well = agent_node_make(&c, "n1", &probe, NULL);
	condition = json_array_get(json_at(well, "status", "conditions"), 0);
	assert_string_equal(json_text(condition, "", "status"), "False");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1_group_with_a_limit_above_it),
		cmocka_unit_test(test_pure_v2),
		cmocka_unit_test(test_a_machine_that_tells_nothing),
		cmocka_unit_test(test_node_object),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
