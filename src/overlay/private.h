/* The overlay's own state, shared by its files. */
#ifndef CONTINUO_OVERLAY_PRIVATE_H
#define CONTINUO_OVERLAY_PRIVATE_H

#include "base/vec.h"
#include "overlay/ipam.h"
#include "overlay/nft.h"
#include "overlay/overlay.h"
#include "overlay/table.h"
#include "sys/netlink.h"

#define OVERLAY_BRIDGE "cnt0"
#define OVERLAY_PORT_PREFIX "cnt-" /* the node's end of a pod's pair: and its address in hex */
#define OVERLAY_OWN_PREFIX "cnt"
/* Our routes' protocol number, so that only ours are touched. Not among those of iproute2. */
#define OVERLAY_ROUTE_PROTOCOL 142

struct peer {
	struct ipv4_range pods;
	uint32_t address;
};

struct host_ports {
	struct overlay_host_port *ports;
	size_t count;
	char ip[IPV4_TEXT_SIZE];
};

struct overlay {
	struct overlay_config config; /* texts are copies in the arena */
	struct arena arena;
	struct ipv4_range pods, domain, services;
	uint32_t node_address;

	struct netlink *netlink, *news;
	struct loop_poll *news_poll;
	int bridge_index, mtu;

	struct ipam ipam;
	char *lease_path;
	bool leases_changed;     /* not on disk yet: until then the interfaces' notes tell them */
	struct lease_save *save; /* a job that writes them; null: none */
	struct loop_timer *save_timer;
	struct map removals;   /* pod uid -> struct removal: its interface is being removed */
	struct map host_ports; /* pod uid -> struct host_ports */

	VEC(struct peer) peers;
	struct table table;
	struct nft *nft;
	struct loop_timer *step_timer, *check_timer;
	bool behind; /* the kernel does not have all of the table yet */
	uint64_t write_errors;

	char dns_address[IPV4_TEXT_SIZE];
	struct names_server *names;
};

/* bridge.c: the interface to the pods, and what the kernel must be told once. */
int overlay_make_bridge(struct overlay *o, struct err *e) MUST_CHECK;
void overlay_remove_bridge(struct overlay *o);

/* leases.c: the leases on disk, and on the interfaces. */
int overlay_load_leases(struct overlay *o, struct err *e) MUST_CHECK;
int overlay_adopt_leases(struct overlay *o, struct err *e) MUST_CHECK;
void overlay_leases_changed(struct overlay *o); /* they are saved a moment later, by a job */
void overlay_save_leases_now(void *overlay);    /* timer */
void overlay_close_leases(struct overlay *o);   /* saves them at once, if no job does */
void overlay_port_name(uint32_t address, char ret_name[static IFNAMSIZ]);

/* pods.c */
int overlay_remove_strays(struct overlay *o, struct err *e) MUST_CHECK; /* ports without a lease */
void overlay_remove_pods(struct overlay *o);      /* all of them, and their leases */
void overlay_abandon_removals(struct overlay *o); /* lets those that run end without us */
void overlay_retry_removals(struct overlay *o);

/* peers.c: makes the routes what the peers want. */
int overlay_write_routes(struct overlay *o, struct err *e) MUST_CHECK;
void overlay_remove_routes(struct overlay *o);

/* publish.c: brings the table and host ports to the kernel, in steps. */
int overlay_publish(struct overlay *o, struct err *e) MUST_CHECK;
void overlay_step(void *overlay); /* timers */
void overlay_check(void *overlay);

#endif
