/*
 * What waits to go up to the server, at most one line per pod and kind of news: of statuses only
 * the newest counts. Lines stay until the server said that they are durable; after a lost
 * connection all go again. Events, progress and pongs are bounded and may be lost.
 */
#ifndef CONTINUO_AGENT_REPORTS_H
#define CONTINUO_AGENT_REPORTS_H

#include "base/buf.h"
#include "base/map.h"

#define REPORTS_EVENTS_MAX 256
#define REPORTS_BATCH_MAX ((size_t)1 << 20) /* bytes of one report */

struct agent_report_line {
	char *text;     /* with its newline */
	bool in_flight; /* in the report that is under way */
};

struct agent_reports {
	struct map lines; /* "status/UID", "gone/UID", "node", "event/N", "progress/UID/IMAGE" */
	uint64_t next_event;
	size_t events;
	void (*on_news)(void *arg); /* something waits */
	void *arg;
};

void agent_reports_init(struct agent_reports *r, void (*on_news)(void *arg), void *arg);
void agent_reports_done(struct agent_reports *r);

/* status_json: a PodStatus. A status never overtakes nor follows a "gone" of the same pod. */
void agent_reports_status(struct agent_reports *r, const char *key, const char *uid,
	const char *status_json);
void agent_reports_gone(struct agent_reports *r, const char *key, const char *uid);
void agent_reports_forget(struct agent_reports *r,
	const char *uid); /* nobody waits for it any more */
void agent_reports_node(struct agent_reports *r, const char *status_json);
void agent_reports_event(struct agent_reports *r, const char *key, const char *uid, bool warning,
	const char *reason, const char *message);
void agent_reports_progress(struct agent_reports *r, const char *uid, const char *image,
	int64_t done_bytes, int64_t total_bytes);

bool agent_reports_waiting(const struct agent_reports *r);
/* Appends what waits, oldest first, and marks it as in flight. */
void agent_reports_collect(struct agent_reports *r, struct buf *b);
void agent_reports_ack(struct agent_reports *r);  /* what was in flight arrived */
void agent_reports_nack(struct agent_reports *r); /* it did not: all waits again */

#endif
