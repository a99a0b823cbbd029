#include "store/conformance.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"
#include "store/core.h"
#include "store/row.h"
#include "sys/loop_uv.h"

/* ---- a seal that turns bytes around and notices a foreign key ---- */

static int seal(void *context, const char *key, const void *data, size_t size, struct buf *out,
	struct err *e)
{
	(void)context, (void)e;
	buf_append_string(out, key);
	buf_append_char(out, '\n');
	for (size_t i = 0; i < size; i++)
		buf_append_char(out, (char)~((const char *)data)[i]);
	return 0;
}

static int unseal(void *context, const char *key, const void *data, size_t size, struct buf *out,
	struct err *e)
{
	(void)context;
	size_t skip = strlen(key) + 1;
	if (size < skip || memcmp(data, key, skip - 1) != 0)
		return err_set(e, ERR_CORRUPT, "sealed for another key");
	for (size_t i = skip; i < size; i++)
		buf_append_char(out, (char)~((const char *)data)[i]);
	return 0;
}

static const struct store_seal test_seal = {seal, unseal, NULL};

/* ---- a VFS whose disk is full when told so: SQLite's own with another write ---- */

static bool disk_full, disk_broken;
static sqlite3_vfs full_vfs, *real_vfs;

/* SQLite's files have several tables of methods (with and without locks): one of ours for each. */
static struct methods {
	const sqlite3_io_methods *real;
	sqlite3_io_methods own;
} methods[8];

static const sqlite3_io_methods *real_of(const sqlite3_file *file)
{
	return CONTAINER_OF(file->pMethods, struct methods, own)->real;
}

static int full_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
	if (disk_full)
		return SQLITE_FULL;
	return disk_broken ? SQLITE_IOERR_WRITE : real_of(file)->xWrite(file, data, size, offset);
}

static int full_sync(sqlite3_file *file, int flags)
{
	int r = real_of(file)->xSync(file, flags);
	return disk_broken ? SQLITE_IOERR_FSYNC : r;
}

static const sqlite3_io_methods *own_methods(const sqlite3_io_methods *real)
{
	struct methods *m = methods;
	while (m->real && m->real != real)
		m++;
	assert_true(m < methods + ARRAY_SIZE(methods));
	m->real = real;
	m->own = *real;
	m->own.xWrite = full_write;
	m->own.xSync = full_sync;
	return &m->own;
}

static int full_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	(void)vfs;
	int r = real_vfs->xOpen(real_vfs, name, file, flags, out);
	if (r == SQLITE_OK && file->pMethods)
		file->pMethods = own_methods(file->pMethods);
	return r;
}

/* ---- the backend ---- */

static char folder[64];
static int folder_count;

static bool run(struct loop *l, bool (*condition)(void *arg), void *arg)
{
	return loop_uv_run_until(l, condition, arg, 60000);
}

static struct store *open_sqlite(const struct store_conformance *c)
{
	struct store *s;
	struct err e = ERR_INIT;
	if (store_sqlite_open(c->loop, c->kinds, folder, "test-full", &test_seal, &s, &e) == 0)
		return s;
	print_message("# %s\n", e.text);
	return NULL;
}

static enum err_code open_error(struct store_world *w, struct err *e)
{
	struct store *s;
	int r = store_sqlite_open(w->backend->loop, w->backend->kinds, folder, "test-full",
		&test_seal, &s, e);
	if (r == 0)
		store_free(s);
	return (enum err_code) - r;
}

static void remove_folder(void)
{
	static const char *const names[] = {"store.db", "store.db-wal", "store.db-journal"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

/* Each test has a folder of its own: a store that was freed under way closes a little later. */
static void erase(const struct store_conformance *c)
{
	(void)c;
	if (folder_count++)
		remove_folder();
	disk_full = disk_broken = false;
	snprintf(folder, sizeof(folder), "/tmp/store-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
}

static int setup(void **state)
{
	static struct store_conformance backend = {
		.run = run, .open = open_sqlite, .erase = erase, .persistent = true};
	real_vfs = sqlite3_vfs_find(NULL);
	full_vfs = *real_vfs;
	full_vfs.zName = "test-full";
	full_vfs.xOpen = full_open;
	full_vfs.pNext = NULL;
	sqlite3_vfs_register(&full_vfs, 0);
	backend.loop = loop_uv_new(1);
	backend.kinds = kind_registry_new();
	store_conformance_backend = &backend;
	*state = &backend;
	return 0;
}

static int teardown(void **state)
{
	struct store_conformance *backend = *state;
	kind_registry_free(backend->kinds);
	loop_uv_free(backend->loop);
	remove_folder();
	return 0;
}

/* ---- tests of this backend ---- */

static void in_file(char ret_path[static 128], const char *name)
{
	snprintf(ret_path, 128, "%s/%s", folder, name);
}

static bool file_contains(const char *name, const char *text)
{
	char path[128];
	in_file(path, name);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	size_t size = strlen(text), matched = 0;
	for (int c; matched < size && (c = getc(f)) != EOF;)
		matched = c == text[matched] ? matched + 1 : c == text[0];
	fclose(f);
	return matched == size;
}

static void test_sealed_at_rest(void **state)
{
	struct store_world *w = *state;
	char key[OBJECT_KEY_MAX];
	assert_int_equal(object_key_of(&kind_secret, "ns", "a", key, NULL), 0);
	struct store_op op = {key, store_sample(&kind_secret, "ns", "a", "aHVudGVyMg==")};
	assert_int_equal(store_do(w, NULL, 0, &op, 1, NULL), ERR_OK);
	store_put(w, "plain", "visible-text");
	assert_true(file_contains("store.db-wal", "visible-text"));
	assert_false(file_contains("store.db-wal", "aHVudGVyMg=="));
	store_world_reopen(w);
	assert_false(file_contains("store.db", "aHVudGVyMg=="));
	CLEANUP(object_done)
	struct object *o = store_get(w->store, key);
	assert_true(store_sample_is(o, "aHVudGVyMg=="));
}

static void test_refuses_secrets_without_a_key(void **state)
{
	struct store_world *w = *state;
	store_free(w->store);
	assert_int_equal(store_sqlite_open(w->backend->loop, w->backend->kinds, folder, NULL, NULL,
				 &w->store, NULL),
		0);
	char key[OBJECT_KEY_MAX];
	assert_int_equal(object_key_of(&kind_secret, "ns", "a", key, NULL), 0);
	struct store_op op = {key, store_sample(&kind_secret, "ns", "a", "aHVudGVyMg==")};
	assert_int_equal(store_do(w, NULL, 0, &op, 1, NULL), ERR_UNSUPPORTED);
	store_put(w, "a", "fine");
}

static void test_one_server_per_folder(void **state)
{
	struct err e = ERR_INIT;
	assert_int_equal(open_error(*state, &e), ERR_BUSY);
	assert_non_null(strstr(e.text, "another server"));
}

static void edit(const char *sql)
{
	char path[128];
	in_file(path, "store.db");
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static void check_refused(struct store_world *w, const char *sql, enum err_code code,
	const char *sentence, const char *undo)
{
	struct err e = ERR_INIT;
	edit(sql);
	assert_int_equal(open_error(w, &e), code);
	if (!strstr(e.text, sentence))
		fail_msg("\"%s\" does not say \"%s\"", e.text, sentence);
	edit(undo);
}

static void test_refuses_what_it_does_not_know(void **state)
{
	struct store_world *w = *state;
	store_put(w, "a", "1");
	store_free(w->store);
	check_refused(w, "PRAGMA user_version = 2", ERR_UNSUPPORTED, "newer version",
		"PRAGMA user_version = 1");
	check_refused(w, "PRAGMA application_id = 7", ERR_CORRUPT, "not one of continuo",
		"PRAGMA application_id = 1131312239");
	check_refused(w, "UPDATE rows SET key = 'core/oddities/ns/a'", ERR_CORRUPT, "checksum",
		"UPDATE rows SET key = 'core/configmaps/ns/a'");
	check_refused(w, "UPDATE rows SET id = id + 1", ERR_CORRUPT, "checksum",
		"UPDATE rows SET id = id - 1");
	check_refused(w,
		"UPDATE rows SET data = CAST(replace(CAST(data AS TEXT), 'x', 'x') AS BLOB)"
		" || x'00'",
		ERR_CORRUPT, "checksum", "SELECT 1");
	w->store = NULL;
}

static void test_finds_a_flipped_bit(void **state)
{
	struct store_world *w = *state;
	store_put(w, "a", "some-text-to-damage");
	store_free(take_ptr(w->store));
	char path[128], page[4096];
	in_file(path, "store.db");
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	bool damaged = false;
	for (off_t at = 0; pread(fd, page, sizeof(page), at) == sizeof(page); at += 4096) {
		char *found = memmem(page, sizeof(page), "text-to", 7);
		if (!found)
			continue;
		*found ^= 1;
		assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
		damaged = true;
	}
	close(fd);
	assert_true(damaged);
	struct err e = ERR_INIT;
	assert_int_equal(open_error(w, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.text, "core/configmaps/ns/a"));
}

static void check_failing_disk(struct store_world *w, bool *fault, enum err_code code)
{
	int64_t before = store_put(w, "a", "before");
	*fault = true;
	for (int i = 0; i < 3; i++) {
		char key[OBJECT_KEY_MAX];
		assert_int_equal(object_key_of(&kind_configmap, "ns", "a", key, NULL), 0);
		struct store_op op = {key, store_sample(&kind_configmap, "ns", "a", "lost")};
		assert_int_equal(store_do(w, NULL, 0, &op, 1, NULL), code);
		assert_int_equal(store_revision(w->store), before);
		CLEANUP(object_done)
		struct object *o = store_get(w->store, key);
		assert_true(store_sample_is(o, "before"));
	}
	*fault = false;
	assert_true(store_put(w, "b", "after") > before);
	store_world_reopen(w);
	struct store_list l;
	assert_int_equal(store_list(w->store, "", NULL, 0, 0, &l, NULL), 0);
	assert_int_equal(l.count, 2);
	assert_true(store_sample_is(l.objects[0], "before"));
	assert_true(store_sample_is(l.objects[1], "after"));
	store_list_done(&l);
}

static void test_full_disk(void **state)
{
	check_failing_disk(*state, &disk_full, ERR_NO_SPACE);
}

static void test_broken_disk(void **state)
{
	check_failing_disk(*state, &disk_broken, ERR_IO);
}

/* What was trimmed leaves the file, and the state and the history stay. */
static void test_forgets_old_rows(void **state)
{
	struct store_world *w = *state;
	int64_t last = 0;
	for (int i = 0; i < 700; i++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", i);
		last = store_put(w, i % 2 ? "a" : "b", i == 600 ? NULL : text);
	}
	store_compact(w->store, last - 10);
	store_put(w, "c", "1");
	store_world_reopen(w);
	assert_int_equal(store_compacted(w->store), last - 10);
	struct store_list l;
	assert_int_equal(store_list(w->store, "", NULL, 0, last - 10, &l, NULL), 0);
	assert_int_equal(l.count, 2);
	assert_true(store_sample_is(l.objects[0], "689"));
	assert_true(store_sample_is(l.objects[1], "688"));
	store_list_done(&l);
	store_free(take_ptr(w->store));
	edit("CREATE TEMP TABLE t(n CHECK(n < 20)); INSERT INTO t SELECT count(*) FROM rows");
}

/* ---- kill -9 under load ---- */

/*
 * The child commits to CRASH_KEYS keys, the value of each counting up, many commits at a time, and
 * writes a record into the pipe for each acknowledgement. Whatever came out of the pipe before it
 * was killed must be there when the folder is opened again.
 */
#define CRASH_KEYS 16
struct record {
	int key;
	int value;
	int64_t revision;
};

struct crash_writer {
	struct store *store;
	int next[CRASH_KEYS];
	struct crash_commit {
		struct crash_writer *writer;
		int key, value;
	} commits[CRASH_KEYS];
};

static void crash_next(struct crash_commit *c);

static void crash_acknowledged(void *arg, const struct store_result *result)
{
	struct crash_commit *c = arg;
	if (result->err)
		_exit(3);
	struct record record = {c->key, c->value, result->revision};
	if (write(STDOUT_FILENO, &record, sizeof(record)) != sizeof(record))
		_exit(4);
	crash_next(c);
}

static void crash_next(struct crash_commit *c)
{
	c->value = c->writer->next[c->key]++;
	char name[16], key[OBJECT_KEY_MAX], text[2000];
	snprintf(name, sizeof(name), "k%02d", c->key);
	/* Sizes differ, so that transactions end anywhere in a page. */
	int size = snprintf(text, sizeof(text), "%d-", c->value);
	memset(text + size, 'x', (size_t)(c->value * 37 % 1900));
	text[size + c->value * 37 % 1900] = '\0';
	if (object_key_of(&kind_configmap, "ns", name, key, NULL) < 0)
		_exit(5);
	struct store_op op = {key, store_sample(&kind_configmap, "ns", name, text)};
	store_commit(c->writer->store, NULL, 0, &op, 1, crash_acknowledged, c);
}

static int crash_value(const struct object *o)
{
	if (!o)
		return -1;
	json_t *tree = object_tree(o);
	int value = atoi(json_text(tree, "", "data", "v"));
	json_decref(tree);
	return value;
}

static int crash_child(const char *in)
{
	struct loop *l = loop_uv_new(1);
	struct crash_writer w = {0};
	struct err e = ERR_INIT;
	if (store_sqlite_open(l, kind_registry_new(), in, NULL, NULL, &w.store, &e) < 0) {
		fprintf(stderr, "# %s\n", e.text);
		return 2;
	}
	for (int i = 0; i < CRASH_KEYS; i++) {
		char name[16], key[OBJECT_KEY_MAX];
		snprintf(name, sizeof(name), "k%02d", i);
		if (object_key_of(&kind_configmap, "ns", name, key, NULL) < 0)
			return 5;
		struct object *o = store_get(w.store, key);
		w.next[i] = crash_value(o) + 1;
		object_unref(o);
		w.commits[i] = (struct crash_commit){.writer = &w, .key = i};
		crash_next(&w.commits[i]);
	}
	loop_uv_run(l);
	return 0;
}

static pid_t crash_spawn(int *ret_pipe)
{
	extern char **environ;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	char *argv[] = {(char *)"test-store-sqlite", (char *)"child", folder, NULL};
	pid_t pid;
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	*ret_pipe = ends[0];
	return pid;
}

/* Reads records until `wanted` came, kills, and reads the rest of what was written before. */
static void crash_round(int *last, int64_t *last_revision, int wanted)
{
	int in;
	pid_t pid = crash_spawn(&in);
	struct record record;
	int count = 0;
	while (read(in, &record, sizeof(record)) == (ssize_t)sizeof(record)) {
		assert_true(record.key >= 0 && record.key < CRASH_KEYS);
		last[record.key] = record.value;
		assert_true(record.revision >= *last_revision);
		*last_revision = record.revision;
		if (++count == wanted)
			kill(pid, SIGKILL);
	}
	close(in);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_true(count >= wanted);
}

static void test_killed_under_load(void **state)
{
	struct store_world *w = *state;
	int last[CRASH_KEYS];
	int64_t revision = 0;
	memset(last, -1, sizeof(last));
	struct rand r;
	rand_init(&r, (uint64_t)getpid());
	store_free(take_ptr(w->store));
	for (int round = 0; round < 20; round++) {
		crash_round(last, &revision, (int)rand_between(&r, 1, 400));
		w->store = open_sqlite(w->backend);
		assert_non_null(w->store);
		assert_true(store_revision(w->store) >= revision);
		for (int i = 0; i < CRASH_KEYS; i++) {
			char name[16], key[OBJECT_KEY_MAX];
			snprintf(name, sizeof(name), "k%02d", i);
			assert_int_equal(object_key_of(&kind_configmap, "ns", name, key, NULL), 0);
			CLEANUP(object_done)
			struct object *o = store_get(w->store, key);
			int found = crash_value(o);
			if (found < last[i] || found > last[i] + 1)
				fail_msg("round %d: %s holds %d, %d was acknowledged", round, name,
					found, last[i]);
			last[i] = found;
		}
		store_free(take_ptr(w->store));
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return crash_child(argv[2]);
	const struct CMUnitTest tests[] = {STORE_CONFORMANCE_TESTS STORE_TEST(test_sealed_at_rest),
		STORE_TEST(test_refuses_secrets_without_a_key),
		STORE_TEST(test_one_server_per_folder),
		STORE_TEST(test_refuses_what_it_does_not_know),
		STORE_TEST(test_finds_a_flipped_bit), STORE_TEST(test_full_disk),
		STORE_TEST(test_broken_disk), STORE_TEST(test_forgets_old_rows),
		STORE_TEST(test_killed_under_load)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
