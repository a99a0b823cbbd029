#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/outgoing.h"
#include "base/buf.h"
#include "base/str.h"

#define ENVIRONMENT(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What comes out, in one text: "PROXY|entry entry ...". */
static void check(const struct agent_options *options, const char *const *environment,
	const char *expected)
{
	struct agent_outgoing o CLEANUP(agent_outgoing_done) = {0};
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	if (agent_outgoing_init(&o, options, environment, &e) < 0)
		fail_msg("%s", e.text);
	buf_printf(&b, "%s|", o.proxy ? proxy_address(o.proxy) : "-");
	for (const char *const *entry = o.environment; *entry; entry++)
		buf_printf(&b, "%s ", *entry);
	assert_string_equal(buf_text(&b), expected);
}

static void test_environment(void **state)
{
	const struct agent_options unset = {0};
	(void)state;
	check(&unset, ENVIRONMENT("A=b"), "-|A=b ");
	check(&unset, ENVIRONMENT("HTTPS_PROXY=http://p:1", "A=b", "NO_PROXY=x"),
		"p:1|A=b https_proxy=http://p:1 no_proxy=x ");
	check(&unset, ENVIRONMENT("HTTPS_PROXY=http://p:1", "https_proxy=http://q:2"),
		"q:2|https_proxy=http://q:2 ");
	check(&unset, ENVIRONMENT("HTTPS_PROXY=", "HTTP_PROXY=http://p:1", "ALL_PROXY=x"), "-|");
	check(&unset, ENVIRONMENT("http_proxy=http://p:1"), "-|http_proxy=http://p:1 ");
}

static void test_configuration(void **state)
{
	const struct agent_options set = {.proxy = "http://c:3", .no_proxy = "y"};
	const struct agent_options proxy = {.proxy = "http://c:3"};
	const struct agent_options none = {.proxy = "none"};
	(void)state;
	check(&set, ENVIRONMENT("HTTPS_PROXY=http://p:1", "NO_PROXY=x", "A=b"),
		"c:3|A=b https_proxy=http://c:3 http_proxy=http://c:3 no_proxy=y ");
	check(&proxy, ENVIRONMENT("NO_PROXY=x"),
		"c:3|https_proxy=http://c:3 http_proxy=http://c:3 no_proxy=x ");
	check(&none, ENVIRONMENT("HTTPS_PROXY=http://p:1", "A=b"), "-|A=b ");
}

static void test_mistakes(void **state)
{
	const struct agent_options unset = {0}, set = {.proxy = "https://p:1"};
	struct agent_outgoing o;
	struct err e = ERR_INIT;
	(void)state;
	assert_int_equal(agent_outgoing_init(&o, &unset, ENVIRONMENT("HTTPS_PROXY=http://p"), &e),
		-ERR_INVALID);
	assert_non_null(strstr(e.text, "HTTPS_PROXY of the environment"));
	agent_outgoing_done(&o);
	assert_int_equal(agent_outgoing_init(&o, &set, ENVIRONMENT("A=b"), &e), -ERR_UNSUPPORTED);
	agent_outgoing_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_mistakes),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("agent-outgoing", tests, NULL, NULL);
}
