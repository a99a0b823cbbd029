/*
 * One layer of an image: a tar stream (plain, gzip or zstd; libarchive) into a folder that
 * overlayfs can stack (image-spec, layer.md). What an archive names is untrusted: every path is
 * resolved inside the folder by the kernel (openat2, RESOLVE_IN_ROOT), so neither "..", absolute
 * names nor symbolic links lead out of it.
 *
 *   .wh.NAME          a character device 0/0 called NAME (overlayfs' whiteout)
 *   .wh..wh..opq      the folder's xattr trusted.overlay.opaque = "y"
 *   devices, sockets  left out: a container gets its devices from its runtime
 *   xattrs            security.capability and user.* are kept, others left out
 *
 * Owners, modes (setuid too) and times of files are kept, times of folders are not. Hard links must
 * point into the same layer. Needs root. Blocks. Linked into continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_UNPACK_H
#define CONTINUO_IMAGE_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct unpack_limits {
	int64_t bytes;   /* of all files together; 0: 64 GiB */
	int64_t entries; /* 0: 2,000,000 */
	/* Digest that the tar has to have without its compression; null: any. */
	const char *diff_id;
};

/* Gives the next piece of the stream, valid until the next call; size 0: its end. */
typedef int unpack_read(void *arg, const void **ret_data, size_t *ret_size, struct err *e);

/* Reads the stream to its end. folder_fd: an empty folder, made by the caller, who also removes it
 * after an error: -ERR_PROTOCOL (no tar, damaged, names that lead out), -ERR_CORRUPT (diff_id),
 * -ERR_TOO_LARGE (limits), -ERR_NO_SPACE, -ERR_IO, or what read gave. */
int unpack_layer(int folder_fd, unpack_read *read, void *arg, const struct unpack_limits *limits,
	struct err *e) MUST_CHECK;

#endif
