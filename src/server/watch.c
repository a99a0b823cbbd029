#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/read.h"

#define QUEUE_HIGH                                                                                 \
	((size_t)128 << 10) /* bytes on their way to a slow client, then the watch pauses */

struct watch {
	struct list link;
	struct request *request;
	struct store_watch *store_watch;
	struct loop_timer *timeout;
	struct read_selectors selectors;
	bool bookmarks, paused;
};

static void watch_free(struct watch *w)
{
	list_remove(&w->link);
	if (w->store_watch)
		store_watch_free(w->store_watch);
	loop_timer_free(w->timeout);
	read_selectors_done(&w->selectors);
	request_done(w->request);
	free(w);
}

static void watch_end(void *arg)
{
	struct watch *w = arg;
	http_respond_end(w->request->http);
	watch_free(w);
}

static void write_event(struct watch *w, const char *type, const struct object *o, struct buf *b)
{
	struct request *r = w->request;
	buf_printf(b, "{\"type\":\"%s\",\"object\":", type);
	if (r->table)
		table_write(r->kind, (struct object *const *)(void *)&o, 1, o->revision, NULL,
			loop_wall_ms(r->server->loop), b);
	else
		object_write(o, b);
	buf_append_string(b, "}\n");
}

static void send(struct watch *w, struct buf *b)
{
	if (b->size)
		http_respond_write(w->request->http, b->data, b->size);
	if (http_respond_queued(w->request->http) > QUEUE_HIGH && !w->paused) {
		w->paused = true;
		store_watch_pause(w->store_watch, true);
	}
}

/* What a change means for a client that sees only what its selectors match. */
static const char *event_type(const struct watch *w, const struct store_event *event)
{
	bool now = event->type == STORE_PUT && read_selectors_match(&w->selectors, event->object);
	bool before = event->previous && read_selectors_match(&w->selectors, event->previous);
	if (event->type == STORE_DELETE)
		before = before ||
			 (!event->previous && read_selectors_match(&w->selectors, event->object));
	if (now)
		return before ? "MODIFIED" : "ADDED";
	return before ? "DELETED" : NULL;
}

static void on_events(void *arg, const struct store_event *events, size_t count)
{
	struct watch *w = arg;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	for (size_t i = 0; i < count; i++) {
		const char *type = event_type(w, &events[i]);
		if (!type)
			continue;
		struct object *gone = NULL;
		const struct object *o = events[i].object;
		/* A deletion carries the last state under the revision of the deletion. */
		struct err e;
		if (events[i].type == STORE_DELETE &&
			object_from_blob(o->kind, o->blob, o->blob_size, events[i].revision,
				o->create_revision, &gone, &e) == 0)
			o = gone;
		write_event(w, type, o, &b);
		object_unref(gone);
	}
	send(w, &b);
}

static void on_bookmark(void *arg, int64_t revision)
{
	struct watch *w = arg;
	if (!w->bookmarks)
		return;
	char api_version[128];
	kind_api_version(w->request->kind, api_version);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	buf_printf(&b,
		"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s\","
		"\"metadata\":{"
		"\"resourceVersion\":\"%lld\"}}}\n",
		w->request->kind->name, api_version, (long long)revision);
	send(w, &b);
}

static void on_ended(void *arg, const struct err *why)
{
	struct watch *w = arg;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	buf_append_string(&b, "{\"type\":\"ERROR\",\"object\":");
	model_write_status(why, w->request->kind, "", NULL, &b);
	buf_append_string(&b, "}\n");
	http_respond_write(w->request->http, b.data, b.size);
	watch_end(w);
}

static void on_client_closed(void *arg)
{
	watch_free(arg);
}

static void on_client_drained(void *arg)
{
	struct watch *w = arg;
	if (w->paused && http_respond_queued(w->request->http) < QUEUE_HIGH / 2) {
		w->paused = false;
		store_watch_pause(w->store_watch, false);
	}
}

/* The current state as ADDED events, for a watch without a revision. */
static int send_initial(struct watch *w, int64_t *ret_revision, struct err *e)
{
	struct request *r = w->request;
	char prefix[OBJECT_KEY_MAX];
	object_prefix(r->kind, r->namespace, prefix);
	struct store_list list;
	int result = store_list(r->server->store, prefix, NULL, 0, 0, &list, e);
	if (result < 0)
		return result;
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT((size_t)1 << 30);
	for (size_t i = 0; i < list.count; i++)
		if (read_selectors_match(&w->selectors, list.objects[i]))
			write_event(w, "ADDED", list.objects[i], &b);
	*ret_revision = list.revision;
	store_list_done(&list);
	http_respond_write(r->http, b.data, b.size);
	return 0;
}

static int start(struct watch *w, struct err *e)
{
	static const struct store_watch_events events = {on_events, on_bookmark, on_ended};
	static const struct http_request_events http_events = {
		.on_closed = on_client_closed, .on_drained = on_client_drained};
	struct request *r = w->request;
	const char *from = http_request_query(r->http, "resourceVersion", 0);
	const char *timeout = http_request_query(r->http, "timeoutSeconds", 0);
	int64_t revision = 0, timeout_s = 0;
	int result = read_selectors_parse(r, &w->selectors, e);
	if (result == 0 && !str_empty(from))
		result = str_to_int64(from, "resourceVersion", &revision, e);
	if (result == 0 && !str_empty(timeout))
		result = str_to_int64(timeout, "timeoutSeconds", &timeout_s, e);
	/* An old revision is refused before the headers are sent, so that the client sees the 410
	 * at once. */
	if (result == 0 && revision && revision < store_compacted(r->server->store))
		result = err_set(e, ERR_GONE, "too old resource version: %lld (oldest: %lld)",
			(long long)revision, (long long)store_compacted(r->server->store));
	/* One of the future is another store's, such as that before a restore. */
	if (result == 0 && revision > store_revision(r->server->store))
		result = err_set(e, ERR_GONE,
			"resource version %lld is not reached yet (newest: %lld)",
			(long long)revision, (long long)store_revision(r->server->store));
	if (result < 0)
		return result;
	http_respond_start(r->http, 200, NULL, 0, "application/json");
	if (revision == 0)
		result = send_initial(w, &revision, e);
	char prefix[OBJECT_KEY_MAX];
	object_prefix(r->kind, r->namespace, prefix);
	if (result == 0)
		result = store_watch(r->server->store, prefix, revision, &events, w,
			&w->store_watch, e);
	if (result < 0)
		return result;
	http_request_set_events(r->http, &http_events, w);
	if (timeout_s > 0) {
		w->timeout = loop_timer_new(r->server->loop, watch_end, w);
		loop_timer_start(w->timeout, timeout_s * 1000);
	}
	return 0;
}

void read_watch(struct request *r)
{
	struct watch *w = mem_new(struct watch);
	struct err e = ERR_INIT;
	w->request = r;
	w->bookmarks = str_equal(http_request_query(r->http, "allowWatchBookmarks", 0), "true");
	r->server->counters.watches++;
	list_init(&w->link);
	if (start(w, &e) == 0) {
		list_append(&r->server->watches, &w->link);
		return;
	}
	read_selectors_done(&w->selectors);
	free(w);
	request_fail(r, &e);
}

void read_watches_drop(struct server *s)
{
	LIST_EACH (&s->watches, link)
		watch_free(LIST_ITEM(link, struct watch, link));
}
