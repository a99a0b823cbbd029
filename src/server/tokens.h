/*
 * Join tokens, one use each: by one key, whose owner may ask again for ten minutes, as the first
 * answer may have been lost on the way. Kept as Secrets kube-system/bootstrap-token-ID of the type
 * that Kubernetes has for them (bootstrap.kubernetes.io/token), with the SHA-256 of the secret part
 * in place of the secret itself.
 */
#ifndef CONTINUO_SERVER_TOKENS_H
#define CONTINUO_SERVER_TOKENS_H

#include "server/request.h"

void tokens_create(
	struct request *r); /* POST /continuo/v1/tokens {"ttl_s":N,"node":NAME} -> {"token",...} */
void tokens_list(struct request *r);   /* GET */
void tokens_delete(struct request *r); /* DELETE /continuo/v1/tokens/ID; the id is in r->name */

/* Checks a token without using it up: 0 and the node that it is bound to ("" none), or
 * -ERR_UNAUTHORIZED as below. */
int tokens_check(struct server *s, const struct pki_token *token, const char *csr,
	char ret_node[static 128], struct err *e) MUST_CHECK;

/* Checks a token and uses it up for the request of this csr and name. done gets the name of the
 * node: the one that the token is bound to, else the one asked for. Or why not: ERR_UNAUTHORIZED
 * for what is forged, used, expired or deleted. */
void tokens_redeem(struct server *s, const struct pki_token *token, const char *csr,
	const char *name, void (*done)(void *arg, const char *node, const struct err *e),
	void *arg);

#endif
