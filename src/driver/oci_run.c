/*
 * From an image to a running process: the bundle and conmon (a job), `create` below conmon,
 * `start`. conmon says over a pipe which process it made, or why it could not.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci_pod.h"

#define START_TIMEOUT_MS 10000

struct oci_run {
	struct list link; /* in oci->queue */
	struct oci *oci;
	struct oci_pod *pod;
	struct oci_container *container; /* in oci->containers */
	char id[CONTAINER_ID_SIZE];
	char *name;
	int attempt;
	char **env, **args, **layers;
	bool has_command;
	char *image_config;
	char *bundle, *log;
	void (*done)(void *arg, int pid, const struct err *e);
	void *arg;
	int sync_fd;  /* conmon's answers */
	int start_fd; /* conmon waits for a byte in it */
	pid_t conmon; /* the process that forks itself away */
	struct loop_poll *sync;
	struct loop_timer *timeout;
	char answer[2048];
	size_t answer_size;
	int pid;
	struct err e;
};

static void run_free(struct oci_run *r)
{
	oci_pod_free(r->pod);
	free(r->name);
	oci_strings_free(r->env);
	oci_strings_free(r->args);
	oci_strings_free(r->layers);
	free(r->image_config);
	free(r->bundle);
	free(r->log);
	oci_unref(r->oci);
	free(r);
}

/* ---- the end: slot free, done told ---- */

static void run_end(struct oci_run *r)
{
	struct oci *o = r->oci;
	o->busy--;
	if (r->e.code)
		(void)map_remove(&o->containers, r->id);
	else
		r->container->running = true; /* not earlier: done comes before its exit */
	r->done(r->arg, r->pid, r->e.code ? &r->e : NULL);
	if (!r->e.code && !o->closed) {
		oci_rotate_wake(o);
		oci_exit_check(r->container);
	}
	if (!o->closed)
		oci_run_next(o);
	run_free(r);
}

static void run_undo_work(void *arg)
{
	struct oci_run *r = arg;
	oci_runtime_end_makers(r->oci, r->id);
	(void)!oci_runtime_delete(r->oci, &r->oci->runtime, r->id);
	oci_remove_files(r->oci, r->id, r->pod->uid);
}

static void run_undo_done(void *arg)
{
	run_end(arg);
}

static void run_fail(struct oci_run *r)
{
	if (r->sync) {
		loop_poll_free(take_ptr(r->sync));
		close(r->sync_fd);
	}
	loop_job(r->oci->config.loop, run_undo_work, run_undo_done, r);
}

/* ---- start ---- */

/* conmon must outlive us: it goes where a service manager that ends us does not look. Nobody waits
 * for it. */
struct settling {
	struct oci *oci;
	char id[CONTAINER_ID_SIZE];
	char *pid_file;
	int monitor_fd;
};

static void settle_work(void *arg)
{
	struct settling *s = arg;
	CLEANUP(mem_free_ptr) char *cgroup = mem_format("%s/conmon", s->oci->cgroup_parent);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (oci_read_file(s->pid_file, &b, NULL) == 0 && atoi(buf_text(&b)) > 0)
		oci_cgroup_enter(cgroup, atoi(buf_text(&b)));
	s->monitor_fd = oci_monitor_open(s->oci, s->id);
}

static void settle_done(void *arg)
{
	struct settling *s = arg;
	struct oci_container *c = s->oci->closed ? NULL : map_get(&s->oci->containers, s->id);
	if (c)
		oci_monitor_watch(c, s->monitor_fd);
	else
		oci_fd_done(&s->monitor_fd);
	oci_unref(s->oci);
	free(s->pid_file);
	free(s);
}

static void run_settle(const struct oci_run *r)
{
	struct settling *s = mem_new(struct settling);
	*s = (struct settling){
		.oci = oci_ref(r->oci), .pid_file = mem_format("%s/conmon.pid", r->bundle)};
	memcpy(s->id, r->id, sizeof(s->id));
	loop_job(r->oci->config.loop, settle_work, settle_done, s);
}

static void run_started(struct oci_run *r)
{
	r->container->pid = r->pid;
	r->container->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	run_settle(r);
	run_end(r);
}

static void run_on_start(void *arg, const struct process_result *result)
{
	struct oci_run *r = arg;
	if (result->status == 0) {
		run_started(r);
		return;
	}
	(void)err_set(&r->e, ERR_INTERNAL, "cannot start the container: %s", result->err_text);
	run_fail(r);
}

static char *run_fifo_path(const struct oci_run *r)
{
	return mem_format("%s/%s/exec.fifo", r->oci->runtime_root, r->id);
}

static void run_fifo_over(struct oci_run *r, bool started)
{
	CLEANUP(mem_free_ptr) char *path = run_fifo_path(r);
	loop_poll_free(take_ptr(r->sync));
	close(r->sync_fd);
	loop_timer_free(take_ptr(r->timeout));
	if (started) {
		(void)unlink(path); /* what tells runc that it was started */
		run_started(r);
		return;
	}
	(void)err_set(&r->e, ERR_INTERNAL, "the container ended before it was started");
	run_fail(r);
}

static void run_on_fifo(void *arg)
{
	struct oci_run *r = arg;
	char byte;
	ssize_t n = read(r->sync_fd, &byte, 1);
	if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		run_fifo_over(r, n == 1);
}

static void run_on_timeout(void *arg)
{
	run_fifo_over(arg, false);
}

/* crun's init waits for a byte from a fifo in its state folder, and `crun start` writes it. */
static bool run_crun_by_fifo(struct oci_run *r)
{
	CLEANUP(mem_free_ptr) char *path = run_fifo_path(r);
	int fd CLEANUP(oci_fd_done) = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || write(fd, "", 1) != 1)
		return false;
	(void)unlink(path); /* what tells crun that it was started */
	run_started(r);
	return true;
}

/* runc's init waits until somebody reads from such a fifo; `runc start` is a process of 20 ms that
 * does nothing else. Other runtimes are asked in the ordinary way. */
static bool run_by_fifo(struct oci_run *r)
{
	CLEANUP(mem_free_ptr) char *path = run_fifo_path(r);
	if (str_ends(r->oci->runtime.path, "/crun"))
		return run_crun_by_fifo(r);
	if (!str_ends(r->oci->runtime.path, "/runc"))
		return false;
	r->sync_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (r->sync_fd < 0)
		return false;
	r->sync = loop_poll_new(r->oci->config.loop, r->sync_fd, run_on_fifo, r);
	r->timeout = loop_timer_new(r->oci->config.loop, run_on_timeout, r);
	loop_timer_start(r->timeout, START_TIMEOUT_MS);
	return true;
}

static void run_start_it(struct oci_run *r)
{
	const char *argv[OCI_RUNTIME_ARGS + 3];
	if (run_by_fifo(r))
		return;
	size_t n = oci_runtime_argv(r->oci, &r->oci->runtime, "-", argv);
	argv[n++] = "start";
	argv[n++] = r->id;
	argv[n] = NULL;
	if (process_run(r->oci->config.loop, argv, NULL, 0, run_on_start, r, &r->e))
		run_fail(r);
}

/* ---- conmon ---- */

/* What stands in the runtime's message, without its log line around it. */
static void run_create_error(struct oci_run *r, const char *message)
{
	const char *text = strstr(message, "msg=\"");
	text = text ? text + 5 : message;
	char line[300];
	size_t size = strcspn(text, "\n");
	snprintf(line, sizeof(line), "%.*s", (int)str_cut(text, size < 299 ? size : 299), text);
	(void)err_set(&r->e, ERR_INTERNAL, "cannot create the container: %s", line);
}

static void run_on_answer(struct oci_run *r)
{
	json_t *answer CLEANUP(json_done) = json_loads(r->answer, 0, NULL);
	loop_poll_free(take_ptr(r->sync));
	close(r->sync_fd);
	r->pid = (int)json_int(answer, -1, "data");
	if (r->pid > 0) {
		run_start_it(r);
		return;
	}
	run_create_error(r, json_text(answer, "conmon ended without a word", "message"));
	run_fail(r);
}

static void run_on_sync(void *arg)
{
	struct oci_run *r = arg;
	ssize_t n = read(r->sync_fd, r->answer + r->answer_size,
		sizeof(r->answer) - 1 - r->answer_size);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		r->answer_size += (size_t)n;
		r->answer[r->answer_size] = '\0';
		if (!strchr(r->answer, '\n') && r->answer_size < sizeof(r->answer) - 1)
			return;
	}
	run_on_answer(r);
}

/* ---- conmon and the bundle ---- */

/* A pipe of which both ends are above what a child gets, so that they can be put in its place. */
static int high_pipe(int fds[2])
{
	int low[2];
	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		fds[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
		close(low[i]);
	}
	if (fds[0] >= 0 && fds[1] >= 0)
		return 0;
	oci_fd_done(&fds[0]);
	oci_fd_done(&fds[1]);
	return -EMFILE;
}

static int conmon_spawn(struct oci_run *r, const int fds[2])
{
	const struct oci *o = r->oci;
	char *pid CLEANUP(mem_free_ptr) = mem_format("%s/pid", r->bundle);
	char *conmon_pid CLEANUP(mem_free_ptr) = mem_format("%s/conmon.pid", r->bundle);
	char *log CLEANUP(mem_free_ptr) = mem_format("k8s-file:%s", r->log);
	char *exits CLEANUP(mem_free_ptr) = mem_format("%s/exits", o->run_folder);
	char *persist CLEANUP(mem_free_ptr) = mem_format("%s/persist", r->bundle);
	char *sockets CLEANUP(mem_free_ptr) = mem_format("%s/sock", o->run_folder);
	char *cgroup CLEANUP(mem_free_ptr) =
		mem_format("%s/pod-%s/%s", o->cgroup_parent, r->pod->uid, r->id);
	const char *runtime[OCI_RUNTIME_ARGS];
	size_t count = oci_runtime_argv(o, &o->runtime, cgroup, runtime);
	const char *argv[25 + 2 * OCI_RUNTIME_ARGS] = {o->conmon, "--api-version", "1", "-c", r->id,
		"-u", r->id, "-n", r->name, "-r", runtime[0], "-b", r->bundle, "-p", pid,
		"--conmon-pidfile", conmon_pid, "-l", log, "--no-sync-log", "--exit-dir", exits,
		"--persist-dir", persist, "--socket-dir-path"};
	size_t n = 25;
	argv[n++] = sockets;
	for (size_t i = 1; i < count; i++) {
		argv[n++] = "--runtime-arg";
		argv[n++] = runtime[i];
	}
	/* Nothing of ours but the way to programs: no locale to load, no secret to see. */
	const char *const path = getenv("PATH");
	char *path_line CLEANUP(mem_free_ptr) =
		mem_format("PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
	const char *const env[] = {"_OCI_SYNCPIPE=3", "_OCI_STARTPIPE=4", path_line, NULL};
	const struct oci_spawn spec = {.argv = argv,
		.env = env,
		.cwd = r->bundle,
		.fds = {fds[0], fds[1]},
		.fd_count = 2,
		.new_session = true};
	return oci_spawn(&spec, &r->conmon);
}

/* Starts conmon, which comes up while we make the bundle: it waits for a byte on the start pipe
 * before it forks itself away and calls the runtime. */
static int run_conmon(struct oci_run *r, struct err *e)
{
	int sync[2] = {-1, -1}, start[2] = {-1, -1};
	int rc = high_pipe(sync);
	if (!rc)
		rc = high_pipe(start);
	if (!rc)
		rc = conmon_spawn(r, (const int[]){sync[1], start[0]});
	oci_fd_done(&sync[1]);
	oci_fd_done(&start[0]);
	if (rc) {
		oci_fd_done(&sync[0]);
		oci_fd_done(&start[1]);
		return err_set_errno(e, -rc, "cannot start conmon");
	}
	(void)fcntl(sync[0], F_SETFL, O_NONBLOCK);
	r->sync_fd = sync[0];
	r->start_fd = start[1];
	return 0;
}

/* Lets conmon go on, or ends it, and reaps the process that it forks itself away from. */
static void conmon_release(struct oci_run *r, bool go)
{
	if (!go)
		(void)kill(r->conmon, SIGKILL);
	else if (write(r->start_fd, "", 1) < 0)
		(void)err_set_errno(&r->e, errno, "cannot start conmon");
	if (r->e.code)
		oci_fd_done(&r->sync_fd);
	oci_fd_done(&r->start_fd);
	(void)!oci_wait(r->conmon);
}

static int run_write_meta(const struct oci_run *r, struct err *e)
{
	json_t *meta CLEANUP(json_done) = json_pack("{s:s,s:s,s:i,s:b}", "uid", r->pod->uid, "name",
		r->name, "attempt", r->attempt, "hostPID", r->container->host_pid);
	char *text CLEANUP(mem_free_ptr) = json_encode_string(meta);
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/meta.json", r->bundle);
	return oci_write_file(path, text, strlen(text), 0600, e);
}

static int run_write_spec(const struct oci_run *r, const char *rootfs, struct err *e)
{
	json_t *image CLEANUP(json_done) = NULL;
	json_t *spec CLEANUP(json_done) = NULL;
	int rc = json_decode(r->image_config, strlen(r->image_config), &image, e);
	struct oci_bundle b = {.oci = r->oci,
		.id = r->id,
		.uid = r->pod->uid,
		.pod = r->pod->tree,
		.container = oci_pod_container(r->pod->tree, r->name),
		.image = image,
		.objects = (const struct object *const *)r->pod->objects,
		.object_count = r->pod->object_count,
		.env = (const char *const *)r->env,
		.args = (const char *const *)r->args,
		.has_command = r->has_command,
		.rootfs = rootfs,
		.run_pod = r->pod->run_folder,
		.state_pod = r->pod->state_folder,
		.privilege = r->pod->privilege,
		.devices = r->pod->devices,
		.device_count = r->pod->device_count,
		.host_network = r->pod->host_network};
	if (!rc)
		rc = oci_spec_build(&b, &spec, e);
	if (rc)
		return rc;
	char *text CLEANUP(mem_free_ptr) = json_encode_string(spec);
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/config.json", r->bundle);
	char *process CLEANUP(mem_free_ptr) = json_encode_string(json_at(spec, "process"));
	char *process_path CLEANUP(mem_free_ptr) = mem_format("%s/process.json", r->bundle);
	rc = oci_write_file(path, text, strlen(text), 0600, e);
	return rc ? rc : oci_write_file(process_path, process, strlen(process), 0600, e);
}

static int run_folders(const struct oci_run *r, struct err *e)
{
	char *persist CLEANUP(mem_free_ptr) = mem_format("%s/persist", r->bundle);
	char *logs CLEANUP(mem_free_ptr) = mem_dup_string(r->log);
	*strrchr(logs, '/') = '\0';
	int rc = oci_make_folder(persist, 0700, e);
	if (!rc)
		rc = oci_make_folder(logs, 0700, e);
	if (!rc)
		oci_log_prune(logs, r->attempt);
	return rc;
}

static void run_prepare_work(void *arg)
{
	struct oci_run *r = arg;
	char *rootfs CLEANUP(mem_free_ptr) = mem_format("%s/rootfs", r->bundle);
	char *layer CLEANUP(mem_free_ptr) = mem_format("%s/layers/%s", r->pod->state_folder, r->id);
	if (run_folders(r, &r->e) || run_conmon(r, &r->e))
		return;
	int rc = run_write_meta(r, &r->e);
	if (!rc)
		rc = oci_pod_write_files(r->pod, &r->e);
	if (!rc)
		rc = oci_rootfs_mount(rootfs, layer, (const char *const *)r->layers, &r->e);
	if (!rc)
		rc = run_write_spec(r, rootfs, &r->e);
	conmon_release(r, rc == 0);
}

static void run_prepare_done(void *arg)
{
	struct oci_run *r = arg;
	if (r->e.code)
		run_fail(r);
	else
		r->sync = loop_poll_new(r->oci->config.loop, r->sync_fd, run_on_sync, r);
}

/* ---- the queue ---- */

void oci_run_next(struct oci *o)
{
	while (o->runtime.path[0] && o->busy < OCI_PARALLEL && !list_empty(&o->queue)) {
		struct oci_run *r = LIST_ITEM(o->queue.next, struct oci_run, link);
		list_remove(&r->link);
		o->busy++;
		loop_job(o->config.loop, run_prepare_work, run_prepare_done, r);
	}
}

void oci_run_refuse(struct oci *o)
{
	while (!list_empty(&o->queue)) {
		struct oci_run *r = LIST_ITEM(o->queue.next, struct oci_run, link);
		list_remove(&r->link);
		o->busy++;
		(void)err_set(&r->e, ERR_UNAVAILABLE, "no container runtime works here: %s",
			o->probe.detail);
		run_end(r);
	}
}

void oci_run_start(struct container_engine *x, const struct container_spec *spec,
	void (*done)(void *arg, int pid, const struct err *e), void *arg)
{
	struct oci *o = oci_of(x);
	struct oci_run *r = mem_new(struct oci_run);
	*r = (struct oci_run){.oci = oci_ref(o),
		.pod = oci_pod_new(o, &spec->pod),
		.name = mem_dup_string(spec->name),
		.attempt = spec->attempt,
		.env = oci_strings_copy(spec->env),
		.args = oci_strings_copy(spec->args),
		.layers = oci_strings_copy(spec->layers),
		.has_command = spec->has_command,
		.image_config = mem_dup_string(spec->image_config_json),
		.bundle = mem_format("%s/containers/%s", o->run_folder, spec->id),
		.log = oci_log_path(o, spec->pod.uid, spec->name, spec->attempt),
		.done = done,
		.arg = arg};
	memcpy(r->id, spec->id, sizeof(r->id));
	r->container = oci_container_new(o, r->id, r->pod->uid, r->name, r->attempt);
	r->container->host_pid =
		json_bool(r->pod->tree, false, "spec", "hostPID") || oci_shares_pids(r->pod->tree);
	map_put(&o->containers, r->id, r->container);
	list_append(&o->queue, &r->link);
	if (!o->runtime.path[0])
		oci_probe(x, NULL, NULL);
	oci_run_next(o);
}
