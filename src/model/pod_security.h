/*
 * Pod Security Standards (kubernetes.io/docs/concepts/security/pod-security-standards): what a pod
 * may ask for under the level of its namespace. Checked at admission, again where controllers make
 * pods, and once more by drivers. Pure.
 */
#ifndef CONTINUO_MODEL_POD_SECURITY_H
#define CONTINUO_MODEL_POD_SECURITY_H

#include "model/model.h"

#define POD_SECURITY_LABEL "pod-security.kubernetes.io/enforce"

/* The level of a namespace: its label, else "baseline". namespace null: "baseline". */
const char *pod_security_level(const struct object *namespace);

/* spec: a PodSpec. Returns 0, or -ERR_FORBIDDEN with all violations in one sentence: `violates
 * PodSecurity "baseline:latest": host namespaces (hostNetwork=true), hostPath volumes (volume
 * "data")`. */
int pod_security_check(const char *level, const json_t *spec, struct err *e) MUST_CHECK;

#endif
