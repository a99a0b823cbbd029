/*
 * TLS 1.3 (RFC 8446) over any stream, by OpenSSL with memory BIOs; handshakes run as jobs. A TLS
 * stream is a stream (sys/loop.h): on_open comes when the handshake is done and the peer was
 * verified.
 */
#ifndef CONTINUO_NET_TLS_H
#define CONTINUO_NET_TLS_H

#include "net/http.h"
#include "net/proxy.h"
#include "sys/loop.h"

struct tls_context; /* shared by connections; reference counted inside its streams */

struct tls_config {
	/* Own chain; null: none (client without certificate). A server sends the CA of ca_pem that
	 * issued it along, so that pins work. */
	const char *certificate_pem;
	const char *key_pem;
	const char *ca_pem; /* whom to trust; required */
	bool server;
	/* Client: any certificate will do, and TLS 1.2 too. For probes of containers alone; ca_pem
	 * may be null. */
	bool unverified;
	bool request_client_certificate; /* server: ask, verify when given; the handler decides */
	const char *server_name; /* client: name or IP that the server's certificate must have */
	const char *alpn;        /* "h2,http/1.1" in order of preference */
	/* Client: the SHA-256 of the CA's public key (SPKI, hexadecimal) must match: joining with a
	 * token, where ca_pem is null and the CA is learned from the chain. */
	const char *pinned_ca_sha256;
	int64_t (*wall_ms)(
		void *context); /* the time to judge certificates by; null: the system's */
	void *wall_context;
	/* What the clocks of two machines may disagree about. Signatures, names and uses are judged
	 * in any case. */
	bool forgive_early;   /* a certificate that is not valid yet passes */
	bool forgive_expired; /* server: so does a client's own that expired: the handler decides
				 (http_peer) */
	/* Client without a clock that it trusts: what expired passes unless it did so before this
	 * time. Null, or a result < 0: the clock decides. Context as wall_ms. */
	int64_t (*floor_ms)(void *context);
};

int tls_context_new(const struct tls_config *config, struct tls_context **ret_context,
	struct err *e) MUST_CHECK;
void tls_context_free(struct tls_context *c);
/* Client: when the certificate of the last server that shook hands ends; 0: none did yet. */
int64_t tls_context_peer_end_ms(const struct tls_context *c);

/* Takes the lower stream. A stream in state OPENING. */
struct stream *tls_stream_new(struct loop *l, struct tls_context *c,
	struct stream *lower) MUST_CHECK;

/* After on_open. */
const char *tls_stream_alpn(const struct stream *s); /* "h2", "http/1.1", "" */
void tls_stream_peer(const struct stream *s,
	struct http_peer *ret_peer); /* valid as long as the stream */
/* The PEM of the CA at the end of the peer's chain (with pinned_ca_sha256); freed with free(). */
char *tls_stream_ca_pem(const struct stream *s) MUST_CHECK;

/* A connector (net/http.h) for https: address as in loop_connect. Freed with tls_connector_free. */
struct tls_connector;
struct tls_connector *tls_connector_new(struct loop *l, struct tls_context *c,
	const char *address) MUST_CHECK;
/* From now on it connects through the proxy (proxy.h), which must outlive it; null: directly. */
void tls_connector_set_proxy(struct tls_connector *t, const struct proxy *p);
void tls_connector_set_context(struct tls_connector *t,
	struct tls_context *c); /* a renewed certificate */
struct http_connector tls_connector_http(struct tls_connector *t);
void tls_connector_free(struct tls_connector *t);

/* Accepts from a listener, shakes hands, hands to the server with peer and ALPN. At most
 * handshake_limit handshakes at once, 10 s each. */
struct tls_acceptor;
int tls_acceptor_new(struct loop *l, struct tls_context *c, const char *address,
	struct http_server *server, struct tls_acceptor **ret_acceptor, struct err *e) MUST_CHECK;
const char *tls_acceptor_address(const struct tls_acceptor *a);
void tls_acceptor_set_context(struct tls_acceptor *a, struct tls_context *c);
void tls_acceptor_free(struct tls_acceptor *a);

#endif
