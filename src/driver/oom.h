/*
 * How ready the kernel is to kill a container when memory runs out: oom_score_adj as kubelet
 * computes it by class of service (kubernetes/pkg/kubelet/qos/policy.go). Pure.
 */
#ifndef CONTINUO_DRIVER_OOM_H
#define CONTINUO_DRIVER_OOM_H

#include <stdint.h>

/* qos: as pod_qos_class gives it; the container's request; the machine's memory. */
int oom_score_adj(const char *qos, int64_t request_bytes, int64_t memory_bytes);

#endif
