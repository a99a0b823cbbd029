#include "server/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/base64.h"

#define LAYOUT_VERSION 1

static char *path_of(const struct identity_config *c, const char *name)
{
	return mem_format("%s/%s", c->folder, name);
}

/* -ERR_NOT_FOUND when there is none; then *ret_text is null. */
static int read_text(const struct identity_config *c, const char *name, char **ret_text,
	struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = path_of(c, name);
	struct buf b = BUF_INIT_LIMIT(64 << 10);
	*ret_text = NULL;
	int r = fs_read(c->fs, path, &b, e);
	if (r == 0)
		*ret_text = buf_take(&b, NULL);
	buf_done(&b);
	return r;
}

static int write_file(const struct identity_config *c, const char *name, const void *data,
	size_t size, mode_t mode, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = path_of(c, name);
	return fs_write_atomic(c->fs, path, data, size, mode, e);
}

/* Last of all: a start that was broken off before counts as none and is done again. */
static int write_version(const struct identity_config *c, struct err *e)
{
	char line[16];
	int size = snprintf(line, sizeof(line), "%d\n", LAYOUT_VERSION);
	return write_file(c, "version", line, (size_t)size, 0644, e);
}

/* A domain's name is part of every identity in it: another one at a later start is a mistake. */
static int check_domain(const struct identity_config *c, bool is_new, struct err *e)
{
	if (is_new)
		return write_file(c, "domain", c->domain, strlen(c->domain), 0644, e);
	CLEANUP(mem_free_ptr) char *text = NULL;
	int r = read_text(c, "domain", &text, e);
	if (r == 0 && strcmp(text, c->domain) != 0)
		return err_set(e, ERR_USAGE,
			"%s belongs to the domain \"%s\", not \"%s\"; start with --domain %s",
			c->folder, text, c->domain, text);
	return r;
}

static int check_version(const struct identity_config *c, bool *ret_new, struct err *e)
{
	CLEANUP(mem_free_ptr) char *text = NULL;
	int64_t version = 0;
	int r = read_text(c, "version", &text, e);
	*ret_new = r == -ERR_NOT_FOUND;
	if (*ret_new)
		return 0;
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	r = str_to_int64(text, "the version of the state folder", &version, e);
	if (r == 0 && version > LAYOUT_VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			"%s was written by a newer continuo (layout %lld, this one knows %d): "
			"install that version again, or restore "
			"a backup",
			c->folder, (long long)version, LAYOUT_VERSION);
	return r;
}

/* ---- pairs ---- */

static int read_pair(const struct identity_config *c, const char *name, struct pki_pair *ret_pair,
	struct err *e)
{
	char file[64];
	snprintf(file, sizeof(file), "pki/%s.crt", name);
	int r = read_text(c, file, &ret_pair->certificate_pem, e);
	if (r < 0)
		return r;
	snprintf(file, sizeof(file), "pki/%s.key", name);
	return read_text(c, file, &ret_pair->key_pem, e);
}

/* The key goes first: a certificate without its key would look like an identity. */
static int write_pair(const struct identity_config *c, const char *name,
	const struct pki_pair *pair, struct err *e)
{
	char file[64];
	snprintf(file, sizeof(file), "pki/%s.key", name);
	int r = write_file(c, file, pair->key_pem, strlen(pair->key_pem), 0600, e);
	if (r < 0)
		return r;
	snprintf(file, sizeof(file), "pki/%s.crt", name);
	return write_file(c, file, pair->certificate_pem, strlen(pair->certificate_pem), 0644, e);
}

static int load_ca(const struct identity_config *c, struct identity *i, struct err *e)
{
	int r = read_pair(c, "ca", &i->ca, e);
	if (r != -ERR_NOT_FOUND || !i->created) {
		if (r < 0)
			return err_set(e, r == -ERR_NOT_FOUND ? ERR_CORRUPT : (enum err_code) - r,
				"the CA in %s/pki cannot be read; restore it from a backup: a new "
				"one would lock all nodes out",
				c->folder);
		return 0;
	}
	pki_pair_done(&i->ca);
	r = pki_ca_new(c->domain, c->wall_ms, &i->ca, e);
	return r < 0 ? r : write_pair(c, "ca", &i->ca, e);
}

static int load_data_key(const struct identity_config *c, struct identity *i, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = path_of(c, "pki/data.key");
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(64);
	int r = fs_read(c->fs, path, &b, e);
	if (r == 0 && b.size == sizeof(i->data_key)) {
		memcpy(i->data_key, b.data, sizeof(i->data_key));
		explicit_bzero(b.data, b.size);
		return 0;
	}
	if (r != -ERR_NOT_FOUND || !i->created)
		return err_set(e, ERR_CORRUPT,
			"%s cannot be read; restore it from a backup: Secrets cannot be opened "
			"without it",
			path);
	c->random_bytes(c->context, i->data_key, sizeof(i->data_key));
	return fs_write_atomic(c->fs, path, i->data_key, sizeof(i->data_key), 0600, e);
}

static int issue_server(const struct identity_config *c, struct identity *i, struct err *e)
{
	struct pki_subject subject = {.use = PKI_SERVER,
		.common_name = "continuo-server",
		.dns_or_ips = c->names,
		.life_ms = IDENTITY_SERVER_LIFE_MS};
	struct pki_pair fresh = {0};
	int r = pki_issue(&i->ca, &subject, c->wall_ms, &fresh, e);
	if (r == 0)
		r = write_pair(c, "server", &fresh, e);
	if (r < 0) {
		pki_pair_done(&fresh);
		return r;
	}
	pki_pair_done(&i->server);
	i->server = fresh;
	return 0;
}

static int make_folders(const struct identity_config *c, struct err *e)
{
	CLEANUP(mem_free_ptr) char *pki = path_of(c, "pki");
	int r = fs_make_folders(c->fs, c->folder, 0700, e);
	return r < 0 ? r : fs_make_folders(c->fs, pki, 0700, e);
}

int identity_load(const struct identity_config *config, struct identity *ret_identity,
	struct err *e)
{
	struct identity i = {0};
	int r = make_folders(config, e);
	if (r == 0)
		r = check_version(config, &i.created, e);
	if (r == 0)
		r = check_domain(config, i.created, e);
	if (r == 0)
		r = load_ca(config, &i, e);
	if (r == 0)
		r = load_data_key(config, &i, e);
	/* Addresses may have changed since the last start: the server's certificate is always made
	 * anew. */
	if (r == 0)
		r = issue_server(config, &i, e);
	if (r == 0 && i.created)
		r = write_version(config, e);
	if (r < 0) {
		identity_done(&i);
		return r;
	}
	*ret_identity = i;
	return 0;
}

void identity_done(struct identity *i)
{
	pki_pair_done(&i->ca);
	pki_pair_done(&i->server);
	explicit_bzero(i->data_key, sizeof(i->data_key));
}

int identity_renew(const struct identity_config *config, struct identity *i, bool *ret_changed,
	struct err *e)
{
	struct pki_info info;
	int r = pki_inspect(i->server.certificate_pem, &info, e);
	*ret_changed = false;
	if (r < 0)
		return r;
	if (config->wall_ms < info.not_after_ms - IDENTITY_SERVER_LIFE_MS / 2)
		return 0;
	r = issue_server(config, i, e);
	*ret_changed = r == 0;
	return r;
}

static void write_base64(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "    %s: ", name);
	base64_encode(text, strlen(text), b);
	buf_append_char(b, '\n');
}

int identity_write_kubeconfig(const struct identity_config *config, const struct identity *i,
	const char *url, const char *path, struct err *e)
{
	struct pki_subject subject = {.use = PKI_USER,
		.common_name = "admin",
		.organization = "system:masters",
		.life_ms = PKI_ADMIN_LIFE_MS};
	struct pki_pair admin = {0};
	int r = pki_issue(&i->ca, &subject, config->wall_ms, &admin, e);
	if (r < 0)
		return r;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	buf_printf(&b,
		"apiVersion: v1\nkind: Config\ncurrent-context: %s\ncontexts:\n- name: %s\n  "
		"context:\n",
		config->domain, config->domain);
	buf_printf(&b,
		"    cluster: %s\n    user: admin\nclusters:\n- name: %s\n  cluster:\n    server: "
		"%s\n",
		config->domain, config->domain, url);
	write_base64(&b, "certificate-authority-data", i->ca.certificate_pem);
	buf_append_string(&b, "users:\n- name: admin\n  user:\n");
	write_base64(&b, "client-certificate-data", admin.certificate_pem);
	write_base64(&b, "client-key-data", admin.key_pem);
	pki_pair_done(&admin);
	r = fs_write_atomic(config->fs, path, b.data, b.size, 0600, e);
	explicit_bzero(b.data, b.size);
	return r;
}
