/* HTTPS between our own ends over streams in memory, with certificates that are right and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/test_loop.h"
#include "net/tls.h"
#include "pki/pki.h"

#define NOW ((int64_t)1790000000000)

static struct pki_pair ca, other_ca;

static int setup(void **state)
{
	(void)state;
	return pki_ca_new("example", NOW, &ca, NULL) | pki_ca_new("other", NOW, &other_ca, NULL);
}

static int teardown(void **state)
{
	(void)state;
	pki_pair_done(&ca);
	pki_pair_done(&other_ca);
	return 0;
}

struct world {
	struct loop *l;
	struct http_server *server;
	struct tls_acceptor *acceptor;
	struct tls_context *server_context, *client_context;
	struct tls_connector *connector;
	struct http_client *client;
	char peer[200]; /* as the handler saw it */
	bool done, failed;
	int status;
	struct err e;
	struct buf body;
	int64_t floor_ms;
};

struct choices {
	const struct pki_pair *server_ca, *client_ca, *trusted;
	const char *pin, *server_name, *alpn;
	int64_t server_life_ms, client_life_ms, wait_ms;
	size_t piece;
	bool forgive;     /* what clocks may disagree about */
	int64_t floor_ms; /* of the client, with forgive */
};

static void echo(void *arg, struct http_request *r, const char *data, size_t size,
	const struct err *e)
{
	(void)arg;
	http_respond(r, e ? 500 : 200, NULL, 0, "text/plain", data, size);
	http_request_free(r);
}

static void handle(void *arg, struct http_request *r)
{
	struct world *w = arg;
	const struct http_peer *peer = http_request_peer(r);
	snprintf(w->peer, sizeof(w->peer), "%s|%s|%s|%s", peer->address, peer->common_name,
		peer->organization, peer->spiffe_id);
	http_request_collect(r, 4 << 20, echo, w);
}

static int64_t world_wall_ms(void *context)
{
	return loop_wall_ms(((struct world *)context)->l);
}

static int64_t world_floor_ms(void *context)
{
	return ((struct world *)context)->floor_ms;
}

static struct tls_context *make_context(struct world *w, const struct choices *choices, bool server)
{
	static const char *const names[] = {"server.example", "192.0.2.9", NULL};
	struct pki_subject subject = {.use = server ? PKI_SERVER : PKI_NODE,
		.common_name = server ? "continuo" : "system:node:a",
		.organization = server ? NULL : "system:nodes",
		.spiffe_id = server ? NULL : "spiffe://example/node/a",
		.dns_or_ips = server ? names : NULL,
		.life_ms = server ? choices->server_life_ms : choices->client_life_ms};
	const struct pki_pair *issuer = server ? choices->server_ca : choices->client_ca;
	struct pki_pair pair CLEANUP(pki_pair_done) = {0};
	if (issuer)
		assert_int_equal(pki_issue(issuer, &subject, NOW, &pair, NULL), 0);
	struct tls_config config = {.certificate_pem = pair.certificate_pem,
		.key_pem = pair.key_pem,
		.ca_pem = server         ? ca.certificate_pem
			  : choices->pin ? NULL
					 : choices->trusted->certificate_pem,
		.pinned_ca_sha256 = server ? NULL : choices->pin,
		.server = server,
		.request_client_certificate = true,
		.server_name = server ? NULL : choices->server_name,
		.alpn = server ? "h2,http/1.1" : choices->alpn,
		.wall_ms = world_wall_ms,
		.wall_context = w,
		.forgive_early = choices->forgive,
		.forgive_expired = choices->forgive,
		.floor_ms = choices->forgive ? world_floor_ms : NULL};
	struct tls_context *context = NULL;
	assert_int_equal(tls_context_new(&config, &context, NULL), 0);
	return context;
}

static struct world *world_new(const struct choices *choices)
{
	struct world *w = mem_new(struct world);
	w->l = test_loop_new();
	w->floor_ms = choices->floor_ms;
	((struct test_loop *)w->l)->piece = choices->piece;
	((struct test_loop *)w->l)->wall_ms = NOW + choices->wait_ms;
	w->server = http_server_new(w->l, handle, w);
	w->server_context = make_context(w, choices, true);
	w->client_context = make_context(w, choices, false);
	assert_int_equal(tls_acceptor_new(w->l, w->server_context, "server:1", w->server,
				 &w->acceptor, NULL),
		0);
	w->connector = tls_connector_new(w->l, w->client_context, "server:1");
	struct http_connector connector = tls_connector_http(w->connector);
	w->client = http_client_new(w->l, &connector, 0);
	return w;
}

static void world_done(struct world **variable)
{
	struct world *w = *variable;
	http_client_free(w->client);
	tls_connector_free(w->connector);
	tls_acceptor_free(w->acceptor);
	http_server_free(w->server);
	tls_context_free(w->server_context);
	tls_context_free(w->client_context);
	test_loop_run(w->l, 100000);
	test_loop_free(w->l);
	buf_done(&w->body);
	free(w);
}

static struct choices usual(void)
{
	return (struct choices){.server_ca = &ca,
		.client_ca = &ca,
		.trusted = &ca,
		.server_name = "server.example",
		.alpn = "h2,http/1.1",
		.server_life_ms = PKI_NODE_LIFE_MS,
		.client_life_ms = PKI_NODE_LIFE_MS};
}

static void fetched(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	struct world *w = arg;
	w->done = true;
	w->failed = e;
	w->status = status;
	if (e)
		w->e = *e;
	buf_clear(&w->body);
	buf_append(&w->body, body, size);
}

static bool is_done(void *arg)
{
	return ((struct world *)arg)->done;
}

static void fetch(struct world *w, size_t size)
{
	char *data = mem_alloc(size + 1);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)('a' + i % 23);
	struct http_call_spec spec = {.method = "POST",
		.path = "/echo",
		.content_type = "text/plain",
		.body = data,
		.body_size = size};
	w->done = false;
	http_fetch(w->client, &spec, fetched, w);
	assert_true(test_loop_until(w->l, is_done, w, 60000));
	if (!w->failed) {
		assert_int_equal(w->status, 200);
		assert_int_equal(w->body.size, size);
		assert_memory_equal(buf_text(&w->body), data, size);
	}
	free(data);
}

static void both_sides_know_each_other(void **state)
{
	(void)state;
	static const char *const alpns[] = {"h2,http/1.1", "http/1.1", NULL};
	static const size_t pieces[] = {0, 1, 1000};
	for (size_t i = 0; i < ARRAY_SIZE(alpns); i++)
		for (size_t j = 0; j < ARRAY_SIZE(pieces); j++) {
			struct choices choices = usual();
			choices.alpn = alpns[i];
			choices.piece = pieces[j];
			struct world *w CLEANUP(world_done) = world_new(&choices);
			fetch(w, pieces[j] == 1 ? 10 : 1000000);
			assert_false(w->failed);
			assert_string_equal(w->peer, "192.0.2.1:1234|system:node:a|system:nodes|"
						     "spiffe://example/node/a");
		}
}

static void a_client_may_be_nobody(void **state)
{
	(void)state;
	struct choices choices = usual();
	choices.client_ca = NULL;
	choices.server_name = "192.0.2.9";
	struct world *w CLEANUP(world_done) = world_new(&choices);
	fetch(w, 10);
	assert_false(w->failed);
	assert_string_equal(w->peer, "192.0.2.1:1234|||");
}

/* The second connection resumes the first one's session; the server still knows who it is. */
static void a_resumed_session_keeps_its_peer(void **state)
{
	(void)state;
	struct choices choices = usual();
	struct world *w CLEANUP(world_done) = world_new(&choices);
	for (int i = 0; i < 3; i++) {
		w->peer[0] = '\0';
		fetch(w, 10);
		assert_false(w->failed);
		assert_non_null(strstr(w->peer, "spiffe://example/node/a"));
		http_client_reset(w->client);
		test_loop_run(w->l, 100);
	}
	((struct test_loop *)w->l)->wall_ms += 2 * PKI_NODE_LIFE_MS;
	fetch(w, 10);
	assert_true(w->failed);
}

static void check_refused(const struct choices *choices, const char *text)
{
	struct world *w CLEANUP(world_done) = world_new(choices);
	fetch(w, 10);
	assert_true(w->failed);
	if (!strstr(w->e.text, text))
		fail_msg("said: %s", w->e.text);
	assert_int_equal(w->e.code, ERR_UNAUTHORIZED);
	assert_string_equal(w->peer, "");
}

static void wrong_certificates_are_refused_in_words(void **state)
{
	(void)state;
	struct choices choices = usual();
	choices.server_ca = &other_ca;
	check_refused(&choices, "not trusted here (it calls itself \"other CA\")");
	choices = usual();
	choices.server_name = "elsewhere.example";
	check_refused(&choices, "not for \"elsewhere.example\"");
	choices = usual();
	choices.server_name = "192.0.2.10";
	check_refused(&choices, "not for \"192.0.2.10\"");
	choices = usual();
	choices.wait_ms = 2 * PKI_NODE_LIFE_MS;
	check_refused(&choices, "has expired, or the clock here is wrong");
	choices = usual();
	choices.wait_ms = -PKI_EARLY_MS - PKI_NODE_LIFE_MS;
	check_refused(&choices, "is not valid yet");
	choices = usual();
	choices.wait_ms = 2 * PKI_NODE_LIFE_MS;
	choices.server_life_ms = 4 * PKI_NODE_LIFE_MS;
	check_refused(&choices, "refused our certificate");
	choices = usual();
	choices.client_ca = &other_ca;
	check_refused(&choices, "refused our certificate");
}

static void check_forgiven(const struct choices *choices)
{
	struct world *w CLEANUP(world_done) = world_new(choices);
	for (int i = 0; i < 2; i++) { /* the second time with a session that is resumed */
		fetch(w, 10);
		if (w->failed)
			fail_msg("said: %s", w->e.text);
		assert_non_null(strstr(w->peer, "spiffe://example/node/a"));
		int64_t end_ms = tls_context_peer_end_ms(w->client_context);
		assert_true(end_ms > NOW && end_ms <= NOW + choices->server_life_ms);
		http_client_reset(w->client);
		test_loop_run(w->l, 100);
	}
}

/* A machine that boots in 1970, or whose server's clock jumped. */
static void clocks_that_disagree_are_forgiven(void **state)
{
	(void)state;
	struct choices choices = usual();
	choices.forgive = true;
	choices.floor_ms = -1;
	choices.wait_ms = -NOW; /* 1970 */
	check_forgiven(&choices);
	choices.wait_ms = 2 * PKI_NODE_LIFE_MS;
	check_refused(&choices, "has expired, or the clock here is wrong");
	choices.floor_ms = NOW + PKI_NODE_LIFE_MS / 2;
	check_forgiven(&choices);
	choices.floor_ms = NOW + 3 * PKI_NODE_LIFE_MS / 2;
	check_refused(&choices, "has expired");
	choices.floor_ms = 0;
	choices.trusted = &other_ca;
	check_refused(&choices, "not trusted here");
	choices = usual();
	choices.forgive = true;
	choices.client_ca = &other_ca;
	check_refused(&choices, "refused our certificate");
}

static void a_pin_finds_the_ca(void **state)
{
	(void)state;
	char pin[65], wrong[65];
	assert_int_equal(pki_pin(ca.certificate_pem, pin, NULL), 0);
	assert_int_equal(pki_pin(other_ca.certificate_pem, wrong, NULL), 0);
	struct choices choices = usual();
	choices.pin = pin;
	choices.client_ca = NULL;
	{
		struct world *w CLEANUP(world_done) = world_new(&choices);
		fetch(w, 10);
		assert_false(w->failed);
	}
	choices.pin = wrong;
	check_refused(&choices, "not the one the join token names");
}

struct joined {
	char *ca_pem;
	struct err e;
	bool closed;
	struct stream *stream;
};

static void joined_open(void *arg)
{
	struct joined *j = arg;
	j->ca_pem = tls_stream_ca_pem(j->stream);
}

static void joined_data(void *arg, const uint8_t *data, size_t size)
{
	(void)arg, (void)data, (void)size;
}

static void joined_closed(void *arg, const struct err *why)
{
	struct joined *j = arg;
	j->closed = true;
	j->e = *why;
}

static const struct stream_events joined_events = {
	.on_open = joined_open, .on_data = joined_data, .on_closed = joined_closed};

static void the_ca_is_learned_from_the_chain(void **state)
{
	(void)state;
	char pin[65];
	assert_int_equal(pki_pin(ca.certificate_pem, pin, NULL), 0);
	struct choices choices = usual();
	choices.pin = pin;
	struct world *w CLEANUP(world_done) = world_new(&choices);
	struct joined j = {0};
	j.stream = tls_stream_new(w->l, w->client_context, loop_connect(w->l, "server:1"));
	stream_set_events(j.stream, &joined_events, &j);
	test_loop_run(w->l, 100);
	assert_non_null(j.ca_pem);
	assert_string_equal(j.ca_pem, ca.certificate_pem);
	stream_free(j.stream);
	free(j.ca_pem);
}

static void strangers_are_sent_away(void **state)
{
	(void)state;
	struct choices choices = usual();
	struct world *w CLEANUP(world_done) = world_new(&choices);
	struct joined plain = {0}, silent = {0};
	plain.stream = loop_connect(w->l, "server:1");
	stream_set_events(plain.stream, &joined_events, &plain);
	plain.ca_pem = NULL;
	silent.stream = loop_connect(w->l, "server:1");
	static const struct stream_events quiet = {
		.on_data = joined_data, .on_closed = joined_closed};
	stream_set_events(plain.stream, &quiet, &plain);
	stream_set_events(silent.stream, &quiet, &silent);
	stream_write(plain.stream, "GET / HTTP/1.1\r\n\r\n", 18);
	test_loop_run(w->l, 1000);
	assert_true(plain.closed);
	assert_false(silent.closed);
	test_loop_run(w->l, 10000);
	assert_true(silent.closed);
	stream_free(plain.stream);
	stream_free(silent.stream);
}

static void a_plain_server_is_named(void **state)
{
	(void)state;
	struct choices choices = usual();
	struct world *w CLEANUP(world_done) = world_new(&choices);
	struct stream *a = NULL, *b = NULL;
	test_stream_pair(w->l, &a, &b);
	struct joined j = {.stream = tls_stream_new(w->l, w->client_context, a)};
	static const struct stream_events quiet = {
		.on_data = joined_data, .on_closed = joined_closed};
	stream_set_events(j.stream, &quiet, &j);
	stream_write(b, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	test_loop_run(w->l, 100);
	/* the pair is open from the beginning, so nothing says so to a client: time decides */
	test_loop_run(w->l, 20000);
	assert_true(j.closed);
	stream_free(j.stream);
	stream_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_know_each_other),
		cmocka_unit_test(a_client_may_be_nobody),
		cmocka_unit_test(a_resumed_session_keeps_its_peer),
		cmocka_unit_test(wrong_certificates_are_refused_in_words),
		cmocka_unit_test(clocks_that_disagree_are_forgiven),
		cmocka_unit_test(a_pin_finds_the_ca),
		cmocka_unit_test(the_ca_is_learned_from_the_chain),
		cmocka_unit_test(strangers_are_sent_away),
		cmocka_unit_test(a_plain_server_is_named),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
