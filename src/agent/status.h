/*
 * What the driver observed, as a PodStatus in Kubernetes' words (core/v1, API reference of
 * PodStatus, ContainerStatus and PodCondition at 1.30). Pure: no clock, no loop.
 */
#ifndef CONTINUO_AGENT_STATUS_H
#define CONTINUO_AGENT_STATUS_H

#include "codec/json.h"
#include "driver/driver.h"

enum agent_condition {
	AGENT_POD_SCHEDULED,
	AGENT_POD_INITIALIZED,
	AGENT_POD_CONTAINERS_READY,
	AGENT_POD_READY,
	AGENT_CONDITIONS
};

/* What must stay the same from one status of a pod to the next. */
struct agent_status_memory {
	bool known[AGENT_CONDITIONS], value[AGENT_CONDITIONS];
	int64_t since_ms[AGENT_CONDITIONS]; /* wall_ms of the last transition */
	int64_t start_ms;                   /* status.startTime; 0: not yet */
	char qos[12];                       /* "Guaranteed", "Burstable", "BestEffort" */
};

/* Begins with what the pod's object says: its class, and conditions that an earlier life of the
 * agent reported. */
void agent_status_begin(const json_t *pod, struct agent_status_memory *ret_memory);

/* A PodStatus (new reference). Transitions that it sees happen at wall_ms. */
json_t *agent_status_make(const struct driver_state *state, struct agent_status_memory *m,
	const char *host_ip, int64_t wall_ms) MUST_CHECK;

/* A pod that could not be handed to the driver: Pending, with the reason. */
json_t *agent_status_pending(struct agent_status_memory *m, const char *reason, const char *message,
	const char *host_ip, int64_t wall_ms) MUST_CHECK;

/* Of a pod that ended for a reason of the node's. */
json_t *agent_status_failed(struct agent_status_memory *m, const char *reason, const char *message,
	const char *host_ip, int64_t wall_ms) MUST_CHECK;

#endif
