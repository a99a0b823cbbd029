/*
 * Drivers run pods on one machine. A driver is a vtable over an engine: `oci` (runc or crun under
 * conmon), `docker`, `kubernetes`, `fake`. All operations are asynchronous, idempotent and safe to
 * repeat after a crash: start of a running pod is a success, stop of an unknown one too. list is
 * the truth.
 *
 * Engines that know only containers (oci, docker) share pod.c: order of init containers, restart
 * policy with back-off, probes, graceful stop; they implement container.h. Restarts need no server.
 *
 * Everything runs on the loop's thread; what blocks, runs in jobs or children.
 */
#ifndef CONTINUO_DRIVER_DRIVER_H
#define CONTINUO_DRIVER_DRIVER_H

#include "base/log.h"
#include "model/object.h"
#include "sys/loop.h"

struct image_ready;

enum driver_capability {
	DRIVER_EXEC = 1,
	DRIVER_ATTACH = 2,
	DRIVER_FORWARD = 4,
	DRIVER_STATS = 8,
	DRIVER_UPDATE = 16, /* resources of a running pod */
	DRIVER_DEVICES = 32,
	DRIVER_HOST_PATH = 64,
	DRIVER_FENCES = 256, /* all of a pod is in the cgroup CGROUP_PARENT/pod-UID */
	DRIVER_ADOPTS = 128, /* finds its pods again after the agent's restart */
};

/* What a pod names and the agent looked up for it: everything the driver needs, nothing it must ask
 * for. Owned by the caller for the call; a driver copies (refs) what it keeps. */
struct driver_pod {
	const struct object *pod; /* the Pod */
	const struct object *const
		*objects; /* ConfigMaps and Secrets that it names and that exist */
	size_t object_count;
	const char *cluster_dns;       /* address for resolv.conf; "" with hostNetwork */
	const char *const *dns_search; /* null terminated */
	const char *const
		*service_env;  /* NAME=value, null terminated: Kubernetes' service variables */
	const char *privilege; /* Pod Security level of the namespace: "baseline", "privileged",
				  "restricted" */
	/* Devices that its containers were given, for its whole life on this node: one entry for
	 * each container and device node. */
	const struct driver_device *devices;
	size_t device_count;
};

/* The way of a device of the machine into one container of a pod. */
struct driver_device {
	const char *container;      /* by its name in the pod */
	const char *name;           /* as the container asks for it, "continuo.dev/camera" */
	const char *path;           /* the device node on the host, "/dev/video0" */
	const char *container_path; /* where the container finds it */
	const char *permissions;    /* of "rwm" */
};

enum container_state { CONTAINER_WAITING, CONTAINER_RUNNING, CONTAINER_TERMINATED };

struct driver_container {
	const char *name;
	bool init;
	enum container_state state;
	const char *reason; /* ContainerCreating, ErrImagePull, ImagePullBackOff, CrashLoopBackOff,
			       Completed, Error, OOMKilled, ... */
	const char *message;
	int exit_code, signal;
	int64_t started_ms, finished_ms; /* wall_ms; 0 unknown */
	int restarts;
	bool started; /* startup probe passed, or none */
	bool ready;
	const char *container_id;     /* "oci://HEX" */
	const char *image, *image_id; /* as named; "sha256:..." of the config */
	int pid;                      /* 0 when not running */
	/* The last run before this one; all zero when there was none. */
	bool has_last;
	int last_exit_code, last_signal;
	const char *last_reason;
	int64_t last_started_ms, last_finished_ms;
};

/* What is observed of a pod. Valid during the callback. phase: Pending, Running, Succeeded, Failed.
 */
struct driver_state {
	const char *uid, *namespace, *name;
	const char *phase, *reason, *message;
	const char *ip; /* "" before it has one */
	int64_t started_ms;
	bool initialized, containers_ready;
	const struct driver_container *containers; /* init containers first, in the pod's order */
	size_t container_count;
	bool stopped; /* nothing of the pod is left on the machine */
};

/* Services of the agent that drivers need. All asynchronous; done comes on a later turn. */
struct driver_host {
	/* Images: brings ref (with policy Always, IfNotPresent, Never and credentials from the
	 * pod's imagePullSecrets) and gives what to run: a folder-stack to mount and the config
	 * JSON. */
	void (*image_pull)(void *context, const char *ref, const char *policy,
		const char *docker_config_json, const char *pod_uid,
		void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes),
		void (*done)(void *arg, const struct image_ready *image, const struct err *e),
		void *arg);
	/* Network: netns_path is a mounted network namespace; gives the pod's address. */
	void (*network_attach)(void *context, const char *pod_uid, const char *netns_path,
		const char *host_ports_json,
		void (*done)(void *arg, const char *ip, const struct err *e), void *arg);
	void (*network_detach)(void *context, const char *pod_uid,
		void (*done)(void *arg, const struct err *e), void *arg);
	/* Events of the pod (reason "Pulled", "Created", "Started", "Killing", "BackOff",
	 * "Unhealthy"...). */
	void (*event)(void *context, const char *pod_uid, bool warning, const char *reason,
		const char *message);
	/* A pod changed; the agent reports it. */
	void (*changed)(void *context, const struct driver_state *state);
	/* Whether a container of this pod may be started just now; asked before each start and
	 * again a little later when not. Null: always. */
	bool (*may_run)(void *context, const char *pod_uid);
	/* The server's time, since 1970 UTC; -1 while it is not known. Null: never. */
	int64_t (*time_ms)(void *context);
	void *context;
};

/* An image that can be run; valid during the callback. */
struct image_ready {
	const char *id;            /* "sha256:..." digest of the config */
	const char *digest;        /* "sha256:..." of the manifest as pulled */
	const char *const *layers; /* folders, lowest first; null terminated */
	const char *config_json;   /* the OCI image configuration */
};

struct driver_config {
	struct loop *loop;
	struct log *log;
	struct driver_host host;
	const char *state_folder; /* persistent: bundles, logs, emptyDirs */
	const char *run_folder;   /* volatile: namespaces, sockets */
	const char *node_name;
	const char *host_ip; /* for the downward API; may be null. Lives as long as the driver */
	int64_t cpu_milli, memory_bytes; /* allocatable: limits that containers do not set */
	const char *cgroup_parent;       /* "/continuo/NODE" */
	const char *runtime;             /* "runc", "crun" or "": whichever works */
	/* Path of continuo-runtime, by which crun serves hybrid hosts; null or "": there is none.
	 */
	const char *runtime_wrapper;
	const char *pause_program; /* path of continuo-pause; null: there is none */
	const char *pull_program;  /* path of continuo-pull; docker only */
	const char *docker_socket; /* null or "": the usual one */
	int64_t backoff_ms; /* first delay of restarts and pulls; 0: 10 s. Tests shorten it */
	int64_t log_bytes;  /* of a log before it is rotated (five are kept); 0: 10 MiB */
};

struct driver_probe {
	unsigned capabilities;
	unsigned lacks; /* of those, what this machine's engine cannot do; for drivers themselves */
	bool ready;
	char name[16], version[64]; /* "oci", "runc 1.1.5" */
	char detail[200];           /* why not ready; what was fallen back from */
};

struct driver_exec {
	const char *container;
	const char *const *command; /* null terminated */
	bool stdin_open;
	/* Output as it comes; then the exit. */
	void (*on_stdout)(void *arg, const char *data, size_t size);
	void (*on_stderr)(void *arg, const char *data, size_t size);
	void (*on_exit)(void *arg, int exit_code, const struct err *e);
	void (*on_drained)(void *arg); /* the command has taken its input so far; may be null */
	void *arg;
};
struct driver_exec_call; /* freed after on_exit */

struct driver_logs {
	const char *container; /* null: the only or first one */
	bool follow, previous, timestamps;
	int64_t tail_lines;  /* -1: all */
	int64_t since_ms;    /* wall_ms; 0: all */
	int64_t limit_bytes; /* 0: none */
	void (*on_data)(void *arg, const char *data, size_t size);
	void (*on_end)(void *arg, const struct err *e); /* then the call is freed */
	void *arg;
};
struct driver_logs_call;

struct driver {
	const struct driver_ops *ops;
};

typedef void driver_done(void *arg, const struct err *e); /* e null: success */

struct driver_ops {
	const char *name;
	void (*probe)(struct driver *d, void (*done)(void *arg, const struct driver_probe *p),
		void *arg);
	/* Images and volumes, without starting anything. Optional before start, which does the
	 * same. */
	void (*prepare)(struct driver *d, const struct driver_pod *pod, driver_done *done,
		void *arg);
	/* done: the pod was accepted and is being started; progress comes as host.changed. */
	void (*start)(struct driver *d, const struct driver_pod *pod, driver_done *done, void *arg);
	/* done: nothing is left of it but its logs. grace_s < 0: the pod's own. A second stop with
	 * a shorter grace shortens it. A start while it stops is -ERR_CONFLICT. */
	void (*stop)(struct driver *d, const char *uid, int64_t grace_s, driver_done *done,
		void *arg);
	/* Removes what stop keeps for reading (logs). */
	void (*forget)(struct driver *d, const char *uid, driver_done *done, void *arg);
	/* Removes what earlier lives left of pods that are neither run nor in the list. May be
	 * null. */
	void (*keep_only)(struct driver *d, const char *const *uids, size_t count);
	/* Every pod of ours that the engine has, also from before a restart of the agent. */
	void (*list)(struct driver *d, void (*each)(void *arg, const struct driver_state *state),
		driver_done *done, void *arg);
	/* CPU (ns) and memory (working set, bytes) of one pod. */
	int (*stats)(struct driver *d, const char *uid, int64_t *ret_cpu_ns,
		int64_t *ret_memory_bytes, struct err *e);
	/* Of a pod that ended before a boot, or was stopped and is not forgotten, too: then the
	 * container has to be named. */
	struct driver_logs_call *(*logs)(struct driver *d, const char *uid,
		const struct driver_logs *spec);
	void (*logs_cancel)(struct driver_logs_call *call);
	/* No data comes until unpaused (back-pressure). */
	void (*logs_pause)(struct driver_logs_call *call, bool paused);
	void (*exec)(struct driver *d, const char *uid, const struct driver_exec *spec,
		struct driver_exec_call **ret_call);
	void (*exec_input)(struct driver_exec_call *call, const void *data,
		size_t size); /* size 0: end of input */
	size_t (*exec_queued)(
		const struct driver_exec_call *call); /* bytes of input not taken yet */
	/* No output comes until unpaused, and a command that writes much waits; its exit may come.
	 */
	void (*exec_pause)(struct driver_exec_call *call, bool paused);
	void (*exec_cancel)(struct driver_exec_call *call); /* kills it; no callback any more */
	/* Changed ConfigMaps, Secrets and metadata of a running pod. */
	void (*update)(struct driver *d, const struct driver_pod *pod, driver_done *done,
		void *arg);
	void (*free)(struct driver *d); /* containers keep running */
};

int driver_oci_new(const struct driver_config *config, struct driver **ret_driver,
	struct err *e) MUST_CHECK;
int driver_docker_new(const struct driver_config *config, struct driver **ret_driver,
	struct err *e) MUST_CHECK;
/* Keeps its pods in memory; start, stop and crash times come from the seed. For tests and the
 * simulator. */
struct driver_fake_config {
	uint64_t seed;
	int64_t start_ms_min, start_ms_max, stop_ms_max;
	int64_t crash_mean_ms; /* between two crashes of a container; 0: they never crash */
	bool pull_images;      /* through host.image_pull; else all images count as present */
	/* A container of the pod began or ended; null: nobody wants to know. Context is the
	 * host's. */
	void (*ran)(void *context, const char *pod_uid, bool began);
};
struct driver *driver_fake_new(const struct driver_config *config,
	const struct driver_fake_config *fake) MUST_CHECK;

/* SIGKILL for all that runs in the pod, as a fence sends it: nobody asked the driver. Whether there
 * is anything of the pod. */
bool driver_fake_kill(struct driver *d, const char *pod_uid);

#endif
