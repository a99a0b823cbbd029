#include "agent/join.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "codec/json.h"
#include "pki/pki.h"

#define TRY_MS 15000
#define BACKOFF_FIRST_MS 500
#define BACKOFF_MAX_MS 30000

struct agent_join {
	struct agent_join_config config;
	struct pki_token token;
	char *key_pem, *csr_pem; /* of the whole join, so that a repeated one is the same */
	size_t server;
	struct agent_link *link;
	struct http_client *client;
	struct loop_timer *retry;
	struct rand rand;
	int failures;
	bool over;
};

static const char *server_address(const struct agent_join *j)
{
	return j->config.servers[j->server];
}

static void disconnect(struct agent_join *j)
{
	http_client_free(take_ptr(j->client));
	struct agent_link *link = take_ptr(j->link);
	if (link)
		j->config.transport->ops->close(link);
}

static void try_again(struct agent_join *j, const struct err *why)
{
	int shift = j->failures < 6 ? j->failures : 6;
	int64_t delay_ms = (int64_t)BACKOFF_FIRST_MS << shift;
	if (delay_ms > BACKOFF_MAX_MS)
		delay_ms = BACKOFF_MAX_MS;
	delay_ms = rand_between(&j->rand, delay_ms / 2, delay_ms);
	j->failures++;
	log_err(j->config.log, LOG_WARN, "join_failed", why, "server=%s retry_ms=%lld",
		server_address(j), (long long)delay_ms);
	loop_timer_start(j->retry, delay_ms);
}

/* ---- the answer ---- */

static bool is_final(int status)
{
	return status >= 400 && status < 500 && status != 408 && status != 429;
}

static void refused(struct agent_join *j, int status, const json_t *body)
{
	struct err why = ERR_INIT;
	(void)err_set(&why, err_from_http(status), "%s refused the join (%d): %.300s",
		server_address(j), status, json_text(body, "no reason given", "message"));
	if (!is_final(status)) {
		try_again(j, &why);
		return;
	}
	j->over = true;
	j->config.on_refused(j->config.arg, &why);
}

/* The CA must be the one that the token pins, and the certificate ours and of that CA. */
static int check_answer(struct agent_join *j, const json_t *body, struct err *e)
{
	char pin[65];
	const char *ca = json_text(body, "", "ca");
	const char *certificate = json_text(body, "", "certificate");
	if (!*ca || !*certificate || !*json_text(body, "", "domain") ||
		!*json_text(body, "", "name"))
		return err_set(e, ERR_PROTOCOL, "%s sent an incomplete answer to the join",
			server_address(j));
	int r = pki_pin(ca, pin, e);
	if (r == 0 && !pki_equal(pin, j->token.pin))
		return err_set(e, ERR_UNAUTHORIZED,
			"the CA that %s sent is not the one of the token", server_address(j));
	int64_t server_ms = json_int(body, 0, "now_ms");
	const struct agent_transport_ops *ops = j->config.transport->ops;
	if (r == 0 && server_ms > 0 && ops->check_time)
		r = ops->check_time(j->link, server_ms, e);
	if (r == 0 && server_ms > 0)
		agent_clock_set(j->config.clock, server_ms);
	if (r == 0)
		r = pki_verify(ca, certificate, agent_clock_ms(j->config.clock), e);
	return r;
}

static void joined(struct agent_join *j, const json_t *body)
{
	struct err why = ERR_INIT;
	if (check_answer(j, body, &why) < 0) {
		try_again(j, &why);
		return;
	}
	struct agent_identity identity = {
		.certificate_pem = mem_dup_string(json_text(body, "", "certificate")),
		.key_pem = take_ptr(j->key_pem),
		.ca_pem = mem_dup_string(json_text(body, "", "ca")),
		.domain = mem_dup_string(json_text(body, "", "domain")),
		.node = mem_dup_string(json_text(body, "", "name"))};
	j->over = true;
	j->config.on_joined(j->config.arg, &identity);
}

static void on_answer(void *arg, int status, const char *text, size_t size, const struct err *e)
{
	struct agent_join *j = arg;
	CLEANUP(json_done) json_t *body = NULL;
	struct err why = ERR_INIT;
	if (j->over)
		return;
	if (e && e->code == ERR_UNAUTHORIZED) { /* it could not prove the CA that the token pins */
		j->over = true;
		j->config.on_refused(j->config.arg, e);
	} else if (e) {
		try_again(j, e);
	} else if (status != 200) {
		if (json_decode(text, size, &body, NULL) < 0)
			body = NULL;
		refused(j, status, body);
	} else if (json_decode(text, size, &body, &why) < 0) {
		try_again(j, &why);
	} else {
		joined(j, body);
	}
}

/* ---- the question ---- */

static void ask(struct agent_join *j)
{
	CLEANUP(json_done)
	json_t *body = json_pack("{s:s, s:s, s:s}", "token", j->config.token, "csr", j->csr_pem,
		"name", j->config.node_name ? j->config.node_name : "");
	CLEANUP(mem_free_ptr) char *text = json_encode_string(body);
	struct http_call_spec spec = {.method = "POST",
		.path = "/agent/v1/join",
		.content_type = "application/json",
		.body = text,
		.body_size = strlen(text),
		.timeout_ms = TRY_MS};
	http_fetch(j->client, &spec, on_answer, j);
}

static void on_retry(void *arg)
{
	struct agent_join *j = arg;
	struct err e = ERR_INIT;
	disconnect(j);
	if (j->failures > 0 && !j->config.servers[++j->server])
		j->server = 0;
	const struct agent_transport *t = j->config.transport;
	if (t->ops->open(t->context, server_address(j), NULL, j->token.pin, &j->link, &e) < 0) {
		try_again(j, &e);
		return;
	}
	struct http_connector connector = t->ops->connector(j->link);
	j->client = http_client_new(j->config.loop, &connector, 1);
	log_info(j->config.log, "joining", "server=%s", server_address(j));
	ask(j);
}

int agent_join_new(const struct agent_join_config *config, struct agent_join **ret_join,
	struct err *e)
{
	struct agent_join *j = mem_new(struct agent_join);
	j->config = *config;
	int r = pki_token_parse(config->token, &j->token, e);
	if (r == 0)
		r = pki_csr_new(str_empty(config->node_name) ? "node" : config->node_name,
			&j->key_pem, &j->csr_pem, e);
	if (r < 0) {
		free(j);
		return r;
	}
	uint64_t seed;
	loop_random_bytes(config->loop, &seed, sizeof(seed));
	rand_init(&j->rand, seed);
	j->retry = loop_timer_new(config->loop, on_retry, j);
	loop_timer_start(j->retry, 0);
	*ret_join = j;
	return 0;
}

void agent_join_free(struct agent_join *j)
{
	if (!j)
		return;
	disconnect(j);
	loop_timer_free(j->retry);
	if (j->key_pem)
		explicit_bzero(j->key_pem, strlen(j->key_pem));
	explicit_bzero(&j->token, sizeof(j->token));
	free(j->key_pem);
	free(j->csr_pem);
	free(j);
}
