#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/json.h"

static json_t *decode_ok(const char *text)
{
	struct err e = ERR_INIT;
	json_t *json = NULL;
	if (json_decode(text, strlen(text), &json, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return json;
}

static void assert_refused(const char *text, size_t size, enum err_code code, const char *what)
{
	struct err e = ERR_INIT;
	json_t *json = NULL;
	assert_int_equal(json_decode(text, size, &json, &e), -(int)code);
	assert_null(json);
	if (!strstr(e.text, what))
		fail_msg("\"%s\" does not say \"%s\"", e.text, what);
}

static void round_trip(void **state UNUSED)
{
	const char *texts[] = {"{\"b\":1,\"a\":[true,false,null,-7,\"x\\n\\u0001\\\"\\\\\"]}",
		"\"é\"", "12", "0.1", "1.5e+300", "[]", "{}", "9223372036854775807"};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(json_done)
		json_t *json = decode_ok(texts[i]);
		CLEANUP(mem_free_ptr)
		char *text = json_encode_string(json);
		assert_string_equal(text, texts[i]);
	}
}

static void expect_written(const char *text, const char *json)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	json_write_string(&b, text);
	assert_string_equal(buf_text(&b), json);
	json_t *value CLEANUP(json_done) = json_string_of(text);
	CLEANUP(mem_free_ptr) char *again = json_encode_string(value);
	assert_string_equal(again, json);
	CLEANUP(json_done) json_t *read = decode_ok(buf_text(&b));
}

#define NONE "\xef\xbf\xbd"

static void what_is_no_utf8_is_replaced(void **state UNUSED)
{
	expect_written("\351t\351", "\"" NONE "t" NONE "\"");
	expect_written("caf\xc3\xa9", "\"caf\xc3\xa9\"");
	expect_written("cut \xc3", "\"cut " NONE "\"");
	expect_written("\xe2\x82\"", "\"" NONE "\\\"\"");         /* one for what broke off */
	expect_written("\xc0\xaf", "\"" NONE NONE "\"");          /* overlong */
	expect_written("\xed\xa0\x80", "\"" NONE NONE NONE "\""); /* a surrogate */
	expect_written("\xf4\x90\x80\x80", "\"" NONE NONE NONE NONE "\""); /* too far */
	expect_written("\xf0\x9f\x98\x80 \xff", "\"\xf0\x9f\x98\x80 " NONE "\"");
}

static void errors_have_line_and_column(void **state UNUSED)
{
	const char *syntax = "{\n  \"a\": 1,\n  \"b\" 2\n}";
	assert_refused(syntax, strlen(syntax), ERR_DECODE, "line 3, column 7:");
	const char *twice = "{\n \"name\": 1,\n \"name\": 2}";
	assert_refused(twice, strlen(twice), ERR_DECODE, "line 3, column");
	assert_refused(twice, strlen(twice), ERR_DECODE, "duplicate");
	assert_refused("", 0, ERR_DECODE, "line 1, column 1");
	assert_refused("{} {}", 5, ERR_DECODE, "line 1");
	assert_refused("\"\\u0000\"", 8, ERR_DECODE, "line 1");
	assert_refused("\"\xff\"", 3, ERR_DECODE, "unable to decode byte 0xff");
}

static void depth_is_bounded(void **state UNUSED)
{
	char text[4096];
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	text[128] = '\0';
	json_decref(decode_ok(text));
	memset(text, '[', sizeof(text));
	assert_refused(text, sizeof(text), ERR_DECODE, "line 1, column 65: nested deeper than 64");
	const char *in_string =
		"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"";
	json_decref(decode_ok(in_string));
}

static void size_is_bounded(void **state UNUSED)
{
	char *text = malloc(JSON_SIZE_MAX + 1);
	memset(text, ' ', JSON_SIZE_MAX + 1);
	assert_refused(text, JSON_SIZE_MAX + 1, ERR_TOO_LARGE, "at most");
	free(text);
}

static void walks(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *json = decode_ok("{\"a\":{\"b\":{\"c\":\"x\",\"n\":5,\"t\":true}}}");
	assert_string_equal(json_text(json, "", "a", "b", "c"), "x");
	assert_string_equal(json_text(json, "none", "a", "n"), "none");
	assert_int_equal(json_int(json, -1, "a", "b", "n"), 5);
	assert_int_equal(json_int(json, -1, "a", "b", "c"), -1);
	assert_true(json_bool(json, false, "a", "b", "t"));
	assert_null(json_at(json, "x", "y"));
	assert_null(json_at(NULL, "x"));
	json_ensure_object(json_ensure_object(json, "a"), "new");
	assert_true(json_is_object(json_at(json, "a", "new")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(what_is_no_utf8_is_replaced),
		cmocka_unit_test(errors_have_line_and_column),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(size_is_bounded),
		cmocka_unit_test(walks),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
