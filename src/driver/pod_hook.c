/*
 * Lifecycle hooks of a container (Kubernetes: container-lifecycle-hooks). postStart: the container
 * counts as waiting until its hook passed, and is killed when that fails. preStop: runs before the
 * signal, within the grace period; when it uses all of that up, the container gets two seconds
 * more. After a restart of the agent a postStart hook that was under way counts as passed.
 */
#include <signal.h>

#include "base/mem.h"
#include "driver/pod.h"

#define HOOK_LEFT_MS 2000 /* kubelet's minimum between the end of preStop and SIGKILL */

static struct probe_target hook_target(const struct pod_container *c)
{
	const struct pods *d = c->pod->pods;
	return (struct probe_target){.loop = d->config.loop,
		.engine = d->engine,
		.ip = pod_address(c->pod),
		.id = c->id};
}

void hook_end(struct pod_container *c)
{
	probe_check_cancel(take_ptr(c->hook));
	c->starting = false;
}

/* ---- postStart ---- */

static void hook_start_failed(struct pod_container *c, const char *text)
{
	c->starting = false;
	pod_event(c->pod, true, "FailedPostStartHook", "PostStartHook of container %s failed: %s",
		c->name, text);
	run_kill(c, c->pod->grace_ms, "failed its postStart hook");
	pod_step(c->pod);
}

static void hook_on_started(void *arg, bool ok, const char *text)
{
	struct pod_container *c = arg;
	c->hook = NULL;
	if (!ok) {
		hook_start_failed(c, text);
		return;
	}
	c->starting = false;
	run_watch(c);
	pod_touch(c->pod);
	pod_step(c->pod);
}

bool hook_post_start(struct pod_container *c)
{
	const struct probe_target target = hook_target(c);
	if (c->post_start_problem)
		hook_start_failed(c, c->post_start_problem);
	if (c->post_start_problem || !c->post_start)
		return c->post_start_problem != NULL;
	c->starting = true;
	c->hook = probe_check_start(c->post_start, &target, hook_on_started, c);
	return true;
}

/* ---- preStop ---- */

/* The signal comes after the hook, whatever became of it. */
static void hook_signal(struct pod_container *c)
{
	struct pods *d = c->pod->pods;
	int64_t left_ms = c->kill_by_ms - loop_now_ms(d->config.loop);
	(void)d->engine->ops->signal(d->engine, c->id, SIGTERM, NULL);
	loop_timer_start(c->timer, left_ms < HOOK_LEFT_MS ? HOOK_LEFT_MS : left_ms);
}

static void hook_stop_failed(const struct pod_container *c, const char *text)
{
	pod_event(c->pod, true, "FailedPreStopHook", "PreStopHook of container %s failed: %s",
		c->name, text);
}

static void hook_on_stopped(void *arg, bool ok, const char *text)
{
	struct pod_container *c = arg;
	c->hook = NULL;
	if (!ok)
		hook_stop_failed(c, text);
	hook_signal(c);
}

bool hook_pre_stop(struct pod_container *c)
{
	const struct probe_target target = hook_target(c);
	if (c->pre_stop_problem)
		hook_stop_failed(c, c->pre_stop_problem);
	if (!c->pre_stop)
		return false;
	c->hook = probe_check_start(c->pre_stop, &target, hook_on_stopped, c);
	return true;
}

bool hook_overdue(struct pod_container *c)
{
	if (!c->hook || !c->killing)
		return false;
	hook_end(c);
	hook_stop_failed(c, "it did not end within the grace period");
	hook_signal(c);
	return true;
}
