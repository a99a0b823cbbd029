/*
 * Compares the slice with what the driver really runs, and starts, updates, stops and forgets pods
 * until they agree; turns what the driver observed into reports. Level-triggered: every step looks
 * at the whole difference, so nothing is lost by a crash or a message in between.
 *
 *            start                done                 deleted, or not in the slice
 *   POD_NEW ───────▶ POD_STARTING ─────▶ POD_KEPT ───────────────────────▶ POD_STOPPING
 *      ▲ ▲─ refused, after a back-off ─┘    │                                  │ done
 *      └────── the driver lost it ──────────┘                                  ▼
 *           (removed) ◀── done ── POD_FORGETTING ◀── not in the slice ── POD_STOPPED: "gone"
 *
 * What is POD_NEW and not in the slice any more is forgotten, as it may have run before a boot.
 */
#ifndef CONTINUO_AGENT_PODS_H
#define CONTINUO_AGENT_PODS_H

#include "agent/clock.h"
#include "agent/reports.h"
#include "agent/slice.h"
#include "base/arena.h"
#include "driver/driver.h"

struct agent_pods;

struct agent_pods_config {
	struct loop *loop;
	struct log *log;
	const struct agent_clock *clock; /* what statuses say of time */
	struct agent_slice *slice;
	struct agent_reports *reports;
	const char *node_name;
	const char *host_ip;
	/* Fills in the devices of the pod, in the arena. */
	void (*give_devices)(void *arg, const json_t *tree, struct arena *a,
		struct driver_pod *pod);
	const char *adopts; /* "docker": the driver takes adopted pods; null: they are refused */
	/* Whether a pod may be started now; agent_pods_look comes when that changed. */
	bool (*may_start)(void *arg, const struct object *pod);
	void (*on_adopted)(void *arg, const struct object *pod); /* the driver has it from before */
	void (*on_unknown)(void *arg, const char *uid);  /* the server does not have it: it ends */
	void (*on_finished)(void *arg, const char *uid); /* Succeeded or Failed: it runs no more */
	void (*on_ended)(void *arg, const char *uid);    /* nothing of it is left */
	void (*on_listed)(void *arg);                    /* the driver said what it has */
	void (*on_forgotten)(void *arg); /* a pod is gone for good: images may be collected */
	void *arg;
};

/* The config's strings and parts must outlive it. */
struct agent_pods *agent_pods_new(const struct agent_pods_config *config) MUST_CHECK;
/* Asks the driver what it has; nothing is started before it answered. */
void agent_pods_set_driver(struct agent_pods *p, struct driver *driver);
/* The pod network is there: pods may start. Copies the strings. */
void agent_pods_set_network(struct agent_pods *p, const char *cluster_domain,
	const char *dns_address);
/* Before the driver is freed. Answers of the driver that come later find nobody. */
void agent_pods_free(struct agent_pods *p);

/* An object of the slice came, changed or went. */
void agent_pods_object_changed(struct agent_pods *p, const struct kind *kind, const char *namespace,
	const char *name);
/* The slice is known to be whole: what it lacks is to be stopped. */
void agent_pods_slice_complete(struct agent_pods *p);
/* Says everything again (another epoch: the server may have forgotten). */
void agent_pods_report_all(struct agent_pods *p);

/* A write of the slice ended. */
void agent_pods_slice_saved(struct agent_pods *p, bool saved);
/* What may_start said may have changed. */
void agent_pods_look(struct agent_pods *p);
/* The pod's lease is over: it ends at once, and is Failed with reason Fenced. */
void agent_pods_fenced(struct agent_pods *p, const char *uid);
/* The pod ends for a reason of the node's, within its own grace period: it is Failed with that
 * reason, and an event says why. False: it is over already, or was never started, or is unknown. */
bool agent_pods_fail(struct agent_pods *p, const char *uid, const char *reason,
	const char *message);
/* The pod is not to be started here at all. */
void agent_pods_refuse(struct agent_pods *p, const char *uid, const char *reason,
	const char *message);
/* may_start says no for that reason: the pod is Pending with it, and an event says it. */
void agent_pods_waits(struct agent_pods *p, const char *uid, const char *reason,
	const char *message);

/* host.changed of the driver. */
void agent_pods_observed(struct agent_pods *p, const struct driver_state *state);

/* The key of a pod of this node; null when unknown. */
const char *agent_pods_key(const struct agent_pods *p, const char *uid);
bool agent_pods_listed(const struct agent_pods *p); /* the driver said what it has */
size_t agent_pods_count(const struct agent_pods *p);
/* Those that use the network or may soon. The array is freed with free(). */
const char **agent_pods_uids(const struct agent_pods *p, size_t *ret_count) MUST_CHECK;
/* Images that pods use, as observed by id, and those that pods which are not over name. */
struct agent_used_images {
	char **items;
	size_t count, capacity;
};
void agent_pods_images(const struct agent_pods *p, struct agent_used_images *list);
void agent_used_images_done(struct agent_used_images *list); /* for CLEANUP too */
void agent_pods_metrics(const struct agent_pods *p, struct buf *b);

#endif
