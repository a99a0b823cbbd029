/*
 * How what an agent sends leaves its machine: through which proxy, and what of that continuo-pull
 * is told. The configuration (`proxy`, `noProxy`) wins over the environment; of the environment the
 * names count that curl knows, in curl's order: https_proxy before HTTPS_PROXY, no_proxy before
 * NO_PROXY, and for plain http registries http_proxy alone. Pure.
 */
#ifndef CONTINUO_AGENT_OUTGOING_H
#define CONTINUO_AGENT_OUTGOING_H

#include "agent/config.h"

struct agent_outgoing {
	struct arena arena;
	struct proxy *proxy; /* null: connections are direct */
	const char *const
		*environment; /* of continuo-pull: the given one with its proxies settled */
};

/* environment: "NAME=value", null terminated, borrowed. -ERR_INVALID, -ERR_UNSUPPORTED: what is
 * wrong with the proxy, and where it was set. */
int agent_outgoing_init(struct agent_outgoing *o, const struct agent_options *options,
	const char *const *environment, struct err *e) MUST_CHECK;
void agent_outgoing_done(struct agent_outgoing *o); /* for CLEANUP */

#endif
