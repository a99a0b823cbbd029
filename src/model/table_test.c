#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/builtin.h"
#include "model/cells.h"
#include "model/model.h"

#define NOW 1795373140000 /* 2026-11-22T18:45:40Z */

static struct object *make(const struct kind *k, const char *text)
{
	CLEANUP(json_done) json_t *json = NULL;
	struct err e = ERR_INIT;
	struct object *o = NULL;
	if (json_decode(text, strlen(text), &json, &e) < 0 || object_from_json(k, json, &o, &e) < 0)
		fail_msg("%s: %s", e.text, text);
	return o;
}

static void assert_cells(const struct kind *k, const char *text, const char *wanted)
{
	CLEANUP(object_done) struct object *o = make(k, text);
	CLEANUP(json_done) json_t *cells = table_cells(o, NOW);
	CLEANUP(mem_free_ptr) char *got = json_encode_string(cells);
	assert_string_equal(got, wanted);
}

#define META                                                                                       \
	"\"metadata\":{\"name\":\"x\",\"namespace\":\"d\",\"creationTimestamp\":\"2026-11-22T18:"  \
	"40:40Z\"}"

static void assert_pod(const char *spec, const char *status, const char *ready, const char *shown,
	const char *restarts)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	buf_printf(&b, "{" META ",\"spec\":%s,\"status\":%s}", spec, status);
	CLEANUP(object_done) struct object *o = make(&kind_pod, buf_text(&b));
	CLEANUP(json_done) json_t *cells = table_cells(o, NOW);
	assert_string_equal(json_text_or(json_array_get(cells, 1), ""), ready);
	assert_string_equal(json_text_or(json_array_get(cells, 2), ""), shown);
	assert_string_equal(json_text_or(json_array_get(cells, 3), ""), restarts);
}

#define ONE "{\"containers\":[{\"name\":\"c\"}]}"
#define TWO "{\"containers\":[{\"name\":\"c\"},{\"name\":\"e\"}]}"
#define INIT                                                                                       \
	"{\"initContainers\":[{\"name\":\"i\"},{\"name\":\"j\"}],\"containers\":[{\"name\":\"c\"}" \
	"]}"
#define STATUS(list, phase) "{\"phase\":\"" phase "\",\"containerStatuses\":[" list "]}"
#define INITS(list)                                                                                \
	"{\"phase\":\"Pending\",\"initContainerStatuses\":[" list "],\"containerStatuses\":["      \
	"{\"name\":\"c\",\"state\":{\"waiting\":{\"reason\":\"PodInitializing\"}}}]}"

static void pod_status(void **state UNUSED)
{
	assert_pod(ONE, "{\"phase\":\"Pending\"}", "0/1", "Pending", "0");
	assert_pod(ONE,
		STATUS("{\"state\":{\"waiting\":{\"reason\":\"ContainerCreating\"}}}", "Pending"),
		"0/1", "ContainerCreating", "0");
	assert_pod(ONE, STATUS("{\"ready\":true,\"state\":{\"running\":{}}}", "Running"), "1/1",
		"Running", "0");
	assert_pod(ONE, STATUS("{\"ready\":false,\"state\":{\"running\":{}}}", "Running"), "0/1",
		"Running", "0");
	assert_pod(ONE,
		STATUS("{\"restartCount\":3,\"state\":{\"waiting\":{\"reason\":"
		       "\"CrashLoopBackOff\"}},\"lastState\":{"
		       "\"terminated\":{\"finishedAt\":\"2026-11-22T18:45:10Z\"}}}",
			"Running"),
		"0/1", "CrashLoopBackOff", "3 (30s ago)");
	assert_pod(ONE,
		STATUS("{\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}}",
			"Succeeded"),
		"0/1", "Completed", "0");
	assert_pod(ONE, STATUS("{\"state\":{\"terminated\":{\"exitCode\":3}}}", "Failed"), "0/1",
		"ExitCode:3", "0");
	assert_pod(ONE,
		STATUS("{\"state\":{\"terminated\":{\"exitCode\":137,\"signal\":9}}}", "Failed"),
		"0/1", "Signal:9", "0");
	assert_pod(ONE, "{\"phase\":\"Failed\",\"reason\":\"Evicted\"}", "0/1", "Evicted", "0");
	assert_pod(TWO,
		STATUS("{\"state\":{\"terminated\":{\"reason\":\"Completed\"}}},{\"ready\":true,"
		       "\"state\":{\"running\":{}}}",
			"Running"),
		"1/2", "NotReady", "0");
	assert_pod(ONE,
		"{\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":"
		"\"False\",\"reason\":"
		"\"SchedulingGated\"}]}",
		"0/1", "SchedulingGated", "0");
}

static void pod_status_of_init_containers(void **state UNUSED)
{
	assert_pod(INIT, INITS("{\"name\":\"i\",\"state\":{\"running\":{}}}"), "0/1", "Init:0/2",
		"0");
	assert_pod(INIT,
		INITS("{\"name\":\"i\",\"state\":{\"terminated\":{\"exitCode\":0}}},{\"name\":"
		      "\"j\",\"state\":{\"waiting\":{"
		      "\"reason\":\"PodInitializing\"}}}"),
		"0/1", "Init:1/2", "0");
	assert_pod(INIT,
		INITS("{\"name\":\"i\",\"restartCount\":2,\"state\":{\"waiting\":{\"reason\":"
		      "\"CrashLoopBackOff\"}}}"),
		"0/1", "Init:CrashLoopBackOff", "2");
	assert_pod(INIT,
		INITS("{\"name\":\"i\",\"state\":{\"terminated\":{\"exitCode\":1,\"reason\":"
		      "\"Error\"}}}"),
		"0/1", "Init:Error", "0");
	assert_pod(INIT, INITS("{\"name\":\"i\",\"state\":{\"terminated\":{\"exitCode\":1}}}"),
		"0/1", "Init:ExitCode:1", "0");
	assert_pod(INIT,
		INITS("{\"name\":\"i\",\"state\":{\"terminated\":{\"exitCode\":0}}},{\"name\":"
		      "\"j\",\"state\":{"
		      "\"terminated\":{\"exitCode\":0}}}"),
		"0/1", "PodInitializing", "0");
}

static void deleted_pods_terminate(void **state UNUSED)
{
	CLEANUP(object_done)
	struct object *o = make(&kind_pod, "{\"metadata\":{\"name\":\"x\",\"namespace\":\"d\","
					   "\"deletionTimestamp\":\"2026-11-22T18:40:40Z\"},"
					   "\"spec\":" ONE ",\"status\":{\"phase\":\"Running\"}}");
	CLEANUP(json_done) json_t *cells = table_cells(o, NOW);
	CLEANUP(mem_free_ptr) char *text = json_encode_string(cells);
	assert_string_equal(text,
		"[\"x\",\"0/"
		"1\",\"Terminating\",\"0\",\"<unknown>\",\"<none>\",\"<none>\",\"<none>\","
		"\"<none>\"]");
}

static void other_kinds(void **state UNUSED)
{
	assert_cells(&kind_deployment,
		"{" META
		",\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"},"
		"\"matchExpressions\":[{\"key\":\"t\",\"operator\":\"In\",\"values\":[\"x\",\"y\"]}"
		"]},\"template\":{"
		"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i:1\"},{\"name\":\"e\","
		"\"image\":\"j:2\"}]}}},"
		"\"status\":{\"readyReplicas\":2,\"updatedReplicas\":3,\"availableReplicas\":1}}",
		"[\"x\",\"2/3\",3,1,\"5m\",\"c,e\",\"i:1,j:2\",\"a=1,b=2,t in (x,y)\"]");
	assert_cells(&kind_replicaset, "{" META ",\"spec\":{\"replicas\":1}}",
		"[\"x\",1,0,0,\"5m\",\"\",\"\",\"<none>\"]");
	assert_cells(&kind_service,
		"{" META ",\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"10.0.0.1\",\"ports\":[{"
		"\"port\":80,"
		"\"protocol\":\"TCP\"},{\"port\":53,\"nodePort\":30053,\"protocol\":\"UDP\"}],"
		"\"selector\":{\"app\":\"w\"}}}",
		"[\"x\",\"ClusterIP\",\"10.0.0.1\",\"<none>\",\"80/TCP,53:30053/"
		"UDP\",\"5m\",\"app=w\"]");
	assert_cells(&kind_configmap,
		"{" META ",\"data\":{\"a\":\"1\"},\"binaryData\":{\"b\":\"\"}}",
		"[\"x\",2,\"5m\"]");
	assert_cells(&kind_secret, "{" META ",\"type\":\"Opaque\",\"data\":{\"a\":\"\"}}",
		"[\"x\",\"Opaque\",1,\"5m\"]");
	assert_cells(&kind_namespace,
		"{\"metadata\":{\"name\":\"n\"},\"status\":{\"phase\":\"Active\"}}",
		"[\"n\",\"Active\",\"<unknown>\"]");
	assert_cells(&kind_node,
		"{\"metadata\":{\"name\":\"n\",\"labels\":{\"node-role.kubernetes.io/"
		"worker\":\"\",\"node-role.kubernetes.io/"
		"edge\":\"\"}},\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":[{"
		"\"type\":\"Ready\",\"status\":"
		"\"True\"}],\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.0.0.9\"}],"
		"\"nodeInfo\":{"
		"\"kubeletVersion\":\"v1.30.0\",\"osImage\":\"Debian\",\"kernelVersion\":\"6.1\","
		"\"containerRuntimeVersion\":\"oci://1\"}}}",
		"[\"n\",\"Ready,SchedulingDisabled\",\"edge,worker\",\"<unknown>\",\"v1.30.0\","
		"\"10.0.0.9\",\"<none>\","
		"\"Debian\",\"6.1\",\"oci://1\"]");
	assert_cells(&kind_endpointslice,
		"{" META ",\"addressType\":\"IPv4\",\"ports\":[{\"port\":80}],\"endpoints\":[{"
		"\"addresses\":[\"1\",\"2\"]},{"
		"\"addresses\":[\"3\",\"4\",\"5\"]}]}",
		"[\"x\",\"IPv4\",\"80\",\"1,2,3 + 2 more...\",\"5m\"]");
	assert_cells(&kind_event,
		"{" META ",\"type\":\"Normal\",\"reason\":\"Pulled\",\"message\":\"done\\n\","
		"\"involvedObject\":{\"kind\":"
		"\"Pod\",\"name\":\"p\"},\"source\":{\"component\":\"agent\",\"host\":\"n1\"},"
		"\"firstTimestamp\":"
		"\"2026-11-22T18:45:00Z\",\"lastTimestamp\":\"2026-11-22T18:45:35Z\",\"count\":2}",
		"[\"5s\",\"Normal\",\"Pulled\",\"pod/p\",\"\",\"agent, "
		"n1\",\"done\",\"40s\",2,\"x\"]");
}

static void whole_tables(void **state UNUSED)
{
	CLEANUP(object_done)
	struct object *o = make(&kind_configmap, "{" META ",\"data\":{\"a\":\"1\"}}");
	object_stamp(o, 7, 7);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	table_write(&kind_configmap, &o, 1, 9, "next", NOW, &b);
	assert_string_equal(buf_text(&b),
		"{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/"
		"v1\",\"metadata\":{\"resourceVersion\":\"9\",\"continue\":"
		"\"next\"},\"columnDefinitions\":[{\"name\":\"Name\",\"type\":\"string\","
		"\"format\":\"name\",\"description\":"
		"\"\",\"priority\":0},{\"name\":\"Data\",\"type\":\"integer\",\"format\":\"\","
		"\"description\":\"\","
		"\"priority\":0},{\"name\":\"Age\",\"type\":\"string\",\"format\":\"\","
		"\"description\":\"\",\"priority\":0}],"
		"\"rows\":[{\"cells\":[\"x\",1,\"5m\"],\"object\":{\"kind\":"
		"\"PartialObjectMetadata\",\"apiVersion\":"
		"\"meta.k8s.io/"
		"v1\",\"metadata\":{\"name\":\"x\",\"namespace\":\"d\",\"creationTimestamp\":"
		"\"2026-11-22T18:40:40Z\",\"resourceVersion\":\"7\"}}}]}");
}

static bool has_cell(const char *name)
{
	for (size_t i = 0; i < cell_count; i++)
		if (str_equal(cell_functions[i].name, name))
			return true;
	return false;
}

/* api/ names functions by their words; they are found by halving. */
static void columns_name_cells_that_exist(void **state UNUSED)
{
	for (size_t i = 1; i < cell_count; i++)
		assert_true(strcmp(cell_functions[i - 1].name, cell_functions[i].name) < 0);
	for (const struct kind *const *k = kind_builtin; *k; k++)
		for (size_t i = 0; i < (*k)->column_count; i++) {
			const char *path = (*k)->columns[i].path;
			if (*path == '@' ? !has_cell(path + 1) : *path != '.')
				fail_msg("%s: column %s", (*k)->name, path);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pod_status),
		cmocka_unit_test(pod_status_of_init_containers),
		cmocka_unit_test(deleted_pods_terminate),
		cmocka_unit_test(other_kinds),
		cmocka_unit_test(whole_tables),
		cmocka_unit_test(columns_name_cells_that_exist),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
