#include "overlay/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "overlay/nft_batch.h"
#include "overlay/nft_private.h"

/* Just ahead of the usual places of others, so that their translations don't come between. */
#define PRIORITY_BEFORE_DSTNAT (-101)
#define PRIORITY_BEFORE_SRCNAT 99
#define PRIORITY_BEFORE_FILTER (-1)

/* nft(8)'s numbers of types. */
#define TYPE_ADDRESS 7u
#define TYPE_PROTOCOL 12u
#define TYPE_PORT 13u
#define TYPE_MARK                                                                                  \
	19u /* for the index: the only plain number of fixed size that nft(8) can show             \
	     */
#define CONCAT(a, b) ((a) << 6 | (b))

const struct nft_set nft_sets[SERVICES_SET_COUNT] = {
	[SERVICES_HAIRPIN] = {.name = "hairpin",
		.key_type = CONCAT(TYPE_ADDRESS, TYPE_ADDRESS),
		.key_size = 8},
	[SERVICES_OUTSIDE] = {.name = "outside",
		.key_type = CONCAT(CONCAT(TYPE_ADDRESS, TYPE_PROTOCOL), TYPE_PORT),
		.key_size = 12},
	[SERVICES_ENDPOINT] = {.name = "endpoints",
		.key_type =
			CONCAT(CONCAT(CONCAT(TYPE_ADDRESS, TYPE_PROTOCOL), TYPE_PORT), TYPE_MARK),
		.key_size = 16,
		.data_type = CONCAT(TYPE_ADDRESS, TYPE_PORT),
		.data_size = 8},
	[SERVICES_FRONT] = {.name = "services",
		.key_type = CONCAT(CONCAT(TYPE_ADDRESS, TYPE_PROTOCOL), TYPE_PORT),
		.key_size = 12,
		.data_type = NFT_DATA_VERDICT},
	[SERVICES_NODE_ENDPOINT] = {.name = "node-endpoints",
		.key_type = CONCAT(CONCAT(TYPE_PROTOCOL, TYPE_PORT), TYPE_MARK),
		.key_size = 12,
		.data_type = CONCAT(TYPE_ADDRESS, TYPE_PORT),
		.data_size = 8},
	[SERVICES_NODE_FRONT] = {.name = "node-services",
		.key_type = CONCAT(TYPE_PROTOCOL, TYPE_PORT),
		.key_size = 8,
		.data_type = NFT_DATA_VERDICT},
};

/* ---- parts of rules ---- */

enum { OFFSET_SOURCE = 12, OFFSET_DESTINATION = 16, OFFSET_PORT = 2 };

static void load_address(struct nft_rule *r, uint32_t offset, uint32_t to)
{
	nft_rule_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offset, 4, to);
}

static void load_protocol_port(struct nft_rule *r, uint32_t to)
{
	nft_rule_meta(r, NFT_META_L4PROTO, to);
	nft_rule_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, OFFSET_PORT, 2, to + 1);
}

static void match_range(struct nft_rule *r, uint32_t offset, struct ipv4_range range, bool inside)
{
	uint32_t first = htonl(range.first);
	load_address(r, offset, 0);
	nft_rule_mask(r, 0, htonl(ipv4_mask(range.prefix)));
	nft_rule_compare(r, 0, inside ? NFT_CMP_EQ : NFT_CMP_NEQ, &first, sizeof(first));
}

static void match_not_to_pods(struct nft_rule *r, const char *bridge)
{
	char name[IFNAMSIZ] = "";
	snprintf(name, sizeof(name), "%s", bridge);
	nft_rule_meta(r, NFT_META_OIFNAME, 0);
	nft_rule_compare(r, 0, NFT_CMP_NEQ, name, sizeof(name));
}

static void match_translated(struct nft_rule *r)
{
	const uint32_t dnat = IPS_DST_NAT, none = 0;
	nft_rule_ct(r, NFT_CT_STATUS, 0);
	nft_rule_mask(r, 0, dnat); /* in host order, as the register */
	nft_rule_compare(r, 0, NFT_CMP_NEQ, &none, sizeof(none));
}

/* ---- the fixed part of the table ---- */

static void put_service_rules(struct nft_batch *b, const char *chain)
{
	struct nft_rule r;
	nft_rule_begin(b, chain, &r);
	load_address(&r, OFFSET_DESTINATION, 0);
	load_protocol_port(&r, 1);
	nft_rule_verdict_map(&r, nft_sets[SERVICES_FRONT].name, 0);
	nft_rule_end(&r);

	const struct ipv4_range loopback = {.first = 0x7f000000, .prefix = 8};
	nft_rule_begin(b, chain, &r);
	match_range(&r, OFFSET_DESTINATION, loopback, false);
	nft_rule_fib_local(&r, 0);
	load_protocol_port(&r, 0);
	nft_rule_verdict_map(&r, nft_sets[SERVICES_NODE_FRONT].name, 0);
	nft_rule_end(&r);
}

static void put_postrouting_rules(struct nft_batch *b, const struct nft_config *c)
{
	const char *chain = "postrouting";
	struct nft_rule r;
	/* A pod that reached itself would drop an answer to its own address. */
	nft_rule_begin(b, chain, &r);
	load_address(&r, OFFSET_SOURCE, 0);
	load_address(&r, OFFSET_DESTINATION, 1);
	nft_rule_lookup(&r, nft_sets[SERVICES_HAIRPIN].name, 0);
	nft_rule_masquerade(&r);
	nft_rule_end(&r);

	/* The world beyond does not know the addresses of pods. */
	nft_rule_begin(b, chain, &r);
	match_range(&r, OFFSET_SOURCE, c->pods, true);
	match_range(&r, OFFSET_DESTINATION, c->domain, false);
	match_not_to_pods(&r, c->bridge);
	nft_rule_masquerade(&r);
	nft_rule_end(&r);

	/* A client from outside whose node port led to another node: the answer must come back
	 * here. */
	nft_rule_begin(b, chain, &r);
	match_translated(&r);
	match_range(&r, OFFSET_SOURCE, c->domain, false);
	match_range(&r, OFFSET_DESTINATION, c->domain, true);
	match_not_to_pods(&r, c->bridge);
	nft_rule_masquerade(&r);
	nft_rule_end(&r);

	nft_rule_begin(b, chain, &r);
	match_translated(&r);
	load_address(&r, OFFSET_DESTINATION, 0);
	load_protocol_port(&r, 1);
	nft_rule_lookup(&r, nft_sets[SERVICES_OUTSIDE].name, 0);
	nft_rule_masquerade(&r);
	nft_rule_end(&r);
}

static void put_refusal(struct nft_batch *b, const struct nft_config *c)
{
	struct nft_rule r;
	const uint8_t tcp = IPPROTO_TCP;
	nft_put_chain(b, "refuse");
	nft_rule_begin(b, "refuse", &r);
	nft_rule_meta(&r, NFT_META_L4PROTO, 0);
	nft_rule_compare(&r, 0, NFT_CMP_EQ, &tcp, sizeof(tcp));
	nft_rule_reject(&r, true);
	nft_rule_end(&r);
	nft_rule_begin(b, "refuse", &r);
	nft_rule_reject(&r, false);
	nft_rule_end(&r);
	const char *chains[] = {"forward", "output-filter"};
	const uint32_t hooks[] = {NF_INET_FORWARD, NF_INET_LOCAL_OUT};
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		nft_put_base_chain(b, chains[i], "filter", hooks[i], PRIORITY_BEFORE_FILTER);
		nft_rule_begin(b, chains[i], &r);
		match_range(&r, OFFSET_DESTINATION, c->services, true);
		nft_rule_goto(&r, "refuse");
		nft_rule_end(&r);
	}
}

static int make_table(struct nft *x, struct err *e)
{
	struct nft_batch *b CLEANUP(nft_batch_free_ptr) = nft_batch_new();
	/* Adding first lets the removal succeed whether or not there was one. */
	nft_put_table(b, NFT_MSG_NEWTABLE, NULL);
	nft_put_table(b, NFT_MSG_DELTABLE, NULL);
	nft_put_table(b, NFT_MSG_NEWTABLE, x->comment);
	for (uint32_t i = 0; i < SERVICES_SET_COUNT; i++) {
		struct nft_set s = nft_sets[i];
		s.id = i + 1;
		nft_put_set(b, &s);
	}
	nft_put_base_chain(b, "prerouting", "nat", NF_INET_PRE_ROUTING, PRIORITY_BEFORE_DSTNAT);
	nft_put_base_chain(b, "output", "nat", NF_INET_LOCAL_OUT, PRIORITY_BEFORE_DSTNAT);
	nft_put_base_chain(b, "postrouting", "nat", NF_INET_POST_ROUTING, PRIORITY_BEFORE_SRCNAT);
	put_service_rules(b, "prerouting");
	put_service_rules(b, "output");
	put_postrouting_rules(b, &x->config);
	put_refusal(b, &x->config);
	int code = nft_batch_send(b, x->netlink, "cannot make the nftables table ip " NFT_TABLE, e);
	if (code)
		return code;
	services_state_done(&x->current);
	memset(x->chains, 0, sizeof(x->chains));
	x->at = 0;
	return 0;
}

/* ---- chains that pick one of N endpoints ---- */

void nft_chain_name(int kind, uint32_t count, char ret_name[static NFT_CHAIN_NAME_SIZE])
{
	static const char *const kinds[NFT_CHAIN_KINDS] = {
		"pick", "stick", "node-pick", "node-stick"};
	snprintf(ret_name, NFT_CHAIN_NAME_SIZE, "%s-%u", kinds[kind], count);
}

static int chain_kind(const struct services_element *front)
{
	return (front->set == SERVICES_NODE_FRONT ? NFT_CHAIN_NODE : 0) +
	       (front->sticky ? NFT_CHAIN_STICKY : 0);
}

static void put_pick_chain(struct nft_batch *b, int kind, uint32_t count)
{
	enum { FOUND = 8, CLIENT = 12 };
	bool node = kind & NFT_CHAIN_NODE;
	uint32_t index = node ? 2 : 3;
	char name[NFT_CHAIN_NAME_SIZE];
	nft_chain_name(kind, count, name);
	nft_put_chain(b, name);
	struct nft_rule r;
	nft_rule_begin(b, name, &r);
	if (!node)
		load_address(&r, OFFSET_DESTINATION, 0);
	load_protocol_port(&r, node ? 0 : 1);
	if (kind & NFT_CHAIN_STICKY) {
		load_address(&r, OFFSET_SOURCE, CLIENT);
		nft_rule_hash(&r, CLIENT, count, index);
	} else {
		nft_rule_random(&r, count, index);
	}
	nft_rule_map(&r, nft_sets[node ? SERVICES_NODE_ENDPOINT : SERVICES_ENDPOINT].name, 0,
		FOUND);
	nft_rule_dnat(&r, FOUND, FOUND + 1);
	nft_rule_end(&r);
}

/* ---- elements ---- */

/* What is in a register lies in 4 bytes each, the rest zero. */
static size_t make_key(const struct services_element *x, uint32_t key[static 4])
{
	size_t n = 0;
	if (x->set != SERVICES_NODE_ENDPOINT && x->set != SERVICES_NODE_FRONT)
		key[n++] = htonl(x->address);
	if (x->set == SERVICES_HAIRPIN) {
		key[n++] = htonl(x->address);
		return n * sizeof(*key);
	}
	uint16_t port = htons(x->port);
	key[n] = 0;
	memcpy(&key[n++], &x->protocol, 1);
	key[n] = 0;
	memcpy(&key[n++], &port, 2);
	if (x->set == SERVICES_ENDPOINT || x->set == SERVICES_NODE_ENDPOINT)
		key[n++] = x->index;
	return n * sizeof(*key);
}

static void put_element(struct nlmsghdr *m, const struct services_element *x, bool with_data)
{
	uint32_t key[4], data[2] = {htonl(x->to_address), 0};
	uint16_t port = htons(x->to_port);
	char chain[NFT_CHAIN_NAME_SIZE];
	memcpy(&data[1], &port, 2);
	size_t size = make_key(x, key);
	bool front = x->set == SERVICES_FRONT || x->set == SERVICES_NODE_FRONT;
	bool endpoint = x->set == SERVICES_ENDPOINT || x->set == SERVICES_NODE_ENDPOINT;
	if (front)
		nft_chain_name(chain_kind(x), x->to_address, chain);
	nft_element(m, key, size, with_data && endpoint ? data : NULL, sizeof(data),
		with_data && front ? chain : NULL);
}

/* All changes of one kind that go to one set, in as few messages as they need. */
static void put_changes(struct nft_batch *b, const struct nft_changes *changes, uint16_t type,
	int set)
{
	struct nlmsghdr *m = NULL;
	struct nlattr *list = NULL;
	VEC_EACH (changes, struct services_element, x) {
		if (x->set != set)
			continue;
		if (!m)
			m = nft_elements_begin(b, type, nft_sets[set].name, &list);
		put_element(m, x, type == NFT_MSG_NEWSETELEM);
		if (m->nlmsg_len > NFT_LIST_SIZE) {
			mnl_attr_nest_end(m, list);
			nft_batch_put(b, m);
			m = NULL;
		}
	}
	if (m) {
		mnl_attr_nest_end(m, list);
		nft_batch_put(b, m);
	}
}

/* ---- steps ---- */

static void push(struct nft_changes *changes, const struct services_element *x)
{
	*vec_add(changes) = *x;
}

/* Adds to the changes what differs, in whole groups, until there are max of them. */
static void collect(struct nft *x, size_t max, struct nft_changes *add, struct nft_changes *remove,
	size_t *ret_current, size_t *ret_wanted)
{
	size_t i = x->at, k = x->wanted_at;
	const struct services_element *last = NULL;
	while (i < x->current.list.count || k < x->wanted.list.count) {
		const struct services_element *have =
			i < x->current.list.count ? &x->current.list.items[i] : NULL;
		const struct services_element *want =
			k < x->wanted.list.count ? &x->wanted.list.items[k] : NULL;
		int order = !have ? 1 : !want ? -1 : services_compare(have, want);
		const struct services_element *next = order <= 0 ? have : want;
		if (add->count + remove->count >= max && services_compare_group(last, next) != 0)
			break;
		last = next;
		if (order < 0 || (order == 0 && !services_same(have, want)))
			push(remove, have);
		if (order > 0 || (order == 0 && !services_same(have, want)))
			push(add, want);
		i += order <= 0;
		k += order >= 0;
	}
	*ret_current = i;
	*ret_wanted = k;
}

static void put_missing_chains(struct nft *x, struct nft_batch *b, const struct nft_changes *add,
	struct nft_chains *made)
{
	VEC_EACH (add, struct services_element, f) {
		if (f->set != SERVICES_FRONT && f->set != SERVICES_NODE_FRONT)
			continue;
		int kind = chain_kind(f);
		if (x->chains[kind][f->to_address])
			continue;
		put_pick_chain(b, kind, f->to_address);
		x->chains[kind][f->to_address] = true;
		vec_push(made, (struct nft_chain){.kind = kind, .count = f->to_address});
	}
}

static int write_changes(struct nft *x, const struct nft_changes *add,
	const struct nft_changes *remove, struct err *e)
{
	struct nft_batch *b CLEANUP(nft_batch_free_ptr) = nft_batch_new();
	struct nft_chains made = {0};
	put_missing_chains(x, b, add, &made);
	for (int set = 0; set < SERVICES_SET_COUNT; set++)
		put_changes(b, remove, NFT_MSG_DELSETELEM, set);
	for (int set = 0; set < SERVICES_SET_COUNT; set++)
		put_changes(b, add, NFT_MSG_NEWSETELEM, set);
	int code = nft_batch_send(b, x->netlink, "cannot write services to nftables", e);
	if (code)
		VEC_EACH (&made, struct nft_chain, c)
			x->chains[c->kind][c->count] = false;
	vec_done(&made);
	return code;
}

/* Makes current what the steps so far have brought about: new ahead, old behind. */
static void settle(struct nft *x)
{
	struct services_state now = {0};
	for (size_t k = 0; k < x->wanted_at; k++)
		vec_push(&now.list, x->wanted.list.items[k]);
	for (size_t i = x->at; i < x->current.list.count; i++)
		vec_push(&now.list, x->current.list.items[i]);
	services_state_done(&x->current);
	x->current = now;
	x->at = x->wanted_at = 0;
}

void nft_want(struct nft *x, struct services_state *wanted)
{
	settle(x);
	services_state_done(&x->wanted);
	x->wanted = *wanted;
	*wanted = (struct services_state){0};
}

static int recover(struct nft *x, struct err *e)
{
	services_state_done(&x->current);
	x->at = x->wanted_at = 0;
	bool adopted = false;
	int code = nft_read(x, &adopted, e);
	if (!code && !adopted)
		code = make_table(x, e);
	x->unknown = code != 0;
	return code;
}

static void keep_removed(struct nft *x, const struct nft_changes *remove)
{
	VEC_EACH (remove, struct services_element, r)
		if (r->protocol == IPPROTO_UDP &&
			(r->set == SERVICES_ENDPOINT || r->set == SERVICES_NODE_ENDPOINT))
			push(&x->removed, r);
}

int nft_step(struct nft *x, size_t max_changes, bool *ret_more, struct err *e)
{
	*ret_more = true;
	if (x->unknown) {
		int code = recover(x, e);
		if (code)
			return code;
	}
	struct nft_changes add = {0}, remove = {0};
	size_t at, wanted_at;
	int code = 0;
	collect(x, max_changes, &add, &remove, &at, &wanted_at);
	if (add.count || remove.count)
		code = write_changes(x, &add, &remove, e);
	if (code) {
		x->unknown = true;
	} else {
		keep_removed(x, &remove);
		x->at = at;
		x->wanted_at = wanted_at;
		*ret_more = at < x->current.list.count || wanted_at < x->wanted.list.count;
	}
	vec_done(&add);
	vec_done(&remove);
	return code;
}

void nft_removed(struct nft *x, void (*cb)(void *arg, const struct services_element *removed),
	void *arg)
{
	VEC_EACH (&x->removed, struct services_element, r)
		cb(arg, r);
	vec_done(&x->removed);
}

int nft_check(struct nft *x, bool *ret_lost, struct err *e)
{
	bool there = false;
	*ret_lost = false;
	int code = nft_table_is_ours(x, &there, e);
	if (code || there)
		return code;
	*ret_lost = true;
	x->at = x->wanted_at = 0;
	return make_table(x, e);
}

size_t nft_element_count(const struct nft *x)
{
	return x->wanted_at + (x->current.list.count - x->at);
}

/* ---- opening and closing ---- */

int nft_open(const struct nft_config *config, struct nft **ret_nft, struct err *e)
{
	struct nft *x = mem_new(struct nft);
	x->config = *config;
	snprintf(x->bridge, sizeof(x->bridge), "%s", config->bridge);
	x->config.bridge = x->bridge;
	char pods[IPV4_TEXT_SIZE], domain[IPV4_TEXT_SIZE], services[IPV4_TEXT_SIZE];
	snprintf(x->comment, sizeof(x->comment),
		"layout 1, %s, pods %s/%d of %s/%d, services %s/%d", config->bridge,
		ipv4_format(config->pods.first, pods), config->pods.prefix,
		ipv4_format(config->domain.first, domain), config->domain.prefix,
		ipv4_format(config->services.first, services), config->services.prefix);
	int code = netlink_open(NETLINK_NETFILTER, &x->netlink, e);
	if (!code)
		code = recover(x, e);
	if (code)
		nft_close(x, true);
	else
		*ret_nft = x;
	return code;
}

void nft_close(struct nft *x, bool keep)
{
	if (!x)
		return;
	if (!keep) {
		struct nft_batch *b CLEANUP(nft_batch_free_ptr) = nft_batch_new();
		nft_put_table(b, NFT_MSG_NEWTABLE, NULL);
		nft_put_table(b, NFT_MSG_DELTABLE, NULL);
		/* Nobody is left to be told; the next start removes it. */
		(void)!nft_batch_send(b, x->netlink, "cannot remove the nftables table", NULL);
	}
	services_state_done(&x->current);
	services_state_done(&x->wanted);
	vec_done(&x->removed);
	netlink_close(x->netlink);
	free(x);
}
