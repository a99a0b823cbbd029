#include "sim/sim.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/cluster.h"

#define MINUTE_US INT64_C(60000000)
#define FAULTS_US (10 * MINUTE_US)  /* of each cycle; then it is quiet until all is well */
#define CONVERGE_US (5 * MINUTE_US) /* the bound */
#define LOOK_US INT64_C(250000)

int sim_faults_parse(const char *text, unsigned *ret_faults, struct err *e)
{
	static const struct {
		const char *name;
		unsigned faults;
	} names[] = {{"all", SIM_FAULT_ALL}, {"none", 0}, {"crash", SIM_FAULT_CRASH},
		{"partition", SIM_FAULT_PARTITION}, {"delay", SIM_FAULT_DELAY},
		{"disk", SIM_FAULT_DISK}, {"clock", SIM_FAULT_CLOCK},
		{"blackout", SIM_FAULT_BLACKOUT}, {"drift", SIM_FAULT_DRIFT}};
	unsigned faults = 0;
	while (*text) {
		size_t size = strcspn(text, ","), i = 0;
		while (i < ARRAY_SIZE(names) &&
			(strlen(names[i].name) != size || strncmp(names[i].name, text, size) != 0))
			i++;
		if (i == ARRAY_SIZE(names))
			return err_set(e, ERR_USAGE,
				"\"%.*s\" is not a fault; use all, none, or some "
				"of " SIM_FAULT_NAMES,
				(int)size, text);
		faults |= names[i].faults;
		text += size + (text[size] == ',');
	}
	*ret_faults = faults;
	return 0;
}

void sim_violation(struct sim_cluster *c, const char *format, ...)
{
	if (*c->violation)
		return;
	int64_t ms = c->world->now_us / 1000;
	int at = snprintf(c->violation, sizeof(c->violation), "at %" PRId64 ".%03d s: ", ms / 1000,
		(int)(ms % 1000));
	va_list args;
	va_start(args, format);
	vsnprintf(c->violation + at, sizeof(c->violation) - (size_t)at, format, args);
	va_end(args);
	sim_trace_line(&c->world->trace, c->world->now_us, "violation %s", c->violation);
}

/* ---- the cluster ---- */

static void cluster_init(struct sim_cluster *c, const struct sim_config *config)
{
	c->config = config;
	/* SQLite's generator is one for the whole process: every run begins with the same. */
	sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 1, NULL);
	sqlite3_randomness(0, NULL);
	c->world = sim_world_new(config->seed);
	c->world->trace.copy = config->trace;
	c->kinds = kind_registry_new();
	c->checks = sim_checks_new(c);
	sim_server_init(c);
	sim_checks_watch(c->checks, c->server.machine);
	c->client = sim_machine_new(c->world, "client", "10.9.2.1", 2000, 1000);
	c->node_count = config->nodes;
	c->nodes = mem_alloc_array((size_t)config->nodes, sizeof(*c->nodes));
	for (int i = 0; i < c->node_count; i++)
		sim_node_init(c, &c->nodes[i], i + 1);
	c->faults = sim_faults_new(c, config->faults);
	c->singletons = sim_singletons_new(c);
	c->workload = sim_workload_new(c);
	c->calls = sim_calls_new(c);
	sim_server_start(c);
	for (int i = 0; i < c->node_count; i++)
		sim_node_start(&c->nodes[i]);
}

static void cluster_done(struct sim_cluster *c)
{
	sim_faults_free(c->faults);
	sim_workload_free(c->workload);
	sim_calls_free(c->calls);
	for (int i = 0; i < c->node_count; i++)
		sim_node_done(&c->nodes[i]);
	sim_server_done(c);
	sim_singletons_free(c->singletons);
	sim_checks_free(c->checks);
	free(c->nodes);
	sim_world_free(c->world);
	kind_registry_free(c->kinds);
}

/* ---- running ---- */

/* One event and everything that is checked after it. */
bool sim_step(struct sim_cluster *c, int64_t until_us)
{
	if (!sim_world_step(c->world, until_us) || *c->violation)
		return false;
	sim_faults_step(c->faults);
	sim_checks_step(c->checks);
	return !*c->violation;
}

void sim_run_until(struct sim_cluster *c, int64_t until_us)
{
	while (sim_step(c, until_us))
		;
}

/* Faults are over and nobody asks for anything new: everything has to come to rest. */
void sim_converge(struct sim_cluster *c)
{
	int64_t bound_us = c->world->now_us + CONVERGE_US;
	char why[200] = "";
	while (!*c->violation && c->world->now_us < bound_us) {
		sim_run_until(c, c->world->now_us + LOOK_US);
		if (sim_workload_idle(c->workload) && sim_calls_idle(c->calls) &&
			sim_singletons_idle(c->singletons) &&
			sim_checks_converged(c->checks, why, sizeof(why))) {
			sim_trace_line(&c->world->trace, c->world->now_us, "converged");
			return;
		}
	}
	sim_checks_tell(c->checks);
	sim_violation(c, "nothing was wrong for %d s and still %s", (int)(CONVERGE_US / 1000000),
		*why ? why : "requests have no answer");
}

void sim_work(struct sim_cluster *c, bool paused)
{
	sim_workload_pause(c->workload, paused);
	sim_calls_pause(c->calls, paused);
	sim_singletons_pause(c->singletons, paused);
}

static void cycle(struct sim_cluster *c, int64_t end_us)
{
	sim_work(c, false);
	sim_faults_begin(c->faults);
	int64_t until_us = c->world->now_us + FAULTS_US;
	sim_run_until(c, until_us < end_us ? until_us : end_us);
	sim_work(c, true);
	sim_faults_stop(c->faults);
	sim_converge(c);
}

static void faults_text(unsigned faults, char ret_text[static 64])
{
	snprintf(ret_text, 64, "%s%s", faults == SIM_FAULT_ALL ? "all" : "",
		faults == 0 ? "none" : "");
	if (*ret_text)
		return;
	snprintf(ret_text, 64, "%s%s%s%s%s%s%s", faults & SIM_FAULT_CRASH ? "crash," : "",
		faults & SIM_FAULT_PARTITION ? "partition," : "",
		faults & SIM_FAULT_DELAY ? "delay," : "", faults & SIM_FAULT_DISK ? "disk," : "",
		faults & SIM_FAULT_CLOCK ? "clock," : "",
		faults & SIM_FAULT_BLACKOUT ? "blackout," : "",
		faults & SIM_FAULT_DRIFT ? "drift," : "");
	ret_text[strlen(ret_text) - 1] = '\0';
}

static void fill_result(struct sim_cluster *c, struct sim_result *r)
{
	char faults[64];
	*r = (struct sim_result){.ok = !*c->violation,
		.simulated_ms = c->world->now_us / 1000,
		.events = c->world->events_fired,
		.acknowledged = sim_workload_acknowledged(c->workload),
		.pods_started = c->pods_started};
	sim_faults_count(c->faults, r);
	sim_calls_count(c->calls, r);
	r->handovers = sim_singletons_moves(c->singletons);
	r->evictions = sim_checks_evictions(c->checks);
	memcpy(r->violation, c->violation, sizeof(r->violation));
	sim_trace_hash(&c->world->trace, r->hash);
	faults_text(c->config->faults, faults);
	snprintf(r->line, sizeof(r->line),
		"%s seed=%" PRIu64 " nodes=%d simulated_s=%" PRId64 " faults=%s events=%" PRIu64
		" acknowledged=%" PRIu64 " pods_started=%" PRIu64 " crashes=%" PRIu64
		" partitions=%" PRIu64 " delays=%" PRIu64 " full_disks=%" PRIu64
		" clock_jumps=%" PRIu64 " blackouts=%" PRIu64 " drifts=%" PRIu64
		" evictions=%" PRIu64 " handovers=%" PRIu64 " calls=%" PRIu64 "/%" PRIu64
		" hash=%s",
		r->ok ? "ok" : "VIOLATION", c->config->seed, c->node_count, r->simulated_ms / 1000,
		faults, r->events, r->acknowledged, r->pods_started, r->crashes, r->partitions,
		r->delays, r->full_disks, r->clock_jumps, r->blackouts, r->drifts, r->evictions,
		r->handovers, r->calls_answered, r->calls, r->hash);
}

int sim_run(const struct sim_config *config, struct sim_result *ret_result, struct err *e)
{
	if (config->nodes < 1 || config->nodes > SIM_NODES_MAX)
		return err_set(e, ERR_USAGE, "%d nodes: 1 to %d can be simulated", config->nodes,
			SIM_NODES_MAX);
	if (config->duration_ms < 1 || config->duration_ms > INT64_C(365) * 86400 * 1000)
		return err_set(e, ERR_USAGE, "a simulation lasts up to a year of simulated time");
	struct sim_cluster *c = mem_new(struct sim_cluster);
	cluster_init(c, config);
	if (config->story)
		sim_story_run(c, config->story);
	while (!config->story && !*c->violation && c->world->now_us < config->duration_ms * 1000)
		cycle(c, config->duration_ms * 1000);
	fill_result(c, ret_result);
	cluster_done(c);
	free(c);
	return 0;
}
