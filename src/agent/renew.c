#include <stdlib.h>
#include <string.h>

#include "agent/join.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "pki/pki.h"

#define LOOK_MS ((int64_t)10 * 60 * 1000) /* the wall clock may jump: never sleep longer */
#define RETRY_MS ((int64_t)30 * 1000)
#define CALL_MS 15000

struct agent_renewal {
	struct agent_renewal_config config;
	struct loop_timer *timer;
	char *key_pem;      /* of the CSR that is under way */
	int64_t renewed_ms; /* loop_now_ms of the last renewal; 0: none yet */
	bool rejoins;       /* the call under way asks by a certificate that was refused */
};

static void ask_later(struct agent_renewal *r, const char *event, const struct err *e)
{
	log_err(r->config.log, LOG_WARN, event, e, "retry_ms=%lld", (long long)RETRY_MS);
	loop_timer_start(r->timer, RETRY_MS);
}

static void drop_key(struct agent_renewal *r)
{
	if (r->key_pem)
		explicit_bzero(r->key_pem, strlen(r->key_pem));
	free(take_ptr(r->key_pem));
}

static int read_answer(struct agent_renewal *r, int status, const char *text, size_t size,
	struct agent_identity *ret_news, struct err *e)
{
	CLEANUP(json_done) json_t *body = NULL;
	int result = json_decode(text, size, &body, e);
	if (status != 200)
		return err_set(e, err_from_http(status), "the server answered %d: %.200s", status,
			json_text(body, "no reason given", "message"));
	if (result < 0)
		return result;
	const char *certificate = json_text(body, "", "certificate");
	const char *ca = json_text(body, r->config.identity->ca_pem, "ca");
	int64_t server_ms = json_int(body, agent_clock_ms(r->config.clock), "now_ms");
	result = r->config.check_time(r->config.arg, server_ms, e);
	if (result == 0)
		result = pki_verify(r->config.identity->ca_pem, certificate, server_ms, e);
	if (result < 0)
		return result;
	agent_clock_set(r->config.clock, server_ms);
	*ret_news = (struct agent_identity){.certificate_pem = mem_dup_string(certificate),
		.key_pem = take_ptr(r->key_pem),
		.ca_pem = mem_dup_string(ca)};
	return 0;
}

static bool is_final(enum err_code code)
{
	return code == ERR_UNAUTHORIZED || code == ERR_FORBIDDEN || code == ERR_NOT_FOUND;
}

static void failed(struct agent_renewal *r, const struct err *why)
{
	if (r->rejoins)
		r->config.on_rejoin_failed(r->config.arg, is_final(why->code), why);
	else
		ask_later(r, "renewal_failed", why);
}

static void on_answer(void *arg, int status, const char *text, size_t size, const struct err *e)
{
	struct agent_renewal *r = arg;
	struct agent_identity news = {0};
	struct err why = ERR_INIT;
	int result = 0;
	if (e)
		why = *e;
	else
		result = read_answer(r, status, text, size, &news, &why);
	drop_key(r);
	if (e || result < 0) {
		failed(r, &why);
	} else {
		r->renewed_ms = loop_now_ms(r->config.loop);
		r->config.on_renewed(r->config.arg, &news);
	}
}

static void ask(struct agent_renewal *r, struct http_client *client, bool rejoins)
{
	CLEANUP(mem_free_ptr) char *csr = NULL;
	struct err e = ERR_INIT;
	r->rejoins = rejoins;
	drop_key(r);
	if (pki_csr_new(r->config.identity->node, &r->key_pem, &csr, &e) < 0) {
		failed(r, &e);
		return;
	}
	CLEANUP(json_done) json_t *body = json_pack("{s:s}", "csr", csr);
	CLEANUP(mem_free_ptr) char *text = json_encode_string(body);
	struct http_call_spec spec = {.method = "POST",
		.path = rejoins ? "/agent/v1/rejoin" : "/agent/v1/renew",
		.content_type = "application/json",
		.body = text,
		.body_size = strlen(text),
		.timeout_ms = CALL_MS};
	http_fetch(client, &spec, on_answer, r);
}

/* Milliseconds to half of the certificate's life. The wall clock judges, as it does in TLS; but
 * when it is wrong every certificate looks due, so that a quarter of the life must have passed
 * since the last renewal by the clock that never jumps. */
static int64_t due_in_ms(const struct agent_renewal *r)
{
	struct pki_info info;
	if (pki_inspect(r->config.identity->certificate_pem, &info, NULL) < 0)
		return 0;
	int64_t begin_ms = info.not_before_ms + PKI_SKEW_MS;
	int64_t life_ms = info.not_after_ms - begin_ms;
	int64_t due_ms = begin_ms + life_ms / 2 - agent_clock_ms(r->config.clock);
	int64_t rest_ms = r->renewed_ms + life_ms / 4 - loop_now_ms(r->config.loop);
	return r->renewed_ms && rest_ms > due_ms ? rest_ms : due_ms;
}

static void on_timer(void *arg)
{
	struct agent_renewal *r = arg;
	int64_t wait_ms = due_in_ms(r);
	struct http_client *client = r->config.client(r->config.arg);
	if (wait_ms > 0)
		loop_timer_start(r->timer, wait_ms < LOOK_MS ? wait_ms : LOOK_MS);
	else if (client)
		ask(r, client, false);
	else
		loop_timer_start(r->timer, RETRY_MS);
}

void agent_renewal_check(struct agent_renewal *r)
{
	if (!r)
		return; /* the transport proves who we are */
	/* A client that went took the answer with it: asking again is harmless. */
	drop_key(r);
	loop_timer_start(r->timer, 0);
}

void agent_renewal_rejoin(struct agent_renewal *r, struct http_client *client)
{
	if (r && client)
		ask(r, client, true);
}

struct agent_renewal *agent_renewal_new(const struct agent_renewal_config *config)
{
	struct agent_renewal *r = mem_new(struct agent_renewal);
	r->config = *config;
	r->timer = loop_timer_new(config->loop, on_timer, r);
	loop_timer_start(r->timer, 0);
	return r;
}

void agent_renewal_free(struct agent_renewal *r)
{
	if (!r)
		return;
	loop_timer_free(r->timer);
	drop_key(r);
	free(r);
}
