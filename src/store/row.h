/*
 * What one row of the log holds beside its number and key, as bytes that prove themselves:
 *
 *   1 byte   version (1)
 *   1 byte   flags: 1 = deleted (no data), 2 = sealed
 *   8 bytes  create revision, big endian
 *   16 bytes checksum: the first half of the SHA-256 of the row number (8 bytes, big endian), the
 *            key with its NUL, the ten bytes above and the data
 *   ...      data: the object's blob, or the blob sealed with the key as associated data
 *
 * The checksum covers number and key, so that a row that was exchanged for another one, or written
 * half, is found. Pure; any thread.
 */
#ifndef CONTINUO_STORE_ROW_H
#define CONTINUO_STORE_ROW_H

#include "store/core.h"

/* Appends the bytes of a row to out. seal may be null when the object's kind is not sealed. */
int store_row_encode(const struct store_row *row, const struct store_seal *seal, struct buf *out,
	struct err *e) MUST_CHECK;

/* The object of a row, with revision and create_revision; null when it is a deletion. -ERR_CORRUPT,
 * -ERR_UNSUPPORTED (a newer version, a kind that is not known, no key to open it with). */
int store_row_decode(int64_t row, const char *key, const void *data, size_t size,
	const struct kind_registry *kinds, const struct store_seal *seal,
	struct object **ret_object, struct err *e) MUST_CHECK;

#endif
