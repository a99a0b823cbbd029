#include "store/conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"

struct store_conformance *store_conformance_backend;

/* ---- tools ---- */

int store_conformance_setup(void **state)
{
	struct store_world *w = mem_new(struct store_world);
	w->backend = store_conformance_backend;
	w->backend->erase(w->backend);
	w->store = w->backend->open(w->backend);
	*state = w;
	return w->store ? 0 : -1;
}

int store_conformance_teardown(void **state)
{
	struct store_world *w = *state;
	store_free(w->store);
	free(w);
	return 0;
}

void store_world_reopen(struct store_world *w)
{
	store_free(w->store);
	w->store = w->backend->open(w->backend);
	assert_non_null(w->store);
}

struct object *store_sample(const struct kind *kind, const char *namespace, const char *name,
	const char *text)
{
	char api_version[128];
	kind_api_version(kind, api_version);
	json_t *tree = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:s}}", "apiVersion",
		api_version, "kind", kind->name, "metadata", "name", name, "namespace", namespace,
		"uid", "0b7c5bb8-5a4c-4e27-9a53-0d9f9f6a0001", "data", "v", text);
	struct object *o;
	struct err e = ERR_INIT;
	if (object_from_json(kind, tree, &o, &e) < 0)
		fail_msg("%s", e.text);
	json_decref(tree);
	return o;
}

bool store_sample_is(const struct object *o, const char *text)
{
	if (!o)
		return false;
	json_t *tree = object_tree(o);
	bool same = strcmp(json_text(tree, "", "data", "v"), text) == 0;
	json_decref(tree);
	return same;
}

static void key_of(const char *name, char ret_key[static OBJECT_KEY_MAX])
{
	assert_int_equal(object_key_of(&kind_configmap, "ns", name, ret_key, NULL), 0);
}

void store_outcome_set(void *outcome, const struct store_result *result)
{
	struct store_outcome *o = outcome;
	assert_false(o->done);
	o->done = true;
	o->revision = result->revision;
	o->failed = result->failed;
	if (result->err)
		o->err = *result->err;
}

struct waiting {
	struct store_outcome *outcomes;
	size_t count;
};

static bool all_done(void *arg)
{
	const struct waiting *w = arg;
	for (size_t i = 0; i < w->count; i++)
		if (!w->outcomes[i].done)
			return false;
	return true;
}

void store_wait_outcomes(struct store_world *w, struct store_outcome *outcomes, size_t count)
{
	struct waiting waiting = {outcomes, count};
	assert_true(w->backend->run(w->backend->loop, all_done, &waiting));
}

enum err_code store_do(struct store_world *w, const struct store_compare *compares,
	size_t compare_count, const struct store_op *ops, size_t op_count,
	struct store_outcome *ret_outcome)
{
	struct store_outcome outcome = {0};
	store_commit(w->store, compares, compare_count, ops, op_count, store_outcome_set, &outcome);
	assert_false(outcome.done); /* never from inside */
	store_wait_outcomes(w, &outcome, 1);
	if (ret_outcome)
		*ret_outcome = outcome;
	return outcome.err.code;
}

static struct store_op op_put(char key[static OBJECT_KEY_MAX], const char *name, const char *text)
{
	key_of(name, key);
	return (struct store_op){.key = key,
		.object = text ? store_sample(&kind_configmap, "ns", name, text) : NULL};
}

int64_t store_put(struct store_world *w, const char *name, const char *text)
{
	char key[OBJECT_KEY_MAX];
	struct store_op op = op_put(key, name, text);
	struct store_outcome outcome;
	if (store_do(w, NULL, 0, &op, 1, &outcome) != ERR_OK)
		fail_msg("%s", outcome.err.text);
	return outcome.revision;
}

static bool holds(struct store_world *w, const char *name, const char *text)
{
	char key[OBJECT_KEY_MAX];
	key_of(name, key);
	CLEANUP(object_done)
	struct object *o = store_get(w->store, key);
	return text ? store_sample_is(o, text) : o == NULL;
}

static struct store_list list(struct store_world *w, const char *prefix, const char *after,
	size_t limit, int64_t revision)
{
	struct store_list l;
	struct err e = ERR_INIT;
	if (store_list(w->store, prefix, after, limit, revision, &l, &e) < 0)
		fail_msg("%s", e.text);
	return l;
}

static enum err_code list_error(struct store_world *w, int64_t revision)
{
	struct store_list l;
	struct err e = ERR_INIT;
	if (store_list(w->store, "core/configmaps/", NULL, 0, revision, &l, &e) < 0)
		return e.code;
	store_list_done(&l);
	return ERR_OK;
}

/* ---- commits ---- */

void store_starts_empty(void **state)
{
	struct store_world *w = *state;
	assert_int_equal(strlen(store_epoch(w->store)), 36);
	assert_true(store_revision(w->store) >= 1);
	assert_true(holds(w, "a", NULL));
	struct store_list l = list(w, "", NULL, 0, 0);
	assert_int_equal(l.count, 0);
	assert_false(l.more);
	assert_int_equal(l.revision, store_revision(w->store));
	store_list_done(&l);
}

void store_creates_updates_deletes(void **state)
{
	struct store_world *w = *state;
	int64_t first = store_put(w, "a", "one");
	assert_int_equal(first, store_revision(w->store));
	assert_true(holds(w, "a", "one"));
	int64_t second = store_put(w, "a", "two");
	assert_true(second > first);
	char key[OBJECT_KEY_MAX];
	key_of("a", key);
	struct object *o = store_get(w->store, key);
	assert_int_equal(o->revision, second);
	assert_int_equal(o->create_revision, first);
	int64_t third = store_put(w, "a", NULL);
	assert_true(third > second);
	assert_true(holds(w, "a", NULL));
	assert_true(store_sample_is(o, "two")); /* our reference outlives it */
	object_unref(o);
	assert_int_equal(store_put(w, "a", NULL), third); /* nothing there: nothing changes */
	int64_t fourth = store_put(w, "a", "new");
	o = store_get(w->store, key);
	assert_int_equal(o->create_revision, fourth);
	object_unref(o);
}

static enum err_code try_compare(struct store_world *w, enum store_compare_type type,
	int64_t revision)
{
	char key[OBJECT_KEY_MAX], other[OBJECT_KEY_MAX];
	key_of("a", key);
	key_of("b", other);
	struct store_compare compares[] = {{.key = other, .type = STORE_IF_REVISION, .revision = 0},
		{.key = key, .type = type, .revision = revision}};
	struct store_outcome outcome;
	enum err_code code = store_do(w, compares, 2, NULL, 0, &outcome);
	assert_int_equal(outcome.failed, code == ERR_OK ? 0 : 1);
	if (code != ERR_OK)
		assert_non_null(strstr(outcome.err.text, key));
	return code;
}

void store_compares(void **state)
{
	struct store_world *w = *state;
	assert_int_equal(try_compare(w, STORE_IF_REVISION, 0), ERR_OK);
	assert_int_equal(try_compare(w, STORE_IF_REVISION, 7), ERR_NOT_FOUND);
	int64_t first = store_put(w, "a", "one"), second = store_put(w, "a", "two");
	assert_int_equal(try_compare(w, STORE_IF_REVISION, 0), ERR_EXISTS);
	assert_int_equal(try_compare(w, STORE_IF_REVISION, first), ERR_CONFLICT);
	assert_int_equal(try_compare(w, STORE_IF_REVISION, second), ERR_OK);
	assert_int_equal(try_compare(w, STORE_IF_CREATE_REVISION, first), ERR_OK);
	assert_int_equal(try_compare(w, STORE_IF_CREATE_REVISION, second), ERR_CONFLICT);
	store_put(w, "a", NULL);
	assert_int_equal(try_compare(w, STORE_IF_REVISION, second), ERR_NOT_FOUND);
	struct store_stats stats;
	store_stats(w->store, &stats);
	assert_int_equal(stats.conflicts, 2);
}

void store_refuses_bad_commits(void **state)
{
	struct store_world *w = *state;
	int64_t before = store_revision(w->store);
	char key[OBJECT_KEY_MAX], again[OBJECT_KEY_MAX], wrong[OBJECT_KEY_MAX];
	struct store_op twice[] = {op_put(key, "a", "1"), op_put(again, "a", "2")};
	assert_int_equal(store_do(w, NULL, 0, twice, 2, NULL), ERR_INVALID);
	struct store_op elsewhere = op_put(key, "a", "1");
	key_of("b", wrong);
	elsewhere.key = wrong;
	assert_int_equal(store_do(w, NULL, 0, &elsewhere, 1, NULL), ERR_INVALID);
	struct store_op many[STORE_OPS_MAX + 1];
	static char keys[STORE_OPS_MAX + 1][OBJECT_KEY_MAX];
	for (int i = 0; i <= STORE_OPS_MAX; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%d", i);
		many[i] = op_put(keys[i], name, "x");
	}
	assert_int_equal(store_do(w, NULL, 0, many, STORE_OPS_MAX + 1, NULL), ERR_TOO_LARGE);
	assert_int_equal(store_revision(w->store), before);
}

void store_commits_whole_or_not(void **state)
{
	struct store_world *w = *state;
	char a[OBJECT_KEY_MAX], b[OBJECT_KEY_MAX], fence[OBJECT_KEY_MAX];
	key_of("fence", fence);
	int64_t held = store_put(w, "fence", "me");
	struct store_compare compare = {fence, STORE_IF_CREATE_REVISION, held};
	struct store_op both[] = {op_put(a, "a", "1"), op_put(b, "b", "1")};
	struct store_outcome outcome;
	assert_int_equal(store_do(w, &compare, 1, both, 2, &outcome), ERR_OK);
	CLEANUP(object_done)
	struct object *oa = store_get(w->store, a);
	CLEANUP(object_done)
	struct object *ob = store_get(w->store, b);
	assert_int_equal(oa->revision, outcome.revision);
	assert_int_equal(ob->revision, outcome.revision);
	store_put(w, "fence", NULL);
	store_put(w, "fence", "another");
	struct store_op more[] = {op_put(a, "a", "2"), op_put(b, "b", "2")};
	assert_int_equal(store_do(w, &compare, 1, more, 2, NULL), ERR_CONFLICT);
	assert_true(holds(w, "a", "1") && holds(w, "b", "1"));
}

/* Several commits at once: each sees those before it, whether or not they share a batch. */
void store_judges_in_order(void **state)
{
	struct store_world *w = *state;
	char key[OBJECT_KEY_MAX];
	key_of("a", key);
	struct store_outcome outcomes[4] = {0};
	struct store_compare absent = {key, STORE_IF_REVISION, 0};
	for (int i = 0; i < 4; i++) {
		struct store_op op = op_put(key, "a", i == 2 ? NULL : "x");
		store_commit(w->store, i == 2 ? NULL : &absent, i == 2 ? 0 : 1, &op, 1,
			store_outcome_set, &outcomes[i]);
	}
	store_wait_outcomes(w, outcomes, 4);
	assert_int_equal(outcomes[0].err.code, ERR_OK);
	assert_int_equal(outcomes[1].err.code, ERR_EXISTS);
	assert_int_equal(outcomes[2].err.code, ERR_OK);
	assert_int_equal(outcomes[3].err.code, ERR_OK);
	assert_true(outcomes[0].revision < outcomes[2].revision);
	assert_true(outcomes[2].revision < outcomes[3].revision);
	CLEANUP(object_done)
	struct object *o = store_get(w->store, key);
	assert_int_equal(o->create_revision, outcomes[3].revision);
}

void store_groups_commits(void **state)
{
	struct store_world *w = *state;
	enum { COUNT = 200 };
	struct store_outcome outcomes[COUNT] = {0};
	for (int i = 0; i < COUNT; i++) {
		char name[16], key[OBJECT_KEY_MAX];
		snprintf(name, sizeof(name), "n%03d", i);
		struct store_op op = op_put(key, name, "x");
		store_commit(w->store, NULL, 0, &op, 1, store_outcome_set, &outcomes[i]);
	}
	store_wait_outcomes(w, outcomes, COUNT);
	for (int i = 1; i < COUNT; i++)
		assert_int_equal(outcomes[i].revision, outcomes[i - 1].revision + 1);
	struct store_stats stats;
	store_stats(w->store, &stats);
	assert_int_equal(stats.commits, COUNT);
	assert_int_equal(stats.objects, COUNT);
	assert_true(stats.batches < COUNT / 10);
}

/* Who keeps an object and commits it again does not change what readers hold. */
void store_copies_what_was_stored(void **state)
{
	struct store_world *w = *state;
	char key[OBJECT_KEY_MAX];
	struct store_op op = op_put(key, "a", "1");
	CLEANUP(object_done)
	struct object *mine = object_ref(op.object);
	store_do(w, NULL, 0, &op, 1, NULL);
	int64_t first = mine->revision;
	struct store_op again = {.key = key, .object = object_ref(mine)};
	struct store_outcome outcome;
	assert_int_equal(store_do(w, NULL, 0, &again, 1, &outcome), ERR_OK);
	assert_int_equal(mine->revision, first);
	CLEANUP(object_done)
	struct object *now = store_get(w->store, key);
	assert_int_equal(now->revision, outcome.revision);
	assert_true(store_sample_is(now, "1"));
}

/* ---- lists ---- */

static void put_many(struct store_world *w, const struct kind *kind, const char *namespace,
	const int *numbers, int count)
{
	struct store_outcome *outcomes = mem_alloc_array((size_t)count, sizeof(*outcomes));
	for (int i = 0; i < count; i++) {
		char name[16], key[OBJECT_KEY_MAX];
		snprintf(name, sizeof(name), "n%05d", numbers ? numbers[i] : i);
		assert_int_equal(object_key_of(kind, namespace, name, key, NULL), 0);
		struct store_op op = {key, store_sample(kind, namespace, name, name)};
		store_commit(w->store, NULL, 0, &op, 1, store_outcome_set, &outcomes[i]);
	}
	store_wait_outcomes(w, outcomes, (size_t)count);
	free(outcomes);
}

/* Numbers 0 to count - 1 in an order of their own. */
static int *shuffled(int count)
{
	int *numbers = mem_alloc_array((size_t)count, sizeof(int));
	struct rand r;
	rand_init(&r, 11);
	for (int i = 0; i < count; i++) {
		int j = (int)rand_below(&r, (uint64_t)i + 1);
		numbers[i] = numbers[j];
		numbers[j] = i;
	}
	return numbers;
}

void store_lists_in_order(void **state)
{
	struct store_world *w = *state;
	enum { COUNT = 3000 };
	CLEANUP(mem_free_ptr)
	int *numbers = shuffled(COUNT);
	put_many(w, &kind_configmap, "ns", numbers, COUNT);
	put_many(w, &kind_configmap, "ns2", NULL, 3);
	struct store_list l = list(w, "core/configmaps/ns/", NULL, 0, 0);
	assert_int_equal(l.count, COUNT);
	for (int i = 0; i < COUNT; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%05d", i);
		assert_string_equal(l.objects[i]->name, name);
	}
	store_list_done(&l);
	for (int i = 0; i < COUNT; i += 2) {
		char name[16];
		snprintf(name, sizeof(name), "n%05d", numbers[i]);
		store_put(w, name, NULL);
	}
	l = list(w, "core/configmaps/", NULL, 0, 0);
	assert_int_equal(l.count, COUNT / 2 + 3);
	for (size_t i = 1; i < COUNT / 2; i++)
		assert_true(strcmp(l.objects[i - 1]->name, l.objects[i]->name) < 0);
	assert_string_equal(l.objects[COUNT / 2]->namespace, "ns2");
	store_list_done(&l);
	l = list(w, "core/configmaps/none/", NULL, 0, 0);
	assert_int_equal(l.count, 0);
	store_list_done(&l);
}

void store_lists_pages(void **state)
{
	struct store_world *w = *state;
	enum { COUNT = 1000, PAGE = 300 };
	put_many(w, &kind_configmap, "ns", NULL, COUNT);
	put_many(w, &kind_configmap, "nz", NULL, 5);
	char after[OBJECT_KEY_MAX] = "";
	int64_t revision = 0;
	int seen = 0;
	for (bool more = true; more;) {
		struct store_list l =
			list(w, "core/configmaps/ns/", *after ? after : NULL, PAGE, revision);
		for (size_t i = 0; i < l.count; i++)
			assert_int_equal(atoi(l.objects[i]->name + 1), seen++);
		more = l.more;
		assert_int_equal(more, seen < COUNT);
		if (more && !revision)
			assert_int_equal(l.remaining, COUNT - seen);
		object_key(l.objects[l.count - 1], after);
		/* A change between the pages does not show: they are of one revision. */
		revision = l.revision;
		store_put(w, "n00999", seen == PAGE ? NULL : "x");
		store_list_done(&l);
	}
	assert_int_equal(seen, COUNT);
}

void store_lists_the_past(void **state)
{
	struct store_world *w = *state;
	int64_t r1 = store_put(w, "a", "1");
	int64_t r2 = store_put(w, "b", "1");
	int64_t r3 = store_put(w, "a", "2");
	int64_t r4 = store_put(w, "b", NULL);
	int64_t r5 = store_put(w, "a", "3");
	struct store_list l = list(w, "core/configmaps/", NULL, 0, r1);
	assert_int_equal(l.count, 1);
	assert_true(store_sample_is(l.objects[0], "1"));
	assert_int_equal(l.revision, r1);
	store_list_done(&l);
	l = list(w, "core/configmaps/", NULL, 0, r3);
	assert_int_equal(l.count, 2);
	assert_true(store_sample_is(l.objects[0], "2"));
	assert_int_equal(l.objects[1]->revision, r2);
	store_list_done(&l);
	l = list(w, "core/configmaps/", NULL, 0, r4);
	assert_int_equal(l.count, 1);
	assert_int_equal(l.objects[0]->revision, r3);
	store_list_done(&l);
	assert_int_equal(list_error(w, r5), ERR_OK);
	assert_int_equal(list_error(w, r5 + 1), ERR_INVALID);
}

void store_compacts(void **state)
{
	struct store_world *w = *state;
	int64_t r1 = store_put(w, "a", "1");
	int64_t r2 = store_put(w, "b", "1");
	store_put(w, "b", NULL);
	int64_t r4 = store_put(w, "a", "2");
	store_compact(w->store, r2);
	assert_int_equal(store_compacted(w->store), r2);
	assert_int_equal(list_error(w, r1), ERR_GONE);
	struct store_list l = list(w, "core/configmaps/", NULL, 0, r2);
	assert_int_equal(l.count, 2);
	assert_true(store_sample_is(l.objects[0], "1"));
	store_list_done(&l);
	store_compact(w->store, r4 + 100);
	assert_int_equal(store_compacted(w->store), r4);
	assert_int_equal(list_error(w, r2), ERR_GONE);
	assert_true(holds(w, "a", "2") && holds(w, "b", NULL));
}

void store_keeps_history(void **state)
{
	struct store_world *w = *state;
	enum { COUNT = 2500 };
	int64_t first = store_put(w, "first", "x");
	for (int round = 0; round < STORE_HISTORY / COUNT; round++)
		put_many(w, &kind_configmap, "ns", NULL, COUNT);
	assert_int_equal(list_error(w, first), ERR_OK); /* the state before 10,000 changes */
	store_put(w, "last", "x");
	assert_int_equal(list_error(w, first), ERR_GONE);
	assert_int_equal(list_error(w, first + 1), ERR_OK);
}

/* ---- watches ---- */

struct seen {
	struct store_watch *watch;
	VEC(int64_t) revisions;
	VEC(char) types; /* P, D */
	char names[400]; /* of the objects, one letter each */
	int64_t bookmark;
	int bookmarks;
	enum err_code ended;
	size_t free_at; /* frees the watch inside the event with this number */
	size_t wanted;
};

static void on_events(void *arg, const struct store_event *events, size_t count)
{
	struct seen *s = arg;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(s->ended, ERR_OK);
		assert_non_null(events[i].object);
		assert_true(s->revisions.count == 0 ||
			    s->revisions.items[s->revisions.count - 1] <= events[i].revision);
		vec_push(&s->revisions, events[i].revision);
		vec_push(&s->types, events[i].type == STORE_PUT ? 'P' : 'D');
		size_t used = strlen(s->names);
		if (used < sizeof(s->names) - 1)
			s->names[used] = events[i].object->name[0];
		if (events[i].type == STORE_DELETE)
			assert_ptr_equal(events[i].object, events[i].previous);
	}
	if (s->free_at && s->revisions.count >= s->free_at) {
		store_watch_free(s->watch);
		s->watch = NULL;
	}
}

static void on_bookmark(void *arg, int64_t revision)
{
	struct seen *s = arg;
	assert_true(s->revisions.count == 0 ||
		    s->revisions.items[s->revisions.count - 1] <= revision);
	s->bookmark = revision;
	s->bookmarks++;
}

static void on_ended(void *arg, const struct err *why)
{
	struct seen *s = arg;
	s->ended = why->code;
}

static const struct store_watch_events seen_events = {on_events, on_bookmark, on_ended};

static int watch(struct store_world *w, const char *prefix, int64_t from, struct seen *s)
{
	struct err e = ERR_INIT;
	return store_watch(w->store, prefix, from, &seen_events, s, &s->watch, &e);
}

static void seen_done(struct seen *s)
{
	store_watch_free(s->watch);
	vec_done(&s->revisions);
	vec_done(&s->types);
}

static bool seen_enough(void *arg)
{
	const struct seen *s = arg;
	return s->revisions.count >= s->wanted;
}

static void wait_seen(struct store_world *w, struct seen *s, size_t wanted)
{
	s->wanted = wanted;
	assert_true(w->backend->run(w->backend->loop, seen_enough, s));
}

static bool seen_bookmark(void *arg)
{
	const struct seen *s = arg;
	return s->bookmarks >= (int)s->wanted;
}

static void wait_bookmark(struct store_world *w, struct seen *s, size_t wanted)
{
	s->wanted = wanted;
	assert_true(w->backend->run(w->backend->loop, seen_bookmark, s));
}

void store_watches_from_now(void **state)
{
	struct store_world *w = *state;
	store_put(w, "old", "1");
	struct seen s = {0};
	assert_int_equal(watch(w, "core/configmaps/ns/", 0, &s), 0);
	int64_t r1 = store_put(w, "a", "1");
	put_many(w, &kind_configmap, "other", NULL, 3);
	int64_t r2 = store_put(w, "a", "2");
	int64_t r3 = store_put(w, "a", NULL);
	wait_seen(w, &s, 3);
	assert_int_equal(s.revisions.count, 3);
	assert_memory_equal(s.types.items, "PPD", 3);
	assert_int_equal(s.revisions.items[0], r1);
	assert_int_equal(s.revisions.items[1], r2);
	assert_int_equal(s.revisions.items[2], r3);
	seen_done(&s);
}

void store_watches_from_the_past(void **state)
{
	struct store_world *w = *state;
	enum { COUNT = 700 }; /* more than one delivery */
	int64_t from = store_put(w, "old", "1");
	put_many(w, &kind_configmap, "ns", NULL, COUNT);
	struct seen s = {0};
	assert_int_equal(watch(w, "", from, &s), 0);
	assert_int_equal(s.revisions.count, 0); /* never from inside */
	store_put(w, "z", "1");
	wait_seen(w, &s, COUNT + 1);
	for (size_t i = 0; i < COUNT + 1; i++)
		assert_int_equal(s.revisions.items[i], from + 1 + (int64_t)i);
	wait_bookmark(w, &s, 1);
	assert_in_range(s.bookmark, from + COUNT, from + COUNT + 1);
	seen_done(&s);
	struct seen future = {0};
	assert_int_equal(watch(w, "", store_revision(w->store) + 1, &future), -ERR_GONE);
}

/* Stopping anywhere and going on from the last revision gives each event once. */
void store_watches_resume(void **state)
{
	struct store_world *w = *state;
	int64_t at = store_put(w, "start", "1"), first = at;
	size_t total = 0;
	put_many(w, &kind_configmap, "ns", NULL, 300);
	while (total < 300) {
		struct seen s = {0};
		s.free_at = 1;
		assert_int_equal(watch(w, "core/configmaps/", at, &s), 0);
		wait_seen(w, &s, 1);
		for (size_t i = 0; i < s.revisions.count; i++)
			assert_int_equal(s.revisions.items[i], first + 1 + (int64_t)(total + i));
		total += s.revisions.count;
		at = s.revisions.items[s.revisions.count - 1];
		seen_done(&s);
	}
	assert_int_equal(total, 300);
}

void store_watches_pause(void **state)
{
	struct store_world *w = *state;
	struct seen s = {0}, other = {0};
	assert_int_equal(watch(w, "", 0, &s), 0);
	assert_int_equal(watch(w, "", 0, &other), 0);
	store_watch_pause(s.watch, true);
	put_many(w, &kind_configmap, "ns", NULL, 10);
	wait_seen(w, &other, 10);
	assert_int_equal(s.revisions.count, 0);
	store_watch_pause(s.watch, false);
	wait_seen(w, &s, 10);
	assert_int_equal(s.revisions.count, 10);
	seen_done(&s);
	seen_done(&other);
}

static bool seen_end(void *arg)
{
	return ((struct seen *)arg)->ended != ERR_OK;
}

void store_watches_fall_behind(void **state)
{
	struct store_world *w = *state;
	struct seen s = {0}, late = {0};
	int64_t from = store_put(w, "a", "1");
	assert_int_equal(watch(w, "", 0, &s), 0);
	store_watch_pause(s.watch, true);
	put_many(w, &kind_configmap, "ns", NULL, 10);
	store_compact(w->store, store_revision(w->store));
	store_watch_pause(s.watch, false);
	assert_true(w->backend->run(w->backend->loop, seen_end, &s));
	assert_int_equal(s.ended, ERR_GONE);
	assert_int_equal(s.revisions.count, 0);
	assert_int_equal(watch(w, "", from, &late), -ERR_GONE);
	seen_done(&s);
}

void store_watches_free_inside(void **state)
{
	struct store_world *w = *state;
	struct seen a = {.free_at = 1}, b = {0};
	assert_int_equal(watch(w, "", 0, &a), 0);
	assert_int_equal(watch(w, "", 0, &b), 0);
	store_put(w, "a", "1");
	store_put(w, "b", "1");
	wait_seen(w, &b, 2);
	assert_int_equal(a.revisions.count, 1);
	seen_done(&a);
	seen_done(&b);
	struct store_stats stats;
	store_stats(w->store, &stats);
	assert_int_equal(stats.watches, 0);
}

void store_watches_bookmark_idle(void **state)
{
	struct store_world *w = *state;
	struct seen s = {0};
	assert_int_equal(watch(w, "core/pods/", 0, &s), 0);
	wait_bookmark(w, &s, 1);
	int64_t r = store_put(w, "a", "1"); /* not under the prefix, but it moves the revision */
	wait_bookmark(w, &s, 2);
	assert_int_equal(s.bookmark, r);
	assert_int_equal(s.revisions.count, 0);
	seen_done(&s);
}

/* ---- the rest ---- */

void store_keeps_events_in_memory(void **state)
{
	struct store_world *w = *state;
	struct seen s = {0};
	assert_int_equal(watch(w, "core/events/", 0, &s), 0);
	int64_t before = store_revision(w->store);
	put_many(w, &kind_event, "ns", NULL, 5);
	assert_int_equal(store_revision(w->store), before + 5);
	wait_seen(w, &s, 5);
	seen_done(&s);
	struct store_list l = list(w, "core/events/", NULL, 0, 0);
	assert_int_equal(l.count, 5);
	store_list_done(&l);
	int64_t then = store_revision(w->store);
	if (!w->backend->persistent)
		return;
	store_world_reopen(w);
	l = list(w, "core/events/", NULL, 0, 0);
	assert_int_equal(l.count, 0);
	store_list_done(&l);
	/* Nobody may believe to have seen their deletion. */
	struct seen late = {0};
	assert_int_equal(watch(w, "core/events/ns/", then, &late), -ERR_GONE);
	assert_int_equal(watch(w, "core/configmaps/", then, &late), 0);
	seen_done(&late);
}

static void on_barrier(void *arg, const struct err *e)
{
	assert_null(e);
	*(bool *)arg = true;
}

static bool is_true(void *arg)
{
	return *(bool *)arg;
}

void store_passes_barriers(void **state)
{
	struct store_world *w = *state;
	bool passed = false;
	store_barrier(w->store, on_barrier, &passed);
	assert_false(passed);
	assert_true(w->backend->run(w->backend->loop, is_true, &passed));
}

static bool never(void *arg)
{
	(void)arg;
	return true;
}

void store_cancels_when_freed(void **state)
{
	struct store_world *w = *state;
	char key[OBJECT_KEY_MAX];
	struct store_outcome outcomes[2] = {0};
	struct store_op op = op_put(key, "a", "1");
	store_commit(w->store, NULL, 0, &op, 1, store_outcome_set, &outcomes[0]);
	w->backend->run(w->backend->loop, never, NULL); /* one turn: it may be with the disk */
	op = op_put(key, "a", "2");
	store_commit(w->store, NULL, 0, &op, 1, store_outcome_set, &outcomes[1]);
	store_free(take_ptr(w->store));
	assert_true(outcomes[0].done && outcomes[1].done);
	assert_int_equal(outcomes[1].err.code, ERR_CANCELLED);
}

void store_limits_the_queue(void **state)
{
	struct store_world *w = *state;
	enum { COUNT = STORE_QUEUE_MAX + 10 };
	struct store_outcome *outcomes = mem_alloc_array(COUNT, sizeof(*outcomes));
	char key[OBJECT_KEY_MAX];
	for (int i = 0; i < COUNT; i++) {
		struct store_op op = op_put(key, "a", "x");
		store_commit(w->store, NULL, 0, &op, 1, store_outcome_set, &outcomes[i]);
	}
	store_wait_outcomes(w, outcomes, COUNT);
	assert_int_equal(outcomes[STORE_QUEUE_MAX - 1].err.code, ERR_OK);
	assert_int_equal(outcomes[COUNT - 1].err.code, ERR_BUSY);
	free(outcomes);
	store_put(w, "a", "y");
}

void store_survives_reopening(void **state)
{
	struct store_world *w = *state;
	if (!w->backend->persistent)
		return; /* nothing to survive: a new memory store is a new epoch */
	char epoch[40];
	snprintf(epoch, sizeof(epoch), "%s", store_epoch(w->store));
	int64_t r1 = store_put(w, "a", "1");
	store_put(w, "b", "1");
	int64_t r3 = store_put(w, "a", "2");
	int64_t r4 = store_put(w, "b", NULL);
	store_world_reopen(w);
	assert_string_equal(store_epoch(w->store), epoch);
	/* Whatever was given after a copy was taken lies in the gap. */
	assert_true(store_was_at(w->store, r1) && store_was_at(w->store, r4));
	assert_false(store_was_at(w->store, r4 + 1));
	assert_false(store_was_at(w->store, store_revision(w->store) + 1));
	assert_true(store_was_at(w->store, store_revision(w->store)));
	assert_true(store_revision(w->store) > r4 + 1);
	assert_true(holds(w, "a", "2") && holds(w, "b", NULL));
	char key[OBJECT_KEY_MAX];
	key_of("a", key);
	CLEANUP(object_done)
	struct object *o = store_get(w->store, key);
	assert_int_equal(o->revision, r3);
	assert_int_equal(o->create_revision, r1);
	struct store_list l = list(w, "core/configmaps/", NULL, 0, r1 + 1);
	assert_int_equal(l.count, 2);
	store_list_done(&l);
	struct seen s = {0};
	assert_int_equal(watch(w, "", r1, &s), 0);
	wait_seen(w, &s, 3);
	assert_memory_equal(s.types.items, "PPD", 3);
	assert_string_equal(s.names, "bab");
	seen_done(&s);
}

void store_never_repeats_revisions(void **state)
{
	struct store_world *w = *state;
	if (!w->backend->persistent)
		return; /* a new memory store is a new epoch */
	int64_t last = store_put(w, "a", "1");
	for (int round = 0; round < 5; round++) {
		put_many(w, &kind_event, "ns", NULL, 7);
		if (round % 2)
			store_put(w, "a", "x");
		last = store_revision(w->store);
		store_world_reopen(w);
		assert_true(store_revision(w->store) >= last);
		int64_t next = store_put(w, "a", "y");
		assert_true(next > last);
	}
}

/* ---- closing ---- */

/* Asks anew when the first answer comes. */
struct asks_anew {
	struct store *store;
	const char *name;
	struct store_outcome first, second;
	int barriers;
};

static void on_cancelled(void *arg, const struct err *e)
{
	struct asks_anew *a = arg;
	assert_non_null(e);
	assert_int_equal(e->code, ERR_CANCELLED);
	a->barriers++;
}

static void ask(struct asks_anew *a, store_commit_cb *done, void *arg)
{
	char key[OBJECT_KEY_MAX];
	key_of(a->name, key);
	struct store_op op = {
		.key = key, .object = store_sample(&kind_configmap, "ns", a->name, "1")};
	store_commit(a->store, NULL, 0, &op, 1, done, arg);
}

static void on_first(void *arg, const struct store_result *result)
{
	struct asks_anew *a = arg;
	store_outcome_set(&a->first, result);
	ask(a, store_outcome_set, &a->second);
	store_barrier(a->store, on_cancelled, a);
}

void store_answers_what_is_asked_while_it_closes(void **state)
{
	struct store_world *w = *state;
	struct asks_anew asks[] = {
		{.store = w->store, .name = "a"}, {.store = w->store, .name = "b"}};
	ask(&asks[0], on_first, &asks[0]);
	ask(&asks[1], on_first, &asks[1]);
	store_world_reopen(w);
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		assert_int_equal(asks[i].first.err.code, ERR_CANCELLED);
		assert_true(asks[i].second.done);
		assert_int_equal(asks[i].second.err.code, ERR_CANCELLED);
		assert_int_equal(asks[i].barriers, 1);
	}
}
