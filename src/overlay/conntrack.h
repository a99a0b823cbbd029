/* Cuts tracked UDP flows (ctnetlink) that still lead to endpoints that are gone. */
#ifndef CONTINUO_OVERLAY_CONNTRACK_H
#define CONTINUO_OVERLAY_CONNTRACK_H

#include "overlay/nft.h"

/* For what nft_removed tells. Lists all flows of the namespace once, if there was any: blocks for
 * about a millisecond per 1,000 flows. */
int conntrack_cut_removed(struct nft *nft, struct err *e) MUST_CHECK;

#endif
