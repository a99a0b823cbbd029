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
