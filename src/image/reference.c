#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "image/image.h"

#define NAME_MAX_SIZE 255 /* host and repository together, as distribution/reference has it */
#define DEFAULT_HOST "docker.io"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

/* "_", "__", "." or any number of "-": what may stand between the words of a path component. */
static size_t separator_length(const char *text)
{
	if (text[0] == '.')
		return 1;
	if (text[0] == '_')
		return text[1] == '_' ? 2 : 1;
	return strspn(text, "-");
}

static bool repository_valid(const char *text)
{
	for (;;) {
		if (!is_lower_alnum(*text))
			return false;
		while (is_lower_alnum(*text))
			text++;
		if (*text == '\0')
			return true;
		if (*text == '/') {
			text++;
			continue;
		}
		size_t length = separator_length(text);
		if (length == 0)
			return false;
		text += length;
	}
}

static bool port_valid(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	return digits >= 1 && digits <= 5 && text[digits] == '\0';
}

/* "registry.example", "127.0.0.1:5000", "[::1]:5000" */
static bool host_valid(const char *text)
{
	if (text[0] == '[') {
		size_t length = strspn(text + 1, "0123456789abcdefABCDEF:");
		const char *rest = text + 1 + length;
		if (length == 0 || *rest != ']')
			return false;
		return rest[1] == '\0' || (rest[1] == ':' && port_valid(rest + 2));
	}
	size_t length = 0;
	while (isalnum((unsigned char)text[length]) || text[length] == '-' || text[length] == '.')
		length++;
	if (length == 0 || !isalnum((unsigned char)text[0]) ||
		!isalnum((unsigned char)text[length - 1]) || strstr(text, ".."))
		return false;
	return text[length] == '\0' || (text[length] == ':' && port_valid(text + length + 1));
}

static bool tag_valid(const char *text)
{
	size_t length = strlen(text);
	if (length == 0 || length > 128 || !is_word(text[0]))
		return false;
	for (size_t i = 1; i < length; i++) {
		if (!is_word(text[i]) && text[i] != '.' && text[i] != '-')
			return false;
	}
	return true;
}

bool image_digest_valid(const char *text)
{
	if (!text || !str_starts(text, "sha256:"))
		return false;
	const char *hex = text + strlen("sha256:");
	return strspn(hex, "0123456789abcdef") == 64 && hex[64] == '\0';
}

/* The part before the first slash is a host when it cannot be the first word of a repository. */
static bool looks_like_host(const char *text, size_t length)
{
	if (length == strlen("localhost") && memcmp(text, "localhost", length) == 0)
		return true;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '.' || text[i] == ':' || isupper((unsigned char)text[i]))
			return true;
	}
	return false;
}

static int split_digest(char *name, struct image_reference *r, const char *text, struct err *e)
{
	char *at = strchr(name, '@');
	if (!at)
		return 0;
	*at++ = '\0';
	if (!image_digest_valid(at))
		return err_set(e, ERR_INVALID,
			"image \"%s\": the digest must be sha256: and 64 hexadecimal digits", text);
	str_copy(r->digest, sizeof(r->digest), at);
	return 0;
}

static int split_tag(char *name, struct image_reference *r, const char *text, struct err *e)
{
	char *slash = strrchr(name, '/');
	char *colon = strrchr(name, ':');
	if (!colon || (slash && colon < slash)) {
		if (r->digest[0] == '\0')
			str_copy(r->tag, sizeof(r->tag), "latest");
		return 0;
	}
	*colon++ = '\0';
	if (!tag_valid(colon))
		return err_set(e, ERR_INVALID,
			"image \"%s\": the tag \"%s\" must be 1 to 128 letters, digits, '_', '.' "
			"or "
			"'-' and begin with neither '.' nor '-'",
			text, colon);
	str_copy(r->tag, sizeof(r->tag), colon);
	return 0;
}

static void split_host(const char *name, struct image_reference *r, const char **ret_repository)
{
	const char *slash = strchr(name, '/');
	if (slash && looks_like_host(name, (size_t)(slash - name))) {
		snprintf(r->host, sizeof(r->host), "%.*s", (int)(slash - name), name);
		*ret_repository = slash + 1;
	} else {
		str_copy(r->host, sizeof(r->host), DEFAULT_HOST);
		*ret_repository = name;
	}
	if (strcmp(r->host, "index.docker.io") == 0)
		str_copy(r->host, sizeof(r->host), DEFAULT_HOST);
}

int image_reference_parse(const char *text, struct image_reference *ret_reference, struct err *e)
{
	struct image_reference r = {0};
	char name[NAME_MAX_SIZE + 1 + 129 + 80];
	if (str_empty(text))
		return err_set(e, ERR_INVALID, "the image's name is empty");
	if (!str_copy(name, sizeof(name), text))
		return err_set(e, ERR_INVALID, "image \"%.60s...\": the name is too long", text);
	int rc = split_digest(name, &r, text, e);
	if (rc == 0)
		rc = split_tag(name, &r, text, e);
	if (rc != 0)
		return rc;
	if (strlen(name) > NAME_MAX_SIZE)
		return err_set(e, ERR_INVALID, "image \"%.60s...\": the name is longer than %d",
			text, NAME_MAX_SIZE);
	const char *repository;
	split_host(name, &r, &repository);
	if (!host_valid(r.host))
		return err_set(e, ERR_INVALID, "image \"%s\": \"%s\" is no host name", text,
			r.host);
	if (!repository_valid(repository))
		return err_set(e, ERR_INVALID,
			"image \"%s\": \"%s\" is no repository (lower-case letters and digits, "
			"between them '.', '_', '-' and '/')",
			text, repository);
	bool official = strcmp(r.host, DEFAULT_HOST) == 0 && !strchr(repository, '/');
	const char *prefix = official ? "library/" : "";
	if (strlen(r.host) + 1 + strlen(prefix) + strlen(repository) > NAME_MAX_SIZE)
		return err_set(e, ERR_INVALID, "image \"%.60s...\": the name is longer than %d",
			text, NAME_MAX_SIZE);
	memcpy(r.repository, prefix, strlen(prefix));
	memcpy(r.repository + strlen(prefix), repository, strlen(repository) + 1);
	*ret_reference = r;
	return 0;
}

void image_reference_format(const struct image_reference *r,
	char ret_text[static IMAGE_REFERENCE_SIZE])
{
	snprintf(ret_text, IMAGE_REFERENCE_SIZE, "%s/%s%s%s%s%s", r->host, r->repository,
		r->tag[0] ? ":" : "", r->tag, r->digest[0] ? "@" : "", r->digest);
}
