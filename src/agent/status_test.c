#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/status.h"
#include "base/str.h"

#define T0 1700000000000LL /* 2023-11-14T22:13:20Z */

static json_t *parse(const char *text)
{
	json_t *json;
	assert_int_equal(json_decode(text, strlen(text), &json, NULL), 0);
	return json;
}

static const char *condition(const json_t *status, const char *type, const char *field)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_object_get(status, "conditions"), i, c)
		if (str_equal(json_text(c, "", "type"), type))
			return json_text(c, "", field);
	return "";
}

static struct driver_state running_state(const struct driver_container *c, bool ready)
{
	return (struct driver_state){.phase = "Running",
		.reason = "",
		.message = "",
		.ip = "10.42.0.7",
		.started_ms = T0,
		.initialized = true,
		.containers_ready = ready,
		.containers = c,
		.container_count = 1};
}

static void test_transitions_are_stable(void **state)
{
	(void)state;
	struct agent_status_memory m = {.qos = "Burstable"};
	struct driver_container c = {.name = "web",
		.state = CONTAINER_RUNNING,
		.started_ms = T0,
		.started = true,
		.image = "nginx:1",
		.image_id = "sha256:1",
		.container_id = "oci://1"};
	struct driver_state s = running_state(&c, false);
	CLEANUP(json_done) json_t *a = agent_status_make(&s, &m, "10.0.0.1", T0);
	assert_string_equal(condition(a, "Ready", "status"), "False");
	assert_string_equal(condition(a, "Ready", "reason"), "ContainersNotReady");
	assert_string_equal(condition(a, "Ready", "message"),
		"containers with unready status: [web]");
	c.ready = s.containers_ready = true;
	CLEANUP(json_done) json_t *b = agent_status_make(&s, &m, "10.0.0.1", T0 + 5000);
	CLEANUP(json_done) json_t *later = agent_status_make(&s, &m, "10.0.0.1", T0 + 60000);
	assert_string_equal(condition(b, "Ready", "lastTransitionTime"), "2023-11-14T22:13:25Z");
	assert_string_equal(condition(b, "PodScheduled", "lastTransitionTime"),
		"2023-11-14T22:13:20Z");
	assert_true(json_equal(b, later));
	assert_string_equal(json_text(b, "", "startTime"), "2023-11-14T22:13:20Z");
	assert_string_equal(json_text(b, "", "podIP"), "10.42.0.7");
}

static void test_terminated_containers(void **state)
{
	(void)state;
	struct agent_status_memory m = {0};
	struct driver_container c = {.name = "job",
		.state = CONTAINER_TERMINATED,
		.exit_code = 137,
		.signal = 9,
		.reason = "OOMKilled",
		.message = "\351t\351",
		.started_ms = T0,
		.finished_ms = T0 + 1000,
		.restarts = 2,
		.has_last = true,
		.last_exit_code = 1};
	struct driver_state s = running_state(&c, false);
	s.phase = "Failed";
	CLEANUP(json_done) json_t *status = agent_status_make(&s, &m, "", T0);
	json_t *container = json_array_get(json_object_get(status, "containerStatuses"), 0);
	assert_int_equal(json_int(container, 0, "state", "terminated", "exitCode"), 137);
	assert_string_equal(json_text(container, "", "state", "terminated", "reason"), "OOMKilled");
	assert_string_equal(json_text(container, "", "state", "terminated", "message"),
		"\xef\xbf\xbdt\xef\xbf\xbd");
	assert_string_equal(json_text(container, "", "state", "terminated", "finishedAt"),
		"2023-11-14T22:13:21Z");
	assert_string_equal(json_text(container, "", "lastState", "terminated", "reason"), "Error");
	assert_int_equal(json_int(container, 0, "restartCount"), 2);
	assert_string_equal(condition(status, "Ready", "reason"), "PodFailed");
}

static void test_memory_comes_from_the_object(void **state)
{
	(void)state;
	struct agent_status_memory m;
	CLEANUP(json_done)
	json_t *pod = parse("{\"status\":{\"startTime\":\"2023-11-14T22:13:20Z\",\"conditions\":[{"
			    "\"type\":\"PodScheduled\",\"status\":\"True\",\"lastTransitionTime\":"
			    "\"2023-11-14T22:00:00Z\"}]},\"spec\":{\"containers\":[{}]}}");
	agent_status_begin(pod, &m);
	CLEANUP(json_done)
	json_t *status = agent_status_pending(&m, "R", "m", "10.0.0.1", T0 + 9000);
	assert_string_equal(condition(status, "PodScheduled", "lastTransitionTime"),
		"2023-11-14T22:00:00Z");
	assert_string_equal(json_text(status, "", "startTime"), "2023-11-14T22:13:20Z");
	assert_string_equal(json_text(status, "", "phase"), "Pending");
	assert_string_equal(json_text(status, "", "qosClass"), "BestEffort");
}

static void check_qos(const char *resources, const char *expected)
{
	struct agent_status_memory m;
	json_t *pod =
		json_pack("{s:{s:[{s:o}]}}", "spec", "containers", "resources", parse(resources));
	agent_status_begin(pod, &m);
	assert_string_equal(m.qos, expected);
	json_decref(pod);
}

static void test_classes_of_service(void **state)
{
	(void)state;
	check_qos("{}", "BestEffort");
	check_qos("{\"requests\":{\"cpu\":\"1\"}}", "Burstable");
	check_qos("{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Mi\"}}", "Guaranteed");
	check_qos(
		"{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Mi\"},\"requests\":{\"cpu\":\"1000m\"}}",
		"Guaranteed");
	check_qos(
		"{\"limits\":{\"cpu\":\"1\",\"memory\":\"2Mi\"},\"requests\":{\"memory\":\"1Mi\"}}",
		"Burstable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transitions_are_stable),
		cmocka_unit_test(test_terminated_containers),
		cmocka_unit_test(test_memory_comes_from_the_object),
		cmocka_unit_test(test_classes_of_service),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
