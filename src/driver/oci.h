/*
 * The engine `oci`: a runtime (runc or crun) under one conmon per container, cgroups v1, hybrid or
 * v2, overlayfs. Private to this room.
 *
 * Below run_folder (a tmpfs, mounted when it is none: what lies there may hold secrets and must not
 * outlive the boot):
 *   pods/UID/         spec.json record.json ns/{net,ipc,uts,pid}
 *                     volumes/ and subpaths/, where what a subPath leads to is mounted;
 *                     pause/ pause.pid where the process namespace is shared
 *   containers/ID/    the bundle: config.json rootfs/ meta.json pid conmon.pid persist/, and of
 *                     config.json the part that exec takes: process.json
 *   exits/ID          written by conmon: the exit code
 *   sock/ runtime/    conmon's sockets, the runtime's own state
 *
 * Below state_folder (a disk):
 *   pods/UID/volumes/NAME/     emptyDirs
 *   pods/UID/etc/              hosts hostname resolv.conf
 *   pods/UID/layers/ID/        upper and work folder of a container
 *   pods/UID/logs/NAME/N.log   of run N of a container; N.log.1 ... are older parts of it
 *
 * oci.c          the vtable, the queue, finding everything again
 * oci_probe.c    which runtime works here
 * oci_runtime.c  calling it, and ending what goes on without us
 * oci_sandbox.c  namespaces and folders of a pod
 * oci_rootfs.c   the root file system, users and groups in it
 * oci_spec.c     config.json (opencontainers/runtime-spec 1.0.2)
 * oci_run.c      creating and starting under conmon
 * oci_exit.c     exits, removal
 * oci_monitor.c  conmon is watched
 * oci_pause.c    a process namespace for a whole pod
 * oci_exec.c     commands in a container
 * oci_logs.c     reading logs; oci_rotate.c limits them
 * oci_cgroup.c   statistics, memory kills, clean-up
 */
#ifndef CONTINUO_DRIVER_OCI_H
#define CONTINUO_DRIVER_OCI_H

#include "base/list.h"
#include "base/map.h"
#include "driver/container.h"
#include "sys/process.h"

#define OCI_PARALLEL 3 /* containers that are made at the same time */
/* How long processes that were killed are waited for, and how often it is looked. */
#define OCI_END_MOST_MS 5000
#define OCI_END_STEP_MS 2

struct oci_container {
	struct oci *oci;
	char id[CONTAINER_ID_SIZE];
	char *uid, *name; /* of the pod; of the container in it */
	int attempt;
	int pid, pidfd;   /* -1: not running */
	bool running;     /* started, and its exit was not told yet */
	bool host_pid;    /* has no pid namespace of its own: the host's, or the pod's */
	bool found;       /* begun by an earlier process of the agent, maybe not to its end */
	int64_t log_size; /* as last seen by the rotation */
	int monitor_fd;   /* -1: not watched; conmon, or c itself when that is gone */
	struct loop_poll *monitor;
};

struct oci_runtime {
	char path[256]; /* "" while unknown */
	bool wrapped;   /* by continuo-runtime: crun on a hybrid host */
};

struct oci {
	struct container_engine base;
	struct driver_config config;
	char *state_folder, *run_folder, *cgroup_parent, *node_name;
	struct container_events events;
	struct map containers; /* id → struct oci_container */
	int inotify_fd;
	struct loop_poll *inotify;
	struct loop_timer *rotate_timer;
	bool rotate_calm; /* the timer has its long interval */

	struct oci_runtime runtime;
	char *runtime_root, *wrapper; /* wrapper: continuo-runtime, or "" */
	char conmon[256];
	struct list followers; /* logs that wait for more (oci_logs.c) */
	struct driver_probe probe;
	struct oci_probing *probing; /* under way */
	struct list queue;           /* struct oci_run, waiting for a slot or for the runtime */
	int busy;
	int references; /* the driver's and one of each job under way */
	bool closed;
};

/* oci.c */
/* What both engines of this machine (oci, docker) stand on: folders, devices, how a pod's files and
 * a container's spec are made. Nothing runs and no file is touched yet. */
struct oci *oci_new(const struct driver_config *config) MUST_CHECK;
/* run_folder on a tmpfs, state_folder. Blocking. */
int oci_make_folders(const struct oci *o, struct err *e) MUST_CHECK;
struct oci *oci_of(struct container_engine *x);
struct oci *oci_ref(struct oci *o);
void oci_unref(struct oci *o);
struct oci_container *oci_container_new(struct oci *o, const char *id, const char *uid,
	const char *name, int attempt) MUST_CHECK;
void oci_container_free(void *container);
/* Small things that block; for jobs. */
int oci_write_file(const char *path, const char *data, size_t size, int mode,
	struct err *e) MUST_CHECK;
int oci_read_file(const char *path, struct buf *b, struct err *e) MUST_CHECK;
int oci_read_open(int fd, const char *path, struct buf *b, struct err *e) MUST_CHECK;
int oci_make_folder(const char *path, int mode, struct err *e) MUST_CHECK; /* with its parents */
/* Removes a tree without following links or crossing into other mounts; mounts in it are lazily
 * unmounted first. */
void oci_remove_tree(const char *path);
void oci_fd_done(int *fd); /* for CLEANUP: closes it unless it is negative */

/* oci_probe.c */
void oci_probe(struct container_engine *x, void (*done)(void *arg, const struct driver_probe *p),
	void *arg);
void oci_probe_cached(struct oci *o); /* takes the verdict of an earlier process of this boot */

/* oci_sandbox.c */
void oci_sandbox_start(struct container_engine *x, const struct container_pod *pod,
	void (*done)(void *arg, const char *netns_path, const struct err *e), void *arg);
void oci_sandbox_stop(struct container_engine *x, const char *uid, container_done *done, void *arg);
void oci_update(struct container_engine *x, const struct container_pod *pod, container_done *done,
	void *arg);

/* oci_rootfs.c: blocking. */
int oci_rootfs_mount(const char *rootfs, const char *layer_folder, const char *const *layers,
	struct err *e) MUST_CHECK;
struct oci_user {
	uint32_t uid, gid;
	uint32_t groups[64];
	size_t group_count;
	char home[256];
};
/* "", "user", "uid", "user:group", ... looked up in the root's /etc/passwd and /etc/group.
 * -ERR_NOT_FOUND: a name that is not there. */
int oci_user_find(const char *rootfs, const char *text, struct oci_user *ret_user,
	struct err *e) MUST_CHECK;

/* oci_spec.c: blocking (looks into the root and the volumes). */
struct oci_bundle {
	const struct oci *oci;
	const char *id, *uid;
	const json_t *pod, *container, *image; /* trees; image: the OCI image configuration */
	const struct object *const *objects;
	size_t object_count;
	const char *const *env, *const *args;
	bool has_command;
	const char *rootfs;  /* mounted */
	const char *run_pod; /* folders of the pod */
	const char *state_pod;
	const char *privilege;
	const struct driver_device *devices; /* of all containers of the pod */
	size_t device_count;
	bool host_network;
};
int oci_spec_build(const struct oci_bundle *b, json_t **ret_spec, struct err *e) MUST_CHECK;
json_t *oci_seccomp_default(const json_t *capabilities) MUST_CHECK; /* oci_seccomp.c */
json_t *oci_capabilities(const json_t *context) MUST_CHECK;         /* oci_capabilities.c: names */
int oci_resources(const struct oci_bundle *b, json_t *linux_section, struct err *e) MUST_CHECK;
/* Not below our own when we lack the capability to lower it. */
int oci_oom_score(const struct oci_bundle *b) MUST_CHECK;
void oci_devices_of_host(json_t *devices); /* oci_devices.c: appends all of /dev */

/* oci_run.c */
void oci_run_start(struct container_engine *x, const struct container_spec *spec,
	void (*done)(void *arg, int pid, const struct err *e), void *arg);
void oci_run_next(struct oci *o);   /* starts what waits, as far as slots go */
void oci_run_refuse(struct oci *o); /* no runtime works: all that waits fails */

/* oci_exit.c */
int oci_exit_watch(struct oci *o, struct err *e) MUST_CHECK;
/* The exit file of a container, if it is there. */
bool oci_exit_read(const struct oci *o, const char *id, int *ret_code, int64_t *ret_finished_ms);
/* Tells the exit of a container that counts as running, which may free it. */
void oci_exit_tell(struct oci_container *c, const struct container_status *status);
/* The same from its exit file; false: there is none, or it was told before. */
bool oci_exit_check(struct oci_container *c);
bool oci_exit_oom(const struct oci_container *c);
void oci_remove(struct container_engine *x, const char *id, container_done *done, void *arg);
void oci_remove_files(const struct oci *o, const char *id, const char *uid); /* blocking */

/* oci_runtime.c: all but the first block. */
#define OCI_RUNTIME_ARGS 5 /* as many at most */
/* How a call of the runtime begins: writes the first arguments to argv and returns their number.
 * What it starts on the way is in cgroup of the v2 hierarchy of a hybrid host; "-": where we are.
 */
size_t oci_runtime_argv(const struct oci *o, const struct oci_runtime *runtime, const char *cgroup,
	const char **argv) MUST_CHECK;
struct oci_spawn {
	const char *const *argv; /* null terminated; argv[0] is looked up in PATH */
	const char *const *env;  /* null: ours */
	const char *cwd;         /* null: ours */
	int fds[2], fd_count; /* given to the child as 3 and 4; they are 10 or more, see F_DUPFD */
	bool new_session;
};
/* Starts a program with /dev/null for its input and output, by vfork: a fork of the agent copies
 * tables for milliseconds. 0 or -errno. */
int oci_spawn(const struct oci_spawn *spec, pid_t *ret_pid) MUST_CHECK;
int oci_wait(pid_t pid) MUST_CHECK;                  /* exit code, -signal, or -errno */
int oci_command(const char *const *argv) MUST_CHECK; /* both, with the results of oci_wait */
int oci_runtime_delete(const struct oci *o, const struct oci_runtime *runtime,
	const char *id) MUST_CHECK;
/* Kills the conmon of a container and the runtime that still makes it, and waits until they are
 * gone, 5 s at most. crun goes on with the making in a child of its own, which does not end with
 * conmon. */
void oci_runtime_end_makers(const struct oci *o, const char *id);

/* oci_monitor.c */
/* A pidfd of the container's conmon; -1: it is gone. Blocking. */
int oci_monitor_open(const struct oci *o, const char *id) MUST_CHECK;
/* Takes the pidfd; ends the container when conmon is gone, and tells that. */
void oci_monitor_watch(struct oci_container *c, int pidfd);
void oci_monitor_end(struct oci_container *c);

/* oci_pause.c: blocking. */
bool oci_shares_pids(const json_t *pod);
/* Makes a process namespace and pins it at RUN_POD/ns/pid. -ERR_UNSUPPORTED: no continuo-pause. */
int oci_pause_start(const struct oci *o, const char *run_pod, struct err *e) MUST_CHECK;
void oci_pause_stop(const char *run_pod); /* if there is one */

/* oci_exec.c */
void oci_exec(struct container_engine *x, const char *id, const struct driver_exec *spec,
	struct driver_exec_call **ret_call);
void oci_exec_input(struct driver_exec_call *call, const void *data, size_t size);
size_t oci_exec_queued(const struct driver_exec_call *call);
void oci_exec_pause(struct driver_exec_call *call, bool paused);
void oci_exec_cancel(struct driver_exec_call *call);

/* oci_logs.c */
struct driver_logs_call *oci_logs(struct container_engine *x, const char *uid, const char *name,
	int attempt, bool live, const struct driver_logs *spec);
void oci_logs_pause(struct driver_logs_call *call, bool paused);
void oci_logs_cancel(struct driver_logs_call *call);
/* state/pods/UID/logs/NAME/N.log; freed with free() */
char *oci_log_path(const struct oci *o, const char *uid, const char *name, int attempt) MUST_CHECK;
/* Removes all but the logs of the last run before this one. Blocking. */
void oci_log_prune(const char *folder, int attempt);
/* container_ops.last_attempt: by the names of logs. */
int oci_last_attempt(struct container_engine *x, const char *uid, const char *name);
void oci_keep_only(struct container_engine *x, const struct map *uids);
/* That run ended: followers come to an end. */
void oci_logs_wake(struct oci *o, const char *uid, const char *name, int attempt);
void oci_logs_close(struct oci *o);
void oci_rotate_on_timer(void *arg);
void oci_rotate_wake(struct oci *o); /* a container runs: its log is watched */

/* oci_cgroup.c: all read or write files below /sys/fs/cgroup. */
bool oci_cgroup_is_v2(void);
bool oci_cgroup_oom_killed(const char *cgroup);
int oci_cgroup_stats(const char *cgroup, int64_t *ret_cpu_ns, int64_t *ret_memory_bytes,
	struct err *e) MUST_CHECK;
void oci_cgroup_enter(const char *cgroup, int pid); /* moves a process; makes the cgroup */
bool oci_cgroup_exists(const char *cgroup);         /* in any hierarchy */
bool oci_cgroup_has_processes(const char *cgroup);
/* Names of those in it, once for each hierarchy. */
void oci_cgroup_children(const char *cgroup, void (*each)(void *arg, const char *name), void *arg);
void oci_cgroup_remove(const char *cgroup); /* in all hierarchies, when empty */
/* The same of one that is not empty: kills all in it and in those below, and waits for them, 5 s at
 * most. Blocking. */
void oci_cgroup_end(const char *cgroup);
void oci_cgroup_kill(const char *cgroup); /* SIGKILL to all in it */

#endif
