/* Which addresses are reached without a proxy. */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "net/proxy.h"

#define ENTRY_MAX 300

/* A host and a port apart: of an address or of an entry of no_proxy. */
struct target {
	char host[ENTRY_MAX];
	int64_t port; /* 0: none given */
};

static int set_host(struct target *t, const char *text, size_t size)
{
	if (size == 0 || size >= sizeof(t->host))
		return -ERR_INVALID;
	memcpy(t->host, text, size);
	t->host[size] = '\0';
	return 0;
}

static int set_port(struct target *t, const char *text)
{
	int r = str_to_int64(text, "port", &t->port, NULL);
	return r == 0 && t->port > 0 && t->port < 65536 ? 0 : -ERR_INVALID;
}

/* "HOST", "HOST:PORT", "[IPV6]", "[IPV6]:PORT", "IPV6". */
static int split(const char *text, struct target *ret_target)
{
	*ret_target = (struct target){0};
	const char *colon = strrchr(text, ':');
	if (text[0] == '[') {
		const char *bracket = strchr(text, ']');
		if (!bracket || (bracket[1] != '\0' && bracket[1] != ':'))
			return -ERR_INVALID;
		int r = set_host(ret_target, text + 1, (size_t)(bracket - text) - 1);
		return r < 0 || bracket[1] == '\0' ? r : set_port(ret_target, bracket + 2);
	}
	if (!colon || strchr(text, ':') != colon)
		return set_host(ret_target, text, strlen(text));
	int r = set_host(ret_target, text, (size_t)(colon - text));
	return r < 0 ? r : set_port(ret_target, colon + 1);
}

/* The bytes of a numeric address; their number, or 0 when it is a name. */
static size_t address_bytes(const char *host, uint8_t ret_bytes[static 16])
{
	if (inet_pton(AF_INET, host, ret_bytes) == 1)
		return 4;
	return inet_pton(AF_INET6, host, ret_bytes) == 1 ? 16 : 0;
}

static bool in_network(const uint8_t *a, const uint8_t *b, size_t bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8) == 0;
}

static int network_matches(struct target *entry, const char *host, bool *ret_matches)
{
	uint8_t network[16], bytes[16];
	int64_t bits;
	char *slash = strchr(entry->host, '/');
	*slash = '\0';
	size_t size = address_bytes(entry->host, network);
	if (size == 0 || str_to_int64(slash + 1, "bits", &bits, NULL) < 0 || bits < 0 ||
		bits > (int64_t)size * 8)
		return -ERR_INVALID;
	*ret_matches =
		address_bytes(host, bytes) == size && in_network(network, bytes, (size_t)bits);
	return 0;
}

static bool name_matches(const char *name, const char *host)
{
	size_t host_size = strlen(host), size;
	if (name[0] == '*' && name[1] == '.')
		name++;
	if (name[0] == '.')
		name++;
	size = strlen(name);
	if (host_size > 1 && host[host_size - 1] == '.')
		host_size--; /* "example.com." is example.com */
	if (size == 0 || host_size < size || strncasecmp(host + host_size - size, name, size) != 0)
		return false;
	return host_size == size || host[host_size - size - 1] == '.';
}

static int entry_matches(const char *text, const struct target *to, bool *ret_matches)
{
	struct target entry;
	uint8_t own[16], bytes[16];
	*ret_matches = str_equal(text, "*");
	if (*ret_matches)
		return 0;
	int r = split(text, &entry);
	if (r < 0)
		return r;
	size_t size = address_bytes(entry.host, own);
	if (strchr(entry.host, '/'))
		r = network_matches(&entry, to->host, ret_matches);
	else if (size)
		*ret_matches =
			address_bytes(to->host, bytes) == size && memcmp(own, bytes, size) == 0;
	else
		*ret_matches = name_matches(entry.host, to->host);
	if (entry.port && entry.port != to->port)
		*ret_matches = false;
	return r;
}

static bool is_loopback(const char *host)
{
	static const char *const entries[] = {"localhost", "127.0.0.0/8", "::1"};
	struct target to = {0};
	bool matches = false;
	str_copy(to.host, sizeof(to.host), host);
	for (size_t i = 0; !matches && i < ARRAY_SIZE(entries); i++)
		if (entry_matches(entries[i], &to, &matches) < 0)
			return false;
	return matches;
}

int proxy_skips(const char *no_proxy, const char *address, bool *ret_skips, struct err *e)
{
	static const char separators[] = ", \t\r\n";
	struct target to;
	bool skips = str_starts(address, "unix:");
	if (!skips && split(address, &to) < 0)
		return err_set(e, ERR_INVALID, "\"%.200s\" is not HOST:PORT", address);
	skips = skips || is_loopback(to.host);
	for (const char *at = no_proxy ? no_proxy : ""; *(at += strspn(at, separators));) {
		size_t size = strcspn(at, separators);
		char entry[ENTRY_MAX];
		bool matches = false;
		if (size >= sizeof(entry))
			return err_set(e, ERR_INVALID, "no_proxy: \"%.40s...\" is too long", at);
		memcpy(entry, at, size);
		entry[size] = '\0';
		at += size;
		if (str_starts(address, "unix:"))
			continue;
		if (entry_matches(entry, &to, &matches) < 0)
			return err_set(e, ERR_INVALID,
				"no_proxy: \"%s\" is no name, address or network", entry);
		skips = skips || matches;
	}
	*ret_skips = skips;
	return 0;
}
