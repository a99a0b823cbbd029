#include "overlay/names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define SPECIFICATION "1.1.0"
#define REVERSE ".in-addr.arpa"
#define LABELS_MAX 6

/* ---- the index ---- */

static void free_entry(void *value)
{
	struct names_entry *entry = value;
	vec_done(&entry->endpoints);
	free(entry);
}

void names_init(struct names *n, const char *zone, struct ipv4_range domain,
	struct ipv4_range services)
{
	*n = (struct names){.zone = zone, .domain = domain, .services = services};
	map_init(&n->by_name, free_entry);
	map_init(&n->namespaces, NULL);
	map_init(&n->by_address, free);
}

void names_done(struct names *n)
{
	map_done(&n->by_name);
	map_done(&n->namespaces);
	map_done(&n->by_address);
}

static bool is_headless(const struct overlay_service *s)
{
	return str_empty(s->cluster_ip) || str_equal(s->cluster_ip, "None");
}

static bool is_told(const struct overlay_service *s, const struct overlay_endpoint *x)
{
	return x->ready || s->publish_not_ready;
}

static void add_pointer(struct names *n, const char *ip, const struct overlay_service *s,
	const struct overlay_endpoint *x)
{
	if (map_has(&n->by_address, ip))
		return;
	struct names_pointer *p = mem_new(struct names_pointer);
	*p = (struct names_pointer){.service = s, .endpoint = x};
	map_put(&n->by_address, ip, p);
}

static void add_endpoints(struct names *n, struct names_entry *entry)
{
	const struct overlay_service *s = entry->service;
	struct map seen;
	map_init(&seen, NULL);
	for (size_t i = 0; i < s->port_count; i++)
		for (size_t k = 0; k < s->ports[i].endpoint_count; k++) {
			const struct overlay_endpoint *x = &s->ports[i].endpoints[k];
			if (!is_told(s, x) || map_has(&seen, x->ip))
				continue;
			map_put(&seen, x->ip, entry);
			vec_push(&entry->endpoints, x);
			add_pointer(n, x->ip, s, x);
		}
	map_done(&seen);
}

static void add_service(struct names *n, const struct overlay_service *s)
{
	char key[DNS_NAME_SIZE];
	snprintf(key, sizeof(key), "%s.%s", s->name, s->namespace);
	if (map_has(&n->by_name, key))
		return;
	struct names_entry *entry = mem_new(struct names_entry);
	entry->service = s;
	map_put(&n->by_name, key, entry);
	map_put(&n->namespaces, s->namespace, n);
	if (!str_empty(s->external_name))
		return;
	if (is_headless(s))
		add_endpoints(n, entry);
	else
		add_pointer(n, s->cluster_ip, s, NULL);
}

void names_set(struct names *n, const struct table *table)
{
	names_done(n);
	names_init(n, n->zone, n->domain, n->services);
	n->table = table;
	for (size_t i = 0; i < table->count; i++)
		add_service(n, &table->services[i]);
}

/* ---- answering ---- */

struct question {
	const struct names *names;
	const struct dns_query *query;
	struct dns_writer *writer;
	char text[DNS_NAME_SIZE];
	char *labels[LABELS_MAX]; /* those before the zone, the one next to it first */
	size_t count;
	const char *target;
};

static bool asks(const struct question *q, uint16_t type)
{
	return q->query->type == type || q->query->type == DNS_ANY;
}

static void put_ip(struct question *q, enum dns_section section, const char *owner, const char *ip)
{
	uint32_t address;
	if (ipv4_parse(ip, "address", &address, NULL))
		return;
	address = htonl(address);
	dns_put_address(q->writer, section, owner, NAMES_TTL_S, DNS_A, &address, sizeof(address));
}

static void service_name(const struct question *q, const struct overlay_service *s,
	char ret_name[static DNS_NAME_SIZE])
{
	snprintf(ret_name, DNS_NAME_SIZE, "%s.%s.svc.%s", s->name, s->namespace, q->names->zone);
}

/* The first label of an endpoint's own name: its host name, or its address with dashes. */
static void endpoint_label(const struct overlay_endpoint *x, char ret_label[static 64])
{
	if (!str_empty(x->hostname) && str_copy(ret_label, 64, x->hostname))
		return;
	snprintf(ret_label, 64, "%s", x->ip);
	for (char *c = ret_label; *c; c++)
		if (*c == '.')
			*c = '-';
}

static void endpoint_name(const struct question *q, const struct overlay_service *s,
	const struct overlay_endpoint *x, char ret_name[static DNS_NAME_SIZE])
{
	char label[64];
	endpoint_label(x, label);
	snprintf(ret_name, DNS_NAME_SIZE, "%s.%s.%s.svc.%s", label, s->name, s->namespace,
		q->names->zone);
}

/* Addresses of the endpoints (with a label: of those that have it), beginning at another one for
 * each question, so that clients which take the first spread. */
static size_t answer_endpoints(struct question *q, const struct names_entry *entry,
	const char *wanted)
{
	size_t found = 0;
	for (size_t i = 0; i < entry->endpoints.count; i++) {
		const struct overlay_endpoint *x =
			entry->endpoints.items[(i + q->query->id) % entry->endpoints.count];
		char label[64];
		endpoint_label(x, label);
		if (wanted && !str_equal(label, wanted))
			continue;
		found++;
		if (asks(q, DNS_A))
			put_ip(q, DNS_ANSWER, NULL, x->ip);
	}
	return found;
}

/* An external name may be that of another service of ours, which nobody upstream knows. */
static const struct names_entry *find_inner(const struct question *q, const char *name)
{
	char key[DNS_NAME_SIZE], suffix[DNS_NAME_SIZE];
	snprintf(suffix, sizeof(suffix), ".svc.%.900s", q->names->zone);
	if (!str_ends(name, suffix))
		return NULL;
	snprintf(key, sizeof(key), "%.*s", (int)(strlen(name) - strlen(suffix)), name);
	return map_get(&q->names->by_name, key);
}

static void answer_alias(struct question *q, const char *target)
{
	dns_put_name(q->writer, DNS_ANSWER, NULL, NAMES_TTL_S, DNS_CNAME, target);
	if (q->query->type == DNS_CNAME)
		return;
	const struct names_entry *inner = find_inner(q, target);
	if (!inner) {
		q->target = target;
		return;
	}
	if (!asks(q, DNS_A))
		return;
	if (!is_headless(inner->service))
		put_ip(q, DNS_ANSWER, target, inner->service->cluster_ip);
	for (size_t i = 0; i < inner->endpoints.count; i++)
		put_ip(q, DNS_ANSWER, target, inner->endpoints.items[i]->ip);
}

static enum dns_rcode answer_service(struct question *q, const struct names_entry *entry)
{
	const struct overlay_service *s = entry->service;
	if (!str_empty(s->external_name)) {
		answer_alias(q, s->external_name);
		return DNS_OK;
	}
	if (is_headless(s))
		return answer_endpoints(q, entry, NULL) ? DNS_OK : DNS_NXDOMAIN;
	if (asks(q, DNS_A))
		put_ip(q, DNS_ANSWER, NULL, s->cluster_ip);
	return DNS_OK;
}

static bool protocol_matches(const struct overlay_port *p, const char *label)
{
	return (str_equal(label, "_tcp") && str_equal(p->protocol, "TCP")) ||
	       (str_equal(label, "_udp") && str_equal(p->protocol, "UDP"));
}

static size_t answer_srv_headless(struct question *q, const struct overlay_service *s,
	const struct overlay_port *p)
{
	size_t found = 0;
	char name[DNS_NAME_SIZE];
	for (int pass = DNS_ANSWER; pass <= DNS_ADDITIONAL; pass += DNS_ADDITIONAL)
		for (size_t k = 0; k < p->endpoint_count; k++) {
			const struct overlay_endpoint *x = &p->endpoints[k];
			if (!is_told(s, x))
				continue;
			found++;
			endpoint_name(q, s, x, name);
			if (!asks(q, DNS_SRV))
				continue;
			if (pass == DNS_ANSWER)
				dns_put_srv(q->writer, DNS_ANSWER, NULL, NAMES_TTL_S, 10, x->port,
					name);
			else
				put_ip(q, DNS_ADDITIONAL, name, x->ip);
		}
	return found;
}

/* _PORT._PROTOCOL.SERVICE...; port null: only _PROTOCOL, a name without records of its own. */
static enum dns_rcode answer_srv(struct question *q, const struct overlay_service *s,
	const char *protocol, const char *port)
{
	bool exists = false;
	char name[DNS_NAME_SIZE];
	for (size_t i = 0; i < s->port_count; i++) {
		const struct overlay_port *p = &s->ports[i];
		if (!protocol_matches(p, protocol) || str_empty(p->name) ||
			(port && (port[0] != '_' || !str_equal(port + 1, p->name))))
			continue;
		if (!port) {
			exists = true;
			continue;
		}
		if (is_headless(s)) {
			exists = answer_srv_headless(q, s, p) > 0 || exists;
			continue;
		}
		exists = true;
		service_name(q, s, name);
		if (!asks(q, DNS_SRV))
			continue;
		dns_put_srv(q->writer, DNS_ANSWER, NULL, NAMES_TTL_S, 100, p->port, name);
		put_ip(q, DNS_ADDITIONAL, name, s->cluster_ip);
	}
	return exists ? DNS_OK : DNS_NXDOMAIN;
}

/* labels: svc, NAMESPACE, SERVICE, then _PROTOCOL and _PORT, or the label of an endpoint. */
static enum dns_rcode answer_svc(struct question *q)
{
	const struct names *n = q->names;
	if (q->count == 1)
		return DNS_OK;
	if (q->count == 2)
		return map_has(&n->namespaces, q->labels[1]) ? DNS_OK : DNS_NXDOMAIN;
	char key[DNS_NAME_SIZE];
	snprintf(key, sizeof(key), "%s.%s", q->labels[2], q->labels[1]);
	const struct names_entry *entry = map_get(&n->by_name, key);
	if (!entry)
		return DNS_NXDOMAIN;
	const struct overlay_service *s = entry->service;
	if (q->count == 3)
		return answer_service(q, entry);
	if (!str_empty(s->external_name))
		return DNS_NXDOMAIN;
	if (q->labels[3][0] == '_')
		return q->count > 5 ? DNS_NXDOMAIN
				    : answer_srv(q, s, q->labels[3],
					      q->count == 5 ? q->labels[4] : NULL);
	if (q->count == 4 && is_headless(s) && answer_endpoints(q, entry, q->labels[3]))
		return DNS_OK;
	return DNS_NXDOMAIN;
}

/* labels: pod, NAMESPACE, A-B-C-D. The address says it all; whether such a pod runs is not known
 * here for pods of other nodes. */
static enum dns_rcode answer_pod(struct question *q)
{
	if (q->count == 1 || q->count == 2)
		return DNS_OK;
	char ip[64];
	uint32_t address;
	if (q->count > 3 || !str_copy(ip, sizeof(ip), q->labels[2]))
		return DNS_NXDOMAIN;
	for (char *c = ip; *c; c++)
		*c = *c == '-' ? '.' : *c == '.' ? '-' : *c;
	if (ipv4_parse(ip, "pod", &address, NULL) || !ipv4_range_has(q->names->domain, address))
		return DNS_NXDOMAIN;
	if (asks(q, DNS_A))
		put_ip(q, DNS_ANSWER, NULL, ip);
	return DNS_OK;
}

static enum dns_rcode answer_apex(struct question *q)
{
	char name[DNS_NAME_SIZE];
	if (asks(q, DNS_SOA))
		dns_put_soa(q->writer, DNS_ANSWER, NULL, q->names->zone, NAMES_TTL_S);
	snprintf(name, sizeof(name), "ns.dns.%s", q->names->zone);
	if (asks(q, DNS_NS))
		dns_put_name(q->writer, DNS_ANSWER, NULL, NAMES_TTL_S, DNS_NS, name);
	return DNS_OK;
}

static enum dns_rcode answer_zone(struct question *q)
{
	if (q->count == 0)
		return answer_apex(q);
	if (q->count == 1 && str_equal(q->labels[0], "dns-version")) {
		if (asks(q, DNS_TXT))
			dns_put_txt(q->writer, DNS_ANSWER, NULL, NAMES_TTL_S, SPECIFICATION);
		return DNS_OK;
	}
	if (str_equal(q->labels[0], "svc"))
		return answer_svc(q);
	if (str_equal(q->labels[0], "pod"))
		return answer_pod(q);
	return DNS_NXDOMAIN;
}

/* ---- from addresses to names ---- */

/* "7.3.42.10.in-addr.arpa" -> 10.42.3.7 */
static bool parse_reverse(const char *name, uint32_t *ret_address)
{
	if (!str_ends(name, REVERSE))
		return false;
	char text[IPV4_TEXT_SIZE];
	size_t size = strlen(name) - strlen(REVERSE);
	if (size >= sizeof(text))
		return false;
	memcpy(text, name, size);
	text[size] = '\0';
	uint32_t turned;
	if (ipv4_parse(text, "reverse", &turned, NULL))
		return false;
	*ret_address = __builtin_bswap32(turned);
	return true;
}

static enum dns_rcode answer_reverse(struct question *q, uint32_t address)
{
	char ip[IPV4_TEXT_SIZE], name[DNS_NAME_SIZE];
	const struct names_pointer *p = map_get(&q->names->by_address, ipv4_format(address, ip));
	if (!p)
		return DNS_NXDOMAIN;
	if (p->endpoint)
		endpoint_name(q, p->service, p->endpoint, name);
	else
		service_name(q, p->service, name);
	if (asks(q, DNS_PTR))
		dns_put_name(q->writer, DNS_ANSWER, NULL, NAMES_TTL_S, DNS_PTR, name);
	return DNS_OK;
}

/* ---- the way in ---- */

/* Whether the name lies in the zone; then labels holds what stands before it. */
static bool split(struct question *q)
{
	snprintf(q->text, sizeof(q->text), "%s", q->query->name);
	size_t size = strlen(q->text), zone = strlen(q->names->zone);
	if (size < zone || !str_equal(q->text + size - zone, q->names->zone))
		return false;
	if (size == zone)
		return true;
	if (q->text[size - zone - 1] != '.')
		return false;
	q->text[size - zone - 1] = '\0';
	for (;;) {
		char *dot = strrchr(q->text, '.');
		if (q->count == LABELS_MAX)
			break;
		q->labels[q->count++] = dot ? dot + 1 : q->text;
		if (!dot)
			break;
		*dot = '\0';
	}
	return true;
}

enum names_result names_answer(const struct names *n, const struct dns_query *query,
	struct dns_writer *w, enum dns_rcode *ret_rcode, const char **ret_target)
{
	struct question q = {.names = n, .query = query, .writer = w};
	uint32_t address;
	const char *soa_owner = n->zone;
	if (split(&q)) {
		*ret_rcode = answer_zone(&q);
	} else if (parse_reverse(query->name, &address) &&
		   (ipv4_range_has(n->services, address) || ipv4_range_has(n->domain, address))) {
		*ret_rcode = answer_reverse(&q, address);
		soa_owner = strchr(query->name, '.') + 1;
	} else {
		return NAMES_FORWARD;
	}
	*ret_target = q.target;
	if (q.target)
		return NAMES_ALIAS;
	if (w->counts[DNS_ANSWER] == 0)
		dns_put_soa(w, DNS_AUTHORITY, soa_owner, n->zone, NAMES_TTL_S);
	return NAMES_ANSWERED;
}
