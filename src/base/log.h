/*
 * Lines of key=value for whoever operates the system. Only roles (server, agent, cli) log;
 * libraries return errors. A struct log is handed to the role by main, or by the simulator, which
 * also give the sink and the clock; so two roles in one process log apart. No secrets in logs. At
 * most LOG_LINES_PER_SECOND lines a second leave a log; what was dropped is counted in the next
 * line.
 */
#ifndef CONTINUO_BASE_LOG_H
#define CONTINUO_BASE_LOG_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define LOG_LINES_PER_SECOND 200

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
	enum log_level level; /* lines below it are not made */
	const char *role;     /* "server", "agent"; static */
	int64_t (*wall_ms)(void *context);
	void (*write)(void *context, const char *line); /* one line with its '\n' */
	void *context;
	int64_t second; /* of the rate limit */
	int lines;
	int dropped;
};

/* log_info(log, "pod_started", "pod=%s/%s took_ms=%d", ...). The event is a word; values with
 * spaces or quotes must be given through log_quote or %s of what is known to be plain. */
#define log_debug(log, ...) log_line((log), LOG_DEBUG, __VA_ARGS__)
#define log_info(log, ...) log_line((log), LOG_INFO, __VA_ARGS__)
#define log_warn(log, ...) log_line((log), LOG_WARN, __VA_ARGS__)
#define log_error(log, ...) log_line((log), LOG_ERROR, __VA_ARGS__)
void log_line(struct log *log, enum log_level level, const char *event, const char *format, ...)
	PRINTF_LIKE(4, 5);

/* event, what was being done (key=value), then error="the sentence" at="file:line". */
void log_err(struct log *log, enum log_level level, const char *event, const struct err *e,
	const char *format, ...) PRINTF_LIKE(5, 6);

/* Text made safe for a value: quotes and control characters escaped; ret_text is returned. */
const char *log_quote(const char *text, char *ret_text, int size);

int log_level_parse(const char *text, enum log_level *ret_level, struct err *e) MUST_CHECK;

#endif
