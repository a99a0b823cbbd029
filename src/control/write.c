#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "control/runtime.h"

void control_stamp(struct control *c, json_t *tree, int64_t wall_ms)
{
	unsigned char bytes[16];
	loop_random_bytes(c->config.loop, bytes, sizeof(bytes));
	model_stamp_new(tree, bytes, wall_ms);
}

static bool has_finalizers(const json_t *tree)
{
	return json_array_size(json_at(tree, "metadata", "finalizers")) > 0 ||
	       json_array_size(json_at(tree, "spec", "finalizers")) > 0;
}

/* Being deleted, and the last finalizer has just gone. */
static bool is_finished(const struct object *base, const json_t *tree)
{
	return base->deletion_ms && !has_finalizers(tree) &&
	       json_int(tree, 0, "metadata", "deletionGracePeriodSeconds") == 0;
}

static int64_t grace_s(const struct object *o, const json_t *tree)
{
	bool over = str_equal(o->phase, "Succeeded") || str_equal(o->phase, "Failed");
	if (o->kind != &kind_pod || !o->node[0] || over)
		return 0;
	return json_int(tree, 30, "spec", "terminationGracePeriodSeconds");
}

/* Marks for deletion; returns whether the object can go at once. */
static bool mark_deleted(const struct object *o, json_t *tree, int64_t wall_ms)
{
	int64_t grace = grace_s(o, tree);
	/* A namespace's own finalizer is what the caller has just carried out. */
	bool finalizers = o->kind == &kind_namespace
				  ? json_array_size(json_at(tree, "metadata", "finalizers")) > 0
				  : has_finalizers(tree);
	if (grace == 0 && !finalizers)
		return true;
	json_t *metadata = json_ensure_object(tree, "metadata");
	char text[TIME_TEXT_SIZE];
	time_format(wall_ms + grace * 1000, text);
	json_object_set_new(metadata, "deletionTimestamp", json_string(text));
	json_object_set_new(metadata, "deletionGracePeriodSeconds", json_integer(grace));
	return false;
}

/* Everything but metadata and status is what a generation counts. */
static bool spec_changed(const json_t *old, const json_t *tree)
{
	const json_t *pair[2] = {old, tree};
	for (int i = 0; i < 2; i++) {
		const char *key;
		json_t *value;
		json_object_foreach ((json_t *)(uintptr_t)pair[i], key, value) {
			if (str_equal(key, "metadata") || str_equal(key, "status"))
				continue;
			if (!json_equal(value, json_object_get(pair[1 - i], key)))
				return true;
		}
	}
	return false;
}

static void count_generation(const struct object *base, json_t *tree)
{
	CLEANUP(json_done) json_t *old = object_tree(base);
	if (base->generation && spec_changed(old, tree))
		json_object_set_new(json_ensure_object(tree, "metadata"), "generation",
			json_integer(base->generation + 1));
}

static int create_object(struct control *c, const struct control_write *w, int64_t wall_ms,
	struct object **ret_object, struct err *e)
{
	char version[128];
	kind_api_version(w->kind, version);
	json_object_set_new(w->tree, "apiVersion", json_string(version));
	json_object_set_new(w->tree, "kind", json_string(w->kind->name));
	model_default(w->kind, w->tree);
	control_stamp(c, w->tree, wall_ms);
	return object_from_json(w->kind, w->tree, ret_object, e);
}

/* ret_object null: the object goes. Returns 1 when nothing changes. */
static int changed_object(struct control_write *w, int64_t wall_ms, struct object **ret_object,
	struct err *e)
{
	const struct object *base = w->base;
	if (w->verb == CONTROL_REMOVE)
		return 0;
	if (w->verb == CONTROL_DELETE) {
		if (base->deletion_ms && base->kind != &kind_namespace)
			return 1;
		w->tree = object_tree(base);
		if (mark_deleted(base, w->tree, wall_ms))
			return 0;
	} else if (w->verb == CONTROL_UPDATE) {
		count_generation(base, w->tree);
		if (is_finished(base, w->tree))
			return 0;
	}
	int rc = object_from_json(w->kind, w->tree, ret_object, e);
	if (rc == 0 && (*ret_object)->blob_size == base->blob_size &&
		memcmp((*ret_object)->blob, base->blob, base->blob_size) == 0) {
		object_done(ret_object);
		return 1;
	}
	return rc;
}

int control_write_op(struct control *c, struct control_write *w, int64_t wall_ms,
	char ret_key[static OBJECT_KEY_MAX], struct store_op *ret_op,
	struct store_compare *ret_compare, struct err *e)
{
	struct object *object = NULL;
	int rc = w->verb == CONTROL_CREATE ? create_object(c, w, wall_ms, &object, e)
					   : changed_object(w, wall_ms, &object, e);
	json_done(&w->tree);
	if (rc != 0)
		return rc;
	object_key(object ? object : w->base, ret_key);
	*ret_op = (struct store_op){ret_key, object};
	*ret_compare = (struct store_compare){
		ret_key, STORE_IF_REVISION, w->verb == CONTROL_CREATE ? 0 : w->base->revision};
	return 0;
}
