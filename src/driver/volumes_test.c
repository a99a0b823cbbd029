#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/oci.h"
#include "driver/volumes.h"

static char top[] = "/tmp/continuo-volumes-XXXXXX";
static char *run, *state, *volume;

/* In a mount namespace of our own: nothing of it outlives us. False: that needs root. */
static bool alone(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0;
}

static void shell(const char *format)
{
	CLEANUP(mem_free_ptr) char *command = mem_format("cd %s && %s", top, format);
	assert_int_equal(system(command), 0);
}

static bool says(const char *path, const char *text)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	return oci_read_file(path, &b, NULL) == 0 && strcmp(buf_text(&b), text) == 0;
}

static int mount_sub(const char *id, const char *sub, json_t *mounts, struct err *e)
{
	json_t *pod CLEANUP(json_done) =
		json_pack("{s:{s:[{s:s,s:{}}]}}", "spec", "volumes", "name", "v", "emptyDir");
	json_t *container CLEANUP(json_done) = json_pack("{s:[{s:s,s:s,s:s}]}", "volumeMounts",
		"name", "v", "mountPath", "/s", "subPath", sub);
	const struct volumes v = {.pod = pod,
		.run_folder = run,
		.state_folder = state,
		.privilege = "baseline",
		.container_id = id};
	int rc = volumes_make(&v, e);
	return rc ? rc : volumes_mount(&v, container, mounts, e);
}

static const char *source_of(const json_t *mounts)
{
	return json_string_value(json_object_get(json_array_get(mounts, 0), "source"));
}

/* Another container of the pod changes the volume after it was looked at, before the runtime
 * mounts. */
static void test_swapped_sub_path_does_not_lead_out(void **unused)
{
	(void)unused;
	struct err e = ERR_INIT;
	json_t *mounts CLEANUP(json_done) = json_array();
	shell("mkdir -p state/volumes/v/sub outside && echo -n in >state/volumes/v/sub/marker && "
	      "echo -n out >outside/marker");
	assert_int_equal(mount_sub("c1", "sub", mounts, &e), 0);
	shell("mv state/volumes/v/sub state/volumes/v/old && ln -s $PWD/outside "
	      "state/volumes/v/sub");
	CLEANUP(mem_free_ptr) char *marker = mem_format("%s/marker", source_of(mounts));
	assert_true(says(marker, "in"));
	json_t *again CLEANUP(json_done) = json_array();
	assert_int_not_equal(mount_sub("c2", "sub", again, &e), 0);
	shell("rm state/volumes/v/sub");
}

static void test_sub_path_of_a_file(void **unused)
{
	(void)unused;
	struct err e = ERR_INIT;
	json_t *mounts CLEANUP(json_done) = json_array();
	shell("mkdir -p state/volumes/v && echo -n one >state/volumes/v/file");
	assert_int_equal(mount_sub("c3", "file", mounts, &e), 0);
	shell("ln -sf $PWD/outside/marker state/volumes/v/link && mv -f state/volumes/v/link "
	      "state/volumes/v/file");
	assert_true(says(source_of(mounts), "one"));
}

static void test_sub_paths_go_with_their_container(void **unused)
{
	(void)unused;
	struct err e = ERR_INIT;
	json_t *mounts CLEANUP(json_done) = json_array(), *kept CLEANUP(json_done) = json_array();
	struct map containers CLEANUP(map_done);
	map_init(&containers, NULL);
	map_put(&containers, "c5", &containers);
	shell("mkdir -p state/volumes/v/x && echo -n safe >state/volumes/v/x/marker");
	assert_int_equal(mount_sub("c4", "x", mounts, &e), 0);
	assert_int_equal(mount_sub("c5", "x", kept, &e), 0);
	volumes_sweep(run, &containers);
	assert_int_not_equal(access(source_of(mounts), F_OK), 0);
	CLEANUP(mem_free_ptr) char *marker = mem_format("%s/marker", source_of(kept));
	assert_true(says(marker, "safe"));
	volumes_unmount(run, "c5");
	assert_int_not_equal(access(source_of(kept), F_OK), 0);
	CLEANUP(mem_free_ptr) char *origin = mem_format("%s/x/marker", volume);
	assert_true(says(origin, "safe"));
}

static int set_up(void **unused)
{
	(void)unused;
	if (!mkdtemp(top))
		return -1;
	run = mem_format("%s/run", top);
	state = mem_format("%s/state", top);
	volume = mem_format("%s/state/volumes/v", top);
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	oci_remove_tree(top);
	free(run);
	free(state);
	free(volume);
	return access(top, F_OK) == 0 ? -1 : 0;
}

int main(void)
{
	if (!alone()) {
		puts("1..0 # SKIP needs root: it mounts");
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_swapped_sub_path_does_not_lead_out),
		cmocka_unit_test(test_sub_path_of_a_file),
		cmocka_unit_test(test_sub_paths_go_with_their_container),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
