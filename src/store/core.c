#include "store/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* ---- life ---- */

static void on_turn(void *arg)
{
	store_queue_run(arg);
}

static void on_deliver(void *arg)
{
	store_watches_run(arg);
}

static void on_bookmark(void *arg)
{
	store_watches_bookmark(arg);
}

struct store *store_new(struct loop *l, const struct kind_registry *kinds)
{
	struct store *s = mem_new(struct store);
	s->loop = l;
	s->kinds = kinds;
	list_init(&s->queue);
	list_init(&s->barriers);
	list_init(&s->watches);
	s->turn = loop_timer_new(l, on_turn, s);
	s->deliver = loop_timer_new(l, on_deliver, s);
	s->bookmark = loop_timer_new(l, on_bookmark, s);
	/* As in etcd the empty store has revision 1: 0 means "now" to readers. */
	s->revision = s->compacted = 1;
	return s;
}

/* A UUID of version 4 (RFC 9562 section 5.4). */
void store_make_epoch(struct store *s)
{
	unsigned char b[16];
	loop_random_bytes(s->loop, b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	char hex[33];
	str_hex(b, sizeof(b), hex);
	snprintf(s->epoch, sizeof(s->epoch), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		hex + 16, hex + 20);
}

void store_restore(struct store *s, const char *key, int64_t row, struct object *object)
{
	struct store_entry *entry = store_index_add(&s->index, key);
	s->stats.objects += !!object - !!entry->object;
	s->stats.object_bytes += (int64_t)(object ? object->blob_size : 0) -
				 (int64_t)(entry->object ? entry->object->blob_size : 0);
	if (row / STORE_ROW(1, 0) <= s->compacted) { /* the state before the history */
		entry->row = object ? row : 0;
		store_index_set(&s->index, entry, object);
		if (!object && !entry->newest)
			store_index_remove(&s->index, entry);
		return;
	}
	struct store_change *change = mem_new(struct store_change);
	*change = (struct store_change){.revision = row / STORE_ROW(1, 0),
		.row = row,
		.previous_row = entry->row,
		.entry = entry,
		.object = object,
		.previous = entry->object ? object_ref(entry->object) : NULL};
	store_history_add(s, change);
}

void store_restored(struct store *s, int64_t revision)
{
	s->revision = s->reserved = s->restarted = revision;
	store_history_trim_excess(s);
}

void store_destroy(struct store *s)
{
	store_watches_end(s);
	loop_timer_free(s->turn);
	loop_timer_free(s->deliver);
	loop_timer_free(s->bookmark);
	store_history_done(&s->history);
	store_index_done(&s->index);
	vec_done(&s->drops);
	vec_done(&s->lives);
	if (s->log)
		s->log->ops->free(s->log);
	free(s);
}

void store_free(struct store *s)
{
	if (!s)
		return;
	s->closing = true;
	store_watches_end(s);
	store_queue_cancel(s);
	loop_timer_stop(s->turn);
	loop_timer_stop(s->deliver);
	loop_timer_stop(s->bookmark);
	if (!s->batch) /* else when its job has returned */
		store_destroy(s);
}

/* ---- reading ---- */

int64_t store_revision(const struct store *s)
{
	return s->revision;
}

int64_t store_compacted(const struct store *s)
{
	return s->compacted;
}

bool store_was_at(const struct store *s, int64_t revision)
{
	if (revision > s->revision || !s->lives.count)
		return revision <= s->revision;
	VEC_EACH (&s->lives, const struct store_life, life) {
		if (revision <= life->last)
			return revision >= life->first || life == s->lives.items;
	}
	return revision >= s->born;
}

bool store_has_past(const struct store *s)
{
	return s->lives.count > 0;
}

const char *store_epoch(const struct store *s)
{
	return s->epoch;
}

struct object *store_get(const struct store *s, const char *key)
{
	const struct store_entry *entry = store_index_find(&s->index, key);
	return entry && entry->object ? object_ref(entry->object) : NULL;
}

int store_check_memory_kind(const struct store *s, const char *prefix, int64_t revision,
	struct err *e)
{
	if (revision >= s->restarted)
		return 0;
	size_t at = 0;
	for (const struct kind *k; (k = kind_next(s->kinds, &at));) {
		char own[OBJECT_KEY_MAX];
		object_prefix(k, NULL, own);
		if (k->in_memory && str_starts(prefix, own))
			return err_set(e, ERR_GONE,
				"%s are kept in memory only and were lost at revision %lld: list "
				"again",
				k->plural, (long long)s->restarted);
	}
	return 0;
}

static int check_revision(const struct store *s, const char *prefix, int64_t revision,
	struct err *e)
{
	if (revision > s->revision || revision < 0)
		return err_set(e, ERR_INVALID, "revision %lld does not exist, the last is %lld",
			(long long)revision, (long long)s->revision);
	if (revision < s->compacted)
		return err_set(e, ERR_GONE,
			"revision %lld is no longer kept, the oldest is %lld: list again",
			(long long)revision, (long long)s->compacted);
	return store_check_memory_kind(s, prefix, revision, e);
}

static struct store_cursor list_start(const struct store *s, const char *prefix, const char *after)
{
	if (after && strcmp(after, prefix) >= 0)
		return store_index_seek(&s->index, after, true);
	return store_index_seek(&s->index, prefix, false);
}

static bool in_range(struct store_cursor at, struct store_cursor end)
{
	return at.chunk < end.chunk || (at.chunk == end.chunk && at.entry < end.entry);
}

typedef VEC(struct object *) object_vec;

/* Collects up to limit objects and then looks whether one more follows. */
static bool collect_now(const struct store_index *x, struct store_cursor *at,
	struct store_cursor end, size_t limit, int64_t revision, object_vec *out)
{
	for (; in_range(*at, end); *at = store_index_next(x, *at)) {
		const struct store_entry *entry = store_index_at(x, *at);
		struct object *o = revision ? store_entry_at(entry, revision) : entry->object;
		if (!o)
			continue;
		if (limit && out->count == limit)
			return true;
		vec_push(out, object_ref(o));
	}
	return false;
}

int store_list(const struct store *s, const char *prefix, const char *after, size_t limit,
	int64_t revision, struct store_list *ret_list, struct err *e)
{
	if (revision) {
		int r = check_revision(s, prefix, revision, e);
		if (r < 0)
			return r;
	}
	if (revision == s->revision)
		revision = 0;
	object_vec out = {0};
	struct store_cursor at = list_start(s, prefix, after);
	struct store_cursor end = store_index_seek_end(&s->index, prefix);
	bool more = collect_now(&s->index, &at, end, limit, revision, &out);
	*ret_list = (struct store_list){.objects = out.items,
		.count = out.count,
		.revision = revision ? revision : s->revision,
		.more = more};
	if (more) /* the counts are of now, an older list would have to walk */
		ret_list->remaining = revision ? -1 : store_index_count(&s->index, at, end);
	return 0;
}

void store_list_done(struct store_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		object_unref(list->objects[i]);
	free(list->objects);
	*list = (struct store_list){0};
}

/* ---- the rest ---- */

void store_compact(struct store *s, int64_t revision)
{
	if (revision > s->revision)
		revision = s->revision;
	if (s->delivering) {
		if (revision > s->compact_wanted)
			s->compact_wanted = revision;
		return;
	}
	store_history_trim(s, revision);
	store_watches_notify(s); /* those that fell behind hear of it */
}

void store_stats(const struct store *s, struct store_stats *ret_stats)
{
	*ret_stats = s->stats;
	if (s->log)
		ret_stats->disk_bytes = s->log->ops->disk_bytes(s->log);
}
