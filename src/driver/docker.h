/*
 * The engine `docker`: containers of a Docker Engine (dockerd from 20.10 on, or Podman's socket).
 * Private to this room; docker_api.h is the way to the engine and holds the labels.
 *
 * Each pod has a pause container, continuo-pause_UID, whose namespaces its containers join; its
 * network namespace is pinned at RUN/pods/UID/ns/net, where the agent's network attaches to it.
 * Containers are named continuo_NAME_UID_ATTEMPT. One that ended stays until the run after the
 * next, as its log is in it.
 *
 * Folders, files, volumes and the container's spec are those of `oci` (oci.h), which this engine
 * stands on; docker_create.c says a spec in Docker's words. Below run_folder, in addition:
 *   containers/ID.json   {uid, name, attempt, docker, pid} of each run that was not removed yet
 *
 * docker.c         the vtable; what is kept; finding everything again
 * docker_api.c     requests to the engine; docker_frames.c its multiplexed streams
 * docker_probe.c   what engine that is
 * docker_image.c   layers become an image of the engine
 * docker_sandbox.c the pause container
 * docker_create.c  a runtime-spec as the body of containers/create
 * docker_delete.c  removing a container
 * docker_run.c     creating and starting, removing
 * docker_watch.c   the events of the engine; comparing after each connection
 * docker_exec.c    commands in a container
 * docker_logs.c    reading logs
 * docker_rotate.c  limiting those that Podman's monitors write
 */
#ifndef CONTINUO_DRIVER_DOCKER_H
#define CONTINUO_DRIVER_DOCKER_H

#include "driver/docker_api.h"
#include "driver/oci_pod.h"

#define DOCKER_NAME_SIZE 256

struct docker_container {
	struct docker *docker;
	char id[CONTAINER_ID_SIZE];
	char *uid, *name; /* of the pod; of the container in it */
	int attempt;
	char docker_id[65];
	int pid, pidfd;   /* -1: not running */
	bool running;     /* started, and its exit was not told yet */
	bool checking;    /* a look at its state is under way */
	bool check_again; /* something happened meanwhile */
	char *control;    /* Podman: the pipe of its monitor; null: not known (yet) */
	int64_t log_size; /* as last seen by the rotation */
};

/* A list request or events are under way, or nothing is. */
enum docker_link { DOCKER_AWAY, DOCKER_COMPARING, DOCKER_CONNECTED };

struct docker {
	struct container_engine base;
	struct oci *oci;
	struct loop *loop;
	struct log *log;
	struct docker_api *api;
	struct container_events events;
	struct map containers; /* id → struct docker_container */
	struct map sandboxes;  /* uid → non-null: its pause container runs */
	struct map attempts; /* uid → struct map *: name → the highest attempt there was, plus 1 */
	struct map loading; /* image name → struct docker_load */
	char *pull_program, *pause_program;

	struct driver_probe probe;
	bool probed, podman, systemd; /* systemd: the engine's cgroups are slices */

	enum docker_link link;
	bool lost;               /* the engine went away once */
	struct http_call *watch; /* the events */
	struct buf lines;        /* of the events, not whole yet */
	struct loop_timer *retry, *sweep;
	struct loop_timer *rotate;
	bool rotate_calm;             /* that timer has its long interval */
	struct list followers, execs; /* streams that are open */
	struct list cgroup_ends;      /* that are still to be removed */
	struct list stops;            /* of sandboxes, under way */
	int references;               /* the driver's and one of each call and job under way */
	bool closed;
};

/* docker.c */
struct docker *docker_of(struct container_engine *x);
/* docker_api_call, also when the driver was closed: then it fails. path: a format. */
void docker_request(struct docker *d, const char *method, const json_t *body, docker_answer *done,
	void *arg, const char *path, ...) PRINTF_LIKE(6, 7);
struct docker *docker_ref(struct docker *d);
void docker_unref(struct docker *d);
struct docker_container *docker_container_new(struct docker *d, const char *id, const char *uid,
	const char *name, int attempt) MUST_CHECK;
void docker_container_free(void *container);
void docker_container_pid(struct docker_container *c, int pid); /* its process, from now on */
/* Its record in run_folder: written before it is made, removed with it. A small file on a tmpfs. */
void docker_container_keep(const struct docker_container *c);
void docker_container_forget(struct docker *d, const char *id);
void docker_container_name(const char *uid, const char *name, int attempt,
	char ret_name[static DOCKER_NAME_SIZE]);
void docker_pause_name(const char *uid, char ret_name[static DOCKER_NAME_SIZE]);
/* The engine has this attempt of a container: known until the pod is forgotten. */
void docker_attempt_seen(struct docker *d, const char *uid, const char *name, int attempt);
void docker_attempts_free(void *names);                                  /* of one pod */
char *docker_cgroup(const struct docker *d, const char *uid) MUST_CHECK; /* of a pod */
bool docker_pod_is_known(const struct docker *d, const char *uid);       /* it has a folder */
/* Labels of what is made for a pod; role "container" or "pause". */
json_t *docker_labels(const struct docker *d, const struct oci_pod *p, const char *role) MUST_CHECK;

/* docker_probe.c */
void docker_probe(struct container_engine *x, void (*done)(void *arg, const struct driver_probe *p),
	void *arg);
/* The same without an answer; done: what is known of the engine can be used. */
void docker_know(struct docker *d, void (*done)(void *arg, const struct err *e), void *arg);

/* docker_image.c */
/* Brings layers (folders, lowest first) into the engine unless it has them. image: what to name in
 * containers/create. */
void docker_image_ensure(struct docker *d, const char *const *layers,
	void (*done)(void *arg, const char *image, const struct err *e), void *arg);
/* Removes images whose folders are gone from the agent's store. */
void docker_image_sweep(struct docker *d);
void docker_image_close(struct docker *d);

/* docker_sandbox.c */
void docker_sandbox_start(struct container_engine *x, const struct container_pod *pod,
	void (*done)(void *arg, const char *netns_path, const struct err *e), void *arg);
void docker_sandbox_stop(struct container_engine *x, const char *uid, container_done *done,
	void *arg);
void docker_update(struct container_engine *x, const struct container_pod *pod,
	container_done *done, void *arg);
/* Removes all containers of a pod, the pause container last. */
void docker_remove_all(struct docker *d, const char *uid,
	void (*done)(void *arg, const struct err *e), void *arg);

/* Removes the control groups that an agent before left, as they were not empty yet. */
void docker_cgroups_find(struct docker *d);
void docker_sandbox_close(struct docker *d);

/* docker_create.c: pure. */
struct docker_create {
	const json_t *spec;                  /* runtime-spec */
	const json_t *pod;                   /* tree of the Pod */
	const char *image, *pause;           /* pause: the name of the pause container */
	const char *cgroup;                  /* of the pod; null: the engine's own choice */
	const char *container;               /* its name in the pod */
	const struct driver_device *devices; /* of the pod */
	size_t device_count;
	int64_t log_bytes;   /* of one part of the log; 0: 10 MiB */
	const char *log;     /* the file that Podman's monitor writes; Docker chooses its own */
	const char *seccomp; /* what the engine takes for spec's seccomp; null: it has none */
	bool podman;
	bool all_capabilities; /* a privileged container can have all there are */
};
json_t *docker_create_body(const struct docker_create *c, json_t *labels) MUST_CHECK;

/* docker_delete.c */
/* Removes a container of the pod, by its name or the engine's id; what the engine answers, an
 * -ERR_NOT_FOUND too. */
void docker_delete(struct docker *d, const char *uid, const char *name, docker_answer *done,
	void *arg);
/* Ends the processes of a container that the engine takes for one that does not run; false: there
 * are none. */
bool docker_orphans_kill(const struct docker *d, const char *uid, const char *docker_id);
/* Ends what still watches containers of a pod that has none any more. Blocking. */
void docker_shims_end(const struct docker *d, const char *uid);

/* docker_run.c */
void docker_run(struct container_engine *x, const struct container_spec *spec,
	void (*done)(void *arg, int pid, const struct err *e), void *arg);
void docker_remove(struct container_engine *x, const char *id, container_done *done, void *arg);

/* docker_watch.c */
void docker_watch_start(struct docker *d);
void docker_watch_stop(struct docker *d);
/* Looks whether a container that counts as running has ended, and tells that. */
void docker_check(struct docker_container *c);
/* What inspect says of one that ended is told. */
void docker_exit_tell(struct docker_container *c, const json_t *state);

/* docker_exec.c */
void docker_exec(struct container_engine *x, const char *id, const struct driver_exec *spec,
	struct driver_exec_call **ret_call);
void docker_exec_input(struct driver_exec_call *call, const void *data, size_t size);
size_t docker_exec_queued(const struct driver_exec_call *call);
void docker_exec_pause(struct driver_exec_call *call, bool paused);
void docker_exec_cancel(struct driver_exec_call *call);
void docker_exec_close(struct docker *d);

/* docker_logs.c */
struct driver_logs_call *docker_logs(struct container_engine *x, const char *uid, const char *name,
	int attempt, bool live, const struct driver_logs *spec);
void docker_logs_pause(struct driver_logs_call *call, bool paused);
void docker_logs_cancel(struct driver_logs_call *call);
void docker_logs_close(struct docker *d);

/* docker_rotate.c */
void docker_rotate_wake(struct docker *d); /* a container runs: its log is watched */
void docker_rotate_close(struct docker *d);

#endif
