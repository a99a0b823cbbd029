/* Frames of a container's output, cut everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "base/buf.h"
#include "driver/docker_frames.h"

static const char sound[] =
	"\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\3sad\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\1!";

struct seen {
	struct buf out, err;
	int calls, stop_after;
};

static bool on_frame(void *arg, int stream, const char *data, size_t size)
{
	struct seen *s = arg;
	buf_append(stream == 2 ? &s->err : &s->out, data, size);
	return ++s->calls != s->stop_after;
}

static void seen_done(struct seen *s)
{
	buf_done(&s->out);
	buf_done(&s->err);
}

static void frames_are_put_together(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(sound); piece++) {
		CLEANUP(seen_done) struct seen s = {0};
		struct docker_frames f = {0};
		for (size_t at = 0; at < sizeof(sound) - 1; at += piece) {
			size_t left = sizeof(sound) - 1 - at;
			assert_int_equal(docker_frames_feed(&f, sound + at,
						 left < piece ? left : piece, on_frame, &s, NULL),
				0);
		}
		assert_string_equal(buf_text(&s.out), "hello!");
		assert_string_equal(buf_text(&s.err), "sad");
	}
}

static void other_bytes_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"\3\0\0\0\0\0\0\1", "\1\0\1\0\0\0\0\1", "HTTP/1.1"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(seen_done) struct seen s = {0};
		struct docker_frames f = {0};
		struct err e = ERR_INIT;
		assert_int_equal(docker_frames_feed(&f, bad[i], 8, on_frame, &s, &e),
			-ERR_PROTOCOL);
		assert_int_equal(s.calls, 0);
	}
}

static void the_reader_may_stop(void **state)
{
	(void)state;
	CLEANUP(seen_done) struct seen s = {.stop_after = 1};
	struct docker_frames f = {0};
	assert_int_equal(docker_frames_feed(&f, sound, sizeof(sound) - 1, on_frame, &s, NULL),
		-ERR_CANCELLED);
	assert_string_equal(buf_text(&s.out), "hello");
	assert_int_equal(s.err.size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_put_together),
		cmocka_unit_test(other_bytes_are_refused),
		cmocka_unit_test(the_reader_may_stop),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
