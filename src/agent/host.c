/* What drivers ask of the agent: images, the pod network, events, news of pods. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent_private.h"
#include "base/mem.h"
#include "base/str.h"

#define PROGRESS_MS 250

struct pull {
	struct list link;
	struct agent *agent;
	struct image_pull *image;
	char *ref, *uid;
	int64_t reported_ms;
	void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes);
	void (*done)(void *arg, const struct image_ready *image, const struct err *e);
	void *arg;
};

static void pull_free(struct pull *p)
{
	list_remove(&p->link);
	free(p->ref);
	free(p->uid);
	free(p);
}

static void on_progress(void *arg, int64_t done_bytes, int64_t total_bytes)
{
	struct pull *p = arg;
	int64_t now_ms = loop_now_ms(p->agent->config.loop);
	if (p->progress)
		p->progress(p->arg, done_bytes, total_bytes);
	if (done_bytes < total_bytes && now_ms - p->reported_ms < PROGRESS_MS)
		return;
	p->reported_ms = now_ms;
	agent_reports_progress(&p->agent->reports, p->uid, p->ref, done_bytes, total_bytes);
}

static void on_pulled(void *arg, const struct image_result *r, const struct err *e)
{
	struct pull *p = arg;
	struct agent *a = p->agent;
	if (e && e->code == ERR_NO_SPACE)
		a->images_due = a->disk.no_space = true;
	if (!e) {
		struct image_ready image = {.id = r->id,
			.digest = r->digest,
			.layers = r->layers,
			.config_json = r->config_json};
		a->images_due |= !r->was_present;
		log_info(a->config.log, "image_ready",
			"image=%s present=%d took_ms=%lld bytes=%lld", p->ref, r->was_present,
			(long long)r->took_ms, (long long)r->bytes);
		p->done(p->arg, &image, NULL);
	} else {
		log_err(a->config.log, LOG_WARN, "image_not_pulled", e, "image=%s", p->ref);
		p->done(p->arg, NULL, e);
	}
	pull_free(p);
	agent_tidy_later(a);
}

static void host_image_pull(void *context, const char *ref, const char *policy,
	const char *docker_config_json, const char *pod_uid,
	void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes),
	void (*done)(void *arg, const struct image_ready *image, const struct err *e), void *arg)
{
	static const struct image_pull_events events = {on_progress, on_pulled};
	struct agent *a = context;
	struct pull *p = mem_new(struct pull);
	*p = (struct pull){.agent = a,
		.ref = mem_dup_string(ref),
		.uid = mem_dup_string(pod_uid),
		.progress = progress,
		.done = done,
		.arg = arg};
	list_append(&a->pulls, &p->link);
	p->image = a->config.images.ops->pull(a->config.images.context, ref, policy,
		docker_config_json, &events, p);
}

static void host_attach(void *context, const char *pod_uid, const char *netns_path,
	const char *host_ports_json, void (*done)(void *arg, const char *ip, const struct err *e),
	void *arg)
{
	struct agent *a = context;
	agent_network_attach(&a->network, pod_uid, netns_path, host_ports_json, done, arg);
}

static void host_detach(void *context, const char *pod_uid,
	void (*done)(void *arg, const struct err *e), void *arg)
{
	struct agent *a = context;
	agent_network_detach(&a->network, pod_uid, done, arg);
}

static void host_event(void *context, const char *pod_uid, bool warning, const char *reason,
	const char *message)
{
	struct agent *a = context;
	const char *key = a->pods ? agent_pods_key(a->pods, pod_uid) : NULL;
	if (key)
		agent_reports_event(&a->reports, key, pod_uid, warning, reason, message);
}

static void host_changed(void *context, const struct driver_state *state)
{
	struct agent *a = context;
	if (a->pods)
		agent_pods_observed(a->pods, state);
	agent_tidy_later(a);
}

static bool host_may_run(void *context, const char *pod_uid)
{
	struct agent *a = context;
	MAP_EACH (agent_slice_objects(a->slice), entry) {
		const struct object *o = entry->value;
		if (o->kind == &kind_pod && str_equal(o->uid, pod_uid))
			return !agent_fences_wants(o) || agent_fences_may_run(a->fences, pod_uid);
	}
	return true;
}

static int64_t host_time_ms(void *context)
{
	const struct agent *a = context;
	return a->clock->known ? agent_clock_ms(a->clock) : -1;
}

struct driver_host agent_host(struct agent *a)
{
	return (struct driver_host){.image_pull = host_image_pull,
		.network_attach = host_attach,
		.network_detach = host_detach,
		.event = host_event,
		.changed = host_changed,
		.may_run = host_may_run,
		.time_ms = host_time_ms,
		.context = a};
}

void agent_host_done(struct agent *a)
{
	LIST_EACH (&a->pulls, link) {
		struct pull *p = LIST_ITEM(link, struct pull, link);
		a->config.images.ops->cancel(p->image);
		pull_free(p);
	}
}
