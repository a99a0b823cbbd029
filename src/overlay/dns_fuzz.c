/* Any bytes as a question to the name server, and as an answer from upstream. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "overlay/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct overlay_endpoint endpoints[] = {
	{.ip = "10.42.1.7", .port = 6379, .hostname = "db-0", .ready = true},
	{.ip = "10.42.1.8", .port = 6379, .ready = true},
};
static const struct overlay_port ports[] = {{.name = "redis",
	.protocol = "TCP",
	.port = 6379,
	.endpoints = endpoints,
	.endpoint_count = 2}};
static const struct overlay_service services[] = {
	{.namespace = "d",
		.name = "web",
		.cluster_ip = "10.43.0.10",
		.ports = ports,
		.port_count = 1},
	{.namespace = "d", .name = "db", .cluster_ip = "None", .ports = ports, .port_count = 1},
	{.namespace = "d", .name = "out", .external_name = "www.example.com"},
};

static int ignore(void *arg, const struct dns_record *record)
{
	(void)arg;
	(void)record;
	return 0;
}

static void as_question(const struct names *names, const uint8_t *data, size_t size)
{
	struct dns_query q;
	struct dns_writer w;
	enum dns_rcode rcode;
	const char *target = NULL;
	uint8_t reply[DNS_UDP_LARGE];
	if (dns_parse_query(data, size, &q, &rcode, NULL))
		return;
	dns_begin(&w, reply, q.udp_size < DNS_UDP_LARGE ? q.udp_size : DNS_UDP_LARGE, &q);
	if (!rcode && names_answer(names, &q, &w, &rcode, &target) == NAMES_FORWARD)
		rcode = DNS_SERVFAIL;
	dns_end(&w, rcode, true);
	/* What we write we can read. */
	if (w.size > DNS_UDP_LARGE || dns_walk(reply, w.size, ignore, NULL, NULL))
		abort();
	/* A name that was read can be asked again, and is the same then. */
	uint8_t again[DNS_UDP_PLAIN];
	struct dns_query other;
	size_t length = rcode ? 0 : dns_write_query(q.name, q.type, 1, again);
	if (length && (dns_parse_query(again, length, &other, &rcode, NULL) || rcode ||
			      strcmp(other.name, q.name) != 0))
		abort();
}

static void as_answer(const uint8_t *data, size_t size)
{
	uint8_t *copy CLEANUP(mem_free_ptr) = (uint8_t *)mem_dup_bytes(data, size);
	if (dns_keep_s(copy, size) == 0)
		return;
	dns_age(copy, size, 3);
	(void)dns_answers(copy, size, 0x1234, data, size < 20 ? size : 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ipv4_range domain = {.first = 0x0a2a0000, .prefix = 16};
	const struct ipv4_range range = {.first = 0x0a2b0000, .prefix = 16};
	struct table table;
	struct names names;
	table_init(&table, services, ARRAY_SIZE(services));
	names_init(&names, "cluster.local", domain, range);
	names_set(&names, &table);
	as_question(&names, data, size);
	as_answer(data, size);
	names_done(&names);
	table_done(&table);
	return 0;
}
