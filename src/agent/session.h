/*
 * The talk with the server (wire/wire.h): one feed down, reports up, heartbeats in between, and all
 * of it again after a back-off when it breaks.
 *
 *              hello sent               session               bookmark
 *   WAITING ──────────────▶ CONNECTING ─────────▶ SYNCING ───────────────▶ LIVE
 *      ▲                        │                    │                       │
 *      └── back-off, the next ──┴────────────────────┴── broken, or silent ──┘
 *          server address
 *
 * Silence is judged by answers to heartbeats, not by TCP. When one is slow to come, the path is
 * tried by new connections (path.h): if it was gone and is back, a new session begins at once, and
 * if it stays away, the connection is given up after four seconds. WAITING ends when there is a
 * path, so that no server is burdened by half-done handshakes.
 */
#ifndef CONTINUO_AGENT_SESSION_H
#define CONTINUO_AGENT_SESSION_H

#include "agent/agent.h"
#include "agent/reports.h"

struct agent_session;

struct agent_session_config {
	struct loop *loop;
	struct log *log;
	const struct agent_transport *transport;
	const struct agent_identity *identity;
	const char *const *servers;
	struct agent_reports *reports;
	/* Appends the hello line. */
	void (*write_hello)(void *arg, struct buf *b);
	/* Every line of the feed; message is borrowed. */
	int (*on_message)(void *arg, const char *type, json_t *message, struct err *e);
	/* Whether the server takes reports: false when it could not (its disk is full, say), and
	 * true when it can again. The session goes on meanwhile, and so do they, ever more slowly.
	 */
	void (*on_reports)(void *arg, bool taken);
	/* The session is over, and with it all reverse calls. */
	void (*on_lost)(void *arg);
	/* The server refuses this node: 401 or 403. The session goes on trying, slowly. */
	void (*on_refused)(void *arg, const struct err *e);
	void *arg;
};

enum agent_session_state { SESSION_WAITING, SESSION_CONNECTING, SESSION_SYNCING, SESSION_LIVE };

struct agent_session *agent_session_new(const struct agent_session_config *config) MUST_CHECK;
void agent_session_free(struct agent_session *s);
/* Opens a new connection with the identity as it is now, without the loss of anything. */
void agent_session_renewed(struct agent_session *s);
/* Reports wait: sent within some milliseconds, many in one. */
void agent_session_news(struct agent_session *s);
/* Answers a ping ahead of all else. */
void agent_session_pong(struct agent_session *s, int64_t id);

enum agent_session_state agent_session_state(const struct agent_session *s);
/* For reverse calls and renewals while there is a session; null without. Valid until on_lost. */
struct http_client *agent_session_client(const struct agent_session *s);
/* Of the last connection, also of one that the server refused; null without. Valid until the next
 * is tried. */
struct http_client *agent_session_last_client(const struct agent_session *s);
/* Whether the server may say so (agent_transport_ops.check_time). */
int agent_session_check_time(const struct agent_session *s, int64_t wall_ms,
	struct err *e) MUST_CHECK;
void agent_session_metrics(const struct agent_session *s, struct buf *b);

#endif
