/* Commands in a running container, by the runtime's own `exec`. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/oci_pod.h"

struct oci_exec {
	struct driver_exec_call base;
	struct oci *oci;
	struct driver_exec spec;
	struct process *process;
	char *pid_file;
	bool cancelled;
	struct err e;
};

static void exec_free(struct oci_exec *x)
{
	(void)unlink(x->pid_file);
	free(x->pid_file);
	oci_unref(x->oci);
	free(x);
}

static void exec_on_stdout(void *arg, const char *data, size_t size)
{
	struct oci_exec *x = arg;
	if (x->spec.on_stdout && !x->cancelled)
		x->spec.on_stdout(x->spec.arg, data, size);
}

static void exec_on_stderr(void *arg, const char *data, size_t size)
{
	struct oci_exec *x = arg;
	if (x->spec.on_stderr && !x->cancelled)
		x->spec.on_stderr(x->spec.arg, data, size);
}

static void exec_on_drained(void *arg)
{
	struct oci_exec *x = arg;
	if (x->spec.on_drained && !x->cancelled)
		x->spec.on_drained(x->spec.arg);
}

static void exec_on_exit(void *arg, int status)
{
	struct oci_exec *x = arg;
	if (!x->cancelled)
		x->spec.on_exit(x->spec.arg, status < 0 ? 128 - status : status, NULL);
	exec_free(x);
}

static void exec_refuse(void *arg)
{
	struct oci_exec *x = arg;
	if (!x->cancelled)
		x->spec.on_exit(x->spec.arg, -1, &x->e);
	exec_free(x);
}

static const char **exec_argv(const struct oci_exec *x, const char *id)
{
	size_t count = 0, n = 0;
	while (x->spec.command[count])
		count++;
	const char **argv = mem_alloc_array(count + 8, sizeof(*argv));
	argv[n++] = x->oci->runtime;
	argv[n++] = "--root";
	argv[n++] = x->oci->runtime_root;
	argv[n++] = "exec";
	argv[n++] = "--pid-file";
	argv[n++] = x->pid_file;
	argv[n++] = id;
	for (size_t i = 0; i < count; i++)
		argv[n++] = x->spec.command[i];
	return argv;
}

void oci_exec(struct container_engine *engine, const char *id, const struct driver_exec *spec,
	struct driver_exec_call **ret_call)
{
	struct oci *o = oci_of(engine);
	struct oci_exec *x = mem_new(struct oci_exec);
	*x = (struct oci_exec){.base.ops = engine->ops, .oci = oci_ref(o), .spec = *spec};
	x->pid_file = mem_format("%s/containers/%s/exec-%p", o->run_folder, id, (void *)x);
	const char **argv CLEANUP(mem_free_ptr) = exec_argv(x, id);
	struct process_spec process = {.argv = argv,
		.on_stdout = exec_on_stdout,
		.on_stderr = exec_on_stderr,
		.on_drained = exec_on_drained,
		.on_exit = exec_on_exit,
		.arg = x,
		.keep_stdin = spec->stdin_open,
		.new_session = true};
	if (process_start(o->config.loop, &process, &x->process, &x->e))
		loop_defer(o->config.loop, exec_refuse, x);
	x->spec.command = NULL; /* the caller's */
	*ret_call = &x->base;
}

void oci_exec_input(struct driver_exec_call *call, const void *data, size_t size)
{
	struct oci_exec *x = CONTAINER_OF(call, struct oci_exec, base);
	if (!x->process || !x->spec.stdin_open)
		return;
	if (size)
		process_write(x->process, data, size);
	else
		process_end_input(x->process);
}

size_t oci_exec_queued(const struct driver_exec_call *call)
{
	const struct oci_exec *x = CONTAINER_OF(call, const struct oci_exec, base);
	return x->process ? process_queued(x->process) : 0;
}

void oci_exec_pause(struct driver_exec_call *call, bool paused)
{
	struct oci_exec *x = CONTAINER_OF(call, struct oci_exec, base);
	if (x->process)
		process_pause(x->process, paused);
}

/* The runtime's child is in the container and would live on: both are killed. */
void oci_exec_cancel(struct driver_exec_call *call)
{
	struct oci_exec *x = CONTAINER_OF(call, struct oci_exec, base);
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	x->cancelled = true;
	if (!x->process)
		return;
	process_pause(x->process, false);
	if (oci_read_file(x->pid_file, &b, NULL) == 0 && atoi(buf_text(&b)) > 1)
		(void)kill(atoi(buf_text(&b)), SIGKILL);
	process_kill(x->process, SIGKILL);
}
