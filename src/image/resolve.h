/*
 * Names out of an archive, resolved inside one folder: symbolic links and ".." of the tree itself
 * are followed by the kernel as if that folder were the root (openat2(2), RESOLVE_IN_ROOT).
 */
#ifndef CONTINUO_IMAGE_RESOLVE_H
#define CONTINUO_IMAGE_RESOLVE_H

#include <limits.h>

#include "base/err.h"

struct resolve_path {
	char text[PATH_MAX];     /* cleaned: "usr/bin/env" */
	char folder[PATH_MAX];   /* "usr/bin"; "" is the root */
	char name[NAME_MAX + 1]; /* "env"; "" for the root itself */
};

/* Takes leading slashes, "." and empty parts away. -ERR_PROTOCOL: null, "..", too long. */
int resolve_clean(const char *name, struct resolve_path *ret_path, struct err *e) MUST_CHECK;

/* A descriptor (O_PATH) of an existing folder below root; the caller closes it. Negative error. */
int resolve_open_folder(int root, const char *folder, struct err *e) MUST_CHECK;

/* The same, with folders made (0755, root's) where there are none. Remembers the last one, since
 * archives go folder by folder. The descriptor belongs to the struct and lives until its next use.
 */
struct resolve {
	int fd;
	char folder[PATH_MAX];
};
void resolve_init(struct resolve *r);
int resolve_make_folder(struct resolve *r, int root, const char *folder, int *ret_fd,
	struct err *e) MUST_CHECK;
void resolve_done(struct resolve *r);

#endif
