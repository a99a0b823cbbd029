#include "overlay/services.h"

#include <netinet/in.h>
#include <string.h>

#include "base/str.h"

void services_state_done(struct services_state *s)
{
	vec_done(&s->list);
}

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

int services_compare_group(const struct services_element *a, const struct services_element *b)
{
	/* What stands alone (hairpin, outside) groups by itself, ahead of the services. */
	int alone_a = a->set <= SERVICES_OUTSIDE ? a->set : SERVICES_SET_COUNT;
	int alone_b = b->set <= SERVICES_OUTSIDE ? b->set : SERVICES_SET_COUNT;
	int order = ORDER(alone_a, alone_b);
	order = order ? order : ORDER(a->address, b->address);
	order = order ? order : ORDER(a->protocol, b->protocol);
	return order ? order : ORDER(a->port, b->port);
}

int services_compare(const struct services_element *a, const struct services_element *b)
{
	int order = services_compare_group(a, b);
	order = order ? order : ORDER(a->set, b->set);
	return order ? order : ORDER(a->index, b->index);
}

bool services_same(const struct services_element *a, const struct services_element *b)
{
	return services_compare(a, b) == 0 && a->to_address == b->to_address &&
	       a->to_port == b->to_port && a->sticky == b->sticky;
}

/* ---- building ---- */

struct target {
	uint32_t address;
	uint16_t port;
};

struct build {
	struct services_state *state;
	struct ipv4_range pods, domain;
	const struct overlay_service *service;
	uint32_t owner;
	struct err *e;
	int code;
	VEC(struct target) targets; /* ready endpoints of the port at hand */
};

static void complain(struct build *b, const char *what, const char *value)
{
	if (!b->code)
		b->code = err_set(b->e, ERR_INVALID, "service %.80s/%.80s: %s \"%.60s\"",
			b->service->namespace, b->service->name, what, value ? value : "");
}

static int compare_targets(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int order = ORDER(x->address, y->address);
	return order ? order : ORDER(x->port, y->port);
}

/* Sorted, so that the order in which endpoints are told changes nothing; each once. */
static void collect_targets(struct build *b, const struct overlay_port *port)
{
	b->targets.count = 0;
	for (size_t i = 0; i < port->endpoint_count; i++) {
		const struct overlay_endpoint *x = &port->endpoints[i];
		if (!x->ready && !b->service->publish_not_ready)
			continue;
		uint32_t address;
		if (x->port == 0 || ipv4_parse(x->ip, "endpoint", &address, NULL))
			complain(b, "no endpoint address and port", x->ip);
		else
			vec_push(&b->targets, (struct target){.address = address, .port = x->port});
	}
	if (!b->targets.count)
		return;
	qsort(b->targets.items, b->targets.count, sizeof(struct target), compare_targets);
	size_t kept = 1;
	for (size_t i = 1; i < b->targets.count; i++)
		if (compare_targets(&b->targets.items[kept - 1], &b->targets.items[i]) != 0)
			b->targets.items[kept++] = b->targets.items[i];
	b->targets.count = kept < SERVICES_ENDPOINTS_MAX ? kept : SERVICES_ENDPOINTS_MAX;
}

static void add(struct build *b, struct services_element element)
{
	element.owner = b->owner;
	vec_push(&b->state->list, element);
}

static void add_group(struct build *b, bool node, uint32_t address, uint8_t protocol, uint16_t port)
{
	for (size_t i = 0; i < b->targets.count; i++)
		add(b, (struct services_element){
			       .set = node ? SERVICES_NODE_ENDPOINT : SERVICES_ENDPOINT,
			       .address = address,
			       .protocol = protocol,
			       .port = port,
			       .index = (uint32_t)i,
			       .to_address = b->targets.items[i].address,
			       .to_port = b->targets.items[i].port,
		       });
	add(b, (struct services_element){.set = node ? SERVICES_NODE_FRONT : SERVICES_FRONT,
		       .address = address,
		       .protocol = protocol,
		       .port = port,
		       .to_address = (uint32_t)b->targets.count,
		       .sticky = b->service->affinity_seconds > 0});
}

/* How replies find back: see the rules of postrouting in nft.c. */
static void add_return_ways(struct build *b, uint8_t protocol)
{
	VEC_EACH (&b->targets, struct target, t) {
		if (ipv4_range_has(b->pods, t->address))
			add(b, (struct services_element){
				       .set = SERVICES_HAIRPIN, .address = t->address});
		else if (!ipv4_range_has(b->domain, t->address))
			add(b, (struct services_element){.set = SERVICES_OUTSIDE,
				       .address = t->address,
				       .protocol = protocol,
				       .port = t->port});
	}
}

static void build_port(struct build *b, const struct overlay_port *port)
{
	const char *ip = b->service->cluster_ip;
	bool headless = str_empty(ip) || str_equal(ip, "None");
	uint32_t address = 0;
	if (headless && !port->node_port)
		return;
	uint8_t protocol = 0;
	if (str_equal(port->protocol, "TCP"))
		protocol = IPPROTO_TCP;
	else if (str_equal(port->protocol, "UDP"))
		protocol = IPPROTO_UDP;
	else
		return complain(b, "protocol is neither TCP nor UDP:", port->protocol);
	if (!headless && ipv4_parse(ip, "clusterIP", &address, NULL))
		return complain(b, "no IPv4 address in clusterIP", ip);
	collect_targets(b, port);
	if (!b->targets.count)
		return;
	if (!headless)
		add_group(b, false, address, protocol, port->port);
	if (port->node_port)
		add_group(b, true, 0, protocol, port->node_port);
	add_return_ways(b, protocol);
}

static int compare_with_owner(const void *a, const void *b)
{
	const struct services_element *x = a, *y = b;
	int order = services_compare_group(x, y);
	order = order ? order : ORDER(x->owner, y->owner);
	return order ? order : services_compare(x, y);
}

/* Sorts; of two services that claim one front only the first stays. */
void services_sort(struct services_state *s)
{
	if (!s->list.count)
		return;
	struct services_element *items = s->list.items;
	qsort(items, s->list.count, sizeof(*items), compare_with_owner);
	size_t kept = 1;
	for (size_t i = 1; i < s->list.count; i++) {
		const struct services_element *last = &items[kept - 1];
		if (services_compare_group(last, &items[i]) == 0 &&
			(last->owner != items[i].owner || services_compare(last, &items[i]) == 0))
			continue;
		items[kept++] = items[i];
	}
	s->list.count = kept;
}

int services_build(const struct overlay_service *services, size_t count, struct ipv4_range pods,
	struct ipv4_range domain, struct services_state *ret_state, struct err *e)
{
	*ret_state = (struct services_state){0};
	struct build b = {.state = ret_state, .pods = pods, .domain = domain, .e = e};
	for (size_t i = 0; i < count; i++) {
		b.service = &services[i];
		b.owner = (uint32_t)i;
		for (size_t k = 0; k < services[i].port_count; k++)
			build_port(&b, &services[i].ports[k]);
	}
	vec_done(&b.targets);
	services_sort(ret_state);
	return b.code;
}
