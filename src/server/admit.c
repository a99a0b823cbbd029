#include "server/admit.h"

#include <string.h>

#include "base/str.h"
#include "codec/base64.h"
#include "model/node_figures.h"
#include "model/pod_security.h"
#include "server/addresses.h"

typedef int admit_kind(struct request *r, json_t *tree, const json_t *old, struct err *e);

#define WARNINGS_MAX 32 /* they are headers; the rest is left out */

static void warn(struct request *r, const char *reason, const char *text)
{
	if (r->findings.warnings.count >= WARNINGS_MAX)
		return;
	vec_push(&r->findings.warnings,
		(struct finding){.path = "", .reason = reason, .text = text});
}

/* ---- Pod Security ---- */

static int check_security(struct request *r, const json_t *pod_spec, struct err *e)
{
	char key[OBJECT_KEY_MAX];
	if (object_key_of(&kind_namespace, "", r->namespace, key, e) < 0)
		return -(int)e->code;
	CLEANUP(object_done) struct object *namespace = store_get(r->server->store, key);
	return pod_security_check(pod_security_level(namespace), pod_spec, e);
}

/* It stands for any container of the node's, with whatever rights that has. */
static int check_adopted(struct request *r, const json_t *tree, struct err *e)
{
	char key[OBJECT_KEY_MAX];
	if (!json_at(tree, "metadata", "annotations", "continuo.dev/adopted"))
		return 0;
	if (object_key_of(&kind_namespace, "", r->namespace, key, e) < 0)
		return -(int)e->code;
	CLEANUP(object_done) struct object *namespace = store_get(r->server->store, key);
	if (str_equal(pod_security_level(namespace), "privileged"))
		return 0;
	return err_set(e, ERR_FORBIDDEN,
		"adopted containers want a namespace labelled " POD_SECURITY_LABEL "=privileged");
}

static int admit_pod(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	if (old)
		return 0; /* what security looks at is immutable in a pod */
	int result = check_security(r, json_object_get(tree, "spec"), e);
	if (result == 0)
		result = check_adopted(r, tree, e);
	if (result < 0)
		(void)err_prefix(e, "pods \"%s\" is forbidden",
			json_text(tree, "", "metadata", "name"));
	return result;
}

/* As in Kubernetes a workload is taken with a warning; its pods are what is refused. */
static int admit_workload(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	(void)old;
	struct err why = ERR_INIT;
	(void)e;
	if (check_security(r, json_at(tree, "spec", "template", "spec"), &why) < 0)
		warn(r, "Forbidden",
			arena_format(&r->findings.arena, "pods would be refused: %s", why.text));
	return 0;
}

/* ---- Services ---- */

static int claim_ports(struct request *r, json_t *spec, const json_t *old, struct err *e)
{
	const char *type = json_text(spec, "ClusterIP", "type");
	bool wants = strcmp(type, "NodePort") == 0 || strcmp(type, "LoadBalancer") == 0;
	size_t i, j;
	json_t *port, *before;
	json_array_foreach (json_object_get(spec, "ports"), i, port) {
		int number = (int)json_int(port, 0, "nodePort");
		bool had = false;
		json_array_foreach (json_at(old, "spec", "ports"), j, before)
			had |= number && json_int(before, 0, "nodePort") == number;
		if (!wants || had)
			continue;
		int result = addresses_claim_port(r->server->addresses, number, &number, e);
		if (result < 0)
			return err_prefix(e, "spec.ports[%zu]", i);
		json_object_set_new(port, "nodePort", json_integer(number));
	}
	return 0;
}

static int admit_service(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	json_t *spec = json_ensure_object(tree, "spec");
	if (strcmp(json_text(spec, "ClusterIP", "type"), "ExternalName") == 0)
		return 0;
	const char *wanted = json_text(spec, "", "clusterIP");
	const char *before = json_text(old, "", "spec", "clusterIP");
	if (*before && !*wanted) {
		json_object_set_new(spec, "clusterIP", json_string(before));
		wanted = before;
	}
	if (!*before && strcmp(wanted, "None") != 0) {
		int result =
			addresses_claim_service(r->server->addresses, wanted, r->claimed_ip, e);
		if (result < 0)
			return result;
		json_object_set_new(spec, "clusterIP", json_string(r->claimed_ip));
	}
	json_object_set_new(spec, "clusterIPs", json_pack("[s]", json_text(spec, "", "clusterIP")));
	return claim_ports(r, spec, old, e);
}

/* ---- Namespaces ---- */

static int admit_namespace(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	(void)e;
	json_t *labels = json_ensure_object(json_ensure_object(tree, "metadata"), "labels");
	json_object_set_new(labels, "kubernetes.io/metadata.name", json_string(r->name));
	if (!old) {
		json_object_set_new(json_ensure_object(tree, "spec"), "finalizers",
			json_pack("[s]", "kubernetes"));
		json_object_set_new(tree, "status", json_pack("{s:s}", "phase", "Active"));
	}
	return 0;
}

/* ---- Secrets ---- */

static int admit_secret(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	(void)r;
	(void)old;
	(void)e;
	const char *key;
	json_t *value;
	json_object_foreach (json_object_get(tree, "stringData"), key, value) {
		CLEANUP(buf_done) struct buf b = BUF_INIT;
		const char *text = json_text_or(value, "");
		base64_encode(text, strlen(text), &b);
		json_object_set_new(json_ensure_object(tree, "data"), key,
			json_string(buf_text(&b)));
	}
	json_object_del(tree, "stringData");
	return 0;
}

/* ---- Nodes ---- */

/* What an agent says of itself and what was stored before is not held up here: the scheduler leaves
 * it out and says so. */
static int admit_node(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	CLEANUP(buf_done) struct buf now = BUF_INIT;
	CLEANUP(buf_done) struct buf before = BUF_INIT;
	struct node_figures figures;
	node_figures_read(tree, &figures, &now);
	node_figures_read(old, &figures, &before);
	if (now.size == 0 || str_equal(buf_text(&now), buf_text(&before)))
		return 0;
	return err_set(e, ERR_INVALID, "Node \"%.80s\" is invalid: metadata: %s", r->name,
		buf_text(&now));
}

/* ---- Sites and Applications ---- */

static bool exists(struct request *r, const struct kind *k, const char *name)
{
	char key[OBJECT_KEY_MAX];
	if (object_key_of(k, "", name, key, NULL) < 0)
		return false;
	CLEANUP(object_done) struct object *o = store_get(r->server->store, key);
	return o != NULL;
}

/* Two sites that lead to each other cannot both come second: an unknown one is no error. */
static int admit_site(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	(void)old;
	(void)e;
	size_t i;
	json_t *path;
	json_array_foreach (json_at(tree, "spec", "paths"), i, path) {
		const char *to = json_text(path, "", "to");
		if (*to && !str_equal(to, r->name) && !exists(r, &kind_site, to))
			warn(r, "NotFound",
				arena_format(&r->findings.arena,
					"spec.paths[%zu].to: there is no Site \"%.80s\" yet", i,
					to));
	}
	return 0;
}

/* Of a list whose items name a site. */
static void warn_of_sites(struct request *r, const json_t *list, const char *where)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		const char *site = json_text(item, "", "site");
		if (*site && !exists(r, &kind_site, site))
			warn(r, "NotFound",
				arena_format(&r->findings.arena,
					"spec.%s[%zu].site: there is no Site \"%.80s\" yet", where,
					i, site));
	}
}

static int admit_application(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	(void)old;
	(void)e;
	size_t i;
	json_t *component;
	json_array_foreach (json_at(tree, "spec", "components"), i, component) {
		struct err why = ERR_INIT;
		if (check_security(r, json_at(component, "template", "spec"), &why) < 0)
			warn(r, "Forbidden",
				arena_format(&r->findings.arena,
					"pods of component %.80s would be refused: %s",
					json_text(component, "?", "name"), why.text));
	}
	warn_of_sites(r, json_at(tree, "spec", "data"), "data");
	warn_of_sites(r, json_at(tree, "spec", "consumers"), "consumers");
	return 0;
}

static const struct {
	const struct kind *kind;
	admit_kind *admit;
} rules[] = {
	{&kind_pod, admit_pod},
	{&kind_deployment, admit_workload},
	{&kind_replicaset, admit_workload},
	{&kind_service, admit_service},
	{&kind_namespace, admit_namespace},
	{&kind_secret, admit_secret},
	{&kind_node, admit_node},
	{&kind_site, admit_site},
	{&kind_application, admit_application},
};

int admit(struct request *r, json_t *tree, const json_t *old, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].kind == r->kind)
			return rules[i].admit(r, tree, old, e);
	return 0;
}
