/* One container of a pod: its image, its creation, its probes and its end. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/base64.h"
#include "driver/env.h"
#include "driver/pod.h"

/* A call to the host or the engine that is under way for one run. */
struct run_call {
	struct pod *pod;
	size_t index;
	int attempt;
	int sandboxes_lost; /* when it began */
	char *removed_id;
};

static struct run_call *run_call_new(struct pod_container *c)
{
	struct run_call *call = mem_new(struct run_call);
	*call = (struct run_call){.pod = pod_ref(c->pod),
		.index = c->index,
		.attempt = c->attempt,
		.sandboxes_lost = c->pod->sandboxes_lost};
	return call;
}

static void run_call_end(struct run_call *call)
{
	pod_unref(call->pod);
	free(call->removed_id);
	free(call);
}

static void run_wait(struct pod_container *c, const char *reason, const char *message)
{
	(void)str_copy(c->wait_reason, sizeof(c->wait_reason), reason);
	free(c->wait_message);
	c->wait_message = *message ? mem_dup_string(message) : NULL;
	pod_touch(c->pod);
}

/* Back to IDLE after a failure before it ran. */
static void run_retry(struct pod_container *c, int64_t delay_ms)
{
	c->phase = RUN_IDLE;
	c->waiting = true;
	loop_timer_start(c->timer, delay_ms);
	pod_touch(c->pod);
}

/* ---- the image ---- */

static void run_pull_failed(struct pod_container *c, const struct err *e)
{
	struct pod *p = c->pod;
	bool again = c->pull.failures > 0;
	bool never = e->code == ERR_NOT_FOUND && str_equal(c->pull_policy, "Never");
	const char *reason = never                    ? "ErrImageNeverPull"
			     : e->code == ERR_INVALID ? "InvalidImageName"
			     : again                  ? "ImagePullBackOff"
						      : "ErrImagePull";
	char *text CLEANUP(mem_free_ptr) =
		again && !never ? mem_format("Back-off pulling image \"%s\": %s", c->image, e->text)
				: mem_dup_string(e->text);
	run_wait(c, reason, text);
	pod_event(p, true, "Failed", "Failed to pull image \"%s\": %s", c->image, e->text);
	run_retry(c, restart_delay_ms(&c->pull, 0, false));
}

static void run_create(struct pod_container *c, const struct image_ready *image);

static void run_on_image(void *arg, const struct image_ready *image, const struct err *e)
{
	struct run_call *call = arg;
	struct pod *p = call->pod;
	struct pod_container *c = &p->containers[call->index];
	if (!p->gone && !p->stopping && c->phase == RUN_PULLING && c->attempt == call->attempt) {
		if (e) {
			run_pull_failed(c, e);
		} else if (p->sandbox != SANDBOX_READY) {
			c->phase = RUN_IDLE; /* begun again in the namespaces that are made */
		} else {
			c->pull.failures = 0;
			(void)str_copy(c->image_id, sizeof(c->image_id), image->id);
			pod_event(p, false, "Pulled", "Container image \"%s\" is present",
				c->image);
			run_create(c, image);
		}
	}
	run_call_end(call);
}

/* The first imagePullSecret that carries a docker configuration. Freed with free(); may be null. */
static char *run_pull_secret(const struct pod *p, const json_t *tree)
{
	size_t i;
	json_t *ref;
	json_array_foreach (json_at(tree, "spec", "imagePullSecrets"), i, ref) {
		const struct object *o = env_find((const struct object *const *)p->source.objects,
			p->source.object_count, "Secret", json_text(ref, "", "name"));
		if (!o)
			continue;
		json_t *secret CLEANUP(json_done) = object_tree(o);
		struct buf b CLEANUP(buf_done) = BUF_INIT;
		if (env_key(secret, ".dockerconfigjson", &b, NULL) == 0)
			return buf_take(&b, NULL);
	}
	return NULL;
}

/* For hosts that have no images: engines that need none. */
static void run_without_image(void *arg)
{
	static const char *const none[] = {NULL};
	const struct image_ready image = {
		.id = "sha256:0", .digest = "sha256:0", .layers = none, .config_json = "{}"};
	run_on_image(arg, &image, NULL);
}

void run_start(struct pod_container *c)
{
	struct pod *p = c->pod;
	const struct driver_host *host = &p->pods->config.host;
	c->phase = RUN_PULLING;
	c->waiting = false;
	c->attempt++;
	json_t *tree CLEANUP(json_done) = object_tree(p->source.pod);
	char *secret CLEANUP(mem_free_ptr) = run_pull_secret(p, tree);
	pod_touch(p);
	if (!host->image_pull) {
		loop_defer(p->pods->config.loop, run_without_image, run_call_new(c));
		return;
	}
	host->image_pull(host->context, c->image, c->pull_policy, secret, p->uid, NULL,
		run_on_image, run_call_new(c));
}

/* ---- creation ---- */

static void run_create_failed(struct pod_container *c, const struct err *e)
{
	bool config = e->code == ERR_NOT_FOUND || e->code == ERR_INVALID ||
		      e->code == ERR_FORBIDDEN || e->code == ERR_UNSUPPORTED;
	run_wait(c, config ? "CreateContainerConfigError" : "CreateContainerError", e->text);
	pod_event(c->pod, true, "Failed", "Error: %s", e->text);
	run_retry(c, restart_delay_ms(&c->restart, 0, false));
}

static void run_on_created(void *arg, int pid, const struct err *e)
{
	struct run_call *call = arg;
	struct pod *p = call->pod;
	struct pod_container *c = &p->containers[call->index];
	if (p->gone || c->phase != RUN_CREATING || c->attempt != call->attempt) {
		run_call_end(call);
		return;
	}
	if (e) {
		run_create_failed(c, e);
	} else {
		c->phase = RUN_RUNNING;
		c->pid = pid;
		c->runs++;
		c->previous_attempt = c->last_attempt;
		c->last_attempt = c->attempt;
		run_wait(c, "", "");
		c->last = c->end;
		c->end = (struct run_end){0};
		c->killing = false;
		c->started_ms = loop_wall_ms(p->pods->config.loop);
		c->started_now_ms = loop_now_ms(p->pods->config.loop);
		map_put(&p->pods->containers, c->id, c);
		pod_event(p, false, "Started", "Started container %s", c->name);
		c->started = c->ready = false;
		if (call->sandboxes_lost != p->sandboxes_lost)
			run_kill(c, 0, "was made in namespaces that the pod has lost");
		else if (!hook_post_start(c))
			run_watch(c);
	}
	pod_touch(p);
	pod_step(p);
	run_call_end(call);
}

/* "NAME=value" of each variable, in one block that the caller frees with free_strings. */
static char **env_lines(const struct map *env)
{
	char **lines = mem_alloc_array(env->count + 1, sizeof(*lines));
	size_t n = 0;
	MAP_EACH (env, entry)
		lines[n++] = mem_format("%s=%s", entry->key, (const char *)entry->value);
	return lines;
}

static char **run_args(const json_t *container, const struct map *env)
{
	const json_t *command = json_at(container, "command"), *args = json_at(container, "args");
	size_t commands = json_array_size(command), count = json_array_size(args);
	char **all = mem_alloc_array(commands + count + 1, sizeof(*all));
	for (size_t i = 0; i < commands; i++)
		all[i] = env_expand(json_text_or(json_array_get(command, i), ""), env);
	for (size_t i = 0; i < count; i++)
		all[commands + i] = env_expand(json_text_or(json_array_get(args, i), ""), env);
	return all;
}

static void free_lines(char ***lines)
{
	for (size_t i = 0; *lines && (*lines)[i]; i++)
		free((*lines)[i]);
	free(*lines);
}

static const json_t *run_tree(const struct pod_container *c, const json_t *tree)
{
	const char *key = c->init ? "initContainers" : "containers";
	size_t i;
	json_t *item;
	json_array_foreach (json_at(tree, "spec", key), i, item)
		if (str_equal(json_text(item, "", "name"), c->name))
			return item;
	return NULL;
}

static void run_create(struct pod_container *c, const struct image_ready *image)
{
	struct pod *p = c->pod;
	struct pods *d = p->pods;
	json_t *tree CLEANUP(json_done) = object_tree(p->source.pod);
	const json_t *container = run_tree(c, tree);
	struct container_spec spec = {.name = c->name,
		.attempt = c->attempt,
		.image_id = image->id,
		.layers = image->layers,
		.image_config_json = image->config_json};
	pod_describe(p, &spec.pod);
	struct env_source source = {.pod = tree,
		.container = container,
		.objects = spec.pod.objects,
		.object_count = spec.pod.object_count,
		.service_env = (const char *const *)p->source.service_env,
		.node_name = d->config.node_name,
		.ip = p->ip,
		.host_ip = d->config.host_ip,
		.cpu_milli = d->config.cpu_milli,
		.memory_bytes = d->config.memory_bytes,
		.devices = spec.pod.devices,
		.device_count = spec.pod.device_count};
	struct map env CLEANUP(map_done);
	map_init(&env, free);
	struct err e = ERR_INIT;
	if (env_build(&source, &env, &e)) {
		run_create_failed(c, &e);
		return;
	}
	char **lines CLEANUP(free_lines) = env_lines(&env);
	char **args CLEANUP(free_lines) = run_args(container, &env);
	unsigned char random[16];
	loop_random_bytes(d->config.loop, random, sizeof(random));
	str_hex(random, sizeof(random), c->id);
	memcpy(spec.id, c->id, sizeof(spec.id));
	spec.env = (const char *const *)lines;
	spec.args = (const char *const *)args;
	spec.has_command = json_array_size(json_at(container, "command")) > 0;
	c->phase = RUN_CREATING;
	pod_touch(p);
	d->engine->ops->run(d->engine, &spec, run_on_created, run_call_new(c));
}

/* ---- probes ---- */

static void run_on_started(void *arg)
{
	struct pod_container *c = arg;
	c->started = true;
	if (!c->probes[PROBE_READINESS])
		c->ready = true;
	pod_touch(c->pod);
}

static void run_on_ready(void *arg, bool ready)
{
	struct pod_container *c = arg;
	c->ready = ready;
	pod_touch(c->pod);
}

static void run_on_dead(void *arg, enum probe_kind kind, const char *text)
{
	struct pod_container *c = arg;
	int64_t grace_ms = c->probes[kind]->grace_ms;
	(void)text;
	run_kill(c, grace_ms >= 0 ? grace_ms : c->pod->grace_ms,
		"failed its probe and will be restarted");
}

static void run_on_failure(void *arg, enum probe_kind kind, const char *text)
{
	static const char *const names[PROBE_KINDS] = {"Startup", "Liveness", "Readiness"};
	struct pod_container *c = arg;
	pod_event(c->pod, true, "Unhealthy", "%s probe failed: %s", names[kind], text);
}

void run_watch(struct pod_container *c)
{
	struct pods *d = c->pod->pods;
	const struct probe_events events = {.on_started = run_on_started,
		.on_ready = run_on_ready,
		.on_dead = run_on_dead,
		.on_failure = run_on_failure,
		.arg = c};
	const struct probe_target target = {.loop = d->config.loop,
		.engine = d->engine,
		.ip = pod_address(c->pod),
		.id = c->id};
	bool any = false;
	for (int i = 0; i < PROBE_KINDS; i++)
		any = any || c->probes[i];
	if (!c->probes[PROBE_STARTUP])
		c->started = true;
	if (c->started && !c->probes[PROBE_READINESS])
		c->ready = true;
	if (any && !c->killing)
		c->watch = probe_watch_new(c->probes, &target, c->started, c->ready, &events);
}

/* ---- the end ---- */

void run_kill(struct pod_container *c, int64_t grace_ms, const char *why)
{
	struct container_engine *x = c->pod->pods->engine;
	if (c->phase != RUN_RUNNING)
		return;
	if (!c->killing)
		pod_event(c->pod, false, "Killing", "Container %s %s", c->name, why);
	bool first = !c->killing;
	c->killing = true;
	c->ready = false;
	c->kill_by_ms = loop_now_ms(c->pod->pods->config.loop) + grace_ms;
	probe_watch_free(take_ptr(c->watch));
	if (first || grace_ms <= 0)
		hook_end(c);
	if (grace_ms <= 0)
		(void)x->ops->signal(x, c->id, SIGKILL, NULL);
	else if (first && !hook_pre_stop(c))
		(void)x->ops->signal(x, c->id, SIGTERM, NULL);
	if (grace_ms > 0)
		loop_timer_start(c->timer, grace_ms);
	pod_touch(c->pod);
}

void run_on_timer(void *arg)
{
	struct pod_container *c = arg;
	struct container_engine *x = c->pod->pods->engine;
	if (c->phase == RUN_RUNNING && c->killing && !hook_overdue(c))
		(void)x->ops->signal(x, c->id, SIGKILL, NULL);
	c->waiting = false;
	pod_step(c->pod);
}

static void run_on_removed(void *arg, const struct err *e)
{
	struct run_call *call = arg;
	struct pod *p = call->pod;
	p->removing--;
	if (e && !p->gone)
		pod_event(p, true, "FailedRemoval", "%s", e->text);
	if (!p->gone)
		pod_step(p);
	run_call_end(call);
}

void run_remove(struct pod_container *c, const char *id)
{
	struct container_engine *x = c->pod->pods->engine;
	c->pod->removing++;
	x->ops->remove(x, id, run_on_removed, run_call_new(c));
}

static void run_end_reason(struct run_end *end, bool oom_killed)
{
	(void)str_copy(end->reason, sizeof(end->reason),
		oom_killed            ? "OOMKilled"
		: end->exit_code == 0 ? "Completed"
				      : "Error");
}

void run_ended(struct pod_container *c, int exit_code, bool oom_killed, int64_t finished_ms)
{
	struct pod *p = c->pod;
	int64_t ran_ms = loop_now_ms(p->pods->config.loop) - c->started_now_ms;
	(void)map_remove(&p->pods->containers, c->id);
	probe_watch_free(take_ptr(c->watch));
	hook_end(c);
	loop_timer_stop(c->timer);
	if (c->started_ms > finished_ms)
		c->started_ms = finished_ms; /* over before its start was told */
	c->end = (struct run_end){.set = true,
		.exit_code = exit_code,
		.started_ms = c->started_ms,
		.finished_ms = finished_ms};
	run_end_reason(&c->end, oom_killed);
	c->pid = 0;
	c->started = c->ready = c->killing = false;
	run_remove(c, c->id);
	bool again = restart_wanted(c->init && p->policy == RESTART_ALWAYS ? RESTART_ON_FAILURE
									   : p->policy,
		exit_code);
	if (p->stopping || p->expired || !again) {
		c->phase = RUN_ENDED;
	} else {
		int64_t delay_ms = restart_delay_ms(&c->restart, ran_ms, true);
		c->phase = RUN_IDLE;
		if (delay_ms > 0) {
			char text[120];
			snprintf(text, sizeof(text),
				"back-off %llds restarting failed container=%s",
				(long long)(delay_ms + 999) / 1000, c->name);
			run_wait(c, "CrashLoopBackOff", text);
			pod_event(p, true, "BackOff", "Back-off restarting failed container %s",
				c->name);
			c->waiting = true;
			loop_timer_start(c->timer, delay_ms);
		}
	}
	pod_touch(p);
	pod_step(p);
}

void run_free(struct pod_container *c)
{
	if (!c->pod->gone && c->phase == RUN_RUNNING)
		(void)map_remove(&c->pod->pods->containers, c->id);
	probe_watch_free(c->watch);
	hook_end(c);
	loop_timer_free(c->timer);
	probe_spec_free(c->post_start);
	probe_spec_free(c->pre_stop);
	for (int i = 0; i < PROBE_KINDS; i++)
		probe_spec_free(c->probes[i]);
	free(c->name);
	free(c->image);
	free(c->pull_policy);
	free(c->wait_message);
}
