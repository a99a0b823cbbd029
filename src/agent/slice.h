/*
 * The part of the world that this node must run and know, as objects by key, with the peers and the
 * pod network that came with it. On disk it is one sealed file that is replaced as a whole, some
 * time after a change, so that a burst of changes costs one write and an idle agent none.
 *
 * Secrets of a namespace with the label or annotation continuo.dev/cache-secrets = "false" never
 * reach the disk; their keys do, so that an agent that boots without a server knows what it lacks.
 */
#ifndef CONTINUO_AGENT_SLICE_H
#define CONTINUO_AGENT_SLICE_H

#include "agent/data_key.h"
#include "base/log.h"
#include "base/map.h"
#include "model/object.h"
#include "sys/fs.h"
#include "sys/loop.h"

struct agent_slice_config {
	struct loop *loop;
	struct log *log;
	struct fs *fs;
	const char *folder;
	const struct kind_registry *kinds;
	enum agent_key_seal key_seal;
	struct agent_sealer sealer;
	void (*on_saved)(void *arg, bool saved); /* a write ended; null: nobody asks */
	void *arg;
};

struct agent_slice;

/* Opens the key (data_key.h) and loads the slice when there is one. A damaged slice (or one of
 * another key) is logged and begun anew: the server has it all. One that a newer agent wrote, or
 * whose key the TPM does not give now, is logged and left alone until a server was heard. Blocks, a
 * second or so where a slow TPM has the key. */
int agent_slice_open(const struct agent_slice_config *config, struct agent_slice **ret_slice,
	struct err *e) MUST_CHECK;
void agent_slice_close(
	struct agent_slice *s); /* a write that waits is given up: the old file stays */

/* Takes over an object as the server wrote it (with resourceVersion). -ERR_DECODE, -ERR_INVALID.
 * ret_key: where it is kept. */
int agent_slice_put(struct agent_slice *s, const json_t *tree, char ret_key[static OBJECT_KEY_MAX],
	struct err *e) MUST_CHECK;
/* Removes the key if it holds that uid ("": whichever). */
void agent_slice_delete(struct agent_slice *s, const char *key, const char *uid);
const struct object *agent_slice_get(const struct agent_slice *s,
	const char *key);                                           /* borrowed or null */
const struct map *agent_slice_objects(const struct agent_slice *s); /* key to struct object * */

/* "" before the first session. */
const char *agent_slice_epoch(const struct agent_slice *s);
void agent_slice_set_epoch(struct agent_slice *s, const char *epoch);
/* The slice is known to be whole: what was not cached and did not come does not exist. */
void agent_slice_complete(struct agent_slice *s);
/* Whether the key is of a Secret that was there and was not to be kept on this machine. */
bool agent_slice_withholds(const struct agent_slice *s); /* any */
bool agent_slice_withheld(const struct agent_slice *s, const char *key);
/* This pod of the slice ended (Succeeded or Failed) and must not be started again, even after a
 * reboot without a server. Forgotten with the pod. */
void agent_slice_end(struct agent_slice *s, const char *uid);
bool agent_slice_ended(const struct agent_slice *s, const char *uid);
/* The peers and session messages of the wire as text; "" when unknown. */
const char *agent_slice_peers(const struct agent_slice *s);
void agent_slice_set_peers(struct agent_slice *s, const char *json);
const char *agent_slice_session(const struct agent_slice *s);
void agent_slice_set_session(struct agent_slice *s, const char *json);

/* [[key,uid,revision],...] for the hello. */
void agent_slice_write_held(const struct agent_slice *s, struct buf *b);
size_t agent_slice_count(const struct agent_slice *s);
bool agent_slice_saved(const struct agent_slice *s); /* what it holds is on disk */
/* The number of its newest change, and whether that one is on disk. */
uint64_t agent_slice_change(const struct agent_slice *s);
bool agent_slice_keeps(const struct agent_slice *s, uint64_t change);
/* Writes what waits without gathering more; not sooner where the last write failed. */
void agent_slice_hurry(struct agent_slice *s);
/* The key that seals what is on disk, to be wiped by the caller; false: it is not yet the one of
 * the files there. */
bool agent_slice_key(const struct agent_slice *s, unsigned char ret_key[static DATA_KEY_SIZE]);
int64_t agent_slice_writes(const struct agent_slice *s); /* to disk, since the start */

#endif
