#include "agent/status.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"
#include "model/pod_qos.h"

static const char *const condition_names[AGENT_CONDITIONS] = {
	"PodScheduled", "Initialized", "ContainersReady", "Ready"};

static void recall_condition(struct agent_status_memory *m, const json_t *condition)
{
	for (int c = 0; c < AGENT_CONDITIONS; c++) {
		if (!str_equal(json_text(condition, "", "type"), condition_names[c]))
			continue;
		if (time_parse(json_text(condition, "", "lastTransitionTime"), &m->since_ms[c],
			    NULL) < 0)
			return;
		m->known[c] = true;
		m->value[c] = str_equal(json_text(condition, "", "status"), "True");
	}
}

void agent_status_begin(const json_t *pod, struct agent_status_memory *ret_memory)
{
	struct agent_status_memory m = {0};
	snprintf(m.qos, sizeof(m.qos), "%s", pod_qos_class(json_at(pod, "spec")));
	size_t i;
	json_t *condition;
	json_array_foreach (json_at(pod, "status", "conditions"), i, condition)
		recall_condition(&m, condition);
	const char *start = json_text(pod, NULL, "status", "startTime");
	if (start && time_parse(start, &m.start_ms, NULL) < 0)
		m.start_ms = 0;
	*ret_memory = m;
}

/* ---- containers ---- */

static void set_text(json_t *object, const char *key, const char *text)
{
	if (!str_empty(text))
		json_object_set_new(object, key, json_string_of(text));
}

static void set_time(json_t *object, const char *key, int64_t wall_ms)
{
	char text[TIME_TEXT_SIZE];
	if (wall_ms <= 0)
		return;
	time_format(wall_ms, text);
	json_object_set_new(object, key, json_string(text));
}

static json_t *terminated(int exit_code, int signal, const char *reason, const char *message,
	int64_t started_ms, int64_t finished_ms, const char *id)
{
	json_t *t = json_object();
	json_object_set_new(t, "exitCode", json_integer(exit_code));
	if (signal)
		json_object_set_new(t, "signal", json_integer(signal));
	set_text(t, "reason", str_empty(reason) ? (exit_code ? "Error" : "Completed") : reason);
	set_text(t, "message", message);
	set_time(t, "startedAt", started_ms);
	set_time(t, "finishedAt", finished_ms);
	set_text(t, "containerID", id);
	return json_pack("{s:o}", "terminated", t);
}

static json_t *container_state(const struct driver_container *c)
{
	if (c->state == CONTAINER_TERMINATED)
		return terminated(c->exit_code, c->signal, c->reason, c->message, c->started_ms,
			c->finished_ms, c->container_id);
	json_t *inner = json_object();
	if (c->state == CONTAINER_RUNNING) {
		set_time(inner, "startedAt", c->started_ms);
		return json_pack("{s:o}", "running", inner);
	}
	set_text(inner, "reason", str_empty(c->reason) ? "ContainerCreating" : c->reason);
	set_text(inner, "message", c->message);
	return json_pack("{s:o}", "waiting", inner);
}

static json_t *container_status(const struct driver_container *c)
{
	json_t *s = json_object();
	set_text(s, "name", c->name);
	json_object_set_new(s, "state", container_state(c));
	json_object_set_new(s, "lastState",
		c->has_last ? terminated(c->last_exit_code, c->last_signal, c->last_reason, NULL,
				      c->last_started_ms, c->last_finished_ms, NULL)
			    : json_object());
	json_object_set_new(s, "ready", json_boolean(c->ready));
	json_object_set_new(s, "restartCount", json_integer(c->restarts));
	json_object_set_new(s, "image", json_string(c->image ? c->image : ""));
	json_object_set_new(s, "imageID", json_string(c->image_id ? c->image_id : ""));
	set_text(s, "containerID", c->container_id);
	json_object_set_new(s, "started", json_boolean(c->started));
	return s;
}

static void add_containers(json_t *status, const struct driver_state *state)
{
	json_t *init = json_array(), *main_ones = json_array();
	for (size_t i = 0; i < state->container_count; i++) {
		const struct driver_container *c = &state->containers[i];
		json_array_append_new(c->init ? init : main_ones, container_status(c));
	}
	if (json_array_size(init) > 0)
		json_object_set_new(status, "initContainerStatuses", init);
	else
		json_decref(init);
	json_object_set_new(status, "containerStatuses", main_ones);
}

/* ---- conditions ---- */

/* "containers with unready status: [a b]", as the kubelet says it. */
static void name_unready(const struct driver_state *state, bool init, struct buf *b)
{
	const char *space = "";
	buf_printf(b, "containers with %s status: [", init ? "incomplete" : "unready");
	for (size_t i = 0; i < state->container_count; i++) {
		const struct driver_container *c = &state->containers[i];
		if (c->init != init || c->ready)
			continue;
		buf_printf(b, "%s%s", space, c->name);
		space = " ";
	}
	buf_append_char(b, ']');
}

static void add_condition(json_t *list, struct agent_status_memory *m, enum agent_condition c,
	bool value, const char *reason, const char *message, int64_t wall_ms)
{
	if (!m->known[c] || m->value[c] != value) {
		m->known[c] = true;
		m->value[c] = value;
		m->since_ms[c] = wall_ms;
	}
	json_t *condition = json_pack("{s:s, s:s, s:n}", "type", condition_names[c], "status",
		value ? "True" : "False", "lastProbeTime");
	set_time(condition, "lastTransitionTime", m->since_ms[c]);
	if (!value) {
		set_text(condition, "reason", reason);
		set_text(condition, "message", message);
	}
	json_array_append_new(list, condition);
}

static json_t *make_conditions(const struct driver_state *state, struct agent_status_memory *m,
	int64_t wall_ms)
{
	bool over = str_equal(state->phase, "Succeeded") || str_equal(state->phase, "Failed");
	bool ready = state->containers_ready && !over && !state->stopped;
	const char *reason = str_equal(state->phase, "Succeeded") ? "PodCompleted"
			     : str_equal(state->phase, "Failed")  ? "PodFailed"
								  : "ContainersNotReady";
	CLEANUP(buf_done) struct buf init = BUF_INIT;
	CLEANUP(buf_done) struct buf unready = BUF_INIT;
	name_unready(state, true, &init);
	name_unready(state, false, &unready);
	const char *message = over ? "" : buf_text(&unready);
	json_t *list = json_array();
	add_condition(list, m, AGENT_POD_INITIALIZED, state->initialized || over,
		"ContainersNotInitialized", buf_text(&init), wall_ms);
	add_condition(list, m, AGENT_POD_READY, ready, reason, message, wall_ms);
	add_condition(list, m, AGENT_POD_CONTAINERS_READY, ready, reason, message, wall_ms);
	add_condition(list, m, AGENT_POD_SCHEDULED, true, NULL, NULL, wall_ms);
	return list;
}

static void add_addresses(json_t *status, const char *host_ip, const char *pod_ip)
{
	if (!str_empty(host_ip)) {
		set_text(status, "hostIP", host_ip);
		json_object_set_new(status, "hostIPs", json_pack("[{s:s}]", "ip", host_ip));
	}
	if (!str_empty(pod_ip)) {
		set_text(status, "podIP", pod_ip);
		json_object_set_new(status, "podIPs", json_pack("[{s:s}]", "ip", pod_ip));
	}
}

json_t *agent_status_make(const struct driver_state *state, struct agent_status_memory *m,
	const char *host_ip, int64_t wall_ms)
{
	if (m->start_ms == 0)
		m->start_ms = state->started_ms > 0 ? state->started_ms : wall_ms;
	json_t *status = json_object();
	set_text(status, "phase", str_empty(state->phase) ? "Pending" : state->phase);
	json_object_set_new(status, "conditions", make_conditions(state, m, wall_ms));
	set_text(status, "message", state->message);
	set_text(status, "reason", state->reason);
	add_addresses(status, host_ip, state->ip);
	set_time(status, "startTime", m->start_ms);
	add_containers(status, state);
	set_text(status, "qosClass", m->qos);
	return status;
}

json_t *agent_status_pending(struct agent_status_memory *m, const char *reason, const char *message,
	const char *host_ip, int64_t wall_ms)
{
	struct driver_state state = {.phase = "Pending",
		.reason = reason,
		.message = message,
		.started_ms = wall_ms,
		.ip = ""};
	return agent_status_make(&state, m, host_ip, wall_ms);
}

json_t *agent_status_failed(struct agent_status_memory *m, const char *reason, const char *message,
	const char *host_ip, int64_t wall_ms)
{
	struct driver_state state = {.phase = "Failed",
		.reason = reason,
		.message = message,
		.started_ms = wall_ms,
		.ip = ""};
	return agent_status_make(&state, m, host_ip, wall_ms);
}
