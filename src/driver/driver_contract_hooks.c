/* Lifecycle hooks and probes over the network: of every driver. The pods' address is the
 * loopback's, where a little server of this program answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/contract.h"
#include "net/tls.h"
#include "pki/pki.h"

#define POD(script, container, pod)                                                                \
	"{'terminationGracePeriodSeconds':1,'containers':[{'name':'main','image':'test','command'" \
	":['/bin/sh','-c','" script "']" container "}]" pod "}"
#define TRAP "trap \\\"exit 7\\\" TERM; sleep 100 & wait"
#define STOPPED_WITH(grace, container)                                                             \
	"{'terminationGracePeriodSeconds':" grace                                                  \
	",'containers':[{'name':'main','image':'test','command':['/bin/sh','-c','" TRAP            \
	"'],'lifecycle':{" container "}}]}"

/* ---- hooks ---- */

static bool is_terminated(const char *name)
{
	return bench_container(name, 0)->state == CONTAINER_TERMINATED;
}

static void post_start_comes_before_the_rest(void **state)
{
	(void)state;
	bench_start("ha",
		"{'terminationGracePeriodSeconds':1,'containers':[{'name':'proxy','image':'test',"
		"'command':['/bin/sh','-c','sleep 100'],'lifecycle':{'postStart':{'sleep':{"
		"'seconds':1}}}},{'name':'main','image':'test','command':['/bin/sh','-c','sleep "
		"100']}]}");
	bench_sleep(500);
	assert_int_equal(bench_container("ha", 0)->state, CONTAINER_WAITING);
	assert_string_equal(bench_container("ha", 0)->reason, "ContainerCreating");
	assert_string_equal(bench_seen("ha")->phase, "Pending");
	assert_true(bench_wait(is_ready, "ha", 8000));
	assert_true(bench_container("ha", 1)->started_ms >=
		    bench_container("ha", 0)->started_ms + 900);
	bench_stop("ha", 0);
}

static void post_start_that_fails_ends_the_container(void **state)
{
	(void)state;
	bench_start("hb", POD("sleep 100",
				  ",'lifecycle':{'postStart':{'exec':{'command':['/bin/sh','-c',"
				  "'exit 4']}}}",
				  ",'restartPolicy':'Never'"));
	assert_true(bench_wait(is_failed, "hb", 8000));
	assert_true(bench_event("hb", "FailedPostStartHook"));
	assert_int_not_equal(bench_container("hb", 0)->exit_code, 0);
	bench_stop("hb", 0);
	bench_start("hc", POD("sleep 100", ",'lifecycle':{'postStart':{'tcpSocket':{'port':80}}}",
				  ",'restartPolicy':'Never'"));
	assert_true(bench_wait(is_failed, "hc", 8000));
	assert_true(bench_event("hc", "FailedPostStartHook"));
	bench_stop("hc", 0);
}

/* Stops a pod that exits 7 at SIGTERM; how long it took. */
static int64_t stop_trapped(const char *name, const char *spec)
{
	bench_start(name, spec);
	assert_true(bench_wait(is_ready, name, 5000));
	bench_sleep(100); /* the shell sets its trap; nothing tells when */
	int64_t before_ms = loop_now_ms(bench.loop);
	bench_stop(name, -1);
	assert_int_equal(bench_container(name, 0)->exit_code, 7);
	return loop_now_ms(bench.loop) - before_ms;
}

static void pre_stop_counts_against_the_grace_period(void **state)
{
	(void)state;
	int64_t took_ms =
		stop_trapped("hd", STOPPED_WITH("10", "'preStop':{'sleep':{'seconds':1}}"));
	assert_true(took_ms >= 1000 && took_ms < 4000);
	assert_false(bench_event("hd", "FailedPreStopHook"));
	took_ms = stop_trapped("he", STOPPED_WITH("1", "'preStop':{'sleep':{'seconds':60}}"));
	assert_true(took_ms >= 1000 && took_ms < 4000); /* SIGTERM came when it was over */
	assert_true(bench_event("he", "FailedPreStopHook"));
	took_ms = stop_trapped("hf",
		STOPPED_WITH("10", "'preStop':{'exec':{'command':['/bin/sh','-c','exit 3']}}"));
	assert_true(took_ms < 4000);
	assert_true(bench_event("hf", "FailedPreStopHook"));
}

static void pre_stop_is_left_out_without_grace(void **state)
{
	(void)state;
	bench_start("hg", STOPPED_WITH("10", "'preStop':{'sleep':{'seconds':60}}"));
	assert_true(bench_wait(is_ready, "hg", 5000));
	int64_t before_ms = loop_now_ms(bench.loop);
	bench_stop_only("hg", -1);
	bench_sleep(200);
	assert_false(bench_seen("hg")->stopped);
	bench_stop("hg", 0);
	assert_true(loop_now_ms(bench.loop) - before_ms < 3000);
	assert_int_equal(bench_container("hg", 0)->exit_code, 137);
}

/* ---- a server ---- */

struct server {
	struct listener *listener;
	struct tls_context *tls; /* null: plain */
	int port, status;
	struct buf seen; /* what was asked */
	struct stream *streams[64];
	size_t count;
};
static struct server server;

static void server_on_data(void *arg, const uint8_t *data, size_t size)
{
	struct stream *s = arg;
	char answer[100];
	buf_append(&server.seen, data, size);
	if (!strstr(buf_text(&server.seen), "\r\n\r\n"))
		return;
	int n = snprintf(answer, sizeof(answer), "HTTP/1.1 %d Word\r\nContent-Length: 0\r\n\r\n",
		server.status);
	stream_write(s, answer, (size_t)n);
	stream_end(s);
}

static void server_on_closed(void *arg, const struct err *why)
{
	(void)arg, (void)why; /* freed at the end */
}

static void server_on_accept(void *arg, struct stream *accepted)
{
	static const struct stream_events events = {
		.on_data = server_on_data, .on_closed = server_on_closed};
	(void)arg;
	struct stream *s = server.tls ? tls_stream_new(bench.loop, server.tls, accepted) : accepted;
	assert_true(server.count < ARRAY_SIZE(server.streams));
	server.streams[server.count++] = s;
	buf_clear(&server.seen);
	stream_set_events(s, &events, s);
}

static void server_open(bool tls)
{
	server = (struct server){.status = 200, .seen = BUF_INIT};
	if (tls) {
		static const char *const names[] = {"elsewhere.example", NULL};
		const struct pki_subject subject = {.use = PKI_SERVER,
			.common_name = "elsewhere.example",
			.dns_or_ips = names,
			.life_ms = PKI_NODE_LIFE_MS};
		struct pki_pair ca CLEANUP(pki_pair_done) = {0};
		struct pki_pair own CLEANUP(pki_pair_done) = {0};
		int64_t wall_ms = (int64_t)time(NULL) * 1000;
		assert_int_equal(pki_ca_new("example", wall_ms, &ca, NULL), 0);
		assert_int_equal(pki_issue(&ca, &subject, wall_ms, &own, NULL), 0);
		const struct tls_config config = {.server = true,
			.certificate_pem = own.certificate_pem,
			.key_pem = own.key_pem,
			.ca_pem = ca.certificate_pem};
		assert_int_equal(tls_context_new(&config, &server.tls, NULL), 0);
	}
	assert_int_equal(loop_listen(bench.loop, "127.0.0.1:0", server_on_accept, NULL,
				 &server.listener, NULL),
		0);
	server.port = atoi(strrchr(listener_address(server.listener), ':') + 1);
}

static void server_close(void)
{
	listener_free(server.listener);
	for (size_t i = 0; i < server.count; i++)
		stream_free(server.streams[i]);
	tls_context_free(server.tls);
	buf_done(&server.seen);
	server = (struct server){0};
}

static bool became_unready(const char *name)
{
	return bench_container(name, 0)->state == CONTAINER_RUNNING && !is_ready(name);
}

static void http_probes_ask_as_they_are_told(void **state)
{
	(void)state;
	server_open(false);
	CLEANUP(mem_free_ptr)
	char *spec = mem_format(POD("sleep 100",
					",'readinessProbe':{'httpGet':{'port':%d,'path':'/healthz',"
					"'httpHeaders':[{'name':'X-Probe','value':'yes'},{'name':"
					"'Host','value':'web.example'}]},'periodSeconds':1,"
					"'failureThreshold':1}",
					""),
		server.port);
	bench_start("pa", spec);
	assert_true(bench_wait(is_ready, "pa", 8000));
	assert_non_null(strstr(buf_text(&server.seen), "GET /healthz HTTP/1.1\r\n"));
	assert_non_null(strstr(buf_text(&server.seen), "\r\nX-Probe: yes\r\n"));
	assert_non_null(strstr(buf_text(&server.seen), "\r\nHost: web.example\r\n"));
	assert_null(strstr(buf_text(&server.seen), "Host: 127.0.0.1"));
	server.status = 503;
	assert_true(bench_wait(became_unready, "pa", 8000));
	server.status = 302;
	assert_true(bench_wait(is_ready, "pa", 8000));
	bench_stop("pa", 0);
	server_close();
}

/* The certificate is of nobody we know and for another name. */
static void https_probes_take_any_certificate(void **state)
{
	(void)state;
	server_open(true);
	CLEANUP(mem_free_ptr)
	char *spec =
		mem_format(POD("sleep 100",
				   ",'readinessProbe':{'httpGet':{'port':%d,'host':'127.0.0.1',"
				   "'scheme':'HTTPS'},'periodSeconds':1,'failureThreshold':1}",
				   ""),
			server.port);
	bench_start("pb", spec);
	assert_true(bench_wait(is_ready, "pb", 8000));
	CLEANUP(mem_free_ptr) char *host = mem_format("\r\nHost: 127.0.0.1:%d\r\n", server.port);
	assert_non_null(strstr(buf_text(&server.seen), "GET / HTTP/1.1\r\n"));
	assert_non_null(strstr(buf_text(&server.seen), host));
	server.status = 500;
	assert_true(bench_wait(became_unready, "pb", 8000));
	bench_stop("pb", 0);
	server_close();
}

static void http_hooks_take_any_answer(void **state)
{
	(void)state;
	server_open(false);
	server.status = 404;
	CLEANUP(mem_free_ptr)
	char *spec = mem_format(POD("sleep 100",
					",'lifecycle':{'postStart':{'httpGet':{'port':%d,'path':"
					"'started'}}}",
					",'restartPolicy':'Never'"),
		server.port);
	bench_start("pc", spec);
	assert_true(bench_wait(is_ready, "pc", 8000));
	assert_non_null(strstr(buf_text(&server.seen), "GET /started HTTP/1.1\r\n"));
	bench_stop("pc", 0);
	CLEANUP(mem_free_ptr) char *again = mem_dup_string(spec);
	server_close(); /* and now nobody listens there */
	bench_start("pd", again);
	assert_true(bench_wait(is_terminated, "pd", 8000));
	assert_true(bench_event("pd", "FailedPostStartHook"));
	bench_stop("pd", 0);
}

extern const struct CMUnitTest contract_hooks[];
extern const size_t contract_hooks_count;
const struct CMUnitTest contract_hooks[] = {
	cmocka_unit_test(post_start_comes_before_the_rest),
	cmocka_unit_test(post_start_that_fails_ends_the_container),
	cmocka_unit_test(pre_stop_counts_against_the_grace_period),
	cmocka_unit_test(pre_stop_is_left_out_without_grace),
	cmocka_unit_test(http_probes_ask_as_they_are_told),
	cmocka_unit_test(https_probes_take_any_certificate),
	cmocka_unit_test(http_hooks_take_any_answer),
};
const size_t contract_hooks_count = ARRAY_SIZE(contract_hooks);
