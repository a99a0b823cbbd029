/*
 * conmon is watched as long as its container runs: without it nobody reads the container's output
 * and nobody learns its exit code. A container that lost its monitor is ended at once and counts as
 * killed, as CRI-O does it, so that the pod's restart policy decides and no orphan runs on.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"

/* The number may belong to somebody else by now: conmon's command line carries the id. */
int oci_monitor_open(const struct oci *o, const char *id)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	struct buf line CLEANUP(buf_done) = BUF_INIT;
	char *path CLEANUP(mem_free_ptr) =
		mem_format("%s/containers/%s/conmon.pid", o->run_folder, id);
	if (oci_read_file(path, &b, NULL) || atoi(buf_text(&b)) <= 1)
		return -1;
	int fd = (int)syscall(SYS_pidfd_open, atoi(buf_text(&b)), 0);
	char *proc CLEANUP(mem_free_ptr) = mem_format("/proc/%d/cmdline", atoi(buf_text(&b)));
	if (fd >= 0 && !oci_read_file(proc, &line, NULL) && line.size &&
		memmem(line.data, line.size, id, strlen(id)))
		return fd;
	oci_fd_done(&fd);
	return -1;
}

void oci_monitor_end(struct oci_container *c)
{
	loop_poll_free(take_ptr(c->monitor));
	oci_fd_done(&c->monitor_fd);
	c->monitor_fd = -1;
}

/* The container's own process is gone, after its monitor. */
static void monitor_on_end(void *arg)
{
	struct oci_container *c = arg;
	struct oci *o = c->oci;
	oci_monitor_end(c);
	if (oci_exit_check(c))
		return;
	const struct container_status status = {.id = c->id,
		.pod_uid = c->uid,
		.exit_code = 128 + SIGKILL,
		.lost = true,
		.finished_ms = loop_wall_ms(o->config.loop)};
	oci_exit_tell(c, &status);
}

/* Kills what runs without a monitor, and waits for its end: it may take a while to die. */
static void monitor_lost(struct oci_container *c)
{
	struct oci *o = c->oci;
	oci_monitor_end(c);
	if (oci_exit_check(c))
		return;
	log_warn(o->config.log, "monitor_lost", "container=%s pod=%s name=%s action=kill", c->id,
		c->uid, c->name);
	(void)o->base.ops->signal(&o->base, c->id, SIGKILL, NULL);
	c->monitor_fd = c->pidfd >= 0 ? dup(c->pidfd) : -1;
	if (c->monitor_fd < 0)
		monitor_on_end(c);
	else
		c->monitor = loop_poll_new(o->config.loop, c->monitor_fd, monitor_on_end, c);
}

static void monitor_on_exit(void *arg)
{
	monitor_lost(arg);
}

void oci_monitor_watch(struct oci_container *c, int pidfd)
{
	if (!c->running || c->monitor) {
		oci_fd_done(&pidfd);
		return;
	}
	if (pidfd < 0) {
		monitor_lost(c);
		return;
	}
	c->monitor_fd = pidfd;
	c->monitor = loop_poll_new(c->oci->config.loop, pidfd, monitor_on_exit, c);
}
