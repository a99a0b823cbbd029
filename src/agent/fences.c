#include "agent/fences.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "model/pod_singleton.h"
#include "sys/process.h"

#define BEAT_FIRST_MS 500 /* between beats until there is a lease */
#define BEAT_CALL_MS 4000
#define BEATS_KEPT 16
#define END_EARLY_MS 500 /* the agent ends pods so long before their fence does */
#define WAIT_MOST_MS 3600000
#define START_LEAST_MS 2000 /* of the lease must be left to start anything */

enum fence_state { FENCE_NONE, FENCE_RAISING, FENCE_CONNECTING, FENCE_ARMED };

struct fence {
	struct agent_fences *fences;
	char *uid, *path;
	enum fence_state state;
	bool runs;    /* the pod may have processes */
	bool adopts;  /* it is not known yet whether the fence of old stands */
	bool expired; /* on_expired was called */
	bool unknown; /* to the server, whose leases are for others */
	struct stream *stream;
	char line[64];
};

struct beat {
	int64_t id, sent_ms;
};

struct agent_fences {
	struct agent_fences_config config;
	struct map by_uid;
	struct list raises;
	struct loop_timer *beat, *deadline, *begin;
	struct beat beats[BEATS_KEPT];
	int64_t next_id, lease_ms;
	int64_t until_ms; /* now_ms; 0: there was no lease since the agent began */
	bool other_epoch; /* the lease is of another one: what runs may run, nothing starts */
};

/* Raising one is under way when the fence may be dropped: it finds its way by the uid. */
struct raise {
	struct list link;
	struct agent_fences *fences; /* null: the agent ends */
	char *uid;
};

static int64_t now_ms(const struct agent_fences *f)
{
	return loop_now_ms(f->config.loop);
}

static bool holds(const struct agent_fences *f, int64_t least_ms)
{
	return f->until_ms - now_ms(f) > END_EARLY_MS + least_ms;
}

static bool may_begin(const struct agent_fences *f)
{
	return !f->other_epoch && !loop_timer_active(f->begin) && holds(f, START_LEAST_MS);
}

static char *fence_path(const struct agent_fences *f, const char *uid)
{
	return mem_format("%s/fence/%s", f->config.run_folder, uid);
}

/* A fence that was killed cannot do it, nor does one that ends. */
static void remove_socket(const struct agent_fences *f, const char *uid)
{
	CLEANUP(mem_free_ptr) char *path = fence_path(f, uid);
	struct err e = ERR_INIT;
	if (fs_remove(f->config.fs, path, &e) < 0)
		log_err(f->config.log, LOG_WARN, "fence_socket_left", &e, "pod=%s", uid);
}

static void connect_fence(struct fence *x);
static void raise_fence(struct fence *x);

/* ---- the end ---- */

static void disconnect(struct fence *x)
{
	stream_free(take_ptr(x->stream));
	x->line[0] = '\0';
}

static void expire(struct fence *x, const char *why)
{
	struct agent_fences *f = x->fences;
	if (x->expired)
		return;
	x->expired = true;
	log_warn(f->config.log, "lease_over", "pod=%s why=\"%s\"", x->uid, why);
	f->config.on_expired(f->config.arg, x->uid);
}

/* It guards nothing and is of no more use. The next lease raises another one. */
static void dismiss(struct fence *x)
{
	stream_write(x->stream, "quit\n", 5);
	disconnect(x);
	x->state = FENCE_NONE;
}

/* A fence whose time came is of no more use; one that waits for a start is raised anew. */
static void lapse(struct fence *x)
{
	if (x->runs)
		expire(x, "no lease came in time");
	else if (x->state == FENCE_ARMED)
		dismiss(x);
}

static void on_deadline(void *arg)
{
	struct agent_fences *f = arg;
	if (holds(f, 0)) {
		loop_timer_start(f->deadline, f->until_ms - END_EARLY_MS - now_ms(f));
		return;
	}
	MAP_EACH (&f->by_uid, entry)
		lapse(entry->value);
}

static void set_until(struct agent_fences *f, int64_t until_ms)
{
	if (until_ms <= f->until_ms)
		return;
	f->until_ms = until_ms;
	int64_t left_ms = until_ms - END_EARLY_MS - now_ms(f);
	loop_timer_start(f->deadline, left_ms);
}

/* ---- one fence ---- */

static void extend(struct fence *x)
{
	char line[48];
	int size = snprintf(line, sizeof(line), "until %" PRId64 "\n", x->fences->until_ms);
	if (x->state == FENCE_ARMED && !x->expired && !x->unknown)
		stream_write(x->stream, line, (size_t)size);
}

static void on_stands(struct fence *x, int64_t until_ms)
{
	struct agent_fences *f = x->fences;
	bool first = x->state != FENCE_ARMED;
	x->state = FENCE_ARMED;
	if (x->adopts) { /* what its deadline says was granted to the agent before us */
		x->adopts = false;
		set_until(f, until_ms);
		if (!holds(f, 0))
			expire(x, "its lease ended while no agent ran");
	}
	extend(x);
	if (first)
		f->config.on_change(f->config.arg);
}

static void on_line(struct fence *x)
{
	long long until_ms;
	if (str_equal(x->line, "fired")) {
		x->adopts = false;
		if (x->runs)
			expire(x, "the fence killed it");
		else
			dismiss(x); /* it would go on killing what is started */
	} else if (sscanf(x->line, "until %lld", &until_ms) == 1) {
		on_stands(x, until_ms);
	}
}

static void on_open(void *arg)
{
	(void)arg; /* the fence speaks first */
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	struct fence *x = arg;
	for (size_t i = 0; i < size && x->stream; i++) {
		size_t used = strlen(x->line);
		if (data[i] == '\n') {
			on_line(x);
			x->line[0] = '\0';
		} else if (used + 1 < sizeof(x->line)) {
			x->line[used] = (char)data[i];
			x->line[used + 1] = '\0';
		}
	}
}

static void on_closed(void *arg, const struct err *why)
{
	struct fence *x = arg;
	struct agent_fences *f = x->fences;
	bool adopted = x->adopts;
	disconnect(x);
	x->state = FENCE_NONE;
	x->adopts = false;
	if (x->expired)
		return;
	if (adopted && x->runs) {
		expire(x, "its fence is gone, and nobody knows the lease");
		return;
	}
	log_err(f->config.log, LOG_WARN, "fence_died", why, "pod=%s action=%s", x->uid,
		holds(f, 0) ? "raised_anew" : "pod_ends");
	if (holds(f, 0))
		raise_fence(x);
	else
		lapse(x);
}

static void connect_fence(struct fence *x)
{
	static const struct stream_events events = {
		.on_open = on_open, .on_data = on_data, .on_closed = on_closed};
	CLEANUP(mem_free_ptr) char *address = mem_format("unix:%s", x->path);
	x->state = FENCE_CONNECTING;
	x->stream = loop_connect(x->fences->config.loop, address);
	stream_set_events(x->stream, &events, x);
}

static void raise_free(struct raise *raise)
{
	list_remove(&raise->link);
	free(raise->uid);
	free(raise);
}

static void raise_done(void *arg, int status, const char *why)
{
	struct raise *raise = arg;
	struct agent_fences *f = raise->fences;
	struct fence *x = f ? map_get(&f->by_uid, raise->uid) : NULL;
	if (f && !x)
		remove_socket(f, raise->uid); /* the pod went first */
	raise_free(raise);
	if (!x || x->state != FENCE_RAISING)
		return;
	if (status == 0) {
		connect_fence(x);
		return;
	}
	log_error(x->fences->config.log, "fence_not_raised", "pod=%s status=%d why=\"%s\"", x->uid,
		status, why);
	x->state = FENCE_NONE;
	if (x->runs)
		expire(x, "its fence could not be raised");
}

static void on_raised(void *arg, const struct process_result *r)
{
	raise_done(arg, r->status, r->err_text);
}

static int run_program(struct fence *x, struct raise *raise, struct err *e)
{
	const struct agent_fences_config *c = &x->fences->config;
	CLEANUP(mem_free_ptr) char *cgroup = mem_format("%s/pod-%s", c->cgroup_parent, x->uid);
	CLEANUP(mem_free_ptr) char *until = mem_format("%" PRId64, x->fences->until_ms);
	const char *const argv[] = {c->program, x->path, cgroup, until, NULL};
	return process_run(c->loop, argv, NULL, 0, on_raised, raise, e);
}

static void raise_fence(struct fence *x)
{
	struct agent_fences *f = x->fences;
	const struct agent_fence_maker *m = &f->config.maker;
	struct err e = ERR_INIT;
	if (!f->config.program && !m->raise)
		return;
	struct raise *raise = mem_new(struct raise);
	*raise = (struct raise){.fences = f, .uid = mem_dup_string(x->uid)};
	list_append(&f->raises, &raise->link);
	x->state = FENCE_RAISING;
	if (m->raise) {
		m->raise(m->context, x->path, x->uid, f->until_ms, raise_done, raise);
		return;
	}
	if (run_program(x, raise, &e) == 0)
		return;
	log_err(f->config.log, LOG_ERROR, "fence_not_raised", &e, "pod=%s", x->uid);
	raise_free(raise);
	x->state = FENCE_NONE;
	if (x->runs)
		expire(x, "its fence could not be raised");
}

static struct fence *ensure(struct agent_fences *f, const char *uid)
{
	struct fence *x = map_get(&f->by_uid, uid);
	if (x)
		return x;
	x = mem_new(struct fence);
	x->fences = f;
	x->uid = mem_dup_string(uid);
	x->path = fence_path(f, uid);
	map_put(&f->by_uid, uid, x);
	if (!loop_timer_active(f->beat))
		loop_timer_start(f->beat, 0);
	return x;
}

static void fence_free(void *value)
{
	struct fence *x = value;
	disconnect(x);
	free(x->uid);
	free(x->path);
	free(x);
}

/* ---- beats ---- */

static void ignore_answer(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	(void)arg;
	(void)status;
	(void)body;
	(void)size;
	(void)e;
}

static void on_beat(void *arg)
{
	struct agent_fences *f = arg;
	if (f->by_uid.count == 0)
		return;
	struct http_client *client = f->config.client(f->config.arg);
	/* What fences of old tell says how long the lease holds, not how long one is. */
	bool calm = holds(f, 0) && client && f->lease_ms;
	loop_timer_start(f->beat, calm ? f->lease_ms / 4 : BEAT_FIRST_MS);
	if (!client)
		return;
	char line[64];
	int64_t id = f->next_id++;
	/* The time first: what happens before the bytes leave is the lease's loss, not its gain. */
	f->beats[id % BEATS_KEPT] = (struct beat){id, now_ms(f)};
	int size = snprintf(line, sizeof(line), "{\"type\":\"beat\",\"id\":%" PRId64 "}\n", id);
	struct http_call_spec spec = {.method = "POST",
		.path = "/agent/v1/report",
		.content_type = "application/x-ndjson",
		.body = line,
		.body_size = (size_t)size,
		.timeout_ms = BEAT_CALL_MS};
	http_fetch(client, &spec, ignore_answer, NULL);
}

void agent_fences_granted(struct agent_fences *f, int64_t id, int64_t lease_ms)
{
	const struct beat *b = &f->beats[id >= 0 ? id % BEATS_KEPT : 0];
	if (id <= 0 || b->id != id || lease_ms < 1000 || lease_ms > 3600000)
		return; /* of an agent before us, or too old to be of use */
	f->lease_ms = lease_ms;
	bool could = may_begin(f);
	f->other_epoch = false;
	set_until(f, b->sent_ms + lease_ms - (lease_ms * FENCES_DRIFT_PERMILLE + 999) / 1000);
	MAP_EACH (&f->by_uid, entry) {
		struct fence *x = entry->value;
		if (x->state == FENCE_NONE && !x->runs && !x->expired)
			raise_fence(x);
		else
			extend(x);
	}
	if (!could && may_begin(f))
		f->config.on_change(f->config.arg);
}

/* ---- what pods ask ---- */

bool agent_fences_wants(const struct object *pod)
{
	return pod_singleton(pod) == SINGLETON_HANDOVER;
}

bool agent_fences_may_start(struct agent_fences *f, const char *uid)
{
	struct fence *x = ensure(f, uid);
	if (x->state == FENCE_NONE && !x->expired && may_begin(f))
		raise_fence(x);
	if (x->state != FENCE_ARMED || x->expired || x->adopts || !may_begin(f))
		return false;
	x->runs = true;
	return true;
}

bool agent_fences_may_run(const struct agent_fences *f, const char *uid)
{
	const struct fence *x = map_get(&f->by_uid, uid);
	return x && x->state == FENCE_ARMED && !x->expired && !x->adopts && holds(f, 0);
}

void agent_fences_adopt(struct agent_fences *f, const char *uid)
{
	struct fence *x = ensure(f, uid);
	if (x->state != FENCE_NONE || x->runs)
		return;
	x->runs = true;
	x->adopts = true;
	connect_fence(x);
}

void agent_fences_other_epoch(struct agent_fences *f)
{
	f->other_epoch = true;
}

static void on_begin(void *arg)
{
	struct agent_fences *f = arg;
	f->config.on_change(f->config.arg);
}

void agent_fences_wait(struct agent_fences *f, int64_t wait_ms)
{
	if (wait_ms > 0 && wait_ms <= WAIT_MOST_MS)
		loop_timer_start(f->begin, wait_ms + wait_ms * FENCES_DRIFT_PERMILLE / 1000 + 1);
}

void agent_fences_unknown(struct agent_fences *f, const char *uid)
{
	struct fence *x = map_get(&f->by_uid, uid);
	if (x)
		x->unknown = true;
}

void agent_fences_drop(struct agent_fences *f, const char *uid)
{
	struct fence *x = map_get(&f->by_uid, uid);
	/* A fence that fired goes on killing what comes to life, for as long as anything is there.
	 */
	if (x && x->stream && x->state == FENCE_ARMED)
		stream_write(x->stream, "quit\n", 5);
	map_remove(&f->by_uid, uid);
	remove_socket(f, uid);
}

/* ---- the whole ---- */

struct agent_fences *agent_fences_new(const struct agent_fences_config *config)
{
	struct agent_fences *f = mem_new(struct agent_fences);
	f->config = *config;
	map_init(&f->by_uid, fence_free);
	list_init(&f->raises);
	f->beat = loop_timer_new(config->loop, on_beat, f);
	f->deadline = loop_timer_new(config->loop, on_deadline, f);
	f->begin = loop_timer_new(config->loop, on_begin, f);
	uint32_t seed;
	loop_random_bytes(config->loop, &seed, sizeof(seed));
	f->next_id = ((int64_t)seed << 16) + 1; /* none of an agent before us */
	return f;
}

void agent_fences_free(struct agent_fences *f)
{
	if (!f)
		return;
	LIST_EACH (&f->raises, link) {
		LIST_ITEM(link, struct raise, link)->fences = NULL;
		list_remove(link);
	}
	map_done(&f->by_uid);
	loop_timer_free(f->beat);
	loop_timer_free(f->deadline);
	loop_timer_free(f->begin);
	free(f);
}
