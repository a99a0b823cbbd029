#include "codec/yaml_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 64 /* bytes; what is longer is a string */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const true_words[] = {
	"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL};
static const char *const false_words[] = {
	"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL};
static const char *const endless_words[] = {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf",
	"+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", NULL};

/* Without underscores, as they may stand anywhere in a number. */
static void strip(const char *text, char *ret_plain)
{
	for (; *text; text++)
		if (*text != '_')
			*ret_plain++ = *text;
	*ret_plain = '\0';
}

/* Go's strconv.ParseInt with base 0: 0x, 0o, 0b, and a leading 0 for octal. */
static json_t *integer_of(const char *plain)
{
	const char *digits = *plain == '-' || *plain == '+' ? plain + 1 : plain;
	int base = 10;
	if (digits[0] == '0' && digits[1]) {
		char c = (char)(digits[1] | 0x20);
		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		digits += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	/* strtoull would take space, a sign and a prefix of its own here. */
	char first = *digits;
	if (!(first >= '0' && first <= '9') &&
		!(base == 16 && ((first | 0x20) >= 'a' && (first | 0x20) <= 'f')))
		return NULL;
	char *end = NULL;
	errno = 0;
	unsigned long long value = strtoull(digits, &end, base);
	if (*end || (base == 16 && digits[1] && (digits[1] | 0x20) == 'x'))
		return NULL;
	bool negative = *plain == '-';
	if (errno || value > (uint64_t)INT64_MAX + negative)
		return NULL; /* too large: a float */
	return json_integer(negative ? (json_int_t)(0 - value) : (json_int_t)value);
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *p)
{
	p += *p == '-' || *p == '+';
	size_t whole = strspn(p, "0123456789"), part = 0;
	p += whole;
	if (*p == '.') {
		part = strspn(++p, "0123456789");
		p += part;
	}
	if (!whole && !part)
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '-' || *p == '+';
		size_t digits = strspn(p, "0123456789");
		if (!digits)
			return false;
		p += digits;
	}
	return !*p;
}

json_t *yaml_resolve(const char *text, size_t size)
{
	char plain[NUMBER_MAX + 1];
	if (size > NUMBER_MAX || strlen(text) != size)
		return json_stringn(text, size);
	if (is_one_of(text, null_words))
		return json_null();
	if (is_one_of(text, true_words))
		return json_true();
	if (is_one_of(text, false_words))
		return json_false();
	if (is_one_of(text, endless_words))
		return NULL;
	if (!strchr("+-.0123456789", *text))
		return json_stringn(text, size);
	strip(text, plain);
	json_t *integer = integer_of(plain);
	if (integer)
		return integer;
	if (is_float(plain))
		return json_real(strtod(plain, NULL)); /* null when it overflows */
	return json_stringn(text, size);
}
