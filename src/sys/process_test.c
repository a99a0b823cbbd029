#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "sys/loop_uv.h"
#include "sys/process.h"

#define LIMIT_MS 10000

struct child {
	struct process *p;
	struct buf out;
	bool exited;
	int status;
};

static bool has_exited(void *arg)
{
	return ((struct child *)arg)->exited;
}

static void on_stdout(void *arg, const char *data, size_t size)
{
	struct child *c = arg;
	assert_false(c->exited);
	buf_append(&c->out, data, size);
}

static void on_exit_status(void *arg, int status)
{
	struct child *c = arg;
	assert_false(c->exited);
	c->exited = true;
	c->status = status;
}

static void run(const char *script, struct process_spec spec, struct child *ret_child)
{
	struct loop *l = loop_uv_new(1);
	const char *argv[] = {"sh", "-c", script, NULL};
	spec.argv = argv;
	spec.on_stdout = on_stdout;
	spec.on_exit = on_exit_status;
	spec.arg = ret_child;
	struct err e = ERR_INIT;
	assert_int_equal(process_start(l, &spec, &ret_child->p, &e), 0);
	assert_true(process_pid(ret_child->p) > 0);
	assert_true(loop_uv_run_until(l, has_exited, ret_child, LIMIT_MS));
	loop_uv_free(l);
}

static void test_output_input_and_status(void **state)
{
	(void)state;
	struct child c = {0};
	run("cat; exit 3", (struct process_spec){.input = "some text", .input_size = 9}, &c);
	assert_string_equal(buf_text(&c.out), "some text");
	assert_int_equal(c.status, 3);
	buf_done(&c.out);
}

static void test_signal_is_negative(void **state)
{
	(void)state;
	struct child c = {0};
	run("kill -9 $$", (struct process_spec){0}, &c);
	assert_int_equal(c.status, -SIGKILL);
	buf_done(&c.out);
}

/* A grandchild keeps stdout open, as conmon does. */
static void test_exit_does_not_wait_for_grandchildren(void **state)
{
	(void)state;
	struct child c = {0};
	run("sleep 60 & echo $!; exit 0", (struct process_spec){0}, &c);
	assert_int_equal(c.status, 0);
	int pid = atoi(buf_text(&c.out));
	assert_true(pid > 0);
	kill(pid, SIGKILL);
	buf_done(&c.out);
}

static void test_child_gets_only_standard_descriptors(void **state)
{
	(void)state;
	int leak = dup(0);
	struct child c = {0};
	/* ls itself opens one for the folder. */
	run("cd /proc/self/fd && echo 0 1 2 >/dev/null; for f in *; do [ -e $f ] && printf '%s ' "
	    "$f; done",
		(struct process_spec){0}, &c);
	assert_string_equal(buf_text(&c.out), "0 1 2 ");
	close(leak);
	buf_done(&c.out);
}

static void test_missing_program(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	const char *argv[] = {"/nonexistent/program", NULL};
	struct process_spec spec = {.argv = argv};
	struct err e = ERR_INIT;
	assert_int_equal(process_start(l, &spec, NULL, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, "/nonexistent/program"));
	loop_uv_free(l);
}

struct ran {
	bool done;
	char out[64], err_text[64];
	int status;
};

static bool ran_done(void *arg)
{
	return ((struct ran *)arg)->done;
}

static void on_ran(void *arg, const struct process_result *r)
{
	struct ran *ran = arg;
	ran->done = true;
	ran->status = r->status;
	strncpy(ran->out, r->out, sizeof(ran->out) - 1);
	strncpy(ran->err_text, r->err_text, sizeof(ran->err_text) - 1);
}

static void test_run_collects_both(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	const char *argv[] = {"sh", "-c", "tr a-z A-Z; echo oops >&2; exit 1", NULL};
	struct ran ran = {0};
	assert_int_equal(process_run(l, argv, "abc", 3, on_ran, &ran, NULL), 0);
	assert_true(loop_uv_run_until(l, ran_done, &ran, LIMIT_MS));
	assert_string_equal(ran.out, "ABC");
	assert_string_equal(ran.err_text, "oops\n");
	assert_int_equal(ran.status, 1);
	loop_uv_free(l);
}

static void test_keep_stdin(void **state)
{
	(void)state;
	struct loop *l = loop_uv_new(1);
	struct child c = {0};
	const char *argv[] = {"cat", NULL};
	struct process_spec spec = {.argv = argv,
		.keep_stdin = true,
		.on_stdout = on_stdout,
		.on_exit = on_exit_status,
		.arg = &c};
	assert_int_equal(process_start(l, &spec, &c.p, NULL), 0);
	process_write(c.p, "one ", 4);
	process_write(c.p, "two", 3);
	process_end_input(c.p);
	assert_true(loop_uv_run_until(l, has_exited, &c, LIMIT_MS));
	assert_string_equal(buf_text(&c.out), "one two");
	buf_done(&c.out);
	loop_uv_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_input_and_status),
		cmocka_unit_test(test_signal_is_negative),
		cmocka_unit_test(test_exit_does_not_wait_for_grandchildren),
		cmocka_unit_test(test_child_gets_only_standard_descriptors),
		cmocka_unit_test(test_missing_program),
		cmocka_unit_test(test_run_collects_both),
		cmocka_unit_test(test_keep_stdin),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
