#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/docker.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GROUP "/continuo-shims-test/pod-u1"

static char top[] = "/tmp/continuo-shims-XXXXXX";
static char *bundle;

static void shell(const char *text)
{
	CLEANUP(mem_free_ptr) char *command = mem_format("cd %s && %s", bundle, text);
	assert_int_equal(system(command), 0);
}

/* A process that calls itself a shim and stands in the bundle; contained: where it sees mounts of
 * its own, as all that runs in a container does. */
static pid_t shim(bool contained)
{
	int ready[2];
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || chdir(bundle) < 0 ||
			(contained && unshare(CLONE_NEWNS) < 0))
			_exit(1);
		execlp("sleep", "containerd-shim-runc-v2", "1000", NULL);
		_exit(1);
	}
	assert_true(pid > 0);
	close(ready[1]);
	char byte;
	assert_int_equal(read(ready[0], &byte, 1), 0); /* it was closed by exec */
	close(ready[0]);
	return pid;
}

/* Whether the shim was killed; else it is ended now. */
static bool look_for_shims(pid_t pid)
{
	struct oci o = {.cgroup_parent = "/continuo-shims-test"};
	const struct docker d = {.oci = &o};
	int status = 0;
	alarm(10); /* rather than wait for a writer for ever */
	docker_shims_end(&d, "u1");
	alarm(0);
	/* If it was killed, that came first. */
	(void)kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void test_shim_of_the_pod_is_ended(void **state)
{
	(void)state;
	shell("echo '{\"linux\":{\"cgroupsPath\":\"" GROUP "/x\"}}' >config.json");
	assert_true(look_for_shims(shim(false)));
	shell("echo '{\"linux\":{\"cgroupsPath\":\"/continuo-shims-test/pod-u2/x\"}}' "
	      ">config.json");
	assert_false(look_for_shims(shim(false)));
}

static void test_container_is_no_shim(void **state)
{
	(void)state;
	shell("echo '{\"linux\":{\"cgroupsPath\":\"" GROUP "/x\"}}' >config.json");
	assert_false(look_for_shims(shim(true)));
}

static void test_pipe_in_place_of_the_bundle(void **state)
{
	(void)state;
	shell("rm -f config.json && mkfifo config.json");
	assert_false(look_for_shims(shim(true)));
	assert_false(look_for_shims(shim(false)));
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	bundle = mem_format("%s/io.containerd.runtime.v2.task/moby/" ID, top);
	return oci_make_folder(bundle, 0755, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	oci_remove_tree(top);
	free(bundle);
	return 0;
}

int main(void)
{
	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root: it makes mount namespaces");
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shim_of_the_pod_is_ended),
		cmocka_unit_test(test_container_is_no_shim),
		cmocka_unit_test(test_pipe_in_place_of_the_bundle),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
