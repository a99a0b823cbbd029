#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "pki/openssl.h"
#include "pki/pki.h"

/* The first entry of a kind in a name; "" when absent, too long or with a NUL in it (a NUL would
 * let "admin\0.example" pass as "admin"). */
static void copy_entry(X509_NAME *name, int nid, char *ret_text, size_t size)
{
	ret_text[0] = '\0';
	int at = X509_NAME_get_index_by_NID(name, nid, -1);
	if (at < 0)
		return;
	unsigned char *text = NULL;
	int length =
		ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (length > 0 && (size_t)length < size && !memchr(text, '\0', (size_t)length)) {
		memcpy(ret_text, text, (size_t)length);
		ret_text[length] = '\0';
	}
	OPENSSL_free(text);
}

static void copy_spiffe(X509 *x, char *ret_text, size_t size)
{
	ret_text[0] = '\0';
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_URI)
			continue;
		const unsigned char *text =
			ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
		size_t length = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
		if (length >= size || memchr(text, '\0', length) || length < 9 ||
			memcmp(text, "spiffe://", 9) != 0)
			continue;
		memcpy(ret_text, text, length);
		ret_text[length] = '\0';
		break;
	}
	GENERAL_NAMES_free(names);
}

static int time_ms(const ASN1_TIME *time, int64_t *ret_ms, struct err *e)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return pki_fail(e, ERR_DECODE, "the certificate's times cannot be read");
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	return 0;
}

int pki_inspect(const char *certificate_pem, struct pki_info *ret_info, struct err *e)
{
	X509 *x CLEANUP(pki_x509_done) = NULL;
	int r = pki_read_certificate(certificate_pem, "certificate", &x, e);
	if (r < 0)
		return r;
	struct pki_info info = {0};
	X509_NAME *subject = X509_get_subject_name(x);
	copy_entry(subject, NID_commonName, info.common_name, sizeof(info.common_name));
	copy_entry(subject, NID_organizationName, info.organization, sizeof(info.organization));
	copy_spiffe(x, info.spiffe_id, sizeof(info.spiffe_id));
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
	if (ASN1_STRING_length(serial) <= 31)
		str_hex(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial),
			info.serial);
	r = time_ms(X509_get0_notBefore(x), &info.not_before_ms, e);
	if (r == 0)
		r = time_ms(X509_get0_notAfter(x), &info.not_after_ms, e);
	if (r == 0)
		*ret_info = info;
	return r;
}

int pki_pin(const char *certificate_pem, char ret_pin[static 65], struct err *e)
{
	X509 *x CLEANUP(pki_x509_done) = NULL;
	int r = pki_read_certificate(certificate_pem, "certificate", &x, e);
	if (r < 0)
		return r;
	unsigned char *der = NULL;
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	if (size <= 0)
		return pki_fail(e, ERR_DECODE, "the certificate's key cannot be read");
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256(der, (size_t)size, digest);
	OPENSSL_free(der);
	str_hex(digest, sizeof(digest), ret_pin);
	return 0;
}

static void store_done(X509_STORE **store)
{
	X509_STORE_free(*store);
}

static void store_context_done(X509_STORE_CTX **context)
{
	X509_STORE_CTX_free(*context);
}

int pki_verify(const char *ca_pem, const char *certificate_pem, int64_t wall_ms, struct err *e)
{
	X509 *ca CLEANUP(pki_x509_done) = NULL;
	X509 *x CLEANUP(pki_x509_done) = NULL;
	int r = pki_read_certificate(ca_pem, "the CA's certificate", &ca, e);
	if (r == 0)
		r = pki_read_certificate(certificate_pem, "certificate", &x, e);
	if (r < 0)
		return r;
	X509_STORE *store CLEANUP(store_done) = X509_STORE_new();
	X509_STORE_CTX *context CLEANUP(store_context_done) = X509_STORE_CTX_new();
	if (!store || !context || X509_STORE_add_cert(store, ca) != 1 ||
		X509_STORE_CTX_init(context, store, x, NULL) != 1)
		return pki_fail(e, ERR_INTERNAL, "cannot verify a certificate");
	X509_STORE_CTX_set_time(context, 0, (time_t)(wall_ms / 1000));
	if (X509_verify_cert(context) == 1)
		return 0;
	return err_set(e, ERR_UNAUTHORIZED, "the certificate is not valid: %s",
		X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
}

void pki_node_spiffe(const char *domain, const char *node, char ret_id[static 256])
{
	if (snprintf(ret_id, 256, "spiffe://%s/node/%s", domain, node) >= 256)
		ret_id[0] = '\0'; /* a name that is too long is nobody's */
}

/* As Kubernetes names nodes: an RFC 1123 subdomain. */
static bool is_node_name(const char *name)
{
	size_t length = strlen(name);
	if (length == 0 || length > 127 || name[0] == '-' || name[0] == '.')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length;
}

int pki_spiffe_node(const char *domain, const char *id, char ret_node[static 128], struct err *e)
{
	char prefix[256];
	int size = snprintf(prefix, sizeof(prefix), "spiffe://%s/node/", domain);
	const char *name = size > 0 && (size_t)size < sizeof(prefix) && str_starts(id, prefix)
				   ? id + size
				   : "";
	if (!is_node_name(name))
		return err_set(e, ERR_FORBIDDEN, "\"%.160s\" is no node of domain %.100s", id,
			domain);
	str_copy(ret_node, 128, name);
	return 0;
}
