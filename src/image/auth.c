#include "image/auth.h"

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "codec/base64.h"
#include "codec/json.h"

/* One name=value or name="value" of a challenge; null at the end or where it cannot be read. */
static const char *next_parameter(const char *text, char *ret_name, size_t name_size,
	char *ret_value, size_t value_size)
{
	text += strspn(text, " \t,");
	size_t length = strcspn(text, "= \t,");
	if (length == 0 || text[length] != '=' || length >= name_size)
		return NULL;
	memcpy(ret_name, text, length);
	ret_name[length] = '\0';
	text += length + 1;
	bool quoted = *text == '"';
	if (quoted)
		text++;
	size_t used = 0;
	for (; *text && (quoted ? *text != '"' : !strchr(" \t,", *text)); text++) {
		if (quoted && *text == '\\' && text[1])
			text++;
		if (used + 1 >= value_size)
			return NULL;
		ret_value[used++] = *text;
	}
	ret_value[used] = '\0';
	if (quoted && *text++ != '"')
		return NULL;
	return text;
}

int auth_parse_challenge(const char *header, struct auth_challenge *ret_challenge, struct err *e)
{
	struct auth_challenge c = {0};
	if (strncasecmp(header, "basic", 5) == 0 && (header[5] == ' ' || header[5] == '\0')) {
		*ret_challenge = c;
		return 0;
	}
	if (strncasecmp(header, "bearer ", 7) != 0)
		return err_set(e, ERR_PROTOCOL, "it asks for \"%.60s\"; Basic and Bearer are known",
			header);
	c.bearer = true;
	char name[32], value[512];
	const char *at = header + 7;
	while ((at = next_parameter(at, name, sizeof(name), value, sizeof(value)))) {
		if (strcasecmp(name, "realm") == 0)
			str_copy(c.realm, sizeof(c.realm), value);
		else if (strcasecmp(name, "service") == 0)
			str_copy(c.service, sizeof(c.service), value);
		else if (strcasecmp(name, "scope") == 0)
			str_copy(c.scope, sizeof(c.scope), value);
	}
	if (c.realm[0] == '\0')
		return err_set(e, ERR_PROTOCOL,
			"it asks for a token and does not say where (realm)");
	*ret_challenge = c;
	return 0;
}

/* How many characters of the key matched, 0 when it is for something else. */
static size_t key_score(const char *key, const char *host, const char *repository)
{
	const char *scheme = strstr(key, "://");
	if (scheme)
		key = scheme + 3;
	size_t host_length = strcspn(key, "/");
	bool docker = strcmp(host, "docker.io") == 0 &&
		      ((host_length == 15 && memcmp(key, "index.docker.io", 15) == 0) ||
			      (host_length == 20 && memcmp(key, "registry-1.docker.io", 20) == 0));
	if (!docker && (strlen(host) != host_length || memcmp(key, host, host_length) != 0))
		return 0;
	const char *path = key[host_length] ? key + host_length + 1 : "";
	if (strcmp(path, "v1/") == 0 || strcmp(path, "v2/") == 0 || strcmp(path, "v1") == 0 ||
		strcmp(path, "v2") == 0)
		path = "";
	size_t length = strlen(path);
	if (strncmp(path, repository, length) != 0)
		return 0;
	if (length > 0 && repository[length] != '\0' && repository[length] != '/')
		return 0;
	return 1 + length;
}

static bool read_entry(const json_t *entry, struct auth_credentials *ret_credentials)
{
	struct auth_credentials c = {0};
	const char *auth = json_text(entry, "", "auth");
	if (auth[0] == '\0')
		return str_copy(ret_credentials->user, sizeof(c.user),
			       json_text(entry, "", "username")) &&
		       str_copy(ret_credentials->password, sizeof(c.password),
			       json_text(entry, "", "password")) &&
		       ret_credentials->user[0];
	CLEANUP(buf_done)
	struct buf plain = BUF_INIT_LIMIT(sizeof(c.user) + sizeof(c.password));
	if (base64_decode(auth, strlen(auth), &plain, NULL) != 0 || plain.failed)
		return false;
	char *colon = plain.data ? memchr(plain.data, ':', plain.size) : NULL;
	if (!colon)
		return false;
	*colon = '\0';
	bool fits = str_copy(c.user, sizeof(c.user), plain.data) &&
		    str_copy(c.password, sizeof(c.password), colon + 1);
	OPENSSL_cleanse(plain.data, plain.size);
	if (fits)
		*ret_credentials = c;
	return fits;
}

bool auth_find(const json_t *docker_config, const char *host, const char *repository,
	struct auth_credentials *ret_credentials)
{
	const json_t *auths = json_at(docker_config, "auths");
	if (!auths)
		auths = docker_config;
	size_t best = 0;
	const json_t *found = NULL, *entry;
	const char *key;
	json_object_foreach ((json_t *)auths, key, entry) {
		size_t score = json_is_object(entry) ? key_score(key, host, repository) : 0;
		if (score > best) {
			best = score;
			found = entry;
		}
	}
	return found && read_entry(found, ret_credentials);
}

void auth_basic(const struct auth_credentials *credentials, struct buf *ret_header)
{
	CLEANUP(buf_done)
	struct buf plain = BUF_INIT;
	buf_printf(&plain, "%s:%s", credentials->user, credentials->password);
	buf_append_string(ret_header, "Basic ");
	base64_encode(plain.data, plain.size, ret_header);
}
