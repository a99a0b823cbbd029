/* Servers and clients against bytes written by hand: what peers of all sorts send. */
#include "net/http_world_test.h"

/* ---- HTTP/1.1 ---- */

static int count(const char *text, const char *part)
{
	int n = 0;
	for (const char *at = text; (at = strstr(at, part)); at++)
		n++;
	return n;
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	(void)state;
	struct world *w CLEANUP(world_done) = world_new(false, 3);
	struct raw raw CLEANUP(raw_done) = {0};
	raw_open(w, &raw);
	const char *text = "GET /tell/1 HTTP/1.1\r\nhost: h\r\n\r\n"
			   "POST /echo HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
			   "3\r\nabc\r\n0\r\n\r\n\r\n"
			   "GET /tell/2 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
			   "GET /tell/3 HTTP/1.1\r\nhost: h\r\n\r\n";
	stream_write(raw.stream, text, strlen(text));
	test_loop_run(w->l, 100);
	assert_int_equal(count(raw.in.data, "HTTP/1.1 200 OK"), 3);
	assert_true(strstr(raw.in.data, "/tell/1") < strstr(raw.in.data, "abc"));
	assert_non_null(strstr(raw.in.data, "/tell/2"));
	assert_null(strstr(raw.in.data, "/tell/3"));
	assert_true(raw.closed);
}

static void a_waiting_request_bounds_what_is_pipelined(void **state)
{
	(void)state;
	struct world *w CLEANUP(world_done) = world_new(false, 0);
	((struct test_loop *)w->l)->piece = 10000;
	struct raw raw CLEANUP(raw_done) = {0};
	raw_open(w, &raw);
	const char *first = "GET /hold HTTP/1.1\r\nhost: h\r\n\r\n";
	stream_write(raw.stream, first, strlen(first));
	for (int i = 0; i < 20000; i++)
		stream_write(raw.stream, "GET /tell HTTP/1.1\r\nhost: h\r\n\r\n", 31);
	((struct test_loop *)w->l)->capacity = 0;
	test_loop_run(w->l, 100);
	assert_true(stream_queued(raw.stream) > 400000);
	http_respond(w->held, 200, NULL, 0, NULL, NULL, 0);
	http_request_free(take_ptr(w->held));
	test_loop_run(w->l, 100);
	assert_int_equal(w->handled, 20001);
}

static void malformed_requests_are_answered_and_closed(void **state)
{
	(void)state;
	static const struct {
		const char *text, *answer;
	} rows[] = {
		{"rubbish\r\n\r\n", "HTTP/1.1 400 "},
		{"GET / HTTP/1.1\nhost: h\n\n", "HTTP/1.1 400 "},
		{"GET /%zz HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 400 "},
		{"GET /%00 HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 400 "},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 "},
		{"GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
		{"POST /echo HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nxyz",
			"HTTP/1.1 400 "},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world *w CLEANUP(world_done) = world_new(false, 0);
		struct raw raw CLEANUP(raw_done) = {0};
		raw_open(w, &raw);
		stream_write(raw.stream, rows[i].text, strlen(rows[i].text));
		test_loop_run(w->l, 100);
		assert_true(raw.closed);
		assert_true(str_starts(buf_text(&raw.in), rows[i].answer));
		assert_int_equal(count(raw.in.data, "HTTP/1.1 "), 1);
	}
}

static void continue_is_said_when_the_body_is_wanted(void **state)
{
	(void)state;
	struct world *w CLEANUP(world_done) = world_new(false, 0);
	struct raw raw CLEANUP(raw_done) = {0};
	raw_open(w, &raw);
	const char *head = "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n"
			   "expect: 100-continue\r\n\r\n";
	stream_write(raw.stream, head, strlen(head));
	test_loop_run(w->l, 100);
	assert_string_equal(buf_text(&raw.in), "HTTP/1.1 100 Continue\r\n\r\n");
	stream_write(raw.stream, "hello", 5);
	test_loop_run(w->l, 100);
	assert_non_null(strstr(raw.in.data, "HTTP/1.1 200 OK"));
	assert_non_null(strstr(raw.in.data, "\r\n\r\nhello"));
}

static void slow_and_idle_connections_are_closed(void **state)
{
	(void)state;
	struct world *w CLEANUP(world_done) = world_new(false, 0);
	struct raw raw CLEANUP(raw_done) = {0}, idle CLEANUP(raw_done) = {0};
	raw_open(w, &raw);
	raw_open(w, &idle);
	for (int i = 0; i < 100 && !raw.closed; i++) {
		stream_write(raw.stream, "G", 1);
		test_loop_run(w->l, 1000);
	}
	assert_true(raw.closed);
	assert_non_null(strstr(raw.in.data, "HTTP/1.1 408 "));
	assert_false(idle.closed);
	test_loop_run(w->l, 200000);
	assert_true(idle.closed);
}

/* A byte now and then must hold neither a request that is read nor one that was answered early. */
static void slow_bodies_are_given_up(void **state)
{
	(void)state;
	static const char *const paths[] = {"echo", "tell"};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct world *w CLEANUP(world_done) = world_new(false, 0);
		struct raw raw CLEANUP(raw_done) = {0};
		raw_open(w, &raw);
		CLEANUP(mem_free_ptr)
		char *head = mem_format("POST /%s HTTP/1.1\r\nhost: h\r\ncontent-length: 500000"
					"\r\n\r\n",
			paths[i]);
		stream_write(raw.stream, head, strlen(head));
		for (int n = 0; n < 100 && !raw.closed; n++) {
			stream_write(raw.stream, "x", 1);
			test_loop_run(w->l, 1000);
		}
		assert_true(raw.closed);
	}
}

static void a_body_that_grows_is_waited_for(void **state)
{
	(void)state;
	struct world *w CLEANUP(world_done) = world_new(false, 0);
	struct raw raw CLEANUP(raw_done) = {0};
	char part[1000] = {0};
	raw_open(w, &raw);
	const char *head = "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n";
	stream_write(raw.stream, head, strlen(head));
	for (int n = 0; n < 100; n++) {
		stream_write(raw.stream, part, sizeof(part));
		test_loop_run(w->l, 1000);
	}
	assert_false(raw.closed);
	assert_non_null(strstr(raw.in.data, "HTTP/1.1 200 OK"));
}

static void strangers_are_bounded(void **state)
{
	(void)state;
	enum { MORE = 20 };
	static struct raw known, raws[HTTP_STRANGERS_MAX + MORE];
	struct world *w CLEANUP(world_done) = world_new(false, 0);
	raw_open(w, &known);
	test_loop_run(w->l, 1);
	w->stranger = true;
	for (size_t i = 0; i < ARRAY_SIZE(raws); i++) {
		raw_open(w, &raws[i]);
		test_loop_run(w->l, 1);
	}
	assert_false(known.closed);
	for (size_t i = 0; i < ARRAY_SIZE(raws); i++) {
		assert_int_equal(raws[i].closed, i < MORE);
		raw_done(&raws[i]);
	}
	raw_done(&known);
}

static void an_old_client_gets_an_unframed_body(void **state)
{
	(void)state;
	struct world *w CLEANUP(world_done) = world_new(false, 0);
	struct raw raw CLEANUP(raw_done) = {0};
	raw_open(w, &raw);
	const char *text = "GET /hold HTTP/1.0\r\n\r\n";
	stream_write(raw.stream, text, strlen(text));
	test_loop_run(w->l, 10);
	http_respond_start(w->held, 200, NULL, 0, "text/plain");
	http_respond_write(w->held, "abc", 3);
	http_respond_end(w->held);
	test_loop_run(w->l, 10);
	assert_true(raw.closed);
	assert_null(strstr(raw.in.data, "chunked"));
	assert_true(str_ends(raw.in.data, "\r\n\r\nabc"));
}

/* A kept-alive connection that the server closed meanwhile: GET runs again on a new one. */
static void a_stale_connection_is_replaced(void **state)
{
	(void)state;
	struct world *w CLEANUP(world_done) = world_new(false, 0);
	get(w, "/tell", 200, NULL);
	struct answer a CLEANUP(answer_free) = {0};
	start(w, &a, "GET", "/tell", NULL, 0);
	http_server_drop_peer(w->server, "spiffe://d/node/a");
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_false(a.failed);
	assert_int_equal(w->connects, 2);
}

/* ---- HTTP/2 (RFC 9113 section 4.1) ---- */

static void frame(struct buf *b, int type, int flags, uint32_t stream, const void *data,
	size_t size)
{
	char head[9] = {(char)(size >> 16), (char)(size >> 8), (char)size, (char)type, (char)flags,
		(char)(stream >> 24), (char)(stream >> 16), (char)(stream >> 8), (char)stream};
	buf_append(b, head, sizeof(head));
	buf_append(b, data, size);
}

static void preface(struct buf *b)
{
	buf_append_string(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	frame(b, 4, 0, 0, NULL, 0);
}

/* GET /hold: indexed fields of the static table, a literal path. */
static const char get_hold[] = "\x82\x86\x44\x05/hold\x41\x01h";

static void resets_without_end_close_the_connection(void **state)
{
	(void)state;
	CLEANUP(world_done) struct world *w = world_new(true, 0);
	CLEANUP(raw_done) struct raw raw = {0};
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	raw_open(w, &raw);
	preface(&b);
	for (uint32_t i = 0; i < 1000; i++) {
		frame(&b, 1, 5, 2 * i + 1, "\x82\x86\x84\x41\x01h", 6);
		frame(&b, 3, 0, 2 * i + 1, "\0\0\0\x08", 4);
	}
	stream_write(raw.stream, b.data, b.size);
	test_loop_run(w->l, 100);
	assert_true(raw.closed);
	assert_true(w->handled < 1000);
}

static void open_streams_are_bounded(void **state)
{
	(void)state;
	CLEANUP(world_done) struct world *w = world_new(true, 0);
	CLEANUP(raw_done) struct raw raw = {0};
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	raw_open(w, &raw);
	preface(&b);
	/* POSTs whose bodies never come */
	for (uint32_t i = 0; i < 400; i++)
		frame(&b, 1, 4, 2 * i + 1, "\x83\x86\x44\x05/echo\x41\x01h", 12);
	stream_write(raw.stream, b.data, b.size);
	test_loop_run(w->l, 100);
	assert_true(w->handled <= 250);
	assert_true(w->handled >= 100);
	stream_free(take_ptr(raw.stream));
	test_loop_run(w->l, 100);
}

static void an_unread_response_waits_for_the_window(void **state)
{
	(void)state;
	CLEANUP(world_done) struct world *w = world_new(true, 0);
	CLEANUP(raw_done) struct raw raw = {0};
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	raw_open(w, &raw);
	preface(&b);
	frame(&b, 1, 5, 1, get_hold, sizeof(get_hold) - 1);
	stream_write(raw.stream, b.data, b.size);
	test_loop_run(w->l, 100);
	assert_non_null(w->held);
	char *data = mem_alloc(1 << 20);
	http_respond_start(w->held, 200, NULL, 0, NULL);
	http_respond_write(w->held, data, 1 << 20);
	test_loop_run(w->l, 100);
	assert_int_equal(http_respond_queued(w->held), (1 << 20) - 65535);
	buf_clear(&b);
	frame(&b, 8, 0, 0, "\0\x01\0\0", 4);
	frame(&b, 8, 0, 1, "\0\x01\0\0", 4);
	stream_write(raw.stream, b.data, b.size);
	test_loop_run(w->l, 100);
	assert_int_equal(http_respond_queued(w->held), (1 << 20) - 65535 - 65536);
	free(data);
}

static void a_silent_client_is_asked_and_then_dropped(void **state)
{
	(void)state;
	CLEANUP(world_done) struct world *w = world_new(true, 0);
	CLEANUP(raw_done) struct raw raw = {0};
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	raw_open(w, &raw);
	preface(&b);
	frame(&b, 1, 5, 1, get_hold, sizeof(get_hold) - 1);
	stream_write(raw.stream, b.data, b.size);
	test_loop_run(w->l, 50000);
	assert_int_equal(w->closed, 0);
	test_loop_run(w->l, 100000);
	assert_int_equal(w->closed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(a_waiting_request_bounds_what_is_pipelined),
		cmocka_unit_test(malformed_requests_are_answered_and_closed),
		cmocka_unit_test(continue_is_said_when_the_body_is_wanted),
		cmocka_unit_test(slow_and_idle_connections_are_closed),
		cmocka_unit_test(slow_bodies_are_given_up),
		cmocka_unit_test(a_body_that_grows_is_waited_for),
		cmocka_unit_test(strangers_are_bounded),
		cmocka_unit_test(an_old_client_gets_an_unframed_body),
		cmocka_unit_test(a_stale_connection_is_replaced),
		cmocka_unit_test(resets_without_end_close_the_connection),
		cmocka_unit_test(open_streams_are_bounded),
		cmocka_unit_test(an_unread_response_waits_for_the_window),
		cmocka_unit_test(a_silent_client_is_asked_and_then_dropped),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
