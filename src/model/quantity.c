#include "model/quantity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/model.h"

#define NANO_DIGITS 9
#define DIGITS_SIZE 48
#define MANTISSA_MAX ((quantity_nano)1000000000000000000) /* 10^18: more digits are rounded */

struct suffix {
	const char *text;
	int power_ten;
	int power_two;
};

static const struct suffix suffixes[] = {{"", 0, 0}, {"n", -9, 0}, {"u", -6, 0}, {"m", -3, 0},
	{"k", 3, 0}, {"M", 6, 0}, {"G", 9, 0}, {"T", 12, 0}, {"P", 15, 0}, {"E", 18, 0},
	{"Ki", 0, 10}, {"Mi", 0, 20}, {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60}};

static int bad(const char *text, struct err *e)
{
	return err_set(e, ERR_DECODE,
		"quantities must match the regular expression "
		"'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$', not \"%.60s\"",
		text);
}

/* Digits with at most one point. rest: whether digits were cut off below the mantissa. */
static bool read_digits(const char **at, quantity_nano *ret_mantissa, int *ret_power,
	bool *ret_rest)
{
	const char *p = *at;
	bool point = false, digits = false;
	for (; (*p >= '0' && *p <= '9') || (*p == '.' && !point); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		digits = true;
		if (*ret_mantissa < MANTISSA_MAX) {
			*ret_mantissa = *ret_mantissa * 10 + (*p - '0');
			*ret_power -= point;
		} else {
			*ret_rest |= *p != '0';
			*ret_power += !point;
		}
	}
	*at = p;
	return digits;
}

static bool read_suffix(const char *text, int *ret_ten, int *ret_two,
	enum quantity_format *ret_format)
{
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		if (strcmp(text, suffixes[i].text) != 0)
			continue;
		*ret_ten += suffixes[i].power_ten;
		*ret_two = suffixes[i].power_two;
		*ret_format = suffixes[i].power_two ? QUANTITY_BINARY : QUANTITY_DECIMAL;
		return true;
	}
	if (*text != 'e' && *text != 'E')
		return false;
	int64_t exponent = 0;
	const char *digits = text[1] == '+' ? text + 2 : text + 1;
	if ((text[1] == '+' && *digits == '-') ||
		str_to_int64(digits, "exponent", &exponent, NULL) < 0 || exponent > 99 ||
		exponent < -99)
		return false;
	*ret_ten += (int)exponent;
	*ret_format = QUANTITY_EXPONENT;
	return true;
}

/* mantissa * 10^ten, rounded up; false when it does not fit. */
static bool scale(quantity_nano *value, int ten, bool rest)
{
	for (; ten > 0; ten--)
		if (__builtin_mul_overflow(*value, (quantity_nano)10, value))
			return false;
	for (; ten < 0; ten++) {
		rest |= *value % 10 != 0;
		*value /= 10;
	}
	*value += rest;
	return true;
}

int quantity_parse(const char *text, quantity_nano *ret_nano, enum quantity_format *ret_format,
	struct err *e)
{
	const char *p = text;
	bool negative = *p == '-', rest = false;
	if (*p == '-' || *p == '+')
		p++;
	quantity_nano value = 0;
	int ten = 0, two = 0;
	if (!read_digits(&p, &value, &ten, &rest) || !read_suffix(p, &ten, &two, ret_format))
		return bad(text, e);
	/* 10^19 * 2^60 still fits. */
	value <<= two;
	const quantity_nano max = (quantity_nano)INT64_MAX * 1000000000;
	if ((value && !scale(&value, ten + NANO_DIGITS, rest)) || value > max)
		return err_set(e, ERR_INVALID, "quantity \"%.60s\" is out of range", text);
	*ret_nano = negative ? -value : value;
	return 0;
}

static int rounded(const char *text, quantity_nano unit, int64_t *ret_value, struct err *e)
{
	quantity_nano nano = 0;
	enum quantity_format format;
	int r = quantity_parse(text, &nano, &format, e);
	if (r < 0)
		return r;
	quantity_nano value = nano / unit;
	if (nano % unit)
		value += nano < 0 ? -1 : 1;
	if (value > INT64_MAX || value < INT64_MIN)
		return err_set(e, ERR_INVALID, "quantity \"%.60s\" is out of range", text);
	*ret_value = (int64_t)value;
	return 0;
}

int quantity_milli(const char *text, int64_t *ret_milli, struct err *e)
{
	return rounded(text, 1000000, ret_milli, e);
}

int quantity_units(const char *text, int64_t *ret_units, struct err *e)
{
	return rounded(text, 1000000000, ret_units, e);
}

static void format_digits(quantity_nano value, char ret_text[static DIGITS_SIZE])
{
	const uint64_t part = 1000000000000000000;
	unsigned __int128 rest = (unsigned __int128)(value < 0 ? -value : value);
	uint64_t high = (uint64_t)(rest / part), low = (uint64_t)(rest % part);
	const char *sign = value < 0 ? "-" : "";
	if (high)
		snprintf(ret_text, DIGITS_SIZE, "%s%" PRIu64 "%018" PRIu64, sign, high, low);
	else
		snprintf(ret_text, DIGITS_SIZE, "%s%" PRIu64, sign, low);
}

/* The largest power of 1000 that leaves no fraction. */
static void format_decimal(quantity_nano nano, bool exponent,
	char ret_text[static QUANTITY_TEXT_SIZE])
{
	static const char *const names[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
	size_t step = 0;
	while (nano && nano % 1000 == 0 && step + 1 < ARRAY_SIZE(names)) {
		nano /= 1000;
		step++;
	}
	if (!nano)
		step = 3;
	char digits[DIGITS_SIZE];
	format_digits(nano, digits);
	if (exponent && step != 3)
		snprintf(ret_text, QUANTITY_TEXT_SIZE, "%se%d", digits, (int)step * 3 - 9);
	else
		snprintf(ret_text, QUANTITY_TEXT_SIZE, "%s%s", digits, names[step]);
}

static void format_binary(int64_t value, char *ret_text, size_t size)
{
	static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	size_t step = 0;
	while (value && value % 1024 == 0 && step + 1 < ARRAY_SIZE(names)) {
		value /= 1024;
		step++;
	}
	snprintf(ret_text, size, "%" PRId64 "%s", value, names[step]);
}

int quantity_canonical(const char *text, char ret_text[static QUANTITY_TEXT_SIZE], struct err *e)
{
	quantity_nano nano = 0;
	enum quantity_format format;
	int r = quantity_parse(text, &nano, &format, e);
	if (r < 0)
		return r;
	const quantity_nano unit = 1000000000;
	bool small = nano < 1024 * unit && nano > -1024 * unit;
	if (format != QUANTITY_BINARY || small) {
		format_decimal(nano, format == QUANTITY_EXPONENT, ret_text);
		return 0;
	}
	int64_t value = 0;
	r = quantity_units(text, &value, e);
	if (r < 0)
		return r;
	format_binary(value, ret_text, QUANTITY_TEXT_SIZE);
	return 0;
}

void quantity_format_milli(int64_t milli, char ret_text[static 32])
{
	char text[QUANTITY_TEXT_SIZE];
	format_decimal((quantity_nano)milli * 1000000, false, text);
	(void)str_copy(ret_text, 32, text);
}

void quantity_format_bytes(int64_t bytes, char ret_text[static 32])
{
	format_binary(bytes, ret_text, 32);
}
