#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "overlay/private.h"

#define LOOPBACK_INDEX 1

/* ---- interfaces ---- */

static int make_pair(struct overlay *o, const char *pod_uid, uint32_t address, int netns_fd,
	struct err *e)
{
	char name[IFNAMSIZ];
	overlay_port_name(address, name);
	struct netlink_veth pair = {.name = name,
		.peer_name = "eth0",
		.master = o->bridge_index,
		.mtu = o->mtu,
		.peer_netns_fd = netns_fd};
	ipv4_mac(address, pair.peer_mac);
	int code = netlink_veth_add(o->netlink, &pair, e);
	struct netlink_link port;
	if (!code)
		code = netlink_link_get(o->netlink, name, &port, e);
	if (!code)
		code = netlink_link_alias(o->netlink, port.index, pod_uid, e);
	/* A pod may reach itself by a service also where the host filters bridged packets. */
	if (!code)
		code = netlink_port_hairpin(o->netlink, port.index, e);
	return code;
}

/* The pod's interface, made if it is not there. An end that is left of a former namespace of the
 * pod, or has lost its other end, gives way. */
static int ensure_pair(struct overlay *o, struct netlink *pod, const char *pod_uid,
	uint32_t address, int netns_fd, struct netlink_link *ret_eth0, struct err *e)
{
	char name[IFNAMSIZ];
	struct netlink_link port;
	overlay_port_name(address, name);
	int code = netlink_link_get(o->netlink, name, &port, e);
	if (!code) {
		uint8_t mac[IPV4_MAC_SIZE];
		ipv4_mac(address, mac);
		code = netlink_link_get(pod, "eth0", ret_eth0, e);
		if (!code && ret_eth0->peer_index == port.index &&
			port.peer_index == ret_eth0->index &&
			memcmp(ret_eth0->mac, mac, sizeof(mac)) == 0 &&
			port.master == o->bridge_index && str_equal(port.alias, pod_uid))
			return 0;
		code = netlink_link_delete(o->netlink, name, e);
		if (!code)
			code = -ERR_NOT_FOUND;
	}
	if (code != -ERR_NOT_FOUND)
		return code;
	code = make_pair(o, pod_uid, address, netns_fd, e);
	return code ? code : netlink_link_get(pod, "eth0", ret_eth0, e);
}

/* The pod's address stands alone (/32): whatever it sends goes to the node first, its neighbours on
 * the bridge included, so that services are translated on the way there and on the way back. */
static int configure_eth0(struct overlay *o, struct netlink *pod, const struct netlink_link *eth0,
	uint32_t address, struct err *e)
{
	const uint32_t gateway = ipam_gateway(&o->ipam);
	const struct netlink_address a = {.index = eth0->index, .address = address, .prefix = 32};
	const struct netlink_route to_gateway = {.to = gateway,
		.prefix = 32,
		.index = eth0->index,
		.source = address,
		.link_scope = true,
		.protocol = RTPROT_BOOT};
	const struct netlink_route to_all = {
		.gateway = gateway, .index = eth0->index, .protocol = RTPROT_BOOT};
	uint8_t mac[IPV4_MAC_SIZE];
	ipv4_mac(gateway, mac);
	int code = netlink_link_up(pod, LOOPBACK_INDEX, e);
	if (!code && !eth0->up)
		code = netlink_link_up(pod, eth0->index, e);
	if (!code)
		code = netlink_address_add(pod, &a, e);
	if (!code)
		code = netlink_route_set(pod, &to_gateway, e);
	if (!code)
		code = netlink_route_set(pod, &to_all, e);
	if (!code)
		code = netlink_neighbour_set(pod, eth0->index, gateway, mac, e);
	ipv4_mac(address, mac);
	return code ? code : netlink_neighbour_set(o->netlink, o->bridge_index, address, mac, e);
}

static int attach_address(struct overlay *o, const char *pod_uid, uint32_t address,
	const char *netns_path, struct err *e)
{
	int fd = open(netns_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot open the pod's network namespace %s",
			netns_path);
	struct netlink *pod CLEANUP(netlink_close_ptr) = NULL;
	struct netlink_link eth0;
	int code = netlink_open_in(fd, NETLINK_ROUTE, &pod, e);
	if (!code)
		code = ensure_pair(o, pod, pod_uid, address, fd, &eth0, e);
	if (!code)
		code = configure_eth0(o, pod, &eth0, address, e);
	close(fd);
	return code;
}

int overlay_attach(struct overlay *o, const char *pod_uid, const char *netns_path,
	char ret_ip[static 64], struct err *e)
{
	uint32_t address;
	bool is_new;
	if (map_has(&o->removals, pod_uid))
		return err_set(e, ERR_BUSY,
			"pod %.60s: its former interface is still being removed", pod_uid);
	int code = ipam_take(&o->ipam, pod_uid, &address, &is_new, e);
	if (code)
		return code;
	if (is_new)
		overlay_leases_changed(o);
	/* A lease whose interface could not be made stays: the agent repeats or detaches. */
	code = attach_address(o, pod_uid, address, netns_path, e);
	if (code)
		return err_prefix(e, "pod %.60s", pod_uid);
	ipv4_format(address, ret_ip);
	return 0;
}

/* ---- detaching ---- */

/* The kernel takes 10 to 50 ms to let go of an interface, so a job does it. The lease stays until
 * then: nobody else can get the address before. Owned by the job while it runs. */
struct removal {
	struct overlay *overlay; /* null: closed meanwhile */
	char *uid;
	char name[IFNAMSIZ];
	uint32_t address;
	bool running, failed;
	struct err e;
};

static void free_removal(struct removal *r)
{
	free(r->uid);
	free(r);
}

static int delete_port(struct netlink *n, const char *name, struct err *e)
{
	int code = netlink_link_delete(n, name, e);
	return code == -ERR_NOT_FOUND ? 0 : code;
}

static void remove_work(void *arg)
{
	struct removal *r = arg;
	struct netlink *n CLEANUP(netlink_close_ptr) = NULL;
	r->failed = netlink_open(NETLINK_ROUTE, &n, &r->e) || delete_port(n, r->name, &r->e);
}

static void release(struct overlay *o, const char *uid, uint32_t address)
{
	(void)!netlink_neighbour_delete(o->netlink, o->bridge_index, address, NULL);
	ipam_release(&o->ipam, uid);
	overlay_leases_changed(o);
}

static void remove_done(void *arg)
{
	struct removal *r = arg;
	struct overlay *o = r->overlay;
	r->running = false;
	if (!o) {
		free_removal(r);
		return;
	}
	if (r->failed) {
		log_err(o->config.log, LOG_WARN, "overlay_interface_not_removed", &r->e,
			"interface=%s retry=later", r->name);
		return;
	}
	release(o, r->uid, r->address);
	map_take(&o->removals, r->uid);
	free_removal(r);
}

static void run_removal(struct overlay *o, struct removal *r)
{
	r->running = true;
	loop_job(o->config.loop, remove_work, remove_done, r);
}

void overlay_retry_removals(struct overlay *o)
{
	MAP_EACH (&o->removals, entry) {
		struct removal *r = entry->value;
		if (!r->running)
			run_removal(o, r);
	}
}

void overlay_abandon_removals(struct overlay *o)
{
	MAP_EACH (&o->removals, entry) {
		struct removal *r = entry->value;
		r->overlay = NULL;
		if (!r->running)
			free_removal(r);
	}
	map_done(&o->removals);
}

int overlay_detach(struct overlay *o, const char *pod_uid, struct err *e)
{
	uint32_t address;
	if (!ipam_find(&o->ipam, pod_uid, &address) || map_has(&o->removals, pod_uid))
		return 0;
	struct removal *r = mem_new(struct removal);
	r->overlay = o;
	r->uid = mem_dup_string(pod_uid);
	r->address = address;
	overlay_port_name(address, r->name);
	map_put(&o->removals, pod_uid, r);
	run_removal(o, r);
	return map_remove(&o->host_ports, pod_uid) ? overlay_publish(o, e) : 0;
}

int overlay_keep_only(struct overlay *o, const char *const *pod_uids, size_t count, struct err *e)
{
	struct map keep;
	map_init(&keep, NULL);
	for (size_t i = 0; i < count; i++)
		map_put(&keep, pod_uids[i], o);
	int code = 0;
	MAP_EACH (&o->ipam.by_uid, entry) {
		if (!code && !map_has(&keep, entry->key))
			code = overlay_detach(o, entry->key, e);
	}
	map_done(&keep);
	return code;
}

/* At the end, when nobody waits: one after the other, all at once. */
void overlay_remove_pods(struct overlay *o)
{
	char name[IFNAMSIZ];
	MAP_EACH (&o->ipam.by_uid, entry) {
		const struct ipam_lease *lease = entry->value;
		overlay_port_name(lease->address, name);
		if (delete_port(o->netlink, name, NULL) == 0)
			release(o, entry->key, lease->address);
	}
}

/* ---- strays ---- */

static bool has_lease(const struct overlay *o, const char *port)
{
	MAP_EACH (&o->ipam.by_uid, entry) {
		const struct ipam_lease *lease = entry->value;
		char name[IFNAMSIZ];
		overlay_port_name(lease->address, name);
		if (str_equal(name, port))
			return true;
	}
	return false;
}

int overlay_remove_strays(struct overlay *o, struct err *e)
{
	struct netlink_links links;
	int code = netlink_link_list(o->netlink, &links, e);
	if (code)
		return code;
	for (size_t i = 0; i < links.list.count && !code; i++) {
		const char *name = links.list.items[i].name;
		if (!str_starts(name, OVERLAY_PORT_PREFIX) || has_lease(o, name))
			continue;
		code = netlink_link_delete(o->netlink, name, e);
		code = code == -ERR_NOT_FOUND ? 0 : code;
	}
	netlink_links_done(&links);
	return code;
}

/* ---- host ports ---- */

static void free_host_ports(void *value)
{
	struct host_ports *h = value;
	free(h->ports);
	free(h);
}

static bool is_held_by_other(const struct overlay *o, const char *pod_uid,
	const struct overlay_host_port *wanted)
{
	MAP_EACH (&o->host_ports, entry) {
		const struct host_ports *h = entry->value;
		for (size_t i = 0; i < h->count && !str_equal(entry->key, pod_uid); i++)
			if (h->ports[i].host_port == wanted->host_port &&
				str_equal(h->ports[i].protocol, wanted->protocol))
				return true;
	}
	return false;
}

int overlay_set_host_ports(struct overlay *o, const char *pod_uid,
	const struct overlay_host_port *ports, size_t count, struct err *e)
{
	uint32_t address;
	if (!ipam_find(&o->ipam, pod_uid, &address))
		return err_set(e, ERR_NOT_FOUND, "pod %.60s has no address", pod_uid);
	for (size_t i = 0; i < count; i++) {
		if (!str_equal(ports[i].protocol, "TCP") && !str_equal(ports[i].protocol, "UDP"))
			return err_set(e, ERR_INVALID, "host port %u: protocol must be TCP or UDP",
				ports[i].host_port);
		if (is_held_by_other(o, pod_uid, &ports[i]))
			return err_set(e, ERR_EXISTS, "host port %u/%s belongs to another pod",
				ports[i].host_port, ports[i].protocol);
	}
	if (!count && !map_has(&o->host_ports, pod_uid))
		return 0;
	o->host_ports.free_value = free_host_ports;
	struct host_ports *h = mem_new(struct host_ports);
	h->ports = mem_alloc_array(count + 1, sizeof(*ports));
	h->count = count;
	ipv4_format(address, h->ip);
	for (size_t i = 0; i < count; i++) {
		h->ports[i] = ports[i];
		h->ports[i].protocol = str_equal(ports[i].protocol, "TCP") ? "TCP" : "UDP";
	}
	map_put(&o->host_ports, pod_uid, h);
	return overlay_publish(o, e);
}
