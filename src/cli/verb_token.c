#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/client.h"
#include "cli/table.h"

struct token {
	const char *ttl, *node;
};

static int create(struct client *c, const struct token *t, struct err *e)
{
	CLEANUP(json_done) json_t *body = json_object();
	CLEANUP(json_done) json_t *answer = NULL;
	if (t->ttl) {
		int64_t ttl_s = 0;
		int r = time_parse_duration(t->ttl, &ttl_s, e);
		if (r == 0 && ttl_s == 0)
			r = err_set(e, ERR_USAGE, "--ttl must be longer than nothing");
		if (r < 0)
			return r;
		json_object_set_new(body, "ttl_s", json_integer(ttl_s));
	}
	if (t->node)
		json_object_set_new(body, "node", json_string(t->node));
	CLEANUP(mem_free_ptr) char *text = json_encode_string(body);
	int r = client_request(c, "POST", "/continuo/v1/tokens", "application/json", text, &answer,
		e);
	if (r < 0)
		return r;
	puts(json_text(answer, "", "token"));
	return 0;
}

static int list(struct client *c, struct err *e)
{
	CLEANUP(json_done) json_t *answer = NULL;
	CLEANUP(table_done) struct table table = {.columns = 3};
	int r = client_get(c, "/continuo/v1/tokens", NULL, &answer, e);
	if (r < 0)
		return r;
	table_add(&table, "ID");
	table_add(&table, "EXPIRES");
	table_add(&table, "NODE");
	size_t at;
	json_t *token;
	json_array_foreach (answer, at, token) {
		const char *node = json_text(token, "", "node");
		table_add(&table, json_text(token, "", "id"));
		table_add(&table, json_text(token, NULL, "expires"));
		table_add(&table, *node ? node : "<any>");
	}
	table_print(&table, true, stdout);
	return 0;
}

static int delete_token(struct client *c, const char *id, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	buf_append_string(&path, "/continuo/v1/tokens/");
	client_escape(&path, id);
	int r = client_request(c, "DELETE", path.data, NULL, NULL, NULL, e);
	if (r == 0)
		printf("token \"%s\" deleted\n", id);
	return r;
}

static int run(struct client *c, const cli_words *words, const struct token *t, struct err *e)
{
	const char *what = words->count ? words->items[0] : "";
	if (str_equal(what, "create") && words->count == 1)
		return create(c, t, e);
	if (str_equal(what, "list") && words->count == 1)
		return list(c, e);
	if (str_equal(what, "delete") && words->count == 2)
		return delete_token(c, words->items[1], e);
	return err_set(e, ERR_USAGE, "continuo token create, list or delete ID");
}

int verb_token(int argc, char **argv)
{
	struct token t = {0};
	struct cli_common common = {0};
	const struct cli_option options[] = {
		{0, "ttl", CLI_TEXT, &t.ttl, "DURATION",
			"create: how long it is good; 30m, 24h (default), 7d"},
		{0, "node", CLI_TEXT, &t.node, "NAME",
			"create: only a node of this name may join with it"},
	};
	const struct cli_usage usage = {
		.synopsis = "token create [--ttl T] [--node NAME] | list | delete ID",
		.text = "A join token lets one machine join the domain, once. It names the CA, so "
			"that the "
			"machine joins\n"
			"no other server.\n\n"
			"  continuo token create --node gateway-7\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	CLEANUP(client_done) struct client *c = NULL;
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && args.words.count == 0)
		r = err_set(&e, ERR_USAGE, "continuo token create, list or delete ID");
	if (r == 0)
		r = client_new(&common, &c, &e);
	if (r == 0)
		r = run(c, &args.words, &t, &e);
	return r < 0 ? cli_fail(&e) : 0;
}
