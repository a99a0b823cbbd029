/*
 * The agent's own HTTP endpoint on this machine, plain and read only: /metrics (Prometheus text),
 * /healthz (the process turns), /readyz (its slice was complete once, and its driver works).
 */
#ifndef CONTINUO_AGENT_LOCAL_H
#define CONTINUO_AGENT_LOCAL_H

#include "agent/agent.h"

struct agent_local;

/* agent must outlive it. -ERR_UNAVAILABLE: the address cannot be had. */
int agent_local_new(struct loop *l, const struct agent *agent, const char *address,
	struct agent_local **ret_local, struct err *e) MUST_CHECK;
void agent_local_free(struct agent_local *x);

#endif
