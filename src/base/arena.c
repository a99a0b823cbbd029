#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BLOCK_SIZE ((size_t)4096)

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	_Alignas(max_align_t) char data[];
};

void arena_done(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t aligned = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (aligned < size)
		abort();
	struct arena_block *b = a->blocks;
	if (!b || b->size - b->used < aligned) {
		size_t block_size = aligned > BLOCK_SIZE ? aligned : BLOCK_SIZE;
		b = mem_alloc(sizeof(*b) + block_size);
		b->size = block_size;
		b->next = a->blocks;
		a->blocks = b;
	}
	void *memory = b->data + b->used;
	b->used += aligned;
	return memory;
}

char *arena_dup(struct arena *a, const char *text)
{
	if (!text)
		return NULL;
	size_t size = strlen(text) + 1;
	return memcpy(arena_alloc(a, size), text, size);
}

char *arena_format(struct arena *a, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	int size = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (size < 0)
		abort();
	char *text = arena_alloc(a, (size_t)size + 1);
	vsnprintf(text, (size_t)size + 1, format, again);
	va_end(again);
	return text;
}
