#include "server/commit.h"

#include <stdlib.h>

#include "base/mem.h"

#define ATTEMPTS_MAX 20

struct commit {
	struct server *server;
	const struct kind *kind;
	char key[OBJECT_KEY_MAX];
	commit_change *change;
	commit_done *done;
	void *arg;
	int attempts;
};

static void attempt(struct commit *c);

static void finish(struct commit *c, const struct err *e)
{
	if (c->done)
		c->done(c->arg, e);
	free(c);
}

static void on_committed(void *arg, const struct store_result *result)
{
	struct commit *c = arg;
	const struct err *e = result->err;
	bool raced =
		e && (e->code == ERR_CONFLICT || e->code == ERR_EXISTS || e->code == ERR_NOT_FOUND);
	if (raced && c->attempts < ATTEMPTS_MAX)
		attempt(c);
	else
		finish(c, e);
}

static void attempt(struct commit *c)
{
	struct err e = ERR_INIT;
	CLEANUP(object_done) struct object *old = store_get(c->server->store, c->key);
	CLEANUP(json_done) json_t *tree = old ? object_tree(old) : NULL;
	c->attempts++;
	enum commit_action action = c->change(c->arg, old, &tree, &e);
	struct store_op op = {.key = c->key};
	if (action == COMMIT_PUT && object_from_json(c->kind, tree, &op.object, &e) < 0)
		action = COMMIT_FAIL;
	if (action == COMMIT_FAIL || action == COMMIT_NOTHING) {
		finish(c, action == COMMIT_FAIL ? &e : NULL);
		return;
	}
	struct store_compare compare = {
		.key = c->key, .type = STORE_IF_REVISION, .revision = old ? old->revision : 0};
	store_commit(c->server->store, &compare, 1, &op, 1, on_committed, c);
}

void commit_object(struct server *s, const struct kind *k, const char *namespace, const char *name,
	commit_change *change, commit_done *done, void *arg)
{
	struct commit *c = mem_new(struct commit);
	*c = (struct commit){.server = s, .kind = k, .change = change, .done = done, .arg = arg};
	struct err e = ERR_INIT;
	if (object_key_of(k, namespace, name, c->key, &e) < 0)
		finish(c, &e);
	else
		attempt(c);
}

void commit_stamp(struct server *s, const struct kind *k, json_t *tree)
{
	unsigned char uid[16];
	loop_random_bytes(s->loop, uid, sizeof(uid));
	model_stamp_new(tree, uid, loop_wall_ms(s->loop));
	model_default(k, tree);
}
