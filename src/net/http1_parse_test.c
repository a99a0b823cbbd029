#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/http1_parse.h"

static int parse(const char *text, struct arena *arena, struct http1_head *head)
{
	size_t scanned = 0, size = 0;
	int r = http1_head_size(text, strlen(text), &scanned, &size, NULL);
	if (r < 0)
		return r;
	return size == 0 ? 1 : http1_parse_request(text, size, arena, head, NULL);
}

static void a_request_is_taken_apart(void **state)
{
	(void)state;
	struct arena arena CLEANUP(arena_done) = {0};
	struct http1_head head;
	assert_int_equal(parse("POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n"
			       "X-Thing:\t v a l \t\r\nExpect: 100-continue\r\n\r\n",
				 &arena, &head),
		0);
	assert_string_equal(head.method, "POST");
	assert_string_equal(head.target, "/a/b?c=d");
	assert_int_equal(head.header_count, 4);
	assert_string_equal(head.headers[2].name, "x-thing");
	assert_string_equal(head.headers[2].value, "v a l");
	assert_int_equal(head.framing, HTTP1_LENGTH);
	assert_int_equal(head.length, 12);
	assert_true(head.keep_alive);
	assert_true(head.expects_continue);
	assert_int_equal(parse("GET http://host:1/p HTTP/1.1\r\nhost: h\r\n\r\n", &arena, &head),
		0);
	assert_string_equal(head.target, "/p");
	assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &arena, &head), 0);
	assert_false(head.keep_alive);
	assert_int_equal(parse("GET / HTTP/1.1\r\nhost: h\r\nconnection: x, Close\r\n\r\n", &arena,
				 &head),
		0);
	assert_false(head.keep_alive);
}

/* Each of these is read in two ways by some two programs in the world. */
static void what_could_smuggle_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"GET / HTTP/1.1\nhost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\nx: a\rb\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\nx: a\r\n b\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\n x: a\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\nx : a\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\nx\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\n: a\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\nx: a\x01\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\nhost: i\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1, 1\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: +1\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 0x1\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ncontent-length:\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999999999\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: "
		"chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n",
		"GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n"
		"transfer-encoding: chunked\r\n\r\n",
		"GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
		"GET /a b HTTP/1.1\r\nhost: h\r\n\r\n",
		"GET  / HTTP/1.1\r\nhost: h\r\n\r\n",
		"GET /\t HTTP/1.1\r\nhost: h\r\n\r\n",
		"GET /#x HTTP/1.1\r\nhost: h\r\n\r\n",
		"GET a HTTP/1.1\r\nhost: h\r\n\r\n",
		"GET * HTTP/1.1\r\nhost: h\r\n\r\n",
		"GET / HTTP/2.0\r\nhost: h\r\n\r\n",
		"GET / HTTP/1.10\r\nhost: h\r\n\r\n",
		"GET / http/1.1\r\nhost: h\r\n\r\n",
		"GET /\r\nhost: h\r\n\r\n",
		"G(T / HTTP/1.1\r\nhost: h\r\n\r\n",
		" / HTTP/1.1\r\nhost: h\r\n\r\n",
		"\r\n\r\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct arena arena CLEANUP(arena_done) = {0};
		struct http1_head head;
		if (parse(bad[i], &arena, &head) >= 0)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void heads_are_bounded(void **state)
{
	(void)state;
	struct arena arena CLEANUP(arena_done) = {0};
	struct buf text CLEANUP(buf_done) = BUF_INIT;
	struct http1_head head;
	buf_append_string(&text, "GET / HTTP/1.1\r\nhost: h\r\n");
	for (int i = 0; i < HTTP_HEADERS_MAX - 1; i++)
		buf_printf(&text, "x%d: y\r\n", i);
	struct buf longer CLEANUP(buf_done) = BUF_INIT;
	buf_printf(&longer, "%sone-more: y\r\n\r\n", text.data);
	buf_append_string(&text, "\r\n");
	assert_int_equal(parse(text.data, &arena, &head), 0);
	assert_int_equal(head.header_count, HTTP_HEADERS_MAX);
	assert_int_equal(parse(longer.data, &arena, &head), -ERR_TOO_LARGE);
	buf_clear(&text);
	buf_append_string(&text, "GET / HTTP/1.1\r\nx: ");
	while (text.size <= HTTP_HEAD_MAX)
		buf_append_string(&text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_int_equal(parse(text.data, &arena, &head), -ERR_TOO_LARGE);
}

/* All splits of the input into two parts give the same body. */
static void check_body(const char *text, enum http1_framing framing, uint64_t length,
	const char *expected, size_t used_expected)
{
	for (size_t cut = 0; cut <= strlen(text); cut++) {
		struct http1_head head = {.framing = framing, .length = length};
		struct http1_body body;
		struct buf out CLEANUP(buf_done) = BUF_INIT;
		struct err e = ERR_INIT;
		http1_body_init(&body, &head);
		size_t at = 0;
		while (!http1_body_ended(&body) && at < strlen(text)) {
			size_t end = at < cut ? cut : strlen(text), used = 0, size = 0;
			const char *data = NULL;
			assert_int_equal(http1_body_read(&body, text + at, end - at, &used, &data,
						 &size, &e),
				0);
			buf_append(&out, data, size);
			at += used;
		}
		assert_true(http1_body_ended(&body));
		assert_int_equal(at, used_expected);
		assert_string_equal(buf_text(&out), expected);
	}
}

static void bodies_end_where_they_say(void **state)
{
	(void)state;
	check_body("hello rest", HTTP1_LENGTH, 5, "hello", 5);
	check_body("5\r\nhello\r\n1;x=\"y\"\r\n!\r\n0\r\n\r\nrest", HTTP1_CHUNKED, 0, "hello!", 27);
	check_body("A\r\n0123456789\r\n000\r\nTrailer: x\r\n\r\n", HTTP1_CHUNKED, 0, "0123456789",
		34);
}

static void malformed_chunks_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"\r\n", "g\r\n", "5\nhello", "5 \r\nhello", "-5\r\n",
		"0x5\r\n", "5\r\nhelloX\r\n", "5\r\nhello\n", "123456789\r\n", "0\r\n x: y\r\n\r\n",
		"0\r\nx: y\n\r\n", "0\r\n\n", "5;\x01\r\n", ";\r\n"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct http1_head head = {.framing = HTTP1_CHUNKED};
		struct http1_body body;
		http1_body_init(&body, &head);
		size_t at = 0;
		int r = 0;
		while (r == 0 && at < strlen(bad[i]) && !http1_body_ended(&body)) {
			size_t used = 0, size = 0;
			const char *data = NULL;
			r = http1_body_read(&body, bad[i] + at, strlen(bad[i]) - at, &used, &data,
				&size, NULL);
			at += used;
		}
		if (r != -ERR_PROTOCOL)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void responses_frame_themselves(void **state)
{
	(void)state;
	static const struct {
		const char *text, *method;
		enum http1_framing framing;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\n\r\n", "GET", HTTP1_UNTIL_CLOSE},
		{"HTTP/1.1 200\r\ncontent-length: 3\r\n\r\n", "GET", HTTP1_LENGTH},
		{"HTTP/1.1 200 \r\ncontent-length: 3\r\n\r\n", "HEAD", HTTP1_NO_BODY},
		{"HTTP/1.1 204 No\r\n\r\n", "GET", HTTP1_NO_BODY},
		{"HTTP/1.1 304 No\r\ncontent-length: 9\r\n\r\n", "GET", HTTP1_NO_BODY},
		{"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n", "GET", HTTP1_CHUNKED},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct arena arena CLEANUP(arena_done) = {0};
		struct http1_head head;
		assert_int_equal(http1_parse_response(rows[i].text, strlen(rows[i].text),
					 rows[i].method, &arena, &head, NULL),
			0);
		assert_int_equal(head.framing, rows[i].framing);
	}
	static const char *const bad[] = {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1\r\n\r\n", "HTTP/1.1 999 X\r\n\r\n", "ICY 200 OK\r\n\r\n"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct arena arena CLEANUP(arena_done) = {0};
		struct http1_head head;
		assert_true(http1_parse_response(bad[i], strlen(bad[i]), "GET", &arena, &head,
				    NULL) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_taken_apart),
		cmocka_unit_test(what_could_smuggle_is_refused),
		cmocka_unit_test(heads_are_bounded),
		cmocka_unit_test(bodies_end_where_they_say),
		cmocka_unit_test(malformed_chunks_are_refused),
		cmocka_unit_test(responses_frame_themselves),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
