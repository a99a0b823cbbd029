/*
 * What a machine says when it joins (POST /agent/v1/join, see wire.h): the one message that comes
 * from strangers. Decoded here, away from the server, so that it can be fuzzed as it comes.
 */
#ifndef CONTINUO_WIRE_JOIN_H
#define CONTINUO_WIRE_JOIN_H

#include "codec/json.h"
#include "pki/pki.h"

#define WIRE_JOIN_MAX ((size_t)64 << 10) /* bytes of the message */

struct wire_join {
	struct pki_token token;
	/* Not looked at yet; they point into body: */
	const char *csr;  /* PEM */
	const char *node; /* "": the token names the node */
	json_t *body;
};
void wire_join_done(struct wire_join *j); /* for CLEANUP; fine after a failure too */

/* -ERR_DECODE: no JSON, no csr. -ERR_UNAUTHORIZED: no token. ret_join is to be given back in any
 * case. */
int wire_join_decode(const char *data, size_t size, struct wire_join *ret_join,
	struct err *e) MUST_CHECK;

/* Names of nodes: RFC 1123 subdomains as in Kubernetes, but no longer than a label. -ERR_INVALID.
 */
int wire_check_node_name(const char *name, struct err *e) MUST_CHECK;

#endif
