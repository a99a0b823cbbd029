#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "server/agent_api.h"
#include "server/commit.h"
#include "server/feed.h"
#include "server/leases.h"
#include "server/nodes.h"
#include "server/progress.h"
#include "server/request.h"
#include "wire/wire.h"

/* One report: its entries are committed side by side; the answer waits for all of them. */
struct report {
	struct server *server;
	struct http_request *http;
	char node[128];
	size_t pending;
	struct err first;
};

struct entry {
	struct report *report;
	char uid[40];
	bool gone;
	json_t *status;
};

static void release(struct report *p)
{
	if (--p->pending)
		return;
	if (p->first.code) {
		respond_err(p->server, p->http, &p->first);
	} else {
		char body[64];
		int size = snprintf(body, sizeof(body), "{\"revision\":%lld}",
			(long long)store_revision(p->server->store));
		http_respond(p->http, 200, NULL, 0, "application/json", body, (size_t)size);
		http_request_free(p->http);
	}
	free(p);
}

static void note_error(struct report *p, const struct err *e)
{
	if (e && !p->first.code)
		p->first = *e;
}

static void on_entry_done(void *arg, const struct err *e)
{
	struct entry *entry = arg;
	struct report *p = entry->report;
	note_error(p, e);
	json_decref(entry->status);
	free(entry);
	release(p);
}

static void on_part_done(void *arg, const struct err *e)
{
	struct report *p = arg;
	note_error(p, e);
	release(p);
}

/* ---- pods ---- */

static bool is_terminal(const char *phase)
{
	return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

static enum commit_action change_pod(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct entry *entry = arg;
	/* Deleted meanwhile, or another of the same name: what was observed is of the past. */
	if (!old || strcmp(old->uid, entry->uid) != 0)
		return COMMIT_NOTHING;
	if (strcmp(old->node, entry->report->node) != 0) {
		(void)err_set(e, ERR_FORBIDDEN,
			"pod \"%s/%s\" is not on node \"%s\": a node writes its own slice only",
			old->namespace, old->name, entry->report->node);
		log_err(entry->report->server->log, LOG_WARN, "slice_violation", e, "node=%s",
			entry->report->node);
		return COMMIT_FAIL;
	}
	if (entry->gone)
		return old->deletion_ms && !old->has_finalizers ? COMMIT_DELETE : COMMIT_NOTHING;
	if (is_terminal(old->phase) && !is_terminal(json_text(entry->status, "", "phase")))
		return COMMIT_NOTHING; /* a finished pod stays finished */
	json_object_set(*tree, "status", entry->status);
	struct findings f = {0};
	int r = model_prune(&kind_pod, *tree, false, &f, e);
	findings_done(&f);
	return r < 0 ? COMMIT_FAIL : COMMIT_PUT;
}

/* "core/pods/NAMESPACE/NAME" */
static int split_pod_key(const char *key, char namespace[static 128], char name[static 256],
	struct err *e)
{
	if (sscanf(key, "core/pods/%127[^/]/%255[^/]", namespace, name) != 2)
		return err_set(e, ERR_DECODE, "\"%.100s\" is not the key of a pod", key);
	return 0;
}

static int take_pod(struct report *p, json_t *message, bool gone, struct err *e)
{
	char namespace[128], name[256];
	int r = split_pod_key(json_text(message, "", "key"), namespace, name, e);
	json_t *status = json_object_get(message, "status");
	if (r == 0 && !gone && !json_is_object(status))
		r = err_set(e, ERR_DECODE, "the report of pod \"%s/%s\" has no status", namespace,
			name);
	if (r < 0)
		return r;
	struct entry *entry = mem_new(struct entry);
	*entry = (struct entry){.report = p, .gone = gone, .status = json_incref(status)};
	snprintf(entry->uid, sizeof(entry->uid), "%.39s", json_text(message, "", "uid"));
	p->pending++;
	commit_object(p->server, &kind_pod, namespace, name, change_pod, on_entry_done, entry);
	return 0;
}

/* ---- events ---- */

/* An Event about a pod of this node. Events live in memory; equal ones are counted up. */
static enum commit_action change_event(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct entry *entry = arg;
	struct server *s = entry->report->server;
	char now[TIME_TEXT_SIZE];
	(void)e;
	time_format(loop_wall_ms(s->loop), now);
	if (old) {
		json_object_set_new(*tree, "count", json_integer(json_int(*tree, 1, "count") + 1));
	} else {
		*tree = json_incref(entry->status);
		commit_stamp(s, &kind_event, *tree);
		json_object_set_new(*tree, "firstTimestamp", json_string(now));
		json_object_set_new(*tree, "count", json_integer(1));
	}
	json_object_set_new(*tree, "lastTimestamp", json_string(now));
	return COMMIT_PUT;
}

/* Equal events share a name, so that they are counted: a hash of reason and message behind the
 * pod's name. */
static void event_name(const json_t *message, const char *pod, char ret_name[static 256])
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	const char *parts[] = {json_text(message, "", "uid"), json_text(message, "", "reason"),
		json_text(message, "", "message")};
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		for (const char *c = parts[i]; *c; c++)
			hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
	snprintf(ret_name, 256, "%.200s.%016llx", pod, (unsigned long long)hash);
}

/* How much of the text is kept: at most limit bytes, whole characters. */
static size_t kept_size(const char *text, size_t limit)
{
	size_t size = strlen(text);
	if (size <= limit)
		return size;
	for (size = limit; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80;)
		size--;
	return size;
}

static int take_event(struct report *p, json_t *message, struct err *e)
{
	char namespace[128], pod[256], name[256];
	const char *key = json_text(message, "", "key");
	int r = split_pod_key(key, namespace, pod, e);
	if (r < 0)
		return r;
	if (!feed_slice_has(p->server->feed, p->node, key))
		return 0; /* of a pod that is gone */
	if (!feed_take_event(p->server->feed, p->node))
		return 0; /* too many: the statuses tell the rest */
	event_name(message, pod, name);
	const char *reason = json_text(message, "", "reason"),
		   *text = json_text(message, "", "message");
	struct entry *entry = mem_new(struct entry);
	*entry = (struct entry){.report = p};
	entry->status =
		json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s%, "
			  "s:s%, s:{s:s, s:s}}",
			"apiVersion", "v1", "kind", "Event", "metadata", "name", name, "namespace",
			namespace, "involvedObject", "apiVersion", "v1", "kind", "Pod", "namespace",
			namespace, "name", pod, "uid", json_text(message, "", "uid"), "type",
			json_bool(message, false, "warning") ? "Warning" : "Normal", "reason",
			reason, kept_size(reason, 128), "message", text, kept_size(text, 1024),
			"source", "component", "continuo-agent", "host", p->node);
	if (!entry->status) {
		free(entry);
		return err_set(e, ERR_DECODE, "an event of pod \"%s/%s\" is not UTF-8", namespace,
			pod);
	}
	p->pending++;
	commit_object(p->server, &kind_event, namespace, name, change_event, on_entry_done, entry);
	return 0;
}

/* ---- the report ---- */

static int take_entry(void *arg, const char *type, json_t *message, struct err *e)
{
	struct report *p = arg;
	if (strcmp(type, "status") == 0)
		return take_pod(p, message, false, e);
	if (strcmp(type, "gone") == 0)
		return take_pod(p, message, true, e);
	if (strcmp(type, "event") == 0)
		return take_event(p, message, e);
	if (strcmp(type, "progress") == 0)
		progress_publish(p->server, p->node, message);
	if (strcmp(type, "pong") == 0)
		feed_pong(p->server->feed, p->node, json_int(message, 0, "id"));
	if (strcmp(type, "beat") == 0)
		leases_beat(p->server->leases, p->node, json_int(message, 0, "id"));
	if (strcmp(type, "node") == 0 && json_is_object(json_object_get(message, "status"))) {
		p->pending++;
		nodes_status(p->server, p->node, json_object_get(message, "status"), on_part_done,
			p);
	}
	return 0;
}

static void on_report(void *arg, struct http_request *http, const char *data, size_t size,
	const struct err *e)
{
	struct report *p = arg;
	(void)http;
	struct err why = ERR_INIT;
	if (e)
		note_error(p, e);
	else if (!feed_heard(p->server->feed, p->node))
		(void)err_set(&p->first, ERR_CONFLICT,
			"node \"%s\" has no session: open the feed first", p->node);
	if (!p->first.code && size) {
		struct wire_reader reader = {0};
		if (wire_read(&reader, data, size, take_entry, p, &why) < 0)
			note_error(p, &why);
		wire_reader_done(&reader);
	} else if (!p->first.code) {
		p->server->counters.heartbeats++;
	}
	release(p);
}

void agent_report(struct server *s, struct http_request *http, const struct user *u)
{
	struct report *p = mem_new(struct report);
	*p = (struct report){.server = s, .http = http, .pending = 1};
	snprintf(p->node, sizeof(p->node), "%s", u->node);
	s->counters.reports++;
	http_request_collect(http, WIRE_LINE_MAX, on_report, p);
}

void agent_object(struct server *s, struct http_request *http, const struct user *u,
	const char *key)
{
	struct err e = ERR_INIT;
	CLEANUP(object_done) struct object *o = store_get(s->store, key);
	if (!feed_slice_has(s->feed, u->node, key))
		(void)err_set(&e, ERR_FORBIDDEN, "\"%.200s\" is not in the slice of node \"%s\"",
			key, u->node);
	else if (!o)
		(void)err_set(&e, ERR_NOT_FOUND, "\"%.200s\" not found", key);
	if (e.code) {
		if (e.code == ERR_FORBIDDEN)
			log_err(s->log, LOG_WARN, "slice_violation", &e, "node=%s", u->node);
		respond_err(s, http, &e);
		return;
	}
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	object_write(o, &b);
	http_respond(http, 200, NULL, 0, "application/json", b.data, b.size);
	http_request_free(http);
}
