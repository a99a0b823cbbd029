/*
 * From an image to a running process: the image into the engine, the container's spec (a job),
 * create, start, inspect. And the removal of what ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"
#include "driver/volumes.h"

struct docker_run {
	struct docker *docker;
	struct oci_pod *pod;
	struct docker_container *container; /* in docker->containers, if it is still the one */
	char id[CONTAINER_ID_SIZE];
	char docker_name[DOCKER_NAME_SIZE];
	char *name;
	int attempt;
	char **env, **args, **layers;
	bool has_command;
	char *image_config, *image;
	json_t *body;
	bool again; /* another container had the name, and was removed */
	void (*done)(void *arg, int pid, const struct err *e);
	void *arg;
	struct err e;
};

static void run_free(struct docker_run *r)
{
	oci_pod_free(r->pod);
	free(r->name);
	oci_strings_free(r->env);
	oci_strings_free(r->args);
	oci_strings_free(r->layers);
	free(r->image_config);
	free(r->image);
	json_decref(r->body);
	docker_unref(r->docker);
	free(r);
}

static struct docker_container *run_container(const struct docker_run *r)
{
	return r->docker->closed ? NULL : map_get(&r->docker->containers, r->id);
}

/* ---- what was mounted for it ---- */

struct docker_unmounting {
	struct docker *docker;
	char *run_pod;
	char id[CONTAINER_ID_SIZE];
};

static void unmount_work(void *arg)
{
	const struct docker_unmounting *u = arg;
	volumes_unmount(u->run_pod, u->id);
}

static void unmount_done(void *arg)
{
	struct docker_unmounting *u = arg;
	docker_unref(u->docker);
	free(u->run_pod);
	free(u);
}

/* A container that runs has mounts of its own. */
static void unmount_later(struct docker *d, const char *uid, const char *id)
{
	struct docker_unmounting *u = mem_new(struct docker_unmounting);
	*u = (struct docker_unmounting){.docker = docker_ref(d),
		.run_pod = mem_format("%s/pods/%s", d->oci->run_folder, uid)};
	(void)str_copy(u->id, sizeof(u->id), id);
	loop_job(d->loop, unmount_work, unmount_done, u);
}

/* ---- failure: nothing of it is left ---- */

static void run_fail_end(struct docker_run *r)
{
	if (!r->docker->closed)
		unmount_later(r->docker, r->pod->uid, r->id);
	if (run_container(r)) {
		docker_container_forget(r->docker, r->id);
		(void)map_remove(&r->docker->containers, r->id);
	}
	r->done(r->arg, 0, &r->e);
	run_free(r);
}

static void run_on_undone(void *arg, int status, const json_t *answer, const struct err *e)
{
	(void)status, (void)answer, (void)e; /* the next comparison finds it */
	run_fail_end(arg);
}

/* Kinds of trouble of the engine's are not those of the pod's configuration. */
static void run_fail(struct docker_run *r, const struct err *e, const char *what)
{
	bool away = e->code == ERR_UNAVAILABLE || e->code == ERR_CLOSED || e->code == ERR_TIMEOUT ||
		    e->code == ERR_CANCELLED;
	(void)err_set(&r->e, away ? ERR_UNAVAILABLE : ERR_INTERNAL,
		"cannot %s the container: %.340s", what, e->text);
	docker_delete(r->docker, r->pod->uid, r->docker_name, run_on_undone, r);
}

/* ---- started ---- */

/* Runs before the last one: their logs are of no more use. */
static void prune_on_removed(void *arg, int status, const json_t *answer, const struct err *e)
{
	(void)status, (void)answer, (void)e;
	docker_unref(arg);
}

static int attempt_of(const json_t *item)
{
	return atoi(json_text(item, "0", "Labels", DOCKER_LABEL_ATTEMPT));
}

static void prune_on_list(void *arg, int status, const json_t *list, const struct err *e)
{
	struct docker *d = arg;
	int newest = -1, before = -1;
	size_t i;
	json_t *item;
	(void)status;
	json_array_foreach (e ? NULL : list, i, item) {
		int attempt = attempt_of(item);
		before = attempt > newest ? newest : attempt > before ? attempt : before;
		newest = attempt > newest ? attempt : newest;
	}
	json_array_foreach (e ? NULL : list, i, item)
		if (attempt_of(item) < before)
			docker_request(d, "DELETE", NULL, prune_on_removed, docker_ref(d),
				"/containers/%s?v=1", json_text(item, "", "Id"));
	docker_unref(d);
}

static void run_prune(const struct docker_run *r)
{
	struct docker *d = r->docker;
	char *uid CLEANUP(mem_free_ptr) = mem_format(DOCKER_LABEL_UID "=%s", r->pod->uid);
	char *name CLEANUP(mem_free_ptr) = mem_format(DOCKER_LABEL_CONTAINER "=%s", r->name);
	const char *const labels[] = {uid, name, NULL};
	docker_attempt_seen(d, r->pod->uid, r->name, r->attempt);
	if (r->attempt < 2)
		return;
	char *query CLEANUP(mem_free_ptr) = docker_label_query("&all=1", labels);
	docker_request(d, "GET", NULL, prune_on_list, docker_ref(d), "/containers/json%s", query);
}

static void run_on_inspected(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_run *r = arg;
	struct docker_container *c = run_container(r);
	const json_t *state = json_at(answer, "State");
	(void)status;
	if (e || !c) {
		struct err gone = ERR_INIT;
		(void)err_set(&gone, ERR_CANCELLED, "it was removed meanwhile");
		run_fail(r, e ? e : &gone, "look at");
		return;
	}
	docker_container_pid(c, (int)json_int(state, 0, "Pid"));
	(void)str_copy(c->docker_id, sizeof(c->docker_id), json_text(answer, "", "Id"));
	docker_container_keep(c);
	c->running = true; /* not earlier: done comes before its exit */
	docker_rotate_wake(r->docker);
	r->done(r->arg, c->pid, NULL);
	run_prune(r);
	if (!docker_api_runs(state) && (c = run_container(r)))
		docker_exit_tell(c, state);
	run_free(r);
}

static void run_on_started(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_run *r = arg;
	(void)status, (void)answer;
	if (e)
		run_fail(r, e, "start");
	else
		docker_request(r->docker, "GET", NULL, run_on_inspected, r, "/containers/%s/json",
			r->docker_name);
}

/* ---- create ---- */

static void run_create(struct docker_run *r);

static void run_on_replaced(void *arg, int status, const json_t *answer, const struct err *e)
{
	(void)status, (void)answer, (void)e;
	run_create(arg);
}

/* A privileged container gets all capabilities that the engine has heard of: an old one refuses
 * new ones, one at a time. What a pod names itself is never left out. */
static bool run_drop_capability(const struct docker_run *r, const char *message)
{
	const json_t *container = oci_pod_container(r->pod->tree, r->name);
	const char *name = strstr(message, "unknown capability: \"CAP_");
	json_t *add = json_at(r->body, "HostConfig", "CapAdd"), *item;
	size_t i;
	if (!name || !json_bool(container, false, "securityContext", "privileged"))
		return false;
	name += strlen("unknown capability: \"CAP_");
	size_t size = strcspn(name, "\"");
	json_array_foreach (add, i, item) {
		const char *text = json_text_or(item, "");
		if (strlen(text) != size || strncmp(text, name, size) != 0)
			continue;
		json_array_remove(add, i);
		return true;
	}
	return false;
}

static void run_on_created(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_run *r = arg;
	(void)answer;
	bool taken = e && (status == 409 || strstr(e->text, "already in use"));
	if (taken && !r->again) {
		r->again = true;
		docker_delete(r->docker, r->pod->uid, r->docker_name, run_on_replaced, r);
	} else if (e && run_drop_capability(r, e->text)) {
		run_create(r);
	} else if (e) {
		run_fail(r, e, "create");
	} else {
		docker_request(r->docker, "POST", NULL, run_on_started, r, "/containers/%s/start",
			r->docker_name);
	}
}

static void run_create(struct docker_run *r)
{
	docker_request(r->docker, "POST", r->body, run_on_created, r, "/containers/create?name=%s",
		r->docker_name);
}

/* ---- the spec ---- */

static bool have_all_capabilities(void)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	if (oci_read_file("/proc/sys/kernel/cap_last_cap", &b, NULL))
		return false;
	for (int i = 0; i <= atoi(buf_text(&b)); i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) != 1)
			return false;
	return true;
}

/* Docker takes a profile's text, Podman its path. Null: none. Freed with free(). */
static int run_seccomp(const struct docker_run *r, const json_t *spec, char **ret_text,
	struct err *e)
{
	const json_t *profile = json_at(spec, "linux", "seccomp");
	char *text CLEANUP(mem_free_ptr) = profile ? json_encode_string(profile) : NULL;
	if (!text || !r->docker->podman) {
		*ret_text = take_ptr(text);
		return 0;
	}
	char *path CLEANUP(mem_free_ptr) =
		mem_format("%s/seccomp-%s.json", r->pod->run_folder, r->name);
	int rc = oci_write_file(path, text, strlen(text), 0600, e);
	if (!rc)
		*ret_text = take_ptr(path);
	return rc;
}

static int run_build_spec(const struct docker_run *r, const char *rootfs, json_t **ret_spec,
	struct err *e)
{
	json_t *image CLEANUP(json_done) = NULL;
	int rc = json_decode(r->image_config, strlen(r->image_config), &image, e);
	const struct oci_bundle b = {.oci = r->docker->oci,
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
	return rc ? rc : oci_spec_build(&b, ret_spec, e);
}

static int run_build_body(struct docker_run *r, const json_t *spec, struct err *e)
{
	struct docker *d = r->docker;
	char pause[DOCKER_NAME_SIZE];
	char *seccomp CLEANUP(mem_free_ptr) = NULL;
	char *cgroup CLEANUP(mem_free_ptr) = docker_cgroup(d, r->pod->uid);
	char *log CLEANUP(mem_free_ptr) = oci_log_path(d->oci, r->pod->uid, r->name, r->attempt);
	json_t *labels CLEANUP(json_done) = docker_labels(d, r->pod, "container");
	int rc = run_seccomp(r, spec, &seccomp, e);
	if (rc)
		return rc;
	docker_pause_name(r->pod->uid, pause);
	json_object_set_new(labels, DOCKER_LABEL_CONTAINER, json_string(r->name));
	json_object_set_new(labels, DOCKER_LABEL_ID, json_string(r->id));
	json_object_set_new(labels, DOCKER_LABEL_ATTEMPT, json_sprintf("%d", r->attempt));
	const struct docker_create c = {.spec = spec,
		.pod = r->pod->tree,
		.image = r->image,
		.pause = pause,
		.cgroup = d->systemd ? NULL : cgroup,
		.container = r->name,
		.devices = r->pod->devices,
		.device_count = r->pod->device_count,
		.log_bytes = d->oci->config.log_bytes,
		.log = log,
		.seccomp = seccomp,
		.podman = d->podman,
		.all_capabilities = have_all_capabilities()};
	r->body = docker_create_body(&c, labels);
	return 0;
}

/* Podman's monitor writes it (docker_create.c). */
static int run_make_log(const struct docker_run *r, struct err *e)
{
	char *folder CLEANUP(mem_free_ptr) =
		mem_format("%s/logs/%s", r->pod->state_folder, r->name);
	int rc = r->docker->podman ? oci_make_folder(folder, 0700, e) : 0;
	if (!rc && r->docker->podman)
		oci_log_prune(folder, r->attempt);
	return rc;
}

/* The layers are mounted for a moment: users are looked up in them. */
static void run_prepare_work(void *arg)
{
	struct docker_run *r = arg;
	json_t *spec CLEANUP(json_done) = NULL;
	char *folder CLEANUP(mem_free_ptr) =
		mem_format("%s/containers/%s.root", r->docker->oci->run_folder, r->id);
	char *rootfs CLEANUP(mem_free_ptr) = mem_format("%s/rootfs", folder);
	int rc = oci_pod_write_files(r->pod, &r->e);
	if (!rc)
		rc = run_make_log(r, &r->e);
	if (!rc)
		rc = oci_rootfs_mount(rootfs, folder, (const char *const *)r->layers, &r->e);
	if (!rc)
		rc = run_build_spec(r, rootfs, &spec, &r->e);
	if (!rc)
		(void)!run_build_body(r, spec, &r->e);
	oci_remove_tree(folder);
}

static void run_prepare_done(void *arg)
{
	struct docker_run *r = arg;
	if (r->e.code)
		run_fail_end(r);
	else
		run_create(r);
}

static void run_on_image(void *arg, const char *image, const struct err *e)
{
	struct docker_run *r = arg;
	if (e) {
		r->e = *e;
		if (e->code == ERR_NOT_FOUND) /* of a layer: no fault of the configuration */
			r->e.code = ERR_INTERNAL;
		run_fail_end(r);
		return;
	}
	r->image = mem_dup_string(image);
	loop_job(r->docker->loop, run_prepare_work, run_prepare_done, r);
}

static void run_on_known(void *arg, const struct err *e)
{
	struct docker_run *r = arg;
	if (e) {
		r->e = *e;
		run_fail_end(r);
		return;
	}
	docker_image_ensure(r->docker, (const char *const *)r->layers, run_on_image, r);
}

void docker_run(struct container_engine *x, const struct container_spec *spec,
	void (*done)(void *arg, int pid, const struct err *e), void *arg)
{
	struct docker *d = docker_of(x);
	struct docker_run *r = mem_new(struct docker_run);
	*r = (struct docker_run){.docker = docker_ref(d),
		.pod = oci_pod_new(d->oci, &spec->pod),
		.name = mem_dup_string(spec->name),
		.attempt = spec->attempt,
		.env = oci_strings_copy(spec->env),
		.args = oci_strings_copy(spec->args),
		.layers = oci_strings_copy(spec->layers),
		.has_command = spec->has_command,
		.image_config = mem_dup_string(spec->image_config_json),
		.done = done,
		.arg = arg};
	memcpy(r->id, spec->id, sizeof(r->id));
	docker_container_name(r->pod->uid, r->name, r->attempt, r->docker_name);
	struct docker_container *c =
		docker_container_new(d, r->id, r->pod->uid, r->name, r->attempt);
	map_put(&d->containers, r->id, c);
	docker_container_keep(c);
	docker_know(d, run_on_known, r);
}

/* ---- removal ---- */

struct docker_remove {
	struct docker *docker;
	container_done *done;
	void *arg;
};

static void remove_end(struct docker_remove *r, const struct err *e)
{
	if (r->done)
		r->done(r->arg, e);
	docker_unref(r->docker);
	free(r);
}

static void remove_later(void *arg)
{
	remove_end(arg, NULL);
}

static void remove_on_removed(void *arg, int status, const json_t *answer, const struct err *e)
{
	(void)status, (void)answer;
	remove_end(arg, e && e->code != ERR_NOT_FOUND ? e : NULL);
}

/* One that ended keeps its log until the run after the next; one that runs is a leftover. */
void docker_remove(struct container_engine *x, const char *id, container_done *done, void *arg)
{
	struct docker *d = docker_of(x);
	struct docker_container *c = map_get(&d->containers, id);
	struct docker_remove *r = mem_new(struct docker_remove);
	char name[DOCKER_NAME_SIZE];
	*r = (struct docker_remove){.docker = docker_ref(d), .done = done, .arg = arg};
	if (c && c->running) {
		docker_container_name(c->uid, c->name, c->attempt, name);
		docker_delete(d, c->uid, name, remove_on_removed, r);
	} else {
		loop_defer(d->loop, remove_later, r);
	}
	if (c)
		unmount_later(d, c->uid, id);
	docker_container_forget(d, id);
	(void)map_remove(&d->containers, id);
}
