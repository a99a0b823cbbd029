/*
 * When a container that ended, or an image that could not be pulled, is tried again: at once the
 * first time, then after 10 s, 20 s, 40 s ... at most 5 min; a run of 10 min clears it (kubelet's
 * back-off, https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle). Pure.
 */
#ifndef CONTINUO_DRIVER_RESTART_H
#define CONTINUO_DRIVER_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_BASE_MS 10000
#define RESTART_STEPS_MAX 5    /* doublings: 10 s to 320 s, capped at 30 times the base */
#define RESTART_CLEAR_STEPS 60 /* a run of 60 times the base clears it */

enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };

struct restart {
	int64_t base_ms; /* 0: RESTART_BASE_MS */
	int failures;    /* in a row */
};

/* "Always", "OnFailure", "Never"; everything else counts as Always. */
enum restart_policy restart_policy_parse(const char *text);
bool restart_wanted(enum restart_policy policy, int exit_code);

/* The delay before the next try after a run of ran_ms (0 for what never ran). at_once: the first
 * failure is repeated without a delay, as containers are; pulls are not. */
int64_t restart_delay_ms(struct restart *r, int64_t ran_ms, bool at_once);

#endif
