#include "overlay/ipv4.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

int ipv4_parse(const char *text, const char *what, uint32_t *ret_address, struct err *e)
{
	struct in_addr a;
	if (!text || inet_pton(AF_INET, text, &a) != 1)
		return err_set(e, ERR_INVALID, "%s: \"%.60s\" is not an IPv4 address", what,
			text ? text : "");
	*ret_address = ntohl(a.s_addr);
	return 0;
}

int ipv4_range_parse(const char *text, const char *what, struct ipv4_range *ret_range,
	struct err *e)
{
	char address[IPV4_TEXT_SIZE] = "";
	const char *slash = text ? strchr(text, '/') : NULL;
	int64_t prefix = -1;
	uint32_t first;
	if (slash && (size_t)(slash - text) < sizeof(address))
		memcpy(address, text, (size_t)(slash - text));
	if (!slash || str_to_int64(slash + 1, what, &prefix, NULL) || prefix < 1 || prefix > 32 ||
		ipv4_parse(address, what, &first, NULL))
		return err_set(e, ERR_INVALID,
			"%s: \"%.60s\" is not an IPv4 range such as 10.42.0.0/16", what,
			text ? text : "");
	if (first & ~ipv4_mask((int)prefix))
		return err_set(e, ERR_INVALID, "%s: %.60s has bits set behind its prefix", what,
			text);
	*ret_range = (struct ipv4_range){.first = first, .prefix = (int)prefix};
	return 0;
}

const char *ipv4_format(uint32_t address, char ret_text[static IPV4_TEXT_SIZE])
{
	snprintf(ret_text, IPV4_TEXT_SIZE, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
		address >> 8 & 255, address & 255);
	return ret_text;
}

uint32_t ipv4_mask(int prefix)
{
	return prefix ? ~(uint32_t)0 << (32 - prefix) : 0;
}

uint64_t ipv4_range_size(struct ipv4_range r)
{
	return (uint64_t)1 << (32 - r.prefix);
}

bool ipv4_range_has(struct ipv4_range r, uint32_t address)
{
	return (address & ipv4_mask(r.prefix)) == r.first;
}

void ipv4_mac(uint32_t address, uint8_t ret_mac[static IPV4_MAC_SIZE])
{
	const uint8_t mac[IPV4_MAC_SIZE] = {0x0a, 0x58, (uint8_t)(address >> 24),
		(uint8_t)(address >> 16), (uint8_t)(address >> 8), (uint8_t)address};
	memcpy(ret_mac, mac, sizeof(mac));
}
