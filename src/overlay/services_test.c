#include "overlay/services.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static struct ipv4_range range_of(const char *text)
{
	struct ipv4_range r;
	assert_int_equal(ipv4_range_parse(text, "range", &r, NULL), 0);
	return r;
}

static int build(const struct overlay_service *services, size_t count,
	struct services_state *ret_state, struct err *e)
{
	return services_build(services, count, range_of("10.42.1.0/24"), range_of("10.42.0.0/16"),
		ret_state, e);
}

/* "services 10.43.0.10/6:80=2; ...", so that a test reads as what it expects. */
static void show(const struct services_state *s, struct buf *text)
{
	static const char *const sets[] = {
		"hairpin", "outside", "endpoint", "front", "node-endpoint", "node-front"};
	char from[IPV4_TEXT_SIZE], to[IPV4_TEXT_SIZE];
	for (size_t i = 0; i < s->list.count; i++) {
		const struct services_element *x = &s->list.items[i];
		buf_printf(text, "%s %s/%u:%u", sets[x->set], ipv4_format(x->address, from),
			x->protocol, x->port);
		if (x->set == SERVICES_FRONT || x->set == SERVICES_NODE_FRONT)
			buf_printf(text, "=%u%s", x->to_address, x->sticky ? " sticky" : "");
		else if (x->set == SERVICES_ENDPOINT || x->set == SERVICES_NODE_ENDPOINT)
			buf_printf(text, "[%u]=%s:%u", x->index, ipv4_format(x->to_address, to),
				x->to_port);
		buf_append_string(text, "\n");
	}
}

static void expect(const struct overlay_service *services, size_t count, int code, const char *text)
{
	struct services_state state;
	struct buf shown CLEANUP(buf_done) = BUF_INIT;
	assert_int_equal(build(services, count, &state, NULL), code);
	show(&state, &shown);
	assert_string_equal(buf_text(&shown), text);
	services_state_done(&state);
}

static const struct overlay_endpoint three[] = {
	{.ip = "10.42.2.9", .port = 8080, .ready = true},
	{.ip = "10.42.1.2", .port = 8080, .ready = true},
	{.ip = "10.42.1.3", .port = 8080},
	{.ip = "192.0.2.7", .port = 8080, .ready = true},
	{.ip = "10.42.1.2", .port = 8080, .ready = true},
};

static void a_service_becomes_a_front_and_endpoints(void **state)
{
	(void)state;
	const struct overlay_port port = {.protocol = "TCP",
		.port = 80,
		.node_port = 30080,
		.endpoints = three,
		.endpoint_count = 5};
	const struct overlay_service s = {.namespace = "d",
		.name = "web",
		.cluster_ip = "10.43.0.10",
		.ports = &port,
		.port_count = 1};
	expect(&s, 1, 0,
		"hairpin 10.42.1.2/0:0\n"
		"outside 192.0.2.7/6:8080\n"
		"node-endpoint 0.0.0.0/6:30080[0]=10.42.1.2:8080\n"
		"node-endpoint 0.0.0.0/6:30080[1]=10.42.2.9:8080\n"
		"node-endpoint 0.0.0.0/6:30080[2]=192.0.2.7:8080\n"
		"node-front 0.0.0.0/6:30080=3\n"
		"endpoint 10.43.0.10/6:80[0]=10.42.1.2:8080\n"
		"endpoint 10.43.0.10/6:80[1]=10.42.2.9:8080\n"
		"endpoint 10.43.0.10/6:80[2]=192.0.2.7:8080\n"
		"front 10.43.0.10/6:80=3\n");
}

static void without_ready_endpoints_there_is_no_front(void **state)
{
	(void)state;
	const struct overlay_port port = {
		.protocol = "TCP", .port = 80, .endpoints = three + 2, .endpoint_count = 1};
	struct overlay_service s = {.namespace = "d",
		.name = "web",
		.cluster_ip = "10.43.0.10",
		.ports = &port,
		.port_count = 1};
	expect(&s, 1, 0, "");
	s.publish_not_ready = true;
	s.affinity_seconds = 10800;
	expect(&s, 1, 0,
		"hairpin 10.42.1.3/0:0\n"
		"endpoint 10.43.0.10/6:80[0]=10.42.1.3:8080\n"
		"front 10.43.0.10/6:80=1 sticky\n");
	s.cluster_ip = "None";
	expect(&s, 1, 0, "");
}

static void the_first_to_claim_a_front_has_it(void **state)
{
	(void)state;
	const struct overlay_port a = {
		.protocol = "UDP", .port = 53, .endpoints = three, .endpoint_count = 1};
	const struct overlay_port b = {
		.protocol = "UDP", .port = 53, .endpoints = three, .endpoint_count = 2};
	const struct overlay_service s[] = {
		{.namespace = "d",
			.name = "a",
			.cluster_ip = "10.43.0.10",
			.ports = &a,
			.port_count = 1},
		{.namespace = "d",
			.name = "b",
			.cluster_ip = "10.43.0.10",
			.ports = &b,
			.port_count = 1},
	};
	expect(s, 2, 0,
		"hairpin 10.42.1.2/0:0\n"
		"endpoint 10.43.0.10/17:53[0]=10.42.2.9:8080\n"
		"front 10.43.0.10/17:53=1\n");
}

static void what_is_wrong_is_named_and_the_rest_stays(void **state)
{
	(void)state;
	const struct overlay_endpoint bad[] = {{.ip = "10.42.2.x", .port = 1, .ready = true},
		{.ip = "10.42.2.9", .port = 1, .ready = true}};
	const struct overlay_port ports[] = {
		{.protocol = "TCP", .port = 80, .endpoints = bad, .endpoint_count = 2},
		{.protocol = "SCTP", .port = 81, .endpoints = bad, .endpoint_count = 2}};
	const struct overlay_service s[] = {
		{.namespace = "d",
			.name = "a",
			.cluster_ip = "10.43.0.10",
			.ports = ports,
			.port_count = 2},
		{.namespace = "d",
			.name = "b",
			.cluster_ip = "fd00::1",
			.ports = ports,
			.port_count = 1},
	};
	expect(s, 2, -ERR_INVALID,
		"endpoint 10.43.0.10/6:80[0]=10.42.2.9:1\n"
		"front 10.43.0.10/6:80=1\n");
	struct services_state built;
	struct err e = ERR_INIT;
	assert_int_equal(build(s, 2, &built, &e), -ERR_INVALID);
	services_state_done(&built);
	assert_string_equal(e.text, "service d/a: no endpoint address and port \"10.42.2.x\"");
}

static void order_and_repetition_change_nothing(void **state)
{
	(void)state;
	struct overlay_endpoint turned[5];
	for (size_t i = 0; i < 5; i++)
		turned[i] = three[4 - i];
	const struct overlay_port a = {
		.protocol = "TCP", .port = 80, .endpoints = three, .endpoint_count = 5};
	const struct overlay_port b = {
		.protocol = "TCP", .port = 80, .endpoints = turned, .endpoint_count = 5};
	struct overlay_service s = {.namespace = "d",
		.name = "a",
		.cluster_ip = "10.43.0.10",
		.ports = &a,
		.port_count = 1};
	struct services_state x, y;
	assert_int_equal(build(&s, 1, &x, NULL), 0);
	s.ports = &b;
	assert_int_equal(build(&s, 1, &y, NULL), 0);
	assert_int_equal(x.list.count, y.list.count);
	for (size_t i = 0; i < x.list.count; i++)
		assert_true(services_same(&x.list.items[i], &y.list.items[i]));
	services_state_done(&x);
	services_state_done(&y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_becomes_a_front_and_endpoints),
		cmocka_unit_test(without_ready_endpoints_there_is_no_front),
		cmocka_unit_test(the_first_to_claim_a_front_has_it),
		cmocka_unit_test(what_is_wrong_is_named_and_the_rest_stays),
		cmocka_unit_test(order_and_repetition_change_nothing),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
