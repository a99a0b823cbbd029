#include "server/nodes.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "server/addresses.h"
#include "server/feed.h"

#define SWEEP_RETRY_MS 2000

struct node_write {
	struct server *server;
	char name[128];
	char why[128];
	json_t *tree; /* what the agent sent */
	bool lost;    /* that is perhaps being written */
	int64_t issued_ms;
	char claimed_cidr[64];
	char old_machine[64]; /* whose name it was until now; "": the same machine's */
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

/* ---- events ---- */

#define EVENT_NAME_SIZE 180

struct node_event {
	struct server *server;
	char node[128], reason[40], text[256];
};

/* "node-a.clonerefused": one Event of a kind for each node, which counts. */
static void event_name(const struct node_event *v, char ret_name[static EVENT_NAME_SIZE])
{
	snprintf(ret_name, EVENT_NAME_SIZE, "%s.%s", v->node, v->reason);
	for (char *c = ret_name; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
}

static json_t *event_new(const struct node_event *v, const char *name, const char *now)
{
	return json_pack(
		"{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s}, s:s, s:s, s:s, s:{s:s}, s:s}",
		"apiVersion", "v1", "kind", "Event", "metadata", "name", name, "namespace",
		"default", "involvedObject", "apiVersion", "v1", "kind", "Node", "name", v->node,
		"uid", v->node, "type", "Warning", "reason", v->reason, "message", v->text,
		"source", "component", "continuo-server", "firstTimestamp", now);
}

static enum commit_action change_event(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	const struct node_event *v = arg;
	char now[TIME_TEXT_SIZE], name[EVENT_NAME_SIZE];
	(void)e;
	time_format(loop_wall_ms(v->server->loop), now);
	event_name(v, name);
	if (!old) {
		*tree = event_new(v, name, now);
		commit_stamp(v->server, &kind_event, *tree);
	}
	json_object_set_new(*tree, "count", json_integer(json_int(*tree, 0, "count") + 1));
	json_object_set_new(*tree, "lastTimestamp", json_string(now));
	json_object_set_new(*tree, "message", json_string(v->text));
	return COMMIT_PUT;
}

static void on_event_written(void *arg, const struct err *e)
{
	struct node_event *v = arg;
	if (e)
		log_err(v->server->log, LOG_WARN, "event_not_written", e, "node=%s reason=%s",
			v->node, v->reason);
	free(v);
}

void nodes_warn(struct server *s, const char *node, const char *reason, const char *text)
{
	struct node_event *v = mem_new(struct node_event);
	char name[EVENT_NAME_SIZE];
	v->server = s;
	snprintf(v->node, sizeof(v->node), "%.120s", node);
	snprintf(v->reason, sizeof(v->reason), "%s", reason);
	snprintf(v->text, sizeof(v->text), "%s", text);
	event_name(v, name);
	commit_object(s, &kind_event, "default", name, change_event, on_event_written, v);
}

static void warn_of_machine(const struct node_write *w)
{
	char text[200];
	log_warn(w->server->log, "node_machine_changed", "node=%s old=%s new=%s", w->name,
		w->old_machine, json_text(w->tree, "", "status", "nodeInfo", "machineID"));
	snprintf(text, sizeof(text),
		"the machine behind this name is another one (machine id %.36s, was %.36s)",
		json_text(w->tree, "", "status", "nodeInfo", "machineID"), w->old_machine);
	nodes_warn(w->server, w->name, "MachineChanged", text);
}

static void on_written(void *arg, const struct err *e)
{
	struct node_write *w = arg;
	if (!e && w->old_machine[0])
		warn_of_machine(w);
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

/* Of the conditions that an agent sends: those that it alone can know. */
static void merge_conditions(struct server *s, json_t *status, const json_t *sent)
{
	static const char *const known[] = {"DiskPressure", "NetworkUnavailable"};
	size_t i;
	json_t *c;
	json_array_foreach (json_object_get(sent, "conditions"), i, c)
		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			if (str_equal(json_text(c, "", "type"), known[k]))
				set_condition(s, status, known[k],
					str_equal(json_text(c, "", "status"), "True") ? "True"
										      : "False",
					json_text(c, "", "reason"), json_text(c, "", "message"));
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
	return strcmp(key, "continuo.dev/trust") == 0 || strcmp(key, NODES_SINCE) == 0 ||
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

static void note_machine(struct node_write *w, const json_t *before)
{
	const char *was = json_text(before, "", "status", "nodeInfo", "machineID");
	const char *is = json_text(w->tree, "", "status", "nodeInfo", "machineID");
	bool changed = *was && *is && !str_equal(was, is);
	snprintf(w->old_machine, sizeof(w->old_machine), "%.60s", changed ? was : "");
}

/* What cannot be read lets nobody in. */
static int64_t since_ms(const json_t *tree)
{
	int64_t since_ms;
	const char *text = json_text(tree, NULL, "metadata", "annotations", NODES_SINCE);
	if (!text)
		return 0;
	return time_parse(text, &since_ms, NULL) == 0 ? since_ms : INT64_MAX;
}

int64_t nodes_since_ms(struct server *s, const char *name)
{
	char key[OBJECT_KEY_MAX];
	if (object_key_of(&kind_node, "", name, key, NULL) < 0)
		return 0;
	CLEANUP(object_done) struct object *o = store_get(s->store, key);
	CLEANUP(json_done) json_t *tree = o ? object_tree(o) : NULL;
	return since_ms(tree);
}

/* It was let in before; meanwhile another machine may have made the Node. */
static int claim_name(const struct node_write *w, json_t *tree, struct err *e)
{
	char text[TIME_TEXT_SIZE];
	if (w->issued_ms < since_ms(tree))
		return err_set(e, ERR_UNAUTHORIZED,
			"another machine is node \"%s\" by now, since this one was deleted",
			w->name);
	json_t *annotations =
		json_ensure_object(json_ensure_object(tree, "metadata"), "annotations");
	if (json_object_get(annotations, NODES_SINCE))
		return 0;
	time_format(w->issued_ms, text);
	json_object_set_new(annotations, NODES_SINCE, json_string(text));
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
	if (claim_name(w, *tree, e) < 0)
		return COMMIT_FAIL;
	note_machine(w, *tree);
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
	return before && !w->lost && json_equal(before, *tree) ? COMMIT_NOTHING : COMMIT_PUT;
}

void nodes_register(struct server *s, const char *name, const json_t *node, int64_t issued_ms,
	bool lost, commit_done *done, void *arg)
{
	struct node_write *w = write_new(s, name, node, done, arg);
	w->issued_ms = issued_ms;
	w->lost = lost;
	commit_object(s, &kind_node, "", name, change_register, on_written, w);
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

/* Else it would count as ready for as long as it is away. */
static void on_loss_written(void *arg, const struct err *e)
{
	struct server *s = arg;
	if (e && e->code != ERR_CANCELLED && !loop_timer_active(s->sweep))
		loop_timer_start(s->sweep, SWEEP_RETRY_MS);
}

void nodes_lost(struct server *s, const char *name, const char *why)
{
	struct node_write *w = write_new(s, name, NULL, on_loss_written, s);
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

/* ---- after a start, and when a loss could not be written ---- */

void nodes_sweep(struct server *s)
{
	char prefix[OBJECT_KEY_MAX];
	object_prefix(&kind_node, "", prefix);
	struct store_list list;
	if (store_list(s->store, prefix, NULL, 0, 0, &list, NULL) < 0)
		return;
	for (size_t i = 0; i < list.count; i++)
		if (list.objects[i]->ready && !feed_connected(s->feed, list.objects[i]->name) &&
			!feed_registering(s->feed, list.objects[i]->name))
			nodes_lost(s, list.objects[i]->name, "it has no session");
	store_list_done(&list);
}
