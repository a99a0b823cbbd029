#include "server/write.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "server/admit.h"
#include "server/write_steps.h"

#define ATTEMPTS_MAX 20
#define GRACE_MOST_S ((int64_t)366 * 86400 * 100) /* a hundred years: times stay in range */

static void run(struct request *r);

/* ---- bodies ---- */

/* Whether the document is of the kind and at the place that the URL says; fills in what it leaves
 * out. */
static int check_identity(struct request *r, json_t *tree, struct err *e)
{
	char api_version[128];
	kind_api_version(r->kind, api_version);
	if (!json_is_object(tree))
		return err_set(e, ERR_DECODE, "the body must be a JSON object");
	const char *kind = json_text(tree, r->kind->name, "kind");
	const char *version = json_text(tree, api_version, "apiVersion");
	if (strcmp(kind, r->kind->name) != 0 || strcmp(version, api_version) != 0)
		return err_set(e, ERR_DECODE,
			"the body is a %s of %s, but this address takes a %s of %s", kind, version,
			r->kind->name, api_version);
	json_object_set_new(tree, "apiVersion", json_string(api_version));
	json_object_set_new(tree, "kind", json_string(r->kind->name));
	json_t *metadata = json_ensure_object(tree, "metadata");
	if (r->kind->namespaced) {
		const char *namespace = json_text(metadata, r->namespace, "namespace");
		if (strcmp(namespace, r->namespace) != 0)
			return err_set(e, ERR_DECODE,
				"the body's namespace \"%s\" is not the address's \"%s\"",
				namespace, r->namespace);
		json_object_set_new(metadata, "namespace", json_string(r->namespace));
	} else {
		json_object_del(metadata, "namespace");
	}
	const char *name = json_text(metadata, r->name, "name");
	if (r->name[0] && strcmp(name, r->name) != 0)
		return err_set(e, ERR_DECODE, "the body's name \"%s\" is not the address's \"%s\"",
			name, r->name);
	if (*name)
		json_object_set_new(metadata, "name", json_string(name));
	return 0;
}

static bool is_strict(const struct request *r)
{
	return str_equal(http_request_query(r->http, "fieldValidation", 0), "Strict");
}

/* Decodes the body into r->body. */
static int take_body(struct request *r, const char *data, size_t size, struct err *e)
{
	int result = json_decode(data, size, &r->body, e);
	return result < 0 ? err_prefix(e, "the request body") : 0;
}

static void on_body(void *arg, struct http_request *http, const char *data, size_t size,
	const struct err *e)
{
	struct request *r = arg;
	(void)http;
	struct err why = ERR_INIT;
	if (e) {
		request_fail(r, e);
		return;
	}
	if (size == 0 && strcmp(http_request_method(r->http), "DELETE") == 0)
		r->body = json_object();
	else if (take_body(r, data, size, &why) < 0) {
		request_fail(r, &why);
		return;
	}
	run(r);
}

static void collect(struct request *r,
	int (*change)(struct request *r, json_t **tree, struct err *e))
{
	r->change = change;
	http_request_collect(r->http, REQUEST_BODY_MAX, on_body, r);
}

/* ---- the commit ---- */

static bool wants_retry(const struct request *r, const struct store_result *result)
{
	enum err_code code = result->err->code;
	bool raced = code == ERR_CONFLICT || code == ERR_EXISTS || code == ERR_NOT_FOUND;
	return raced && !write_is_pinned(r) && r->attempts < ATTEMPTS_MAX;
}

static void on_committed(void *arg, const struct store_result *result)
{
	struct request *r = arg;
	if (!result->err) {
		r->claimed_ip[0] = '\0'; /* the watch of addresses.c has it from here */
		write_answer(r, r->result);
	} else if (wants_retry(r, result)) {
		object_unref(r->result);
		r->result = NULL;
		run(r);
	} else {
		struct err e = *result->err;
		if (e.code == ERR_CONFLICT)
			(void)err_set(&e, ERR_CONFLICT,
				"%s \"%s\" was changed meanwhile; read it again and apply your "
				"change to it",
				r->kind->plural, r->name);
		else if (e.code == ERR_EXISTS)
			(void)err_set(&e, ERR_EXISTS, "%s \"%s\" already exists", r->kind->plural,
				r->name);
		request_fail(r, &e);
	}
}

/* Commits tree (null: deletes). The namespace is compared too, so that nothing is made in one that
 * is going. */
static void commit(struct request *r, const json_t *tree)
{
	struct err e = ERR_INIT;
	struct store_op op = {.key = r->key};
	if (tree && object_from_json(r->kind, tree, &op.object, &e) < 0) {
		request_fail(r, &e);
		return;
	}
	if (op.object && r->base && write_is_same(op.object, r->base)) {
		object_unref(op.object);
		write_answer(r, r->base);
		return;
	}
	r->result = op.object ? object_ref(op.object) : NULL;
	struct store_compare compares[2] = {{.key = r->key,
		.type = STORE_IF_REVISION,
		.revision = r->base ? r->base->revision : 0}};
	size_t count = 1;
	char namespace_key[OBJECT_KEY_MAX];
	if (!r->base && r->kind->namespaced) {
		if (write_namespace(r, namespace_key, &compares[1], &e) < 0) {
			object_unref(op.object);
			request_fail(r, &e);
			return;
		}
		count = 2;
	}
	if (str_equal(http_request_query(r->http, "dryRun", 0), "All")) {
		if (op.object)
			object_unref(op.object);
		write_answer(r, r->result ? r->result : r->base);
		return;
	}
	store_commit(r->server->store, compares, count, &op, 1, on_committed, r);
}

/* One attempt: read the current state, change it, check it, commit it. */
static void run(struct request *r)
{
	struct err e = ERR_INIT;
	r->attempts++;
	object_unref(r->base);
	r->base = NULL;
	CLEANUP(json_done) json_t *tree = NULL;
	findings_done(&r->findings);
	r->findings = (struct findings){0};
	int result = r->change(r, &tree, &e);
	if (result < 0)
		request_fail(r, &e);
	else if (result == WRITE_UNCHANGED)
		write_answer(r, r->base);
	else
		commit(r, result == WRITE_DELETE ? NULL : tree);
}

/* ---- create ---- */

static int set_generated_name(struct request *r, json_t *tree, struct err *e)
{
	static const char alphabet[] =
		"bcdfghjklmnpqrstvwxz2456789"; /* Kubernetes' safe characters */
	const char *name = json_text(tree, "", "metadata", "name");
	const char *prefix = json_text(tree, "", "metadata", "generateName");
	if (!*name && !*prefix)
		return err_set(e, ERR_INVALID,
			"%s: metadata.name: Required value: name or generateName is required",
			r->kind->name);
	if (*name) {
		if (!str_copy(r->name, sizeof(r->name), name))
			return err_set(e, ERR_INVALID,
				"metadata.name: Too long: at most 253 characters");
		return 0;
	}
	unsigned char random[5];
	char suffix[6] = "";
	loop_random_bytes(r->server->loop, random, sizeof(random));
	for (int i = 0; i < 5; i++)
		suffix[i] = alphabet[random[i] % (sizeof(alphabet) - 1)];
	snprintf(r->name, sizeof(r->name), "%.240s%s", prefix, suffix);
	json_object_set_new(json_ensure_object(tree, "metadata"), "name", json_string(r->name));
	return 0;
}

static int change_create(struct request *r, json_t **tree, struct err *e)
{
	*tree = json_deep_copy(r->body);
	int result = check_identity(r, *tree, e);
	if (result == 0)
		result = model_prune(r->kind, *tree, is_strict(r), &r->findings, e);
	if (result == 0)
		result = set_generated_name(r, *tree, e);
	if (result == 0)
		result = object_key_of(r->kind, r->namespace, r->name, r->key, e);
	if (result < 0)
		return result;
	unsigned char uid[16];
	loop_random_bytes(r->server->loop, uid, sizeof(uid));
	if (r->kind->has_status)
		json_object_del(*tree, "status");
	model_stamp_new(*tree, uid, loop_wall_ms(r->server->loop));
	result = admit(r, *tree, NULL, e);
	if (result < 0)
		return result;
	model_default(r->kind, *tree);
	model_validate(r->kind, *tree, NULL, &r->findings);
	return findings_check(&r->findings, r->kind, r->name, e);
}

void write_create(struct request *r)
{
	collect(r, change_create);
}

/* ---- replace and patch ---- */

/* Reads the current object into r->base and its tree. */
static int read_base(struct request *r, json_t **ret_old, struct err *e)
{
	int result = object_key_of(r->kind, r->namespace, r->name, r->key, e);
	if (result < 0)
		return result;
	r->base = store_get(r->server->store, r->key);
	if (!r->base)
		return err_set(e, ERR_NOT_FOUND, "%s \"%s\" not found", r->kind->plural, r->name);
	*ret_old = object_tree(r->base);
	return 0;
}

/* Checks and completes a new state that a client asks for. */
static int complete_update(struct request *r, json_t *old, json_t **tree, struct err *e)
{
	int result = check_identity(r, *tree, e);
	if (result == 0)
		result = write_check_preconditions(r, *tree, e);
	if (result == 0)
		result = model_prune(r->kind, *tree, is_strict(r), &r->findings, e);
	if (result == 0)
		result = write_keep(r, old, tree, e);
	if (result == 0 && !r->subresource[0])
		result = admit(r, *tree, old, e);
	if (result < 0)
		return result;
	model_default(r->kind, *tree);
	model_validate(r->kind, *tree, old, &r->findings);
	result = findings_check(&r->findings, r->kind, r->name, e);
	if (result < 0)
		return result;
	return write_is_finished(*tree, old) ? WRITE_DELETE : WRITE_PUT;
}

static int change_replace(struct request *r, json_t **tree, struct err *e)
{
	CLEANUP(json_done) json_t *old = NULL;
	int result = read_base(r, &old, e);
	if (result < 0)
		return result;
	*tree = json_deep_copy(r->body);
	return complete_update(r, old, tree, e);
}

void write_replace(struct request *r)
{
	collect(r, change_replace);
}

static int change_patch(struct request *r, json_t **tree, struct err *e)
{
	CLEANUP(json_done) json_t *old = NULL;
	int result = read_base(r, &old, e);
	if (result < 0)
		return result;
	if (!json_is_object(r->body))
		return err_set(e, ERR_DECODE, "a merge patch of an object must be a JSON object");
	*tree = json_deep_copy(old);
	/* Only a revision that the client names is compared; the tree's own is the base's. */
	json_object_del(json_object_get(*tree, "metadata"), "resourceVersion");
	model_merge_patch(*tree, r->body);
	return complete_update(r, old, tree, e);
}

void write_patch(struct request *r)
{
	const char *type = http_request_header(r->http, "content-type");
	if (!type || !str_starts(type, "application/merge-patch+json")) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_MEDIA_TYPE,
			"the patch type \"%s\" is not supported; use application/merge-patch+json",
			type ? type : "");
		request_fail(r, &e);
		return;
	}
	collect(r, change_patch);
}

/* ---- binding ---- */

static int change_binding(struct request *r, json_t **tree, struct err *e)
{
	const char *node = json_text(r->body, "", "target", "name");
	int result = read_base(r, tree, e);
	if (result < 0)
		return result;
	if (!*node)
		return err_set(e, ERR_INVALID,
			"target.name: Required value: the node to bind the pod to");
	if (r->base->node[0])
		return err_set(e, ERR_CONFLICT, "pod \"%s\" is already assigned to node \"%s\"",
			r->name, r->base->node);
	json_object_set_new(json_ensure_object(*tree, "spec"), "nodeName", json_string(node));
	return WRITE_PUT;
}

void write_binding(struct request *r)
{
	collect(r, change_binding);
}

/* ---- delete ---- */

static int change_delete(struct request *r, json_t **tree, struct err *e)
{
	int result = read_base(r, tree, e);
	if (result < 0)
		return result;
	result = write_check_deletable(r->kind, r->name, e);
	if (result < 0)
		return result;
	const json_t *conditions = json_at(r->body, "preconditions");
	const char *uid = json_text(conditions, r->base->uid, "uid");
	char revision[32];
	snprintf(revision, sizeof(revision), "%lld", (long long)r->base->revision);
	if (strcmp(uid, r->base->uid) != 0 ||
		strcmp(json_text(conditions, revision, "resourceVersion"), revision) != 0)
		return err_set(e, ERR_CONFLICT,
			"%s \"%s\" is not the one that the precondition names", r->kind->plural,
			r->name);
	return (int)write_mark_deleted(r, *tree, loop_wall_ms(r->server->loop));
}

static void read_delete_options(struct request *r)
{
	const char *grace = http_request_query(r->http, "gracePeriodSeconds", 0);
	const char *propagation = http_request_query(r->http, "propagationPolicy", 0);
	r->grace_s = json_int(r->body, -1, "gracePeriodSeconds");
	if (grace && str_to_int64(grace, "gracePeriodSeconds", &r->grace_s, NULL) < 0)
		r->grace_s = -1;
	if (r->grace_s > GRACE_MOST_S)
		r->grace_s = GRACE_MOST_S;
	snprintf(r->propagation, sizeof(r->propagation), "%.24s",
		propagation ? propagation : json_text(r->body, "Background", "propagationPolicy"));
}

static int change_delete_first(struct request *r, json_t **tree, struct err *e)
{
	read_delete_options(r);
	r->change = change_delete;
	return change_delete(r, tree, e);
}

void write_delete(struct request *r)
{
	collect(r, change_delete_first);
}
