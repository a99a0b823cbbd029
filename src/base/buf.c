#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){.limit = b->limit};
}

void buf_clear(struct buf *b)
{
	b->size = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

static size_t limit_of(const struct buf *b)
{
	return b->limit ? b->limit : BUF_LIMIT_DEFAULT;
}

int buf_reserve(struct buf *b, size_t extra)
{
	if (b->failed)
		return -ERR_TOO_LARGE;
	if (extra > limit_of(b) - b->size) {
		b->failed = true;
		return -ERR_TOO_LARGE;
	}
	size_t need = b->size + extra + 1;
	if (need <= b->capacity)
		return 0;
	size_t capacity = b->capacity ? b->capacity : 64;
	while (capacity < need)
		capacity *= 2;
	char *data = realloc(b->data, capacity);
	if (!data) {
		b->failed = true;
		return -ERR_TOO_LARGE;
	}
	b->data = data;
	b->capacity = capacity;
	return 0;
}

void buf_append(struct buf *b, const void *data, size_t size)
{
	if (buf_reserve(b, size) < 0)
		return;
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
	b->data[b->size] = '\0';
}

void buf_append_string(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void buf_append_char(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	int size = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (size >= 0 && buf_reserve(b, (size_t)size) == 0) {
		vsnprintf(b->data + b->size, (size_t)size + 1, format, again);
		b->size += (size_t)size;
	}
	va_end(again);
}

void buf_consume(struct buf *b, size_t size)
{
	if (size > b->size)
		size = b->size;
	if (!size)
		return;
	memmove(b->data, b->data + size, b->size - size);
	b->size -= size;
	b->data[b->size] = '\0';
}

int buf_check(const struct buf *b, const char *what, struct err *e)
{
	if (!b->failed)
		return 0;
	return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", what, limit_of(b));
}

char *buf_take(struct buf *b, size_t *ret_size)
{
	if (ret_size)
		*ret_size = b->size;
	char *data = b->data ? b->data : mem_dup_bytes("", 0);
	*b = (struct buf){.limit = b->limit};
	return data;
}

const char *buf_text(const struct buf *b)
{
	return b->data ? b->data : "";
}
