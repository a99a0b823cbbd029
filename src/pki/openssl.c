#include "pki/openssl.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/mem.h"

const char *pki_reason(char ret_text[static PKI_REASON_SIZE])
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	snprintf(ret_text, PKI_REASON_SIZE, "%s", reason ? reason : "refused by OpenSSL");
	ERR_clear_error();
	return ret_text;
}

void pki_key_done(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

void pki_x509_done(X509 **certificate)
{
	X509_free(*certificate);
}

void pki_req_done(X509_REQ **request)
{
	X509_REQ_free(*request);
}

void pki_bio_done(BIO **bio)
{
	BIO_free(*bio);
}

/* Without this OpenSSL would ask for a password on the terminal. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
	(void)buffer, (void)size, (void)writing, (void)arg;
	return -1;
}

static int open_pem(const char *pem, const char *what, BIO **ret_bio, struct err *e)
{
	if (!pem || !*pem)
		return err_set(e, ERR_DECODE, "%s: no PEM text given", what);
	size_t size = strnlen(pem, PKI_PEM_MAX + 1);
	if (size > PKI_PEM_MAX)
		return err_set(e, ERR_TOO_LARGE, "%s: more than %d bytes of PEM text", what,
			PKI_PEM_MAX);
	*ret_bio = BIO_new_mem_buf(pem, (int)size);
	if (!*ret_bio)
		return pki_fail(e, ERR_INTERNAL, what);
	return 0;
}

int pki_read_certificate(const char *pem, const char *what, X509 **ret_certificate, struct err *e)
{
	BIO *bio CLEANUP(pki_bio_done) = NULL;
	int r = open_pem(pem, what, &bio, e);
	if (r < 0)
		return r;
	X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	if (!certificate)
		return pki_fail(e, ERR_DECODE, what);
	*ret_certificate = certificate;
	return 0;
}

int pki_read_key(const char *pem, const char *what, EVP_PKEY **ret_key, struct err *e)
{
	BIO *bio CLEANUP(pki_bio_done) = NULL;
	int r = open_pem(pem, what, &bio, e);
	if (r < 0)
		return r;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	if (!key)
		return pki_fail(e, ERR_DECODE, what);
	*ret_key = key;
	return 0;
}

char *pki_bio_text(BIO *memory)
{
	char *data = NULL;
	long size = BIO_get_mem_data(memory, &data);
	return mem_dup_bytes(data, size > 0 ? (size_t)size : 0);
}

int pki_write_certificate(X509 *certificate, char **ret_pem, struct err *e)
{
	BIO *bio CLEANUP(pki_bio_done) = BIO_new(BIO_s_mem());
	if (!bio || PEM_write_bio_X509(bio, certificate) != 1)
		return pki_fail(e, ERR_INTERNAL, "cannot write a certificate");
	*ret_pem = pki_bio_text(bio);
	return 0;
}

int pki_write_key(EVP_PKEY *key, char **ret_pem, struct err *e)
{
	BIO *bio CLEANUP(pki_bio_done) = BIO_new(BIO_s_mem());
	if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return pki_fail(e, ERR_INTERNAL, "cannot write a private key");
	*ret_pem = pki_bio_text(bio);
	return 0;
}
