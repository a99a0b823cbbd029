/*
 * A pod's pause container: it holds the namespaces that the pod's containers join. Its network
 * namespace is pinned for the agent's network by a bind mount, as /proc/PID would be somebody
 * else's when the container is made anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"

/* ---- the image of the pause container: one file ---- */

static int copy_file(const char *from, const char *to, struct err *e)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	int rc = oci_read_file(from, &b, e);
	return rc ? rc : oci_write_file(to, b.data, b.size, 0755, e);
}

/* The folder's name carries the program's size and time, so that another one is another image. */
static int pause_layer(const struct docker *d, char **ret_folder, struct err *e)
{
	struct stat st;
	const char *program = d->pause_program;
	if (!program || stat(program, &st) < 0)
		return err_set(e, ERR_UNSUPPORTED, "continuo-pause is missing: %s",
			program ? program : "no path is configured");
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/pause/%lld-%lld", d->oci->state_folder,
		(long long)st.st_size, (long long)st.st_mtim.tv_sec);
	char *file CLEANUP(mem_free_ptr) = mem_format("%s/continuo-pause", folder);
	int rc = oci_make_folder(folder, 0755, e);
	if (!rc && access(file, X_OK) < 0)
		rc = copy_file(program, file, e);
	if (!rc)
		*ret_folder = take_ptr(folder);
	return rc;
}

/* ---- starting ---- */

struct docker_sandbox {
	struct list link; /* in docker_stop->after while it waits for that */
	struct docker *docker;
	struct oci_pod *pod;
	char name[DOCKER_NAME_SIZE];
	char *layer, *image;
	bool again; /* a container of that name was removed */
	bool update;
	int pid;
	void (*started)(void *arg, const char *netns_path, const struct err *e);
	container_done *done;
	void *arg;
	struct err e;
};

static void sandbox_end(struct docker_sandbox *s)
{
	struct docker *d = s->docker;
	const struct err *e = s->e.code ? &s->e : NULL;
	char *netns CLEANUP(mem_free_ptr) = s->pod->host_network
						    ? mem_dup_string("")
						    : mem_format("%s/ns/net", s->pod->run_folder);
	if (!e && !s->update && !d->closed)
		map_put(&d->sandboxes, s->pod->uid, d);
	if (s->update)
		s->done(s->arg, e);
	else
		s->started(s->arg, netns, e);
	oci_pod_free(s->pod);
	free(s->layer);
	free(s->image);
	free(s);
	docker_unref(d);
}

static void sandbox_fail(struct docker_sandbox *s, const struct err *e, const char *what)
{
	enum err_code code =
		e->code == ERR_UNAVAILABLE || e->code == ERR_CANCELLED ? e->code : ERR_INTERNAL;
	(void)err_set(&s->e, code, "cannot %s the pause container: %.300s", what, e->text);
	sandbox_end(s);
}

static int pin_network(const char *folder, int pid, struct err *e)
{
	char *source CLEANUP(mem_free_ptr) = mem_format("/proc/%d/ns/net", pid);
	char *target CLEANUP(mem_free_ptr) = mem_format("%s/net", folder);
	int rc = oci_make_folder(folder, 0700, e);
	if (rc)
		return rc;
	(void)umount2(target, MNT_DETACH); /* of a pause container before this one */
	int fd CLEANUP(oci_fd_done) = open(target, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	if (fd < 0 || mount(source, target, NULL, MS_BIND, NULL) < 0)
		return err_set_errno(e, errno, "cannot pin the pod's network namespace at %s",
			target);
	return 0;
}

static void sandbox_finish_work(void *arg)
{
	struct docker_sandbox *s = arg;
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/ns", s->pod->run_folder);
	if (!s->pod->host_network)
		(void)!pin_network(folder, s->pid, &s->e);
}

static void sandbox_finish_done(void *arg)
{
	sandbox_end(arg);
}

static void on_inspected(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_sandbox *s = arg;
	(void)status;
	s->pid = (int)json_int(answer, 0, "State", "Pid");
	if (!e && s->pid <= 0)
		(void)err_set(&s->e, ERR_INTERNAL, "the pause container ended at once");
	if (e)
		sandbox_fail(s, e, "look at");
	else if (s->e.code)
		sandbox_end(s);
	else
		loop_job(s->docker->loop, sandbox_finish_work, sandbox_finish_done, s);
}

static void on_started(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_sandbox *s = arg;
	(void)status, (void)answer;
	if (e)
		sandbox_fail(s, e, "start");
	else
		docker_request(s->docker, "GET", NULL, on_inspected, s, "/containers/%s/json",
			s->name);
}

static void sandbox_create(struct docker_sandbox *s);

static void on_cleared(void *arg, const struct err *e)
{
	struct docker_sandbox *s = arg;
	if (e)
		sandbox_fail(s, e, "replace");
	else
		sandbox_create(s);
}

/* Podman keeps a container as long as others name it: then all of the pod goes. */
static void on_replaced(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_sandbox *s = arg;
	(void)status, (void)answer;
	if (e && e->code != ERR_NOT_FOUND && e->code != ERR_CANCELLED)
		docker_remove_all(s->docker, s->pod->uid, on_cleared, s);
	else
		sandbox_create(s);
}

static void on_created(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_sandbox *s = arg;
	(void)answer;
	bool taken = e && (status == 409 || strstr(e->text, "already in use"));
	if (taken && !s->again) {
		s->again = true;
		docker_delete(s->docker, s->pod->uid, s->name, on_replaced, s);
	} else if (e) {
		sandbox_fail(s, e, "create");
	} else {
		docker_request(s->docker, "POST", NULL, on_started, s, "/containers/%s/start",
			s->name);
	}
}

static json_t *pause_body(const struct docker_sandbox *s)
{
	const struct docker *d = s->docker;
	char hostname[65];
	char *cgroup CLEANUP(mem_free_ptr) = docker_cgroup(d, s->pod->uid);
	bool host_ipc = json_bool(s->pod->tree, false, "spec", "hostIPC");
	json_t *host = json_pack("{s:s,s:s,s:[s],s:[s,s,s],s:[s],s:b,s:i,s:{s:s}}", "NetworkMode",
		s->pod->host_network ? "host" : "none", "IpcMode", host_ipc ? "host" : "shareable",
		"CapDrop", "ALL", "CapAdd", "SYS_CHROOT", "SETGID", "SETUID", "SecurityOpt",
		"no-new-privileges", "ReadonlyRootfs", true, "PidsLimit", 64, "RestartPolicy",
		"Name", "no");
	if (!d->systemd)
		json_object_set_new(host, "CgroupParent", json_string(cgroup));
	json_object_set_new(host, "LogConfig",
		json_pack("{s:s}", "Type", d->podman ? "k8s-file" : "none"));
	if (!s->pod->host_network)
		json_object_set_new(host, "Sysctls",
			json_pack("{s:s,s:s}", "net.ipv4.ip_unprivileged_port_start", "0",
				"net.ipv4.ping_group_range", "0 2147483647"));
	/* The first process of a namespace is deaf to SIGTERM: the engine would wait 10 s for it.
	 */
	json_t *body = json_pack("{s:s,s:[s],s:s,s:s,s:o,s:o}", "Image", s->image, "Entrypoint",
		"/continuo-pause", "WorkingDir", "/", "StopSignal", "SIGKILL", "Labels",
		docker_labels(d, s->pod, "pause"), "HostConfig", host);
	if (!s->pod->host_network)
		json_object_set_new(body, "Hostname",
			json_string(oci_pod_hostname(s->pod->tree, hostname)));
	return body;
}

static void sandbox_create(struct docker_sandbox *s)
{
	json_t *body CLEANUP(json_done) = pause_body(s);
	docker_request(s->docker, "POST", body, on_created, s, "/containers/create?name=%s",
		s->name);
}

static void on_image(void *arg, const char *image, const struct err *e)
{
	struct docker_sandbox *s = arg;
	if (e) {
		sandbox_fail(s, e, "make the image of");
		return;
	}
	s->image = mem_dup_string(image);
	sandbox_create(s);
}

static void sandbox_prepare_done(void *arg)
{
	struct docker_sandbox *s = arg;
	const char *const layers[] = {s->layer, NULL};
	if (s->e.code || s->update)
		sandbox_end(s);
	else
		docker_image_ensure(s->docker, layers, on_image, s);
}

static void sandbox_prepare_work(void *arg)
{
	struct docker_sandbox *s = arg;
	int rc = oci_pod_make_volumes(s->pod, &s->e);
	if (!rc && !s->update)
		(void)!pause_layer(s->docker, &s->layer, &s->e);
}

/* A fence ends what is in the pod's control group: where the engine chooses those by itself, a pod
 * that must never run twice cannot be run. */
static void check_fence(struct docker_sandbox *s)
{
	const char *singleton =
		json_text(s->pod->tree, "", "metadata", "annotations", "continuo.dev/singleton");
	if (s->docker->systemd && str_equal(singleton, "handover"))
		(void)err_set(&s->e, ERR_UNSUPPORTED,
			"a handover pod needs an engine that makes control groups itself: set "
			"\"native.cgroupdriver=cgroupfs\" in dockerd's exec-opts, or use the "
			"driver "
			"oci");
}

static void on_known(void *arg, const struct err *e)
{
	struct docker_sandbox *s = arg;
	if (e)
		s->e = *e;
	else
		check_fence(s);
	if (s->e.code) {
		sandbox_end(s);
		return;
	}
	loop_job(s->docker->loop, sandbox_prepare_work, sandbox_prepare_done, s);
}

static struct docker_sandbox *sandbox_new(struct docker *d, const struct container_pod *pod)
{
	struct docker_sandbox *s = mem_new(struct docker_sandbox);
	s->docker = docker_ref(d);
	s->pod = oci_pod_new(d->oci, pod);
	docker_pause_name(s->pod->uid, s->name);
	return s;
}

static struct docker_stop *stop_under_way(struct docker *d, const char *uid);
static void stop_await(struct docker_stop *stop, struct docker_sandbox *s);

/* What an agent before us had only begun to make is removed first, and with it the pod's folder. */
static void sandbox_begin(struct docker_sandbox *s)
{
	struct docker_stop *stop = stop_under_way(s->docker, s->pod->uid);
	struct err e = ERR_INIT;
	if (s->docker->closed) {
		(void)err_set(&e, ERR_CANCELLED, "the driver was closed");
		sandbox_fail(s, &e, "make");
	} else if (stop) {
		stop_await(stop, s);
	} else {
		docker_know(s->docker, on_known, s);
	}
}

void docker_sandbox_start(struct container_engine *x, const struct container_pod *pod,
	void (*done)(void *arg, const char *netns_path, const struct err *e), void *arg)
{
	struct docker_sandbox *s = sandbox_new(docker_of(x), pod);
	s->started = done;
	s->arg = arg;
	sandbox_begin(s);
}

void docker_update(struct container_engine *x, const struct container_pod *pod,
	container_done *done, void *arg)
{
	struct docker_sandbox *s = sandbox_new(docker_of(x), pod);
	s->update = true;
	s->done = done;
	s->arg = arg;
	loop_job(s->docker->loop, sandbox_prepare_work, sandbox_prepare_done, s);
}

/* ---- removal ---- */

/* The containers of a pod, one request after the other; the pause container is the last. */
struct docker_removal {
	struct docker *docker;
	char *uid;
	json_t *names;
	size_t next;
	void (*done)(void *arg, const struct err *e);
	void *arg;
	struct err e;
};

static void removal_end(struct docker_removal *r)
{
	if (r->done)
		r->done(r->arg, r->e.code ? &r->e : NULL);
	docker_unref(r->docker);
	json_decref(r->names);
	free(r->uid);
	free(r);
}

static void removal_next(struct docker_removal *r);

static void removal_on_removed(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_removal *r = arg;
	(void)status, (void)answer;
	bool under_way = e && e->code == ERR_CONFLICT && strstr(e->text, "in progress");
	if (e && e->code != ERR_NOT_FOUND && !under_way)
		r->e = *e;
	removal_next(r);
}

static void removal_next(struct docker_removal *r)
{
	const char *id = json_text_or(json_array_get(r->names, r->next), NULL);
	r->next++;
	if (!id)
		removal_end(r);
	else
		docker_delete(r->docker, r->uid, id, removal_on_removed, r);
}

static void removal_on_list(void *arg, int status, const json_t *list, const struct err *e)
{
	struct docker_removal *r = arg;
	size_t i;
	json_t *item;
	(void)status;
	if (e) {
		r->e = *e;
		removal_end(r);
		return;
	}
	json_array_foreach (list, i, item) {
		json_t *id = json_object_get(item, "Id");
		if (str_equal(json_text(item, "", "Labels", DOCKER_LABEL_ROLE), "pause"))
			json_array_append(r->names, id);
		else
			json_array_insert(r->names, 0, id);
	}
	removal_next(r);
}

void docker_remove_all(struct docker *d, const char *uid,
	void (*done)(void *arg, const struct err *e), void *arg)
{
	struct docker_removal *r = mem_new(struct docker_removal);
	*r = (struct docker_removal){.docker = docker_ref(d),
		.uid = mem_dup_string(uid),
		.names = json_array(),
		.done = done,
		.arg = arg};
	char *label CLEANUP(mem_free_ptr) = mem_format(DOCKER_LABEL_UID "=%s", uid);
	const char *const labels[] = {label, NULL};
	char *query CLEANUP(mem_free_ptr) = docker_label_query("&all=1", labels);
	docker_request(d, "GET", NULL, removal_on_list, r, "/containers/json%s", query);
}

#define CGROUP_RETRY_MS 500
#define CGROUP_RETRY_MAX_MS 60000
#define CGROUP_PATIENCE 4 /* tries */

/* Control groups of a pod, which Podman's monitors leave after their containers, when their
 * clean-up is through. Those of commands stay five minutes more (exit_command_delay), for nobody.
 */
struct docker_cgroup_end {
	struct list link; /* in docker->cgroup_ends */
	struct docker *docker;
	char *uid, *cgroup;
	struct loop_timer *timer;
	int64_t wait_ms; /* before the next try */
	int tries;
	bool gone;
};

static void cgroup_end_free(struct docker_cgroup_end *c)
{
	list_remove(&c->link);
	loop_timer_free(c->timer);
	docker_unref(c->docker);
	free(c->uid);
	free(c->cgroup);
	free(c);
}

static void note_container(void *arg, const char *name)
{
	*(bool *)arg = *(bool *)arg || !str_equal(name, "conmon");
}

static void cgroup_end_work(void *arg)
{
	struct docker_cgroup_end *c = arg;
	bool containers = false;
	oci_cgroup_remove(c->cgroup);
	c->gone = !oci_cgroup_exists(c->cgroup);
	if (c->gone || ++c->tries < CGROUP_PATIENCE)
		return;
	oci_cgroup_children(c->cgroup, note_container, &containers);
	char *monitors CLEANUP(mem_free_ptr) = mem_format("%s/conmon", c->cgroup);
	if (!containers)
		oci_cgroup_kill(monitors);
}

/* A pod that is there again removes its groups itself. */
static void cgroup_end_done(void *arg)
{
	struct docker_cgroup_end *c = arg;
	if (c->gone || c->docker->closed || docker_pod_is_known(c->docker, c->uid)) {
		cgroup_end_free(c);
		return;
	}
	loop_timer_start(c->timer, c->wait_ms);
	int64_t wait_ms = c->tries > CGROUP_PATIENCE ? c->wait_ms * 2 : c->wait_ms;
	c->wait_ms = wait_ms < CGROUP_RETRY_MAX_MS ? wait_ms : CGROUP_RETRY_MAX_MS;
}

static void cgroup_end_try(void *arg)
{
	struct docker_cgroup_end *c = arg;
	loop_job(c->docker->loop, cgroup_end_work, cgroup_end_done, c);
}

static void cgroup_end_begin(struct docker *d, const char *uid)
{
	struct docker_cgroup_end *c = mem_new(struct docker_cgroup_end);
	*c = (struct docker_cgroup_end){.docker = docker_ref(d),
		.uid = mem_dup_string(uid),
		.cgroup = docker_cgroup(d, uid),
		.wait_ms = CGROUP_RETRY_MS};
	c->timer = loop_timer_new(d->loop, cgroup_end_try, c);
	list_append(&d->cgroup_ends, &c->link);
	cgroup_end_try(c);
}

static void find_cgroup(void *arg, const char *name)
{
	struct docker *d = arg;
	if (!str_starts(name, "pod-") || docker_pod_is_known(d, name + 4))
		return;
	LIST_EACH (&d->cgroup_ends, link)
		if (str_equal(LIST_ITEM(link, struct docker_cgroup_end, link)->uid, name + 4))
			return;
	cgroup_end_begin(d, name + 4);
}

void docker_cgroups_find(struct docker *d)
{
	oci_cgroup_children(d->oci->cgroup_parent, find_cgroup, d);
}

#define STOP_RETRY_MS 500

struct docker_stop {
	struct list link;  /* in docker->stops */
	struct list after; /* struct docker_sandbox that wait for it */
	struct docker *docker;
	char *uid;
	container_done *done;
	void *arg;
	struct loop_timer *timer; /* before the next try; null: the first one is under way */
	struct err e;
};

static struct docker_stop *stop_under_way(struct docker *d, const char *uid)
{
	LIST_EACH (&d->stops, link) {
		struct docker_stop *s = LIST_ITEM(link, struct docker_stop, link);
		if (str_equal(s->uid, uid))
			return s;
	}
	return NULL;
}

static void stop_await(struct docker_stop *stop, struct docker_sandbox *s)
{
	list_append(&stop->after, &s->link);
}

static void stop_work(void *arg)
{
	struct docker_stop *s = arg;
	const struct oci *o = s->docker->oci;
	char *run CLEANUP(mem_free_ptr) = mem_format("%s/pods/%s", o->run_folder, s->uid);
	char *volumes CLEANUP(mem_free_ptr) =
		mem_format("%s/pods/%s/volumes", o->state_folder, s->uid);
	char *files CLEANUP(mem_free_ptr) = mem_format("%s/pods/%s/etc", o->state_folder, s->uid);
	if (!s->docker->podman)
		docker_shims_end(s->docker, s->uid);
	oci_remove_tree(run);
	oci_remove_tree(volumes);
	oci_remove_tree(files);
}

static void stop_end(void *arg)
{
	struct docker_stop *s = arg;
	list_remove(&s->link);
	if (s->done)
		s->done(s->arg, s->e.code ? &s->e : NULL);
	LIST_EACH (&s->after, link) {
		list_remove(link);
		sandbox_begin(LIST_ITEM(link, struct docker_sandbox, link));
	}
	loop_timer_free(s->timer);
	docker_unref(s->docker);
	free(s->uid);
	free(s);
}

static void stop_done(void *arg)
{
	struct docker_stop *s = arg;
	if (!s->docker->systemd && !s->docker->closed)
		cgroup_end_begin(s->docker, s->uid);
	stop_end(s);
}

static void stop_on_removed(void *arg, const struct err *e);

static void stop_try(void *arg)
{
	struct docker_stop *s = arg;
	docker_remove_all(s->docker, s->uid, stop_on_removed, s);
}

/* It is not said to be gone before it is: its folder stays, so that an agent after us knows. */
static void stop_on_removed(void *arg, const struct err *e)
{
	struct docker_stop *s = arg;
	struct docker *d = s->docker;
	if (!e) {
		loop_job(d->loop, stop_work, stop_done, s);
		return;
	}
	if (d->closed) {
		s->e = *e;
		stop_end(s);
		return;
	}
	if (!s->timer) {
		log_err(d->log, LOG_WARN, "pod_not_removed", e, "pod=%s retry_ms=%d", s->uid,
			STOP_RETRY_MS);
		s->timer = loop_timer_new(d->loop, stop_try, s);
	}
	loop_timer_start(s->timer, STOP_RETRY_MS);
}

static void forget_containers(struct docker *d, const char *uid)
{
	bool found = true;
	while (found) {
		found = false;
		MAP_EACH (&d->containers, entry) {
			const struct docker_container *c = entry->value;
			if (found || !str_equal(c->uid, uid))
				continue;
			char id[CONTAINER_ID_SIZE];
			memcpy(id, c->id, sizeof(id));
			docker_container_forget(d, id);
			(void)map_remove(&d->containers, id);
			found = true;
		}
	}
}

void docker_sandbox_stop(struct container_engine *x, const char *uid, container_done *done,
	void *arg)
{
	struct docker *d = docker_of(x);
	struct docker_stop *s = mem_new(struct docker_stop);
	*s = (struct docker_stop){
		.docker = docker_ref(d), .uid = mem_dup_string(uid), .done = done, .arg = arg};
	list_init(&s->after);
	list_append(&d->stops, &s->link);
	(void)map_remove(&d->sandboxes, uid);
	forget_containers(d, uid);
	stop_try(s);
}

/* Those that wait before their next try; the others end with the answer that they wait for. */
static void stops_close(struct docker *d)
{
	LIST_EACH (&d->stops, link) {
		struct docker_stop *s = LIST_ITEM(link, struct docker_stop, link);
		if (!s->timer || !loop_timer_active(s->timer))
			continue;
		loop_timer_free(take_ptr(s->timer));
		(void)err_set(&s->e, ERR_CANCELLED, "the driver was closed");
		loop_defer(d->loop, stop_end, s);
	}
}

/* Those of which a job is under way end with it. */
void docker_sandbox_close(struct docker *d)
{
	stops_close(d);
	LIST_EACH (&d->cgroup_ends, link) {
		struct docker_cgroup_end *c = LIST_ITEM(link, struct docker_cgroup_end, link);
		if (loop_timer_active(c->timer))
			cgroup_end_free(c);
	}
}
