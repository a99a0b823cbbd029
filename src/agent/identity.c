#include "agent/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"

#define FILE_MAX ((size_t)64 << 10)

int agent_state_open(struct fs *fs, const char *folder, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/version", folder);
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(64);
	struct err why = ERR_INIT;
	int r = fs_make_folders(fs, folder, 0700, e);
	if (r < 0)
		return r;
	r = fs_read(fs, path, &b, &why);
	if (r == -ERR_NOT_FOUND) {
		char text[16];
		int size = snprintf(text, sizeof(text), "%d\n", AGENT_STATE_VERSION);
		return fs_write_atomic(fs, path, text, (size_t)size, 0600, e);
	}
	if (r < 0 && r != -ERR_TOO_LARGE)
		return err_set(e, why.code, "%s", why.text);
	char *newline = b.data ? strchr(b.data, '\n') : NULL;
	if (newline)
		*newline = '\0';
	int64_t version;
	if (r < 0 || str_to_int64(buf_text(&b), "version", &version, NULL) < 0 || version < 1)
		return err_set(e, ERR_CORRUPT,
			"%s is damaged, it holds no version: remove it, unless a newer agent used "
			"this folder last",
			path);
	if (version > AGENT_STATE_VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			"the state folder %s is of version %lld, this program knows up to %d: "
			"install "
			"the newer agent again, or give another state folder",
			folder, (long long)version, AGENT_STATE_VERSION);
	return 0;
}

static char *take_text(const json_t *json, const char *key)
{
	const char *text = json_text(json, "", key);
	return *text ? mem_dup_string(text) : NULL;
}

int agent_identity_load(struct fs *fs, const char *folder, struct agent_identity *ret_identity,
	struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/identity.json", folder);
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(FILE_MAX);
	CLEANUP(json_done) json_t *json = NULL;
	struct err why = ERR_INIT;
	int r = fs_read(fs, path, &b, e);
	if (r < 0)
		return r;
	if (json_decode(buf_text(&b), b.size, &json, &why) < 0)
		return err_set(e, ERR_CORRUPT,
			"%s is damaged (%s): remove it and join again with a new token", path,
			why.text);
	CLEANUP(agent_identity_done)
	struct agent_identity i = {.certificate_pem = take_text(json, "certificate"),
		.key_pem = take_text(json, "key"),
		.ca_pem = take_text(json, "ca"),
		.domain = take_text(json, "domain"),
		.node = take_text(json, "node")};
	explicit_bzero(b.data, b.size);
	if (!i.certificate_pem || !i.key_pem || !i.ca_pem || !i.domain || !i.node)
		return err_set(e, ERR_CORRUPT,
			"%s is incomplete: remove it and join again with a new token", path);
	*ret_identity = i;
	i = (struct agent_identity){0};
	return 0;
}

int agent_identity_save(struct fs *fs, const char *folder, const struct agent_identity *identity,
	struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/identity.json", folder);
	CLEANUP(json_done)
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}", "certificate",
		identity->certificate_pem, "key", identity->key_pem, "ca", identity->ca_pem,
		"domain", identity->domain, "node", identity->node);
	char *text = json_encode_string(json);
	size_t size = strlen(text);
	int r = fs_write_atomic(fs, path, text, size, 0600, e);
	explicit_bzero(text, size);
	free(text);
	return r;
}

void agent_identity_done(struct agent_identity *i)
{
	if (i->key_pem)
		explicit_bzero(i->key_pem, strlen(i->key_pem));
	free(i->certificate_pem);
	free(i->key_pem);
	free(i->ca_pem);
	free(i->domain);
	free(i->node);
	*i = (struct agent_identity){0};
}
