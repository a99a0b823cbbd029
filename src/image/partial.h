/*
 * Blobs that are on their way: partial/sha256-HEX has the beginning of one, as the registry sends
 * it, so that another pull (after a crash, a restart, a reboot) goes on with it. They are a
 * convenience and never trusted: digests are checked over all of a blob.
 *
 * Bounded: none for blobs under a mebibyte, none where the file system has not eight times the
 * blob's size free (it would cost a small device the room that the unpacked layer needs), a
 * gibibyte together, a day of age. Whoever holds the lock of a blob (locks/sha256-HEX) may touch
 * its file. Blocks.
 */
#ifndef CONTINUO_IMAGE_PARTIAL_H
#define CONTINUO_IMAGE_PARTIAL_H

#include <stdint.h>

#define PARTIAL_AGE_MAX_S ((int64_t)24 * 3600)

/* For reading and writing; -1: it is not to be kept. The caller holds the lock. */
int partial_open(const char *folder, const char *digest, int64_t size);
void partial_remove(const char *folder, const char *digest);

/* Removes those that nobody holds and that are older than so many seconds (0: all), then the oldest
 * ones until the others have at most total_bytes together. Failures cost room, nothing else. */
void partial_collect(const char *folder, int64_t age_s, int64_t total_bytes);

#endif
