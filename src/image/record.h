/*
 * What a content store remembers of images, as small JSON files written in one step:
 *
 *   images/HEX.json   by the digest of the manifest: {"digest", "id", "bytes", "layers": [digests,
 *                     lowest first], "config": "the image's configuration, as it came"}
 *   refs/HEX.json     by the SHA-256 of the whole name: {"reference", "digest"}
 *   layers/sha256-HEX unpacked, complete when it has this name
 *   locks/sha256-HEX  flock while a layer is made; locks/records while these files are written
 *   partial/sha256-HEX the beginning of a layer's blob as it is transferred (partial.h)
 *   tmp/              what is being made
 *
 * Written by continuo-pull, read by it and the agent. Blocks on the disk: in the agent, in jobs.
 */
#ifndef CONTINUO_IMAGE_RECORD_H
#define CONTINUO_IMAGE_RECORD_H

#include "base/buf.h"
#include "image/digest.h"
#include "image/image.h"
#include "sys/fs.h"

struct record {
	char digest[DIGEST_TEXT_SIZE]; /* of the manifest */
	char id[DIGEST_TEXT_SIZE];     /* of the config */
	char (*layers)[DIGEST_TEXT_SIZE];
	size_t layer_count;
	int64_t bytes; /* of all its layers as they were transferred */
	char *config_json;
};

void record_done(struct record *r); /* for CLEANUP too */

/* What a file of refs/ names. -ERR_NOT_FOUND when it is damaged. */
int record_reference_digest(struct fs *fs, const char *path,
	char ret_digest[static DIGEST_TEXT_SIZE], struct err *e) MUST_CHECK;

/* By name, or by manifest. -ERR_NOT_FOUND also when a layer is missing or a file damaged: pulling
 * again mends both. */
int record_find(struct fs *fs, const char *folder, const struct image_reference *reference,
	struct record *ret_record, struct err *e) MUST_CHECK;
int record_load(struct fs *fs, const char *folder, const char *digest, struct record *ret_record,
	struct err *e) MUST_CHECK;

int record_save(struct fs *fs, const char *folder, const struct record *r,
	struct err *e) MUST_CHECK;
int record_save_reference(struct fs *fs, const char *folder,
	const struct image_reference *reference, const char *digest, struct err *e) MUST_CHECK;

/* "FOLDER/layers/sha256-HEX", freed with free(). */
char *record_layer_path(const char *folder, const char *digest) MUST_CHECK;

/* "FOLDER/KIND/sha256-HEX", KIND one of images.json and so on: internal to this file and collect.c.
 */
char *record_path(const char *folder, const char *kind, const char *digest,
	const char *suffix) MUST_CHECK;

/* Notes that the image was used now (the time of its file): what was not used longest goes first.
 */
void record_touch(const char *folder, const char *digest);

/* Who works on a store holds it shared, who removes things from it alone. The descriptor of the
 * lock (tree_close gives it back); -ERR_BUSY: not now, with wait never. Creates the store's folder.
 */
int record_hold(const char *folder, bool alone, bool wait, int *ret_fd, struct err *e) MUST_CHECK;

/* Frees space: images that are not used (named by id, or as pods name them), those that were used
 * least recently first, until free_bytes are free; then layers that no image has. -ERR_BUSY:
 * another process works on it. */
int record_collect(struct fs *fs, const char *folder, const char *const *used, size_t count,
	int64_t free_bytes, struct err *e) MUST_CHECK;

#endif
