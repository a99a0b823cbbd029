/* What agents call besides the feed (wire/wire.h): join, renew, report, objects. Each takes http.
 */
#ifndef CONTINUO_SERVER_AGENT_API_H
#define CONTINUO_SERVER_AGENT_API_H

#include "server/auth.h"

void agent_join(struct server *s, struct http_request *http);                        /* join.c */
void agent_renew(struct server *s, struct http_request *http, const struct user *u); /* join.c */
/* By what TLS proved of an expired certificate; join.c. */
void agent_rejoin(struct server *s, struct http_request *http);
void agent_report(struct server *s, struct http_request *http, const struct user *u); /* report.c */
void agent_object(struct server *s, struct http_request *http, const struct user *u,
	const char *key); /* report.c */

#endif
