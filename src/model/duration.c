#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "model/model.h"

#define DIGITS_MAX 15 /* before the point; a double holds them exactly */

static const struct {
	const char *text;
	double ms;
} units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"\u00b5s", 1e-3}, {"ms", 1}, {"s", 1000}, {"m", 60000},
	{"h", 3600000}};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "1.5", ".5", "1."; what follows is at *at then. */
static bool read_number(const char **at, double *ret_number)
{
	const char *p = *at;
	double number = 0, place = 1;
	size_t whole = 0, part = 0;
	for (; is_digit(*p); p++, whole++)
		number = number * 10 + (*p - '0');
	if (*p == '.')
		for (p++; is_digit(*p); p++, part++)
			number += (*p - '0') * (place /= 10);
	*at = p;
	*ret_number = number;
	return (whole || part) && whole <= DIGITS_MAX;
}

static bool read_unit(const char **at, double *ret_ms)
{
	size_t size = strcspn(*at, "0123456789.");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strlen(units[i].text) != size || strncmp(*at, units[i].text, size) != 0)
			continue;
		*at += size;
		*ret_ms = units[i].ms;
		return true;
	}
	return false;
}

int duration_ms(const char *text, double *ret_ms, struct err *e)
{
	double sum = 0;
	const char *p = text;
	if (str_equal(text, "0"))
		p = text + 1;
	else if (!*text)
		return err_set(e, ERR_DECODE, "an empty duration");
	while (*p) {
		double number, unit;
		if (!read_number(&p, &number) || !read_unit(&p, &unit))
			return err_set(e, ERR_DECODE,
				"\"%.60s\" is no duration such as '20ms' or '1m30s'", text);
		sum += number * unit;
	}
	*ret_ms = sum;
	return 0;
}
