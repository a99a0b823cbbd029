/* Server and client against each other and against hand-written bytes, over streams in memory. The
 * same tests run for both versions and with streams cut into small pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/exchange.h"
#include "net/test_loop.h"

struct world {
	struct loop *l;
	struct http_server *server;
	struct listener *listener;
	struct http_client *client;
	bool http2, stranger;
	int connects;
	/* what the handler keeps: */
	struct http_request *held;
	int closed, drained, handled;
	size_t body_bytes;
	bool body_ended;
	struct stream *plain; /* of a request that became one */
};

/* ---- the server's handlers, chosen by path ---- */

static void echo_done(void *arg, struct http_request *r, const char *data, size_t size,
	const struct err *e)
{
	(void)arg;
	if (e)
		http_respond(r, err_http_status(e->code), NULL, 0, "text/plain", e->text,
			strlen(e->text));
	else
		http_respond(r, 200, NULL, 0, "text/plain", data, size);
	http_request_free(r);
}

static void held_body(void *arg, const uint8_t *data, size_t size)
{
	struct world *w = arg;
	(void)data;
	w->body_bytes += size;
	w->body_ended = w->body_ended || size == 0;
}

static void held_closed(void *arg)
{
	struct world *w = arg;
	w->closed++;
	http_request_free(take_ptr(w->held));
}

static void held_drained(void *arg)
{
	((struct world *)arg)->drained++;
}

static const struct http_request_events held_events = {
	.on_body = held_body, .on_closed = held_closed, .on_drained = held_drained};

static void tell(struct http_request *r)
{
	char text[512];
	const char *query = http_request_query(r, "q", 1);
	const char *header = http_request_header(r, "x-test");
	snprintf(text, sizeof(text), "%s %s q1=%s x=%s", http_request_method(r),
		http_request_path(r), query ? query : "-", header ? header : "-");
	struct http_header headers[] = {{"x-evil", "a\r\nb"}, {"warning", "299 - \"w\""}};
	http_respond(r, 200, headers, 2, "text/plain", text, strlen(text));
	http_request_free(r);
}

static void plain_data(void *arg, const uint8_t *data, size_t size)
{
	stream_write(((struct world *)arg)->plain, data, size);
}

static void plain_end(void *arg)
{
	stream_write(((struct world *)arg)->plain, "bye", 3);
	stream_end(((struct world *)arg)->plain);
}

static void plain_closed(void *arg, const struct err *why)
{
	(void)arg, (void)why;
}

static const struct stream_events plain_events = {
	.on_data = plain_data, .on_end = plain_end, .on_closed = plain_closed};

/* Says the request's body, then what comes; "no" refuses. */
static void upgrade(void *arg, struct http_request *r, const char *data, size_t size,
	const struct err *e)
{
	struct world *w = arg;
	const struct http_header header = {"upgrade", http_request_header(r, "upgrade")};
	if (e || (size == 2 && memcmp(data, "no", 2) == 0)) {
		http_respond(r, 409, NULL, 0, "text/plain", "not here", 8);
		http_request_free(r);
		return;
	}
	char *copy CLEANUP(mem_free_ptr) = mem_dup_bytes(data, size);
	w->plain = http_request_upgrade(r, &header, 1);
	assert_non_null(w->plain);
	stream_set_events(w->plain, &plain_events, w);
	stream_write(w->plain, copy, size);
}

static void handle(void *arg, struct http_request *r)
{
	struct world *w = arg;
	const char *path = http_request_path(r);
	w->handled++;
	if (str_starts(path, "/tell")) {
		tell(r);
	} else if (str_equal(path, "/echo")) {
		http_request_collect(r, 1 << 20, echo_done, w);
	} else if (str_equal(path, "/upgrade")) {
		http_request_collect(r, 1 << 20, upgrade, w);
	} else if (str_equal(path, "/small")) {
		http_request_collect(r, 10, echo_done, w);
	} else if (str_equal(path, "/hold")) {
		w->held = r;
		http_request_set_events(r, &held_events, w);
	} else if (str_equal(path, "/deaf")) {
		w->held = r; /* takes no body yet */
	} else if (str_equal(path, "/drop")) {
		http_request_free(r);
	} else {
		http_respond(r, 404, NULL, 0, NULL, NULL, 0);
		http_request_free(r);
	}
}

/* ---- the world ---- */

static void accepted(void *arg, struct stream *stream)
{
	struct world *w = arg;
	struct http_peer peer = {
		.address = "192.0.2.7:4711", .spiffe_id = w->stranger ? NULL : "spiffe://d/node/a"};
	http_server_take(w->server, stream, &peer, w->http2);
}

static struct stream *connect_to_server(void *context)
{
	struct world *w = context;
	w->connects++;
	return loop_connect(w->l, "server:1");
}

static bool chosen_http2(void *context, struct stream *s)
{
	(void)s;
	return ((struct world *)context)->http2;
}

static struct world *world_new(bool http2, size_t piece)
{
	struct world *w = mem_new(struct world);
	w->l = test_loop_new();
	((struct test_loop *)w->l)->piece = piece;
	w->http2 = http2;
	w->server = http_server_new(w->l, handle, w);
	assert_int_equal(loop_listen(w->l, "server:1", accepted, w, &w->listener, NULL), 0);
	struct http_connector connector = {.connect = connect_to_server,
		.is_http2 = http2 ? chosen_http2 : NULL,
		.context = w,
		.authority = "server"};
	w->client = http_client_new(w->l, &connector, 2);
	return w;
}

static void world_free(struct world *w)
{
	http_client_free(w->client);
	http_request_free(w->held);
	stream_free(w->plain);
	if (w->listener)
		listener_free(w->listener);
	http_server_free(w->server);
	test_loop_run(w->l, 10000);
	test_loop_free(w->l);
	free(w);
}

static void world_done(struct world **w)
{
	world_free(*w);
}

/* ---- a call and what came of it ---- */

struct answer {
	struct http_call *call;
	int status;
	struct buf body;
	bool done, failed, evil;
	enum err_code code;
	int drained;
};

static void answer_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	struct answer *a = arg;
	a->status = status;
	for (size_t i = 0; i < header_count; i++)
		a->evil = a->evil || strpbrk(headers[i].value, "\r\n") ||
			  str_equal(headers[i].name, "b");
}

static void answer_body(void *arg, const uint8_t *data, size_t size)
{
	buf_append(&((struct answer *)arg)->body, data, size);
}

static void answer_done(void *arg, const struct err *e)
{
	struct answer *a = arg;
	assert_false(a->done);
	a->done = true;
	a->failed = e;
	a->code = e ? e->code : ERR_OK;
	http_call_free(take_ptr(a->call));
}

static void answer_drained(void *arg)
{
	((struct answer *)arg)->drained++;
}

static const struct http_call_events answer_events = {.on_response = answer_response,
	.on_body = answer_body,
	.on_done = answer_done,
	.on_drained = answer_drained};

static bool is_done(void *arg)
{
	return ((struct answer *)arg)->done;
}

static void answer_free(struct answer *a)
{
	buf_done(&a->body);
}

static void start(struct world *w, struct answer *a, const char *method, const char *path,
	const void *body, size_t size)
{
	struct http_header header = {"x-test", "yes"};
	struct http_call_spec spec = {.method = method,
		.path = path,
		.headers = &header,
		.header_count = 1,
		.content_type = body ? "text/plain" : NULL,
		.body = body,
		.body_size = size};
	a->call = http_call_start(w->client, &spec, &answer_events, a);
}

static void get(struct world *w, const char *path, int status, const char *text)
{
	struct answer a CLEANUP(answer_free) = {0};
	start(w, &a, "GET", path, NULL, 0);
	assert_true(test_loop_until(w->l, is_done, &a, 60000));
	assert_false(a.failed);
	assert_false(a.evil);
	assert_int_equal(a.status, status);
	if (text)
		assert_string_equal(buf_text(&a.body), text);
}

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

/* ---- HTTP/1.1 by hand ---- */

struct raw {
	struct stream *stream;
	struct buf in;
	bool closed;
};

static void raw_data(void *arg, const uint8_t *data, size_t size)
{
	buf_append(&((struct raw *)arg)->in, data, size);
}

static void raw_closed(void *arg, const struct err *why)
{
	(void)why;
	((struct raw *)arg)->closed = true;
}

static const struct stream_events raw_events = {.on_data = raw_data, .on_closed = raw_closed};

static void raw_open(struct world *w, struct raw *raw)
{
	raw->stream = loop_connect(w->l, "server:1");
	stream_set_events(raw->stream, &raw_events, raw);
}

static void raw_done(struct raw *raw)
{
	stream_free(raw->stream);
	buf_done(&raw->in);
}

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

/* ---- HTTP/2 by hand (RFC 9113 section 4.1) ---- */

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
		cmocka_unit_test(fetch_is_the_short_way),
		cmocka_unit_test(resets_without_end_close_the_connection),
		cmocka_unit_test(open_streams_are_bounded),
		cmocka_unit_test(an_unread_response_waits_for_the_window),
		cmocka_unit_test(a_silent_client_is_asked_and_then_dropped),
		cmocka_unit_test(heads_that_are_too_large_are_refused),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
