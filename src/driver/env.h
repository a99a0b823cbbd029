/*
 * What a container's environment and command line become: envFrom, valueFrom and $(VAR), in the
 * order and with the precedence of kubelet
 * (https://kubernetes.io/docs/tasks/inject-data-application). Pure.
 */
#ifndef CONTINUO_DRIVER_ENV_H
#define CONTINUO_DRIVER_ENV_H

#include "base/map.h"
#include "driver/container.h"

struct env_source {
	const json_t *pod; /* tree of the Pod */
	const json_t *container;
	const struct object *const *objects; /* ConfigMaps and Secrets */
	size_t object_count;
	const char *const *service_env;      /* null terminated; may be null */
	const char *node_name, *ip;          /* ip "": that of the host */
	const char *host_ip;                 /* may be null */
	int64_t cpu_milli, memory_bytes;     /* of the node: limits that a container does not set */
	const struct driver_device *devices; /* of the pod */
	size_t device_count;
};

/* The downward API: a field of the pod ("metadata.name", "metadata.labels['KEY']", "status.podIP",
 * ...) and a resource of a container ({containerName, resource, divisor}, rounded up). Appended to
 * ret_text. -ERR_UNSUPPORTED: what cannot be given; -ERR_NOT_FOUND: no such container. */
int env_field(const struct env_source *s, const char *path, struct buf *ret_text,
	struct err *e) MUST_CHECK;
int env_resource(const struct env_source *s, const json_t *ref, struct buf *ret_text,
	struct err *e) MUST_CHECK;

/* Beside what the pod says: CONTINUO_DEVICE_NAME with the paths of the devices that the container
 * asks for as continuo.dev/name, after each other with commas.
 * name → value (char *, freed by the map). -ERR_NOT_FOUND: a ConfigMap, Secret or key is missing
 * that is not optional; -ERR_UNSUPPORTED: a field that cannot be given. */
int env_build(const struct env_source *source, struct map *ret_env, struct err *e) MUST_CHECK;

/* $(NAME) becomes the value of a known name; $$(NAME) stays as $(NAME). Freed with free(). */
char *env_expand(const char *text, const struct map *env) MUST_CHECK;

/* The object of a kind ("ConfigMap", "Secret") by name; null when it is not there. */
const struct object *env_find(const struct object *const *objects, size_t count, const char *kind,
	const char *name);

/* Bytes of a key of a ConfigMap's or Secret's tree (data, binaryData). -ERR_NOT_FOUND. */
int env_key(const json_t *tree, const char *key, struct buf *ret_bytes, struct err *e) MUST_CHECK;

#endif
