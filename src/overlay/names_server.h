/*
 * The name server of one node: UDP and TCP on port 53 of the bridge. What it knows it answers
 * (names.h); all else it asks upstream (resolver.h). Bounded: RESOLVER_OPEN_MAX questions and
 * NAMES_CLIENTS_MAX TCP connections at a time, each closed after some seconds of silence.
 */
#ifndef CONTINUO_OVERLAY_NAMES_SERVER_H
#define CONTINUO_OVERLAY_NAMES_SERVER_H

#include "base/buf.h"
#include "overlay/ipv4.h"
#include "overlay/table.h"
#include "sys/loop.h"

#define NAMES_CLIENTS_MAX 64

struct names_server;

struct names_server_config {
	struct loop *loop;
	const char *address; /* to listen on */
	const char *zone;
	const char *resolv_conf; /* path */
	struct ipv4_range domain, services;
};

int names_server_open(const struct names_server_config *config, struct names_server **ret_server,
	struct err *e) MUST_CHECK;
void names_server_close(struct names_server *s); /* null is fine */

/* The table must live until the next call. */
void names_server_set(struct names_server *s, const struct table *table);
void names_server_reload(struct names_server *s); /* reads resolv_conf again */
void names_server_metrics(const struct names_server *s, struct buf *b);

#endif
