#include "base/time.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

static void split(int64_t wall_ms, struct tm *ret_tm, int *ret_ms)
{
	int64_t seconds = wall_ms / 1000;
	int ms = (int)(wall_ms % 1000);
	if (ms < 0) {
		ms += 1000;
		seconds--;
	}
	time_t t = (time_t)seconds;
	gmtime_r(&t, ret_tm);
	*ret_ms = ms;
}

void time_format(int64_t wall_ms, char ret_text[static TIME_TEXT_SIZE])
{
	struct tm tm;
	int ms;
	split(wall_ms, &tm, &ms);
	strftime(ret_text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void time_format_micro(int64_t wall_ms, char ret_text[static TIME_TEXT_SIZE])
{
	struct tm tm;
	int ms;
	split(wall_ms, &tm, &ms);
	size_t size = strftime(ret_text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret_text + size, TIME_TEXT_SIZE - size, ".%03d000Z", ms);
}

/* Reads "Z" or "+hh:mm" and gives the offset in seconds; false when it is neither. */
static int parse_offset(const char *text, int *ret_seconds)
{
	if ((*text == 'Z' || *text == 'z') && !text[1]) {
		*ret_seconds = 0;
		return 1;
	}
	int hours, minutes, end = 0;
	if ((*text != '+' && *text != '-') ||
		sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &end) != 2 || end != 5 || text[6] ||
		hours > 23 || minutes > 59)
		return 0;
	*ret_seconds = (hours * 3600 + minutes * 60) * (*text == '-' ? -1 : 1);
	return 1;
}

int time_parse(const char *text, int64_t *ret_wall_ms, struct err *e)
{
	struct tm tm = {0};
	int end = 0, offset;
	if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		    &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6 ||
		end != 19 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
		tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 || memchr(text, ' ', 10) ||
		memchr(text + 11, '-', 8) || memchr(text, '+', 19))
		return err_set(e, ERR_DECODE, "\"%.40s\" is not an RFC 3339 time", text);
	const char *rest = text + end;
	int64_t ms = 0;
	if (*rest == '.') {
		int scale = 100;
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			ms += (*rest - '0') * scale;
	}
	if (!parse_offset(rest, &offset))
		return err_set(e, ERR_DECODE, "\"%.40s\" is not an RFC 3339 time", text);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	struct tm normal = tm;
	int64_t seconds = (int64_t)timegm(&normal);
	if (normal.tm_mday != tm.tm_mday && tm.tm_sec < 60)
		return err_set(e, ERR_DECODE, "\"%.40s\": that month has no such day", text);
	*ret_wall_ms = (seconds - offset) * 1000 + ms;
	return 0;
}

void time_format_age(int64_t age_ms, char ret_text[static TIME_TEXT_SIZE])
{
	long long s = age_ms / 1000;
	if (s < 0)
		snprintf(ret_text, TIME_TEXT_SIZE, s < -2 ? "<invalid>" : "0s");
	else if (s < 120)
		snprintf(ret_text, TIME_TEXT_SIZE, "%llds", s);
	else if (s < 600 && s % 60)
		snprintf(ret_text, TIME_TEXT_SIZE, "%lldm%llds", s / 60, s % 60);
	else if (s < 180 * 60)
		snprintf(ret_text, TIME_TEXT_SIZE, "%lldm", s / 60);
	else if (s < 8 * 3600 && (s / 60) % 60)
		snprintf(ret_text, TIME_TEXT_SIZE, "%lldh%lldm", s / 3600, (s / 60) % 60);
	else if (s < 48 * 3600)
		snprintf(ret_text, TIME_TEXT_SIZE, "%lldh", s / 3600);
	else if (s < 8 * 86400 && (s / 3600) % 24)
		snprintf(ret_text, TIME_TEXT_SIZE, "%lldd%lldh", s / 86400, (s / 3600) % 24);
	else
		snprintf(ret_text, TIME_TEXT_SIZE, "%lldd", s / 86400);
}

int time_parse_duration(const char *text, int64_t *ret_s, struct err *e)
{
	static const char units[] = "smhd";
	static const int64_t seconds[] = {1, 60, 3600, 86400};
	size_t size = strlen(text);
	const char *unit = size ? strchr(units, text[size - 1]) : NULL;
	bool has_unit = unit && *unit;
	char digits[24];
	int64_t number = -1;
	if (size < sizeof(digits)) {
		memcpy(digits, text, size + 1);
		digits[size - has_unit] = '\0';
		if (str_to_int64(digits, "the duration", &number, NULL) < 0)
			number = -1;
	}
	if (number < 0 || number > 1000000000)
		return err_set(e, ERR_USAGE, "\"%.40s\" is not a duration such as 30m, 24h or 7d",
			text);
	*ret_s = number * (has_unit ? seconds[unit - units] : 1);
	return 0;
}
