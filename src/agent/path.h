/*
 * Whether there is a path to a server. TCP alone would not say so for long: it repeats what was
 * lost after ever longer pauses (RFC 6298, section 5.5), so that a blackout of three seconds looks
 * like six. Here new connections are tried at short, even distances, and no other traffic: the
 * first that opens tells that the path is there.
 */
#ifndef CONTINUO_AGENT_PATH_H
#define CONTINUO_AGENT_PATH_H

#include "agent/agent.h"

struct agent_path;

/* on_open: a connection opened; tries: how many had been begun until then (1: the first one did).
 * on_refused: the machine is there, but nothing listens, or there is no route. Both end the trying.
 */
struct agent_path_events {
	void (*on_open)(void *arg, int tries);
	void (*on_refused)(void *arg, const struct err *why);
};

struct agent_path *agent_path_new(struct loop *l, const struct agent_transport *transport,
	const struct agent_path_events *events, void *arg) MUST_CHECK;
void agent_path_free(struct agent_path *p);

/* Tries until it is told to stop, or an event. The address is copied. Not while it tries: then
 * nothing changes. */
void agent_path_try(struct agent_path *p, const char *address);
void agent_path_stop(struct agent_path *p);
bool agent_path_trying(const struct agent_path *p);

#endif
