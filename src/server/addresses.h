/*
 * What is given out of the domain's ranges: cluster IPs and node ports of Services, pod ranges of
 * Nodes. Kept up from the store by a watch; a claim holds what is being written until its commit is
 * seen.
 */
#ifndef CONTINUO_SERVER_ADDRESSES_H
#define CONTINUO_SERVER_ADDRESSES_H

#include "server/state.h"

int addresses_new(struct server *s, struct addresses **ret_addresses, struct err *e) MUST_CHECK;
void addresses_free(struct addresses *a);

/* A free cluster IP, or the wanted one. -ERR_INVALID: taken, or not in the range; -ERR_UNAVAILABLE:
 * none left. */
int addresses_claim_service(struct addresses *a, const char *wanted, char ret_ip[static 64],
	struct err *e) MUST_CHECK;
/* A free /24 (or what is left of a smaller range) for a node. */
int addresses_claim_node(struct addresses *a, char ret_cidr[static 64], struct err *e) MUST_CHECK;
/* A free node port of 30000 to 32767, or the wanted one. */
int addresses_claim_port(struct addresses *a, int wanted, int *ret_port, struct err *e) MUST_CHECK;
/* Gives a claim back: its write failed, or the watch has seen it. Unknown ones are ignored. */
void addresses_release(struct addresses *a, const char *claimed);

#endif
