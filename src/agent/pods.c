#include "agent/pods.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pod_spec.h"
#include "agent/status.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "driver/adopted.h"
#include "model/pod_singleton.h"

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 60000

enum pod_stage { POD_NEW, POD_STARTING, POD_KEPT, POD_STOPPING, POD_STOPPED, POD_FORGETTING };

static const char *const stage_names[] = {
	"new", "starting", "kept", "stopping", "stopped", "forgetting"};

/* Which stages may follow which, one bit each. */
static const unsigned stage_next[] = {
	[POD_NEW] = 1u << POD_STARTING | 1u << POD_KEPT | 1u << POD_FORGETTING,
	[POD_STARTING] = 1u << POD_KEPT | 1u << POD_NEW,
	[POD_KEPT] = 1u << POD_STOPPING | 1u << POD_NEW,
	[POD_STOPPING] = 1u << POD_STOPPED | 1u << POD_KEPT,
	[POD_STOPPED] = 1u << POD_FORGETTING,
	[POD_FORGETTING] = 0,
};

struct pod {
	struct agent_pods *pods;
	char *uid, *key, *namespace, *name;
	enum pod_stage stage;
	bool dirty;    /* what it is made of may have changed */
	bool adopted;  /* the driver had it before, and on_adopted was not called yet */
	bool fenced;   /* it ended for a reason of the node's: no lease, no device */
	bool finished; /* Succeeded or Failed: never started again */
	bool updating;
	bool waits;         /* for a Secret that was not to be kept on this machine */
	uint64_t digest;    /* of what the driver was told last; 0: unknown */
	int64_t stop_grace; /* of the stop under way */
	int64_t end_grace;  /* when fenced */
	int failures;
	struct loop_timer *retry;
	bool has_memory;
	struct agent_status_memory memory;
	char *reported;   /* the newest PodStatus, as text */
	char *end_status; /* to be reported once it has stopped; null: none */
	/* What waits for the slice to be on disk with that change. */
	bool gone_due, status_due;
	uint64_t due_change;
	VEC(char *) images;
};

struct agent_pods {
	struct agent_pods_config config;
	struct driver *driver;
	struct map by_uid;
	struct loop_timer *step;
	char *cluster_domain, *dns_address; /* null before there is a network */
	bool listed, complete;
	bool swept;             /* what was left of pods that are no more */
	struct list operations; /* of struct operation: the driver owes an answer */
	int64_t started, start_failures, stopped;
};

/* One call of the driver. It outlives the pods when the driver answers late. */
struct operation {
	struct list link;
	struct agent_pods *pods; /* null: nobody waits any more */
	char *uid;
	void (*done)(struct agent_pods *p, struct pod *pod, const struct err *e);
};

static void step_later(struct agent_pods *p, int64_t delay_ms)
{
	if (!loop_timer_active(p->step))
		loop_timer_start(p->step, delay_ms);
}

static void set_stage(struct pod *pod, enum pod_stage stage)
{
	assert(stage_next[pod->stage] & 1u << stage);
	pod->stage = stage;
	log_debug(pod->pods->config.log, "pod_stage", "pod=%s/%s uid=%s stage=%s", pod->namespace,
		pod->name, pod->uid, stage_names[stage]);
}

/* ---- operations ---- */

static void operation_done(void *arg, const struct err *e)
{
	struct operation *o = arg;
	struct agent_pods *p = o->pods;
	list_remove(&o->link);
	struct pod *pod = p && o->uid ? map_get(&p->by_uid, o->uid) : NULL;
	if (p && (pod || !o->uid)) {
		o->done(p, pod, e);
		step_later(p, 0);
	}
	free(o->uid);
	free(o);
}

static struct operation *operation_new(struct agent_pods *p, const char *uid,
	void (*done)(struct agent_pods *, struct pod *, const struct err *))
{
	struct operation *o = mem_new(struct operation);
	o->pods = p;
	o->uid = mem_dup_string(uid);
	o->done = done;
	list_append(&p->operations, &o->link);
	return o;
}

/* ---- pods ---- */

static void clear_images(struct pod *pod)
{
	VEC_EACH (&pod->images, char *, id)
		free(*id);
	vec_done(&pod->images);
}

static void pod_free(void *value)
{
	struct pod *pod = value;
	loop_timer_free(pod->retry);
	clear_images(pod);
	free(pod->reported);
	free(pod->end_status);
	free(pod->uid);
	free(pod->key);
	free(pod->namespace);
	free(pod->name);
	free(pod);
}

static void on_retry(void *arg)
{
	struct pod *pod = arg;
	step_later(pod->pods, 0);
}

static struct pod *ensure_pod(struct agent_pods *p, const char *uid, const char *namespace,
	const char *name)
{
	struct pod *pod = map_get(&p->by_uid, uid);
	if (pod)
		return pod;
	char key[OBJECT_KEY_MAX];
	if (object_key_of(&kind_pod, namespace, name, key, NULL) < 0)
		key[0] = '\0';
	pod = mem_new(struct pod);
	pod->pods = p;
	pod->uid = mem_dup_string(uid);
	pod->key = mem_dup_string(key);
	pod->namespace = mem_dup_string(namespace);
	pod->name = mem_dup_string(name);
	pod->dirty = true;
	pod->retry = loop_timer_new(p->config.loop, on_retry, pod);
	map_put(&p->by_uid, uid, pod);
	return pod;
}

/* The pod's object in the slice, if it is still this very pod. */
static const struct object *wanted(const struct pod *pod)
{
	const struct object *o = agent_slice_get(pod->pods->config.slice, pod->key);
	return o && str_equal(o->uid, pod->uid) ? o : NULL;
}

static bool is_over(const char *phase)
{
	return str_equal(phase, "Succeeded") || str_equal(phase, "Failed");
}

/* ---- reporting ---- */

/* Another one may run as soon as it is said that this one is over: what a boot would start it from
 * has to be off the disk before. A disk that takes nothing holds up singletons alone. */
static bool must_wait(struct pod *pod)
{
	struct agent_slice *slice = pod->pods->config.slice;
	pod->due_change = agent_slice_change(slice);
	if (agent_slice_keeps(slice, pod->due_change))
		return false;
	agent_slice_hurry(slice);
	return true;
}

static void say_gone(struct pod *pod)
{
	pod->gone_due = must_wait(pod);
	if (!pod->gone_due)
		agent_reports_gone(pod->pods->config.reports, pod->key, pod->uid);
}

static void say_status(struct pod *pod, bool over)
{
	if (!wanted(pod))
		return;
	pod->status_due = over && must_wait(pod);
	if (!pod->status_due)
		agent_reports_status(pod->pods->config.reports, pod->key, pod->uid, pod->reported);
}

void agent_pods_slice_saved(struct agent_pods *p, bool saved)
{
	MAP_EACH (&p->by_uid, entry) {
		struct pod *pod = entry->value;
		if (!agent_slice_keeps(p->config.slice, pod->due_change) &&
			(saved || pod_singleton(wanted(pod)) != SINGLETON_NONE))
			continue;
		if (pod->status_due && wanted(pod))
			agent_reports_status(p->config.reports, pod->key, pod->uid, pod->reported);
		if (pod->gone_due && wanted(pod))
			agent_reports_gone(p->config.reports, pod->key, pod->uid);
		pod->status_due = pod->gone_due = false;
	}
}

static void report_text(struct pod *pod, char *text, bool over)
{
	if (str_equal(text, pod->reported)) {
		free(text);
		return;
	}
	free(pod->reported);
	pod->reported = text;
	say_status(pod, over);
}

static void report_status(struct pod *pod, json_t *status)
{
	CLEANUP(json_done) json_t *owned = status;
	report_text(pod, json_encode_string(owned), is_over(json_text(owned, "", "phase")));
}

static struct agent_status_memory *memory_of(struct pod *pod)
{
	if (pod->has_memory)
		return &pod->memory;
	const struct object *o = wanted(pod);
	CLEANUP(json_done) json_t *tree = o ? object_tree(o) : json_object();
	agent_status_begin(tree, &pod->memory);
	pod->has_memory = o != NULL;
	return &pod->memory;
}

static void note_images(struct pod *pod, const struct driver_state *state)
{
	clear_images(pod);
	for (size_t i = 0; i < state->container_count; i++)
		if (!str_empty(state->containers[i].image_id))
			vec_push(&pod->images, mem_dup_string(state->containers[i].image_id));
}

static void observe(struct pod *pod, const struct driver_state *state)
{
	const struct agent_pods_config *c = &pod->pods->config;
	bool was_finished = pod->finished;
	pod->finished = is_over(state->phase);
	if (pod->finished && !was_finished && c->on_finished)
		c->on_finished(c->arg, pod->uid);
	if (pod->finished && wanted(pod))
		agent_slice_end(c->slice, pod->uid);
	note_images(pod, state);
	if (!state->stopped || pod->stage == POD_STOPPING)
		report_status(pod, agent_status_make(state, memory_of(pod), c->host_ip,
					   agent_clock_ms(c->clock)));
}

void agent_pods_observed(struct agent_pods *p, const struct driver_state *state)
{
	struct pod *pod = map_get(&p->by_uid, state->uid);
	if (!pod || pod->fenced || pod->stage == POD_STOPPED || pod->stage == POD_FORGETTING)
		return;
	observe(pod, state);
	if (state->stopped && pod->stage == POD_KEPT && !pod->finished) {
		set_stage(pod, POD_NEW);
		pod->dirty = true;
		step_later(p, 0);
	}
}

/* A pod that was fenced and not deleted stays, Failed, for people and reconcilers to see. */
static bool may_be_gone(const struct pod *pod)
{
	const struct object *o = wanted(pod);
	return o && (!pod->fenced || o->deletion_ms);
}

void agent_pods_report_all(struct agent_pods *p)
{
	MAP_EACH (&p->by_uid, entry) {
		struct pod *pod = entry->value;
		if (pod->stage == POD_STOPPED && may_be_gone(pod))
			say_gone(pod);
		else if (pod->reported && wanted(pod) && !pod->status_due)
			agent_reports_status(p->config.reports, pod->key, pod->uid, pod->reported);
	}
}

/* ---- what the driver is told ---- */

struct request {
	struct arena arena;
	json_t *tree;
	struct driver_pod pod;
};

static void request_done(struct request *r)
{
	json_decref(r->tree);
	arena_done(&r->arena);
}

static void request_init(struct request *r, const struct agent_pods *p, const struct object *o)
{
	*r = (struct request){.tree = object_tree(o)};
	r->pod = agent_pod_gather(p->config.slice, o, r->tree,
		p->cluster_domain ? p->cluster_domain : "", p->dns_address ? p->dns_address : "",
		&r->arena);
	if (p->config.give_devices)
		p->config.give_devices(p->config.arg, r->tree, &r->arena, &r->pod);
}

static void start_failed(struct agent_pods *p, struct pod *pod, const struct err *e)
{
	int shift = pod->failures < 6 ? pod->failures : 6;
	int64_t delay_ms = (int64_t)RETRY_FIRST_MS << shift;
	pod->failures++;
	p->start_failures++;
	log_err(p->config.log, LOG_WARN, "pod_not_started", e, "pod=%s/%s uid=%s", pod->namespace,
		pod->name, pod->uid);
	agent_reports_event(p->config.reports, pod->key, pod->uid, true, "FailedStart", e->text);
	report_status(pod, agent_status_pending(memory_of(pod), "FailedStart", e->text,
				   p->config.host_ip, agent_clock_ms(p->config.clock)));
	set_stage(pod, POD_NEW);
	loop_timer_start(pod->retry, delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS);
}

static void on_started(struct agent_pods *p, struct pod *pod, const struct err *e)
{
	if (pod->stage != POD_STARTING)
		return;
	if (e) {
		pod->digest = 0;
		start_failed(p, pod, e);
		return;
	}
	p->started++;
	pod->failures = 0;
	set_stage(pod, POD_KEPT);
}

/* Never in its place a container that is made anew: the one that runs would run beside it. */
static void refuse_adopted(struct agent_pods *p, struct pod *pod)
{
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_UNSUPPORTED,
		"the pod is a Docker container that was adopted as it runs, and this agent has no "
		"way to Docker: set dockerSocket in its configuration and start it again, or "
		"delete "
		"the pod (its container is not touched)");
	set_stage(pod, POD_STARTING);
	start_failed(p, pod, &e);
}

static void start(struct agent_pods *p, struct pod *pod, const struct object *o)
{
	if (!p->config.adopts && adopted_pod(o)) {
		refuse_adopted(p, pod);
		return;
	}
	CLEANUP(request_done) struct request r;
	request_init(&r, p, o);
	pod->digest = agent_pod_digest(&r.pod);
	pod->dirty = false;
	set_stage(pod, POD_STARTING);
	log_info(p->config.log, "pod_starting", "pod=%s/%s uid=%s", pod->namespace, pod->name,
		pod->uid);
	struct operation *operation = operation_new(p, pod->uid, on_started);
	p->driver->ops->start(p->driver, &r.pod, operation_done, operation);
}

static void on_updated(struct agent_pods *p, struct pod *pod, const struct err *e)
{
	pod->updating = false;
	if (!e)
		return;
	pod->digest = 0;
	log_err(p->config.log, LOG_WARN, "pod_not_updated", e, "pod=%s/%s", pod->namespace,
		pod->name);
}

static void update(struct agent_pods *p, struct pod *pod, const struct object *o)
{
	pod->dirty = false;
	CLEANUP(request_done) struct request r;
	request_init(&r, p, o);
	uint64_t digest = agent_pod_digest(&r.pod);
	if (digest == pod->digest)
		return;
	pod->digest = digest;
	pod->updating = true;
	struct operation *operation = operation_new(p, pod->uid, on_updated);
	p->driver->ops->update(p->driver, &r.pod, operation_done, operation);
}

static void ended(struct agent_pods *p, const struct pod *pod)
{
	if (p->config.on_ended)
		p->config.on_ended(p->config.arg, pod->uid);
}

static void on_stopped(struct agent_pods *p, struct pod *pod, const struct err *e)
{
	if (pod->stage != POD_STOPPING)
		return;
	if (e) {
		log_err(p->config.log, LOG_WARN, "pod_not_stopped", e, "pod=%s/%s", pod->namespace,
			pod->name);
		set_stage(pod, POD_KEPT); /* and the next step stops it again */
		loop_timer_start(pod->retry, RETRY_FIRST_MS);
		return;
	}
	p->stopped++;
	set_stage(pod, POD_STOPPED);
	log_info(p->config.log, "pod_stopped", "pod=%s/%s uid=%s", pod->namespace, pod->name,
		pod->uid);
	ended(p, pod);
	if (pod->end_status)
		report_text(pod, take_ptr(pod->end_status), true);
	if (may_be_gone(pod))
		say_gone(pod);
}

/* Seconds; -1: the pod's own. */
static int64_t grace_of(const struct object *o)
{
	if (!o)
		return -1;
	CLEANUP(json_done) json_t *tree = object_tree(o);
	return json_int(tree, -1, "metadata", "deletionGracePeriodSeconds");
}

static const char *why_stopped(const struct pod *pod)
{
	const struct object *o = agent_slice_get(pod->pods->config.slice, pod->key);
	if (pod->fenced)
		return "its_lease_is_over";
	if (o && !str_equal(o->uid, pod->uid))
		return "another_pod_has_its_name";
	return o ? "deleted" : "not_in_the_slice";
}

static void stop(struct agent_pods *p, struct pod *pod, int64_t grace_s)
{
	pod->stop_grace = grace_s;
	pod->dirty = false;
	if (pod->stage != POD_STOPPING)
		set_stage(pod, POD_STOPPING);
	log_info(p->config.log, "pod_stopping", "pod=%s/%s uid=%s grace_s=%lld why=%s",
		pod->namespace, pod->name, pod->uid, (long long)grace_s, why_stopped(pod));
	struct operation *operation = operation_new(p, pod->uid, on_stopped);
	p->driver->ops->stop(p->driver, pod->uid, grace_s, operation_done, operation);
}

static void on_told(struct agent_pods *p, struct pod *pod, const struct err *e)
{
	(void)p;
	(void)pod;
	(void)e; /* the stop that follows says what is wrong */
}

/* Whether its container is to be handed back is known to the driver before it is told to stop. */
static void stop_deleted(struct agent_pods *p, struct pod *pod, const struct object *o)
{
	if (adopted_pod(o)) {
		CLEANUP(request_done) struct request r;
		request_init(&r, p, o);
		p->driver->ops->update(p->driver, &r.pod, operation_done,
			operation_new(p, pod->uid, on_told));
	}
	stop(p, pod, grace_of(o));
}

static void on_forgotten(struct agent_pods *p, struct pod *pod, const struct err *e)
{
	if (e)
		log_err(p->config.log, LOG_WARN, "pod_not_forgotten", e, "pod=%s/%s",
			pod->namespace, pod->name);
	agent_reports_forget(p->config.reports, pod->uid);
	CLEANUP(mem_free_ptr) char *uid = mem_dup_string(pod->uid);
	map_remove(&p->by_uid, uid);
	p->config.on_forgotten(p->config.arg);
}

static void forget(struct agent_pods *p, struct pod *pod)
{
	set_stage(pod, POD_FORGETTING);
	struct operation *operation = operation_new(p, pod->uid, on_forgotten);
	p->driver->ops->forget(p->driver, pod->uid, operation_done, operation);
}

/* ---- Secrets that the disk does not have ---- */

/* After a boot without a server. The pod waits for it, and says so once. */
static bool lacks_secret(struct agent_pods *p, struct pod *pod, const struct object *o)
{
	char key[OBJECT_KEY_MAX], text[2 * OBJECT_KEY_MAX];
	bool lacks = agent_pod_lacks_secret(p->config.slice, o, key);
	bool news = lacks && !pod->waits;
	pod->waits = lacks;
	if (!news)
		return lacks;
	const char *name = strrchr(key, '/') + 1;
	snprintf(text, sizeof(text),
		"Secret \"%s\" is not on this machine: namespace \"%s\" forbids it to be kept "
		"(continuo.dev/cache-secrets), and no server was heard since the start",
		name, pod->namespace);
	log_warn(p->config.log, "secret_not_cached", "pod=%s/%s uid=%s secret=%s action=%s",
		pod->namespace, pod->name, pod->uid, name, "waits_for_the_server");
	if (pod->stage != POD_NEW)
		return true; /* it runs, with what it has */
	agent_reports_event(p->config.reports, pod->key, pod->uid, true, "SecretNotCached", text);
	report_status(pod, agent_status_pending(memory_of(pod), "SecretNotCached", text,
				   p->config.host_ip, agent_clock_ms(p->config.clock)));
	return true;
}

/* It ended in an earlier life of the agent. If that died before it could keep what it had to say,
 * nobody else will: a server would believe for ever that the pod runs. */
static void report_lost_end(struct agent_pods *p, struct pod *pod)
{
	pod->finished = true;
	if (agent_reports_tells_end(p->config.reports, pod->uid))
		return;
	log_warn(p->config.log, "pod_end_unknown", "pod=%s/%s uid=%s", pod->namespace, pod->name,
		pod->uid);
	report_status(pod, agent_status_failed(memory_of(pod), "ContainerStatusUnknown",
				   "The pod ended, and its agent died before it told how",
				   p->config.host_ip, agent_clock_ms(p->config.clock)));
}

/* ---- one step for one pod ---- */

/* What was adopted has a network of its own: it may even be what is in the way of ours. */
static bool has_network(const struct agent_pods *p, const struct object *o)
{
	return p->dns_address || adopted_pod(o);
}

static void step_new(struct agent_pods *p, struct pod *pod, const struct object *o)
{
	if (!o && pod->failures == 0) {
		/* It may have run before a boot, and left logs and files. */
		ended(p, pod);
		forget(p, pod);
	} else if (!o || o->deletion_ms) {
		/* A start that failed may have left something; to stop what is unknown succeeds. */
		set_stage(pod, POD_KEPT);
		stop(p, pod, o ? grace_of(o) : 0);
	} else if (pod->finished || is_over(o->phase)) {
		ended(p, pod); /* it was not known when its start was prepared */
	} else if (agent_slice_ended(p->config.slice, pod->uid)) {
		report_lost_end(p, pod);
	} else if (has_network(p, o) && !loop_timer_active(pod->retry) && !pod->fenced &&
		   !lacks_secret(p, pod, o) &&
		   (!p->config.may_start || p->config.may_start(p->config.arg, o))) {
		start(p, pod, o);
	}
}

/* The slice may not know what the driver still runs: then it comes from the server, later, and what
 * was observed meanwhile is told then. */
static void tell_adopted(struct agent_pods *p, struct pod *pod, const struct object *o)
{
	if (!pod->adopted || !o)
		return;
	pod->adopted = false;
	if (p->config.on_adopted)
		p->config.on_adopted(p->config.arg, o);
}

/* The server does not know it: it may have begun the next one, so that no lease is for this one. */
static void stop_unknown(struct agent_pods *p, struct pod *pod)
{
	if (p->config.on_unknown)
		p->config.on_unknown(p->config.arg, pod->uid);
	stop(p, pod, -1);
}

static void end(struct agent_pods *p, struct pod *pod, const char *reason, const char *message,
	int64_t grace_s);

static void step_kept(struct agent_pods *p, struct pod *pod, const struct object *o)
{
	bool late = pod->adopted && o;
	tell_adopted(p, pod, o);
	if (late && pod->reported)
		agent_reports_status(p->config.reports, pod->key, pod->uid, pod->reported);
	if (late && !pod->finished && agent_slice_ended(p->config.slice, pod->uid))
		end(p, pod, "ContainerStatusUnknown",
			"The pod was ended, and its agent died before all of it had stopped", -1);
	if (loop_timer_active(pod->retry))
		return;
	if (pod->fenced)
		stop(p, pod, pod->end_grace);
	else if (o && o->deletion_ms)
		stop_deleted(p, pod, o);
	else if (!o && p->complete)
		stop_unknown(p, pod);
	else if (o && pod->dirty && !pod->updating && has_network(p, o) && !lacks_secret(p, pod, o))
		update(p, pod, o);
}

static void step_pod(struct agent_pods *p, struct pod *pod)
{
	const struct object *o = wanted(pod);
	switch (pod->stage) {
	case POD_NEW:
		step_new(p, pod, o);
		break;
	case POD_KEPT:
		step_kept(p, pod, o);
		break;
	case POD_STOPPING:
		if (pod->dirty && o && o->deletion_ms) {
			int64_t grace_s = grace_of(o);
			pod->dirty = false;
			if (grace_s >= 0 && (pod->stop_grace < 0 || grace_s < pod->stop_grace))
				stop(p, pod, grace_s);
		}
		break;
	case POD_STOPPED:
		if (!o)
			forget(p, pod);
		else if (pod->dirty && o->deletion_ms)
			say_gone(pod); /* it was fenced, or a finalizer held it */
		pod->dirty = false;
		break;
	case POD_STARTING:
	case POD_FORGETTING:
		break; /* the driver's answer comes */
	}
}

/* A pod that went while nobody could tell the driver has left its files. */
static void sweep(struct agent_pods *p)
{
	size_t count;
	CLEANUP(mem_free_ptr) const char **uids = agent_pods_uids(p, &count);
	p->swept = true;
	if (p->driver->ops->keep_only)
		p->driver->ops->keep_only(p->driver, uids, count);
}

static void on_step(void *arg)
{
	struct agent_pods *p = arg;
	if (!p->listed)
		return;
	MAP_EACH (agent_slice_objects(p->config.slice), entry) {
		const struct object *o = entry->value;
		if (o->kind == &kind_pod && str_equal(o->node, p->config.node_name))
			(void)ensure_pod(p, o->uid, o->namespace, o->name);
	}
	MAP_EACH (&p->by_uid, entry)
		step_pod(p, entry->value);
	if (p->complete && !p->swept)
		sweep(p);
}

/* ---- what came ---- */

void agent_pods_object_changed(struct agent_pods *p, const struct kind *kind, const char *namespace,
	const char *name)
{
	bool one = kind == &kind_pod;
	if (!one && kind != &kind_configmap && kind != &kind_secret && kind != &kind_namespace)
		return;
	const char *space = kind == &kind_namespace ? name : namespace;
	MAP_EACH (&p->by_uid, entry) {
		struct pod *pod = entry->value;
		if (str_equal(pod->namespace, space) && (!one || str_equal(pod->name, name)))
			pod->dirty = true;
	}
	step_later(p, 0);
}

void agent_pods_slice_complete(struct agent_pods *p)
{
	p->complete = true;
	agent_slice_complete(p->config.slice);
	step_later(p, 0);
}

void agent_pods_set_network(struct agent_pods *p, const char *cluster_domain,
	const char *dns_address)
{
	free(p->cluster_domain);
	free(p->dns_address);
	p->cluster_domain = mem_dup_string(cluster_domain);
	p->dns_address = mem_dup_string(dns_address);
	step_later(p, 0);
}

void agent_pods_look(struct agent_pods *p)
{
	step_later(p, 0);
}

/* Who replaces it takes Failed for the end of it: that is said when nothing of it runs. */
static void report_end(struct pod *pod, json_t *status)
{
	if (pod->stage == POD_NEW) {
		report_status(pod, status);
		return;
	}
	free(pod->end_status);
	pod->end_status = json_encode_string(status);
	json_decref(status);
}

/* Over, for a reason of the node's. */
static void end(struct agent_pods *p, struct pod *pod, const char *reason, const char *message,
	int64_t grace_s)
{
	pod->fenced = true;
	pod->finished = true;
	pod->end_grace = grace_s;
	agent_slice_end(p->config.slice, pod->uid);
	log_warn(p->config.log, str_equal(reason, "Fenced") ? "pod_fenced" : "pod_failed",
		"pod=%s/%s uid=%s reason=%s why=\"%s\"", pod->namespace, pod->name, pod->uid,
		reason, message);
	agent_reports_event(p->config.reports, pod->key, pod->uid, true, reason, message);
	report_end(pod, agent_status_failed(memory_of(pod), reason, message, p->config.host_ip,
				agent_clock_ms(p->config.clock)));
	/* At once: a start under way makes the step wait for its answer. */
	if (pod->stage == POD_KEPT || pod->stage == POD_STOPPING)
		stop(p, pod, grace_s);
	step_later(p, 0);
}

static struct pod *not_over(struct agent_pods *p, const char *uid)
{
	struct pod *pod = map_get(&p->by_uid, uid);
	bool over =
		!pod || pod->fenced || pod->stage == POD_STOPPED || pod->stage == POD_FORGETTING;
	return over ? NULL : pod;
}

void agent_pods_fenced(struct agent_pods *p, const char *uid)
{
	struct pod *pod = not_over(p, uid);
	if (pod)
		end(p, pod, "Fenced",
			"The node lost its lease, so that the pod may be replaced elsewhere", 0);
}

bool agent_pods_fail(struct agent_pods *p, const char *uid, const char *reason, const char *message)
{
	struct pod *pod = not_over(p, uid);
	if (!pod || pod->finished || pod->stage == POD_NEW || pod->stage == POD_STOPPING)
		return false;
	end(p, pod, reason, message, -1);
	return true;
}

void agent_pods_refuse(struct agent_pods *p, const char *uid, const char *reason,
	const char *message)
{
	struct pod *pod = not_over(p, uid);
	if (pod && pod->stage == POD_NEW && wanted(pod))
		end(p, pod, reason, message, 0);
}

void agent_pods_waits(struct agent_pods *p, const char *uid, const char *reason,
	const char *message)
{
	struct pod *pod = not_over(p, uid);
	if (!pod)
		return;
	agent_reports_event(p->config.reports, pod->key, pod->uid, true, reason, message);
	report_status(pod, agent_status_pending(memory_of(pod), reason, message, p->config.host_ip,
				   agent_clock_ms(p->config.clock)));
}

static void each_listed(void *arg, const struct driver_state *state)
{
	struct operation *o = arg; /* as operation_done gets it */
	struct agent_pods *p = o->pods;
	if (!p || state->stopped)
		return;
	struct pod *pod = ensure_pod(p, state->uid, state->namespace, state->name);
	if (pod->stage == POD_NEW)
		set_stage(pod, POD_KEPT);
	observe(pod, state);
	pod->adopted = true;
	tell_adopted(p, pod, wanted(pod));
}

static void on_listed(struct agent_pods *p, struct pod *pod, const struct err *e)
{
	(void)pod;
	if (e) {
		log_err(p->config.log, LOG_ERROR, "driver_list_failed", e, "action=exit");
		abort(); /* starting pods blindly could run them twice; a new process asks again */
	}
	p->listed = true;
	log_info(p->config.log, "pods_adopted", "count=%zu", p->by_uid.count);
	p->config.on_listed(p->config.arg);
}

void agent_pods_set_driver(struct agent_pods *p, struct driver *driver)
{
	p->driver = driver;
	struct operation *operation = operation_new(p, NULL, on_listed);
	driver->ops->list(driver, each_listed, operation_done, operation);
}

/* ---- the whole ---- */

struct agent_pods *agent_pods_new(const struct agent_pods_config *config)
{
	struct agent_pods *p = mem_new(struct agent_pods);
	p->config = *config;
	map_init(&p->by_uid, pod_free);
	list_init(&p->operations);
	p->step = loop_timer_new(config->loop, on_step, p);
	return p;
}

void agent_pods_free(struct agent_pods *p)
{
	if (!p)
		return;
	LIST_EACH (&p->operations, link) {
		struct operation *o = LIST_ITEM(link, struct operation, link);
		o->pods = NULL;
		list_remove(link);
	}
	loop_timer_free(p->step);
	map_done(&p->by_uid);
	free(p->cluster_domain);
	free(p->dns_address);
	free(p);
}

const char *agent_pods_key(const struct agent_pods *p, const char *uid)
{
	const struct pod *pod = map_get(&p->by_uid, uid);
	return pod ? pod->key : NULL;
}

bool agent_pods_listed(const struct agent_pods *p)
{
	return p->listed;
}

size_t agent_pods_count(const struct agent_pods *p)
{
	return p->by_uid.count;
}

const char **agent_pods_uids(const struct agent_pods *p, size_t *ret_count)
{
	VEC(const char *) list = {0};
	MAP_EACH (&p->by_uid, entry)
		vec_push(&list, entry->key);
	MAP_EACH (agent_slice_objects(p->config.slice), entry) {
		const struct object *o = entry->value;
		if (o->kind == &kind_pod && !map_has(&p->by_uid, o->uid))
			vec_push(&list, o->uid);
	}
	*ret_count = list.count;
	return list.items;
}

static void add_named_images(struct agent_used_images *list, const struct object *o)
{
	static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
	CLEANUP(json_done) json_t *tree = object_tree(o);
	size_t i;
	json_t *item;
	for (size_t n = 0; n < ARRAY_SIZE(lists); n++)
		json_array_foreach (json_at(tree, "spec", lists[n]), i, item)
			vec_push(list, mem_dup_string(json_text(item, "", "image")));
}

/* A pod that waits, for a Secret, a lease or a device, has no image yet that the driver knows. */
void agent_pods_images(const struct agent_pods *p, struct agent_used_images *list)
{
	MAP_EACH (&p->by_uid, entry) {
		const struct pod *pod = entry->value;
		for (size_t i = 0; i < pod->images.count; i++)
			vec_push(list, mem_dup_string(pod->images.items[i]));
	}
	MAP_EACH (agent_slice_objects(p->config.slice), entry) {
		const struct object *o = entry->value;
		if (o->kind == &kind_pod && str_equal(o->node, p->config.node_name) &&
			!is_over(o->phase) && !agent_slice_ended(p->config.slice, o->uid))
			add_named_images(list, o);
	}
}

void agent_used_images_done(struct agent_used_images *list)
{
	VEC_EACH (list, char *, image)
		free(*image);
	vec_done(list);
}

void agent_pods_metrics(const struct agent_pods *p, struct buf *b)
{
	size_t counts[ARRAY_SIZE(stage_names)] = {0};
	MAP_EACH (&p->by_uid, entry)
		counts[((const struct pod *)entry->value)->stage]++;
	buf_append_string(b, "# TYPE continuo_agent_pods gauge\n");
	for (size_t i = 0; i < ARRAY_SIZE(stage_names); i++)
		buf_printf(b, "continuo_agent_pods{stage=\"%s\"} %zu\n", stage_names[i], counts[i]);
	buf_printf(b,
		"# TYPE continuo_agent_pods_started_total counter\n"
		"continuo_agent_pods_started_total %lld\n",
		(long long)p->started);
	buf_printf(b,
		"# TYPE continuo_agent_pod_start_failures_total counter\n"
		"continuo_agent_pod_start_failures_total %lld\n",
		(long long)p->start_failures);
	buf_printf(b,
		"# TYPE continuo_agent_pods_stopped_total counter\n"
		"continuo_agent_pods_stopped_total %lld\n",
		(long long)p->stopped);
}
