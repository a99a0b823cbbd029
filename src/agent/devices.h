/*
 * Devices of this node: what is there now (src/device looks, in a job), which pod has which, and
 * what happens to a pod whose device went. Who has which is kept in state_folder/devices, so that
 * the agent's next life and the machine's next boot know it; it is written when that changes, and a
 * pod starts only when its part is on the disk.
 *
 * Looked at when something says so (device/watch.h), and every 30 s in any case; every 3 s where
 * nothing can say so. Everything on the loop's thread.
 */
#ifndef CONTINUO_AGENT_DEVICES_H
#define CONTINUO_AGENT_DEVICES_H

#include "base/arena.h"
#include "base/log.h"
#include "device/device.h"
#include "driver/driver.h"
#include "sys/loop.h"

struct agent_devices_config {
	struct loop *loop;
	struct log *log;
	struct fs *fs;
	const char *state_folder;
	const struct device_rule *rules; /* must outlive the loop: a job may be reading them */
	size_t rule_count;
	const char *boot_id;
	bool events;                  /* the kernel's; not in the simulator */
	void (*on_counts)(void *arg); /* the node has more or fewer devices */
	void (*on_change)(void *arg); /* what agent_devices_ready said may have changed */
	/* The pod's device is gone: it must end. False: it ends or is over already, or is none of
	 * ours. */
	bool (*on_lost)(void *arg, const char *uid, const char *message);
	/* The pod waits for devices, said once; and it did for too long. */
	void (*on_waiting)(void *arg, const char *uid, const char *message);
	void (*on_refused)(void *arg, const char *uid, const char *message);
	/* Whether on_refused may come: on an island nobody would replace the pod. */
	bool (*may_refuse)(void *arg);
	void *arg;
};

struct agent_devices;

/* Begins to look. A file that is damaged is logged and counts as empty. */
struct agent_devices *agent_devices_new(const struct agent_devices_config *config) MUST_CHECK;
void agent_devices_free(struct agent_devices *d); /* null is fine */

bool agent_devices_known(const struct agent_devices *d); /* the first look is over */

/* Whether the pod has all devices that it wants and may be started; else on_change, on_waiting and
 * on_refused come. */
bool agent_devices_ready(struct agent_devices *d, const struct object *pod);
/* The pod runs already, from before the agent's restart. */
void agent_devices_adopted(struct agent_devices *d, const struct object *pod);
/* The pod is over, or nothing is left of it. */
void agent_devices_drop(struct agent_devices *d, const char *uid);
/* Forgets pods that nobody knows any more. */
void agent_devices_keep_only(struct agent_devices *d, const char *const *uids, size_t count);

/* Fills in the pod's devices, by container: each gets its own part; init containers, which run
 * before, get theirs from the beginning again. tree: the Pod, parsed. */
void agent_devices_give(const struct agent_devices *d, const char *uid, const json_t *tree,
	struct arena *a, struct driver_pod *pod);

/* Sets {"continuo.dev/NAME": "COUNT"} for all that the configuration names. Null: nothing. */
void agent_devices_resources(const struct agent_devices *d, json_t *resources);
void agent_devices_metrics(const struct agent_devices *d, struct buf *b);

#endif
