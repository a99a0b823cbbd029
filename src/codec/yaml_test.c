#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/yaml.h"

struct result {
	struct buf text; /* documents as JSON, each with its line */
};

static int collect(void *arg, json_t *document, int line, struct err *e UNUSED)
{
	struct result *r = arg;
	buf_printf(&r->text, "%s%d:", r->text.size ? " " : "", line);
	json_encode(document, &r->text);
	return 0;
}

static void assert_yaml(const char *text, const char *wanted)
{
	struct err e = ERR_INIT;
	struct result r = {0};
	if (yaml_decode(text, strlen(text), collect, &r, &e) < 0)
		fail_msg("%s: %s", e.text, text);
	assert_string_equal(buf_text(&r.text), wanted);
	buf_done(&r.text);
}

static void assert_refused(const char *text, const char *error)
{
	struct err e = ERR_INIT;
	struct result r = {0};
	assert_int_equal(yaml_decode(text, strlen(text), collect, &r, &e), -ERR_DECODE);
	if (!strstr(e.text, error))
		fail_msg("\"%s\" does not say \"%s\"", e.text, error);
	buf_done(&r.text);
}

static void documents(void **state UNUSED)
{
	assert_yaml("a: 1\n---\n# nothing\n---\nb:\n- x\n- z: {c: d}\n---\n",
		"1:{\"a\":1} 5:{\"b\":[\"x\",{\"z\":{\"c\":\"d\"}}]}");
	assert_yaml("", "");
	assert_yaml("# only a comment\n", "");
	assert_yaml("%YAML 1.1\n---\na: b\n...\n---\nc: d\n", "3:{\"a\":\"b\"} 6:{\"c\":\"d\"}");
}

static void json_is_yaml(void **state UNUSED)
{
	assert_yaml("\n {\"a\": [1, \"\\ud83d\\ude00\"],\n\t\"b\": null}",
		"2:{\"a\":[1,\"😀\"],\"b\":null}");
	assert_yaml("{a: 1, \"b\": [x, 'y']}", "1:{\"a\":1,\"b\":[\"x\",\"y\"]}");
}

static void scalars(void **state UNUSED)
{
	static const char *const rows[][2] = {{"true", "true"}, {"yes", "true"}, {"On", "true"},
		{"n", "false"}, {"off", "false"}, {"~", "null"}, {"", "null"}, {"Null", "null"},
		{"12", "12"}, {"-7", "-7"}, {"+3", "3"}, {"0644", "420"}, {"0o17", "15"},
		{"0x1F", "31"}, {"0b101", "5"}, {"1_000", "1000"}, {"1.5", "1.5"},
		{"1e3", "1000.0"}, {".5", "0.5"}, {"0", "0"}, {"00", "0"}, {"0x", "\"0x\""},
		{"089", "89.0"}, {"9223372036854775807", "9223372036854775807"},
		{"-9223372036854775808", "-9223372036854775808"},
		{"18446744073709551616", "1.8446744073709552e+19"}, {"1.2.3", "\"1.2.3\""},
		{"12:30", "\"12:30\""}, {"2026-11-22", "\"2026-11-22\""}, {"100m", "\"100m\""},
		{"0x0x1", "\"0x0x1\""}, {"- 1", "[1]"}, {"-", "[null]"}, {"\"true\"", "\"true\""},
		{"'12'", "\"12\""}, {"nothing", "\"nothing\""}, {"!!str 12", "\"12\""},
		{"! 12", "\"12\""}, {"!!int \"12\"", "12"}, {"!!float 3", "3"},
		{"!!binary Zm9v", "\"foo\""}, {"!local x", "\"x\""}, {"1e", "\"1e\""},
		{"+", "\"+\""}, {"..", "\"..\""}};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(buf_done) struct buf text = BUF_INIT;
		CLEANUP(buf_done) struct buf wanted = BUF_INIT;
		buf_printf(&text, "k:\n  %s\n", rows[i][0]);
		buf_printf(&wanted, "1:{\"k\":%s}", rows[i][1]);
		assert_yaml(buf_text(&text), buf_text(&wanted));
	}
}

static void strings(void **state UNUSED)
{
	assert_yaml(
		"a: |\n  one\n   two\nb: >-\n  one\n  two\nc: \"x\\ty\"\nd: 'it''s'\ne: a b # no\n",
		"1:{\"a\":\"one\\n two\\n\",\"b\":\"one "
		"two\",\"c\":\"x\\ty\",\"d\":\"it's\",\"e\":\"a b\"}");
	assert_yaml("1: a\ntrue: b\n\"x\": c\n1.5: d\n",
		"1:{\"1\":\"a\",\"true\":\"b\",\"x\":\"c\",\"1.5\":\"d\"}");
}

static void aliases_and_merges(void **state UNUSED)
{
	assert_yaml("a: &x {b: 1}\nc: *x\nd: [*x]\n",
		"1:{\"a\":{\"b\":1},\"c\":{\"b\":1},\"d\":[{\"b\":1}]}");
	assert_yaml("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  b: 3\n",
		"1:{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":3,\"c\":2}}");
	assert_yaml("- &x {b: 1}\n- &y {b: 2, c: 3}\n- {<<: [*x, *y], d: 4}\n",
		"1:[{\"b\":1},{\"b\":2,\"c\":3},{\"d\":4,\"b\":1,\"c\":3}]");
	assert_yaml("a: {\"<<\": 1}", "1:{\"a\":{\"<<\":1}}");
	assert_yaml("&k key: v\nother: *k\n", "1:{\"key\":\"v\",\"other\":\"key\"}");
	assert_refused("a: *x\n", "line 1, column 4: unknown anchor");
	assert_refused("a: &x [*x]\n", "contains itself");
	assert_refused("a: &x 1\n---\nb: *x\n", "line 3, column 4: unknown anchor");
	assert_refused("a:\n  <<: 1\n", "line 2, column 3: map merge requires");
}

static void errors_have_line_and_column(void **state UNUSED)
{
	assert_refused("a: 1\nb: [1, 2\nc: 3\n", "line 3, column");
	assert_refused("a: 1\n\tb: 2\n", "line 2, column 1:");
	assert_refused("a:\n  b: 1\n   c: 2\n", "line 3, column");
	assert_refused("a: 1\nb: 2\na: 3\n", "line 3, column 1: duplicate key \"a\"");
	assert_refused("x:\n- {k: 1, k: 2}\n", "line 2, column 10: duplicate key \"k\"");
	assert_refused("a: \"\\0\"\n", "line 1, column 4: NUL bytes");
	assert_refused("a: .nan\n", "line 1, column 4: this value cannot be decoded");
	assert_refused("~: 1\n", "a key must not be null");
	assert_refused("[a]: 1\n", "a key must be a string");
	assert_refused("a: \xff\n", "line 1");
	assert_refused("a: !!int x\n", "line 1, column 4:");
	assert_refused("a: !!binary \"*\"\n", "line 1, column 4:");
}

static void depth_is_bounded(void **state UNUSED)
{
	char text[400];
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	text[128] = '\0';
	struct result r = {0};
	assert_int_equal(yaml_decode(text, 128, collect, &r, NULL), 0);
	buf_done(&r.text);
	memset(text, '[', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_refused(text, "line 1, column 65: nested deeper");
	memset(text, '-', 200);
	for (size_t i = 1; i < 200; i += 2)
		text[i] = ' ';
	text[200] = '\0';
	assert_refused(text, "nested deeper");
}

/* The billion laughs: nine levels of nine. */
static void expansion_is_bounded(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	buf_append_string(&b, "a0: &a0 lol\n");
	for (int i = 1; i < 10; i++) {
		buf_printf(&b, "a%d: &a%d [", i, i);
		for (int j = 0; j < 9; j++)
			buf_printf(&b, "%s*a%d", j ? ", " : "", i - 1);
		buf_append_string(&b, "]\n");
	}
	assert_refused(buf_text(&b), "aliases expand to more");
	buf_clear(&b);
	buf_append_string(&b, "a: &a \"");
	for (int i = 0; i < 100000; i++)
		buf_append_char(&b, 'x');
	buf_append_string(&b, "\"\nb: [");
	for (int i = 0; i < 100; i++)
		buf_append_string(&b, "*a, ");
	buf_append_string(&b, "]\n");
	assert_refused(buf_text(&b), "aliases expand to more");
}

static int stop_at_second(void *arg, json_t *document UNUSED, int line UNUSED, struct err *e)
{
	int *count = arg;
	return ++*count == 2 ? err_set(e, ERR_INVALID, "enough") : 0;
}

static void callers_can_stop(void **state UNUSED)
{
	int count = 0;
	struct err e = ERR_INIT;
	assert_int_equal(yaml_decode("a: 1\n---\nb: 1\n---\nc: 1\n", 22, stop_at_second, &count,
				 &e),
		-ERR_INVALID);
	assert_int_equal(count, 2);
	assert_string_equal(e.text, "enough");
}

static void assert_encoded(const char *json_text, const char *wanted)
{
	CLEANUP(json_done) json_t *json = NULL;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	CLEANUP(buf_done) struct buf again = BUF_INIT;
	struct err e = ERR_INIT;
	if (json_decode(json_text, strlen(json_text), &json, &e) < 0)
		fail_msg("%s", e.text);
	yaml_encode(json, &b);
	if (wanted)
		assert_string_equal(buf_text(&b), wanted);
	struct result r = {0};
	if (yaml_decode(buf_text(&b), b.size, collect, &r, &e) < 0)
		fail_msg("%s in:\n%s", e.text, buf_text(&b));
	buf_append_string(&again, "1:");
	json_encode(json, &again);
	if (strcmp(buf_text(&r.text), buf_text(&again)) != 0)
		fail_msg("%s became %s by\n%s", buf_text(&again), buf_text(&r.text), buf_text(&b));
	buf_done(&r.text);
}

static void encodes(void **state UNUSED)
{
	assert_encoded("{\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\",\"labels\":{}},"
		       "\"list\":[{\"a\":1,\"b\":[]},\"s\","
		       "[1,[2]],[]],\"t\":\"one\\ntwo\\n\"}",
		"apiVersion: v1\nmetadata:\n  name: x\n  labels: {}\nlist:\n- a: 1\n  b: []\n- "
		"s\n- - 1\n  - - 2\n- []\n"
		"t: |\n  one\n  two\n");
	assert_encoded("{\"a\":\"true\",\"b\":\"12\",\"c\":\"\",\"d\":\"a: b\",\"e\":\"- "
		       "x\",\"f\":\"#\",\"g\":\"x y\"}",
		"a: \"true\"\nb: \"12\"\nc: \"\"\nd: \"a: b\"\ne: \"- x\"\nf: \"#\"\ng: x y\n");
}

static void round_trips(void **state UNUSED)
{
	static const char *const strings[] = {"y", "null", "~", "0644", "1e3", "<<", "=", "a#b",
		"a #b", "a:", "a:b", " a", "a ", "*x", "&x", "!x", "%x", "@x", "`x", "'x", "\\\"x",
		"{x", "[x", "x]", "x,y", "|", ">", "-", "--", "---", "...", "-x", "?", "? x", ": x",
		"a\\tb", "a\\u0001", "\\u007f", "\\u0085", "\\u00a0", "\\ufeff", "\\u2028x", "é",
		"x\\ny", "x\\n", "x\\n\\n", "x\\n\\n\\n", "\\n", "\\nx", " x\\ny", "x\\n y\\n",
		"x\\n  \\ny", "x\\r\\ny", "x\\n\\ty", "\\t", "x\\ny ", "# x\\ny", "---\\nx: y\\n",
		"a\\\\b", "1:2", "1_0", "0x1", ".inf", "+", "\\ufffe"};
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT;
		buf_printf(&b, "{\"%s\":{\"k\":[\"%s\",{\"k\":\"%s\"}]},\"last\":\"%s\"}",
			strchr(strings[i], '\n') ? "k" : strings[i], strings[i], strings[i],
			strings[i]);
		assert_encoded(buf_text(&b), NULL);
		buf_clear(&b);
		buf_printf(&b, "[\"%s\",[\"%s\"]]", strings[i], strings[i]);
		assert_encoded(buf_text(&b), NULL);
	}
	assert_encoded("\"top\\nlevel\\n\"", NULL);
	assert_encoded("[1.5,-2,1e+300,true]", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test(json_is_yaml),
		cmocka_unit_test(scalars),
		cmocka_unit_test(strings),
		cmocka_unit_test(aliases_and_merges),
		cmocka_unit_test(errors_have_line_and_column),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(expansion_is_bounded),
		cmocka_unit_test(callers_can_stop),
		cmocka_unit_test(encodes),
		cmocka_unit_test(round_trips),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
