#include "overlay/ipam.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define HEADING "continuo leases 1"

int ipam_init(struct ipam *p, struct ipv4_range range, struct err *e)
{
	if (range.prefix < 12 || range.prefix > 30)
		return err_set(e, ERR_INVALID,
			"the node's range of pod addresses must be a /12 to /30, not a /%d",
			range.prefix);
	*p = (struct ipam){.range = range, .next = range.first + 2};
	map_init(&p->by_uid, free);
	p->used = mem_alloc_array((size_t)(ipv4_range_size(range) / 64) + 1, sizeof(*p->used));
	return 0;
}

void ipam_done(struct ipam *p)
{
	map_done(&p->by_uid);
	free(p->used);
	p->used = NULL;
}

uint32_t ipam_gateway(const struct ipam *p)
{
	return p->range.first + 1;
}

size_t ipam_capacity(const struct ipam *p)
{
	return (size_t)ipv4_range_size(p->range) - 3;
}

static uint32_t last_of(const struct ipam *p)
{
	return p->range.first + (uint32_t)ipv4_range_size(p->range) - 2;
}

static bool is_given(const struct ipam *p, uint32_t address)
{
	uint32_t i = address - p->range.first;
	return p->used[i / 64] >> (i % 64) & 1;
}

static void mark(struct ipam *p, uint32_t address, bool given)
{
	uint32_t i = address - p->range.first;
	uint64_t bit = (uint64_t)1 << (i % 64);
	p->used[i / 64] = given ? p->used[i / 64] | bit : p->used[i / 64] & ~bit;
}

static uint32_t after(const struct ipam *p, uint32_t address)
{
	return address == last_of(p) ? p->range.first + 2 : address + 1;
}

bool ipam_find(const struct ipam *p, const char *uid, uint32_t *ret_address)
{
	const struct ipam_lease *lease = map_get(&p->by_uid, uid);
	if (lease)
		*ret_address = lease->address;
	return lease != NULL;
}

static bool uid_is_plain(const char *uid)
{
	if (str_empty(uid) || strlen(uid) > IPAM_UID_MAX)
		return false;
	for (; *uid; uid++)
		if ((unsigned char)*uid <= ' ' || *uid == 127)
			return false;
	return true;
}

static void give(struct ipam *p, const char *uid, uint32_t address)
{
	struct ipam_lease *lease = mem_new(struct ipam_lease);
	lease->address = address;
	map_put(&p->by_uid, uid, lease);
	mark(p, address, true);
}

int ipam_take(struct ipam *p, const char *uid, uint32_t *ret_address, bool *ret_new, struct err *e)
{
	*ret_new = false;
	if (!uid_is_plain(uid))
		return err_set(e, ERR_INVALID, "a pod's uid must be 1 to %d plain characters",
			IPAM_UID_MAX);
	if (ipam_find(p, uid, ret_address))
		return 0;
	char first[IPV4_TEXT_SIZE];
	if (p->by_uid.count == ipam_capacity(p))
		return err_set(e, ERR_UNAVAILABLE,
			"all %zu pod addresses of this node's range %s/%d are given",
			ipam_capacity(p), ipv4_format(p->range.first, first), p->range.prefix);
	uint32_t address = p->next;
	while (is_given(p, address))
		address = after(p, address);
	give(p, uid, address);
	p->next = after(p, address);
	*ret_address = address;
	*ret_new = true;
	return 0;
}

static bool is_ours(const struct ipam *p, uint32_t address)
{
	return ipv4_range_has(p->range, address) && address > ipam_gateway(p) &&
	       address <= last_of(p);
}

int ipam_adopt(struct ipam *p, const char *uid, uint32_t address, struct err *e)
{
	char text[IPV4_TEXT_SIZE];
	if (!is_ours(p, address) || !uid_is_plain(uid))
		return err_set(e, ERR_INVALID, "%s cannot be the address of pod %.60s",
			ipv4_format(address, text), uid);
	uint32_t had;
	if (ipam_find(p, uid, &had) && had == address)
		return 0;
	ipam_release(p, uid);
	if (is_given(p, address)) {
		MAP_EACH (&p->by_uid, entry) {
			const struct ipam_lease *lease = entry->value;
			if (lease->address == address)
				ipam_release(p, entry->key);
		}
	}
	give(p, uid, address);
	if (address >= p->next)
		p->next = after(p, address);
	return 0;
}

bool ipam_release(struct ipam *p, const char *uid)
{
	uint32_t address;
	if (!ipam_find(p, uid, &address))
		return false;
	mark(p, address, false);
	return map_remove(&p->by_uid, uid);
}

void ipam_encode(const struct ipam *p, struct buf *b)
{
	char text[IPV4_TEXT_SIZE];
	buf_printf(b, HEADING "\nnext %s\n", ipv4_format(p->next, text));
	MAP_EACH (&p->by_uid, entry) {
		const struct ipam_lease *lease = entry->value;
		buf_printf(b, "%s %s\n", ipv4_format(lease->address, text), entry->key);
	}
	/* A file that ends early is noticed. */
	buf_printf(b, "end %zu\n", p->by_uid.count);
}

static int decode_line(struct ipam *p, char *line, size_t *count, bool *ended)
{
	char *space = strchr(line, ' ');
	if (!space || *ended)
		return -ERR_CORRUPT;
	*space = '\0';
	const char *rest = space + 1;
	uint32_t address = 0;
	if (str_equal(line, "end")) {
		int64_t said = -1;
		*ended = true;
		int code = str_to_int64(rest, "count", &said, NULL);
		return code || said != (int64_t)*count ? -ERR_CORRUPT : 0;
	}
	if (str_equal(line, "next")) {
		if (ipv4_parse(rest, "next", &address, NULL))
			return -ERR_CORRUPT;
		p->next = is_ours(p, address) ? address : p->next;
		return 0;
	}
	if (ipv4_parse(line, "lease", &address, NULL) || !uid_is_plain(rest))
		return -ERR_CORRUPT;
	(*count)++;
	if (!is_ours(p, address))
		return 0;
	if (map_has(&p->by_uid, rest) || is_given(p, address))
		return -ERR_CORRUPT;
	give(p, rest, address);
	return 0;
}

static void forget_all(struct ipam *p)
{
	map_done(&p->by_uid);
	map_init(&p->by_uid, free);
	memset(p->used, 0, ((size_t)(ipv4_range_size(p->range) / 64) + 1) * sizeof(*p->used));
	p->next = p->range.first + 2;
}

int ipam_decode(struct ipam *p, const char *text, struct err *e)
{
	char *copy CLEANUP(mem_free_ptr) = mem_dup_string(text);
	char *rest = copy;
	size_t count = 0, number = 0;
	bool ended = false;
	for (char *line; (line = strsep(&rest, "\n"));) {
		number++;
		if (!rest && !*line)
			break;
		bool good = number == 1 ? str_equal(line, HEADING)
					: decode_line(p, line, &count, &ended) == 0;
		if (good)
			continue;
		forget_all(p);
		return err_set(e, ERR_CORRUPT, "line %zu of the address leases is not ours",
			number);
	}
	if (ended)
		return 0;
	forget_all(p);
	return err_set(e, ERR_CORRUPT, "the address leases end early, in line %zu", number);
}
