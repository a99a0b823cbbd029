/* The rules of the kinds, one file per subject. Private to this room. Wherever `old` stands, it is
 * the state before an update, null on creation. Source of the rules: Kubernetes 1.30,
 * pkg/apis/core/validation and pkg/apis/apps/validation. */
#ifndef CONTINUO_MODEL_VALIDATE_H
#define CONTINUO_MODEL_VALIDATE_H

#include "model/finding.h"

/* One document under test. */
struct validation {
	const struct kind *kind;
	const json_t *json;
	const json_t *old;
	struct findings *findings;
};

void validate_metadata(const struct validation *v);

/* spec of a pod or of a template, at path p. */
void validate_pod_spec(struct findings *f, const struct path *p, const json_t *spec);
void validate_containers(struct findings *f, const struct path *p, const json_t *spec);
void validate_volumes(struct findings *f, const struct path *p, const json_t *spec);
void validate_scheduling(struct findings *f, const struct path *p, const json_t *spec);
void validate_resources(struct findings *f, const struct path *p, const json_t *resources);

void validate_pod(const struct validation *v);
void validate_deployment(const struct validation *v);
void validate_replicaset(const struct validation *v);
void validate_service(const struct validation *v);
void validate_endpointslice(const struct validation *v);
void validate_configmap(const struct validation *v);
void validate_secret(const struct validation *v);
void validate_node(const struct validation *v);
void validate_event(const struct validation *v);
void validate_site(const struct validation *v);
void validate_application(const struct validation *v);

/* The pod template of a workload that keeps pods running: what has it, at path p. */
void validate_template(struct findings *f, const struct path *p, const json_t *owner);
/* Strings of a list that appear twice; name: the member that is compared, null: the items. */
void validate_unique(struct findings *f, const struct path *p, const json_t *list,
	const char *name);
/* A duration and a quantity that stand for a latency and for an amount; null: nothing to check. */
void validate_latency(struct findings *f, const struct path *p, const json_t *latency);
void validate_not_negative(struct findings *f, const struct path *p, const json_t *quantity);
/* Annotation continuo.dev/singleton of a pod or a template: keep or handover; p: its metadata. */
void validate_singleton(struct findings *f, const struct path *p, const json_t *annotations);
/* The same of COUNTRIES_ANNOTATION. */
void validate_countries(struct findings *f, const struct path *p, const json_t *annotations);
void validate_label_values(struct findings *f, const struct path *p, const json_t *labels);

#endif
