#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/config.h"
#include "sys/files_test.h"

static int parse(const char *file, const char *const *words, struct agent_options *ret_options,
	struct err *e)
{
	const struct test_file files[] = {
		{"/a.yaml", file ? file : ""}, {"/token", "continuo1.t\n"}, {NULL, NULL}};
	struct test_files t = {{&test_files_ops}, files};
	char *argv[20] = {(char *)"continuo-agent"};
	int argc = 1;
	if (file) {
		argv[argc++] = (char *)"--config";
		argv[argc++] = (char *)"/a.yaml";
	}
	for (; *words; words++)
		argv[argc++] = (char *)*words;
	*e = ERR_INIT;
	return agent_options_parse(&t.fs, argc, argv, ret_options, e);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_file_and_flags(void **state)
{
	(void)state;
	struct agent_options o;
	struct err e;
	int r = parse("node: n1\nservers: [a:1, b:2]\ntier: iot\nlabels: {x: 'y', m: 3}\nzone: s\n"
		      "devices:\n- {name: cam, path: /dev/c, count: 2}\nreservedMemory: 16Mi\n"
		      "maxPods: 20\nspoolBytes: 1Mi\ntokenFile: /token\nkeySeal: tpm\n",
		WORDS("--node=n2", "--label", "z=1", "--device", "gpu=/dev/g:/dev/gpu0:r"), &o, &e);
	if (r < 0)
		fail_msg("%s", e.text);
	assert_string_equal(o.agent.node_name, "n2");
	assert_string_equal(o.agent.servers[1], "b:2");
	assert_null(o.agent.servers[2]);
	assert_string_equal(o.agent.labels[0], "x=y");
	assert_string_equal(o.agent.labels[1], "m=3");
	assert_string_equal(o.agent.labels[2], "z=1");
	assert_string_equal(o.agent.labels[3], "topology.kubernetes.io/zone=s");
	assert_int_equal(o.agent.device_count, 1); /* a flag replaces the list of the file */
	assert_string_equal(o.agent.devices[0].container_path, "/dev/gpu0");
	assert_string_equal(o.agent.devices[0].permissions, "r");
	assert_int_equal(o.agent.reserved_memory_bytes, 16 << 20);
	assert_int_equal(o.agent.max_pods, 20);
	assert_int_equal(o.agent.spool_bytes, 1 << 20);
	assert_string_equal(o.agent.token, "continuo1.t");
	assert_string_equal(o.listen, AGENT_LISTEN);
	assert_int_equal(o.agent.key_seal, AGENT_SEAL_TPM);
	assert_null(o.key_seal_tcti);
	assert_string_equal(o.driver, "oci");
	assert_string_equal(o.docker_socket, "/var/run/docker.sock");
	agent_options_done(&o);
}

static void test_devices_by_match(void **state)
{
	(void)state;
	struct agent_options o;
	struct err e;
	int r = parse(
		"servers: [a:1]\ndevices:\n- name: cam\n  match:\n    subsystem: video4linux\n"
		"    attr: {idVendor: \"0825\", idProduct: 046d}\n",
		WORDS(NULL), &o, &e);
	if (r < 0)
		fail_msg("%s", e.text);
	assert_string_equal(o.agent.devices[0].match->subsystem, "video4linux");
	assert_string_equal(o.agent.devices[0].match->attrs[0].pattern, "0825");
	assert_string_equal(o.agent.devices[0].match->attrs[1].pattern, "046d");
	agent_options_done(&o);
}

static void check_refused(const char *file, const char *const *words, const char *sentence)
{
	struct agent_options o;
	struct err e;
	assert_true(parse(file, words, &o, &e) < 0);
	if (!strstr(e.text, sentence))
		fail_msg("\"%s\" does not say \"%s\"", e.text, sentence);
}

static void test_errors_are_clear(void **state)
{
	(void)state;
	check_refused(NULL, WORDS("--nonsense"), "unknown flag --nonsense");
	check_refused(NULL, WORDS("--node"), "--node needs a value");
	check_refused(NULL, WORDS("--node", "x"), "no server given");
	check_refused(NULL, WORDS("--server", "x"), "want HOST:PORT");
	check_refused(NULL, WORDS("--server", "x:1", "--tier", "fog"), "want cloud, edge or iot");
	check_refused(NULL, WORDS("--server", "x:1", "--driver", "podman"),
		"want oci, docker or fake");
	check_refused("servers: [a:1]\ndriver: docker\ndockerSocket: here\n", WORDS(NULL),
		"dockerSocket \"here\": want an absolute path");
	check_refused(NULL, WORDS("--server", "x:1", "--device", "cam"), "NAME=PATH");
	check_refused(NULL, WORDS("--server", "x:1", "--label", "cam"), "KEY=VALUE");
	check_refused(NULL, WORDS("--server", "x:1", "--key-seal", "yes"), "auto, tpm or none");
	check_refused(NULL, WORDS("--server", "x:1", "--key-seal-tcti="), "keySealTcti is empty");
	check_refused(NULL, WORDS("--server", "x:1", "--max-pods", "0"), "1 to 10000");
	check_refused(NULL, WORDS("--server", "x:1", "--state-folder", "here"), "absolute");
	check_refused("servers: [a:1]\nnod: x\n", WORDS(NULL), "unknown key \"nod\"");
	check_refused("servers: {a: 1}\n", WORDS(NULL), "/a.yaml: servers must be a list");
	check_refused("servers: [a:1]\ndevices: [{name: x}]\n", WORDS(NULL), "devices[0]");
	check_refused("servers: [a:1]\ndevices: [{name: x, match: {attr: {idVendor: 8}}}]\n",
		WORDS(NULL), "devices[0] (x).match.attr.idVendor: want a text; put it in quotes");
	check_refused("a: [", WORDS(NULL), "line");
}

static void test_help_names_every_flag(void **state)
{
	(void)state;
	struct agent_options o;
	struct err e;
	struct buf b = BUF_INIT;
	assert_int_equal(parse(NULL, WORDS("--help"), &o, &e), 0);
	assert_true(o.help);
	agent_options_help(&b);
	assert_non_null(strstr(buf_text(&b), "--registries FILE"));
	assert_non_null(strstr(buf_text(&b), AGENT_LISTEN));
	buf_done(&b);
	agent_options_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_and_flags),
		cmocka_unit_test(test_devices_by_match),
		cmocka_unit_test(test_errors_are_clear),
		cmocka_unit_test(test_help_names_every_flag),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
