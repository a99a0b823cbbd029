/* What comes down the feed (wire/wire.h), one handler for each type of message. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent_private.h"
#include "agent/node.h"
#include "base/mem.h"
#include "base/str.h"

#define CLOCK_WRONG_MS 60000 /* the machine's; worth a line in the log */

void agent_feed_write_hello(void *arg, struct buf *b)
{
	struct agent *a = arg;
	CLEANUP(json_done)
	json_t *node = agent_node_make(&a->config, agent_node_name(a), a->probed ? &a->probe : NULL,
		a->devices);
	buf_append_string(b, "{\"type\":\"hello\",\"epoch\":");
	json_write_string(b, agent_slice_epoch(a->slice));
	buf_printf(b, ",\"revision\":%lld", (long long)a->revision);
	buf_append_string(b, ",\"version\":\"" CONTINUO_VERSION "\",\"node\":");
	json_encode(node, b);
	buf_append_string(b, ",\"held\":");
	agent_slice_write_held(a->slice, b);
	buf_append_string(b, "}\n");
}

/* What of a session message is worth keeping over a reboot: the addresses. */
static char *addresses_of(const json_t *message)
{
	static const char *const names[] = {
		"pod_cidr", "domain_cidr", "service_cidr", "cluster_domain"};
	CLEANUP(json_done) json_t *kept = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		json_object_set_new(kept, names[i], json_string(json_text(message, "", names[i])));
	return json_encode_string(kept);
}

/* The server's time is the only one that certificates are judged by. */
static int take_time(struct agent *a, const json_t *message, struct err *e)
{
	int64_t server_ms = json_int(message, 0, "now_ms");
	if (server_ms <= 0)
		return 0; /* of an older server */
	int r = agent_session_check_time(a->session, server_ms, e);
	if (r < 0)
		return r;
	int64_t wrong_ms = server_ms - loop_wall_ms(a->config.loop);
	if (!a->clock->known && (wrong_ms > CLOCK_WRONG_MS || wrong_ms < -CLOCK_WRONG_MS))
		log_warn(a->config.log, "clock_wrong", "seconds=%lld action=%s",
			(long long)(wrong_ms / 1000), "the_server_s_time_is_used");
	agent_clock_set(a->clock, server_ms);
	return 0;
}

static int on_session(struct agent *a, json_t *message, struct err *e)
{
	CLEANUP(mem_free_ptr) char *addresses = addresses_of(message);
	const char *epoch = json_text(message, "", "epoch");
	int r = take_time(a, message, e);
	if (r < 0)
		return r;
	/* Another store may not know what we said; one that held us for lost marked our pods. */
	bool other = !str_equal(epoch, agent_slice_epoch(a->slice));
	if (other || json_bool(message, false, "report_all"))
		agent_pods_report_all(a->pods);
	if (other)
		agent_fences_other_epoch(a->fences);
	agent_fences_wait(a->fences, json_int(message, 0, "begin_wait_ms"));
	if (other)
		a->revision = 0;
	agent_slice_set_epoch(a->slice, epoch);
	agent_slice_set_session(a->slice, addresses);
	agent_spool_session(a->spool, true, a->node_key);
	agent_network_session(&a->network);
	agent_renewal_check(a->renewal);
	return 0;
}

static void object_changed(struct agent *a, const struct kind *kind, const char *namespace,
	const char *name)
{
	if (kind == &kind_service || kind == &kind_endpointslice)
		agent_network_services_changed(&a->network);
	agent_pods_object_changed(a->pods, kind, namespace, name);
}

static int on_put(struct agent *a, json_t *message, struct err *e)
{
	char key[OBJECT_KEY_MAX];
	struct err why = ERR_INIT;
	(void)e;
	if (agent_slice_put(a->slice, json_object_get(message, "object"), key, &why) < 0) {
		/* One object that we cannot take must not stop the others. */
		log_err(a->config.log, LOG_ERROR, "object_not_taken", &why, "kind=%.60s",
			json_text(message, "-", "object", "kind"));
		return 0;
	}
	const struct object *o = agent_slice_get(a->slice, key);
	object_changed(a, o->kind, o->namespace, o->name);
	return 0;
}

static int on_delete(struct agent *a, json_t *message, struct err *e)
{
	const char *key = json_text(message, "", "key");
	const struct object *held = agent_slice_get(a->slice, key);
	(void)e;
	if (!held)
		return 0;
	CLEANUP(object_done) struct object *o = object_ref(held);
	agent_slice_delete(a->slice, key, json_text(message, "", "uid"));
	object_changed(a, o->kind, o->namespace, o->name);
	return 0;
}

static int on_peers(struct agent *a, json_t *message, struct err *e)
{
	CLEANUP(mem_free_ptr) char *text = json_encode_string(json_object_get(message, "peers"));
	(void)e;
	if (!text || str_equal(text, agent_slice_peers(a->slice)))
		return 0;
	agent_slice_set_peers(a->slice, text);
	agent_network_peers_changed(&a->network);
	return 0;
}

/* Takes the name out of a list of peers. */
static void remove_peer(json_t *peers, const char *name)
{
	for (size_t i = json_array_size(peers); i-- > 0;)
		if (str_equal(json_text_or(json_array_get(json_array_get(peers, i), 0), ""), name))
			json_array_remove(peers, i);
}

static int on_peer_news(struct agent *a, json_t *message, struct err *e)
{
	const char *known = agent_slice_peers(a->slice);
	CLEANUP(json_done) json_t *peers = NULL;
	size_t i;
	json_t *item;
	(void)e;
	if (!*known || json_decode(known, strlen(known), &peers, NULL) < 0)
		peers = json_array();
	json_array_foreach (json_object_get(message, "gone"), i, item)
		remove_peer(peers, json_text_or(item, ""));
	json_array_foreach (json_object_get(message, "peers"), i, item) {
		remove_peer(peers, json_text_or(json_array_get(item, 0), ""));
		json_array_append(peers, item);
	}
	CLEANUP(mem_free_ptr) char *text = json_encode_string(peers);
	agent_slice_set_peers(a->slice, text);
	agent_network_peers_changed(&a->network);
	return 0;
}

static int on_bookmark(struct agent *a, json_t *message, struct err *e)
{
	(void)e;
	a->revision = json_int(message, 0, "revision");
	if (!a->ready)
		log_info(a->config.log, "slice_complete", "objects=%zu",
			agent_slice_count(a->slice));
	if (!a->ready)
		agent_tidy_later(a);
	a->ready = true;
	agent_pods_slice_complete(a->pods);
	return 0;
}

static int on_call(struct agent *a, json_t *message, struct err *e)
{
	(void)e;
	agent_calls_begin(&a->calls, agent_session_client(a->session), message);
	return 0;
}

static int on_cancel(struct agent *a, json_t *message, struct err *e)
{
	(void)e;
	agent_calls_cancel(&a->calls, json_int(message, 0, "id"));
	return 0;
}

static int on_ping(struct agent *a, json_t *message, struct err *e)
{
	(void)e;
	agent_session_pong(a->session, json_int(message, 0, "id"));
	return 0;
}

static int on_lease(struct agent *a, json_t *message, struct err *e)
{
	(void)e;
	agent_fences_granted(a->fences, json_int(message, 0, "beat"), json_int(message, 0, "ms"));
	return 0;
}

int agent_feed_message(void *arg, const char *type, json_t *message, struct err *e)
{
	static const struct {
		const char *type;
		int (*handle)(struct agent *a, json_t *message, struct err *e);
	} handlers[] = {
		{"session", on_session},
		{"put", on_put},
		{"delete", on_delete},
		{"peers", on_peers},
		{"peer_news", on_peer_news},
		{"bookmark", on_bookmark},
		{"call", on_call},
		{"cancel", on_cancel},
		{"ping", on_ping},
		{"lease", on_lease},
	};
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		if (str_equal(type, handlers[i].type))
			return handlers[i].handle(arg, message, e);
	return 0; /* of a newer server */
}
