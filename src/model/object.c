#include "model/object.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "model/blob.h"
#include "model/model.h"

/* One allocation: this, the labels, the strings, the blob. */
struct object_box {
	atomic_int references;
	struct object object;
};

static struct object_box *box_of(const struct object *o)
{
	return (struct object_box *)(uintptr_t)CONTAINER_OF(o, const struct object_box, object);
}

/* ---- making ---- */

/* What the record needs from the tree; strings are the tree's. */
struct record {
	const char *namespace, *name, *uid, *owner_uid, *node, *phase, *generate_name;
	const json_t *labels;
	size_t string_bytes;
};

static const char *text_of(struct record *r, const json_t *json)
{
	const char *text = json_text_or(json, "");
	r->string_bytes += strlen(text) + 1;
	return text;
}

static const json_t *controller_uid(const json_t *metadata)
{
	size_t i;
	json_t *owner;
	json_array_foreach (json_object_get(metadata, "ownerReferences"), i, owner) {
		if (json_bool(owner, false, "controller"))
			return json_object_get(owner, "uid");
	}
	return NULL;
}

static void read_record(const struct kind *kind, const json_t *json, struct record *r)
{
	const json_t *metadata = json_object_get(json, "metadata");
	r->namespace = text_of(r, kind->namespaced ? json_object_get(metadata, "namespace") : NULL);
	r->name = text_of(r, json_object_get(metadata, "name"));
	r->uid = text_of(r, json_object_get(metadata, "uid"));
	r->owner_uid = text_of(r, controller_uid(metadata));
	r->node = text_of(r, kind == &kind_pod ? json_at(json, "spec", "nodeName") : NULL);
	r->phase = text_of(r, json_at(json, "status", "phase"));
	r->generate_name = text_of(r, json_object_get(metadata, "generateName"));
	r->labels = json_object_get(metadata, "labels");
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)r->labels, key, value) {
		r->string_bytes += strlen(key) + 1;
		text_of(r, value);
	}
}

static const char *put_string(char **at, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = memcpy(*at, text, size);
	*at += size;
	return copy;
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

static void put_labels(struct object *o, struct label *labels, const json_t *tree, char **at)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)tree, key, value) {
		struct label *l = &labels[o->label_count++];
		l->key = put_string(at, key);
		l->value = put_string(at, json_text_or(value, ""));
	}
	qsort(labels, o->label_count, sizeof(*labels), compare_labels);
	o->labels = labels;
}

static int64_t time_of(const json_t *json)
{
	int64_t wall_ms = 0;
	if (!json_is_string(json) || time_parse(json_string_value(json), &wall_ms, NULL) < 0)
		return 0;
	return wall_ms;
}

static bool is_ready(const json_t *json)
{
	size_t i;
	json_t *condition;
	json_array_foreach (json_at(json, "status", "conditions"), i, condition) {
		if (str_equal(json_text(condition, "", "type"), "Ready"))
			return str_equal(json_text(condition, "", "status"), "True");
	}
	return false;
}

static void put_numbers(struct object *o, const json_t *json)
{
	const json_t *metadata = json_object_get(json, "metadata");
	o->generation = json_int(metadata, 0, "generation");
	o->created_ms = time_of(json_object_get(metadata, "creationTimestamp"));
	o->deletion_ms = time_of(json_object_get(metadata, "deletionTimestamp"));
	o->has_finalizers = json_array_size(json_object_get(metadata, "finalizers")) > 0;
	if (o->kind == &kind_pod || o->kind == &kind_node)
		o->ready = is_ready(json);
	if (o->kind == &kind_pod) {
		o->cpu_milli = model_pod_request(json, "cpu");
		o->memory_bytes = model_pod_request(json, "memory");
	}
}

static struct object *build(const struct kind *kind, const json_t *json, const struct buf *blob,
	size_t revision_offset)
{
	struct record r = {0};
	read_record(kind, json, &r);
	size_t label_bytes = json_object_size(r.labels) * sizeof(struct label);
	struct object_box *box =
		mem_alloc(sizeof(*box) + label_bytes + r.string_bytes + blob->size + 1);
	struct object *o = &box->object;
	atomic_init(&box->references, 1);
	o->kind = kind;
	struct label *labels = (struct label *)(void *)(box + 1);
	char *at = (char *)(box + 1) + label_bytes;
	put_labels(o, labels, r.labels, &at);
	o->namespace = put_string(&at, r.namespace);
	o->name = put_string(&at, r.name);
	o->uid = put_string(&at, r.uid);
	o->owner_uid = put_string(&at, r.owner_uid);
	o->node = put_string(&at, r.node);
	o->phase = put_string(&at, r.phase);
	o->generate_name = put_string(&at, r.generate_name);
	o->blob = memcpy(at, blob->data, blob->size + 1);
	o->blob_size = blob->size;
	o->revision_offset = revision_offset;
	put_numbers(o, json);
	return o;
}

int object_from_json(const struct kind *kind, const json_t *json, struct object **ret_object,
	struct err *e)
{
	const char *name = json_text(json, "", "metadata", "name");
	if (!*name)
		return err_set(e, ERR_INVALID,
			"%s is invalid: metadata.name: Required value: name or generateName is "
			"required",
			kind->name);
	if (kind->namespaced && str_empty(json_text(json, "", "metadata", "namespace")))
		return err_set(e, ERR_INVALID,
			"%s \"%.80s\" is invalid: metadata.namespace: Required value", kind->name,
			name);
	CLEANUP(buf_done)
	struct buf blob = BUF_INIT_LIMIT(OBJECT_SIZE_MAX);
	size_t revision_offset = 0;
	blob_write(kind, json, &blob, &revision_offset);
	if (blob.failed)
		return err_set(e, ERR_TOO_LARGE,
			"%s \"%.80s\" is too large: at most %zu bytes are stored", kind->name, name,
			OBJECT_SIZE_MAX);
	*ret_object = build(kind, json, &blob, revision_offset);
	return 0;
}

int object_from_blob(const struct kind *kind, const char *blob, size_t size, int64_t revision,
	int64_t create_revision, struct object **ret_object, struct err *e)
{
	CLEANUP(json_done)
	json_t *json = NULL;
	struct err cause = ERR_INIT;
	struct object *o = NULL;
	if (json_decode(blob, size, &json, &cause) < 0 ||
		object_from_json(kind, json, &o, &cause) < 0)
		return err_set(e, ERR_CORRUPT, "stored %s: %s", kind->name, cause.text);
	object_stamp(o, revision, create_revision);
	*ret_object = o;
	return 0;
}

/* ---- references ---- */

struct object *object_ref(const struct object *o)
{
	atomic_fetch_add_explicit(&box_of(o)->references, 1, memory_order_relaxed);
	return &box_of(o)->object;
}

void object_unref(const struct object *o)
{
	if (!o)
		return;
	struct object_box *box = box_of(o);
	if (atomic_fetch_sub_explicit(&box->references, 1, memory_order_acq_rel) == 1)
		free(box);
}

void object_done(struct object **o)
{
	object_unref(*o);
	*o = NULL;
}

void object_stamp(struct object *o, int64_t revision, int64_t create_revision)
{
	o->revision = revision;
	o->create_revision = create_revision;
}

/* ---- reading ---- */

void object_write(const struct object *o, struct buf *b)
{
	if (!o->revision) {
		buf_append(b, o->blob, o->blob_size);
		return;
	}
	buf_append(b, o->blob, o->revision_offset);
	buf_printf(b, "\"resourceVersion\":\"%lld\",", (long long)o->revision);
	buf_append(b, o->blob + o->revision_offset, o->blob_size - o->revision_offset);
}

json_t *object_tree(const struct object *o)
{
	json_t *json = NULL;
	if (json_decode(o->blob, o->blob_size, &json, NULL) < 0)
		abort();
	if (o->revision) {
		char text[24];
		snprintf(text, sizeof(text), "%lld", (long long)o->revision);
		json_object_set_new(json_object_get(json, "metadata"), "resourceVersion",
			json_string(text));
	}
	return json;
}

const char *object_label(const struct object *o, const char *key)
{
	struct label wanted = {.key = key};
	const struct label *l = o->label_count ? bsearch(&wanted, o->labels, o->label_count,
							 sizeof(wanted), compare_labels)
					       : NULL;
	return l ? l->value : NULL;
}

/* ---- keys ---- */

static const char *group_of(const struct kind *k)
{
	return *k->group ? k->group : "core";
}

void object_key(const struct object *o, char ret_key[static OBJECT_KEY_MAX])
{
	if (object_key_of(o->kind, o->namespace, o->name, ret_key, NULL) < 0)
		ret_key[0] = '\0';
}

int object_key_of(const struct kind *k, const char *namespace, const char *name,
	char ret_key[static OBJECT_KEY_MAX], struct err *e)
{
	int size = snprintf(ret_key, OBJECT_KEY_MAX, "%s/%s/%s/%s", group_of(k), k->plural,
		k->namespaced && namespace ? namespace : "", name);
	if (size >= OBJECT_KEY_MAX)
		return err_set(e, ERR_INVALID, "the name \"%.60s...\" is too long", name);
	return 0;
}

void object_prefix(const struct kind *k, const char *namespace,
	char ret_prefix[static OBJECT_KEY_MAX])
{
	bool one = k->namespaced && !str_empty(namespace);
	snprintf(ret_prefix, OBJECT_KEY_MAX, "%s/%s/%.260s%s", group_of(k), k->plural,
		one ? namespace : "", one ? "/" : "");
}
