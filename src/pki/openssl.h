/* OpenSSL's types under our ownership and errors. Internal to src/pki. */
#ifndef CONTINUO_PKI_OPENSSL_H
#define CONTINUO_PKI_OPENSSL_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/err.h"

#define PKI_PEM_MAX 65536 /* bytes of any PEM text that is taken in */
#define PKI_REASON_SIZE 160

/* OpenSSL's own words for the last failure, whose queue is emptied; ret_text is returned. */
const char *pki_reason(char ret_text[static PKI_REASON_SIZE]);

#define pki_fail(e, code, what)                                                                    \
	err_set((e), (code), "%s: %s", (what), pki_reason((char[PKI_REASON_SIZE]){0}))

/* For CLEANUP. */
void pki_key_done(EVP_PKEY **key);
void pki_x509_done(X509 **certificate);
void pki_req_done(X509_REQ **request);
void pki_bio_done(BIO **bio);

/* From PEM; what names it in the error (-ERR_DECODE). The caller owns the result. */
int pki_read_certificate(const char *pem, const char *what, X509 **ret_certificate,
	struct err *e) MUST_CHECK;
int pki_read_key(const char *pem, const char *what, EVP_PKEY **ret_key, struct err *e) MUST_CHECK;

/* To PEM, freed with free(). */
int pki_write_certificate(X509 *certificate, char **ret_pem, struct err *e) MUST_CHECK;
int pki_write_key(EVP_PKEY *key, char **ret_pem, struct err *e) MUST_CHECK;
char *pki_bio_text(BIO *memory) MUST_CHECK; /* what was written to a memory BIO; free() */

#endif
