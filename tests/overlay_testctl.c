/*
 * One overlay, driven by lines on standard input, for tests/scenario/overlay.sh. Each command
 * answers with one line, "ok ..." or "error ...":
 *
 *   attach UID NETNS        detach UID        keep UID...        hostport UID PROTOCOL HOST POD
 *   peer NODE ADDRESS CIDR (collects)         peers (sets what was collected)
 *   service NS NAME IP AFFINITY PUBLISH EXTERNAL, port NAME PROTOCOL PORT NODE_PORT,
 *   endpoint IP PORT HOSTNAME NODE READY (collect, "-" is empty)      services (sets them)
 *   metrics                 wait (until all is written)              close keep|all
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/vec.h"
#include "overlay/overlay.h"
#include "sys/loop_uv.h"

#define WORDS_MAX 16
#define PORTS_MAX 8
#define ENDPOINTS_MAX 2000

struct control {
	struct loop *loop;
	struct loop_poll *input;
	struct overlay *overlay;
	struct arena arena;
	struct buf line;
	VEC(struct overlay_peer) peers;
	VEC(struct overlay_service) services;
};

static int64_t wall(void *context)
{
	(void)context;
	return 0;
}

static void write_log(void *context, const char *line)
{
	(void)context;
	fputs(line, stderr);
}

static const char *word(struct control *c, const char *text)
{
	return arena_dup(&c->arena, str_equal(text, "-") ? "" : text);
}

static int answer(int code, const struct err *e, const char *text)
{
	if (code)
		printf("error %s\n", e->text);
	else
		printf("ok %s\n", text);
	fflush(stdout);
	return code;
}

static struct overlay_port *last_port(struct control *c)
{
	struct overlay_service *s = &c->services.items[c->services.count - 1];
	return (struct overlay_port *)&s->ports[s->port_count - 1];
}

static void collect_service(struct control *c, char **w)
{
	*vec_add(&c->services) = (struct overlay_service){
		.namespace = word(c, w[1]),
		.name = word(c, w[2]),
		.cluster_ip = word(c, w[3]),
		.affinity_seconds = atoi(w[4]),
		.publish_not_ready = atoi(w[5]),
		.external_name = word(c, w[6]),
		.ports = arena_new_array(&c->arena, PORTS_MAX, struct overlay_port),
	};
}

static void collect_port(struct control *c, char **w)
{
	struct overlay_service *s = &c->services.items[c->services.count - 1];
	s->port_count++;
	*last_port(c) = (struct overlay_port){
		.name = word(c, w[1]),
		.protocol = word(c, w[2]),
		.port = (uint16_t)atoi(w[3]),
		.node_port = (uint16_t)atoi(w[4]),
		.endpoints = arena_new_array(&c->arena, ENDPOINTS_MAX, struct overlay_endpoint),
	};
}

static void collect_endpoint(struct control *c, char **w)
{
	struct overlay_port *p = last_port(c);
	struct overlay_endpoint *x = (struct overlay_endpoint *)&p->endpoints[p->endpoint_count++];
	*x = (struct overlay_endpoint){
		.ip = word(c, w[1]),
		.port = (uint16_t)atoi(w[2]),
		.hostname = word(c, w[3]),
		.node = word(c, w[4]),
		.ready = atoi(w[5]),
	};
}

/* Commands that change nothing yet. */
static bool collect(struct control *c, char **w)
{
	if (str_equal(w[0], "peer"))
		*vec_add(&c->peers) = (struct overlay_peer){
			.node = word(c, w[1]), .address = word(c, w[2]), .pod_cidr = word(c, w[3])};
	else if (str_equal(w[0], "service"))
		collect_service(c, w);
	else if (str_equal(w[0], "port"))
		collect_port(c, w);
	else if (str_equal(w[0], "endpoint"))
		collect_endpoint(c, w);
	else
		return false;
	return true;
}

static bool is_written(void *arg)
{
	struct control *c = arg;
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	overlay_metrics(c->overlay, &b);
	return strstr(buf_text(&b), "rules_behind 0") != NULL;
}

static void wait_written(void *arg)
{
	struct control *c = arg;
	if (is_written(c))
		answer(0, NULL, "");
	else
		loop_defer(c->loop, wait_written, c);
}

static void act(struct control *c, char **w, size_t count)
{
	struct err e = ERR_INIT;
	char ip[64] = "";
	if (str_equal(w[0], "attach")) {
		int code = overlay_attach(c->overlay, w[1], w[2], ip, &e);
		answer(code, &e, ip);
	} else if (str_equal(w[0], "detach")) {
		answer(overlay_detach(c->overlay, w[1], &e), &e, "");
	} else if (str_equal(w[0], "keep")) {
		answer(overlay_keep_only(c->overlay, (const char *const *)w + 1, count - 1, &e), &e,
			"");
	} else if (str_equal(w[0], "hostport")) {
		struct overlay_host_port p = {.protocol = w[2],
			.host_port = (uint16_t)atoi(w[3]),
			.pod_port = (uint16_t)atoi(w[4])};
		answer(overlay_set_host_ports(c->overlay, w[1], &p, 1, &e), &e, "");
	} else if (str_equal(w[0], "peers")) {
		answer(overlay_set_peers(c->overlay, c->peers.items, c->peers.count, &e), &e, "");
		c->peers.count = 0;
	} else if (str_equal(w[0], "services")) {
		answer(overlay_set_services(c->overlay, c->services.items, c->services.count, &e),
			&e, "");
		c->services.count = 0;
	} else if (str_equal(w[0], "wait")) {
		wait_written(c);
	} else if (str_equal(w[0], "metrics")) {
		struct buf b CLEANUP(buf_done) = BUF_INIT;
		overlay_metrics(c->overlay, &b);
		answer(0, &e, "");
		printf("%s.\n", buf_text(&b));
		fflush(stdout);
	} else if (str_equal(w[0], "close")) {
		overlay_close(c->overlay, str_equal(w[1], "keep"));
		c->overlay = NULL;
		answer(0, &e, "");
		loop_uv_stop(c->loop);
	} else {
		printf("error no such command: %s\n", w[0]);
		fflush(stdout);
	}
}

static void take_line(struct control *c, char *line)
{
	char *words[WORDS_MAX] = {0};
	size_t count = 0;
	for (char *w; count < WORDS_MAX && (w = strsep(&line, " "));)
		if (*w)
			words[count++] = w;
	for (size_t i = count; i < WORDS_MAX; i++)
		words[i] = "0";
	if (count && !collect(c, words))
		act(c, words, count);
}

static void on_input(void *arg)
{
	struct control *c = arg;
	char data[65536];
	ssize_t got = read(0, data, sizeof(data));
	if (got <= 0) {
		loop_uv_stop(c->loop);
		return;
	}
	buf_append(&c->line, data, (size_t)got);
	for (char *end;
		c->overlay && c->line.size && (end = memchr(c->line.data, '\n', c->line.size));) {
		size_t size = (size_t)(end - c->line.data);
		char *line = arena_alloc(&c->arena, size + 1);
		memcpy(line, c->line.data, size);
		buf_consume(&c->line, size + 1);
		take_line(c, line);
	}
}

int main(int argc, char **argv)
{
	if (argc != 8) {
		fprintf(stderr,
			"usage: %s NODE ADDRESS POD_CIDR DOMAIN_CIDR SERVICE_CIDR STATE "
			"RESOLV_CONF\n",
			argv[0]);
		return 2;
	}
	struct control c = {.loop = loop_uv_new(2)};
	struct log log = {.level = LOG_INFO, .role = "agent", .wall_ms = wall, .write = write_log};
	const struct overlay_config config = {.loop = c.loop,
		.log = &log,
		.backend = "direct",
		.node_name = argv[1],
		.node_address = argv[2],
		.pod_cidr = argv[3],
		.domain_cidr = argv[4],
		.service_cidr = argv[5],
		.cluster_domain = "cluster.local",
		.state_folder = argv[6],
		.resolv_conf = argv[7]};
	struct err e;
	int code = overlay_open(&config, &c.overlay, &e);
	if (answer(code, &e, code ? "" : overlay_dns_address(c.overlay)) == 0) {
		c.input = loop_poll_new(c.loop, 0, on_input, &c);
		loop_uv_run(c.loop);
		loop_poll_free(c.input);
		overlay_close(c.overlay, true);
	}
	loop_uv_free(c.loop);
	buf_done(&c.line);
	vec_done(&c.peers);
	vec_done(&c.services);
	arena_done(&c.arena);
	return code ? 1 : 0;
}
