/* The key at rest, over real files and a TPM that is played: its seal is the key turned around. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/data_key.h"
#include "net/test_loop.h"

static char folder[] = "/tmp/continuo-data-key-XXXXXX";

struct world {
	struct loop *l;
	struct log log;
	char said[4096];
	enum err_code seals, unseals; /* what the TPM says; 0: it does it */
	unsigned char machine;        /* one TPM's blobs are not another's */
	bool forgets;                 /* gives other bytes back */
	int sealed;
	struct fs fs;
	struct fs_ops ops;
	int writes_left; /* then the power is lost; < 0: it is not */
};

static struct world w;

static int tpm_seal(void *context, const unsigned char key[static DATA_KEY_SIZE],
	struct buf *ret_blob, struct err *e)
{
	(void)context;
	if (w.seals)
		return err_set(e, w.seals, "the TPM does not seal");
	buf_append_char(ret_blob, (char)w.machine);
	for (int i = 0; i < DATA_KEY_SIZE; i++)
		buf_append_char(ret_blob, (char)~key[i]);
	w.sealed++;
	return 0;
}

static int tpm_unseal(void *context, const struct buf *blob,
	unsigned char ret_key[static DATA_KEY_SIZE], struct err *e)
{
	(void)context;
	if (w.unseals)
		return err_set(e, w.unseals, "the TPM does not unseal");
	if (blob->size != 1 + DATA_KEY_SIZE || (unsigned char)blob->data[0] != w.machine)
		return err_set(e, ERR_CORRUPT, "another TPM's");
	for (int i = 0; i < DATA_KEY_SIZE; i++)
		ret_key[i] = (unsigned char)~blob->data[1 + i];
	ret_key[0] = (unsigned char)(ret_key[0] + w.forgets);
	return 0;
}

static void log_kept(void *context, const char *line)
{
	(void)context;
	snprintf(w.said + strlen(w.said), sizeof(w.said) - strlen(w.said), "%s", line);
}

static int64_t log_wall(void *context)
{
	(void)context;
	return 0;
}

/* ---- files ---- */

static bool power(struct err *e)
{
	if (w.writes_left == 0)
		err_set(e, ERR_IO, "the power is lost");
	return w.writes_left < 0 || w.writes_left-- > 0;
}

static int op_write(struct fs *fs, const char *path, const void *data, size_t size, mode_t mode,
	struct err *e)
{
	(void)fs;
	return power(e) ? fs_write_atomic(fs_real(), path, data, size, mode, e) : -ERR_IO;
}

static int op_remove(struct fs *fs, const char *path, struct err *e)
{
	(void)fs;
	return power(e) ? fs_remove(fs_real(), path, e) : -ERR_IO;
}

/* Two steps: the zeros, and that the name goes. */
static int op_erase(struct fs *fs, const char *path, struct err *e)
{
	static const char zeros[DATA_KEY_SIZE];
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	(void)fs;
	if (fs_read(fs_real(), path, &b, NULL) == -ERR_NOT_FOUND)
		return 0;
	if (!power(e) || fs_write_atomic(fs_real(), path, zeros, sizeof(zeros), 0600, e) < 0)
		return -ERR_IO;
	return op_remove(fs, path, e);
}

static void path_of(const char *name, char path[static 100])
{
	snprintf(path, 100, "%s/%s", folder, name);
}

static bool on_disk(const char *name)
{
	char path[100];
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	path_of(name, path);
	return fs_read(fs_real(), path, &b, NULL) == 0;
}

static void write_file(const char *name, const void *data, size_t size)
{
	char path[100];
	path_of(name, path);
	assert_int_equal(fs_write_atomic(fs_real(), path, data, size, 0600, NULL), 0);
}

/* ---- one start ---- */

static int open_key(enum agent_key_seal seal, struct agent_data_key *ret_key, struct err *e)
{
	struct agent_data_key_config config = {.log = &w.log,
		.loop = w.l,
		.fs = &w.fs,
		.folder = folder,
		.seal = seal,
		.sealer = {tpm_seal, tpm_unseal, NULL}};
	w.said[0] = '\0';
	*e = ERR_INIT;
	return agent_data_key_open(&config, ret_key, e);
}

static struct agent_data_key opened(enum agent_key_seal seal)
{
	struct agent_data_key k;
	struct err e;
	if (open_key(seal, &k, &e) < 0)
		fail_msg("%s", e.text);
	return k;
}

static void check_same(const struct agent_data_key *a, const struct agent_data_key *b)
{
	assert_memory_equal(a->bytes, b->bytes, DATA_KEY_SIZE);
}

static void check_disk(bool plain, bool sealed)
{
	assert_int_equal(on_disk("key"), plain);
	assert_int_equal(on_disk("key.sealed"), sealed);
}

static void check_said(const char *text)
{
	if (!strstr(w.said, text))
		fail_msg("the log does not say \"%s\": %s", text, w.said);
}

/* ---- tests ---- */

static void test_sealed_from_the_first_start(void **state)
{
	(void)state;
	struct agent_data_key first = opened(AGENT_SEAL_AUTO);
	check_said("key_sealed");
	check_disk(false, true);
	struct agent_data_key again = opened(AGENT_SEAL_TPM);
	check_same(&first, &again);
	assert_string_equal(w.said, "");
	assert_int_equal(w.sealed, 1);
}

static void test_without_a_tpm_it_is_plain(void **state)
{
	(void)state;
	struct agent_data_key k;
	struct err e;
	w.seals = w.unseals = ERR_UNAVAILABLE;
	assert_int_equal(open_key(AGENT_SEAL_TPM, &k, &e), -ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "set keySeal to auto or none"));
	check_disk(false, false);
	struct agent_data_key first = opened(AGENT_SEAL_AUTO);
	assert_true(first.kept);
	check_said("key_not_sealed");
	check_said("the TPM does not seal");
	check_disk(true, false);
	struct agent_data_key none = opened(AGENT_SEAL_NONE);
	check_same(&first, &none);
	assert_string_equal(w.said, "");
	assert_true(open_key(AGENT_SEAL_TPM, &k, &e) < 0);
	check_disk(true, false);
}

static void test_a_plain_key_is_taken_over(void **state)
{
	(void)state;
	struct agent_data_key plain = opened(AGENT_SEAL_NONE);
	w.forgets = true;
	struct agent_data_key kept = opened(AGENT_SEAL_AUTO);
	check_same(&plain, &kept);
	check_said("another key back");
	check_disk(true, false);
	w.forgets = false;
	struct agent_data_key sealed = opened(AGENT_SEAL_AUTO);
	check_same(&plain, &sealed);
	check_disk(false, true);
	struct agent_data_key back = opened(AGENT_SEAL_NONE);
	check_same(&plain, &back);
	check_said("key_unsealed");
	check_disk(true, false);
}

/* Wherever the power goes, the next start has the same key, and ends up the same. */
static void test_no_crash_loses_it(void **state)
{
	(void)state;
	struct agent_data_key plain = opened(AGENT_SEAL_NONE), k;
	struct err e;
	for (int steps = 0; steps < 8; steps++) {
		w.writes_left = steps;
		(void)!open_key(AGENT_SEAL_AUTO, &k, &e);
		w.writes_left = -1;
		struct agent_data_key sealed = opened(AGENT_SEAL_AUTO);
		check_same(&plain, &sealed);
		check_disk(false, true);
		w.writes_left = steps;
		(void)!open_key(AGENT_SEAL_NONE, &k, &e);
		w.writes_left = -1;
		struct agent_data_key back = opened(AGENT_SEAL_NONE);
		check_same(&plain, &back);
		check_disk(true, false);
	}
}

static void test_erased_bytes_are_no_key(void **state)
{
	(void)state;
	static const char zeros[DATA_KEY_SIZE];
	struct agent_data_key first = opened(AGENT_SEAL_AUTO);
	write_file("key", zeros, sizeof(zeros));
	w.unseals = ERR_UNAVAILABLE;
	struct agent_data_key away = opened(AGENT_SEAL_AUTO);
	assert_false(away.kept);
	assert_memory_not_equal(away.bytes, zeros, DATA_KEY_SIZE);
	w.unseals = 0;
	struct agent_data_key again = opened(AGENT_SEAL_AUTO);
	check_same(&first, &again);
	check_disk(false, true);
}

static void test_a_tpm_that_is_away_costs_nothing(void **state)
{
	(void)state;
	struct agent_data_key first = opened(AGENT_SEAL_AUTO);
	w.seals = w.unseals = ERR_BUSY;
	struct agent_data_key away = opened(AGENT_SEAL_AUTO);
	assert_false(away.kept);
	check_said("key_not_unsealed");
	check_said("bring_the_TPM_back");
	check_disk(false, true);
	w.seals = w.unseals = 0;
	struct agent_data_key again = opened(AGENT_SEAL_AUTO);
	check_same(&first, &again);
}

static void test_a_key_is_kept_when_it_may_be(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	(void)opened(AGENT_SEAL_TPM);
	w.seals = w.unseals = ERR_UNAVAILABLE;
	struct agent_data_key strict = opened(AGENT_SEAL_TPM);
	assert_true(agent_data_key_keep(&strict, &e) < 0);
	check_disk(false, true);
	struct agent_data_key away = opened(AGENT_SEAL_AUTO);
	assert_int_equal(agent_data_key_keep(&away, &e), 0);
	check_disk(true, false);
	agent_data_key_tell(&away);
	check_said("key_not_sealed");
	struct agent_data_key again = opened(AGENT_SEAL_AUTO);
	check_same(&away, &again);
}

static void test_another_machines_key_is_replaced(void **state)
{
	(void)state;
	struct agent_data_key first = opened(AGENT_SEAL_AUTO);
	w.machine++;
	struct agent_data_key other = opened(AGENT_SEAL_TPM);
	assert_memory_not_equal(other.bytes, first.bytes, DATA_KEY_SIZE);
	assert_true(other.kept);
	check_said("key_not_unsealed");
	check_said("another TPM's");
	check_said("key_sealed");
	struct agent_data_key again = opened(AGENT_SEAL_TPM);
	check_same(&other, &again);
}

static void test_a_plain_key_of_a_wrong_size_is_replaced(void **state)
{
	(void)state;
	char large[100];
	memset(large, 'x', sizeof(large));
	const size_t sizes[] = {0, 5, 31, 33, sizeof(large)};
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		w.said[0] = '\0';
		write_file("key", large, sizes[i]);
		struct agent_data_key fresh = opened(AGENT_SEAL_NONE);
		check_said("key_damaged");
		check_disk(true, false);
		struct agent_data_key again = opened(AGENT_SEAL_NONE);
		check_same(&fresh, &again);
	}
}

static int set_up(void **state)
{
	(void)state;
	memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
	if (!mkdtemp(folder))
		return -1;
	w = (struct world){.l = test_loop_new(), .writes_left = -1};
	w.ops = *fs_real()->ops;
	w.ops.write_atomic = op_write;
	w.ops.remove = op_remove;
	w.ops.erase = op_erase;
	w.fs.ops = &w.ops;
	w.log = (struct log){
		.level = LOG_INFO, .role = "agent", .wall_ms = log_wall, .write = log_kept};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[100];
	test_loop_free(w.l);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sealed_from_the_first_start),
		TEST(test_without_a_tpm_it_is_plain),
		TEST(test_a_plain_key_is_taken_over),
		TEST(test_no_crash_loses_it),
		TEST(test_erased_bytes_are_no_key),
		TEST(test_a_tpm_that_is_away_costs_nothing),
		TEST(test_a_key_is_kept_when_it_may_be),
		TEST(test_another_machines_key_is_replaced),
		TEST(test_a_plain_key_of_a_wrong_size_is_replaced),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
