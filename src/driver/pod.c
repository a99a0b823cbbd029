/* The driver's vtable over pods; pod.h says what is where. */
#include "driver/pod.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "driver/adopted.h"

/* Timers do not count while the machine is suspended, and a server's time may come at any time: a
 * deadline is looked at again after so long. */
#define DEADLINE_LOOK_MS 60000

/* ---- references ---- */

struct pod *pod_ref(struct pod *p)
{
	p->references++;
	return p;
}

static void pod_end_containers(struct pod *p)
{
	for (size_t i = 0; i < p->container_count; i++)
		run_free(&p->containers[i]);
	free(p->containers);
	p->containers = NULL;
	p->container_count = 0;
}

void pod_unref(struct pod *p)
{
	if (--p->references > 0)
		return;
	pod_end_containers(p);
	loop_timer_free(p->timer);
	loop_timer_free(p->deadline_timer);
	loop_timer_free(p->update_timer);
	pod_source_done(&p->source);
	free(p->sandbox_message);
	free(p->uid);
	free(p->namespace);
	free(p->name);
	vec_done(&p->waiters);
	pods_unref(p->pods);
	free(p);
}

void pods_unref(struct pods *d)
{
	if (--d->references > 0)
		return;
	map_done(&d->map);
	map_done(&d->containers);
	free(d);
}

/* Makes a pod deaf: what is under way for it ends silently. */
static void pod_silence(struct pod *p)
{
	for (size_t i = 0; i < p->container_count; i++) {
		struct pod_container *c = &p->containers[i];
		if (c->phase == RUN_RUNNING)
			(void)map_remove(&p->pods->containers, c->id);
		probe_watch_free(take_ptr(c->watch));
		hook_end(c);
		loop_timer_stop(c->timer);
	}
	loop_timer_stop(p->timer);
	if (p->deadline_timer)
		loop_timer_stop(p->deadline_timer);
	if (p->update_timer)
		loop_timer_stop(p->update_timer);
	p->gone = true;
}

/* ---- telling ---- */

static void pods_flush(void *arg)
{
	struct pods *d = arg;
	d->flushing = false;
	MAP_EACH (&d->map, entry) {
		struct pod *p = entry->value;
		if (!p->dirty || d->closed)
			continue;
		p->dirty = false;
		pod_keep(p);
		if (d->config.host.changed)
			pod_state(p, false, d->config.host.changed, d->config.host.context);
	}
	pods_unref(d);
}

void pod_touch(struct pod *p)
{
	struct pods *d = p->pods;
	p->dirty = true;
	if (d->flushing || d->closed || p->gone)
		return;
	d->flushing = true;
	d->references++;
	loop_defer(d->config.loop, pods_flush, d);
}

void pod_event(struct pod *p, bool warning, const char *reason, const char *format, ...)
{
	const struct driver_host *host = &p->pods->config.host;
	if (!host->event || p->gone)
		return;
	char text[600];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	str_end_whole(text);
	host->event(host->context, p->uid, warning, reason, text);
}

struct later {
	struct pods *pods;
	driver_done *done;
	void *arg;
	struct err e;
};

static void later_run(void *arg)
{
	struct later *l = arg;
	l->done(l->arg, l->e.code ? &l->e : NULL);
	pods_unref(l->pods);
	free(l);
}

static void pods_later(struct pods *d, driver_done *done, void *arg, const struct err *e)
{
	if (!done)
		return;
	struct later *l = mem_new(struct later);
	*l = (struct later){.pods = d, .done = done, .arg = arg};
	if (e)
		l->e = *e;
	d->references++;
	loop_defer(d->config.loop, later_run, l);
}

/* ---- making ---- */

static void pod_read_container(struct pod *p, const json_t *tree, bool init, size_t index)
{
	struct pod_container *c = &p->containers[index];
	const char *image = json_text(tree, "", "image");
	const char *colon = strrchr(image, ':'), *slash = strrchr(image, '/');
	bool latest = !strchr(image, '@') &&
		      (!colon || (slash && colon < slash) || str_equal(colon, ":latest"));
	*c = (struct pod_container){.pod = p,
		.index = index,
		.name = mem_dup_string(json_text(tree, "", "name")),
		.image = mem_dup_string(image),
		.pull_policy = mem_dup_string(json_text(tree, latest ? "Always" : "IfNotPresent",
			"imagePullPolicy")),
		.init = init,
		.attempt = -1,
		.last_attempt = -1,
		.previous_attempt = -1};
	c->restart.base_ms = c->pull.base_ms = p->pods->config.backoff_ms;
	c->timer = loop_timer_new(p->pods->config.loop, run_on_timer, c);
	for (int i = 0; i < PROBE_KINDS && !init; i++) {
		const char *problem;
		c->probes[i] = probe_spec_new(tree, (enum probe_kind)i, &problem);
		if (problem)
			pod_event(p, true, "Unhealthy", "Container %s: %s", c->name, problem);
	}
	if (init)
		return;
	c->post_start = probe_spec_hook(tree, "postStart", &c->post_start_problem);
	c->pre_stop = probe_spec_hook(tree, "preStop", &c->pre_stop_problem);
}

static void pod_on_timer(void *arg)
{
	pod_step(arg);
}

/* The time until its deadline. It is counted by a clock that does not jump, from the pod's start
 * here; what passed before a boot of the machine is added once the server's time is known. */
static int64_t pod_deadline_left(struct pod *p)
{
	const struct driver_host *host = &p->pods->config.host;
	int64_t now_ms = loop_now_ms(p->pods->config.loop);
	int64_t time_ms = p->first_start_ms && host->time_ms ? host->time_ms(host->context) : -1;
	if (time_ms >= 0) {
		int64_t began_ms = now_ms - (time_ms - p->first_start_ms);
		p->began_ms = began_ms < p->began_ms ? began_ms : p->began_ms;
		p->first_start_ms = 0;
		pod_touch(p);
	}
	return p->began_ms + p->deadline_ms - now_ms;
}

static void pod_await_deadline(struct pod *p, int64_t left_ms)
{
	int64_t delay_ms = left_ms < DEADLINE_LOOK_MS ? left_ms : DEADLINE_LOOK_MS;
	loop_timer_start(p->deadline_timer, delay_ms > 0 ? delay_ms : 0);
}

static void pod_on_deadline(void *arg)
{
	struct pod *p = arg;
	if (p->finished || p->stopping)
		return;
	int64_t left_ms = pod_deadline_left(p);
	if (left_ms > 0) {
		pod_await_deadline(p, left_ms);
		return;
	}
	p->expired = true;
	pod_event(p, false, "DeadlineExceeded",
		"Pod was active on the node longer than the specified deadline");
	pod_touch(p);
	pod_step(p);
}

/* It may change while the pod runs. */
void pod_set_deadline(struct pod *p, const json_t *tree)
{
	p->deadline_ms = json_int(tree, 0, "spec", "activeDeadlineSeconds") * 1000;
	if (p->deadline_ms <= 0 && p->deadline_timer)
		loop_timer_stop(p->deadline_timer);
	if (p->deadline_ms <= 0 || p->finished)
		return;
	if (!p->deadline_timer)
		p->deadline_timer = loop_timer_new(p->pods->config.loop, pod_on_deadline, p);
	pod_await_deadline(p, pod_deadline_left(p));
}

const char *pod_address(const struct pod *p)
{
	const char *host_ip = p->pods->config.host_ip;
	if (p->ip[0])
		return p->ip;
	return p->host_network && host_ip && *host_ip ? host_ip : "127.0.0.1";
}

void pod_read(struct pod *p, const json_t *tree)
{
	const json_t *init = json_at(tree, "spec", "initContainers"),
		     *others = json_at(tree, "spec", "containers");
	size_t inits = json_array_size(init), count = inits + json_array_size(others);
	const struct object *o = p->source.pod;
	p->uid = mem_dup_string(o->uid);
	p->namespace = mem_dup_string(o->namespace);
	p->name = mem_dup_string(o->name);
	p->policy = restart_policy_parse(json_text(tree, "Always", "spec", "restartPolicy"));
	p->grace_ms = json_int(tree, 30, "spec", "terminationGracePeriodSeconds") * 1000;
	p->host_network = json_bool(tree, false, "spec", "hostNetwork");
	p->sandbox_restart.base_ms = p->pods->config.backoff_ms;
	p->timer = loop_timer_new(p->pods->config.loop, pod_on_timer, p);
	p->containers = mem_alloc_array(count + 1, sizeof(*p->containers));
	p->container_count = count;
	for (size_t i = 0; i < count; i++)
		pod_read_container(p,
			json_array_get(i < inits ? init : others, i < inits ? i : i - inits),
			i < inits, i);
}

void pod_describe(const struct pod *p, struct container_pod *ret_pod)
{
	*ret_pod = (struct container_pod){.uid = p->uid,
		.pod = p->source.pod,
		.objects = (const struct object *const *)p->source.objects,
		.object_count = p->source.object_count,
		.cluster_dns = p->source.cluster_dns,
		.dns_search = (const char *const *)p->source.dns_search,
		.privilege = p->source.privilege,
		.ip = p->ip,
		.devices = p->source.devices,
		.device_count = p->source.device_count};
}

void pod_forget_now(struct pod *p)
{
	struct pods *d = p->pods;
	pod_silence(p);
	if (d->config.host.changed)
		pod_state(p, true, d->config.host.changed, d->config.host.context);
	VEC_EACH (&p->waiters, struct pod_waiter, w)
		pods_later(d, w->done, w->arg, NULL);
	(void)map_take(&d->map, p->uid);
	pod_unref(p);
}

/* ---- the vtable ---- */

static struct pods *pods_of(struct driver *d)
{
	return CONTAINER_OF(d, struct pods, base);
}

struct pods_probe_call {
	struct pods *pods;
	void (*done)(void *arg, const struct driver_probe *p);
	void *arg;
};

static void pods_on_probe(void *arg, const struct driver_probe *from)
{
	struct pods_probe_call *call = arg;
	struct driver_probe p = *from;
	p.capabilities = call->pods->capabilities & ~from->lacks;
	call->done(call->arg, &p);
	pods_unref(call->pods);
	free(call);
}

static void pods_probe(struct driver *base, void (*done)(void *arg, const struct driver_probe *p),
	void *arg)
{
	struct pods *d = pods_of(base);
	struct pods_probe_call *call = mem_new(struct pods_probe_call);
	*call = (struct pods_probe_call){.pods = d, .done = done, .arg = arg};
	d->references++;
	d->engine->ops->probe(d->engine, pods_on_probe, call);
}

/* Images one after the other; volumes are made by start. */
struct prepare {
	struct pods *pods;
	json_t *tree;
	size_t next;
	char *uid;
	driver_done *done;
	void *arg;
};

static void prepare_next(struct prepare *x);

static void prepare_end(struct prepare *x, const struct err *e)
{
	pods_later(x->pods, x->done, x->arg, e);
	pods_unref(x->pods);
	json_decref(x->tree);
	free(x->uid);
	free(x);
}

static void prepare_on_image(void *arg, const struct image_ready *image, const struct err *e)
{
	struct prepare *x = arg;
	(void)image;
	if (e || x->pods->closed)
		prepare_end(x, e);
	else
		prepare_next(x);
}

static void prepare_next(struct prepare *x)
{
	const struct driver_host *host = &x->pods->config.host;
	const json_t *init = json_at(x->tree, "spec", "initContainers"),
		     *others = json_at(x->tree, "spec", "containers");
	size_t inits = json_array_size(init), i = x->next++;
	const json_t *c = json_array_get(i < inits ? init : others, i < inits ? i : i - inits);
	if (!c || !host->image_pull) {
		prepare_end(x, NULL);
		return;
	}
	host->image_pull(host->context, json_text(c, "", "image"),
		json_text(c, "IfNotPresent", "imagePullPolicy"), NULL, x->uid, NULL,
		prepare_on_image, x);
}

static void pods_prepare(struct driver *base, const struct driver_pod *pod, driver_done *done,
	void *arg)
{
	struct pods *d = pods_of(base);
	struct prepare *x = mem_new(struct prepare);
	*x = (struct prepare){.pods = d,
		.tree = object_tree(pod->pod),
		.uid = mem_dup_string(pod->pod->uid),
		.done = done,
		.arg = arg};
	d->references++;
	prepare_next(x);
}

static void update_on_timer(void *arg)
{
	pod_update_engine(arg);
}

/* What is wrong with the objects is mended by another update; a full disk only by time. */
static void update_failed(struct pod *p, const struct err *e)
{
	pod_event(p, true, "FailedMount", "%s", e->text);
	if (p->update_again || e->code == ERR_NOT_FOUND || e->code == ERR_INVALID ||
		e->code == ERR_FORBIDDEN || e->code == ERR_UNSUPPORTED)
		return;
	if (!p->update_timer)
		p->update_timer = loop_timer_new(p->pods->config.loop, update_on_timer, p);
	p->update_restart.base_ms = p->pods->config.backoff_ms;
	loop_timer_start(p->update_timer, restart_delay_ms(&p->update_restart, 0, false));
}

static void update_on_done(void *arg, const struct err *e)
{
	struct pod *p = arg;
	p->updating = false;
	if (!e)
		p->update_restart.failures = 0;
	else if (!p->gone)
		update_failed(p, e);
	if (p->update_again && !p->gone)
		pod_update_engine(p);
	pod_unref(p);
}

/* One at a time: the engine's jobs would overtake each other. */
void pod_update_engine(struct pod *p)
{
	struct container_engine *x = p->pods->engine;
	struct container_pod pod;
	p->update_again = p->updating || p->sandbox < SANDBOX_READY;
	if (p->update_again || p->sandbox != SANDBOX_READY || p->stopping)
		return;
	if (p->update_timer)
		loop_timer_stop(p->update_timer);
	p->updating = true;
	pod_describe(p, &pod);
	x->ops->update(x, &pod, update_on_done, pod_ref(p));
}

/* What waits for something that was missing is tried again at once. */
static void pod_update(struct pod *p, const struct driver_pod *from)
{
	struct pod_source old = p->source;
	if (pod_source_equal(&p->source, from))
		return;
	pod_source_copy(&p->source, from);
	pod_source_done(&old);
	p->spec_kept = false;
	json_t *tree CLEANUP(json_done) = object_tree(from->pod);
	pod_set_deadline(p, tree);
	for (size_t i = 0; i < p->container_count; i++) {
		struct pod_container *c = &p->containers[i];
		if (c->phase == RUN_IDLE && str_equal(c->wait_reason, "CreateContainerConfigError"))
			loop_timer_start(c->timer, 0);
	}
	if (loop_timer_active(p->timer))
		loop_timer_start(p->timer, 0);
	pod_update_engine(p);
	pod_touch(p);
}

/* What ran before a boot that made the engine forget: by what it left on the disk, or by the
 * status. Its end was seen by nobody (kubelet: ContainerStatusUnknown, exit code 137). */
static void recall_container(struct pod_container *c, const json_t *status)
{
	struct container_engine *x = c->pod->pods->engine;
	const char *started = json_text(status, "", "state", "running", "startedAt");
	int last = x->ops->last_attempt ? x->ops->last_attempt(x, c->pod->uid, c->name) : -1;
	int64_t restarts = json_int(status, 0, "restartCount");
	if (last < 0 &&
		(!*json_text(status, "", "containerID") || restarts < 0 || restarts > INT_MAX - 2))
		return;
	c->attempt = last < restarts ? (int)restarts : last;
	c->last_attempt = last; /* of a run that only the status tells of there is no log */
	c->runs = c->attempt + 1;
	c->end = (struct run_end){.set = true,
		.exit_code = 137,
		.finished_ms = loop_wall_ms(c->pod->pods->config.loop)};
	(void)str_copy(c->end.reason, sizeof(c->end.reason), "ContainerStatusUnknown");
	if (*started && time_parse(started, &c->end.started_ms, NULL) < 0)
		c->end.started_ms = 0;
}

static void pod_recall(struct pod *p, const json_t *tree)
{
	static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
	for (size_t i = 0; i < p->container_count; i++) {
		struct pod_container *c = &p->containers[i];
		const json_t *found = NULL;
		size_t k;
		json_t *status;
		json_array_foreach (json_at(tree, "status", lists[!c->init]), k, status)
			if (str_equal(json_text(status, "", "name"), c->name))
				found = status;
		recall_container(c, found);
	}
}

/* When a pod that is started anew was first started, by its status; 0: unknown. A time before the
 * server made it is one of a clock that was wrong. */
static int64_t first_start(const json_t *tree)
{
	int64_t start_ms, made_ms;
	const char *start = json_text(tree, "", "status", "startTime");
	const char *made = json_text(tree, "", "metadata", "creationTimestamp");
	if (!*start || time_parse(start, &start_ms, NULL) < 0)
		return 0;
	return time_parse(made, &made_ms, NULL) == 0 && start_ms < made_ms ? 0 : start_ms;
}

/* The machine's own clock tells when there is nothing better. */
static int64_t pods_time(const struct pods *d)
{
	const struct driver_host *host = &d->config.host;
	int64_t time_ms = host->time_ms ? host->time_ms(host->context) : -1;
	return time_ms >= 0 ? time_ms : loop_wall_ms(d->config.loop);
}

static void pods_start(struct driver *base, const struct driver_pod *from, driver_done *done,
	void *arg)
{
	struct pods *d = pods_of(base);
	struct pod *p = map_get(&d->map, from->pod->uid);
	struct err e = ERR_INIT;
	if (p && p->stopping)
		(void)err_set(&e, ERR_CONFLICT, "pod %s/%s is being stopped", p->namespace,
			p->name);
	else if (p)
		pod_update(p, from);
	if (p) {
		pods_later(d, done, arg, e.code ? &e : NULL);
		return;
	}
	p = mem_new(struct pod);
	*p = (struct pod){.pods = d, .references = 1};
	d->references++;
	pod_source_copy(&p->source, from);
	json_t *tree CLEANUP(json_done) = object_tree(from->pod);
	pod_read(p, tree);
	pod_recall(p, tree);
	p->started_ms = pods_time(d);
	p->began_ms = loop_now_ms(d->config.loop);
	p->first_start_ms = first_start(tree);
	pod_set_deadline(p, tree);
	map_put(&d->map, p->uid, p);
	pod_touch(p);
	pod_step(p);
	pods_later(d, done, arg, NULL);
}

static void pods_stop(struct driver *base, const char *uid, int64_t grace_s, driver_done *done,
	void *arg)
{
	struct pods *d = pods_of(base);
	struct pod *p = map_get(&d->map, uid);
	if (!p) {
		pods_later(d, done, arg, NULL);
		return;
	}
	vec_push(&p->waiters, (struct pod_waiter){done, arg});
	int64_t grace_ms = grace_s < 0 ? p->grace_ms : grace_s * 1000;
	int64_t by_ms = loop_now_ms(d->config.loop) + grace_ms;
	if (p->stopping && by_ms < p->stop_by_ms) {
		for (size_t i = 0; i < p->container_count; i++)
			run_kill(&p->containers[i], grace_ms, "is told to stop sooner");
	}
	if (!p->stopping || by_ms < p->stop_by_ms)
		p->stop_by_ms = by_ms;
	p->stopping = true;
	pod_touch(p);
	pod_step(p);
}

static void pods_forget(struct driver *base, const char *uid, driver_done *done, void *arg)
{
	struct pods *d = pods_of(base);
	if (!map_has(&d->map, uid)) {
		d->engine->ops->forget(d->engine, uid, done, arg);
		return;
	}
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_CONFLICT, "pod %s still runs: stop it first", uid);
	pods_later(d, done, arg, &e);
}

static void pods_keep_only(struct driver *base, const char *const *uids, size_t count)
{
	struct pods *d = pods_of(base);
	struct map kept;
	if (!d->engine->ops->keep_only)
		return;
	map_init(&kept, NULL);
	for (size_t i = 0; i < count; i++)
		map_put(&kept, uids[i], d);
	MAP_EACH (&d->map, entry)
		map_put(&kept, entry->key, d);
	d->engine->ops->keep_only(d->engine, &kept);
	map_done(&kept);
}

static void pods_list(struct driver *base,
	void (*each)(void *arg, const struct driver_state *state), driver_done *done, void *arg)
{
	struct pods *d = pods_of(base);
	MAP_EACH (&d->map, entry)
		pod_state(entry->value, false, each, arg);
	pods_later(d, done, arg, NULL);
}

static int pods_stats(struct driver *base, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	struct pods *d = pods_of(base);
	if (!map_has(&d->map, uid))
		return err_set(e, ERR_NOT_FOUND, "no pod %s runs here", uid);
	return d->engine->ops->stats(d->engine, uid, ret_cpu_ns, ret_memory_bytes, e);
}

static struct pod_container *pods_container(struct pods *d, const char *uid, const char *name)
{
	struct pod *p = map_get(&d->map, uid);
	struct pod_container *first = NULL;
	for (size_t i = 0; p && i < p->container_count; i++) {
		struct pod_container *c = &p->containers[i];
		if (name && str_equal(c->name, name))
			return c;
		if (!first && !c->init)
			first = c;
	}
	return name ? NULL : first;
}

/* Why nothing can be done in the container: there is none of that name, or it does not run. */
static void pods_refuse(struct pods *d, const char *uid, const char *name, struct err *e)
{
	const struct pod *p = map_get(&d->map, uid);
	const struct pod_container *c = pods_container(d, uid, name);
	struct buf names CLEANUP(buf_done) = BUF_INIT;
	for (size_t i = 0; p && i < p->container_count; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", p->containers[i].name);
	if (!p)
		(void)err_set(e, ERR_NOT_FOUND, "the node has not got the pod (yet, or any more)");
	else if (!c)
		(void)err_set(e, ERR_NOT_FOUND,
			"the pod has no container \"%.60s\", it has: %.300s", name,
			buf_text(&names));
	else if (c->phase == RUN_ENDED)
		(void)err_set(e, ERR_CONFLICT,
			"container \"%.60s\" is not running: it ended with %d", c->name,
			c->end.exit_code);
	else
		(void)err_set(e, ERR_CONFLICT, "container \"%.60s\" is not running: %s", c->name,
			*c->wait_reason ? c->wait_reason : "it is being started");
}

/* Calls that could not begin: their end is told on a later turn. They have no ops. */
struct failed_logs {
	struct driver_logs_call base;
	struct driver_logs spec;
	struct err e;
	bool cancelled;
};

static void failed_logs_run(void *arg)
{
	struct failed_logs *f = arg;
	if (!f->cancelled)
		f->spec.on_end(f->spec.arg, &f->e);
	free(f);
}

/* Which run's log is meant: a container that waits to be run again shows its last one, as both. */
static int logs_attempt(const struct pod_container *c, bool previous)
{
	bool current = c->phase == RUN_RUNNING || c->phase == RUN_ENDED;
	return previous && current ? c->previous_attempt : c->last_attempt;
}

/* Names become parts of paths, and these were not read from a pod. */
static bool is_plain_name(const char *name)
{
	return !str_empty(name) && name[0] != '.' && !strchr(name, '/');
}

/* The last run of a pod that is not run here any more, by what it left; -1: nothing. */
static int left_attempt(const struct pods *d, const char *uid, const struct driver_logs *spec)
{
	struct container_engine *x = d->engine;
	if (map_has(&d->map, uid) || !x->ops->last_attempt || !is_plain_name(uid) ||
		!is_plain_name(spec->container))
		return -1;
	return x->ops->last_attempt(x, uid, spec->container);
}

static struct driver_logs_call *pods_logs(struct driver *base, const char *uid,
	const struct driver_logs *spec)
{
	struct pods *d = pods_of(base);
	struct pod_container *c = pods_container(d, uid, spec->container);
	int left = c ? -1 : left_attempt(d, uid, spec);
	int attempt = c ? logs_attempt(c, spec->previous) : left - (left >= 0 && spec->previous);
	bool live = c && c->phase == RUN_RUNNING && !spec->previous;
	const char *name = c ? c->name : spec->container;
	if (attempt >= 0)
		return d->engine->ops->logs(d->engine, uid, name, attempt, live, spec);
	struct failed_logs *f = mem_new(struct failed_logs);
	f->spec = *spec;
	if ((c || left >= 0) && spec->previous)
		(void)err_set(&f->e, ERR_NOT_FOUND, "container \"%.60s\" has no previous run",
			name);
	else
		pods_refuse(d, uid, spec->container, &f->e);
	loop_defer(d->config.loop, failed_logs_run, f);
	return &f->base;
}

static void pods_logs_cancel(struct driver_logs_call *call)
{
	if (call->ops)
		call->ops->logs_cancel(call);
	else
		CONTAINER_OF(call, struct failed_logs, base)->cancelled = true;
}

static void pods_logs_pause(struct driver_logs_call *call, bool paused)
{
	if (call->ops)
		call->ops->logs_pause(call, paused);
}

struct failed_exec {
	struct driver_exec_call base;
	struct driver_exec spec;
	struct err e;
	bool cancelled;
};

static void failed_exec_run(void *arg)
{
	struct failed_exec *f = arg;
	if (!f->cancelled)
		f->spec.on_exit(f->spec.arg, -1, &f->e);
	free(f);
}

static void pods_exec(struct driver *base, const char *uid, const struct driver_exec *spec,
	struct driver_exec_call **ret_call)
{
	struct pods *d = pods_of(base);
	struct pod_container *c = pods_container(d, uid, spec->container);
	if (c && c->phase == RUN_RUNNING) {
		d->engine->ops->exec(d->engine, c->id, spec, ret_call);
		return;
	}
	struct failed_exec *f = mem_new(struct failed_exec);
	f->spec = *spec;
	pods_refuse(d, uid, spec->container, &f->e);
	loop_defer(d->config.loop, failed_exec_run, f);
	*ret_call = &f->base;
}

static void pods_exec_input(struct driver_exec_call *call, const void *data, size_t size)
{
	if (call->ops)
		call->ops->exec_input(call, data, size);
}

static size_t pods_exec_queued(const struct driver_exec_call *call)
{
	return call->ops ? call->ops->exec_queued(call) : 0;
}

static void pods_exec_pause(struct driver_exec_call *call, bool paused)
{
	if (call->ops)
		call->ops->exec_pause(call, paused);
}

static void pods_exec_cancel(struct driver_exec_call *call)
{
	if (call->ops)
		call->ops->exec_cancel(call);
	else
		CONTAINER_OF(call, struct failed_exec, base)->cancelled = true;
}

static void pods_update(struct driver *base, const struct driver_pod *from, driver_done *done,
	void *arg)
{
	struct pods *d = pods_of(base);
	struct pod *p = map_get(&d->map, from->pod->uid);
	struct err e = ERR_INIT;
	if (p)
		pod_update(p, from);
	else
		(void)err_set(&e, ERR_NOT_FOUND, "no pod %s runs here", from->pod->uid);
	pods_later(d, done, arg, e.code ? &e : NULL);
}

static void pods_free(struct driver *base)
{
	struct pods *d = pods_of(base);
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_CANCELLED, "the driver was closed");
	d->closed = true;
	MAP_EACH (&d->map, entry) {
		struct pod *p = entry->value;
		if (p->dirty)
			pod_keep(p);
		VEC_EACH (&p->waiters, struct pod_waiter, w)
			pods_later(d, w->done, w->arg, &e);
		pod_silence(p);
		pod_unref(p);
	}
	map_done(&d->map);
	d->engine->ops->free(d->engine);
	d->engine = NULL;
	pods_unref(d);
}

static const struct driver_ops pods_ops = {.name = "pods",
	.probe = pods_probe,
	.prepare = pods_prepare,
	.start = pods_start,
	.stop = pods_stop,
	.forget = pods_forget,
	.keep_only = pods_keep_only,
	.list = pods_list,
	.stats = pods_stats,
	.logs = pods_logs,
	.logs_cancel = pods_logs_cancel,
	.logs_pause = pods_logs_pause,
	.exec = pods_exec,
	.exec_input = pods_exec_input,
	.exec_queued = pods_exec_queued,
	.exec_pause = pods_exec_pause,
	.exec_cancel = pods_exec_cancel,
	.update = pods_update,
	.free = pods_free};

/* ---- adoption ---- */

static void pods_on_exit(void *arg, const struct container_status *status)
{
	struct pods *d = arg;
	struct pod_container *c = map_get(&d->containers, status->id);
	if (c && status->lost) {
		pod_event(c->pod, true, "MonitorLost",
			"Container %s lost its monitor and was killed", c->name);
		c->restart.failures = 0; /* it did nothing for which it would have to wait */
	}
	if (c && c->phase == RUN_RUNNING)
		run_ended(c, status->exit_code, status->oom_killed, status->finished_ms);
}

/* The network is attached anew with the new namespace, under the same address. */
static void pods_on_sandbox_lost(void *arg, const char *uid)
{
	struct pods *d = arg;
	struct pod *p = map_get(&d->map, uid);
	if (!p || p->stopping || p->finished ||
		(p->sandbox != SANDBOX_READY && p->sandbox != SANDBOX_ATTACHING))
		return;
	pod_event(p, false, "SandboxChanged",
		"Pod sandbox changed, it will be killed and re-created.");
	p->sandbox = SANDBOX_NONE;
	p->sandboxes_lost++;
	for (size_t i = 0; i < p->container_count; i++)
		run_kill(&p->containers[i], 0, "has lost its pod's namespaces");
	pod_touch(p);
	pod_step(p);
}

static void adopt_pod(void *arg, const char *uid, const char *spec, const char *record)
{
	struct pods *d = arg;
	struct pod *p = pod_restore(d, spec, record);
	if (p) {
		map_put(&d->map, p->uid, p);
		return;
	}
	log_warn(d->config.log, "pod_record_unusable",
		"pod=%s why=damaged_or_of_another_version action=its_containers_are_begun_anew",
		uid);
	d->engine->ops->sandbox_stop(d->engine, uid, NULL, NULL);
}

/* The run that the record names goes on, or ended meanwhile; any other is a leftover. */
static void adopt_container(void *arg, const struct container_status *status)
{
	struct pods *d = arg;
	struct pod *p = map_get(&d->map, status->pod_uid);
	for (size_t i = 0; p && i < p->container_count; i++) {
		struct pod_container *c = &p->containers[i];
		if (!str_equal(c->id, status->id) || c->phase != RUN_RUNNING)
			continue;
		c->pid = status->pid;
		c->seen = true;
		map_put(&d->containers, c->id, c);
		if (status->running)
			run_watch(c);
		else
			run_ended(c, status->exit_code, status->oom_killed, status->finished_ms);
		return;
	}
	if (p && p->container_count)
		run_remove(&p->containers[0], status->id);
	else
		d->engine->ops->remove(d->engine, status->id, NULL, NULL);
}

/* The agent before us may have died when it had kept what is new and not handed it on. */
static void adopt_update(struct pod *p)
{
	if (p->sandbox == SANDBOX_READY && !p->finished && !adopted_pod(p->source.pod))
		pod_update_engine(p);
}

/* Runs that are gone without a trace count as failed. */
static void adopt_pods(void *arg)
{
	struct pods *d = arg;
	MAP_EACH (&d->map, entry) {
		struct pod *p = entry->value;
		for (size_t i = 0; i < p->container_count && !d->closed; i++) {
			struct pod_container *c = &p->containers[i];
			if (c->adopted && !c->seen && c->phase == RUN_RUNNING)
				run_ended(c, 255, false, loop_wall_ms(d->config.loop));
			c->adopted = false;
		}
		if (d->closed)
			continue;
		adopt_update(p);
		pod_touch(p);
		pod_step(p);
	}
	pods_unref(d);
}

int pods_new(const struct driver_config *config, struct container_engine *engine,
	unsigned capabilities, struct driver **ret_driver, struct err *e)
{
	struct pods *d = mem_new(struct pods);
	d->base.ops = &pods_ops;
	d->config = *config;
	d->engine = engine;
	d->capabilities = capabilities;
	d->references = 1;
	struct container_events events = {
		.on_exit = pods_on_exit, .on_sandbox_lost = pods_on_sandbox_lost, .arg = d};
	engine->ops->set_events(engine, &events);
	int rc = engine->ops->list(engine, adopt_pod, adopt_container, d, e);
	if (rc) {
		pods_free(&d->base);
		return rc;
	}
	d->references++;
	loop_defer(config->loop, adopt_pods, d);
	*ret_driver = &d->base;
	return 0;
}
