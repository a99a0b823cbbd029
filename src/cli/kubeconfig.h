/*
 * The client configuration: Kubernetes' kubeconfig (clientcmd/api/v1), with what it names by path
 * read in. Several files ($KUBECONFIG, separated by colons) count as one; the first that has an
 * entry decides.
 */
#ifndef CONTINUO_CLI_KUBECONFIG_H
#define CONTINUO_CLI_KUBECONFIG_H

#include "base/buf.h"
#include "cli/cli.h"

struct kubeconfig {
	char *context;
	char *server;                                     /* URL */
	char *server_name;                                /* null: the URL's host */
	char *namespace;                                  /* null: none */
	char *ca_pem, *certificate_pem, *key_pem, *token; /* null: none */
};

void kubeconfig_done(struct kubeconfig *k); /* for CLEANUP */

/* From the options and the environment. -ERR_NOT_FOUND: there is no file, or no such context;
 * -ERR_DECODE; -ERR_UNSUPPORTED: exec plugins, insecure-skip-tls-verify. */
int kubeconfig_load(const struct cli_common *common, struct kubeconfig *ret_config,
	struct err *e) MUST_CHECK;

/* From the text of one file; folder: what relative paths in it are relative to. */
int kubeconfig_parse(const char *text, size_t size, const char *folder, const char *context,
	struct kubeconfig *ret_config, struct err *e) MUST_CHECK;

/* "https://host:port/" taken apart. address as loop_connect wants it, freed with free(). Ports
 * default to 443 and 80. -ERR_INVALID. */
struct kubeconfig_url {
	char *address, *host;
	bool tls;
};
void kubeconfig_url_done(struct kubeconfig_url *u); /* for CLEANUP */
int kubeconfig_parse_url(const char *url, struct kubeconfig_url *ret_url, struct err *e) MUST_CHECK;

/* A whole file into a buffer (at most its limit); "-": the standard input. */
int cli_read_file(const char *path, struct buf *ret_data, struct err *e) MUST_CHECK;

#endif
