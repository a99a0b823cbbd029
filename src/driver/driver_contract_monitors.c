/* conmon, which watches the containers of the driver `oci`: what it holds, and its death at any
 * time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/contract.h"

#define SLEEPER                                                                                    \
	"{'terminationGracePeriodSeconds':1,'containers':[{'name':'main','image':'test','command'" \
	":['/bin/sh','-c','sleep 50']}]}"

static void monitors_have_no_file_of_ours(void **state)
{
	(void)state;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/leak", bench.config.run_folder);
	int leak = open(path, O_RDWR | O_CREAT, 0600); /* not O_CLOEXEC */
	bench_start("zf", SLEEPER);
	assert_true(bench_wait(is_ready, "zf", 5000));
	CLEANUP(mem_free_ptr)
	char *command = mem_format("! ls -l /proc/$(cat %s/containers/*/conmon.pid)/fd | grep %s",
		bench.config.run_folder, path);
	assert_int_equal(system(command), 0);
	bench_stop("zf", 0);
	close(leak);
	unlink(path);
}

static void kill_monitors(void)
{
	CLEANUP(mem_free_ptr)
	char *command =
		mem_format("for f in %s/containers/*/conmon.pid; do kill -KILL $(cat $f); done",
			bench.config.run_folder);
	assert_int_equal(system(command), 0);
}

static bool is_restarted_and_ready(const char *name)
{
	return bench_container(name, 0)->restarts == 1 && is_ready(name);
}

static bool is_restarted_twice_and_ready(const char *name)
{
	return bench_container(name, 0)->restarts >= 2 && is_ready(name);
}

static void lost_monitors_end_their_containers(void **state)
{
	(void)state;
	bench_start("zm", SLEEPER);
	assert_true(bench_wait(is_ready, "zm", 5000));
	bench_sleep(100); /* the watch begins after the start was told */
	int pid = bench_container("zm", 0)->pid;
	kill_monitors();
	assert_true(bench_wait(is_restarted_and_ready, "zm", 5000));
	assert_int_equal(bench_container("zm", 0)->last_exit_code, 137);
	assert_true(bench_event("zm", "MonitorLost"));
	assert_true(bench_process_is_gone(pid));
	bench_sleep(100);
	kill_monitors(); /* no back-off: it is not the container's fault */
	assert_true(bench_wait(is_restarted_twice_and_ready, "zm", 5000));
	bench_stop("zm", 0);
	bench_start("zn", SLEEPER);
	assert_true(bench_wait(is_ready, "zn", 5000));
	pid = bench_container("zn", 0)->pid;
	bench.driver->ops->free(bench.driver);
	bench_sleep(100);
	kill_monitors(); /* while no agent runs */
	assert_false(bench_process_is_gone(pid));
	bench_open();
	assert_true(bench_wait(is_restarted_and_ready, "zn", 5000));
	assert_true(bench_process_is_gone(pid));
	CLEANUP(mem_free_ptr) /* what a conmon leaves that was killed while it wrote */
	char *torn =
		mem_format("cd %s && for id in $(ls containers); do touch exits/$id.ABC123; done",
			bench.config.run_folder);
	assert_int_equal(system(torn), 0);
	bench_stop("zn", 0);
}

/* 0: none has forked itself away yet */
static int monitor_of_the_only_container(void)
{
	CLEANUP(mem_free_ptr)
	char *folder = mem_format("%s/containers", bench.config.run_folder);
	int pid = 0;
	DIR *containers = opendir(folder);
	for (struct dirent *x; containers && (x = readdir(containers));) {
		CLEANUP(mem_free_ptr)
		char *path = mem_format("%s/%s/conmon.pid", folder, x->d_name);
		FILE *file = x->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (file && fscanf(file, "%d", &pid) != 1)
			pid = 0;
		if (file)
			fclose(file);
	}
	if (containers)
		closedir(containers);
	return pid;
}

/* The runtime's processes, not conmon, whose command line has the runtime's in it. */
static void signal_makers(const char *signal)
{
	CLEANUP(mem_free_ptr)
	char *command = mem_format("pkill -%s -f '^[^ ]*/(crun|runc) (.* )?--root %s/runtime '",
		signal, bench.config.run_folder);
	(void)!system(command); /* there may be none */
}

/* crun lets its child go on half a millisecond before it writes down that there is a container: one
 * that loses its parent in between waits for ever. What goes on here does so only after the driver
 * has seen that conmon is gone. */
static void monitors_killed_at_work_leave_nothing(void **state)
{
	(void)state;
	for (int us = 4000; us < 16000; us += 250) {
		const struct timespec pause = {.tv_nsec = us * 1000L};
		int pid;
		bench_start("zw", SLEEPER);
		while (!(pid = monitor_of_the_only_container()))
			bench_sleep(1);
		(void)nanosleep(&pause, NULL);
		signal_makers("STOP");
		assert_int_equal(kill(pid, SIGKILL), 0);
		bench_sleep(150);
		signal_makers("CONT");
		assert_true(bench_wait(is_ready, "zw", 8000));
		bench_stop("zw", 0);
		assert_true(bench_is_clean("zw"));
	}
}

extern const struct CMUnitTest contract_monitors[];
extern const size_t contract_monitors_count;
const struct CMUnitTest contract_monitors[] = {
	cmocka_unit_test(monitors_have_no_file_of_ours),
	cmocka_unit_test(lost_monitors_end_their_containers),
	cmocka_unit_test(monitors_killed_at_work_leave_nothing),
};
const size_t contract_monitors_count = ARRAY_SIZE(contract_monitors);
