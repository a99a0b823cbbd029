/*
 * The container engine of a simulated node: the fake driver, in a process of its own, so that its
 * pods outlive the agent, as containers do. The agent gets a driver that passes its calls on. When
 * the agent is gone, its calls end without an answer; the next one finds the pods by list.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim/cluster.h"

struct sim_driver {
	struct driver base;
	struct driver_ops ops;
	struct sim_engine *engine;
	struct driver_host host;
	struct list calls;
};

struct call {
	struct list link;
	struct sim_driver *driver; /* null: nobody waits any more */
	driver_done *done;
	void *arg;
};

/* ---- up: from the engine to whoever is there ---- */

struct refusal {
	void (*attached)(void *arg, const char *ip, const struct err *e);
	void (*detached)(void *arg, const struct err *e);
	void *arg;
};

static void refuse(void *arg)
{
	struct refusal *r = arg;
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_UNAVAILABLE, "there is no agent");
	if (r->attached)
		r->attached(r->arg, "", &e);
	else
		r->detached(r->arg, &e);
	free(r);
}

static void refuse_later(struct sim_engine *x, struct refusal r)
{
	struct refusal *copy = mem_new(struct refusal);
	*copy = r;
	loop_defer(&x->loop->loop, refuse, copy);
}

/* Addresses are the agent's to give and to take back. */
static void engine_attach(void *context, const char *pod_uid, const char *netns_path,
	const char *host_ports_json, void (*done)(void *arg, const char *ip, const struct err *e),
	void *arg)
{
	struct sim_engine *x = context;
	if (x->driver)
		x->driver->host.network_attach(x->driver->host.context, pod_uid, netns_path,
			host_ports_json, done, arg);
	else
		refuse_later(x, (struct refusal){.attached = done, .arg = arg});
}

static void engine_detach(void *context, const char *pod_uid,
	void (*done)(void *arg, const struct err *e), void *arg)
{
	struct sim_engine *x = context;
	if (x->driver)
		x->driver->host.network_detach(x->driver->host.context, pod_uid, done, arg);
	else
		refuse_later(x, (struct refusal){.detached = done, .arg = arg});
}

static void engine_event(void *context, const char *pod_uid, bool warning, const char *reason,
	const char *message)
{
	struct sim_engine *x = context;
	if (x->driver && x->driver->host.event)
		x->driver->host.event(x->driver->host.context, pod_uid, warning, reason, message);
}

/* It is the agent that starts containers. */
static bool engine_may_run(void *context, const char *pod_uid)
{
	const struct sim_engine *x = context;
	return x->driver && x->driver->host.may_run(x->driver->host.context, pod_uid);
}

static void engine_ran(void *context, const char *pod_uid, bool began)
{
	const struct sim_engine *x = context;
	struct sim_world *w = x->cluster->world;
	sim_trace_line(&w->trace, w->now_us, "container %s %s %s", x->node->machine->name, pod_uid,
		began ? "begins" : "ends");
	sim_singletons_ran(x->cluster->singletons, pod_uid, began);
	if (began)
		sim_checks_began(x->cluster->checks, pod_uid);
}

static void engine_changed(void *context, const struct driver_state *state)
{
	struct sim_engine *x = context;
	struct sim_world *w = x->cluster->world;
	sim_trace_line(&w->trace, w->now_us, "pod %s %s/%s %s %s%s", x->node->machine->name,
		state->namespace, state->name, state->uid, state->phase,
		state->stopped            ? " stopped"
		: state->containers_ready ? " ready"
					  : "");
	if (state->stopped) {
		sim_checks_gone(x->cluster->checks, x->node, state->uid);
		sim_singletons_gone(x->cluster->singletons, state->uid);
	}
	if (x->driver && x->driver->host.changed)
		x->driver->host.changed(x->driver->host.context, state);
}

void sim_engine_start(struct sim_engine *x)
{
	x->loop = sim_loop_new(x->node->machine, "engine");
	struct driver_config config = {.loop = &x->loop->loop,
		.host = {.network_attach = engine_attach,
			.network_detach = engine_detach,
			.event = engine_event,
			.changed = engine_changed,
			.may_run = engine_may_run,
			.context = x},
		.state_folder = "/engine",
		.run_folder = "/run",
		.node_name = x->node->machine->name,
		.cgroup_parent = "/",
		.runtime = ""};
	struct driver_fake_config fake = {.seed = rand_next(&x->loop->rand),
		.start_ms_min = 50,
		.start_ms_max = 3000,
		.stop_ms_max = 2000,
		.ran = engine_ran};
	x->fake = driver_fake_new(&config, &fake);
}

void sim_engine_power_off(struct sim_engine *x)
{
	if (!x->fake)
		return;
	sim_loop_kill(x->loop, true);
	x->fake->ops->free(x->fake);
	sim_loop_free(x->loop);
	x->fake = NULL;
	x->loop = NULL;
	sim_checks_power_lost(x->cluster->checks, x->node);
	sim_singletons_power_lost(x->cluster->singletons, x->node);
}

bool sim_engine_kill_pod(struct sim_engine *x, const char *uid)
{
	return x->fake && driver_fake_kill(x->fake, uid);
}

static void no_answer(void *arg, const struct err *e)
{
	(void)arg, (void)e;
}

void sim_engine_each(struct sim_engine *x,
	void (*each)(void *arg, const struct driver_state *state), void *arg)
{
	if (x->fake)
		x->fake->ops->list(x->fake, each, no_answer, arg);
}

/* ---- down: from the agent to the engine ---- */

static struct sim_driver *of(struct driver *d)
{
	return CONTAINER_OF(d, struct sim_driver, base);
}

static void answer(void *arg, const struct err *e)
{
	struct call *call = arg;
	list_remove(&call->link);
	if (call->driver && call->done)
		call->done(call->arg, e);
	free(call);
}

static struct call *call_new(struct sim_driver *d, driver_done *done, void *arg)
{
	struct call *call = mem_new(struct call);
	*call = (struct call){.driver = d, .done = done, .arg = arg};
	list_append(&d->calls, &call->link);
	return call;
}

static void trace_call(struct sim_driver *d, const char *verb, const char *uid)
{
	struct sim_world *w = d->engine->cluster->world;
	sim_trace_line(&w->trace, w->now_us, "driver %s %s %s", d->engine->node->machine->name,
		verb, uid);
}

static void driver_probe(struct driver *d, void (*done)(void *arg, const struct driver_probe *p),
	void *arg)
{
	struct driver *fake = of(d)->engine->fake;
	fake->ops->probe(fake, done, arg);
}

static void driver_prepare(struct driver *d, const struct driver_pod *pod, driver_done *done,
	void *arg)
{
	struct driver *fake = of(d)->engine->fake;
	fake->ops->prepare(fake, pod, answer, call_new(of(d), done, arg));
}

static void driver_start(struct driver *d, const struct driver_pod *pod, driver_done *done,
	void *arg)
{
	struct sim_engine *x = of(d)->engine;
	trace_call(of(d), "start", pod->pod->uid);
	sim_checks_started(x->cluster->checks, x->node, pod->pod->uid);
	sim_singletons_started(x->cluster->singletons, x->node, pod->pod);
	x->cluster->pods_started++;
	x->fake->ops->start(x->fake, pod, answer, call_new(of(d), done, arg));
}

static void driver_stop(struct driver *d, const char *uid, int64_t grace_s, driver_done *done,
	void *arg)
{
	struct driver *fake = of(d)->engine->fake;
	trace_call(of(d), "stop", uid);
	fake->ops->stop(fake, uid, grace_s, answer, call_new(of(d), done, arg));
}

static void driver_forget(struct driver *d, const char *uid, driver_done *done, void *arg)
{
	struct driver *fake = of(d)->engine->fake;
	fake->ops->forget(fake, uid, answer, call_new(of(d), done, arg));
}

/* each runs inside the call; arg is shared by both callbacks. */
static void driver_list(struct driver *d, void (*each)(void *arg, const struct driver_state *state),
	driver_done *done, void *arg)
{
	struct sim_driver *s = of(d);
	sim_engine_each(s->engine, each, arg);
	struct call *call = call_new(s, done, arg);
	struct driver *fake = s->engine->fake;
	fake->ops->forget(fake, "", answer, call); /* an answer on a later turn */
}

static int driver_stats(struct driver *d, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	struct driver *fake = of(d)->engine->fake;
	return fake->ops->stats(fake, uid, ret_cpu_ns, ret_memory_bytes, e);
}

/* Passed on as they are; what belongs to a call goes to the engine's driver directly. */
static struct driver_logs_call *driver_logs(struct driver *d, const char *uid,
	const struct driver_logs *spec)
{
	struct driver *fake = of(d)->engine->fake;
	return fake->ops->logs(fake, uid, spec);
}

static void driver_exec(struct driver *d, const char *uid, const struct driver_exec *spec,
	struct driver_exec_call **ret_call)
{
	struct driver *fake = of(d)->engine->fake;
	fake->ops->exec(fake, uid, spec, ret_call);
}

static void driver_update(struct driver *d, const struct driver_pod *pod, driver_done *done,
	void *arg)
{
	struct driver *fake = of(d)->engine->fake;
	fake->ops->update(fake, pod, answer, call_new(of(d), done, arg));
}

static void driver_free(struct driver *d)
{
	struct sim_driver *s = of(d);
	struct err e;
	err_set(&e, ERR_CANCELLED, "the agent is gone");
	LIST_EACH (&s->calls, link) {
		struct call *call = LIST_ITEM(link, struct call, link);
		list_remove(link);
		call->driver = NULL;
		if (call->done) /* who asked gives its memory back */
			call->done(call->arg, &e);
	}
	if (s->engine->driver == s)
		s->engine->driver = NULL;
	free(s);
}

static const struct driver_ops ops = {.name = "fake",
	.probe = driver_probe,
	.prepare = driver_prepare,
	.start = driver_start,
	.stop = driver_stop,
	.forget = driver_forget,
	.list = driver_list,
	.stats = driver_stats,
	.logs = driver_logs,
	.exec = driver_exec,
	.update = driver_update,
	.free = driver_free};

int sim_engine_driver(void *context, const struct driver_config *config, struct driver **ret_driver,
	struct err *e)
{
	struct sim_engine *x = context;
	if (!x->fake)
		return err_set(e, ERR_UNAVAILABLE, "the engine is not running");
	struct sim_driver *s = mem_new(struct sim_driver);
	const struct driver_ops *fake = x->fake->ops;
	s->ops = ops;
	s->ops.logs_cancel = fake->logs_cancel;
	s->ops.logs_pause = fake->logs_pause;
	s->ops.exec_input = fake->exec_input;
	s->ops.exec_queued = fake->exec_queued;
	s->ops.exec_pause = fake->exec_pause;
	s->ops.exec_cancel = fake->exec_cancel;
	s->base.ops = &s->ops;
	s->engine = x;
	s->host = config->host;
	list_init(&s->calls);
	x->driver = s;
	*ret_driver = &s->base;
	return 0;
}
