#include "cli/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define PLACEMENT_ANNOTATION "continuo.dev/placement"
#define REASONS_SHOWN 2

static void pod_free(void *value)
{
	struct live_pod *pod = value;
	free(pod->namespace);
	free(pod->name);
	free(pod->node);
	free(pod->why);
	free(pod);
}

void live_init(struct live *v,
	void (*line)(void *arg, const struct live_pod *pod, const char *what), void *arg)
{
	map_init(&v->pods, pod_free);
	v->line = line;
	v->arg = arg;
}

void live_done(struct live *v)
{
	map_done(&v->pods);
}

/* ---- why ---- */

static void append_reasons(struct buf *b, const json_t *placement)
{
	size_t at;
	json_t *one;
	int shown = 0;
	json_array_foreach (json_object_get(placement, "refusals"), at, one) {
		const char *detail = json_text(one, "", "detail");
		if (shown++ == REASONS_SHOWN)
			break;
		buf_printf(b, "%s%s%s%s rules out %lld", shown == 1 ? "; " : ", ",
			json_text(one, "", "constraint"), *detail ? " " : "", detail,
			(long long)json_int(one, 0, "nodes"));
	}
}

static const char *pending_message(const json_t *pod)
{
	size_t at;
	json_t *condition;
	json_array_foreach (json_at(pod, "status", "conditions"), at, condition) {
		if (str_equal(json_text(condition, "", "type"), "PodScheduled") &&
			!str_equal(json_text(condition, "", "status"), "True"))
			return json_text(condition, "", "message");
	}
	return "";
}

char *live_why(const json_t *pod)
{
	const char *text = json_text(pod, NULL, "metadata", "annotations", PLACEMENT_ANNOTATION);
	CLEANUP(json_done) json_t *placement = NULL;
	if (!text || !json_at(pod, "spec", "nodeName") ||
		json_decode(text, strlen(text), &placement, NULL) < 0)
		return mem_dup_string(pending_message(pod));
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	long long feasible = json_int(placement, 0, "feasible");
	long long nodes = json_int(placement, 0, "nodes");
	if (feasible == 1)
		buf_printf(&b, "the only one of %lld that fits", nodes);
	else if (feasible > 1)
		buf_printf(&b, "best of %lld that fit", feasible);
	append_reasons(&b, placement);
	return buf_take(&b, NULL);
}

/* ---- state ---- */

/* The reason of the first container that waits or ended badly, else null. */
static const char *container_reason(const json_t *statuses)
{
	size_t at;
	json_t *one;
	json_array_foreach (statuses, at, one) {
		const char *waiting = json_text(one, NULL, "state", "waiting", "reason");
		if (waiting)
			return waiting;
		const char *ended = json_text(one, NULL, "state", "terminated", "reason");
		if (ended && !str_equal(ended, "Completed"))
			return ended;
	}
	return NULL;
}

void live_state(const json_t *pod, char *ret_state, size_t size)
{
	const char *reason = container_reason(json_at(pod, "status", "containerStatuses"));
	const char *init = container_reason(json_at(pod, "status", "initContainerStatuses"));
	const char *phase = json_text(pod, "Pending", "status", "phase");
	if (json_at(pod, "metadata", "deletionTimestamp"))
		snprintf(ret_state, size, "Terminating");
	else if (init && !str_equal(init, "PodInitializing"))
		snprintf(ret_state, size, "Init:%s", init);
	else if (reason)
		snprintf(ret_state, size, "%s", reason);
	else if (str_equal(phase, "Pending") && !json_at(pod, "spec", "nodeName"))
		snprintf(ret_state, size, "Pending");
	else if (str_equal(phase, "Pending"))
		snprintf(ret_state, size, "Placed");
	else
		snprintf(ret_state, size, "%s", phase);
}

static void count_ready(const json_t *pod, struct live_pod *ret_pod)
{
	size_t at, ready = 0;
	json_t *one;
	json_t *statuses = json_at(pod, "status", "containerStatuses");
	ret_pod->restarts = 0;
	json_array_foreach (statuses, at, one) {
		ready += json_bool(one, false, "ready");
		ret_pod->restarts += (int)json_int(one, 0, "restartCount");
	}
	snprintf(ret_pod->ready, sizeof(ret_pod->ready), "%zu/%zu", ready,
		json_array_size(json_at(pod, "spec", "containers")));
}

/* ---- changes ---- */

static bool replace(char **text, const char *now)
{
	if (str_equal(*text ? *text : "", now))
		return false;
	free(*text);
	*text = mem_dup_string(now);
	return true;
}

static struct live_pod *pod_of(struct live *v, const json_t *json)
{
	const char *uid = json_text(json, "", "metadata", "uid");
	struct live_pod *pod = map_get(&v->pods, uid);
	if (pod)
		return pod;
	pod = mem_new(struct live_pod);
	pod->namespace = mem_dup_string(json_text(json, "", "metadata", "namespace"));
	pod->name = mem_dup_string(json_text(json, "", "metadata", "name"));
	pod->node = mem_dup_string("");
	pod->why = mem_dup_string("");
	map_put(&v->pods, uid, pod);
	return pod;
}

void live_put(struct live *v, const json_t *json)
{
	struct live_pod *pod = pod_of(v, json);
	struct live_pod now = {0};
	CLEANUP(mem_free_ptr) char *why = live_why(json);
	live_state(json, now.state, sizeof(now.state));
	count_ready(json, &now);
	bool moved = replace(&pod->node, json_text(json, "", "spec", "nodeName"));
	bool reasoned = replace(&pod->why, why);
	bool changed = strcmp(pod->state, now.state) != 0 || strcmp(pod->ready, now.ready) != 0 ||
		       pod->restarts != now.restarts;
	memcpy(pod->state, now.state, sizeof(pod->state));
	memcpy(pod->ready, now.ready, sizeof(pod->ready));
	pod->restarts = now.restarts;
	if (strcmp(pod->state, "Running") == 0)
		pod->progress[0] = '\0';
	if (moved || reasoned)
		v->line(v->arg, pod, pod->why);
	else if (changed)
		v->line(v->arg, pod, "");
}

void live_remove(struct live *v, const json_t *json)
{
	const char *uid = json_text(json, "", "metadata", "uid");
	struct live_pod *pod = map_get(&v->pods, uid);
	if (!pod)
		return;
	snprintf(pod->state, sizeof(pod->state), "Gone");
	v->line(v->arg, pod, "");
	map_remove(&v->pods, uid);
}

void live_keep(struct live *v, const struct map *keep)
{
	for (size_t i = 0; i < v->pods.used; i++) {
		struct map_entry *entry = &v->pods.entries[i];
		if (!entry->key || map_has(keep, entry->key))
			continue;
		struct live_pod *pod = entry->value;
		snprintf(pod->state, sizeof(pod->state), "Gone");
		v->line(v->arg, pod, "");
		map_remove(&v->pods, entry->key);
	}
}

static void format_size(int64_t bytes, char *ret_text, size_t size)
{
	if (bytes < 10 * 1000)
		snprintf(ret_text, size, "%lld B", (long long)bytes);
	else if (bytes < 10 * 1000 * 1000)
		snprintf(ret_text, size, "%lld kB", (long long)bytes / 1000);
	else
		snprintf(ret_text, size, "%lld MB", (long long)bytes / 1000000);
}

/* A line at each quarter: progress comes much more often than anybody wants to read. */
void live_progress(struct live *v, const json_t *message)
{
	struct live_pod *pod = map_get(&v->pods, json_text(message, "", "pod"));
	int64_t done = json_int(message, 0, "done"), total = json_int(message, 0, "total");
	if (!pod || total <= 0)
		return;
	char size[32];
	int percent = done >= total ? 100 : (int)((double)done * 100 / (double)total);
	format_size(total, size, sizeof(size));
	snprintf(pod->progress, sizeof(pod->progress), "pulling %.60s %d %% of %s",
		json_text(message, "", "image"), percent, size);
	int step = 1 + percent / 25;
	bool again = step < pod->progress_step && percent < 25; /* the next image */
	if (step > pod->progress_step || again)
		v->line(v->arg, pod, pod->progress);
	pod->progress_step = step;
}
