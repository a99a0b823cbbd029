#include "agent/devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/test_loop.h"
#include "sys/files_test.h"

/* A node whose devices come and go: what the fake files say, and one real file, that of the grants.
 */
struct fixture {
	struct test_files files; /* first: test_files_ops find their table by it */
	struct fs_ops ops;
	struct test_file nodes[4];
	struct loop *loop;
	struct agent_devices *devices;
	char *kept;
	int writes;
	bool refuses_writes, connected;
	char lost[400], waiting[400], refused[400];
	int changes, counts;
};

static struct fixture *of_files(struct fs *fs)
{
	return (struct fixture *)CONTAINER_OF(fs, struct test_files, fs);
}

static int read_kept(struct fs *fs, const char *path, struct buf *ret_data, struct err *e)
{
	struct fixture *f = of_files(fs);
	assert_string_equal(path, "/state/devices");
	if (!f->kept)
		return err_set(e, ERR_NOT_FOUND, "there is no %s", path);
	buf_append_string(ret_data, f->kept);
	return 0;
}

static int write_kept(struct fs *fs, const char *path, const void *data, size_t size, mode_t mode,
	struct err *e)
{
	struct fixture *f = of_files(fs);
	assert_string_equal(path, "/state/devices");
	assert_int_equal(mode, 0600);
	if (f->refuses_writes)
		return err_set(e, ERR_NO_SPACE, "full");
	free(f->kept);
	f->kept = mem_dup_bytes(data, size);
	f->writes++;
	return 0;
}

static void on_counts(void *arg)
{
	((struct fixture *)arg)->counts++;
}

static void on_change(void *arg)
{
	((struct fixture *)arg)->changes++;
}

static bool on_lost(void *arg, const char *uid, const char *message)
{
	struct fixture *f = arg;
	snprintf(f->lost, sizeof(f->lost), "%s: %s", uid, message);
	return true;
}

static void on_waiting(void *arg, const char *uid, const char *message)
{
	struct fixture *f = arg;
	snprintf(f->waiting, sizeof(f->waiting), "%s: %s", uid, message);
}

static void on_refused(void *arg, const char *uid, const char *message)
{
	struct fixture *f = arg;
	snprintf(f->refused, sizeof(f->refused), "%s: %s", uid, message);
}

static bool may_refuse(void *arg)
{
	return ((struct fixture *)arg)->connected;
}

static void open_devices(struct fixture *f, const char *boot_id)
{
	static const struct device_match cameras = {.path = "/dev/cam*"};
	static const struct device_rule rules[] = {
		{.name = "cam", .match = &cameras, .count = 1, .container_path = "/dev/camera"}};
	const struct agent_devices_config config = {.loop = f->loop,
		.fs = &f->files.fs,
		.state_folder = "/state",
		.rules = rules,
		.rule_count = 1,
		.boot_id = boot_id,
		.on_counts = on_counts,
		.on_change = on_change,
		.on_lost = on_lost,
		.on_waiting = on_waiting,
		.on_refused = on_refused,
		.may_refuse = may_refuse,
		.arg = f};
	f->devices = agent_devices_new(&config);
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	f->loop = test_loop_new();
	f->ops = test_files_ops;
	f->ops.read = read_kept;
	f->ops.write_atomic = write_kept;
	f->files = (struct test_files){{&f->ops}, f->nodes};
	f->nodes[0] = (struct test_file){"/dev/cam0", "c 81:0"};
	f->nodes[1] = (struct test_file){"/dev/cam1", "c 81:1"};
	f->connected = true;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	agent_devices_free(f->devices);
	test_loop_run(f->loop, 1000); /* jobs that are under way find nobody */
	test_loop_free(f->loop);
	free(f->kept);
	free(f);
	return 0;
}

/* A pod whose containers want so many each; "-N": an init container. */
static struct object *make_pod(const char *uid, const char *const *wants)
{
	json_t *init = json_array(), *containers = json_array();
	for (size_t i = 0; wants[i]; i++) {
		char name[24];
		bool is_init = wants[i][0] == '-';
		snprintf(name, sizeof(name), "c%zu", i);
		json_array_append_new(is_init ? init : containers,
			json_pack("{s:s, s:s, s:{s:{s:s}}}", "name", name, "image", "i",
				"resources", "limits", "continuo.dev/cam", wants[i] + is_init));
	}
	CLEANUP(json_done)
	json_t *tree = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:o, s:o}}", "apiVersion", "v1",
		"kind", "Pod", "metadata", "name", uid, "namespace", "default", "uid", uid, "spec",
		"initContainers", init, "containers", containers);
	struct object *o = NULL;
	struct err e = ERR_INIT;
	if (object_from_json(&kind_pod, tree, &o, &e) < 0)
		fail_msg("%s", e.text);
	return o;
}

#define WANTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int64_t offered(const struct fixture *f)
{
	CLEANUP(json_done) json_t *resources = json_object();
	agent_devices_resources(f->devices, resources);
	return atoi(json_text(resources, "-1", "continuo.dev/cam"));
}

/* "CONTAINER HOST=INSIDE ..." */
static void check_given(struct fixture *f, const struct object *pod, const char *expected)
{
	CLEANUP(arena_done) struct arena a = {0};
	CLEANUP(json_done) json_t *tree = object_tree(pod);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	struct driver_pod out = {0};
	agent_devices_give(f->devices, pod->uid, tree, &a, &out);
	for (size_t i = 0; i < out.device_count; i++)
		buf_printf(&b, "%s %s=%s;", out.devices[i].container, out.devices[i].path,
			out.devices[i].container_path);
	assert_string_equal(buf_text(&b), expected);
}

static void pods_start_when_their_part_is_on_disk(void **state)
{
	struct fixture *f = *state;
	open_devices(f, "boot");
	struct object *pod CLEANUP(object_done) = make_pod("u1", WANTS("1"));
	struct object *plain CLEANUP(object_done) = make_pod("u2", WANTS(NULL));
	assert_true(agent_devices_ready(f->devices, plain));
	assert_false(agent_devices_ready(f->devices, pod)); /* nothing is known yet */
	test_loop_run(f->loop, 10);
	assert_int_equal(offered(f), 2);
	assert_int_equal(f->counts, 1);
	assert_int_equal(f->writes, 0);
	f->refuses_writes = true;
	assert_false(agent_devices_ready(f->devices, pod));
	test_loop_run(f->loop, 1000);
	assert_false(agent_devices_ready(f->devices, pod));
	f->refuses_writes = false;
	f->changes = 0;
	test_loop_run(f->loop, 10000);
	assert_true(f->changes > 0);
	assert_true(agent_devices_ready(f->devices, pod));
	assert_int_equal(f->writes, 1);
	check_given(f, pod, "c0 /dev/cam0=/dev/camera;");
	test_loop_run(f->loop, 600000);
	assert_int_equal(f->writes, 1); /* idle, nothing is written */
}

static void containers_have_their_own(void **state)
{
	struct fixture *f = *state;
	open_devices(f, "boot");
	struct object *pod CLEANUP(object_done) = make_pod("u1", WANTS("-1", "-2", "1", "1"));
	test_loop_run(f->loop, 10);
	(void)agent_devices_ready(f->devices, pod);
	check_given(f, pod,
		"c0 /dev/cam0=/dev/camera;c1 /dev/cam0=/dev/camera;c1 /dev/cam1=/dev/camera1;"
		"c2 /dev/cam0=/dev/camera;c3 /dev/cam1=/dev/camera;");
}

static void pods_wait_and_are_refused(void **state)
{
	struct fixture *f = *state;
	open_devices(f, "boot");
	struct object *pod CLEANUP(object_done) = make_pod("u1", WANTS("3"));
	test_loop_run(f->loop, 10);
	assert_false(agent_devices_ready(f->devices, pod));
	assert_string_equal(f->waiting,
		"u1: 3 of continuo.dev/cam wanted, but only 2 of the 2 here are free");
	f->connected = false;
	test_loop_run(f->loop, 60000);
	assert_string_equal(f->refused, ""); /* an island */
	f->connected = true;
	test_loop_run(f->loop, 15000);
	assert_true(str_starts(f->refused, "u1: 3 of"));
}

static void a_device_that_comes_ends_the_waiting(void **state)
{
	struct fixture *f = *state;
	open_devices(f, "boot");
	struct object *pod CLEANUP(object_done) = make_pod("u1", WANTS("3"));
	test_loop_run(f->loop, 10);
	assert_false(agent_devices_ready(f->devices, pod));
	f->nodes[2] = (struct test_file){"/dev/cam2", "c 81:2"};
	f->changes = 0;
	test_loop_run(f->loop, 4000); /* nothing hints at it here */
	assert_int_equal(offered(f), 3);
	assert_int_equal(f->changes, 1);
	(void)agent_devices_ready(f->devices, pod);
	test_loop_run(f->loop, 60000);
	assert_true(agent_devices_ready(f->devices, pod));
	assert_string_equal(f->refused, "");
}

static void losses_are_told(void **state)
{
	struct fixture *f = *state;
	open_devices(f, "boot");
	struct object *first CLEANUP(object_done) = make_pod("u1", WANTS("1"));
	struct object *second CLEANUP(object_done) = make_pod("u2", WANTS("1"));
	test_loop_run(f->loop, 10);
	(void)agent_devices_ready(f->devices, first);
	(void)agent_devices_ready(f->devices, second);
	test_loop_run(f->loop, 1000);
	f->nodes[1].path = NULL;
	test_loop_run(f->loop, 4000);
	assert_string_equal(f->lost,
		"u2: The device /dev/cam1 (continuo.dev/cam, character 81:1) is "
		"not there any more");
	agent_devices_drop(f->devices, "u2");
	f->lost[0] = '\0';
	f->nodes[0].text = "c 81:7"; /* pulled, and back under another number */
	test_loop_run(f->loop, 4000);
	assert_true(str_starts(f->lost, "u1: The device /dev/cam0"));
	assert_int_equal(offered(f), 1);
}

static void what_went_while_the_agent_was_dead(void **state)
{
	struct fixture *f = *state;
	open_devices(f, "boot");
	struct object *first CLEANUP(object_done) = make_pod("u1", WANTS("1"));
	struct object *second CLEANUP(object_done) = make_pod("u2", WANTS("1"));
	test_loop_run(f->loop, 10);
	(void)agent_devices_ready(f->devices, first);
	(void)agent_devices_ready(f->devices, second);
	test_loop_run(f->loop, 1000);
	agent_devices_free(f->devices);
	f->nodes[0].path = "/dev/cam1";
	f->nodes[0].text = "c 81:1";
	f->nodes[1].path = NULL;

	open_devices(f, "boot");
	test_loop_run(f->loop, 10);
	f->lost[0] = '\0'; /* told before anybody knew the pod */
	agent_devices_adopted(f->devices, second);
	agent_devices_adopted(f->devices, first);
	test_loop_run(f->loop, 10);
	assert_true(str_starts(f->lost, "u1: The device /dev/cam0"));
	check_given(f, second, "c0 /dev/cam1=/dev/camera;");
	agent_devices_keep_only(f->devices, WANTS("u2"), 1);
	test_loop_run(f->loop, 10);
	assert_null(strstr(f->kept, "u1"));
	agent_devices_free(f->devices);

	f->nodes[0].text = "c 90:1"; /* another boot, other numbers */
	f->lost[0] = '\0';
	open_devices(f, "next boot");
	test_loop_run(f->loop, 10);
	assert_string_equal(f->lost, "");
	(void)agent_devices_ready(f->devices, second);
	test_loop_run(f->loop, 10);
	assert_true(agent_devices_ready(f->devices, second));
	check_given(f, second, "c0 /dev/cam1=/dev/camera;");
}

static void a_damaged_file_counts_as_empty(void **state)
{
	struct fixture *f = *state;
	f->kept = mem_dup_string("{\"version\":1,\"pods\":{\"u1\":{\"devices\":[{}]}}}");
	open_devices(f, "boot");
	struct object *pod CLEANUP(object_done) = make_pod("u1", WANTS("2"));
	test_loop_run(f->loop, 10);
	(void)agent_devices_ready(f->devices, pod);
	test_loop_run(f->loop, 10);
	assert_true(agent_devices_ready(f->devices, pod));
}

int main(void)
{
#define DEVICES_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		DEVICES_TEST(pods_start_when_their_part_is_on_disk),
		DEVICES_TEST(containers_have_their_own),
		DEVICES_TEST(pods_wait_and_are_refused),
		DEVICES_TEST(a_device_that_comes_ends_the_waiting),
		DEVICES_TEST(losses_are_told),
		DEVICES_TEST(what_went_while_the_agent_was_dead),
		DEVICES_TEST(a_damaged_file_counts_as_empty),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
