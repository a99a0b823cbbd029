#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct seen {
	int count;
	char last[64];
	char text[256];
	int channels[8];
};

static int on_message(void *arg, const char *type, json_t *message, struct err *e)
{
	struct seen *s = arg;
	(void)e;
	s->count++;
	snprintf(s->last, sizeof(s->last), "%s:%d", type, (int)json_int(message, -1, "n"));
	return 0;
}

static void lines_are_put_together_at_every_split(void **state)
{
	(void)state;
	static const char text[] = "{\"type\":\"a\",\"n\":1}\n\n{\"type\":\"b\",\"n\":2}\r\n";
	for (size_t split = 0; split <= strlen(text); split++) {
		struct wire_reader r = {0};
		struct seen s = {0};
		struct err e;
		assert_int_equal(wire_read(&r, text, split, on_message, &s, &e), 0);
		assert_int_equal(wire_read(&r, text + split, strlen(text) - split, on_message, &s,
					 &e),
			0);
		assert_int_equal(s.count, 2);
		assert_string_equal(s.last, "b:2");
		wire_reader_done(&r);
	}
}

static void a_line_without_a_type_is_refused(void **state)
{
	(void)state;
	struct wire_reader r = {0};
	struct seen s = {0};
	struct err e = ERR_INIT;
	assert_int_equal(wire_read(&r, "{}\n", 3, on_message, &s, &e), -ERR_DECODE);
	assert_non_null(strstr(e.text, "type"));
	wire_reader_done(&r);
}

static int refuse_b(void *arg, const char *type, json_t *message, struct err *e)
{
	if (strcmp(type, "b") == 0)
		return err_set(e, ERR_INVALID, "no b");
	return on_message(arg, type, message, e);
}

static void bad_lines_are_left_out_where_that_is_wanted(void **state)
{
	(void)state;
	static const char text[] = "{\"type\":\"a\",\"n\":1}\n{\"type\":\"a\",\"t\":\"\xe9\"}\n"
				   "{\"type\":\"b\"}\n{}\n{\"type\":\"c\",\"n\":3}\n";
	struct wire_reader r = {.skip_bad = true};
	struct seen s = {0};
	struct err e = ERR_INIT;
	assert_int_equal(wire_read(&r, text, strlen(text), refuse_b, &s, &e), 0);
	assert_int_equal(s.count, 2);
	assert_string_equal(s.last, "c:3");
	assert_int_equal(r.skipped, 3);
	assert_int_equal(r.why.code, ERR_DECODE);
	assert_non_null(strstr(r.why.text, "0xe9"));
	wire_reader_done(&r);
}

static void a_line_that_never_ends_is_refused(void **state)
{
	(void)state;
	struct wire_reader r = {0};
	struct seen s = {0};
	struct err e = ERR_INIT;
	char block[65536];
	memset(block, 'x', sizeof(block));
	int result = 0;
	for (int i = 0; i < 64 && result == 0; i++)
		result = wire_read(&r, block, sizeof(block), on_message, &s, &e);
	assert_int_equal(result, -ERR_TOO_LARGE);
	wire_reader_done(&r);
}

static int on_frame(void *arg, int channel, const char *data, size_t size, struct err *e)
{
	struct seen *s = arg;
	(void)e;
	s->channels[s->count++] = channel;
	strncat(s->text, data, size);
	return 0;
}

static void frames_are_put_together_at_every_split(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	wire_write_frame(&b, WIRE_STDOUT, "out", 3);
	wire_write_frame(&b, WIRE_STDERR, "err", 3);
	wire_write_end(&b, 7, NULL);
	for (size_t split = 0; split <= b.size; split++) {
		struct wire_reader r = {0};
		struct seen s = {0};
		struct err e;
		assert_int_equal(wire_read_frames(&r, b.data, split, on_frame, &s, &e), 0);
		assert_int_equal(wire_read_frames(&r, b.data + split, b.size - split, on_frame, &s,
					 &e),
			0);
		assert_int_equal(s.count, 3);
		assert_int_equal(s.channels[2], WIRE_END);
		assert_string_equal(s.text, "outerr{\"exit\":7}");
		wire_reader_done(&r);
	}
	buf_done(&b);
}

static void a_frame_that_is_too_large_is_refused(void **state)
{
	(void)state;
	struct wire_reader r = {0};
	struct seen s = {0};
	struct err e = ERR_INIT;
	assert_int_equal(wire_read_frames(&r, "\1\xff\xff\xff\xff", 5, on_frame, &s, &e),
		-ERR_PROTOCOL);
	wire_reader_done(&r);
	assert_int_equal(wire_read_frames(&r, "\7\0\0\0\1x", 6, on_frame, &s, &e), -ERR_PROTOCOL);
	wire_reader_done(&r);
}

static void an_error_travels_in_the_last_frame(void **state)
{
	(void)state;
	struct err e = ERR_INIT, got = ERR_INIT;
	(void)err_set(&e, ERR_NOT_FOUND, "there is no container \"x\"");
	struct buf b = BUF_INIT;
	wire_write_end(&b, 0, &e);
	int exit_code = -1;
	assert_int_equal(wire_parse_end(b.data + 5, b.size - 5, &exit_code, &got), -ERR_NOT_FOUND);
	assert_string_equal(got.text, e.text);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_put_together_at_every_split),
		cmocka_unit_test(a_line_without_a_type_is_refused),
		cmocka_unit_test(bad_lines_are_left_out_where_that_is_wanted),
		cmocka_unit_test(a_line_that_never_ends_is_refused),
		cmocka_unit_test(frames_are_put_together_at_every_split),
		cmocka_unit_test(a_frame_that_is_too_large_is_refused),
		cmocka_unit_test(an_error_travels_in_the_last_frame),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
