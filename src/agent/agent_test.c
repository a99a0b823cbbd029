/* A whole agent with the fake driver against a server of a few lines, over virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/test_loop.h"
#include "pki/pki.h"
#include "wire/wire.h"

#define SERVER "10.0.0.1:6443"
#define LIMIT_MS 60000

/* ---- the world ---- */

struct world {
	struct loop *l;
	struct log log;
	char folder[64];
	/* the server */
	struct http_server *http;
	struct listener *listener;
	struct http_request *feed;
	struct http_request *call;
	struct buf reports, hello, call_frames, feed_script;
	int heartbeats, sessions, refuse_feed, refuse_reports;
	bool deaf; /* reports get no answer */
	struct http_request *unanswered[16];
	size_t unanswered_count;
	struct pki_pair ca;
	int joins, renewals;
	int64_t life_ms; /* of certificates; 0: as servers have it */
	/* the agent */
	struct agent *agent;
	bool proves_identity;
	const char *token, *node_name;
	struct err fatal;
	/* the fake network and images */
	int opens, peers, services, attached;
	char ip[64];
};

static int64_t log_wall(void *context)
{
	return loop_wall_ms(((struct world *)context)->l);
}

static void log_nowhere(void *context, const char *line)
{
	(void)context;
	if (getenv("TEST_LOG"))
		fprintf(stderr, "# %s", line);
}

/* ---- the server ---- */

static void respond(struct http_request *r, int status, const char *body)
{
	http_respond(r, status, NULL, 0, "application/json", body, strlen(body));
	http_request_free(r);
}

static void feed_closed(void *arg)
{
	struct world *w = arg;
	http_request_free(take_ptr(w->feed));
}

static void feed_line(struct world *w, const char *line)
{
	http_respond_write(w->feed, line, strlen(line));
	http_respond_write(w->feed, "\n", 1);
}

static void on_hello(void *arg, struct http_request *r, const char *data, size_t size,
	const struct err *e)
{
	static const struct http_request_events events = {.on_closed = feed_closed};
	struct world *w = arg;
	assert_null(e);
	buf_clear(&w->hello);
	buf_append(&w->hello, data, size);
	if (w->refuse_feed) {
		respond(r, w->refuse_feed, "{\"kind\":\"Status\",\"message\":\"revoked\"}");
		return;
	}
	if (w->feed)
		http_request_free(w->feed);
	w->feed = r;
	w->sessions++;
	http_request_set_events(r, &events, w);
	http_respond_start(r, 200, NULL, 0, "application/x-ndjson");
	feed_line(w,
		"{\"type\":\"session\",\"epoch\":\"e1\",\"heartbeat_ms\":1000,\"pod_cidr\":\"10."
		"42.1.0/24\",\"domain_cidr\":\"10.42.0.0/16\",\"service_cidr\":\"10.43.0.0/"
		"16\",\"cluster_domain\":\"cluster.local\"}");
	if (w->feed_script.size)
		http_respond_write(r, w->feed_script.data, w->feed_script.size);
	feed_line(w,
		"{\"type\":\"peers\",\"peers\":[[\"n1\",\"10.0.0.11\",\"10.42.1.0/24\"],[\"n2\","
		"\"10.0.0.12\",\"10.42.2.0/24\"]]}");
	feed_line(w, "{\"type\":\"bookmark\",\"revision\":5}");
}

static void on_report(void *arg, struct http_request *r, const char *data, size_t size,
	const struct err *e)
{
	struct world *w = arg;
	assert_null(e);
	if (w->deaf) {
		assert_true(w->unanswered_count < ARRAY_SIZE(w->unanswered));
		w->unanswered[w->unanswered_count++] = r;
		return;
	}
	if (size == 0)
		w->heartbeats++;
	if (size && w->refuse_reports) {
		w->refuse_reports--;
		respond(r, 500, "{}");
		return;
	}
	buf_append(&w->reports, data, size);
	respond(r, 200, "{\"revision\":1}");
}

static int on_call_frame(void *arg, int channel, const char *data, size_t size, struct err *e)
{
	struct world *w = arg;
	(void)e;
	buf_printf(&w->call_frames, "%d:%.*s|", channel, (int)size, data);
	return 0;
}

static void call_body(void *arg, const uint8_t *data, size_t size)
{
	struct world *w = arg;
	struct wire_reader reader = {0};
	if (size == 0) {
		http_respond_end(w->call);
		http_request_free(take_ptr(w->call));
		return;
	}
	assert_true(wire_read_frames(&reader, data, size, on_call_frame, w, NULL) >= 0);
	wire_reader_done(&reader);
}

static void call_closed(void *arg)
{
	struct world *w = arg;
	http_request_free(take_ptr(w->call));
}

static void serve_call(struct world *w, struct http_request *r)
{
	static const struct http_request_events events = {
		.on_body = call_body, .on_closed = call_closed};
	w->call = r;
	http_respond_start(r, 200, NULL, 0, "application/octet-stream");
	http_request_set_events(r, &events, w);
}

static void sign(struct world *w, struct http_request *r, const json_t *body)
{
	char *certificate;
	char id[256];
	struct err e = ERR_INIT;
	pki_node_spiffe("test", "n1", id);
	struct pki_subject subject = {.use = PKI_NODE,
		.common_name = "system:node:n1",
		.organization = "system:nodes",
		.spiffe_id = id,
		.life_ms = w->life_ms ? w->life_ms : PKI_NODE_LIFE_MS};
	assert_int_equal(pki_sign_csr(&w->ca, json_text(body, "", "csr"), &subject,
				 loop_wall_ms(w->l), &certificate, &e),
		0);
	CLEANUP(json_done)
	json_t *answer = json_pack("{s:s, s:s, s:s, s:s}", "certificate", certificate, "ca",
		w->ca.certificate_pem, "domain", "test", "name", "n1");
	CLEANUP(mem_free_ptr) char *text = json_encode_string(answer);
	free(certificate);
	respond(r, 200, text);
}

static void on_join(void *arg, struct http_request *r, const char *data, size_t size,
	const struct err *e)
{
	struct world *w = arg;
	CLEANUP(json_done) json_t *body = NULL;
	assert_null(e);
	assert_int_equal(json_decode(data, size, &body, NULL), 0);
	bool join = str_equal(http_request_path(r), "/agent/v1/join");
	if (join)
		w->joins++;
	else
		w->renewals++;
	if (join && strstr(json_text(body, "", "token"), "used"))
		respond(r, 401, "{\"kind\":\"Status\",\"message\":\"the token was used already\"}");
	else
		sign(w, r, body);
}

static void handle(void *arg, struct http_request *r)
{
	const char *path = http_request_path(r);
	if (str_equal(path, "/agent/v1/feed"))
		http_request_collect(r, WIRE_LINE_MAX, on_hello, arg);
	else if (str_equal(path, "/agent/v1/report"))
		http_request_collect(r, WIRE_LINE_MAX, on_report, arg);
	else if (str_equal(path, "/agent/v1/join") || str_equal(path, "/agent/v1/renew"))
		http_request_collect(r, WIRE_LINE_MAX, on_join, arg);
	else if (str_starts(path, "/agent/v1/calls/"))
		serve_call(arg, r);
	else
		respond(r, 404, "{}");
}

static void on_accept(void *arg, struct stream *s)
{
	struct world *w = arg;
	struct http_peer peer = {.address = "",
		.common_name = "",
		.organization = "",
		.spiffe_id = "",
		.serial = ""};
	http_server_take(w->http, s, &peer, false);
}

static void server_up(struct world *w)
{
	w->http = http_server_new(w->l, handle, w);
	assert_int_equal(loop_listen(w->l, SERVER, on_accept, w, &w->listener, NULL), 0);
}

static void server_down(struct world *w)
{
	listener_free(take_ptr(w->listener));
	http_server_free(take_ptr(w->http));
	while (w->unanswered_count > 0)
		http_request_free(w->unanswered[--w->unanswered_count]);
	http_request_free(take_ptr(w->feed));
	http_request_free(take_ptr(w->call));
}

/* ---- what the agent gets ---- */

struct agent_link {
	struct loop *l;
};

static struct stream *link_connect(void *context)
{
	return loop_connect(((struct agent_link *)context)->l, SERVER);
}

static int link_open(void *context, const char *address, const struct agent_identity *identity,
	const char *pin, struct agent_link **ret_link, struct err *e)
{
	(void)address;
	(void)e;
	assert_true(identity || pin);
	*ret_link = mem_new(struct agent_link);
	(*ret_link)->l = context;
	return 0;
}

static struct http_connector link_connector(struct agent_link *k)
{
	return (struct http_connector){
		.connect = link_connect, .context = k, .authority = "server"};
}

static void link_close(struct agent_link *k)
{
	free(k);
}

static struct stream *link_knock(void *context, const char *address)
{
	(void)address;
	return loop_connect(context, SERVER);
}

static int net_open(void *context, const struct overlay_config *config, struct err *e)
{
	struct world *w = context;
	(void)e;
	assert_string_equal(config->pod_cidr, "10.42.1.0/24");
	w->opens++;
	return 0;
}

static int net_set_peers(void *context, const struct overlay_peer *peers, size_t count,
	struct err *e)
{
	(void)peers;
	(void)e;
	((struct world *)context)->peers = (int)count;
	return 0;
}

static int net_set_services(void *context, const struct overlay_service *services, size_t count,
	struct err *e)
{
	(void)services;
	(void)e;
	((struct world *)context)->services = (int)count;
	return 0;
}

static int net_attach(void *context, const char *pod_uid, const char *netns_path,
	const struct overlay_host_port *ports, size_t port_count, char ret_ip[static 64],
	struct err *e)
{
	struct world *w = context;
	(void)pod_uid;
	(void)netns_path;
	(void)ports;
	(void)port_count;
	(void)err_set(e, ERR_IO, "left over from a way round: the attach succeeds");
	snprintf(ret_ip, 64, "10.42.1.%d", 1 + ++w->attached);
	return 0;
}

static int net_detach(void *context, const char *pod_uid, struct err *e)
{
	(void)pod_uid;
	(void)e;
	((struct world *)context)->attached--;
	return 0;
}

static int net_keep_only(void *context, const char *const *uids, size_t count, struct err *e)
{
	(void)context;
	(void)uids;
	(void)count;
	(void)e;
	return 0;
}

static const char *net_dns(void *context)
{
	(void)context;
	return "10.42.1.1";
}

static void net_metrics(void *context, struct buf *b)
{
	(void)context;
	(void)b;
}

static void net_nothing(void *context)
{
	(void)context;
}

static void images_collect(void *context, const char *const *ids_in_use, size_t count,
	int64_t free_bytes)
{
	(void)context;
	(void)ids_in_use;
	(void)count;
	(void)free_bytes;
}

static int make_driver(void *context, const struct driver_config *config,
	struct driver **ret_driver, struct err *e)
{
	static const struct driver_fake_config fake = {
		.seed = 1, .start_ms_min = 5, .start_ms_max = 20, .stop_ms_max = 30};
	(void)context;
	(void)e;
	*ret_driver = driver_fake_new(config, &fake);
	return 0;
}

static void on_fatal(void *context, const struct err *e)
{
	((struct world *)context)->fatal = *e;
}

static int agent_try(struct world *w, struct err *e)
{
	static const struct agent_transport_ops transport = {
		link_open, link_connector, link_close, link_knock, NULL};
	static const struct agent_net_ops net = {.open = net_open,
		.set_peers = net_set_peers,
		.set_services = net_set_services,
		.attach = net_attach,
		.detach = net_detach,
		.keep_only = net_keep_only,
		.dns_address = net_dns,
		.metrics = net_metrics,
		.close = net_nothing,
		.free = net_nothing};
	static const struct agent_images_ops images = {
		.collect = images_collect, .free = net_nothing};
	static const char *const servers[] = {SERVER, NULL};
	struct agent_config config = {.loop = w->l,
		.log = &w->log,
		.fs = fs_real(),
		.state_folder = w->folder,
		.run_folder = w->folder,
		.node_name = w->node_name,
		.address = "10.0.0.11",
		.servers = servers,
		.token = w->token,
		.tier = "edge",
		.facts = {.cpu_milli = 2000, .memory_bytes = 1 << 30, .architecture = "amd64"},
		.transport = {&transport, w->l, w->proves_identity},
		.net = {&net, w},
		.images = {&images, w},
		.driver_new = make_driver,
		.on_fatal = on_fatal,
		.fatal_context = w};
	return agent_new(&config, &w->agent, e);
}

static void agent_up(struct world *w)
{
	struct err e = ERR_INIT;
	if (agent_try(w, &e) < 0)
		fail_msg("%s", e.text);
}

static void agent_down(struct world *w)
{
	agent_free(take_ptr(w->agent));
}

static struct world *world_new(void)
{
	struct world *w = mem_new(struct world);
	w->l = test_loop_new();
	w->log = (struct log){.level = LOG_DEBUG,
		.role = "agent",
		.wall_ms = log_wall,
		.write = log_nowhere,
		.context = w};
	strcpy(w->folder, "/tmp/continuo-agent-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	w->proves_identity = true;
	w->node_name = "n1";
	server_up(w);
	return w;
}

static void world_free(struct world *w)
{
	char command[100];
	agent_down(w);
	server_down(w);
	test_loop_run(w->l, 1000); /* what the fake driver deferred */
	test_loop_free(w->l);
	buf_done(&w->reports);
	buf_done(&w->hello);
	buf_done(&w->call_frames);
	buf_done(&w->feed_script);
	pki_pair_done(&w->ca);
	snprintf(command, sizeof(command), "rm -rf %s", w->folder);
	assert_int_equal(system(command), 0);
	free(w);
}

/* ---- what is awaited ---- */

static bool is_connected(void *arg)
{
	struct world *w = arg;
	return agent_connected(w->agent);
}

static const char *awaited;

static bool is_reported(void *arg)
{
	struct world *w = arg;
	return strstr(buf_text(&w->reports), awaited) != NULL;
}

static void await_report(struct world *w, const char *text)
{
	awaited = text;
	if (!test_loop_until(w->l, is_reported, w, LIMIT_MS))
		fail_msg("no report with %s in: %s", text, buf_text(&w->reports));
}

static void await_connection(struct world *w)
{
	assert_true(test_loop_until(w->l, is_connected, w, LIMIT_MS));
}

#define POD(name, extra, revision)                                                                 \
	"{\"type\":\"put\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"      \
	"\"name\":\"" name "\",\"namespace\":\"default\",\"uid\":\"uid-" name                      \
	"\",\"resourceVersion\":\"" revision                                                       \
	"\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"" extra                                  \
	"},\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"image\":\"i:1\"}]}}}"
#define DELETED ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":30"

/* ---- tests ---- */

static void test_a_pod_comes_and_goes(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	assert_non_null(strstr(buf_text(&w->hello), "\"continuo.dev/tier\":\"edge\""));
	test_loop_run(w->l, 100);
	assert_int_equal(w->peers, 1); /* not ourselves */
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"podIP\":\"10.42.1.2\"");
	await_report(w, "\"phase\":\"Running\"");
	await_report(w, "\"hostIP\":\"10.0.0.11\"");
	feed_line(w, POD("a", DELETED, "8"));
	await_report(w, "{\"type\":\"gone\",\"key\":\"core/pods/default/a\",\"uid\":\"uid-a\"}");
	feed_line(w, "{\"type\":\"delete\",\"key\":\"core/pods/default/a\",\"uid\":\"uid-a\"}");
	test_loop_run(w->l, 1000);
	assert_int_equal(w->attached, 0);
	world_free(w);
}

static void test_what_the_slice_lacks_is_stopped_after_the_bookmark(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	feed_line(w, "{\"type\":\"delete\",\"key\":\"core/pods/default/a\",\"uid\":\"uid-a\"}");
	test_loop_run(w->l, 1000);
	assert_int_equal(w->attached, 0);
	assert_null(strstr(buf_text(&w->reports), "\"gone\"")); /* nobody waits for it */
	world_free(w);
}

static void test_pods_start_from_disk_without_a_server(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	test_loop_run(w->l, 1000); /* the slice is written some time after the change */
	agent_down(w);
	server_down(w);
	w->attached = 0;
	w->opens = 0;
	agent_up(w);
	test_loop_run(w->l, 2000);
	assert_int_equal(w->opens, 1);
	assert_int_equal(w->attached, 1);
	assert_false(agent_connected(w->agent));
	buf_clear(&w->reports);
	server_up(w);
	await_connection(w);
	assert_non_null(strstr(buf_text(&w->hello), "[\"core/pods/default/a\",\"uid-a\",7]"));
	assert_non_null(strstr(buf_text(&w->hello), "\"epoch\":\"e1\""));
	await_report(w, "\"phase\":\"Running\"");
	world_free(w);
}

static void test_secrets_are_sealed_on_disk(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, "{\"type\":\"put\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Secret\","
		     "\"metadata\":{\"name\":\"s\",\"namespace\":\"default\",\"uid\":\"u\","
		     "\"resourceVersion\":\"3\"},\"data\":{\"k\":\"aHVzaGh1c2g=\"}}}");
	test_loop_run(w->l, 1000);
	char command[200];
	snprintf(command, sizeof(command),
		"test -s %s/slice && ! grep -rq -e aHVzaGh1c2g -e hushhush "
		"%s",
		w->folder, w->folder);
	assert_int_equal(system(command), 0);
	world_free(w);
}

static bool has_two_sessions(void *arg)
{
	return ((struct world *)arg)->sessions == 2 && is_connected(arg);
}

static void test_silence_is_noticed_and_reports_are_kept(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	int64_t before = loop_now_ms(w->l);
	w->deaf = true;
	test_loop_run(w->l, 2500);
	assert_int_equal(w->sessions, 1);
	w->deaf = false;
	assert_true(test_loop_until(w->l, has_two_sessions, w, LIMIT_MS));
	assert_true(loop_now_ms(w->l) - before < 6000);
	world_free(w);
}

/* TCP would need six seconds to find out; a node of the edge is given four. */
static void test_a_blackout_of_three_seconds_is_over_soon(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	test_loop_run(w->l, 1234);
	int64_t before = loop_now_ms(w->l);
	((struct test_loop *)w->l)->black = true;
	test_loop_run(w->l, 3000);
	assert_int_equal(w->sessions, 1);
	((struct test_loop *)w->l)->black = false;
	assert_true(test_loop_until(w->l, has_two_sessions, w, LIMIT_MS));
	assert_true(loop_now_ms(w->l) - before <= 3350);
	world_free(w);
}

static void test_after_a_long_blackout_the_session_is_soon_back(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	((struct test_loop *)w->l)->black = true;
	test_loop_run(w->l, 3600000);
	((struct test_loop *)w->l)->black = false;
	int64_t before = loop_now_ms(w->l);
	assert_true(test_loop_until(w->l, has_two_sessions, w, LIMIT_MS));
	assert_true(loop_now_ms(w->l) - before <= 1000);
	world_free(w);
}

static void test_a_report_that_failed_comes_again(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	w->refuse_reports = 1;
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	assert_int_equal(w->refuse_reports, 0);
	world_free(w);
}

static void test_server_goes_and_comes(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	server_down(w);
	test_loop_run(w->l, 30000);
	assert_false(agent_connected(w->agent));
	server_up(w);
	int64_t before = loop_now_ms(w->l);
	await_connection(w);
	assert_true(loop_now_ms(w->l) - before <= 5100);
	world_free(w);
}

static void test_idle_writes_nothing(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	test_loop_run(w->l, 2000);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	agent_metrics(w->agent, &b);
	CLEANUP(mem_free_ptr)
	char *before = mem_dup_string(strstr(buf_text(&b), "continuo_agent_slice_writes_total "));
	before[strcspn(before, "\n")] = '\0';
	test_loop_run(w->l, 600000);
	buf_clear(&b);
	agent_metrics(w->agent, &b);
	assert_non_null(strstr(buf_text(&b), before));
	assert_true(w->heartbeats > 500);
	world_free(w);
}

static bool call_ended(void *arg)
{
	return strstr(buf_text(&((struct world *)arg)->call_frames), "3:") != NULL;
}

static void test_reverse_calls(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	feed_line(w, "{\"type\":\"call\",\"id\":4,\"verb\":\"logs\",\"pod\":\"uid-a\",\"query\":{"
		     "\"follow\":\"false\",\"tailLines\":\"10\"}}");
	assert_true(test_loop_until(w->l, call_ended, w, LIMIT_MS));
	assert_string_equal(buf_text(&w->call_frames), "1:fake\n|3:{\"exit\":0}|");
	buf_clear(&w->call_frames);
	feed_line(w, "{\"type\":\"call\",\"id\":5,\"verb\":\"exec\",\"pod\":\"nobody\",\"query\":{"
		     "\"command\":[\"true\"]}}");
	assert_true(test_loop_until(w->l, call_ended, w, LIMIT_MS));
	assert_non_null(strstr(buf_text(&w->call_frames), "\"reason\":\"NotFound\""));
	buf_clear(&w->call_frames);
	feed_line(w, "{\"type\":\"call\",\"id\":6,\"verb\":\"dance\",\"pod\":\"uid-a\"}");
	assert_true(test_loop_until(w->l, call_ended, w, LIMIT_MS));
	assert_non_null(strstr(buf_text(&w->call_frames), "dance"));
	world_free(w);
}

static void test_a_refused_node_goes_on_running_pods(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	w->refuse_feed = 403;
	http_request_free(take_ptr(w->feed));
	test_loop_run(w->l, 30000);
	assert_false(agent_connected(w->agent));
	assert_int_equal(w->attached, 1);
	w->refuse_feed = 0;
	test_loop_run(w->l, 61000);
	assert_true(agent_connected(w->agent));
	world_free(w);
}

static void test_newer_state_is_refused(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct err e = ERR_INIT;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/version", w->folder);
	assert_int_equal(fs_write_atomic(fs_real(), path, "2\n", 2, 0600, &e), 0);
	assert_int_equal(agent_try(w, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, w->folder));
	world_free(w);
}

static void test_damaged_slice_is_fetched_again(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	test_loop_run(w->l, 1000);
	agent_down(w);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/slice", w->folder);
	assert_int_equal(fs_write_atomic(fs_real(), path, "garbage", 7, 0600, NULL), 0);
	agent_up(w);
	await_connection(w);
	assert_non_null(strstr(buf_text(&w->hello), "\"held\":[]"));
	world_free(w);
}

/* ---- joining ---- */

static char token_text[PKI_TOKEN_MAX];

static void prepare_join(struct world *w)
{
	char pin[65];
	struct pki_token token;
	const unsigned char random[24] = {1, 2, 3};
	w->proves_identity = false;
	assert_int_equal(pki_ca_new("test", loop_wall_ms(w->l), &w->ca, NULL), 0);
	assert_int_equal(pki_pin(w->ca.certificate_pem, pin, NULL), 0);
	pki_token_new(random, pin, &token);
	pki_token_format(&token, token_text);
	w->token = token_text;
}

static void test_join_then_restart_without_token(void **state)
{
	(void)state;
	struct world *w = world_new();
	prepare_join(w);
	w->node_name = "";
	agent_up(w);
	await_connection(w);
	assert_string_equal(agent_node_name(w->agent), "n1");
	agent_down(w);
	w->token = NULL;
	agent_up(w);
	await_connection(w);
	assert_int_equal(w->joins, 1);
	char command[160];
	snprintf(command, sizeof(command), "test $(stat -c %%a %s/identity.json) = 600", w->folder);
	assert_int_equal(system(command), 0);
	world_free(w);
}

static bool has_fatal(void *arg)
{
	return ((struct world *)arg)->fatal.code != ERR_OK;
}

static void test_a_ca_that_is_not_pinned_is_not_taken(void **state)
{
	(void)state;
	struct world *w = world_new();
	prepare_join(w);
	pki_pair_done(&w->ca);
	assert_int_equal(pki_ca_new("test", loop_wall_ms(w->l), &w->ca, NULL), 0);
	agent_up(w);
	test_loop_run(w->l, 60000);
	assert_true(w->joins > 1);
	assert_string_equal(agent_node_name(w->agent), "");
	world_free(w);
}

static void test_no_token_and_a_used_token(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct err e = ERR_INIT;
	prepare_join(w);
	w->token = NULL;
	assert_int_equal(agent_try(w, &e), -ERR_USAGE);
	w->token = "rubbish";
	assert_true(agent_try(w, &e) < 0);
	char used[PKI_TOKEN_MAX];
	snprintf(used, sizeof(used), "%s", token_text);
	memcpy(strchr(used, '.') + 1, "used", 4);
	w->token = used;
	agent_up(w);
	assert_true(test_loop_until(w->l, has_fatal, w, LIMIT_MS));
	assert_non_null(strstr(w->fatal.text, "used already"));
	world_free(w);
}

static bool has_renewed(void *arg)
{
	struct world *w = arg;
	return w->renewals == 1 && w->sessions == 2 && is_connected(arg);
}

static void test_certificate_is_renewed_at_half_of_its_life(void **state)
{
	(void)state;
	struct world *w = world_new();
	prepare_join(w);
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	test_loop_run(w->l, PKI_NODE_LIFE_MS / 2 - 20 * 60 * 1000);
	assert_int_equal(w->renewals, 0);
	assert_true(test_loop_until(w->l, has_renewed, w, 40 * 60 * 1000));
	assert_int_equal(w->attached, 1); /* the pod did not notice */
	world_free(w);
}

static void test_short_lives_do_not_renew_for_ever(void **state)
{
	(void)state;
	struct world *w = world_new();
	prepare_join(w);
	w->life_ms = 60000;
	agent_up(w);
	await_connection(w);
	test_loop_run(w->l, 300000);
	assert_in_range(w->renewals, 9, 11);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_pod_comes_and_goes),
		cmocka_unit_test(test_what_the_slice_lacks_is_stopped_after_the_bookmark),
		cmocka_unit_test(test_pods_start_from_disk_without_a_server),
		cmocka_unit_test(test_secrets_are_sealed_on_disk),
		cmocka_unit_test(test_silence_is_noticed_and_reports_are_kept),
		cmocka_unit_test(test_a_blackout_of_three_seconds_is_over_soon),
		cmocka_unit_test(test_after_a_long_blackout_the_session_is_soon_back),
		cmocka_unit_test(test_a_report_that_failed_comes_again),
		cmocka_unit_test(test_server_goes_and_comes),
		cmocka_unit_test(test_idle_writes_nothing),
		cmocka_unit_test(test_reverse_calls),
		cmocka_unit_test(test_a_refused_node_goes_on_running_pods),
		cmocka_unit_test(test_newer_state_is_refused),
		cmocka_unit_test(test_damaged_slice_is_fetched_again),
		cmocka_unit_test(test_join_then_restart_without_token),
		cmocka_unit_test(test_a_ca_that_is_not_pinned_is_not_taken),
		cmocka_unit_test(test_no_token_and_a_used_token),
		cmocka_unit_test(test_certificate_is_renewed_at_half_of_its_life),
		cmocka_unit_test(test_short_lives_do_not_renew_for_ever),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
