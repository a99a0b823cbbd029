/*
 * One HTTP GET at a time over libcurl, pulled by its reader: a body is only fetched as fast as it
 * is read. Goes through the proxies of the environment (https_proxy, http_proxy, no_proxy). A
 * client keeps its connections for its next transfer. A client and its transfer belong to one
 * thread. Blocks. Linked into continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_TRANSFER_H
#define CONTINUO_IMAGE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct transfer_client;
struct transfer;

struct transfer_request {
	const char *url;
	const char *accept;        /* null: none */
	const char *authorization; /* the header's value; never sent to another host; null: none */
	const char *ca_file;       /* trusted besides the system's; null: none */
	int64_t offset;            /* > 0: asks for the rest from there on (Range) */
	bool allow_http;           /* also for redirects */
	long limit_s;              /* for all of it; 0: as long as its speed lasts */
	long floor_bytes_s;        /* on average over each floor_over_s; 0: any speed does */
	long floor_over_s;
};

/* Of the last answer, behind all redirects. */
struct transfer_answer {
	int status;
	char challenge[1024]; /* WWW-Authenticate: Bearer before Basic */
	char digest[80];      /* Docker-Content-Digest */
	char retry_after[40]; /* Retry-After */
	char content_type[128];
	char content_range[80]; /* Content-Range, of a 206 */
};

struct transfer_client *transfer_client_new(void);
void transfer_client_free(struct transfer_client *c); /* after its transfer; null is fine */

/* Sends the request and waits for the status line and the headers. The strings of the request are
 * copied. -ERR_UNAVAILABLE (no connection, nothing comes, certificate), -ERR_TIMEOUT (its limit is
 * over, or it is slower than its floor), -ERR_PROTOCOL. */
int transfer_open(struct transfer_client *c, const struct transfer_request *request,
	struct transfer **ret_transfer, struct err *e) MUST_CHECK;
const struct transfer_answer *transfer_answer(const struct transfer *t);

/* The next piece of the body, valid until the next call; size 0 at its end. A body that ends early
 * is -ERR_UNAVAILABLE; -ERR_TIMEOUT as above. */
int transfer_read(struct transfer *t, const void **ret_data, size_t *ret_size,
	struct err *e) MUST_CHECK;

/* All of the body; -ERR_TOO_LARGE over the buffer's limit. */
int transfer_read_all(struct transfer *t, struct buf *ret_body, struct err *e) MUST_CHECK;
void transfer_close(struct transfer *t); /* null is fine */

#endif
