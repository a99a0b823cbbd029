#include "agent/network.h"

#include <stdlib.h>
#include <string.h>

#include "agent/services.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#define GATHER_MS 5
#define RETRY_MS 2000

static void gather(struct agent_network *n, int64_t delay_ms)
{
	if (!loop_timer_active(n->timer))
		loop_timer_start(n->timer, delay_ms);
}

static void retry(struct agent_network *n, const char *event, const struct err *e)
{
	if (n->failures++ % 30 == 0)
		log_err(n->config.log, LOG_ERROR, event, e, "retry_ms=%d", RETRY_MS);
	gather(n, RETRY_MS);
}

/* ---- opening ---- */

static int open_with(struct agent_network *n, const json_t *session, struct err *e)
{
	CLEANUP(mem_free_ptr) char *folder = mem_format("%s/network", n->config.state_folder);
	struct overlay_config config = {
		.loop = n->config.loop,
		.log = n->config.log,
		.backend = n->config.backend,
		.node_name = n->config.node_name,
		.node_address = n->config.node_address,
		.pod_cidr = json_text(session, "", "pod_cidr"),
		.domain_cidr = json_text(session, "", "domain_cidr"),
		.service_cidr = json_text(session, "", "service_cidr"),
		.cluster_domain = json_text(session, "cluster.local", "cluster_domain"),
		.state_folder = folder,
		.resolv_conf = n->config.resolv_conf,
	};
	if (!*config.pod_cidr)
		return err_set(e, ERR_UNAVAILABLE, "the server gave this node no pod addresses");
	return n->config.net->ops->open(n->config.net->context, &config, e);
}

static void try_open(struct agent_network *n)
{
	CLEANUP(json_done) json_t *session = NULL;
	const char *text = agent_slice_session(n->config.slice);
	struct err e = ERR_INIT;
	if (!*text || json_decode(text, strlen(text), &session, &e) < 0)
		return;
	if (n->open && str_equal(n->opened_with, text))
		return;
	if (n->open) {
		log_warn(n->config.log, "network_changed", "action=open_anew");
		n->config.net->ops->close(n->config.net->context);
		n->open = false;
	}
	if (open_with(n, session, &e) < 0) {
		retry(n, "network_not_open", &e);
		n->config.on_problem(n->config.arg, &e);
		return;
	}
	n->failures = 0;
	n->open = n->peers_dirty = n->services_dirty = true;
	free(n->opened_with);
	n->opened_with = mem_dup_string(text);
	log_info(n->config.log, "network_open", "pod_cidr=%s", json_text(session, "", "pod_cidr"));
	n->config.on_open(n->config.arg, json_text(session, "cluster.local", "cluster_domain"),
		n->config.net->ops->dns_address(n->config.net->context));
}

/* ---- keeping in step ---- */

static void set_peers(struct agent_network *n)
{
	struct arena a CLEANUP(arena_done) = {0};
	CLEANUP(json_done) json_t *json = NULL;
	const char *text = agent_slice_peers(n->config.slice);
	struct err e = ERR_INIT;
	size_t count = 0;
	if (*text && json_decode(text, strlen(text), &json, &e) < 0)
		return;
	struct overlay_peer *peers = agent_peers_make(json, n->config.node_name, &a, &count);
	n->peers_dirty = false;
	if (n->config.net->ops->set_peers(n->config.net->context, peers, count, &e) < 0) {
		n->peers_dirty = true;
		retry(n, "peers_not_set", &e);
	}
}

static void set_services(struct agent_network *n)
{
	struct arena a CLEANUP(arena_done) = {0};
	struct err e = ERR_INIT;
	size_t count;
	struct overlay_service *services = agent_services_make(n->config.slice, &a, &count);
	n->services_dirty = false;
	if (n->config.net->ops->set_services(n->config.net->context, services, count, &e) < 0) {
		n->services_dirty = true;
		retry(n, "services_not_set", &e);
	}
}

static void on_timer(void *arg)
{
	struct agent_network *n = arg;
	try_open(n);
	if (n->open && n->peers_dirty)
		set_peers(n);
	if (n->open && n->services_dirty)
		set_services(n);
}

void agent_network_session(struct agent_network *n)
{
	loop_timer_start(n->timer, 0);
}

void agent_network_open(struct agent_network *n)
{
	on_timer(n);
}

void agent_network_services_changed(struct agent_network *n)
{
	n->services_dirty = true;
	gather(n, GATHER_MS);
}

void agent_network_peers_changed(struct agent_network *n)
{
	n->peers_dirty = true;
	gather(n, GATHER_MS);
}

void agent_network_init(struct agent_network *n, const struct agent_network_config *config)
{
	*n = (struct agent_network){.config = *config};
	n->timer = loop_timer_new(config->loop, on_timer, n);
}

void agent_network_done(struct agent_network *n)
{
	loop_timer_free(n->timer);
	free(n->opened_with);
	*n = (struct agent_network){0};
}

/* ---- for drivers ---- */

struct answer {
	void (*attached)(void *arg, const char *ip, const struct err *e);
	void (*detached)(void *arg, const struct err *e);
	void *arg;
	char ip[64];
	int result; /* e counts only with this: who succeeds in a roundabout way may leave text in
		       it */
	struct err e;
};

static void give_answer(void *arg)
{
	struct answer *x = arg;
	const struct err *e = x->result < 0 ? &x->e : NULL;
	if (x->attached)
		x->attached(x->arg, e ? "" : x->ip, e);
	else if (x->detached)
		x->detached(x->arg, e);
	free(x);
}

typedef VEC(struct overlay_host_port) host_port_list;

/* [{"hostPort":8080,"containerPort":80,"protocol":"TCP"},...] */
static void read_host_ports(const json_t *json, host_port_list *ret_list)
{
	size_t i;
	json_t *port;
	json_array_foreach (json, i, port) {
		int64_t host = json_int(port, 0, "hostPort"),
			pod = json_int(port, 0, "containerPort");
		const char *protocol = json_text(port, "TCP", "protocol");
		if (host > 0 && host <= 65535 && pod > 0 && pod <= 65535)
			vec_push(ret_list, (struct overlay_host_port){
						   protocol, (uint16_t)host, (uint16_t)pod});
	}
}

void agent_network_attach(struct agent_network *n, const char *pod_uid, const char *netns_path,
	const char *host_ports_json, void (*done)(void *arg, const char *ip, const struct err *e),
	void *arg)
{
	struct answer *x = mem_new(struct answer);
	CLEANUP(json_done) json_t *json = NULL;
	host_port_list ports = {0};
	x->attached = done;
	x->arg = arg;
	if (!n->open)
		x->result = err_set(&x->e, ERR_UNAVAILABLE, "the pod network is not open yet");
	else if (!str_empty(host_ports_json))
		x->result = json_decode(host_ports_json, strlen(host_ports_json), &json, &x->e);
	if (x->result == 0) {
		read_host_ports(json, &ports);
		x->result = n->config.net->ops->attach(n->config.net->context, pod_uid, netns_path,
			ports.items, ports.count, x->ip, &x->e);
	}
	vec_done(&ports);
	loop_defer(n->config.loop, give_answer, x);
}

void agent_network_detach(struct agent_network *n, const char *pod_uid,
	void (*done)(void *arg, const struct err *e), void *arg)
{
	struct answer *x = mem_new(struct answer);
	x->detached = done;
	x->arg = arg;
	if (n->open)
		x->result = n->config.net->ops->detach(n->config.net->context, pod_uid, &x->e);
	loop_defer(n->config.loop, give_answer, x);
}
