#include "overlay/resolver.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define UDP_WAIT_MS 1500
#define TCP_WAIT_MS 4000
#define TRIES 3
#define SERVER_SIZE 64

struct resolver {
	struct loop *loop;
	char servers[RESOLVER_SERVERS_MAX][SERVER_SIZE]; /* "192.0.2.53:53" */
	size_t server_count;
	struct list requests;
	size_t open;
	struct map cache; /* key_of -> struct kept */
	struct resolver_counts counts;
};

struct kept {
	int64_t at_ms;
	uint32_t keep_s;
	size_t size;
	uint8_t data[];
};

struct resolver_request {
	struct list link;
	struct resolver *resolver;
	resolver_cb *cb;
	void *arg;
	uint8_t *query;
	size_t size, question_size;
	uint16_t client_id, id;
	char key[DNS_NAME_SIZE + 32];
	char server[SERVER_SIZE]; /* that is being asked */
	bool tcp;
	int tries;
	struct datagram *datagram;
	struct stream *stream;
	struct loop_timer *timer;
	uint8_t *received; /* over TCP: so far */
	size_t received_size;
};

/* ---- configuration ---- */

static bool add_server(struct resolver *r, char *word, const char *own)
{
	struct in6_addr any;
	char text[SERVER_SIZE];
	if (str_equal(word, own) || r->server_count == RESOLVER_SERVERS_MAX)
		return false;
	if (inet_pton(AF_INET, word, &any) == 1)
		snprintf(text, sizeof(text), "%s:53", word);
	else if (inet_pton(AF_INET6, word, &any) == 1)
		snprintf(text, sizeof(text), "[%s]:53", word);
	else
		return false;
	return str_copy(r->servers[r->server_count++], SERVER_SIZE, text);
}

void resolver_configure(struct resolver *r, const char *text, const char *own)
{
	char *copy CLEANUP(mem_free_ptr) = mem_dup_string(text);
	char *rest = copy;
	r->server_count = 0;
	for (char *line; (line = strsep(&rest, "\n"));) {
		char *words[2] = {NULL, NULL};
		for (size_t i = 0; i < 2 && line;) {
			char *word = strsep(&line, " \t\r");
			if (*word)
				words[i++] = word;
		}
		if (words[1] && str_equal(words[0], "nameserver"))
			add_server(r, words[1], own);
	}
}

size_t resolver_server_count(const struct resolver *r)
{
	return r->server_count;
}

struct resolver *resolver_new(struct loop *l)
{
	struct resolver *r = mem_new(struct resolver);
	r->loop = l;
	list_init(&r->requests);
	map_init(&r->cache, free);
	return r;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	map_done(&r->cache);
	free(r);
}

struct resolver_counts resolver_counts(const struct resolver *r)
{
	return r->counts;
}

/* ---- what is remembered ---- */

static void key_of(const struct dns_query *q, bool tcp, char *ret_key, size_t size)
{
	snprintf(ret_key, size, "%s/%u/%u/%s%s%s", q->name, q->type, q->class, q->edns ? "e" : "",
		q->dnssec ? "d" : "", tcp ? "t" : "");
}

static void set_id(uint8_t *message, uint16_t id)
{
	message[0] = (uint8_t)(id >> 8);
	message[1] = (uint8_t)id;
}

static bool answer_kept(struct resolver *r, const char *key, const struct dns_query *q,
	resolver_cb *cb, void *arg)
{
	const struct kept *k = map_get(&r->cache, key);
	if (!k)
		return false;
	int64_t age_s = (loop_now_ms(r->loop) - k->at_ms) / 1000;
	if (age_s >= k->keep_s) {
		map_remove(&r->cache, key);
		return false;
	}
	uint8_t data[RESOLVER_ANSWER_MAX];
	memcpy(data, k->data, k->size);
	dns_age(data, k->size, (uint32_t)age_s);
	set_id(data, q->id);
	/* The question with the capitals of this one, which some clients check. */
	memcpy(data + DNS_HEADER_SIZE, q->question, q->question_size);
	r->counts.hits++;
	cb(arg, data, k->size);
	return true;
}

static void keep(struct resolver *r, const char *key, const uint8_t *data, size_t size)
{
	uint32_t keep_s = dns_keep_s(data, size);
	if (!keep_s || size > RESOLVER_ANSWER_MAX)
		return;
	struct kept *k = mem_alloc(sizeof(*k) + size);
	k->at_ms = loop_now_ms(r->loop);
	k->keep_s = keep_s < RESOLVER_KEEP_S ? keep_s : RESOLVER_KEEP_S;
	k->size = size;
	memcpy(k->data, data, size);
	if (r->cache.count >= RESOLVER_CACHE_MAX && !map_has(&r->cache, key)) {
		size_t first = 0;
		map_remove(&r->cache, map_next(&r->cache, &first)->key);
	}
	map_put(&r->cache, key, k);
}

/* ---- one request ---- */

static void try_next(struct resolver_request *x);

static void hang_up(struct resolver_request *x)
{
	if (x->datagram)
		datagram_free(x->datagram);
	stream_free(x->stream);
	x->datagram = NULL;
	x->stream = NULL;
	x->received_size = 0;
}

void resolver_cancel(struct resolver_request *x)
{
	hang_up(x);
	loop_timer_free(x->timer);
	list_remove(&x->link);
	x->resolver->open--;
	free(x->received);
	free(x->query);
	free(x);
}

static void end_request(struct resolver_request *x, uint8_t *response, size_t size)
{
	resolver_cb *cb = x->cb;
	void *arg = x->arg;
	uint8_t *copy CLEANUP(mem_free_ptr) = NULL;
	if (response) {
		keep(x->resolver, x->key, response, size);
		copy = (uint8_t *)mem_dup_bytes(response, size);
		set_id(copy, x->client_id);
	}
	resolver_cancel(x);
	cb(arg, copy, size);
}

static bool is_answer(const struct resolver_request *x, const uint8_t *data, size_t size)
{
	return dns_answers(data, size, x->id, x->query + DNS_HEADER_SIZE, x->question_size);
}

/* Whatever does not fit the question may be forged: it is not even an error. */
static void on_datagram(void *arg, const uint8_t *data, size_t size, const char *from)
{
	struct resolver_request *x = arg;
	if (!str_equal(from, x->server) || !is_answer(x, data, size))
		return;
	uint8_t *copy CLEANUP(mem_free_ptr) = (uint8_t *)mem_dup_bytes(data, size);
	end_request(x, copy, size);
}

static void on_stream_open(void *arg)
{
	struct resolver_request *x = arg;
	const uint8_t length[2] = {(uint8_t)(x->size >> 8), (uint8_t)x->size};
	stream_write(x->stream, length, sizeof(length));
	stream_write(x->stream, x->query, x->size);
}

static void on_stream_data(void *arg, const uint8_t *data, size_t size)
{
	struct resolver_request *x = arg;
	if (!x->received)
		x->received = mem_alloc(2 + DNS_MESSAGE_MAX);
	size_t room = 2 + DNS_MESSAGE_MAX - x->received_size;
	size = size < room ? size : room;
	memcpy(x->received + x->received_size, data, size);
	x->received_size += size;
	if (x->received_size < 2)
		return;
	size_t wanted = (size_t)(x->received[0] << 8 | x->received[1]);
	if (x->received_size < 2 + wanted)
		return;
	if (is_answer(x, x->received + 2, wanted))
		end_request(x, x->received + 2, wanted);
	else
		try_next(x);
}

static void on_stream_closed(void *arg, const struct err *why)
{
	(void)why;
	try_next(arg);
}

static void send_udp(struct resolver_request *x)
{
	const char *any = x->server[0] == '[' ? "[::]:0" : "0.0.0.0:0";
	struct err e;
	loop_timer_start(x->timer, UDP_WAIT_MS);
	if (loop_datagram(x->resolver->loop, any, on_datagram, x, &x->datagram, &e))
		return; /* no socket: as if it were lost */
	datagram_send(x->datagram, x->server, x->query, x->size);
}

static void send_tcp(struct resolver_request *x)
{
	static const struct stream_events events = {.on_open = on_stream_open,
		.on_data = on_stream_data,
		.on_closed = on_stream_closed};
	loop_timer_start(x->timer, TCP_WAIT_MS);
	x->stream = loop_connect(x->resolver->loop, x->server);
	stream_set_events(x->stream, &events, x);
}

static void send_request(struct resolver_request *x)
{
	loop_random_bytes(x->resolver->loop, &x->id, sizeof(x->id));
	set_id(x->query, x->id);
	const struct resolver *r = x->resolver;
	str_copy(x->server, sizeof(x->server), r->servers[(size_t)x->tries % r->server_count]);
	if (x->tcp)
		send_tcp(x);
	else
		send_udp(x);
}

static void try_next(struct resolver_request *x)
{
	hang_up(x);
	/* Over TCP a server is there or not: each is asked once. */
	int limit = x->tcp ? (int)x->resolver->server_count : TRIES;
	if (++x->tries >= limit || !x->resolver->server_count)
		end_request(x, NULL, 0);
	else
		send_request(x);
}

static void on_timer(void *arg)
{
	struct resolver_request *x = arg;
	x->resolver->counts.timeouts++;
	try_next(x);
}

struct resolver_request *resolver_ask(struct resolver *r, const struct dns_query *q,
	const uint8_t *query, size_t size, bool tcp, resolver_cb *cb, void *arg)
{
	char key[sizeof(((struct resolver_request *)0)->key)];
	key_of(q, tcp, key, sizeof(key));
	if (answer_kept(r, key, q, cb, arg))
		return NULL;
	if (!r->server_count || r->open >= RESOLVER_OPEN_MAX) {
		r->counts.refused++;
		cb(arg, NULL, 0);
		return NULL;
	}
	struct resolver_request *x = mem_new(struct resolver_request);
	*x = (struct resolver_request){.resolver = r,
		.cb = cb,
		.arg = arg,
		.query = (uint8_t *)mem_dup_bytes(query, size),
		.size = size,
		.question_size = q->question_size,
		.client_id = q->id,
		.tcp = tcp};
	memcpy(x->key, key, sizeof(key));
	x->timer = loop_timer_new(r->loop, on_timer, x);
	list_append(&r->requests, &x->link);
	r->open++;
	r->counts.asked++;
	send_request(x);
	return x;
}
