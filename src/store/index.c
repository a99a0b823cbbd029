#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/core.h"

void store_index_done(struct store_index *x)
{
	for (size_t c = 0; c < x->chunks.count; c++) {
		struct store_chunk *chunk = x->chunks.items[c];
		for (size_t i = 0; i < chunk->count; i++) {
			object_unref(chunk->entries[i]->object);
			free(chunk->entries[i]);
		}
		free(chunk);
	}
	vec_done(&x->chunks);
}

/*
 * The first position whose key compares above zero with the wanted key, or not below it (bound 1
 * and 0). size: how much of the key counts (SIZE_MAX all, else a prefix).
 */
static int compare(const char *entry_key, const char *key, size_t size)
{
	return size == SIZE_MAX ? strcmp(entry_key, key) : strncmp(entry_key, key, size);
}

static size_t seek_chunk(const struct store_index *x, const char *key, size_t size, int bound)
{
	size_t low = 0, high = x->chunks.count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct store_chunk *chunk = x->chunks.items[middle];
		if (compare(chunk->entries[chunk->count - 1]->key, key, size) < bound)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t seek_entry(const struct store_chunk *chunk, const char *key, size_t size, int bound)
{
	size_t low = 0, high = chunk->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (compare(chunk->entries[middle]->key, key, size) < bound)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct store_cursor seek(const struct store_index *x, const char *key, size_t size,
	bool above)
{
	/* strcmp may return any positive number; only its sign counts. */
	int bound = above ? 1 : 0;
	struct store_cursor at = {.chunk = seek_chunk(x, key, size, bound)};
	if (at.chunk < x->chunks.count)
		at.entry = seek_entry(x->chunks.items[at.chunk], key, size, bound);
	return at;
}

struct store_cursor store_index_seek(const struct store_index *x, const char *key, bool after)
{
	return seek(x, key, SIZE_MAX, after);
}

struct store_cursor store_index_seek_end(const struct store_index *x, const char *prefix)
{
	return seek(x, prefix, strlen(prefix), true);
}

struct store_entry *store_index_at(const struct store_index *x, struct store_cursor at)
{
	return at.chunk < x->chunks.count ? x->chunks.items[at.chunk]->entries[at.entry] : NULL;
}

struct store_cursor store_index_next(const struct store_index *x, struct store_cursor at)
{
	at.entry++;
	if (at.entry == x->chunks.items[at.chunk]->count) {
		at.chunk++;
		at.entry = 0;
	}
	return at;
}

struct store_entry *store_index_find(const struct store_index *x, const char *key)
{
	struct store_entry *entry = store_index_at(x, seek(x, key, SIZE_MAX, false));
	return entry && strcmp(entry->key, key) == 0 ? entry : NULL;
}

static struct store_chunk *add_chunk(struct store_index *x, size_t at)
{
	struct store_chunk *chunk = mem_new(struct store_chunk);
	vec_push(&x->chunks, chunk);
	memmove(x->chunks.items + at + 1, x->chunks.items + at,
		(x->chunks.count - 1 - at) * sizeof(chunk));
	x->chunks.items[at] = chunk;
	return chunk;
}

static size_t count_live(const struct store_chunk *chunk, size_t from, size_t to)
{
	size_t live = 0;
	for (size_t i = from; i < to; i++)
		live += chunk->entries[i]->object != NULL;
	return live;
}

/* Moves the upper half of a full chunk into a new one behind it. Keys that come in ascending order
 * (the common case: names with a counter) leave the full chunk nearly full. */
static void split(struct store_index *x, size_t at, size_t keep)
{
	struct store_chunk *lower = x->chunks.items[at];
	struct store_chunk *upper = add_chunk(x, at + 1);
	upper->count = lower->count - keep;
	memcpy(upper->entries, lower->entries + keep, upper->count * sizeof(upper->entries[0]));
	lower->count = keep;
	lower->live = count_live(lower, 0, keep);
	upper->live = count_live(upper, 0, upper->count);
}

struct store_entry *store_index_add(struct store_index *x, const char *key)
{
	struct store_cursor at = seek(x, key, SIZE_MAX, false);
	struct store_entry *found = store_index_at(x, at);
	if (found && strcmp(found->key, key) == 0)
		return found;
	if (!x->chunks.count)
		add_chunk(x, 0);
	if (at.chunk == x->chunks.count) { /* above all: at the end of the last chunk */
		at.chunk--;
		at.entry = x->chunks.items[at.chunk]->count;
	}
	if (x->chunks.items[at.chunk]->count == STORE_CHUNK) {
		size_t keep = at.entry == STORE_CHUNK ? STORE_CHUNK - 1 : STORE_CHUNK / 2;
		split(x, at.chunk, keep);
		if (at.entry > keep) {
			at.chunk++;
			at.entry -= keep;
		}
	}
	struct store_chunk *chunk = x->chunks.items[at.chunk];
	size_t size = strlen(key) + 1;
	struct store_entry *entry = mem_alloc(sizeof(*entry) + size);
	memcpy(entry->key, key, size);
	memmove(chunk->entries + at.entry + 1, chunk->entries + at.entry,
		(chunk->count - at.entry) * sizeof(entry));
	chunk->entries[at.entry] = entry;
	chunk->count++;
	return entry;
}

void store_index_remove(struct store_index *x, struct store_entry *entry)
{
	store_index_set(x, entry, NULL);
	struct store_cursor at = seek(x, entry->key, SIZE_MAX, false);
	struct store_chunk *chunk = x->chunks.items[at.chunk];
	chunk->count--;
	memmove(chunk->entries + at.entry, chunk->entries + at.entry + 1,
		(chunk->count - at.entry) * sizeof(entry));
	free(entry);
	if (!chunk->count) {
		free(chunk);
		vec_remove(&x->chunks, at.chunk);
	}
}

void store_index_set(struct store_index *x, struct store_entry *entry, struct object *object)
{
	if (!entry->object != !object) {
		struct store_chunk *chunk =
			x->chunks.items[seek(x, entry->key, SIZE_MAX, false).chunk];
		if (object)
			chunk->live++;
		else
			chunk->live--;
	}
	object_unref(entry->object);
	entry->object = object;
}

int64_t store_index_count(const struct store_index *x, struct store_cursor from,
	struct store_cursor to)
{
	size_t live = 0;
	for (size_t c = from.chunk; c < x->chunks.count && c <= to.chunk; c++) {
		const struct store_chunk *chunk = x->chunks.items[c];
		size_t first = c == from.chunk ? from.entry : 0;
		size_t end = c == to.chunk ? to.entry : chunk->count;
		if (first == 0 && end == chunk->count)
			live += chunk->live;
		else if (first < end)
			live += count_live(chunk, first, end);
	}
	return (int64_t)live;
}
