/* The services of the slice, with their endpoints, as the pod network wants them. Pure over the
 * slice. */
#ifndef CONTINUO_AGENT_SERVICES_H
#define CONTINUO_AGENT_SERVICES_H

#include "agent/slice.h"
#include "base/arena.h"
#include "overlay/overlay.h"

/* All Services of the slice; ports without endpoints too. Everything lives in the arena. */
struct overlay_service *agent_services_make(const struct agent_slice *s, struct arena *a,
	size_t *ret_count) MUST_CHECK;

/* [[node,address,cidr],...] of the wire as peers, without this node. */
struct overlay_peer *agent_peers_make(const json_t *peers, const char *own_node, struct arena *a,
	size_t *ret_count) MUST_CHECK;

#endif
