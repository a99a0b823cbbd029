/*
 * What waits to go up to the server, at most one line per pod and kind of news: of statuses only
 * the newest counts. Lines stay until the server said that they are durable; after a lost
 * connection all go again. Progress and pongs may be lost.
 *
 * Events keep their order, time and number: equal ones that were not sent yet are one line that
 * counts. Each line has a random id, by which the server knows one that comes again. At most
 * REPORTS_EVENTS_MAX are kept here; what is more is dropped and counted, unless the spool
 * (agent/spool.h) takes them to the disk before.
 */
#ifndef CONTINUO_AGENT_REPORTS_H
#define CONTINUO_AGENT_REPORTS_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"

#define REPORTS_EVENTS_MAX 1024
#define REPORTS_BATCH_MAX ((size_t)1 << 20) /* bytes of one report */

struct agent_report_line {
	char *text;     /* with its newline */
	bool in_flight; /* in the report that is under way */
};

struct agent_report_event {
	struct list link;
	char *text; /* without its end, until it is fixed */
	uint64_t id;
	int64_t count, first_ms, last_ms; /* of the agent's clock */
	bool fixed; /* a whole line: may be known to the server or the spool */
	bool in_flight;
	bool leaving; /* the spool takes it */
};

struct agent_reports_config {
	void (*on_news)(void *arg);  /* something waits */
	void (*on_acked)(void *arg); /* the server has what was in flight */
	int64_t (*clock_ms)(void *arg);
	uint64_t (*new_id)(void *arg);
	void *arg;
};

struct agent_reports {
	struct agent_reports_config config;
	struct map lines;     /* "status/UID", "gone/UID", "node", "progress/UID/IMAGE" */
	struct list events;   /* of struct agent_report_event, oldest first */
	struct list replayed; /* events that were in the spool, older than all others */
	size_t event_count, replayed_count;
	size_t event_bytes;      /* of events, as lines */
	uint64_t changes;        /* of events, to tell whether there is something new */
	uint64_t status_changes; /* of statuses */
	int64_t dropped;         /* events, not told yet */
	bool hold;               /* of events only the replayed ones go */
};

void agent_reports_init(struct agent_reports *r, const struct agent_reports_config *config);
void agent_reports_done(struct agent_reports *r);

/* status_json: a PodStatus. A status never overtakes nor follows a "gone" of the same pod. */
void agent_reports_status(struct agent_reports *r, const char *key, const char *uid,
	const char *status_json);
void agent_reports_gone(struct agent_reports *r, const char *key, const char *uid);
/* Whether a status waits that says how the pod ended. */
bool agent_reports_tells_end(const struct agent_reports *r, const char *uid);
void agent_reports_forget(struct agent_reports *r,
	const char *uid); /* nobody waits for it any more */
void agent_reports_node(struct agent_reports *r, const char *status_json);
void agent_reports_event(struct agent_reports *r, const char *key, const char *uid, bool warning,
	const char *reason, const char *message);
void agent_reports_progress(struct agent_reports *r, const char *uid, const char *image,
	int64_t done_bytes, int64_t total_bytes);

bool agent_reports_waiting(const struct agent_reports *r);
/* Nothing waits and nothing is under way: the server has it all. */
bool agent_reports_empty(const struct agent_reports *r);
/* Appends what waits, oldest first, and marks it as in flight. */
void agent_reports_collect(struct agent_reports *r, struct buf *b);
void agent_reports_ack(struct agent_reports *r);  /* what was in flight arrived */
void agent_reports_nack(struct agent_reports *r); /* it did not: all waits again */

/* ---- for the spool ---- */

void agent_reports_write_statuses(const struct agent_reports *r, struct buf *b);
/* Appends all events as lines. leave: they are about to leave (agent_reports_left). */
void agent_reports_write_events(struct agent_reports *r, bool leave, struct buf *b);
void agent_reports_left(struct agent_reports *r, bool gone); /* they left, or they stay */
/* Takes lines as agent_reports_write_events wrote them: as events, or before all others. */
void agent_reports_take_events(struct agent_reports *r, const char *lines, bool replay);

#endif
