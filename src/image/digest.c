#include "image/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct digest {
	EVP_MD_CTX *context;
};

struct digest *digest_new(void)
{
	struct digest *d = mem_new(struct digest);
	d->context = EVP_MD_CTX_new();
	/* SHA-256 is always there; only memory can be missing, and that aborts. */
	if (!d->context || EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) != 1)
		abort();
	return d;
}

void digest_add(struct digest *d, const void *data, size_t size)
{
	if (EVP_DigestUpdate(d->context, data, size) != 1)
		abort();
}

void digest_end(struct digest *d, char ret_text[static DIGEST_TEXT_SIZE])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	if (EVP_DigestFinal_ex(d->context, hash, &size) != 1)
		abort();
	memcpy(ret_text, "sha256:", 7);
	str_hex(hash, 32, ret_text + 7);
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->context);
	free(d);
}

void digest_of(const void *data, size_t size, char ret_text[static DIGEST_TEXT_SIZE])
{
	struct digest *d = digest_new();
	digest_add(d, data, size);
	digest_end(d, ret_text);
	digest_free(d);
}
