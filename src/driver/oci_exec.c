/* Commands in a running container, by the runtime's own `exec`. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/oci_pod.h"

struct oci_exec {
	struct driver_exec_call base;
	struct oci *oci;
	struct driver_exec spec;
	struct process *process;
	char *bundle, *pid_file, *process_file, *cgroup;
	bool cancelled;
	struct err e;
};

static void exec_free(struct oci_exec *x)
{
	(void)unlink(x->pid_file);
	(void)unlink(x->process_file);
	free(x->bundle);
	free(x->pid_file);
	free(x->process_file);
	free(x->cgroup);
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

/* The container's own process with another command: user, groups, capabilities and the rest are
 * said in full, as crun takes what is not said for root's. A small file on a tmpfs. */
static int exec_write_process(const struct oci_exec *x, struct err *e)
{
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/process.json", x->bundle);
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	json_t *process CLEANUP(json_done) = NULL;
	int rc = oci_read_file(path, &b, e);
	if (!rc)
		rc = json_decode(buf_text(&b), b.size, &process, e);
	if (rc)
		return rc;
	json_t *args = json_array();
	for (size_t i = 0; x->spec.command[i]; i++)
		json_array_append_new(args, json_string(x->spec.command[i]));
	json_object_set_new(process, "args", args);
	char *text CLEANUP(mem_free_ptr) = json_encode_string(process);
	return oci_write_file(x->process_file, text, strlen(text), 0600, e);
}

static int exec_start(struct oci_exec *x, const char *id)
{
	const char *argv[OCI_RUNTIME_ARGS + 7];
	size_t n = oci_runtime_argv(x->oci, &x->oci->runtime, x->cgroup, argv);
	const char *const call[] = {
		"exec", "--pid-file", x->pid_file, "--process", x->process_file, id, NULL};
	memcpy(argv + n, call, sizeof(call));
	const struct process_spec process = {.argv = argv,
		.on_stdout = exec_on_stdout,
		.on_stderr = exec_on_stderr,
		.on_drained = exec_on_drained,
		.on_exit = exec_on_exit,
		.arg = x,
		.keep_stdin = x->spec.stdin_open,
		.new_session = true};
	int rc = exec_write_process(x, &x->e);
	return rc ? rc : process_start(x->oci->config.loop, &process, &x->process, &x->e);
}

void oci_exec(struct container_engine *engine, const char *id, const struct driver_exec *spec,
	struct driver_exec_call **ret_call)
{
	struct oci *o = oci_of(engine);
	struct oci_exec *x = mem_new(struct oci_exec);
	const struct oci_container *c = map_get(&o->containers, id);
	*x = (struct oci_exec){.base.ops = engine->ops, .oci = oci_ref(o), .spec = *spec};
	x->bundle = mem_format("%s/containers/%s", o->run_folder, id);
	x->pid_file = mem_format("%s/exec-%p", x->bundle, (void *)x);
	x->process_file = mem_format("%s/exec-%p.json", x->bundle, (void *)x);
	x->cgroup = mem_format("%s/pod-%s/%s", o->cgroup_parent, c ? c->uid : "", id);
	if (exec_start(x, id))
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
