/*
 * One pull from a registry, from a name to a record with all its layers in the content store
 * (layers.h), each thread with its own connection. Blobs that broke off go on where they stopped
 * (download.h, partial.h), also those of an earlier pull. Blocks. Linked into continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_FETCH_H
#define CONTINUO_IMAGE_FETCH_H

#include "image/manifest.h"
#include <jansson.h>

#include "image/record.h"

struct fetch {
	const char *folder; /* of the content store */
	const char *reference;
	const json_t *registries;    /* see registry.h; null: none */
	const json_t *docker_config; /* null: none */
	const char *temporary;       /* begins the names in tmp/; unique to this pull */
	struct manifest_platform platform;
	int parallel; /* layers at a time; 0: 3 */
	/* Called by any thread, one at a time; null: nobody listens. */
	void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes);
	void *arg;
};

/* *ret_present: nothing but the manifest had to be fetched. Errors as image.h's on_done has them.
 * After an error nothing of this pull is left in tmp/. */
int fetch_image(const struct fetch *f, struct record *ret_record, bool *ret_present,
	struct err *e) MUST_CHECK;

#endif
