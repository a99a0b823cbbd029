#include "server/addresses.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define NODE_PORT_FIRST 30000
#define NODE_PORT_LAST 32767

struct range {
	uint32_t first, last; /* host byte order, both included */
	uint32_t next;        /* where the next search starts */
};

struct addresses {
	struct server *server;
	struct range services, nodes;
	uint32_t node_size; /* addresses of one node's range */
	struct map used;    /* "10.43.0.7", "10.42.3.0/24", ":30080" -> owner's key */
	struct map claimed; /* the same texts, while a write is under way */
	struct store_watch *watches[2];
};

static int parse_cidr(const char *text, struct range *ret_range, struct err *e)
{
	char address[64];
	int bits = -1;
	struct in_addr in;
	if (sscanf(text, "%63[0-9.]/%d", address, &bits) != 2 || bits < 8 || bits > 30 ||
		inet_pton(AF_INET, address, &in) != 1)
		return err_set(e, ERR_INVALID, "\"%s\" is not an IPv4 range such as 10.42.0.0/16",
			text);
	uint32_t mask = 0xffffffffU << (32 - bits);
	ret_range->first = ntohl(in.s_addr) & mask;
	ret_range->last = ret_range->first | ~mask;
	ret_range->next = ret_range->first;
	return 0;
}

static void format_ip(uint32_t ip, char ret_text[static 64])
{
	struct in_addr in = {htonl(ip)};
	inet_ntop(AF_INET, &in, ret_text, 64);
}

static bool is_free(const struct addresses *a, const char *text)
{
	return !map_has(&a->used, text) && !map_has(&a->claimed, text);
}

/* ---- what the store says ---- */

static void mark_service(struct addresses *a, const struct object *o, bool used)
{
	CLEANUP(json_done) json_t *tree = object_tree(o);
	const char *ip = json_text(tree, "", "spec", "clusterIP");
	if (*ip && strcmp(ip, "None") != 0) {
		if (used)
			map_put(&a->used, ip, "");
		else
			map_remove(&a->used, ip);
		map_remove(&a->claimed, ip);
	}
	size_t i;
	json_t *port;
	json_array_foreach (json_at(tree, "spec", "ports"), i, port) {
		char text[16];
		int64_t number = json_int(port, 0, "nodePort");
		snprintf(text, sizeof(text), ":%d", (int)number);
		if (number && used)
			map_put(&a->used, text, "");
		else if (number)
			map_remove(&a->used, text);
		map_remove(&a->claimed, text);
	}
}

static void mark_node(struct addresses *a, const struct object *o, bool used)
{
	CLEANUP(json_done) json_t *tree = object_tree(o);
	const char *cidr = json_text(tree, "", "spec", "podCIDR");
	if (!*cidr)
		return;
	if (used)
		map_put(&a->used, cidr, "");
	else
		map_remove(&a->used, cidr);
	map_remove(&a->claimed, cidr);
}

static void mark(struct addresses *a, const struct object *o, bool used)
{
	if (o->kind == &kind_service)
		mark_service(a, o, used);
	else
		mark_node(a, o, used);
}

static void on_events(void *arg, const struct store_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (events[i].previous)
			mark(arg, events[i].previous, false);
		if (events[i].type == STORE_PUT)
			mark(arg, events[i].object, true);
	}
}

static void on_ended(void *arg, const struct err *why)
{
	/* A watch of our own process that is never paused cannot fall behind. */
	struct addresses *a = arg;
	log_err(a->server->log, LOG_ERROR, "watch_ended", why, "part=addresses");
	abort();
}

static const struct store_watch_events watch_events = {
	.on_events = on_events, .on_ended = on_ended};

static int follow(struct addresses *a, const struct kind *k, struct store_watch **ret_watch,
	struct err *e)
{
	char prefix[OBJECT_KEY_MAX];
	object_prefix(k, "", prefix);
	struct store_list list;
	int r = store_list(a->server->store, prefix, NULL, 0, 0, &list, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.count; i++)
		mark(a, list.objects[i], true);
	r = store_watch(a->server->store, prefix, list.revision, &watch_events, a, ret_watch, e);
	store_list_done(&list);
	return r;
}

int addresses_new(struct server *s, struct addresses **ret_addresses, struct err *e)
{
	struct addresses *a = mem_new(struct addresses);
	a->server = s;
	int r = parse_cidr(s->service_cidr, &a->services, e);
	if (r == 0)
		r = parse_cidr(s->pod_cidr, &a->nodes, e);
	if (r == 0)
		r = follow(a, &kind_service, &a->watches[0], e);
	if (r == 0)
		r = follow(a, &kind_node, &a->watches[1], e);
	if (r < 0) {
		addresses_free(a);
		return r;
	}
	/* A small range is shared by at least sixteen nodes. */
	uint32_t size = a->nodes.last - a->nodes.first + 1;
	a->node_size = size >= 16 * 256 ? 256 : size / 16;
	*ret_addresses = a;
	return 0;
}

void addresses_free(struct addresses *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(a->watches); i++)
		if (a->watches[i])
			store_watch_free(a->watches[i]);
	map_done(&a->used);
	map_done(&a->claimed);
	free(a);
}

/* ---- claims ---- */

static int claim_wanted_service(struct addresses *a, const char *wanted, char ret_ip[static 64],
	struct err *e)
{
	struct in_addr in;
	if (inet_pton(AF_INET, wanted, &in) != 1)
		return err_set(e, ERR_INVALID, "spec.clusterIP: \"%s\" is not an IPv4 address",
			wanted);
	uint32_t ip = ntohl(in.s_addr);
	if (ip <= a->services.first || ip >= a->services.last)
		return err_set(e, ERR_INVALID, "spec.clusterIP: %s is not in the range %s", wanted,
			a->server->service_cidr);
	format_ip(ip, ret_ip);
	if (!is_free(a, ret_ip))
		return err_set(e, ERR_INVALID, "spec.clusterIP: %s is already allocated", wanted);
	map_put(&a->claimed, ret_ip, "");
	return 0;
}

int addresses_claim_service(struct addresses *a, const char *wanted, char ret_ip[static 64],
	struct err *e)
{
	if (!str_empty(wanted))
		return claim_wanted_service(a, wanted, ret_ip, e);
	struct range *r = &a->services;
	uint32_t usable = r->last - r->first - 1; /* without network and broadcast address */
	for (uint32_t i = 0; i < usable; i++) {
		uint32_t ip = r->first + 1 + (r->next - r->first + i) % usable;
		format_ip(ip, ret_ip);
		if (!is_free(a, ret_ip))
			continue;
		r->next = ip; /* the one behind it is tried next */
		map_put(&a->claimed, ret_ip, "");
		return 0;
	}
	return err_set(e, ERR_UNAVAILABLE, "the range of services, %s, is full",
		a->server->service_cidr);
}

int addresses_claim_node(struct addresses *a, char ret_cidr[static 64], struct err *e)
{
	int bits = 32 - __builtin_ctz(a->node_size);
	for (uint32_t ip = a->nodes.first; ip - 1 < a->nodes.last; ip += a->node_size) {
		char address[64];
		format_ip(ip, address);
		snprintf(ret_cidr, 64, "%.40s/%d", address, bits);
		if (!is_free(a, ret_cidr))
			continue;
		map_put(&a->claimed, ret_cidr, "");
		return 0;
	}
	return err_set(e, ERR_UNAVAILABLE,
		"the range of pods, %s, is full: no range left for a node", a->server->pod_cidr);
}

int addresses_claim_port(struct addresses *a, int wanted, int *ret_port, struct err *e)
{
	char text[16];
	if (wanted && (wanted < NODE_PORT_FIRST || wanted > NODE_PORT_LAST))
		return err_set(e, ERR_INVALID, "nodePort %d is not in the range %d-%d", wanted,
			NODE_PORT_FIRST, NODE_PORT_LAST);
	for (int port = wanted ? wanted : NODE_PORT_FIRST;
		port <= (wanted ? wanted : NODE_PORT_LAST); port++) {
		snprintf(text, sizeof(text), ":%d", port);
		if (!is_free(a, text))
			continue;
		map_put(&a->claimed, text, "");
		*ret_port = port;
		return 0;
	}
	return wanted ? err_set(e, ERR_INVALID, "nodePort %d is already allocated", wanted)
		      : err_set(e, ERR_UNAVAILABLE, "no node port is left");
}

void addresses_release(struct addresses *a, const char *claimed)
{
	map_remove(&a->claimed, claimed);
}
