/*
 * A proxy as a stranger would be one. The first byte is the size of the pieces; what follows, up to
 * a NUL, is its URL and rules; the rest is what it answers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/proxy.h"
#include "net/test_loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct way {
	struct stream *near, *far;
};

static void swallow(void *arg, const uint8_t *data, size_t size)
{
	(void)arg, (void)data, (void)size;
}

static void closed(void *arg, const struct err *why)
{
	(void)why;
	stream_free(take_ptr(((struct way *)arg)->near));
}

static const struct stream_events events = {.on_data = swallow, .on_closed = closed};

static void accepted(void *arg, struct stream *stream)
{
	static const struct stream_events deaf = {.on_data = swallow};
	((struct way *)arg)->far = stream;
	stream_set_events(stream, &deaf, NULL);
}

static void answer(const uint8_t *data, size_t size, size_t piece)
{
	struct loop *l = test_loop_new();
	struct way way = {0};
	struct listener *listener = NULL;
	struct proxy *p = NULL;
	((struct test_loop *)l)->piece = piece;
	if (proxy_new("http://u:p@far:1", NULL, &p, NULL) < 0 ||
		loop_listen(l, "far:1", accepted, &way, &listener, NULL) < 0)
		abort();
	way.near = proxy_connect(l, p, "server:1");
	stream_set_events(way.near, &events, &way);
	test_loop_run(l, 10);
	stream_write(way.far, data, size);
	test_loop_run(l, 10);
	stream_free(way.far);
	test_loop_run(l, 10);
	stream_free(way.near);
	listener_free(listener);
	proxy_free(p);
	test_loop_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	const uint8_t *end = memchr(data + 1, 0, size - 1);
	if (!end)
		return 0;
	CLEANUP(mem_free_ptr) char *text = mem_dup_bytes(data + 1, (size_t)(end - data) - 1);
	struct proxy *p = NULL;
	bool skips;
	if (proxy_new(text, "example.com", &p, NULL) == 0)
		proxy_free(p);
	if (proxy_skips(text, "192.0.2.1:443", &skips, NULL) == 0 &&
		proxy_skips("192.0.2.0/24", text, &skips, NULL) == 0 && skips && !*text)
		abort(); /* nothing is no address */
	answer(end + 1, size - (size_t)(end - data) - 1, data[0]);
	return 0;
}
