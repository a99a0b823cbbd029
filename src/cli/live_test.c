#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/live.h"

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *json = json_loads(text, 0, &why);
	if (!json)
		fail_msg("%s: %s", text, why.text);
	return json;
}

static void states_are_those_of_kubectl(void **state)
{
	(void)state;
	static const struct {
		const char *pod, *text;
	} rows[] = {
		{"{}", "Pending"},
		{"{\"spec\":{\"nodeName\":\"n\"},\"status\":{\"phase\":\"Pending\"}}", "Placed"},
		{"{\"status\":{\"phase\":\"Running\"}}", "Running"},
		{"{\"metadata\":{\"deletionTimestamp\":\"x\"},\"status\":{\"phase\":\"Running\"}}",
			"Terminating"},
		{"{\"status\":{\"phase\":\"Pending\",\"containerStatuses\":[{\"state\":{"
		 "\"waiting\":{"
		 "\"reason\":\"ImagePullBackOff\"}}}]}}",
			"ImagePullBackOff"},
		{"{\"status\":{\"phase\":\"Failed\",\"containerStatuses\":[{\"state\":{"
		 "\"terminated\":{"
		 "\"reason\":\"OOMKilled\"}}}]}}",
			"OOMKilled"},
		{"{\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"state\":{"
		 "\"terminated\":"
		 "{\"reason\":\"Error\"}}}]}}",
			"Init:Error"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[64];
		CLEANUP(json_done) json_t *pod = parse(rows[i].pod);
		live_state(pod, text, sizeof(text));
		assert_string_equal(text, rows[i].text);
	}
}

static void take_line(void *arg, const struct live_pod *pod, const char *what)
{
	buf_printf(arg, "%s %s %s|%s\n", pod->name, pod->node, pod->state, what);
}

#define POD(status, node, why)                                                                     \
	"{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"uid\":\"u\",\"annotations\":{"        \
	"\"continuo.dev/placement\":\"" why "\"}},\"spec\":{\"containers\":[{}]" node              \
	"},\"status\":{\"phase\":\"" status "\"}}"
#define WHY                                                                                        \
	"{\\\"feasible\\\":1,\\\"nodes\\\":5,\\\"refusals\\\":[{\\\"constraint\\\":"               \
	"\\\"resource\\\","                                                                        \
	"\\\"detail\\\":\\\"continuo.dev/cam\\\",\\\"nodes\\\":4}]}"

static void only_changes_make_lines(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf lines = BUF_INIT;
	struct live live;
	live_init(&live, take_line, &lines);
	CLEANUP(json_done) json_t *pending = parse(POD("Pending", "", ""));
	CLEANUP(json_done) json_t *placed = parse(POD("Pending", ",\"nodeName\":\"edge\"", WHY));
	CLEANUP(json_done) json_t *running = parse(POD("Running", ",\"nodeName\":\"edge\"", WHY));
	live_put(&live, pending);
	live_put(&live, pending);
	live_put(&live, placed);
	for (int done = 0; done <= 100; done++) {
		CLEANUP(json_done)
		json_t *progress = json_pack("{s:s, s:s, s:i, s:i}", "pod", "u", "image", "web:1",
			"done", done * 1000, "total", 100000);
		live_progress(&live, progress);
	}
	live_put(&live, running);
	live_put(&live, running);
	live_remove(&live, running);
	live_remove(&live, running);
	assert_string_equal(lines.data,
		"a  Pending|\n"
		"a edge Placed|the only one of 5 that fits; resource continuo.dev/cam rules out 4\n"
		"a edge Placed|pulling web:1 0 % of 100 kB\n"
		"a edge Placed|pulling web:1 25 % of 100 kB\n"
		"a edge Placed|pulling web:1 50 % of 100 kB\n"
		"a edge Placed|pulling web:1 75 % of 100 kB\n"
		"a edge Placed|pulling web:1 100 % of 100 kB\n"
		"a edge Running|\n"
		"a edge Gone|\n");
	live_put(&live, running);
	struct map keep = {0};
	buf_clear(&lines);
	live_keep(&live, &keep);
	assert_string_equal(lines.data, "a edge Gone|\n");
	assert_int_equal(live.pods.count, 0);
	map_done(&keep);
	live_done(&live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_those_of_kubectl),
		cmocka_unit_test(only_changes_make_lines),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
