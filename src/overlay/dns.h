/*
 * DNS messages: RFC 1035 section 4 (header, question, records, compression), RFC 2782 (SRV),
 * RFC 6891 (EDNS0), RFC 2308 (negative answers). Pure; bounded: names of 255 bytes, messages of
 * 64 KiB, compression pointers that only lead backwards.
 *
 * Names as text: lower case, no dot at the end, the root ""; a byte inside a label that is a dot, a
 * backslash or not printable is written \DDD (RFC 1035 section 5.1), so two names are equal exactly
 * when their texts are.
 */
#ifndef CONTINUO_OVERLAY_DNS_H
#define CONTINUO_OVERLAY_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DNS_NAME_SIZE 1025 /* of a text: 255 bytes, all escaped, and NUL */
#define DNS_HEADER_SIZE 12
#define DNS_UDP_PLAIN 512  /* without EDNS0 */
#define DNS_UDP_LARGE 1232 /* no fragments on any usual path */
#define DNS_MESSAGE_MAX 65535

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_OPT = 41,
	DNS_ANY = 255,
};
enum dns_rcode { DNS_OK, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED };
enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

/* ---- queries ---- */

struct dns_query {
	uint16_t id, flags; /* as received */
	uint16_t type, class;
	char name[DNS_NAME_SIZE];
	const uint8_t *question; /* inside the message */
	size_t question_size;
	bool edns, dnssec; /* dnssec: the DO bit */
	uint16_t udp_size; /* that the client can take; at least 512 */
};

/* -ERR_DECODE: not even a header of a query: say nothing. Else *ret_rcode is DNS_OK, or what to
 * answer (then only id and flags are meant to be read, question_size may be 0). */
int dns_parse_query(const uint8_t *data, size_t size, struct dns_query *ret_query,
	enum dns_rcode *ret_rcode, struct err *e) MUST_CHECK;

/* ---- reading responses ---- */

struct dns_record {
	enum dns_section section;
	uint16_t type, class;
	uint32_t ttl;
	size_t name_at, ttl_at, data_at, data_size; /* offsets in the message */
};

/* Calls cb for each record; a cb that returns non-zero ends it. -ERR_DECODE. */
typedef int dns_record_cb(void *arg, const struct dns_record *record);
int dns_walk(const uint8_t *data, size_t size, dns_record_cb *cb, void *arg,
	struct err *e) MUST_CHECK;

/* The name at an offset; *ret_next is behind it. -ERR_DECODE. */
int dns_read_name(const uint8_t *data, size_t size, size_t at, char ret_name[static DNS_NAME_SIZE],
	size_t *ret_next, struct err *e) MUST_CHECK;

/* Whether it is a response to a question, given as in struct dns_query; capitals don't count. */
bool dns_answers(const uint8_t *data, size_t size, uint16_t id, const uint8_t *question,
	size_t question_size);

/* How long a response may be kept, in seconds: the least time of its answers, of a negative one its
 * SOA's (RFC 2308 section 5). 0: not at all (errors, truncated, malformed). */
uint32_t dns_keep_s(const uint8_t *data, size_t size);

/* Takes seconds off all times in a response that dns_walk accepts. */
void dns_age(uint8_t *data, size_t size, uint32_t seconds);

/* ---- writing ---- */

/* Records go in order of their sections. What does not fit sets the truncated bit, and no more is
 * written. owner null: the name that was asked. */
struct dns_writer {
	uint8_t *data;
	size_t size, limit;
	uint16_t counts[DNS_SECTIONS];
	bool truncated;
	const struct dns_query *query;
};

/* data has room for limit bytes, at least 512. */
void dns_begin(struct dns_writer *w, uint8_t *data, size_t limit, const struct dns_query *query);
void dns_put_address(struct dns_writer *w, enum dns_section section, const char *owner,
	uint32_t ttl, uint16_t type, const void *address, size_t size);
void dns_put_name(struct dns_writer *w, enum dns_section section, const char *owner, uint32_t ttl,
	uint16_t type, const char *target); /* CNAME, PTR, NS */
void dns_put_srv(struct dns_writer *w, enum dns_section section, const char *owner, uint32_t ttl,
	uint16_t weight, uint16_t port, const char *target);
void dns_put_txt(struct dns_writer *w, enum dns_section section, const char *owner, uint32_t ttl,
	const char *text);
void dns_put_soa(struct dns_writer *w, enum dns_section section, const char *owner,
	const char *zone, uint32_t ttl);
/* Finishes header and EDNS0; the message is data[0, size). */
void dns_end(struct dns_writer *w, enum dns_rcode rcode, bool authoritative);

/* A question as a new message, to be asked elsewhere; ret_data has 512 bytes. 0: no such name. */
size_t dns_write_query(const char *name, uint16_t type, uint16_t id,
	uint8_t ret_data[static DNS_UDP_PLAIN]);

#endif
