#include "driver/adopted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/adopted_private.h"

/* Both drivers run their pods by pod.c, so that a call of either one is ended by the same function.
 */
struct both {
	struct driver base;
	struct driver_ops ops;
	struct driver_host host; /* the agent's */
	struct loop *loop;
	struct adopted *engine; /* belongs to taken */
	struct driver *taken, *other;
	struct map uids; /* of the pods that taken has */
};

/* Keys in blobs are never inside a string, where their quotes would be escaped. */
bool adopted_pod(const struct object *pod)
{
	return strstr(pod->blob, "\"" ADOPTED_ANNOTATION "\":\"docker\"") != NULL;
}

static struct both *both_of(struct driver *d)
{
	return CONTAINER_OF(d, struct both, base);
}

static struct driver *driver_of(struct both *b, const char *uid)
{
	return map_has(&b->uids, uid) ? b->taken : b->other;
}

/* ---- what is told of adopted pods ---- */

struct telling {
	struct both *both;
	void (*each)(void *arg, const struct driver_state *state);
	void *arg;
};

static void tell(void *arg, const struct driver_state *state)
{
	const struct telling *t = arg;
	const struct adopted_container *c = adopted_find(t->both->engine, state->uid);
	struct driver_state told = *state;
	struct driver_container container;
	char id[96];
	if (c && state->container_count == 1) {
		container = state->containers[0];
		if (container.container_id[0]) {
			snprintf(id, sizeof(id), "docker://%s", c->docker_id);
			container.container_id = id;
		}
		if (container.state == CONTAINER_RUNNING && c->started_ms)
			container.started_ms = c->started_ms;
		told.containers = &container;
		if (c->ip[0])
			told.ip = c->ip;
	}
	if (c && c->gone && !state->stopped) {
		told.phase = "Failed";
		told.reason = "AdoptedContainerGone";
		told.message = "Docker has the adopted container no more: somebody removed it";
		told.containers_ready = false;
	}
	t->each(t->arg, &told);
}

static void host_changed(void *context, const struct driver_state *state)
{
	struct both *b = context;
	struct telling t = {b, b->host.changed, b->host.context};
	tell(&t, state);
	if (state->stopped)
		map_remove(&b->uids, state->uid);
}

struct one_pod {
	struct both *both;
	const char *uid;
};

static void tell_one(void *arg, const struct driver_state *state)
{
	const struct one_pod *one = arg;
	if (str_equal(state->uid, one->uid))
		host_changed(one->both, state);
}

static void on_gone(void *arg, const char *uid)
{
	struct both *b = arg;
	struct one_pod one = {b, uid};
	b->taken->ops->list(b->taken, tell_one, NULL, &one);
}

static void host_event(void *context, const char *uid, bool warning, const char *reason,
	const char *message)
{
	const struct both *b = context;
	/* Nothing is pulled. */
	if (b->host.event && !str_equal(reason, "Pulled"))
		b->host.event(b->host.context, uid, warning, reason, message);
}

static bool host_may_run(void *context, const char *uid)
{
	const struct both *b = context;
	return !b->host.may_run || b->host.may_run(b->host.context, uid);
}

struct image_answer {
	void (*done)(void *arg, const struct image_ready *image, const struct err *e);
	void *arg;
	char id[80];
};

static void image_told(void *arg)
{
	static const char *const none[] = {NULL};
	struct image_answer *a = arg;
	const struct image_ready image = {
		.id = a->id, .digest = "", .layers = none, .config_json = "{}"};
	a->done(a->arg, &image, NULL);
	free(a);
}

/* It runs already: its image is whatever Docker made it of. */
static void host_image_pull(void *context, const char *ref, const char *policy,
	const char *docker_config_json, const char *uid,
	void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes),
	void (*done)(void *arg, const struct image_ready *image, const struct err *e), void *arg)
{
	struct both *b = context;
	const struct adopted_container *c = adopted_find(b->engine, uid);
	struct image_answer *a = mem_new(struct image_answer);
	(void)ref;
	(void)policy;
	(void)docker_config_json;
	(void)progress;
	*a = (struct image_answer){.done = done, .arg = arg};
	(void)str_copy(a->id, sizeof(a->id), c ? c->image_id : "");
	loop_defer(b->loop, image_told, a);
}

struct address_answer {
	void (*done)(void *arg, const char *ip, const struct err *e);
	void *arg;
	char ip[64];
};

static void address_told(void *arg)
{
	struct address_answer *a = arg;
	a->done(a->arg, a->ip, NULL);
	free(a);
}

/* It has its network already. */
static void host_network_attach(void *context, const char *uid, const char *netns_path,
	const char *host_ports_json, void (*done)(void *arg, const char *ip, const struct err *e),
	void *arg)
{
	struct both *b = context;
	const struct adopted_container *c = adopted_find(b->engine, uid);
	struct address_answer *a = mem_new(struct address_answer);
	(void)netns_path;
	(void)host_ports_json;
	*a = (struct address_answer){.done = done, .arg = arg};
	(void)str_copy(a->ip, sizeof(a->ip), c ? c->ip : "");
	loop_defer(b->loop, address_told, a);
}

/* ---- the vtable ---- */

static void both_probe(struct driver *d, void (*done)(void *arg, const struct driver_probe *p),
	void *arg)
{
	struct driver *other = both_of(d)->other;
	other->ops->probe(other, done, arg);
}

static void both_prepare(struct driver *d, const struct driver_pod *pod, driver_done *done,
	void *arg)
{
	struct both *b = both_of(d);
	struct driver *to = adopted_pod(pod->pod) ? b->taken : b->other;
	to->ops->prepare(to, pod, done, arg);
}

static void both_start(struct driver *d, const struct driver_pod *pod, driver_done *done, void *arg)
{
	struct both *b = both_of(d);
	struct driver *to = adopted_pod(pod->pod) ? b->taken : b->other;
	if (to == b->taken)
		map_put(&b->uids, pod->pod->uid, b);
	to->ops->start(to, pod, done, arg);
}

static void both_stop(struct driver *d, const char *uid, int64_t grace_s, driver_done *done,
	void *arg)
{
	struct both *b = both_of(d);
	struct driver *to = driver_of(b, uid);
	if (to == b->taken)
		adopted_decide(b->engine, uid);
	to->ops->stop(to, uid, grace_s, done, arg);
}

static void both_forget(struct driver *d, const char *uid, driver_done *done, void *arg)
{
	struct driver *to = driver_of(both_of(d), uid);
	to->ops->forget(to, uid, done, arg);
}

/* Of those that it takes nothing is on the disk but what Docker has. */
static void both_keep_only(struct driver *d, const char *const *uids, size_t count)
{
	struct driver *to = both_of(d)->other;
	to->ops->keep_only(to, uids, count);
}

struct list_call {
	struct both *both;
	struct telling telling;
	driver_done *done;
	void *arg;
};

static void list_each_other(void *arg, const struct driver_state *state)
{
	const struct list_call *call = arg;
	call->telling.each(call->telling.arg, state);
}

static void list_each_taken(void *arg, const struct driver_state *state)
{
	struct list_call *call = arg;
	tell(&call->telling, state);
}

static void list_end(void *arg, const struct err *e)
{
	struct list_call *call = arg;
	call->done(call->arg, e);
	free(call);
}

static void list_taken(void *arg, const struct err *e)
{
	struct list_call *call = arg;
	struct driver *taken = call->both->taken;
	if (e)
		list_end(call, e);
	else
		taken->ops->list(taken, list_each_taken, list_end, call);
}

static void both_list(struct driver *d, void (*each)(void *arg, const struct driver_state *state),
	driver_done *done, void *arg)
{
	struct both *b = both_of(d);
	struct list_call *call = mem_new(struct list_call);
	*call = (struct list_call){b, {b, each, arg}, done, arg};
	b->other->ops->list(b->other, list_each_other, list_taken, call);
}

static int both_stats(struct driver *d, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	struct driver *to = driver_of(both_of(d), uid);
	return to->ops->stats(to, uid, ret_cpu_ns, ret_memory_bytes, e);
}

static struct driver_logs_call *both_logs(struct driver *d, const char *uid,
	const struct driver_logs *spec)
{
	struct driver *to = driver_of(both_of(d), uid);
	return to->ops->logs(to, uid, spec);
}

static void both_exec(struct driver *d, const char *uid, const struct driver_exec *spec,
	struct driver_exec_call **ret_call)
{
	struct driver *to = driver_of(both_of(d), uid);
	to->ops->exec(to, uid, spec, ret_call);
}

static void both_update(struct driver *d, const struct driver_pod *pod, driver_done *done,
	void *arg)
{
	struct both *b = both_of(d);
	struct driver *to = driver_of(b, pod->pod->uid);
	/* At once: a stop may follow, and pod.c hands updates on when it finds the time. */
	if (to == b->taken)
		adopted_note(b->engine, pod->pod);
	to->ops->update(to, pod, done, arg);
}

static void both_free(struct driver *d)
{
	struct both *b = both_of(d);
	if (b->taken)
		b->taken->ops->free(b->taken);
	b->other->ops->free(b->other);
	map_done(&b->uids);
	free(b);
}

static void note_uid(void *arg, const struct driver_state *state)
{
	struct both *b = arg;
	map_put(&b->uids, state->uid, b);
}

int driver_adopted_new(const struct driver_config *config, struct driver *other,
	struct driver **ret_driver, struct err *e)
{
	struct driver_ops ops = {.name = "adopted",
		.probe = both_probe,
		.prepare = both_prepare,
		.start = both_start,
		.stop = both_stop,
		.forget = both_forget,
		.keep_only = both_keep_only,
		.list = both_list,
		.stats = both_stats,
		.logs = both_logs,
		.exec = both_exec,
		.update = both_update,
		.free = both_free};
	struct both *b = mem_new(struct both);
	ops.logs_cancel = other->ops->logs_cancel;
	ops.logs_pause = other->ops->logs_pause;
	ops.exec_input = other->ops->exec_input;
	ops.exec_queued = other->ops->exec_queued;
	ops.exec_pause = other->ops->exec_pause;
	ops.exec_cancel = other->ops->exec_cancel;
	*b = (struct both){.base.ops = &b->ops,
		.ops = ops,
		.host = config->host,
		.loop = config->loop,
		.other = other};
	struct driver_config own = *config;
	own.host = (struct driver_host){.image_pull = host_image_pull,
		.network_attach = host_network_attach,
		.event = host_event,
		.changed = host_changed,
		.may_run = host_may_run,
		.context = b};
	b->engine = adopted_engine_new(config);
	b->engine->on_gone = on_gone;
	b->engine->gone_arg = b;
	int r = pods_new(&own, &b->engine->base, DRIVER_EXEC | DRIVER_STATS | DRIVER_ADOPTS,
		&b->taken, e);
	if (r < 0) {
		both_free(&b->base);
		return r;
	}
	b->taken->ops->list(b->taken, note_uid, NULL, b);
	*ret_driver = &b->base;
	return 0;
}
