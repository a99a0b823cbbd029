/*
 * Going out through an HTTP proxy: CONNECT (RFC 9110, section 9.3.6) asks it for a way to
 * HOST:PORT, and after its 200 the connection is that way. Which addresses go through it is decided
 * by rules in the manner of NO_PROXY.
 *
 * On the loop's thread; nothing here blocks. proxy_skips alone touches no loop (continuo-pull uses
 * it too).
 */
#ifndef CONTINUO_NET_PROXY_H
#define CONTINUO_NET_PROXY_H

#include "sys/loop.h"

#define PROXY_ANSWER_MAX ((size_t)16 << 10) /* bytes of the head of its answer */

struct proxy;

/* url: "http://[USER[:PASSWORD]@]HOST:PORT[/]", user and password percent-encoded, "http://" may be
 * missing; no_proxy: see proxy_skips; null: none. -ERR_INVALID, -ERR_UNSUPPORTED (another scheme:
 * only plain http to the proxy). No error text contains the password. */
int proxy_new(const char *url, const char *no_proxy, struct proxy **ret_proxy,
	struct err *e) MUST_CHECK;
void proxy_free(struct proxy *p);                 /* after its streams; null is fine */
const char *proxy_address(const struct proxy *p); /* "HOST:PORT", for logs */

/* Whether address (as in loop_connect) is reached without the proxy. Always so: unix sockets,
 * localhost, 127.0.0.0/8, ::1. Else as no_proxy says, entries between commas or white space:
 *   *                       everything
 *   example.com             this name and all below it; ".example.com" and "*.example.com" too
 *   192.0.2.7, 2001:db8::7  this address
 *   10.0.0.0/8, fc00::/7    the addresses of this network (names are not looked up)
 * each with ":PORT" behind it for this port alone (IPv6 then in brackets). -ERR_INVALID: an entry
 * that is none of these; all of them are looked at. no_proxy may be null. */
int proxy_skips(const char *no_proxy, const char *address, bool *ret_skips,
	struct err *e) MUST_CHECK;

/* A stream to the address, through the proxy unless p is null or the address is skipped; opening,
 * like that of loop_connect. For protocols in which the client speaks first (TLS): what comes
 * behind the proxy's answer before we said anything is an error. No time limit of its own. It
 * closes with ERR_UNAVAILABLE (no proxy there; 407, 403, 5xx with what to do) or ERR_PROTOCOL. */
struct stream *proxy_connect(struct loop *l, const struct proxy *p, const char *address) MUST_CHECK;

#endif
