/* Devices of the configuration and the pods that ask for them. */
#ifndef CONTINUO_AGENT_DEVICES_H
#define CONTINUO_AGENT_DEVICES_H

#include "agent/agent.h"
#include "base/arena.h"
#include "codec/json.h"

/* Fills in the devices of a pod (tree: parsed), each container those that its limits name. All of
 * it lives in the arena or in the configuration. */
void agent_devices_give(const struct agent_device *devices, size_t count, const json_t *tree,
	struct arena *a, struct driver_pod *pod);

#endif
