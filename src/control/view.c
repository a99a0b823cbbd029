#include "control/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define OWNERS_MAX 8 /* owners of one object that the index knows */
#define PLACES_MAX (OWNERS_MAX + 4)

struct bucket;

struct place_in_bucket {
	struct bucket *bucket;
	size_t index;
};

struct entry {
	struct object *object; /* null: deleted */
	int64_t revision;
	size_t place_count;
	struct place_in_bucket places[PLACES_MAX];
};

struct bucket {
	char *name; /* its key in view.buckets */
	VEC(struct entry *) entries;
};

struct control_view {
	const struct kind_registry *kinds;
	struct map entries; /* key -> entry */
	struct map buckets; /* "k…": a kind, "o…": an owner, "n…": a node, "u…": a uid */
	struct arena lists;
	size_t count;
	struct control_node_state (*node_state)(void *context, const char *node);
	void *context;
	bool (*lease_over)(void *context, const char *node, const char *pod_uid, bool end);
	void *lease_context;
};

static void free_entry(void *value)
{
	struct entry *x = value;
	object_unref(x->object);
	free(x);
}

static void free_bucket(void *value)
{
	struct bucket *b = value;
	vec_done(&b->entries);
	free(b->name);
	free(b);
}

struct control_view *view_new(const struct kind_registry *kinds)
{
	struct control_view *v = mem_new(struct control_view);
	v->kinds = kinds;
	map_init(&v->entries, free_entry);
	map_init(&v->buckets, free_bucket);
	return v;
}

void view_free(struct control_view *v)
{
	if (!v)
		return;
	map_done(&v->entries);
	map_done(&v->buckets);
	arena_done(&v->lists);
	free(v);
}

void view_end_step(struct control_view *v)
{
	arena_done(&v->lists);
}

size_t view_count(const struct control_view *v)
{
	return v->count;
}

/* ---- the indexes ---- */

static void bucket_name(char ret_name[static OBJECT_KEY_MAX], char tag, const char *first,
	const char *second)
{
	snprintf(ret_name, OBJECT_KEY_MAX, "%c%s/%s", tag, first, second);
}

static void kind_bucket(char ret_name[static OBJECT_KEY_MAX], const struct kind *k)
{
	bucket_name(ret_name, 'k', k->group, k->plural);
}

static void namespace_bucket(char ret_name[static OBJECT_KEY_MAX], const struct kind *k,
	const char *namespace)
{
	snprintf(ret_name, OBJECT_KEY_MAX, "k%s/%s/%s", k->group, k->plural, namespace);
}

static void put_in(struct control_view *v, struct entry *x, const char *name)
{
	struct bucket *b = map_get(&v->buckets, name);
	if (!b) {
		b = mem_new(struct bucket);
		b->name = mem_dup_string(name);
		map_put(&v->buckets, name, b);
	}
	x->places[x->place_count++] = (struct place_in_bucket){b, b->entries.count};
	vec_push(&b->entries, x);
}

static void take_out(struct control_view *v, struct entry *x)
{
	for (size_t i = 0; i < x->place_count; i++) {
		struct bucket *b = x->places[i].bucket;
		size_t index = x->places[i].index;
		struct entry *last = b->entries.items[--b->entries.count];
		b->entries.items[index] = last;
		for (size_t k = 0; k < last->place_count; k++)
			if (last->places[k].bucket == b)
				last->places[k].index = index;
		if (b->entries.count == 0)
			map_remove(&v->buckets, b->name);
	}
	x->place_count = 0;
}

/* Owners that are not the controller stand in the blob only. */
static void put_under_owners(struct control_view *v, struct entry *x)
{
	const struct object *o = x->object;
	char name[OBJECT_KEY_MAX];
	if (o->owner_uid[0]) {
		bucket_name(name, 'o', o->owner_uid, "");
		put_in(v, x, name);
		return;
	}
	if (o->kind == &kind_pod) {
		bucket_name(name, 'o', "", "");
		put_in(v, x, name);
	}
	if (!strstr(o->blob, "\"ownerReferences\""))
		return;
	CLEANUP(json_done) json_t *tree = object_tree(o);
	const json_t *owners = json_at(tree, "metadata", "ownerReferences");
	for (size_t i = 0; i < json_array_size(owners) && i < OWNERS_MAX; i++) {
		const char *uid = json_text(json_array_get(owners, i), "", "uid");
		bool twice = false;
		bucket_name(name, 'o', uid, "");
		for (size_t k = 0; k < x->place_count; k++)
			twice = twice || strcmp(x->places[k].bucket->name, name) == 0;
		if (!twice)
			put_in(v, x, name);
	}
}

static void index_entry(struct control_view *v, struct entry *x)
{
	const struct object *o = x->object;
	char name[OBJECT_KEY_MAX];
	kind_bucket(name, o->kind);
	put_in(v, x, name);
	if (o->kind->namespaced) {
		namespace_bucket(name, o->kind, o->namespace);
		put_in(v, x, name);
	}
	if (o->node[0]) {
		bucket_name(name, 'n', o->node, "");
		put_in(v, x, name);
	}
	if (o->uid[0]) {
		bucket_name(name, 'u', o->uid, "");
		put_in(v, x, name);
	}
	put_under_owners(v, x);
}

/* ---- changes ---- */

bool view_apply(struct control_view *v, const char *key, const struct object *object,
	int64_t revision, struct object **ret_previous)
{
	struct entry *x = map_get(&v->entries, key);
	if (x && x->revision >= revision)
		return false;
	if (!x && !object)
		return false;
	if (!x) {
		x = mem_new(struct entry);
		map_put(&v->entries, key, x);
	}
	struct object *previous = x->object;
	take_out(v, x);
	x->object = object ? object_ref(object) : NULL;
	x->revision = revision;
	if (object)
		index_entry(v, x);
	v->count += (size_t)(object != NULL) - (size_t)(previous != NULL);
	*ret_previous = previous;
	return object || previous;
}

void view_delivered(struct control_view *v, const char *key, int64_t revision)
{
	struct entry *x = map_get(&v->entries, key);
	if (x && !x->object && x->revision <= revision)
		map_remove(&v->entries, key);
}

/* ---- reading ---- */

const struct object *view_get_key(struct control_view *v, const char *key)
{
	const struct entry *x = map_get(&v->entries, key);
	return x ? x->object : NULL;
}

const struct object *view_get(struct control_view *v, const struct kind *k, const char *namespace,
	const char *name)
{
	char key[OBJECT_KEY_MAX];
	if (object_key_of(k, namespace, name, key, NULL) != 0)
		return NULL;
	return view_get_key(v, key);
}

static int compare_names(const void *a, const void *b)
{
	const struct object *x = *(const struct object *const *)a;
	const struct object *y = *(const struct object *const *)b;
	int order = strcmp(x->namespace, y->namespace);
	return order ? order : strcmp(x->name, y->name);
}

static struct view_list list_bucket(struct control_view *v, const char *name,
	const struct kind *kind)
{
	struct view_list list = {0};
	const struct bucket *b = map_get(&v->buckets, name);
	if (!b)
		return list;
	list.objects = arena_new_array(&v->lists, b->entries.count, const struct object *);
	for (size_t i = 0; i < b->entries.count; i++) {
		const struct object *o = b->entries.items[i]->object;
		if (!kind || o->kind == kind)
			list.objects[list.count++] = o;
	}
	qsort(list.objects, list.count, sizeof(*list.objects), compare_names);
	return list;
}

struct view_list view_list(struct control_view *v, const struct kind *k, const char *namespace)
{
	char name[OBJECT_KEY_MAX];
	if (k->namespaced && !str_empty(namespace))
		namespace_bucket(name, k, namespace);
	else
		kind_bucket(name, k);
	return list_bucket(v, name, k);
}

struct view_list view_owned(struct control_view *v, const struct kind *k, const char *owner_uid)
{
	char name[OBJECT_KEY_MAX];
	bucket_name(name, 'o', owner_uid, "");
	return list_bucket(v, name, k);
}

struct view_list view_on_node(struct control_view *v, const char *node)
{
	char name[OBJECT_KEY_MAX];
	bucket_name(name, 'n', node, "");
	return list_bucket(v, name, &kind_pod);
}

const struct object *view_get_uid(struct control_view *v, const char *uid)
{
	char name[OBJECT_KEY_MAX];
	bucket_name(name, 'u', uid, "");
	const struct bucket *b = map_get(&v->buckets, name);
	return b ? b->entries.items[0]->object : NULL;
}

void view_set_node_state(struct control_view *v,
	struct control_node_state (*node_state)(void *context, const char *node), void *context)
{
	v->node_state = node_state;
	v->context = context;
}

struct control_node_state view_node_state(struct control_view *v, const char *node)
{
	return v->node_state ? v->node_state(v->context, node)
			     : (struct control_node_state){.connected = true};
}

const struct kind *view_next_kind(const struct control_view *v, size_t *position)
{
	return kind_next(v->kinds, position);
}

void view_set_lease_over(struct control_view *v,
	bool (*lease_over)(void *context, const char *node, const char *pod_uid, bool end),
	void *context)
{
	v->lease_over = lease_over;
	v->lease_context = context;
}

bool view_lease_over(struct control_view *v, const char *node, const char *pod_uid, bool end)
{
	return v->lease_over && v->lease_over(v->lease_context, node, pod_uid, end);
}
