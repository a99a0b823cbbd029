#include "overlay/nft_batch.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "overlay/nft.h"

static void put_boundary(struct nft_batch *b, uint16_t type)
{
	char data[64] __attribute__((aligned(8)));
	struct nlmsghdr *m = mnl_nlmsg_put_header(data);
	m->nlmsg_type = type;
	m->nlmsg_flags = NLM_F_REQUEST;
	m->nlmsg_seq = ++b->sequence;
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(m, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	g->res_id = htons(NFNL_SUBSYS_NFTABLES);
	buf_append(&b->data, m, m->nlmsg_len);
}

struct nft_batch *nft_batch_new(void)
{
	struct nft_batch *b = mem_new(struct nft_batch);
	put_boundary(b, NFNL_MSG_BATCH_BEGIN);
	return b;
}

void nft_batch_free(struct nft_batch *b)
{
	if (!b)
		return;
	buf_done(&b->data);
	free(b);
}

void nft_batch_free_ptr(struct nft_batch **b)
{
	nft_batch_free(*b);
}

struct nlmsghdr *nft_batch_message(struct nft_batch *b, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(b->message);
	m->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	m->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	m->nlmsg_seq = ++b->sequence;
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(m, sizeof(*g));
	g->nfgen_family = NFPROTO_IPV4;
	g->version = NFNETLINK_V0;
	return m;
}

void nft_batch_put(struct nft_batch *b, struct nlmsghdr *m)
{
	buf_append(&b->data, m, m->nlmsg_len);
}

int nft_batch_send(struct nft_batch *b, struct netlink *n, const char *what, struct err *e)
{
	put_boundary(b, NFNL_MSG_BATCH_END);
	int code = buf_check(&b->data, what, e);
	return code ? code : netlink_send_batch(n, b->data.data, b->data.size, what, e);
}

static void put_u32(struct nlmsghdr *m, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(m, type, htonl(value));
}

/* ---- table, chains, sets ---- */

void nft_put_table(struct nft_batch *b, uint16_t type, const char *comment)
{
	struct nlmsghdr *m =
		nft_batch_message(b, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);
	mnl_attr_put_strz(m, NFTA_TABLE_NAME, NFT_TABLE);
	if (comment) {
		/* As libnftnl writes comments: type 0, length, text with its NUL. */
		uint8_t data[256] = {0, (uint8_t)(strlen(comment) + 1)};
		memcpy(data + 2, comment, data[1]);
		mnl_attr_put(m, NFTA_TABLE_USERDATA, 2u + data[1], data);
	}
	nft_batch_put(b, m);
}

void nft_put_chain(struct nft_batch *b, const char *name)
{
	struct nlmsghdr *m = nft_batch_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	mnl_attr_put_strz(m, NFTA_CHAIN_TABLE, NFT_TABLE);
	mnl_attr_put_strz(m, NFTA_CHAIN_NAME, name);
	nft_batch_put(b, m);
}

void nft_put_base_chain(struct nft_batch *b, const char *name, const char *type, uint32_t hook,
	int priority)
{
	struct nlmsghdr *m = nft_batch_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	mnl_attr_put_strz(m, NFTA_CHAIN_TABLE, NFT_TABLE);
	mnl_attr_put_strz(m, NFTA_CHAIN_NAME, name);
	struct nlattr *nest = mnl_attr_nest_start(m, NFTA_CHAIN_HOOK);
	put_u32(m, NFTA_HOOK_HOOKNUM, hook);
	put_u32(m, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	mnl_attr_nest_end(m, nest);
	put_u32(m, NFTA_CHAIN_POLICY, NF_ACCEPT);
	mnl_attr_put_strz(m, NFTA_CHAIN_TYPE, type);
	nft_batch_put(b, m);
}

void nft_put_set(struct nft_batch *b, const struct nft_set *s)
{
	struct nlmsghdr *m = nft_batch_message(b, NFT_MSG_NEWSET, NLM_F_CREATE);
	mnl_attr_put_strz(m, NFTA_SET_TABLE, NFT_TABLE);
	mnl_attr_put_strz(m, NFTA_SET_NAME, s->name);
	put_u32(m, NFTA_SET_FLAGS, s->data_type ? NFT_SET_MAP : 0);
	put_u32(m, NFTA_SET_KEY_TYPE, s->key_type);
	put_u32(m, NFTA_SET_KEY_LEN, s->key_size);
	if (s->data_type) {
		put_u32(m, NFTA_SET_DATA_TYPE, s->data_type);
		put_u32(m, NFTA_SET_DATA_LEN, s->data_size);
	}
	put_u32(m, NFTA_SET_ID, s->id);
	nft_batch_put(b, m);
}

/* ---- elements ---- */

struct nlmsghdr *nft_elements_begin(struct nft_batch *b, uint16_t type, const char *set,
	struct nlattr **ret_list)
{
	struct nlmsghdr *m =
		nft_batch_message(b, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
	mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
	mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_SET, set);
	*ret_list = mnl_attr_nest_start(m, NFTA_SET_ELEM_LIST_ELEMENTS);
	return m;
}

static void put_verdict(struct nlmsghdr *m, const char *go_to)
{
	struct nlattr *verdict = mnl_attr_nest_start(m, NFTA_DATA_VERDICT);
	put_u32(m, NFTA_VERDICT_CODE, (uint32_t)NFT_GOTO);
	mnl_attr_put_strz(m, NFTA_VERDICT_CHAIN, go_to);
	mnl_attr_nest_end(m, verdict);
}

void nft_element(struct nlmsghdr *m, const void *key, size_t key_size, const void *data,
	size_t data_size, const char *go_to)
{
	struct nlattr *element = mnl_attr_nest_start(m, NFTA_LIST_ELEM);
	struct nlattr *nest = mnl_attr_nest_start(m, NFTA_SET_ELEM_KEY);
	mnl_attr_put(m, NFTA_DATA_VALUE, key_size, key);
	mnl_attr_nest_end(m, nest);
	if (data || go_to) {
		nest = mnl_attr_nest_start(m, NFTA_SET_ELEM_DATA);
		if (go_to)
			put_verdict(m, go_to);
		else
			mnl_attr_put(m, NFTA_DATA_VALUE, data_size, data);
		mnl_attr_nest_end(m, nest);
	}
	mnl_attr_nest_end(m, element);
}

/* ---- rules ---- */

void nft_rule_begin(struct nft_batch *b, const char *chain, struct nft_rule *ret_rule)
{
	struct nlmsghdr *m = nft_batch_message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	mnl_attr_put_strz(m, NFTA_RULE_TABLE, NFT_TABLE);
	mnl_attr_put_strz(m, NFTA_RULE_CHAIN, chain);
	*ret_rule = (struct nft_rule){.batch = b,
		.message = m,
		.expressions = mnl_attr_nest_start(m, NFTA_RULE_EXPRESSIONS)};
}

void nft_rule_end(struct nft_rule *r)
{
	mnl_attr_nest_end(r->message, r->expressions);
	nft_batch_put(r->batch, r->message);
}

struct expression {
	struct nlattr *element, *data;
};

static struct expression begin(struct nft_rule *r, const char *name)
{
	struct expression x = {.element = mnl_attr_nest_start(r->message, NFTA_LIST_ELEM)};
	mnl_attr_put_strz(r->message, NFTA_EXPR_NAME, name);
	x.data = mnl_attr_nest_start(r->message, NFTA_EXPR_DATA);
	return x;
}

static void end(struct nft_rule *r, struct expression x)
{
	mnl_attr_nest_end(r->message, x.data);
	mnl_attr_nest_end(r->message, x.element);
}

static void put_reg(struct nft_rule *r, uint16_t type, uint32_t reg)
{
	put_u32(r->message, type, NFT_REG32_00 + reg);
}

void nft_rule_payload(struct nft_rule *r, uint32_t base, uint32_t offset, uint32_t size,
	uint32_t to)
{
	struct expression x = begin(r, "payload");
	put_reg(r, NFTA_PAYLOAD_DREG, to);
	put_u32(r->message, NFTA_PAYLOAD_BASE, base);
	put_u32(r->message, NFTA_PAYLOAD_OFFSET, offset);
	put_u32(r->message, NFTA_PAYLOAD_LEN, size);
	end(r, x);
}

void nft_rule_meta(struct nft_rule *r, uint32_t key, uint32_t to)
{
	struct expression x = begin(r, "meta");
	put_reg(r, NFTA_META_DREG, to);
	put_u32(r->message, NFTA_META_KEY, key);
	end(r, x);
}

void nft_rule_ct(struct nft_rule *r, uint32_t key, uint32_t to)
{
	struct expression x = begin(r, "ct");
	put_reg(r, NFTA_CT_DREG, to);
	put_u32(r->message, NFTA_CT_KEY, key);
	end(r, x);
}

static void put_value(struct nft_rule *r, uint16_t type, const void *value, uint32_t size,
	bool verdict)
{
	struct nlattr *nest = mnl_attr_nest_start(r->message, type);
	if (verdict)
		put_verdict(r->message, value);
	else
		mnl_attr_put(r->message, NFTA_DATA_VALUE, size, value);
	mnl_attr_nest_end(r->message, nest);
}

void nft_rule_fib_local(struct nft_rule *r, uint32_t to)
{
	struct expression x = begin(r, "fib");
	put_reg(r, NFTA_FIB_DREG, to);
	put_u32(r->message, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	put_u32(r->message, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	end(r, x);
	const uint32_t local = RTN_LOCAL;
	nft_rule_compare(r, to, NFT_CMP_EQ, &local, sizeof(local));
}

void nft_rule_compare(struct nft_rule *r, uint32_t from, uint32_t op, const void *value,
	uint32_t size)
{
	struct expression x = begin(r, "cmp");
	put_reg(r, NFTA_CMP_SREG, from);
	put_u32(r->message, NFTA_CMP_OP, op);
	put_value(r, NFTA_CMP_DATA, value, size, false);
	end(r, x);
}

void nft_rule_mask(struct nft_rule *r, uint32_t reg, uint32_t mask_be)
{
	const uint32_t zero = 0;
	struct expression x = begin(r, "bitwise");
	put_reg(r, NFTA_BITWISE_SREG, reg);
	put_reg(r, NFTA_BITWISE_DREG, reg);
	put_u32(r->message, NFTA_BITWISE_LEN, sizeof(mask_be));
	put_value(r, NFTA_BITWISE_MASK, &mask_be, sizeof(mask_be), false);
	put_value(r, NFTA_BITWISE_XOR, &zero, sizeof(zero), false);
	end(r, x);
}

void nft_rule_random(struct nft_rule *r, uint32_t modulus, uint32_t to)
{
	struct expression x = begin(r, "numgen");
	put_reg(r, NFTA_NG_DREG, to);
	put_u32(r->message, NFTA_NG_MODULUS, modulus);
	put_u32(r->message, NFTA_NG_TYPE, NFT_NG_RANDOM);
	put_u32(r->message, NFTA_NG_OFFSET, 0);
	end(r, x);
}

/* A fixed seed: all nodes send one client to the same endpoint. */
void nft_rule_hash(struct nft_rule *r, uint32_t from, uint32_t modulus, uint32_t to)
{
	struct expression x = begin(r, "hash");
	put_reg(r, NFTA_HASH_SREG, from);
	put_reg(r, NFTA_HASH_DREG, to);
	put_u32(r->message, NFTA_HASH_LEN, 4);
	put_u32(r->message, NFTA_HASH_MODULUS, modulus);
	put_u32(r->message, NFTA_HASH_SEED, 0xc0117100);
	put_u32(r->message, NFTA_HASH_OFFSET, 0);
	put_u32(r->message, NFTA_HASH_TYPE, NFT_HASH_JENKINS);
	end(r, x);
}

void nft_rule_lookup(struct nft_rule *r, const char *set, uint32_t from)
{
	struct expression x = begin(r, "lookup");
	mnl_attr_put_strz(r->message, NFTA_LOOKUP_SET, set);
	put_reg(r, NFTA_LOOKUP_SREG, from);
	end(r, x);
}

void nft_rule_map(struct nft_rule *r, const char *set, uint32_t from, uint32_t to)
{
	struct expression x = begin(r, "lookup");
	mnl_attr_put_strz(r->message, NFTA_LOOKUP_SET, set);
	put_reg(r, NFTA_LOOKUP_SREG, from);
	put_reg(r, NFTA_LOOKUP_DREG, to);
	end(r, x);
}

void nft_rule_verdict_map(struct nft_rule *r, const char *set, uint32_t from)
{
	struct expression x = begin(r, "lookup");
	mnl_attr_put_strz(r->message, NFTA_LOOKUP_SET, set);
	put_reg(r, NFTA_LOOKUP_SREG, from);
	put_u32(r->message, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
	end(r, x);
}

void nft_rule_goto(struct nft_rule *r, const char *chain)
{
	struct expression x = begin(r, "immediate");
	put_u32(r->message, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	put_value(r, NFTA_IMMEDIATE_DATA, chain, 0, true);
	end(r, x);
}

void nft_rule_dnat(struct nft_rule *r, uint32_t address, uint32_t port)
{
	struct expression x = begin(r, "nat");
	put_u32(r->message, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	put_u32(r->message, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	put_reg(r, NFTA_NAT_REG_ADDR_MIN, address);
	put_reg(r, NFTA_NAT_REG_PROTO_MIN, port);
	put_u32(r->message, NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
	end(r, x);
}

void nft_rule_masquerade(struct nft_rule *r)
{
	end(r, begin(r, "masq"));
}

void nft_rule_reject(struct nft_rule *r, bool tcp)
{
	struct expression x = begin(r, "reject");
	put_u32(r->message, NFTA_REJECT_TYPE, tcp ? NFT_REJECT_TCP_RST : NFT_REJECT_ICMP_UNREACH);
	mnl_attr_put_u8(r->message, NFTA_REJECT_ICMP_CODE, tcp ? 0 : ICMP_PORT_UNREACH);
	end(r, x);
}
