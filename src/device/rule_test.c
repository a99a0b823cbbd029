#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "device/device.h"

/* ' stands for ". */
static int parse(const char *text, struct arena *a, const struct device_rule **rules, size_t *count,
	struct err *e)
{
	CLEANUP(mem_free_ptr) char *json = mem_dup_string(text);
	CLEANUP(json_done) json_t *list = NULL;
	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	assert_int_equal(json_decode(json, strlen(json), &list, e), 0);
	return device_rules_parse(list, a, rules, count, e);
}

static void rules_are_read(void **state)
{
	(void)state;
	CLEANUP(arena_done) struct arena a = {0};
	const struct device_rule *r;
	size_t count;
	struct err e = ERR_INIT;
	int rc = parse("[{'name':'cam','path':'/dev/video0','count':2},"
		       "{'name':'serial','containerPath':'/dev/port','permissions':'rwm','match':{"
		       "'subsystem':'tty','kernel':'ttyUSB*|ttyACM*','driver':'ftdi_sio','devtype':"
		       "'x','path':'/dev/serial/by-id/*','attr':{'idVendor':'0403','idProduct':"
		       "'6001'},'property':{'ID_SERIAL':'FTDI*'}}}]",
		&a, &r, &count, &e);
	if (rc < 0)
		fail_msg("%s", e.text);
	assert_int_equal(count, 2);
	assert_string_equal(r[0].path, "/dev/video0");
	assert_int_equal(r[0].count, 2);
	assert_null(r[0].match);
	assert_int_equal(r[1].count, 1);
	assert_string_equal(r[1].container_path, "/dev/port");
	assert_string_equal(r[1].match->kernel, "ttyUSB*|ttyACM*");
	assert_string_equal(r[1].match->driver, "ftdi_sio");
	assert_string_equal(r[1].match->path, "/dev/serial/by-id/*");
	assert_int_equal(r[1].match->attr_count, 2);
	assert_string_equal(r[1].match->attrs[1].key, "idProduct");
	assert_string_equal(r[1].match->attrs[1].pattern, "6001");
	assert_string_equal(r[1].match->properties[0].pattern, "FTDI*");
}

static void mistakes_are_told(void **state)
{
	(void)state;
	static const struct {
		const char *list, *sentence;
	} cases[] = {
		{"[{'name':'x'}]", "devices[0] (x): want a path that begins with /, or a match"},
		{"[{'path':'/dev/x'}]", "devices[0]: want a name"},
		{"[{'name':'a/b','path':'/dev/x'}]", "devices[0]: want a name"},
		{"[{'name':'x','path':'dev/x'}]", "want a path that begins with /"},
		{"[{'name':'x','path':'/dev/x','match':{'kernel':'x'}}]", "not both"},
		{"[{'name':'x','path':'/dev/x','shared':true}]", "unknown key \"shared\""},
		{"[{'name':'x','path':'/dev/x','count':0}]", "count is not within 1 to"},
		{"[{'name':'x','path':'/dev/x','count':'2'}]", "count is not within 1 to"},
		{"[{'name':'x','path':'/dev/x','permissions':'rx'}]", "letters of \"rwm\""},
		{"[{'name':'x','path':'/dev/x','permissions':660}]",
			"devices[0].permissions: want a text"},
		{"[{'name':'x','path':'/dev/x','containerPath':['/dev/y']}]",
			"devices[0].containerPath: want a text"},
		{"[{'name':'x','path':'/dev/x','containerPath':'x'}]", "containerPath"},
		{"[{'name':'x','match':{}}]", "devices[0] (x).match: want at least one condition"},
		{"[{'name':'x','match':[]}]", "want at least one condition"},
		{"[{'name':'x','match':{'vendor':'y'}}]", "unknown condition \"vendor\""},
		{"[{'name':'x','match':{'kernel':'v[0-9'}}]", "match.kernel: in the pattern"},
		{"[{'name':'x','match':{'kernel':'a[b|c]'}}]", "a [ has no ]"},
		{"[{'name':'x','match':{'kernel':''}}]", "want a pattern"},
		{"[{'name':'x','match':{'attr':{'idVendor':46}}}]",
			"match.attr.idVendor: want a text; put it in quotes"},
		{"[{'name':'x','match':{'attr':{}}}]", "match.attr: want a map"},
		{"[{'name':'x','match':{'attr':{'../x':'1'}}}]", "is no name"},
		{"[{'name':'x','match':{'path':'/etc/*'}}]",
			"match.path: want one glob below /dev"},
		{"[{'name':'x','match':{'path':'/dev/../etc/*'}}]", "below /dev"},
		{"['x']", "devices[0]: want a map"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(arena_done) struct arena a = {0};
		const struct device_rule *r;
		size_t count;
		struct err e = ERR_INIT;
		assert_int_equal(parse(cases[i].list, &a, &r, &count, &e), -ERR_INVALID);
		if (!strstr(e.text, cases[i].sentence))
			fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].sentence);
	}
}

static void patterns_are_globs_with_alternatives(void **state)
{
	(void)state;
	assert_true(device_pattern_matches("video*", "video0"));
	assert_false(device_pattern_matches("video*", "xvideo0"));
	assert_true(device_pattern_matches("ttyUSB*|ttyACM[0-3]", "ttyACM2"));
	assert_false(device_pattern_matches("ttyUSB*|ttyACM[0-3]", "ttyACM4"));
	assert_true(device_pattern_matches("x|", ""));
	assert_false(device_pattern_matches("x", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_read),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(patterns_are_globs_with_alternatives),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
