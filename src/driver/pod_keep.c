/*
 * The record of a pod that outlives the agent's process: spec (what the agent handed over; written
 * when it changes; may hold secrets) and record (what happened). JSON; the engine keeps both where
 * they are gone after a boot. Damaged or foreign ones are refused, never guessed at.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/devices.h"
#include "driver/pod.h"

#define KEEP_VERSION 1

/* ---- writing ---- */

static void keep_strings(struct buf *b, const char *key, char **strings)
{
	buf_printf(b, ",\"%s\":[", key);
	for (size_t i = 0; strings && strings[i]; i++) {
		if (i)
			buf_append_char(b, ',');
		json_write_string(b, strings[i]);
	}
	buf_append_char(b, ']');
}

static void keep_text(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, ",\"%s\":", key);
	json_write_string(b, text ? text : "");
}

static void keep_object(struct buf *b, const struct object *o)
{
	buf_printf(b, "{\"revision\":%lld,\"object\":", (long long)o->revision);
	buf_append(b, o->blob, o->blob_size);
	buf_append_char(b, '}');
}

static void keep_devices(struct buf *b, const struct pod_source *s)
{
	json_t *list CLEANUP(json_done) = driver_devices_encode(s->devices, s->device_count);
	char *text CLEANUP(mem_free_ptr) = json_encode_string(list);
	buf_printf(b, ",\"devices\":%s", text);
}

static char *keep_spec(const struct pod_source *s)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	buf_printf(&b, "{\"version\":%d,\"pod\":", KEEP_VERSION);
	keep_object(&b, s->pod);
	keep_text(&b, "clusterDNS", s->cluster_dns);
	keep_text(&b, "privilege", s->privilege);
	keep_strings(&b, "dnsSearch", s->dns_search);
	keep_strings(&b, "serviceEnv", s->service_env);
	keep_devices(&b, s);
	buf_append_string(&b, ",\"objects\":[");
	for (size_t i = 0; i < s->object_count; i++) {
		if (i)
			buf_append_char(&b, ',');
		keep_object(&b, s->objects[i]);
	}
	buf_append_string(&b, "]}");
	return buf_take(&b, NULL);
}

static json_t *keep_end(const struct run_end *end)
{
	return json_pack("{s:b,s:i,s:I,s:I,s:s}", "set", end->set, "exitCode", end->exit_code,
		"startedMs", (json_int_t)end->started_ms, "finishedMs",
		(json_int_t)end->finished_ms, "reason", end->reason);
}

static json_t *keep_container(const struct pod_container *c)
{
	int64_t ran_ms = 0;
	if (c->phase == RUN_RUNNING)
		ran_ms = loop_now_ms(c->pod->pods->config.loop) - c->started_now_ms;
	return json_pack("{s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:I,s:I,s:b,s:b,s:o,s:o,s:i,s:s}", "name",
		c->name, "id", c->id, "phase", (int)c->phase, "attempt", c->attempt, "runs",
		c->runs, "lastAttempt", c->last_attempt, "previousAttempt", c->previous_attempt,
		"startedMs", (json_int_t)c->started_ms, "ranMs", (json_int_t)ran_ms, "started",
		c->started, "ready", c->ready, "end", keep_end(&c->end), "last", keep_end(&c->last),
		"failures", c->restart.failures, "imageId", c->image_id);
}

static char *keep_record(const struct pod *p)
{
	json_t *list = json_array();
	for (size_t i = 0; i < p->container_count; i++)
		json_array_append_new(list, keep_container(&p->containers[i]));
	json_t *record CLEANUP(json_done) =
		json_pack("{s:i,s:s,s:s,s:I,s:I,s:I,s:b,s:b,s:b,s:b,s:o}", "version", KEEP_VERSION,
			"ip", p->ip, "netns", p->netns_path, "startedMs", (json_int_t)p->started_ms,
			"beganMs", (json_int_t)p->began_ms, "firstStartMs",
			(json_int_t)p->first_start_ms, "ready", p->sandbox == SANDBOX_READY,
			"finished", p->finished, "detached", p->detached, "expired", p->expired,
			"containers", list);
	return json_encode_string(record);
}

void pod_keep(struct pod *p)
{
	struct container_engine *x = p->pods->engine;
	struct err e = ERR_INIT;
	if (p->sandbox < SANDBOX_READY || p->sandbox >= SANDBOX_DETACHING)
		return; /* nothing that could be found again */
	char *spec CLEANUP(mem_free_ptr) = p->spec_kept ? NULL : keep_spec(&p->source);
	char *record CLEANUP(mem_free_ptr) = keep_record(p);
	if (x->ops->keep(x, p->uid, spec, record, &e))
		log_err(p->pods->config.log, LOG_WARN, "pod_record_not_kept", &e, "pod=%s/%s",
			p->namespace, p->name);
	else
		p->spec_kept = true;
}

/* ---- reading ---- */

static struct object *restore_object(const struct kind *kind, const json_t *from)
{
	struct object *o = NULL;
	const json_t *tree = json_at(from, "object");
	if (!tree || object_from_json(kind, tree, &o, NULL))
		return NULL;
	object_stamp(o, json_int(from, 0, "revision"), 0);
	return o;
}

static char **restore_strings(const json_t *list)
{
	size_t count = json_array_size(list);
	char **strings = mem_alloc_array(count + 1, sizeof(*strings));
	for (size_t i = 0; i < count; i++)
		strings[i] = mem_dup_string(json_text_or(json_array_get(list, i), ""));
	return strings;
}

static bool restore_source(struct pod_source *s, const json_t *spec)
{
	const json_t *objects = json_at(spec, "objects");
	size_t count = json_array_size(objects);
	if (json_int(spec, 0, "version") != KEEP_VERSION)
		return false;
	s->pod = restore_object(&kind_pod, json_at(spec, "pod"));
	s->cluster_dns = mem_dup_string(json_text(spec, "", "clusterDNS"));
	s->privilege = mem_dup_string(json_text(spec, "baseline", "privilege"));
	s->dns_search = restore_strings(json_at(spec, "dnsSearch"));
	s->service_env = restore_strings(json_at(spec, "serviceEnv"));
	s->devices = driver_devices_decode(json_at(spec, "devices"), &s->device_count);
	s->objects = mem_alloc_array(count + 1, sizeof(*s->objects));
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(objects, i);
		bool secret = str_equal(json_text(item, "", "object", "kind"), "Secret");
		struct object *o = restore_object(secret ? &kind_secret : &kind_configmap, item);
		if (!o)
			return false;
		s->objects[s->object_count++] = o;
	}
	return s->pod != NULL;
}

static void restore_end(struct run_end *end, const json_t *from)
{
	end->set = json_bool(from, false, "set");
	end->exit_code = (int)json_int(from, 0, "exitCode");
	end->started_ms = json_int(from, 0, "startedMs");
	end->finished_ms = json_int(from, 0, "finishedMs");
	(void)str_copy(end->reason, sizeof(end->reason), json_text(from, "", "reason"));
}

static void restore_container(struct pod_container *c, const json_t *from)
{
	struct loop *loop = c->pod->pods->config.loop;
	enum run_phase phase = (enum run_phase)json_int(from, RUN_IDLE, "phase");
	/* What was only under way is begun again; the engine's leftovers are removed. */
	c->phase = phase == RUN_RUNNING || phase == RUN_ENDED ? phase : RUN_IDLE;
	c->adopted = c->phase == RUN_RUNNING;
	c->attempt = (int)json_int(from, -1, "attempt");
	c->runs = (int)json_int(from, 0, "runs");
	c->last_attempt = (int)json_int(from, -1, "lastAttempt");
	c->previous_attempt = (int)json_int(from, -1, "previousAttempt");
	c->started_ms = json_int(from, 0, "startedMs");
	c->started_now_ms = loop_now_ms(loop) - json_int(from, 0, "ranMs");
	c->started = json_bool(from, false, "started");
	c->ready = json_bool(from, false, "ready");
	c->restart.failures = (int)json_int(from, 0, "failures");
	(void)str_copy(c->id, sizeof(c->id), json_text(from, "", "id"));
	(void)str_copy(c->image_id, sizeof(c->image_id), json_text(from, "", "imageId"));
	restore_end(&c->end, json_at(from, "end"));
	restore_end(&c->last, json_at(from, "last"));
}

static void restore_record(struct pod *p, const json_t *record)
{
	int64_t now_ms = loop_now_ms(p->pods->config.loop);
	p->sandbox = json_bool(record, false, "ready") ? SANDBOX_READY : SANDBOX_NONE;
	p->started_ms = json_int(record, 0, "startedMs");
	p->began_ms = json_int(record, now_ms, "beganMs");
	if (p->began_ms > now_ms) /* by the clock of another boot */
		p->began_ms = now_ms;
	p->first_start_ms = json_int(record, 0, "firstStartMs");
	p->finished = json_bool(record, false, "finished");
	p->detached = json_bool(record, false, "detached");
	p->expired = json_bool(record, false, "expired");
	p->spec_kept = true;
	(void)str_copy(p->ip, sizeof(p->ip), json_text(record, "", "ip"));
	(void)str_copy(p->netns_path, sizeof(p->netns_path), json_text(record, "", "netns"));
	size_t j;
	json_t *item;
	for (size_t i = 0; i < p->container_count; i++)
		json_array_foreach (json_at(record, "containers"), j, item)
			if (str_equal(json_text(item, "", "name"), p->containers[i].name))
				restore_container(&p->containers[i], item);
}

struct pod *pod_restore(struct pods *d, const char *spec_text, const char *record_text)
{
	json_t *spec CLEANUP(json_done) = NULL;
	json_t *record CLEANUP(json_done) = NULL;
	spec = json_loads(spec_text, 0,
		NULL); /* our own, and larger than what comes from outside */
	record = json_loads(record_text, 0, NULL);
	struct pod *p = mem_new(struct pod);
	*p = (struct pod){.pods = d, .references = 1};
	d->references++;
	if (!restore_source(&p->source, spec) || json_int(record, 0, "version") != KEEP_VERSION) {
		p->gone = true;
		pod_unref(p);
		return NULL;
	}
	json_t *tree CLEANUP(json_done) = object_tree(p->source.pod);
	pod_read(p, tree);
	restore_record(p, record);
	pod_set_deadline(p, tree);
	return p;
}
