/*
 * Images from registries into one OCI archive (a tar of an OCI image layout, image-spec
 * image-layout.md), for places without a registry. A manifest.json beside it (moby,
 * image/tarexport) lets every `docker load` read it too. Blobs are stored as the registry has them,
 * each once, and checked. Blocks. Linked into continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_SAVE_H
#define CONTINUO_IMAGE_SAVE_H

#include <jansson.h>

#include "image/manifest.h"

struct save {
	const char *const *references;     /* null terminated */
	const char *archive;               /* path; replaced in one step when all is in it */
	const json_t *registries;          /* see registry.h; null: none */
	const json_t *docker_config;       /* null: none */
	struct manifest_platform platform; /* which image of an index */
	/* Told of each image before its blobs are fetched. */
	void (*saving)(void *arg, const char *name, const char *digest);
	void *arg;
};

/* After an error the file is as it was before. Errors as those of a pull (image.h). */
int save_archive(const struct save *s, struct err *e) MUST_CHECK;

#endif
