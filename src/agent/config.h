/*
 * The configuration of an agent: a YAML file, and flags over it (`--zone site-a` is the key
 * `zone`). config.c has the one table of keys, from which the help text comes too. Pure but for the
 * files that it reads through fs.
 */
#ifndef CONTINUO_AGENT_CONFIG_H
#define CONTINUO_AGENT_CONFIG_H

#include "agent/agent.h"
#include "base/arena.h"
#include "codec/json.h"

#define AGENT_CONFIG_FILE "/etc/continuo/agent.yaml" /* read when it is there */
#define AGENT_STATE_FOLDER "/var/lib/continuo/agent"
#define AGENT_RUN_FOLDER "/run/continuo/agent"
#define AGENT_DOCKER_SOCKET "/var/run/docker.sock"
/* Plain HTTP for people and Prometheus on this machine; the port that kubelets have for it. */
#define AGENT_LISTEN "127.0.0.1:10255"

struct agent_options {
	struct arena arena;
	struct agent_config agent; /* loop, log, transport, net, images, driver are left to main */
	const char *registries_file;  /* null: none */
	const char *proxy, *no_proxy; /* null: not set (outgoing.h) */
	const char
		*program_folder; /* of continuo-pull, -runtime, -pause, -seal; "": this program's */
	const char *key_seal_tcti; /* null: the machine's own TPM */
	const char *driver;        /* "oci", "docker", or "fake": pods in memory only */
	const char *docker_socket; /* path */
	const char *listen;        /* "none": no endpoint */
	enum log_level log_level;
	bool help, version;
};

/* argv as main gets it. -ERR_USAGE, -ERR_DECODE (line and column of the file), -ERR_INVALID. With
 * help or version set, nothing else is checked. */
int agent_options_parse(struct fs *fs, int argc, char **argv, struct agent_options *ret_options,
	struct err *e) MUST_CHECK;
void agent_options_done(struct agent_options *o); /* for CLEANUP */

void agent_options_help(struct buf *b);

#endif
