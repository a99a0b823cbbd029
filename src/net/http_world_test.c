#include "net/http_world_test.h"

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

const struct http_request_events held_events = {
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

struct world *world_new(bool http2, size_t piece)
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

void world_free(struct world *w)
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

void world_done(struct world **w)
{
	world_free(*w);
}

/* ---- a call and what came of it ---- */

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

const struct http_call_events answer_events = {.on_response = answer_response,
	.on_body = answer_body,
	.on_done = answer_done,
	.on_drained = answer_drained};

bool is_done(void *arg)
{
	return ((struct answer *)arg)->done;
}

void answer_free(struct answer *a)
{
	buf_done(&a->body);
}

void start(struct world *w, struct answer *a, const char *method, const char *path,
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

void get(struct world *w, const char *path, int status, const char *text)
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

/* ---- connections by hand ---- */

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

void raw_open(struct world *w, struct raw *raw)
{
	raw->stream = loop_connect(w->l, "server:1");
	stream_set_events(raw->stream, &raw_events, raw);
}

void raw_done(struct raw *raw)
{
	stream_free(raw->stream);
	buf_done(&raw->in);
}
