/*
 * Memory that is freed all at once: one arena per request or per reconcile pass. Not thread safe.
 * Aborts when the system has no memory; what comes from outside is capped before it gets here.
 */
#ifndef CONTINUO_BASE_ARENA_H
#define CONTINUO_BASE_ARENA_H

#include <stddef.h>

#include "base/attr.h"

struct arena_block;
struct arena {
	struct arena_block *blocks; /* newest first */
};

void arena_done(
	struct arena *a); /* frees everything; for CLEANUP too; the arena can be used again */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;    /* zeroed, aligned for any type */
char *arena_dup(struct arena *a, const char *text) MUST_CHECK; /* null stays null */
char *arena_format(struct arena *a, const char *format, ...) MUST_CHECK PRINTF_LIKE(2, 3);

#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_new_array(a, count, type) ((type *)arena_alloc((a), (count) * sizeof(type)))

#endif
