/* The agent's side of continuo-seal, which shell scripts play here. tests/scenario/tpm.sh has the
 * real one, over an emulated TPM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/attr.h"
#include "main/sealer.h"

static char folder[] = "/tmp/continuo-sealer-XXXXXX";
static char program[100];
static const unsigned char key[DATA_KEY_SIZE] = "0123456789abcdef0123456789abcde";

static struct sealer play(const char *script)
{
	FILE *f = fopen(program, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\ncd %s\n%s\n", folder, script);
	fclose(f);
	assert_int_equal(chmod(program, 0700), 0);
	return (struct sealer){.program = program, .tcti = "a:b", .wait_ms = -1};
}

static int unseal(struct sealer *s, unsigned char ret_key[static DATA_KEY_SIZE], struct err *e)
{
	CLEANUP(buf_done) struct buf blob = BUF_INIT;
	buf_append_string(&blob, "blob");
	*e = ERR_INIT;
	struct agent_sealer sealer = sealer_of(s);
	return sealer.unseal(sealer.context, &blob, ret_key, e);
}

static void test_key_and_blob_pass(void **state)
{
	(void)state;
	struct sealer s = play("[ \"$*\" = 'seal --tcti a:b' ] || exit 1; printf 'made of '; cat");
	struct agent_sealer sealer = sealer_of(&s);
	CLEANUP(buf_done) struct buf blob = BUF_INIT;
	struct err e = ERR_INIT;
	if (sealer.seal(sealer.context, key, &blob, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(blob.size, 8 + DATA_KEY_SIZE);
	assert_memory_equal(blob.data + 8, key, DATA_KEY_SIZE);
	unsigned char back[DATA_KEY_SIZE];
	s = play("[ \"$*\" = 'unseal --tcti a:b' ] && [ \"$(cat)\" = blob ] || exit 1\n"
		 "printf '0123456789abcdef0123456789abcde\\000'");
	assert_int_equal(unseal(&s, back, &e), 0);
	assert_memory_equal(back, key, DATA_KEY_SIZE);
}

static void check_fails(const char *script, enum err_code code, const char *sentence)
{
	unsigned char back[DATA_KEY_SIZE];
	struct err e;
	struct sealer s = play(script);
	s.deadline_ms = 300;
	assert_int_equal(unseal(&s, back, &e), -(int)code);
	if (!strstr(e.text, sentence))
		fail_msg("\"%s\" does not say \"%s\"", e.text, sentence);
}

static void test_failures_are_told_apart(void **state)
{
	(void)state;
	check_fails("echo 'no TPM here' >&2; exit 3", ERR_UNAVAILABLE, "no TPM here");
	check_fails("echo 'it is busy' >&2; exit 4", ERR_BUSY, "it is busy");
	check_fails("echo 'not mine' >&2; exit 5", ERR_CORRUPT, "not mine");
	check_fails("exit 1", ERR_IO, "said nothing");
	check_fails("kill -SEGV $$", ERR_INTERNAL, "signal 11");
	check_fails("printf short", ERR_CORRUPT, "5 bytes");
	check_fails("head -c 100 /dev/zero", ERR_TOO_LARGE, "continuo-seal");
	check_fails("exec sleep 30", ERR_UNAVAILABLE, "in time");
}

static void test_a_missing_program_is_told(void **state)
{
	(void)state;
	unsigned char back[DATA_KEY_SIZE];
	struct err e;
	struct sealer s = {.program = "/nowhere/continuo-seal", .tcti = "a:b"};
	assert_int_equal(unseal(&s, back, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "/nowhere/continuo-seal is not installed"));
}

/* Drivers may be loaded later than the agent is started. */
static void test_a_late_tpm_is_waited_for(void **state)
{
	(void)state;
	unsigned char back[DATA_KEY_SIZE];
	struct err e;
	struct sealer s = play("[ -e there ] || { >there; echo none >&2; exit 3; }\n"
			       "printf '0123456789abcdef0123456789abcde\\000'");
	s.wait_ms = 10000;
	assert_int_equal(unseal(&s, back, &e), 0);
	assert_memory_equal(back, key, DATA_KEY_SIZE);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(program, sizeof(program), "%s/seal", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_and_blob_pass),
		cmocka_unit_test(test_failures_are_told_apart),
		cmocka_unit_test(test_a_missing_program_is_told),
		cmocka_unit_test(test_a_late_tpm_is_waited_for),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
