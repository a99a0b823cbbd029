/*
 * A hash map from strings to pointers that is walked in the order of insertion, so that whatever is
 * computed from a walk is the same in every run. Keys are copied. Hashed with SipHash-1-3 under a
 * process-wide key (map_seed), since keys come from outside.
 * Not thread safe. Put and remove during a walk: removing the current entry is allowed, putting is
 * not.
 */
#ifndef CONTINUO_BASE_MAP_H
#define CONTINUO_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_entry {
	char *key; /* null: removed */
	void *value;
	uint32_t hash;
};

struct map {
	struct map_entry *entries; /* in order of insertion, with gaps */
	size_t used;               /* entries, gaps included */
	size_t count;              /* entries, without gaps */
	size_t capacity;
	uint32_t *slots; /* index into entries + 1; 0: free, UINT32_MAX: removed */
	size_t slot_count;
	void (*free_value)(void *value); /* null: values are not owned */
};

void map_seed(uint64_t key0, uint64_t key1); /* once, by main, before any map exists */

void map_init(struct map *m,
	void (*free_value)(void *value)); /* zeroed is fine when values are not owned */
void map_done(struct map *m);
void *map_get(const struct map *m, const char *key); /* null when absent */
bool map_has(const struct map *m, const char *key);
void map_put(struct map *m, const char *key, void *value); /* frees a value that it replaces */
bool map_remove(struct map *m, const char *key);           /* frees the value; false when absent */
void *map_take(struct map *m, const char *key);            /* removes without freeing the value */

/* Walks: for (size_t i = 0; (e = map_next(m, &i));) */
const struct map_entry *map_next(const struct map *m, size_t *position);

#define MAP_EACH(m, entry)                                                                         \
	for (size_t entry##_at = 0, entry##_once = 1; entry##_once; entry##_once = 0)              \
		for (const struct map_entry *entry; (entry = map_next((m), &entry##_at));)

#endif
