/*
 * Opening what lies in a folder that others fill, an image's or a container's: links in it never
 * lead out of it (openat2(2)). Blocks.
 */
#ifndef CONTINUO_SYS_INSIDE_H
#define CONTINUO_SYS_INSIDE_H

#include <stdint.h>

/* Opens path with flags (O_CLOEXEC is added) below the folder root; resolve: RESOLVE_* of
 * linux/openat2.h, without magic links in any case. The kernel gives up on ".." while anybody
 * renames or mounts something; that is tried again, up to a bound. -1 with errno. */
int inside_open(int root, const char *path, int flags, uint64_t resolve);

/* Opens a regular file to read it. Whatever else is there, a pipe, a device, is not even opened:
 * -1 with EINVAL. Never blocks on what another process does. */
int inside_open_file(int root, const char *path, uint64_t resolve);

#endif
