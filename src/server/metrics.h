/* The server's figures as Prometheus text (exposition format 0.0.4). */
#ifndef CONTINUO_SERVER_METRICS_H
#define CONTINUO_SERVER_METRICS_H

#include "server/auth.h"

void metrics_serve(struct server *s, struct http_request *http,
	const struct user *u); /* takes http */

#endif
