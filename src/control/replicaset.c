/*
 * ReplicaSets: as many pods as asked for. Pods are made and deleted in bursts of at most BURST a
 * step, so that no step holds the loop for long; the next step follows at once.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/step.h"
#include "model/pod_security.h"
#include "model/pod_singleton.h"

#define BURST 40
#define COMPONENT "replicaset-controller"

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *o = object ? object : previous;
	if (o->kind == &kind_replicaset) {
		step_add(o, queue_add, queue);
		return;
	}
	step_add_owner(v, object, &kind_replicaset, queue_add, queue);
	step_add_owner(v, previous, &kind_replicaset, queue_add, queue);
	if (!object || object->owner_uid[0] || object->deletion_ms)
		return;
	/* A pod that nobody owns may be adopted. */
	struct view_list sets = view_list(v, &kind_replicaset, object->namespace);
	for (size_t i = 0; i < sets.count; i++)
		step_add(sets.objects[i], queue_add, queue);
}

static json_t *pod_tree(const struct object *set, const json_t *template, const char *name)
{
	json_t *pod = json_deep_copy(template);
	json_t *metadata = json_ensure_object(pod, "metadata");
	CLEANUP(mem_free_ptr) char *base = mem_format("%s-", set->name);
	json_object_set_new(metadata, "name", json_string(name));
	json_object_set_new(metadata, "generateName", json_string(base));
	json_object_set_new(metadata, "namespace", json_string(set->namespace));
	json_object_set_new(metadata, "ownerReferences", json_pack("[o]", step_owner(set)));
	return pod;
}

/* Pods made here do not pass the API's admission, so its rule is applied here. */
static int check_security(struct control_view *v, const struct object *set, const json_t *template,
	struct control_out *out, struct err *e)
{
	const struct object *namespace = view_get(v, &kind_namespace, "", set->namespace);
	const char *level = pod_security_level(namespace);
	struct err why = ERR_INIT;
	if (pod_security_check(level, json_at(template, "spec"), &why) == 0)
		return 0;
	step_event(out, set, COMPONENT, true, "FailedCreate",
		"Error creating: pods \"%s-\" is forbidden: %s", set->name, why.text);
	return err_set(e, ERR_FORBIDDEN, "%s", why.text);
}

/* Which pods go first when there are too many, as in Kubernetes (ActivePods): those without a node,
 * those that do not run, those not ready, the youngest. */
static int compare_to_go(const void *a, const void *b)
{
	const struct object *x = *(const struct object *const *)a;
	const struct object *y = *(const struct object *const *)b;
	bool x_placed = x->node[0], y_placed = y->node[0];
	if (x_placed != y_placed)
		return x_placed ? 1 : -1;
	bool x_runs = strcmp(x->phase, "Running") == 0, y_runs = strcmp(y->phase, "Running") == 0;
	if (x_runs != y_runs)
		return x_runs ? 1 : -1;
	if (x->ready != y->ready)
		return x->ready ? 1 : -1;
	if (x->created_ms != y->created_ms)
		return x->created_ms > y->created_ms ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int create_pods(struct control_view *v, const struct object *set, const json_t *tree,
	int64_t missing, struct control_out *out, struct err *e)
{
	const struct object *namespace = view_get(v, &kind_namespace, "", set->namespace);
	if (namespace && namespace->deletion_ms)
		return 0;
	const json_t *template = json_at(tree, "spec", "template");
	int rc = check_security(v, set, template, out, e);
	if (rc != 0)
		return rc;
	for (int64_t i = 0; i < missing && i < BURST; i++) {
		const char *name = step_name(out, set->name);
		step_create(out, &kind_pod, pod_tree(set, template, name));
		step_event(out, set, COMPONENT, false, "SuccessfulCreate", "Created pod: %s", name);
	}
	return 0;
}

static void delete_pods(const struct object *set, const struct object **pods, size_t count,
	int64_t surplus, struct control_out *out)
{
	qsort(pods, count, sizeof(*pods), compare_to_go);
	for (int64_t i = 0; i < surplus && i < BURST; i++) {
		step_delete(out, pods[i]);
		step_event(out, set, COMPONENT, false, "SuccessfulDelete", "Deleted pod: %s",
			pods[i]->name);
	}
}

/* Takes pods that nobody owns and that the selector means, and returns how many: they count before
 * any is made, so that who makes the pods first and the set then gets no second ones. */
static size_t adopt(struct control_view *v, const struct object *set, const json_t *tree,
	struct control_out *out)
{
	struct selector *selector = NULL;
	size_t count = 0;
	if (selector_from_json(json_at(tree, "spec", "selector"), &selector, NULL) != 0)
		return 0;
	struct view_list pods = view_owned(v, &kind_pod, "");
	for (size_t i = 0; i < pods.count; i++) {
		const struct object *pod = pods.objects[i];
		if (!str_equal(pod->namespace, set->namespace) || !step_pod_active(pod) ||
			!selector_matches(selector, pod->labels, pod->label_count))
			continue;
		json_t *pod_json = object_tree(pod);
		json_t *metadata = json_object_get(pod_json, "metadata");
		json_t *owners = json_object_get(metadata, "ownerReferences");
		if (!owners)
			json_object_set_new(metadata, "ownerReferences", owners = json_array());
		json_array_append_new(owners, step_owner(set));
		step_update(out, pod, pod_json);
		count++;
	}
	selector_free(selector);
	return count;
}

/* ---- status ---- */

static void set_count(json_t *status, const char *name, int64_t count, bool always)
{
	if (count > 0 || always)
		json_object_set_new(status, name, json_integer(count));
	else
		json_object_del(status, name);
}

static void write_status(const struct object *set, const json_t *tree,
	const struct object *const *pods, size_t count, const struct err *failure, int64_t wall_ms,
	struct control_out *out)
{
	int64_t ready = 0, labelled = 0;
	const json_t *labels = json_at(tree, "spec", "template", "metadata", "labels");
	for (size_t i = 0; i < count; i++) {
		ready += pods[i]->ready;
		bool all = true;
		const char *key;
		json_t *value;
		json_object_foreach ((json_t *)(uintptr_t)labels, key, value)
			all = all &&
			      str_equal(object_label(pods[i], key), json_string_value(value));
		labelled += all;
	}
	json_t *copy = json_deep_copy(tree);
	json_t *status = json_ensure_object(copy, "status");
	set_count(status, "replicas", (int64_t)count, true);
	set_count(status, "fullyLabeledReplicas", labelled, false);
	set_count(status, "readyReplicas", ready, false);
	set_count(status, "availableReplicas", ready, false);
	set_count(status, "observedGeneration", set->generation, true);
	json_object_del(status, "conditions");
	if (failure) {
		json_t *conditions = json_deep_copy(json_at(tree, "status", "conditions"));
		conditions = conditions ? conditions : json_array();
		step_condition(conditions, "ReplicaFailure", true, "FailedCreate", failure->text,
			wall_ms);
		json_object_set_new(status, "conditions", conditions);
	}
	if (json_equal(copy, tree))
		json_decref(copy);
	else
		step_status(out, set, copy);
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	const struct object *set = view_get_key(v, key);
	if (!set || set->deletion_ms)
		return 0;
	CLEANUP(json_done) json_t *tree = object_tree(set);
	struct view_list owned = view_owned(v, &kind_pod, set->uid);
	size_t active = 0, staying = 0;
	for (size_t i = 0; i < owned.count; i++) {
		const struct object *pod = owned.objects[i];
		if (step_pod_active(pod))
			owned.objects[active++] = pod;
		else if (!step_pod_over(pod) && pod_singleton(pod) != SINGLETON_NONE)
			staying++; /* until it is surely gone, it is there */
	}
	int64_t adopted = (int64_t)adopt(v, set, tree, out);
	int64_t missing = json_int(tree, 1, "spec", "replicas") - (int64_t)active - adopted;
	if (missing > 0)
		missing = missing > (int64_t)staying ? missing - (int64_t)staying : 0;
	int rc = 0;
	struct err failure = ERR_INIT;
	if (missing > 0)
		rc = create_pods(v, set, tree, missing, out, &failure);
	else if (missing < 0 && adopted == 0) /* else the next step chooses among all */
		delete_pods(set, owned.objects, active, -missing, out);
	write_status(set, tree, owned.objects, active, rc ? &failure : NULL, wall_ms, out);
	if (rc != 0 && e)
		*e = failure;
	return rc;
}

static const struct kind *const watched[] = {&kind_replicaset, &kind_pod, NULL};
const struct reconciler reconciler_replicaset = {"replicaset", on_change, watched, step};
