#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

struct err_row {
	const char *name;
	const char *text;
	int http_status;
	int exit_status;
};

static const struct err_row rows[ERR_COUNT] = {
	[ERR_OK] = {"Success", "success", 200, 0},
	[ERR_INVALID] = {"Invalid", "invalid", 422, 1},
	[ERR_DECODE] = {"BadRequest", "cannot be decoded", 400, 1},
	[ERR_USAGE] = {"BadRequest", "wrong usage", 400, 2},
	[ERR_UNAUTHORIZED] = {"Unauthorized", "unauthorized", 401, 1},
	[ERR_FORBIDDEN] = {"Forbidden", "forbidden", 403, 1},
	[ERR_NOT_FOUND] = {"NotFound", "not found", 404, 1},
	[ERR_METHOD] = {"MethodNotAllowed", "method not allowed", 405, 1},
	[ERR_EXISTS] = {"AlreadyExists", "already exists", 409, 1},
	[ERR_CONFLICT] = {"Conflict", "conflict", 409, 1},
	[ERR_GONE] = {"Expired", "revision no longer kept", 410, 1},
	[ERR_TOO_LARGE] = {"RequestEntityTooLarge", "too large", 413, 1},
	[ERR_MEDIA_TYPE] = {"UnsupportedMediaType", "unsupported media type", 415, 1},
	[ERR_BUSY] = {"TooManyRequests", "too many requests", 429, 1},
	[ERR_INTERNAL] = {"InternalError", "internal error", 500, 1},
	[ERR_UNSUPPORTED] = {"NotImplemented", "not supported", 501, 1},
	[ERR_PROTOCOL] = {"BadGateway", "protocol error", 502, 1},
	[ERR_UNAVAILABLE] = {"ServiceUnavailable", "unavailable", 503, 1},
	[ERR_CLOSED] = {"ServiceUnavailable", "connection closed", 503, 1},
	[ERR_TIMEOUT] = {"Timeout", "timed out", 504, 1},
	[ERR_CANCELLED] = {"Cancelled", "cancelled", 499, 1},
	[ERR_IO] = {"InternalError", "input/output error", 500, 1},
	[ERR_NO_SPACE] = {"InsufficientStorage", "no space left", 507, 1},
	[ERR_CORRUPT] = {"InternalError", "stored data is corrupt", 500, 1},
};

static const struct err_row *row_of(enum err_code code)
{
	if ((unsigned)code >= ERR_COUNT)
		return &rows[ERR_INTERNAL];
	return &rows[code];
}

int err_set_at(struct err *e, enum err_code code, const char *file, int line, const char *format,
	...)
{
	if (!e)
		return -(int)code;
	/* The new sentence may quote the old one (err_set(e, ..., "%s", e->text)). */
	char text[sizeof(e->text)];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	str_end_whole(text);
	memcpy(e->text, text, sizeof(text));
	e->code = code;
	e->file = file;
	e->line = line;
	return -(int)code;
}

static enum err_code code_of_errno(int errnum)
{
	if (errnum == ENOSPC || errnum == EDQUOT)
		return ERR_NO_SPACE;
	if (errnum == ENOENT)
		return ERR_NOT_FOUND;
	return ERR_IO;
}

int err_set_errno_at(struct err *e, int errnum, const char *file, int line, const char *format, ...)
{
	enum err_code code = code_of_errno(errnum);
	if (!e)
		return -(int)code;
	char text[sizeof(e->text)];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	char reason[128];
	return err_set_at(e, code, file, line, "%.*s: %s", (int)str_cut(text, 240), text,
		strerror_r(errnum, reason, sizeof(reason)));
}

int err_prefix(struct err *e, const char *format, ...)
{
	if (!e)
		return -(int)ERR_INTERNAL;
	char prefix[sizeof(e->text)];
	va_list args;
	va_start(args, format);
	vsnprintf(prefix, sizeof(prefix), format, args);
	va_end(args);
	char text[sizeof(e->text)];
	memcpy(text, e->text, sizeof(text));
	snprintf(e->text, sizeof(e->text), "%.*s: %.*s", (int)str_cut(prefix, 160), prefix,
		(int)str_cut(text, 230), text);
	return -(int)e->code;
}

const char *err_name(enum err_code code)
{
	return row_of(code)->name;
}

const char *err_text(enum err_code code)
{
	return row_of(code)->text;
}

int err_http_status(enum err_code code)
{
	return row_of(code)->http_status;
}

int err_exit_status(enum err_code code)
{
	return row_of(code)->exit_status;
}

enum err_code err_from_http(int status)
{
	if (status < 400)
		return ERR_OK;
	for (int code = 1; code < ERR_COUNT; code++)
		if (rows[code].http_status == status && code != ERR_USAGE)
			return (enum err_code)code;
	return status < 500 ? ERR_DECODE : ERR_UNAVAILABLE;
}

enum err_code err_from_name(const char *reason)
{
	for (int code = 1; code < ERR_COUNT; code++)
		if (code != ERR_USAGE && strcmp(rows[code].name, reason) == 0)
			return (enum err_code)code;
	return ERR_INTERNAL;
}
