/*
 * The files in a tar archive that images travel in (`docker save`, `skopeo copy ... oci-archive:`),
 * by name. What the archive says is untrusted: nothing is written anywhere, names that lead out and
 * archives with more than ARCHIVE_FILES_MAX entries are refused, links are followed within the
 * archive alone and a few times, sizes are the reader's to bound. gzip is read too, but then each
 * file costs reading all that stands before it. Blocks. Threads may share a struct archive_index;
 * a file belongs to one. Linked into continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_ARCHIVE_H
#define CONTINUO_IMAGE_ARCHIVE_H

#include <stdint.h>

#include "base/buf.h"

#define ARCHIVE_FILES_MAX 20000

struct archive_index;

/* Reads all headers. -ERR_NOT_FOUND, -ERR_PROTOCOL (no tar, damaged, names that lead out),
 * -ERR_TOO_LARGE (entries). */
int archive_index_new(const char *path, struct archive_index **ret_index, struct err *e) MUST_CHECK;
void archive_index_free(struct archive_index *x); /* after its files; null is fine */

/* Where the file called name is, links followed; -ERR_NOT_FOUND. *ret_size: its bytes. */
int archive_index_find(const struct archive_index *x, const char *name, size_t *ret_at,
	int64_t *ret_size, struct err *e) MUST_CHECK;

/* All of a file; -ERR_TOO_LARGE over the buffer's limit. */
int archive_index_read(const struct archive_index *x, const char *name, struct buf *ret_text,
	struct err *e) MUST_CHECK;

struct archive_file;
int archive_file_open(const struct archive_index *x, size_t at, struct archive_file **ret_file,
	struct err *e) MUST_CHECK;
/* The next piece, valid until the next call; size 0: its end. */
int archive_file_read(struct archive_file *f, const void **ret_data, size_t *ret_size,
	struct err *e) MUST_CHECK;
void archive_file_close(struct archive_file *f); /* null is fine */

#endif
