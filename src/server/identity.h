/*
 * The files that make a server who it is, in its state folder:
 *
 *   version             of this layout; a newer one is refused
 *   domain              the domain's name, fixed at the first start
 *   pki/ca.crt ca.key   the domain's CA, made at the first start
 *   pki/server.crt .key of this server, made anew when it is old or the addresses changed
 *   pki/data.key        32 bytes: what seals Secrets at rest
 *   time                the latest time that was seen (milliseconds); main/server.c's
 *   admin.kubeconfig    an administrator's certificate and how to reach the server
 *
 * All keys have mode 0600. Functions block (they read and write small files): called before the
 * loop runs, or in jobs.
 */
#ifndef CONTINUO_SERVER_IDENTITY_H
#define CONTINUO_SERVER_IDENTITY_H

#include "pki/pki.h"
#include "sys/fs.h"

#define IDENTITY_SERVER_LIFE_MS ((int64_t)30 * 24 * 3600 * 1000) /* renewed at half */

struct identity {
	struct pki_pair ca, server;
	unsigned char data_key[32];
	bool created; /* this is the first start: the domain is new */
};

struct identity_config {
	struct fs *fs;
	const char *folder; /* state folder, made when missing */
	const char *domain;
	const char *const *names; /* of the server: addresses and DNS names, null terminated */
	int64_t wall_ms;
	void (*random_bytes)(void *context, void *ret_bytes, size_t size);
	void *context;
};

/* Loads what is there and makes what is missing. -ERR_UNSUPPORTED: a newer version; -ERR_CORRUPT: a
 * part is missing while others exist, so that no second CA is made by accident. */
int identity_load(const struct identity_config *config, struct identity *ret_identity,
	struct err *e) MUST_CHECK;
void identity_done(struct identity *i); /* wipes the keys */

/* A new server certificate into i->server when half of its life is over. ret_changed tells. */
int identity_renew(const struct identity_config *config, struct identity *i, bool *ret_changed,
	struct err *e) MUST_CHECK;

/* Writes a kubeconfig with a fresh administrator's certificate. url: "https://192.0.2.7:6443". */
int identity_write_kubeconfig(const struct identity_config *config, const struct identity *i,
	const char *url, const char *path, struct err *e) MUST_CHECK;

#endif
