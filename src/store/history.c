#include <stdlib.h>

#include "base/mem.h"
#include "store/core.h"

struct store_change *store_history_at(const struct store_history *h, uint64_t position)
{
	return h->ring[position & (h->capacity - 1)];
}

static void grow(struct store_history *h)
{
	size_t capacity = h->capacity ? h->capacity * 2 : 256;
	struct store_change **ring = mem_alloc_array(capacity, sizeof(struct store_change *));
	for (uint64_t p = h->first; p < h->end; p++)
		ring[p & (capacity - 1)] = store_history_at(h, p);
	free(h->ring);
	h->ring = ring;
	h->capacity = capacity;
}

void store_history_add(struct store *s, struct store_change *change)
{
	struct store_history *h = &s->history;
	if (h->end - h->first == h->capacity)
		grow(h);
	if (h->first == h->end || store_history_at(h, h->end - 1)->revision != change->revision)
		h->revisions++;
	h->ring[h->end++ & (h->capacity - 1)] = change;
	struct store_entry *entry = change->entry;
	change->older = entry->newest;
	if (change->older)
		change->older->newer = change;
	entry->newest = change;
	entry->row = change->object ? change->row : 0;
	store_index_set(&s->index, entry, change->object ? object_ref(change->object) : NULL);
}

uint64_t store_history_seek(const struct store_history *h, int64_t revision)
{
	uint64_t low = h->first, high = h->end;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (store_history_at(h, middle)->revision <= revision)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void free_change(struct store_change *change)
{
	object_unref(change->object);
	object_unref(change->previous);
	free(change);
}

/* The oldest change leaves: the state before it can no longer be asked for. */
static void trim_one(struct store *s)
{
	struct store_history *h = &s->history;
	struct store_change *change = store_history_at(h, h->first++);
	struct store_entry *entry = change->entry;
	if (change->previous_row)
		vec_push(&s->drops, change->previous_row);
	if (!change->object && change->row)
		vec_push(&s->drops, change->row);
	if (change->newer)
		change->newer->older = NULL;
	else
		entry->newest = NULL;
	if (!entry->newest && !entry->object)
		store_index_remove(&s->index, entry);
	if (h->first == h->end || store_history_at(h, h->first)->revision != change->revision)
		h->revisions--;
	free_change(change);
}

void store_history_trim(struct store *s, int64_t revision)
{
	struct store_history *h = &s->history;
	while (h->first < h->end && store_history_at(h, h->first)->revision <= revision)
		trim_one(s);
	if (s->compacted < revision)
		s->compacted = revision;
}

void store_history_trim_excess(struct store *s)
{
	struct store_history *h = &s->history;
	while (h->revisions > STORE_HISTORY)
		store_history_trim(s, store_history_at(h, h->first)->revision);
}

void store_history_done(struct store_history *h)
{
	for (uint64_t p = h->first; p < h->end; p++)
		free_change(store_history_at(h, p));
	free(h->ring);
	*h = (struct store_history){0};
}

struct object *store_entry_at(const struct store_entry *entry, int64_t revision)
{
	struct object *object = entry->object;
	for (const struct store_change *c = entry->newest; c && c->revision > revision;
		c = c->older)
		object = c->previous;
	return object;
}
