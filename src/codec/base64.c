#include "codec/base64.h"

#include <stdint.h>
#include <string.h>

static const char standard_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(const void *data, size_t size, const char *digits, bool padded, struct buf *b)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t group = (uint32_t)p[i] << 16;
		if (left > 1)
			group |= (uint32_t)p[i + 1] << 8;
		if (left > 2)
			group |= p[i + 2];
		char out[4] = {digits[group >> 18], digits[group >> 12 & 63],
			left > 1 ? digits[group >> 6 & 63] : '=',
			left > 2 ? digits[group & 63] : '='};
		buf_append(b, out, padded || left > 2 ? 4 : left + 1);
	}
}

void base64_encode(const void *data, size_t size, struct buf *b)
{
	encode(data, size, standard_digits, true, b);
}

void base64url_encode(const void *data, size_t size, struct buf *b)
{
	encode(data, size, url_digits, false, b);
}

static int value_of(char c, const char *last_two)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == last_two[0])
		return 62;
	return c == last_two[1] ? 63 : -1;
}

/* Decodes digits without padding. A last group of one digit, and bits that no byte takes, are
 * errors: every byte string has one encoding. */
static int decode(const char *text, size_t size, const char *last_two, struct buf *b, struct err *e)
{
	uint32_t group = 0;
	int bits = 0;
	if (size % 4 == 1)
		return err_set(e, ERR_DECODE, "base64 text is cut short");
	for (size_t i = 0; i < size; i++) {
		int value = value_of(text[i], last_two);
		if (value < 0)
			return err_set(e, ERR_DECODE, "illegal base64 data at input byte %zu", i);
		group = group << 6 | (uint32_t)value;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_append_char(b, (char)(group >> bits & 0xff));
		}
	}
	if (group & ((1u << bits) - 1))
		return err_set(e, ERR_DECODE, "base64 text has stray bits at its end");
	return buf_check(b, "base64 data", e);
}

int base64_decode(const char *text, size_t size, struct buf *b, struct err *e)
{
	if (size % 4 != 0)
		return err_set(e, ERR_DECODE,
			"illegal base64 data: %zu characters are not a multiple of 4", size);
	size_t digits = size;
	while (digits > 0 && size - digits < 2 && text[digits - 1] == '=')
		digits--;
	return decode(text, digits, "+/", b, e);
}

int base64url_decode(const char *text, size_t size, struct buf *b, struct err *e)
{
	return decode(text, size, "-_", b, e);
}
