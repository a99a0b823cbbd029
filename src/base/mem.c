#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_abort(void *memory)
{
	if (memory)
		return memory;
	static const char text[] = "level=fatal event=out_of_memory\n";
	fwrite(text, 1, sizeof(text) - 1, stderr);
	abort();
}

void *mem_alloc(size_t size)
{
	return or_abort(calloc(1, size ? size : 1));
}

void *mem_alloc_array(size_t count, size_t size)
{
	return or_abort(calloc(count ? count : 1, size ? size : 1));
}

void *mem_alloc_aligned(size_t size, size_t alignment)
{
	void *memory = NULL;
	if (posix_memalign(&memory, alignment, size ? size : 1) != 0)
		memory = NULL;
	return or_abort(memory);
}

void *mem_resize(void *memory, size_t size)
{
	return or_abort(realloc(memory, size ? size : 1));
}

char *mem_dup_bytes(const void *data, size_t size)
{
	char *copy = or_abort(malloc(size + 1));
	if (size)
		memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

char *mem_dup_string(const char *text)
{
	return text ? mem_dup_bytes(text, strlen(text)) : NULL;
}

char *mem_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int size = vasprintf(&text, format, args);
	va_end(args);
	return or_abort(size < 0 ? NULL : text);
}

void mem_free_ptr(void *pointer_variable)
{
	free(*(void **)pointer_variable);
}
