/*
 * How a node gets its certificate, and the next one. A join shows the one-time token to a server
 * whose CA the token pins, sends a CSR and keeps what comes back. A renewal does the same over the
 * session at half of the certificate's life, with a fresh key.
 */
#ifndef CONTINUO_AGENT_JOIN_H
#define CONTINUO_AGENT_JOIN_H

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/session.h"

/* ---- joining ---- */

struct agent_join;

struct agent_join_config {
	struct loop *loop;
	struct log *log;
	const struct agent_transport *transport;
	const char *const *servers;
	const char *token, *node_name;
	struct agent_clock *clock; /* set by the server's answer */
	/* Exactly one of them, once; then free the join. The identity is the callee's. */
	void (*on_joined)(void *arg, struct agent_identity *identity);
	void (*on_refused)(void *arg, const struct err *e); /* no use to try again */
	void *arg;
};

/* Tries all servers in turn, with a back-off, until one answers. -ERR_DECODE: not a token. */
int agent_join_new(const struct agent_join_config *config, struct agent_join **ret_join,
	struct err *e) MUST_CHECK;
void agent_join_free(struct agent_join *j);

/* ---- renewing ---- */

struct agent_renewal;

struct agent_renewal_config {
	struct loop *loop;
	struct log *log;
	const struct agent_identity *identity;
	struct agent_clock *clock; /* set by the server's answer */
	/* As agent_session_check_time. */
	int (*check_time)(void *arg, int64_t wall_ms, struct err *e);
	/* The session's client; null without a session: then it waits for one. */
	struct http_client *(*client)(void *arg);
	/* A new certificate, its key, and the CA: what else the identity has stays. The callee
	 * takes the strings. */
	void (*on_renewed)(void *arg, struct agent_identity *news);
	/* A rejoin failed; final: it is no use to try again. */
	void (*on_rejoin_failed)(void *arg, bool final, const struct err *e);
	void *arg;
};

struct agent_renewal *agent_renewal_new(const struct agent_renewal_config *config) MUST_CHECK;
void agent_renewal_free(struct agent_renewal *r);
/* The identity changed, or a session opened: looks again when the next one is due. */
void agent_renewal_check(struct agent_renewal *r);
/* The server refused a certificate that may have expired: asks for another by its key. */
void agent_renewal_rejoin(struct agent_renewal *r, struct http_client *client);

#endif
