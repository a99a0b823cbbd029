/* What nft.c (writing) and nft_read.c (reading back) share. */
#ifndef CONTINUO_OVERLAY_NFT_PRIVATE_H
#define CONTINUO_OVERLAY_NFT_PRIVATE_H

#include "overlay/nft.h"
#include "overlay/nft_batch.h"

#define NFT_CHAIN_NAME_SIZE 24
enum { NFT_CHAIN_STICKY = 1, NFT_CHAIN_NODE = 2, NFT_CHAIN_KINDS = 4 };

struct nft_changes {
	struct services_element *items;
	size_t count;
	size_t capacity;
};

struct nft_chain {
	int kind;
	uint32_t count;
};
struct nft_chains {
	struct nft_chain *items;
	size_t count;
	size_t capacity;
};

/*
 * current and wanted are walked side by side: what lies before at and wanted_at is done, so the
 * kernel holds wanted[0, wanted_at) and current[at, end).
 */
struct nft {
	struct nft_config config;
	char bridge[IFNAMSIZ];
	char comment[200]; /* of the table: which layout, and for which configuration */
	struct netlink *netlink;
	struct services_state current, wanted;
	size_t at, wanted_at;
	bool unknown; /* the kernel's state must be read before the next step */
	bool chains[NFT_CHAIN_KINDS][SERVICES_ENDPOINTS_MAX + 1]; /* that exist */
	struct nft_changes removed; /* UDP endpoints, not yet told to nft_removed */
};

extern const struct nft_set nft_sets[SERVICES_SET_COUNT];
void nft_chain_name(int kind, uint32_t count, char ret_name[static NFT_CHAIN_NAME_SIZE]);

/* Whether there is a table of ours, of this layout and for this configuration. */
int nft_table_is_ours(struct nft *x, bool *ret_there, struct err *e) MUST_CHECK;
/* Reads chains and elements into x, if the table is ours (*ret_adopted). */
int nft_read(struct nft *x, bool *ret_adopted, struct err *e) MUST_CHECK;

#endif
