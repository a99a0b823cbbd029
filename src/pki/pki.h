/*
 * Identities of a domain: its CA, the certificates of servers, nodes and users, one-time join
 * tokens, and the seal for data at rest. Pure functions over PEM text and bytes: files, clocks and
 * randomness come in (OpenSSL's own generator makes keys). ECDSA P-256 throughout.
 *
 * Names: a node is spiffe://DOMAIN/node/NAME in a URI SAN (SPIFFE-ID section 2), CN
 * system:node:NAME, O system:nodes, as Kubernetes has it; the administrator is O system:masters.
 */
#ifndef CONTINUO_PKI_PKI_H
#define CONTINUO_PKI_PKI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define PKI_NODE_LIFE_MS ((int64_t)24 * 3600 * 1000) /* renewed at half */
#define PKI_ADMIN_LIFE_MS ((int64_t)365 * 24 * 3600 * 1000)
#define PKI_CA_LIFE_MS ((int64_t)3650 * 24 * 3600 * 1000)
#define PKI_SKEW_MS ((int64_t)5 * 60 * 1000) /* certificates begin this much earlier */
/* And those of CAs and servers this much: clients go by their own clocks, and the server's machine
 * may have been hours ahead (its clock in local time) when it made them. */
#define PKI_EARLY_MS ((int64_t)48 * 3600 * 1000)

struct pki_pair {
	char *certificate_pem;
	char *key_pem; /* PKCS#8 */
};
void pki_pair_done(struct pki_pair *p); /* wipes the key; for CLEANUP */

int pki_ca_new(const char *domain, int64_t wall_ms, struct pki_pair *ret_ca,
	struct err *e) MUST_CHECK;

enum pki_use { PKI_SERVER, PKI_NODE, PKI_USER };
struct pki_subject {
	enum pki_use use;
	const char *common_name;
	const char *organization;      /* may be null */
	const char *spiffe_id;         /* may be null */
	const char *const *dns_or_ips; /* SANs of a server, null terminated; may be null */
	int64_t life_ms;
};

/* Signs the key of a CSR (its own subject and extensions are ignored, its signature is verified).
 */
int pki_sign_csr(const struct pki_pair *ca, const char *csr_pem, const struct pki_subject *subject,
	int64_t wall_ms, char **ret_certificate_pem, struct err *e) MUST_CHECK;
/* A new key with its certificate. */
int pki_issue(const struct pki_pair *ca, const struct pki_subject *subject, int64_t wall_ms,
	struct pki_pair *ret_pair, struct err *e) MUST_CHECK;
/* A new key and a CSR for it (node side). */
int pki_csr_new(const char *common_name, char **ret_key_pem, char **ret_csr_pem,
	struct err *e) MUST_CHECK;

struct pki_info {
	char common_name[128], organization[128], spiffe_id[256], serial[64];
	int64_t not_before_ms, not_after_ms;
};
int pki_inspect(const char *certificate_pem, struct pki_info *ret_info, struct err *e) MUST_CHECK;

/* SHA-256 of the SubjectPublicKeyInfo, 64 hexadecimal characters (RFC 7469 section 2.4, in hex). */
int pki_pin(const char *certificate_pem, char ret_pin[static 65], struct err *e) MUST_CHECK;

/* Whether the CA signed the certificate and it is valid at wall_ms. -ERR_UNAUTHORIZED, -ERR_DECODE.
 */
int pki_verify(const char *ca_pem, const char *certificate_pem, int64_t wall_ms,
	struct err *e) MUST_CHECK;

void pki_node_spiffe(const char *domain, const char *node, char ret_id[static 256]);
/* The node's name if id is that of a node of the domain; -ERR_FORBIDDEN otherwise. */
int pki_spiffe_node(const char *domain, const char *id, char ret_node[static 128],
	struct err *e) MUST_CHECK;

/*
 * Join tokens: "continuo1.ID.SECRET.PIN": 10 characters of id, 26 of secret (128 bits, base32
 * lower case), the CA's pin (64 hex). The server keeps the id, the SHA-256 of the secret, the
 * expiry and what the node may be, and forgets it at first use.
 */
#define PKI_TOKEN_MAX 160
struct pki_token {
	char id[16], secret[32], pin[65];
};
void pki_token_new(const unsigned char random[static 24], const char *pin,
	struct pki_token *ret_token);
void pki_token_format(const struct pki_token *t, char ret_text[static PKI_TOKEN_MAX]);
int pki_token_parse(const char *text, struct pki_token *ret_token,
	struct err *e) MUST_CHECK; /* -ERR_DECODE */
void pki_token_hash(const char *secret, char ret_hex[static 65]);
bool pki_equal(const char *a, const char *b); /* in constant time for equal lengths */

/*
 * The seal: AES-256-GCM under a random data key; format: 1 byte version (1), 12 bytes nonce, cipher
 * text, 16 bytes tag; the associated data is the key (path) of what is sealed, so that blobs cannot
 * be exchanged. Safe on any thread.
 */
struct pki_seal;
struct pki_seal *pki_seal_new(const unsigned char key[static 32]) MUST_CHECK;
void pki_seal_free(struct pki_seal *s);
int pki_seal(void *seal, const char *key, const void *data, size_t size, struct buf *out,
	struct err *e) MUST_CHECK;
int pki_open(void *seal, const char *key, const void *data, size_t size, struct buf *out,
	struct err *e) MUST_CHECK; /* -ERR_CORRUPT: forged, damaged or of another key */

#endif
