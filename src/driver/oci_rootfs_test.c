#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/oci.h"

static char root[] = "/tmp/continuo-rootfs-XXXXXX";

static void put(const char *name, const char *text)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/etc/%s", root, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
}

static void test_users_of_the_image(void **state)
{
	(void)state;
	struct oci_user u;
	struct err e = ERR_INIT;
	put("passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n");
	put("group", "web:x:34:\nlog:x:40:web\n");
	assert_int_equal(oci_user_find(root, "web", &u, &e), 0);
	assert_int_equal(u.uid, 33);
	assert_int_equal(u.gid, 34);
	assert_int_equal(u.group_count, 1);
	assert_string_equal(u.home, "/srv");
	assert_int_equal(oci_user_find(root, "web:log", &u, &e), 0);
	assert_int_equal(u.gid, 40);
	assert_int_equal(oci_user_find(root, "nobody", &u, &e), -ERR_NOT_FOUND);
}

/* Nobody will ever write into it. */
static void test_pipe_in_place_of_users(void **state)
{
	(void)state;
	static const char *const names[] = {"passwd", "group"};
	struct oci_user u;
	struct err e = ERR_INIT;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP(mem_free_ptr) char *path = mem_format("%s/etc/%s", root, names[i]);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkfifo(path, 0644), 0);
	}
	alarm(5);
	assert_int_equal(oci_user_find(root, "7", &u, &e), 0);
	assert_int_equal(oci_user_find(root, "web", &u, &e), -ERR_NOT_FOUND);
	assert_int_equal(oci_user_find(root, "7:web", &u, &e), -ERR_NOT_FOUND);
	alarm(0);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(root))
		return -1;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/etc", root);
	return mkdir(path, 0755);
}

static int tear_down(void **state)
{
	(void)state;
	oci_remove_tree(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users_of_the_image),
		cmocka_unit_test(test_pipe_in_place_of_users),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
