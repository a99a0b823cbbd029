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
	struct err first;     /* why all of it has to come again */
	size_t refused;       /* lines that are left out */
	struct err objection; /* to the first of them */
};

struct entry {
	struct report *report;
	char uid[40];
	bool gone;
	json_t *status; /* or the Event */
	char id[20];    /* of an event's line */
	int64_t first_ms, last_ms, count;
};

/* One bad line costs no other: what came with it is of other pods. */
static void refuse_lines(struct report *p, size_t count, const struct err *why)
{
	if (count && !p->refused)
		p->objection = *why;
	p->refused += count;
	p->server->counters.report_lines_refused += (int64_t)count;
}

static void release(struct report *p)
{
	if (--p->pending)
		return;
	if (p->refused)
		log_err(p->server->log, LOG_WARN, "report_lines_refused", &p->objection,
			"node=%s lines=%zu", p->node, p->refused);
	if (p->first.code) {
		respond_err(p->server, p->http, &p->first);
	} else {
		char body[96];
		int size = snprintf(body, sizeof(body), "{\"revision\":%lld,\"refused\":%zu}",
			(long long)store_revision(p->server->store), p->refused);
		http_respond(p->http, 200, NULL, 0, "application/json", body, (size_t)size);
		http_request_free(p->http);
	}
	free(p);
}

/* What comes again as it is will never be taken; anything else is the server's trouble. */
static bool is_hopeless(enum err_code code)
{
	return code == ERR_INVALID || code == ERR_DECODE || code == ERR_FORBIDDEN ||
	       code == ERR_TOO_LARGE;
}

static void note_error(struct report *p, const struct err *e)
{
	if (e && !p->first.code)
		p->first = *e;
}

/* Of one line. Writers that were in each other's way too often say so with codes that would tell
 * the agent something about its session. */
static void note_line(struct report *p, const struct err *e)
{
	struct err why = ERR_INIT;
	if (e && is_hopeless(e->code)) {
		refuse_lines(p, 1, e);
		return;
	}
	if (e && err_http_status(e->code) < 500) {
		(void)err_set(&why, ERR_UNAVAILABLE, "%s", e->text);
		e = &why;
	}
	note_error(p, e);
}

static void on_entry_done(void *arg, const struct err *e)
{
	struct entry *entry = arg;
	struct report *p = entry->report;
	note_line(p, e);
	json_decref(entry->status);
	free(entry);
	release(p);
}

static void on_part_done(void *arg, const struct err *e)
{
	struct report *p = arg;
	note_line(p, e);
	release(p);
}

/* ---- pods ---- */

static bool is_terminal(const char *phase)
{
	return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* A finished pod stays finished, and in the way that was told first: an agent that lost its memory
 * may know only that it ended. Only how its containers ended may be added. */
static bool tells_more(const json_t *tree, const json_t *status, const char *phase)
{
	return str_equal(json_text(status, "", "phase"), phase) &&
	       json_array_size(json_object_get(status, "containerStatuses")) >
		       json_array_size(json_at(tree, "status", "containerStatuses"));
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
		return COMMIT_FAIL;
	}
	if (entry->gone)
		return old->deletion_ms && !old->has_finalizers ? COMMIT_DELETE : COMMIT_NOTHING;
	if (is_terminal(old->phase) && !tells_more(*tree, entry->status, old->phase))
		return COMMIT_NOTHING;
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

#define REPORT_IDS "continuo.dev/report-ids"
#define REPORT_IDS_MAX 8 /* lines that are known when they come again */
#define EVENT_AGE_MAX_MS ((int64_t)31 * 86400 * 1000)
#define EVENT_COUNT_MAX 1000000

/* Whether this line was taken before: its answer was lost, or the agent died before it noted it. */
static bool is_known(const struct entry *entry, const json_t *tree)
{
	const char *ids = json_text(tree, "", "metadata", "annotations", REPORT_IDS);
	return entry->id[0] && strstr(ids, entry->id);
}

static void note_id(const struct entry *entry, json_t *tree)
{
	char ids[(sizeof(entry->id) + 1) * REPORT_IDS_MAX];
	if (!entry->id[0])
		return;
	json_t *annotations =
		json_ensure_object(json_ensure_object(tree, "metadata"), "annotations");
	int size = snprintf(ids, sizeof(ids), "%s,%s", entry->id,
		json_text_or(json_object_get(annotations, REPORT_IDS), ""));
	if (size >= (int)sizeof(ids) || ids[size - 1] == ',')
		*strrchr(ids, ',') = '\0';
	json_object_set_new(annotations, REPORT_IDS, json_string(ids));
}

static void set_time(json_t *tree, const char *field, int64_t wall_ms)
{
	char text[TIME_TEXT_SIZE];
	time_format(wall_ms, text);
	json_object_set_new(tree, field, json_string(text));
}

static int64_t time_of(const json_t *tree, const char *field, int64_t fallback_ms)
{
	int64_t wall_ms;
	const char *text = json_text_or(json_object_get(tree, field), "");
	return time_parse(text, &wall_ms, NULL) == 0 ? wall_ms : fallback_ms;
}

/* Events live in memory; equal ones are counted up. */
static enum commit_action change_event(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct entry *entry = arg;
	int64_t first_ms = entry->first_ms, last_ms = entry->last_ms, count = entry->count;
	(void)e;
	if (old && is_known(entry, *tree))
		return COMMIT_NOTHING;
	if (old) {
		int64_t old_first_ms = time_of(*tree, "firstTimestamp", first_ms);
		int64_t old_last_ms = time_of(*tree, "lastTimestamp", last_ms);
		first_ms = old_first_ms < first_ms ? old_first_ms : first_ms;
		last_ms = old_last_ms > last_ms ? old_last_ms : last_ms;
		count += json_int(*tree, 1, "count");
	} else {
		*tree = json_incref(entry->status);
		commit_stamp(entry->report->server, &kind_event, *tree);
	}
	json_object_set_new(*tree, "count",
		json_integer(count < EVENT_COUNT_MAX ? count : EVENT_COUNT_MAX));
	set_time(*tree, "firstTimestamp", first_ms);
	set_time(*tree, "lastTimestamp", last_ms);
	note_id(entry, *tree);
	return COMMIT_PUT;
}

/* An agent's clock may be wrong: what cannot be is now. */
static void set_event_times(struct entry *entry, const json_t *message)
{
	int64_t now_ms = loop_wall_ms(entry->report->server->loop);
	entry->last_ms = json_int(message, now_ms, "last_ms");
	if (entry->last_ms > now_ms || entry->last_ms < now_ms - EVENT_AGE_MAX_MS)
		entry->last_ms = now_ms;
	entry->first_ms = json_int(message, entry->last_ms, "first_ms");
	if (entry->first_ms > entry->last_ms || entry->first_ms < now_ms - EVENT_AGE_MAX_MS)
		entry->first_ms = entry->last_ms;
	entry->count = json_int(message, 1, "count");
	if (entry->count < 1 || entry->count > EVENT_COUNT_MAX)
		entry->count = 1;
}

/* 16 hexadecimal digits, or none from an older agent. */
static void set_event_id(struct entry *entry, const char *id)
{
	if (strlen(id) == 16 && strspn(id, "0123456789abcdef") == 16)
		snprintf(entry->id, sizeof(entry->id), "%s", id);
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

/* What an event is about: a pod of the node, or the node itself. */
struct about {
	const char *kind;
	char namespace[128], name[256];
};

static int read_about(struct report *p, const char *key, struct about *ret_about, struct err *e)
{
	char node_key[OBJECT_KEY_MAX];
	ret_about->kind = "Pod";
	if (object_key_of(&kind_node, "", p->node, node_key, NULL) < 0 ||
		strcmp(key, node_key) != 0)
		return split_pod_key(key, ret_about->namespace, ret_about->name, e);
	*ret_about = (struct about){.kind = "Node", .namespace = "default"};
	snprintf(ret_about->name, sizeof(ret_about->name), "%s", p->node);
	return 0;
}

/* An Event; null when it is not UTF-8. */
static json_t *make_event(const struct report *p, const json_t *message, const struct about *about,
	const char *name)
{
	const char *reason = json_text(message, "", "reason"),
		   *text = json_text(message, "", "message");
	bool of_node = strcmp(about->kind, "Node") == 0;
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s%, "
			 "s:s%, s:{s:s, s:s}}",
		"apiVersion", "v1", "kind", "Event", "metadata", "name", name, "namespace",
		about->namespace, "involvedObject", "apiVersion", "v1", "kind", about->kind,
		"namespace", of_node ? "" : about->namespace, "name", about->name, "uid",
		of_node ? about->name : json_text(message, "", "uid"), "type",
		json_bool(message, false, "warning") ? "Warning" : "Normal", "reason", reason,
		str_cut(reason, 128), "message", text, str_cut(text, 1024), "source", "component",
		"continuo-agent", "host", p->node);
}

static int take_event(struct report *p, json_t *message, struct err *e)
{
	char name[256];
	struct about about;
	const char *key = json_text(message, "", "key");
	int r = read_about(p, key, &about, e);
	if (r < 0)
		return r;
	if (strcmp(about.kind, "Pod") == 0 && !feed_slice_has(p->server->feed, p->node, key))
		return 0; /* of a pod that is gone */
	if (!feed_take_event(p->server->feed, p->node))
		return 0; /* too many: the statuses tell the rest */
	event_name(message, about.name, name);
	struct entry *entry = mem_new(struct entry);
	*entry = (struct entry){.report = p};
	set_event_times(entry, message);
	set_event_id(entry, json_text(message, "", "id"));
	entry->status = make_event(p, message, &about, name);
	if (!entry->status) {
		free(entry);
		return err_set(e, ERR_DECODE, "an event of \"%s/%s\" is not UTF-8", about.namespace,
			about.name);
	}
	p->pending++;
	commit_object(p->server, &kind_event, about.namespace, name, change_event, on_entry_done,
		entry);
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

/* What was under way on an earlier connection may come late: statuses that are older than those
 * that the server has by then. */
static int check_session(struct report *p, struct http_request *http, struct err *e)
{
	const char *text = http_request_query(http, "session", 0);
	int64_t session = 0;
	if (text && str_to_int64(text, "session", &session, e) < 0)
		return -(int)e->code;
	if (feed_heard(p->server->feed, p->node, session))
		return 0;
	return err_set(e, ERR_CONFLICT, "node \"%s\" has %s: open the feed first", p->node,
		session && feed_connected(p->server->feed, p->node) ? "another session by now"
								    : "no session");
}

static void on_report(void *arg, struct http_request *http, const char *data, size_t size,
	const struct err *e)
{
	struct report *p = arg;
	struct err why = ERR_INIT;
	if (e)
		note_error(p, e);
	else if (check_session(p, http, &why) < 0)
		note_error(p, &why);
	if (!p->first.code && size) {
		struct wire_reader reader = {.skip_bad = true};
		if (wire_read(&reader, data, size, take_entry, p, &why) < 0)
			note_error(p, &why);
		refuse_lines(p, reader.skipped, &reader.why);
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
