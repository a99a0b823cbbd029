#include <stdlib.h>
#include <string.h>

#include "overlay/private.h"

static int compare_routes(const void *a, const void *b)
{
	const struct netlink_route *x = a, *y = b;
	if (x->to != y->to)
		return x->to < y->to ? -1 : 1;
	return (x->prefix > y->prefix) - (x->prefix < y->prefix);
}

static void sort_routes(struct netlink_routes *r)
{
	if (r->list.count)
		qsort(r->list.items, r->list.count, sizeof(struct netlink_route), compare_routes);
}

/* The interface on whose subnet the address lies; 0: behind a router. */
static int connected_by(const struct overlay *o, const struct netlink_addresses *own,
	uint32_t address)
{
	for (size_t i = 0; i < own->list.count; i++) {
		const struct netlink_address *a = &own->list.items[i];
		uint32_t mask = ipv4_mask(a->prefix);
		if (a->index != o->bridge_index && a->prefix < 32 && a->prefix > 0 &&
			(a->address & mask) == (address & mask))
			return a->index;
	}
	return 0;
}

static void want_routes(const struct overlay *o, const struct netlink_addresses *own,
	struct netlink_routes *ret_wanted)
{
	VEC_EACH (&o->peers, const struct peer, p) {
		int index = connected_by(o, own, p->address);
		if (index)
			vec_push(&ret_wanted->list, (struct netlink_route){.to = p->pods.first,
							    .prefix = p->pods.prefix,
							    .gateway = p->address,
							    .index = index,
							    .protocol = OVERLAY_ROUTE_PROTOCOL});
	}
	sort_routes(ret_wanted);
}

static void keep_first(int *code, int next)
{
	if (!*code)
		*code = next;
}

/* One route that is wanted, or one that is there, or both. */
static int settle_route(struct overlay *o, const struct netlink_route *have,
	const struct netlink_route *want, struct err *e)
{
	int code = 0;
	if (!want) {
		if (have->to == o->services.first && have->prefix == o->services.prefix)
			return 0;
		code = netlink_route_delete(o->netlink, have, e);
		return code == -ERR_NOT_FOUND ? 0 : code;
	}
	if (have && have->gateway == want->gateway && have->index == want->index)
		return 0;
	code = have ? netlink_route_set(o->netlink, want, e)
		    : netlink_route_add(o->netlink, want, e);
	/* A route of the site's own to the same place is the better one; and while the link is down
	 * there is none: the news of its return brings us here again. */
	return code == -ERR_EXISTS || code == -ERR_UNAVAILABLE ? 0 : code;
}

static int write_difference(struct overlay *o, const struct netlink_routes *have,
	const struct netlink_routes *want, struct err *e)
{
	int code = 0;
	size_t i = 0, k = 0;
	while (i < have->list.count || k < want->list.count) {
		const struct netlink_route *h = i < have->list.count ? &have->list.items[i] : NULL;
		const struct netlink_route *w = k < want->list.count ? &want->list.items[k] : NULL;
		int order = !h ? 1 : !w ? -1 : compare_routes(h, w);
		struct err trouble;
		int result = settle_route(o, order <= 0 ? h : NULL, order >= 0 ? w : NULL,
			code ? &trouble : e);
		keep_first(&code, result);
		i += order <= 0;
		k += order >= 0;
	}
	return code;
}

int overlay_write_routes(struct overlay *o, struct err *e)
{
	struct netlink_addresses own;
	struct netlink_routes have, want = {0};
	int code = netlink_address_list(o->netlink, &own, e);
	if (code)
		return code;
	want_routes(o, &own, &want);
	netlink_addresses_done(&own);
	code = netlink_route_list(o->netlink, OVERLAY_ROUTE_PROTOCOL, &have, e);
	if (!code) {
		sort_routes(&have);
		code = write_difference(o, &have, &want, e);
		netlink_routes_done(&have);
	}
	netlink_routes_done(&want);
	return code;
}

void overlay_remove_routes(struct overlay *o)
{
	struct netlink_routes have;
	if (netlink_route_list(o->netlink, OVERLAY_ROUTE_PROTOCOL, &have, NULL))
		return;
	for (size_t i = 0; i < have.list.count; i++)
		(void)!netlink_route_delete(o->netlink, &have.list.items[i], NULL);
	netlink_routes_done(&have);
}

int overlay_set_peers(struct overlay *o, const struct overlay_peer *peers, size_t count,
	struct err *e)
{
	int code = 0;
	o->peers.count = 0;
	for (size_t i = 0; i < count; i++) {
		struct peer p;
		struct err trouble;
		struct err *say = code ? &trouble : e;
		int bad = ipv4_range_parse(peers[i].pod_cidr, "a peer's pod_cidr", &p.pods, say);
		if (!bad)
			bad = ipv4_parse(peers[i].address, "a peer's address", &p.address, say);
		keep_first(&code, bad);
		if (!bad && p.pods.first != o->pods.first && p.address != o->node_address)
			vec_push(&o->peers, p);
	}
	struct err trouble;
	keep_first(&code, overlay_write_routes(o, code ? &trouble : e));
	return code;
}
