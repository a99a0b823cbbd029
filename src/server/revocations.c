#include "server/revocations.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/commit.h"
#include "server/feed.h"

#define REVOCATIONS_NAMESPACE "kube-system"
#define REVOCATIONS_NAME "continuo-revoked-nodes"

struct revocations {
	struct server *server;
	struct map nodes; /* name -> int64_t *wall_ms */
	struct store_watch *watch;
};

static void read_object(struct revocations *r, const struct object *o)
{
	CLEANUP(json_done) json_t *tree = object_tree(o);
	const char *node;
	json_t *at;
	json_object_foreach (json_at(tree, "data"), node, at) {
		int64_t *ms = map_get(&r->nodes, node);
		if (!ms)
			map_put(&r->nodes, node, ms = mem_new(int64_t));
		if (str_to_int64(json_text_or(at, ""), "a revocation", ms, NULL) < 0)
			*ms = INT64_MAX; /* what cannot be read is refused */
	}
}

static void on_events(void *arg, const struct store_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (events[i].type == STORE_PUT)
			read_object(arg, events[i].object);
}

static void on_ended(void *arg, const struct err *why)
{
	struct revocations *r = arg;
	log_err(r->server->log, LOG_ERROR, "watch_ended", why, "part=revocations");
	abort();
}

struct revocations *revocations_new(struct server *s)
{
	static const struct store_watch_events events = {
		.on_events = on_events, .on_ended = on_ended};
	struct revocations *r = mem_new(struct revocations);
	r->server = s;
	map_init(&r->nodes, free);
	char key[OBJECT_KEY_MAX];
	struct err e = ERR_INIT;
	if (object_key_of(&kind_configmap, REVOCATIONS_NAMESPACE, REVOCATIONS_NAME, key, &e) < 0)
		abort();
	CLEANUP(object_done) struct object *o = store_get(s->store, key);
	if (o)
		read_object(r, o);
	if (store_watch(s->store, key, store_revision(s->store), &events, r, &r->watch, &e) < 0)
		abort();
	return r;
}

void revocations_free(struct revocations *r)
{
	if (!r)
		return;
	if (r->watch)
		store_watch_free(r->watch);
	map_done(&r->nodes);
	free(r);
}

bool revocations_has(const struct revocations *r, const char *node, int64_t issued_ms)
{
	const int64_t *revoked_ms = map_get(&r->nodes, node);
	return revoked_ms && issued_ms <= *revoked_ms;
}

struct revoke {
	struct revocations *revocations;
	char node[128];
	int64_t wall_ms;
	void (*done)(void *arg, const struct err *e);
	void *arg;
};

static enum commit_action change(void *arg, const struct object *old, json_t **tree, struct err *e)
{
	struct revoke *v = arg;
	(void)e;
	if (!old) {
		*tree = json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind",
			"ConfigMap", "metadata", "name", REVOCATIONS_NAME, "namespace",
			REVOCATIONS_NAMESPACE);
		commit_stamp(v->revocations->server, &kind_configmap, *tree);
	}
	char text[32];
	snprintf(text, sizeof(text), "%lld", (long long)v->wall_ms);
	json_object_set_new(json_ensure_object(*tree, "data"), v->node, json_string(text));
	return COMMIT_PUT;
}

static void on_done(void *arg, const struct err *e)
{
	struct revoke *v = arg;
	struct server *s = v->revocations->server;
	if (!e) {
		int64_t *ms = mem_new(int64_t);
		*ms = v->wall_ms;
		map_put(&v->revocations->nodes, v->node, ms);
		feed_revoke(s->feed, v->node);
		char id[256];
		pki_node_spiffe(s->domain, v->node, id);
		int closed = http_server_drop_peer(s->http, id);
		log_warn(s->log, "node_revoked", "node=%s connections_closed=%d", v->node, closed);
	}
	if (v->done)
		v->done(v->arg, e);
	free(v);
}

void revocations_add(struct revocations *r, const char *node,
	void (*done)(void *arg, const struct err *e), void *arg)
{
	struct revoke *v = mem_new(struct revoke);
	v->revocations = r;
	v->wall_ms = steady_ms(r->server->clock);
	v->done = done;
	v->arg = arg;
	snprintf(v->node, sizeof(v->node), "%.120s", node);
	commit_object(r->server, &kind_configmap, REVOCATIONS_NAMESPACE, REVOCATIONS_NAME, change,
		on_done, v);
}
