#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pki/openssl.h"
#include "pki/pki.h"

#define NAME_MAX_BYTES 127 /* what pki_info has room for */

void pki_pair_done(struct pki_pair *p)
{
	if (p->key_pem)
		OPENSSL_cleanse(p->key_pem, strlen(p->key_pem));
	free(p->key_pem);
	free(p->certificate_pem);
	*p = (struct pki_pair){0};
}

/* V_ASN1_UTF8STRING instead of MBSTRING_UTF8: the latter enforces the 64 characters of X.520, which
 * "system:node:NAME" may pass. */
static int add_name(X509_NAME *name, int nid, const char *value, struct err *e)
{
	if (!value || !*value)
		return 0;
	size_t size = strlen(value);
	if (size > NAME_MAX_BYTES)
		return err_set(e, ERR_INVALID,
			"a name of %zu bytes does not fit a certificate (at most %d)", size,
			NAME_MAX_BYTES);
	if (X509_NAME_add_entry_by_NID(name, nid, V_ASN1_UTF8STRING, (const unsigned char *)value,
		    (int)size, -1, 0) != 1)
		return pki_fail(e, ERR_INVALID, value);
	return 0;
}

static int set_serial(X509 *x, struct err *e)
{
	BIGNUM *number = BN_new();
	bool ok = number && BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
	BN_free(number);
	return ok ? 0 : pki_fail(e, ERR_INTERNAL, "cannot make a serial number");
}

static int set_times(X509 *x, int64_t wall_ms, int64_t early_ms, int64_t life_ms, struct err *e)
{
	time_t from = (time_t)((wall_ms - early_ms) / 1000);
	time_t until = (time_t)((wall_ms + life_ms) / 1000);
	if (!ASN1_TIME_set(X509_getm_notBefore(x), from) ||
		!ASN1_TIME_set(X509_getm_notAfter(x), until))
		return pki_fail(e, ERR_INTERNAL, "cannot set the times of a certificate");
	return 0;
}

/* value is one of our own constants, never input: OpenSSL's configuration syntax can be injected
 * into. */
static int add_extension(X509 *x, X509 *issuer, int nid, const char *value, struct err *e)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&context);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool ok = extension && X509_add_ext(x, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok ? 0 : pki_fail(e, ERR_INTERNAL, value);
}

struct extension {
	int nid;
	const char *value;
};

static int add_extensions(X509 *x, X509 *issuer, const struct extension *extensions, size_t count,
	struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		int r = add_extension(x, issuer, extensions[i].nid, extensions[i].value, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_alternative(GENERAL_NAMES *names, int type, const void *value, size_t size)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *text = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	if (!name || !text || !ASN1_STRING_set(text, value, (int)size)) {
		GENERAL_NAME_free(name);
		ASN1_STRING_free(text);
		return -ERR_INTERNAL;
	}
	GENERAL_NAME_set0_value(name, type, text);
	if (!sk_GENERAL_NAME_push(names, name)) {
		GENERAL_NAME_free(name);
		return -ERR_INTERNAL;
	}
	return 0;
}

static int add_dns_or_ip(GENERAL_NAMES *names, const char *text)
{
	unsigned char address[sizeof(struct in6_addr)];
	if (inet_pton(AF_INET, text, address) == 1)
		return add_alternative(names, GEN_IPADD, address, 4);
	if (inet_pton(AF_INET6, text, address) == 1)
		return add_alternative(names, GEN_IPADD, address, 16);
	return add_alternative(names, GEN_DNS, text, strlen(text));
}

static void names_done(GENERAL_NAMES **names)
{
	GENERAL_NAMES_free(*names);
}

static int add_alternatives(X509 *x, const struct pki_subject *subject, struct err *e)
{
	GENERAL_NAMES *names CLEANUP(names_done) = sk_GENERAL_NAME_new_null();
	int r = names ? 0 : -ERR_INTERNAL;
	if (r == 0 && subject->spiffe_id)
		r = add_alternative(names, GEN_URI, subject->spiffe_id, strlen(subject->spiffe_id));
	for (const char *const *name = subject->dns_or_ips; r == 0 && name && *name; name++)
		r = add_dns_or_ip(names, *name);
	if (r == 0 && sk_GENERAL_NAME_num(names) > 0 &&
		X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) != 1)
		r = -ERR_INTERNAL;
	return r == 0 ? 0 : pki_fail(e, ERR_INTERNAL, "cannot name the subject");
}

/* What a certificate of each use may do (RFC 5280 section 4.2.1). Servers call each other, so they
 * are clients as well. */
static const struct extension ca_extensions[] = {
	{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
	{NID_key_usage, "critical,keyCertSign,cRLSign"},
	{NID_subject_key_identifier, "hash"},
};
static const struct extension leaf_extensions[] = {
	{NID_basic_constraints, "critical,CA:FALSE"},
	{NID_key_usage, "critical,digitalSignature"},
	{NID_subject_key_identifier, "hash"},
	{NID_authority_key_identifier, "keyid:always"},
};
static const char *const extended_usage[] = {
	[PKI_SERVER] = "serverAuth,clientAuth",
	[PKI_NODE] = "clientAuth",
	[PKI_USER] = "clientAuth",
};

static int new_certificate(EVP_PKEY *key, int64_t wall_ms, int64_t early_ms, int64_t life_ms,
	const char *common_name, const char *organization, X509 **ret_x, struct err *e)
{
	X509 *x CLEANUP(pki_x509_done) = X509_new();
	if (!x || X509_set_version(x, X509_VERSION_3) != 1 || X509_set_pubkey(x, key) != 1)
		return pki_fail(e, ERR_INTERNAL, "cannot begin a certificate");
	int r = set_serial(x, e);
	if (r == 0)
		r = set_times(x, wall_ms, early_ms, life_ms, e);
	if (r == 0)
		r = add_name(X509_get_subject_name(x), NID_organizationName, organization, e);
	if (r == 0)
		r = add_name(X509_get_subject_name(x), NID_commonName, common_name, e);
	if (r == 0)
		*ret_x = take_ptr(x);
	return r;
}

int pki_ca_new(const char *domain, int64_t wall_ms, struct pki_pair *ret_ca, struct err *e)
{
	EVP_PKEY *key CLEANUP(pki_key_done) = EVP_EC_gen("P-256");
	if (!key)
		return pki_fail(e, ERR_INTERNAL, "cannot make a key");
	char name[NAME_MAX_BYTES + 1];
	if (snprintf(name, sizeof(name), "%s CA", domain) >= (int)sizeof(name))
		return err_set(e, ERR_INVALID, "the domain's name is longer than %d bytes",
			NAME_MAX_BYTES - 3);
	X509 *x CLEANUP(pki_x509_done) = NULL;
	struct pki_pair pair CLEANUP(pki_pair_done) = {0};
	int r = new_certificate(key, wall_ms, PKI_EARLY_MS, PKI_CA_LIFE_MS, name, NULL, &x, e);
	if (r == 0 && X509_set_issuer_name(x, X509_get_subject_name(x)) != 1)
		r = pki_fail(e, ERR_INTERNAL, "cannot name the issuer");
	if (r == 0)
		r = add_extensions(x, x, ca_extensions, ARRAY_SIZE(ca_extensions), e);
	if (r == 0 && X509_sign(x, key, EVP_sha256()) <= 0)
		r = pki_fail(e, ERR_INTERNAL, "cannot sign the CA");
	if (r == 0)
		r = pki_write_certificate(x, &pair.certificate_pem, e);
	if (r == 0)
		r = pki_write_key(key, &pair.key_pem, e);
	if (r == 0) {
		*ret_ca = pair;
		pair = (struct pki_pair){0};
	}
	return r;
}

static int sign_with(const struct pki_pair *ca, X509 *ca_x, X509 *x, struct err *e)
{
	EVP_PKEY *ca_key CLEANUP(pki_key_done) = NULL;
	int r = pki_read_key(ca->key_pem, "the CA's key", &ca_key, e);
	if (r < 0)
		return r;
	if (X509_check_private_key(ca_x, ca_key) != 1)
		return pki_fail(e, ERR_CORRUPT, "the CA's key is not that of its certificate");
	if (X509_sign(x, ca_key, EVP_sha256()) <= 0)
		return pki_fail(e, ERR_INTERNAL, "cannot sign a certificate");
	return 0;
}

/* Nothing outlives the CA that signed it. */
static int64_t life_within(const X509 *ca_x, int64_t wall_ms, int64_t life_ms)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(ca_x), &tm) != 1)
		return life_ms;
	int64_t left_ms = (int64_t)timegm(&tm) * 1000 - wall_ms;
	return left_ms < life_ms ? left_ms : life_ms;
}

static int issue_for(const struct pki_pair *ca, EVP_PKEY *key, const struct pki_subject *subject,
	int64_t wall_ms, char **ret_pem, struct err *e)
{
	X509 *ca_x CLEANUP(pki_x509_done) = NULL;
	int r = pki_read_certificate(ca->certificate_pem, "the CA's certificate", &ca_x, e);
	if (r < 0)
		return r;
	int64_t life_ms = life_within(ca_x, wall_ms, subject->life_ms);
	if (life_ms <= 0)
		return err_set(e, ERR_INVALID, "the CA has expired, or a life of 0 was asked for");
	X509 *x CLEANUP(pki_x509_done) = NULL;
	int64_t early_ms = subject->use == PKI_SERVER ? PKI_EARLY_MS : PKI_SKEW_MS;
	r = new_certificate(key, wall_ms, early_ms, life_ms, subject->common_name,
		subject->organization, &x, e);
	if (r == 0 && X509_set_issuer_name(x, X509_get_subject_name(ca_x)) != 1)
		r = pki_fail(e, ERR_INTERNAL, "cannot name the issuer");
	if (r == 0)
		r = add_extensions(x, ca_x, leaf_extensions, ARRAY_SIZE(leaf_extensions), e);
	if (r == 0)
		r = add_extension(x, ca_x, NID_ext_key_usage, extended_usage[subject->use], e);
	if (r == 0)
		r = add_alternatives(x, subject, e);
	if (r == 0)
		r = sign_with(ca, ca_x, x, e);
	if (r == 0)
		r = pki_write_certificate(x, ret_pem, e);
	return r;
}

int pki_issue(const struct pki_pair *ca, const struct pki_subject *subject, int64_t wall_ms,
	struct pki_pair *ret_pair, struct err *e)
{
	EVP_PKEY *key CLEANUP(pki_key_done) = EVP_EC_gen("P-256");
	if (!key)
		return pki_fail(e, ERR_INTERNAL, "cannot make a key");
	struct pki_pair pair CLEANUP(pki_pair_done) = {0};
	int r = issue_for(ca, key, subject, wall_ms, &pair.certificate_pem, e);
	if (r == 0)
		r = pki_write_key(key, &pair.key_pem, e);
	if (r == 0) {
		*ret_pair = pair;
		pair = (struct pki_pair){0};
	}
	return r;
}

static int read_csr(const char *csr_pem, X509_REQ **ret_request, struct err *e)
{
	size_t size = csr_pem ? strnlen(csr_pem, PKI_PEM_MAX + 1) : 0;
	if (size == 0 || size > PKI_PEM_MAX)
		return err_set(e, ERR_DECODE, "the CSR is empty or larger than %d bytes",
			PKI_PEM_MAX);
	BIO *bio CLEANUP(pki_bio_done) = BIO_new_mem_buf(csr_pem, (int)size);
	X509_REQ *request CLEANUP(pki_req_done) =
		bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
	if (!request)
		return pki_fail(e, ERR_DECODE, "the CSR cannot be decoded");
	EVP_PKEY *key = X509_REQ_get0_pubkey(request);
	char group[32] = "";
	if (!key || !EVP_PKEY_is_a(key, "EC") ||
		EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
		OBJ_sn2nid(group) != NID_X9_62_prime256v1)
		return err_set(e, ERR_DECODE, "the CSR's key must be ECDSA P-256");
	if (X509_REQ_verify(request, key) != 1)
		return pki_fail(e, ERR_FORBIDDEN, "the CSR's signature is not that of its key");
	*ret_request = take_ptr(request);
	return 0;
}

int pki_sign_csr(const struct pki_pair *ca, const char *csr_pem, const struct pki_subject *subject,
	int64_t wall_ms, char **ret_certificate_pem, struct err *e)
{
	X509_REQ *request CLEANUP(pki_req_done) = NULL;
	int r = read_csr(csr_pem, &request, e);
	if (r < 0)
		return r;
	return issue_for(ca, X509_REQ_get0_pubkey(request), subject, wall_ms, ret_certificate_pem,
		e);
}

static int write_csr(X509_REQ *request, char **ret_pem, struct err *e)
{
	BIO *bio CLEANUP(pki_bio_done) = BIO_new(BIO_s_mem());
	if (!bio || PEM_write_bio_X509_REQ(bio, request) != 1)
		return pki_fail(e, ERR_INTERNAL, "cannot write a CSR");
	*ret_pem = pki_bio_text(bio);
	return 0;
}

int pki_csr_new(const char *common_name, char **ret_key_pem, char **ret_csr_pem, struct err *e)
{
	EVP_PKEY *key CLEANUP(pki_key_done) = EVP_EC_gen("P-256");
	X509_REQ *request CLEANUP(pki_req_done) = X509_REQ_new();
	if (!key || !request || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
		X509_REQ_set_pubkey(request, key) != 1)
		return pki_fail(e, ERR_INTERNAL, "cannot begin a CSR");
	int r = add_name(X509_REQ_get_subject_name(request), NID_commonName, common_name, e);
	if (r < 0)
		return r;
	if (X509_REQ_sign(request, key, EVP_sha256()) <= 0)
		return pki_fail(e, ERR_INTERNAL, "cannot sign a CSR");
	struct pki_pair pair CLEANUP(pki_pair_done) = {0}; /* the CSR in the certificate's place */
	r = write_csr(request, &pair.certificate_pem, e);
	if (r == 0)
		r = pki_write_key(key, &pair.key_pem, e);
	if (r < 0)
		return r;
	*ret_key_pem = take_ptr(pair.key_pem);
	*ret_csr_pem = take_ptr(pair.certificate_pem);
	return 0;
}
