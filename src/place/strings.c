#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "place/tables.h"

uint32_t place_find_index(const struct map *m, const char *key)
{
	uintptr_t found = (uintptr_t)map_get(m, key);
	return found ? (uint32_t)(found - 1) : PLACE_NONE;
}

void place_keep_index(struct map *m, const char *key, uint32_t index)
{
	map_put(m, key, (void *)((uintptr_t)index + 1));
}

uint32_t place_intern(struct place *p, const char *text)
{
	if (str_empty(text))
		return 0;
	uint32_t id = place_find_index(&p->string_ids, text);
	if (id != PLACE_NONE)
		return id;
	id = (uint32_t)p->strings.count;
	vec_push(&p->strings, mem_dup_string(text));
	place_keep_index(&p->string_ids, text, id);
	return id;
}

uint32_t place_resource(struct place *p, const char *name)
{
	uint32_t id = place_intern(p, name);
	for (uint32_t i = 0; i < p->resources.count; i++)
		if (p->resources.items[i] == id)
			return i;
	if (p->resources.count >= PLACE_RESOURCES_MAX)
		return PLACE_NONE;
	vec_push(&p->resources, id);
	return (uint32_t)(p->resources.count - 1);
}

uint32_t place_taint_index(struct place *p, const char *key, const char *value,
	enum place_effect effect)
{
	static const char *const effects[] = {
		[PLACE_NO_SCHEDULE] = "NoSchedule",
		[PLACE_PREFER_NO_SCHEDULE] = "PreferNoSchedule",
		[PLACE_NO_EXECUTE] = "NoExecute",
		[PLACE_ANY_EFFECT] = "",
	};
	struct taint t = {place_intern(p, key), place_intern(p, value), effect, 0};
	for (uint32_t i = 0; i < p->taints.count; i++) {
		const struct taint *have = &p->taints.items[i];
		if (have->key == t.key && have->value == t.value && have->effect == effect)
			return i;
	}
	char *text = mem_format("%s%s%s:%s", key, t.value ? "=" : "", place_text(p, t.value),
		effects[effect]);
	t.text = place_intern(p, text);
	free(text);
	vec_push(&p->taints, t);
	return (uint32_t)(p->taints.count - 1);
}

bool place_bits_get(const struct bits *b, uint32_t i)
{
	return i / 64 < b->word_count && (b->words[i / 64] >> (i % 64) & 1);
}

void place_bits_set(struct bits *b, uint32_t i, bool on)
{
	if (i / 64 >= b->word_count) {
		uint32_t words = (i / 64 + 1) * 2;
		b->words = mem_resize(b->words, words * sizeof(*b->words));
		memset(b->words + b->word_count, 0, (words - b->word_count) * sizeof(*b->words));
		b->word_count = words;
	}
	uint64_t bit = (uint64_t)1 << (i % 64);
	b->words[i / 64] = on ? b->words[i / 64] | bit : b->words[i / 64] & ~bit;
}

void place_bits_done(struct bits *b)
{
	free(b->words);
	*b = (struct bits){0};
}
