/*
 * What an engine that knows only containers (oci, docker, the fake one) implements so that pod.c
 * can run pods over it. The engine keeps no life cycle: it makes sandboxes and containers when told
 * and says when a container ended. Names of containers in a pod are unique over init and others.
 *
 * Everything runs on the loop's thread; done callbacks come on a later turn, also after the pod was
 * forgotten. All operations may be repeated: what is there already is a success, and so is the
 * removal of what is not.
 */
#ifndef CONTINUO_DRIVER_CONTAINER_H
#define CONTINUO_DRIVER_CONTAINER_H

#include "base/map.h"
#include "driver/driver.h"

#define CONTAINER_ID_SIZE 33 /* 32 hexadecimal characters and the NUL */

/* A pod as the engine needs it; valid during the call. */
struct container_pod {
	const char *uid;
	const struct object *pod;
	const struct object *const *objects; /* ConfigMaps and Secrets */
	size_t object_count;
	const char *cluster_dns;
	const char *const *dns_search;
	const char *privilege;
	const char *ip;                      /* "" before it has one */
	const struct driver_device *devices; /* of all its containers */
	size_t device_count;
};

/* One container to run; valid during the call. */
struct container_spec {
	struct container_pod pod;
	char id[CONTAINER_ID_SIZE]; /* chosen by the caller, random */
	const char *name;
	int attempt;             /* 0, 1, ...: which run of this container of the pod it is */
	const char *const *env;  /* NAME=value, complete but for the image's; null terminated */
	const char *const *args; /* command and args of the pod, variables expanded; may be empty */
	bool has_command;        /* the first args replace the image's entrypoint */
	const char *image_id;
	const char *const *layers; /* lowest first; null terminated */
	const char *image_config_json;
};

struct container_status {
	const char *id, *pod_uid;
	bool running;
	int pid;
	int exit_code;
	bool oom_killed;
	bool lost; /* what watched it was gone: it was killed, and nobody saw its exit code */
	int64_t finished_ms;
};

struct container_events {
	/* A container that ran has ended; once for each. */
	void (*on_exit)(void *arg, const struct container_status *status);
	/* What held the pod's namespaces is gone: they are to be made anew, and what still runs in
	 * the old ones is to end. Never for engines whose namespaces live by themselves. */
	void (*on_sandbox_lost)(void *arg, const char *pod_uid);
	void *arg;
};

typedef void container_done(void *arg, const struct err *e); /* e null: success */

struct container_engine {
	const struct container_engine_ops *ops;
};

/* What an engine's calls begin with. */
struct driver_logs_call {
	const struct container_engine_ops *ops;
};
struct driver_exec_call {
	const struct container_engine_ops *ops;
};

struct container_engine_ops {
	const char *name; /* "oci": in container ids, "oci://HEX" */
	/* Where exits are reported; called once, before all else. */
	void (*set_events)(struct container_engine *x, const struct container_events *events);
	void (*probe)(struct container_engine *x,
		void (*done)(void *arg, const struct driver_probe *p), void *arg);
	/* Namespaces, volumes and folders of a pod. netns_path is "" when the pod has the host's
	 * network, and for engines that attach to the network themselves. -ERR_FORBIDDEN,
	 * -ERR_NOT_FOUND, -ERR_INVALID: the pod's configuration cannot be carried out. */
	void (*sandbox_start)(struct container_engine *x, const struct container_pod *pod,
		void (*done)(void *arg, const char *netns_path, const struct err *e), void *arg);
	/* Removes all of it but logs, containers of the pod included. */
	void (*sandbox_stop)(struct container_engine *x, const char *uid, container_done *done,
		void *arg);
	/* Makes and starts a container. On failure nothing of it is left. done's pid: its first
	 * process; on_exit may come as early as the turn after. */
	void (*run)(struct container_engine *x, const struct container_spec *spec,
		void (*done)(void *arg, int pid, const struct err *e), void *arg);
	/* To the first process; SIGKILL ends all of them. -ERR_NOT_FOUND when it does not run. */
	int (*signal)(struct container_engine *x, const char *id, int signal, struct err *e);
	/* Removes an ended container; its logs stay. */
	void (*remove)(struct container_engine *x, const char *id, container_done *done, void *arg);
	/* Records of pods that keep has, then all containers, running or ended. Once, at start, and
	 * it may block; exits that happen from then on are events. */
	int (*list)(struct container_engine *x,
		void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record),
		void (*each_container)(void *arg, const struct container_status *status), void *arg,
		struct err *e);
	/* Keeps a text with the pod until sandbox_stop or the machine's next boot: what list gives
	 * back after a restart of the agent. spec may hold secrets; null leaves it as it is. */
	int (*keep)(struct container_engine *x, const char *uid, const char *spec,
		const char *record, struct err *e);
	/* The last attempt of which a trace was left, also by an earlier boot; -1: none. May be
	 * null: then the pod's status alone tells. (kubelet counts by the names of logs too.) */
	int (*last_attempt)(struct container_engine *x, const char *uid, const char *name);
	/* Changed ConfigMaps and Secrets of a running pod. */
	void (*update)(struct container_engine *x, const struct container_pod *pod,
		container_done *done, void *arg);
	void (*forget)(struct container_engine *x, const char *uid, container_done *done,
		void *arg);
	/* Forgets all pods of which there is something, but for those. May be null: what it keeps
	 * does not outlive it. */
	void (*keep_only)(struct container_engine *x, const struct map *uids);
	int (*stats)(struct container_engine *x, const char *uid, int64_t *ret_cpu_ns,
		int64_t *ret_memory_bytes, struct err *e);
	/* As in driver.h, of one run; live: the container runs, so a follower waits for more. */
	struct driver_logs_call *(*logs)(struct container_engine *x, const char *uid,
		const char *name, int attempt, bool live, const struct driver_logs *spec);
	void (*logs_cancel)(struct driver_logs_call *call);
	void (*logs_pause)(struct driver_logs_call *call, bool paused);
	void (*exec)(struct container_engine *x, const char *id, const struct driver_exec *spec,
		struct driver_exec_call **ret_call);
	void (*exec_input)(struct driver_exec_call *call, const void *data, size_t size);
	size_t (*exec_queued)(const struct driver_exec_call *call);
	void (*exec_pause)(struct driver_exec_call *call, bool paused);
	void (*exec_cancel)(struct driver_exec_call *call);
	void (*free)(struct container_engine *x); /* containers keep running */
};

/* Pods over an engine, which it takes (also when it fails). Adopts what the engine lists. */
int pods_new(const struct driver_config *config, struct container_engine *engine,
	unsigned capabilities, struct driver **ret_driver, struct err *e) MUST_CHECK;

#endif
