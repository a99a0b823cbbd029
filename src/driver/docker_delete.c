/*
 * Removing a container. An engine that died between a container's start and its note of it takes
 * the container for one that never ran, and would remove it from under its processes. So those are
 * ended first, and the engine is given the time to hear of that. It does not always end what
 * watches them, a containerd-shim that then waits for nobody: that is ended once the container is
 * gone.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"
#include "sys/inside.h"

#define RETRY_MS 100
#define TRIES 50
#define CONFIG_MAX ((size_t)4 << 20)
#define SHIM_LOOKS 10 /* before it is ended */

struct docker_deletion {
	struct docker *docker;
	char *uid, *name;
	char docker_id[65];
	bool killed;
	bool odd;  /* the engine may have lost track of it */
	bool shim; /* it was there when we looked */
	int tries, looks;
	struct loop_timer *timer;
	docker_answer *done;
	void *arg;
};

bool docker_orphans_kill(const struct docker *d, const char *uid, const char *docker_id)
{
	static const char *const names[] = {"", "libpod-"}; /* Docker's and Podman's */
	char *pod CLEANUP(mem_free_ptr) = docker_cgroup(d, uid);
	bool any = false;
	for (size_t i = 0; i < ARRAY_SIZE(names) && *docker_id; i++) {
		char *group CLEANUP(mem_free_ptr) = mem_format("%s/%s%s", pod, names[i], docker_id);
		if (!oci_cgroup_has_processes(group))
			continue;
		oci_cgroup_kill(group);
		any = true;
	}
	return any;
}

static void deletion_end(struct docker_deletion *x, int status, const struct err *e)
{
	x->done(x->arg, status, NULL, e);
	loop_timer_free(x->timer);
	docker_unref(x->docker);
	free(x->uid);
	free(x->name);
	free(x);
}

/* ---- what watched it ---- */

/* containerd-shim-runc-v2 -namespace moby -id ID ...: the words end with NUL each. */
static bool is_shim(const char *pid, const char *docker_id)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	char *path CLEANUP(mem_free_ptr) = mem_format("/proc/%s/cmdline", pid);
	if (oci_read_file(path, &b, NULL) || !strstr(buf_text(&b), "containerd-shim"))
		return false;
	const char *end = b.data + b.size;
	for (const char *word = b.data; word < end; word += strlen(word) + 1)
		if (str_equal(word, "-id") && word + 4 < end)
			return str_equal(word + 4, docker_id);
	return false;
}

/* The folder of a bundle, in which its shim stands; by the name of the folder alone. */
static bool bundle_of(const char *pid, char *ret_folder, size_t size)
{
	char *link CLEANUP(mem_free_ptr) = mem_format("/proc/%s/cwd", pid);
	ssize_t length = readlink(link, ret_folder, size - 1);
	if (length <= 0 || (size_t)length >= size - 1)
		return false;
	ret_folder[length] = '\0';
	const char *id = strrchr(ret_folder, '/');
	return *ret_folder == '/' && strstr(ret_folder, "/io.containerd.runtime.") &&
	       strlen(id + 1) == 64 && strspn(id + 1, "0123456789abcdef") == 64;
}

/* The same of any container in that control group, as the bundle's own file says: one of root's,
 * to which no link leads. */
static bool is_shim_in(const char *pid, const char *group)
{
	char folder[PATH_MAX];
	struct stat st;
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	struct buf spec CLEANUP(buf_done) = BUF_INIT_LIMIT(CONFIG_MAX);
	char *path CLEANUP(mem_free_ptr) = mem_format("/proc/%s/cmdline", pid);
	char *named CLEANUP(mem_free_ptr) = mem_format("\"cgroupsPath\":\"%s/", group);
	if (oci_read_file(path, &b, NULL) || !strstr(buf_text(&b), "containerd-shim") ||
		!bundle_of(pid, folder, sizeof(folder)))
		return false;
	char *config CLEANUP(mem_free_ptr) = mem_format("%s/config.json", folder);
	int fd CLEANUP(oci_fd_done) = inside_open_file(AT_FDCWD, config, RESOLVE_NO_SYMLINKS);
	return fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 0 &&
	       !oci_read_open(fd, config, &spec, NULL) && strstr(buf_text(&spec), named);
}

/* A container has a mount namespace of its own: what runs in one is never the engine's, whatever it
 * calls itself, and none of its memory or folders is looked at. */
static bool is_beside_us(const char *pid)
{
	struct stat ours, its;
	char *path CLEANUP(mem_free_ptr) = mem_format("/proc/%s/ns/mnt", pid);
	return stat("/proc/self/ns/mnt", &ours) == 0 && stat(path, &its) == 0 &&
	       ours.st_ino == its.st_ino && ours.st_dev == its.st_dev;
}

/* True when there is such a shim. Blocking. */
static bool shims_find(bool (*is)(const char *pid, const char *what), const char *what, bool end)
{
	DIR *list = opendir("/proc");
	struct dirent *entry;
	bool any = false;
	while (list && (entry = readdir(list))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		/* Opened first: then it is that process still that is ended. */
		int fd CLEANUP(oci_fd_done) = (int)syscall(SYS_pidfd_open, atoi(entry->d_name), 0);
		if (fd < 0 || !is_beside_us(entry->d_name) || !is(entry->d_name, what))
			continue;
		any = true;
		if (end)
			(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	}
	if (list)
		closedir(list);
	return any;
}

void docker_shims_end(const struct docker *d, const char *uid)
{
	char *group CLEANUP(mem_free_ptr) = docker_cgroup(d, uid);
	(void)shims_find(is_shim_in, group, true);
}

static void shim_work(void *arg)
{
	struct docker_deletion *x = arg;
	x->shim = shims_find(is_shim, x->docker_id, x->looks >= SHIM_LOOKS);
}

static void shim_look(void *arg);

static void shim_done(void *arg)
{
	struct docker_deletion *x = arg;
	struct docker *d = x->docker;
	if (!x->shim || d->closed || x->looks >= SHIM_LOOKS) {
		if (x->shim)
			log_warn(d->log, "shim_ended", "container=%.12s pod=%s", x->docker_id,
				x->uid);
		deletion_end(x, 204, NULL);
		return;
	}
	x->looks++;
	if (!x->timer)
		x->timer = loop_timer_new(d->loop, shim_look, x);
	loop_timer_start(x->timer, RETRY_MS);
}

static void shim_look(void *arg)
{
	struct docker_deletion *x = arg;
	loop_job(x->docker->loop, shim_work, shim_done, x);
}

/* ---- the container ---- */

static void deletion_on_removed(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_deletion *x = arg;
	(void)answer;
	if (e || !x->odd || x->docker->podman) {
		deletion_end(x, status, e);
		return;
	}
	loop_timer_free(take_ptr(x->timer));
	shim_look(x);
}

static void deletion_look(void *arg);

static void deletion_on_inspected(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_deletion *x = arg;
	struct docker *d = x->docker;
	const json_t *state = json_at(answer, "State");
	if (e) {
		deletion_end(x, status, e);
		return;
	}
	bool wait = false;
	const char *says = json_text(state, "", "Status");
	(void)str_copy(x->docker_id, sizeof(x->docker_id), json_text(answer, "", "Id"));
	x->odd = x->odd || (!docker_api_runs(state) && (d->lost || !str_equal(says, "exited")));
	if (!docker_api_runs(state)) {
		bool runs = docker_orphans_kill(d, x->uid, x->docker_id);
		x->killed = x->killed || runs;
		wait = runs || (x->killed && str_equal(says, "created"));
	}
	if (wait && x->tries++ < TRIES && !d->closed) {
		if (!x->timer)
			x->timer = loop_timer_new(d->loop, deletion_look, x);
		loop_timer_start(x->timer, RETRY_MS);
		return;
	}
	docker_request(d, "DELETE", NULL, deletion_on_removed, x, "/containers/%s?force=1&v=1",
		x->name);
}

static void deletion_look(void *arg)
{
	struct docker_deletion *x = arg;
	docker_request(x->docker, "GET", NULL, deletion_on_inspected, x, "/containers/%s/json",
		x->name);
}

void docker_delete(struct docker *d, const char *uid, const char *name, docker_answer *done,
	void *arg)
{
	struct docker_deletion *x = mem_new(struct docker_deletion);
	*x = (struct docker_deletion){.docker = docker_ref(d),
		.uid = mem_dup_string(uid),
		.name = mem_dup_string(name),
		.done = done,
		.arg = arg};
	deletion_look(x);
}
