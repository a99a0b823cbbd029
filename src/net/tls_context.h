/* What the parts of TLS share. Internal to src/net. */
#ifndef CONTINUO_NET_TLS_CONTEXT_H
#define CONTINUO_NET_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "base/list.h"
#include "net/tls.h"

#define TLS_JOBS_MAX 4         /* handshakes of one context that are on the pool at once */
#define TLS_HANDSHAKE_MS 10000 /* to connect and shake hands */
#define TLS_PENDING_MAX 1024   /* connections of an acceptor that have not shaken hands */

struct tls_context {
	int refs;
	SSL_CTX *ssl;
	bool server;
	char *server_name;
	unsigned char alpn[64]; /* as it goes over the wire */
	unsigned alpn_size;
	char *pinned_ca; /* null: ca_pem decides */
	int64_t (*wall_ms)(void *context);
	void *wall_context;
	bool forgive_early, forgive_expired;
	int64_t (*floor_ms)(void *context);
	int64_t peer_end_ms;  /* client: of the last server's certificate */
	SSL_SESSION *session; /* client: of the last connection, to resume */
	int jobs;             /* on the pool now */
	struct list waiting;  /* streams whose handshake waits for the pool */
};

/* The SSL's app data, for verification, which runs in a job: what a refused certificate said of
 * itself, so that errors can quote it, and what is forgiven. */
struct tls_names {
	char subject[100], issuer[100];
	bool forgive_early, forgive_expired_peer;
	int64_t forgive_after_ms; /* what expired then or later passes; < 0: nothing does */
};

struct tls_context *tls_context_ref(struct tls_context *c) MUST_CHECK;
int64_t tls_context_wall_ms(const struct tls_context *c);
int64_t tls_context_floor_ms(const struct tls_context *c); /* < 0: the clock decides */

/* Tickets that from gave out are good for c as well. */
void tls_context_share_tickets(struct tls_context *c, const struct tls_context *from);

/* Why a handshake failed, in words for whoever has to mend it; on the thread where it failed.
 * peer: its address or name. */
int tls_explain(const struct tls_context *c, SSL *ssl, const char *peer, struct err *e);

#endif
