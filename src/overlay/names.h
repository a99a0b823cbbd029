/*
 * Answers to questions about services and pods, from the node's own table, as the specification of
 * Kubernetes' DNS-based service discovery (kubernetes/dns, docs/specification.md, version 1.1.0)
 * wants them; for IPv4. Pure.
 */
#ifndef CONTINUO_OVERLAY_NAMES_H
#define CONTINUO_OVERLAY_NAMES_H

#include "base/map.h"
#include "base/vec.h"
#include "overlay/dns.h"
#include "overlay/ipv4.h"
#include "overlay/table.h"

#define NAMES_TTL_S 5

struct names {
	const char *zone;
	struct ipv4_range domain, services;
	const struct table *table;
	struct map by_name;    /* "NAME.NAMESPACE" -> struct names_entry */
	struct map namespaces; /* that have services */
	struct map by_address; /* "10.42.3.7" -> const struct names_pointer */
};

struct names_entry {
	const struct overlay_service *service;
	/* Of headless services: what is told of them, each address once. */
	VEC(const struct overlay_endpoint *) endpoints;
};

struct names_pointer {
	const struct overlay_service *service;
	const struct overlay_endpoint *endpoint; /* null: the service's own address */
};

enum names_result {
	NAMES_ANSWERED,
	NAMES_FORWARD, /* not ours: somebody upstream may know */
	NAMES_ALIAS,   /* the CNAME is written; *ret_target is to be asked upstream, its answers
			  follow */
};

/* zone: lower case. Without a table every name of the zone is unknown. */
void names_init(struct names *n, const char *zone, struct ipv4_range domain,
	struct ipv4_range services);
void names_done(struct names *n);

/* The table must live until the next call. */
void names_set(struct names *n, const struct table *table);

/* Writes records between dns_begin and dns_end. *ret_rcode and *ret_target are set where the result
 * says so. */
enum names_result names_answer(const struct names *n, const struct dns_query *q,
	struct dns_writer *w, enum dns_rcode *ret_rcode, const char **ret_target);

#endif
