#include "agent/world_test.h"

static int64_t log_wall(void *context)
{
	return loop_wall_ms(((struct world *)context)->l);
}

static void log_line_kept(void *context, const char *line)
{
	buf_append_string(&((struct world *)context)->said, line);
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

void feed_line(struct world *w, const char *line)
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
		respond(r, w->refuse_with ? w->refuse_with : 500, "{}");
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

void server_up(struct world *w)
{
	w->http = http_server_new(w->l, handle, w);
	assert_int_equal(loop_listen(w->l, SERVER, on_accept, w, &w->listener, NULL), 0);
}

void server_down(struct world *w)
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
	assert_string_equal(config->pod_cidr, "10.42.1.0/24");
	if (w->port_taken)
		return err_set(e, ERR_UNAVAILABLE, "cannot bind 10.42.1.1:53: address in use");
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

static void images_collect(void *context, const char *const *used, size_t count, int64_t free_bytes)
{
	(void)context;
	(void)used;
	(void)count;
	(void)free_bytes;
}

/* The fake driver with an ear on it: what it is told is in w->said. */
static struct world *listener;
static const struct driver_ops *fake_driver_ops;

static void driver_forget(struct driver *d, const char *uid, driver_done *done, void *arg)
{
	buf_printf(&listener->said, "told=forget uid=%s\n", uid);
	fake_driver_ops->forget(d, uid, done, arg);
}

static void driver_keep_only(struct driver *d, const char *const *uids, size_t count)
{
	buf_append_string(&listener->said, "told=keep_only");
	for (size_t i = 0; i < count; i++)
		buf_printf(&listener->said, " uid=%s", uids[i]);
	buf_append_string(&listener->said, "\n");
	fake_driver_ops->keep_only(d, uids, count);
}

static struct driver_logs_call *driver_logs(struct driver *d, const char *uid,
	const struct driver_logs *spec)
{
	buf_printf(&listener->said, "told=logs uid=%s container=%s\n", uid,
		spec->container ? spec->container : "");
	return fake_driver_ops->logs(d, uid, spec);
}

static void driver_probe(struct driver *d, void (*done)(void *arg, const struct driver_probe *p),
	void *arg)
{
	const struct driver_probe away = {.name = "fake", .detail = "nothing answers"};
	if (listener->engine_away)
		done(arg, &away);
	else
		fake_driver_ops->probe(d, done, arg);
}

static int make_driver(void *context, const struct driver_config *config,
	struct driver **ret_driver, struct err *e)
{
	static const struct driver_fake_config fake = {
		.seed = 1, .start_ms_min = 5, .start_ms_max = 20, .stop_ms_max = 30};
	static struct driver_ops ops;
	(void)e;
	*ret_driver = driver_fake_new(config, &fake);
	listener = context;
	fake_driver_ops = (*ret_driver)->ops;
	ops = *fake_driver_ops;
	ops.probe = driver_probe;
	ops.forget = driver_forget;
	ops.keep_only = driver_keep_only;
	ops.logs = driver_logs;
	(*ret_driver)->ops = &ops;
	return 0;
}

static void on_fatal(void *context, const struct err *e)
{
	((struct world *)context)->fatal = *e;
}

int agent_try(struct world *w, struct err *e)
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
		.adopts = w->adopts,
		.driver_new = make_driver,
		.driver_context = w,
		.on_fatal = on_fatal,
		.fatal_context = w};
	return agent_new(&config, &w->agent, e);
}

void agent_up(struct world *w)
{
	struct err e = ERR_INIT;
	if (agent_try(w, &e) < 0)
		fail_msg("%s", e.text);
}

void agent_down(struct world *w)
{
	agent_free(take_ptr(w->agent));
}

struct world *world_new(void)
{
	struct world *w = mem_new(struct world);
	w->l = test_loop_new();
	w->log = (struct log){.level = LOG_DEBUG,
		.role = "agent",
		.wall_ms = log_wall,
		.write = log_line_kept,
		.context = w};
	strcpy(w->folder, "/tmp/continuo-agent-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	w->proves_identity = true;
	w->node_name = "n1";
	server_up(w);
	return w;
}

void world_free(struct world *w)
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
	buf_done(&w->said);
	pki_pair_done(&w->ca);
	snprintf(command, sizeof(command), "rm -rf %s", w->folder);
	assert_int_equal(system(command), 0);
	free(w);
}

/* ---- what is awaited ---- */

bool is_connected(void *arg)
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

void await_report(struct world *w, const char *text)
{
	awaited = text;
	if (!test_loop_until(w->l, is_reported, w, LIMIT_MS))
		fail_msg("no report with %s in: %s", text, buf_text(&w->reports));
}

void await_connection(struct world *w)
{
	assert_true(test_loop_until(w->l, is_connected, w, LIMIT_MS));
}

void expect_said(struct world *w, const char *words)
{
	if (!strstr(buf_text(&w->said), words))
		fail_msg("the log does not say \"%s\"", words);
}

/* The machine loses its power while there is no server, and starts again. */
void reboot_on_an_island(struct world *w)
{
	test_loop_run(w->l, 2000);
	agent_down(w);
	server_down(w);
	w->attached = w->opens = 0;
	buf_clear(&w->reports);
	buf_clear(&w->said);
	agent_up(w);
	test_loop_run(w->l, 3000);
}
