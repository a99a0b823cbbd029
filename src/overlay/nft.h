/*
 * The nftables table `ip continuo`: services, node ports, masquerading. Written by netlink batches,
 * each one transaction of the kernel: a packet sees a service port as it was or as it will be.
 * Other tables are never looked at.
 *
 *   prerouting, output (nat)   services: address . protocol . port  -> goto a chain for N
 * endpoints, which numbers the packet (random, or by the client's address) and finds the endpoint
 * in a map: one chain per N, not per service postrouting (nat)          masquerade what leaves the
 * pod network or could not come back forward, output (filter)   refuse what is still addressed to
 * the service range
 *
 * The wanted state is written in steps of bounded size, so that the loop is never held.
 */
#ifndef CONTINUO_OVERLAY_NFT_H
#define CONTINUO_OVERLAY_NFT_H

#include "overlay/services.h"
#include "sys/netlink.h"

#define NFT_TABLE "continuo"

struct nft;

struct nft_config {
	const char *bridge; /* name of the interface to this node's pods */
	struct ipv4_range pods, domain, services;
};

/* Takes over the table that a former run left, if it was made for the same configuration; else
 * makes it anew, empty, in one transaction. */
int nft_open(const struct nft_config *config, struct nft **ret_nft, struct err *e) MUST_CHECK;
void nft_close(struct nft *x, bool keep); /* keep: the table stays */

/* Takes the elements (the list is empty afterwards) as what shall be. */
void nft_want(struct nft *x, struct services_state *wanted);

/* Writes up to about max_changes elements of the difference (a service port at least). *ret_more:
 * there is more to write. After an error nothing of the step was written, and the next one reads
 * the kernel's state again first. */
int nft_step(struct nft *x, size_t max_changes, bool *ret_more, struct err *e) MUST_CHECK;

/* Whether the table is still there (a firewall of the host may have flushed all tables). If not, it
 * is made anew, and there is more to write. */
int nft_check(struct nft *x, bool *ret_lost, struct err *e) MUST_CHECK;

/* UDP flows of endpoints that the last steps took away would go on to the dead address: calls cb
 * for each such element, once. */
void nft_removed(struct nft *x, void (*cb)(void *arg, const struct services_element *removed),
	void *arg);

size_t nft_element_count(const struct nft *x); /* as written */

#endif
