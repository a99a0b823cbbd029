/* What a pod needs next. Called after everything that happens to it; each call does what is due. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/pod.h"
#include "model/pod_security.h"

#define MAY_RUN_MS 250 /* until the host is asked again */

/* ---- the sandbox ---- */

static void sandbox_failed(struct pod *p, const struct err *e)
{
	bool config =
		e->code == ERR_FORBIDDEN || e->code == ERR_INVALID || e->code == ERR_UNSUPPORTED;
	p->sandbox = SANDBOX_NONE;
	(void)str_copy(p->sandbox_reason, sizeof(p->sandbox_reason),
		config ? "CreateContainerConfigError" : "ContainerCreating");
	free(p->sandbox_message);
	p->sandbox_message = mem_dup_string(e->text);
	pod_event(p, true, e->code == ERR_NOT_FOUND ? "FailedMount" : "FailedCreatePodSandBox",
		"%s", e->text);
	loop_timer_start(p->timer, restart_delay_ms(&p->sandbox_restart, 0, false));
	pod_touch(p);
}

/* What changed while the sandbox was made. */
static void step_catch_up(struct pod *p)
{
	if (p->update_again && !p->updating)
		pod_update_engine(p);
}

static void sandbox_on_attached(void *arg, const char *ip, const struct err *e)
{
	struct pod *p = arg;
	if (!p->gone && p->sandbox == SANDBOX_ATTACHING) {
		p->sandbox = SANDBOX_READY;
		if (e && !p->stopping) {
			sandbox_failed(p, e);
		} else if (!e) {
			(void)str_copy(p->ip, sizeof(p->ip), ip);
			p->sandbox_restart.failures = 0;
			p->sandbox_reason[0] = '\0';
			step_catch_up(p);
		}
		pod_touch(p);
		pod_step(p);
	}
	pod_unref(p);
}

/* The ports that the pod wants on the host: [{"hostPort":80,"containerPort":8080,"protocol":"TCP"}]
 */
static char *sandbox_host_ports(const struct pod *p)
{
	json_t *tree CLEANUP(json_done) = object_tree(p->source.pod);
	json_t *ports CLEANUP(json_done) = json_array();
	size_t i, j;
	json_t *container, *port;
	json_array_foreach (json_at(tree, "spec", "containers"), i, container)
		json_array_foreach (json_at(container, "ports"), j, port)
			if (json_int(port, 0, "hostPort") > 0)
				json_array_append(ports, port);
	return json_encode_string(ports);
}

static void sandbox_on_started(void *arg, const char *netns_path, const struct err *e)
{
	struct pod *p = arg;
	const struct driver_host *host = &p->pods->config.host;
	if (p->gone || p->sandbox != SANDBOX_STARTING) {
		pod_unref(p);
		return;
	}
	if (e) {
		sandbox_failed(p, e);
		pod_step(p);
		pod_unref(p);
		return;
	}
	(void)str_copy(p->netns_path, sizeof(p->netns_path), netns_path);
	if (p->host_network || !host->network_attach) {
		p->sandbox = SANDBOX_READY;
		p->sandbox_reason[0] = '\0';
		step_catch_up(p);
		pod_touch(p);
		pod_step(p);
	} else {
		p->sandbox = SANDBOX_ATTACHING;
		char *ports CLEANUP(mem_free_ptr) = sandbox_host_ports(p);
		host->network_attach(host->context, p->uid, p->netns_path, ports,
			sandbox_on_attached, pod_ref(p));
	}
	pod_unref(p);
}

static void sandbox_start(struct pod *p)
{
	struct container_engine *x = p->pods->engine;
	struct container_pod pod;
	struct err e = ERR_INIT;
	json_t *tree CLEANUP(json_done) = object_tree(p->source.pod);
	if (pod_security_check(p->source.privilege, json_at(tree, "spec"), &e)) {
		sandbox_failed(p, &e);
		return;
	}
	pod_describe(p, &pod);
	p->sandbox = SANDBOX_STARTING;
	x->ops->sandbox_start(x, &pod, sandbox_on_started, pod_ref(p));
}

static void sandbox_on_removed(void *arg, const struct err *e)
{
	struct pod *p = arg;
	if (!p->gone) {
		if (e)
			pod_event(p, true, "FailedKillPod", "%s", e->text);
		p->sandbox = SANDBOX_GONE;
		pod_step(p);
	}
	pod_unref(p);
}

static void sandbox_remove(struct pod *p)
{
	struct container_engine *x = p->pods->engine;
	p->sandbox = SANDBOX_REMOVING;
	x->ops->sandbox_stop(x, p->uid, sandbox_on_removed, pod_ref(p));
}

static void sandbox_on_detached(void *arg, const struct err *e)
{
	struct pod *p = arg;
	(void)e; /* the network goes with its namespace; the address is the host's to take back */
	if (!p->gone)
		sandbox_remove(p);
	pod_unref(p);
}

static void sandbox_end(struct pod *p)
{
	const struct driver_host *host = &p->pods->config.host;
	if (p->host_network || p->detached || !host->network_detach) {
		sandbox_remove(p);
		return;
	}
	p->sandbox = SANDBOX_DETACHING;
	host->network_detach(host->context, p->uid, sandbox_on_detached, pod_ref(p));
}

/* ---- the order of things ---- */

static bool step_busy(const struct pod *p)
{
	for (size_t i = 0; i < p->container_count; i++)
		if (p->containers[i].phase == RUN_CREATING || p->containers[i].phase == RUN_RUNNING)
			return true;
	return p->removing > 0;
}

/* SIGTERM to all; those that were just being made get it as soon as they run. */
static void step_stop(struct pod *p)
{
	int64_t left_ms = p->stop_by_ms - loop_now_ms(p->pods->config.loop);
	for (size_t i = 0; i < p->container_count; i++) {
		struct pod_container *c = &p->containers[i];
		if (c->phase == RUN_RUNNING && !c->killing)
			run_kill(c, left_ms, "is told to stop");
		else if (c->phase == RUN_IDLE || c->phase == RUN_PULLING) {
			loop_timer_stop(c->timer);
			if (c->end.set)
				c->phase = RUN_ENDED;
		}
	}
	if (step_busy(p))
		return;
	loop_timer_stop(p->timer);
	if (p->sandbox == SANDBOX_NONE || p->sandbox == SANDBOX_READY)
		sandbox_end(p);
	else if (p->sandbox == SANDBOX_GONE)
		pod_forget_now(p);
}

/* The same when the pod was active for too long; what has not run yet never will. */
static void step_expire(struct pod *p)
{
	loop_timer_stop(p->timer);
	for (size_t i = 0; i < p->container_count; i++) {
		struct pod_container *c = &p->containers[i];
		if (c->phase == RUN_RUNNING && !c->killing)
			run_kill(c, p->grace_ms, "belongs to a pod that was active for too long");
		else if (c->phase == RUN_IDLE || c->phase == RUN_PULLING) {
			loop_timer_stop(c->timer);
			c->phase = c->end.set ? RUN_ENDED : RUN_IDLE;
		}
	}
}

static void step_container(struct pod_container *c)
{
	const struct driver_host *host = &c->pod->pods->config.host;
	if (c->phase != RUN_IDLE || c->waiting)
		return;
	if (!host->may_run || host->may_run(host->context, c->pod->uid)) {
		run_start(c);
		return;
	}
	c->waiting = true;
	loop_timer_start(c->timer, MAY_RUN_MS);
}

/* A container with a postStart hook holds back those after it until the hook passed: proxies rely
 * on it. One that waits for its next try does not. */
static bool step_holds_others(const struct pod_container *c)
{
	return (c->post_start || c->post_start_problem) &&
	       (c->phase == RUN_PULLING || c->phase == RUN_CREATING || c->starting);
}

/* True when the init containers are through. One at a time, in their order. */
static bool step_init(struct pod *p)
{
	for (size_t i = 0; i < p->container_count && p->containers[i].init; i++) {
		struct pod_container *c = &p->containers[i];
		if (c->phase == RUN_ENDED && c->end.exit_code == 0)
			continue;
		step_container(c);
		return false;
	}
	return true;
}

/* Nothing is left to do when an init container failed for good or all others ended. */
static bool step_over(const struct pod *p)
{
	for (size_t i = 0; i < p->container_count; i++) {
		const struct pod_container *c = &p->containers[i];
		if (c->init && c->phase == RUN_ENDED && c->end.exit_code != 0)
			return true;
		if (!c->init && c->phase != RUN_ENDED)
			return false;
	}
	return true;
}

static void step_on_detached(void *arg, const struct err *e)
{
	(void)e;
	pod_unref(arg);
}

/* The address goes back at once; the rest stays until stop, so that list still knows the pod. */
static void step_finish(struct pod *p)
{
	const struct driver_host *host = &p->pods->config.host;
	if (!p->finished)
		pod_touch(p);
	p->finished = true;
	if (p->sandbox != SANDBOX_READY || step_busy(p) || p->host_network || p->detached)
		return;
	p->detached = true;
	if (host->network_detach)
		host->network_detach(host->context, p->uid, step_on_detached, pod_ref(p));
}

void pod_step(struct pod *p)
{
	if (p->gone)
		return;
	if (p->stopping) {
		step_stop(p);
		return;
	}
	if (p->expired && !p->finished) {
		step_expire(p);
		if (step_busy(p))
			return;
	}
	if (p->finished || p->expired || step_over(p)) {
		step_finish(p);
		return;
	}
	if (p->sandbox == SANDBOX_NONE && !loop_timer_active(p->timer))
		sandbox_start(p);
	if (p->sandbox != SANDBOX_READY || !step_init(p))
		return;
	for (size_t i = 0; i < p->container_count; i++) {
		if (!p->containers[i].init)
			step_container(&p->containers[i]);
		if (step_holds_others(&p->containers[i]))
			break;
	}
	if (step_over(p))
		step_finish(p);
}
