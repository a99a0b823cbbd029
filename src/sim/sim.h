/*
 * The simulator: a whole continuum (a server with its real store, agents with fake drivers, a
 * client that works with them) over simulated time, network and disks, with faults, all from one
 * seed. After every step it is checked that nothing acknowledged was lost, no node is
 * overcommitted, every pod is on one node only, no disk and no log holds the text of a Secret, and
 * every call for logs or exec ends in time, and that no node is given up by a server that may be
 * blind, or for a blackout of three seconds; and once faults stop, that everything wanted runs
 * within a bound.
 *
 * The same seed gives the same history, event for event, in every build: the hash tells.
 */
#ifndef CONTINUO_SIM_SIM_H
#define CONTINUO_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum sim_fault {
	SIM_FAULT_CRASH = 1,     /* processes killed, machines that lose their power */
	SIM_FAULT_PARTITION = 2, /* machines that do not reach each other */
	SIM_FAULT_DELAY = 4,     /* links that become slow */
	SIM_FAULT_DISK = 8,      /* disks of the server and of nodes that are full */
	SIM_FAULT_CLOCK = 16,    /* clocks of single machines that jump, up to a day, and back */
	SIM_FAULT_BLACKOUT = 32, /* three seconds in which one node reaches nobody */
	SIM_FAULT_DRIFT = 64,    /* clocks that run too fast or too slow, within the stated bound */
	SIM_FAULT_ALL = 127,
};

/* Bugs put in on purpose, to show that the checks see them. */
enum sim_plant {
	SIM_PLANT_NONE,
	SIM_PLANT_LYING_FSYNC,    /* the server's disk says that it synced and did not */
	SIM_PLANT_PLAIN_SECRETS,  /* the server's seal leaves Secrets as they are */
	SIM_PLANT_HASTE,          /* nodes are lost after two seconds of silence */
	SIM_PLANT_NO_BRAKE,       /* a new server does not take itself for blind */
	SIM_PLANT_FENCE_LATE,     /* fences count a lease from an answer that took 3 s */
	SIM_PLANT_NO_FENCE,       /* fences kill nothing */
	SIM_PLANT_EARLY_HANDOVER, /* the server does not wait until a lease is over */
	SIM_PLANT_WILD_DRIFT,     /* clocks drift by forty times the bound */
};

/* What happens in place of chance. */
enum sim_story {
	SIM_STORY_NONE,
	SIM_STORY_HALF,     /* half of all nodes are gone for a minute */
	SIM_STORY_STORM,    /* the server is killed and comes back, and with it every node */
	SIM_STORY_ISLAND,   /* a site without its server, where a node loses its power */
	SIM_STORY_RESTORE,  /* the server comes back with an old copy of its store, a new epoch */
	SIM_STORY_BAD_DAYS, /* each role is killed at each step of a pod's life */
	SIM_STORY_APPLICATION, /* one is made, changed amid trouble and deleted */
};

#define SIM_NODES_MAX 1000

struct sim_config {
	uint64_t seed;
	int nodes;           /* 1 to SIM_NODES_MAX */
	int64_t duration_ms; /* simulated */
	unsigned faults;     /* of enum sim_fault */
	enum sim_plant plant;
	enum sim_story story; /* if any, duration and faults do not matter */
	int bad_days;         /* how many, of that story */
	FILE *trace;          /* every line of the trace; null: none */
};

struct sim_result {
	bool ok;
	char violation[500]; /* what was broken and when; "" when ok */
	char hash[33];
	int64_t simulated_ms;
	uint64_t events, acknowledged, crashes, partitions, delays, full_disks, clock_jumps,
		blackouts, drifts, evictions, handovers, pods_started;
	uint64_t calls,
		calls_answered; /* logs and exec: ended, and those of them without an error */
	char line[600];         /* the outcome in one line, as `continuo sim` prints it last */
};

/* "all", "none" or names with commas: "crash,delay". -ERR_USAGE. */
#define SIM_FAULT_NAMES "crash, partition, delay, disk, clock, blackout, drift"
int sim_faults_parse(const char *text, unsigned *ret_faults, struct err *e) MUST_CHECK;

/* Runs to the end or to the first violation. -ERR_USAGE for a config out of range; a violation is a
 * result, not an error. */
int sim_run(const struct sim_config *config, struct sim_result *ret_result,
	struct err *e) MUST_CHECK;

#endif
