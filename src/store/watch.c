#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/core.h"

/*
 * A watch is a position in the history, nothing more: it costs no queue, whether it is paused or
 * its reader slow. One timer delivers to all; each gets at most STORE_DELIVER_EVENTS in a turn.
 */
struct store_watch {
	struct list link; /* in store->watches; alone once ended */
	struct store *store;
	uint64_t position; /* of the next change to look at */
	bool paused;
	bool bookmark_due; /* tell when it has caught up */
	bool ended, freed;
	int64_t told_ms; /* when it last heard something */
	struct store_watch_events events;
	void *arg;
	size_t prefix_size;
	char prefix[];
};

static int check_from(const struct store *s, const char *prefix, int64_t from_revision,
	struct err *e)
{
	if (from_revision == 0)
		return 0;
	if (from_revision < s->compacted)
		return err_set(e, ERR_GONE,
			"revision %lld is too old to watch from, the oldest is %lld: list again",
			(long long)from_revision, (long long)s->compacted);
	if (from_revision > s->revision)
		return err_set(e, ERR_GONE,
			"revision %lld is not of this store, which is at %lld: list again",
			(long long)from_revision, (long long)s->revision);
	return store_check_memory_kind(s, prefix, from_revision, e);
}

int store_watch(struct store *s, const char *prefix, int64_t from_revision,
	const struct store_watch_events *events, void *arg, struct store_watch **ret_watch,
	struct err *e)
{
	int r = check_from(s, prefix, from_revision, e);
	if (r < 0)
		return r;
	size_t size = strlen(prefix);
	struct store_watch *w = mem_alloc(sizeof(*w) + size + 1);
	w->store = s;
	w->events = *events;
	w->arg = arg;
	w->prefix_size = size;
	memcpy(w->prefix, prefix, size + 1);
	w->position =
		from_revision ? store_history_seek(&s->history, from_revision) : s->history.end;
	w->bookmark_due = true;
	w->told_ms = loop_now_ms(s->loop);
	list_append(&s->watches, &w->link);
	s->stats.watches++;
	loop_timer_start(s->deliver, 0);
	if (!loop_timer_active(s->bookmark))
		loop_timer_start(s->bookmark, STORE_BOOKMARK_MS);
	*ret_watch = w;
	return 0;
}

void store_watch_pause(struct store_watch *w, bool paused)
{
	w->paused = paused;
	if (!paused && w->store && !w->ended) {
		w->bookmark_due = true;
		loop_timer_start(w->store->deliver, 0);
	}
}

static void unlink_watch(struct store_watch *w)
{
	list_remove(&w->link);
	if (w->store && !w->ended)
		w->store->stats.watches--;
}

void store_watch_free(struct store_watch *w)
{
	if (!w)
		return;
	w->freed = true;
	if (w->store && w->store->delivering)
		return; /* the walk over the watches frees it */
	unlink_watch(w);
	free(w);
}

static void end_watch(struct store_watch *w)
{
	struct err e;
	err_set(&e, ERR_GONE, "the watch fell behind the history, which begins at %lld: list again",
		(long long)w->store->compacted);
	w->store->stats.watches--;
	w->ended = true;
	w->events.on_ended(w->arg, &e);
}

static struct store_event event_of(const struct store_change *change)
{
	return (struct store_event){.type = change->object ? STORE_PUT : STORE_DELETE,
		.revision = change->revision,
		.key = change->entry->key,
		.object = change->object ? change->object : change->previous,
		.previous = change->previous};
}

/* The next events for one watch; returns whether there is more for the next turn. */
static bool deliver(struct store_watch *w)
{
	const struct store_history *h = &w->store->history;
	if (w->position < h->first) {
		end_watch(w);
		return false;
	}
	struct store_event events[STORE_DELIVER_EVENTS];
	size_t count = 0;
	while (w->position < h->end && count < STORE_DELIVER_EVENTS) {
		const struct store_change *change = store_history_at(h, w->position++);
		if (strncmp(change->entry->key, w->prefix, w->prefix_size) == 0)
			events[count++] = event_of(change);
	}
	if (count || w->bookmark_due)
		w->told_ms = loop_now_ms(w->store->loop);
	if (count)
		w->events.on_events(w->arg, events, count);
	if (w->freed || w->paused || w->position < h->end)
		return !w->freed && !w->paused;
	bool due = w->bookmark_due;
	w->bookmark_due = false;
	if (due && w->events.on_bookmark)
		w->events.on_bookmark(w->arg, w->store->revision);
	return false;
}

static void sweep(struct store *s)
{
	LIST_EACH (&s->watches, link) {
		struct store_watch *w = LIST_ITEM(link, struct store_watch, link);
		if (w->freed) {
			unlink_watch(w);
			free(w);
		} else if (w->ended) {
			list_remove(link);
		}
	}
}

/* While watches are called, events point into the history: nothing of it is forgotten. */
static void end_delivery(struct store *s)
{
	s->delivering = false;
	sweep(s);
	if (s->compact_wanted)
		store_history_trim(s, s->compact_wanted);
	s->compact_wanted = 0;
	store_history_trim_excess(s);
}

void store_watches_notify(struct store *s)
{
	if (!list_empty(&s->watches))
		loop_timer_start(s->deliver, 0);
}

void store_watches_run(struct store *s)
{
	bool more = false;
	s->delivering = true;
	LIST_EACH (&s->watches, link) {
		struct store_watch *w = LIST_ITEM(link, struct store_watch, link);
		if (!w->freed && !w->ended && !w->paused)
			more |= deliver(w);
	}
	end_delivery(s);
	if (more)
		loop_timer_start(s->deliver, 0);
}

void store_watches_bookmark(struct store *s)
{
	int64_t now_ms = loop_now_ms(s->loop);
	s->delivering = true;
	LIST_EACH (&s->watches, link) {
		struct store_watch *w = LIST_ITEM(link, struct store_watch, link);
		if (w->freed || w->ended || w->paused || !w->events.on_bookmark ||
			w->position != s->history.end || now_ms - w->told_ms < STORE_BOOKMARK_MS)
			continue;
		w->told_ms = now_ms;
		w->events.on_bookmark(w->arg, s->revision);
	}
	end_delivery(s);
	if (!list_empty(&s->watches))
		loop_timer_start(s->bookmark, STORE_BOOKMARK_MS);
}

void store_watches_end(struct store *s)
{
	LIST_EACH (&s->watches, link) {
		struct store_watch *w = LIST_ITEM(link, struct store_watch, link);
		list_remove(link);
		w->store = NULL;
	}
}
