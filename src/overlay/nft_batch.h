/*
 * Builds batches of nftables messages (nfnetlink, subsystem NFNL_SUBSYS_NFTABLES; attributes as in
 * <linux/netfilter/nf_tables.h>). One batch is one transaction. Everything is of family ip and goes
 * to the table NFT_TABLE.
 */
#ifndef CONTINUO_OVERLAY_NFT_BATCH_H
#define CONTINUO_OVERLAY_NFT_BATCH_H

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>

#include "base/buf.h"
#include "sys/netlink.h"

/* Largest message: attributes hold at most 64 KiB, and a list of elements is one attribute. */
#define NFT_MESSAGE_SIZE (72 * 1024)
#define NFT_LIST_SIZE (60 * 1024)

struct nft_batch {
	struct buf data;
	uint32_t sequence;
	uint16_t open_type; /* of the message at hand */
	char message[NFT_MESSAGE_SIZE] __attribute__((aligned(8)));
};

struct nft_batch *nft_batch_new(void) MUST_CHECK;
void nft_batch_free(struct nft_batch *b);
void nft_batch_free_ptr(struct nft_batch **b);

/* type: NFT_MSG_*. The message is complete at nft_batch_put. */
struct nlmsghdr *nft_batch_message(struct nft_batch *b, uint16_t type, uint16_t flags);
void nft_batch_put(struct nft_batch *b, struct nlmsghdr *m);
int nft_batch_send(struct nft_batch *b, struct netlink *n, const char *what,
	struct err *e) MUST_CHECK;

/* ---- table, chains, sets ---- */

void nft_put_table(struct nft_batch *b, uint16_t type, const char *comment);
void nft_put_chain(struct nft_batch *b, const char *name);
void nft_put_base_chain(struct nft_batch *b, const char *name, const char *type, uint32_t hook,
	int priority);

/* Types are nft(8)'s numbers, concatenated by six bits each, so that `nft list` can show the set.
 */
struct nft_set {
	const char *name;
	uint32_t id;
	uint32_t key_type, key_size;
	uint32_t data_type, data_size; /* of maps; NFT_DATA_VERDICT for verdicts; 0: no map */
};
void nft_put_set(struct nft_batch *b, const struct nft_set *s);

/* ---- elements ---- */

/* Adds one element to a list that a message of NFT_MSG_NEWSETELEM or DELSETELEM is building. */
struct nlmsghdr *nft_elements_begin(struct nft_batch *b, uint16_t type, const char *set,
	struct nlattr **ret_list);
void nft_element(struct nlmsghdr *m, const void *key, size_t key_size, const void *data,
	size_t data_size, const char *go_to);

/* ---- rules ---- */

struct nft_rule {
	struct nft_batch *batch;
	struct nlmsghdr *message;
	struct nlattr *expressions;
};

void nft_rule_begin(struct nft_batch *b, const char *chain, struct nft_rule *ret_rule);
void nft_rule_end(struct nft_rule *r);

/* Registers are numbered 0 to 15, four bytes each (NFT_REG32_00 on). */
void nft_rule_payload(struct nft_rule *r, uint32_t base, uint32_t offset, uint32_t size,
	uint32_t to);
void nft_rule_meta(struct nft_rule *r, uint32_t key, uint32_t to);
void nft_rule_ct(struct nft_rule *r, uint32_t key, uint32_t to);
void nft_rule_fib_local(struct nft_rule *r, uint32_t to); /* type of the destination address */
void nft_rule_compare(struct nft_rule *r, uint32_t from, uint32_t op, const void *value,
	uint32_t size);
void nft_rule_mask(struct nft_rule *r, uint32_t reg, uint32_t mask_be);
void nft_rule_random(struct nft_rule *r, uint32_t modulus, uint32_t to);
void nft_rule_hash(struct nft_rule *r, uint32_t from, uint32_t modulus, uint32_t to);
void nft_rule_lookup(struct nft_rule *r, const char *set, uint32_t from);
void nft_rule_map(struct nft_rule *r, const char *set, uint32_t from, uint32_t to);
void nft_rule_verdict_map(struct nft_rule *r, const char *set, uint32_t from);
void nft_rule_goto(struct nft_rule *r, const char *chain);
void nft_rule_dnat(struct nft_rule *r, uint32_t address, uint32_t port);
void nft_rule_masquerade(struct nft_rule *r);
void nft_rule_reject(struct nft_rule *r, bool tcp);

#endif
