/*
 * The server: API over the store, sessions of agents, reconcilers and placement. Stateless beyond
 * the store and its identity files. Runs over any loop: main gives libuv, TLS and SQLite, the
 * simulator its own.
 *
 * What a server owns: the HTTP server, the reconcilers, sessions. What it borrows for its whole
 * life: loop, log, store, kinds, CA. One thread, the loop's. Crash-only: server_free drops
 * everything at once and writes nothing.
 */
#ifndef CONTINUO_SERVER_SERVER_H
#define CONTINUO_SERVER_SERVER_H

#include "base/log.h"
#include "net/http.h"
#include "pki/pki.h"
#include "store/store.h"
#include "sys/steady.h"

struct server;

struct server_config {
	struct loop *loop;
	struct log *log;
	struct store *store;
	const struct kind_registry *kinds;
	const char *name;           /* of this server */
	const char *domain;         /* "example", in SPIFFE ids */
	const char *pod_cidr;       /* of the domain, "10.42.0.0/16"; each node gets a /24 of it */
	const char *service_cidr;   /* "10.43.0.0/16" */
	const char *cluster_domain; /* "cluster.local" */
	const struct pki_pair *ca;  /* null: nobody can join or renew (simulator) */
	int64_t node_life_ms;       /* of node certificates; 0: PKI_NODE_LIFE_MS */
	int64_t rejoin_age_ms; /* nodes whose certificate expired no longer ago may rejoin; 0: none
				*/
	/* The time that certificates are judged and issued by; null: the server's own. */
	struct steady *clock;
	int64_t heartbeat_ms;     /* cloud and edge nodes; 0: 500 */
	int64_t silence_ms;       /* cloud and edge nodes; 0: 4000 */
	int64_t iot_heartbeat_ms; /* iot and metered nodes; 0: 10000 */
	int64_t iot_silence_ms;   /* 0: 30000 */
	int64_t blind_ms; /* after the start nobody is evicted for so long, and for twice the time
			     that the handshakes of all nodes take; 0: 30000 */
	int64_t lease_ms; /* of nodes with handover pods; 0: 10000 */
	/* When a lease is over here; 0: after lease_ms and the drift. Less is a planted bug. */
	int64_t lease_wait_ms;
	uint64_t seed; /* of names' suffixes and placement */
};

/* Makes what every domain has (namespaces default and kube-system) and starts to reconcile.
 * -ERR_INVALID for a range that cannot be read. */
int server_new(const struct server_config *config, struct server **ret_server,
	struct err *e) MUST_CHECK;

/* Connections are handed to it: by a TLS acceptor, or by the simulator with a plain stream and a
 * peer. */
struct http_server *server_http(struct server *s);

bool server_ready(const struct server *s);           /* as /readyz says */
size_t server_ending_leases(const struct server *s); /* see leases.h */
bool server_has_calls(const struct server *s);       /* logs or exec are under way */

/* The store is freed before the server: it calls back whoever waits for a commit. */
void server_free(struct server *s);

#endif
