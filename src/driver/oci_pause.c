/*
 * A process namespace that all containers of a pod share (shareProcessNamespace). A namespace lives
 * as long as its first process, so that is none of the containers but continuo-pause.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/oci.h"

static char *pause_path(const char *run_pod, const char *name)
{
	return mem_format("%s/%s", run_pod, name);
}

bool oci_shares_pids(const json_t *pod)
{
	return json_bool(pod, false, "spec", "shareProcessNamespace");
}

/* On a thread of the pool: its next child is the first of a new namespace. A thread that cannot
 * come home would start later programs there: then the process ends. */
static int pause_spawn(const struct oci *o, const char *folder, pid_t *ret_pid)
{
	const char *const argv[] = {o->config.pause_program, NULL};
	const char *const env[] = {NULL};
	const struct oci_spawn spec = {
		.argv = argv, .env = env, .cwd = folder, .new_session = true};
	int home CLEANUP(oci_fd_done) = open("/proc/thread-self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (home < 0 || unshare(CLONE_NEWPID) < 0)
		return -errno;
	int rc = oci_spawn(&spec, ret_pid);
	if (setns(home, CLONE_NEWPID) < 0)
		abort();
	return rc;
}

static int pause_pin(const char *run_pod, pid_t pid, struct err *e)
{
	char text[24];
	int size = snprintf(text, sizeof(text), "%d", (int)pid);
	char *note CLEANUP(mem_free_ptr) = pause_path(run_pod, "pause.pid");
	char *source CLEANUP(mem_free_ptr) = mem_format("/proc/%d/ns/pid", (int)pid);
	char *target CLEANUP(mem_free_ptr) = pause_path(run_pod, "ns/pid");
	int fd CLEANUP(oci_fd_done) = open(target, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	if (fd < 0 || mount(source, target, NULL, MS_BIND, NULL) < 0)
		return err_set_errno(e, errno, "cannot pin a namespace at %s", target);
	return oci_write_file(note, text, (size_t)size, 0600, e);
}

int oci_pause_start(const struct oci *o, const char *run_pod, struct err *e)
{
	char *folder CLEANUP(mem_free_ptr) = pause_path(run_pod, "pause");
	const char *program = o->config.pause_program;
	pid_t pid;
	oci_pause_stop(run_pod); /* of a try that a crash cut off */
	if (!program || access(program, X_OK) < 0)
		return err_set(e, ERR_UNSUPPORTED,
			"shareProcessNamespace needs the program continuo-pause beside the agent");
	char *namespaces CLEANUP(mem_free_ptr) = pause_path(run_pod, "ns");
	int rc = oci_make_folder(folder, 0555, e);
	if (!rc)
		rc = oci_make_folder(namespaces, 0700, e);
	if (rc)
		return rc;
	rc = pause_spawn(o, folder, &pid);
	if (rc)
		return err_set_errno(e, -rc, "cannot make a process namespace");
	char *cgroup CLEANUP(mem_free_ptr) = mem_format("%s/conmon", o->cgroup_parent);
	oci_cgroup_enter(cgroup, pid); /* as conmon: it must outlive us */
	rc = pause_pin(run_pod, pid, e);
	if (rc) {
		(void)kill(pid, SIGKILL);
		(void)!oci_wait(pid);
	}
	return rc;
}

/* Its number may be another's by now, also after a restart of the agent: the namespace tells. */
void oci_pause_stop(const char *run_pod)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	struct stat pinned, own;
	char *note CLEANUP(mem_free_ptr) = pause_path(run_pod, "pause.pid");
	char *target CLEANUP(mem_free_ptr) = pause_path(run_pod, "ns/pid");
	if (oci_read_file(note, &b, NULL) || atoi(buf_text(&b)) <= 1)
		return;
	int pid = atoi(buf_text(&b));
	char *proc CLEANUP(mem_free_ptr) = mem_format("/proc/%d/ns/pid", pid);
	if (stat(target, &pinned) < 0 || stat(proc, &own) < 0 || pinned.st_ino != own.st_ino ||
		pinned.st_dev != own.st_dev)
		return;
	(void)kill(pid, SIGKILL);
	(void)!oci_wait(pid); /* fails when an earlier agent started it: then it is init's */
}
