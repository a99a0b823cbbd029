/*
 * Deployments: one ReplicaSet per pod template, named by the template's hash. All strategies are
 * carried out as Recreate: when the template changes, the old ReplicaSets go to 0 and the new one
 * gets its pods when the last old pod is gone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "control/step.h"
#include "control/template_hash.h"

#define HASH_LABEL TEMPLATE_HASH_LABEL
#define REVISION "deployment.kubernetes.io/revision"
#define COMPONENT "deployment-controller"

static void on_change(struct control_view *v, const struct object *object,
	const struct object *previous, void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *o = object ? object : previous;
	if (o->kind == &kind_deployment) {
		step_add(o, queue_add, queue);
		return;
	}
	if (o->kind == &kind_replicaset) {
		step_add_owner(v, object, &kind_deployment, queue_add, queue);
		step_add_owner(v, previous, &kind_deployment, queue_add, queue);
		return;
	}
	/* The last pod of an old template went: the new ones may come. */
	const struct object *owner =
		object || !o->owner_uid[0] ? NULL : view_get_uid(v, o->owner_uid);
	if (owner && owner->kind == &kind_replicaset)
		step_add_owner(v, owner, &kind_deployment, queue_add, queue);
}

/* What a step works on. */
struct rollout {
	struct control_view *view;
	struct control_out *out;
	const struct object *object;
	json_t *tree;
	struct view_list sets;       /* owned ReplicaSets */
	const struct object *newest; /* of the current template; null */
	char hash[TEMPLATE_HASH_SIZE];
	int64_t replicas;
	int64_t wall_ms;
};

static int64_t revision_of(const struct object *set)
{
	CLEANUP(json_done) json_t *tree = object_tree(set);
	int64_t revision = 0;
	const char *text = json_text(tree, "0", "metadata", "annotations", REVISION);
	return str_to_int64(text, "revision", &revision, NULL) == 0 ? revision : 0;
}

static void find_newest(struct rollout *r)
{
	for (size_t i = 0; i < r->sets.count; i++) {
		const char *hash = object_label(r->sets.objects[i], HASH_LABEL);
		if (str_equal(hash, r->hash))
			r->newest = r->sets.objects[i];
	}
}

static json_t *with_hash(const json_t *labels, const char *hash)
{
	json_t *copy = labels ? json_deep_copy(labels) : json_object();
	json_object_set_new(copy, HASH_LABEL, json_string(hash));
	return copy;
}

static json_t *new_set_tree(const struct rollout *r, const char *name, int64_t revision)
{
	json_t *spec = json_object_get(r->tree, "spec");
	json_t *template = json_deep_copy(json_object_get(spec, "template"));
	json_t *selector = json_deep_copy(json_object_get(spec, "selector"));
	json_t *labels = json_at(template, "metadata", "labels");
	json_t *match = json_ensure_object(selector, "matchLabels");
	json_object_set_new(match, HASH_LABEL, json_string(r->hash));
	char number[24];
	snprintf(number, sizeof(number), "%" PRId64, revision);
	json_t *set_labels = with_hash(labels, r->hash);
	json_object_set_new(json_ensure_object(template, "metadata"), "labels",
		with_hash(labels, r->hash));
	return json_pack("{s:{s:s, s:s, s:o, s:{s:s}, s:[o]}, s:{s:I, s:o, s:o}}", "metadata",
		"name", name, "namespace", r->object->namespace, "labels", set_labels,
		"annotations", REVISION, number, "ownerReferences", step_owner(r->object), "spec",
		"replicas", (json_int_t)r->replicas, "selector", selector, "template", template);
}

/* The number that shows in a Deployment's history. */
static int64_t next_revision(const struct rollout *r)
{
	int64_t most = 0;
	for (size_t i = 0; i < r->sets.count; i++) {
		int64_t revision = revision_of(r->sets.objects[i]);
		most = revision > most ? revision : most;
	}
	return most + 1;
}

static int64_t set_replicas(const struct object *set)
{
	CLEANUP(json_done) json_t *tree = object_tree(set);
	return json_int(tree, 1, "spec", "replicas");
}

static void scale(struct rollout *r, const struct object *set, int64_t replicas)
{
	json_t *tree = object_tree(set);
	int64_t have = json_int(tree, 1, "spec", "replicas");
	if (have == replicas) {
		json_decref(tree);
		return;
	}
	json_object_set_new(json_object_get(tree, "spec"), "replicas", json_integer(replicas));
	step_update(r->out, set, tree);
	step_event(r->out, r->object, COMPONENT, false, "ScalingReplicaSet",
		"Scaled %s replica set %s to %" PRId64 " from %" PRId64,
		replicas > have ? "up" : "down", set->name, replicas, have);
}

/* Pods that are still there count, also while they are stopping. */
static bool scale_down_old(struct rollout *r)
{
	bool gone = true;
	for (size_t i = 0; i < r->sets.count; i++) {
		const struct object *set = r->sets.objects[i];
		if (set == r->newest)
			continue;
		scale(r, set, 0);
		struct view_list pods = view_owned(r->view, &kind_pod, set->uid);
		for (size_t k = 0; k < pods.count; k++)
			gone = gone && step_pod_over(pods.objects[k]);
	}
	return gone;
}

static void use_newest(struct rollout *r)
{
	if (r->newest) {
		int64_t most = next_revision(r) - 1;
		if (r->sets.count > 1 && revision_of(r->newest) < most) { /* rolled back to it */
			json_t *tree = object_tree(r->newest);
			char number[24];
			snprintf(number, sizeof(number), "%" PRId64, most + 1);
			json_object_set_new(json_ensure_object(json_object_get(tree, "metadata"),
						    "annotations"),
				REVISION, json_string(number));
			json_object_set_new(json_object_get(tree, "spec"), "replicas",
				json_integer(r->replicas));
			step_update(r->out, r->newest, tree);
			return;
		}
		scale(r, r->newest, r->replicas);
		return;
	}
	char name[272];
	snprintf(name, sizeof(name), "%.240s-%s", r->object->name, r->hash);
	step_create(r->out, &kind_replicaset, new_set_tree(r, name, next_revision(r)));
	step_event(r->out, r->object, COMPONENT, false, "ScalingReplicaSet",
		"Scaled up replica set %s to %" PRId64, name, r->replicas);
}

struct aged {
	const struct object *set;
	int64_t revision;
};

static int compare_aged(const void *a, const void *b)
{
	const struct aged *x = a, *y = b;
	return x->revision < y->revision ? -1 : x->revision > y->revision;
}

static void clean_up_history(struct rollout *r)
{
	int64_t limit = json_int(r->tree, 10, "spec", "revisionHistoryLimit");
	if (r->sets.count <= 1 || (int64_t)r->sets.count - 1 <= limit)
		return;
	struct aged *old = arena_new_array(r->out->arena, r->sets.count, struct aged);
	size_t count = 0;
	for (size_t i = 0; i < r->sets.count; i++) {
		const struct object *set = r->sets.objects[i];
		if (set != r->newest && !set->deletion_ms && set_replicas(set) == 0 &&
			view_owned(r->view, &kind_pod, set->uid).count == 0)
			old[count++] = (struct aged){set, revision_of(set)};
	}
	qsort(old, count, sizeof(*old), compare_aged);
	for (size_t i = 0; i + (size_t)limit < count; i++)
		step_delete(r->out, old[i].set);
}

/* ---- status ---- */

struct counts {
	int64_t wanted, replicas, updated, ready, available;
};

static struct counts count_sets(const struct rollout *r)
{
	struct counts n = {0};
	for (size_t i = 0; i < r->sets.count; i++) {
		CLEANUP(json_done) json_t *tree = object_tree(r->sets.objects[i]);
		int64_t replicas = json_int(tree, 0, "status", "replicas");
		n.wanted += json_int(tree, 1, "spec", "replicas");
		n.replicas += replicas;
		n.ready += json_int(tree, 0, "status", "readyReplicas");
		n.available += json_int(tree, 0, "status", "availableReplicas");
		if (r->sets.objects[i] == r->newest)
			n.updated = replicas;
	}
	return n;
}

/* Kubernetes' rounding of maxUnavailable: down, and 0 for Recreate. */
static int64_t max_unavailable(const struct rollout *r)
{
	if (str_equal(json_text(r->tree, "", "spec", "strategy", "type"), "Recreate"))
		return 0;
	const json_t *value =
		json_at(r->tree, "spec", "strategy", "rollingUpdate", "maxUnavailable");
	const char *text = json_text_or(value, NULL);
	int64_t number = json_int_or(value, 0);
	if (text && str_ends(text, "%"))
		number = r->replicas * strtoll(text, NULL, 10) / 100;
	return number < r->replicas ? number : r->replicas;
}

static void set_count(json_t *status, const char *name, int64_t count)
{
	if (count > 0)
		json_object_set_new(status, name, json_integer(count));
	else
		json_object_del(status, name);
}

static void set_conditions(struct rollout *r, json_t *status, const struct counts *n)
{
	json_t *conditions = json_object_get(status, "conditions");
	if (!conditions)
		json_object_set_new(status, "conditions", conditions = json_array());
	bool available = n->available >= r->replicas - max_unavailable(r);
	bool changed = step_condition(conditions, "Available", available,
		available ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
		available ? "Deployment has minimum availability."
			  : "Deployment does not have minimum availability.",
		r->wall_ms);
	bool complete = r->newest && n->updated == r->replicas && n->replicas == n->updated &&
			n->available >= r->replicas;
	char message[400];
	const char *name = r->newest ? r->newest->name : r->object->name;
	const char *form = complete    ? "ReplicaSet \"%s\" has successfully progressed."
			   : r->newest ? "ReplicaSet \"%s\" is progressing."
				       : "Deployment \"%s\" waits for its old pods to go.";
	snprintf(message, sizeof(message), form, name);
	changed |= step_condition(conditions, "Progressing", true,
		complete ? "NewReplicaSetAvailable" : "ReplicaSetUpdated", message, r->wall_ms);
	char now[TIME_TEXT_SIZE];
	time_format(r->wall_ms, now);
	size_t i;
	json_t *condition;
	json_array_foreach (conditions, i, condition)
		if (changed || !json_object_get(condition, "lastUpdateTime"))
			json_object_set_new(condition, "lastUpdateTime", json_string(now));
}

static void write_status(struct rollout *r)
{
	struct counts n = count_sets(r);
	json_t *tree = json_deep_copy(r->tree);
	json_t *status = json_ensure_object(tree, "status");
	json_object_set_new(status, "observedGeneration", json_integer(r->object->generation));
	set_count(status, "replicas", n.replicas);
	set_count(status, "updatedReplicas", n.updated);
	set_count(status, "readyReplicas", n.ready);
	set_count(status, "availableReplicas", n.available);
	set_count(status, "unavailableReplicas", n.wanted - n.available);
	set_conditions(r, status, &n);
	if (r->newest) {
		char number[24];
		snprintf(number, sizeof(number), "%" PRId64, revision_of(r->newest));
		json_object_set_new(json_ensure_object(json_object_get(tree, "metadata"),
					    "annotations"),
			REVISION, json_string(number));
	}
	if (json_equal(tree, r->tree))
		json_decref(tree);
	else
		step_status(r->out, r->object, tree);
}

/* ---- the step ---- */

/* Another ReplicaSet has the name: the next hash is taken. */
static bool name_is_taken(struct rollout *r)
{
	char name[272];
	snprintf(name, sizeof(name), "%.240s-%s", r->object->name, r->hash);
	const struct object *set = view_get(r->view, &kind_replicaset, r->object->namespace, name);
	return set && !str_equal(set->owner_uid, r->object->uid);
}

static int step(struct control_view *v, const char *key, int64_t wall_ms, struct control_out *out,
	struct err *e)
{
	(void)e;
	const struct object *o = view_get_key(v, key);
	if (!o || o->deletion_ms)
		return 0;
	CLEANUP(json_done) json_t *tree = object_tree(o);
	struct rollout r = {.view = v, .out = out, .object = o, .tree = tree, .wall_ms = wall_ms};
	r.replicas = json_int(tree, 1, "spec", "replicas");
	r.sets = view_owned(v, &kind_replicaset, o->uid);
	int64_t collisions = json_int(tree, 0, "status", "collisionCount");
	do
		control_template_hash(json_at(tree, "spec", "template"), collisions++, r.hash);
	while (name_is_taken(&r) && collisions < 16);
	find_newest(&r);
	if (!json_bool(tree, false, "spec", "paused")) {
		bool gone = scale_down_old(&r);
		if (gone || (r.newest && set_replicas(r.newest) > 0))
			use_newest(&r);
		clean_up_history(&r);
	}
	write_status(&r);
	return 0;
}

static const struct kind *const watched[] = {&kind_deployment, &kind_replicaset, &kind_pod, NULL};
const struct reconciler reconciler_deployment = {"deployment", on_change, watched, step};
