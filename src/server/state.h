/*
 * What the files of this room share: the server's state. Each part belongs to the file that is
 * named; the others go through that file's header.
 */
#ifndef CONTINUO_SERVER_STATE_H
#define CONTINUO_SERVER_STATE_H

#include "base/list.h"
#include "base/map.h"
#include "control/control.h"
#include "server/server.h"

struct feed;
struct addresses;
struct revocations;
struct leases;

struct server_counters { /* metrics.c */
	int64_t requests, errors, watches, joins, reports, heartbeats, sessions_lost, calls;
	int64_t report_lines_refused;
	int64_t request_us_total;
};

struct server {
	struct loop *loop;
	struct log *log;
	struct store *store;
	const struct kind_registry *kinds;
	const struct pki_pair *ca;
	char name[128], domain[128], cluster_domain[128];
	char pod_cidr[64], service_cidr[64];
	struct steady *clock, own_clock; /* certificates' time; see steady.h */
	int64_t node_life_ms;            /* of certificates */
	int64_t rejoin_age_ms;
	int64_t rejoins_milli, rejoins_at_ms; /* join.c: a token bucket, in thousandths */
	int64_t heartbeat_ms, silence_ms, iot_heartbeat_ms, iot_silence_ms;
	int64_t blind_until_ms; /* now_ms; see server.c */
	struct http_server *http;
	struct control *control;
	struct addresses *addresses;     /* addresses.c: what is given out of the ranges */
	struct revocations *revocations; /* revocations.c */
	struct leases *leases;           /* leases.c */
	struct feed *feed;               /* feed.c: sessions and their slices */
	struct list calls;               /* calls.c: reverse calls under way */
	int64_t next_call;
	struct list progress;     /* progress.c: who watches pulls */
	struct list watches;      /* watch.c: watches under way */
	struct loop_timer *sweep; /* server.c: once, after the start */
	struct server_counters counters;
	bool bootstrapped; /* the namespaces of every domain exist */
};

#endif
