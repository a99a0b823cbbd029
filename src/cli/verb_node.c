#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/leave.h"

static int revoke(struct client *c, const char *node, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	buf_append_string(&path, "/continuo/v1/nodes/");
	client_escape(&path, node);
	buf_append_string(&path, "/revoke");
	int r = client_request(c, "POST", path.data, NULL, NULL, NULL, e);
	if (r == 0)
		printf("node \"%s\" revoked: its certificate is worth nothing from now on\n", node);
	return r;
}

static int patch_node(struct client *c, const char *node, json_t *patch, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(mem_free_ptr) char *body = json_encode_string(patch);
	client_path(&kind_node, NULL, node, &path);
	return client_request(c, "PATCH", path.data, "application/merge-patch+json", body, NULL, e);
}

/* "key=value" sets, "key-" removes. */
static int label(struct client *c, const cli_words *words, struct err *e)
{
	json_t *labels = json_object();
	CLEANUP(json_done) json_t *patch = json_pack("{s:{s:o}}", "metadata", "labels", labels);
	for (size_t i = 2; i < words->count; i++) {
		const char *word = words->items[i], *equals = strchr(word, '=');
		size_t size = strlen(word);
		CLEANUP(mem_free_ptr)
		char *key = mem_dup_bytes(word, equals ? (size_t)(equals - word) : size - 1);
		if (equals)
			json_object_set_new(labels, key, json_string(equals + 1));
		else if (size > 1 && word[size - 1] == '-')
			json_object_set_new(labels, key, json_null());
		else
			return err_set(e, ERR_USAGE,
				"\"%.80s\" is neither KEY=VALUE nor KEY- (which removes)", word);
	}
	int r = patch_node(c, words->items[1], patch, e);
	if (r == 0)
		printf("node/%s labeled\n", words->items[1]);
	return r;
}

static int cordon(struct client *c, const char *node, bool on, struct err *e)
{
	CLEANUP(json_done)
	json_t *patch =
		json_pack("{s:{s:o}}", "spec", "unschedulable", on ? json_true() : json_null());
	int r = patch_node(c, node, patch, e);
	if (r == 0)
		printf("node/%s %s\n", node, on ? "cordoned" : "uncordoned");
	return r;
}

/* Before the node takes pods: a container that is still marked would stay beside what takes its
 * pod's place. Who may not look at pods has not marked any. */
static int uncordon(struct client *c, const char *node, struct err *e)
{
	struct err why = ERR_INIT;
	int r = leave_withdraw(c, node, &why);
	if (r < 0 && r != -ERR_FORBIDDEN) {
		*e = why;
		return r;
	}
	if (r < 0)
		fprintf(stderr,
			"Warning: whether a `continuo leave` of node %s was given up could not be "
			"looked at: %s\n",
			node, why.text);
	return cordon(c, node, false, e);
}

static int run(struct client *c, const cli_words *words, struct err *e)
{
	const char *what = words->items[0];
	int r = words->count > 1 ? client_check_name(words->items[1], "node", e) : 0;
	if (r < 0)
		return r;
	if (str_equal(what, "revoke") && words->count == 2)
		return revoke(c, words->items[1], e);
	if (str_equal(what, "label") && words->count > 2)
		return label(c, words, e);
	if (str_equal(what, "cordon") && words->count == 2)
		return cordon(c, words->items[1], true, e);
	if (str_equal(what, "uncordon") && words->count == 2)
		return uncordon(c, words->items[1], e);
	return err_set(e, ERR_USAGE,
		"continuo node list, label NODE KEY=VALUE..., cordon NODE, uncordon NODE or revoke "
		"NODE");
}

int verb_node(int argc, char **argv)
{
	struct cli_common common = {0};
	const struct cli_usage usage = {.synopsis = "node list | label NODE KEY=VALUE... | cordon "
						    "NODE | uncordon NODE | revoke NODE",
		.text = "list: as `continuo get nodes -o wide`. label: KEY=VALUE sets, KEY- "
			"removes. cordon: no "
			"new pods.\n"
			"uncordon: takes pods again; a `continuo leave` that ended halfway is "
			"given up.\n"
			"revoke: the node's certificate is refused from now on and its session "
			"ends.\n",
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	CLEANUP(client_done) struct client *c = NULL;
	struct err e = ERR_INIT;
	if (argc > 1 && str_equal(argv[1], "list")) {
		VEC(char *) get = {0};
		for (const char *const *word =
				(const char *const[]){"get", "nodes", "-o", "wide", NULL};
			*word; word++)
			vec_push(&get, (char *)(uintptr_t)*word);
		for (int i = 2; i < argc; i++)
			vec_push(&get, argv[i]);
		int status = verb_get((int)get.count, get.items);
		vec_done(&get);
		return status;
	}
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && args.words.count == 0)
		r = err_set(&e, ERR_USAGE,
			"say what to do with which node (see continuo node --help)");
	if (r == 0)
		r = client_new(&common, &c, &e);
	if (r == 0)
		r = run(c, &args.words, &e);
	return r < 0 ? cli_fail(&e) : 0;
}
