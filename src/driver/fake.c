/* Pods that exist in memory only: every delay and every crash comes from the seed, over loop.h. */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "codec/json.h"
#include "driver/driver.h"

/*
 *   start                    start delay
 *  ───────▶ FAKE_STARTING ───────────────▶ FAKE_RUNNING ──┐ crash: restarts + 1, after the back-off
 *                │                            │   ▲───────┘
 *                └────── stop ──▶ FAKE_STOPPING ──▶ gone
 */
enum fake_phase { FAKE_STARTING, FAKE_RUNNING, FAKE_STOPPING };

struct fake_waiter {
	driver_done *done;
	void *arg;
	struct fake_waiter *next;
};

struct fake_container {
	char *name, *image;
	bool init, crashed;
	int restarts;
	int64_t started_ms, finished_ms;
};

struct fake_pod {
	struct fake *fake;
	char *uid, *namespace, *name;
	char ip[64];
	enum fake_phase phase;
	bool attached; /* the network was asked for and answered */
	bool orphan;   /* the driver was freed while the network was being asked */
	bool asking;
	int64_t started_ms;
	struct fake_container *containers;
	size_t container_count;
	struct loop_timer *timer, *crash_timer;
	struct fake_waiter *waiters; /* of stop */
};

struct fake {
	struct driver base;
	struct driver_config config;
	struct driver_fake_config fake;
	struct rand rand;
	struct map pods; /* uid → struct fake_pod */
	unsigned addresses;
};

struct fake_call {
	driver_done *done;
	void *arg;
	struct err e;
};

static void fake_call_run(void *arg)
{
	struct fake_call *call = arg;
	call->done(call->arg, call->e.code ? &call->e : NULL);
	free(call);
}

static void fake_later(struct fake *f, driver_done *done, void *arg, const struct err *e)
{
	if (!done)
		return;
	struct fake_call *call = mem_new(struct fake_call);
	*call = (struct fake_call){.done = done, .arg = arg};
	if (e)
		call->e = *e;
	loop_defer(f->config.loop, fake_call_run, call);
}

/* The driver goes while somebody waits for a stop: nothing is left of the pod, as it were. */
static void fake_release_waiters(struct fake_pod *p)
{
	while (p->waiters) {
		struct fake_waiter *w = p->waiters;
		p->waiters = w->next;
		fake_later(p->fake, w->done, w->arg, NULL);
		free(w);
	}
}

static void fake_pod_free(void *value)
{
	struct fake_pod *p = value;
	fake_release_waiters(p);
	loop_timer_free(p->timer);
	loop_timer_free(p->crash_timer);
	p->timer = p->crash_timer = NULL;
	if (p->asking) { /* the host still holds our address: freed when it answers */
		p->orphan = true;
		return;
	}
	for (size_t i = 0; i < p->container_count; i++) {
		free(p->containers[i].name);
		free(p->containers[i].image);
	}
	free(p->containers);
	free(p->uid);
	free(p->namespace);
	free(p->name);
	free(p);
}

/* ---- what is observed ---- */

static void fake_container_state(const struct fake_pod *p, const struct fake_container *c,
	struct driver_container *out)
{
	bool up = p->phase == FAKE_RUNNING && !c->init && !c->crashed;
	*out = (struct driver_container){.name = c->name,
		.init = c->init,
		.image = c->image,
		.image_id = "sha256:fake",
		.container_id = "fake://0",
		.reason = "",
		.message = "",
		.last_reason = "",
		.restarts = c->restarts,
		.started_ms = c->started_ms};
	if (up) {
		*out = (struct driver_container){.name = c->name,
			.image = c->image,
			.image_id = "sha256:fake",
			.container_id = "fake://0",
			.reason = "",
			.message = "",
			.last_reason = "",
			.state = CONTAINER_RUNNING,
			.restarts = c->restarts,
			.started_ms = c->started_ms,
			.started = true,
			.ready = true,
			.pid = 1};
	} else if (p->phase == FAKE_RUNNING && c->init) {
		out->state = CONTAINER_TERMINATED;
		out->reason = "Completed";
		out->finished_ms = c->started_ms;
		out->ready = true;
	} else if (p->phase == FAKE_STOPPING) {
		out->state = CONTAINER_TERMINATED;
		out->reason = "Error";
		out->exit_code = 143;
		out->finished_ms = loop_wall_ms(p->fake->config.loop);
	} else {
		out->state = CONTAINER_WAITING;
		out->reason = c->crashed ? "CrashLoopBackOff" : "ContainerCreating";
		out->started_ms = 0;
	}
	if (c->restarts || c->crashed) {
		out->has_last = true;
		out->last_exit_code = 1;
		out->last_reason = "Error";
		out->last_started_ms = c->started_ms;
		out->last_finished_ms = c->finished_ms;
	}
}

static void fake_state(const struct fake_pod *p, bool stopped,
	void (*each)(void *, const struct driver_state *), void *arg)
{
	struct driver_container *containers =
		mem_alloc_array(p->container_count + 1, sizeof(*containers));
	bool ready = p->phase == FAKE_RUNNING;
	for (size_t i = 0; i < p->container_count; i++) {
		fake_container_state(p, &p->containers[i], &containers[i]);
		ready = ready && (containers[i].init || containers[i].ready);
	}
	struct driver_state state = {.uid = p->uid,
		.namespace = p->namespace,
		.name = p->name,
		.phase = p->phase == FAKE_STARTING ? "Pending" : "Running",
		.reason = "",
		.message = "",
		.ip = p->ip,
		.started_ms = p->started_ms,
		.initialized = p->phase != FAKE_STARTING,
		.containers_ready = ready,
		.containers = containers,
		.container_count = p->container_count,
		.stopped = stopped};
	each(arg, &state);
	free(containers);
}

static void fake_changed(struct fake_pod *p, bool stopped)
{
	const struct driver_host *host = &p->fake->config.host;
	if (host->changed)
		fake_state(p, stopped, host->changed, host->context);
}

/* ---- life and death ---- */

static void fake_plan_crash(struct fake_pod *p)
{
	int64_t mean = p->fake->fake.crash_mean_ms;
	if (mean > 0)
		loop_timer_start(p->crash_timer, rand_between(&p->fake->rand, 1, 2 * mean));
}

static void fake_on_crash_timer(void *arg)
{
	struct fake_pod *p = arg;
	struct fake *f = p->fake;
	int64_t wall_ms = loop_wall_ms(f->config.loop);
	for (size_t i = 0; i < p->container_count; i++) {
		struct fake_container *c = &p->containers[i];
		if (!c->crashed)
			continue;
		c->crashed = false;
		c->restarts++;
		c->started_ms = wall_ms;
		fake_plan_crash(p);
		fake_changed(p, false);
		return;
	}
	struct fake_container *c =
		&p->containers[rand_below(&f->rand, (uint64_t)p->container_count)];
	if (c->init) {
		fake_plan_crash(p);
		return;
	}
	c->crashed = true;
	c->finished_ms = wall_ms;
	loop_timer_start(p->crash_timer, 10000);
	fake_changed(p, false);
}

static void fake_gone(struct fake_pod *p)
{
	struct fake *f = p->fake;
	struct fake_waiter *waiters = take_ptr(p->waiters);
	if (f->config.host.network_detach && p->attached)
		f->config.host.network_detach(f->config.host.context, p->uid, NULL, NULL);
	fake_changed(p, true);
	(void)map_remove(&f->pods, p->uid);
	while (waiters) {
		struct fake_waiter *w = waiters;
		waiters = w->next;
		fake_later(f, w->done, w->arg, NULL);
		free(w);
	}
}

static void fake_on_timer(void *arg)
{
	struct fake_pod *p = arg;
	if (p->phase == FAKE_STOPPING) {
		fake_gone(p);
		return;
	}
	p->phase = FAKE_RUNNING;
	for (size_t i = 0; i < p->container_count; i++)
		p->containers[i].started_ms = loop_wall_ms(p->fake->config.loop);
	fake_plan_crash(p);
	fake_changed(p, false);
}

static void fake_begin(struct fake_pod *p)
{
	const struct driver_fake_config *c = &p->fake->fake;
	p->attached = true;
	if (p->phase == FAKE_STARTING)
		loop_timer_start(p->timer,
			rand_between(&p->fake->rand, c->start_ms_min, c->start_ms_max));
	fake_changed(p, false);
}

static void fake_on_network(void *arg, const char *ip, const struct err *e)
{
	struct fake_pod *p = arg;
	p->asking = false;
	if (p->orphan) {
		fake_pod_free(p);
		return;
	}
	if (!e)
		(void)str_copy(p->ip, sizeof(p->ip), ip);
	fake_begin(p);
}

static void fake_read_containers(struct fake_pod *p, const json_t *list, bool init)
{
	size_t count = json_array_size(list);
	p->containers = mem_resize(p->containers,
		(p->container_count + count + 1) * sizeof(*p->containers));
	for (size_t i = 0; i < count; i++) {
		const json_t *c = json_array_get(list, i);
		p->containers[p->container_count++] =
			(struct fake_container){.name = mem_dup_string(json_text(c, "", "name")),
				.image = mem_dup_string(json_text(c, "", "image")),
				.init = init};
	}
}

static int fake_pod_new(struct fake *f, const struct object *o, struct fake_pod **ret_pod,
	struct err *e)
{
	json_t *tree CLEANUP(json_done) = NULL;
	int rc = json_decode(o->blob, o->blob_size, &tree, e);
	if (rc)
		return rc;
	struct fake_pod *p = mem_new(struct fake_pod);
	p->fake = f;
	p->uid = mem_dup_string(o->uid);
	p->namespace = mem_dup_string(o->namespace);
	p->name = mem_dup_string(o->name);
	p->started_ms = loop_wall_ms(f->config.loop);
	p->timer = loop_timer_new(f->config.loop, fake_on_timer, p);
	p->crash_timer = loop_timer_new(f->config.loop, fake_on_crash_timer, p);
	fake_read_containers(p, json_at(tree, "spec", "initContainers"), true);
	fake_read_containers(p, json_at(tree, "spec", "containers"), false);
	*ret_pod = p;
	return 0;
}

/* ---- the vtable ---- */

static void fake_probe(struct driver *d, void (*done)(void *arg, const struct driver_probe *p),
	void *arg)
{
	(void)d;
	struct driver_probe p = {
		.capabilities = DRIVER_EXEC | DRIVER_STATS | DRIVER_UPDATE | DRIVER_DEVICES,
		.ready = true,
		.name = "fake",
		.version = "1"};
	done(arg, &p);
}

static void fake_prepare(struct driver *d, const struct driver_pod *pod, driver_done *done,
	void *arg)
{
	(void)pod;
	fake_later(CONTAINER_OF(d, struct fake, base), done, arg, NULL);
}

static void fake_start(struct driver *d, const struct driver_pod *pod, driver_done *done, void *arg)
{
	struct fake *f = CONTAINER_OF(d, struct fake, base);
	struct err e = ERR_INIT;
	struct fake_pod *p = map_get(&f->pods, pod->pod->uid);
	if (p) {
		if (p->phase == FAKE_STOPPING)
			(void)err_set(&e, ERR_CONFLICT, "pod %s is being stopped", p->name);
		fake_later(f, done, arg, e.code ? &e : NULL);
		return;
	}
	if (fake_pod_new(f, pod->pod, &p, &e)) {
		fake_later(f, done, arg, &e);
		return;
	}
	map_put(&f->pods, p->uid, p);
	fake_later(f, done, arg, NULL);
	if (f->config.host.network_attach) {
		p->asking = true;
		f->config.host.network_attach(f->config.host.context, p->uid, "", "[]",
			fake_on_network, p);
		return;
	}
	unsigned n = ++f->addresses;
	char *ip = mem_format("10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);
	(void)str_copy(p->ip, sizeof(p->ip), ip);
	free(ip);
	fake_begin(p);
}

static void fake_stop(struct driver *d, const char *uid, int64_t grace_s, driver_done *done,
	void *arg)
{
	struct fake *f = CONTAINER_OF(d, struct fake, base);
	struct fake_pod *p = map_get(&f->pods, uid);
	if (!p) {
		fake_later(f, done, arg, NULL);
		return;
	}
	struct fake_waiter *w = mem_new(struct fake_waiter);
	*w = (struct fake_waiter){.done = done, .arg = arg, .next = p->waiters};
	p->waiters = w;
	bool already = p->phase == FAKE_STOPPING;
	p->phase = FAKE_STOPPING;
	loop_timer_stop(p->crash_timer);
	if (!already)
		loop_timer_start(p->timer,
			grace_s == 0 ? 0 : rand_between(&f->rand, 0, f->fake.stop_ms_max));
	else if (grace_s == 0)
		loop_timer_start(p->timer, 0);
}

static void fake_forget(struct driver *d, const char *uid, driver_done *done, void *arg)
{
	(void)uid;
	fake_later(CONTAINER_OF(d, struct fake, base), done, arg, NULL);
}

static void fake_list(struct driver *d, void (*each)(void *arg, const struct driver_state *state),
	driver_done *done, void *arg)
{
	struct fake *f = CONTAINER_OF(d, struct fake, base);
	MAP_EACH (&f->pods, entry)
		fake_state(entry->value, false, each, arg);
	fake_later(f, done, arg, NULL);
}

static int fake_stats(struct driver *d, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	struct fake *f = CONTAINER_OF(d, struct fake, base);
	const struct fake_pod *p = map_get(&f->pods, uid);
	if (!p)
		return err_set(e, ERR_NOT_FOUND, "no pod %s runs here", uid);
	*ret_cpu_ns = (loop_wall_ms(f->config.loop) - p->started_ms) * 1000;
	*ret_memory_bytes = (int64_t)p->container_count << 20;
	return 0;
}

struct driver_logs_call {
	struct driver_logs spec;
	bool cancelled, known;
};

static void fake_logs_run(void *arg)
{
	struct driver_logs_call *call = arg;
	static const char line[] = "fake\n";
	if (!call->cancelled) {
		struct err e = ERR_INIT;
		if (call->known)
			call->spec.on_data(call->spec.arg, line, sizeof(line) - 1);
		else
			(void)err_set(&e, ERR_NOT_FOUND, "no such pod runs here");
		call->spec.on_end(call->spec.arg, call->known ? NULL : &e);
	}
	free(call);
}

static struct driver_logs_call *fake_logs(struct driver *d, const char *uid,
	const struct driver_logs *spec)
{
	struct fake *f = CONTAINER_OF(d, struct fake, base);
	struct driver_logs_call *call = mem_new(struct driver_logs_call);
	*call = (struct driver_logs_call){.spec = *spec, .known = map_has(&f->pods, uid)};
	loop_defer(f->config.loop, fake_logs_run, call);
	return call;
}

static void fake_logs_cancel(struct driver_logs_call *call)
{
	call->cancelled = true;
}

struct driver_exec_call {
	struct driver_exec spec;
	bool cancelled, known;
};

static void fake_exec_run(void *arg)
{
	struct driver_exec_call *call = arg;
	struct err e = ERR_INIT;
	if (!call->known)
		(void)err_set(&e, ERR_NOT_FOUND, "no such pod runs here");
	if (!call->cancelled)
		call->spec.on_exit(call->spec.arg, 0, call->known ? NULL : &e);
	free(call);
}

static void fake_exec(struct driver *d, const char *uid, const struct driver_exec *spec,
	struct driver_exec_call **ret_call)
{
	struct fake *f = CONTAINER_OF(d, struct fake, base);
	struct driver_exec_call *call = mem_new(struct driver_exec_call);
	*call = (struct driver_exec_call){.spec = *spec, .known = map_has(&f->pods, uid)};
	loop_defer(f->config.loop, fake_exec_run, call);
	*ret_call = call;
}

static void fake_exec_input(struct driver_exec_call *call, const void *data, size_t size)
{
	if (!call->cancelled && size && call->spec.on_stdout)
		call->spec.on_stdout(call->spec.arg, data, size);
}

static void fake_exec_cancel(struct driver_exec_call *call)
{
	call->cancelled = true;
}

static void fake_update(struct driver *d, const struct driver_pod *pod, driver_done *done,
	void *arg)
{
	(void)pod;
	fake_later(CONTAINER_OF(d, struct fake, base), done, arg, NULL);
}

static void fake_free(struct driver *d)
{
	struct fake *f = CONTAINER_OF(d, struct fake, base);
	map_done(&f->pods);
	free(f);
}

static const struct driver_ops fake_ops = {.name = "fake",
	.probe = fake_probe,
	.prepare = fake_prepare,
	.start = fake_start,
	.stop = fake_stop,
	.forget = fake_forget,
	.list = fake_list,
	.stats = fake_stats,
	.logs = fake_logs,
	.logs_cancel = fake_logs_cancel,
	.exec = fake_exec,
	.exec_input = fake_exec_input,
	.exec_cancel = fake_exec_cancel,
	.update = fake_update,
	.free = fake_free};

struct driver *driver_fake_new(const struct driver_config *config,
	const struct driver_fake_config *fake)
{
	struct fake *f = mem_new(struct fake);
	f->base.ops = &fake_ops;
	f->config = *config;
	f->fake = *fake;
	rand_init(&f->rand, fake->seed);
	map_init(&f->pods, fake_pod_free);
	return &f->base;
}
