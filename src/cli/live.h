/* The live view of pods: what is known of each, and how it is shown. Pure: time comes in. */
#ifndef CONTINUO_CLI_LIVE_H
#define CONTINUO_CLI_LIVE_H

#include "base/map.h"
#include "codec/json.h"

struct live_pod {
	char *namespace, *name, *node, *why;
	char state[64];     /* "Running", "ContainerCreating", "CrashLoopBackOff", ... */
	char ready[24];     /* "1/2" */
	char progress[160]; /* of the image that is pulled; "" */
	int restarts;
	int progress_step; /* of four: lines are printed at each */
};

struct live {
	struct map pods; /* uid -> struct live_pod */
	void (*line)(void *arg, const struct live_pod *pod,
		const char *what); /* something changed */
	void *arg;
};

void live_init(struct live *v,
	void (*line)(void *arg, const struct live_pod *pod, const char *what), void *arg);
void live_done(struct live *v);

void live_put(struct live *v, const json_t *pod);
void live_remove(struct live *v, const json_t *pod);
/* Forgets all pods whose uids are not in keep (after the connection was lost). */
void live_keep(struct live *v, const struct map *keep);
void live_progress(struct live *v, const json_t *message);

/* Why the pod is where it is, in a few words, from the placement's annotation, or why it is
 * pending. Freed with free(). */
char *live_why(const json_t *pod) MUST_CHECK;
/* The state as kubectl's column STATUS has it. */
void live_state(const json_t *pod, char *ret_state, size_t size);

#endif
