#include "server/slice.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct slice_item {
	char uid[40];
	int64_t revision;
	uint64_t hash;     /* of all but the status; 0: not known */
	bool wanted;       /* mark and sweep of one update */
	VEC(char *) names; /* pods: keys of the ConfigMaps and Secrets that it names */
};

static void item_free(void *value)
{
	struct slice_item *item = value;
	VEC_EACH (&item->names, char *, name)
		free(*name);
	vec_done(&item->names);
	free(item);
}

void slice_init(struct slice *s, struct server *server)
{
	s->server = server;
	map_init(&s->held, item_free);
	map_init(&s->namespaces, NULL);
}

void slice_done(struct slice *s)
{
	map_done(&s->held);
	map_done(&s->namespaces);
}

static struct slice_item *item_of(struct slice *s, const char *key)
{
	struct slice_item *item = map_get(&s->held, key);
	if (!item)
		map_put(&s->held, key, item = mem_new(struct slice_item));
	return item;
}

int64_t slice_held_revision(const void *held)
{
	return ((const struct slice_item *)held)->revision;
}

void slice_add_held(struct slice *s, const char *key, const char *uid, int64_t revision)
{
	struct slice_item *item = item_of(s, key);
	snprintf(item->uid, sizeof(item->uid), "%.39s", uid);
	item->revision = revision;
}

/* ---- what an agent acts on: everything before the status, which it wrote itself ---- */

/* The length of the blob up to the key "status" of the outermost object (in schema order it comes
 * last). */
static size_t size_without_status(const struct object *o)
{
	int depth = 0;
	for (size_t i = 0; i < o->blob_size; i++) {
		char c = o->blob[i];
		if (c == '"') {
			if (depth == 1 && o->blob_size - i > 9 &&
				memcmp(o->blob + i, "\"status\":", 9) == 0)
				return i;
			for (i++; i < o->blob_size && o->blob[i] != '"'; i++)
				if (o->blob[i] == '\\')
					i++;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return o->blob_size;
}

/* FNV-1a (Fowler, Noll, Vo): guards against sending again, not against forgery. */
static uint64_t hash_of(const struct object *o)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	size_t size = size_without_status(o);
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)o->blob[i]) * 0x100000001b3ULL;
	return hash ? hash : 1;
}

static void write_put(const struct object *o, struct buf *out)
{
	buf_append_string(out, "{\"type\":\"put\",\"object\":");
	object_write(o, out);
	buf_append_string(out, "}\n");
}

/* Marks an object as wanted and sends it when the agent lacks this state. Tells whether it was
 * sent. */
static bool want(struct slice *s, const char *key, const struct object *o, struct buf *out)
{
	struct slice_item *item = item_of(s, key);
	item->wanted = true;
	bool same_uid = strcmp(item->uid, o->uid) == 0;
	if (same_uid && item->revision == o->revision && item->hash)
		return false;
	uint64_t hash = hash_of(o);
	bool same = same_uid && (item->revision == o->revision || item->hash == hash);
	snprintf(item->uid, sizeof(item->uid), "%.39s", o->uid);
	item->revision = o->revision;
	item->hash = hash;
	if (!same)
		write_put(o, out);
	return !same;
}

/* ---- what a pod names ---- */

static void add_name(struct slice_item *item, const struct object *pod, const struct kind *k,
	const json_t *name)
{
	char key[OBJECT_KEY_MAX];
	if (!json_is_string(name) ||
		object_key_of(k, pod->namespace, json_string_value(name), key, NULL) < 0)
		return;
	VEC_EACH (&item->names, char *, known)
		if (strcmp(*known, key) == 0)
			return;
	vec_push(&item->names, mem_dup_string(key));
}

static void add_names_of_containers(struct slice_item *item, const struct object *pod,
	const json_t *containers)
{
	size_t i, j;
	json_t *container, *env;
	json_array_foreach (containers, i, container) {
		json_array_foreach (json_object_get(container, "env"), j, env) {
			add_name(item, pod, &kind_configmap,
				json_at(env, "valueFrom", "configMapKeyRef", "name"));
			add_name(item, pod, &kind_secret,
				json_at(env, "valueFrom", "secretKeyRef", "name"));
		}
		json_array_foreach (json_object_get(container, "envFrom"), j, env) {
			add_name(item, pod, &kind_configmap, json_at(env, "configMapRef", "name"));
			add_name(item, pod, &kind_secret, json_at(env, "secretRef", "name"));
		}
	}
}

static void add_names_of_volumes(struct slice_item *item, const struct object *pod,
	const json_t *spec)
{
	size_t i, j;
	json_t *volume, *source;
	json_array_foreach (json_object_get(spec, "volumes"), i, volume) {
		add_name(item, pod, &kind_configmap, json_at(volume, "configMap", "name"));
		add_name(item, pod, &kind_secret, json_at(volume, "secret", "secretName"));
		json_array_foreach (json_at(volume, "projected", "sources"), j, source) {
			add_name(item, pod, &kind_configmap, json_at(source, "configMap", "name"));
			add_name(item, pod, &kind_secret, json_at(source, "secret", "name"));
		}
	}
}

static void read_names(struct slice_item *item, const struct object *pod)
{
	VEC_EACH (&item->names, char *, name)
		free(*name);
	vec_done(&item->names);
	CLEANUP(json_done) json_t *tree = object_tree(pod);
	const json_t *spec = json_object_get(tree, "spec");
	add_names_of_containers(item, pod, json_object_get(spec, "initContainers"));
	add_names_of_containers(item, pod, json_object_get(spec, "containers"));
	add_names_of_volumes(item, pod, spec);
	size_t i;
	json_t *secret;
	json_array_foreach (json_object_get(spec, "imagePullSecrets"), i, secret)
		add_name(item, pod, &kind_secret, json_object_get(secret, "name"));
}

/* ---- the update ---- */

static void want_key(struct slice *s, const char *key, struct buf *out)
{
	CLEANUP(object_done) struct object *o = store_get(s->server->store, key);
	if (o)
		want(s, key, o, out);
}

static void want_prefix(struct slice *s, const struct kind *k, const char *namespace,
	struct buf *out)
{
	char prefix[OBJECT_KEY_MAX], key[OBJECT_KEY_MAX];
	object_prefix(k, namespace, prefix);
	struct store_list list;
	if (store_list(s->server->store, prefix, NULL, 0, 0, &list, NULL) < 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		object_key(list.objects[i], key);
		want(s, key, list.objects[i], out);
	}
	store_list_done(&list);
}

/* What a pod needs goes ahead of the pod. */
static void want_pod(struct slice *s, const char *key, struct buf *out)
{
	CLEANUP(object_done) struct object *pod = store_get(s->server->store, key);
	if (!pod)
		return;
	map_put(&s->namespaces, pod->namespace, "");
	struct buf put = BUF_INIT;
	struct slice_item *before = map_get(&s->held, key);
	bool unread = !before || !before->hash;
	bool sent = want(s, key, pod, &put);
	struct slice_item *item = item_of(s, key);
	if (sent || unread)
		read_names(item, pod);
	for (size_t i = 0; i < item->names.count; i++)
		want_key(s, item->names.items[i], out);
	buf_append(out, put.data, put.size);
	buf_done(&put);
}

static void want_namespaces(struct slice *s, struct buf *out)
{
	MAP_EACH (&s->namespaces, e) {
		char key[OBJECT_KEY_MAX];
		if (object_key_of(&kind_namespace, "", e->key, key, NULL) == 0)
			want_key(s, key, out);
		want_prefix(s, &kind_service, e->key, out);
		want_prefix(s, &kind_endpointslice, e->key, out);
	}
}

static void sweep(struct slice *s, struct buf *out)
{
	MAP_EACH (&s->held, e) {
		struct slice_item *item = e->value;
		if (item->wanted) {
			item->wanted = false;
			continue;
		}
		buf_append_string(out, "{\"type\":\"delete\",\"key\":");
		json_write_string(out, e->key);
		buf_printf(out, ",\"uid\":\"%s\"}\n", item->uid);
		char key[OBJECT_KEY_MAX];
		if (str_copy(key, sizeof(key), e->key))
			map_remove(&s->held, key);
	}
}

void slice_update(struct slice *s, const struct map *pod_keys, struct buf *out)
{
	struct buf pods = BUF_INIT;
	map_done(&s->namespaces);
	if (pod_keys)
		MAP_EACH (pod_keys, e)
			want_pod(s, e->key, &pods);
	want_namespaces(s, out);
	buf_append(out, pods.data, pods.size);
	buf_done(&pods);
	sweep(s, out);
}

bool slice_concerns(const struct slice *s, const struct store_event *event)
{
	const struct kind *k = event->object->kind;
	if (k == &kind_service || k == &kind_endpointslice)
		return map_has(&s->namespaces, event->object->namespace);
	if (k == &kind_namespace)
		return map_has(&s->namespaces, event->object->name);
	if (k == &kind_configmap || k == &kind_secret)
		/* One that a pod waits for is not held yet, so its namespace decides. */
		return map_has(&s->namespaces, event->object->namespace);
	return false;
}

bool slice_has(const struct slice *s, const char *key)
{
	return map_has(&s->held, key);
}
