/*
 * The life cycle of pods over an engine that knows containers only. Private to this room.
 *
 * pod.c       the vtable of the driver, pods by uid, stop and adoption
 * pod_step.c  what to do next: compares what is with what should be, and acts
 * pod_run.c   one container: image, creation, probes, end
 * pod_hook.c  its lifecycle hooks
 * pod_state.c what is observed: phase, reasons, struct driver_state
 * pod_keep.c  the record that outlives the agent's process
 */
#ifndef CONTINUO_DRIVER_POD_H
#define CONTINUO_DRIVER_POD_H

#include "base/map.h"
#include "base/vec.h"
#include "driver/container.h"
#include "driver/probe.h"
#include "driver/restart.h"

#define REASON_SIZE 32

/*
 *         due            image            pid              exit
 *  IDLE ──────▶ PULLING ──────▶ CREATING ──────▶ RUNNING ──────▶ IDLE, to be run again after a
 * delay ▲              │ failure        │ failure                └──▶ ENDED, when the policy wants
 * no more └──────────────┴────────────────┘ after a delay
 */
enum run_phase { RUN_IDLE, RUN_PULLING, RUN_CREATING, RUN_RUNNING, RUN_ENDED };

/* One run that is over. */
struct run_end {
	bool set;
	int exit_code;
	int64_t started_ms, finished_ms; /* wall_ms */
	char reason[REASON_SIZE];
};

struct pod_container {
	struct pod *pod;
	size_t index; /* in pod->containers */
	char *name, *image, *pull_policy;
	bool init;
	struct probe_spec *probes[PROBE_KINDS];
	struct probe_spec *post_start, *pre_stop;          /* null: no such hook */
	const char *post_start_problem, *pre_stop_problem; /* why it cannot be run */

	enum run_phase phase;
	char id[CONTAINER_ID_SIZE];         /* of the run that is under way or was the last */
	int attempt;                        /* of id; the next one is attempt + 1 */
	int runs;                           /* containers that were started so far */
	int last_attempt, previous_attempt; /* that ran, -1: none: their logs are kept */
	int pid;
	int64_t started_ms, started_now_ms; /* wall_ms; now_ms, for the length of the run */
	bool started, ready;                /* by the probes */
	struct run_end end, last;           /* of id when it is over; of the run before */
	char wait_reason[REASON_SIZE];      /* while IDLE, PULLING, CREATING */
	char *wait_message;
	char image_id[80];
	struct restart restart, pull;
	bool waiting;             /* the timer runs towards the next try */
	bool killing;             /* told to end */
	int64_t kill_by_ms;       /* now_ms, of the SIGKILL */
	bool starting;            /* RUNNING, and its postStart hook runs */
	struct probe_check *hook; /* the hook that runs */
	bool adopted, seen;       /* restored from the record; found again in the engine */
	struct loop_timer *timer; /* the next try, or SIGKILL */
	struct probe_watch *watch;
};

/*
 *   NONE ──▶ STARTING ──▶ ATTACHING ──▶ READY ──▶ DETACHING ──▶ REMOVING ──▶ GONE
 *     ▲          │            │
 *     └──────────┴────────────┘ failure, after a delay
 */
enum sandbox_phase {
	SANDBOX_NONE,
	SANDBOX_STARTING,
	SANDBOX_ATTACHING,
	SANDBOX_READY,
	SANDBOX_DETACHING,
	SANDBOX_REMOVING,
	SANDBOX_GONE
};

struct pod_waiter {
	driver_done *done;
	void *arg;
};

/* What the agent handed over; kept by references. */
struct pod_source {
	struct object *pod;
	struct object **objects;
	size_t object_count;
	char *cluster_dns, *privilege;
	char **dns_search, **service_env; /* null terminated */
	struct driver_device *devices;
	size_t device_count;
};

struct pod {
	struct pods *pods;
	int references; /* one of the map's, one of each call under way */
	bool gone;      /* not in the map any more: callbacks only drop their reference */
	struct pod_source source;
	char *uid, *namespace, *name;
	enum restart_policy policy;
	int64_t grace_ms;
	bool host_network;
	char ip[64];
	int64_t started_ms;

	enum sandbox_phase sandbox;
	char netns_path[512];
	struct restart sandbox_restart;
	int sandboxes_lost;
	char sandbox_reason[REASON_SIZE], *sandbox_message;
	struct loop_timer *timer; /* the next try of the sandbox */

	int64_t deadline_ms;               /* activeDeadlineSeconds; 0: none */
	int64_t began_ms;                  /* now_ms, from which it is counted */
	int64_t first_start_ms;            /* before a boot: server's time, to be counted; 0: no */
	struct loop_timer *deadline_timer; /* null: none */
	bool expired;                      /* it is over: all containers end, the pod failed */

	bool stopping, finished; /* finished: all containers ended for good, phase is final */
	bool detached;           /* finished, and the address was given back */
	int64_t stop_by_ms;      /* now_ms, of the SIGKILL */
	int removing;            /* containers that the engine is removing */
	struct pod_container *containers; /* init first */
	size_t container_count;
	VEC(struct pod_waiter) waiters; /* of stop */
	bool updating, update_again;    /* the engine's update runs; it is out of date already */
	struct restart update_restart;
	struct loop_timer *update_timer; /* the next try of an update that failed; null: none did */
	bool dirty;                      /* changed since it was last told and kept */
	bool spec_kept;
};

struct pods {
	struct driver base;
	struct driver_config config;
	struct container_engine *engine;
	unsigned capabilities;
	struct map map;        /* uid → struct pod */
	struct map containers; /* id of a running container → struct pod_container */
	bool flushing;         /* a flush of dirty pods is deferred */
	bool closed;
	int references; /* the driver's, and one of each pod and each deferred call */
};

/* pod.c */
struct pod *pod_ref(struct pod *p);
void pod_unref(struct pod *p);
void pods_unref(struct pods *d);
void pod_touch(struct pod *p); /* changed: told and kept on a later turn */
void pod_event(struct pod *p, bool warning, const char *reason, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* Fills in all but the source; from the Pod's own tree. */
void pod_read(struct pod *p, const json_t *tree);
/* Its deadline runs, from began_ms and first_start_ms on. */
void pod_set_deadline(struct pod *p, const json_t *tree);
void pod_describe(const struct pod *p, struct container_pod *ret_pod);
const char *pod_address(const struct pod *p); /* where it is probed */
/* Hands what changed to the engine, when the sandbox is there and the last time is over. */
void pod_update_engine(struct pod *p);
void pod_forget_now(struct pod *p); /* out of the map; answers those that wait for its end */

/* pod_source.c */
void pod_source_copy(struct pod_source *s, const struct driver_pod *from);
void pod_source_done(struct pod_source *s);
bool pod_source_equal(const struct pod_source *s, const struct driver_pod *with);

/* pod_step.c */
void pod_step(struct pod *p);

/* pod_run.c */
void run_start(struct pod_container *c); /* IDLE and due */
void run_ended(struct pod_container *c, int exit_code, bool oom_killed, int64_t finished_ms);
/* Tells it to end: SIGTERM, SIGKILL after grace_ms. */
void run_kill(struct pod_container *c, int64_t grace_ms, const char *why);
void run_watch(struct pod_container *c); /* starts the probes of a running container */
void run_remove(struct pod_container *c, const char *id);
void run_free(struct pod_container *c);
void run_on_timer(void *arg);

/* pod_hook.c */
/* Begins the hook of a container that was just started; false: it has none. */
bool hook_post_start(struct pod_container *c) MUST_CHECK;
/* Begins the hook of a container that is to end and sends SIGTERM after it; false: it has none. */
bool hook_pre_stop(struct pod_container *c) MUST_CHECK;
/* The grace period is over: true when it was the hook's, and the container has a little left. */
bool hook_overdue(struct pod_container *c) MUST_CHECK;
void hook_end(struct pod_container *c); /* its end is not told any more */

/* pod_state.c */
const char *pod_phase(const struct pod *p);
void pod_state(const struct pod *p, bool stopped,
	void (*each)(void *arg, const struct driver_state *state), void *arg);

/* pod_keep.c */
void pod_keep(struct pod *p);
/* Null when the texts are damaged: such a pod is removed. */
struct pod *pod_restore(struct pods *d, const char *spec, const char *record) MUST_CHECK;

#endif
