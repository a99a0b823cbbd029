/* What is observed of a pod, in Kubernetes' words (kubelet's getPhase and container statuses). */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/pod.h"

static bool init_done(const struct pod *p)
{
	for (size_t i = 0; i < p->container_count && p->containers[i].init; i++) {
		const struct pod_container *c = &p->containers[i];
		if (c->phase != RUN_ENDED || !c->end.set || c->end.exit_code != 0)
			return false;
	}
	return true;
}

static bool init_failed(const struct pod *p)
{
	for (size_t i = 0; i < p->container_count && p->containers[i].init; i++) {
		const struct pod_container *c = &p->containers[i];
		if (c->phase == RUN_ENDED && c->end.exit_code != 0)
			return true;
	}
	return false;
}

const char *pod_phase(const struct pod *p)
{
	size_t running = 0, waiting = 0, failed = 0, ended = 0;
	if (p->expired && p->finished)
		return "Failed";
	if (init_failed(p))
		return "Failed";
	if (!init_done(p))
		return "Pending";
	for (size_t i = 0; i < p->container_count; i++) {
		const struct pod_container *c = &p->containers[i];
		if (c->init)
			continue;
		if (c->phase == RUN_RUNNING && !c->starting)
			running++;
		else if (c->phase == RUN_ENDED || c->end.set || (c->starting && c->last.set))
			ended++;
		else
			waiting++;
		if (c->phase == RUN_ENDED && c->end.exit_code != 0)
			failed++;
	}
	if (waiting)
		return "Pending";
	if (running || !p->finished)
		return ended || running ? "Running" : "Pending";
	return failed ? "Failed" : "Succeeded";
}

static void state_last(struct driver_container *out, const struct run_end *end)
{
	if (!end->set)
		return;
	out->has_last = true;
	out->last_exit_code = end->exit_code;
	out->last_reason = end->reason;
	out->last_started_ms = end->started_ms;
	out->last_finished_ms = end->finished_ms;
}

static void state_container(const struct pod *p, const struct pod_container *c, const char *id,
	struct driver_container *out)
{
	*out = (struct driver_container){.name = c->name,
		.init = c->init,
		.image = c->image,
		.image_id = c->image_id,
		.container_id = "",
		.reason = "",
		.message = "",
		.last_reason = "",
		.restarts = c->runs > 1 ? c->runs - 1 : 0};
	if (c->phase == RUN_RUNNING && !c->starting) {
		out->state = CONTAINER_RUNNING;
		out->started_ms = c->started_ms;
		out->started = c->started;
		out->ready = c->ready && !p->stopping;
		out->pid = c->pid;
		out->container_id = id;
		state_last(out, &c->last);
	} else if (c->phase == RUN_ENDED) {
		out->state = CONTAINER_TERMINATED;
		out->reason = c->end.reason;
		out->message = c->wait_message ? c->wait_message : "";
		out->exit_code = c->end.exit_code;
		out->started_ms = c->end.started_ms;
		out->finished_ms = c->end.finished_ms;
		out->ready = c->init && c->end.exit_code == 0;
		out->container_id = c->id[0] ? id : "";
		state_last(out, &c->last);
	} else {
		bool creating = !c->wait_reason[0];
		const char *reason = creating ? "ContainerCreating" : c->wait_reason;
		const char *message = c->wait_message ? c->wait_message : "";
		if (creating && p->sandbox_reason[0]) {
			reason = p->sandbox_reason;
			message = p->sandbox_message ? p->sandbox_message : "";
		} else if (creating && !c->init && !init_done(p)) {
			reason = "PodInitializing";
		}
		out->state = CONTAINER_WAITING;
		out->reason = reason;
		out->message = message;
		state_last(out, c->starting ? &c->last : &c->end);
	}
}

void pod_state(const struct pod *p, bool stopped,
	void (*each)(void *arg, const struct driver_state *state), void *arg)
{
	struct driver_container *containers CLEANUP(mem_free_ptr) =
		mem_alloc_array(p->container_count + 1, sizeof(*containers));
	char(*ids)[64] CLEANUP(mem_free_ptr) = mem_alloc_array(p->container_count + 1, 64);
	bool ready = true;
	for (size_t i = 0; i < p->container_count; i++) {
		const struct pod_container *c = &p->containers[i];
		snprintf(ids[i], 64, "%s://%s", p->pods->engine->ops->name, c->id);
		state_container(p, c, ids[i], &containers[i]);
		ready = ready && (c->init || containers[i].ready);
	}
	const char *host_ip = p->pods->config.host_ip;
	bool over = p->expired && p->finished;
	struct driver_state state = {.uid = p->uid,
		.namespace = p->namespace,
		.name = p->name,
		.phase = pod_phase(p),
		.reason = over ? "DeadlineExceeded" : "",
		.message =
			over ? "Pod was active on the node longer than the specified deadline" : "",
		.ip = p->host_network && host_ip ? host_ip : p->ip,
		.started_ms = p->started_ms,
		.initialized = init_done(p),
		.containers_ready = ready && !stopped,
		.containers = containers,
		.container_count = p->container_count,
		.stopped = stopped};
	each(arg, &state);
}
