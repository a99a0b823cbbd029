#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/netlink.h"
#include "sys/netlink_attr.h"

#define DUMP_TRIES 5

/* ---- links ---- */

static void read_kind(const struct nlattr *info, bool *ret_veth)
{
	NETLINK_NESTED (info, a) {
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			*ret_veth = strcmp(mnl_attr_get_str(a), "veth") == 0;
	}
}

static void read_link(struct netlink_link *l, const struct nlmsghdr *m)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(m);
	*l = (struct netlink_link){.index = header->ifi_index, .up = header->ifi_flags & IFF_UP};
	bool veth = false;
	NETLINK_ATTRS (m, sizeof(*header), a) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			snprintf(l->name, sizeof(l->name), "%s", mnl_attr_get_str(a));
			break;
		case IFLA_IFALIAS:
			snprintf(l->alias, sizeof(l->alias), "%s", mnl_attr_get_str(a));
			break;
		case IFLA_MTU:
			l->mtu = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_MASTER:
			l->master = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_LINK:
			l->peer_index = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(a) == sizeof(l->mac))
				memcpy(l->mac, mnl_attr_get_payload(a), sizeof(l->mac));
			break;
		case IFLA_LINKINFO:
			read_kind(a, &veth);
			break;
		default:
			break;
		}
	}
	if (!veth)
		l->peer_index = 0;
}

static void add_link(void *arg, const struct nlmsghdr *m)
{
	struct netlink_links *links = arg;
	if (m->nlmsg_type == RTM_NEWLINK)
		read_link(vec_add(&links->list), m);
}

int netlink_link_get(struct netlink *n, const char *name, struct netlink_link *ret_link,
	struct err *e)
{
	struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
	struct nlmsghdr *m = netlink_message(n, RTM_GETLINK, 0, &header, sizeof(header));
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	char what[64];
	snprintf(what, sizeof(what), "cannot look at interface %s", name);
	struct netlink_links links = {0};
	int code = netlink_query(n, add_link, &links, what, e);
	if (!code && links.list.count != 1)
		code = err_set(e, ERR_NOT_FOUND, "%s: there is none", what);
	if (!code)
		*ret_link = links.list.items[0];
	netlink_links_done(&links);
	return code;
}

int netlink_link_list(struct netlink *n, struct netlink_links *ret_links, struct err *e)
{
	struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
	struct netlink_links links = {0};
	int code = -ERR_BUSY;
	for (int i = 0; i < DUMP_TRIES && code == -ERR_BUSY; i++) {
		links.list.count = 0;
		netlink_message(n, RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));
		code = netlink_query(n, add_link, &links, "cannot list interfaces", e);
	}
	if (code)
		netlink_links_done(&links);
	else
		*ret_links = links;
	return code;
}

void netlink_links_done(struct netlink_links *l)
{
	vec_done(&l->list);
}

int netlink_bridge_add(struct netlink *n, const char *name, const uint8_t mac[static 6], int mtu,
	struct err *e)
{
	struct ifinfomsg header = {
		.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nlmsghdr *m =
		netlink_message(n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	mnl_attr_put(m, IFLA_ADDRESS, 6, mac);
	mnl_attr_put_u32(m, IFLA_MTU, (uint32_t)mtu);
	struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	mnl_attr_put_strz(m, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(m, info);
	char what[64];
	snprintf(what, sizeof(what), "cannot make bridge %s", name);
	return netlink_request(n, what, e);
}

int netlink_veth_add(struct netlink *n, const struct netlink_veth *v, struct err *e)
{
	struct ifinfomsg header = {
		.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nlmsghdr *m =
		netlink_message(n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
	mnl_attr_put_strz(m, IFLA_IFNAME, v->name);
	mnl_attr_put_u32(m, IFLA_MTU, (uint32_t)v->mtu);
	mnl_attr_put_u32(m, IFLA_MASTER, (uint32_t)v->master);
	struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	mnl_attr_put_strz(m, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(m, VETH_INFO_PEER);
	/* The kernel refuses a peer that is up before the two know each other. */
	const struct ifinfomsg down = {.ifi_family = AF_UNSPEC};
	memcpy(mnl_nlmsg_put_extra_header(m, sizeof(down)), &down, sizeof(down));
	mnl_attr_put_strz(m, IFLA_IFNAME, v->peer_name);
	mnl_attr_put_u32(m, IFLA_MTU, (uint32_t)v->mtu);
	mnl_attr_put(m, IFLA_ADDRESS, 6, v->peer_mac);
	mnl_attr_put_u32(m, IFLA_NET_NS_FD, (uint32_t)v->peer_netns_fd);
	mnl_attr_nest_end(m, peer);
	mnl_attr_nest_end(m, data);
	mnl_attr_nest_end(m, info);
	char what[96];
	snprintf(what, sizeof(what), "cannot make interfaces %s and %s", v->name, v->peer_name);
	return netlink_request(n, what, e);
}

int netlink_port_hairpin(struct netlink *n, int index, struct err *e)
{
	struct ifinfomsg header = {.ifi_family = AF_BRIDGE, .ifi_index = index};
	struct nlmsghdr *m = netlink_message(n, RTM_SETLINK, 0, &header, sizeof(header));
	struct nlattr *port = mnl_attr_nest_start(m, IFLA_PROTINFO);
	mnl_attr_put_u8(m, IFLA_BRPORT_MODE, 1);
	mnl_attr_nest_end(m, port);
	return netlink_request(n, "cannot set hairpin mode of a bridge port", e);
}

int netlink_link_alias(struct netlink *n, int index, const char *alias, struct err *e)
{
	struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct nlmsghdr *m = netlink_message(n, RTM_NEWLINK, 0, &header, sizeof(header));
	mnl_attr_put_strz(m, IFLA_IFALIAS, alias);
	return netlink_request(n, "cannot note whose interface it is", e);
}

int netlink_link_up(struct netlink *n, int index, struct err *e)
{
	struct ifinfomsg header = {.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP};
	netlink_message(n, RTM_NEWLINK, 0, &header, sizeof(header));
	return netlink_request(n, "cannot set an interface up", e);
}

int netlink_link_mtu(struct netlink *n, int index, int mtu, struct err *e)
{
	struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct nlmsghdr *m = netlink_message(n, RTM_NEWLINK, 0, &header, sizeof(header));
	mnl_attr_put_u32(m, IFLA_MTU, (uint32_t)mtu);
	return netlink_request(n, "cannot set an interface's MTU", e);
}

int netlink_link_delete(struct netlink *n, const char *name, struct err *e)
{
	struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
	struct nlmsghdr *m = netlink_message(n, RTM_DELLINK, 0, &header, sizeof(header));
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	char what[64];
	snprintf(what, sizeof(what), "cannot remove interface %s", name);
	return netlink_request(n, what, e);
}

/* ---- addresses ---- */

static void add_address(void *arg, const struct nlmsghdr *m)
{
	struct netlink_addresses *addresses = arg;
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(m);
	if (m->nlmsg_type != RTM_NEWADDR || header->ifa_family != AF_INET)
		return;
	struct netlink_address found = {
		.index = (int)header->ifa_index, .prefix = header->ifa_prefixlen};
	NETLINK_ATTRS (m, sizeof(*header), a) {
		if (mnl_attr_get_type(a) == IFA_LOCAL)
			found.address = ntohl(mnl_attr_get_u32(a));
	}
	vec_push(&addresses->list, found);
}

int netlink_address_list(struct netlink *n, struct netlink_addresses *ret_addresses, struct err *e)
{
	struct ifaddrmsg header = {.ifa_family = AF_INET};
	struct netlink_addresses addresses = {0};
	int code = -ERR_BUSY;
	for (int i = 0; i < DUMP_TRIES && code == -ERR_BUSY; i++) {
		addresses.list.count = 0;
		netlink_message(n, RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));
		code = netlink_query(n, add_address, &addresses, "cannot list addresses", e);
	}
	if (code)
		netlink_addresses_done(&addresses);
	else
		*ret_addresses = addresses;
	return code;
}

void netlink_addresses_done(struct netlink_addresses *a)
{
	vec_done(&a->list);
}

static int change_address(struct netlink *n, uint16_t type, uint16_t flags,
	const struct netlink_address *a, const char *what, struct err *e)
{
	struct ifaddrmsg header = {.ifa_family = AF_INET,
		.ifa_prefixlen = (uint8_t)a->prefix,
		.ifa_index = (uint32_t)a->index};
	struct nlmsghdr *m = netlink_message(n, type, flags, &header, sizeof(header));
	mnl_attr_put_u32(m, IFA_LOCAL, htonl(a->address));
	mnl_attr_put_u32(m, IFA_ADDRESS, htonl(a->address));
	return netlink_request(n, what, e);
}

int netlink_address_add(struct netlink *n, const struct netlink_address *a, struct err *e)
{
	return change_address(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, a,
		"cannot give an interface its address", e);
}

int netlink_address_delete(struct netlink *n, const struct netlink_address *a, struct err *e)
{
	return change_address(n, RTM_DELADDR, 0, a, "cannot take an interface's address", e);
}

/* ---- routes ---- */

static void add_route(void *arg, const struct nlmsghdr *m)
{
	struct netlink_routes *routes = arg;
	const struct rtmsg *header = mnl_nlmsg_get_payload(m);
	if (m->nlmsg_type != RTM_NEWROUTE || header->rtm_family != AF_INET ||
		header->rtm_table != RT_TABLE_MAIN || header->rtm_flags & RTM_F_CLONED)
		return;
	struct netlink_route r = {.prefix = header->rtm_dst_len,
		.protocol = header->rtm_protocol,
		.link_scope = header->rtm_scope == RT_SCOPE_LINK};
	NETLINK_ATTRS (m, sizeof(*header), a) {
		switch (mnl_attr_get_type(a)) {
		case RTA_DST:
			r.to = ntohl(mnl_attr_get_u32(a));
			break;
		case RTA_GATEWAY:
			r.gateway = ntohl(mnl_attr_get_u32(a));
			break;
		case RTA_PREFSRC:
			r.source = ntohl(mnl_attr_get_u32(a));
			break;
		case RTA_OIF:
			r.index = (int)mnl_attr_get_u32(a);
			break;
		default:
			break;
		}
	}
	vec_push(&routes->list, r);
}

int netlink_route_list(struct netlink *n, uint8_t protocol, struct netlink_routes *ret_routes,
	struct err *e)
{
	struct rtmsg header = {.rtm_family = AF_INET};
	struct netlink_routes routes = {0};
	int code = -ERR_BUSY;
	for (int i = 0; i < DUMP_TRIES && code == -ERR_BUSY; i++) {
		routes.list.count = 0;
		netlink_message(n, RTM_GETROUTE, NLM_F_DUMP, &header, sizeof(header));
		code = netlink_query(n, add_route, &routes, "cannot list routes", e);
	}
	if (code) {
		netlink_routes_done(&routes);
		return code;
	}
	for (size_t i = routes.list.count; i-- > 0;)
		if (routes.list.items[i].protocol != protocol)
			vec_remove(&routes.list, i);
	*ret_routes = routes;
	return 0;
}

void netlink_routes_done(struct netlink_routes *r)
{
	vec_done(&r->list);
}

static int change_route(struct netlink *n, uint16_t type, uint16_t flags,
	const struct netlink_route *r, const char *verb, struct err *e)
{
	struct rtmsg header = {.rtm_family = AF_INET,
		.rtm_dst_len = (uint8_t)r->prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = r->protocol,
		.rtm_scope = r->link_scope ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_flags = r->on_link ? RTNH_F_ONLINK : 0,
		.rtm_type = RTN_UNICAST};
	struct nlmsghdr *m = netlink_message(n, type, flags, &header, sizeof(header));
	if (r->prefix)
		mnl_attr_put_u32(m, RTA_DST, htonl(r->to));
	if (r->gateway)
		mnl_attr_put_u32(m, RTA_GATEWAY, htonl(r->gateway));
	if (r->source)
		mnl_attr_put_u32(m, RTA_PREFSRC, htonl(r->source));
	if (r->index)
		mnl_attr_put_u32(m, RTA_OIF, (uint32_t)r->index);
	char to[INET_ADDRSTRLEN], what[96];
	struct in_addr address = {.s_addr = htonl(r->to)};
	inet_ntop(AF_INET, &address, to, sizeof(to));
	snprintf(what, sizeof(what), "cannot %s the route to %s/%d", verb, to, r->prefix);
	return netlink_request(n, what, e);
}

int netlink_route_add(struct netlink *n, const struct netlink_route *r, struct err *e)
{
	return change_route(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, r, "add", e);
}

int netlink_route_set(struct netlink *n, const struct netlink_route *r, struct err *e)
{
	return change_route(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, r, "set", e);
}

int netlink_route_delete(struct netlink *n, const struct netlink_route *r, struct err *e)
{
	return change_route(n, RTM_DELROUTE, 0, r, "remove", e);
}

/* ---- neighbours ---- */

int netlink_neighbour_set(struct netlink *n, int index, uint32_t address,
	const uint8_t mac[static 6], struct err *e)
{
	struct ndmsg header = {
		.ndm_family = AF_INET, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
	struct nlmsghdr *m = netlink_message(n, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header,
		sizeof(header));
	mnl_attr_put_u32(m, NDA_DST, htonl(address));
	mnl_attr_put(m, NDA_LLADDR, 6, mac);
	return netlink_request(n, "cannot set a neighbour", e);
}

int netlink_neighbour_delete(struct netlink *n, int index, uint32_t address, struct err *e)
{
	struct ndmsg header = {.ndm_family = AF_INET, .ndm_ifindex = index};
	struct nlmsghdr *m = netlink_message(n, RTM_DELNEIGH, 0, &header, sizeof(header));
	mnl_attr_put_u32(m, NDA_DST, htonl(address));
	return netlink_request(n, "cannot remove a neighbour", e);
}
