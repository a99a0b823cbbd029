/*
 * What every driver promises (driver.h), held against one: `driver-contract fake`, or
 * `driver-contract oci STATE RUN CGROUP ROOTFS RUNTIME` as root (tests/engine/driver-oci.sh).
 * Prints TAP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/contract.h"

#define ONE(script)                                                                                \
	"{'containers':[{'name':'main','image':'test','command':['/bin/sh','-c','" script          \
	"']}],'terminationGracePeriodSeconds':5}"
#define ONE_WITH(script, more)                                                                     \
	"{'containers':[{'name':'main','image':'test','command':['/bin/sh','-c','" script "'],"    \
	"" more "}],'terminationGracePeriodSeconds':5}"
#define ONCE(script)                                                                               \
	"{'restartPolicy':'Never','containers':[{'name':'main','image':'test','command':['/bin/"   \
	"sh','-c','" script "']}]}"

#define LIMITED(seconds, more)                                                                     \
	"{'activeDeadlineSeconds':" seconds ",'terminationGracePeriodSeconds':1,'containers':[{"   \
	"'name':'main','image':'test','command':['/bin/sh','-c','sleep 100']}]}" more

static void start_runs_and_is_repeatable(void **state)
{
	(void)state;
	bench_start("a1", ONE("sleep 100"));
	assert_true(bench_wait(is_ready, "a1", 5000));
	const struct seen_container *c = bench_container("a1", 0);
	assert_string_equal(bench_seen("a1")->phase, "Running");
	assert_int_equal(c->state, CONTAINER_RUNNING);
	assert_true(c->started);
	assert_true(c->pid > 0);
	assert_true(c->started_ms > 0);
	int pid = c->pid;
	bench_start("a1", ONE("sleep 100"));
	bench_sleep(50);
	assert_int_equal(bench_container("a1", 0)->pid, pid);
	bench_stop("a1", -1);
	assert_true(bench_seen("a1")->stopped);
	bench_stop("a1", -1);
}

static void exit_codes_give_phases(void **state)
{
	(void)state;
	bench_start("b1", ONCE("exit 0"));
	bench_start("b2", ONCE("exit 3"));
	assert_true(bench_wait(is_succeeded, "b1", 5000));
	assert_true(bench_wait(is_failed, "b2", 5000));
	assert_string_equal(bench_container("b1", 0)->reason, "Completed");
	assert_string_equal(bench_container("b2", 0)->reason, "Error");
	assert_int_equal(bench_container("b2", 0)->exit_code, 3);
	assert_int_equal(bench_container("b2", 0)->restarts, 0);
	assert_true(bench_container("b2", 0)->finished_ms >= bench_container("b2", 0)->started_ms);
	bench_stop("b1", 0);
	bench_stop("b2", 0);
}

static bool restarted_twice(const char *name)
{
	return bench_container(name, 0)->restarts >= 2;
}

static bool in_crash_loop(const char *name)
{
	return str_equal(bench_container(name, 0)->reason, "CrashLoopBackOff");
}

static void crashes_are_restarted_with_back_off(void **state)
{
	(void)state;
	bench_start("c1", ONE("exit 1"));
	assert_true(bench_wait(in_crash_loop, "c1", 5000));
	assert_int_equal(bench_container("c1", 0)->restarts, 1);
	assert_true(bench_container("c1", 0)->has_last);
	assert_int_equal(bench_container("c1", 0)->last_exit_code, 1);
	assert_string_equal(bench_container("c1", 0)->last_reason, "Error");
	assert_string_equal(bench_seen("c1")->phase, "Running");
	assert_true(bench_event("c1", "BackOff"));
	assert_true(bench_wait(restarted_twice, "c1", 5000));
	bench_stop("c1", 0);
}

static bool restarted_thrice(const char *name)
{
	return bench_container(name, 0)->restarts == 3;
}

/* The engine lost all it knew with the machine's power; the pod's status says what there was. */
static void runs_before_a_reboot_count(void **state)
{
	(void)state;
	bench_start("c2",
		"{'containers':[{'name':'main','image':'test','command':['/bin/sh','-c','sleep "
		"100']}]},'status':{'containerStatuses':[{'name':'main','containerID':'x://y',"
		"'restartCount':2,'state':{'running':{'startedAt':'2026-01-01T00:00:00Z'}}}]}");
	assert_true(bench_wait(restarted_thrice, "c2", 5000));
	assert_true(is_running("c2"));
	assert_true(bench_container("c2", 0)->has_last);
	assert_int_equal(bench_container("c2", 0)->last_exit_code, 137);
	assert_string_equal(bench_container("c2", 0)->last_reason, "ContainerStatusUnknown");
	bench_stop("c2", 0);
}

static void on_failure_stops_at_success(void **state)
{
	(void)state;
	bench_start("d1",
		"{'restartPolicy':'OnFailure','containers':[{'name':'main','image':'test',"
		"'command':['/bin/sh','-c','exit 0']}]}");
	assert_true(bench_wait(is_succeeded, "d1", 5000));
	assert_int_equal(bench_container("d1", 0)->restarts, 0);
	bench_stop("d1", 0);
}

static void stop_is_graceful_then_hard(void **state)
{
	(void)state;
	int64_t before_ms;
	bench_start("e1", ONE("trap \\\"exit 7\\\" TERM; sleep 100 & wait"));
	bench_start("e2", ONE("trap \\\"\\\" TERM; while true; do sleep 1; done"));
	assert_true(bench_wait(is_ready, "e1", 5000));
	assert_true(bench_wait(is_ready, "e2", 5000));
	bench_sleep(100); /* the shells set their traps; nothing tells when */
	before_ms = loop_now_ms(bench.loop);
	bench_stop("e1", -1);
	assert_true(loop_now_ms(bench.loop) - before_ms < 2000);
	assert_int_equal(bench_container("e1", 0)->exit_code, 7);
	before_ms = loop_now_ms(bench.loop);
	bench_stop_only("e2", 60);
	bench_sleep(100);
	assert_false(bench_seen("e2")->stopped);
	bench_stop("e2", 1); /* sooner */
	assert_true(loop_now_ms(bench.loop) - before_ms < 4000);
	assert_int_equal(bench_container("e2", 0)->exit_code, 137);
	assert_true(bench_event("e2", "Killing"));
}

static void init_containers_run_in_order(void **state)
{
	(void)state;
	bench_start("f1", "{'initContainers':[{'name':'one','image':'test','command':['/bin/"
			  "sh','-c','exit 0']},"
			  "{'name':'two','image':'test','command':['/bin/sh','-c','exit 0']}],"
			  "'containers':[{'name':'main','image':'test','command':['/bin/"
			  "sh','-c','sleep 100']}]}");
	assert_true(bench_wait(is_ready, "f1", 8000));
	const struct seen *s = bench_seen("f1");
	assert_true(s->initialized);
	assert_true(s->containers[0].init && s->containers[1].init && !s->containers[2].init);
	assert_string_equal(s->containers[0].reason, "Completed");
	assert_true(s->containers[0].finished_ms <= s->containers[1].started_ms + 1);
	assert_true(s->containers[1].finished_ms <= s->containers[2].started_ms + 1);
	bench_stop("f1", 0);
	bench_start("f2",
		"{'restartPolicy':'Never','initContainers':[{'name':'one','image':'test','command':"
		"["
		"'/bin/sh','-c','exit 4']}],'containers':[{'name':'main','image':'test'}]}");
	assert_true(bench_wait(is_failed, "f2", 5000));
	assert_int_equal(bench_container("f2", 0)->exit_code, 4);
	assert_int_equal(bench_container("f2", 1)->state, CONTAINER_WAITING);
	bench_stop("f2", 0);
}

static void missing_images_are_told(void **state)
{
	(void)state;
	bench_start("g1", "{'containers':[{'name':'main','image':'missing'}]}");
	assert_true(bench_wait(is_waiting_with_reason, "g1", 5000));
	assert_non_null(strstr(bench_container("g1", 0)->reason, "Pull"));
	assert_string_equal(bench_seen("g1")->phase, "Pending");
	bench_stop("g1", -1);
	assert_true(bench_seen("g1")->stopped);
}

static bool has_config_error(const char *name)
{
	return str_equal(bench_container(name, 0)->reason, "CreateContainerConfigError");
}

static void missing_objects_are_waited_for(void **state)
{
	(void)state;
	static const char spec[] =
		ONE_WITH("sleep 100", "'envFrom':[{'configMapRef':{'name':'late'}}]");
	bench_start("h1", spec);
	assert_true(bench_wait(has_config_error, "h1", 5000));
	assert_non_null(strstr(bench_container("h1", 0)->message, "configmap \"late\" not found"));
	bench_object("ConfigMap", "late", "{'KEY':'value'}");
	bench_update("h1", spec);
	assert_true(bench_wait(is_ready, "h1", 5000));
	bench_stop("h1", 0);
	bench_objects_clear();
}

static bool became_unready(const char *name)
{
	return is_running(name) && !bench_container(name, 0)->ready;
}

static bool restarted_once(const char *name)
{
	return bench_container(name, 0)->restarts >= 1;
}

#define PROBE_EXEC(kind, script, more)                                                             \
	"'" kind "':{'exec':{'command':['/bin/sh','-c','" script "']},'periodSeconds':1" more "}"

static void probes_decide_readiness_and_life(void **state)
{
	(void)state;
	bench_start("i1", ONE_WITH("sleep 100", PROBE_EXEC("readinessProbe", "exit 1", "")));
	bench_start("i2", ONE_WITH("sleep 100", PROBE_EXEC("readinessProbe", "exit 0", "")));
	bench_start("i3", ONE_WITH("sleep 100",
				  PROBE_EXEC("livenessProbe", "exit 1", ",'failureThreshold':1")));
	bench_start("i4",
		ONE_WITH("sleep 100", PROBE_EXEC("startupProbe", "exit 0",
					      "") "," PROBE_EXEC("readinessProbe", "exit 0", "")));
	assert_true(bench_wait(is_ready, "i2", 5000));
	assert_true(bench_wait(is_ready, "i4", 5000));
	assert_true(bench_wait(restarted_once, "i3", 10000));
	assert_true(bench_event("i3", "Unhealthy"));
	assert_true(became_unready("i1"));
	assert_false(is_ready("i1"));
	bench_stop("i1", 0);
	bench_stop("i2", 0);
	bench_stop("i3", 0);
	bench_stop("i4", 0);
}

static void commands_run_inside(void **state)
{
	(void)state;
	int code = -1;
	bench_start("j1", ONE("sleep 100"));
	assert_true(bench_wait(is_ready, "j1", 5000));
	char *text CLEANUP(mem_free_ptr) = bench_exec("j1", "echo out; exit 5", &code);
	assert_int_equal(code, 5);
	assert_string_equal(text, "out\n");
	bench_stop("j1", 0);
	char *none CLEANUP(mem_free_ptr) = bench_exec("j1", "exit 0", &code);
	assert_int_equal(code, -1);
}

static void logs_are_kept_and_followed(void **state)
{
	(void)state;
	bool ended = false;
	bench_start("k1", ONE("echo one; echo two; echo three; sleep 1; echo four; exit 1"));
	assert_true(bench_wait(is_ready, "k1", 5000));
	char *followed CLEANUP(mem_free_ptr) = bench_follow("k1", NULL, &ended);
	assert_true(ended);
	assert_string_equal(followed, "one\ntwo\nthree\nfour\n");
	assert_true(bench_wait(restarted_once, "k1", 5000));
	const struct driver_logs tail = {.tail_lines = 2, .previous = true};
	char *last CLEANUP(mem_free_ptr) = bench_logs("k1", &tail);
	assert_string_equal(last, "three\nfour\n");
	const struct driver_logs stamps = {.tail_lines = -1, .previous = true, .timestamps = true};
	char *stamped CLEANUP(mem_free_ptr) = bench_logs("k1", &stamps);
	assert_true(stamped[0] == '2' && strstr(stamped, " one\n"));
	const struct driver_logs limited = {.tail_lines = -1, .previous = true, .limit_bytes = 5};
	char *start CLEANUP(mem_free_ptr) = bench_logs("k1", &limited);
	assert_string_equal(start, "one\nt");
	bench_stop("k1", 0);
}

static int listed;
static void count_state(void *arg, const struct driver_state *state)
{
	(void)arg;
	(void)state;
	listed++;
}

static void count_done(void *arg, const struct err *e)
{
	*(bool *)arg = !e;
}

static void list_is_the_truth(void **state)
{
	(void)state;
	bool done = false;
	bench_start("l1", ONE("sleep 100"));
	bench_start("l2", ONE("sleep 100"));
	assert_true(bench_wait(is_ready, "l1", 5000));
	assert_true(bench_wait(is_ready, "l2", 5000));
	listed = 0;
	bench.driver->ops->list(bench.driver, count_state, count_done, &done);
	bench_sleep(50);
	assert_true(done);
	assert_int_equal(listed, 2);
	int64_t cpu_ns = -1, memory = -1;
	assert_int_equal(bench.driver->ops->stats(bench.driver, "l1", &cpu_ns, &memory, NULL), 0);
	assert_true(cpu_ns >= 0 && memory > 0);
	bench_stop("l1", 0);
	bench_stop("l2", 0);
}

/* From here on only what real containers can show (driver_contract_oci.c). */
extern const struct CMUnitTest contract_oci[];
extern const size_t contract_oci_count;
/* Of the driver oci only (driver_contract_monitors.c). */
extern const struct CMUnitTest contract_monitors[];
extern const size_t contract_monitors_count;
extern const struct CMUnitTest contract_docker[];
extern const size_t contract_docker_count;
extern const struct CMUnitTest contract_hooks[];
extern const size_t contract_hooks_count;

/* names: null terminated; null keeps all. */
static size_t keep_named(struct CMUnitTest *tests, size_t count, char **names)
{
	size_t kept = 0;
	for (size_t i = 0; i < count && names; i++)
		for (char **name = names; *name; name++)
			if (str_equal(tests[i].name, *name))
				tests[kept++] = tests[i];
	return names ? kept : count;
}

static void deadlines_end_pods(void **state)
{
	(void)state;
	/* A daemon takes longer than the others to start something. */
	int64_t deadline_s = bench.docker ? 3 : 1;
	CLEANUP(mem_free_ptr)
	char *spec = mem_format(
		"{'activeDeadlineSeconds':%lld,'terminationGracePeriodSeconds':1,'containers':[{"
		"'name':'main','image':'test','command':['/bin/sh','-c','sleep 100']},{'name':"
		"'other','image':'missing'}]}",
		(long long)deadline_s);
	int64_t before_ms = loop_now_ms(bench.loop);
	bench_start("m1", spec);
	assert_true(bench_wait(is_failed, "m1", 8000));
	assert_true(loop_now_ms(bench.loop) - before_ms >= deadline_s * 1000);
	assert_string_equal(bench_seen("m1")->reason, "DeadlineExceeded");
	assert_true(bench_event("m1", "DeadlineExceeded"));
	assert_true(bench_container("m1", 0)->state == CONTAINER_TERMINATED ||
		    (bench.docker && bench_container("m1", 0)->state == CONTAINER_WAITING));
	assert_int_equal(bench_container("m1", 0)->restarts, 0);
	assert_false(bench_seen("m1")->stopped);
	bench_stop("m1", 0);
	assert_true(bench_seen("m1")->stopped);
}

static int64_t three_hours_late(struct loop *l)
{
	(void)l;
	return ((int64_t)time(NULL) + 3 * 3600) * 1000;
}

static void deadlines_do_not_follow_the_wall_clock(void **state)
{
	(void)state;
	const struct loop_ops *ops = bench.loop->ops;
	struct loop_ops jumped = *ops;
	jumped.wall_ms = three_hours_late;
	bench_start("m2", LIMITED("3600", ""));
	assert_true(bench_wait(is_ready, "m2", 8000));
	bench.loop->ops = &jumped;
	bench_update("m2", LIMITED("3601", ""));
	bench_sleep(100);
	assert_true(is_running("m2"));
	if (bench.real) { /* the fake engine forgets with its driver */
		bench.driver->ops->free(bench.driver);
		bench_open();
		assert_true(bench_wait(is_running, "m2", 8000));
		bench_sleep(100);
		assert_true(is_running("m2"));
	}
	assert_false(bench_event("m2", "DeadlineExceeded"));
	bench.loop->ops = ops;
	bench_stop("m2", 0);
}

/* What passed before the machine's boot is known by the status and the server's time. */
static void deadlines_count_over_boots_by_the_servers_time(void **state)
{
	(void)state;
	const int64_t hour_ms = 3600000, start_ms = 1767225600000; /* 2026-01-01 */
	bench_start("m3", LIMITED("7200", ",'status':{'startTime':'2026-01-01T00:00:00Z'}"));
	assert_true(bench_wait(is_ready, "m3", 8000)); /* the time is not known */
	bench.time_ms = start_ms + hour_ms;
	bench_update("m3", LIMITED("7201", ""));
	bench_sleep(50);
	assert_true(is_running("m3"));
	bench.time_ms = start_ms + 24 * hour_ms; /* a server's clock that jumps later is nothing */
	bench_update("m3", LIMITED("7202", ""));
	bench_sleep(50);
	assert_true(is_running("m3"));
	bench_update("m3", LIMITED("3600", ""));
	assert_true(bench_wait(is_failed, "m3", 8000));
	assert_true(bench_event("m3", "DeadlineExceeded"));
	bench_stop("m3", 0);
	bench.time_ms = -1;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest all[] = {
		cmocka_unit_test(start_runs_and_is_repeatable),
		cmocka_unit_test(exit_codes_give_phases),
		cmocka_unit_test(crashes_are_restarted_with_back_off),
		cmocka_unit_test(runs_before_a_reboot_count),
		cmocka_unit_test(on_failure_stops_at_success),
		cmocka_unit_test(stop_is_graceful_then_hard),
		cmocka_unit_test(init_containers_run_in_order),
		cmocka_unit_test(missing_images_are_told),
		cmocka_unit_test(missing_objects_are_waited_for),
		cmocka_unit_test(probes_decide_readiness_and_life),
		cmocka_unit_test(commands_run_inside),
		cmocka_unit_test(logs_are_kept_and_followed),
		cmocka_unit_test(list_is_the_truth),
		cmocka_unit_test(deadlines_end_pods),
		cmocka_unit_test(deadlines_do_not_follow_the_wall_clock),
		cmocka_unit_test(deadlines_count_over_boots_by_the_servers_time),
	};
	size_t count = ARRAY_SIZE(all);
	if (bench_setup(argc, argv)) {
		fprintf(stderr, "usage: driver-contract fake | oci STATE RUN CGROUP ROOTFS RUNTIME "
				"[TEST...] | docker STATE RUN CGROUP ROOTFS SOCKET [TEST...]\n");
		return 2;
	}
	size_t real = bench.docker ? contract_docker_count : contract_oci_count;
	const struct CMUnitTest *reals = bench.docker ? contract_docker : contract_oci;
	size_t more = bench.real ? real : 0, hooks = contract_hooks_count;
	size_t monitors = bench.real && !bench.docker ? contract_monitors_count : 0;
	struct CMUnitTest *tests = mem_alloc_array(count + hooks + more + monitors, sizeof(*tests));
	memcpy(tests, all, sizeof(all));
	memcpy(tests + count, contract_hooks, hooks * sizeof(*tests));
	memcpy(tests + count + hooks, reals, more * sizeof(*tests));
	memcpy(tests + count + hooks + more, contract_monitors, monitors * sizeof(*tests));
	count = keep_named(tests, count + hooks + more + monitors, argc > 7 ? argv + 7 : NULL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	int rc = _cmocka_run_group_tests(bench.docker ? "driver docker"
					 : bench.real ? "driver oci"
						      : "driver fake",
		tests, count, NULL, NULL);
	bench_done();
	free(tests);
	return rc;
}
