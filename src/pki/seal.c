#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pki/openssl.h"
#include "pki/pki.h"

#define VERSION 1
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define OVERHEAD (1 + NONCE_SIZE + TAG_SIZE)
#define SEAL_MAX ((size_t)64 << 20)

struct pki_seal {
	unsigned char key[32];
};

struct pki_seal *pki_seal_new(const unsigned char key[static 32])
{
	struct pki_seal *s = mem_new(struct pki_seal);
	memcpy(s->key, key, sizeof(s->key));
	return s;
}

void pki_seal_free(struct pki_seal *s)
{
	if (!s)
		return;
	OPENSSL_cleanse(s, sizeof(*s));
	free(s);
}

static void cipher_done(EVP_CIPHER_CTX **context)
{
	EVP_CIPHER_CTX_free(*context);
}

static EVP_CIPHER_CTX *cipher_new(const struct pki_seal *s, const unsigned char *nonce,
	const char *key, const char *version, int encrypt)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int size = 0;
	if (context &&
		EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, s->key, nonce, encrypt) == 1 &&
		EVP_CipherUpdate(context, NULL, &size, (const unsigned char *)version, 1) == 1 &&
		EVP_CipherUpdate(context, NULL, &size, (const unsigned char *)key,
			(int)strlen(key)) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

int pki_seal(void *seal, const char *key, const void *data, size_t size, struct buf *out,
	struct err *e)
{
	if (size > SEAL_MAX || buf_reserve(out, size + OVERHEAD) < 0)
		return err_set(e, ERR_TOO_LARGE, "%s: %zu bytes are too many to seal", key, size);
	unsigned char head[1 + NONCE_SIZE] = {VERSION};
	unsigned char *cipher_text = (unsigned char *)out->data + out->size + sizeof(head);
	if (RAND_bytes(head + 1, NONCE_SIZE) != 1)
		return pki_fail(e, ERR_INTERNAL, "no random numbers");
	EVP_CIPHER_CTX *context CLEANUP(cipher_done) =
		cipher_new(seal, head + 1, key, (char *)head, 1);
	int written = 0, last = 0;
	if (!context || EVP_CipherUpdate(context, cipher_text, &written, data, (int)size) != 1 ||
		EVP_CipherFinal_ex(context, cipher_text + written, &last) != 1 ||
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, cipher_text + size) !=
			1)
		return pki_fail(e, ERR_INTERNAL, "cannot seal");
	memcpy(out->data + out->size, head, sizeof(head));
	out->size += size + OVERHEAD;
	out->data[out->size] = '\0';
	return 0;
}

int pki_open(void *seal, const char *key, const void *data, size_t size, struct buf *out,
	struct err *e)
{
	const unsigned char *bytes = data;
	if (size < OVERHEAD || size > SEAL_MAX + OVERHEAD || bytes[0] != VERSION)
		return err_set(e, ERR_CORRUPT, "%s: not sealed data of version %d", key, VERSION);
	size_t text_size = size - OVERHEAD;
	if (buf_reserve(out, text_size) < 0)
		return err_set(e, ERR_TOO_LARGE, "%s: %zu bytes are too many", key, text_size);
	EVP_CIPHER_CTX *context CLEANUP(cipher_done) =
		cipher_new(seal, bytes + 1, key, (const char *)bytes, 0);
	if (!context)
		return pki_fail(e, ERR_INTERNAL, "cannot open sealed data");
	unsigned char tag[TAG_SIZE];
	memcpy(tag, bytes + size - TAG_SIZE, TAG_SIZE);
	unsigned char *text = (unsigned char *)out->data + out->size;
	int written = 0, last = 0;
	bool ok = EVP_CipherUpdate(context, text, &written, bytes + 1 + NONCE_SIZE,
			  (int)text_size) == 1 &&
		  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
		  EVP_CipherFinal_ex(context, text + written, &last) == 1;
	if (!ok) {
		OPENSSL_cleanse(text, text_size); /* unauthenticated text never gets out */
		text[0] = '\0';
		return err_set(e, ERR_CORRUPT,
			"%s: sealed data is damaged, forged, or sealed with another key", key);
	}
	out->size += text_size;
	out->data[out->size] = '\0';
	return 0;
}
