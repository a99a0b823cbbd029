/* The engine's vtable, what it keeps, and what it finds again after a restart of the agent. */
#include "driver/docker.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/volumes.h"

struct docker *docker_of(struct container_engine *x)
{
	return CONTAINER_OF(x, struct docker, base);
}

/* ---- references ---- */

struct docker *docker_ref(struct docker *d)
{
	d->references++;
	return d;
}

void docker_unref(struct docker *d)
{
	if (--d->references > 0)
		return;
	map_done(&d->containers);
	map_done(&d->sandboxes);
	map_done(&d->attempts);
	map_done(&d->loading);
	buf_done(&d->lines);
	free(d->pull_program);
	free(d->pause_program);
	oci_unref(d->oci);
	free(d);
}

struct docker_container *docker_container_new(struct docker *d, const char *id, const char *uid,
	const char *name, int attempt)
{
	struct docker_container *c = mem_new(struct docker_container);
	*c = (struct docker_container){.docker = d,
		.uid = mem_dup_string(uid),
		.name = mem_dup_string(name),
		.attempt = attempt,
		.pidfd = -1};
	(void)str_copy(c->id, sizeof(c->id), id);
	return c;
}

void docker_container_free(void *container)
{
	struct docker_container *c = container;
	oci_fd_done(&c->pidfd);
	free(c->uid);
	free(c->name);
	free(c->control);
	free(c);
}

void docker_container_pid(struct docker_container *c, int pid)
{
	oci_fd_done(&c->pidfd);
	c->pid = pid;
	c->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

/* ---- requests ---- */

struct docker_cancelled {
	docker_answer *done;
	void *arg;
};

static void request_cancelled(void *arg)
{
	struct docker_cancelled *c = arg;
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_CANCELLED, "the driver was closed");
	c->done(c->arg, 0, NULL, &e);
	free(c);
}

void docker_request(struct docker *d, const char *method, const json_t *body, docker_answer *done,
	void *arg, const char *path, ...)
{
	va_list args;
	va_start(args, path);
	char *text CLEANUP(mem_free_ptr) = NULL;
	int size = vasprintf(&text, path, args);
	va_end(args);
	if (size < 0)
		abort();
	if (d->api) {
		docker_api_call(d->api, method, text, body, done, arg);
		return;
	}
	struct docker_cancelled *c = mem_new(struct docker_cancelled);
	*c = (struct docker_cancelled){done, arg};
	loop_defer(d->loop, request_cancelled, c);
}

/* ---- names ---- */

void docker_container_name(const char *uid, const char *name, int attempt,
	char ret_name[static DOCKER_NAME_SIZE])
{
	snprintf(ret_name, DOCKER_NAME_SIZE, "continuo_%.63s_%.100s_%d", name, uid, attempt);
}

void docker_pause_name(const char *uid, char ret_name[static DOCKER_NAME_SIZE])
{
	snprintf(ret_name, DOCKER_NAME_SIZE, "continuo-pause_%.100s", uid);
}

char *docker_cgroup(const struct docker *d, const char *uid)
{
	return mem_format("%s/pod-%s", d->oci->cgroup_parent, uid);
}

bool docker_pod_is_known(const struct docker *d, const char *uid)
{
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/pods/%s", d->oci->run_folder, uid);
	return access(folder, F_OK) == 0;
}

json_t *docker_labels(const struct docker *d, const struct oci_pod *p, const char *role)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", DOCKER_LABEL_NODE, d->oci->node_name,
		DOCKER_LABEL_ROLE, role, DOCKER_LABEL_UID, p->uid, DOCKER_LABEL_NAMESPACE,
		p->object->namespace, DOCKER_LABEL_POD, p->object->name);
}

/* ---- records ---- */

static char *record_path(const struct docker *d, const char *id)
{
	return mem_format("%s/containers/%s.json", d->oci->run_folder, id);
}

void docker_container_keep(const struct docker_container *c)
{
	char *path CLEANUP(mem_free_ptr) = record_path(c->docker, c->id);
	json_t *record CLEANUP(json_done) = json_pack("{s:s,s:s,s:i,s:s,s:i}", "uid", c->uid,
		"name", c->name, "attempt", c->attempt, "docker", c->docker_id, "pid", c->pid);
	char *text CLEANUP(mem_free_ptr) = json_encode_string(record);
	struct err e = ERR_INIT;
	if (oci_write_file(path, text, strlen(text), 0600, &e))
		log_err(c->docker->log, LOG_WARN, "container_record_not_kept", &e, "container=%s",
			c->id);
}

void docker_container_forget(struct docker *d, const char *id)
{
	char *path CLEANUP(mem_free_ptr) = record_path(d, id);
	(void)unlink(path);
}

static int docker_keep(struct container_engine *x, const char *uid, const char *spec,
	const char *record, struct err *e)
{
	struct docker *d = docker_of(x);
	return d->oci->base.ops->keep(&d->oci->base, uid, spec, record, e);
}

/* ---- finding everything again ---- */

struct docker_finding {
	struct docker *docker;
	void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record);
	void (*each_container)(void *arg, const struct container_status *status);
	void *arg;
};

static void each_name(const char *folder, void (*each)(struct docker_finding *f, const char *name),
	struct docker_finding *f)
{
	DIR *list = opendir(folder);
	struct dirent *entry;
	while (list && (entry = readdir(list)))
		if (entry->d_name[0] != '.')
			each(f, entry->d_name);
	if (list)
		closedir(list);
}

static void find_pod(struct docker_finding *f, const char *uid)
{
	struct docker *d = f->docker;
	struct buf spec CLEANUP(buf_done) = BUF_INIT;
	struct buf record CLEANUP(buf_done) = BUF_INIT;
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/pods/%s", d->oci->run_folder, uid);
	char *spec_path CLEANUP(mem_free_ptr) = mem_format("%s/spec.json", folder);
	char *record_path CLEANUP(mem_free_ptr) = mem_format("%s/record.json", folder);
	if (oci_read_file(spec_path, &spec, NULL) || oci_read_file(record_path, &record, NULL)) {
		docker_sandbox_stop(&d->base, uid, NULL, NULL); /* it was only being made */
		return;
	}
	volumes_sweep(folder, &d->containers);
	map_put(&d->sandboxes, uid, d);
	f->each_pod(f->arg, uid, buf_text(&spec), buf_text(&record));
}

/* Still this container's process: its cgroup carries the engine's id. */
static bool is_its_process(int pid, const char *docker_id)
{
	struct buf cgroup CLEANUP(buf_done) = BUF_INIT;
	char *proc CLEANUP(mem_free_ptr) = mem_format("/proc/%d/cgroup", pid);
	return pid > 0 && *docker_id && oci_read_file(proc, &cgroup, NULL) == 0 &&
	       strstr(buf_text(&cgroup), docker_id);
}

/* Those that ended meanwhile count as running until the engine was asked (docker_watch.c). */
static void find_container(struct docker_finding *f, const char *file)
{
	struct docker *d = f->docker;
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	json_t *record CLEANUP(json_done) = NULL;
	char id[CONTAINER_ID_SIZE] = "";
	if (str_ends(file, ".root")) { /* layers that were mounted for a moment (docker_run.c) */
		char *root CLEANUP(mem_free_ptr) =
			mem_format("%s/containers/%s", d->oci->run_folder, file);
		oci_remove_tree(root);
		return;
	}
	if (strlen(file) != CONTAINER_ID_SIZE - 1 + strlen(".json"))
		return;
	memcpy(id, file, CONTAINER_ID_SIZE - 1);
	char *path CLEANUP(mem_free_ptr) = record_path(d, id);
	if (oci_read_file(path, &b, NULL) || json_decode(buf_text(&b), b.size, &record, NULL)) {
		(void)unlink(path);
		return;
	}
	struct docker_container *c = docker_container_new(d, id, json_text(record, "", "uid"),
		json_text(record, "", "name"), (int)json_int(record, 0, "attempt"));
	(void)str_copy(c->docker_id, sizeof(c->docker_id), json_text(record, "", "docker"));
	int pid = (int)json_int(record, 0, "pid");
	docker_container_pid(c, is_its_process(pid, c->docker_id) ? pid : 0);
	c->running = true;
	map_put(&d->containers, id, c);
}

static int docker_list(struct container_engine *x,
	void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record),
	void (*each_container)(void *arg, const struct container_status *status), void *arg,
	struct err *e)
{
	struct docker *d = docker_of(x);
	struct docker_finding f = {
		.docker = d, .each_pod = each_pod, .each_container = each_container, .arg = arg};
	char *pods CLEANUP(mem_free_ptr) = mem_format("%s/pods", d->oci->run_folder);
	char *containers CLEANUP(mem_free_ptr) = mem_format("%s/containers", d->oci->run_folder);
	(void)e;
	each_name(containers, find_container, &f);
	each_name(pods, find_pod, &f);
	MAP_EACH (&d->containers, entry) {
		const struct docker_container *c = entry->value;
		const struct container_status status = {
			.id = c->id, .pod_uid = c->uid, .running = true, .pid = c->pid};
		each_container(arg, &status);
	}
	docker_cgroups_find(d);
	docker_watch_start(d);
	docker_rotate_wake(d);
	return 0;
}

/* The highest attempt of a container that the engine had; -1: it had none. */
static int attempt_of(const struct docker *d, const char *uid, const char *name)
{
	const struct map *names = map_get(&d->attempts, uid);
	return names ? (int)(intptr_t)map_get(names, name) - 1 : -1;
}

void docker_attempt_seen(struct docker *d, const char *uid, const char *name, int attempt)
{
	if (attempt <= attempt_of(d, uid, name))
		return;
	struct map *names = map_get(&d->attempts, uid);
	if (!names) {
		names = mem_new(struct map);
		map_init(names, NULL);
		map_put(&d->attempts, uid, names);
	}
	map_put(names, name, (void *)(intptr_t)(attempt + 1));
}

void docker_attempts_free(void *names)
{
	map_done(names);
	free(names);
}

static int docker_last_attempt(struct container_engine *x, const char *uid, const char *name)
{
	struct docker *d = docker_of(x);
	int known = attempt_of(d, uid, name);
	int logged = oci_last_attempt(&d->oci->base, uid, name); /* Podman's */
	return known > logged ? known : logged;
}

/* ---- signals and numbers ---- */

/* By ourselves: it works as well while the engine is being restarted. */
static int docker_signal(struct container_engine *x, const char *id, int signal, struct err *e)
{
	struct docker *d = docker_of(x);
	struct docker_container *c = map_get(&d->containers, id);
	if (!c || !c->running || c->pidfd < 0)
		return err_set(e, ERR_NOT_FOUND, "container %s does not run", id);
	if (syscall(SYS_pidfd_send_signal, c->pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
		return err_set_errno(e, errno, "cannot signal container %s", id);
	return 0;
}

/* The cgroup in which a process is counted: of the memory controller, or the only one. */
static char *cgroup_of_process(int pid)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	char *path CLEANUP(mem_free_ptr) = mem_format("/proc/%d/cgroup", pid);
	if (oci_read_file(path, &b, NULL))
		return NULL;
	const char *mark = oci_cgroup_is_v2() ? "0::" : ":memory:";
	const char *at = strstr(buf_text(&b), mark);
	if (!at)
		return NULL;
	at += strlen(mark);
	return mem_dup_bytes(at, strcspn(at, "\n"));
}

/* Where the engine chooses the cgroups: the sum over the containers. */
static int stats_by_container(const struct docker *d, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	bool any = false;
	*ret_cpu_ns = *ret_memory_bytes = 0;
	MAP_EACH (&d->containers, entry) {
		const struct docker_container *c = entry->value;
		int64_t cpu_ns, memory_bytes;
		if (!str_equal(c->uid, uid) || !c->running || c->pid <= 0)
			continue;
		char *cgroup CLEANUP(mem_free_ptr) = cgroup_of_process(c->pid);
		if (!cgroup || oci_cgroup_stats(cgroup, &cpu_ns, &memory_bytes, NULL))
			continue;
		*ret_cpu_ns += cpu_ns;
		*ret_memory_bytes += memory_bytes;
		any = true;
	}
	return any ? 0 : err_set(e, ERR_NOT_FOUND, "nothing of the pod runs");
}

static int docker_stats(struct container_engine *x, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	const struct docker *d = docker_of(x);
	char *cgroup CLEANUP(mem_free_ptr) = docker_cgroup(d, uid);
	if (d->systemd)
		return stats_by_container(d, uid, ret_cpu_ns, ret_memory_bytes, e);
	return oci_cgroup_stats(cgroup, ret_cpu_ns, ret_memory_bytes, e);
}

/* ---- the vtable ---- */

static void docker_set_events(struct container_engine *x, const struct container_events *events)
{
	docker_of(x)->events = *events;
}

static void docker_forget(struct container_engine *x, const char *uid, container_done *done,
	void *arg)
{
	struct docker *d = docker_of(x);
	(void)map_remove(&d->attempts, uid);
	d->oci->base.ops->forget(&d->oci->base, uid, done, arg);
}

static void docker_keep_only(struct container_engine *x, const struct map *uids)
{
	oci_keep_only(&docker_of(x)->oci->base, uids);
}

static void docker_free(struct container_engine *x)
{
	struct docker *d = docker_of(x);
	d->closed = true;
	docker_watch_stop(d);
	docker_logs_close(d);
	docker_rotate_close(d);
	docker_exec_close(d);
	docker_sandbox_close(d);
	docker_image_close(d);
	docker_api_free(take_ptr(d->api));
	if (d->containers.count == 0)
		oci_cgroup_remove(d->oci->cgroup_parent);
	docker_unref(d);
}

static const struct container_engine_ops docker_ops = {.name = "docker",
	.set_events = docker_set_events,
	.probe = docker_probe,
	.sandbox_start = docker_sandbox_start,
	.sandbox_stop = docker_sandbox_stop,
	.run = docker_run,
	.signal = docker_signal,
	.remove = docker_remove,
	.list = docker_list,
	.keep = docker_keep,
	.last_attempt = docker_last_attempt,
	.update = docker_update,
	.forget = docker_forget,
	.keep_only = docker_keep_only,
	.stats = docker_stats,
	.logs = docker_logs,
	.logs_cancel = docker_logs_cancel,
	.logs_pause = docker_logs_pause,
	.exec = docker_exec,
	.exec_input = docker_exec_input,
	.exec_queued = docker_exec_queued,
	.exec_pause = docker_exec_pause,
	.exec_cancel = docker_exec_cancel,
	.free = docker_free};

int driver_docker_new(const struct driver_config *config, struct driver **ret_driver, struct err *e)
{
	const char *socket = config->docker_socket;
	struct docker *d = mem_new(struct docker);
	*d = (struct docker){.base.ops = &docker_ops,
		.oci = oci_new(config),
		.loop = config->loop,
		.log = config->log,
		.api = docker_api_new(config->loop, socket && *socket ? socket : DOCKER_SOCKET),
		.pull_program = mem_dup_string(config->pull_program),
		.pause_program = mem_dup_string(config->pause_program),
		.references = 1};
	map_init(&d->containers, docker_container_free);
	map_init(&d->sandboxes, NULL);
	map_init(&d->attempts, docker_attempts_free);
	map_init(&d->loading, NULL);
	list_init(&d->followers);
	list_init(&d->execs);
	list_init(&d->cgroup_ends);
	list_init(&d->stops);
	int rc = oci_make_folders(d->oci, e);
	if (rc) {
		docker_free(&d->base);
		return rc;
	}
	return pods_new(config, &d->base,
		DRIVER_EXEC | DRIVER_STATS | DRIVER_UPDATE | DRIVER_DEVICES | DRIVER_HOST_PATH |
			DRIVER_ADOPTS | DRIVER_FENCES,
		ret_driver, e);
}
