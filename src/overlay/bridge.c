#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "overlay/private.h"

#define MTU_DEFAULT 1500

/* Writes a kernel setting of this network namespace, if it has another value. */
static int set_sysctl(const char *path, const char *value, struct err *e)
{
	char now[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot read %s", path);
	ssize_t got = read(fd, now, sizeof(now) - 1);
	close(fd);
	if (got > 0 && strncmp(now, value, strlen(value)) == 0 && now[strlen(value)] == '\n')
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot open %s to write %s", path, value);
	ssize_t put = write(fd, value, strlen(value));
	int errnum = errno;
	close(fd);
	return put < 0 ? err_set_errno(e, errnum, "cannot write %s to %s", value, path) : 0;
}

/* A pod's packet to another pod of the node comes in and leaves by the bridge; the kernel would
 * tell the pod of a shorter way, on which no service could be translated back. The kernel takes the
 * setting of the interface or that of all. */
static int set_sysctls(struct err *e)
{
	static const char *const settings[][2] = {
		{"/proc/sys/net/ipv4/ip_forward", "1"},
		{"/proc/sys/net/ipv4/conf/all/send_redirects", "0"},
		{"/proc/sys/net/ipv4/conf/" OVERLAY_BRIDGE "/send_redirects", "0"},
	};
	int code = 0;
	for (size_t i = 0; i < ARRAY_SIZE(settings) && !code; i++)
		code = set_sysctl(settings[i][0], settings[i][1], e);
	return code;
}

static int mtu_of_node(struct overlay *o, const struct netlink_addresses *addresses)
{
	int index = 0;
	for (size_t i = 0; i < addresses->list.count; i++)
		if (addresses->list.items[i].address == o->node_address)
			index = addresses->list.items[i].index;
	struct netlink_links links;
	if (!index || netlink_link_list(o->netlink, &links, NULL))
		return MTU_DEFAULT;
	int mtu = MTU_DEFAULT;
	for (size_t i = 0; i < links.list.count; i++)
		if (links.list.items[i].index == index && links.list.items[i].mtu >= 576 &&
			links.list.items[i].mtu <= 65535)
			mtu = links.list.items[i].mtu;
	netlink_links_done(&links);
	return mtu;
}

static int make_link(struct overlay *o, struct err *e)
{
	struct netlink_link link;
	uint8_t mac[IPV4_MAC_SIZE];
	ipv4_mac(ipam_gateway(&o->ipam), mac);
	int code = netlink_link_get(o->netlink, OVERLAY_BRIDGE, &link, e);
	/* Pods know its hardware address: one that was made for another range is of no use. */
	if (!code && memcmp(link.mac, mac, sizeof(mac)) != 0) {
		code = netlink_link_delete(o->netlink, OVERLAY_BRIDGE, e);
		code = code ? code : -ERR_NOT_FOUND;
	}
	if (code == -ERR_NOT_FOUND) {
		code = netlink_bridge_add(o->netlink, OVERLAY_BRIDGE, mac, o->mtu, e);
		if (!code)
			code = netlink_link_get(o->netlink, OVERLAY_BRIDGE, &link, e);
	}
	if (!code && !link.up)
		code = netlink_link_up(o->netlink, link.index, e);
	if (!code && link.mtu != o->mtu)
		code = netlink_link_mtu(o->netlink, link.index, o->mtu, e);
	o->bridge_index = link.index;
	return code;
}

static int make_address(struct overlay *o, const struct netlink_addresses *addresses, struct err *e)
{
	const struct netlink_address wanted = {.index = o->bridge_index,
		.address = ipam_gateway(&o->ipam),
		.prefix = o->pods.prefix};
	for (size_t i = 0; i < addresses->list.count; i++) {
		const struct netlink_address *a = &addresses->list.items[i];
		if (a->index != o->bridge_index ||
			(a->address == wanted.address && a->prefix == wanted.prefix))
			continue;
		int code = netlink_address_delete(o->netlink, a, e);
		if (code && code != -ERR_NOT_FOUND)
			return code;
	}
	return netlink_address_add(o->netlink, &wanted, e);
}

int overlay_make_bridge(struct overlay *o, struct err *e)
{
	struct netlink_addresses addresses;
	int code = netlink_address_list(o->netlink, &addresses, e);
	if (code)
		return code;
	o->mtu = o->config.mtu ? o->config.mtu : mtu_of_node(o, &addresses);
	code = make_link(o, e);
	if (!code)
		code = make_address(o, &addresses, e);
	if (!code)
		code = set_sysctls(e);
	netlink_addresses_done(&addresses);
	/* What the node itself sends to services goes this way before it is translated: so a node
	 * without a default route reaches them too, by an address that other nodes can answer. */
	const struct netlink_route services = {.to = o->services.first,
		.prefix = o->services.prefix,
		.source = ipam_gateway(&o->ipam),
		.index = o->bridge_index,
		.link_scope = true,
		.protocol = OVERLAY_ROUTE_PROTOCOL};
	return code ? code : netlink_route_set(o->netlink, &services, e);
}

void overlay_remove_bridge(struct overlay *o)
{
	/* The next start finds and removes what could not be removed. */
	(void)!netlink_link_delete(o->netlink, OVERLAY_BRIDGE, NULL);
}
