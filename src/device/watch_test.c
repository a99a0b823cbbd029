#include "device/watch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sys/loop_uv.h"

static struct loop *loop;
static char folder[] = "/tmp/continuo-watch-XXXXXX";

static void on_event(void *arg)
{
	(*(int *)arg)++;
}

static bool heard(void *arg)
{
	return *(int *)arg > 0;
}

/* Whether an event comes, and forgets it. */
static bool hears(int *events)
{
	bool came = loop_uv_run_until(loop, heard, events, 5000);
	*events = 0;
	return came;
}

static char *in_folder(const char *name)
{
	return mem_format("%s/%s", folder, name);
}

static void nodes_that_come_and_go_are_heard(void **state)
{
	(void)state;
	int events = 0;
	CLEANUP(mem_free_ptr) char *sub = in_folder("sub");
	CLEANUP(mem_free_ptr) char *file = in_folder("sub/file");
	char *const folders[] = {folder, sub, NULL};
	struct device_watch *w = device_watch_new(loop, on_event, &events);
	assert_true(device_watch_folders(w, folders));
	assert_false(device_watch_folders(w, folders));
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_true(hears(&events));
	assert_true(device_watch_folders(w, folders)); /* it is there now */
	close(open(file, O_CREAT | O_WRONLY, 0600));
	assert_true(hears(&events));
	unlink(file);
	assert_true(hears(&events));
	rmdir(sub);
	assert_true(hears(&events));
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_true(hears(&events));
	assert_true(device_watch_folders(w, folders)); /* another one of that name */
	close(open(file, O_CREAT | O_WRONLY, 0600));
	assert_true(hears(&events));
	unlink(file);
	rmdir(sub);
	device_watch_free(w);
}

/* The kernel sends a uevent of a device again when it is asked to (ABI/stable/sysfs-uevent). */
static void uevents_are_heard(void **state)
{
	(void)state;
	int events = 0;
	int fd = open("/sys/class/mem/null/uevent", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		skip(); /* root's alone */
	struct device_watch *w = device_watch_new(loop, on_event, &events);
	assert_true(device_watch_hears(w));
	assert_int_equal(write(fd, "change", 6), 6);
	assert_true(hears(&events));
	close(fd);
	device_watch_free(w);
}

static int set_up(void **state)
{
	(void)state;
	loop = loop_uv_new(1);
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	loop_uv_free(loop);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_that_come_and_go_are_heard),
		cmocka_unit_test(uevents_are_heard),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
