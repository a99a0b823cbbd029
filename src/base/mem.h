/*
 * Memory of our own fixed sizes. These abort when the system has none left (the process is
 * crash-only and restarts from disk). Sizes that come from outside are capped by the caller first;
 * where they may fail they go through struct buf, which returns an error instead.
 */
#ifndef CONTINUO_BASE_MEM_H
#define CONTINUO_BASE_MEM_H

#include <stddef.h>

#include "base/attr.h"

void *
mem_alloc(size_t size) MUST_CHECK; /* zeroed; aborts on failure; size 0 gives a unique pointer */
void *mem_alloc_array(size_t count, size_t size) MUST_CHECK; /* zeroed; aborts on overflow too */
/* Not zeroed. alignment: a power of two, sizeof(void *) or more. */
void *mem_alloc_aligned(size_t size, size_t alignment) MUST_CHECK;
void *mem_resize(void *memory, size_t size) MUST_CHECK; /* like realloc; aborts on failure */
char *mem_dup_string(const char *text) MUST_CHECK;      /* null stays null; freed with free() */
char *mem_dup_bytes(const void *data, size_t size) MUST_CHECK;          /* with a NUL behind it */
char *mem_format(const char *format, ...) MUST_CHECK PRINTF_LIKE(1, 2); /* freed with free() */

#define mem_new(type) ((type *)mem_alloc(sizeof(type)))

/* For CLEANUP(mem_free_ptr): frees what the pointer variable points to. */
void mem_free_ptr(void *pointer_variable);

/* Hands a pointer out of the scope that would clean it up: `return take_ptr(thing);` */
#define take_ptr(variable)                                                                         \
	({                                                                                         \
		__typeof__(variable) taken_ = (variable);                                          \
		(variable) = NULL;                                                                 \
		taken_;                                                                            \
	})

#endif
