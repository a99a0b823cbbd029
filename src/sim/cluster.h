/*
 * The continuum under test: machines with the roles on them. Private to src/sim.
 *
 *   server    10.9.0.1   the server role, store_sqlite on the machine's disk
 *   node-N    10.9.1.N   an agent, and apart from it the engine with the pods that it started
 *   client    10.9.2.1   the workload
 */
#ifndef CONTINUO_SIM_CLUSTER_H
#define CONTINUO_SIM_CLUSTER_H

#include "agent/agent.h"
#include "base/map.h"
#include "server/server.h"
#include "sim/loop_sim.h"
#include "sim/sim.h"

#define SIM_PORT 6443
#define SIM_SERVER_ADDRESS "10.9.0.1:6443"
#define SIM_DOMAIN "sim"

struct sim_cluster;
struct sim_checks;

/* Logs of a role go into the trace. */
struct sim_log {
	struct log log;
	struct sim_loop *loop;
	struct sim_checks *checks;
};
void sim_log_init(struct sim_log *log, struct sim_loop *loop, const char *role,
	struct sim_checks *checks);

/* ---- server_host.c ---- */

struct sim_server {
	struct sim_cluster *cluster;
	struct sim_machine *machine;
	struct sqlite3_vfs *vfs;
	struct sim_loop *loop; /* null: not running */
	struct sim_log log;
	struct store *store;
	struct server *server;
	struct listener *listener;
	struct pki_seal *seal;
	int64_t started_us;
	bool no_space; /* it did not start for want of it: starts once there is some */
	int64_t checked_revision;
};
void sim_server_init(struct sim_cluster *c);
void sim_server_start(struct sim_cluster *c);
void sim_server_kill(struct sim_cluster *c, bool power_loss); /* not running is fine */
void sim_server_done(struct sim_cluster *c);

/* ---- engine.c: what goes on when the agent dies ---- */

struct sim_driver;
struct sim_engine {
	struct sim_cluster *cluster;
	struct sim_node *node;
	struct sim_loop *loop;
	struct driver *fake;       /* null: no power */
	struct sim_driver *driver; /* of the agent that is there now; null: none */
};
void sim_engine_start(struct sim_engine *x);
void sim_engine_power_off(struct sim_engine *x);
/* For agent_config.driver_new; context is the engine. */
int sim_engine_driver(void *context, const struct driver_config *config, struct driver **ret_driver,
	struct err *e);
/* SIGKILL for what runs in a pod; whether there is anything of it. */
bool sim_engine_kill_pod(struct sim_engine *x, const char *uid);
/* Calls each for every pod that the engine has. */
void sim_engine_each(struct sim_engine *x,
	void (*each)(void *arg, const struct driver_state *state), void *arg);

/* ---- node_host.c ---- */

struct sim_node {
	struct sim_cluster *cluster;
	struct sim_machine *machine;
	struct sim_engine engine;
	struct map addresses; /* pod's uid -> "": the pod network's book, on the disk */
	unsigned addresses_given;
	struct list fences;    /* struct sim_fence, those that were raised last at the end */
	struct sim_loop *loop; /* of the agent; null: not running */
	struct sim_log log;
	struct agent *agent;
	struct agent_facts facts;
	const char *tier;
	const char *labels[3];
	char zone[64];
	uint64_t powered_on; /* how often */
	char agent_address[32];
	bool no_space; /* as of the server */
};
void sim_node_init(struct sim_cluster *c, struct sim_node *n, int number);
void sim_node_start(struct sim_node *n);
void sim_node_kill(struct sim_node *n, bool power_loss);
void sim_node_done(struct sim_node *n);

/* ---- fence.c: what guards handover pods when the agent dies ---- */

/* For agent_fence_maker; context is the node. */
void sim_fence_raise(void *context, const char *path, const char *pod_uid, int64_t until_ms,
	void (*done)(void *arg, int status, const char *why), void *arg);
bool sim_fence_kill_one(struct sim_node *n, uint64_t which); /* false: there is none */
void sim_fences_power_off(struct sim_node *n);
size_t sim_fences_count(const struct sim_node *n);

/* ---- workload.c ---- */

struct sim_workload;
struct sim_workload *sim_workload_new(struct sim_cluster *c) MUST_CHECK;
void sim_workload_pause(struct sim_workload *w, bool paused);
bool sim_workload_idle(const struct sim_workload *w); /* nothing is being asked */
uint64_t sim_workload_acknowledged(const struct sim_workload *w);
/* Compares what was acknowledged with what the store holds. */
void sim_workload_check(struct sim_workload *w);
/* The store is an old copy: what it holds is what was acknowledged. Nothing may be under way. */
void sim_workload_forget(struct sim_workload *w);
void sim_workload_free(struct sim_workload *w);

/* ---- singletons.c: Deployments of one pod that must never run twice ---- */

struct sim_singletons;
struct sim_singletons *sim_singletons_new(struct sim_cluster *c) MUST_CHECK;
void sim_singletons_pause(struct sim_singletons *s, bool paused);
bool sim_singletons_idle(const struct sim_singletons *s);
/* What engines do: a start is asked for, a container begins or ends, nothing of a pod is left. */
void sim_singletons_started(struct sim_singletons *s, const struct sim_node *n,
	const struct object *pod);
void sim_singletons_ran(struct sim_singletons *s, const char *uid, bool began);
void sim_singletons_gone(struct sim_singletons *s, const char *uid);
void sim_singletons_power_lost(struct sim_singletons *s, const struct sim_node *n);
void sim_singletons_booted(struct sim_singletons *s, const struct sim_node *n);
/* The store has changed; pods: all that there are. */
void sim_singletons_check(struct sim_singletons *s, const struct store_list *pods);
/* The store is an older copy from now on. Of a keep pod that it lacks no server can know. */
void sim_singletons_forget_store(struct sim_singletons *s);
bool sim_singletons_leased(const struct sim_singletons *s, const char *uid); /* handover */
uint64_t sim_singletons_moves(const struct sim_singletons *s); /* handovers between nodes */
void sim_singletons_free(struct sim_singletons *s);

/* ---- calls.c ---- */

struct sim_calls;
struct sim_calls *sim_calls_new(struct sim_cluster *c) MUST_CHECK;
void sim_calls_pause(struct sim_calls *k, bool paused);
bool sim_calls_idle(const struct sim_calls *k); /* none is under way */
void sim_calls_count(const struct sim_calls *k, struct sim_result *r);
void sim_calls_free(struct sim_calls *k);

/* ---- faults.c ---- */

struct sim_faults;
struct sim_faults *sim_faults_new(struct sim_cluster *c, unsigned faults) MUST_CHECK;
void sim_faults_begin(struct sim_faults *f);
void sim_faults_stop(struct sim_faults *f); /* heals everything, starts what is down */
/* After every step: a machine whose disk stopped in the midst of a write loses its power. */
void sim_faults_step(struct sim_faults *f);
int sim_drift_ppm(const struct sim_cluster *c); /* of clocks, at most, either way */
void sim_faults_count(const struct sim_faults *f, struct sim_result *r);
void sim_faults_free(struct sim_faults *f);

/* ---- sim.c ---- */

/* One event and all that is checked after it; false: none is left before then, or a violation. */
bool sim_step(struct sim_cluster *c, int64_t until_us);
void sim_run_until(struct sim_cluster *c, int64_t until_us); /* or the first violation */
/* Nobody asks for anything new: everything has to come to rest within a bound. */
void sim_converge(struct sim_cluster *c);
void sim_work(struct sim_cluster *c, bool paused); /* everybody who asks for things */

/* ---- stories.c, bad_days.c, applications.c ---- */

void sim_story_run(struct sim_cluster *c, enum sim_story story);
void sim_bad_days(struct sim_cluster *c, int count);
void sim_application_story(struct sim_cluster *c);

/* ---- check.c ---- */

struct sim_checks *sim_checks_new(struct sim_cluster *c) MUST_CHECK;
void sim_checks_step(struct sim_checks *k); /* after every event */
/* A driver was asked to start a pod, or reported that nothing of it is left. */
void sim_checks_started(struct sim_checks *k, const struct sim_node *n, const char *uid);
void sim_checks_gone(struct sim_checks *k, const struct sim_node *n, const char *uid);
void sim_checks_began(struct sim_checks *k, const char *uid);    /* a container */
uint64_t sim_checks_runs(struct sim_checks *k, const char *uid); /* how often one did */
void sim_checks_power_lost(struct sim_checks *k, const struct sim_node *n);
/* Every write to the disk is searched for the text of Secrets, and every line of a log; it also
 * tells of sessions that ended though no fault but a clock's may strike. */
void sim_checks_watch(struct sim_checks *k, struct sim_machine *m);
void sim_checks_log(struct sim_checks *k, const struct sim_machine *m, const char *line);
/* The text of all Secrets of the workload is this, again and again. */
#define SIM_SECRET_TEXT "sim-plain-text!"
#define SIM_SECRET_BASE64 "c2ltLXBsYWluLXRleHQh"
/* Whether everything that is wanted runs and nothing else; why not is put into ret_why. */
bool sim_checks_converged(struct sim_checks *k, char *ret_why, size_t size);
/* The store is another one from now on. */
void sim_checks_forget_store(struct sim_checks *k);
void sim_checks_tell(struct sim_checks *k);                /* the store's pods, to the trace */
uint64_t sim_checks_evictions(const struct sim_checks *k); /* nodes whose pods were given up */
void sim_checks_free(struct sim_checks *k);

/* ---- cluster.c ---- */

struct sim_cluster {
	struct sim_world *world;
	struct kind_registry *kinds;
	const struct sim_config *config;
	struct sim_server server;
	struct sim_node *nodes;
	int node_count;
	struct sim_machine *client;
	struct sim_workload *workload;
	struct sim_singletons *singletons;
	struct sim_calls *calls;
	uint64_t troubles; /* how often the client lost the server, by a crash or a partition */
	struct sim_faults *faults;
	struct sim_checks *checks;
	uint64_t pods_started;
	char violation[500]; /* the first one; "" while all is well */
};
/* Remembers the first violation, which ends the run. */
void sim_violation(struct sim_cluster *c, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
