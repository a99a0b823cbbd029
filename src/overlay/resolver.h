/*
 * Asks name servers upstream, and remembers what they said for a while (at most RESOLVER_KEEP_S,
 * and RESOLVER_CACHE_MAX answers). Each question goes from a socket of its own, with a random port
 * and a random id, to one server after the other. On the loop's thread.
 */
#ifndef CONTINUO_OVERLAY_RESOLVER_H
#define CONTINUO_OVERLAY_RESOLVER_H

#include "overlay/dns.h"
#include "sys/loop.h"

#define RESOLVER_KEEP_S 30
#define RESOLVER_CACHE_MAX 512
#define RESOLVER_ANSWER_MAX 4096 /* bytes of what is remembered */
#define RESOLVER_OPEN_MAX 256    /* questions at a time */
#define RESOLVER_SERVERS_MAX 3

struct resolver;
struct resolver_request;

struct resolver *resolver_new(struct loop *l) MUST_CHECK;
void resolver_free(struct resolver *r); /* all requests must have ended */

/* What a file like resolv.conf(5) says: its nameserver lines, but for the address own (that would
 * be asking ourselves). The same servers again change nothing. */
void resolver_configure(struct resolver *r, const char *text, const char *own);
size_t resolver_server_count(const struct resolver *r);

/* response: null when nobody answered; its id is the query's; valid during the call. Comes once,
 * possibly from inside resolver_ask (then that returns null). */
typedef void resolver_cb(void *arg, const uint8_t *response, size_t size);

/* query: a whole message with its parsed form. tcp: ask that way. */
struct resolver_request *resolver_ask(struct resolver *r, const struct dns_query *q,
	const uint8_t *query, size_t size, bool tcp, resolver_cb *cb, void *arg);
void resolver_cancel(struct resolver_request *x); /* its callback never comes */

struct resolver_counts {
	uint64_t asked, hits, timeouts, refused; /* refused: too many at a time, or no server */
};
struct resolver_counts resolver_counts(const struct resolver *r);

#endif
