/*
 * Handover pods on this node: the lease under which they run, and a fence for each
 * (docs/time-and-leases.md).
 *
 * The lease is the node's. While a handover pod is wanted, a report line {"type":"beat","id":N}
 * goes up every quarter of a lease, and what comes back on the feed extends the lease to the moment
 * at which that beat was sent, plus its length, less the drift. In front of the deadline the agent
 * ends the pods itself; the fence, continuo-fence, a process that outlives the agent, does it at
 * the deadline whatever became of the agent.
 *
 *           wanted, leased             it stands              connected: may start
 *   NONE ───────────────────▶ RAISING ──────────▶ CONNECTING ──────────────────────▶ ARMED
 *     ▲                          ▲                    ▲                                │
 *     │                          └── the fence died ──┼────────────────────────────────┤
 *     └── the lease lapsed ───────────────────────────┼────────────────────────────────┘
 *                                                     └ the driver has the pod from before (adopt)
 *
 * On the socket RUN/fence/UID the fence says "until MS" (CLOCK_BOOTTIME) or "fired"; the agent says
 * "until MS", which moves the deadline forward, or "quit".
 */
#ifndef CONTINUO_AGENT_FENCES_H
#define CONTINUO_AGENT_FENCES_H

#include "base/log.h"
#include "model/object.h"
#include "net/http.h"
#include "sys/fs.h"

#define FENCES_DRIFT_PERMILLE 5 /* of this machine's clock, at most */

struct agent_fences;

/* How fences come to stand, where not as processes of this machine (simulator). done comes on a
 * later turn; status as of a process, 0 when it stands. */
struct agent_fence_maker {
	void (*raise)(void *context, const char *path, const char *pod_uid, int64_t until_ms,
		void (*done)(void *arg, int status, const char *why), void *arg);
	void *context;
};

struct agent_fences_config {
	struct loop *loop;
	struct log *log;
	struct fs *fs;
	const char *program;            /* path of continuo-fence; null: no handover pod can run */
	const char *run_folder;         /* sockets */
	const char *cgroup_parent;      /* a pod's group is CGROUP_PARENT/pod-UID */
	struct agent_fence_maker maker; /* in the program's place, if it has one */
	/* For beats, while there is a session; else null. */
	struct http_client *(*client)(void *arg);
	void (*on_change)(void *arg);                   /* a pod may start now */
	void (*on_expired)(void *arg, const char *uid); /* its lease is over: it must end */
	void *arg;
};

/* The config's strings must outlive it. */
struct agent_fences *agent_fences_new(const struct agent_fences_config *config) MUST_CHECK;
void agent_fences_free(struct agent_fences *f); /* fences stay */

/* Whether annotation continuo.dev/singleton says handover. */
bool agent_fences_wants(const struct object *pod);
/* Whether the pod may be started now. If not, on_change comes when that may have changed. */
bool agent_fences_may_start(struct agent_fences *f, const char *uid);
/* Whether a container of a handover pod may be started now: its fence stands, its lease holds. */
bool agent_fences_may_run(const struct agent_fences *f, const char *uid);
/* The driver has this handover pod from before: its fence is looked for. */
void agent_fences_adopt(struct agent_fences *f, const char *uid);
/* The server has another store: nothing is started under a lease that was granted before. */
void agent_fences_other_epoch(struct agent_fences *f);
/* The server began not long ago: nothing is started for so long. */
void agent_fences_wait(struct agent_fences *f, int64_t wait_ms);
/* The server knows nothing of the pod, which ends: no lease is for it any more. */
void agent_fences_unknown(struct agent_fences *f, const char *uid);
/* Nothing of the pod is left, or it is wanted no more. Unknown ones are fine. The socket goes too:
 * a fence that was killed cannot remove it. */
void agent_fences_drop(struct agent_fences *f, const char *uid);
/* A lease came down the feed. */
void agent_fences_granted(struct agent_fences *f, int64_t id, int64_t lease_ms);

#endif
