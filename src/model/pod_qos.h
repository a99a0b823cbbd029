/* A pod's class of service (Kubernetes: "Configure Quality of Service for Pods"). Pure. */
#ifndef CONTINUO_MODEL_POD_QOS_H
#define CONTINUO_MODEL_POD_QOS_H

#include <jansson.h>

/* Of a PodSpec: "Guaranteed", "Burstable" or "BestEffort". A request that is missing is its limit.
 */
const char *pod_qos_class(const json_t *spec);

#endif
