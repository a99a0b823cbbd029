#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/commit.h"
#include "server/read.h"
#include "server/write.h"
#include "server/write_steps.h"

/* DELETE on a collection: everything that matches, each by a commit of its own. */
struct collection {
	struct request *request;
	int64_t wall_ms;
	size_t pending, deleted;
	struct err first; /* what went wrong first */
};

struct item {
	struct collection *collection;
};

static enum commit_action change(void *arg, const struct object *old, json_t **tree, struct err *e)
{
	struct item *item = arg;
	if (!old)
		return COMMIT_NOTHING;
	struct request *r = item->collection->request;
	if (write_check_deletable(r->kind, old->name, e) < 0)
		return COMMIT_FAIL;
	r->base = old; /* for this call only */
	enum write_outcome outcome = write_mark_deleted(r, *tree, item->collection->wall_ms);
	r->base = NULL;
	return outcome == WRITE_DELETE ? COMMIT_DELETE
	       : outcome == WRITE_PUT  ? COMMIT_PUT
				       : COMMIT_NOTHING;
}

static void release(struct collection *c)
{
	if (--c->pending)
		return;
	if (c->first.code)
		request_fail(c->request, &c->first);
	else
		write_answer(c->request, NULL);
	free(c);
}

static void on_done(void *arg, const struct err *e)
{
	struct item *item = arg;
	struct collection *c = item->collection;
	free(item);
	if (e && !c->first.code)
		c->first = *e;
	release(c);
}

void write_delete_collection(struct request *r)
{
	struct err e = ERR_INIT;
	struct read_selectors selectors;
	char prefix[OBJECT_KEY_MAX];
	struct store_list list = {0};
	object_prefix(r->kind, r->namespace, prefix);
	if (read_selectors_parse(r, &selectors, &e) < 0) {
		request_fail(r, &e);
		return;
	}
	if (store_list(r->server->store, prefix, NULL, 0, 0, &list, &e) < 0) {
		read_selectors_done(&selectors);
		request_fail(r, &e);
		return;
	}
	struct collection *c = mem_new(struct collection);
	*c = (struct collection){
		.request = r, .wall_ms = loop_wall_ms(r->server->loop), .pending = 1};
	for (size_t i = 0; i < list.count; i++) {
		const struct object *o = list.objects[i];
		if (!read_selectors_match(&selectors, o))
			continue;
		struct item *item = mem_new(struct item);
		item->collection = c;
		c->pending++;
		commit_object(r->server, r->kind, o->namespace, o->name, change, on_done, item);
	}
	store_list_done(&list);
	read_selectors_done(&selectors);
	release(c);
}
