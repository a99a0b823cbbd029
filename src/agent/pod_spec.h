/*
 * What a pod names and the slice has for it, gathered into a struct driver_pod: ConfigMaps,
 * Secrets, the service variables of its namespace, its search list, its Pod Security level. Pure
 * over the slice.
 */
#ifndef CONTINUO_AGENT_POD_SPEC_H
#define CONTINUO_AGENT_POD_SPEC_H

#include "agent/slice.h"
#include "base/arena.h"
#include "driver/driver.h"

/* Everything lives in the arena or is borrowed from the slice. tree: the pod, parsed. */
struct driver_pod agent_pod_gather(const struct agent_slice *s, const struct object *pod,
	const json_t *tree, const char *cluster_domain, const char *dns_address, struct arena *a);

/* A digest of what update carries: the pod without its status, its ConfigMaps and Secrets. */
uint64_t agent_pod_digest(const struct driver_pod *pod);

/* The key of a Secret that the pod names and that was not to be kept on this machine
 * (agent_slice_withheld); false: none. */
bool agent_pod_lacks_secret(const struct agent_slice *s, const struct object *pod,
	char ret_key[static OBJECT_KEY_MAX]);

#endif
