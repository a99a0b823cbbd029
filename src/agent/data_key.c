#include "agent/data_key.h"

#include <string.h>

#include "base/mem.h"

static char *plain_path(const struct agent_data_key *k)
{
	return mem_format("%s/key", k->config.folder);
}

static char *sealed_path(const struct agent_data_key *k)
{
	return mem_format("%s/key.sealed", k->config.folder);
}

/* ---- the plain file ---- */

/* Zeros are what an agent left that lost its power between erasing and removing. */
static bool is_erased(const unsigned char bytes[static DATA_KEY_SIZE])
{
	static const unsigned char zeros[DATA_KEY_SIZE];
	return memcmp(bytes, zeros, DATA_KEY_SIZE) == 0;
}

static int read_plain(const struct agent_data_key *k, unsigned char ret_bytes[static DATA_KEY_SIZE],
	bool *ret_found, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = plain_path(k);
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(64);
	struct err why = ERR_INIT;
	*ret_found = false;
	int r = fs_read(k->config.fs, path, &b, &why);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0 && r != -ERR_TOO_LARGE)
		return err_set(e, why.code, "%s", why.text);
	if (r < 0 || b.size != DATA_KEY_SIZE)
		return err_set(e, ERR_CORRUPT, "%s has not %d bytes", path, DATA_KEY_SIZE);
	memcpy(ret_bytes, b.data, DATA_KEY_SIZE);
	explicit_bzero(b.data, b.size);
	*ret_found = !is_erased(ret_bytes);
	return 0;
}

/* The plain key in the place of the sealed one. */
static int keep_plain(struct agent_data_key *k, struct err *e)
{
	CLEANUP(mem_free_ptr) char *plain = plain_path(k), *sealed = sealed_path(k);
	unsigned char there[DATA_KEY_SIZE];
	bool found = false;
	int r = read_plain(k, there, &found, NULL);
	if (r < 0 || !found || memcmp(there, k->bytes, DATA_KEY_SIZE) != 0)
		r = fs_write_atomic(k->config.fs, plain, k->bytes, DATA_KEY_SIZE, 0600, e);
	if (r == 0)
		r = fs_remove(k->config.fs, sealed, e);
	explicit_bzero(there, sizeof(there));
	k->plain = true;
	return r;
}

/* ---- the sealed file ---- */

static int read_sealed(const struct agent_data_key *k, struct buf *ret_blob, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = sealed_path(k);
	return fs_read(k->config.fs, path, ret_blob, e);
}

static int unseal(const struct agent_data_key *k, const struct buf *blob,
	unsigned char ret_bytes[static DATA_KEY_SIZE], struct err *e)
{
	if (!k->config.sealer.unseal)
		return err_set(e, ERR_UNSUPPORTED, "this agent has no way to a TPM");
	return k->config.sealer.unseal(k->config.sealer.context, blob, ret_bytes, e);
}

/* What the disk has gives the same key. */
static int try_unseal(const struct agent_data_key *k, struct err *e)
{
	CLEANUP(buf_done) struct buf blob = BUF_INIT_LIMIT(DATA_KEY_BLOB_MAX);
	unsigned char bytes[DATA_KEY_SIZE] = {0};
	int r = read_sealed(k, &blob, e);
	if (r == 0)
		r = unseal(k, &blob, bytes, e);
	if (r == 0 && memcmp(bytes, k->bytes, DATA_KEY_SIZE) != 0)
		r = err_set(e, ERR_CORRUPT, "the TPM gave another key back than it was given");
	explicit_bzero(bytes, sizeof(bytes));
	return r;
}

/* The sealed key in the place of the plain one. A blob that does not give the key back is removed;
 * then the plain file, if there is one, is as it was. */
static int keep_sealed(struct agent_data_key *k, struct err *e)
{
	CLEANUP(mem_free_ptr) char *plain = plain_path(k), *sealed = sealed_path(k);
	CLEANUP(buf_done) struct buf blob = BUF_INIT_LIMIT(DATA_KEY_BLOB_MAX);
	int r = k->config.sealer.seal(k->config.sealer.context, k->bytes, &blob, e);
	if (r < 0)
		return r;
	r = fs_write_atomic(k->config.fs, sealed, blob.data, blob.size, 0600, e);
	if (r < 0)
		return r;
	r = try_unseal(k, e);
	if (r < 0) {
		(void)!fs_remove(k->config.fs, sealed, NULL);
		return r;
	}
	k->plain = false;
	return fs_erase(k->config.fs, plain, e);
}

int agent_data_key_keep(struct agent_data_key *k, struct err *e)
{
	struct err why = ERR_INIT;
	int r = -ERR_UNSUPPORTED;
	k->why = ERR_INIT;
	if (k->config.seal != AGENT_SEAL_NONE && k->config.sealer.seal) {
		r = keep_sealed(k, &why);
		k->why = why;
	}
	if (r < 0 && k->config.seal == AGENT_SEAL_TPM)
		return err_set(e, why.code ? why.code : ERR_UNSUPPORTED,
			"keySeal is tpm, and the key in %s cannot be sealed: %s; bring the TPM "
			"back, or set keySeal to auto or none to have the key plain on the disk",
			k->config.folder, why.code ? why.text : "this agent has no way to a TPM");
	if (r < 0)
		r = keep_plain(k, e);
	k->kept = r == 0;
	return r;
}

void agent_data_key_tell(const struct agent_data_key *k)
{
	if (k->config.seal == AGENT_SEAL_NONE || !k->config.sealer.seal)
		return;
	if (k->plain)
		log_err(k->config.log, LOG_INFO, "key_not_sealed", &k->why,
			"path=%s/key keySeal=auto", k->config.folder);
	else
		log_info(k->config.log, "key_sealed", "path=%s/key.sealed", k->config.folder);
}

/* ---- opening ---- */

static int keep_and_tell(struct agent_data_key *k, struct err *e)
{
	int r = agent_data_key_keep(k, e);
	if (r == 0)
		agent_data_key_tell(k);
	return r;
}

/* The sealed key is in k. */
static int open_sealed(struct agent_data_key *k, struct err *e)
{
	CLEANUP(mem_free_ptr) char *plain = plain_path(k);
	if (k->config.seal == AGENT_SEAL_NONE) {
		int r = keep_plain(k, e);
		k->kept = r == 0;
		if (r == 0)
			log_info(k->config.log, "key_unsealed", "path=%s keySeal=none", plain);
		return r;
	}
	k->kept = true;
	struct err why = ERR_INIT;
	if (fs_erase(k->config.fs, plain, &why) < 0)
		log_err(k->config.log, LOG_ERROR, "key_not_erased", &why,
			"path=%s action=remove_it_it_is_sealed", plain);
	return 0;
}

/* There is a sealed key, and we do not get it. */
static int begin_anew(struct agent_data_key *k, const struct err *why, struct err *e)
{
	bool refused = why->code == ERR_CORRUPT;
	log_err(k->config.log, LOG_ERROR, "key_not_unsealed", why,
		"path=%s/key.sealed pods=those_that_run_go_on action=%s", k->config.folder,
		refused ? "a_new_key_and_the_server_sends_the_slice_again"
			: "bring_the_TPM_back_and_restart_or_let_a_server_send_the_slice");
	loop_random_bytes(k->config.loop, k->bytes, DATA_KEY_SIZE);
	return refused ? keep_and_tell(k, e) : 0;
}

/* *ret_found: there is a sealed key; then 0 is that it is in k. */
static int read_and_unseal(struct agent_data_key *k, bool *ret_found, struct err *e)
{
	CLEANUP(buf_done) struct buf blob = BUF_INIT_LIMIT(DATA_KEY_BLOB_MAX);
	int r = read_sealed(k, &blob, e);
	*ret_found = r != -ERR_NOT_FOUND;
	return r < 0 ? r : unseal(k, &blob, k->bytes, e);
}

static int open_key(struct agent_data_key *k, struct err *e)
{
	struct err why = ERR_INIT, damage = ERR_INIT;
	bool sealed, plain;
	if (read_and_unseal(k, &sealed, &why) == 0)
		return open_sealed(k, e);
	int r = read_plain(k, k->bytes, &plain, &damage);
	if (r < 0 && r != -ERR_CORRUPT)
		return err_set(e, damage.code, "%s", damage.text);
	if (r < 0) /* as with a damaged slice: a machine that nobody is near mends itself */
		log_err(k->config.log, LOG_ERROR, "key_damaged", &damage,
			"path=%s/key pods=those_that_run_go_on action=%s", k->config.folder,
			sealed ? "the_sealed_key_is_the_one"
			       : "a_new_key_and_the_server_sends_the_slice_again");
	if (sealed && !plain)
		return begin_anew(k, &why, e);
	if (!plain)
		loop_random_bytes(k->config.loop, k->bytes, DATA_KEY_SIZE);
	return keep_and_tell(k, e);
}

int agent_data_key_open(const struct agent_data_key_config *config, struct agent_data_key *ret_key,
	struct err *e)
{
	struct agent_data_key k = {.config = *config};
	int r = open_key(&k, e);
	if (r == 0)
		*ret_key = k;
	explicit_bzero(&k, sizeof(k));
	return r;
}
