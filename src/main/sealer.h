/*
 * The agent's way to its machine's TPM: runs continuo-seal and waits for it. Blocks: at the agent's
 * start, before its loop runs, and later in jobs. The key passes through pipes only.
 */
#ifndef CONTINUO_MAIN_SEALER_H
#define CONTINUO_MAIN_SEALER_H

#include "agent/data_key.h"

#define SEALER_DEVICE "/dev/tpmrm0"

struct sealer {
	const char *program; /* path of continuo-seal */
	const char *tcti;    /* null: SEALER_DEVICE; where that is missing, nothing is started */
	int wait_ms;         /* for a TPM that does not answer when a key is to be had back: its
				driver may be loaded later than the agent; 0: 5 s, < 0: not at all */
	int deadline_ms;     /* of one run; 0: 20 s */
};

/* s must outlive it. Errors as data_key.h has them; -ERR_UNSUPPORTED: the program is missing. */
struct agent_sealer sealer_of(struct sealer *s);

#endif
