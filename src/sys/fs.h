/*
 * Files behind a vtable, so that the simulator can tear, lose and refuse writes. All calls block:
 * those that may take long run in jobs. Paths are absolute. Real files: fs_real().
 */
#ifndef CONTINUO_SYS_FS_H
#define CONTINUO_SYS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct fs {
	const struct fs_ops *ops;
};

/* What a path leads to. */
struct fs_node {
	char type; /* 'c' or 'b': a device node; 0: anything else */
	unsigned major, minor;
};

static inline bool fs_node_equal(const struct fs_node *a, const struct fs_node *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

typedef int fs_list_cb(void *arg, const char *name, bool is_folder);

struct fs_ops {
	int (*read)(struct fs *fs, const char *path, struct buf *ret_data, struct err *e);
	int (*write_atomic)(struct fs *fs, const char *path, const void *data, size_t size,
		mode_t mode, struct err *e);
	int (*remove)(struct fs *fs, const char *path, struct err *e);
	int (*make_folders)(struct fs *fs, const char *path, mode_t mode, struct err *e);
	int (*list)(struct fs *fs, const char *path, fs_list_cb *cb, void *arg, struct err *e);
	int64_t (*free_bytes)(struct fs *fs, const char *path);
	int (*node)(struct fs *fs, const char *path, struct fs_node *ret_node, struct err *e);
	int (*link)(struct fs *fs, const char *path, struct buf *ret_text, struct err *e);
	int64_t (*total_bytes)(struct fs *fs, const char *path);      /* null: unknown */
	int (*erase)(struct fs *fs, const char *path, struct err *e); /* null: remove */
};

struct fs *fs_real(void);

/* Whole file; -ERR_NOT_FOUND, -ERR_TOO_LARGE over the buffer's limit, -ERR_IO. */
int fs_read(struct fs *fs, const char *path, struct buf *ret_data, struct err *e) MUST_CHECK;

/* Replaces the file in one step: temporary file beside it, write, fsync, rename, fsync of the
 * folder. After a crash there is the old content or the new, whole. -ERR_NO_SPACE, -ERR_IO: then
 * the old. */
int fs_write_atomic(struct fs *fs, const char *path, const void *data, size_t size, mode_t mode,
	struct err *e) MUST_CHECK;

/* Removes a file durably; removing what is not there succeeds. */
int fs_remove(struct fs *fs, const char *path, struct err *e) MUST_CHECK;
/* Removes a file as fs_remove does, after its bytes were overwritten with zeros, durably and where
 * they lie. Flash and file systems that write elsewhere may keep a copy all the same. */
int fs_erase(struct fs *fs, const char *path, struct err *e) MUST_CHECK;
int fs_make_folders(struct fs *fs, const char *path, mode_t mode, struct err *e) MUST_CHECK;

/* Calls cb for each entry in the order of the names; a cb that returns non-zero ends it with that.
 */
int fs_list(struct fs *fs, const char *path, fs_list_cb *cb, void *arg, struct err *e) MUST_CHECK;
/* Of the file system: what may still be written, and all of it. -1 when unknown. */
int64_t fs_free_bytes(struct fs *fs, const char *path);
int64_t fs_total_bytes(struct fs *fs, const char *path);

/* Follows links (stat(2)). -ERR_NOT_FOUND, -ERR_IO. In the simulator a file whose text is
 * "c MAJOR:MINOR" or "b MAJOR:MINOR" is a device node. */
int fs_node(struct fs *fs, const char *path, struct fs_node *ret_node, struct err *e) MUST_CHECK;
/* The text of a symbolic link, appended. -ERR_NOT_FOUND, -ERR_IO: it is none. */
int fs_link(struct fs *fs, const char *path, struct buf *ret_text, struct err *e) MUST_CHECK;

#endif
