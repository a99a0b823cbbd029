#include "server/server.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/addresses.h"
#include "server/calls.h"
#include "server/commit.h"
#include "server/feed.h"
#include "server/leases.h"
#include "server/nodes.h"
#include "server/progress.h"
#include "server/read.h"
#include "server/revocations.h"
#include "server/router.h"

static void set_limits(struct server *s, const struct server_config *c)
{
	s->node_life_ms = c->node_life_ms ? c->node_life_ms : PKI_NODE_LIFE_MS;
	s->heartbeat_ms = c->heartbeat_ms ? c->heartbeat_ms : 500;
	s->silence_ms = c->silence_ms ? c->silence_ms : 4000;
	s->iot_heartbeat_ms = c->iot_heartbeat_ms ? c->iot_heartbeat_ms : 10000;
	s->iot_silence_ms = c->iot_silence_ms ? c->iot_silence_ms : 30000;
}

static int set_names(struct server *s, const struct server_config *c, struct err *e)
{
	const struct {
		char *to;
		size_t size;
		const char *from, *what;
	} names[] = {
		{s->name, sizeof(s->name), c->name, "the server's name"},
		{s->domain, sizeof(s->domain), c->domain, "the domain's name"},
		{s->cluster_domain, sizeof(s->cluster_domain), c->cluster_domain,
			"the cluster domain"},
		{s->pod_cidr, sizeof(s->pod_cidr), c->pod_cidr, "the pod range"},
		{s->service_cidr, sizeof(s->service_cidr), c->service_cidr, "the service range"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!str_copy(names[i].to, names[i].size, names[i].from))
			return err_set(e, ERR_INVALID, "%s is longer than %zu characters",
				names[i].what, names[i].size - 1);
	return 0;
}

/* ---- what every domain has ---- */

struct bootstrap {
	struct server *server;
	const char *namespace;
};

static enum commit_action change_namespace(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct bootstrap *b = arg;
	(void)e;
	if (old)
		return COMMIT_NOTHING;
	bool system = str_equal(b->namespace, "kube-system");
	*tree = json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:[s]}, s:{s:s}}", "apiVersion", "v1",
		"kind", "Namespace", "metadata", "name", b->namespace, "labels",
		"kubernetes.io/metadata.name", b->namespace, "spec", "finalizers", "kubernetes",
		"status", "phase", "Active");
	if (system)
		json_object_set_new(json_object_get(json_object_get(*tree, "metadata"), "labels"),
			"pod-security.kubernetes.io/enforce", json_string("privileged"));
	commit_stamp(b->server, &kind_namespace, *tree);
	return COMMIT_PUT;
}

static void on_namespace(void *arg, const struct err *e)
{
	struct bootstrap *b = arg;
	struct server *s = b->server;
	if (e)
		log_err(s->log, LOG_ERROR, "bootstrap_failed", e, "namespace=%s", b->namespace);
	else if (str_equal(b->namespace, "kube-system"))
		s->bootstrapped = true;
	free(b);
}

static void bootstrap(struct server *s)
{
	static const char *const namespaces[] = {"default", "kube-system"};
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		struct bootstrap *b = mem_new(struct bootstrap);
		*b = (struct bootstrap){s, namespaces[i]};
		commit_object(s, &kind_namespace, "", namespaces[i], change_namespace, on_namespace,
			b);
	}
}

/* ---- liveness, as the reconcilers see it ---- */

#define BLIND_MS 30000
#define HANDSHAKES_PER_S 200 /* of TLS, with the certificates of both sides, on a small machine */
#define EVICT_CONFIRM_MS                                                                           \
	250             /* and a heartbeat: nodes that share a fate are not lost at one instant */
#define RETURN_MS 10000 /* nor do they come back at one */

static struct control_node_state node_state(void *context, const char *node)
{
	const struct server *s = context;
	char key[OBJECT_KEY_MAX];
	struct control_node_state state = {.connected = feed_connected(s->feed, node),
		.back_lately = feed_back_lately(s->feed, node, RETURN_MS),
		.silent = feed_silent(s->feed, node, s->heartbeat_ms),
		.lost_ms = feed_lost_ms(s->feed, node),
		.evict_ms = s->heartbeat_ms + EVICT_CONFIRM_MS};
	if (state.connected || object_key_of(&kind_node, "", node, key, NULL) < 0)
		return state;
	CLEANUP(object_done) struct object *o = store_get(s->store, key);
	if (o && nodes_heard_rarely(o))
		state.evict_ms = s->iot_heartbeat_ms + EVICT_CONFIRM_MS;
	int64_t now_ms = loop_now_ms(s->loop);
	state.blind_ms = now_ms < s->blind_until_ms ? s->blind_until_ms - now_ms : 0;
	return state;
}

static bool lease_over(void *context, const char *node, const char *pod_uid, bool end)
{
	return leases_over(((struct server *)context)->leases, node, pod_uid, end);
}

/* Whoever begins knows no session: until all that were there could have come again, a node without
 * one says nothing about the node. */
static int64_t blind_for_ms(const struct server *s, int64_t least_ms)
{
	char prefix[OBJECT_KEY_MAX];
	struct store_list nodes;
	object_prefix(&kind_node, "", prefix);
	if (store_list(s->store, prefix, NULL, 0, 0, &nodes, NULL) < 0)
		return least_ms;
	int64_t all_ms = 2 * 1000 * (int64_t)nodes.count / HANDSHAKES_PER_S;
	store_list_done(&nodes);
	return all_ms > least_ms ? all_ms : least_ms;
}

static void on_sweep(void *arg)
{
	nodes_sweep(arg);
}

int server_new(const struct server_config *config, struct server **ret_server, struct err *e)
{
	struct server *s = mem_new(struct server);
	*s = (struct server){.loop = config->loop,
		.log = config->log,
		.store = config->store,
		.kinds = config->kinds,
		.ca = config->ca};
	steady_init(&s->own_clock, s->loop, 0);
	s->clock = config->clock ? config->clock : &s->own_clock;
	s->rejoin_age_ms = config->rejoin_age_ms;
	list_init(&s->calls);
	list_init(&s->progress);
	list_init(&s->watches);
	set_limits(s, config);
	int r = set_names(s, config, e);
	if (r == 0)
		r = addresses_new(s, &s->addresses, e);
	if (r < 0) {
		free(s);
		return r;
	}
	s->http = http_server_new(s->loop, router_handle, s);
	s->revocations = revocations_new(s);
	s->leases = leases_new(s, config->lease_ms, config->lease_wait_ms);
	s->feed = feed_new(s);
	int64_t blind_ms = blind_for_ms(s, config->blind_ms ? config->blind_ms : BLIND_MS);
	s->blind_until_ms = loop_now_ms(s->loop) + blind_ms;
	struct control_config control = {.loop = s->loop,
		.log = s->log,
		.store = s->store,
		.kinds = s->kinds,
		.seed = config->seed,
		.node_state = node_state,
		.lease_over = lease_over,
		.context = s};
	s->control = control_new(&control);
	s->sweep = loop_timer_new(s->loop, on_sweep, s);
	loop_timer_start(s->sweep, blind_ms);
	bootstrap(s);
	*ret_server = s;
	return 0;
}

struct http_server *server_http(struct server *s)
{
	return s->http;
}

bool server_ready(const struct server *s)
{
	return s->bootstrapped;
}

size_t server_ending_leases(const struct server *s)
{
	return leases_ending(s->leases);
}

bool server_has_calls(const struct server *s)
{
	return !list_empty(&s->calls);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	loop_timer_free(s->sweep);
	read_watches_drop(s);
	progress_drop(s);
	calls_drop(s);
	http_server_free(s->http);
	control_free(s->control);
	feed_free(s->feed);
	leases_free(s->leases);
	revocations_free(s->revocations);
	addresses_free(s->addresses);
	free(s);
}
