/*
 * Who has which address of the node's range. Pure: the caller stores ipam_encode's text soon after
 * a change, and tells ipam_adopt at its start what the interfaces say that outlived it; so no crash
 * gives one address to two pods, and none is lost.
 *
 * The network's own, the gateway's (the first) and the broadcast address are never given. Addresses
 * are given in turn, so that a released one rests as long as possible.
 */
#ifndef CONTINUO_OVERLAY_IPAM_H
#define CONTINUO_OVERLAY_IPAM_H

#include "base/buf.h"
#include "base/map.h"
#include "overlay/ipv4.h"

#define IPAM_UID_MAX 128

struct ipam {
	struct ipv4_range range;
	uint32_t next;     /* where the search for the next free one begins */
	struct map by_uid; /* pod uid -> struct ipam_lease */
	uint64_t *used;    /* a bit per address of the range */
};

struct ipam_lease {
	uint32_t address;
};

/* range: /30 to /12, else -ERR_INVALID. */
int ipam_init(struct ipam *p, struct ipv4_range range, struct err *e) MUST_CHECK;
void ipam_done(struct ipam *p);

uint32_t ipam_gateway(const struct ipam *p);
size_t ipam_capacity(const struct ipam *p);
bool ipam_find(const struct ipam *p, const char *uid, uint32_t *ret_address);

/* The pod's address, a new one if it has none (*ret_new). -ERR_UNAVAILABLE when all are given,
 * -ERR_INVALID for a uid that cannot be stored (empty, too long, white space). */
int ipam_take(struct ipam *p, const char *uid, uint32_t *ret_address, bool *ret_new,
	struct err *e) MUST_CHECK;
/* The pod has this address for certain: whatever was known of either before gives way. -ERR_INVALID
 * when it is not one that ipam_take gives. */
int ipam_adopt(struct ipam *p, const char *uid, uint32_t address, struct err *e) MUST_CHECK;
bool ipam_release(struct ipam *p, const char *uid); /* false: it had none */

/* As text, a line per lease. */
void ipam_encode(const struct ipam *p, struct buf *b);

/* Reads what ipam_encode wrote into an empty pool. Leases outside the range are dropped (the node
 * was given another one). -ERR_CORRUPT says in which line; then the pool is empty. */
int ipam_decode(struct ipam *p, const char *text, struct err *e) MUST_CHECK;

#endif
