/* Going through a proxy: its URL, who is exempt, what it may answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/proxy.h"
#include "net/test_loop.h"

#define PROXY "192.0.2.8:3128"

static void test_url(void **state)
{
	static const struct {
		const char *url, *address;
		enum err_code code;
	} cases[] = {
		{"http://proxy.example:3128", "proxy.example:3128", ERR_OK},
		{"http://proxy.example:3128/", "proxy.example:3128", ERR_OK},
		{"proxy.example:3128", "proxy.example:3128", ERR_OK},
		{"http://u:p%40%3A@[2001:db8::1]:8080", "[2001:db8::1]:8080", ERR_OK},
		{"http://proxy.example", NULL, ERR_INVALID},
		{"http://:3128", NULL, ERR_INVALID},
		{"http://proxy.example:99999", NULL, ERR_INVALID},
		{"http://proxy.example:3128/path", NULL, ERR_INVALID},
		{"http://a\r\nb:3128", NULL, ERR_INVALID},
		{"http://u:secret%4@proxy.example:3128", NULL, ERR_INVALID},
		{"http://a%3Ab:secret@proxy.example:3128", NULL, ERR_INVALID},
		{"https://u:secret@proxy.example:3128", NULL, ERR_UNSUPPORTED},
		{"socks5://proxy.example:1080", NULL, ERR_UNSUPPORTED},
		{"", NULL, ERR_INVALID},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct proxy *p = NULL;
		struct err e = ERR_INIT;
		int r = proxy_new(cases[i].url, NULL, &p, &e);
		if (r != -(int)cases[i].code)
			fail_msg("%s: %d %s", cases[i].url, r, e.text);
		if (p)
			assert_string_equal(proxy_address(p), cases[i].address);
		assert_null(strstr(e.text, "secret"));
		proxy_free(p);
	}
}

static void test_rules(void **state)
{
	static const struct {
		const char *rules, *address;
		bool skips;
	} cases[] = {
		{NULL, "example.com:443", false},
		{"", "example.com:443", false},
		{NULL, "localhost:443", true},
		{NULL, "127.3.2.1:443", true},
		{NULL, "[::1]:443", true},
		{NULL, "unix:/run/x", true},
		{"*", "example.com:443", true},
		{"example.com", "example.com:443", true},
		{"example.com", "EXAMPLE.com:443", true},
		{"example.com", "example.com.:443", true},
		{"example.com", "a.b.example.com:443", true},
		{"example.com", "badexample.com:443", false},
		{"example.com", "example.com.evil:443", false},
		{".example.com", "a.example.com:443", true},
		{"*.example.com", "a.example.com:443", true},
		{"other, example.com", "example.com:443", true},
		{"other example.com", "example.com:443", true},
		{"example.com:8443", "example.com:443", false},
		{"example.com:8443", "example.com:8443", true},
		{"192.0.2.7", "192.0.2.7:443", true},
		{"192.0.2.7", "192.0.2.77:443", false},
		{"2.0.2.7", "192.0.2.7:443", false},
		{"192.0.2.7:444", "192.0.2.7:443", false},
		{"192.0.2.0/24", "192.0.2.7:443", true},
		{"192.0.2.0/24", "192.0.3.7:443", false},
		{"192.0.2.0/23", "192.0.3.7:443", true},
		{"192.0.2.0/25", "192.0.2.128:443", false},
		{"0.0.0.0/0", "203.0.113.9:443", true},
		{"192.0.2.0/24", "name.example:443", false},
		{"2001:db8::/32", "[2001:db8:1::9]:443", true},
		{"2001:db8::/32", "[2001:db9::9]:443", false},
		{"2001:db8::7", "[2001:db8::7]:443", true},
		{"[2001:db8::7]:444", "[2001:db8::7]:443", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool skips = !cases[i].skips;
		struct err e = ERR_INIT;
		if (proxy_skips(cases[i].rules, cases[i].address, &skips, &e) < 0)
			fail_msg("%s: %s", cases[i].rules, e.text);
		if (skips != cases[i].skips)
			fail_msg("%s for %s: %d", cases[i].rules, cases[i].address, skips);
	}
}

static void test_bad_rules(void **state)
{
	static const char *const cases[] = {"10.0.0.0/33", "10.0.0.0/x", "name/8", "a, b:port",
		"a:0", "[::1", "[::1]x", "fc00::/129"};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct proxy *p = NULL;
		struct err e = ERR_INIT;
		if (proxy_new(PROXY, cases[i], &p, &e) != -ERR_INVALID)
			fail_msg("%s was taken", cases[i]);
		assert_non_null(strstr(e.text, "no_proxy"));
	}
}

/* ---- a proxy that answers what it is told to ---- */

struct world {
	struct loop *l;
	struct proxy *proxy;
	struct listener *listener;
	const char *answer; /* null: none; "": closes at once */
	struct stream *far, *near;
	struct buf asked, heard;
	bool open, closed, ended, free_at_open;
	struct err why;
};

static void far_data(void *arg, const uint8_t *data, size_t size)
{
	struct world *w = arg;
	bool before = w->asked.size && strstr(w->asked.data, "\r\n\r\n");
	buf_append(&w->asked, data, size);
	if (before || !strstr(w->asked.data, "\r\n\r\n") || !w->answer)
		return;
	if (w->answer[0])
		stream_write(w->far, w->answer, strlen(w->answer));
	else
		stream_end(w->far);
}

static void far_end(void *arg)
{
	((struct world *)arg)->ended = true;
}

static const struct stream_events far_events = {.on_data = far_data, .on_end = far_end};

static void on_accept(void *arg, struct stream *accepted)
{
	struct world *w = arg;
	w->far = accepted;
	stream_set_events(accepted, &far_events, w);
}

static void near_open(void *arg)
{
	struct world *w = arg;
	w->open = true;
	if (w->free_at_open)
		stream_free(take_ptr(w->near));
}

static void near_data(void *arg, const uint8_t *data, size_t size)
{
	buf_append(&((struct world *)arg)->heard, data, size);
}

static void near_closed(void *arg, const struct err *why)
{
	struct world *w = arg;
	assert_false(w->closed);
	w->closed = true;
	w->why = *why;
	stream_free(take_ptr(w->near)); /* an owner may */
}

static const struct stream_events near_events = {
	.on_open = near_open, .on_data = near_data, .on_closed = near_closed};

static void begin(struct world *w, const char *url, const char *answer, size_t piece)
{
	w->l = test_loop_new();
	((struct test_loop *)w->l)->piece = piece;
	w->answer = answer;
	assert_int_equal(proxy_new(url, "direct.example", &w->proxy, NULL), 0);
	assert_int_equal(loop_listen(w->l, PROXY, on_accept, w, &w->listener, NULL), 0);
}

static void go(struct world *w, const char *address)
{
	w->near = proxy_connect(w->l, w->proxy, address);
	stream_set_events(w->near, &near_events, w);
}

static void finish(struct world *w)
{
	stream_free(w->near);
	stream_free(w->far);
	listener_free(w->listener);
	test_loop_run(w->l, 100);
	proxy_free(w->proxy);
	buf_done(&w->asked);
	buf_done(&w->heard);
	test_loop_free(w->l);
}

static void test_way(void **state)
{
	(void)state;
	for (size_t piece = 0; piece < 4; piece++) {
		struct world w = {0};
		begin(&w, "http://us%40er:pw@" PROXY,
			"HTTP/1.1 100 Continue\r\n\r\n"
			"HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n",
			piece);
		go(&w, "server.example:6443");
		stream_write(w.near, "hello", 5);
		stream_pause(w.near, true);
		assert_int_equal(stream_queued(w.near), 5);
		test_loop_run(w.l, 100);
		assert_true(w.open);
		assert_string_equal(buf_text(&w.asked),
			"CONNECT server.example:6443 HTTP/1.1\r\nHost: server.example:6443\r\n"
			"Proxy-Authorization: Basic dXNAZXI6cHc=\r\n\r\nhello");
		stream_write(w.far, "world", 5);
		test_loop_run(w.l, 100);
		assert_int_equal(w.heard.size, 0); /* paused before it was open */
		stream_pause(w.near, false);
		test_loop_run(w.l, 100);
		assert_string_equal(buf_text(&w.heard), "world");
		assert_non_null(strstr(stream_peer(w.near), "server.example:6443 (proxy "));
		stream_end(w.near);
		test_loop_run(w.l, 100);
		assert_true(w.ended);
		test_stream_break(w.far);
		test_loop_run(w.l, 100);
		assert_true(w.closed);
		finish(&w);
	}
}

static void test_ended_before_open(void **state)
{
	struct world w = {0};
	(void)state;
	begin(&w, PROXY, "HTTP/1.1 200 OK\r\n\r\n", 0);
	go(&w, "server.example:6443");
	stream_write(w.near, "bye", 3);
	stream_end(w.near);
	test_loop_run(w.l, 100);
	assert_true(w.ended);
	assert_true(str_ends(buf_text(&w.asked), "bye"));
	finish(&w);
}

static void test_freed_at_open(void **state)
{
	struct world w = {.free_at_open = true};
	(void)state;
	begin(&w, PROXY, "HTTP/1.1 200 OK\r\n\r\n", 0);
	go(&w, "server.example:6443");
	test_loop_run(w.l, 100);
	assert_true(w.open);
	assert_null(w.near);
	finish(&w);
}

static void test_refusals(void **state)
{
	static char endless[PROXY_ANSWER_MAX + 200] = "HTTP/1.1 200 OK\r\nx: ";
	memset(endless + strlen(endless), 'a', sizeof(endless) - strlen(endless) - 1);
	static const struct {
		const char *url, *answer, *text;
		enum err_code code;
	} cases[] = {
		{PROXY, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
			"wants a user and a password", ERR_UNAVAILABLE},
		{"http://u:p@" PROXY, "HTTP/1.1 407 No\r\n\r\n", "refuses the user and password",
			ERR_UNAVAILABLE},
		{"http://u:p@" PROXY, "HTTP/1.0 401 No\r\n\r\n", "was given (401)",
			ERR_UNAVAILABLE},
		{PROXY, "HTTP/1.1 403 No\r\n\r\nbody", "does not allow a way to s.example:1",
			ERR_UNAVAILABLE},
		{PROXY, "HTTP/1.1 502 No\r\n\r\n", "cannot reach s.example:1 (502)",
			ERR_UNAVAILABLE},
		{PROXY, "HTTP/1.1 302 No\r\n\r\n", "answers 302", ERR_UNAVAILABLE},
		{PROXY, "", "closed the connection when asked", ERR_UNAVAILABLE},
		{PROXY, "SSH-2.0-x\r\n\r\n", "does not answer as one", ERR_PROTOCOL},
		{PROXY, "HTTP/1.1 200\nx: y\n\n", "does not answer as one", ERR_PROTOCOL},
		{PROXY, "HTTP/1.1 101 Switching\r\n\r\n", "answers 101", ERR_UNAVAILABLE},
		{PROXY, "HTTP/1.1 200 OK\r\n\r\nmore", "behind its answer", ERR_PROTOCOL},
		{PROXY, endless, "does not answer as one", ERR_PROTOCOL},
		{"192.0.2.9:1", NULL, "proxy 192.0.2.9:1: the network is gone", ERR_UNAVAILABLE},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w = {0};
		begin(&w, cases[i].url, cases[i].answer, 0);
		go(&w, "s.example:1");
		test_loop_run(w.l, 1000);
		assert_false(w.open);
		if (!w.closed || w.why.code != cases[i].code || !strstr(w.why.text, cases[i].text))
			fail_msg("%zu: %d %s", i, (int)w.why.code, w.why.text);
		finish(&w);
	}
}

static void test_direct(void **state)
{
	struct world w = {0};
	struct listener *direct = NULL;
	(void)state;
	begin(&w, PROXY, NULL, 0);
	assert_int_equal(loop_listen(w.l, "direct.example:1", on_accept, &w, &direct, NULL), 0);
	go(&w, "direct.example:1");
	test_loop_run(w.l, 100);
	assert_true(w.open);
	assert_int_equal(w.asked.size, 0);
	listener_free(direct);
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_way),
		cmocka_unit_test(test_ended_before_open),
		cmocka_unit_test(test_freed_at_open),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_direct),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("net-proxy", tests, NULL, NULL);
}
