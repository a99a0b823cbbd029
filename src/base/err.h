/*
 * Errors that a person can act on.
 *
 * A function that can fail returns 0 or a negative error code, and its last argument, a struct err
 * on the caller's stack, receives the code, one sentence for whoever reads it (what, where, what to
 * do) and the place in the source where it arose. It never allocates. A null struct err is allowed
 * everywhere: then only the code is returned. Libraries return errors; only roles (server, agent,
 * cli) log them. One table (err.c) maps a code to its text, the Kubernetes Status reason, the HTTP
 * status and the exit status of a command.
 */
#ifndef CONTINUO_BASE_ERR_H
#define CONTINUO_BASE_ERR_H

#include "base/attr.h"

enum err_code {
	ERR_OK = 0,
	ERR_INVALID,      /* understood, but breaks a rule: 422 */
	ERR_DECODE,       /* cannot be decoded: 400 */
	ERR_USAGE,        /* wrong use of a command or an argument: 400, exit 2 */
	ERR_UNAUTHORIZED, /* nobody we know: 401 */
	ERR_FORBIDDEN,    /* known, but not allowed: 403 */
	ERR_NOT_FOUND,    /* 404 */
	ERR_METHOD,       /* the resource has no such verb: 405 */
	ERR_EXISTS,       /* 409 AlreadyExists */
	ERR_CONFLICT,     /* the object changed meanwhile: 409 Conflict */
	ERR_GONE,         /* the revision was compacted away: 410 Expired */
	ERR_TOO_LARGE,    /* over a stated limit: 413 */
	ERR_MEDIA_TYPE,   /* 415 */
	ERR_BUSY,         /* try later: 429 */
	ERR_INTERNAL,     /* our own fault: 500 */
	ERR_UNSUPPORTED,  /* not built or not possible here: 501 */
	ERR_PROTOCOL,     /* a peer broke its protocol: 502 */
	ERR_UNAVAILABLE,  /* a peer is not there: 503 */
	ERR_CLOSED,       /* the peer closed the connection: 503 */
	ERR_TIMEOUT,      /* 504 */
	ERR_CANCELLED,    /* the caller gave up */
	ERR_IO,           /* an operating system call failed: 500 */
	ERR_NO_SPACE,     /* disk full: 507 */
	ERR_CORRUPT,      /* stored data fails its checksum or format: 500 */
	ERR_COUNT
};

struct err {
	enum err_code code;
	int line;         /* where it arose */
	const char *file; /* static string */
	char text[400];   /* one sentence, NUL terminated */
};

#define ERR_INIT ((struct err){0})

/* Fills e (unless null) and returns -code, so that `return err_set(e, ERR_X, "...")` reads well. */
#define err_set(e, code, ...) err_set_at((e), (code), __FILE__, __LINE__, __VA_ARGS__)
int err_set_at(struct err *e, enum err_code code, const char *file, int line, const char *format,
	...) PRINTF_LIKE(5, 6);

/* As err_set, with ": " and strerror(errnum) behind the sentence; ENOSPC and EDQUOT become
 * ERR_NO_SPACE, ENOENT ERR_NOT_FOUND, all else ERR_IO. errnum is a positive errno value. */
#define err_set_errno(e, errnum, ...)                                                              \
	err_set_errno_at((e), (errnum), __FILE__, __LINE__, __VA_ARGS__)
int err_set_errno_at(struct err *e, int errnum, const char *file, int line, const char *format, ...)
	PRINTF_LIKE(5, 6);

/* Puts "prefix: " before the sentence that is already there and returns -e->code. */
int err_prefix(struct err *e, const char *format, ...) PRINTF_LIKE(2, 3);

const char *err_name(enum err_code code); /* "NotFound": the Kubernetes Status reason */
const char *err_text(enum err_code code); /* "not found" */
int err_http_status(enum err_code code);  /* 404 */
int err_exit_status(enum err_code code);  /* 0, 1, or 2 for usage */
enum err_code err_from_http(int status);  /* the closest code for a peer's HTTP status */
enum err_code
err_from_name(const char *reason); /* the code of a Status reason; ERR_INTERNAL if unknown */

#endif
