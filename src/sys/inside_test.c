#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/inside.h"

static char folder[] = "/tmp/continuo-inside-XXXXXX";
static int root;
static atomic_bool over;

static void test_links_stay_inside(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(root, "a", 0755), 0);
	assert_int_equal(symlinkat("/etc", root, "out"), 0);
	assert_int_equal(inside_open(root, "out", O_PATH, RESOLVE_BENEATH), -1);
	assert_int_equal(errno, EXDEV);
	int fd = inside_open(root, "../../a", O_PATH, RESOLVE_IN_ROOT);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(inside_open(root, "/etc", O_PATH, RESOLVE_IN_ROOT), -1);
	assert_int_equal(errno, ENOENT);
}

static void test_only_files_are_opened(void **state)
{
	(void)state;
	char data[4] = "";
	int fd = openat(root, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "abc", 3), 3);
	close(fd);
	fd = inside_open_file(root, "/file", RESOLVE_IN_ROOT);
	assert_int_equal(read(fd, data, 3), 3);
	close(fd);
	assert_string_equal(data, "abc");
	assert_int_equal(mkfifoat(root, "pipe", 0644), 0);
	assert_int_equal(symlinkat("pipe", root, "to-pipe"), 0);
	alarm(5); /* rather than wait for a writer for ever */
	assert_int_equal(inside_open_file(root, "pipe", RESOLVE_IN_ROOT), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(inside_open_file(root, "to-pipe", RESOLVE_IN_ROOT), -1);
	alarm(0);
	assert_int_equal(inside_open_file(root, ".", RESOLVE_IN_ROOT), -1);
}

/* Any rename anywhere makes the kernel give up on a ".." that it is at. */
static void *rename_on(void *arg)
{
	(void)arg;
	while (!over) {
		(void)renameat(root, "x", root, "y");
		(void)renameat(root, "y", root, "x");
	}
	return NULL;
}

static void test_renames_elsewhere_do_not_disturb(void **state)
{
	(void)state;
	pthread_t thread;
	char path[800] = "";
	for (int i = 0; i < 50; i++)
		strcat(path, "a/../");
	assert_int_equal(mkdirat(root, "x", 0755), 0);
	assert_int_equal(pthread_create(&thread, NULL, rename_on, NULL), 0);
	int failed = 0;
	for (int i = 0; i < 3000; i++) {
		int fd = inside_open(root, path, O_PATH, RESOLVE_IN_ROOT);
		failed += fd < 0;
		if (fd >= 0)
			close(fd);
	}
	over = true;
	pthread_join(thread, NULL);
	assert_int_equal(failed, 0);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[100] = "rm -rf ";
	close(root);
	return system(strcat(command, folder));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_links_stay_inside),
		cmocka_unit_test(test_only_files_are_opened),
		cmocka_unit_test(test_renames_elsewhere_do_not_disturb),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
