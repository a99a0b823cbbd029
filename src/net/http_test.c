/* The same tests run for both versions and with streams cut into small pieces. */
#include "net/http_world_test.h"

/* ---- both versions ---- */

static void check_simple(bool http2, size_t piece)
{
	struct world *w CLEANUP(world_done) = world_new(http2, piece);
	get(w, "/tell%20me?q=a&q=b%26+c&z", 200, "GET /tell me q1=b& c x=yes");
	get(w, "/nothing", 404, "");
	get(w, "/tell", 200, "GET /tell q1=- x=yes");
	assert_int_equal(w->connects, 1);
	struct answer a CLEANUP(answer_free) = {0};
	start(w, &a, "HEAD", "/tell", NULL, 0);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body.size, 0);
	get(w, "/tell", 200, "GET /tell q1=- x=yes");
	assert_int_equal(w->connects, 1);
}

static void simple_requests_are_answered(void **state)
{
	(void)state;
	check_simple(false, 0);
	check_simple(false, 1);
	check_simple(true, 0);
	check_simple(true, 1);
}

static void check_echo(bool http2, size_t piece)
{
	struct world *w CLEANUP(world_done) = world_new(http2, piece);
	size_t size = 300000;
	char *data = mem_alloc(size + 1);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)('a' + i % 23);
	struct answer a CLEANUP(answer_free) = {0}, b CLEANUP(answer_free) = {0};
	start(w, &a, "POST", "/echo", data, size);
	assert_true(test_loop_until(w->l, is_done, &a, 60000));
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body.size, size);
	assert_memory_equal(a.body.data, data, size);
	start(w, &b, "POST", "/small", "12345678901", 11);
	assert_true(test_loop_until(w->l, is_done, &b, 60000));
	assert_int_equal(b.status, 413);
	get(w, "/tell", 200, NULL);
	free(data);
}

static void large_bodies_go_both_ways(void **state)
{
	(void)state;
	check_echo(false, 0);
	check_echo(false, 777);
	check_echo(true, 0);
	check_echo(true, 777);
}

static bool is_held(void *arg)
{
	return ((struct world *)arg)->held;
}

static bool body_has_ended(void *arg)
{
	return ((struct world *)arg)->body_ended;
}

static bool is_closed(void *arg)
{
	return ((struct world *)arg)->closed > 0;
}

/* Request and response stream at the same time, as exec and the feed do. */
static void check_duplex(bool http2)
{
	struct world *w CLEANUP(world_done) = world_new(http2, 5);
	struct answer a CLEANUP(answer_free) = {0};
	struct http_call_spec spec = {.method = "POST", .path = "/hold", .streaming = true};
	a.call = http_call_start(w->client, &spec, &answer_events, &a);
	assert_true(test_loop_until(w->l, is_held, w, 1000));
	http_respond_start(w->held, 200, NULL, 0, "text/plain");
	for (int i = 0; i < 3; i++) {
		size_t before = a.body.size;
		http_respond_write(w->held, "down", 4);
		http_call_write(a.call, "upward", 6);
		test_loop_run(w->l, 10);
		assert_int_equal(a.body.size, before + 4);
		assert_int_equal(w->body_bytes, 6 * (i + 1));
	}
	assert_int_equal(a.status, 200);
	http_call_end(a.call);
	assert_true(test_loop_until(w->l, body_has_ended, w, 1000));
	assert_false(a.done);
	http_respond_end(w->held);
	http_request_free(take_ptr(w->held));
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_false(a.failed);
	assert_string_equal(buf_text(&a.body), "downdowndown");
	get(w, "/tell", 200, NULL);
	assert_int_equal(w->connects, 1);
	assert_int_equal(w->closed, 0);
}

static void both_directions_stream_at_once(void **state)
{
	(void)state;
	check_duplex(false);
	check_duplex(true);
}

static void check_breaks(bool http2)
{
	struct world *w CLEANUP(world_done) = world_new(http2, 0);
	/* the handler frees an unanswered request */
	struct answer a CLEANUP(answer_free) = {0};
	start(w, &a, "POST", "/drop", "x", 1);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_true(a.failed);
	/* the client cancels */
	struct answer b CLEANUP(answer_free) = {0};
	start(w, &b, "GET", "/hold", NULL, 0);
	assert_true(test_loop_until(w->l, is_held, w, 1000));
	http_respond_start(w->held, 200, NULL, 0, NULL);
	test_loop_run(w->l, 10);
	http_call_free(take_ptr(b.call));
	assert_true(test_loop_until(w->l, is_closed, w, 1000));
	assert_null(w->held);
	/* the server drops the peer */
	struct answer c CLEANUP(answer_free) = {0};
	w->closed = 0;
	start(w, &c, "POST", "/hold", "x", 1);
	assert_true(test_loop_until(w->l, is_held, w, 1000));
	assert_int_equal(http_server_drop_peer(w->server, "spiffe://d/node/b"), 0);
	assert_int_equal(http_server_drop_peer(w->server, "spiffe://d/node/a"), 1);
	assert_int_equal(w->closed, 0); /* on a later turn */
	assert_true(test_loop_until(w->l, is_closed, w, 1000));
	assert_true(test_loop_until(w->l, is_done, &c, 1000));
	assert_true(c.failed);
	/* a new connection is made by itself */
	get(w, "/tell", 200, NULL);
	/* the client drops its connections */
	struct answer d CLEANUP(answer_free) = {0};
	w->closed = 0;
	start(w, &d, "GET", "/hold", NULL, 0);
	assert_true(test_loop_until(w->l, is_held, w, 1000));
	http_client_reset(w->client);
	assert_false(d.done);
	assert_true(test_loop_until(w->l, is_done, &d, 1000));
	assert_true(test_loop_until(w->l, is_closed, w, 1000));
	assert_int_equal(d.code, ERR_CLOSED);
	get(w, "/tell", 200, NULL);
}

static void breaks_are_noticed_on_both_sides(void **state)
{
	(void)state;
	check_breaks(false);
	check_breaks(true);
}

/* A handler that reads nothing stops the sender; nothing is kept but a bounded buffer. */
static void check_back_pressure(bool http2)
{
	struct world *w CLEANUP(world_done) = world_new(http2, 16384);
	((struct test_loop *)w->l)->capacity = 1000;
	struct answer a CLEANUP(answer_free) = {0};
	char *data = mem_alloc(1 << 20);
	start(w, &a, "POST", "/deaf", data, 1 << 20);
	assert_true(test_loop_until(w->l, is_held, w, 1000));
	test_loop_run(w->l, 100);
	assert_true(http_call_queued(a.call) > 500000);
	http_request_set_events(w->held, &held_events, w);
	assert_true(test_loop_until(w->l, body_has_ended, w, 10000));
	assert_int_equal(w->body_bytes, 1 << 20);
	/* and down: a paused call stops the server */
	http_call_pause(a.call, true);
	http_respond_start(w->held, 200, NULL, 0, NULL);
	http_respond_write(w->held, data, 1 << 20);
	test_loop_run(w->l, 100);
	assert_true(http_respond_queued(w->held) > 500000);
	w->drained = 0;
	http_call_pause(a.call, false);
	test_loop_run(w->l, 100);
	assert_int_equal(http_respond_queued(w->held), 0);
	assert_true(w->drained > 0);
	assert_int_equal(a.body.size, 1 << 20);
	http_respond_end(w->held);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_false(a.failed);
	free(data);
}

static void slow_readers_hold_their_senders_back(void **state)
{
	(void)state;
	check_back_pressure(false);
	check_back_pressure(true);
}

static void check_unreachable(bool http2)
{
	struct world *w CLEANUP(world_done) = world_new(http2, 0);
	listener_free(take_ptr(w->listener));
	struct answer a CLEANUP(answer_free) = {0}, b CLEANUP(answer_free) = {0};
	start(w, &a, "GET", "/tell", NULL, 0);
	start(w, &b, "GET", "/tell", NULL, 0);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_true(test_loop_until(w->l, is_done, &b, 1000));
	assert_true(a.failed && b.failed);
	struct answer c CLEANUP(answer_free) = {0};
	start(w, &c, "GET", "no path", NULL, 0);
	assert_true(test_loop_until(w->l, is_done, &c, 1000));
	assert_int_equal(c.code, ERR_USAGE);
}

static void an_unreachable_server_is_an_error(void **state)
{
	(void)state;
	check_unreachable(false);
	check_unreachable(true);
}

static void check_timeout(bool http2)
{
	struct world *w CLEANUP(world_done) = world_new(http2, 0);
	struct answer a CLEANUP(answer_free) = {0};
	struct http_call_spec spec = {.method = "GET", .path = "/hold", .timeout_ms = 500};
	a.call = http_call_start(w->client, &spec, &answer_events, &a);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_int_equal(a.code, ERR_TIMEOUT);
	assert_true(test_loop_until(w->l, is_closed, w, 1000));
}

static void calls_time_out(void **state)
{
	(void)state;
	check_timeout(false);
	check_timeout(true);
}

static void check_many(bool http2)
{
	struct world *w CLEANUP(world_done) = world_new(http2, 0);
	struct answer answers[40] = {0};
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		start(w, &answers[i], "POST", "/echo", "hello", 5);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_true(test_loop_until(w->l, is_done, &answers[i], 1000));
		assert_int_equal(answers[i].status, 200);
		assert_string_equal(buf_text(&answers[i].body), "hello");
		answer_free(&answers[i]);
	}
	assert_int_equal(w->connects, http2 ? 1 : 2);
}

static void many_calls_share_few_connections(void **state)
{
	(void)state;
	check_many(false);
	check_many(true);
}

static void a_fetch_collects(void *arg, int status, const char *body, size_t size,
	const struct err *e)
{
	struct answer *a = arg;
	a->done = true;
	a->failed = e;
	a->status = status;
	buf_append(&a->body, body, size);
}

static void fetch_is_the_short_way(void **state)
{
	(void)state;
	struct world *w CLEANUP(world_done) = world_new(false, 0);
	struct answer a CLEANUP(answer_free) = {0}, b = {0};
	struct http_call_spec spec = {.method = "GET", .path = "/tell"};
	http_fetch(w->client, &spec, a_fetch_collects, &a);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_int_equal(a.status, 200);
	http_fetch(w->client, &spec, a_fetch_collects, &b);
	http_client_free(take_ptr(w->client));
	test_loop_run(w->l, 1000);
	assert_false(b.done);
}

static void check_head_too_large(bool http2)
{
	CLEANUP(world_done) struct world *w = world_new(http2, 0);
	CLEANUP(answer_free) struct answer a = {0};
	struct http_header headers[101];
	char *value = mem_alloc(1000);
	memset(value, 'a', 999);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		headers[i] = (struct http_header){"x-large", value};
	struct http_call_spec spec = {
		.method = "GET", .path = "/tell", .headers = headers, .header_count = 98};
	a.call = http_call_start(w->client, &spec, &answer_events, &a);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_true(a.failed || a.status == 431);
	assert_int_equal(w->handled, 0);
	free(value);
	get(w, "/tell", 200, NULL);
}

static void heads_that_are_too_large_are_refused(void **state)
{
	(void)state;
	check_head_too_large(false);
	check_head_too_large(true);
}

static struct http_call *start_upgrade(struct world *w, struct answer *a, const char *body)
{
	struct http_call_spec spec = {.method = "POST",
		.path = "/upgrade",
		.content_type = "text/plain",
		.body = body,
		.body_size = strlen(body),
		.upgrade = "tcp"};
	a->call = http_call_start(w->client, &spec, &answer_events, a);
	return a->call;
}

static bool has_echo(void *arg)
{
	return ((struct answer *)arg)->body.size == strlen("request early late");
}

/* What is written before the answer waits for it; our end is a half close. */
static void check_upgrade(size_t piece)
{
	CLEANUP(world_done) struct world *w = world_new(false, piece);
	CLEANUP(answer_free) struct answer a = {0};
	struct http_call *call = start_upgrade(w, &a, "request");
	http_call_write(call, " early", 6);
	assert_int_equal(http_call_queued(call), 6 + strlen("request"));
	test_loop_run(w->l, 100);
	assert_int_equal(a.status, 101);
	assert_string_equal(buf_text(&a.body), "request early");
	http_call_write(call, " late", 5);
	assert_true(test_loop_until(w->l, has_echo, &a, 1000));
	assert_int_equal(http_call_queued(call), 0);
	assert_string_equal(buf_text(&a.body), "request early late");
	http_call_end(call);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_false(a.failed);
	assert_string_equal(buf_text(&a.body), "request early latebye");
	get(w, "/tell", 200, NULL); /* on another connection */
}

static void protocols_are_changed_when_asked(void **state)
{
	(void)state;
	check_upgrade(0);
	check_upgrade(1);
	CLEANUP(world_done) struct world *w = world_new(false, 0);
	CLEANUP(answer_free) struct answer a = {0};
	http_call_write(start_upgrade(w, &a, "no"), "unheard", 7);
	assert_true(test_loop_until(w->l, is_done, &a, 1000));
	assert_false(a.failed);
	assert_int_equal(a.status, 409);
	assert_string_equal(buf_text(&a.body), "not here");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protocols_are_changed_when_asked),
		cmocka_unit_test(simple_requests_are_answered),
		cmocka_unit_test(large_bodies_go_both_ways),
		cmocka_unit_test(both_directions_stream_at_once),
		cmocka_unit_test(breaks_are_noticed_on_both_sides),
		cmocka_unit_test(slow_readers_hold_their_senders_back),
		cmocka_unit_test(an_unreachable_server_is_an_error),
		cmocka_unit_test(calls_time_out),
		cmocka_unit_test(many_calls_share_few_connections),
		cmocka_unit_test(fetch_is_the_short_way),
		cmocka_unit_test(heads_that_are_too_large_are_refused),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
