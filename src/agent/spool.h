/*
 * What happened on an island, on disk: it survives the agent's death and the machine's reboot, and
 * goes to the server when that is back. While there is a session nothing is written.
 *
 * Files in STATE/spool, each sealed (pki_seal) and written as a whole:
 *   status           the newest status of each pod that the server does not have, and how many
 *                    events were dropped
 *   open             the newest events
 *   NUMBER-N-BYTES   N older events; these files go up one after the other, and each is removed
 *                    when the server has it all
 *
 * The first write comes a second after news, the next ones later and later (ten seconds at most)
 * while news keep coming, so that a memory card lives. All files together take at most limit_bytes:
 * then the oldest events are dropped, and an event of the node tells how many. When the disk is
 * full they stay in memory (reports.h, which has a limit of its own) and are written later.
 *
 * An agent that comes back sends no faster than the server takes events (WIRE_EVENTS_PER_S).
 * One job at a time; the loop's thread owns all else.
 */
#ifndef CONTINUO_AGENT_SPOOL_H
#define CONTINUO_AGENT_SPOOL_H

#include "agent/reports.h"
#include "base/log.h"
#include "sys/fs.h"
#include "sys/loop.h"

#define SPOOL_BYTES_DEFAULT ((int64_t)8 << 20)
#define SPOOL_BYTES_MIN ((int64_t)64 << 10)
#define SPOOL_BYTES_MAX ((int64_t)1 << 30)

struct agent_spool_config {
	struct loop *loop;
	struct log *log;
	struct fs *fs;
	const char *state_folder;
	const unsigned char *key; /* 32 bytes, that of the slice; copied */
	int64_t limit_bytes;      /* < 0: nothing is written */
	bool leave; /* the files there are of a key that is away: nothing is touched */
	struct agent_reports *reports;
	/* A status that was kept says that the pod is over. The slice may not: it is written later.
	 */
	void (*on_over)(void *arg, const char *key, const char *uid);
	void *arg;
};

struct agent_spool;

/* Reads what an earlier life left and gives it to the reports. What is damaged is logged and
 * removed. The reports must outlive it. */
struct agent_spool *agent_spool_new(const struct agent_spool_config *config) MUST_CHECK;
void agent_spool_free(struct agent_spool *s); /* a write under way is finished */

/* node_key: whose event tells of dropped ones; borrowed. */
void agent_spool_session(struct agent_spool *s, bool open, const char *node_key);
/* Something waits, or the server took something. */
void agent_spool_news(struct agent_spool *s);

void agent_spool_metrics(const struct agent_spool *s, struct buf *b);

#endif
