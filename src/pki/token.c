#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/str.h"
#include "pki/pki.h"

#define ID_LENGTH 10
#define SECRET_LENGTH 26
#define PIN_LENGTH 64

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648 section 6 */

/* The first 5 * length bits of data, the missing ones as zeros. */
static void base32(const unsigned char *data, size_t size, size_t length, char *ret_text)
{
	for (size_t i = 0; i < length; i++) {
		unsigned value = 0;
		for (size_t bit = i * 5; bit < i * 5 + 5; bit++) {
			unsigned set = bit / 8 < size ? data[bit / 8] >> (7 - bit % 8) & 1u : 0;
			value = value << 1 | set;
		}
		ret_text[i] = alphabet[value];
	}
	ret_text[length] = '\0';
}

void pki_token_new(const unsigned char random[static 24], const char *pin,
	struct pki_token *ret_token)
{
	base32(random, 8, ID_LENGTH, ret_token->id);
	base32(random + 8, 16, SECRET_LENGTH, ret_token->secret);
	str_copy(ret_token->pin, sizeof(ret_token->pin), pin);
}

void pki_token_format(const struct pki_token *t, char ret_text[static PKI_TOKEN_MAX])
{
	snprintf(ret_text, PKI_TOKEN_MAX, "continuo1.%s.%s.%s", t->id, t->secret, t->pin);
}

/* One part of exactly length characters of a set, then the character that ends it. */
static bool take_part(const char **text, const char *set, size_t length, char end, char *ret_part)
{
	if (strspn(*text, set) != length || (*text)[length] != end)
		return false;
	memcpy(ret_part, *text, length);
	ret_part[length] = '\0';
	*text += length + (end != '\0');
	return true;
}

int pki_token_parse(const char *text, struct pki_token *ret_token, struct err *e)
{
	static const char prefix[] = "continuo1.";
	struct pki_token token = {0};
	if (!text || !str_starts(text, prefix))
		return err_set(e, ERR_DECODE,
			"not a join token: it begins with \"%s\" (make one: continuo token create)",
			prefix);
	text += sizeof(prefix) - 1;
	if (!take_part(&text, alphabet, ID_LENGTH, '.', token.id) ||
		!take_part(&text, alphabet, SECRET_LENGTH, '.', token.secret) ||
		!take_part(&text, "0123456789abcdef", PIN_LENGTH, '\0', token.pin))
		return err_set(e, ERR_DECODE,
			"the join token is incomplete or damaged: copy it whole (%d characters)",
			(int)sizeof(prefix) - 1 + ID_LENGTH + SECRET_LENGTH + PIN_LENGTH + 2);
	*ret_token = token;
	OPENSSL_cleanse(token.secret, sizeof(token.secret));
	return 0;
}

void pki_token_hash(const char *secret, char ret_hex[static 65])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)secret, strlen(secret), digest);
	str_hex(digest, sizeof(digest), ret_hex);
}

bool pki_equal(const char *a, const char *b)
{
	size_t size = strlen(a);
	return size == strlen(b) && CRYPTO_memcmp(a, b, size) == 0;
}
