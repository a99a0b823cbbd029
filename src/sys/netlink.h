/*
 * Netlink: the kernel's interfaces, addresses, routes and neighbours (rtnetlink(7)) of one network
 * namespace, and the bare messages for others (nftables, conntrack). Over libmnl.
 *
 * A call is one message and its acknowledgement, so it blocks only as long as the kernel works:
 * tens of microseconds, except where said. Errors: -ERR_EXISTS, -ERR_NOT_FOUND (no such interface,
 * address, route), -ERR_FORBIDDEN (no CAP_NET_ADMIN), -ERR_UNAVAILABLE (the link is down),
 * -ERR_BUSY, else -ERR_IO; the sentence says what was asked. IPv4 addresses are numbers in host
 * order. Not thread safe: one thread per socket.
 */
#ifndef CONTINUO_SYS_NETLINK_H
#define CONTINUO_SYS_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"

struct netlink;
struct nlmsghdr;

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER. */
int netlink_open(int protocol, struct netlink **ret_netlink, struct err *e) MUST_CHECK;
/* A socket that belongs to another network namespace; the thread is back in its own on return. */
int netlink_open_in(int netns_fd, int protocol, struct netlink **ret_netlink,
	struct err *e) MUST_CHECK;
void netlink_close(struct netlink *n);      /* null is fine */
void netlink_close_ptr(struct netlink **n); /* for CLEANUP */
int netlink_fd(const struct netlink *n);

/* ---- bare messages ---- */

/* Starts a message in the socket's own buffer; attributes are put behind it with libmnl. */
struct nlmsghdr *netlink_message(struct netlink *n, uint16_t type, uint16_t flags,
	const void *header, size_t header_size);

/* Sends the message and waits for its acknowledgement. */
int netlink_request(struct netlink *n, const char *what, struct err *e) MUST_CHECK;

/* Sends the message and calls cb for each answer (NLM_F_DUMP or a plain get). -ERR_BUSY when the
 * kernel's tables changed meanwhile: what was delivered may be incomplete, ask again. */
typedef void netlink_answer_cb(void *arg, const struct nlmsghdr *message);
int netlink_query(struct netlink *n, netlink_answer_cb *cb, void *arg, const char *what,
	struct err *e) MUST_CHECK;

/* Sends size bytes of messages at once, a batch of nfnetlink (BATCH_BEGIN to BATCH_END), and gives
 * the first error that the kernel reports. Blocks as long as the kernel works on it. */
int netlink_send_batch(struct netlink *n, const void *data, size_t size, const char *what,
	struct err *e) MUST_CHECK;

/* The code of a positive errno value from the kernel. */
int netlink_error(struct err *e, int errnum, const char *what);

/* ---- links ---- */

#define NETLINK_ALIAS_SIZE 256

struct netlink_link {
	int index, master, mtu;
	int peer_index; /* of a veth's other end, in the other's namespace; else 0 */
	bool up;
	uint8_t mac[6];
	char name[IFNAMSIZ];
	char alias[NETLINK_ALIAS_SIZE]; /* what somebody noted about it, or "" */
};

struct netlink_links {
	VEC(struct netlink_link) list;
};

/* -ERR_NOT_FOUND when there is none. */
int netlink_link_get(struct netlink *n, const char *name, struct netlink_link *ret_link,
	struct err *e) MUST_CHECK;
int netlink_link_list(struct netlink *n, struct netlink_links *ret_links, struct err *e) MUST_CHECK;
void netlink_links_done(struct netlink_links *l);

/* mac is the bridge's own, so that it does not change with its ports. */
int netlink_bridge_add(struct netlink *n, const char *name, const uint8_t mac[static 6], int mtu,
	struct err *e) MUST_CHECK;

/* A pair whose peer is made in the namespace at once; this end is up, the peer down. master: index
 * of the bridge. */
struct netlink_veth {
	const char *name, *peer_name;
	int master, mtu, peer_netns_fd;
	uint8_t peer_mac[6];
};
int netlink_veth_add(struct netlink *n, const struct netlink_veth *v, struct err *e) MUST_CHECK;

/* A bridge port may send a frame back where it came from. */
int netlink_port_hairpin(struct netlink *n, int index, struct err *e) MUST_CHECK;
/* A note on the interface, which lives as long as it does. */
int netlink_link_alias(struct netlink *n, int index, const char *alias, struct err *e) MUST_CHECK;
int netlink_link_up(struct netlink *n, int index, struct err *e) MUST_CHECK;
int netlink_link_mtu(struct netlink *n, int index, int mtu, struct err *e) MUST_CHECK;

/* Waits until the kernel has let go of it: 5 to 50 ms. */
int netlink_link_delete(struct netlink *n, const char *name, struct err *e) MUST_CHECK;

/* ---- addresses, routes, neighbours ---- */

struct netlink_address {
	int index;
	uint32_t address;
	int prefix; /* bits */
};

struct netlink_addresses {
	VEC(struct netlink_address) list;
};

int netlink_address_list(struct netlink *n, struct netlink_addresses *ret_addresses,
	struct err *e) MUST_CHECK;
void netlink_addresses_done(struct netlink_addresses *a);
/* Adding what is there succeeds. */
int netlink_address_add(struct netlink *n, const struct netlink_address *a,
	struct err *e) MUST_CHECK;
int netlink_address_delete(struct netlink *n, const struct netlink_address *a,
	struct err *e) MUST_CHECK;

struct netlink_route {
	uint32_t to;
	int prefix;       /* bits; 0 with to 0: default */
	uint32_t gateway; /* 0: on the link */
	uint32_t source;  /* preferred; 0: the kernel chooses */
	int index;        /* of the interface; 0: found by the gateway */
	bool link_scope;  /* the other end is on the link */
	bool on_link;     /* the gateway is on the link although no address says so */
	uint8_t protocol; /* who made it: RTPROT_* or an own number */
};

struct netlink_routes {
	VEC(struct netlink_route) list;
};

/* Of the main table, with this protocol number only. */
int netlink_route_list(struct netlink *n, uint8_t protocol, struct netlink_routes *ret_routes,
	struct err *e) MUST_CHECK;
void netlink_routes_done(struct netlink_routes *r);
/* -ERR_EXISTS when there is one to the same place, whoever made it. */
int netlink_route_add(struct netlink *n, const struct netlink_route *r, struct err *e) MUST_CHECK;
int netlink_route_set(struct netlink *n, const struct netlink_route *r,
	struct err *e) MUST_CHECK; /* adds or replaces */
int netlink_route_delete(struct netlink *n, const struct netlink_route *r,
	struct err *e) MUST_CHECK;

/* A permanent neighbour: nobody has to ask for it. */
int netlink_neighbour_set(struct netlink *n, int index, uint32_t address,
	const uint8_t mac[static 6], struct err *e) MUST_CHECK;
int netlink_neighbour_delete(struct netlink *n, int index, uint32_t address,
	struct err *e) MUST_CHECK;

/* ---- news ---- */

/* A socket that hears of links and IPv4 addresses that came, went or changed. netlink_news says,
 * without blocking, whether there was any since the last call for an interface whose name does not
 * start with ignore_prefix; lost news count as news. */
int netlink_open_news(struct netlink **ret_netlink, struct err *e) MUST_CHECK;
bool netlink_news(struct netlink *n, const char *ignore_prefix);

#endif
