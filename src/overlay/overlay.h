/*
 * The pod network of one node: addresses and interfaces of pods, routes to the pods of other nodes,
 * services, names. A backend (`direct` now, `wireguard` later) carries packets between nodes; all
 * else is common. Linux: rtnetlink and nftables through libmnl, in the agent's network namespace.
 *
 * Lives with a host firewall that it does not own: own nftables tables only (ip continuo), never
 * a flush of others. Idempotent: opening again after a crash adopts what is there and removes what
 * is not wanted. All on the loop's thread; netlink requests are short (under 5 ms) or batched into
 * jobs.
 */
#ifndef CONTINUO_OVERLAY_OVERLAY_H
#define CONTINUO_OVERLAY_OVERLAY_H

#include "base/buf.h"
#include "base/log.h"
#include "sys/loop.h"

struct overlay;

struct overlay_config {
	struct loop *loop;
	struct log *log;
	const char *backend; /* "direct" */
	const char *node_name;
	const char *node_address; /* of this node, as others reach it */
	const char *pod_cidr; /* of this node, "10.42.3.0/24": the bridge takes the first address */
	const char *domain_cidr;    /* of all pods, "10.42.0.0/16": not masqueraded */
	const char *service_cidr;   /* "10.43.0.0/16" */
	const char *cluster_domain; /* "cluster.local" */
	const char *state_folder;   /* leases of addresses, kept over restarts and reboots */
	const char *resolv_conf;    /* upstream name servers, "/etc/resolv.conf" */
	int mtu;                    /* 0: from the interface of node_address */
};

struct overlay_peer {
	const char *node, *address, *pod_cidr;
};

struct overlay_endpoint {
	const char *ip;
	uint16_t port;
	const char *hostname; /* of the pod, for headless names; may be "" */
	const char *node;
	bool ready;
};
struct overlay_port {
	const char *name;         /* "" when unnamed */
	const char *protocol;     /* "TCP", "UDP" */
	uint16_t port, node_port; /* node_port 0: none */
	const struct overlay_endpoint *endpoints;
	size_t endpoint_count;
};
struct overlay_service {
	const char *namespace, *name;
	/* "" or "None": headless; without ports such a service has one of port 0 with its endpoints
	 */
	const char *cluster_ip;
	const char *external_name; /* CNAME; "" otherwise */
	bool publish_not_ready;
	int affinity_seconds; /* 0: none; else clients stick by a hash, as long as the endpoints
				 stay */
	const struct overlay_port *ports;
	size_t port_count;
};

int overlay_open(const struct overlay_config *config, struct overlay **ret_overlay,
	struct err *e) MUST_CHECK;

/* What the node should know; compared with what it has, and the difference is written. Copies. */
int overlay_set_peers(struct overlay *o, const struct overlay_peer *peers, size_t count,
	struct err *e) MUST_CHECK;
int overlay_set_services(struct overlay *o, const struct overlay_service *services, size_t count,
	struct err *e) MUST_CHECK;

/* Gives the pod an address and a pair of interfaces, its end (eth0) moved into the mounted
 * namespace, with the default route over the bridge. Repeating it gives the same address.
 * -ERR_UNAVAILABLE when the range is full. */
int overlay_attach(struct overlay *o, const char *pod_uid, const char *netns_path,
	char ret_ip[static 64], struct err *e) MUST_CHECK;
/* The interface goes at once or a moment later, and only then may others get the address; attaching
 * the same pod again meanwhile is -ERR_BUSY. Unknown: success. */
int overlay_detach(struct overlay *o, const char *pod_uid, struct err *e) MUST_CHECK;
/* Frees the addresses and interfaces of pods that are not in the list (after a restart or reboot).
 */
int overlay_keep_only(struct overlay *o, const char *const *pod_uids, size_t count,
	struct err *e) MUST_CHECK;

/* Ports of this node's own addresses that lead to the pod (hostPort); replaces what the pod had,
 * and ends with its detach. Not kept over a restart: the agent says them again after attaching. A
 * port that another pod holds: -ERR_EXISTS, and nothing changes. hostIP is not supported. */
struct overlay_host_port {
	const char *protocol; /* "TCP", "UDP" */
	uint16_t host_port, pod_port;
};
int overlay_set_host_ports(struct overlay *o, const char *pod_uid,
	const struct overlay_host_port *ports, size_t count, struct err *e) MUST_CHECK;

const char *overlay_dns_address(const struct overlay *o); /* where pods ask for names */

/* As Prometheus text: services, endpoints, addresses in use, DNS queries. */
void overlay_metrics(const struct overlay *o, struct buf *b);

/* keep: leave interfaces, routes and rules for the pods that keep running. */
void overlay_close(struct overlay *o, bool keep);

#endif
