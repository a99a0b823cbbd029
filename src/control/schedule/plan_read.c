/* What a plan is about: what is asked for, and what of it runs already. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/schedule/plan.h"
#include "control/step.h"
#include "control/template_hash.h"
#include "model/application.h"

#define WORKLOADS_MAX 1000
#define REPLICAS_MAX 10000 /* of one plan */

static void uids_done(plan_uids *uids)
{
	VEC_EACH (uids, char *, uid)
		free(*uid);
	vec_done(uids);
}

static void workload_done(struct plan_workload *w)
{
	VEC_EACH (&w->parts, struct plan_part, part) {
		free(part->component);
		json_decref(part->template);
		uids_done(&part->staying);
	}
	vec_done(&w->parts);
	uids_done(&w->leaving);
	object_unref(w->object);
}

void plan_free(struct schedule_plan *plan)
{
	VEC_EACH (&plan->workloads, struct plan_workload, w)
		workload_done(w);
	vec_done(&plan->workloads);
	json_decref(plan->result);
	free(plan);
}

void plan_tell(struct schedule_plan *plan, const struct err *e)
{
	control_plan_cb *done = plan->done;
	plan->done = NULL;
	if (!e && plan->err.code)
		e = &plan->err;
	if (done)
		done(plan->arg, e ? NULL : plan->result, e);
}

/* ---- what runs ---- */

/* A pod beyond the number of replicas goes. */
static void add_pod(struct plan_workload *w, struct plan_part *part, const struct object *pod,
	bool stays)
{
	if (!step_pod_active(pod) || !pod->node[0])
		return;
	stays = stays && (int64_t)part->staying.count < part->replicas;
	plan_uids *uids = stays ? &part->staying : &w->leaving;
	vec_push(uids, mem_dup_string(pod->uid));
}

/* hash null: whatever their template was. */
static void add_pods(struct plan_workload *w, struct plan_part *part, struct control_view *v,
	const struct object *replicaset, const char *hash)
{
	struct view_list pods = view_owned(v, &kind_pod, replicaset->uid);
	for (size_t i = 0; i < pods.count; i++)
		add_pod(w, part, pods.objects[i],
			!hash || str_equal(object_label(pods.objects[i], TEMPLATE_HASH_LABEL),
					 hash));
}

static void add_deployment(struct plan_workload *w, struct plan_part *part, struct control_view *v,
	const struct object *deployment)
{
	CLEANUP(json_done) json_t *tree = object_tree(deployment);
	char hash[TEMPLATE_HASH_SIZE];
	control_template_hash(part->template, json_int(tree, 0, "status", "collisionCount"), hash);
	struct view_list sets = view_owned(v, &kind_replicaset, deployment->uid);
	for (size_t i = 0; i < sets.count; i++)
		add_pods(w, part, v, sets.objects[i], hash);
}

/* ---- what is asked for ---- */

static struct plan_part *add_part(struct plan_workload *w, const char *component, json_t *template,
	int64_t replicas)
{
	struct plan_part *part = vec_add(&w->parts);
	part->component = component ? mem_dup_string(component) : NULL;
	part->template = template;
	part->replicas = replicas;
	return part;
}

static void read_application(struct plan_workload *w, struct control_view *v, const json_t *tree)
{
	const struct object *old =
		view_get(v, &kind_application, w->object->namespace, w->object->name);
	struct view_list owned =
		old ? view_owned(v, &kind_deployment, old->uid) : (struct view_list){0};
	size_t i;
	json_t *component;
	json_array_foreach (json_at(tree, "spec", "components"), i, component) {
		const char *name = json_text(component, "", "name");
		struct plan_part *part = add_part(w, name, application_template(tree, component),
			json_int(component, 1, "replicas"));
		for (size_t k = 0; k < owned.count; k++)
			if (str_equal(object_label(owned.objects[k], APPLICATION_COMPONENT_LABEL),
				    name))
				add_deployment(w, part, v, owned.objects[k]);
	}
	struct plan_part none = {0};
	for (size_t k = 0; k < owned.count; k++) {
		const char *name = object_label(owned.objects[k], APPLICATION_COMPONENT_LABEL);
		bool kept = false;
		VEC_EACH (&w->parts, struct plan_part, part)
			kept |= str_equal(part->component, name);
		struct view_list sets = view_owned(v, &kind_replicaset, owned.objects[k]->uid);
		for (size_t s = 0; s < sets.count && !kept; s++)
			add_pods(w, &none, v, sets.objects[s], NULL);
	}
}

static void read_owner_of_pods(struct plan_workload *w, struct control_view *v,
	const struct kind *kind, const json_t *tree)
{
	const struct object *old = view_get(v, kind, w->object->namespace, w->object->name);
	struct plan_part *part = add_part(w, NULL, json_incref(json_at(tree, "spec", "template")),
		json_int(tree, 1, "spec", "replicas"));
	if (old && kind == &kind_deployment)
		add_deployment(w, part, v, old);
	else if (old)
		add_pods(w, part, v, old, NULL);
}

static void read_pod(struct plan_workload *w, struct control_view *v, const json_t *tree)
{
	const struct object *old = view_get(v, &kind_pod, w->object->namespace, w->object->name);
	json_t *template = json_pack("{s:O, s:O}", "metadata", json_object_get(tree, "metadata"),
		"spec", json_object_get(tree, "spec"));
	struct plan_part *part = add_part(w, NULL, template, 1);
	if (old)
		add_pod(w, part, old, true);
}

static int64_t replicas_of(const struct plan_workload *w)
{
	int64_t sum = 0;
	VEC_EACH (&w->parts, struct plan_part, part)
		sum += part->replicas < REPLICAS_MAX + 1 ? part->replicas : REPLICAS_MAX + 1;
	return sum;
}

int plan_add(struct schedule_plan *plan, struct control_view *v, const struct kind *kind,
	json_t *tree, struct err *e)
{
	struct object *o;
	if (kind != &kind_application && kind != &kind_deployment && kind != &kind_replicaset &&
		kind != &kind_pod)
		return err_set(e, ERR_UNSUPPORTED, "a %s has no pods", kind->name);
	if (plan->workloads.count == WORKLOADS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d workloads in one plan",
			WORKLOADS_MAX);
	int rc = object_from_json(kind, tree, &o, e);
	if (rc != 0)
		return rc;
	struct plan_workload *w = vec_add(&plan->workloads);
	w->object = o;
	if (kind == &kind_application)
		read_application(w, v, tree);
	else if (kind == &kind_pod)
		read_pod(w, v, tree);
	else
		read_owner_of_pods(w, v, kind, tree);
	int64_t replicas = 0;
	VEC_EACH (&plan->workloads, struct plan_workload, one)
		replicas += replicas_of(one);
	if (replicas > REPLICAS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d replicas in one plan", REPLICAS_MAX);
	return 0;
}
