#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "base/vec.h"
#include "driver/adopted_private.h"
#include "driver/oci.h"
#include "sys/fs.h"

#define START_LOOKS 120 /* at a container that Docker is starting itself */
#define START_LOOK_MS 250
#define REMOVE_RETRY_MS 2000
#define STOP_MAX_S 3600
#define RECORD_MAX ((size_t)8 << 20)

/* ---- the engine and its containers ---- */

struct adopted *adopted_of(struct container_engine *x)
{
	return CONTAINER_OF(x, struct adopted, base);
}

struct adopted *adopted_ref(struct adopted *x)
{
	x->references++;
	return x;
}

void adopted_unref(struct adopted *x)
{
	if (--x->references > 0)
		return;
	map_done(&x->pods);
	free(x->folder);
	free(x);
}

struct adopted_container *adopted_find(struct adopted *x, const char *uid)
{
	return map_get(&x->pods, uid);
}

struct adopted_container *adopted_by_run(struct adopted *x, const char *id)
{
	MAP_EACH (&x->pods, entry) {
		struct adopted_container *c = entry->value;
		if (c->id[0] && str_equal(c->id, id))
			return c;
	}
	return NULL;
}

static void container_free(void *value)
{
	struct adopted_container *c = value;
	free(c->uid);
	free(c);
}

static struct adopted_container *container_ensure(struct adopted *x, const char *uid)
{
	struct adopted_container *c = adopted_find(x, uid);
	if (c)
		return c;
	c = mem_new(struct adopted_container);
	*c = (struct adopted_container){.engine = x, .uid = mem_dup_string(uid)};
	map_put(&x->pods, c->uid, c);
	return c;
}

static void read_pod(struct adopted_container *c, const struct object *pod)
{
	json_t *tree CLEANUP(json_done) = object_tree(pod);
	const json_t *annotations = json_at(tree, "metadata", "annotations");
	(void)str_copy(c->docker_id, sizeof(c->docker_id),
		json_text(annotations, "", ADOPTED_CONTAINER));
	c->hand_back = str_equal(json_text(annotations, "", ADOPTED_HAND_BACK), "true");
	c->deleted = pod->deletion_ms != 0;
	int64_t grace_s = json_int(tree, 30, "spec", "terminationGracePeriodSeconds");
	c->grace_s = grace_s < STOP_MAX_S ? (int)grace_s : STOP_MAX_S;
}

void adopted_note(struct adopted *x, const struct object *pod)
{
	struct adopted_container *c = adopted_find(x, pod->uid);
	if (c)
		read_pod(c, pod);
}

/* ---- requests ---- */

struct request {
	struct adopted *engine;
	char *uid;
	adopted_answer *done;
	void *arg;
};

static void request_on_answer(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct request *r = arg;
	struct adopted *x = r->engine;
	(void)status;
	r->done(x, x->closed ? NULL : adopted_find(x, r->uid), answer, e, r->arg);
	free(r->uid);
	free(r);
	adopted_unref(x);
}

void adopted_call(struct adopted_container *c, const char *method, const char *path,
	adopted_answer *done, void *arg)
{
	struct buf full CLEANUP(buf_done) = BUF_INIT;
	struct request *r = mem_new(struct request);
	*r = (struct request){adopted_ref(c->engine), mem_dup_string(c->uid), done, arg};
	buf_append_string(&full, "/containers/");
	docker_query_append(&full, c->docker_id);
	buf_append_string(&full, path);
	docker_api_call(c->engine->api, method, full.data, NULL, request_on_answer, r);
}

/* Of any of its networks. */
static const char *address_of(const json_t *inspected)
{
	const char *name, *ip = json_text(inspected, "", "NetworkSettings", "IPAddress");
	json_t *network;
	json_object_foreach (json_at(inspected, "NetworkSettings", "Networks"), name, network)
		if (!*ip)
			ip = json_text(network, "", "IPAddress");
	return ip;
}

bool adopted_read(struct adopted_container *c, const json_t *inspected, int *ret_pid)
{
	const json_t *state = json_at(inspected, "State");
	bool runs = docker_api_runs(state);
	int64_t pid = json_int(state, 0, "Pid");
	c->gone = false;
	c->tty = json_bool(inspected, false, "Config", "Tty");
	(void)str_copy(c->image_id, sizeof(c->image_id), json_text(inspected, "", "Image"));
	*ret_pid = runs && pid > 0 ? (int)pid : 0;
	if (*ret_pid) {
		(void)str_copy(c->ip, sizeof(c->ip), address_of(inspected));
		if (time_parse(json_text(state, "", "StartedAt"), &c->started_ms, NULL) < 0)
			c->started_ms = 0;
	}
	return runs;
}

static void say_gone(struct adopted_container *c, struct err *e)
{
	c->gone = true;
	(void)err_set(e, ERR_CONFLICT,
		"Docker has the adopted container %.12s no more: somebody removed it",
		c->docker_id);
}

static void refuse(struct adopted_container *c, struct err *e)
{
	c->refused = true;
	(void)err_set(e, ERR_FORBIDDEN, "container %.12s is of a pod of this node", c->docker_id);
}

/* ---- taking a container ---- */

struct sandbox_call {
	void (*done)(void *arg, const char *netns_path, const struct err *e);
	void *arg;
};

static void sandbox_on_inspected(struct adopted *x, struct adopted_container *c,
	const json_t *answer, const struct err *e, void *arg)
{
	struct sandbox_call *call = arg;
	struct err why = e ? *e : ERR_INIT;
	int pid;
	(void)x;
	if (c && e && e->code == ERR_NOT_FOUND)
		say_gone(c, &why);
	else if (c && !e && json_at(answer, "Config", "Labels", DOCKER_LABEL_NODE))
		refuse(c, &why);
	else if (c && !e)
		(void)adopted_read(c, answer, &pid);
	call->done(call->arg, "", why.code ? &why : NULL);
	free(call);
}

struct failed_call {
	struct sandbox_call call;
	struct err e;
};

static void sandbox_fail(void *arg)
{
	struct failed_call *f = arg;
	f->call.done(f->call.arg, "", &f->e);
	free(f);
}

/* Whether the pod may have the container that it names. */
static int check_claim(const struct adopted_container *c, const char *privilege, struct err *e)
{
	if (!str_equal(privilege, "privileged"))
		return err_set(e, ERR_FORBIDDEN,
			"adopted containers want a namespace that is labelled privileged");
	if (!c->docker_id[0])
		return err_set(e, ERR_INVALID,
			"the pod is marked as adopted and does not name its container "
			"(" ADOPTED_CONTAINER ")");
	MAP_EACH (&c->engine->pods, entry) {
		const struct adopted_container *other = entry->value;
		if (other != c && str_equal(other->docker_id, c->docker_id))
			return err_set(e, ERR_CONFLICT, "container %.12s is that of pod %s already",
				c->docker_id, other->uid);
	}
	return 0;
}

static void engine_sandbox_start(struct container_engine *base, const struct container_pod *pod,
	void (*done)(void *arg, const char *netns_path, const struct err *e), void *arg)
{
	struct adopted *x = adopted_of(base);
	struct adopted_container *c = container_ensure(x, pod->uid);
	struct err e = ERR_INIT;
	read_pod(c, pod->pod);
	c->refused = check_claim(c, pod->privilege, &e) < 0;
	if (c->refused) {
		struct failed_call *f = mem_new(struct failed_call);
		*f = (struct failed_call){.call = {done, arg}, .e = e};
		loop_defer(x->loop, sandbox_fail, f);
		return;
	}
	struct sandbox_call *call = mem_new(struct sandbox_call);
	*call = (struct sandbox_call){done, arg};
	adopted_call(c, "GET", "/json", sandbox_on_inspected, call);
}

struct run_call {
	struct adopted *engine;
	char *uid;
	void (*done)(void *arg, int pid, const struct err *e);
	void *arg;
	bool told_to_start;
	int looks;
	struct loop_timer *timer;
};

static void run_write(const struct adopted_container *c);

static void run_end(struct run_call *call, int pid, const struct err *e)
{
	call->done(call->arg, pid, e);
	loop_timer_free(call->timer);
	adopted_unref(call->engine);
	free(call->uid);
	free(call);
}

static void run_taken(struct run_call *call, struct adopted_container *c, int pid)
{
	c->pid = pid;
	c->running = true;
	c->signal = 0;
	log_info(c->engine->log, call->told_to_start ? "adopted_started" : "adopted_taken",
		"container=%.12s pod=%s pid=%d", c->docker_id, c->uid, pid);
	run_write(c);
	run_end(call, pid, NULL);
	adopted_check(c); /* it may have ended before anybody waited for that */
}

static void run_on_started(struct adopted *x, struct adopted_container *c, const json_t *answer,
	const struct err *e, void *arg);

static void run_on_inspected(struct adopted *x, struct adopted_container *c, const json_t *answer,
	const struct err *e, void *arg)
{
	struct run_call *call = arg;
	struct err why = e ? *e : ERR_INIT;
	int pid = 0;
	(void)x;
	if (!c)
		(void)err_set(&why, ERR_CANCELLED, "the pod was dropped");
	else if (e && e->code == ERR_NOT_FOUND)
		say_gone(c, &why);
	if (why.code) {
		run_end(call, 0, &why);
		return;
	}
	bool runs = adopted_read(c, answer, &pid);
	if (pid) {
		run_taken(call, c, pid);
	} else if (!runs && !call->told_to_start) {
		call->told_to_start = true;
		adopted_call(c, "POST", "/start", run_on_started, call);
	} else if (runs && call->looks++ < START_LOOKS) {
		loop_timer_start(call->timer, START_LOOK_MS); /* Docker is restarting it */
	} else {
		(void)err_set(&why, ERR_UNAVAILABLE, "container %.12s does not stay up: %.200s",
			c->docker_id, json_text(answer, "", "State", "Error"));
		run_end(call, 0, &why);
	}
}

static void run_look(struct run_call *call)
{
	struct adopted_container *c = adopted_find(call->engine, call->uid);
	struct err e = ERR_INIT;
	if (c && !call->engine->closed) {
		adopted_call(c, "GET", "/json", run_on_inspected, call);
		return;
	}
	(void)err_set(&e, ERR_CANCELLED, "the pod was dropped");
	run_end(call, 0, &e);
}

static void run_on_timer(void *arg)
{
	run_look(arg);
}

/* An engine that refuses may just be starting it itself: what it says of the container decides. */
static void run_on_started(struct adopted *x, struct adopted_container *c, const json_t *answer,
	const struct err *e, void *arg)
{
	(void)x;
	(void)c;
	(void)answer;
	(void)e;
	run_look(arg);
}

static void engine_run(struct container_engine *base, const struct container_spec *spec,
	void (*done)(void *arg, int pid, const struct err *e), void *arg)
{
	struct adopted *x = adopted_of(base);
	struct adopted_container *c = container_ensure(x, spec->pod.uid);
	struct run_call *call = mem_new(struct run_call);
	read_pod(c, spec->pod.pod);
	(void)str_copy(c->id, sizeof(c->id), spec->id);
	c->attempt = spec->attempt;
	*call = (struct run_call){
		.engine = adopted_ref(x), .uid = mem_dup_string(c->uid), .done = done, .arg = arg};
	call->timer = loop_timer_new(x->loop, run_on_timer, call);
	run_look(call);
}

/* ---- its end ---- */

static void signal_on_answer(struct adopted *x, struct adopted_container *c, const json_t *answer,
	const struct err *e, void *arg)
{
	(void)x;
	(void)answer;
	(void)e; /* sent again when the engine is back */
	(void)arg;
	if (c)
		adopted_check(c);
}

/* Docker stops it with the signal that it was made with, and then does not restart it. */
void adopted_send_signal(struct adopted_container *c)
{
	char path[48];
	if (c->signal == SIGKILL)
		snprintf(path, sizeof(path), "/kill?signal=SIGKILL");
	else
		snprintf(path, sizeof(path), "/stop?t=%d", c->grace_s);
	adopted_call(c, "POST", path, signal_on_answer, NULL);
}

struct later {
	struct adopted *engine;
	char *uid;
	container_done *done;
	void *arg;
	struct loop_timer *timer;
};

static struct later *later_new(struct adopted *x, const char *uid, container_done *done, void *arg)
{
	struct later *l = mem_new(struct later);
	*l = (struct later){adopted_ref(x), mem_dup_string(uid), done, arg, NULL};
	return l;
}

static void later_end(struct later *l, const struct err *e)
{
	if (l->done)
		l->done(l->arg, e);
	loop_timer_free(l->timer);
	adopted_unref(l->engine);
	free(l->uid);
	free(l);
}

static void later_succeed(void *arg)
{
	later_end(arg, NULL);
}

/* To its pod it has ended; in truth nobody touches it. */
static void let_go(void *arg)
{
	struct later *l = arg;
	struct adopted *x = l->engine;
	struct adopted_container *c = x->closed ? NULL : adopted_find(x, l->uid);
	if (c && c->running) {
		struct container_status status = {
			.id = c->id, .pod_uid = c->uid, .finished_ms = loop_wall_ms(x->loop)};
		c->running = false;
		x->events.on_exit(x->events.arg, &status);
	}
	later_end(l, NULL);
}

static int engine_signal(struct container_engine *base, const char *id, int number, struct err *e)
{
	struct adopted *x = adopted_of(base);
	struct adopted_container *c = adopted_by_run(x, id);
	if (!c || !c->running)
		return err_set(e, ERR_NOT_FOUND, "container %s does not run", id);
	if (c->fate == ADOPTED_LET_GO) {
		loop_defer(x->loop, let_go, later_new(x, c->uid, NULL, NULL));
		return 0;
	}
	c->signal = number;
	adopted_send_signal(c);
	return 0;
}

/* A run that ended leaves nothing: the next one is the same container. */
static void engine_remove(struct container_engine *base, const char *id, container_done *done,
	void *arg)
{
	(void)id;
	struct adopted *x = adopted_of(base);
	loop_defer(x->loop, later_succeed, later_new(x, "", done, arg));
}

/* ---- records ---- */

static char *record_path(const struct adopted *x, const char *uid, const char *what)
{
	return mem_format("%s/%s.%s", x->folder, uid, what);
}

static void record_remove(struct adopted *x, const char *uid)
{
	static const char *const parts[] = {"run", "spec", "record"};
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		char *path CLEANUP(mem_free_ptr) = record_path(x, uid, parts[i]);
		struct err e = ERR_INIT;
		if (fs_remove(fs_real(), path, &e) < 0)
			log_err(x->log, LOG_WARN, "adopted_record_not_removed", &e, "pod=%s", uid);
	}
}

static void run_write(const struct adopted_container *c)
{
	char *path CLEANUP(mem_free_ptr) = record_path(c->engine, c->uid, "run");
	json_t *run CLEANUP(json_done) = json_pack("{s:s,s:s,s:i,s:i,s:i,s:b,s:s,s:s,s:I,s:b}",
		"container", c->docker_id, "run", c->id, "attempt", c->attempt, "pid", c->pid,
		"grace", c->grace_s, "tty", c->tty, "ip", c->ip, "image", c->image_id, "started",
		(json_int_t)c->started_ms, "letGo", c->fate == ADOPTED_LET_GO);
	char *text CLEANUP(mem_free_ptr) = json_encode_string(run);
	struct err e = ERR_INIT;
	if (fs_write_atomic(fs_real(), path, text, strlen(text), 0600, &e) < 0)
		log_err(c->engine->log, LOG_WARN, "adopted_record_not_kept", &e, "pod=%s", c->uid);
}

/* Once. That a container is let go is on the disk before it is: what takes up the records next must
 * not take it for a pod's again. */
void adopted_decide(struct adopted *x, const char *uid)
{
	struct adopted_container *c = adopted_find(x, uid);
	if (!c || c->fate != ADOPTED_KEPT)
		return;
	if (c->deleted && !c->hand_back && !c->refused) {
		c->fate = ADOPTED_REMOVED;
		return;
	}
	c->fate = ADOPTED_LET_GO;
	if (c->id[0])
		run_write(c);
	bool asked = c->deleted && c->hand_back;
	log_info(x->log, asked ? "adopted_handed_back" : "adopted_let_go",
		"container=%.12s pod=%s pid=%d why=%s", c->docker_id, c->uid, c->pid,
		asked        ? "it_is_marked"
		: c->refused ? "it_was_never_taken"
			     : "nobody_asked_to_remove_it");
}

static int engine_keep(struct container_engine *base, const char *uid, const char *spec,
	const char *record, struct err *e)
{
	struct adopted *x = adopted_of(base);
	char *spec_path CLEANUP(mem_free_ptr) = record_path(x, uid, "spec");
	char *record_file CLEANUP(mem_free_ptr) = record_path(x, uid, "record");
	int r = 0;
	if (spec)
		r = fs_write_atomic(fs_real(), spec_path, spec, strlen(spec), 0600, e);
	return r < 0 ? r : fs_write_atomic(fs_real(), record_file, record, strlen(record), 0600, e);
}

struct remembering {
	struct adopted *engine;
	void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record);
	void (*each_container)(void *arg, const struct container_status *status);
	void *arg;
	VEC(char *) uids;
};

static int each_file(void *arg, const char *name, bool is_folder)
{
	struct remembering *m = arg;
	if (!is_folder && str_ends(name, ".record"))
		vec_push(&m->uids, mem_dup_bytes(name, strlen(name) - strlen(".record")));
	return 0;
}

static bool record_read(struct adopted *x, const char *uid, const char *what, struct buf *ret_text)
{
	char *path CLEANUP(mem_free_ptr) = record_path(x, uid, what);
	return fs_read(fs_real(), path, ret_text, NULL) == 0 && ret_text->size > 0;
}

/* What the run was; false: none is known, or the record is damaged. */
static bool run_restore(struct adopted_container *c, const struct buf *text)
{
	json_t *run CLEANUP(json_done) = NULL;
	if (json_decode(buf_text(text), text->size, &run, NULL) < 0)
		return false;
	c->attempt = (int)json_int(run, 0, "attempt");
	c->pid = (int)json_int(run, 0, "pid");
	c->grace_s = (int)json_int(run, 10, "grace");
	c->tty = json_bool(run, false, "tty");
	c->started_ms = json_int(run, 0, "started");
	(void)str_copy(c->ip, sizeof(c->ip), json_text(run, "", "ip"));
	(void)str_copy(c->image_id, sizeof(c->image_id), json_text(run, "", "image"));
	return str_copy(c->docker_id, sizeof(c->docker_id), json_text(run, "", "container")) &&
	       str_copy(c->id, sizeof(c->id), json_text(run, "", "run")) && c->docker_id[0] &&
	       c->id[0] && c->pid > 0;
}

/* It was let go, and the agent ended before the record did. */
static bool was_let_go(struct adopted *x, const char *uid, const struct buf *text)
{
	json_t *run CLEANUP(json_done) = NULL;
	if (json_decode(buf_text(text), text->size, &run, NULL) < 0 ||
		!json_bool(run, false, "letGo"))
		return false;
	log_info(x->log, "adopted_let_go", "container=%.12s pod=%s why=%s",
		json_text(run, "", "container"), uid, "begun_before_the_agent_ended");
	record_remove(x, uid);
	return true;
}

static void remember(struct remembering *m, const char *uid)
{
	struct adopted *x = m->engine;
	struct buf spec CLEANUP(buf_done) = BUF_INIT_LIMIT(RECORD_MAX);
	struct buf record CLEANUP(buf_done) = BUF_INIT_LIMIT(RECORD_MAX);
	struct buf run CLEANUP(buf_done) = BUF_INIT_LIMIT(RECORD_MAX);
	if (!record_read(x, uid, "spec", &spec) || !record_read(x, uid, "record", &record) ||
		!record_read(x, uid, "run", &run))
		return; /* not taken yet: the slice has the pod */
	if (was_let_go(x, uid, &run))
		return;
	struct adopted_container *c = container_ensure(x, uid);
	if (!run_restore(c, &run)) {
		map_remove(&x->pods, uid);
		return;
	}
	m->each_pod(m->arg, uid, buf_text(&spec), buf_text(&record));
	c = adopted_find(x, uid);
	if (!c)
		return; /* the record was damaged */
	/* Whether it still runs is asked as soon as Docker answers. */
	struct container_status status = {
		.id = c->id, .pod_uid = uid, .running = true, .pid = c->pid};
	c->running = true;
	m->each_container(m->arg, &status);
}

static int engine_list(struct container_engine *base,
	void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record),
	void (*each_container)(void *arg, const struct container_status *status), void *arg,
	struct err *e)
{
	struct adopted *x = adopted_of(base);
	struct remembering m = {x, each_pod, each_container, arg, {0}};
	int r = fs_make_folders(fs_real(), x->folder, 0700, e);
	if (r == 0)
		r = fs_list(fs_real(), x->folder, each_file, &m, e);
	VEC_EACH (&m.uids, char *, uid) {
		if (r == 0)
			remember(&m, *uid);
		free(*uid);
	}
	vec_done(&m.uids);
	if (r == 0)
		adopted_watch_start(x);
	return r;
}

/* ---- the end of a pod ---- */

static void drop(struct adopted *x, const char *uid)
{
	record_remove(x, uid);
	map_remove(&x->pods, uid);
}

static void remove_send(struct later *l, struct adopted_container *c);

static void remove_on_timer(void *arg)
{
	struct later *l = arg;
	struct adopted_container *c = l->engine->closed ? NULL : adopted_find(l->engine, l->uid);
	if (c)
		remove_send(l, c);
	else
		later_end(l, NULL);
}

/* It is not said to be gone before it is. */
static void remove_on_answer(struct adopted *x, struct adopted_container *c, const json_t *answer,
	const struct err *e, void *arg)
{
	struct later *l = arg;
	(void)answer;
	if (!c || !e || e->code == ERR_NOT_FOUND) {
		if (c)
			drop(x, l->uid);
		later_end(l, NULL);
		return;
	}
	log_err(x->log, LOG_WARN, "adopted_not_removed", e, "container=%.12s", c->docker_id);
	if (!l->timer)
		l->timer = loop_timer_new(x->loop, remove_on_timer, l);
	loop_timer_start(l->timer, REMOVE_RETRY_MS);
}

static void remove_send(struct later *l, struct adopted_container *c)
{
	adopted_call(c, "DELETE", "?force=true", remove_on_answer, l);
}

static void engine_sandbox_stop(struct container_engine *base, const char *uid,
	container_done *done, void *arg)
{
	struct adopted *x = adopted_of(base);
	struct adopted_container *c = adopted_find(x, uid);
	struct later *l = later_new(x, uid, done, arg);
	/* Nor is a damaged record a reason to remove a container: its pod takes it again. */
	if (c && c->fate == ADOPTED_REMOVED && c->docker_id[0]) {
		remove_send(l, c);
		return;
	}
	drop(x, uid);
	loop_defer(x->loop, later_succeed, l);
}

/* ---- the rest ---- */

static void engine_update(struct container_engine *base, const struct container_pod *pod,
	container_done *done, void *arg)
{
	struct adopted *x = adopted_of(base);
	adopted_note(x, pod->pod);
	loop_defer(x->loop, later_succeed, later_new(x, pod->uid, done, arg));
}

static void engine_forget(struct container_engine *base, const char *uid, container_done *done,
	void *arg)
{
	struct adopted *x = adopted_of(base);
	loop_defer(x->loop, later_succeed, later_new(x, uid, done, arg));
}

/* The control group of the container's first process, as Docker chose it. */
static char *cgroup_of(int pid, struct err *e)
{
	char *path CLEANUP(mem_free_ptr) = mem_format("/proc/%d/cgroup", pid);
	struct buf b CLEANUP(buf_done) = BUF_INIT_LIMIT((size_t)64 << 10);
	if (fs_read(fs_real(), path, &b, e) < 0)
		return NULL;
	bool v2 = oci_cgroup_is_v2();
	char *line, *rest = b.data;
	while ((line = strsep(&rest, "\n"))) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		if (v2 ? str_starts(line, "0:") : strstr(controllers, "memory") != NULL)
			return mem_dup_string(group);
	}
	(void)err_set(e, ERR_NOT_FOUND, "process %d is in no control group of memory", pid);
	return NULL;
}

static int engine_stats(struct container_engine *base, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	struct adopted_container *c = adopted_find(adopted_of(base), uid);
	if (!c || !c->running)
		return err_set(e, ERR_NOT_FOUND, "the adopted container does not run");
	char *cgroup CLEANUP(mem_free_ptr) = cgroup_of(c->pid, e);
	return cgroup ? oci_cgroup_stats(cgroup, ret_cpu_ns, ret_memory_bytes, e) : -ERR_NOT_FOUND;
}

static void engine_set_events(struct container_engine *base, const struct container_events *events)
{
	adopted_of(base)->events = *events;
}

static void engine_probe(struct container_engine *base,
	void (*done)(void *arg, const struct driver_probe *p), void *arg)
{
	(void)base;
	(void)done;
	(void)arg;
	abort(); /* the other driver is asked */
}

static void engine_free(struct container_engine *base)
{
	struct adopted *x = adopted_of(base);
	x->closed = true;
	adopted_watch_stop(x);
	docker_api_free(x->api);
	x->api = NULL;
	adopted_unref(x);
}

static const struct container_engine_ops engine_ops = {.name = "docker",
	.set_events = engine_set_events,
	.probe = engine_probe,
	.sandbox_start = engine_sandbox_start,
	.sandbox_stop = engine_sandbox_stop,
	.run = engine_run,
	.signal = engine_signal,
	.remove = engine_remove,
	.list = engine_list,
	.keep = engine_keep,
	.update = engine_update,
	.forget = engine_forget,
	.stats = engine_stats,
	.logs = adopted_logs,
	.logs_cancel = adopted_logs_cancel,
	.logs_pause = adopted_logs_pause,
	.exec = adopted_exec,
	.exec_input = adopted_exec_input,
	.exec_queued = adopted_exec_queued,
	.exec_pause = adopted_exec_pause,
	.exec_cancel = adopted_exec_cancel,
	.free = engine_free};

struct adopted *adopted_engine_new(const struct driver_config *config)
{
	struct adopted *x = mem_new(struct adopted);
	*x = (struct adopted){.base.ops = &engine_ops,
		.loop = config->loop,
		.log = config->log,
		.api = docker_api_new(config->loop,
			str_empty(config->docker_socket) ? DOCKER_SOCKET : config->docker_socket),
		.folder = mem_format("%s/adopted", config->run_folder),
		.references = 1};
	map_init(&x->pods, container_free);
	return x;
}
