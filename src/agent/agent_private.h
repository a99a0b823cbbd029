/* The agent's parts in one place; for agent.c, feed.c and host.c alone. */
#ifndef CONTINUO_AGENT_AGENT_PRIVATE_H
#define CONTINUO_AGENT_AGENT_PRIVATE_H

#include "agent/agent.h"
#include "agent/calls.h"
#include "agent/devices.h"
#include "agent/disk.h"
#include "agent/fences.h"
#include "agent/identity.h"
#include "agent/join.h"
#include "agent/network.h"
#include "agent/pods.h"
#include "agent/reports.h"
#include "agent/session.h"
#include "agent/slice.h"
#include "agent/spool.h"

struct agent {
	struct agent_config config;
	struct kind_registry *kinds;
	struct agent_identity identity;
	struct agent_clock own_clock, *clock;
	struct agent_slice *slice;
	struct agent_reports reports;
	struct agent_spool *spool;
	char node_key[OBJECT_KEY_MAX];
	struct agent_network network;
	struct agent_pods *pods;
	struct agent_fences *fences;
	struct agent_devices *devices;
	struct driver *driver;
	struct driver_probe probe;
	struct agent_calls calls;
	struct agent_join *join;       /* until joined */
	struct agent_renewal *renewal; /* once joined */
	struct agent_session *session;
	struct loop_timer *next;      /* what must not run inside a callback: see on_next */
	struct loop_timer *tidy;      /* gives memory back after bursts, collects images */
	struct loop_timer *disk_look; /* how full the disk of the images is */
	struct agent_disk disk;
	struct loop_timer *probing;
	struct list pulls; /* host.c */
	bool probed, kept_only, ready, images_due;
	int64_t revision; /* of the server's last bookmark; 0: none yet */
	bool token_refused;
	bool failed; /* fatal says why */
	struct err fatal;
	char cgroup_parent[400];
};

/* agent.c */
void agent_tidy_later(struct agent *a);

/* feed.c: what comes down. */
void agent_feed_write_hello(void *arg, struct buf *b);
int agent_feed_message(void *arg, const char *type, json_t *message, struct err *e);

/* host.c: what drivers ask of the agent. */
struct driver_host agent_host(struct agent *a);
void agent_host_done(struct agent *a);

#endif
