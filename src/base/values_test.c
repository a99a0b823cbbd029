/* err, str, time, rand, log: what says things. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"
#include "base/time.h"

static void test_errors(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "no pod %s", "p"), -ERR_NOT_FOUND);
	assert_int_equal(err_prefix(&e, "namespace %s", "n"), -ERR_NOT_FOUND);
	assert_string_equal(e.text, "namespace n: no pod p");
	assert_int_equal(err_set_errno(&e, ENOSPC, "cannot write %s", "f"), -ERR_NO_SPACE);
	assert_non_null(strstr(e.text, "cannot write f: "));
	assert_int_equal(err_set_errno(NULL, ENOENT, "x"), -ERR_NOT_FOUND);
	for (int code = 1; code < ERR_COUNT; code++) {
		assert_true(*err_name((enum err_code)code) && *err_text((enum err_code)code));
		assert_true(err_http_status((enum err_code)code) >= 400);
	}
	assert_int_equal(err_from_http(404), ERR_NOT_FOUND);
	assert_int_equal(err_from_name("AlreadyExists"), ERR_EXISTS);
	assert_int_equal(err_exit_status(ERR_USAGE), 2);
}

static void test_cuts_between_characters(void **state)
{
	(void)state;
	assert_int_equal(str_cut("abc", 3), 3);
	assert_int_equal(str_cut("abc", 2), 2);
	assert_int_equal(str_cut("a\xc3\xa9", 2), 1);
	assert_int_equal(str_cut("a\xc3\xa9", 3), 3);
	assert_int_equal(str_cut("\xf0\x9f\x98\x80", 3), 0);
	assert_int_equal(str_cut("\xa9\xa9\xa9\xa9", 4), 4); /* not characters at all */
	char text[] = "x\xe2\x82";
	str_end_whole(text);
	assert_string_equal(text, "x");
	str_end_whole(text);
	assert_string_equal(text, "x");
	char many[801] = "";
	for (size_t i = 0; i + 1 < sizeof(many); i += 2)
		memcpy(many + i, "\xc3\xa9", 3);
	struct err e = ERR_INIT;
	for (int shift = 0; shift < 2; shift++) {
		(void)err_set(&e, ERR_IO, "%.*s%s", shift, "x", many);
		assert_int_equal((unsigned char)e.text[strlen(e.text) - 1], 0xa9);
		(void)err_prefix(&e, "%.*s%s", shift, "x", many);
		assert_non_null(strstr(e.text, "\xa9: "));
		assert_int_equal((unsigned char)e.text[strlen(e.text) - 1], 0xa9);
		(void)err_set_errno(&e, EIO, "%.*s%s", shift, "x", many);
		assert_non_null(strstr(e.text, "\xa9: "));
	}
}

static void test_strings(void **state)
{
	(void)state;
	char text[4];
	int64_t number;
	assert_true(str_copy(text, sizeof(text), "abc"));
	assert_false(str_copy(text, sizeof(text), "abcd"));
	assert_string_equal(text, "");
	assert_true(str_starts("abc", "ab") && str_ends("abc", "bc") && !str_ends("c", "bc"));
	assert_true(str_equal(NULL, NULL) && !str_equal(NULL, ""));
	assert_int_equal(str_to_int64("-9223372036854775808", "n", &number, NULL), 0);
	assert_true(number == INT64_MIN);
	const char *const wrong[] = {"", " 1", "1 ", "1x", "9223372036854775808", "0x1"};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(str_to_int64(wrong[i], "n", &number, NULL), -ERR_DECODE);
	char hex[5];
	str_hex("\x01\xfe", 2, hex);
	assert_string_equal(hex, "01fe");
}

static void test_times(void **state)
{
	(void)state;
	char text[TIME_TEXT_SIZE];
	int64_t ms;
	time_format(1700000000123, text);
	assert_string_equal(text, "2023-11-14T22:13:20Z");
	time_format_micro(1700000000123, text);
	assert_string_equal(text, "2023-11-14T22:13:20.123000Z");
	assert_int_equal(time_parse("2024-02-29T01:00:00.5+02:00", &ms, NULL), 0);
	time_format_micro(ms, text);
	assert_string_equal(text, "2024-02-28T23:00:00.500000Z");
	const char *const wrong[] = {"", "2024-02-30T00:00:00Z", "2024-01-01",
		"2024-01-01T25:00:00Z", "2024-01-01T00:-1:00Z", "2024-01-01T00:+1:00Z", "x"};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(time_parse(wrong[i], &ms, NULL), -ERR_DECODE);
	time_format_age(303000, text);
	assert_string_equal(text, "5m3s");
	time_format_age(42000, text);
	assert_string_equal(text, "42s");
}

static void test_a_seed_replays(void **state)
{
	(void)state;
	struct rand a, b;
	rand_init(&a, 7);
	rand_init(&b, 7);
	for (int i = 0; i < 1000; i++) {
		assert_true(rand_next(&a) == rand_next(&b));
		int64_t n = rand_between(&a, -3, 3);
		assert_true(n >= -3 && n <= 3 && n == rand_between(&b, -3, 3));
		double u = rand_unit(&a);
		assert_true(u >= 0 && u < 1);
		(void)rand_unit(&b);
	}
}

static char last[2048];
static int lines;
static int64_t now_ms;

static int64_t wall(void *context)
{
	(void)context;
	return now_ms;
}

static void write_line(void *context, const char *line)
{
	(void)context;
	lines++;
	snprintf(last, sizeof(last), "%s", line);
}

static void test_log_lines_are_bounded(void **state)
{
	(void)state;
	struct log log = {.level = LOG_INFO, .role = "agent", .wall_ms = wall, .write = write_line};
	struct err e = ERR_INIT;
	log_debug(&log, "hidden", "x=1");
	assert_int_equal(lines, 0);
	(void)err_set(&e, ERR_IO, "a \"quoted\"\nsentence");
	log_err(&log, LOG_WARN, "failed", &e, "pod=%s", "p");
	assert_non_null(strstr(last, "role=agent event=failed pod=p"));
	assert_null(strstr(last, "\nsentence"));
	for (int i = 0; i < 2 * LOG_LINES_PER_SECOND; i++)
		log_info(&log, "again", "i=%d", i);
	assert_int_equal(lines, LOG_LINES_PER_SECOND);
	now_ms += 1000;
	log_info(&log, "later", "%s", "");
	assert_non_null(strstr(last, "dropped="));
	assert_int_equal(log_level_parse("nonsense", &log.level, NULL), -ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_cuts_between_characters),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_a_seed_replays),
		cmocka_unit_test(test_log_lines_are_bounded),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
