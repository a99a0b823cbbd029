#include "agent/reports.h"

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

void agent_reports_init(struct agent_reports *r, void (*on_news)(void *arg), void *arg)
{
	*r = (struct agent_reports){.on_news = on_news, .arg = arg};
	map_init(&r->lines, line_free);
}

void agent_reports_done(struct agent_reports *r)
{
	map_done(&r->lines);
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
	r->on_news(r->arg);
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

void agent_reports_event(struct agent_reports *r, const char *key, const char *uid, bool warning,
	const char *reason, const char *message)
{
	if (r->events >= REPORTS_EVENTS_MAX)
		return;
	CLEANUP(mem_free_ptr)
	char *id = mem_format("event/%llu", (unsigned long long)r->next_event++);
	r->events++;
	struct buf b;
	begin_line(&b, "event", key, uid);
	buf_printf(&b, ",\"warning\":%s,\"reason\":", warning ? "true" : "false");
	json_write_string(&b, reason);
	buf_append_string(&b, ",\"message\":");
	json_write_string(&b, message);
	buf_append_string(&b, "}\n");
	put_line(r, id, &b);
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

bool agent_reports_waiting(const struct agent_reports *r)
{
	MAP_EACH (&r->lines, entry) {
		const struct agent_report_line *line = entry->value;
		if (!line->in_flight)
			return true;
	}
	return false;
}

void agent_reports_collect(struct agent_reports *r, struct buf *b)
{
	MAP_EACH (&r->lines, entry) {
		struct agent_report_line *line = entry->value;
		size_t size = strlen(line->text);
		if (b->size > 0 && b->size + size > REPORTS_BATCH_MAX)
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
		if (str_starts(entry->key, "event/"))
			r->events--;
		CLEANUP(mem_free_ptr) char *key = mem_dup_string(entry->key);
		map_remove(&r->lines, key);
	}
}

void agent_reports_nack(struct agent_reports *r)
{
	MAP_EACH (&r->lines, entry) {
		struct agent_report_line *line = entry->value;
		line->in_flight = false;
	}
}
