#include "server/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define OBJECTS_MAX 1000

struct planning {
	struct request *request;
	json_t **trees; /* borrowed from the request's body */
	const struct kind **kinds;
	size_t count;
	json_t *ignored;
};

static void planning_free(struct planning *p)
{
	free(p->trees);
	free(p->kinds);
	json_decref(p->ignored);
	free(p);
}

static bool has_pods(const struct kind *k)
{
	return k == &kind_application || k == &kind_deployment || k == &kind_replicaset ||
	       k == &kind_pod;
}

/* As it would be stored. */
static int complete(struct request *r, json_t *tree, struct err *e)
{
	const struct kind *k = r->kind;
	json_t *metadata = json_ensure_object(tree, "metadata");
	findings_done(&r->findings);
	r->findings = (struct findings){0};
	if (!str_copy(r->name, sizeof(r->name), json_text(metadata, "", "name")) || !r->name[0])
		return err_set(e, ERR_INVALID, "metadata.name is missing or too long");
	if (k->namespaced && !json_text(metadata, NULL, "namespace"))
		json_object_set_new(metadata, "namespace", json_string("default"));
	int rc = model_prune(k, tree, true, &r->findings, e);
	if (rc < 0)
		return rc;
	if (k->has_status)
		json_object_del(tree, "status");
	model_default(k, tree);
	model_validate(k, tree, NULL, &r->findings);
	return findings_check(&r->findings, k, r->name, e);
}

static int take_object(struct planning *p, json_t *tree, struct err *e)
{
	struct request *r = p->request;
	const char *version = json_text(tree, "", "apiVersion");
	const char *kind = json_text(tree, "", "kind");
	const struct kind *k = kind_by_name(r->server->kinds, version, kind);
	if (!k)
		return err_set(e, ERR_INVALID, "there is no kind \"%.60s\" in version \"%.60s\"",
			kind, version);
	r->kind = k;
	if (!has_pods(k)) {
		CLEANUP(mem_free_ptr)
		char *text =
			mem_format("%s/%.250s", k->name, json_text(tree, "", "metadata", "name"));
		json_array_append_new(p->ignored, json_string(text));
		return 0;
	}
	int rc = complete(r, tree, e);
	if (rc == 0) {
		p->trees[p->count] = tree;
		p->kinds[p->count++] = k;
	}
	return rc;
}

static int take_objects(struct planning *p, const json_t *objects, struct err *e)
{
	size_t i, count = json_array_size(objects);
	json_t *tree;
	if (count == 0)
		return err_set(e, ERR_INVALID,
			"the body wants {\"objects\":[...]}, with at least "
			"one object");
	if (count > OBJECTS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d objects", OBJECTS_MAX);
	p->trees = mem_alloc_array(count, sizeof(json_t *));
	p->kinds = mem_alloc_array(count, sizeof(struct kind *));
	json_array_foreach (objects, i, tree) {
		int rc = take_object(p, tree, e);
		if (rc != 0)
			return err_prefix(e, "objects[%zu]", i);
	}
	return 0;
}

static void on_planned(void *arg, const json_t *result, const struct err *e)
{
	struct planning *p = arg;
	if (e) {
		request_fail(p->request, e);
	} else {
		CLEANUP(json_done) json_t *answer = json_copy((json_t *)(uintptr_t)result);
		json_object_set(answer, "ignored", p->ignored);
		request_json(p->request, 200, answer);
	}
	planning_free(p);
}

static void on_body(void *arg, struct http_request *http, const char *data, size_t size,
	const struct err *e)
{
	struct request *r = arg;
	struct err why = ERR_INIT;
	(void)http;
	if (e) {
		request_fail(r, e);
		return;
	}
	if (json_decode(data, size, &r->body, &why) < 0) {
		(void)err_prefix(&why, "the request body");
		request_fail(r, &why);
		return;
	}
	struct planning *p = mem_new(struct planning);
	p->request = r;
	p->ignored = json_array();
	int rc = take_objects(p, json_object_get(r->body, "objects"), &why);
	if (rc == 0)
		rc = control_plan(r->server->control, p->trees, p->kinds, p->count, on_planned, p,
			&why);
	if (rc != 0) {
		request_fail(r, &why);
		planning_free(p);
	}
}

void plan_serve(struct request *r)
{
	http_request_collect(r->http, REQUEST_BODY_MAX, on_body, r);
}
