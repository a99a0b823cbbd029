/* The files of configMap, secret, downwardAPI and projected volumes. Private to this room. */
#ifndef CONTINUO_DRIVER_VOLUME_FILES_H
#define CONTINUO_DRIVER_VOLUME_FILES_H

#include "base/map.h"
#include "driver/volumes.h"

struct volume_file {
	char *data;
	size_t size;
	int mode;
};
void volume_file_free(void *file);

/* path in the volume → struct volume_file. */
int volume_files_collect(const struct volumes *v, const json_t *volume, struct map *ret_files,
	struct err *e) MUST_CHECK;

/* Puts them into the folder in one step, unless it holds the same already. group < 0: none. */
int volume_files_write(const char *folder, const struct map *files, int64_t group,
	struct err *e) MUST_CHECK;

#endif
