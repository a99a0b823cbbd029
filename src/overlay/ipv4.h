/* IPv4 addresses and ranges as numbers in host order. Pure. */
#ifndef CONTINUO_OVERLAY_IPV4_H
#define CONTINUO_OVERLAY_IPV4_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define IPV4_TEXT_SIZE 16
#define IPV4_MAC_SIZE 6

struct ipv4_range {
	uint32_t first; /* the network's own address */
	int prefix;     /* bits */
};

/* "10.42.3.7", nothing before or behind it. -ERR_INVALID names what and the text. */
int ipv4_parse(const char *text, const char *what, uint32_t *ret_address, struct err *e) MUST_CHECK;

/* "10.42.3.0/24"; bits behind the prefix are refused. */
int ipv4_range_parse(const char *text, const char *what, struct ipv4_range *ret_range,
	struct err *e) MUST_CHECK;

const char *ipv4_format(uint32_t address, char ret_text[static IPV4_TEXT_SIZE]);
uint32_t ipv4_mask(int prefix);
uint64_t ipv4_range_size(struct ipv4_range r);
bool ipv4_range_has(struct ipv4_range r, uint32_t address);

/* The hardware address that belongs to an address: 0a:58 and its four bytes. Whoever has the
 * address has this one, so neighbours need not be asked for it and never go stale. */
void ipv4_mac(uint32_t address, uint8_t ret_mac[static IPV4_MAC_SIZE]);

#endif
