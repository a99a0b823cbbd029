/* Small questions about strings that the C library does not answer. */
#ifndef CONTINUO_BASE_STR_H
#define CONTINUO_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

bool str_equal(const char *a, const char *b); /* null equals only null */
bool str_empty(const char *text);             /* null counts as empty */
bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);

/* Copies text into a fixed array; false (and "" in it) when it does not fit. */
bool str_copy(char *ret_text, size_t size, const char *text);

/* How many of text's size bytes (at least one) are the first character (UTF-8, RFC 3629). Where
 * none begins, *ret_valid is false and the result is what one U+FFFD stands for: a byte that cannot
 * begin one, or the part of a character that broke off ("maximal subpart", Unicode 15,
 * section 3.9). */
size_t str_character(const char *text, size_t size, bool *ret_valid);

/* How much of text fits into limit bytes without cutting a character. */
size_t str_cut(const char *text, size_t limit);

/* Takes away the beginning of a character at the end of text: snprintf() and buffers that are full
 * cut between any two bytes. */
void str_end_whole(char *text);

/* A whole decimal number, nothing before or behind it. -ERR_DECODE names what and the text. */
int str_to_int64(const char *text, const char *what, int64_t *ret_number, struct err *e) MUST_CHECK;

/* Lower-case hexadecimal of size bytes; ret_text holds 2 * size + 1 characters. */
void str_hex(const void *data, size_t size, char *ret_text);

#endif
