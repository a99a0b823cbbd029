/*
 * What the kernel should do for services, as plain elements of its tables. Pure: services in,
 * sorted elements out, and the difference of two such lists is what has to be written (nft.h).
 *
 * A port of a service is a group: one front (address, protocol, port -> how many endpoints) and as
 * many endpoints, numbered from 0. The elements of a group lie side by side and are always written
 * in one transaction. A service without ready endpoints has no front: what is sent to an address of
 * the service range and was not translated is refused by one rule for all.
 */
#ifndef CONTINUO_OVERLAY_SERVICES_H
#define CONTINUO_OVERLAY_SERVICES_H

#include "base/vec.h"
#include "overlay/ipv4.h"
#include "overlay/overlay.h"

/* Of one service port; more are left out (the first by address are taken). */
#define SERVICES_ENDPOINTS_MAX 1024

enum services_set {
	SERVICES_HAIRPIN,       /* address: of this node's endpoints, which may reach themselves */
	SERVICES_OUTSIDE,       /* address, protocol, port: endpoints that are no pods */
	SERVICES_ENDPOINT,      /* address, protocol, port, index -> to_address, to_port */
	SERVICES_FRONT,         /* address, protocol, port -> endpoint count in to_address */
	SERVICES_NODE_ENDPOINT, /* the same two for ports of the node's own addresses: address 0 */
	SERVICES_NODE_FRONT,
	SERVICES_SET_COUNT,
};

struct services_element {
	uint8_t set;
	uint8_t protocol; /* IPPROTO_* */
	uint16_t port;
	uint32_t address;
	uint32_t index;
	uint32_t to_address;
	uint16_t to_port;
	bool sticky;    /* of fronts: chosen by the client's address */
	uint32_t owner; /* which of the services said it: the first to claim a front has it */
};

struct services_state {
	VEC(struct services_element) list; /* sorted by services_compare, no two equal */
};

void services_state_done(struct services_state *s);

/* By group, then set and index; to_*, sticky and owner do not count. */
int services_compare(const struct services_element *a, const struct services_element *b);
/* By group only: 0 when both belong to one service port. */
int services_compare_group(const struct services_element *a, const struct services_element *b);
bool services_same(const struct services_element *a, const struct services_element *b);

/* Host ports come as services without address: cluster_ip "", node_port the host's. Everything that
 * is well formed is in ret_state also when something is not: -ERR_INVALID then names the first. */
int services_build(const struct overlay_service *services, size_t count, struct ipv4_range pods,
	struct ipv4_range domain, struct services_state *ret_state, struct err *e) MUST_CHECK;

/* Sorts elements that were read from the kernel. */
void services_sort(struct services_state *s);

#endif
