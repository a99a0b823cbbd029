/*
 * One blob of a registry, from its first byte to its last, whatever happens to the connection: what
 * broke off goes on where it stopped (Range), a few times, with growing pauses; from a mirror that
 * does not give all of it, the next source takes over. Size and digest are checked over all of it.
 *
 * What came can be kept in a partial file beside (the blob as the registry has it), so that another
 * process goes on with it: then its bytes are handed out first, and only the rest is fetched. The
 * caller holds the blob's lock, and removes the file when it needs it no more.
 *
 * Blocks. Belongs to one thread. Linked into continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_DOWNLOAD_H
#define CONTINUO_IMAGE_DOWNLOAD_H

#include "image/registry.h"

struct download;

struct download_config {
	struct registry *registry;
	struct transfer_client *client;
	const struct manifest_blob *blob;
	bool small;     /* a config: it has as long as a manifest */
	int partial_fd; /* open for reading and writing, stays the caller's; -1: none */
	/* Asked while it waits before another try; null: nobody gives up. */
	bool (*given_up)(void *arg);
	void *arg;
};

/* Connects to nothing yet. The config's pointers must outlive it. */
struct download *download_new(const struct download_config *config) MUST_CHECK;

/* The next piece, valid until the next call; size 0 at the end, which is only told when size and
 * digest were right: else -ERR_CORRUPT. -ERR_UNAVAILABLE and the like when trying again did not
 * help either, -ERR_CANCELLED. */
int download_read(struct download *d, const void **ret_data, size_t *ret_size,
	struct err *e) MUST_CHECK;

/* What came is wrong. Whether it may be right when it is fetched anew, without the partial file:
 * bytes of that were handed out, or a mirror gave some, which is not asked any more. */
bool download_may_differ(const struct download *d) MUST_CHECK;
void download_free(struct download *d); /* null is fine */

#endif
