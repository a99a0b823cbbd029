#include "net/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"

#define PEM_MAX (1 << 20)

static int fail(struct err *e, enum err_code code, const char *what)
{
	unsigned long reason = ERR_peek_last_error();
	const char *text = reason ? ERR_reason_error_string(reason) : NULL;
	ERR_clear_error();
	return err_set(e, code, "%s: %s", what, text ? text : "refused by OpenSSL");
}

/* Without this OpenSSL would ask for a password on the terminal. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
	(void)buffer, (void)size, (void)writing, (void)arg;
	return -1;
}

static void bio_done(BIO **bio)
{
	BIO_free(*bio);
}

static BIO *open_pem(const char *pem)
{
	size_t size = strnlen(pem, PEM_MAX + 1);
	return size > PEM_MAX ? NULL : BIO_new_mem_buf(pem, (int)size);
}

/* Calls use for each certificate of a PEM text; returns how many there were, or an error. */
static int each_certificate(const char *pem, const char *what,
	int (*use)(SSL_CTX *ssl, X509 *x, int index), SSL_CTX *ssl, struct err *e)
{
	BIO *bio CLEANUP(bio_done) = open_pem(pem);
	int count = 0;
	for (X509 *x; bio && (x = PEM_read_bio_X509(bio, NULL, no_password, NULL)); count++) {
		int ok = use(ssl, x, count);
		X509_free(x);
		if (ok != 1)
			return fail(e, ERR_DECODE, what);
	}
	if (count == 0)
		return fail(e, ERR_DECODE, what);
	ERR_clear_error(); /* of the end of the text */
	return count;
}

static int use_own(SSL_CTX *ssl, X509 *x, int index)
{
	return index == 0 ? SSL_CTX_use_certificate(ssl, x) : (int)SSL_CTX_add1_chain_cert(ssl, x);
}

static int use_trusted(SSL_CTX *ssl, X509 *x, int index)
{
	(void)index;
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), x) == 1 &&
	       SSL_CTX_add_client_CA(ssl, x) == 1;
}

/* A node that joins knows the CA by its pin only, so servers send it along. */
static int use_issuer(SSL_CTX *ssl, X509 *x, int index)
{
	(void)index;
	STACK_OF(X509) *chain = NULL;
	X509 *own = SSL_CTX_get0_certificate(ssl);
	SSL_CTX_get0_chain_certs(ssl, &chain);
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (X509_cmp(sk_X509_value(chain, i), x) == 0)
			return 1;
	if (!own || X509_check_issued(x, own) != X509_V_OK)
		return 1;
	return (int)SSL_CTX_add1_chain_cert(ssl, x);
}

static int load_own(SSL_CTX *ssl, const struct tls_config *config, struct err *e)
{
	int r = each_certificate(config->certificate_pem, "own certificate", use_own, ssl, e);
	if (r < 0)
		return r;
	BIO *bio CLEANUP(bio_done) = open_pem(config->key_pem ? config->key_pem : "");
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	int ok = key ? SSL_CTX_use_PrivateKey(ssl, key) : 0;
	EVP_PKEY_free(key);
	if (ok != 1)
		return fail(e, ERR_DECODE, "own private key");
	if (SSL_CTX_check_private_key(ssl) != 1)
		return fail(e, ERR_INVALID, "the private key is not that of the certificate");
	return 0;
}

/* ---- ALPN (RFC 7301) ---- */

static int pack_alpn(struct tls_context *c, const char *text, struct err *e)
{
	while (text && *text) {
		size_t size = strcspn(text, ",");
		if (size == 0 || size > 32 || c->alpn_size + 1 + size > sizeof(c->alpn))
			return err_set(e, ERR_USAGE, "ALPN list \"%.40s\" is malformed", text);
		c->alpn[c->alpn_size++] = (unsigned char)size;
		memcpy(c->alpn + c->alpn_size, text, size);
		c->alpn_size += (unsigned)size;
		text += size + (text[size] == ',');
	}
	return 0;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
	const unsigned char *in, unsigned in_size, void *arg)
{
	(void)ssl;
	const struct tls_context *c = arg;
	unsigned char *chosen = NULL;
	if (SSL_select_next_proto(&chosen, out_size, c->alpn, c->alpn_size, in, in_size) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK; /* goes on without; that is HTTP/1.1 */
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* ---- verification ---- */

static bool has_pin(X509 *x, const char *pin)
{
	unsigned char *der = NULL, digest[SHA256_DIGEST_LENGTH];
	char text[2 * SHA256_DIGEST_LENGTH + 1];
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	if (size <= 0)
		return false;
	SHA256(der, (size_t)size, digest);
	OPENSSL_free(der);
	str_hex(digest, sizeof(digest), text);
	return strcasecmp(text, pin) == 0;
}

static void copy_name(X509_NAME *name, char *ret_text, size_t size)
{
	if (X509_NAME_get_text_by_NID(name, NID_commonName, ret_text, (int)size) < 0)
		ret_text[0] = '\0';
}

static bool ends_before(X509 *x, int64_t wall_ms)
{
	time_t at = (time_t)(wall_ms / 1000);
	return !x || X509_cmp_time(X509_get0_notAfter(x), &at) <= 0;
}

/* Whether what is wrong is a matter of clocks alone, and of those that are forgiven. */
static bool forgives(const struct tls_names *names, X509_STORE_CTX *store)
{
	int error = X509_STORE_CTX_get_error(store);
	if (error == X509_V_ERR_CERT_NOT_YET_VALID)
		return names->forgive_early;
	if (error != X509_V_ERR_CERT_HAS_EXPIRED)
		return false;
	if (names->forgive_expired_peer && X509_STORE_CTX_get_error_depth(store) == 0)
		return true;
	return names->forgive_after_ms >= 0 &&
	       !ends_before(X509_STORE_CTX_get_current_cert(store), names->forgive_after_ms);
}

/* Called for everything that is wrong with a chain. OpenSSL forgets a certificate that it refuses,
 * so its names are kept for the error. */
static int judge(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_names *names = ssl ? SSL_get_app_data(ssl) : NULL;
	X509 *x = X509_STORE_CTX_get0_cert(store);
	if (ok || !names || !x)
		return ok;
	if (forgives(names, store)) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	copy_name(X509_get_subject_name(x), names->subject, sizeof(names->subject));
	copy_name(X509_get_issuer_name(x), names->issuer, sizeof(names->issuer));
	return ok;
}

/* Trusts exactly the certificate in the peer's chain whose key has the pin, then verifies as ever.
 */
static int verify_pinned(X509_STORE_CTX *store, void *arg)
{
	const struct tls_context *c = arg;
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
	STACK_OF(X509) *trusted = sk_X509_new_null();
	/* From 1: a server's own certificate is never its CA. */
	for (int i = 1; trusted && i < sk_X509_num(sent); i++)
		if (has_pin(sk_X509_value(sent, i), c->pinned_ca))
			sk_X509_push(trusted, sk_X509_value(sent, i));
	int ok = 0;
	if (trusted && sk_X509_num(trusted) > 0) {
		X509_STORE_CTX_set0_trusted_stack(store, trusted);
		ok = X509_verify_cert(store);
	} else {
		X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	}
	sk_X509_free(trusted);
	return ok || judge(ok, store);
}

static int explain_certificate(const struct tls_context *c, SSL *ssl, long reason, const char *peer,
	struct err *e)
{
	const struct tls_names *names = SSL_get_app_data(ssl);
	const char *whose = c->server ? "client" : "server";
	switch (reason) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return err_set(e, ERR_UNAUTHORIZED,
			"the certificate of %s %s has expired, or the clock here is wrong", whose,
			peer);
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return err_set(e, ERR_UNAUTHORIZED,
			"the certificate of %s %s is not valid yet: is the clock here wrong?",
			whose, peer);
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return err_set(e, ERR_UNAUTHORIZED,
			"%s %s shows a certificate that is not for \"%s\" (it names \"%s\")", whose,
			peer, c->server_name ? c->server_name : "", names->subject);
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return err_set(e, ERR_UNAUTHORIZED,
			"the certificate of %s %s is from a CA that is not %s (it calls itself "
			"\"%s\")",
			whose, peer, c->pinned_ca ? "the one the join token names" : "trusted here",
			names->issuer);
	default:
		return err_set(e, ERR_UNAUTHORIZED, "the certificate of %s %s is not valid: %s",
			whose, peer, X509_verify_cert_error_string(reason));
	}
}

int tls_explain(const struct tls_context *c, SSL *ssl, const char *peer, struct err *e)
{
	long verified = SSL_get_verify_result(ssl);
	unsigned long error = ERR_peek_error();
	const char *text = error ? ERR_reason_error_string(error) : NULL;
	int reason = ERR_GET_REASON(error);
	ERR_clear_error();
	if (verified != X509_V_OK)
		return explain_certificate(c, ssl, verified, peer, e);
	switch (reason) {
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
		return err_set(e, ERR_UNAUTHORIZED, "%s refused our certificate (%s)", peer, text);
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_UNSUPPORTED_PROTOCOL:
		return err_set(e, ERR_PROTOCOL, "%s does not speak TLS 1.3 (%s)", peer, text);
	default:
		return err_set(e, ERR_PROTOCOL, "TLS with %s failed: %s", peer,
			text ? text : "the connection was cut off");
	}
}

/* ---- sessions to resume ---- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	SSL_SESSION_free(c->session);
	c->session = session;
	return 1; /* ours now */
}

static void set_up_sessions(struct tls_context *c)
{
	static const unsigned char id[] = "continuo";
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_set_session_id_context(c->ssl, id, sizeof(id) - 1);
	SSL_CTX_set_num_tickets(c->ssl, 1);
	if (!c->server)
		SSL_CTX_sess_set_new_cb(c->ssl, keep_session);
}

/* A renewed certificate must not cost every client a full handshake. */
void tls_context_share_tickets(struct tls_context *c, const struct tls_context *from)
{
	unsigned char keys[80];
	if (SSL_CTX_get_tlsext_ticket_keys(from->ssl, keys, sizeof(keys)) == 1)
		SSL_CTX_set_tlsext_ticket_keys(c->ssl, keys, sizeof(keys));
	OPENSSL_cleanse(keys, sizeof(keys));
}

/* ---- contexts ---- */

static int set_up(struct tls_context *c, const struct tls_config *config, struct err *e)
{
	bool unverified = config->unverified && !c->server;
	if (!config->ca_pem && !config->pinned_ca_sha256 && !unverified)
		return err_set(e, ERR_USAGE, "no CA to trust was given");
	c->ssl = SSL_CTX_new(c->server ? TLS_server_method() : TLS_client_method());
	if (!c->ssl || SSL_CTX_set_min_proto_version(c->ssl,
			       unverified ? TLS1_2_VERSION : TLS1_3_VERSION) != 1)
		return fail(e, ERR_INTERNAL, "cannot set TLS up");
	SSL_CTX_set_app_data(c->ssl, c);
	SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c->ssl), X509_V_FLAG_PARTIAL_CHAIN);
	int r = pack_alpn(c, config->alpn, e);
	if (r == 0 && config->certificate_pem)
		r = load_own(c->ssl, config, e);
	if (r >= 0 && config->ca_pem)
		r = each_certificate(config->ca_pem, "trusted CA", use_trusted, c->ssl, e);
	if (r >= 0 && config->ca_pem && c->server)
		r = each_certificate(config->ca_pem, "trusted CA", use_issuer, c->ssl, e);
	if (r < 0)
		return r;
	if (unverified)
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_NONE, NULL);
	else if (!c->server || config->request_client_certificate)
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, judge);
	if (c->pinned_ca)
		SSL_CTX_set_cert_verify_callback(c->ssl, verify_pinned, c);
	if (c->server)
		SSL_CTX_set_alpn_select_cb(c->ssl, choose_alpn, c);
	else if (c->alpn_size && SSL_CTX_set_alpn_protos(c->ssl, c->alpn, c->alpn_size) != 0)
		return fail(e, ERR_INTERNAL, "cannot set ALPN");
	set_up_sessions(c);
	return 0;
}

int tls_context_new(const struct tls_config *config, struct tls_context **ret_context,
	struct err *e)
{
	struct tls_context *c = mem_new(struct tls_context);
	c->refs = 1;
	c->server = config->server;
	c->server_name = mem_dup_string(config->server_name);
	c->pinned_ca = mem_dup_string(config->pinned_ca_sha256);
	c->wall_ms = config->wall_ms;
	c->wall_context = config->wall_context;
	c->forgive_early = config->forgive_early;
	c->forgive_expired = config->forgive_expired && config->server;
	c->floor_ms = config->server ? NULL : config->floor_ms;
	list_init(&c->waiting);
	int r = set_up(c, config, e);
	if (r < 0) {
		tls_context_free(c);
		return r;
	}
	*ret_context = c;
	return 0;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	c->refs++;
	return c;
}

void tls_context_free(struct tls_context *c)
{
	if (!c || --c->refs > 0)
		return;
	SSL_SESSION_free(c->session);
	SSL_CTX_free(c->ssl);
	free(c->server_name);
	free(c->pinned_ca);
	free(c);
}

int64_t tls_context_wall_ms(const struct tls_context *c)
{
	if (c->wall_ms)
		return c->wall_ms(c->wall_context);
	return (int64_t)time(NULL) * 1000;
}

int64_t tls_context_floor_ms(const struct tls_context *c)
{
	return c->floor_ms ? c->floor_ms(c->wall_context) : -1;
}

int64_t tls_context_peer_end_ms(const struct tls_context *c)
{
	return c->peer_end_ms;
}
