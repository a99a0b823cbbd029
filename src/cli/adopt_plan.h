/*
 * What becomes of the containers of a machine that is adopted: which of them make up which
 * Deployment, and the objects that stand for them. Pure. Containers are grouped by their Compose
 * labels (com.docker.compose.project, .service; Compose v1 and v2 set the same), all others stand
 * alone under their own names.
 */
#ifndef CONTINUO_CLI_ADOPT_PLAN_H
#define CONTINUO_CLI_ADOPT_PLAN_H

#include "base/vec.h"
#include "cli/adopt_spec.h"

#define ADOPT_POD "continuo.dev/adopted"         /* on pods: "docker" */
#define ADOPT_CONTAINER "continuo.dev/container" /* on pods: the container's id */
#define ADOPT_FROM "continuo.dev/adopted-from"   /* on Deployments: the node */
#define ADOPT_UNDER_WAY "continuo.dev/adopting"  /* on Deployments whose pods are not all made */
#define ADOPT_HAND_BACK "continuo.dev/hand-back" /* on pods: their containers stay */
#define ADOPT_NODE_ABLE "continuo.dev/adopts"    /* on nodes: whose containers they take over */

/* One container. */
struct adopt_member {
	const json_t *container; /* as inspected; belongs to what the plan was made of */
	const char *id, *name;   /* point into it */
	int64_t number;          /* com.docker.compose.container-number */
	json_t *spec;            /* adopt_spec_pod */
	json_t *warnings;
};

/* What becomes one Deployment. Members have an order: by number, then by name. */
struct adopt_workload {
	char namespace[ADOPT_LABEL_SIZE], name[ADOPT_LABEL_SIZE];
	const char *project, *service; /* of Compose; null */
	VEC(struct adopt_member) members;
};

struct adopt_skipped {
	const char *name; /* points into the inspected container */
	const char *why;
};

struct adopt_plan {
	VEC(struct adopt_workload) workloads; /* by namespace and name */
	VEC(struct adopt_skipped) skipped;
};

/* found: array of {"container": ContainerInspect, "image": ImageInspect or null}, which must
 * outlive the plan. namespace: for what is of no Compose project. The same containers in any order
 * give the same plan. */
void adopt_plan_make(const json_t *found, const char *namespace, struct adopt_plan *ret_plan);
void adopt_plan_done(struct adopt_plan *p); /* for CLEANUP */

/* The objects; new references. name: of the Deployment, the workload's own unless that is taken.
 * The namespace is a privileged one: what such containers may do is not what their pods say. */
json_t *adopt_namespace(const struct adopt_workload *w) MUST_CHECK;
/* Paused, so that nothing is made of it before its pods are there. */
json_t *adopt_deployment(const struct adopt_workload *w, const char *name,
	const char *node) MUST_CHECK;
/* One container's pod, on its node. deployment: as the server has it; hash: of its template, "" to
 * leave it out. */
json_t *adopt_pod(const struct adopt_member *m, const json_t *deployment, const char *hash,
	const char *node) MUST_CHECK;

/* Whether a pod is marked to be handed back and nothing deletes it: its `leave` did not go on.
 * deployments: an array of all that there are. When that of the pod is gone, the pod soon is. */
bool adopt_mark_is_idle(const json_t *pod, const json_t *deployments) MUST_CHECK;

#endif
