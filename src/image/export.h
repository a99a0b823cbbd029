/*
 * Unpacked layers as the tar archive that `docker load` takes (docker-archive, as docker save
 * writes it): for engines that keep images of their own. Blocks; linked into continuo-pull alone,
 * since it needs libarchive.
 *
 * The layers' digests are not those of the registry: they are made from the folders. The same
 * folders give the same digests as long as their content is not touched, so engines share them.
 */
#ifndef CONTINUO_IMAGE_EXPORT_H
#define CONTINUO_IMAGE_EXPORT_H

#include "base/err.h"

/* Of the exported image: a JSON list of the folders. */
#define EXPORT_LABEL "dev.continuo.layers"

struct export
{
	const char *const *layers; /* folders, lowest first; null terminated; not empty */
	const char *name;          /* "continuo/layers:..." */
	int fd;                    /* where the archive is written */
};

/* -ERR_IO: a layer cannot be read, or nobody reads the archive; -ERR_NOT_FOUND: a layer is gone. */
int export_image(const struct export *x, struct err *e) MUST_CHECK;

#endif
