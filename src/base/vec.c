#include "base/vec.h"

#include <string.h>

#include "base/mem.h"

void *vec_add_item(void **items, size_t *count, size_t *capacity, size_t size)
{
	if (*count == *capacity) {
		size_t larger = *capacity ? *capacity * 2 : 8;
		if (larger > (size_t)-1 / size)
			abort();
		*items = mem_resize(*items, larger * size);
		*capacity = larger;
	}
	void *item = (char *)*items + *count * size;
	memset(item, 0, size);
	*count += 1;
	return item;
}

void vec_remove_item(void *items, size_t *count, size_t index, size_t size)
{
	if (index >= *count)
		abort();
	char *item = (char *)items + index * size;
	memmove(item, item + size, (*count - index - 1) * size);
	*count -= 1;
}
