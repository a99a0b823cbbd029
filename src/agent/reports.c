#include "agent/reports.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"

static void line_free(void *value)
{
	struct agent_report_line *line = value;
	free(line->text);
	free(line);
}

void agent_reports_init(struct agent_reports *r, const struct agent_reports_config *config)
{
	*r = (struct agent_reports){.config = *config};
	map_init(&r->lines, line_free);
	list_init(&r->events);
	list_init(&r->replayed);
}

static void event_free(struct agent_report_event *event)
{
	list_remove(&event->link);
	free(event->text);
	free(event);
}

static void free_events(struct list *events)
{
	LIST_EACH (events, link)
		event_free(LIST_ITEM(link, struct agent_report_event, link));
}

void agent_reports_done(struct agent_reports *r)
{
	map_done(&r->lines);
	free_events(&r->events);
	free_events(&r->replayed);
}

/* A newer text of a line that is in flight replaces it and waits; the ack then passes it by. */
static void put_line(struct agent_reports *r, const char *id, struct buf *text)
{
	if (text->failed) {
		buf_done(text);
		return;
	}
	struct agent_report_line *line = map_get(&r->lines, id);
	if (!line)
		map_put(&r->lines, id, line = mem_new(struct agent_report_line));
	free(line->text);
	line->text = buf_take(text, NULL);
	line->in_flight = false;
	r->config.on_news(r->config.arg);
}

static char *id_of(const char *kind, const char *uid)
{
	return mem_format("%s/%s", kind, uid);
}

static void begin_line(struct buf *b, const char *type, const char *key, const char *uid)
{
	*b = BUF_INIT_LIMIT(REPORTS_BATCH_MAX);
	buf_printf(b, "{\"type\":\"%s\",\"key\":", type);
	json_write_string(b, key);
	buf_append_string(b, ",\"uid\":");
	json_write_string(b, uid);
}

void agent_reports_status(struct agent_reports *r, const char *key, const char *uid,
	const char *status_json)
{
	CLEANUP(mem_free_ptr) char *id = id_of("status", uid);
	CLEANUP(mem_free_ptr) char *gone = id_of("gone", uid);
	if (map_has(&r->lines, gone))
		return;
	struct buf b;
	begin_line(&b, "status", key, uid);
	buf_printf(&b, ",\"status\":%s}\n", status_json);
	r->status_changes++;
	put_line(r, id, &b);
}

void agent_reports_gone(struct agent_reports *r, const char *key, const char *uid)
{
	CLEANUP(mem_free_ptr) char *id = id_of("gone", uid);
	struct buf b;
	begin_line(&b, "gone", key, uid);
	buf_append_string(&b, "}\n");
	put_line(r, id, &b);
}

/* Quotes inside a message would be escaped. */
bool agent_reports_tells_end(const struct agent_reports *r, const char *uid)
{
	CLEANUP(mem_free_ptr) char *id = id_of("status", uid);
	const struct agent_report_line *line = map_get(&r->lines, id);
	return line && (strstr(line->text, "\"phase\":\"Failed\"") ||
			       strstr(line->text, "\"phase\":\"Succeeded\""));
}

void agent_reports_forget(struct agent_reports *r, const char *uid)
{
	CLEANUP(mem_free_ptr) char *status = id_of("status", uid);
	CLEANUP(mem_free_ptr) char *gone = id_of("gone", uid);
	map_remove(&r->lines, status);
	map_remove(&r->lines, gone);
}

void agent_reports_node(struct agent_reports *r, const char *status_json)
{
	struct buf b = BUF_INIT;
	buf_printf(&b, "{\"type\":\"node\",\"status\":%s}\n", status_json);
	put_line(r, "node", &b);
}

/* ---- events ---- */

#define EVENT_END_MAX 128 /* bytes of what write_end appends */

/* "first_ms" and what follows it are this agent's own words: the id tells a line that comes again,
 * whatever its count. */
static void write_end(const struct agent_report_event *event, struct buf *b)
{
	buf_printf(b, ",\"id\":\"%016llx\",\"first_ms\":%lld,\"last_ms\":%lld,\"count\":%lld}\n",
		(unsigned long long)event->id, (long long)event->first_ms,
		(long long)event->last_ms, (long long)event->count);
}

static void write_event(const struct agent_report_event *event, struct buf *b)
{
	buf_append_string(b, event->text);
	if (!event->fixed)
		write_end(event, b);
}

/* From here on nothing is added to it. */
static void fix_event(struct agent_report_event *event)
{
	if (event->fixed)
		return;
	struct buf b = BUF_INIT;
	write_event(event, &b);
	free(event->text);
	event->text = buf_take(&b, NULL);
	event->fixed = true;
}

static struct agent_report_event *find_equal(struct agent_reports *r, const char *text)
{
	LIST_EACH (&r->events, link) {
		struct agent_report_event *event = LIST_ITEM(link, struct agent_report_event, link);
		if (!event->fixed && str_equal(event->text, text))
			return event;
	}
	return NULL;
}

static void add_event(struct agent_reports *r, struct agent_report_event *event)
{
	list_append(&r->events, &event->link);
	r->event_count++;
	r->event_bytes += strlen(event->text) + (event->fixed ? 0 : EVENT_END_MAX);
}

static void remove_event(struct agent_reports *r, struct agent_report_event *event)
{
	size_t size = strlen(event->text) + (event->fixed ? 0 : EVENT_END_MAX);
	r->event_bytes -= size < r->event_bytes ? size : r->event_bytes;
	r->event_count--;
	event_free(event);
	if (r->event_count == 0)
		r->event_bytes = 0; /* fixed ones count for a little less than they did */
}

void agent_reports_event(struct agent_reports *r, const char *key, const char *uid, bool warning,
	const char *reason, const char *message)
{
	struct buf b;
	begin_line(&b, "event", key, uid);
	buf_printf(&b, ",\"warning\":%s,\"reason\":", warning ? "true" : "false");
	json_write_string(&b, reason);
	buf_append_string(&b, ",\"message\":");
	json_write_string(&b, message);
	int64_t now_ms = r->config.clock_ms(r->config.arg);
	struct agent_report_event *event = b.failed ? NULL : find_equal(r, buf_text(&b));
	if (!event && (b.failed || r->event_count >= REPORTS_EVENTS_MAX)) {
		r->dropped++;
		buf_done(&b);
		return;
	}
	if (!event) {
		event = mem_new(struct agent_report_event);
		event->text = buf_take(&b, NULL);
		event->id = r->config.new_id(r->config.arg);
		event->first_ms = now_ms;
		add_event(r, event);
	}
	event->last_ms = now_ms;
	event->count++;
	buf_done(&b);
	r->changes++;
	r->config.on_news(r->config.arg);
}

void agent_reports_progress(struct agent_reports *r, const char *uid, const char *image,
	int64_t done_bytes, int64_t total_bytes)
{
	CLEANUP(mem_free_ptr) char *id = mem_format("progress/%s/%s", uid, image);
	struct buf b = BUF_INIT;
	buf_append_string(&b, "{\"type\":\"progress\",\"pod\":");
	json_write_string(&b, uid);
	buf_append_string(&b, ",\"image\":");
	json_write_string(&b, image);
	buf_printf(&b, ",\"done\":%lld,\"total\":%lld}\n", (long long)done_bytes,
		(long long)total_bytes);
	put_line(r, id, &b);
}

/* ---- the way up ---- */

static bool list_waits(const struct list *events)
{
	LIST_EACH ((struct list *)(uintptr_t)events, link)
		if (!LIST_ITEM(link, struct agent_report_event, link)->in_flight)
			return true;
	return false;
}

bool agent_reports_waiting(const struct agent_reports *r)
{
	MAP_EACH (&r->lines, entry) {
		const struct agent_report_line *line = entry->value;
		if (!line->in_flight)
			return true;
	}
	return list_waits(&r->replayed) || (!r->hold && list_waits(&r->events));
}

bool agent_reports_empty(const struct agent_reports *r)
{
	return r->lines.count == 0 && r->event_count == 0 && r->replayed_count == 0;
}

static bool fits(const struct buf *b, size_t size)
{
	return b->size == 0 || b->size + size <= REPORTS_BATCH_MAX;
}

static void collect_events(struct list *events, struct buf *b)
{
	LIST_EACH (events, link) {
		struct agent_report_event *event = LIST_ITEM(link, struct agent_report_event, link);
		fix_event(event);
		if (!fits(b, strlen(event->text)))
			return;
		buf_append_string(b, event->text);
		event->in_flight = true;
	}
}

/* Events go first: the deletion of their pod may be among the lines. */
void agent_reports_collect(struct agent_reports *r, struct buf *b)
{
	collect_events(&r->replayed, b);
	if (!r->hold)
		collect_events(&r->events, b);
	MAP_EACH (&r->lines, entry) {
		struct agent_report_line *line = entry->value;
		size_t size = strlen(line->text);
		if (!fits(b, size))
			break;
		buf_append(b, line->text, size);
		line->in_flight = true;
	}
}

void agent_reports_ack(struct agent_reports *r)
{
	MAP_EACH (&r->lines, entry) {
		struct agent_report_line *line = entry->value;
		if (!line->in_flight)
			continue;
		CLEANUP(mem_free_ptr) char *key = mem_dup_string(entry->key);
		map_remove(&r->lines, key);
	}
	LIST_EACH (&r->replayed, link) {
		struct agent_report_event *event = LIST_ITEM(link, struct agent_report_event, link);
		if (!event->in_flight)
			break;
		r->replayed_count--;
		event_free(event);
	}
	LIST_EACH (&r->events, link) {
		struct agent_report_event *event = LIST_ITEM(link, struct agent_report_event, link);
		if (event->in_flight)
			remove_event(r, event);
	}
	r->config.on_acked(r->config.arg);
}

static void nack_events(struct list *events)
{
	LIST_EACH (events, link)
		LIST_ITEM(link, struct agent_report_event, link)->in_flight = false;
}

void agent_reports_nack(struct agent_reports *r)
{
	MAP_EACH (&r->lines, entry) {
		struct agent_report_line *line = entry->value;
		line->in_flight = false;
	}
	nack_events(&r->replayed);
	nack_events(&r->events);
}

/* ---- for the spool ---- */

void agent_reports_write_statuses(const struct agent_reports *r, struct buf *b)
{
	MAP_EACH (&r->lines, entry) {
		const struct agent_report_line *line = entry->value;
		if (str_starts(entry->key, "status/"))
			buf_append_string(b, line->text);
	}
}

void agent_reports_write_events(struct agent_reports *r, bool leave, struct buf *b)
{
	LIST_EACH (&r->events, link) {
		struct agent_report_event *event = LIST_ITEM(link, struct agent_report_event, link);
		if (leave)
			fix_event(event);
		event->leaving = leave;
		write_event(event, b);
	}
}

void agent_reports_left(struct agent_reports *r, bool gone)
{
	LIST_EACH (&r->events, link) {
		struct agent_report_event *event = LIST_ITEM(link, struct agent_report_event, link);
		if (event->leaving && gone)
			remove_event(r, event);
		else
			event->leaving = false;
	}
}

void agent_reports_take_events(struct agent_reports *r, const char *lines, bool replay)
{
	for (const char *end; (end = strchr(lines, '\n')); lines = end + 1) {
		struct agent_report_event *event = mem_new(struct agent_report_event);
		event->text = mem_dup_bytes(lines, (size_t)(end + 1 - lines));
		event->fixed = true;
		if (!replay) {
			add_event(r, event);
			continue;
		}
		list_append(&r->replayed, &event->link);
		r->replayed_count++;
	}
}
