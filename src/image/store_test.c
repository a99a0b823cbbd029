#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "image/partial.h"
#include "image/record.h"
#include "sys/loop_uv.h"
#include "sys/tree.h"

#define HEX(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define MANIFEST "sha256:" HEX("aa")
#define OTHER "sha256:" HEX("dd")
#define ID "sha256:" HEX("bb")
#define LAYER "sha256:" HEX("cc")

/* continuo-pull is played by a shell script that each test writes; it adds a line to the file runs
 * when it starts. */
struct fixture {
	struct loop *loop;
	struct image_store *store;
	char top[64], folder[96], program[96];
	int wanted;
	/* What came last: */
	int done, progress;
	enum err_code code;
	char text[400], id[80], first_layer[200];
	bool was_present;
};

static void write_program(struct fixture *f, const char *body)
{
	FILE *file = fopen(f->program, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\necho run >>%s/runs\ncat >%s/request\n%s\n", f->top, f->top, body);
	fclose(file);
	assert_int_equal(chmod(f->program, 0755), 0);
}

static int count_runs(struct fixture *f)
{
	char path[128], line[16];
	int count = 0;
	snprintf(path, sizeof(path), "%s/runs", f->top);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		count++;
	if (file)
		fclose(file);
	return count;
}

static int setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	strcpy(f->top, "/tmp/continuo-store-XXXXXX");
	if (!mkdtemp(f->top))
		return -1;
	snprintf(f->folder, sizeof(f->folder), "%s/content", f->top);
	snprintf(f->program, sizeof(f->program), "%s/pull", f->top);
	f->loop = loop_uv_new(2);
	struct image_store_config config = {
		.loop = f->loop, .folder = f->folder, .pull_path = f->program};
	*state = f;
	return image_store_open(&config, &f->store, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	image_store_close(f->store);
	loop_uv_free(f->loop);
	int rc = tree_remove_path(f->top, NULL);
	free(f);
	return rc;
}

static void on_progress(void *arg, int64_t done_bytes, int64_t total_bytes)
{
	struct fixture *f = arg;
	assert_int_equal(done_bytes, 5);
	assert_int_equal(total_bytes, 10);
	f->progress++;
}

static void on_done(void *arg, const struct image_result *r, const struct err *e)
{
	struct fixture *f = arg;
	f->done++;
	f->code = e ? e->code : ERR_OK;
	str_copy(f->text, sizeof(f->text), e ? e->text : "");
	if (r) {
		assert_null(e);
		str_copy(f->id, sizeof(f->id), r->id);
		str_copy(f->first_layer, sizeof(f->first_layer), r->layers[0] ? r->layers[0] : "");
		f->was_present = r->was_present;
	}
}

static const struct image_pull_events events = {on_progress, on_done};

static struct image_pull *pull(struct fixture *f, const char *reference, const char *policy)
{
	return image_store_pull(f->store, reference, policy, NULL, &events, f);
}

static bool done_enough(void *arg)
{
	const struct fixture *f = arg;
	return f->done >= f->wanted;
}

/* Runs the loop until so many pulls are done; fails after 10 s. */
static void run_until(struct fixture *f, int done)
{
	f->wanted = done;
	assert_true(loop_uv_run_until(f->loop, done_enough, f, 10000));
}

static void make_folder(struct fixture *f, const char *name)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	assert_int_equal(fs_make_folders(fs_real(), path, 0755, NULL), 0);
}

/* Puts an image into the store, as continuo-pull would. */
static void put_image(struct fixture *f, const char *name, const char *digest, const char *layer)
{
	struct image_reference reference;
	struct record r = {.layer_count = 1, .bytes = 7};
	r.layers = mem_alloc_array(1, sizeof(*r.layers));
	r.config_json = mem_dup_string("{\"config\":{}}");
	str_copy(r.digest, sizeof(r.digest), digest);
	str_copy(r.id, sizeof(r.id), ID);
	str_copy(r.layers[0], sizeof(r.layers[0]), layer);
	make_folder(f, "images");
	make_folder(f, "refs");
	make_folder(f, "layers");
	char *path = record_layer_path(f->folder, layer);
	assert_int_equal(fs_make_folders(fs_real(), path, 0755, NULL), 0);
	free(path);
	assert_int_equal(record_save(fs_real(), f->folder, &r, NULL), 0);
	assert_int_equal(image_reference_parse(name, &reference, NULL), 0);
	assert_int_equal(record_save_reference(fs_real(), f->folder, &reference, digest, NULL), 0);
	record_done(&r);
}

static void present_images_start_no_program(void **state)
{
	struct fixture *f = *state;
	write_program(f, "exit 9");
	put_image(f, "app:1", MANIFEST, LAYER);
	assert_non_null(pull(f, "docker.io/library/app:1", "IfNotPresent"));
	run_until(f, 1);
	assert_int_equal(f->code, ERR_OK);
	assert_string_equal(f->id, ID);
	assert_non_null(strstr(f->first_layer, "/content/layers/sha256-cccc"));
	assert_true(f->was_present);
	assert_int_equal(count_runs(f), 0);
}

static void missing_images_are_pulled_once_for_all(void **state)
{
	struct fixture *f = *state;
	put_image(f, "other:1", MANIFEST, LAYER);
	write_program(f, "echo '{\"done\":5,\"total\":10}'; echo '{\"digest\":\"" MANIFEST
			 "\",\"present\":false}'");
	for (int i = 0; i < 3; i++)
		assert_non_null(pull(f, "app:1", "IfNotPresent"));
	run_until(f, 3);
	assert_int_equal(f->code, ERR_OK);
	assert_false(f->was_present);
	assert_int_equal(f->progress, 3);
	assert_int_equal(count_runs(f), 1);
}

static void never_means_never(void **state)
{
	struct fixture *f = *state;
	write_program(f, "exit 9");
	assert_non_null(pull(f, "app:1", "Never"));
	run_until(f, 1);
	assert_int_equal(f->code, ERR_NOT_FOUND);
	assert_non_null(strstr(f->text, "imagePullPolicy is Never"));
	assert_int_equal(count_runs(f), 0);
}

static void always_asks_again(void **state)
{
	struct fixture *f = *state;
	put_image(f, "app:1", MANIFEST, LAYER);
	write_program(f, "echo '{\"digest\":\"" MANIFEST "\",\"present\":true}'");
	assert_non_null(pull(f, "app:1", "Always"));
	run_until(f, 1);
	assert_int_equal(f->code, ERR_OK);
	assert_true(f->was_present);
	assert_int_equal(count_runs(f), 1);
}

static void errors_keep_code_and_sentence(void **state)
{
	struct fixture *f = *state;
	write_program(f, "echo '{\"error\":\"too many requests\",\"message\":\"slow\"}'; exit 1");
	assert_non_null(pull(f, "app:1", "Always"));
	run_until(f, 1);
	assert_int_equal(f->code, ERR_BUSY);
	assert_string_equal(f->text, "image app:1: slow");
	assert_non_null(pull(f, "A b", "Always"));
	run_until(f, 2);
	assert_int_equal(f->code, ERR_INVALID);
	assert_int_equal(count_runs(f), 1);
}

static void a_killed_program_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	write_program(f,
		"t=$(sed 's/.*\"temporary\":\"\\([^\"]*\\)\".*/\\1/' $(dirname $0)/request)\n"
		"mkdir -p $(dirname $0)/content/tmp/$t-0/x; kill -9 $$");
	assert_non_null(pull(f, "app:1", "Always"));
	run_until(f, 1);
	assert_int_equal(f->code, ERR_INTERNAL);
	assert_non_null(strstr(f->text, "signal 9"));
	char path[128];
	snprintf(path, sizeof(path), "%s/tmp", f->folder);
	assert_int_equal(rmdir(path), 0); /* only an empty folder can be removed so */
}

static void programs_are_limited(void **state)
{
	struct fixture *f = *state;
	put_image(f, "other:1", MANIFEST, LAYER);
	/* mkdir fails when a third one runs beside two others. */
	write_program(f,
		"d=$(dirname $0); mkdir $d/one 2>/dev/null && p=one || "
		"{ mkdir $d/two && p=two; } || { echo '{\"error\":\"conflict\"}'; exit 1; }\n"
		"sleep 0.05; rmdir $d/$p; echo '{\"digest\":\"" MANIFEST "\"}'");
	char name[16];
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "app:%d", i);
		assert_non_null(pull(f, name, "Always"));
	}
	for (int i = 1; i <= 6; i++) {
		run_until(f, i);
		assert_int_equal(f->code, ERR_OK);
	}
	assert_int_equal(count_runs(f), 6);
}

static bool two_run(void *arg)
{
	return count_runs(arg) == 2;
}

static void cancelled_pulls_are_killed_and_silent(void **state)
{
	struct fixture *f = *state;
	write_program(f, "exec sleep 1000");
	struct image_pull *slow = pull(f, "slow:1", "Always");
	struct image_pull *queued = pull(f, "slow:2", "Always");
	assert_true(loop_uv_run_until(f->loop, two_run, f, 10000));
	image_pull_cancel(slow);
	image_pull_cancel(queued);
	put_image(f, "app:1", MANIFEST, LAYER);
	write_program(f, "echo '{\"digest\":\"" MANIFEST "\"}'");
	assert_non_null(pull(f, "app:1", "Always"));
	run_until(f, 1);
	assert_int_equal(f->code, ERR_OK);
	assert_int_equal(f->done, 1);
}

static bool layer_there(struct fixture *f, const char *digest)
{
	char *path = record_layer_path(f->folder, digest);
	bool there = access(path, F_OK) == 0;
	free(path);
	return there;
}

static void collection_keeps_what_is_used(void **state)
{
	struct fixture *f = *state;
	put_image(f, "app:1", MANIFEST, LAYER);
	make_folder(f, "layers/sha256-" HEX("ee"));
	static const char *const ids[] = {ID};
	assert_int_equal(record_collect(fs_real(), f->folder, ids, 1, INT64_MAX, NULL), 0);
	assert_true(layer_there(f, LAYER));
	assert_false(layer_there(f, "sha256:" HEX("ee")));
	assert_int_equal(record_collect(fs_real(), f->folder, NULL, 0, 0, NULL), 0);
	assert_true(layer_there(f, LAYER));
	assert_int_equal(record_collect(fs_real(), f->folder, NULL, 0, INT64_MAX, NULL), 0);
	assert_false(layer_there(f, LAYER));
	struct image_reference reference;
	struct record r = {0};
	assert_int_equal(image_reference_parse("app:1", &reference, NULL), 0);
	assert_int_equal(record_find(fs_real(), f->folder, &reference, &r, NULL), -ERR_NOT_FOUND);
}

static int count_entry(void *arg, const char *name, bool is_folder)
{
	(void)name;
	*(int *)arg += !is_folder;
	return 0;
}

static void refs_of_removed_images_go(void **state)
{
	struct fixture *f = *state;
	put_image(f, "app:1", MANIFEST, LAYER);
	put_image(f, "app:other", MANIFEST, LAYER);
	put_image(f, "kept:1", "sha256:" HEX("dd"), LAYER);
	static const char *const names[] = {"docker.io/library/kept:1"};
	char path[200];
	int count = 0;
	snprintf(path, sizeof(path), "%s/refs", f->folder);
	assert_int_equal(record_collect(fs_real(), f->folder, names, 1, INT64_MAX, NULL), 0);
	assert_int_equal(fs_list(fs_real(), path, count_entry, &count, NULL), 0);
	assert_int_equal(count, 1);
	assert_true(layer_there(f, LAYER));
}

/* A pod that waits for something names its image, and nobody knows its id yet. */
static void collection_keeps_what_is_named(void **state)
{
	struct fixture *f = *state;
	put_image(f, "app:1", MANIFEST, LAYER);
	static const char *const names[] = {"gone:1", "docker.io/library/app:1", "A b"};
	assert_int_equal(record_collect(fs_real(), f->folder, names, 3, INT64_MAX, NULL), 0);
	assert_true(layer_there(f, LAYER));
	assert_int_equal(record_collect(fs_real(), f->folder, names, 1, INT64_MAX, NULL), 0);
	assert_false(layer_there(f, LAYER));
}

static void collection_spares_what_was_just_given(void **state)
{
	struct fixture *f = *state;
	write_program(f, "exit 9");
	put_image(f, "app:1", MANIFEST, LAYER);
	assert_non_null(pull(f, "app:1", "IfNotPresent"));
	run_until(f, 1);
	image_store_collect(f->store, NULL, 0, INT64_MAX);
	/* Waits behind the collection, and finds the image still there. */
	assert_non_null(pull(f, "app:1", "IfNotPresent"));
	run_until(f, 2);
	assert_int_equal(f->code, ERR_OK);
	assert_true(layer_there(f, LAYER));
}

static void damaged_records_count_as_missing(void **state)
{
	struct fixture *f = *state;
	put_image(f, "app:1", OTHER, LAYER);
	char *path = record_path(f->folder, "images", OTHER, ".json");
	assert_int_equal(truncate(path, 20), 0);
	free(path);
	assert_non_null(pull(f, "app:1", "Never"));
	run_until(f, 1);
	assert_int_equal(f->code, ERR_NOT_FOUND);
}

static void age_image(struct fixture *f, const char *digest, time_t seconds)
{
	CLEANUP(mem_free_ptr) char *path = record_path(f->folder, "images", digest, ".json");
	const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int64_t age_of(struct fixture *f, const char *digest)
{
	CLEANUP(mem_free_ptr) char *path = record_path(f->folder, "images", digest, ".json");
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_mtim.tv_sec;
}

/* A file system that is full until one layer is gone. */
static const char *counted_layer;

static int64_t free_when_gone(struct fs *fs, const char *path)
{
	(void)fs, (void)path;
	return access(counted_layer, F_OK) == 0 ? 0 : 1000;
}

static void what_was_used_longest_ago_goes_first(void **state)
{
	struct fixture *f = *state;
	put_image(f, "app:1", MANIFEST, LAYER);
	put_image(f, "app:2", OTHER, "sha256:" HEX("ee"));
	age_image(f, MANIFEST, 1000); /* pulled first, but used since */
	age_image(f, OTHER, 2000);
	assert_non_null(pull(f, "app:1", "IfNotPresent"));
	run_until(f, 1);
	assert_true(age_of(f, MANIFEST) > 2000);
	struct fs_ops ops = *fs_real()->ops;
	ops.free_bytes = free_when_gone;
	struct fs fs = {&ops};
	CLEANUP(mem_free_ptr) char *path = record_layer_path(f->folder, "sha256:" HEX("ee"));
	counted_layer = path;
	assert_int_equal(record_collect(&fs, f->folder, NULL, 0, 500, NULL), 0);
	assert_false(layer_there(f, "sha256:" HEX("ee")));
	assert_true(layer_there(f, LAYER));
}

static void nothing_is_removed_under_another_process(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	int hold = -1;
	put_image(f, "app:1", MANIFEST, LAYER);
	make_folder(f, "tmp/others-1");
	assert_int_equal(record_hold(f->folder, false, false, &hold, NULL), 0);
	assert_int_equal(record_collect(fs_real(), f->folder, NULL, 0, INT64_MAX, &e), -ERR_BUSY);
	assert_true(layer_there(f, LAYER));
	/* Nor by an agent that starts meanwhile. */
	struct image_store_config config = {
		.loop = f->loop, .folder = f->folder, .pull_path = f->program};
	struct image_store *second;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/tmp/others-1", f->folder);
	assert_int_equal(image_store_open(&config, &second, NULL), 0);
	assert_int_equal(access(path, F_OK), 0);
	image_store_close(second);
	tree_close(&hold);
	assert_int_equal(image_store_open(&config, &second, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	image_store_close(second);
}

static void put_partial(struct fixture *f, const char *digest, size_t size, time_t age_s)
{
	CLEANUP(mem_free_ptr) char *path = record_path(f->folder, "partial", digest, "");
	CLEANUP(mem_free_ptr) char *data = mem_alloc(size);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	memset(data, 'x', size);
	assert_int_equal(fwrite(data, 1, size, file), size);
	fclose(file);
	const struct timespec times[2] = {
		{.tv_sec = time(NULL) - age_s}, {.tv_sec = time(NULL) - age_s}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool partial_there(struct fixture *f, const char *digest)
{
	CLEANUP(mem_free_ptr) char *path = record_path(f->folder, "partial", digest, "");
	return access(path, F_OK) == 0;
}

static void partial_files_are_bounded(void **state)
{
	struct fixture *f = *state;
	make_folder(f, "partial/x"); /* not one of ours */
	make_folder(f, "locks");
	put_partial(f, LAYER, 100 << 10, 90000);
	put_partial(f, OTHER, 100 << 10, 80000);
	put_partial(f, MANIFEST, 100 << 10, 100);
	partial_collect(f->folder, PARTIAL_AGE_MAX_S, INT64_MAX);
	assert_false(partial_there(f, LAYER));
	assert_true(partial_there(f, OTHER) && partial_there(f, MANIFEST));
	partial_collect(f->folder, PARTIAL_AGE_MAX_S, 150 << 10); /* the oldest goes */
	assert_false(partial_there(f, OTHER));
	assert_true(partial_there(f, MANIFEST));
	CLEANUP(mem_free_ptr) char *lock = record_path(f->folder, "locks", MANIFEST, "");
	CLEANUP(tree_close) int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	partial_collect(f->folder, 0, 0);
	assert_true(partial_there(f, MANIFEST)); /* somebody is fetching it */
	tree_close(&fd);
	fd = -1;
	partial_collect(f->folder, 0, 0);
	assert_false(partial_there(f, MANIFEST));
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(present_images_start_no_program),
		STORE_TEST(missing_images_are_pulled_once_for_all),
		STORE_TEST(never_means_never),
		STORE_TEST(always_asks_again),
		STORE_TEST(errors_keep_code_and_sentence),
		STORE_TEST(a_killed_program_leaves_nothing),
		STORE_TEST(programs_are_limited),
		STORE_TEST(cancelled_pulls_are_killed_and_silent),
		STORE_TEST(collection_keeps_what_is_used),
		STORE_TEST(refs_of_removed_images_go),
		STORE_TEST(collection_keeps_what_is_named),
		STORE_TEST(collection_spares_what_was_just_given),
		STORE_TEST(damaged_records_count_as_missing),
		STORE_TEST(what_was_used_longest_ago_goes_first),
		STORE_TEST(nothing_is_removed_under_another_process),
		STORE_TEST(partial_files_are_bounded),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
