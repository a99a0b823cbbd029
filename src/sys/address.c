#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "sys/loop_uv_private.h"

static int parse_port(const char *text, const char *port, uint16_t *ret_port, struct err *e)
{
	int64_t number;
	int r = str_to_int64(port, "port", &number, e);
	if (r < 0)
		return r;
	if (number < 0 || number > 65535)
		return err_set(e, ERR_INVALID, "address \"%s\": port is not within 0 to 65535",
			text);
	*ret_port = (uint16_t)number;
	return 0;
}

static bool parse_numeric(struct address *a, bool brackets, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->numeric;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->numeric;
	if (!brackets && inet_pton(AF_INET, a->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return true;
	}
	if (brackets && inet_pton(AF_INET6, a->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return true;
	}
	return false;
}

int address_parse(const char *text, struct address *ret_address, struct err *e)
{
	struct address a = {0};
	if (str_starts(text, "unix:")) {
		a.kind = ADDRESS_UNIX;
		if (text[5] != '/' || !str_copy(a.path, sizeof(a.path), text + 5))
			return err_set(e, ERR_INVALID,
				"address \"%s\": want unix: and an absolute path of at most 107 "
				"bytes",
				text);
		*ret_address = a;
		return 0;
	}
	const char *colon = strrchr(text, ':');
	bool brackets = text[0] == '[' && colon && colon > text && colon[-1] == ']';
	const char *host = brackets ? text + 1 : text;
	size_t size = colon ? (size_t)(colon - host) - (brackets ? 1 : 0) : 0;
	if (size == 0 || size >= sizeof(a.host) || (!brackets && memchr(host, ':', size)))
		return err_set(e, ERR_INVALID,
			"address \"%s\": want HOST:PORT, [IPV6]:PORT or unix:PATH", text);
	memcpy(a.host, host, size);
	uint16_t port = 0;
	int r = parse_port(text, colon + 1, &port, e);
	if (r < 0)
		return r;
	snprintf(a.port, sizeof(a.port), "%u", port);
	a.kind = parse_numeric(&a, brackets, port) ? ADDRESS_NUMERIC : ADDRESS_NAME;
	if (brackets && a.kind == ADDRESS_NAME)
		return err_set(e, ERR_INVALID, "address \"%s\": not an IPv6 address in brackets",
			text);
	*ret_address = a;
	return 0;
}

void address_format(const struct sockaddr *a, char ret_text[static ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?";
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(ret_text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(v4->sin_port));
	} else if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(ret_text, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(v6->sin6_port));
	} else {
		snprintf(ret_text, ADDRESS_TEXT_MAX, "unix");
	}
}
