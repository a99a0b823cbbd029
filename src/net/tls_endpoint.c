/* Both ends of HTTPS: the connector of a client, the acceptor of a server. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/tls_context.h"

/* ---- connector ---- */

struct tls_connector {
	struct loop *loop;
	struct tls_context *context;
	char *address;
	const struct proxy *proxy; /* null: none */
};

struct tls_connector *tls_connector_new(struct loop *l, struct tls_context *c, const char *address)
{
	struct tls_connector *t = mem_new(struct tls_connector);
	t->loop = l;
	t->context = tls_context_ref(c);
	t->address = mem_dup_string(address);
	return t;
}

void tls_connector_set_proxy(struct tls_connector *t, const struct proxy *p)
{
	t->proxy = p;
}

void tls_connector_set_context(struct tls_connector *t, struct tls_context *c)
{
	struct tls_context *old = t->context;
	t->context = tls_context_ref(c);
	tls_context_free(old);
}

static struct stream *connector_connect(void *context)
{
	struct tls_connector *t = context;
	return tls_stream_new(t->loop, t->context, proxy_connect(t->loop, t->proxy, t->address));
}

static bool connector_is_http2(void *context, struct stream *s)
{
	(void)context;
	return str_equal(tls_stream_alpn(s), "h2");
}

struct http_connector tls_connector_http(struct tls_connector *t)
{
	return (struct http_connector){.connect = connector_connect,
		.is_http2 = connector_is_http2,
		.context = t,
		.authority = t->address};
}

void tls_connector_free(struct tls_connector *t)
{
	if (!t)
		return;
	tls_context_free(t->context);
	free(t->address);
	free(t);
}

/* ---- acceptor ---- */

struct tls_acceptor {
	struct loop *loop;
	struct tls_context *context;
	struct http_server *server;
	struct listener *listener;
	struct list pending;
	size_t pending_count;
};

struct pending {
	struct list link;
	struct tls_acceptor *acceptor;
	struct stream *stream;
};

static void pending_done(struct pending *p)
{
	p->acceptor->pending_count--;
	list_remove(&p->link);
	stream_free(p->stream);
	free(p);
}

static void on_open(void *arg)
{
	struct pending *p = arg;
	struct http_server *server = p->acceptor->server;
	struct stream *stream = take_ptr(p->stream);
	struct http_peer peer;
	pending_done(p);
	tls_stream_peer(stream, &peer);
	http_server_take(server, stream, &peer, str_equal(tls_stream_alpn(stream), "h2"));
}

static void on_closed(void *arg, const struct err *why)
{
	(void)why; /* the peer got an alert that says why */
	pending_done(arg);
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
	(void)arg, (void)data, (void)size; /* cannot come before on_open */
}

static const struct stream_events pending_handlers = {
	.on_open = on_open, .on_data = on_data, .on_closed = on_closed};

static void on_accepted(void *arg, struct stream *lower)
{
	struct tls_acceptor *a = arg;
	if (a->pending_count >= TLS_PENDING_MAX) {
		stream_free(lower);
		return;
	}
	struct pending *p = mem_new(struct pending);
	p->acceptor = a;
	p->stream = tls_stream_new(a->loop, a->context, lower);
	list_append(&a->pending, &p->link);
	a->pending_count++;
	stream_set_events(p->stream, &pending_handlers, p);
}

int tls_acceptor_new(struct loop *l, struct tls_context *c, const char *address,
	struct http_server *server, struct tls_acceptor **ret_acceptor, struct err *e)
{
	struct tls_acceptor *a = mem_new(struct tls_acceptor);
	a->loop = l;
	a->context = tls_context_ref(c);
	a->server = server;
	list_init(&a->pending);
	int r = loop_listen(l, address, on_accepted, a, &a->listener, e);
	if (r < 0) {
		tls_acceptor_free(a);
		return r;
	}
	*ret_acceptor = a;
	return 0;
}

const char *tls_acceptor_address(const struct tls_acceptor *a)
{
	return listener_address(a->listener);
}

void tls_acceptor_set_context(struct tls_acceptor *a, struct tls_context *c)
{
	struct tls_context *old = a->context;
	a->context = tls_context_ref(c);
	tls_context_share_tickets(a->context, old);
	tls_context_free(old);
}

void tls_acceptor_free(struct tls_acceptor *a)
{
	if (!a)
		return;
	while (!list_empty(&a->pending))
		pending_done(LIST_ITEM(a->pending.next, struct pending, link));
	if (a->listener)
		listener_free(a->listener);
	tls_context_free(a->context);
	free(a);
}
