/* Who has which device. Pure. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "device/device.h"

#define POOL_VERSION 1

static void grant_done(struct device_grant *g)
{
	free(g->name);
	free(g->path);
}

static void grants_free(void *value)
{
	struct device_grants *grants = value;
	VEC_EACH (&grants->items, struct device_grant, g)
		grant_done(g);
	vec_done(&grants->items);
	free(grants);
}

void device_pool_init(struct device_pool *p, const struct device_rule *rules, size_t count)
{
	*p = (struct device_pool){.rules = rules, .rule_count = count};
	map_init(&p->pods, grants_free);
}

void device_pool_done(struct device_pool *p)
{
	device_list_done(&p->found);
	map_done(&p->pods);
}

void device_pool_update(struct device_pool *p, struct device_list *found)
{
	device_list_done(&p->found);
	p->found = *found;
	*found = (struct device_list){0};
}

static int64_t share_count(const struct device_pool *p, const struct device *d)
{
	int64_t count = p->rules[d->rule].count;
	return count ? count : 1;
}

int64_t device_pool_capacity(const struct device_pool *p, const char *name)
{
	int64_t total = 0;
	VEC_EACH (&p->found.items, struct device, d)
		if (str_equal(p->rules[d->rule].name, name))
			total += share_count(p, d);
	return total;
}

/* ---- grants and devices ---- */

static bool is_of(const struct device_pool *p, const struct device_grant *g, bool old,
	const struct device *d)
{
	return str_equal(g->name, p->rules[d->rule].name) && str_equal(g->path, d->path) &&
	       (old || fs_node_equal(&g->node, &d->node));
}

static const struct device *device_of(const struct device_pool *p, const struct device_grant *g,
	bool old)
{
	VEC_EACH (&p->found.items, struct device, d)
		if (is_of(p, g, old, d))
			return d;
	return NULL;
}

static int64_t uses_by(const struct device_pool *p, const struct device_grants *grants,
	const struct device *d)
{
	int64_t uses = 0;
	for (size_t i = 0; grants && i < grants->items.count; i++)
		uses += is_of(p, &grants->items.items[i], grants->old, d);
	return uses;
}

static int64_t uses_of(const struct device_pool *p, const struct device *d)
{
	int64_t uses = 0;
	MAP_EACH (&p->pods, entry)
		uses += uses_by(p, entry->value, d);
	return uses;
}

/* The best free share for a pod: of a device that it does not have, then of the one that the
 * fewest have. Null: none is free. */
static const struct device *choose(const struct device_pool *p, const struct device_grants *grants,
	const char *name)
{
	const struct device *best = NULL;
	int64_t best_own = 0, best_all = 0;
	VEC_EACH (&p->found.items, struct device, d) {
		if (!str_equal(p->rules[d->rule].name, name))
			continue;
		int64_t own = uses_by(p, grants, d), all = uses_of(p, d);
		if (all >= share_count(p, d) ||
			(best && (own > best_own || (own == best_own && all >= best_all))))
			continue;
		best = d;
		best_own = own;
		best_all = all;
	}
	return best;
}

/* ---- taking ---- */

/* What is still there of what an earlier boot gave gets today's numbers; what is not, goes. */
static void renew(const struct device_pool *p, struct device_grants *grants, bool *ret_changed)
{
	for (size_t i = 0; i < grants->items.count;) {
		struct device_grant *g = &grants->items.items[i];
		const struct device *d = device_of(p, g, grants->old);
		if (d) {
			*ret_changed = *ret_changed || grants->old;
			g->node = d->node;
			i++;
			continue;
		}
		*ret_changed = true;
		grant_done(g);
		vec_remove(&grants->items, i);
	}
	grants->old = false;
}

static int64_t count_of(const struct device_grants *grants, const char *name)
{
	int64_t count = 0;
	VEC_EACH (&grants->items, const struct device_grant, g)
		count += str_equal(g->name, name);
	return count;
}

static struct device_grants *copy_grants(const struct device_grants *from)
{
	struct device_grants *to = mem_new(struct device_grants);
	if (!from)
		return to;
	to->old = from->old;
	VEC_EACH (&from->items, const struct device_grant, g)
		*vec_add(&to->items) = (struct device_grant){.name = mem_dup_string(g->name),
			.path = mem_dup_string(g->path),
			.node = g->node};
	return to;
}

static int fill(struct device_pool *p, struct device_grants *grants, const struct device_need *need,
	bool *ret_changed, struct err *e)
{
	while (count_of(grants, need->name) < need->amount) {
		const struct device *d = choose(p, grants, need->name);
		if (!d)
			return err_set(e, ERR_NOT_FOUND,
				"%lld of " DEVICE_PREFIX
				"%s wanted, but only %lld of the %lld here are free",
				(long long)need->amount, need->name,
				(long long)count_of(grants, need->name),
				(long long)device_pool_capacity(p, need->name));
		*vec_add(&grants->items) = (struct device_grant){.name = mem_dup_string(need->name),
			.path = mem_dup_string(d->path),
			.node = d->node};
		*ret_changed = true;
	}
	return 0;
}

int device_pool_take(struct device_pool *p, const char *uid, const struct device_need *needs,
	size_t count, bool *ret_changed, struct err *e)
{
	bool changed = false;
	struct device_grants *before = map_take(&p->pods, uid);
	struct device_grants *grants = copy_grants(before);
	map_put(&p->pods, uid, grants); /* in the pool, so that what it gets counts as used */
	renew(p, grants, &changed);
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = fill(p, grants, &needs[i], &changed, e);
	*ret_changed = r == 0 && changed;
	if (r < 0 || grants->items.count == 0)
		(void)map_remove(&p->pods, uid);
	if (r < 0 && before)
		map_put(&p->pods, uid, take_ptr(before));
	if (before)
		grants_free(before);
	return r;
}

const struct device_grants *device_pool_grants(const struct device_pool *p, const char *uid)
{
	return map_get(&p->pods, uid);
}

const struct device_grant *device_pool_lost(const struct device_pool *p, const char *uid)
{
	const struct device_grants *grants = map_get(&p->pods, uid);
	for (size_t i = 0; grants && !grants->old && i < grants->items.count; i++)
		if (!device_of(p, &grants->items.items[i], false))
			return &grants->items.items[i];
	return NULL;
}

bool device_pool_drop(struct device_pool *p, const char *uid)
{
	return map_remove(&p->pods, uid);
}

/* ---- as text ---- */

char *device_pool_encode(const struct device_pool *p, const char *boot_id)
{
	json_t *pods = json_object();
	MAP_EACH (&p->pods, entry) {
		const struct device_grants *grants = entry->value;
		json_t *list = json_array();
		VEC_EACH (&grants->items, const struct device_grant, g) {
			const char type[2] = {g->node.type, '\0'};
			json_array_append_new(list,
				json_pack("{s:s, s:s, s:s, s:i, s:i}", "name", g->name, "path",
					g->path, "type", type, "major", (int)g->node.major, "minor",
					(int)g->node.minor));
		}
		json_object_set_new(pods, entry->key,
			json_pack("{s:b, s:o}", "old", grants->old, "devices", list));
	}
	json_t *all CLEANUP(json_done) = json_pack("{s:i, s:s, s:o}", "version", POOL_VERSION,
		"boot", boot_id, "pods", pods);
	return json_encode_string(all);
}

static bool decode_pod(struct device_pool *p, const char *uid, const json_t *pod, bool old)
{
	size_t i;
	json_t *item;
	struct device_grants *grants = mem_new(struct device_grants);
	map_put(&p->pods, uid, grants);
	grants->old = old || json_bool(pod, false, "old");
	json_array_foreach (json_at(pod, "devices"), i, item) {
		const char *name = json_text(item, NULL, "name");
		const char *path = json_text(item, NULL, "path");
		const char *type = json_text(item, "", "type");
		if (!name || !path || (!str_equal(type, "c") && !str_equal(type, "b")))
			return false;
		*vec_add(&grants->items) = (struct device_grant){.name = mem_dup_string(name),
			.path = mem_dup_string(path),
			.node = {.type = type[0],
				.major = (unsigned)json_int(item, 0, "major"),
				.minor = (unsigned)json_int(item, 0, "minor")}};
	}
	return true;
}

int device_pool_decode(struct device_pool *p, const char *text, size_t size, const char *boot_id,
	struct err *e)
{
	json_t *all CLEANUP(json_done) = NULL, *pod;
	const char *uid;
	int r = json_decode(text, size, &all, e);
	if (r < 0 || json_int(all, 0, "version") != POOL_VERSION)
		return err_set(e, ERR_CORRUPT, "not a table of devices and pods of this version");
	bool old = !str_equal(json_text(all, "", "boot"), boot_id);
	json_object_foreach (json_at(all, "pods"), uid, pod)
		if (!decode_pod(p, uid, pod, old)) {
			map_done(&p->pods);
			map_init(&p->pods, grants_free);
			return err_set(e, ERR_CORRUPT, "a device of pod %s is none", uid);
		}
	return 0;
}
