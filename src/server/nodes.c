#include "server/nodes.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "server/addresses.h"
#include "server/feed.h"

struct node_write {
	struct server *server;
	char name[128];
	char why[128];
	json_t *tree; /* what the agent sent */
	char claimed_cidr[64];
	commit_done *done;
	void *arg;
};

static struct node_write *write_new(struct server *s, const char *name, const json_t *tree,
	commit_done *done, void *arg)
{
	struct node_write *w = mem_new(struct node_write);
	*w = (struct node_write){.server = s, .done = done, .arg = arg};
	snprintf(w->name, sizeof(w->name), "%.120s", name);
	w->tree = tree ? json_deep_copy(tree) : NULL;
	return w;
}

static void on_written(void *arg, const struct err *e)
{
	struct node_write *w = arg;
	if (e) {
		log_err(w->server->log, LOG_WARN, "node_write_failed", e, "node=%s", w->name);
		if (w->claimed_cidr[0])
			addresses_release(w->server->addresses, w->claimed_cidr);
	}
	if (w->done)
		w->done(w->arg, e);
	json_decref(w->tree);
	free(w);
}

/* ---- conditions ---- */

static void set_condition(struct server *s, json_t *status, const char *type, const char *value,
	const char *reason, const char *message)
{
	char now[TIME_TEXT_SIZE];
	time_format(loop_wall_ms(s->loop), now);
	json_t *conditions = json_object_get(status, "conditions");
	if (!conditions)
		json_object_set_new(status, "conditions", conditions = json_array());
	json_t *found = NULL, *c;
	size_t i;
	json_array_foreach (conditions, i, c) {
		if (str_equal(json_text(c, "", "type"), type))
			found = c;
	}
	if (!found) {
		found = json_pack("{s:s}", "type", type);
		json_array_append_new(conditions, found);
	}
	if (!str_equal(json_text(found, "", "status"), value)) {
		json_object_set_new(found, "lastTransitionTime", json_string(now));
		json_object_set_new(found, "lastHeartbeatTime", json_string(now));
	}
	json_object_set_new(found, "status", json_string(value));
	json_object_set_new(found, "reason", json_string(reason));
	json_object_set_new(found, "message", json_string(message));
}

static void set_ready(struct server *s, json_t *status, const char *value, const char *reason,
	const char *message)
{
	set_condition(s, status, "Ready", value, reason, message);
}

/* Of the conditions that an agent sends: the one that it alone can know. */
static void merge_conditions(struct server *s, json_t *status, const json_t *sent)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_object_get(sent, "conditions"), i, c) {
		if (str_equal(json_text(c, "", "type"), "DiskPressure"))
			set_condition(s, status, "DiskPressure",
				str_equal(json_text(c, "", "status"), "True") ? "True" : "False",
				json_text(c, "", "reason"), json_text(c, "", "message"));
	}
}

/* The agent's status over the old one; most conditions are the server's. */
static void merge_status(struct server *s, json_t *tree, const json_t *status)
{
	json_t *mine = json_ensure_object(tree, "status");
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)status, key, value) {
		if (strcmp(key, "conditions") != 0)
			json_object_set(mine, key, value);
	}
	merge_conditions(s, mine, status);
}

/* ---- how often a node is heard ---- */

bool nodes_labels_heard_rarely(const json_t *labels)
{
	return str_equal(json_text(labels, "", "continuo.dev/tier"), "iot") ||
	       str_equal(json_text(labels, "", "continuo.dev/metered"), "true");
}

bool nodes_heard_rarely(const struct object *node)
{
	return str_equal(object_label(node, "continuo.dev/tier"), "iot") ||
	       str_equal(object_label(node, "continuo.dev/metered"), "true");
}

/* ---- registration ---- */

/* What a machine must not say of itself. */
static bool is_domain_label(const char *key)
{
	return strcmp(key, "continuo.dev/trust") == 0 ||
	       str_starts(key, "node-restriction.kubernetes.io/") ||
	       str_starts(key, "node-role.kubernetes.io/");
}

static void merge_metadata(json_t *tree, const json_t *sent)
{
	static const char *const maps[] = {"labels", "annotations"};
	json_t *metadata = json_ensure_object(tree, "metadata");
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		const char *key;
		json_t *value;
		json_object_foreach (json_at(sent, "metadata", maps[i]), key, value) {
			if (!is_domain_label(key))
				json_object_set(json_ensure_object(metadata, maps[i]), key, value);
		}
	}
}

static int ensure_cidr(struct node_write *w, json_t *tree, struct err *e)
{
	json_t *spec = json_ensure_object(tree, "spec");
	if (json_object_get(spec, "podCIDR"))
		return 0;
	if (!w->claimed_cidr[0]) {
		int r = addresses_claim_node(w->server->addresses, w->claimed_cidr, e);
		if (r < 0)
			return r;
	}
	json_object_set_new(spec, "podCIDR", json_string(w->claimed_cidr));
	json_object_set_new(spec, "podCIDRs", json_pack("[s]", w->claimed_cidr));
	return 0;
}

static enum commit_action change_register(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct node_write *w = arg;
	CLEANUP(json_done) json_t *before = old ? json_deep_copy(*tree) : NULL;
	if (!old) {
		*tree = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Node",
			"metadata", "name", w->name);
		commit_stamp(w->server, &kind_node, *tree);
	}
	merge_metadata(*tree, w->tree);
	merge_status(w->server, *tree, json_object_get(w->tree, "status"));
	set_ready(w->server, json_ensure_object(*tree, "status"), "True", "AgentReady",
		"the agent's session is open");
	if (ensure_cidr(w, *tree, e) < 0)
		return COMMIT_FAIL;
	/* What an agent sends is outside input as any other. */
	struct findings f = {0};
	int r = model_prune(&kind_node, *tree, false, &f, e);
	if (r == 0) {
		model_validate(&kind_node, *tree, NULL, &f);
		r = findings_check(&f, &kind_node, w->name, e);
	}
	findings_done(&f);
	if (r < 0)
		return COMMIT_FAIL;
	/* A thousand nodes that come back to a new server write nothing. */
	return before && json_equal(before, *tree) ? COMMIT_NOTHING : COMMIT_PUT;
}

void nodes_register(struct server *s, const char *name, const json_t *node, commit_done *done,
	void *arg)
{
	commit_object(s, &kind_node, "", name, change_register, on_written,
		write_new(s, name, node, done, arg));
}

/* ---- changes ---- */

static enum commit_action change_lost(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct node_write *w = arg;
	(void)e;
	if (!old || !old->ready || feed_connected(w->server->feed, w->name))
		return COMMIT_NOTHING;
	set_ready(w->server, json_ensure_object(*tree, "status"), "Unknown", "NodeStatusUnknown",
		w->why);
	return COMMIT_PUT;
}

void nodes_lost(struct server *s, const char *name, const char *why)
{
	struct node_write *w = write_new(s, name, NULL, NULL, NULL);
	snprintf(w->why, sizeof(w->why), "the agent stopped reporting: %.90s", why);
	commit_object(s, &kind_node, "", name, change_lost, on_written, w);
}

static enum commit_action change_status(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct node_write *w = arg;
	if (!old)
		return COMMIT_NOTHING;
	merge_status(w->server, *tree, w->tree);
	struct findings f = {0};
	int r = model_prune(&kind_node, *tree, false, &f, e);
	findings_done(&f);
	return r < 0 ? COMMIT_FAIL : COMMIT_PUT;
}

void nodes_status(struct server *s, const char *name, const json_t *status, commit_done *done,
	void *arg)
{
	commit_object(s, &kind_node, "", name, change_status, on_written,
		write_new(s, name, status, done, arg));
}

/* ---- after a start ---- */

void nodes_sweep(struct server *s)
{
	char prefix[OBJECT_KEY_MAX];
	object_prefix(&kind_node, "", prefix);
	struct store_list list;
	if (store_list(s->store, prefix, NULL, 0, 0, &list, NULL) < 0)
		return;
	for (size_t i = 0; i < list.count; i++)
		if (list.objects[i]->ready && !feed_connected(s->feed, list.objects[i]->name))
			nodes_lost(s, list.objects[i]->name,
				"it did not come back after the server's start");
	store_list_done(&list);
}
