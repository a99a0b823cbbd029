#include "agent/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "device/watch.h"
#include "model/model.h"

#define LOOK_MS 30000      /* without a hint */
#define LOOK_BLIND_MS 3000 /* where none can come */
#define LOOK_GAP_MS 200    /* between two looks, however many hints come */
#define PATIENCE_MS 15000  /* of a pod whose devices are not there */
#define SAVE_RETRY_MS 5000
#define FILE_SIZE_MAX ((size_t)3 << 20)

struct waiting {
	int64_t since_ms;
	char *message;
};

/* A job; devices is null when nobody waits any more. */
struct look {
	struct agent_devices *devices;
	struct fs *fs;
	const struct device_rule *rules;
	size_t rule_count;
	struct device_list list;
};

struct save {
	struct agent_devices *devices;
	struct fs *fs;
	char *path, *text;
	int64_t change;
	int result;
	struct err e;
};

struct agent_devices {
	struct agent_devices_config config;
	struct device_pool pool;
	struct device_watch *watch;
	struct loop_timer *look_timer, *save_timer, *patience_timer, *lost_timer;
	struct look *look;
	struct save *save;
	bool known, look_again;
	int64_t looked_ms;      /* now_ms of the last look */
	int64_t changes, saved; /* of who has which */
	struct map waiting;     /* uid -> struct waiting */
	int64_t looks, lost;
};

static void waiting_free(void *value)
{
	struct waiting *w = value;
	free(w->message);
	free(w);
}

/* ---- keeping ---- */

static char *file_path(const struct agent_devices *d)
{
	return mem_format("%s/devices", d->config.state_folder);
}

static void save_work(void *arg)
{
	struct save *s = arg;
	s->result = fs_write_atomic(s->fs, s->path, s->text, strlen(s->text), 0600, &s->e);
}

static void save_done(void *arg)
{
	struct save *s = arg;
	struct agent_devices *d = s->devices;
	if (d) {
		d->save = NULL;
		if (s->result < 0)
			log_err(d->config.log, LOG_ERROR, "devices_not_saved", &s->e, "path=%s",
				s->path);
		else
			d->saved = s->change;
		if (d->saved < d->changes)
			loop_timer_start(d->save_timer, s->result < 0 ? SAVE_RETRY_MS : 0);
		d->config.on_change(d->config.arg);
	}
	free(s->path);
	free(s->text);
	free(s);
}

static void on_save_timer(void *arg)
{
	struct agent_devices *d = arg;
	if (d->save)
		return; /* its end starts the next */
	d->save = mem_new(struct save);
	*d->save = (struct save){.devices = d,
		.fs = d->config.fs,
		.path = file_path(d),
		.text = device_pool_encode(&d->pool, d->config.boot_id),
		.change = d->changes};
	loop_job(d->config.loop, save_work, save_done, d->save);
}

static void changed(struct agent_devices *d)
{
	d->changes++;
	loop_timer_start(d->save_timer, 0);
}

static void load(struct agent_devices *d)
{
	CLEANUP(mem_free_ptr) char *path = file_path(d);
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(FILE_SIZE_MAX);
	struct err e = ERR_INIT;
	int r = fs_read(d->config.fs, path, &text, &e);
	if (r == 0)
		r = device_pool_decode(&d->pool, buf_text(&text), text.size, d->config.boot_id, &e);
	if (r < 0 && r != -ERR_NOT_FOUND)
		log_err(d->config.log, LOG_ERROR, "devices_not_read", &e,
			"path=%s action=begin_anew", path);
}

/* ---- what pods want ---- */

static int64_t amount_of(const json_t *container, const char *name)
{
	char key[128];
	int64_t amount = 0;
	snprintf(key, sizeof(key), DEVICE_PREFIX "%s", name);
	const char *text = json_text(container, NULL, "resources", "limits", key);
	return text && quantity_units(text, &amount, NULL) == 0 && amount > 0 ? amount : 0;
}

struct needs {
	VEC(struct device_need) items; /* names are in the tree */
};

static void note_names(struct needs *n, const json_t *containers)
{
	size_t i;
	json_t *container, *amount;
	const char *key;
	json_array_foreach (containers, i, container)
		json_object_foreach (json_at(container, "resources", "limits"), key, amount) {
			bool known = !str_starts(key, DEVICE_PREFIX);
			const char *name = key + strlen(DEVICE_PREFIX);
			VEC_EACH (&n->items, struct device_need, need)
				known = known || str_equal(need->name, name);
			if (!known)
				vec_push(&n->items, (struct device_need){.name = name});
		}
}

/* As the scheduler counts: containers at the same time, init containers one after the other. */
static void gather_needs(struct needs *n, const json_t *tree)
{
	const json_t *init = json_at(tree, "spec", "initContainers");
	const json_t *together = json_at(tree, "spec", "containers");
	size_t i;
	json_t *container;
	note_names(n, init);
	note_names(n, together);
	VEC_EACH (&n->items, struct device_need, need) {
		json_array_foreach (together, i, container)
			need->amount += amount_of(container, need->name);
		json_array_foreach (init, i, container) {
			int64_t amount = amount_of(container, need->name);
			need->amount = amount > need->amount ? amount : need->amount;
		}
	}
}

/* Most pods want none: then nothing is parsed. */
static bool wants_any(const struct object *pod)
{
	return memmem(pod->blob, pod->blob_size, DEVICE_PREFIX, strlen(DEVICE_PREFIX));
}

static int take(struct agent_devices *d, const struct object *pod, struct err *e)
{
	bool news = false;
	struct needs needs = {0};
	CLEANUP(json_done) json_t *tree = object_tree(pod);
	gather_needs(&needs, tree);
	int r = device_pool_take(&d->pool, pod->uid, needs.items.items, needs.items.count, &news,
		e);
	if (news)
		changed(d);
	vec_done(&needs.items);
	return r;
}

/* ---- waiting ---- */

static void on_patience(void *arg)
{
	struct agent_devices *d = arg;
	int64_t now_ms = loop_now_ms(d->config.loop);
	bool may = d->config.may_refuse(d->config.arg);
	int64_t next_ms = PATIENCE_MS;
	MAP_EACH (&d->waiting, entry) {
		const struct waiting *w = entry->value;
		int64_t left_ms = w->since_ms + PATIENCE_MS - now_ms;
		if (left_ms > 0)
			next_ms = left_ms < next_ms ? left_ms : next_ms;
		else if (may) { /* its answer may change the map */
			CLEANUP(mem_free_ptr) char *uid = mem_dup_string(entry->key);
			struct waiting *over = map_take(&d->waiting, uid);
			d->config.on_refused(d->config.arg, uid, over->message);
			waiting_free(over);
		}
	}
	if (d->waiting.count > 0)
		loop_timer_start(d->patience_timer, next_ms);
}

static void note_waiting(struct agent_devices *d, const char *uid, const char *message)
{
	struct waiting *w = map_get(&d->waiting, uid);
	if (!w) {
		w = mem_new(struct waiting);
		w->since_ms = loop_now_ms(d->config.loop);
		map_put(&d->waiting, uid, w);
	}
	if (!str_equal(w->message, message)) {
		free(w->message);
		w->message = mem_dup_string(message);
		d->config.on_waiting(d->config.arg, uid, message);
	}
	if (!loop_timer_active(d->patience_timer))
		loop_timer_start(d->patience_timer, PATIENCE_MS);
}

bool agent_devices_ready(struct agent_devices *d, const struct object *pod)
{
	struct err e = ERR_INIT;
	if (!wants_any(pod))
		return true;
	if (!d->known)
		return false;
	if (take(d, pod, &e) < 0) {
		note_waiting(d, pod->uid, e.text);
		return false;
	}
	(void)map_remove(&d->waiting, pod->uid);
	return d->saved == d->changes;
}

void agent_devices_adopted(struct agent_devices *d, const struct object *pod)
{
	struct err e = ERR_INIT;
	if (!wants_any(pod))
		return;
	if (device_pool_grants(&d->pool, pod->uid)) {
		if (d->known) /* else the first look tells */
			loop_timer_start(d->lost_timer, 0);
		return;
	}
	if (take(d, pod, &e) < 0)
		log_err(d->config.log, LOG_WARN, "device_of_running_pod_unknown", &e,
			"pod=%s/%s uid=%s", pod->namespace, pod->name, pod->uid);
}

void agent_devices_drop(struct agent_devices *d, const char *uid)
{
	(void)map_remove(&d->waiting, uid);
	if (!device_pool_drop(&d->pool, uid))
		return;
	changed(d);
	d->config.on_change(d->config.arg);
}

static bool is_in(const char *const *uids, size_t count, const char *uid)
{
	for (size_t i = 0; i < count; i++)
		if (str_equal(uids[i], uid))
			return true;
	return false;
}

void agent_devices_keep_only(struct agent_devices *d, const char *const *uids, size_t count)
{
	MAP_EACH (&d->pool.pods, entry)
		if (!is_in(uids, count, entry->key)) {
			CLEANUP(mem_free_ptr) char *uid = mem_dup_string(entry->key);
			agent_devices_drop(d, uid);
		}
}

/* ---- looking ---- */

static void look_later(struct agent_devices *d)
{
	bool hears = d->watch && device_watch_hears(d->watch);
	loop_timer_start(d->look_timer, d->look_again ? LOOK_GAP_MS
					: hears       ? LOOK_MS
						      : LOOK_BLIND_MS);
}

/* A folder that was not watched before may have changed since the look. */
static bool watch_folders(struct agent_devices *d)
{
	if (!d->watch)
		return false;
	char **folders = device_folders(d->config.rules, d->config.rule_count, &d->pool.found);
	bool news = device_watch_folders(d->watch, folders);
	device_folders_free(folders);
	return news;
}

static void tell_lost(struct agent_devices *d)
{
	MAP_EACH (&d->pool.pods, entry) {
		const struct device_grant *g = device_pool_lost(&d->pool, entry->key);
		char message[400];
		if (!g)
			continue;
		snprintf(message, sizeof(message),
			"The device %s (" DEVICE_PREFIX "%s, %s %u:%u) is not there any more",
			g->path, g->name, g->node.type == 'c' ? "character" : "block",
			g->node.major, g->node.minor);
		d->lost += d->config.on_lost(d->config.arg, entry->key, message);
	}
}

static void on_lost_timer(void *arg)
{
	tell_lost(arg);
}

static void log_one(struct agent_devices *d, const char *event, const struct device *x)
{
	log_info(d->config.log, event, "device=%s path=%s node=%c:%u:%u",
		d->config.rules[x->rule].name, x->path, x->node.type, x->node.major, x->node.minor);
}

static void log_difference(struct agent_devices *d, const char *event,
	const struct device_list *with, const struct device_list *without)
{
	VEC_EACH (&with->items, const struct device, x) {
		bool found = false;
		VEC_EACH (&without->items, const struct device, y)
			found = found || (x->rule == y->rule && str_equal(x->path, y->path) &&
						 fs_node_equal(&x->node, &y->node));
		if (!found)
			log_one(d, event, x);
	}
}

static void take_list(struct agent_devices *d, struct device_list *list)
{
	bool first = !d->known;
	d->looks++;
	d->known = true;
	if (!first && device_list_equal(list, &d->pool.found))
		return;
	log_difference(d, "device_gone", &d->pool.found, list);
	log_difference(d, "device_there", list, &d->pool.found);
	device_pool_update(&d->pool, list);
	tell_lost(d);
	d->config.on_counts(d->config.arg);
	d->config.on_change(d->config.arg);
}

static void look_work(void *arg)
{
	struct look *l = arg;
	device_scan(l->fs, l->rules, l->rule_count, &l->list);
}

static void look_done(void *arg)
{
	struct look *l = arg;
	struct agent_devices *d = l->devices;
	if (d) {
		d->look = NULL;
		take_list(d, &l->list);
		d->look_again = watch_folders(d) || d->look_again;
		look_later(d);
	}
	device_list_done(&l->list);
	free(l);
}

static void look(struct agent_devices *d)
{
	d->look_again = false;
	d->looked_ms = loop_now_ms(d->config.loop);
	(void)watch_folders(d);
	d->look = mem_new(struct look);
	*d->look = (struct look){.devices = d,
		.fs = d->config.fs,
		.rules = d->config.rules,
		.rule_count = d->config.rule_count};
	loop_job(d->config.loop, look_work, look_done, d->look);
}

static void on_look_timer(void *arg)
{
	struct agent_devices *d = arg;
	if (!d->look)
		look(d);
}

/* At once, unless a look is under way or was just now: then after it. */
static void on_hint(void *arg)
{
	struct agent_devices *d = arg;
	if (!d->look && loop_now_ms(d->config.loop) - d->looked_ms >= LOOK_GAP_MS) {
		look(d);
		return;
	}
	d->look_again = true;
	if (!d->look)
		look_later(d);
}

/* ---- giving ---- */

struct giving {
	const struct agent_devices *d;
	const struct device_grants *grants;
	struct arena *arena;
	VEC(struct driver_device) given;
};

static const struct device_rule *rule_of(const struct agent_devices *d,
	const struct device_grant *g)
{
	const struct device_rule *by_name = NULL;
	VEC_EACH (&d->pool.found.items, const struct device, x)
		if (str_equal(d->config.rules[x->rule].name, g->name) &&
			str_equal(x->path, g->path))
			return &d->config.rules[x->rule];
	for (size_t i = 0; !by_name && i < d->config.rule_count; i++)
		if (str_equal(d->config.rules[i].name, g->name))
			by_name = &d->config.rules[i];
	return by_name;
}

/* nth: among the container's devices of that name. */
static void give_one(struct giving *g, const char *container, const struct device_grant *grant,
	int nth)
{
	const struct device_rule *rule = rule_of(g->d, grant);
	const char *inside = rule ? rule->container_path : NULL;
	const char *permissions = rule ? rule->permissions : NULL;
	struct driver_device given = {.container = arena_dup(g->arena, container),
		.name = arena_format(g->arena, DEVICE_PREFIX "%s", grant->name),
		.path = arena_dup(g->arena, grant->path),
		.container_path = !inside    ? arena_dup(g->arena, grant->path)
				  : nth == 0 ? inside
					     : arena_format(g->arena, "%s%d", inside, nth),
		.permissions = permissions ? permissions : "rw"};
	vec_push(&g->given, given);
}

/* The container's part of the pod's devices of one name: amount of them from the given place on.
 * Two shares of one device are one node. */
static void give_part(struct giving *g, const char *container, const char *name, int64_t from,
	int64_t amount)
{
	int64_t at = 0;
	size_t first = g->given.count;
	VEC_EACH (&g->grants->items, const struct device_grant, grant) {
		bool has = false;
		if (!str_equal(grant->name, name) || at++ < from || at > from + amount)
			continue;
		for (size_t i = first; i < g->given.count; i++)
			has = has || str_equal(g->given.items[i].path, grant->path);
		if (!has)
			give_one(g, container, grant, (int)(g->given.count - first));
	}
}

static void give_all(struct giving *g, const json_t *containers, const char *name, bool init)
{
	size_t i;
	int64_t from = 0;
	json_t *container;
	json_array_foreach (containers, i, container) {
		int64_t amount = amount_of(container, name);
		give_part(g, json_text(container, "", "name"), name, from, amount);
		from += init ? 0 : amount;
	}
}

void agent_devices_give(const struct agent_devices *d, const char *uid, const json_t *tree,
	struct arena *a, struct driver_pod *pod)
{
	struct giving g = {.d = d, .grants = device_pool_grants(&d->pool, uid), .arena = a};
	struct needs needs = {0};
	if (!g.grants)
		return;
	gather_needs(&needs, tree);
	VEC_EACH (&needs.items, struct device_need, need) {
		give_all(&g, json_at(tree, "spec", "initContainers"), need->name, true);
		give_all(&g, json_at(tree, "spec", "containers"), need->name, false);
	}
	struct driver_device *list = arena_new_array(a, g.given.count + 1, struct driver_device);
	for (size_t i = 0; i < g.given.count; i++)
		list[i] = g.given.items[i];
	pod->devices = list;
	pod->device_count = g.given.count;
	vec_done(&g.given);
	vec_done(&needs.items);
}

/* ---- the whole ---- */

struct agent_devices *agent_devices_new(const struct agent_devices_config *config)
{
	struct agent_devices *d = mem_new(struct agent_devices);
	d->config = *config;
	map_init(&d->waiting, waiting_free);
	device_pool_init(&d->pool, config->rules, config->rule_count);
	d->look_timer = loop_timer_new(config->loop, on_look_timer, d);
	d->save_timer = loop_timer_new(config->loop, on_save_timer, d);
	d->lost_timer = loop_timer_new(config->loop, on_lost_timer, d);
	d->patience_timer = loop_timer_new(config->loop, on_patience, d);
	load(d);
	d->known = config->rule_count == 0; /* then there is nothing to look at */
	if (d->known)
		return d;
	if (config->events)
		d->watch = device_watch_new(config->loop, on_hint, d);
	look(d);
	return d;
}

void agent_devices_free(struct agent_devices *d)
{
	if (!d)
		return;
	if (d->look)
		d->look->devices = NULL;
	if (d->save)
		d->save->devices = NULL;
	device_watch_free(d->watch);
	loop_timer_free(d->look_timer);
	loop_timer_free(d->save_timer);
	loop_timer_free(d->patience_timer);
	loop_timer_free(d->lost_timer);
	device_pool_done(&d->pool);
	map_done(&d->waiting);
	free(d);
}

bool agent_devices_known(const struct agent_devices *d)
{
	return d->known;
}

void agent_devices_resources(const struct agent_devices *d, json_t *resources)
{
	for (size_t i = 0; d && i < d->config.rule_count; i++) {
		char key[128], text[32];
		const char *name = d->config.rules[i].name;
		snprintf(key, sizeof(key), DEVICE_PREFIX "%s", name);
		snprintf(text, sizeof(text), "%lld",
			(long long)device_pool_capacity(&d->pool, name));
		json_object_set_new(resources, key, json_string(text));
	}
}

void agent_devices_metrics(const struct agent_devices *d, struct buf *b)
{
	if (d->config.rule_count == 0)
		return;
	buf_printf(b,
		"# TYPE continuo_agent_devices gauge\ncontinuo_agent_devices %zu\n"
		"# TYPE continuo_agent_device_looks_total counter\n"
		"continuo_agent_device_looks_total %lld\n"
		"# TYPE continuo_agent_devices_lost_total counter\n"
		"continuo_agent_devices_lost_total %lld\n",
		d->pool.found.items.count, (long long)d->looks, (long long)d->lost);
}
