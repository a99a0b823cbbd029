#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/json.h"
#include "image/auth.h"

static void challenges_are_read(void **state)
{
	(void)state;
	struct auth_challenge c;
	assert_int_equal(auth_parse_challenge("Bearer realm=\"https://a.example/token\","
					      "service=\"reg \\\"x\\\"\", scope=repository:a:pull",
				 &c, NULL),
		0);
	assert_true(c.bearer);
	assert_string_equal(c.realm, "https://a.example/token");
	assert_string_equal(c.service, "reg \"x\"");
	assert_string_equal(c.scope, "repository:a:pull");
	assert_int_equal(auth_parse_challenge("basic realm=\"x\"", &c, NULL), 0);
	assert_false(c.bearer);
	assert_int_equal(auth_parse_challenge("Digest realm=\"x\"", &c, NULL), -ERR_PROTOCOL);
	assert_int_equal(auth_parse_challenge("Bearer service=\"x\"", &c, NULL), -ERR_PROTOCOL);
	assert_int_equal(auth_parse_challenge("Bearer realm=\"x", &c, NULL), -ERR_PROTOCOL);
	assert_int_equal(auth_parse_challenge("", &c, NULL), -ERR_PROTOCOL);
}

static void check_user(const char *config, const char *host, const char *repository,
	const char *user, const char *password)
{
	json_t *json = json_loads(config, 0, NULL);
	assert_non_null(json);
	struct auth_credentials c = {0};
	bool found = auth_find(json, host, repository, &c);
	assert_int_equal(found, user != NULL);
	if (user) {
		assert_string_equal(c.user, user);
		assert_string_equal(c.password, password);
	}
	json_decref(json);
}

static void credentials_are_found_by_host_and_path(void **state)
{
	(void)state;
	/* dTpwOng= is u:p:x */
	const char *config = "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"dTpwOng=\"},"
			     "\"r:5000\":{\"username\":\"a\",\"password\":\"b\"},"
			     "\"r:5000/team\":{\"username\":\"t\",\"password\":\"c\"},"
			     "\"bad\":{\"auth\":\"!!\"},\"empty\":{}}}";
	check_user(config, "docker.io", "library/x", "u", "p:x");
	check_user(config, "r:5000", "x", "a", "b");
	check_user(config, "r:5000", "team/x", "t", "c");
	check_user(config, "r:5000", "teams/x", "a", "b");
	check_user(config, "r", "x", NULL, NULL);
	check_user(config, "r:50001", "x", NULL, NULL);
	check_user(config, "bad", "x", NULL, NULL);
	check_user(config, "empty", "x", NULL, NULL);
	check_user("{\"r\":{\"username\":\"a\",\"password\":\"b\"}}", "r", "x", "a", "b");
	check_user("[]", "r", "x", NULL, NULL);
}

static void basic_headers_are_made(void **state)
{
	(void)state;
	struct auth_credentials c = {.user = "u", .password = "p:x"};
	struct buf header = BUF_INIT;
	auth_basic(&c, &header);
	assert_string_equal(buf_text(&header), "Basic dTpwOng=");
	buf_done(&header);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges_are_read),
		cmocka_unit_test(credentials_are_found_by_host_and_path),
		cmocka_unit_test(basic_headers_are_made),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
