#include "cli/adopt_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/docker_api.h"
#include "model/pod_security.h"

#define COMPOSE "com.docker.compose."

/* ---- which containers, in which order ---- */

static const char *label(const json_t *container, const char *key)
{
	return json_text(container, NULL, "Config", "Labels", key);
}

static const char *name_of(const json_t *container)
{
	const char *name = json_text(container, "", "Name");
	return *name == '/' ? name + 1 : name;
}

static bool is_ours(const json_t *container)
{
	return label(container, DOCKER_LABEL_NODE) != NULL;
}

/* Of a Podman pod: it goes with that pod only. */
static bool is_infra(const json_t *container)
{
	return str_starts(json_text(container, "", "Config", "Image"), "localhost/podman-pause:");
}

static const char *why_not(const json_t *container)
{
	if (is_ours(container))
		return "it is of a pod of this node already";
	if (is_infra(container))
		return "it holds the namespaces of a Podman pod";
	if (str_equal(label(container, COMPOSE "oneoff"), "True"))
		return "it is a one-off (docker compose run)";
	if (json_bool(container, false, "State", "Paused"))
		return "it is paused; docker unpause it first";
	if (!json_bool(container, false, "State", "Running") ||
		json_bool(container, false, "State", "Restarting"))
		return "it does not run";
	return NULL;
}

static int compare_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int64_t number_of(const json_t *container)
{
	const char *text = label(container, COMPOSE "container-number");
	int64_t number = 0;
	return text && str_to_int64(text, "number", &number, NULL) == 0 ? number : 0;
}

static int compare_found(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int by = compare_text(label(x, COMPOSE "project"), label(y, COMPOSE "project"));
	by = by ? by : compare_text(label(x, COMPOSE "service"), label(y, COMPOSE "service"));
	int64_t m = number_of(x), n = number_of(y);
	by = by ? by : m < n ? -1 : m > n;
	return by ? by : compare_text(name_of(x), name_of(y));
}

/* ---- names ---- */

/* Names of the system's own namespaces are not for projects. */
static void name_namespace(const char *project, char ret_name[static ADOPT_LABEL_SIZE])
{
	char plain[ADOPT_LABEL_SIZE];
	adopt_label(project, plain);
	bool reserved = str_equal(plain, "default") || str_starts(plain, "kube-");
	snprintf(ret_name, ADOPT_LABEL_SIZE, "%s%.*s", reserved ? "compose-" : "",
		(int)(ADOPT_LABEL_SIZE - 1 - (reserved ? strlen("compose-") : 0)), plain);
}

/* "web", or "web-2" when something else got "web" by dropping what labels cannot hold. */
static void name_workload(const struct map *taken, struct adopt_workload *w, const char *text)
{
	char plain[ADOPT_LABEL_SIZE];
	adopt_label(text, plain);
	for (int i = 1;; i++) {
		char suffix[16] = "", key[2 * ADOPT_LABEL_SIZE + 2];
		if (i > 1)
			snprintf(suffix, sizeof(suffix), "-%d", i);
		snprintf(w->name, sizeof(w->name), "%.*s%s",
			(int)(sizeof(w->name) - 1 - strlen(suffix)), plain, suffix);
		snprintf(key, sizeof(key), "%s/%s", w->namespace, w->name);
		if (!map_has(taken, key))
			return;
	}
}

static struct adopt_workload *add_workload(struct adopt_plan *p, struct map *taken,
	const json_t *container, const char *namespace)
{
	struct adopt_workload *w = vec_add(&p->workloads);
	char key[2 * ADOPT_LABEL_SIZE + 2];
	w->project = label(container, COMPOSE "project");
	w->service = label(container, COMPOSE "service");
	if (w->project && w->service)
		name_namespace(w->project, w->namespace);
	else
		(void)str_copy(w->namespace, sizeof(w->namespace), namespace);
	name_workload(taken, w, w->project && w->service ? w->service : name_of(container));
	snprintf(key, sizeof(key), "%s/%s", w->namespace, w->name);
	map_put(taken, key, w);
	return w;
}

/* ---- members ---- */

static void add_member(struct adopt_workload *w, const json_t *container, const json_t *image)
{
	struct adopt_member *m = vec_add(&w->members);
	*m = (struct adopt_member){.container = container,
		.id = json_text(container, "", "Id"),
		.name = name_of(container),
		.number = number_of(container),
		.warnings = json_array()};
	char name[ADOPT_LABEL_SIZE];
	adopt_label(w->service ? w->service : m->name, name);
	struct adopt_spec spec = {.container = container,
		.image = json_is_object(image) ? image : NULL,
		.name = name,
		.warnings = m->warnings};
	m->spec = adopt_spec_pod(&spec);
	const struct adopt_member *first = &w->members.items[0];
	if (m != first && !json_equal(m->spec, first->spec))
		adopt_spec_warn(&spec,
			"it is not set up as %s is; a roll-out makes all of them like that one",
			first->name);
}

static bool belongs(const struct adopt_workload *w, const json_t *container)
{
	return w && w->project && w->service &&
	       str_equal(w->project, label(container, COMPOSE "project")) &&
	       str_equal(w->service, label(container, COMPOSE "service"));
}

static int compare_workloads(const void *a, const void *b)
{
	const struct adopt_workload *x = a, *y = b;
	int by = strcmp(x->namespace, y->namespace);
	return by ? by : strcmp(x->name, y->name);
}

void adopt_plan_make(const json_t *found, const char *namespace, struct adopt_plan *ret_plan)
{
	size_t count = json_array_size(found), i;
	CLEANUP(mem_free_ptr) const json_t **sorted = mem_alloc_array(count + 1, sizeof(*sorted));
	CLEANUP(mem_free_ptr)
	const json_t **containers = mem_alloc_array(count + 1, sizeof(*containers));
	struct map taken CLEANUP(map_done) = {0}, images CLEANUP(map_done) = {0};
	*ret_plan = (struct adopt_plan){0};
	for (i = 0; i < count; i++) {
		const json_t *item = json_array_get(found, i);
		containers[i] = json_at(item, "container");
		map_put(&images, json_text(containers[i], "", "Id"), json_at(item, "image"));
	}
	qsort(containers, count, sizeof(*containers), compare_found);
	struct adopt_workload *w = NULL;
	for (i = 0; i < count; i++) {
		const json_t *container = containers[i];
		const char *why = why_not(container);
		if (why) {
			vec_push(&ret_plan->skipped,
				(struct adopt_skipped){name_of(container), why});
			continue;
		}
		if (!belongs(w, container))
			w = add_workload(ret_plan, &taken, container, namespace);
		add_member(w, container, map_get(&images, json_text(container, "", "Id")));
	}
	if (ret_plan->workloads.count)
		qsort(ret_plan->workloads.items, ret_plan->workloads.count,
			sizeof(*ret_plan->workloads.items), compare_workloads);
}

void adopt_plan_done(struct adopt_plan *p)
{
	VEC_EACH (&p->workloads, struct adopt_workload, w) {
		VEC_EACH (&w->members, struct adopt_member, m) {
			json_decref(m->spec);
			json_decref(m->warnings);
		}
		vec_done(&w->members);
	}
	vec_done(&p->workloads);
	vec_done(&p->skipped);
}

/* ---- objects ---- */

json_t *adopt_namespace(const struct adopt_workload *w)
{
	return json_pack("{s:s, s:s, s:{s:s, s:{s:s}}}", "apiVersion", "v1", "kind", "Namespace",
		"metadata", "name", w->namespace, "labels", POD_SECURITY_LABEL, "privileged");
}

/* Their data and their ports are of this node: so are those that take their places, which wait for
 * it when it is away. */
static json_t *bound_spec(const json_t *spec, const char *node)
{
	static const char *const away[] = {
		"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"};
	json_t *copy = json_deep_copy(spec), *tolerations = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(away); i++)
		json_array_append_new(tolerations,
			json_pack("{s:s, s:s, s:s}", "key", away[i], "operator", "Exists", "effect",
				"NoExecute"));
	json_object_set_new(copy, "nodeSelector",
		json_pack("{s:s}", "kubernetes.io/hostname", node));
	json_object_set_new(copy, "tolerations", tolerations);
	return copy;
}

json_t *adopt_deployment(const struct adopt_workload *w, const char *name, const char *node)
{
	json_t *labels = json_pack("{s:s}", "app", name), *of;
	if (w->project)
		json_object_set_new(labels, "app.kubernetes.io/part-of", json_string(w->namespace));
	of = json_copy(labels);
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:{s:s, s:s}}, s:{s:I, s:b, s:{s:s}, "
			 "s:{s:{s:s}}, s:{s:{s:o}, s:o}}}",
		"apiVersion", "apps/v1", "kind", "Deployment", "metadata", "name", name,
		"namespace", w->namespace, "labels", of, "annotations", ADOPT_FROM, node,
		ADOPT_UNDER_WAY, "docker", "spec", "replicas", (json_int_t)w->members.count,
		"paused", 1, "strategy", "type", "Recreate", "selector", "matchLabels", "app", name,
		"template", "metadata", "labels", labels, "spec",
		bound_spec(w->members.items[0].spec, node));
}

json_t *adopt_pod(const struct adopt_member *m, const json_t *deployment, const char *hash,
	const char *node)
{
	char name[ADOPT_LABEL_SIZE + 16];
	const json_t *template = json_at(deployment, "spec", "template");
	snprintf(name, sizeof(name), "%.40s-%.12s", json_text(deployment, "", "metadata", "name"),
		m->id);
	json_t *labels = json_deep_copy(json_at(template, "metadata", "labels"));
	json_t *spec = json_deep_copy(json_at(template, "spec"));
	if (*hash)
		json_object_set_new(labels, "pod-template-hash", json_string(hash));
	json_object_set_new(spec, "nodeName", json_string(node));
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:{s:s, s:s}}, s:o}", "apiVersion", "v1",
		"kind", "Pod", "metadata", "name", name, "namespace",
		json_text(deployment, "", "metadata", "namespace"), "labels", labels, "annotations",
		ADOPT_POD, "docker", ADOPT_CONTAINER, m->id, "spec", spec);
}

bool adopt_mark_is_idle(const json_t *pod, const json_t *deployments)
{
	const json_t *meta = json_at(pod, "metadata");
	size_t i;
	json_t *one;
	if (!json_at(meta, "annotations", ADOPT_CONTAINER) ||
		!json_at(meta, "annotations", ADOPT_HAND_BACK) ||
		json_at(meta, "deletionTimestamp"))
		return false;
	if (json_array_size(json_at(meta, "ownerReferences")) == 0)
		return true;
	json_array_foreach (deployments, i, one)
		if (str_equal(json_text(one, "", "metadata", "name"),
			    json_text(meta, "", "labels", "app")) &&
			str_equal(json_text(one, "", "metadata", "namespace"),
				json_text(meta, "", "namespace")))
			return !json_at(one, "metadata", "deletionTimestamp");
	return false;
}
