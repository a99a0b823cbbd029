/*
 * A TLS stream. OpenSSL reads and writes through a BIO of our own over two buffers, so that an idle
 * connection keeps none.
 *
 *   LOWER ──lower opened──▶ SHAKING ──verified──▶ OPEN ──▶ CLOSED
 *     └──────────────────────┴── failed, timeout ──────────▲
 *
 * While a handshake's job runs on the pool, `ssl`, `in` and `out` are the job's; what arrives
 * meanwhile waits in `arrived`.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/tls_context.h"
#include "pki/pki.h"

#define RECORD_SIZE 16384

enum tls_state { LOWER, SHAKING, OPEN, CLOSED };

struct tls_stream {
	struct stream base;
	struct loop *loop;
	struct tls_context *context;
	struct stream *lower;
	enum tls_state state;
	SSL *ssl;
	struct tls_names names;
	struct buf in, out; /* encrypted */
	struct buf arrived; /* encrypted, during a job */
	struct buf early;   /* plain, written before the handshake was done */
	const struct stream_events *events;
	void *arg;
	struct loop_timer *timer; /* of the handshake; then the kick */
	struct list link;         /* in context->waiting */
	char address[300];        /* of the peer, for errors */
	bool job_runs, job_failed, job_done_shaking, paused, end_due, end_sent, ended, reading;
	bool lower_closed;
	bool freed; /* by the owner; memory goes when job and events are over */
	int depth;
	struct err why; /* of the failure that is due or of the job */
	struct pki_info info;
	bool has_info;
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *data, int size)
{
	struct tls_stream *s = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (s->in.size == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	size_t taken = s->in.size < (size_t)size ? s->in.size : (size_t)size;
	memcpy(data, s->in.data, taken);
	buf_consume(&s->in, taken);
	return (int)taken;
}

static int bio_write(BIO *bio, const char *data, int size)
{
	struct tls_stream *s = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	buf_append(&s->out, data, (size_t)size);
	return s->out.failed ? -1 : size;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == BIO_CTRL_FLUSH;
}

/* One for the process, made at the first use; OpenSSL frees none of its own either. */
static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;
	if (method)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "continuo");
	if (!method)
		abort();
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_control);
	return method;
}

static void flush(struct tls_stream *s)
{
	if (s->out.size && s->lower)
		stream_write(s->lower, s->out.data, s->out.size);
	buf_done(&s->out);
}

/* ---- the end ---- */

static void destroy(struct tls_stream *s)
{
	if (s->job_runs || s->depth > 0)
		return;
	stream_free(take_ptr(s->lower));
	list_remove(&s->link);
	loop_timer_free(s->timer);
	if (s->ssl) /* else the session would count as broken and could not be resumed */
		SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(s->ssl);
	buf_done(&s->in);
	buf_done(&s->out);
	buf_done(&s->arrived);
	buf_done(&s->early);
	tls_context_free(s->context);
	free(s);
}

static void leave(struct tls_stream *s)
{
	if (--s->depth == 0 && s->freed)
		destroy(s);
}

static void close_with(struct tls_stream *s, const struct err *why)
{
	if (s->state == CLOSED)
		return;
	struct err copy = *why;
	s->state = CLOSED;
	list_remove(&s->link);
	loop_timer_stop(s->timer);
	stream_free(take_ptr(s->lower));
	s->depth++;
	if (!s->freed && s->events && s->events->on_closed)
		s->events->on_closed(s->arg, &copy);
	leave(s);
}

/* ---- plain text in and out ---- */

static void write_plain(struct tls_stream *s, const uint8_t *data, size_t size)
{
	while (size) {
		size_t part = size < RECORD_SIZE ? size : RECORD_SIZE, written = 0;
		ERR_clear_error();
		if (SSL_write_ex(s->ssl, data, part, &written) != 1) {
			tls_explain(s->context, s->ssl, s->address, &s->why);
			loop_timer_start(s->timer, 0);
			return;
		}
		data += written;
		size -= written;
	}
}

static void send_end(struct tls_stream *s)
{
	if (s->end_sent)
		return;
	s->end_sent = true;
	ERR_clear_error();
	(void)SSL_shutdown(s->ssl);
	flush(s);
	if (s->lower)
		stream_end(s->lower);
}

/* The peer's close_notify came. */
static void peer_ended(struct tls_stream *s)
{
	struct err e = ERR_INIT;
	if (s->ended)
		return;
	s->ended = true;
	if (s->events && s->events->on_end) {
		s->events->on_end(s->arg);
		return;
	}
	err_set(&e, ERR_CLOSED, "%s closed the connection", s->address);
	close_with(s, &e);
}

static void read_failed(struct tls_stream *s, int result)
{
	struct err e = ERR_INIT;
	int error = SSL_get_error(s->ssl, result);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return;
	if (error == SSL_ERROR_ZERO_RETURN) {
		peer_ended(s);
		return;
	}
	tls_explain(s->context, s->ssl, s->address, &e);
	flush(s); /* the alert */
	close_with(s, &e);
}

static void read_plain(struct tls_stream *s)
{
	if (s->reading)
		return;
	s->reading = true;
	s->depth++;
	uint8_t *data = mem_alloc(RECORD_SIZE);
	while (!s->freed && !s->paused && s->state == OPEN && s->events) {
		size_t size = 0;
		ERR_clear_error();
		int result = SSL_read_ex(s->ssl, data, RECORD_SIZE, &size);
		if (result != 1) {
			read_failed(s, result);
			break;
		}
		s->events->on_data(s->arg, data, size);
	}
	free(data);
	s->reading = false;
	if (!s->freed && s->state == OPEN) {
		if (s->in.size == 0)
			buf_done(&s->in);
		flush(s); /* key updates and the like */
	}
	leave(s);
}

/* The lower stream is closed: what is decrypted already is still delivered. */
static void lower_gone(struct tls_stream *s)
{
	if (s->paused && s->state == OPEN && s->in.size)
		return;
	if (s->state != CLOSED)
		close_with(s, &s->why);
}

/* ---- the handshake ---- */

static void note_peer(struct tls_stream *s)
{
	X509 *x = SSL_get0_peer_certificate(s->ssl);
	if (!x)
		return;
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;
	if (bio && PEM_write_bio_X509(bio, x) == 1) {
		long size = BIO_get_mem_data(bio, &data);
		char *pem = mem_dup_bytes(data, (size_t)size);
		s->has_info = pki_inspect(pem, &s->info, NULL) == 0;
		free(pem);
	}
	BIO_free(bio);
}

static bool peer_expired(const struct tls_stream *s)
{
	if (!s->has_info || s->names.forgive_expired_peer)
		return false;
	int64_t end_ms = s->info.not_after_ms;
	if (s->names.forgive_after_ms >= 0)
		return end_ms < s->names.forgive_after_ms;
	return end_ms < tls_context_wall_ms(s->context);
}

static void shaken(struct tls_stream *s)
{
	struct err e = ERR_INIT;
	note_peer(s);
	if (s->has_info)
		s->context->peer_end_ms = s->info.not_after_ms;
	/* A resumed session is not verified again, but it does not outlive its certificate. */
	if (peer_expired(s)) {
		err_set(&e, ERR_UNAUTHORIZED, "the certificate of %s has expired", s->address);
		close_with(s, &e);
		return;
	}
	s->state = OPEN;
	loop_timer_stop(s->timer);
	if (s->early.size)
		write_plain(s, (const uint8_t *)s->early.data, s->early.size);
	buf_done(&s->early);
	flush(s);
	if (s->end_due)
		send_end(s);
	s->depth++;
	if (s->events && s->events->on_open)
		s->events->on_open(s->arg);
	if (!s->freed && s->state == OPEN) {
		read_plain(s);
		if (!s->freed && s->lower_closed)
			lower_gone(s);
	}
	leave(s);
}

static void shake(void *arg)
{
	struct tls_stream *s = arg;
	ERR_clear_error();
	int result = SSL_do_handshake(s->ssl);
	if (result == 1) {
		s->job_done_shaking = true;
		return;
	}
	int error = SSL_get_error(s->ssl, result);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return;
	s->job_failed = true;
	tls_explain(s->context, s->ssl, s->address, &s->why);
}

static void start_job(struct tls_stream *s);

static void start_waiting(struct tls_context *c)
{
	while (c->jobs < TLS_JOBS_MAX && !list_empty(&c->waiting)) {
		struct tls_stream *s = LIST_ITEM(c->waiting.next, struct tls_stream, link);
		list_remove(&s->link);
		start_job(s);
	}
}

static void shake_done(void *arg)
{
	struct tls_stream *s = arg;
	s->job_runs = false;
	s->context->jobs--;
	start_waiting(s->context);
	if (s->freed) {
		destroy(s);
		return;
	}
	if (s->state == CLOSED)
		return;
	flush(s);
	buf_append(&s->in, s->arrived.data, s->arrived.size);
	buf_done(&s->arrived);
	if (s->job_failed) {
		close_with(s, &s->why);
	} else if (s->job_done_shaking) {
		shaken(s);
	} else if (s->in.size) {
		start_job(s);
	} else if (s->lower_closed) {
		close_with(s, &s->why);
	}
}

static void start_job(struct tls_stream *s)
{
	struct tls_context *c = s->context;
	if (c->jobs >= TLS_JOBS_MAX) {
		list_remove(&s->link);
		list_append(&c->waiting, &s->link);
		return;
	}
	c->jobs++;
	s->job_runs = true;
	loop_job(s->loop, shake, shake_done, s);
}

/* ---- events of the lower stream ---- */

static void on_lower_open(void *arg)
{
	struct tls_stream *s = arg;
	if (s->state != LOWER)
		return;
	str_copy(s->address, sizeof(s->address), stream_peer(s->lower));
	s->state = SHAKING;
	start_job(s);
}

static void on_lower_data(void *arg, const uint8_t *data, size_t size)
{
	struct tls_stream *s = arg;
	if (s->job_runs) {
		buf_append(&s->arrived, data, size);
		return;
	}
	buf_append(&s->in, data, size);
	if (s->state == OPEN)
		read_plain(s);
	else if (list_empty(&s->link))
		start_job(s);
}

static void on_lower_drained(void *arg)
{
	struct tls_stream *s = arg;
	if (s->state == OPEN && s->events && s->events->on_drained)
		s->events->on_drained(s->arg);
}

static void on_lower_closed(void *arg, const struct err *why)
{
	struct tls_stream *s = arg;
	s->lower_closed = true;
	if (s->state == OPEN && why->code == ERR_CLOSED)
		err_set(&s->why, s->ended ? ERR_CLOSED : ERR_IO,
			s->ended ? "%s closed the connection" : "the connection to %s was cut off",
			s->address);
	else if (s->state == SHAKING && why->code == ERR_CLOSED)
		err_set(&s->why, ERR_CLOSED, "%s closed the connection before TLS was established",
			s->address);
	else if (!s->job_runs)
		s->why = *why;
	if (!s->job_runs && !s->reading)
		lower_gone(s);
}

static const struct stream_events lower_handlers = {.on_open = on_lower_open,
	.on_data = on_lower_data,
	.on_drained = on_lower_drained,
	.on_closed = on_lower_closed};

static void on_timer(void *arg)
{
	struct tls_stream *s = arg;
	if (s->state == LOWER || s->state == SHAKING) {
		struct err e = ERR_INIT;
		err_set(&e, ERR_TIMEOUT, "%s: no %s within %d s", s->address,
			s->state == LOWER ? "connection" : "TLS handshake",
			TLS_HANDSHAKE_MS / 1000);
		close_with(s, &e);
		return;
	}
	if (s->state != OPEN)
		return;
	if (s->why.code && !s->lower_closed) {
		close_with(s, &s->why);
		return;
	}
	s->depth++;
	read_plain(s);
	if (!s->freed && s->lower_closed)
		lower_gone(s);
	leave(s);
}

/* ---- the stream's operations ---- */

static void op_set_events(struct stream *base, const struct stream_events *events, void *arg)
{
	struct tls_stream *s = (struct tls_stream *)base;
	bool first = !s->events;
	s->events = events;
	s->arg = arg;
	if (first)
		stream_set_events(s->lower, &lower_handlers, s);
	else if (s->state == OPEN && s->in.size)
		loop_timer_start(s->timer, 0);
}

static void op_write(struct stream *base, const void *data, size_t size)
{
	struct tls_stream *s = (struct tls_stream *)base;
	if (s->end_due || s->state == CLOSED)
		return;
	if (s->state != OPEN) {
		buf_append(&s->early, data, size);
		return;
	}
	write_plain(s, data, size);
	flush(s);
}

static size_t op_queued(const struct stream *base)
{
	const struct tls_stream *s = (const struct tls_stream *)base;
	return s->early.size + (s->lower ? stream_queued(s->lower) : 0);
}

static void op_pause(struct stream *base, bool paused)
{
	struct tls_stream *s = (struct tls_stream *)base;
	if (s->paused == paused)
		return;
	s->paused = paused;
	if (s->lower)
		stream_pause(s->lower, paused);
	if (!paused && s->state == OPEN)
		loop_timer_start(s->timer, 0);
}

static void op_end(struct stream *base)
{
	struct tls_stream *s = (struct tls_stream *)base;
	if (s->end_due)
		return;
	s->end_due = true;
	if (s->state == OPEN)
		send_end(s);
}

static const char *op_peer(const struct stream *base)
{
	return ((const struct tls_stream *)base)->address;
}

static void op_free(struct stream *base)
{
	struct tls_stream *s = (struct tls_stream *)base;
	s->freed = true;
	s->events = NULL;
	if (s->state == OPEN && !s->end_sent)
		send_end(s);
	s->state = CLOSED;
	list_remove(&s->link);
	loop_timer_stop(s->timer);
	stream_free(take_ptr(s->lower));
	destroy(s);
}

static const struct stream_ops ops = {
	op_set_events, op_write, op_queued, op_pause, op_end, op_peer, op_free};

/* ---- making one ---- */

static void expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);
	if (X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1)
		return;
	ERR_clear_error();
	X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	X509_VERIFY_PARAM_set1_host(parameters, name, 0);
	SSL_set_tlsext_host_name(ssl, name);
}

static SSL *new_ssl(struct tls_stream *s)
{
	struct tls_context *c = s->context;
	SSL *ssl = SSL_new(c->ssl);
	BIO *bio = BIO_new(bio_method());
	if (!ssl || !bio)
		abort();
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	s->names.forgive_early = c->forgive_early;
	s->names.forgive_expired_peer = c->forgive_expired;
	s->names.forgive_after_ms = tls_context_floor_ms(c);
	SSL_set_app_data(ssl, &s->names);
	X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), (time_t)(tls_context_wall_ms(c) / 1000));
	if (c->server) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	SSL_set_connect_state(ssl);
	if (c->server_name)
		expect_name(ssl, c->server_name);
	if (c->session)
		SSL_set_session(ssl, c->session);
	return ssl;
}

struct stream *tls_stream_new(struct loop *l, struct tls_context *c, struct stream *lower)
{
	struct tls_stream *s = mem_new(struct tls_stream);
	s->base.ops = &ops;
	s->loop = l;
	s->context = tls_context_ref(c);
	s->lower = lower;
	list_init(&s->link);
	str_copy(s->address, sizeof(s->address), stream_peer(lower));
	s->ssl = new_ssl(s);
	s->timer = loop_timer_new(l, on_timer, s);
	loop_timer_start(s->timer, TLS_HANDSHAKE_MS);
	if (c->server)
		s->state = SHAKING; /* the lower one was accepted, so it is open */
	return &s->base;
}

const char *tls_stream_alpn(const struct stream *base)
{
	struct tls_stream *s = (struct tls_stream *)base;
	const unsigned char *name = NULL;
	unsigned size = 0;
	SSL_get0_alpn_selected(s->ssl, &name, &size);
	if (size == 2 && memcmp(name, "h2", 2) == 0)
		return "h2";
	return size ? "http/1.1" : "";
}

void tls_stream_peer(const struct stream *base, struct http_peer *ret_peer)
{
	const struct tls_stream *s = (const struct tls_stream *)base;
	*ret_peer = (struct http_peer){.address = s->address,
		.common_name = s->info.common_name,
		.organization = s->info.organization,
		.spiffe_id = s->info.spiffe_id,
		.serial = s->info.serial,
		.not_before_ms = s->info.not_before_ms,
		.not_after_ms = s->info.not_after_ms};
}

char *tls_stream_ca_pem(const struct stream *base)
{
	struct tls_stream *s = (struct tls_stream *)base;
	STACK_OF(X509) *chain = SSL_get0_verified_chain(s->ssl);
	X509 *x = sk_X509_num(chain) > 0 ? sk_X509_value(chain, sk_X509_num(chain) - 1) : NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem = NULL, *data = NULL;
	if (x && bio && PEM_write_bio_X509(bio, x) == 1) {
		long size = BIO_get_mem_data(bio, &data);
		pem = mem_dup_bytes(data, (size_t)size);
	}
	BIO_free(bio);
	return pem ? pem : mem_dup_string("");
}
