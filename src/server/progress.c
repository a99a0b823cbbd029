#include "server/progress.h"

#include <stdlib.h>

#include "base/mem.h"
#include "wire/wire.h"

#define QUEUE_MAX ((size_t)256 << 10) /* a reader that is slower misses lines */

struct watcher {
	struct list link;
	struct request *request;
};

static void on_closed(void *arg)
{
	struct watcher *w = arg;
	list_remove(&w->link);
	request_done(w->request);
	free(w);
}

void progress_watch(struct request *r)
{
	static const struct http_request_events events = {.on_closed = on_closed};
	struct watcher *w = mem_new(struct watcher);
	w->request = r;
	list_init(&w->link);
	list_append(&r->server->progress, &w->link);
	http_request_set_events(r->http, &events, w);
	http_respond_start(r->http, 200, NULL, 0, "application/x-ndjson");
}

void progress_publish(struct server *s, const char *node, json_t *message)
{
	if (list_empty(&s->progress))
		return;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	json_object_set_new(message, "node", json_string(node));
	wire_write(&b, message);
	LIST_EACH (&s->progress, link) {
		struct watcher *w = LIST_ITEM(link, struct watcher, link);
		if (http_respond_queued(w->request->http) < QUEUE_MAX)
			http_respond_write(w->request->http, b.data, b.size);
	}
}

void progress_drop(struct server *s)
{
	LIST_EACH (&s->progress, link)
		on_closed(LIST_ITEM(link, struct watcher, link));
}
