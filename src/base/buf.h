/*
 * A growable byte buffer with a ceiling. Invariants: data is null or NUL terminated at data[size];
 * size <= limit. An append that would pass the limit, or that the system has no memory for, changes
 * nothing and marks the buffer as failed; later appends are ignored, so a writer can append freely
 * and check once at the end. Owned by whoever initialised it; not thread safe.
 */
#ifndef CONTINUO_BASE_BUF_H
#define CONTINUO_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BUF_LIMIT_DEFAULT ((size_t)64 << 20)

struct buf {
	char *data;
	size_t size;
	size_t capacity;
	size_t limit; /* bytes; 0 means BUF_LIMIT_DEFAULT */
	bool failed;
};

#define BUF_INIT ((struct buf){0})
#define BUF_INIT_LIMIT(limit_bytes) ((struct buf){.limit = (limit_bytes)})

void buf_done(struct buf *b);  /* frees the data; the struct can be used again; for CLEANUP too */
void buf_clear(struct buf *b); /* size 0, memory kept, failed reset */
int buf_reserve(struct buf *b, size_t extra); /* room for extra more bytes; -ERR_TOO_LARGE */

void buf_append(struct buf *b, const void *data, size_t size);
void buf_append_string(struct buf *b, const char *text);
void buf_append_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_consume(struct buf *b, size_t size); /* drops the first size bytes */

/* Returns 0, or -ERR_TOO_LARGE with a sentence that names what and the limit. */
int buf_check(const struct buf *b, const char *what, struct err *e) MUST_CHECK;

/* Hands out the data (NUL terminated, never null, freed with free()) and empties the buffer. */
char *buf_take(struct buf *b, size_t *ret_size) MUST_CHECK;

/* The text so far, "" when empty; valid until the next change. */
const char *buf_text(const struct buf *b);

#endif
