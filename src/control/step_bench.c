#include "control/step_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

void bench_clear(struct bench *b)
{
	VEC_EACH (&b->out.writes, struct control_write, w)
		json_done(&w->tree);
	vec_done(&b->out.writes);
	vec_done(&b->out.events);
	arena_done(&b->arena);
	view_end_step(b->view);
	b->out = (struct control_out){.arena = &b->arena, .rand = &b->rand};
}

int bench_setup(void **state)
{
	struct bench *b = mem_new(struct bench);
	b->kinds = kind_registry_new();
	b->view = view_new(b->kinds);
	rand_init(&b->rand, 1);
	bench_clear(b);
	*state = b;
	return 0;
}

int bench_teardown(void **state)
{
	struct bench *b = *state;
	bench_clear(b);
	view_free(b->view);
	kind_registry_free(b->kinds);
	free(b);
	return 0;
}

/* JSON with ' for ". */
void bench_put(struct bench *b, const struct kind *k, const char *text)
{
	CLEANUP(mem_free_ptr) char *json = mem_dup_string(text);
	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	json_t *tree;
	struct err e = ERR_INIT;
	if (json_decode(json, strlen(json), &tree, &e) != 0)
		fail_msg("%s: %s", e.text, text);
	model_default(k, tree);
	struct object *o, *previous = NULL;
	if (object_from_json(k, tree, &o, &e) != 0)
		fail_msg("%s", e.text);
	json_decref(tree);
	b->revision++;
	object_stamp(o, b->revision, b->revision);
	char key[OBJECT_KEY_MAX];
	object_key(o, key);
	view_apply(b->view, key, o, b->revision, &previous);
	object_unref(previous);
	object_unref(o);
}

void bench_drop(struct bench *b, const char *key)
{
	struct object *previous = NULL;
	b->revision++;
	view_apply(b->view, key, NULL, b->revision, &previous);
	view_delivered(b->view, key, b->revision);
	object_unref(previous);
}

int bench_run(struct bench *b, const struct reconciler *r, const char *key)
{
	struct err e = ERR_INIT;
	bench_clear(b);
	return r->step(b->view, key, NOW_MS, &b->out, &e);
}

size_t bench_count_writes(const struct bench *b, int verb, const struct kind *k)
{
	size_t count = 0;
	VEC_EACH (&b->out.writes, struct control_write, w)
		count += (int)w->verb == verb && w->kind == k;
	return count;
}

const struct control_write *bench_only_write(const struct bench *b, int verb, const struct kind *k)
{
	const struct control_write *found = NULL;
	VEC_EACH (&b->out.writes, struct control_write, w) {
		if ((int)w->verb != verb || w->kind != k)
			continue;
		assert_null(found);
		found = w;
	}
	assert_non_null(found);
	return found;
}
