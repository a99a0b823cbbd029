/*
 * The pod network of this node as the slice wants it: opened once a session (or the slice on disk)
 * says which addresses are ours, then kept in step with peers and services. Changes are gathered
 * for some milliseconds, since endpoints change in bursts.
 */
#ifndef CONTINUO_AGENT_NETWORK_H
#define CONTINUO_AGENT_NETWORK_H

#include "agent/agent.h"
#include "agent/slice.h"

struct agent_network_config {
	struct loop *loop;
	struct log *log;
	const struct agent_net *net;
	const struct agent_slice *slice;
	const char *node_name, *node_address, *state_folder, *backend, *resolv_conf;
	/* It is open (again): pods may start. Before anything else is set. */
	void (*on_open)(void *arg, const char *cluster_domain, const char *dns_address);
	/* It cannot be opened; told at each try. */
	void (*on_problem)(void *arg, const struct err *e);
	void *arg;
};

struct agent_network {
	struct agent_network_config config;
	struct loop_timer *timer;
	bool open, services_dirty, peers_dirty;
	char *opened_with; /* the session's addresses */
	int failures;
};

void agent_network_init(struct agent_network *n, const struct agent_network_config *config);
void agent_network_done(struct agent_network *n);
/* A session message (or the one on disk): opens the network, or opens it anew when its addresses
 * changed. Failures are logged and tried again. */
void agent_network_session(struct agent_network *n);
void agent_network_open(struct agent_network *n); /* the same, at once */
void agent_network_services_changed(struct agent_network *n);
void agent_network_peers_changed(struct agent_network *n);

/* For drivers: struct driver_host. done comes on a later turn. */
void agent_network_attach(struct agent_network *n, const char *pod_uid, const char *netns_path,
	const char *host_ports_json, void (*done)(void *arg, const char *ip, const struct err *e),
	void *arg);
void agent_network_detach(struct agent_network *n, const char *pod_uid,
	void (*done)(void *arg, const struct err *e), void *arg);

#endif
