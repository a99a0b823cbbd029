/*
 * Volumes of a pod as folders that can be mounted: configMap, secret, downwardAPI and projected as
 * files on a tmpfs that are replaced in one step (the link ..data, as kubelet does it), emptyDir on
 * disk or memory, hostPath checked. Blocks: for jobs.
 */
#ifndef CONTINUO_DRIVER_VOLUMES_H
#define CONTINUO_DRIVER_VOLUMES_H

#include "base/map.h"
#include "codec/json.h"
#include "driver/container.h"

struct volumes {
	const json_t *pod;
	const struct object *const *objects;
	size_t object_count;
	const char *run_folder;   /* of the pod, on a tmpfs */
	const char *state_folder; /* of the pod, on disk */
	const char *privilege;
	const char *node_name, *ip, *host_ip; /* for the downward API, as in env.h */
	int64_t cpu_milli, memory_bytes;
	const char *container_id; /* for volumes_mount */
};

/* Makes what is missing and replaces what changed. -ERR_NOT_FOUND: a ConfigMap, Secret, key or host
 * path is missing; -ERR_FORBIDDEN: not under this privilege; -ERR_UNSUPPORTED: the kind of volume.
 */
int volumes_make(const struct volumes *v, struct err *e) MUST_CHECK;

/* Appends the mounts of a container to the runtime-spec's list. -ERR_INVALID: a mount of no volume;
 * a subPath that leads out of it. What a subPath leads to is bind-mounted below
 * run_folder/subpaths/CONTAINER_ID, until volumes_unmount or the removal of run_folder; a container
 * that was made does not need that any more. */
int volumes_mount(const struct volumes *v, const json_t *container, json_t *mounts,
	struct err *e) MUST_CHECK;
void volumes_unmount(const char *run_folder, const char *container_id);
/* The same for all that are no keys of containers: left by an agent that was killed. */
void volumes_sweep(const char *run_folder, const struct map *containers);

#endif
