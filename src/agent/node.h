/* The Node object of the hello: what this machine offers, in Kubernetes' words. Pure. */
#ifndef CONTINUO_AGENT_NODE_H
#define CONTINUO_AGENT_NODE_H

#include "agent/agent.h"
#include "agent/devices.h"
#include "codec/json.h"

/* New reference. probe: what the driver said; devices: what there is now; both may be null.
 * Of the conditions DiskPressure and NetworkUnavailable are the agent's to know. */
json_t *agent_node_make(const struct agent_config *c, const char *name,
	const struct driver_probe *probe, const struct agent_devices *devices) MUST_CHECK;

/* Whether handover pods can run here: the driver puts pods where fences reach them. The node's
 * label continuo.dev/fence says it ("cgroup", "none") to the scheduler. */
bool agent_node_fences(const struct agent_config *c, const struct driver_probe *probe);

#endif
