/* How containers end: conmon's exit files, seen by inotify, and what is removed afterwards. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"
#include "driver/volumes.h"

bool oci_exit_read(const struct oci *o, const char *id, int *ret_code, int64_t *ret_finished_ms)
{
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/exits/%s", o->run_folder, id);
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	struct stat st;
	if (stat(path, &st) < 0 || oci_read_file(path, &b, NULL) || !b.size)
		return false;
	*ret_code = atoi(buf_text(&b));
	*ret_finished_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	return true;
}

bool oci_exit_oom(const struct oci_container *c)
{
	char *cgroup CLEANUP(mem_free_ptr) =
		mem_format("%s/pod-%s/%s", c->oci->cgroup_parent, c->uid, c->id);
	return oci_cgroup_oom_killed(cgroup);
}

void oci_exit_tell(struct oci_container *c, const struct container_status *status)
{
	struct oci *o = c->oci;
	c->running = false;
	oci_monitor_end(c);
	oci_fd_done(&c->pidfd);
	c->pidfd = -1;
	oci_logs_wake(o, c->uid, c->name, c->attempt);
	o->events.on_exit(o->events.arg, status);
}

bool oci_exit_check(struct oci_container *c)
{
	struct container_status status = {.id = c->id, .pod_uid = c->uid};
	if (!c->running || !oci_exit_read(c->oci, c->id, &status.exit_code, &status.finished_ms))
		return false;
	status.oom_killed = status.exit_code != 0 && oci_exit_oom(c);
	oci_exit_tell(c, &status);
	return true;
}

static void exit_on_inotify(void *arg)
{
	struct oci *o = arg;
	char block[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t size = read(o->inotify_fd, block, sizeof(block));
	for (char *at = block; size > 0 && at < block + size;) {
		const struct inotify_event *event = (const void *)at;
		at += sizeof(*event) + event->len;
		if (event->mask & IN_Q_OVERFLOW) {
			MAP_EACH (&o->containers, entry)
				oci_exit_check(entry->value);
			continue;
		}
		struct oci_container *c = event->len ? map_get(&o->containers, event->name) : NULL;
		if (c)
			oci_exit_check(c);
	}
}

int oci_exit_watch(struct oci *o, struct err *e)
{
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/exits", o->run_folder);
	o->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (o->inotify_fd < 0 ||
		inotify_add_watch(o->inotify_fd, folder, IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
		return err_set_errno(e, errno, "cannot watch %s", folder);
	o->inotify = loop_poll_new(o->config.loop, o->inotify_fd, exit_on_inotify, o);
	return 0;
}

/* ---- removal ---- */

/* conmon writes an exit file under the name ID.RANDOM first; one that was killed leaves it. */
static void remove_torn(const struct oci *o, const char *id)
{
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/exits", o->run_folder);
	size_t size = strlen(id);
	DIR *d = opendir(folder);
	if (!d)
		return;
	for (struct dirent *x; (x = readdir(d));)
		if (strncmp(x->d_name, id, size) == 0 && x->d_name[size] == '.')
			(void)unlinkat(dirfd(d), x->d_name, 0);
	closedir(d);
}

void oci_remove_files(const struct oci *o, const char *id, const char *uid)
{
	static const char *const run[] = {"containers", "exits", "sock"};
	for (size_t i = 0; i < ARRAY_SIZE(run); i++) {
		char *path CLEANUP(mem_free_ptr) =
			mem_format("%s/%s/%s", o->run_folder, run[i], id);
		oci_remove_tree(path);
	}
	remove_torn(o, id);
	char *pod CLEANUP(mem_free_ptr) = mem_format("%s/pods/%s", o->run_folder, uid);
	volumes_unmount(pod, id);
	char *layer CLEANUP(mem_free_ptr) =
		mem_format("%s/pods/%s/layers/%s", o->state_folder, uid, id);
	char *cgroup CLEANUP(mem_free_ptr) = mem_format("%s/pod-%s/%s", o->cgroup_parent, uid, id);
	oci_remove_tree(layer);
	oci_cgroup_end(cgroup);
}

struct removal {
	struct oci *oci;
	char id[CONTAINER_ID_SIZE];
	char *uid;
	bool found;
	container_done *done;
	void *arg;
};

/* The runtime's `delete` ends what still runs, and removes its state folder and the cgroups. Mostly
 * nothing runs, and then starting a program for the folder would take a core from the next
 * container. */
static void removal_forget(const struct removal *r)
{
	const struct oci *o = r->oci;
	char *state CLEANUP(mem_free_ptr) = mem_format("%s/%s", o->runtime_root, r->id);
	char *cgroup CLEANUP(mem_free_ptr) =
		mem_format("%s/pod-%s/%s", o->cgroup_parent, r->uid, r->id);
	if (*r->uid && !oci_cgroup_has_processes(cgroup))
		oci_remove_tree(state);
	else if (o->runtime.path[0])
		(void)!oci_runtime_delete(o, &o->runtime, r->id);
}

static void removal_work(void *arg)
{
	struct removal *r = arg;
	if (r->found)
		oci_runtime_end_makers(r->oci, r->id);
	removal_forget(r);
	oci_remove_files(r->oci, r->id, r->uid);
}

static void removal_done(void *arg)
{
	struct removal *r = arg;
	if (r->done)
		r->done(r->arg, NULL);
	oci_unref(r->oci);
	free(r->uid);
	free(r);
}

void oci_remove(struct container_engine *x, const char *id, container_done *done, void *arg)
{
	struct oci *o = oci_of(x);
	struct oci_container *c = map_get(&o->containers, id);
	struct removal *r = mem_new(struct removal);
	*r = (struct removal){.oci = oci_ref(o),
		.uid = mem_dup_string(c ? c->uid : ""),
		.done = done,
		.arg = arg};
	(void)str_copy(r->id, sizeof(r->id), id);
	r->found = c && c->found;
	if (c)
		c->running = false;
	(void)map_remove(&o->containers, r->id);
	loop_job(o->config.loop, removal_work, removal_done, r);
}
