#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/tree.h"

#define DEPTH 3000 /* folders; more than a path can name */

static char top[] = "/tmp/continuo-tree-XXXXXX";

static char *path_of(const char *name)
{
	return mem_format("%s/%s", top, name);
}

static void put_file(int folder, const char *name)
{
	int fd = openat(folder, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	close(fd);
}

/* Folders in folders, each with a file, a link and an empty folder beside. */
static void make_deep(const char *name)
{
	CLEANUP(mem_free_ptr) char *path = path_of(name);
	assert_int_equal(mkdir(path, 0755), 0);
	CLEANUP(tree_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		put_file(fd, "file");
		assert_int_equal(symlinkat("/etc", fd, "link"), 0);
		assert_int_equal(mkdirat(fd, "empty", 0755), 0);
		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		int below = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(below >= 0);
		close(fd);
		fd = below;
	}
}

static void *remove_deep(void *arg)
{
	static char text[sizeof((struct err){0}.text)];
	struct err e = ERR_INIT;
	CLEANUP(mem_free_ptr) char *path = path_of("deep");
	(void)arg;
	if (tree_remove_path(path, &e) == 0)
		return NULL;
	snprintf(text, sizeof(text), "%s", e.text);
	return text;
}

static void test_deep_tree_on_a_small_stack(void **state)
{
	(void)state;
	pthread_attr_t attr;
	pthread_t thread;
	void *failed = NULL;
	struct rlimit old, few;
	make_deep("deep");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){.rlim_cur = 20, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	pthread_attr_init(&attr);
	assert_int_equal(pthread_attr_setstacksize(&attr, 64 << 10), 0);
	assert_int_equal(pthread_create(&thread, &attr, remove_deep, NULL), 0);
	pthread_join(thread, &failed);
	pthread_attr_destroy(&attr);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	if (failed)
		fail_msg("%s", (const char *)failed);
	CLEANUP(mem_free_ptr) char *path = path_of("deep");
	assert_int_not_equal(access(path, F_OK), 0);
}

/* Names that we would give ourselves are in the way. */
static void test_wide_tree(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	CLEANUP(mem_free_ptr) char *path = path_of("wide");
	assert_int_equal(mkdir(path, 0755), 0);
	CLEANUP(tree_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 300; i++) {
		char name[40];
		snprintf(name, sizeof(name), ".removed-%d", i);
		if (i % 3 == 0) {
			put_file(fd, name);
			continue;
		}
		assert_int_equal(mkdirat(fd, name, 0755), 0);
		CLEANUP(tree_close) int inner = openat(fd, name, O_RDONLY | O_DIRECTORY);
		assert_int_equal(mkdirat(inner, "a", 0755), 0);
		assert_int_equal(mkdirat(inner, "a/b", 0755), 0);
		assert_int_equal(mkdirat(inner, "c", 0755), 0);
		put_file(inner, "a/b/file");
	}
	assert_int_equal(tree_remove_path(path, &e), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(tree_remove_path(path, &e), 0);
}

static void test_links_are_not_followed(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	CLEANUP(mem_free_ptr) char *kept = path_of("kept");
	CLEANUP(mem_free_ptr) char *path = path_of("linked");
	CLEANUP(mem_free_ptr) char *link = path_of("linked/out");
	CLEANUP(mem_free_ptr) char *file = path_of("kept/file");
	assert_int_equal(mkdir(kept, 0755), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(symlink(kept, link), 0);
	put_file(AT_FDCWD, file);
	assert_int_equal(tree_remove_path(path, &e), 0);
	assert_int_equal(symlink(kept, path), 0); /* nor when it is the tree itself */
	assert_int_equal(tree_remove_path(path, &e), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(access(file, F_OK), 0);
}

/* Another folder of the same file system is mounted in the tree. */
static void test_mounts_are_not_entered(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0)
		skip(); /* that needs root */
	assert_int_equal(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL), 0);
	CLEANUP(mem_free_ptr) char *path = path_of("mounted");
	CLEANUP(mem_free_ptr) char *inner = path_of("mounted/in");
	CLEANUP(mem_free_ptr) char *point = path_of("mounted/in/point");
	CLEANUP(mem_free_ptr) char *origin = path_of("origin");
	CLEANUP(mem_free_ptr) char *file = path_of("origin/file");
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(mkdir(inner, 0755), 0);
	assert_int_equal(mkdir(point, 0755), 0);
	assert_int_equal(mkdir(origin, 0755), 0);
	put_file(AT_FDCWD, file);
	assert_int_equal(mount(origin, point, NULL, MS_BIND, NULL), 0);
	assert_int_not_equal(tree_remove_path(path, &e), 0);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(umount2(point, MNT_DETACH), 0);
	assert_int_equal(tree_remove_path(path, &e), 0);
	assert_int_equal(access(file, F_OK), 0);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return tree_remove_path(top, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deep_tree_on_a_small_stack),
		cmocka_unit_test(test_wide_tree),
		cmocka_unit_test(test_links_are_not_followed),
		cmocka_unit_test(test_mounts_are_not_entered),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
