/* Who asks, and whether they may. Until RBAC comes there are three: the administrator, nodes,
 * nobody. */
#ifndef CONTINUO_SERVER_AUTH_H
#define CONTINUO_SERVER_AUTH_H

#include "server/state.h"

enum role { ROLE_NOBODY, ROLE_NODE, ROLE_ADMIN };

struct user {
	enum role role;
	char name[128]; /* "system:node:edge-a", "admin", "system:anonymous" */
	char node[128]; /* of a node's certificate, else "" */
	int64_t issued_ms;
};

/* From what TLS proved. A revoked node is nobody; why says so (may be null). */
void auth_identify(struct server *s, const struct http_peer *peer, struct user *ret_user,
	struct err *why);

/* When a certificate was issued: they begin a little earlier. */
int64_t auth_issued_ms(const struct http_peer *peer);
/* Whether a certificate is still this node's: neither revoked nor of a machine that had the name
 * before the one that has it now. -ERR_UNAUTHORIZED. */
int auth_check_issued(struct server *s, const char *node, int64_t issued_ms,
	struct err *e) MUST_CHECK;

/* 0, -ERR_UNAUTHORIZED (nobody) or -ERR_FORBIDDEN (a node outside /agent/). */
int auth_require_admin(const struct user *u, const char *what, struct err *e) MUST_CHECK;
int auth_require_node(const struct user *u, const char *what, struct err *e) MUST_CHECK;

#endif
