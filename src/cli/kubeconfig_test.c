#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/kubeconfig.h"

static const char two_clusters[] =
	"apiVersion: v1\n"
	"kind: Config\n"
	"current-context: home\n"
	"clusters:\n"
	"- name: one\n"
	"  cluster: {server: 'https://192.0.2.1:6443', certificate-authority-data: Q0E=}\n"
	"- name: two\n"
	"  cluster: {server: 'https://two.example', tls-server-name: continuo}\n"
	"users:\n"
	"- name: admin\n"
	"  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}\n"
	"- name: robot\n"
	"  user: {token: secret}\n"
	"contexts:\n"
	"- name: home\n"
	"  context: {cluster: one, user: admin, namespace: shop}\n"
	"- name: away\n"
	"  context: {cluster: two, user: robot}\n";

static int parse(const char *text, const char *context, struct kubeconfig *k, struct err *e)
{
	return kubeconfig_parse(text, strlen(text), "/nowhere", context, k, e);
}

static void contexts_are_resolved(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	CLEANUP(kubeconfig_done) struct kubeconfig k = {0};
	CLEANUP(kubeconfig_done) struct kubeconfig away = {0};
	assert_int_equal(parse(two_clusters, NULL, &k, &e), 0);
	assert_string_equal(k.context, "home");
	assert_string_equal(k.server, "https://192.0.2.1:6443");
	assert_string_equal(k.namespace, "shop");
	assert_string_equal(k.ca_pem, "CA");
	assert_string_equal(k.certificate_pem, "CERT");
	assert_string_equal(k.key_pem, "KEY");
	assert_int_equal(parse(two_clusters, "away", &away, &e), 0);
	assert_string_equal(away.server_name, "continuo");
	assert_string_equal(away.token, "secret");
	assert_null(away.ca_pem);
	assert_null(away.namespace);
}

static void mistakes_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *text, *context;
		int code;
		const char *says;
	} rows[] = {
		{two_clusters, "nope", -ERR_NOT_FOUND, "no context \"nope\""},
		{"a: [", NULL, -ERR_DECODE, "line 2"},
		{"[]", NULL, -ERR_DECODE, "not a kubeconfig"},
		{"{}", NULL, -ERR_NOT_FOUND, "current-context"},
		{"{contexts: [{name: a, context: {cluster: b}}]}", "a", -ERR_NOT_FOUND,
			"no cluster \"b\""},
		{"{contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b, cluster: "
		 "{}}]}",
			"a", -ERR_DECODE, "no server"},
		{"{contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b, cluster: "
		 "{server: s, certificate-authority-data: '!!'}}]}",
			"a", -ERR_DECODE, "certificate-authority-data"},
		{"{contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b, cluster: "
		 "{server: s, insecure-skip-tls-verify: true}}]}",
			"a", -ERR_UNSUPPORTED, "insecure-skip-tls-verify"},
		{"{contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b, cluster: "
		 "{server: s, certificate-authority: ca.pem}}]}",
			"a", -ERR_NOT_FOUND, "/nowhere/ca.pem"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = ERR_INIT;
		CLEANUP(kubeconfig_done) struct kubeconfig k = {0};
		assert_int_equal(parse(rows[i].text, rows[i].context, &k, &e), rows[i].code);
		if (!strstr(e.text, rows[i].says))
			fail_msg("said: %s", e.text);
	}
}

static void write_file(const char *folder, const char *name, const char *text)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* Several files count as one, the first that has an entry decides, paths are relative to the file.
 */
static void files_are_merged(void **state)
{
	(void)state;
	char folder[] = "/tmp/kubeconfig-test.XXXXXX";
	assert_non_null(mkdtemp(folder));
	write_file(folder, "a",
		"contexts: [{name: x, context: {cluster: c, user: u}}]\n"
		"users: [{name: u, user: {token: first}}]\n");
	write_file(folder, "b",
		"current-context: x\n"
		"clusters: [{name: c, cluster: {server: 'https://h:1', certificate-authority: "
		"ca.pem}}]\n"
		"users: [{name: u, user: {token: second}}]\n");
	write_file(folder, "ca.pem", "PEM");
	CLEANUP(mem_free_ptr)
	char *list = mem_format("%s/a::%s/missing:%s/b", folder, folder, folder);
	setenv("KUBECONFIG", list, 1);
	struct err e = ERR_INIT;
	CLEANUP(kubeconfig_done) struct kubeconfig k = {0};
	struct cli_common common = {0};
	assert_int_equal(kubeconfig_load(&common, &k, &e), 0);
	assert_string_equal(k.token, "first");
	assert_string_equal(k.ca_pem, "PEM");
	setenv("KUBECONFIG", "/nowhere/at/all", 1);
	assert_int_equal(kubeconfig_load(&common, &k, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, "/nowhere/at/all, which $KUBECONFIG names"));
	common.kubeconfig = "/nowhere/at/all";
	assert_int_equal(kubeconfig_load(&common, &k, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, "/nowhere/at/all"));
	CLEANUP(mem_free_ptr) char *command = mem_format("rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

static void urls_are_taken_apart(void **state)
{
	(void)state;
	static const struct {
		const char *url, *address, *host;
	} rows[] = {
		{"https://a.example", "a.example:443", "a.example"},
		{"https://192.0.2.1:6443/", "192.0.2.1:6443", "192.0.2.1"},
		{"https://[2001:db8::1]:6443", "[2001:db8::1]:6443", "2001:db8::1"},
		{"https://[2001:db8::1]", "[2001:db8::1]:443", "2001:db8::1"},
		{"http://localhost:8001", "localhost:8001", "localhost"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(kubeconfig_url_done) struct kubeconfig_url url = {0};
		assert_int_equal(kubeconfig_parse_url(rows[i].url, &url, NULL), 0);
		assert_string_equal(url.address, rows[i].address);
		assert_string_equal(url.host, rows[i].host);
	}
	static const char *const bad[] = {"", "a.example", "ftp://a", "https://", "https://a/path",
		"https://[::1", "https://[::1]x"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(kubeconfig_url_done) struct kubeconfig_url url = {0};
		assert_int_equal(kubeconfig_parse_url(bad[i], &url, NULL), -ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_are_resolved),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(files_are_merged),
		cmocka_unit_test(urls_are_taken_apart),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
