#include "overlay/names.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

/* The table of all tests: what kubernetes/dns, docs/specification.md, speaks of. */
static const struct overlay_endpoint web_endpoints[] = {
	{.ip = "10.42.1.2", .port = 8080, .ready = true}};
static const struct overlay_endpoint db_endpoints[] = {
	{.ip = "10.42.1.7", .port = 6379, .hostname = "db-0", .ready = true},
	{.ip = "10.42.1.8", .port = 6379, .ready = true},
	{.ip = "10.42.1.9", .port = 6379, .hostname = "db-2"},
};
static const struct overlay_endpoint peer_endpoints[] = {
	{.ip = "10.42.1.5", .port = 7000, .hostname = "p-0"}};
static const struct overlay_port web_ports[] = {
	{.name = "http",
		.protocol = "TCP",
		.port = 80,
		.endpoints = web_endpoints,
		.endpoint_count = 1},
	{.name = "", .protocol = "UDP", .port = 53},
};
static const struct overlay_port db_ports[] = {
	{.name = "redis",
		.protocol = "TCP",
		.port = 6379,
		.endpoints = db_endpoints,
		.endpoint_count = 3},
	{.name = "admin",
		.protocol = "TCP",
		.port = 6380,
		.endpoints = db_endpoints,
		.endpoint_count = 2},
};
static const struct overlay_port peer_ports[] = {{.name = "p",
	.protocol = "UDP",
	.port = 7000,
	.endpoints = peer_endpoints,
	.endpoint_count = 1}};
static const struct overlay_service services[] = {
	{.namespace = "default",
		.name = "Web",
		.cluster_ip = "10.43.0.10",
		.ports = web_ports,
		.port_count = 2},
	{.namespace = "default",
		.name = "db",
		.cluster_ip = "None",
		.ports = db_ports,
		.port_count = 2},
	{.namespace = "default", .name = "empty", .cluster_ip = ""},
	{.namespace = "other",
		.name = "peers",
		.cluster_ip = "None",
		.publish_not_ready = true,
		.ports = peer_ports,
		.port_count = 1},
	{.namespace = "default", .name = "out", .external_name = "www.example.com"},
	{.namespace = "default", .name = "in", .external_name = "web.default.svc.cluster.local"},
};

struct fixture {
	struct table table;
	struct names names;
	struct buf text;
};

static int setup(void **state)
{
	static struct fixture f;
	struct ipv4_range domain, range;
	assert_int_equal(ipv4_range_parse("10.42.0.0/16", "domain", &domain, NULL), 0);
	assert_int_equal(ipv4_range_parse("10.43.0.0/16", "services", &range, NULL), 0);
	table_init(&f.table, services, ARRAY_SIZE(services));
	names_init(&f.names, "cluster.local", domain, range);
	names_set(&f.names, &f.table);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	names_done(&f->names);
	table_done(&f->table);
	buf_done(&f->text);
	return 0;
}

struct shown {
	struct buf *text;
	const uint8_t *data;
	size_t size;
};

static void show_data(struct shown *s, const struct dns_record *r)
{
	char name[DNS_NAME_SIZE];
	const uint8_t *d = s->data + r->data_at;
	size_t next;
	size_t at = r->type == DNS_SRV ? r->data_at + 6 : r->data_at;
	if (r->type == DNS_A) {
		buf_printf(s->text, "%u.%u.%u.%u", d[0], d[1], d[2], d[3]);
	} else if (r->type == DNS_TXT) {
		buf_printf(s->text, "%.*s", d[0], (const char *)d + 1);
	} else {
		assert_int_equal(dns_read_name(s->data, s->size, at, name, &next, NULL), 0);
		if (r->type == DNS_SRV)
			buf_printf(s->text, "%u ", d[4] << 8 | d[5]);
		buf_append_string(s->text, name);
	}
}

/* "answer A 10.0.0.1; ", one after the other. */
static int show(void *arg, const struct dns_record *r)
{
	static const char *const sections[] = {"answer", "authority", "additional"};
	struct shown *s = arg;
	const char *type = r->type == DNS_A       ? "A"
			   : r->type == DNS_CNAME ? "CNAME"
			   : r->type == DNS_SRV   ? "SRV"
			   : r->type == DNS_PTR   ? "PTR"
			   : r->type == DNS_TXT   ? "TXT"
			   : r->type == DNS_SOA   ? "SOA"
						  : "?";
	if (r->section == DNS_AUTHORITY && r->type == DNS_SOA) {
		buf_append_string(s->text, "; soa");
		return 0;
	}
	buf_printf(s->text, "; %s %s ", sections[r->section], type);
	show_data(s, r);
	return 0;
}

/* What is answered to a question, as text that begins with the code. */
static const char *ask_with_id(struct fixture *f, const char *name, uint16_t type, uint16_t id)
{
	static const char *const rcodes[] = {"ok", "formerr", "servfail", "nxdomain"};
	uint8_t message[DNS_UDP_PLAIN], reply[DNS_UDP_LARGE];
	struct dns_query q;
	struct dns_writer w;
	enum dns_rcode rcode;
	const char *target = NULL;
	size_t size = dns_write_query(name, type, id, message);
	assert_int_equal(dns_parse_query(message, size, &q, &rcode, NULL), 0);
	dns_begin(&w, reply, sizeof(reply), &q);
	enum names_result result = names_answer(&f->names, &q, &w, &rcode, &target);
	buf_clear(&f->text);
	if (result == NAMES_FORWARD)
		return "forward";
	dns_end(&w, rcode, true);
	buf_append_string(&f->text, rcodes[rcode]);
	struct shown s = {.text = &f->text, .data = reply, .size = w.size};
	assert_int_equal(dns_walk(reply, w.size, show, &s, NULL), 0);
	if (result == NAMES_ALIAS)
		buf_printf(&f->text, "; then %s", target);
	return buf_text(&f->text);
}

static const char *ask(struct fixture *f, const char *name, uint16_t type)
{
	return ask_with_id(f, name, type, 0);
}

static void tells_the_version(void **state)
{
	assert_string_equal(ask(*state, "dns-version.cluster.local", DNS_TXT),
		"ok; answer TXT 1.1.0");
}

static void answers_for_services_with_an_address(void **state)
{
	const char *name = "web.default.svc.cluster.local";
	assert_string_equal(ask(*state, name, DNS_A), "ok; answer A 10.43.0.10");
	assert_string_equal(ask(*state, "WEB.Default.svc.Cluster.Local", DNS_A),
		"ok; answer A 10.43.0.10");
	assert_string_equal(ask(*state, name, DNS_AAAA), "ok; soa");
	assert_string_equal(ask(*state, "_http._tcp.web.default.svc.cluster.local", DNS_SRV),
		"ok; answer SRV 80 web.default.svc.cluster.local; additional A 10.43.0.10");
	assert_string_equal(ask(*state, "_http._udp.web.default.svc.cluster.local", DNS_SRV),
		"nxdomain; soa");
	assert_string_equal(ask(*state, "_tcp.web.default.svc.cluster.local", DNS_SRV), "ok; soa");
	assert_string_equal(ask(*state, "_udp.web.default.svc.cluster.local", DNS_SRV),
		"nxdomain; soa");
	assert_string_equal(ask(*state, "10.0.43.10.in-addr.arpa", DNS_PTR),
		"ok; answer PTR web.default.svc.cluster.local");
	assert_string_equal(ask(*state, "10-42-1-2.web.default.svc.cluster.local", DNS_A),
		"nxdomain; soa");
}

static void answers_for_headless_services(void **state)
{
	const char *name = "db.default.svc.cluster.local";
	assert_string_equal(ask_with_id(*state, name, DNS_A, 0),
		"ok; answer A 10.42.1.7; answer A 10.42.1.8");
	assert_string_equal(ask_with_id(*state, name, DNS_A, 1),
		"ok; answer A 10.42.1.8; answer A 10.42.1.7");
	assert_string_equal(ask(*state, "db-0.db.default.svc.cluster.local", DNS_A),
		"ok; answer A 10.42.1.7");
	assert_string_equal(ask(*state, "10-42-1-8.db.default.svc.cluster.local", DNS_A),
		"ok; answer A 10.42.1.8");
	assert_string_equal(ask(*state, "db-2.db.default.svc.cluster.local", DNS_A),
		"nxdomain; soa");
	assert_string_equal(ask(*state, "_redis._tcp.db.default.svc.cluster.local", DNS_SRV),
		"ok; answer SRV 6379 db-0.db.default.svc.cluster.local; "
		"answer SRV 6379 10-42-1-8.db.default.svc.cluster.local; "
		"additional A 10.42.1.7; additional A 10.42.1.8");
	assert_string_equal(ask(*state, "7.1.42.10.in-addr.arpa", DNS_PTR),
		"ok; answer PTR db-0.db.default.svc.cluster.local");
	assert_string_equal(ask(*state, "9.1.42.10.in-addr.arpa", DNS_PTR), "nxdomain; soa");
}

static void an_empty_headless_service_is_no_name(void **state)
{
	assert_string_equal(ask(*state, "empty.default.svc.cluster.local", DNS_A), "nxdomain; soa");
	assert_string_equal(ask(*state, "peers.other.svc.cluster.local", DNS_A),
		"ok; answer A 10.42.1.5"); /* not ready, but published */
}

static void answers_for_external_names(void **state)
{
	assert_string_equal(ask(*state, "out.default.svc.cluster.local", DNS_A),
		"ok; answer CNAME www.example.com; then www.example.com");
	assert_string_equal(ask(*state, "out.default.svc.cluster.local", DNS_CNAME),
		"ok; answer CNAME www.example.com");
	assert_string_equal(ask(*state, "in.default.svc.cluster.local", DNS_A),
		"ok; answer CNAME web.default.svc.cluster.local; answer A 10.43.0.10");
	assert_string_equal(ask(*state, "x.out.default.svc.cluster.local", DNS_A), "nxdomain; soa");
}

static void answers_for_pods(void **state)
{
	assert_string_equal(ask(*state, "10-42-1-2.default.pod.cluster.local", DNS_A),
		"ok; answer A 10.42.1.2");
	assert_string_equal(ask(*state, "192-0-2-1.default.pod.cluster.local", DNS_A),
		"nxdomain; soa");
	assert_string_equal(ask(*state, "x.10-42-1-2.default.pod.cluster.local", DNS_A),
		"nxdomain; soa");
	assert_string_equal(ask(*state, "a.default.pod.cluster.local", DNS_A), "nxdomain; soa");
}

/* RFC 8020: what lies below a name that is answered with NXDOMAIN is taken not to exist. */
static void names_above_others_exist(void **state)
{
	const char *above[] = {"cluster.local", "svc.cluster.local", "default.svc.cluster.local",
		"pod.cluster.local", "default.pod.cluster.local"};
	for (size_t i = 0; i < ARRAY_SIZE(above); i++)
		assert_string_equal(ask(*state, above[i], DNS_A), "ok; soa");
	const char *absent[] = {"x.cluster.local", "nobody.svc.cluster.local",
		"x.default.svc.cluster.local", "a.b.c.d.e.f.g.cluster.local",
		"a.b.c.d.e.web.default.svc.cluster.local"};
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		assert_string_equal(ask(*state, absent[i], DNS_A), "nxdomain; soa");
}

static void forwards_what_is_not_ours(void **state)
{
	const char *others[] = {"www.example.com", "", "local", "xcluster.local",
		"web.default.svc.cluster.local.example.com", "1.2.0.192.in-addr.arpa",
		"42.10.in-addr.arpa", "x.10.in-addr.arpa"};
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_string_equal(ask(*state, others[i], DNS_A), "forward");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_version),
		cmocka_unit_test(answers_for_services_with_an_address),
		cmocka_unit_test(answers_for_headless_services),
		cmocka_unit_test(an_empty_headless_service_is_no_name),
		cmocka_unit_test(answers_for_external_names),
		cmocka_unit_test(answers_for_pods),
		cmocka_unit_test(names_above_others_exist),
		cmocka_unit_test(forwards_what_is_not_ours),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
