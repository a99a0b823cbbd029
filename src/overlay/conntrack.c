#include "overlay/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/netlink_attr.h"

struct tuple {
	uint32_t from, to;
	uint16_t from_port, to_port;
	uint8_t protocol;
};

struct flow {
	struct tuple original, reply;
	uint16_t zone;
};

struct flows {
	VEC(struct services_element) removed; /* sorted */
	VEC(struct flow) found;
};

/* ---- reading ---- */

static void read_addresses(struct tuple *t, const struct nlattr *nest)
{
	NETLINK_NESTED (nest, a) {
		if (mnl_attr_get_type(a) == CTA_IP_V4_SRC)
			t->from = ntohl(mnl_attr_get_u32(a));
		else if (mnl_attr_get_type(a) == CTA_IP_V4_DST)
			t->to = ntohl(mnl_attr_get_u32(a));
	}
}

static void read_ports(struct tuple *t, const struct nlattr *nest)
{
	NETLINK_NESTED (nest, a) {
		if (mnl_attr_get_type(a) == CTA_PROTO_NUM)
			t->protocol = mnl_attr_get_u8(a);
		else if (mnl_attr_get_type(a) == CTA_PROTO_SRC_PORT)
			t->from_port = ntohs(mnl_attr_get_u16(a));
		else if (mnl_attr_get_type(a) == CTA_PROTO_DST_PORT)
			t->to_port = ntohs(mnl_attr_get_u16(a));
	}
}

static void read_tuple(struct tuple *t, const struct nlattr *nest)
{
	NETLINK_NESTED (nest, a) {
		if (mnl_attr_get_type(a) == CTA_TUPLE_IP)
			read_addresses(t, a);
		else if (mnl_attr_get_type(a) == CTA_TUPLE_PROTO)
			read_ports(t, a);
	}
}

static int compare_endpoints(const void *a, const void *b)
{
	const struct services_element *x = a, *y = b;
	if (x->to_address != y->to_address)
		return x->to_address < y->to_address ? -1 : 1;
	return (x->to_port > y->to_port) - (x->to_port < y->to_port);
}

/* The answers of a flow that was translated come from the endpoint. */
static bool leads_to_removed(const struct flows *f, const struct flow *flow)
{
	if (flow->original.protocol != IPPROTO_UDP || flow->original.to == flow->reply.from)
		return false;
	const struct services_element key = {
		.to_address = flow->reply.from, .to_port = flow->reply.from_port};
	const struct services_element *x =
		bsearch(&key, f->removed.items, f->removed.count, sizeof(key), compare_endpoints);
	if (!x)
		return false;
	/* The endpoint may have left one service and serve another: look at all of its rows. */
	while (x > f->removed.items && compare_endpoints(x - 1, &key) == 0)
		x--;
	for (; x < f->removed.items + f->removed.count && compare_endpoints(x, &key) == 0; x++)
		if (x->port == flow->original.to_port &&
			(x->address == flow->original.to || x->address == 0))
			return true;
	return false;
}

static void see_flow(void *arg, const struct nlmsghdr *m)
{
	struct flows *f = arg;
	struct flow flow = {0};
	NETLINK_ATTRS (m, sizeof(struct nfgenmsg), a) {
		if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG)
			read_tuple(&flow.original, a);
		else if (mnl_attr_get_type(a) == CTA_TUPLE_REPLY)
			read_tuple(&flow.reply, a);
		else if (mnl_attr_get_type(a) == CTA_ZONE)
			flow.zone = ntohs(mnl_attr_get_u16(a));
	}
	if (leads_to_removed(f, &flow))
		vec_push(&f->found, flow);
}

/* ---- cutting ---- */

static struct nlmsghdr *message(struct netlink *n, uint16_t type, uint16_t flags)
{
	struct nfgenmsg g = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};
	return netlink_message(n, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags, &g,
		sizeof(g));
}

static int cut(struct netlink *n, const struct flow *flow, struct err *e)
{
	struct nlmsghdr *m = message(n, IPCTNL_MSG_CT_DELETE, 0);
	const struct tuple *t = &flow->original;
	struct nlattr *tuple = mnl_attr_nest_start(m, CTA_TUPLE_ORIG);
	struct nlattr *nest = mnl_attr_nest_start(m, CTA_TUPLE_IP);
	mnl_attr_put_u32(m, CTA_IP_V4_SRC, htonl(t->from));
	mnl_attr_put_u32(m, CTA_IP_V4_DST, htonl(t->to));
	mnl_attr_nest_end(m, nest);
	nest = mnl_attr_nest_start(m, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(m, CTA_PROTO_NUM, t->protocol);
	mnl_attr_put_u16(m, CTA_PROTO_SRC_PORT, htons(t->from_port));
	mnl_attr_put_u16(m, CTA_PROTO_DST_PORT, htons(t->to_port));
	mnl_attr_nest_end(m, nest);
	mnl_attr_nest_end(m, tuple);
	if (flow->zone)
		mnl_attr_put_u16(m, CTA_ZONE, htons(flow->zone));
	int code = netlink_request(n, "cannot cut a tracked flow", e);
	return code == -ERR_NOT_FOUND ? 0 : code;
}

static void keep_removed(void *arg, const struct services_element *removed)
{
	struct flows *f = arg;
	vec_push(&f->removed, *removed);
}

int conntrack_cut_removed(struct nft *nft, struct err *e)
{
	struct flows f = {0};
	nft_removed(nft, keep_removed, &f);
	if (!f.removed.count)
		return 0;
	qsort(f.removed.items, f.removed.count, sizeof(*f.removed.items), compare_endpoints);
	struct netlink *n CLEANUP(netlink_close_ptr) = NULL;
	int code = netlink_open(NETLINK_NETFILTER, &n, e);
	if (!code) {
		message(n, IPCTNL_MSG_CT_GET, NLM_F_DUMP);
		code = netlink_query(n, see_flow, &f, "cannot list tracked flows", e);
	}
	for (size_t i = 0; i < f.found.count && !code; i++)
		code = cut(n, &f.found.items[i], e);
	vec_done(&f.removed);
	vec_done(&f.found);
	return code;
}
