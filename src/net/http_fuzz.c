/*
 * HTTP/1.1 and HTTP/2 as a stranger would send it. The first byte chooses: bits 0 and 1 who reads
 * (server 1.1, client 1.1, server 2, client 2), the others the size of the pieces in which the rest
 * arrives.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "net/http.h"
#include "net/test_loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(void *arg, struct http_request *r, const char *data, size_t size,
	const struct err *e)
{
	(void)arg;
	http_respond(r, e ? 400 : 200, NULL, 0, "text/plain", data, size);
	http_request_free(r);
}

static void handle(void *arg, struct http_request *r)
{
	(void)http_request_query(r, "a", 0);
	if (str_equal(http_request_path(r), "/drop"))
		http_request_free(r);
	else
		http_request_collect(r, 1 << 16, answer, arg);
}

static void swallow(void *arg, const uint8_t *data, size_t size)
{
	(void)arg, (void)data, (void)size;
}

static const struct stream_events deaf = {.on_data = swallow};

static void serve(struct loop *l, const uint8_t *data, size_t size, bool http2)
{
	struct stream *near = NULL, *far = NULL;
	struct http_server *server = http_server_new(l, handle, NULL);
	test_stream_pair(l, &near, &far);
	stream_set_events(far, &deaf, NULL);
	http_server_take(server, near, NULL, http2);
	stream_write(far, data, size);
	test_loop_run(l, 1000);
	stream_free(far);
	test_loop_run(l, 1000);
	http_server_free(server);
}

struct ends {
	struct loop *l;
	struct stream *far;
	bool http2;
};

static void accepted(void *arg, struct stream *stream)
{
	struct ends *ends = arg;
	if (ends->far) {
		stream_free(stream);
		return;
	}
	ends->far = stream;
	stream_set_events(stream, &deaf, NULL);
}

static struct stream *connect_far(void *context)
{
	return loop_connect(((struct ends *)context)->l, "far:1");
}

static bool chosen_http2(void *context, struct stream *s)
{
	(void)s;
	return ((struct ends *)context)->http2;
}

static void fetched(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	(void)arg, (void)status, (void)body, (void)size, (void)e;
}

static void call(struct loop *l, const uint8_t *data, size_t size, bool http2)
{
	struct ends ends = {.l = l, .http2 = http2};
	struct listener *listener = NULL;
	if (loop_listen(l, "far:1", accepted, &ends, &listener, NULL) < 0)
		abort();
	struct http_connector connector = {.connect = connect_far,
		.is_http2 = chosen_http2,
		.context = &ends,
		.authority = "far"};
	struct http_client *client = http_client_new(l, &connector, 1);
	struct http_call_spec get = {.method = "GET", .path = "/"};
	struct http_call_spec head = {.method = "HEAD", .path = "/"};
	http_fetch(client, &get, fetched, NULL);
	http_fetch(client, &head, fetched, NULL);
	test_loop_run(l, 10);
	if (ends.far)
		stream_write(ends.far, data, size);
	test_loop_run(l, 1000);
	stream_free(ends.far);
	listener_free(listener);
	test_loop_run(l, 1000);
	http_client_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct loop *l = test_loop_new();
	((struct test_loop *)l)->piece = data[0] >> 2;
	bool http2 = data[0] & 2;
	if (data[0] & 1)
		call(l, data + 1, size - 1, http2);
	else
		serve(l, data + 1, size - 1, http2);
	test_loop_free(l);
	return 0;
}
