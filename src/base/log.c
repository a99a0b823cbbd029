#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/time.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* Whether one more line may leave in this second. */
static bool admit(struct log *log, int64_t wall_ms)
{
	if (wall_ms / 1000 != log->second) {
		log->second = wall_ms / 1000;
		log->lines = 0;
	}
	if (log->lines >= LOG_LINES_PER_SECOND) {
		log->dropped++;
		return false;
	}
	log->lines++;
	return true;
}

static void write_line(struct log *log, enum log_level level, const char *event, const char *text)
{
	int64_t wall_ms = log->wall_ms ? log->wall_ms(log->context) : 0;
	if (!admit(log, wall_ms))
		return;
	char at[TIME_TEXT_SIZE];
	time_format_micro(wall_ms, at);
	char dropped[32] = "";
	if (log->dropped)
		snprintf(dropped, sizeof(dropped), " dropped=%d", log->dropped);
	log->dropped = 0;
	char line[1400];
	int size = snprintf(line, sizeof(line) - 1, "time=%s level=%s role=%s event=%s%s%s%s", at,
		level_names[level], log->role ? log->role : "-", event, dropped, *text ? " " : "",
		text);
	if (size > (int)sizeof(line) - 2)
		size = (int)sizeof(line) - 2;
	line[size] = '\n';
	line[size + 1] = '\0';
	log->write(log->context, line);
}

void log_line(struct log *log, enum log_level level, const char *event, const char *format, ...)
{
	if (!log || level < log->level)
		return;
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(log, level, event, text);
}

void log_err(struct log *log, enum log_level level, const char *event, const struct err *e,
	const char *format, ...)
{
	if (!log || level < log->level)
		return;
	char what[400], quoted[600], text[1200];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(text, sizeof(text), "%s%serror=\"%s\" code=%s at=%s:%d", what, *what ? " " : "",
		log_quote(e->text, quoted, sizeof(quoted)), err_name(e->code),
		e->file ? e->file : "-", e->line);
	write_line(log, level, event, text);
}

const char *log_quote(const char *text, char *ret_text, int size)
{
	int n = 0;
	for (; *text && n < size - 3; text++) {
		if (*text == '"' || *text == '\\')
			ret_text[n++] = '\\';
		ret_text[n++] = (unsigned char)*text < ' ' ? ' ' : *text;
	}
	ret_text[n] = '\0';
	return ret_text;
}

int log_level_parse(const char *text, enum log_level *ret_level, struct err *e)
{
	for (int i = 0; i < (int)ARRAY_SIZE(level_names); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return err_set(e, ERR_USAGE, "\"%.40s\" is not a log level; use debug, info, warn or error",
		text);
}
