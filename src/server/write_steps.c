#include "server/write_steps.h"

#include <string.h>

#include "base/str.h"
#include "base/time.h"

bool write_is_pinned(const struct request *r)
{
	if (!r->base)
		return true; /* a create that found the name taken */
	return *json_text(r->body, "", "metadata", "resourceVersion") ||
	       *json_text(r->body, "", "preconditions", "resourceVersion");
}

int write_check_preconditions(const struct request *r, const json_t *tree, struct err *e)
{
	const char *uid = json_text(tree, r->base->uid, "metadata", "uid");
	if (*uid && strcmp(uid, r->base->uid) != 0)
		return err_set(e, ERR_CONFLICT,
			"%s \"%s\" has the uid %s, not %s: it was deleted and made anew",
			r->kind->plural, r->name, r->base->uid, uid);
	const char *text = json_text(tree, "", "metadata", "resourceVersion");
	int64_t revision;
	if (!*text)
		return 0;
	if (str_to_int64(text, "metadata.resourceVersion", &revision, e) < 0)
		return -(int)e->code;
	if (revision != r->base->revision)
		return err_set(e, ERR_CONFLICT,
			"%s \"%s\" was changed meanwhile; read it again and apply your change to "
			"it",
			r->kind->plural, r->name);
	return 0;
}

static void copy_key(json_t *to, const json_t *from, const char *key)
{
	json_t *value = json_object_get(from, key);
	if (value)
		json_object_set(to, key, value);
	else
		json_object_del(to, key);
}

/* Everything but metadata and status: what counts as a new generation. */
static bool spec_changed(const json_t *old, const json_t *tree)
{
	const json_t *pair[2] = {old, tree};
	for (int i = 0; i < 2; i++) {
		const char *key;
		json_t *value;
		json_object_foreach ((json_t *)(uintptr_t)pair[i], key, value) {
			if (strcmp(key, "metadata") == 0 || strcmp(key, "status") == 0)
				continue;
			if (!json_equal(value, json_object_get(pair[1 - i], key)))
				return true;
		}
	}
	return false;
}

static void keep_identity(const json_t *old, json_t *tree)
{
	static const char *const keys[] = {"name", "namespace", "uid", "creationTimestamp",
		"deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName",
		"selfLink"};
	json_t *metadata = json_ensure_object(tree, "metadata");
	const json_t *before = json_object_get(old, "metadata");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		copy_key(metadata, before, keys[i]);
}

int write_keep(const struct request *r, const json_t *old, json_t **tree, struct err *e)
{
	bool status = strcmp(r->subresource, "status") == 0;
	bool finalize = strcmp(r->subresource, "finalize") == 0;
	if (status && !r->kind->has_status)
		return err_set(e, ERR_NOT_FOUND, "%s have no subresource status", r->kind->plural);
	if (status || finalize) {
		/* Only this part of the document counts; all else stays as it was. */
		json_t *kept = json_deep_copy(old);
		copy_key(kept, *tree, status ? "status" : "spec");
		json_decref(*tree);
		*tree = kept;
		return 0;
	}
	keep_identity(old, *tree);
	if (r->kind->has_status)
		copy_key(*tree, old, "status");
	if (spec_changed(old, *tree))
		json_object_set_new(json_object_get(*tree, "metadata"), "generation",
			json_integer(json_int(old, 1, "metadata", "generation") + 1));
	return 0;
}

static bool has_finalizers(const json_t *tree)
{
	return json_array_size(json_at(tree, "metadata", "finalizers")) > 0 ||
	       json_array_size(json_at(tree, "spec", "finalizers")) > 0;
}

bool write_is_finished(const json_t *tree, const json_t *old)
{
	return json_at(tree, "metadata", "deletionTimestamp") && has_finalizers(old) &&
	       !has_finalizers(tree) &&
	       json_int(tree, 0, "metadata", "deletionGracePeriodSeconds") == 0;
}

/* How long the pod's containers may take: what was asked for, else its own; 0 when nothing runs. */
static int64_t grace_of(const struct request *r, const json_t *tree)
{
	if (r->kind != &kind_pod || !r->base->node[0] || strcmp(r->base->phase, "Succeeded") == 0 ||
		strcmp(r->base->phase, "Failed") == 0)
		return 0;
	return r->grace_s >= 0 ? r->grace_s
			       : json_int(tree, 30, "spec", "terminationGracePeriodSeconds");
}

static void add_finalizer(json_t *tree, const char *name)
{
	json_t *metadata = json_ensure_object(tree, "metadata");
	json_t *list = json_object_get(metadata, "finalizers");
	if (!list)
		json_object_set_new(metadata, "finalizers", list = json_array());
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item)
		if (str_equal(json_string_value(item), name))
			return;
	json_array_append_new(list, json_string(name));
}

int write_check_deletable(const struct kind *k, const char *name, struct err *e)
{
	if (k == &kind_namespace && (str_equal(name, "default") || str_equal(name, "kube-system")))
		return err_set(e, ERR_FORBIDDEN,
			"namespaces \"%s\" is forbidden: this namespace may not be deleted", name);
	return 0;
}

enum write_outcome write_mark_deleted(struct request *r, json_t *tree, int64_t wall_ms)
{
	if (strcmp(r->propagation, "Foreground") == 0)
		add_finalizer(tree, "foregroundDeletion");
	else if (strcmp(r->propagation, "Orphan") == 0)
		add_finalizer(tree, "orphan");
	int64_t grace_s = grace_of(r, tree);
	json_t *metadata = json_ensure_object(tree, "metadata");
	if (grace_s == 0 && !has_finalizers(tree))
		return WRITE_DELETE;
	/* A second delete can only shorten the time that is left. */
	int64_t end_ms = wall_ms + grace_s * 1000;
	if (r->base->deletion_ms && r->base->deletion_ms <= end_ms)
		return WRITE_UNCHANGED;
	char text[TIME_TEXT_SIZE];
	time_format(end_ms, text);
	json_object_set_new(metadata, "deletionTimestamp", json_string(text));
	json_object_set_new(metadata, "deletionGracePeriodSeconds", json_integer(grace_s));
	json_object_set_new(metadata, "generation",
		json_integer(json_int(metadata, 1, "generation") + 1));
	if (r->kind == &kind_namespace)
		json_object_set_new(json_ensure_object(tree, "status"), "phase",
			json_string("Terminating"));
	return WRITE_PUT;
}

int write_namespace(const struct request *r, char key[static OBJECT_KEY_MAX],
	struct store_compare *ret_compare, struct err *e)
{
	int result = object_key_of(&kind_namespace, "", r->namespace, key, e);
	if (result < 0)
		return result;
	CLEANUP(object_done) struct object *namespace = store_get(r->server->store, key);
	if (!namespace)
		return err_set(e, ERR_NOT_FOUND, "namespaces \"%s\" not found: create it first",
			r->namespace);
	if (namespace->deletion_ms)
		return err_set(e, ERR_FORBIDDEN,
			"%s \"%s\" is forbidden: namespace %s is being terminated, nothing can be "
			"created in it",
			r->kind->plural, r->name, r->namespace);
	*ret_compare = (struct store_compare){
		.key = key, .type = STORE_IF_REVISION, .revision = namespace->revision};
	return 0;
}

bool write_is_same(const struct object *a, const struct object *b)
{
	return a->blob_size == b->blob_size && memcmp(a->blob, b->blob, a->blob_size) == 0;
}

void write_answer(struct request *r, const struct object *o)
{
	bool created = strcmp(http_request_method(r->http), "POST") == 0;
	if (o && r->change && !(created && r->subresource[0])) {
		request_object(r, created ? 201 : 200, o);
		return;
	}
	CLEANUP(json_done)
	json_t *status = json_pack("{s:s, s:s, s:{}, s:s, s:{s:s, s:s, s:s}}", "kind", "Status",
		"apiVersion", "v1", "metadata", "status", "Success", "details", "name", r->name,
		"kind", r->kind->plural, "uid", r->base ? r->base->uid : "");
	request_json(r, created ? 201 : 200, status);
}
