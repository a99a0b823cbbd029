/*
 * The pull half of the OCI distribution protocol (distribution-spec v1.0, "Pull"), for one
 * repository: manifests, checked against their digests, and blobs as they come. Credentials and
 * tokens are looked up when the registry asks for them. Mirrors from the registries file are tried
 * first, in order. Blocks. Threads may share a struct registry as long as each has its own
 * transfer_client. Linked into continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_REGISTRY_H
#define CONTINUO_IMAGE_REGISTRY_H

#include <jansson.h>

#include "base/buf.h"
#include "image/image.h"
#include "image/manifest.h"
#include "image/transfer.h"

#define REGISTRY_MIRRORS_MAX 8

struct registry;

/* registries: the object of the registries file (image.h), or null; docker_config: a config.json,
 * or null. Both are borrowed until registry_free. Asks nobody yet. -ERR_INVALID (the registries
 * file says something impossible). */
int registry_open(const struct image_reference *reference, const json_t *registries,
	const json_t *docker_config, struct registry **ret_registry, struct err *e) MUST_CHECK;
void registry_free(struct registry *r); /* null is fine */

/* A manifest by tag or digest, at most MANIFEST_SIZE_MAX bytes. ret_digest is computed from what
 * came. -ERR_NOT_FOUND, -ERR_UNAUTHORIZED (401, 403), -ERR_BUSY (429), -ERR_UNAVAILABLE (no
 * connection, 5xx), -ERR_PROTOCOL, -ERR_CORRUPT (another digest), -ERR_TOO_LARGE. */
int registry_get_manifest(struct registry *r, struct transfer_client *client, const char *tag,
	struct buf *ret_text, char ret_digest[static MANIFEST_DIGEST_SIZE],
	struct err *e) MUST_CHECK;

/* A blob as a stream, from offset on; pieces until size 0. small: it has as long as a manifest,
 * else it must only not be too slow (-ERR_TIMEOUT). Asks the source that gave the manifest, then
 * those behind it. Where a server sends all of it although a part was asked for, the beginning is
 * read over. Nothing is checked against the digest (download.h does), nor is the size. Errors as
 * above; -ERR_PROTOCOL also for another part than the one that was asked for. */
struct registry_blob;
int registry_open_blob(struct registry *r, struct transfer_client *client,
	const struct manifest_blob *blob, bool small, int64_t offset,
	struct registry_blob **ret_blob, struct err *e) MUST_CHECK;
int registry_read_blob(struct registry_blob *b, const void **ret_data, size_t *ret_size,
	struct err *e) MUST_CHECK;
/* Which sources gave something that is wrong, a bit for each: of a blob, or of the last manifest
 * (before there are threads). */
unsigned registry_blob_from(const struct registry_blob *b);
unsigned registry_manifest_from(const struct registry *r);

/* Those are not asked any more. False: there was no mirror among them, and asking again gives the
 * same. */
bool registry_distrust(struct registry *r, unsigned from) MUST_CHECK;

const char *registry_blob_host(const struct registry_blob *b); /* valid as long as the registry */
void registry_close_blob(struct registry_blob *b);             /* null is fine */

#endif
