#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "server/agent_api.h"
#include "server/nodes.h"
#include "server/request.h"
#include "server/revocations.h"
#include "server/tokens.h"
#include "wire/join.h"

struct join {
	struct server *server;
	struct http_request *http;
	char node[128];
	char *csr;
	int64_t issued_ms; /* the certificate by which it asks; 0: it has a token */
};

static void join_free(struct join *j)
{
	free(j->csr);
	free(j);
}

static void join_fail(struct join *j, const struct err *e)
{
	log_err(j->server->log, LOG_WARN, "join_refused", e, "node=%s address=%s", j->node,
		http_request_peer(j->http)->address);
	respond_err(j->server, j->http, e);
	join_free(j);
}

/* Certificates tell whole seconds. Who joins gets the next one: what was issued for the name until
 * now, or revoked, is older. A renewed one is as young at least as the one before, also where the
 * server's clock is behind. */
static int64_t issue_ms(const struct join *j)
{
	int64_t now_ms = steady_ms(j->server->clock);
	int64_t least_ms = j->issued_ms;
	if (!j->issued_ms) {
		now_ms += 1000 - now_ms % 1000;
		least_ms = nodes_since_ms(j->server, j->node);
	}
	return now_ms > least_ms ? now_ms : least_ms;
}

static int sign(struct join *j, char **ret_certificate, struct err *e)
{
	char common_name[160], id[256];
	snprintf(common_name, sizeof(common_name), "system:node:%s", j->node);
	pki_node_spiffe(j->server->domain, j->node, id);
	struct pki_subject subject = {.use = PKI_NODE,
		.common_name = common_name,
		.organization = "system:nodes",
		.spiffe_id = id,
		.life_ms = j->server->node_life_ms};
	return pki_sign_csr(j->server->ca, j->csr, &subject, issue_ms(j), ret_certificate, e);
}

static void answer(struct join *j)
{
	CLEANUP(mem_free_ptr) char *certificate = NULL;
	struct err e = ERR_INIT;
	if (sign(j, &certificate, &e) < 0) {
		join_fail(j, &e);
		return;
	}
	CLEANUP(json_done)
	json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:I}", "certificate", certificate, "ca",
		j->server->ca->certificate_pem, "domain", j->server->domain, "name", j->node,
		"now_ms", (json_int_t)steady_ms(j->server->clock));
	CLEANUP(mem_free_ptr) char *text = json_encode_string(body);
	http_respond(j->http, 200, NULL, 0, "application/json", text, strlen(text));
	http_request_free(j->http);
	log_info(j->server->log, "certificate_issued", "node=%s", j->node);
	join_free(j);
}

static bool node_exists(struct server *s, const char *name)
{
	char key[OBJECT_KEY_MAX];
	if (object_key_of(&kind_node, "", name, key, NULL) < 0)
		return false;
	CLEANUP(object_done) struct object *o = store_get(s->store, key);
	return o != NULL;
}

static void on_redeemed(void *arg, const char *node, const struct err *e)
{
	struct join *j = arg;
	if (e) {
		join_fail(j, e);
		return;
	}
	snprintf(j->node, sizeof(j->node), "%s", node);
	j->server->counters.joins++;
	answer(j);
}

/* Who has no token learns nothing. The name is checked before the token is used up, so that a
 * mistake does not cost it. */
static int check_join(struct join *j, const struct wire_join *message, struct err *e)
{
	char bound[128];
	int r = tokens_check(j->server, &message->token, message->csr, bound, e);
	if (r < 0)
		return r;
	snprintf(j->node, sizeof(j->node), "%.120s", message->node[0] ? message->node : bound);
	if (!j->node[0])
		return err_set(e, ERR_INVALID,
			"the token names no node, so the join must: give the agent a node name");
	if (wire_check_node_name(j->node, e) < 0)
		return -(int)e->code;
	j->csr = mem_dup_string(message->csr);
	/* Signing is tried first, for the same reason. */
	CLEANUP(mem_free_ptr) char *certificate = NULL;
	r = sign(j, &certificate, e);
	if (r < 0)
		return r;
	/* A token that was made for a node lets it in again, after a revocation or a lost disk. */
	if (!*bound && node_exists(j->server, j->node))
		return err_set(e, ERR_EXISTS,
			"a node \"%s\" exists already; join under another name, delete the node "
			"first, or make a token for it (continuo token create --node %s)",
			j->node, j->node);
	return 0;
}

static void on_join_body(void *arg, struct http_request *http, const char *data, size_t size,
	const struct err *e)
{
	struct join *j = arg;
	struct err why = ERR_INIT;
	CLEANUP(wire_join_done) struct wire_join message = {0};
	(void)http;
	if (e)
		why = *e;
	else if (!j->server->ca)
		(void)err_set(&why, ERR_UNSUPPORTED, "this server has no CA: nobody can join it");
	else if (wire_join_decode(data, size, &message, &why) == 0)
		(void)check_join(j, &message, &why);
	if (why.code) {
		join_fail(j, &why);
		return;
	}
	tokens_redeem(j->server, &message.token, j->csr, j->node, on_redeemed, j);
}

void agent_join(struct server *s, struct http_request *http)
{
	struct join *j = mem_new(struct join);
	j->server = s;
	j->http = http;
	http_request_collect(http, WIRE_JOIN_MAX, on_join_body, j);
}

/* What was so when the request began may have ended before its body came. Without a Node nobody has
 * the name: a session makes one first, or another machine does. */
static int check_renewal(const struct join *j, struct err *e)
{
	if (!j->server->ca)
		return err_set(e, ERR_UNSUPPORTED, "this server has no CA: nothing can be renewed");
	if (!node_exists(j->server, j->node))
		return err_set(e, ERR_CONFLICT, "there is no node \"%s\": open the feed first",
			j->node);
	return auth_check_issued(j->server, j->node, j->issued_ms, e);
}

static void on_renew_body(void *arg, struct http_request *http, const char *data, size_t size,
	const struct err *e)
{
	struct join *j = arg;
	struct err why = ERR_INIT;
	CLEANUP(json_done) json_t *body = NULL;
	(void)http;
	if (e)
		why = *e;
	else if (check_renewal(j, &why) == 0 && json_decode(data, size, &body, &why) == 0)
		j->csr = mem_dup_string(json_text(body, "", "csr"));
	if (why.code) {
		join_fail(j, &why);
		return;
	}
	answer(j);
}

void agent_renew(struct server *s, struct http_request *http, const struct user *u)
{
	struct join *j = mem_new(struct join);
	j->server = s;
	j->http = http;
	snprintf(j->node, sizeof(j->node), "%s", u->node);
	j->issued_ms = u->issued_ms;
	http_request_collect(http, WIRE_JOIN_MAX, on_renew_body, j);
}

/* ---- nodes whose certificate expired while they were away ---- */

#define REJOINS_PER_S 50
#define REJOINS_BURST 200

static bool take_rejoin(struct server *s)
{
	int64_t now_ms = loop_now_ms(s->loop);
	int64_t passed_ms = s->rejoins_at_ms ? now_ms - s->rejoins_at_ms : 3600000;
	int64_t room = REJOINS_BURST * 1000 - s->rejoins_milli;
	s->rejoins_at_ms = now_ms;
	s->rejoins_milli += passed_ms > room / REJOINS_PER_S ? room : passed_ms * REJOINS_PER_S;
	if (s->rejoins_milli < 1000)
		return false;
	s->rejoins_milli -= 1000;
	return true;
}

/* TLS has proven that the peer has the key and that our CA signed the certificate, not that it is
 * still valid. */
static int check_rejoin(struct server *s, const struct http_peer *peer, char node[static 128],
	struct err *e)
{
	if (!peer || pki_spiffe_node(s->domain, peer->spiffe_id, node, e) < 0)
		return err_set(e, ERR_UNAUTHORIZED,
			"only a machine with the certificate of a node of this domain can rejoin");
	int64_t age_ms = peer->not_after_ms ? steady_ms(s->clock) - peer->not_after_ms : 0;
	const char *why = NULL;
	char text[TIME_TEXT_SIZE], allowed[TIME_TEXT_SIZE];
	time_format_age(age_ms > 0 ? age_ms : 0, text);
	time_format_age(s->rejoin_age_ms, allowed);
	int64_t issued_ms = auth_issued_ms(peer);
	if (revocations_has(s->revocations, node, issued_ms))
		why = "it was revoked";
	else if (!node_exists(s, node))
		why = "it was deleted";
	else if (issued_ms < nodes_since_ms(s, node))
		why = "it was deleted, and another machine has its name";
	else if (age_ms > s->rejoin_age_ms)
		why = "its certificate expired too long ago";
	if (!why)
		return 0;
	return err_set(e, ERR_UNAUTHORIZED,
		"node %s cannot rejoin by its key, since %s (%s, allowed: %s); run `continuo token "
		"create --node %s` and start its agent with --token TOKEN",
		node, why, text, allowed, node);
}

void agent_rejoin(struct server *s, struct http_request *http)
{
	struct join *j = mem_new(struct join);
	struct err e = ERR_INIT;
	j->server = s;
	j->http = http;
	if (check_rejoin(s, http_request_peer(http), j->node, &e) == 0 && !take_rejoin(s))
		(void)err_set(&e, ERR_BUSY, "too many nodes rejoin at once; try again");
	if (e.code) {
		join_fail(j, &e);
		return;
	}
	s->counters.joins++;
	j->issued_ms = auth_issued_ms(http_request_peer(http));
	log_info(s->log, "node_rejoins", "node=%s address=%s", j->node,
		http_request_peer(http)->address);
	http_request_collect(http, WIRE_JOIN_MAX, on_renew_body, j);
}
