/*
 * Images out of an archive into a content store, so that nodes without a registry have them: OCI
 * archives (a tar of an OCI image layout: image-spec, image-layout.md) and docker archives
 * (manifest.json of `docker save`; moby, image/tarexport). Each under the names that the archive
 * gives it. Blobs are checked against their digests, layers against the configuration's
 * diff_ids. May run beside an agent on the same store. Blocks. Linked into
 * continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_LOAD_H
#define CONTINUO_IMAGE_LOAD_H

#include "image/manifest.h"
#include "image/record.h"

struct load {
	const char *folder;    /* of the content store */
	const char *archive;   /* path */
	const char *name;      /* of the one image in it, instead of its own; null: as it says */
	const char *temporary; /* begins the names in tmp/; unique to this process */
	struct manifest_platform platform; /* which image of an index */
	/* Told of each image once it is there. */
	void (*loaded)(void *arg, const char *name, const char *digest);
	void *arg;
};

/* What was loaded before an error stays. -ERR_NOT_FOUND (file, or an image for the platform),
 * -ERR_PROTOCOL, -ERR_CORRUPT (digests), -ERR_TOO_LARGE, -ERR_INVALID (names), -ERR_NO_SPACE. */
int load_archive(const struct load *l, struct err *e) MUST_CHECK;

#endif
