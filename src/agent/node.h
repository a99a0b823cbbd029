/* The Node object of the hello: what this machine offers, in Kubernetes' words. Pure. */
#ifndef CONTINUO_AGENT_NODE_H
#define CONTINUO_AGENT_NODE_H

#include "agent/agent.h"
#include "codec/json.h"

/* New reference. probe: what the driver said; may be null. Conditions are the server's to write. */
json_t *agent_node_make(const struct agent_config *c, const char *name,
	const struct driver_probe *probe) MUST_CHECK;

#endif
