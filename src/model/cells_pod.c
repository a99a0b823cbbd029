#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "model/cells.h"

#define REASON_SIZE 128

static const json_t *statuses(const json_t *tree, const char *list)
{
	return json_at(tree, "status", list);
}

static bool stays(const json_t *tree, const char *name)
{
	size_t i;
	json_t *container;
	json_array_foreach (json_at(tree, "spec", "initContainers"), i, container) {
		if (str_equal(json_text(container, "", "name"), name))
			return str_equal(json_text(container, "", "restartPolicy"), "Always");
	}
	return false;
}

/* "Signal:9" or "ExitCode:1" where there is no reason. */
static void terminated_reason(const json_t *terminated, const char *prefix,
	char ret_text[static REASON_SIZE])
{
	const char *reason = json_text(terminated, "", "reason");
	long long signal = json_int(terminated, 0, "signal");
	if (*reason)
		snprintf(ret_text, REASON_SIZE, "%s%.100s", prefix, reason);
	else if (signal)
		snprintf(ret_text, REASON_SIZE, "%sSignal:%lld", prefix, signal);
	else
		snprintf(ret_text, REASON_SIZE, "%sExitCode:%lld", prefix,
			(long long)json_int(terminated, 0, "exitCode"));
}

/* The first init container that is not through decides. False: all are. */
static bool init_reason(const json_t *tree, char ret_text[static REASON_SIZE])
{
	size_t i, total = json_array_size(json_at(tree, "spec", "initContainers"));
	json_t *status;
	json_array_foreach (statuses(tree, "initContainerStatuses"), i, status) {
		const json_t *terminated = json_at(status, "state", "terminated");
		const char *waiting = json_text(status, "", "state", "waiting", "reason");
		if (terminated && json_int(terminated, 0, "exitCode") == 0)
			continue;
		if (stays(tree, json_text(status, "", "name")) &&
			json_bool(status, false, "started"))
			continue;
		if (terminated)
			terminated_reason(terminated, "Init:", ret_text);
		else if (*waiting && !str_equal(waiting, "PodInitializing"))
			snprintf(ret_text, REASON_SIZE, "Init:%.100s", waiting);
		else
			snprintf(ret_text, REASON_SIZE, "Init:%zu/%zu", i, total);
		return true;
	}
	return false;
}

static bool is_true(const json_t *tree, const char *type)
{
	size_t i;
	json_t *condition;
	json_array_foreach (json_at(tree, "status", "conditions"), i, condition) {
		if (str_equal(json_text(condition, "", "type"), type))
			return str_equal(json_text(condition, "", "status"), "True");
	}
	return false;
}

/* The first container that has something to tell wins, so they are read from the last. */
static void container_reason(const json_t *tree, char text[static REASON_SIZE])
{
	const json_t *list = statuses(tree, "containerStatuses");
	bool running = false;
	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *status = json_array_get(list, i);
		const json_t *terminated = json_at(status, "state", "terminated");
		const char *waiting = json_text(status, "", "state", "waiting", "reason");
		if (*waiting)
			snprintf(text, REASON_SIZE, "%.100s", waiting);
		else if (terminated)
			terminated_reason(terminated, "", text);
		else if (json_bool(status, false, "ready") && json_at(status, "state", "running"))
			running = true;
	}
	if (running && str_equal(text, "Completed"))
		snprintf(text, REASON_SIZE, "%s", is_true(tree, "Ready") ? "Running" : "NotReady");
}

static bool is_gated(const json_t *tree)
{
	size_t i;
	json_t *condition;
	json_array_foreach (json_at(tree, "status", "conditions"), i, condition) {
		if (str_equal(json_text(condition, "", "type"), "PodScheduled") &&
			str_equal(json_text(condition, "", "reason"), "SchedulingGated"))
			return true;
	}
	return false;
}

json_t *cell_pod_status(const json_t *tree, int64_t wall_ms UNUSED)
{
	char text[REASON_SIZE];
	const char *reason = json_text(tree, "", "status", "reason");
	const char *phase = json_text(tree, "", "status", "phase");
	snprintf(text, sizeof(text), "%.100s", *reason ? reason : phase);
	if (is_gated(tree))
		snprintf(text, sizeof(text), "SchedulingGated");
	bool initializing = init_reason(tree, text);
	if (!initializing || is_true(tree, "Initialized"))
		container_reason(tree, text);
	if (json_at(tree, "metadata", "deletionTimestamp"))
		snprintf(text, sizeof(text), "%s",
			str_equal(reason, "NodeLost") ? "Unknown" : "Terminating");
	return json_string(text);
}

json_t *cell_pod_ready(const json_t *tree, int64_t wall_ms UNUSED)
{
	size_t ready = 0, total = json_array_size(json_at(tree, "spec", "containers"));
	size_t i;
	json_t *container, *status;
	json_array_foreach (json_at(tree, "spec", "initContainers"), i, container) {
		total += str_equal(json_text(container, "", "restartPolicy"), "Always");
	}
	json_array_foreach (statuses(tree, "initContainerStatuses"), i, status) {
		ready += stays(tree, json_text(status, "", "name")) &&
			 json_bool(status, false, "ready");
	}
	json_array_foreach (statuses(tree, "containerStatuses"), i, status) {
		ready += json_bool(status, false, "ready") && json_at(status, "state", "running");
	}
	char text[48];
	snprintf(text, sizeof(text), "%zu/%zu", ready, total);
	return json_string(text);
}

struct restarts {
	int64_t count;
	int64_t last_ms; /* of the last one's end; 0: unknown */
};

static void add_restarts(struct restarts *r, const json_t *status)
{
	int64_t finished = 0;
	const char *text = json_text(status, "", "lastState", "terminated", "finishedAt");
	r->count += json_int(status, 0, "restartCount");
	if (*text && time_parse(text, &finished, NULL) == 0 && finished > r->last_ms)
		r->last_ms = finished;
}

/* While it initializes, only the init containers count; then the others, and those that stay. */
json_t *cell_pod_restarts(const json_t *tree, int64_t wall_ms)
{
	struct restarts init = {0}, stay = {0}, rest = {0};
	char text[REASON_SIZE];
	size_t i;
	json_t *status;
	json_array_foreach (statuses(tree, "initContainerStatuses"), i, status) {
		add_restarts(&init, status);
		if (stays(tree, json_text(status, "", "name")))
			add_restarts(&stay, status);
	}
	json_array_foreach (statuses(tree, "containerStatuses"), i, status) {
		add_restarts(&rest, status);
	}
	rest.count += stay.count;
	if (stay.last_ms > rest.last_ms)
		rest.last_ms = stay.last_ms;
	if (init_reason(tree, text) && !is_true(tree, "Initialized"))
		rest = init;
	char age[TIME_TEXT_SIZE];
	int size = snprintf(text, sizeof(text), "%lld", (long long)rest.count);
	if (rest.count && rest.last_ms) {
		time_format_age(wall_ms - rest.last_ms, age);
		snprintf(text + size, sizeof(text) - (size_t)size, " (%s ago)", age);
	}
	return json_string(text);
}
