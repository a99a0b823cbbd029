/* The engine's vtable, and what it finds again after a restart of the agent. */
#include "driver/oci.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/volumes.h"

struct oci *oci_of(struct container_engine *x)
{
	return CONTAINER_OF(x, struct oci, base);
}

/* ---- references ---- */

struct oci *oci_ref(struct oci *o)
{
	o->references++;
	return o;
}

void oci_unref(struct oci *o)
{
	if (--o->references > 0)
		return;
	map_done(&o->containers);
	free(o->state_folder);
	free(o->run_folder);
	free(o->cgroup_parent);
	free(o->node_name);
	free(o->runtime_root);
	free(o->wrapper);
	free(o);
}

struct oci_container *oci_container_new(struct oci *o, const char *id, const char *uid,
	const char *name, int attempt)
{
	struct oci_container *c = mem_new(struct oci_container);
	*c = (struct oci_container){.oci = o,
		.uid = mem_dup_string(uid),
		.name = mem_dup_string(name),
		.attempt = attempt,
		.pidfd = -1,
		.monitor_fd = -1};
	(void)str_copy(c->id, sizeof(c->id), id);
	return c;
}

void oci_container_free(void *container)
{
	struct oci_container *c = container;
	oci_monitor_end(c);
	oci_fd_done(&c->pidfd);
	free(c->uid);
	free(c->name);
	free(c);
}

static void oci_set_events(struct container_engine *x, const struct container_events *events)
{
	oci_of(x)->events = *events;
}

static void oci_free(struct container_engine *x)
{
	struct oci *o = oci_of(x);
	o->closed = true;
	oci_logs_close(o);
	MAP_EACH (&o->containers, entry)
		oci_monitor_end(entry->value);
	loop_poll_free(o->inotify);
	oci_fd_done(&o->inotify_fd);
	loop_timer_free(o->rotate_timer);
	o->rotate_timer = NULL;
	if (o->containers.count == 0) /* as we found it; what still has processes stays */
		oci_cgroup_remove(o->cgroup_parent);
	oci_unref(o);
}

/* ---- signals and numbers ---- */

static int oci_signal(struct container_engine *x, const char *id, int signal, struct err *e)
{
	struct oci *o = oci_of(x);
	struct oci_container *c = map_get(&o->containers, id);
	if (!c || !c->running || c->pidfd < 0)
		return err_set(e, ERR_NOT_FOUND, "container %s does not run", id);
	if (signal == SIGKILL && c->host_pid) {
		char *cgroup CLEANUP(mem_free_ptr) =
			mem_format("%s/pod-%s/%s", o->cgroup_parent, c->uid, c->id);
		oci_cgroup_kill(cgroup);
	}
	if (syscall(SYS_pidfd_send_signal, c->pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
		return err_set_errno(e, errno, "cannot signal container %s", id);
	return 0;
}

static int oci_stats(struct container_engine *x, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	char *cgroup CLEANUP(mem_free_ptr) = mem_format("%s/pod-%s", oci_of(x)->cgroup_parent, uid);
	return oci_cgroup_stats(cgroup, ret_cpu_ns, ret_memory_bytes, e);
}

/* ---- what is kept ---- */

static int oci_keep(struct container_engine *x, const char *uid, const char *spec,
	const char *record, struct err *e)
{
	struct oci *o = oci_of(x);
	char *spec_path CLEANUP(mem_free_ptr) =
		mem_format("%s/pods/%s/spec.json", o->run_folder, uid);
	char *record_path CLEANUP(mem_free_ptr) =
		mem_format("%s/pods/%s/record.json", o->run_folder, uid);
	int rc = spec ? oci_write_file(spec_path, spec, strlen(spec), 0600, e) : 0;
	if (!rc && record)
		rc = oci_write_file(record_path, record, strlen(record), 0600, e);
	return rc;
}

struct folder_job {
	struct oci *oci;
	char *path;
	container_done *done;
	void *arg;
};

static void forget_work(void *arg)
{
	struct folder_job *job = arg;
	oci_remove_tree(job->path);
}

static void forget_done(void *arg)
{
	struct folder_job *job = arg;
	if (job->done)
		job->done(job->arg, NULL);
	oci_unref(job->oci);
	free(job->path);
	free(job);
}

static void oci_forget(struct container_engine *x, const char *uid, container_done *done, void *arg)
{
	struct oci *o = oci_of(x);
	struct folder_job *job = mem_new(struct folder_job);
	*job = (struct folder_job){.oci = oci_ref(o),
		.path = mem_format("%s/pods/%s", o->state_folder, uid),
		.done = done,
		.arg = arg};
	loop_job(o->config.loop, forget_work, forget_done, job);
}

typedef void each_name(void *arg, const char *name);

static void each_folder(const char *path, each_name *each, void *arg)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			each(arg, entry->d_name);
	if (folder)
		closedir(folder);
}

struct keeping {
	struct oci *oci;
	const struct map *uids;
};

static void keep_or_forget(void *arg, const char *uid)
{
	struct keeping *k = arg;
	if (!map_has(k->uids, uid))
		oci_forget(&k->oci->base, uid, NULL, NULL);
}

/* What is to go is listed at once: a pod that comes meanwhile has nothing there yet. */
void oci_keep_only(struct container_engine *x, const struct map *uids)
{
	struct oci *o = oci_of(x);
	struct keeping k = {o, uids};
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/pods", o->state_folder);
	each_folder(path, keep_or_forget, &k);
}

/* ---- finding everything again ---- */

struct finding_again {
	struct oci *oci;
	void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record);
	void (*each_container)(void *arg, const struct container_status *status);
	void *arg;
};

static void find_pod(void *arg, const char *uid)
{
	struct finding_again *f = arg;
	struct buf spec CLEANUP(buf_done) = BUF_INIT;
	struct buf record CLEANUP(buf_done) = BUF_INIT;
	char *spec_path CLEANUP(mem_free_ptr) =
		mem_format("%s/pods/%s/spec.json", f->oci->run_folder, uid);
	char *record_path CLEANUP(mem_free_ptr) =
		mem_format("%s/pods/%s/record.json", f->oci->run_folder, uid);
	if (oci_read_file(spec_path, &spec, NULL) || oci_read_file(record_path, &record, NULL))
		oci_sandbox_stop(&f->oci->base, uid, NULL, NULL); /* it was only being made */
	else
		f->each_pod(f->arg, uid, buf_text(&spec), buf_text(&record));
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/pods/%s", f->oci->run_folder, uid);
	volumes_sweep(folder, &f->oci->containers);
}

/* The process of the pid file, if it is still this container's: its cgroup carries the id. */
static int find_process(const struct oci *o, const char *id)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	struct buf cgroup CLEANUP(buf_done) = BUF_INIT;
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/containers/%s/pid", o->run_folder, id);
	if (oci_read_file(path, &b, NULL) || atoi(buf_text(&b)) <= 0)
		return 0;
	char *proc CLEANUP(mem_free_ptr) = mem_format("/proc/%d/cgroup", atoi(buf_text(&b)));
	if (oci_read_file(proc, &cgroup, NULL) || !strstr(buf_text(&cgroup), id))
		return 0;
	return atoi(buf_text(&b));
}

static void load_container(void *arg, const char *id)
{
	struct finding_again *f = arg;
	struct oci *o = f->oci;
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	json_t *meta CLEANUP(json_done) = NULL;
	char *path CLEANUP(mem_free_ptr) =
		mem_format("%s/containers/%s/meta.json", o->run_folder, id);
	if (strlen(id) >= CONTAINER_ID_SIZE)
		return;
	if (!oci_read_file(path, &b, NULL))
		(void)!json_decode(buf_text(&b), b.size, &meta, NULL);
	struct oci_container *c = oci_container_new(o, id, json_text(meta, "", "uid"),
		json_text(meta, "", "name"), (int)json_int(meta, 0, "attempt"));
	c->host_pid = json_bool(meta, false, "hostPID");
	c->found = true;
	c->pid = find_process(o, id);
	if (c->pid > 0)
		c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	c->running = c->pidfd >= 0;
	map_put(&o->containers, id, c);
}

static void tell_container(const struct finding_again *f, struct oci_container *c)
{
	struct container_status status = {
		.id = c->id, .pod_uid = c->uid, .running = c->running, .pid = c->pid};
	if (oci_exit_read(f->oci, c->id, &status.exit_code, &status.finished_ms)) {
		status.running = c->running = false;
	} else if (!c->running) { /* gone, and conmon with it */
		status.exit_code = 255;
		status.finished_ms = loop_wall_ms(f->oci->config.loop);
	}
	status.oom_killed = !status.running && status.exit_code != 0 && oci_exit_oom(c);
	if (status.running)
		oci_monitor_watch(c, oci_monitor_open(f->oci, c->id));
	f->each_container(f->arg, &status);
}

static int oci_list(struct container_engine *x,
	void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record),
	void (*each_container)(void *arg, const struct container_status *status), void *arg,
	struct err *e)
{
	struct oci *o = oci_of(x);
	struct finding_again f = {
		.oci = o, .each_pod = each_pod, .each_container = each_container, .arg = arg};
	char *pods CLEANUP(mem_free_ptr) = mem_format("%s/pods", o->run_folder);
	char *containers CLEANUP(mem_free_ptr) = mem_format("%s/containers", o->run_folder);
	int rc = oci_exit_watch(o, e);
	if (rc)
		return rc;
	each_folder(containers, load_container, &f);
	each_folder(pods, find_pod, &f);
	MAP_EACH (&o->containers, entry)
		tell_container(&f, entry->value);
	if (o->containers.count)
		oci_rotate_wake(o);
	return 0;
}

static const struct container_engine_ops oci_ops = {.name = "oci",
	.set_events = oci_set_events,
	.probe = oci_probe,
	.sandbox_start = oci_sandbox_start,
	.sandbox_stop = oci_sandbox_stop,
	.run = oci_run_start,
	.signal = oci_signal,
	.remove = oci_remove,
	.list = oci_list,
	.keep = oci_keep,
	.last_attempt = oci_last_attempt,
	.update = oci_update,
	.forget = oci_forget,
	.keep_only = oci_keep_only,
	.stats = oci_stats,
	.logs = oci_logs,
	.logs_cancel = oci_logs_cancel,
	.logs_pause = oci_logs_pause,
	.exec = oci_exec,
	.exec_input = oci_exec_input,
	.exec_queued = oci_exec_queued,
	.exec_pause = oci_exec_pause,
	.exec_cancel = oci_exec_cancel,
	.free = oci_free};

/* ---- making ---- */

/* What lies in run_folder holds secrets and ends with the boot: a tmpfs, whatever is below. */
static int make_run_folder(const char *path, struct err *e)
{
	static const char *const inside[] = {"pods", "containers", "exits", "sock", "runtime"};
	struct statfs fs;
	int rc = oci_make_folder(path, 0700, e);
	if (rc)
		return rc;
	if (statfs(path, &fs) < 0)
		return err_set_errno(e, errno, "cannot look at %s", path);
	if (fs.f_type != TMPFS_MAGIC && mount("tmpfs", path, "tmpfs", MS_NOSUID, "mode=0700") < 0)
		return err_set_errno(e, errno, "cannot mount a tmpfs on %s", path);
	if (fs.f_type != TMPFS_MAGIC)
		(void)mount(NULL, path, NULL, MS_PRIVATE, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(inside) && !rc; i++) {
		char *folder CLEANUP(mem_free_ptr) = mem_format("%s/%s", path, inside[i]);
		rc = oci_make_folder(folder, 0700, e);
	}
	return rc;
}

struct oci *oci_new(const struct driver_config *config)
{
	struct oci *o = mem_new(struct oci);
	*o = (struct oci){.base.ops = &oci_ops,
		.config = *config,
		.state_folder = mem_dup_string(config->state_folder),
		.run_folder = mem_dup_string(config->run_folder),
		.cgroup_parent = mem_dup_string(config->cgroup_parent),
		.node_name = mem_dup_string(config->node_name),
		.runtime_root = mem_format("%s/runtime", config->run_folder),
		.wrapper = mem_dup_string(config->runtime_wrapper ? config->runtime_wrapper : ""),
		.inotify_fd = -1,
		.references = 1};
	map_init(&o->containers, oci_container_free);
	list_init(&o->queue);
	list_init(&o->followers);
	return o;
}

int oci_make_folders(const struct oci *o, struct err *e)
{
	int rc = make_run_folder(o->run_folder, e);
	return rc ? rc : oci_make_folder(o->state_folder, 0700, e);
}

int driver_oci_new(const struct driver_config *config, struct driver **ret_driver, struct err *e)
{
	struct oci *o = oci_new(config);
	o->rotate_timer = loop_timer_new(config->loop, oci_rotate_on_timer, o);
	int rc = oci_make_folders(o, e);
	if (rc) {
		oci_free(&o->base);
		return rc;
	}
	oci_probe_cached(o);
	return pods_new(config, &o->base,
		DRIVER_EXEC | DRIVER_STATS | DRIVER_UPDATE | DRIVER_DEVICES | DRIVER_HOST_PATH |
			DRIVER_ADOPTS | DRIVER_FENCES,
		ret_driver, e);
}
