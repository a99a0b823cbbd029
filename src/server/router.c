#include "server/router.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/agent_api.h"
#include "server/calls.h"
#include "server/discovery.h"
#include "server/feed.h"
#include "server/metrics.h"
#include "server/plan.h"
#include "server/progress.h"
#include "server/read.h"
#include "server/revocations.h"
#include "server/tokens.h"
#include "server/write.h"

#define PARTS_MAX 12

/* A path cut at its slashes; the parts lie in text. */
struct path {
	char text[1024];
	const char *parts[PARTS_MAX];
	size_t count;
};

static int split_path(const char *path, struct path *ret_path, struct err *e)
{
	*ret_path = (struct path){0};
	if (!str_copy(ret_path->text, sizeof(ret_path->text), path))
		return err_set(e, ERR_NOT_FOUND, "the path is longer than %zu characters",
			sizeof(ret_path->text) - 1);
	char *save = NULL;
	for (char *part = strtok_r(ret_path->text, "/", &save); part;
		part = strtok_r(NULL, "/", &save)) {
		if (ret_path->count == PARTS_MAX)
			return err_set(e, ERR_NOT_FOUND, "the path has more than %d parts",
				PARTS_MAX);
		ret_path->parts[ret_path->count++] = part;
	}
	return 0;
}

static bool path_is(const struct path *p, size_t at, const char *part)
{
	return at < p->count && strcmp(p->parts[at], part) == 0;
}

/* ---- the resource API ---- */

/* Fills in kind, namespace, name and subresource from the parts behind the version. */
static int parse_resource(struct request *r, const struct path *p, size_t at, const char *group,
	const char *version, struct err *e)
{
	const struct kind_registry *kinds = r->server->kinds;
	/* namespaces/NS/PLURAL... but namespaces/NAME and its own subresources are the Namespace
	 * itself. */
	bool inside = path_is(p, at, "namespaces") && p->count > at + 2 &&
		      strcmp(p->parts[at + 2], "status") != 0 &&
		      strcmp(p->parts[at + 2], "finalize") != 0;
	if (inside) {
		if (!str_copy(r->namespace, sizeof(r->namespace), p->parts[at + 1]))
			return err_set(e, ERR_NOT_FOUND, "the namespace's name is too long");
		at += 2;
	}
	if (at >= p->count)
		return err_set(e, ERR_NOT_FOUND, "the path names no resource");
	r->kind = kind_by_plural(kinds, group, version, p->parts[at]);
	if (!r->kind)
		return err_set(e, ERR_NOT_FOUND, "the server has no resource \"%s\" in %s%s%s",
			p->parts[at], group, *group ? "/" : "", version);
	if (inside && !r->kind->namespaced)
		return err_set(e, ERR_NOT_FOUND, "%s are not inside of namespaces",
			r->kind->plural);
	if (p->count > at + 1 && !str_copy(r->name, sizeof(r->name), p->parts[at + 1]))
		return err_set(e, ERR_NOT_FOUND, "the name is too long");
	if (p->count > at + 2 &&
		!str_copy(r->subresource, sizeof(r->subresource), p->parts[at + 2]))
		return err_set(e, ERR_NOT_FOUND, "the subresource's name is too long");
	if (p->count > at + 3)
		return err_set(e, ERR_NOT_FOUND, "the path goes on behind the subresource");
	if (r->kind->namespaced && r->name[0] && !r->namespace[0])
		return err_set(e, ERR_NOT_FOUND,
			"%s are inside of namespaces: the path must name one", r->kind->plural);
	return 0;
}

enum shape { SHAPE_COLLECTION, SHAPE_OBJECT, SHAPE_STATUS };

static const struct {
	const char *method;
	enum shape shape;
	void (*serve)(struct request *r);
} verbs[] = {
	{"GET", SHAPE_COLLECTION, read_list},
	{"POST", SHAPE_COLLECTION, write_create},
	{"DELETE", SHAPE_COLLECTION, write_delete_collection},
	{"GET", SHAPE_OBJECT, read_get},
	{"PUT", SHAPE_OBJECT, write_replace},
	{"PATCH", SHAPE_OBJECT, write_patch},
	{"DELETE", SHAPE_OBJECT, write_delete},
	{"GET", SHAPE_STATUS, read_get},
	{"PUT", SHAPE_STATUS, write_replace},
	{"PATCH", SHAPE_STATUS, write_patch},
};

/* Subresources that only some kinds have. */
static const struct {
	const struct kind *kind;
	const char *subresource, *method;
	void (*serve)(struct request *r);
} subresources[] = {
	{&kind_pod, "log", "GET", calls_logs},
	{&kind_pod, "exec", "POST", calls_exec},
	{&kind_pod, "binding", "POST", write_binding},
	{&kind_namespace, "finalize", "PUT", write_replace},
};

static void serve_verb(struct request *r)
{
	const char *method = http_request_method(r->http);
	enum shape shape = r->subresource[0] ? SHAPE_STATUS
			   : r->name[0]      ? SHAPE_OBJECT
					     : SHAPE_COLLECTION;
	struct err e = ERR_INIT;
	bool known = !r->subresource[0] ||
		     (r->kind->has_status && strcmp(r->subresource, "status") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(subresources); i++) {
		if (subresources[i].kind != r->kind ||
			strcmp(subresources[i].subresource, r->subresource) != 0)
			continue;
		known = true;
		if (strcmp(subresources[i].method, method) == 0) {
			subresources[i].serve(r);
			return;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(verbs) && known; i++) {
		if (verbs[i].shape == shape && strcmp(verbs[i].method, method) == 0 &&
			(!r->subresource[0] || strcmp(r->subresource, "status") == 0)) {
			verbs[i].serve(r);
			return;
		}
	}
	if (!known)
		(void)err_set(&e, ERR_NOT_FOUND, "%s have no subresource \"%s\"", r->kind->plural,
			r->subresource);
	else
		(void)err_set(&e, ERR_METHOD, "%s is not possible here", method);
	request_fail(r, &e);
}

static void serve_api(struct server *s, struct http_request *http, const struct user *u,
	const struct path *p)
{
	struct err e = ERR_INIT;
	struct request *r = request_new(s, http, u);
	bool core = path_is(p, 0, "api");
	size_t at = core ? 2 : 3;
	int result = auth_require_admin(u, "use the API", &e);
	if (result == 0 && p->count <= at) {
		discovery_serve(r, p->parts, p->count);
		return;
	}
	if (result == 0)
		result = parse_resource(r, p, at, core ? "" : p->parts[1], p->parts[core ? 1 : 2],
			&e);
	if (result < 0)
		request_fail(r, &e);
	else
		serve_verb(r);
}

/* ---- agents ---- */

static void serve_agent(struct server *s, struct http_request *http, const struct user *u,
	const struct path *p)
{
	struct err e = ERR_INIT;
	bool post = strcmp(http_request_method(http), "POST") == 0;
	int64_t id;
	if (post && path_is(p, 2, "join")) {
		agent_join(s, http);
	} else if (post && path_is(p, 2, "rejoin")) {
		agent_rejoin(s, http);
	} else if (auth_require_node(u, "the agents' interface", &e) < 0) {
		respond_err(s, http, &e);
	} else if (post && path_is(p, 2, "feed")) {
		feed_serve(s->feed, http, u);
	} else if (post && path_is(p, 2, "report")) {
		agent_report(s, http, u);
	} else if (post && path_is(p, 2, "renew")) {
		agent_renew(s, http, u);
	} else if (post && path_is(p, 2, "calls") && p->count == 4 &&
		   str_to_int64(p->parts[3], "the call's id", &id, &e) == 0) {
		calls_answer(s, http, u, id);
	} else if (!post && path_is(p, 2, "objects") && p->count > 3) {
		agent_object(s, http, u,
			strstr(http_request_path(http), "/objects/") + strlen("/objects/"));
	} else {
		(void)err_set(&e, ERR_NOT_FOUND, "agents have no such address");
		respond_err(s, http, &e);
	}
}

/* ---- Continuo's own ---- */

static void serve_explain(struct request *r, const struct path *p)
{
	struct err e = ERR_INIT;
	if (p->count != 5) {
		(void)err_set(&e, ERR_NOT_FOUND,
			"explain wants /continuo/v1/explain/NAMESPACE/POD");
		request_fail(r, &e);
		return;
	}
	CLEANUP(json_done)
	json_t *answer = control_explain(r->server->control, p->parts[3], p->parts[4]);
	if (answer) {
		request_json(r, 200, answer);
		return;
	}
	(void)err_set(&e, ERR_NOT_FOUND,
		"nothing is known of pod \"%s/%s\": it does not exist, or was not considered yet",
		p->parts[3], p->parts[4]);
	request_fail(r, &e);
}

static void on_revoked(void *arg, const struct err *e)
{
	struct request *r = arg;
	CLEANUP(json_done) json_t *answer = json_pack("{s:s}", "revoked", r->name);
	if (e)
		request_fail(r, e);
	else
		request_json(r, 200, answer);
}

static void serve_revoke(struct request *r, const char *node)
{
	struct err e = ERR_INIT;
	char key[OBJECT_KEY_MAX];
	snprintf(r->name, sizeof(r->name), "%s", node);
	CLEANUP(object_done)
	struct object *o = object_key_of(&kind_node, "", node, key, &e) == 0
				   ? store_get(r->server->store, key)
				   : NULL;
	if (!o) {
		(void)err_set(&e, ERR_NOT_FOUND, "nodes \"%s\" not found", node);
		request_fail(r, &e);
		return;
	}
	revocations_add(r->server->revocations, node, on_revoked, r);
}

static void serve_own(struct server *s, struct http_request *http, const struct user *u,
	const struct path *p)
{
	struct err e = ERR_INIT;
	struct request *r = request_new(s, http, u);
	const char *method = http_request_method(http);
	bool get = strcmp(method, "GET") == 0, post = strcmp(method, "POST") == 0;
	if (auth_require_admin(u, "use this interface", &e) < 0) {
		request_fail(r, &e);
	} else if (path_is(p, 2, "tokens") && p->count == 3 && (get || post)) {
		(get ? tokens_list : tokens_create)(r);
	} else if (path_is(p, 2, "tokens") && p->count == 4 && strcmp(method, "DELETE") == 0) {
		snprintf(r->name, sizeof(r->name), "%.250s", p->parts[3]);
		tokens_delete(r);
	} else if (path_is(p, 2, "explain") && get) {
		serve_explain(r, p);
	} else if (path_is(p, 2, "plan") && p->count == 3 && post) {
		plan_serve(r);
	} else if (path_is(p, 2, "nodes") && p->count == 5 && path_is(p, 4, "revoke") && post) {
		serve_revoke(r, p->parts[3]);
	} else if (path_is(p, 2, "progress") && get) {
		progress_watch(r);
	} else {
		(void)err_set(&e, ERR_NOT_FOUND, "there is no such address");
		request_fail(r, &e);
	}
}

/* ---- what needs no certificate ---- */

static bool serve_public(struct server *s, struct http_request *http, const struct path *p)
{
	static const char *const health[] = {"healthz", "livez", "readyz"};
	if (p->count != 1)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(health); i++) {
		if (strcmp(p->parts[0], health[i]) != 0)
			continue;
		bool good = i < 2 || server_ready(s);
		http_respond(http, good ? 200 : 503, NULL, 0, "text/plain",
			good ? "ok" : "not ready", good ? 2 : 9);
		http_request_free(http);
		return true;
	}
	if (strcmp(p->parts[0], "version") != 0)
		return false;
	discovery_version(http);
	return true;
}

void router_handle(void *arg, struct http_request *http)
{
	struct server *s = arg;
	struct err e = ERR_INIT, why = ERR_INIT;
	struct path p;
	struct user u;
	s->counters.requests++;
	if (split_path(http_request_path(http), &p, &e) < 0) {
		respond_err(s, http, &e);
		return;
	}
	if (serve_public(s, http, &p))
		return;
	auth_identify(s, http_request_peer(http), &u, &why);
	bool joins =
		path_is(&p, 0, "agent") && (path_is(&p, 2, "join") || path_is(&p, 2, "rejoin"));
	if (why.code && !joins)
		respond_err(s, http, &why);
	else if (path_is(&p, 0, "api") || path_is(&p, 0, "apis"))
		serve_api(s, http, &u, &p);
	else if (path_is(&p, 0, "agent") && path_is(&p, 1, "v1"))
		serve_agent(s, http, &u, &p);
	else if (path_is(&p, 0, "continuo") && path_is(&p, 1, "v1"))
		serve_own(s, http, &u, &p);
	else if (path_is(&p, 0, "metrics") && p.count == 1)
		metrics_serve(s, http, &u);
	else {
		(void)err_set(&e, ERR_NOT_FOUND, "there is nothing at this path");
		respond_err(s, http, &e);
	}
}
