/*
 * A layer's stream without its compression (gzip, zstd or none; libarchive), bounded, and with the
 * digest by which the image's configuration knows the layer (rootfs.diff_ids). Blocks. Linked into
 * continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_PLAIN_H
#define CONTINUO_IMAGE_PLAIN_H

#include <stdint.h>

#include "image/unpack.h"

struct plain;

/* Gives at most limit bytes. diff_id: what they have to be; null: anything. It must outlive it. */
struct plain *plain_new(unpack_read *read, void *arg, int64_t limit,
	const char *diff_id) MUST_CHECK;
void plain_free(struct plain *p);

/* The next piece, valid until the next call; size 0: the end of what read gives, and of another
 * digest than diff_id it is none. -ERR_PROTOCOL (damaged), -ERR_TOO_LARGE, -ERR_CORRUPT (digest),
 * or what read gave. An error comes again. */
int plain_read(struct plain *p, const void **ret_data, size_t *ret_size, struct err *e) MUST_CHECK;

#endif
