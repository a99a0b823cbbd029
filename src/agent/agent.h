/*
 * The role that a machine runs: it joins a domain, keeps its slice (the part of the world that this
 * node must run and know) up to date over the feed, compares it with what its driver really runs,
 * and reports what it observed. Without its server it goes on; after a reboot it starts everything
 * again from the slice on disk.
 *
 * One struct agent per node; all on the loop's thread. What touches the machine comes in: loop,
 * files, driver, pod network, images, the way to a server, facts about the hardware; main gives the
 * real ones (agent_net_real, agent_images_real, agent_transport_tls), the simulator its own.
 *
 * Files in state_folder (fs.h; all written atomically, none while nothing changes):
 *   version        the format of this folder; a newer one is refused
 *   identity.json  certificate, key, CA, domain, node (0600)
 *   key            32 random bytes that seal the slice (0600), or
 *   key.sealed     the same, sealed by the machine's TPM (data_key.h)
 *   devices        which pod was given which devices (device/device.h), once one was
 *   slice          the slice, peers and the pod network of the last session, sealed (pki_seal)
 *   spool/         what happened while there was no server (spool.h), sealed too
 * The driver, the pod network and the images keep theirs in subfolders.
 */
#ifndef CONTINUO_AGENT_AGENT_H
#define CONTINUO_AGENT_AGENT_H

#include "agent/clock.h"
#include "agent/data_key.h"
#include "agent/fences.h"
#include "base/buf.h"
#include "base/log.h"
#include "device/device.h"
#include "driver/driver.h"
#include "image/image.h"
#include "net/http.h"
#include "net/proxy.h"
#include "overlay/overlay.h"
#include "sys/fs.h"

#define AGENT_STATE_VERSION 1
#define AGENT_NAME_MAX 64 /* node names are DNS labels */

/* ---- who we are ---- */

struct agent_identity {
	char *certificate_pem, *key_pem, *ca_pem;
	char *domain, *node;
};

/* ---- the way to a server ---- */

struct agent_link;

struct agent_transport_ops {
	/* A way to one server address. identity null: to join; then pin is the CA's (pki.h) and the
	 * server must show a chain to it. Nothing connects yet. */
	int (*open)(void *context, const char *address, const struct agent_identity *identity,
		const char *pin, struct agent_link **ret_link, struct err *e);
	struct http_connector (*connector)(struct agent_link *k);
	void (*close)(struct agent_link *k);
	/* A stream that opens when a connection to the address does (TCP alone, no TLS; through
	 * the proxy, where there is one): whether there is a path. */
	struct stream *(*knock)(void *context, const char *address);
	/* Whether the server at the other end of what connected last may say that it is this time:
	 * its certificate must be valid then. -ERR_UNAUTHORIZED. Null: it may. */
	int (*check_time)(struct agent_link *k, int64_t wall_ms, struct err *e);
};

struct agent_transport {
	const struct agent_transport_ops *ops;
	void *context;
	bool proves_identity; /* the transport says who we are (simulator): no join, no renewal */
};

/* TLS over TCP. What is named here must outlive the transport. */
struct agent_tls {
	struct agent_clock *clock; /* judges certificates */
	const struct proxy *proxy; /* that connections go through; null: directly */
};
struct agent_transport agent_transport_tls(struct agent_tls *tls);

/* ---- the pod network: the operations of overlay.h ---- */

struct agent_net_ops {
	int (*open)(void *context, const struct overlay_config *config, struct err *e);
	int (*set_peers)(void *context, const struct overlay_peer *peers, size_t count,
		struct err *e);
	int (*set_services)(void *context, const struct overlay_service *services, size_t count,
		struct err *e);
	int (*attach)(void *context, const char *pod_uid, const char *netns_path,
		const struct overlay_host_port *ports, size_t port_count, char ret_ip[static 64],
		struct err *e);
	int (*detach)(void *context, const char *pod_uid, struct err *e);
	int (*keep_only)(void *context, const char *const *pod_uids, size_t count, struct err *e);
	const char *(*dns_address)(void *context);
	void (*metrics)(void *context, struct buf *b);
	void (*close)(void *context); /* pods that keep running keep their network */
	void (*free)(void *context);  /* closes too */
};

struct agent_net {
	const struct agent_net_ops *ops;
	void *context;
};

/* Over overlay.h. */
struct agent_net agent_net_real(void);

/* ---- images: the operations of image.h ---- */

struct agent_images_ops {
	struct image_pull *(*pull)(void *context, const char *ref, const char *policy,
		const char *auth_json, const struct image_pull_events *events, void *arg);
	void (*cancel)(struct image_pull *p);
	void (*collect)(void *context, const char *const *used, size_t count, int64_t free_bytes);
	bool (*collecting)(void *context); /* what collect began is not over; null: never */
	void (*free)(void *context);
};

struct agent_images {
	const struct agent_images_ops *ops;
	void *context;
};

int agent_images_real(const struct image_store_config *config, struct agent_images *ret_images,
	struct err *e) MUST_CHECK;

/* ---- what the machine has ---- */

struct agent_facts {
	int64_t cpu_milli;
	int64_t memory_bytes;           /* of the machine, or the limit of the agent's own cgroup */
	int64_t disk_bytes;             /* free where the state folder is; 0 unknown */
	bool disk_known, disk_pressure; /* the agent's own finding (disk.h) */
	bool network_known;             /* a problem was told, now or earlier */
	char network_problem[300];      /* why the pod network is not open; "": it is */
	char architecture[16];          /* Kubernetes' names: "amd64", "arm64" */
	char kernel[80];                /* "6.1.0-18-cloud-amd64" */
	char os_image[80];              /* "Debian GNU/Linux 12 (bookworm)" */
	char machine_id[40], boot_id[40];
	char cgroup_version[8]; /* "v1", "hybrid", "v2" */
	char cgroup[256];       /* the agent's own (memory controller), "/" for the root */
};

/* Reads /proc, /sys and /etc through fs. What cannot be read stays empty or 0. */
void agent_discover(struct fs *fs, const char *state_folder, struct agent_facts *ret_facts);

/* ---- the agent ---- */

struct agent_config {
	struct loop *loop;
	struct log *log;
	struct fs *fs;
	const char *state_folder, *run_folder;
	const char *node_name;             /* "": as the token says */
	const char *address;               /* of this node, as others reach it */
	const char *const *servers;        /* "HOST:PORT", null terminated, tried in turn */
	const char *token;                 /* to join with; null when joined already */
	const char *tier;                  /* "cloud", "edge", "iot" or "" */
	const char *const *labels;         /* "key=value", null terminated; may be null */
	const struct device_rule *devices; /* must outlive the loop */
	size_t device_count;
	bool device_events; /* listen to the kernel's; not in the simulator */
	int64_t reserved_cpu_milli, reserved_memory_bytes; /* not for pods */
	int64_t spool_bytes; /* of what happened on an island, on disk; 0: 8 MiB; < 0: none */
	enum agent_key_seal key_seal;
	struct agent_sealer sealer; /* what it names must outlive the loop's jobs */
	int64_t max_pods;           /* 0: 110 */
	int64_t image_gc_high_percent, image_gc_low_percent;   /* disk.h; 0: as usual */
	const char *cgroup_parent;                             /* of pods; null: by facts */
	const char *runtime, *runtime_wrapper, *pause_program; /* driver.h */
	const char *adopts;        /* "docker": the driver takes its containers over; null: none */
	const char *fence_program; /* path of continuo-fence; null: no handover pod can run */
	struct agent_fence_maker fence_maker; /* in its place, if it has one */
	const char *network_backend;          /* null: "direct" */
	const char *resolv_conf;              /* null: "/etc/resolv.conf" */
	struct agent_facts facts;
	struct agent_clock *clock; /* that of the transport; null: the agent's own */
	struct agent_transport transport;
	struct agent_net net;
	struct agent_images images;
	/* Makes the driver, once the agent knows what it tells it. */
	int (*driver_new)(void *context, const struct driver_config *config,
		struct driver **ret_driver, struct err *e);
	void *driver_context;
	/* The agent cannot go on without a person (token refused, revoked): main ends. */
	void (*on_fatal)(void *context, const struct err *e);
	void *fatal_context;
};

struct agent;

/* Loads what is on disk and begins: joins if it must, opens the feed, adopts and starts pods. The
 * config's strings are not copied and must outlive the agent; net, images and the driver become the
 * agent's, also on failure. -ERR_UNSUPPORTED: a state folder of a newer version; -ERR_USAGE:
 * neither an identity nor a token; -ERR_CORRUPT, -ERR_IO, -ERR_NO_SPACE. */
int agent_new(const struct agent_config *config, struct agent **ret_agent,
	struct err *e) MUST_CHECK;

/* Ends at once (crash-only: nothing needs to be said to anybody). Pods keep running; the next
 * agent on this state folder adopts them. */
void agent_free(struct agent *a);

bool agent_ready(const struct agent *a);                  /* the slice was complete at least once */
bool agent_connected(const struct agent *a);              /* there is a session */
size_t agent_open_calls(const struct agent *a);           /* logs and exec under way */
const char *agent_node_name(const struct agent *a);       /* "" before it joined */
void agent_metrics(const struct agent *a, struct buf *b); /* as Prometheus text */

#endif
