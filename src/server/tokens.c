#include "server/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "codec/base64.h"
#include "server/commit.h"

#define TOKEN_NAMESPACE "kube-system"
#define TOKEN_PREFIX "bootstrap-token-"
#define TTL_DEFAULT_S (24 * 3600)
#define TTL_MAX_S (365 * 24 * 3600)
#define REPEAT_MS (10 * 60 * 1000)

static void set_data(json_t *secret, const char *key, const char *text)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	base64_encode(text, strlen(text), &b);
	json_object_set_new(json_ensure_object(secret, "data"), key, json_string(buf_text(&b)));
}

static char *get_data(const json_t *secret, const char *key)
{
	const char *text = json_text(secret, "", "data", key);
	struct buf b = BUF_INIT_LIMIT(4096);
	if (base64_decode(text, strlen(text), &b, NULL) < 0)
		buf_clear(&b);
	return buf_take(&b, NULL);
}

/* ---- create ---- */

struct creation {
	struct request *request;
	struct pki_token token;
	char node[128], expires[TIME_TEXT_SIZE];
};

static enum commit_action change_create(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct creation *c = arg;
	struct server *s = c->request->server;
	if (old) {
		(void)err_set(e, ERR_INTERNAL, "a token with this id exists already; ask again");
		return COMMIT_FAIL;
	}
	char name[64], hash[65];
	snprintf(name, sizeof(name), TOKEN_PREFIX "%s", c->token.id);
	pki_token_hash(c->token.secret, hash);
	*tree = json_pack("{s:s, s:s, s:{s:s, s:s}, s:s}", "apiVersion", "v1", "kind", "Secret",
		"metadata", "name", name, "namespace", TOKEN_NAMESPACE, "type",
		"bootstrap.kubernetes.io/token");
	set_data(*tree, "token-id", c->token.id);
	set_data(*tree, "token-secret-sha256", hash);
	set_data(*tree, "expiration", c->expires);
	set_data(*tree, "node", c->node);
	commit_stamp(s, &kind_secret, *tree);
	return COMMIT_PUT;
}

static void on_created(void *arg, const struct err *e)
{
	struct creation *c = arg;
	char text[PKI_TOKEN_MAX];
	if (e) {
		request_fail(c->request, e);
	} else {
		pki_token_format(&c->token, text);
		CLEANUP(json_done)
		json_t *answer = json_pack("{s:s, s:s, s:s, s:s}", "token", text, "id", c->token.id,
			"expires", c->expires, "node", c->node);
		log_info(c->request->server->log, "token_created", "id=%s node=%s", c->token.id,
			c->node);
		request_json(c->request, 201, answer);
	}
	explicit_bzero(c, sizeof(*c));
	free(c);
}

/* ---- the end of what expired ---- */

static enum commit_action change_sweep(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	(void)arg, (void)tree, (void)e;
	return old ? COMMIT_DELETE : COMMIT_NOTHING;
}

static void on_swept(void *arg, const struct err *e)
{
	(void)arg, (void)e; /* the next time, then */
}

static bool has_expired(const struct server *s, const json_t *tree)
{
	CLEANUP(mem_free_ptr) char *expires = get_data(tree, "expiration");
	int64_t expires_ms;
	return time_parse(expires, &expires_ms, NULL) == 0 && expires_ms <= steady_ms(s->clock);
}

static void sweep(struct server *s)
{
	char prefix[OBJECT_KEY_MAX];
	struct store_list list;
	struct err e;
	object_prefix(&kind_secret, TOKEN_NAMESPACE, prefix);
	if (store_list(s->store, prefix, NULL, 0, 0, &list, &e) < 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		if (!str_starts(list.objects[i]->name, TOKEN_PREFIX))
			continue;
		CLEANUP(json_done) json_t *tree = object_tree(list.objects[i]);
		if (has_expired(s, tree))
			commit_object(s, &kind_secret, TOKEN_NAMESPACE, list.objects[i]->name,
				change_sweep, on_swept, NULL);
	}
	store_list_done(&list);
}

static void create(struct request *r, const json_t *body)
{
	struct err e = ERR_INIT;
	char pin[65];
	int64_t ttl_s = json_int(body, TTL_DEFAULT_S, "ttl_s");
	const char *node = json_text(body, "", "node");
	if (!r->server->ca)
		(void)err_set(&e, ERR_UNSUPPORTED, "this server has no CA: nobody can join it");
	else if (ttl_s < 1 || ttl_s > TTL_MAX_S)
		(void)err_set(&e, ERR_INVALID, "ttl_s must be between 1 and %d", TTL_MAX_S);
	else if (strlen(node) > 63)
		(void)err_set(&e, ERR_INVALID, "node: must be no more than 63 characters");
	else if (pki_pin(r->server->ca->certificate_pem, pin, &e) < 0)
		(void)err_prefix(&e, "the CA's pin");
	if (e.code) {
		request_fail(r, &e);
		return;
	}
	struct creation *c = mem_new(struct creation);
	unsigned char random[24];
	sweep(r->server);
	c->request = r;
	(void)str_copy(c->node, sizeof(c->node), node);
	time_format(steady_ms(r->server->clock) + ttl_s * 1000, c->expires);
	loop_random_bytes(r->server->loop, random, sizeof(random));
	pki_token_new(random, pin, &c->token);
	explicit_bzero(random, sizeof(random));
	char name[64];
	snprintf(name, sizeof(name), TOKEN_PREFIX "%s", c->token.id);
	commit_object(r->server, &kind_secret, TOKEN_NAMESPACE, name, change_create, on_created, c);
}

static void on_create_body(void *arg, struct http_request *http, const char *data, size_t size,
	const struct err *e)
{
	struct request *r = arg;
	struct err why = ERR_INIT;
	CLEANUP(json_done) json_t *body = NULL;
	(void)http;
	if (e)
		request_fail(r, e);
	else if (size && json_decode(data, size, &body, &why) < 0)
		request_fail(r, &why);
	else
		create(r, body);
}

void tokens_create(struct request *r)
{
	http_request_collect(r->http, 4096, on_create_body, r);
}

/* ---- list, delete ---- */

void tokens_list(struct request *r)
{
	char prefix[OBJECT_KEY_MAX];
	object_prefix(&kind_secret, TOKEN_NAMESPACE, prefix);
	struct store_list list;
	struct err e;
	if (store_list(r->server->store, prefix, NULL, 0, 0, &list, &e) < 0) {
		request_fail(r, &e);
		return;
	}
	CLEANUP(json_done) json_t *answer = json_array();
	for (size_t i = 0; i < list.count; i++) {
		if (!str_starts(list.objects[i]->name, TOKEN_PREFIX))
			continue;
		CLEANUP(json_done) json_t *tree = object_tree(list.objects[i]);
		CLEANUP(mem_free_ptr) char *expires = get_data(tree, "expiration");
		CLEANUP(mem_free_ptr) char *node = get_data(tree, "node");
		CLEANUP(mem_free_ptr) char *used_by = get_data(tree, "used-by");
		if (*used_by)
			continue;
		json_array_append_new(answer, json_pack("{s:s, s:s, s:s}", "id",
						      list.objects[i]->name + strlen(TOKEN_PREFIX),
						      "expires", expires, "node", node));
	}
	store_list_done(&list);
	request_json(r, 200, answer);
}

static enum commit_action change_delete(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct request *r = arg;
	(void)tree;
	if (old)
		return COMMIT_DELETE;
	(void)err_set(e, ERR_NOT_FOUND, "there is no token \"%s\"; it may have been used", r->name);
	return COMMIT_FAIL;
}

static void on_deleted(void *arg, const struct err *e)
{
	struct request *r = arg;
	CLEANUP(json_done) json_t *answer = json_pack("{s:s}", "id", r->name);
	if (e)
		request_fail(r, e);
	else
		request_json(r, 200, answer);
}

void tokens_delete(struct request *r)
{
	char name[300];
	snprintf(name, sizeof(name), TOKEN_PREFIX "%s", r->name);
	commit_object(r->server, &kind_secret, TOKEN_NAMESPACE, name, change_delete, on_deleted, r);
}

/* ---- redeem ---- */

struct redemption {
	struct server *server;
	struct pki_token token;
	char node[128], used_by[65];
	void (*done)(void *arg, const char *node, const struct err *e);
	void *arg;
};

/* tree: of its Secret; null: there is none. used_by: the hash of the csr that comes with it. */
static int check(struct server *s, const struct pki_token *token, const char *used_by,
	const json_t *tree, char ret_node[static 128], struct err *e)
{
	if (!tree)
		return err_set(e, ERR_UNAUTHORIZED,
			"the join token %s is not known: it was used, deleted or never made; make "
			"a new one with `continuo token create`",
			token->id);
	char hash[65];
	int64_t expires_ms = 0;
	pki_token_hash(token->secret, hash);
	CLEANUP(mem_free_ptr) char *kept = get_data(tree, "token-secret-sha256");
	CLEANUP(mem_free_ptr) char *expires = get_data(tree, "expiration");
	CLEANUP(mem_free_ptr) char *node = get_data(tree, "node");
	CLEANUP(mem_free_ptr) char *first = get_data(tree, "used-by");
	if (!pki_equal(hash, kept))
		return err_set(e, ERR_UNAUTHORIZED, "the join token %s is forged or mistyped",
			token->id);
	if (*first && !pki_equal(first, used_by))
		return err_set(e, ERR_UNAUTHORIZED,
			"the join token %s was used already; make a new one with `continuo token "
			"create`",
			token->id);
	if (time_parse(expires, &expires_ms, NULL) < 0 || expires_ms <= steady_ms(s->clock))
		return err_set(e, ERR_UNAUTHORIZED,
			"the join token %s expired at %s; make a new one with `continuo token "
			"create`",
			token->id, expires);
	snprintf(ret_node, 128, "%.120s", node);
	return 0;
}

int tokens_check(struct server *s, const struct pki_token *token, const char *csr,
	char ret_node[static 128], struct err *e)
{
	char name[64], key[OBJECT_KEY_MAX], used_by[65];
	pki_token_hash(csr, used_by);
	snprintf(name, sizeof(name), TOKEN_PREFIX "%s", token->id);
	CLEANUP(object_done)
	struct object *o = object_key_of(&kind_secret, TOKEN_NAMESPACE, name, key, NULL) == 0
				   ? store_get(s->store, key)
				   : NULL;
	CLEANUP(json_done) json_t *tree = o ? object_tree(o) : NULL;
	return check(s, token, used_by, tree, ret_node, e);
}

/* Writes into the Secret who has used it; of two that come at once, one loses. */
static enum commit_action change_redeem(void *arg, const struct object *old, json_t **tree,
	struct err *e)
{
	struct redemption *x = arg;
	char bound[128];
	if (check(x->server, &x->token, x->used_by, old ? *tree : NULL, bound, e) < 0)
		return COMMIT_FAIL;
	if (*bound)
		memcpy(x->node, bound, sizeof(bound));
	CLEANUP(mem_free_ptr) char *first = get_data(*tree, "used-by");
	if (*first)
		return COMMIT_NOTHING;
	CLEANUP(mem_free_ptr) char *expires = get_data(*tree, "expiration");
	int64_t end_ms = steady_ms(x->server->clock) + REPEAT_MS, expires_ms = end_ms;
	char text[TIME_TEXT_SIZE];
	(void)!time_parse(expires, &expires_ms, NULL);
	time_format(end_ms < expires_ms ? end_ms : expires_ms, text);
	set_data(*tree, "expiration", text);
	set_data(*tree, "used-by", x->used_by);
	set_data(*tree, "node", x->node);
	return COMMIT_PUT;
}

static void on_redeemed(void *arg, const struct err *e)
{
	struct redemption *x = arg;
	x->done(x->arg, x->node, e);
	explicit_bzero(x, sizeof(*x));
	free(x);
}

void tokens_redeem(struct server *s, const struct pki_token *token, const char *csr,
	const char *name, void (*done)(void *arg, const char *node, const struct err *e), void *arg)
{
	struct redemption *x = mem_new(struct redemption);
	*x = (struct redemption){.server = s, .token = *token, .done = done, .arg = arg};
	char secret[64];
	pki_token_hash(csr, x->used_by);
	snprintf(x->node, sizeof(x->node), "%.120s", name);
	snprintf(secret, sizeof(secret), TOKEN_PREFIX "%s", token->id);
	sweep(s);
	commit_object(s, &kind_secret, TOKEN_NAMESPACE, secret, change_redeem, on_redeemed, x);
}
