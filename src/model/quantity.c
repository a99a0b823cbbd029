#include "model/quantity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/model.h"

#define NANO_DIGITS 9
#define MANTISSA_MAX ((uint64_t)1000000000000000000) /* 10^18: more digits are rounded */

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
static bool read_digits(const char **at, uint64_t *ret_mantissa, int *ret_power, bool *ret_rest)
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
			*ret_mantissa = *ret_mantissa * 10 + (uint64_t)(*p - '0');
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

/* A whole number below 10^45, the lowest nine digits first: not every machine has integers of 128
 * bits, and a mantissa times 2^60 wants 124. */
struct wide {
	uint32_t limbs[5];
};

static bool wide_multiply(struct wide *w, uint32_t factor)
{
	uint64_t carry = 0;
	for (size_t i = 0; i < ARRAY_SIZE(w->limbs); i++) {
		carry += (uint64_t)w->limbs[i] * factor;
		w->limbs[i] = (uint32_t)(carry % QUANTITY_BILLION);
		carry /= QUANTITY_BILLION;
	}
	return carry == 0;
}

/* Whether there is a rest. */
static bool wide_divide(struct wide *w, uint32_t divisor)
{
	uint64_t rest = 0;
	for (size_t i = ARRAY_SIZE(w->limbs); i-- > 0;) {
		rest = rest * QUANTITY_BILLION + w->limbs[i];
		w->limbs[i] = (uint32_t)(rest / divisor);
		rest %= divisor;
	}
	return rest != 0;
}

static bool wide_increment(struct wide *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->limbs); i++) {
		if (++w->limbs[i] < QUANTITY_BILLION)
			return true;
		w->limbs[i] = 0;
	}
	return false;
}

/* mantissa * 2^two * 10^ten, rounded up; false when it does not fit. */
static bool scale(uint64_t mantissa, int two, int ten, bool rest, struct wide *ret_wide)
{
	const uint64_t billion = QUANTITY_BILLION;
	struct wide w = {{(uint32_t)(mantissa % billion), (uint32_t)(mantissa / billion % billion),
		(uint32_t)(mantissa / billion / billion)}};
	for (; two > 0; two -= 10)
		if (!wide_multiply(&w, 1024))
			return false;
	for (; ten > 0 && mantissa; ten--)
		if (!wide_multiply(&w, 10))
			return false;
	for (; ten < 0; ten++)
		rest |= wide_divide(&w, 10);
	*ret_wide = w;
	return !rest || wide_increment(ret_wide);
}

int quantity_parse(const char *text, struct quantity *ret_quantity,
	enum quantity_format *ret_format, struct err *e)
{
	const char *p = text;
	bool negative = *p == '-', rest = false;
	if (*p == '-' || *p == '+')
		p++;
	uint64_t mantissa = 0, billion = QUANTITY_BILLION;
	int ten = 0, two = 0;
	if (!read_digits(&p, &mantissa, &ten, &rest) || !read_suffix(p, &ten, &two, ret_format))
		return bad(text, e);
	struct wide w;
	bool fits = scale(mantissa, two, ten + NANO_DIGITS, rest, &w) && w.limbs[3] < 10 &&
		    w.limbs[4] == 0;
	uint64_t units =
		fits ? (w.limbs[3] * billion + w.limbs[2]) * billion + w.limbs[1] : UINT64_MAX;
	if (units > INT64_MAX || (units == INT64_MAX && w.limbs[0] > 0))
		return err_set(e, ERR_INVALID, "quantity \"%.60s\" is out of range", text);
	int sign = negative ? -1 : 1;
	*ret_quantity = (struct quantity){(int64_t)units * sign, (int32_t)w.limbs[0] * sign};
	return 0;
}

int quantity_compare(struct quantity a, struct quantity b)
{
	if (a.units != b.units)
		return a.units < b.units ? -1 : 1;
	return a.nano < b.nano ? -1 : a.nano > b.nano;
}

/* In parts of a unit, such as 1000, rounded away from zero. */
static int rounded(const char *text, int32_t parts, int64_t *ret_value, struct err *e)
{
	struct quantity q = {0};
	enum quantity_format format;
	int64_t value = 0;
	int r = quantity_parse(text, &q, &format, e);
	if (r < 0)
		return r;
	int32_t size = QUANTITY_BILLION / parts, below = q.nano / size;
	if (q.nano % size)
		below += q.nano < 0 ? -1 : 1;
	if (__builtin_mul_overflow(q.units, (int64_t)parts, &value) ||
		__builtin_add_overflow(value, (int64_t)below, &value))
		return err_set(e, ERR_INVALID, "quantity \"%.60s\" is out of range", text);
	*ret_value = value;
	return 0;
}

int quantity_milli(const char *text, int64_t *ret_milli, struct err *e)
{
	return rounded(text, 1000, ret_milli, e);
}

int quantity_units(const char *text, int64_t *ret_units, struct err *e)
{
	return rounded(text, 1, ret_units, e);
}

int quantity_number(const char *text, double *ret_number, struct err *e)
{
	struct quantity q;
	enum quantity_format format;
	int r = quantity_parse(text, &q, &format, e);
	if (r == 0)
		*ret_number = (double)q.units + (double)q.nano / QUANTITY_BILLION;
	return r;
}

/* The largest power of 1000 that leaves no fraction. */
static void format_decimal(struct quantity q, bool exponent,
	char ret_text[static QUANTITY_TEXT_SIZE])
{
	static const char *const names[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
	const char *sign = q.units < 0 || q.nano < 0 ? "-" : "";
	uint64_t units = (uint64_t)(q.units < 0 ? -q.units : q.units);
	int nano = q.nano < 0 ? -q.nano : q.nano, width = NANO_DIGITS;
	size_t step = 0;
	for (; step < 3 && nano % 1000 == 0; step++, width -= 3)
		nano /= 1000;
	for (; step >= 3 && units && units % 1000 == 0 && step + 1 < ARRAY_SIZE(names); step++)
		units /= 1000;
	char digits[48];
	if (width > 0 && units)
		snprintf(digits, sizeof(digits), "%s%" PRIu64 "%0*d", sign, units, width, nano);
	else
		snprintf(digits, sizeof(digits), "%s%" PRIu64, sign,
			width > 0 ? (uint64_t)nano : units);
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
	struct quantity q = {0};
	enum quantity_format format;
	int r = quantity_parse(text, &q, &format, e);
	if (r < 0)
		return r;
	bool small = q.units < 1024 && q.units > -1024;
	if (format != QUANTITY_BINARY || small) {
		format_decimal(q, format == QUANTITY_EXPONENT, ret_text);
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
	struct quantity q = {milli / 1000, (int32_t)(milli % 1000) * 1000000};
	format_decimal(q, false, text);
	(void)str_copy(ret_text, 32, text);
}

void quantity_format_bytes(int64_t bytes, char ret_text[static 32])
{
	format_binary(bytes, ret_text, 32);
}
