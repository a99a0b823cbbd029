/*
 * What registries send as manifests, read into fixed structs: OCI image manifests and indexes
 * (image-spec v1.0, manifest.md and image-index.md) and Docker's schema 2 (distribution,
 * manifest-v2-2.md). Pure: bytes in, struct out; every size and count is bounded here.
 */
#ifndef CONTINUO_IMAGE_MANIFEST_H
#define CONTINUO_IMAGE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MANIFEST_SIZE_MAX ((size_t)3 << 20)
#define MANIFEST_LAYERS_MAX 127 /* as many lower layers as Docker allows */
#define MANIFEST_ENTRIES_MAX 500
#define MANIFEST_BLOB_MAX ((int64_t)64 << 30)
#define MANIFEST_DIGEST_SIZE 72

/* What to send as Accept. */
#define MANIFEST_ACCEPT                                                                            \
	"application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "    \
	"application/vnd.docker.distribution.manifest.list.v2+json, "                              \
	"application/vnd.docker.distribution.manifest.v2+json"

struct manifest_blob {
	char digest[MANIFEST_DIGEST_SIZE];  /* "sha256:..." */
	char diff_id[MANIFEST_DIGEST_SIZE]; /* of a layer without its compression */
	int64_t size;
};

struct manifest_platform {
	char architecture[32], variant[16]; /* "arm64", "v8"; variant may be "" */
};

struct manifest {
	bool is_index;
	struct manifest_blob chosen; /* of an index: the manifest for the platform */
	struct manifest_blob config;
	struct manifest_blob layers[MANIFEST_LAYERS_MAX]; /* lowest first */
	size_t layer_count;
};

/* -ERR_PROTOCOL (garbage, no JSON, fields missing), -ERR_UNSUPPORTED (schema 1, encrypted layers,
 * digests other than sha256), -ERR_NOT_FOUND (an index without an image for the platform; the
 * sentence names those that it has), -ERR_TOO_LARGE. *ret_manifest is large: not for small stacks.
 */
int manifest_parse(const char *text, size_t size, const struct manifest_platform *platform,
	struct manifest *ret_manifest, struct err *e) MUST_CHECK;

/* Checks an image configuration (image-spec, config.md): an object with as many rootfs.diff_ids as
 * the manifest has layers, which get them. -ERR_PROTOCOL. */
int manifest_check_config(struct manifest *m, const char *text, size_t size,
	struct err *e) MUST_CHECK;

/* The platform behind uname's machine: "x86_64" → amd64, "armv7l" → arm, v7; unknown ones as they
 * are. */
void manifest_platform_of(const char *machine, struct manifest_platform *ret_platform);

#endif
