/* What proves who this node is, on disk and in memory; and the version of the state folder. */
#ifndef CONTINUO_AGENT_IDENTITY_H
#define CONTINUO_AGENT_IDENTITY_H

#include "agent/agent.h"

/* Makes the folder if need be. -ERR_UNSUPPORTED when a newer agent wrote it. */
int agent_state_open(struct fs *fs, const char *folder, struct err *e) MUST_CHECK;

/* -ERR_NOT_FOUND: not joined yet. -ERR_CORRUPT names the file. */
int agent_identity_load(struct fs *fs, const char *folder, struct agent_identity *ret_identity,
	struct err *e) MUST_CHECK;
int agent_identity_save(struct fs *fs, const char *folder, const struct agent_identity *identity,
	struct err *e) MUST_CHECK;
void agent_identity_done(struct agent_identity *i); /* wipes the key; for CLEANUP */

#endif
