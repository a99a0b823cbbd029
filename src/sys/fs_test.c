#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sys/fs.h"

static char folder[] = "/tmp/continuo-fs-XXXXXX";

static void test_write_read_replace_remove(void **state)
{
	(void)state;
	CLEANUP(mem_free_ptr)
	char *path = mem_format("%s/a/b/file", folder);
	CLEANUP(mem_free_ptr)
	char *deep = mem_format("%s/a/b", folder);
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	struct stat st;
	assert_int_equal(fs_read(fs_real(), path, &b, &e), -ERR_NOT_FOUND);
	assert_int_equal(fs_make_folders(fs_real(), deep, 0700, &e), 0);
	assert_int_equal(fs_make_folders(fs_real(), deep, 0700, &e), 0);
	assert_int_equal(fs_write_atomic(fs_real(), path, "one", 3, 0600, &e), 0);
	assert_int_equal(fs_write_atomic(fs_real(), path, "second", 6, 0644, &e), 0);
	assert_int_equal(fs_read(fs_real(), path, &b, &e), 0);
	assert_string_equal(buf_text(&b), "second");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	buf_done(&b);
	assert_int_equal(fs_remove(fs_real(), path, &e), 0);
	assert_int_equal(fs_remove(fs_real(), path, &e), 0);
	assert_int_equal(fs_read(fs_real(), path, &b, &e), -ERR_NOT_FOUND);
	assert_true(fs_free_bytes(fs_real(), folder) > 0);
	assert_int_equal(rmdir(deep), 0); /* no temporary file was left */
}

static void test_read_is_bounded(void **state)
{
	(void)state;
	CLEANUP(mem_free_ptr)
	char *path = mem_format("%s/large", folder);
	char data[100] = {0};
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT_LIMIT(50);
	assert_int_equal(fs_write_atomic(fs_real(), path, data, sizeof(data), 0600, &e), 0);
	assert_int_equal(fs_read(fs_real(), path, &b, &e), -ERR_TOO_LARGE);
	buf_done(&b);
	unlink(path);
}

static int note_name(void *arg, const char *name, bool is_folder)
{
	char *text = arg;
	strcat(strcat(text, name), is_folder ? "/ " : " ");
	return 0;
}

static void test_list_is_sorted(void **state)
{
	(void)state;
	const char *const names[] = {"z", "b", "c"};
	struct err e = ERR_INIT;
	char text[100] = "";
	CLEANUP(mem_free_ptr)
	char *top = mem_format("%s/list", folder);
	CLEANUP(mem_free_ptr)
	char *sub = mem_format("%s/list/sub", folder);
	assert_int_equal(fs_make_folders(fs_real(), sub, 0700, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP(mem_free_ptr)
		char *path = mem_format("%s/%s", top, names[i]);
		assert_int_equal(fs_write_atomic(fs_real(), path, "", 0, 0600, &e), 0);
	}
	assert_int_equal(fs_list(fs_real(), top, note_name, text, &e), 0);
	assert_string_equal(text, "b c sub/ z ");
	assert_int_equal(fs_list(fs_real(), "/nonexistent", note_name, text, &e), -ERR_NOT_FOUND);
}

static void test_nodes_and_links(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct fs_node node;
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	CLEANUP(mem_free_ptr)
	char *path = mem_format("%s/link", folder);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(fs_link(fs_real(), path, &text, &e), 0);
	assert_string_equal(buf_text(&text), "/dev/null");
	assert_int_equal(fs_node(fs_real(), path, &node, &e), 0);
	assert_int_equal(node.type, 'c');
	assert_int_equal(node.major, 1);
	assert_int_equal(node.minor, 3);
	assert_int_equal(fs_node(fs_real(), folder, &node, &e), 0);
	assert_int_equal(node.type, 0);
	assert_int_equal(fs_link(fs_real(), folder, &text, &e), -ERR_IO);
	unlink(path);
	assert_int_equal(fs_node(fs_real(), path, &node, &e), -ERR_NOT_FOUND);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	char command[100] = "rm -rf ";
	return system(strcat(command, folder));
}

/* Seen through a second name for the same bytes. */
static void test_erase_overwrites(void **state)
{
	(void)state;
	char path[200], kept[200];
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	struct err e;
	snprintf(path, sizeof(path), "%s/secret", folder);
	snprintf(kept, sizeof(kept), "%s/kept", folder);
	assert_int_equal(fs_write_atomic(fs_real(), path, "secret", 6, 0600, &e), 0);
	assert_int_equal(link(path, kept), 0);
	assert_int_equal(fs_erase(fs_real(), path, &e), 0);
	assert_int_equal(fs_read(fs_real(), path, &b, &e), -ERR_NOT_FOUND);
	assert_int_equal(fs_read(fs_real(), kept, &b, &e), 0);
	assert_int_equal(b.size, 6);
	assert_memory_equal(b.data, "\0\0\0\0\0\0", 6);
	assert_int_equal(fs_erase(fs_real(), path, &e), 0); /* it is not there */
	assert_int_equal(fs_remove(fs_real(), kept, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_read_replace_remove),
		cmocka_unit_test(test_erase_overwrites),
		cmocka_unit_test(test_read_is_bounded),
		cmocka_unit_test(test_list_is_sorted),
		cmocka_unit_test(test_nodes_and_links),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
