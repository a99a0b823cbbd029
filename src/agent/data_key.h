/*
 * The key of what the agent keeps at rest: 32 random bytes, sealed by the machine's TPM where there
 * is one. Files in the state folder:
 *   key         the bytes as they are, where no TPM seals them (0600)
 *   key.sealed  what the TPM made of them (0600)
 * Both are there only while one takes the other's place. A key leaves one file only after the other
 * was read back from the disk and gave the same bytes, so that there is one that is whole at any
 * time.
 *
 * A sealed key that the TPM does not give back now is not thrown away: another key is made, in
 * memory, and kept only when its owner says so (agent_data_key_keep), as then the slice can be had
 * again. A sealed key that the TPM refuses will never come back: then the new one is kept at once.
 *
 * The sealer and the files block. Not bound to a thread, but one at a time.
 */
#ifndef CONTINUO_AGENT_DATA_KEY_H
#define CONTINUO_AGENT_DATA_KEY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "sys/fs.h"
#include "sys/loop.h"

#define DATA_KEY_SIZE 32
#define DATA_KEY_BLOB_MAX 4096

enum agent_key_seal {
	AGENT_SEAL_AUTO, /* sealed where a TPM answers, else plain */
	AGENT_SEAL_TPM,  /* never plain on the disk */
	AGENT_SEAL_NONE, /* plain */
};

/* The way to a TPM; functions null: there is none, and nothing is said about it (simulator). */
struct agent_sealer {
	int (*seal)(void *context, const unsigned char key[static DATA_KEY_SIZE],
		struct buf *ret_blob, struct err *e);
	/* -ERR_CORRUPT: it never will give it back; all else: perhaps later. */
	int (*unseal)(void *context, const struct buf *blob,
		unsigned char ret_key[static DATA_KEY_SIZE], struct err *e);
	void *context;
};

struct agent_data_key_config {
	struct log *log;
	struct loop *loop; /* for random bytes */
	struct fs *fs;
	const char *folder;
	enum agent_key_seal seal;
	struct agent_sealer sealer;
};

struct agent_data_key {
	struct agent_data_key_config config;
	unsigned char bytes[DATA_KEY_SIZE];
	bool kept;      /* on the disk */
	bool plain;     /* as it is */
	struct err why; /* plain although it was to be sealed; code 0: it was not to be */
};

/* Reads the key, or makes one and keeps it. *ret_key is to be wiped by the caller. -ERR_CORRUPT,
 * -ERR_IO, -ERR_NO_SPACE; with AGENT_SEAL_TPM what the sealer says. Not kept: see above. */
int agent_data_key_open(const struct agent_data_key_config *config, struct agent_data_key *ret_key,
	struct err *e) MUST_CHECK;

/* Puts a key that is not kept in the place of what the disk has. Logs nothing; errors as above. */
int agent_data_key_keep(struct agent_data_key *k, struct err *e) MUST_CHECK;
void agent_data_key_tell(const struct agent_data_key *k); /* logs how it is kept */

#endif
