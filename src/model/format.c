#include "model/format.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"
#include "model/model.h"

#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
	return is_lower(c) || is_digit(c) || is_upper(c);
}

/* size characters of an RFC 1123 label. */
static bool is_dns_label(const char *text, size_t size)
{
	if (!size || text[0] == '-' || text[size - 1] == '-')
		return false;
	for (size_t i = 0; i < size; i++)
		if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '-')
			return false;
	return true;
}

static bool is_dns_subdomain(const char *text, size_t size)
{
	while (size) {
		const char *dot = memchr(text, '.', size);
		size_t label = dot ? (size_t)(dot - text) : size;
		if (!is_dns_label(text, label) || (dot && label + 1 == size))
			return false;
		text += label + (dot ? 1 : 0);
		size -= label + (dot ? 1 : 0);
		if (!dot)
			return true;
	}
	return false;
}

/* The part of a label behind the slash, and its value. */
static bool is_qualified_part(const char *text, size_t size)
{
	if (!size || size > LABEL_MAX || !is_alnum(text[0]) || !is_alnum(text[size - 1]))
		return false;
	for (size_t i = 0; i < size; i++)
		if (!is_alnum(text[i]) && !strchr("-_.", text[i]))
			return false;
	return true;
}

static const char *check_label_key(const char *text)
{
	const char *slash = strchr(text, '/');
	if (slash && !is_dns_subdomain(text, (size_t)(slash - text)))
		return "the prefix before '/' must be a DNS subdomain (such as 'example.com')";
	if (slash && slash - text > SUBDOMAIN_MAX)
		return "the prefix before '/' must be no more than 253 characters";
	const char *name = slash ? slash + 1 : text;
	if (!is_qualified_part(name, strlen(name)))
		return "the name must be 1 to 63 letters, digits, '-', '_' or '.', and start and "
		       "end with a letter or digit (such as 'MyName' or 'example.com/my-name')";
	return NULL;
}

static const char *check_label_value(const char *text)
{
	if (!*text || is_qualified_part(text, strlen(text)))
		return NULL;
	return "a label's value must be empty or at most 63 letters, digits, '-', '_' or '.', and "
	       "start and end with a letter or digit";
}

static const char *check_env_name(const char *text)
{
	if (is_digit(*text))
		return "the name of a variable must not start with a digit";
	for (const char *c = text; *c; c++)
		if (!is_alnum(*c) && !strchr("-_.", *c))
			return "the name of a variable consists of letters, digits, '_', '-' and "
			       "'.'";
	return NULL;
}

static const char *check_config_key(const char *text)
{
	if (!*text || strlen(text) > SUBDOMAIN_MAX)
		return "a key must have 1 to 253 characters";
	if (str_equal(text, ".") || str_starts(text, ".."))
		return "a key must not be '.' or start with '..'";
	for (const char *c = text; *c; c++)
		if (!is_alnum(*c) && !strchr("-_.", *c))
			return "a valid config key must consist of alphanumeric characters, '-', "
			       "'_' or '.'";
	return NULL;
}

const char *format_check_port_name(const char *text)
{
	size_t size = strlen(text);
	if (!size || size > 15)
		return "must have 1 to 15 characters";
	bool letter = false;
	for (size_t i = 0; i < size; i++) {
		letter |= is_lower(text[i]);
		if (text[i] == '-' && text[i + 1] == '-')
			return "must not contain consecutive hyphens";
	}
	if (!letter || !is_dns_label(text, size))
		return "must be lower case letters, digits and '-' with at least one letter (such "
		       "as 'http' or 'sip-tcp')";
	return NULL;
}

const char *format_check_relative_path(const char *text)
{
	if (*text == '/')
		return "must be a relative path";
	for (const char *p = text; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (str_equal(p, "..") || str_starts(p, "../"))
			return "must not contain '..'";
	}
	return NULL;
}

static bool is_ip(const char *text)
{
	unsigned char address[16];
	return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static const char *check_image(const char *text)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return "must not have leading, trailing or other white space";
	return NULL;
}

static const char *check_subdomain(const char *text)
{
	if (strlen(text) <= SUBDOMAIN_MAX && is_dns_subdomain(text, strlen(text)))
		return NULL;
	return "a lowercase RFC 1123 subdomain must be at most 253 lower case letters, digits, '-' "
	       "or '.', and start and end with a letter or digit (such as 'example.com')";
}

static const char *check_label(const char *text)
{
	if (strlen(text) <= LABEL_MAX && is_dns_label(text, strlen(text)))
		return NULL;
	return "a lowercase RFC 1123 label must be at most 63 lower case letters, digits or '-', "
	       "and start and end with a letter or digit (such as 'my-name' or '123-abc')";
}

static const char *check_1035_label(const char *text)
{
	if (!check_label(text) && is_lower(*text))
		return NULL;
	return "a DNS-1035 label must be at most 63 lower case letters, digits or '-', start with "
	       "a letter and end with a letter or digit (such as 'my-name' or 'abc-123')";
}

const char *format_check(enum schema_format format, const char *text)
{
	switch (format) {
	case FORMAT_DNS_LABEL:
		return check_label(text);
	case FORMAT_DNS_SUBDOMAIN:
		return check_subdomain(text);
	case FORMAT_DNS_1035_LABEL:
		return check_1035_label(text);
	case FORMAT_LABEL_KEY:
		return check_label_key(text);
	case FORMAT_LABEL_VALUE:
		return check_label_value(text);
	case FORMAT_ENV_NAME:
		return check_env_name(text);
	case FORMAT_CONFIG_KEY:
		return check_config_key(text);
	case FORMAT_PORT_NAME:
		return format_check_port_name(text);
	case FORMAT_IP:
		return is_ip(text) ? NULL
				   : "must be a valid IP address (such as '10.9.8.7' or "
				     "'2001:db8::ffff')";
	case FORMAT_IMAGE:
		return check_image(text);
	case FORMAT_PATH_ABSOLUTE:
		return *text == '/' ? NULL : "must be an absolute path";
	case FORMAT_DURATION:
		return duration_ms(text, &(double){0}, NULL) == 0
			       ? NULL
			       : "must be a duration of 0 or more (such as '20ms' or '1m30s')";
	case FORMAT_COUNTRY:
		return is_upper(text[0]) && is_upper(text[1]) && !text[2]
			       ? NULL
			       : "must be a country's code of two capital letters (ISO 3166-1, "
				 "such as 'DE' or 'FR')";
	case FORMAT_PORT: /* numbers: validate.c */
	case FORMAT_NONE:
		break;
	}
	return NULL;
}
