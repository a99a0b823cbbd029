#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "overlay/nft_private.h"
#include "sys/netlink_attr.h"

#define READ_TRIES 5

static struct nlmsghdr *ask(struct nft *x, uint16_t type, uint16_t flags)
{
	struct nfgenmsg g = {.nfgen_family = NFPROTO_IPV4, .version = NFNETLINK_V0};
	return netlink_message(x->netlink, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &g,
		sizeof(g));
}

/* ---- table ---- */

static void see_table(void *arg, const struct nlmsghdr *m)
{
	char *comment = arg; /* 256 bytes */
	NETLINK_ATTRS (m, sizeof(struct nfgenmsg), a) {
		if (mnl_attr_get_type(a) != NFTA_TABLE_USERDATA)
			continue;
		const uint8_t *data = mnl_attr_get_payload(a);
		uint16_t size = mnl_attr_get_payload_len(a);
		if (size > 2 && data[0] == 0 && size == 2 + data[1])
			snprintf(comment, 256, "%.*s", data[1], (const char *)data + 2);
	}
}

int nft_table_is_ours(struct nft *x, bool *ret_there, struct err *e)
{
	char comment[256] = "";
	struct nlmsghdr *m = ask(x, NFT_MSG_GETTABLE, 0);
	mnl_attr_put_strz(m, NFTA_TABLE_NAME, NFT_TABLE);
	int code = netlink_query(x->netlink, see_table, comment,
		"cannot look at the nftables table", e);
	*ret_there = !code && str_equal(comment, x->comment);
	return code == -ERR_NOT_FOUND ? 0 : code;
}

/* ---- chains ---- */

/* The kind and number in a chain's name; false for the fixed chains. */
static bool parse_chain(const char *name, struct nft_chain *ret_chain)
{
	const char *dash = strrchr(name, '-');
	int64_t count;
	if (!dash || str_to_int64(dash + 1, "chain", &count, NULL) || count < 1 ||
		count > SERVICES_ENDPOINTS_MAX)
		return false;
	for (int kind = 0; kind < NFT_CHAIN_KINDS; kind++) {
		char expected[NFT_CHAIN_NAME_SIZE];
		nft_chain_name(kind, (uint32_t)count, expected);
		if (!str_equal(name, expected))
			continue;
		*ret_chain = (struct nft_chain){.kind = kind, .count = (uint32_t)count};
		return true;
	}
	return false;
}

static void see_chain(void *arg, const struct nlmsghdr *m)
{
	struct nft *x = arg;
	const char *table = "", *name = "";
	NETLINK_ATTRS (m, sizeof(struct nfgenmsg), a) {
		if (mnl_attr_get_type(a) == NFTA_CHAIN_TABLE)
			table = mnl_attr_get_str(a);
		else if (mnl_attr_get_type(a) == NFTA_CHAIN_NAME)
			name = mnl_attr_get_str(a);
	}
	struct nft_chain c;
	if (str_equal(table, NFT_TABLE) && parse_chain(name, &c))
		x->chains[c.kind][c.count] = true;
}

static int read_chains(struct nft *x, struct err *e)
{
	memset(x->chains, 0, sizeof(x->chains));
	ask(x, NFT_MSG_GETCHAIN, NLM_F_DUMP);
	return netlink_query(x->netlink, see_chain, x, "cannot list nftables chains", e);
}

/* ---- elements ---- */

struct reading {
	struct nft *nft;
	int set;
	bool strange; /* something that we did not write */
};

static void read_key(struct services_element *x, const uint32_t *key)
{
	if (x->set != SERVICES_NODE_ENDPOINT && x->set != SERVICES_NODE_FRONT)
		x->address = ntohl(*key++);
	if (x->set == SERVICES_HAIRPIN)
		return;
	uint16_t port;
	memcpy(&x->protocol, key++, 1);
	memcpy(&port, key++, 2);
	x->port = ntohs(port);
	if (x->set == SERVICES_ENDPOINT || x->set == SERVICES_NODE_ENDPOINT)
		x->index = *key;
}

static bool read_data(struct services_element *x, const struct nlattr *data)
{
	NETLINK_NESTED (data, a) {
		if (mnl_attr_get_type(a) == NFTA_DATA_VALUE && mnl_attr_get_payload_len(a) == 8) {
			uint32_t value[2];
			uint16_t port;
			memcpy(value, mnl_attr_get_payload(a), sizeof(value));
			memcpy(&port, &value[1], 2);
			x->to_address = ntohl(value[0]);
			x->to_port = ntohs(port);
			return true;
		}
		if (mnl_attr_get_type(a) != NFTA_DATA_VERDICT)
			continue;
		NETLINK_NESTED (a, v) {
			struct nft_chain c;
			if (mnl_attr_get_type(v) != NFTA_VERDICT_CHAIN ||
				!parse_chain(mnl_attr_get_str(v), &c))
				continue;
			x->to_address = c.count;
			x->sticky = c.kind & NFT_CHAIN_STICKY;
			return true;
		}
	}
	return false;
}

static bool read_element(int set, const struct nlattr *element, struct services_element *ret_x)
{
	*ret_x = (struct services_element){.set = (uint8_t)set};
	bool has_key = false, has_data = nft_sets[set].data_type == 0;
	NETLINK_NESTED (element, a) {
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_KEY) {
			NETLINK_NESTED (a, v) {
				uint32_t key[4];
				if (mnl_attr_get_payload_len(v) != nft_sets[set].key_size)
					continue;
				memcpy(key, mnl_attr_get_payload(v), nft_sets[set].key_size);
				read_key(ret_x, key);
				has_key = true;
			}
		} else if (mnl_attr_get_type(a) == NFTA_SET_ELEM_DATA) {
			has_data = read_data(ret_x, a);
		}
	}
	return has_key && has_data;
}

static void see_elements(void *arg, const struct nlmsghdr *m)
{
	struct reading *r = arg;
	NETLINK_ATTRS (m, sizeof(struct nfgenmsg), a) {
		if (mnl_attr_get_type(a) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		NETLINK_NESTED (a, element) {
			struct services_element x;
			if (read_element(r->set, element, &x))
				vec_push(&r->nft->current.list, x);
			else
				r->strange = true;
		}
	}
}

static int read_elements(struct nft *x, bool *ret_good, struct err *e)
{
	services_state_done(&x->current);
	*ret_good = true;
	for (int set = 0; set < SERVICES_SET_COUNT; set++) {
		struct reading r = {.nft = x, .set = set};
		struct nlmsghdr *m = ask(x, NFT_MSG_GETSETELEM, NLM_F_DUMP);
		mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
		mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_SET, nft_sets[set].name);
		int code = netlink_query(x->netlink, see_elements, &r,
			"cannot list nftables elements", e);
		if (code == -ERR_NOT_FOUND)
			r.strange = true;
		else if (code)
			return code;
		if (r.strange)
			*ret_good = false;
	}
	services_sort(&x->current);
	return 0;
}

int nft_read(struct nft *x, bool *ret_adopted, struct err *e)
{
	*ret_adopted = false;
	int code = -ERR_BUSY;
	for (int i = 0; i < READ_TRIES && code == -ERR_BUSY; i++) {
		bool ours = false, good = false;
		code = nft_table_is_ours(x, &ours, e);
		if (code || !ours)
			return code;
		code = read_chains(x, e);
		if (!code)
			code = read_elements(x, &good, e);
		if (!code)
			*ret_adopted = good;
	}
	/* Somebody changes tables all the time: making ours anew does not depend on that. */
	return code == -ERR_BUSY ? 0 : code;
}
