#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SLOT_REMOVED UINT32_MAX

static uint64_t seed0 = 0x636f6e74696e756fULL, seed1 = 0x6d6170206f726465ULL;

void map_seed(uint64_t key0, uint64_t key1)
{
	seed0 = key0;
	seed1 = key1;
}

static uint64_t rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein: SipHash, a fast short-input PRF; 2012, with fewer rounds). */
static uint32_t hash_of(const char *key)
{
	size_t size = strlen(key);
	uint64_t v[4] = {seed0 ^ 0x736f6d6570736575ULL, seed1 ^ 0x646f72616e646f6dULL,
		seed0 ^ 0x6c7967656e657261ULL, seed1 ^ 0x7465646279746573ULL};
	uint64_t last = (uint64_t)size << 56;
	const unsigned char *p = (const unsigned char *)key;
	for (; size >= 8; p += 8, size -= 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < size; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
	return (uint32_t)(h ^ (h >> 32));
}

void map_init(struct map *m, void (*free_value)(void *value))
{
	*m = (struct map){.free_value = free_value};
}

static void free_value(const struct map *m, void *value)
{
	if (m->free_value && value)
		m->free_value(value);
}

void map_done(struct map *m)
{
	for (size_t i = 0; i < m->used; i++) {
		if (!m->entries[i].key)
			continue;
		free(m->entries[i].key);
		free_value(m, m->entries[i].value);
	}
	free(m->entries);
	free(m->slots);
	*m = (struct map){.free_value = m->free_value};
}

/* The slot of a key, or SIZE_MAX. */
static size_t find_slot(const struct map *m, const char *key, uint32_t hash)
{
	if (!m->slot_count)
		return SIZE_MAX;
	for (size_t i = hash & (m->slot_count - 1);; i = (i + 1) & (m->slot_count - 1)) {
		uint32_t slot = m->slots[i];
		if (slot == 0)
			return SIZE_MAX;
		if (slot == SLOT_REMOVED)
			continue;
		const struct map_entry *e = &m->entries[slot - 1];
		if (e->hash == hash && strcmp(e->key, key) == 0)
			return i;
	}
}

static void place(struct map *m, uint32_t index)
{
	size_t i = m->entries[index].hash & (m->slot_count - 1);
	while (m->slots[i] != 0)
		i = (i + 1) & (m->slot_count - 1);
	m->slots[i] = index + 1;
}

/* Closes the gaps and makes room for one more entry; the slots stay at most half full. */
static void rebuild(struct map *m)
{
	size_t kept = 0;
	for (size_t i = 0; i < m->used; i++)
		if (m->entries[i].key)
			m->entries[kept++] = m->entries[i];
	m->used = kept;
	size_t capacity = 8;
	while (capacity < kept * 2)
		capacity *= 2;
	if (capacity >= UINT32_MAX / 4)
		abort();
	m->entries = mem_resize(m->entries, capacity * sizeof(*m->entries));
	m->capacity = capacity;
	free(m->slots);
	m->slot_count = capacity * 2;
	m->slots = mem_alloc_array(m->slot_count, sizeof(*m->slots));
	for (size_t i = 0; i < kept; i++)
		place(m, (uint32_t)i);
}

void *map_get(const struct map *m, const char *key)
{
	size_t slot = find_slot(m, key, hash_of(key));
	return slot == SIZE_MAX ? NULL : m->entries[m->slots[slot] - 1].value;
}

bool map_has(const struct map *m, const char *key)
{
	return find_slot(m, key, hash_of(key)) != SIZE_MAX;
}

void map_put(struct map *m, const char *key, void *value)
{
	uint32_t hash = hash_of(key);
	size_t slot = find_slot(m, key, hash);
	if (slot != SIZE_MAX) {
		struct map_entry *e = &m->entries[m->slots[slot] - 1];
		if (e->value != value)
			free_value(m, e->value);
		e->value = value;
		return;
	}
	if (m->used == m->capacity)
		rebuild(m);
	m->entries[m->used] = (struct map_entry){mem_dup_string(key), value, hash};
	/* A slot marked as removed is never reused in between, so that rebuild bounds the walk. */
	place(m, (uint32_t)m->used);
	m->used++;
	m->count++;
}

void *map_take(struct map *m, const char *key)
{
	size_t slot = find_slot(m, key, hash_of(key));
	if (slot == SIZE_MAX)
		return NULL;
	struct map_entry *e = &m->entries[m->slots[slot] - 1];
	void *value = e->value;
	free(e->key);
	*e = (struct map_entry){0};
	m->slots[slot] = SLOT_REMOVED;
	m->count--;
	return value;
}

bool map_remove(struct map *m, const char *key)
{
	if (!map_has(m, key))
		return false;
	free_value(m, map_take(m, key));
	return true;
}

const struct map_entry *map_next(const struct map *m, size_t *position)
{
	while (*position < m->used) {
		const struct map_entry *e = &m->entries[(*position)++];
		if (e->key)
			return e;
	}
	return NULL;
}
