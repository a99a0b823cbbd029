#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool str_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_empty(const char *text)
{
	return !text || !*text;
}

bool str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
	size_t size = strlen(text), tail = strlen(suffix);
	return size >= tail && memcmp(text + size - tail, suffix, tail) == 0;
}

bool str_copy(char *ret_text, size_t size, const char *text)
{
	size_t length = strlen(text);
	if (length >= size) {
		if (size)
			ret_text[0] = '\0';
		return false;
	}
	memcpy(ret_text, text, length + 1);
	return true;
}

/* The ranges of the first two bytes, as in table 3-7 of the Unicode standard: neither overlong
 * forms nor surrogates nor anything behind U+10FFFF. 0: no character begins so. */
static size_t character_size(unsigned char first, unsigned char *ret_low, unsigned char *ret_high)
{
	*ret_low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	*ret_high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

size_t str_character(const char *text, size_t size, bool *ret_valid)
{
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned char low, high;
	size_t wanted = character_size(bytes[0], &low, &high), have = 1;
	while (have < wanted && have < size && bytes[have] >= low && bytes[have] <= high) {
		low = 0x80;
		high = 0xbf;
		have++;
	}
	*ret_valid = have == wanted;
	return have;
}

/* Where the last character of size bytes begins, if it lacks some of its bytes; else size. */
static size_t whole_size(const char *text, size_t size)
{
	for (size_t back = 1; back <= 3 && back <= size; back++) {
		unsigned char c = (unsigned char)text[size - back], low, high;
		if ((c & 0xc0) != 0x80)
			return character_size(c, &low, &high) > back ? size - back : size;
	}
	return size;
}

size_t str_cut(const char *text, size_t limit)
{
	size_t size = strnlen(text, limit);
	return size < limit ? size : whole_size(text, size);
}

void str_end_whole(char *text)
{
	text[whole_size(text, strlen(text))] = '\0';
}

int str_to_int64(const char *text, const char *what, int64_t *ret_number, struct err *e)
{
	char *end = NULL;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	bool digits =
		*text == '-' ? (text[1] >= '0' && text[1] <= '9') : (*text >= '0' && *text <= '9');
	if (errno || !digits || *end)
		return err_set(e, ERR_DECODE, "%s must be a whole number, not \"%.80s\"", what,
			text);
	*ret_number = number;
	return 0;
}

void str_hex(const void *data, size_t size, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;
	for (size_t i = 0; i < size; i++) {
		ret_text[2 * i] = digits[bytes[i] >> 4];
		ret_text[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret_text[2 * size] = '\0';
}
