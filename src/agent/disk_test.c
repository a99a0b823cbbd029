#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/disk.h"

struct disk {
	struct fs fs;
	int64_t total, free_bytes;
};

static int64_t op_free(struct fs *fs, const char *path)
{
	(void)path;
	return ((struct disk *)fs)->free_bytes;
}

static int64_t op_total(struct fs *fs, const char *path)
{
	(void)path;
	return ((struct disk *)fs)->total;
}

static const struct fs_ops ops = {.free_bytes = op_free, .total_bytes = op_total};

static void test_thresholds(void **state)
{
	struct disk disk = {{&ops}, (int64_t)1000 << 40, (int64_t)151 << 40};
	struct agent_disk d;
	int64_t target = 0;
	bool changed;
	(void)state;
	agent_disk_init(&d, &disk.fs, "/x", 0, 0);
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_ROOM);
	disk.free_bytes = (int64_t)149 << 40;
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_REMOVE);
	assert_true(target >> 40 == 200 || target >> 40 == 199);
	assert_false(changed || d.pressure); /* not before it was tried */
	assert_int_equal(agent_disk_look(&d, true, &target, &changed), AGENT_DISK_WAIT);
	assert_false(changed || d.pressure);
	disk.free_bytes = (int64_t)200 << 40; /* it helped */
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_ROOM);
	assert_false(changed || d.pressure);
	disk.free_bytes = (int64_t)100 << 40; /* full again: once more it is tried first */
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_REMOVE);
	assert_false(changed || d.pressure);
}

static void test_pressure(void **state)
{
	struct disk disk = {{&ops}, 1000, 50};
	struct agent_disk d;
	int64_t target = 0;
	bool changed;
	(void)state;
	agent_disk_init(&d, &disk.fs, "/x", 90, 50);
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_REMOVE);
	assert_int_equal(target, 500);
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_REMOVE);
	assert_true(changed && d.pressure);
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_REMOVE);
	assert_true(!changed && d.pressure);
	disk.free_bytes = 150;
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_ROOM);
	assert_true(changed && !d.pressure);
}

/* A pull that had no room makes room for itself, whatever the percentage. */
static void test_no_space(void **state)
{
	struct disk disk = {{&ops}, 1000, 400};
	struct agent_disk d;
	int64_t target = 0;
	bool changed;
	(void)state;
	agent_disk_init(&d, &disk.fs, "/x", 0, 0);
	d.no_space = true;
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_REMOVE);
	assert_true(target == INT64_MAX);
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_ROOM);
	assert_false(changed || d.pressure);
}

static void test_unknown(void **state)
{
	static const struct fs_ops without_total = {.free_bytes = op_free};
	struct disk disk = {{&without_total}, 1000, 0};
	struct agent_disk d;
	int64_t target = 0;
	bool changed;
	(void)state;
	agent_disk_init(&d, &disk.fs, "/x", 0, 0);
	assert_int_equal(agent_disk_look(&d, false, &target, &changed), AGENT_DISK_UNKNOWN);
	assert_false(changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thresholds),
		cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_unknown),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("agent-disk", tests, NULL, NULL);
}
