#include "overlay/names_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "overlay/names.h"
#include "overlay/resolver.h"
#include "sys/fs.h"

#define CLIENT_SILENCE_MS 10000
#define CLIENT_QUEUE_MAX ((size_t)256 << 10)
#define RESOLV_CONF_MAX 65536
#define ADDRESS_SIZE 80

struct names_server {
	struct loop *loop;
	char *zone, *resolv_conf, *address;
	struct names names;
	struct table nothing;
	struct resolver *resolver;
	struct datagram *datagram;
	struct listener *listener;
	struct list clients, pendings;
	size_t client_count;
	uint64_t queries_udp, queries_tcp, answered, forwarded, failed, malformed;
};

struct client {
	struct list link;
	struct names_server *server;
	struct stream *stream;
	struct loop_timer *timer;
	struct buf received;
};

/* A question that waits for an answer from upstream. */
struct pending {
	struct list link;
	struct names_server *server;
	struct client *client;   /* over TCP; null over UDP */
	char from[ADDRESS_SIZE]; /* over UDP */
	uint8_t *data;
	struct dns_query query;
	char target[DNS_NAME_SIZE]; /* of an alias; "" otherwise */
	struct resolver_request *request;
};

/* ---- replying ---- */

static size_t reply_limit(const struct dns_query *q, bool tcp)
{
	if (tcp)
		return DNS_MESSAGE_MAX;
	return q->udp_size < DNS_UDP_LARGE ? q->udp_size : DNS_UDP_LARGE;
}

static void send_reply(struct names_server *s, struct client *client, const char *from,
	const uint8_t *data, size_t size)
{
	if (!client) {
		datagram_send(s->datagram, from, data, size);
		return;
	}
	const uint8_t length[2] = {(uint8_t)(size >> 8), (uint8_t)size};
	stream_write(client->stream, length, sizeof(length));
	stream_write(client->stream, data, size);
}

static void reply_code(struct names_server *s, struct client *client, const char *from,
	const struct dns_query *q, enum dns_rcode rcode)
{
	uint8_t data[DNS_UDP_PLAIN];
	struct dns_writer w;
	dns_begin(&w, data, sizeof(data), q);
	dns_end(&w, rcode, false);
	send_reply(s, client, from, data, w.size);
}

/* ---- answers from upstream ---- */

static void free_pending(struct pending *p)
{
	if (p->request)
		resolver_cancel(p->request);
	list_remove(&p->link);
	free(p->data);
	free(p);
}

struct copying {
	struct dns_writer *writer;
	const uint8_t *data;
	size_t size;
};

/* Addresses and further aliases, as records of the reply that is being written. */
static int copy_record(void *arg, const struct dns_record *r)
{
	struct copying *c = arg;
	char owner[DNS_NAME_SIZE], target[DNS_NAME_SIZE];
	size_t next;
	if (r->section != DNS_ANSWER ||
		dns_read_name(c->data, c->size, r->name_at, owner, &next, NULL))
		return 0;
	uint32_t ttl = r->ttl < NAMES_TTL_S ? r->ttl : NAMES_TTL_S;
	if (r->type == DNS_CNAME) {
		if (dns_read_name(c->data, c->size, r->data_at, target, &next, NULL) == 0)
			dns_put_name(c->writer, DNS_ANSWER, owner, ttl, DNS_CNAME, target);
	} else if (r->type == DNS_A || r->type == DNS_AAAA) {
		dns_put_address(c->writer, DNS_ANSWER, owner, ttl, r->type, c->data + r->data_at,
			r->data_size);
	}
	return 0;
}

static void reply_alias(struct pending *p, const uint8_t *response, size_t size)
{
	size_t limit = reply_limit(&p->query, p->client);
	uint8_t *data CLEANUP(mem_free_ptr) = mem_alloc(limit);
	struct dns_writer w;
	dns_begin(&w, data, limit, &p->query);
	dns_put_name(&w, DNS_ANSWER, NULL, NAMES_TTL_S, DNS_CNAME, p->target);
	struct copying c = {.writer = &w, .data = response, .size = size};
	/* Without an answer the alias alone is still true. */
	if (response)
		(void)!dns_walk(response, size, copy_record, &c, NULL);
	dns_end(&w, DNS_OK, true);
	send_reply(p->server, p->client, p->from, data, w.size);
}

static void on_upstream(void *arg, const uint8_t *response, size_t size)
{
	struct pending *p = arg;
	struct names_server *s = p->server;
	p->request = NULL;
	if (!response)
		s->failed++;
	if (p->target[0]) {
		reply_alias(p, response, size);
	} else if (!response) {
		reply_code(s, p->client, p->from, &p->query, DNS_SERVFAIL);
	} else if (size > reply_limit(&p->query, p->client)) {
		struct dns_writer w;
		uint8_t data[DNS_UDP_PLAIN];
		dns_begin(&w, data, sizeof(data), &p->query);
		w.truncated = true;
		dns_end(&w, DNS_OK, false);
		send_reply(s, p->client, p->from, data, w.size);
	} else {
		send_reply(s, p->client, p->from, response, size);
	}
	free_pending(p);
}

static void forward(struct names_server *s, struct client *client, const char *from,
	const uint8_t *data, size_t size, const struct dns_query *q, const char *target)
{
	struct pending *p = mem_new(struct pending);
	p->server = s;
	p->client = client;
	str_copy(p->from, sizeof(p->from), from);
	p->data = (uint8_t *)mem_dup_bytes(data, size);
	p->query = *q;
	p->query.question = p->data + (q->question - data);
	list_append(&s->pendings, &p->link);
	s->forwarded++;
	uint8_t asked[DNS_UDP_PLAIN];
	struct dns_query other;
	enum dns_rcode rcode;
	const struct dns_query *ask = &p->query;
	if (target) {
		snprintf(p->target, sizeof(p->target), "%s", target);
		size = dns_write_query(target, q->type, q->id, asked);
		if (!size || dns_parse_query(asked, size, &other, &rcode, NULL) || rcode) {
			on_upstream(p, NULL, 0);
			return;
		}
		ask = &other;
		data = asked;
	}
	/* The callback may come from inside and free it: hold it where that is seen. */
	struct resolver_request *request =
		resolver_ask(s->resolver, ask, data, size, client != NULL, on_upstream, p);
	if (request)
		p->request = request;
}

/* ---- questions ---- */

static void take_query(struct names_server *s, struct client *client, const char *from,
	const uint8_t *data, size_t size)
{
	struct dns_query q;
	enum dns_rcode rcode;
	if (dns_parse_query(data, size, &q, &rcode, NULL)) {
		s->malformed++;
		return;
	}
	if (rcode) {
		s->malformed++;
		reply_code(s, client, from, &q, rcode);
		return;
	}
	size_t limit = reply_limit(&q, client);
	uint8_t *reply CLEANUP(mem_free_ptr) = mem_alloc(limit);
	struct dns_writer w;
	const char *target = NULL;
	dns_begin(&w, reply, limit, &q);
	switch (names_answer(&s->names, &q, &w, &rcode, &target)) {
	case NAMES_ANSWERED:
		dns_end(&w, rcode, true);
		s->answered++;
		send_reply(s, client, from, reply, w.size);
		break;
	case NAMES_FORWARD:
		forward(s, client, from, data, size, &q, NULL);
		break;
	case NAMES_ALIAS:
		forward(s, client, from, data, size, &q, target);
		break;
	}
}

static void on_datagram(void *arg, const uint8_t *data, size_t size, const char *from)
{
	struct names_server *s = arg;
	s->queries_udp++;
	take_query(s, NULL, from, data, size);
}

/* ---- clients over TCP (RFC 7766) ---- */

static void free_client(struct client *c)
{
	LIST_EACH (&c->server->pendings, link) {
		struct pending *p = LIST_ITEM(link, struct pending, link);
		if (p->client == c)
			free_pending(p);
	}
	c->server->client_count--;
	list_remove(&c->link);
	stream_free(c->stream);
	loop_timer_free(c->timer);
	buf_done(&c->received);
	free(c);
}

static void on_client_data(void *arg, const uint8_t *data, size_t size)
{
	struct client *c = arg;
	buf_append(&c->received, data, size);
	/* A client that asks and does not read its answers. */
	if (c->received.failed || stream_queued(c->stream) > CLIENT_QUEUE_MAX) {
		free_client(c);
		return;
	}
	loop_timer_start(c->timer, CLIENT_SILENCE_MS);
	for (;;) {
		const uint8_t *d = (const uint8_t *)c->received.data;
		size_t length = c->received.size < 2 ? 0 : (size_t)(d[0] << 8 | d[1]);
		if (c->received.size < 2 || c->received.size < 2 + length)
			return;
		c->server->queries_tcp++;
		take_query(c->server, c, stream_peer(c->stream), d + 2, length);
		buf_consume(&c->received, 2 + length);
	}
}

static void on_client_closed(void *arg, const struct err *why)
{
	(void)why;
	free_client(arg);
}

static void on_client_silent(void *arg)
{
	free_client(arg);
}

static void on_client(void *arg, struct stream *accepted)
{
	static const struct stream_events events = {
		.on_data = on_client_data, .on_closed = on_client_closed};
	struct names_server *s = arg;
	if (s->client_count >= NAMES_CLIENTS_MAX) {
		stream_free(accepted);
		return;
	}
	struct client *c = mem_new(struct client);
	c->server = s;
	c->stream = accepted;
	c->received = BUF_INIT_LIMIT(2 * (2 + DNS_MESSAGE_MAX));
	c->timer = loop_timer_new(s->loop, on_client_silent, c);
	loop_timer_start(c->timer, CLIENT_SILENCE_MS);
	list_append(&s->clients, &c->link);
	s->client_count++;
	stream_set_events(accepted, &events, c);
}

/* ---- opening and closing ---- */

void names_server_reload(struct names_server *s)
{
	struct buf text CLEANUP(buf_done) = BUF_INIT_LIMIT(RESOLV_CONF_MAX);
	/* Without the file there is nobody to ask: names outside the domain fail at once. */
	if (fs_read(fs_real(), s->resolv_conf, &text, NULL))
		buf_clear(&text);
	resolver_configure(s->resolver, buf_text(&text), s->address);
}

int names_server_open(const struct names_server_config *config, struct names_server **ret_server,
	struct err *e)
{
	struct names_server *s = mem_new(struct names_server);
	s->loop = config->loop;
	s->zone = mem_dup_string(config->zone);
	s->resolv_conf = mem_dup_string(config->resolv_conf);
	s->address = mem_dup_string(config->address);
	list_init(&s->clients);
	list_init(&s->pendings);
	s->resolver = resolver_new(s->loop);
	names_init(&s->names, s->zone, config->domain, config->services);
	table_init(&s->nothing, NULL, 0);
	names_set(&s->names, &s->nothing);
	char address[ADDRESS_SIZE];
	snprintf(address, sizeof(address), "%s:53", config->address);
	int code = loop_datagram(s->loop, address, on_datagram, s, &s->datagram, e);
	if (!code)
		code = loop_listen(s->loop, address, on_client, s, &s->listener, e);
	if (code) {
		names_server_close(s);
		return err_prefix(e, "the node's name server");
	}
	names_server_reload(s);
	*ret_server = s;
	return 0;
}

void names_server_close(struct names_server *s)
{
	if (!s)
		return;
	LIST_EACH (&s->clients, link)
		free_client(LIST_ITEM(link, struct client, link));
	LIST_EACH (&s->pendings, link)
		free_pending(LIST_ITEM(link, struct pending, link));
	if (s->listener)
		listener_free(s->listener);
	if (s->datagram)
		datagram_free(s->datagram);
	resolver_free(s->resolver);
	names_done(&s->names);
	table_done(&s->nothing);
	free(s->zone);
	free(s->resolv_conf);
	free(s->address);
	free(s);
}

void names_server_set(struct names_server *s, const struct table *table)
{
	names_set(&s->names, table);
}

void names_server_metrics(const struct names_server *s, struct buf *b)
{
	struct resolver_counts r = resolver_counts(s->resolver);
	const struct {
		const char *labels;
		uint64_t value;
	} rows[] = {{"result=\"answered\"", s->answered}, {"result=\"forwarded\"", s->forwarded},
		{"result=\"failed\"", s->failed}, {"result=\"malformed\"", s->malformed}};
	buf_printf(b,
		"# HELP continuo_overlay_dns_queries_total Questions for names.\n"
		"# TYPE continuo_overlay_dns_queries_total counter\n"
		"continuo_overlay_dns_queries_total{protocol=\"udp\"} %llu\n"
		"continuo_overlay_dns_queries_total{protocol=\"tcp\"} %llu\n"
		"# HELP continuo_overlay_dns_results_total What became of them.\n"
		"# TYPE continuo_overlay_dns_results_total counter\n",
		(unsigned long long)s->queries_udp, (unsigned long long)s->queries_tcp);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		buf_printf(b, "continuo_overlay_dns_results_total{%s} %llu\n", rows[i].labels,
			(unsigned long long)rows[i].value);
	buf_printf(b,
		"# HELP continuo_overlay_dns_upstream_total Questions to upstream servers.\n"
		"# TYPE continuo_overlay_dns_upstream_total counter\n"
		"continuo_overlay_dns_upstream_total{event=\"asked\"} %llu\n"
		"continuo_overlay_dns_upstream_total{event=\"remembered\"} %llu\n"
		"continuo_overlay_dns_upstream_total{event=\"timeout\"} %llu\n"
		"continuo_overlay_dns_upstream_total{event=\"refused\"} %llu\n",
		(unsigned long long)r.asked, (unsigned long long)r.hits,
		(unsigned long long)r.timeouts, (unsigned long long)r.refused);
}
