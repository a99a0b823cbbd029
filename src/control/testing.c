#include "control/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"

static int64_t wall_ms(void *context)
{
	return loop_wall_ms(context);
}

static void write_line(void *context, const char *line)
{
	(void)context;
	if (getenv("CONTROL_TEST_LOG"))
		print_message("# %s", line);
}

struct world *world_new(void)
{
	struct world *w = mem_new(struct world);
	w->loop = loop_uv_new(2);
	w->kinds = kind_registry_new();
	w->store = store_memory_new(w->loop, w->kinds);
	w->log = (struct log){.level = LOG_DEBUG,
		.role = "test",
		.wall_ms = wall_ms,
		.write = write_line,
		.context = w->loop};
	return w;
}

void world_start(struct world *w)
{
	const struct control_config config = {
		.loop = w->loop, .log = &w->log, .store = w->store, .kinds = w->kinds, .seed = 7};
	w->control = control_new(&config);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

void world_run_ms(struct world *w, int64_t ms)
{
	(void)loop_uv_run_until(w->loop, never, NULL, ms);
}

void world_free(struct world *w)
{
	store_watch_free(w->agent);
	control_free(w->control);
	world_run_ms(w, 20); /* a job may still be on its way */
	store_free(w->store);
	kind_registry_free(w->kinds);
	loop_uv_free(w->loop);
	free(w);
}

json_t *world_tree(const char *text)
{
	CLEANUP(mem_free_ptr) char *json = mem_dup_string(text);
	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	json_t *tree;
	struct err e = ERR_INIT;
	if (json_decode(json, strlen(json), &tree, &e) != 0)
		fail_msg("%s: %s", e.text, text);
	return tree;
}

/* ---- commits ---- */

static void on_answer(void *arg, const struct store_result *result)
{
	struct world *w = arg;
	w->answers++;
	w->answer = result->err ? result->err->code : ERR_OK;
}

static bool answered(void *arg)
{
	return ((struct world *)arg)->answers > 0;
}

static void put(struct world *w, const char *key, struct object *object)
{
	struct store_op op = {key, object};
	w->answers = 0;
	store_commit(w->store, NULL, 0, &op, 1, on_answer, w);
	world_until(w, answered, w);
	assert_int_equal(w->answer, ERR_OK);
}

static void put_tree(struct world *w, const struct kind *k, json_t *tree)
{
	struct object *o;
	struct err e = ERR_INIT;
	if (object_from_json(k, tree, &o, &e) != 0)
		fail_msg("%s", e.text);
	json_decref(tree);
	char key[OBJECT_KEY_MAX];
	object_key(o, key);
	put(w, key, o);
}

void world_create(struct world *w, const struct kind *k, const char *text)
{
	json_t *tree = world_tree(text);
	char version[128];
	kind_api_version(k, version);
	json_object_set_new(tree, "apiVersion", json_string(version));
	json_object_set_new(tree, "kind", json_string(k->name));
	unsigned char bytes[16];
	loop_random_bytes(w->loop, bytes, sizeof(bytes));
	model_default(k, tree);
	model_stamp_new(tree, bytes, loop_wall_ms(w->loop));
	put_tree(w, k, tree);
}

void world_namespace(struct world *w, const char *name)
{
	CLEANUP(mem_free_ptr)
	char *text =
		mem_format("{'metadata':{'name':'%s'},'spec':{'finalizers':['kubernetes']}}", name);
	world_create(w, &kind_namespace, text);
}

void world_node(struct world *w, const char *name, const char *zone, const char *cpu)
{
	CLEANUP(mem_free_ptr)
	char *text = mem_format(
		"{'metadata':{'name':'%s','labels':{'topology.kubernetes.io/zone':'%s'}},"
		"'status':{'allocatable':{'cpu':'%s','memory':'8Gi','pods':'110'},"
		"'conditions':[{'type':'Ready','status':'True'}]}}",
		name, zone, cpu);
	world_create(w, &kind_node, text);
}

struct object *world_get(struct world *w, const struct kind *k, const char *namespace,
	const char *name)
{
	char key[OBJECT_KEY_MAX];
	assert_int_equal(object_key_of(k, namespace, name, key, NULL), 0);
	return store_get(w->store, key);
}

json_t *world_get_tree(struct world *w, const struct kind *k, const char *namespace,
	const char *name)
{
	CLEANUP(object_done) struct object *o = world_get(w, k, namespace, name);
	return o ? object_tree(o) : NULL;
}

void world_patch(struct world *w, const struct kind *k, const char *namespace, const char *name,
	const char *patch)
{
	json_t *tree = world_get_tree(w, k, namespace, name);
	assert_non_null(tree);
	CLEANUP(json_done) json_t *change = world_tree(patch);
	model_merge_patch(tree, change);
	if (json_object_get(change, "spec"))
		json_object_set_new(json_object_get(tree, "metadata"), "generation",
			json_integer(json_int(tree, 1, "metadata", "generation") + 1));
	put_tree(w, k, tree);
}

void world_delete(struct world *w, const struct kind *k, const char *namespace, const char *name)
{
	char key[OBJECT_KEY_MAX];
	assert_int_equal(object_key_of(k, namespace, name, key, NULL), 0);
	put(w, key, NULL);
}

size_t world_count(struct world *w, const struct kind *k, const char *namespace)
{
	char prefix[OBJECT_KEY_MAX];
	struct store_list list;
	struct err e = ERR_INIT;
	object_prefix(k, namespace, prefix);
	assert_int_equal(store_list(w->store, prefix, NULL, 0, 0, &list, &e), 0);
	size_t count = list.count;
	store_list_done(&list);
	return count;
}

/* ---- waiting ---- */

void world_until(struct world *w, bool (*condition)(void *arg), void *arg)
{
	if (!loop_uv_run_until(w->loop, condition, arg, 60000))
		fail_msg("it did not happen within 60 s");
}

struct counting {
	struct world *world;
	const struct kind *kind;
	const char *namespace;
	size_t count;
};

static bool has_count(void *arg)
{
	const struct counting *c = arg;
	return world_count(c->world, c->kind, c->namespace) == c->count;
}

void world_until_count(struct world *w, const struct kind *k, const char *namespace, size_t count)
{
	struct counting c = {w, k, namespace, count};
	world_until(w, has_count, &c);
}

static bool has_ready(void *arg)
{
	const struct counting *c = arg;
	char prefix[OBJECT_KEY_MAX];
	struct store_list list;
	object_prefix(&kind_pod, c->namespace, prefix);
	assert_int_equal(store_list(c->world->store, prefix, NULL, 0, 0, &list, NULL), 0);
	size_t ready = 0;
	for (size_t i = 0; i < list.count; i++)
		ready += list.objects[i]->ready && !list.objects[i]->deletion_ms;
	bool all = ready == c->count && list.count == c->count;
	store_list_done(&list);
	return all;
}

void world_until_ready(struct world *w, const char *namespace, size_t count)
{
	struct counting c = {w, &kind_pod, namespace, count};
	world_until(w, has_ready, &c);
}

/* ---- the agent ---- */

static void count_failed(void *arg, const struct store_result *result)
{
	struct world *w = arg;
	w->failed_commits += result->err != NULL;
}

static void run_pod(struct world *w, const char *key, const struct object *pod)
{
	static unsigned address;
	json_t *tree = object_tree(pod);
	json_t *status = json_ensure_object(tree, "status");
	char ip[32];
	address++;
	snprintf(ip, sizeof(ip), "10.%u.%u.%u", address >> 16 & 255, address >> 8 & 255,
		address & 255);
	json_object_set_new(status, "phase", json_string("Running"));
	json_object_set_new(status, "podIP", json_string(ip));
	json_t *conditions = json_object_get(status, "conditions");
	step_condition(conditions, "Ready", true, "", "", loop_wall_ms(w->loop));
	struct object *o;
	assert_int_equal(object_from_json(&kind_pod, tree, &o, NULL), 0);
	json_decref(tree);
	struct store_op op = {key, o};
	struct store_compare same = {key, STORE_IF_REVISION, pod->revision};
	store_commit(w->store, &same, 1, &op, 1, count_failed, w);
}

static void on_pods(void *arg, const struct store_event *events, size_t count)
{
	struct world *w = arg;
	for (size_t i = 0; i < count; i++) {
		const struct object *pod = events[i].object;
		CLEANUP(object_done) struct object *now = store_get(w->store, events[i].key);
		if (events[i].type != STORE_PUT || !now || now->revision != pod->revision)
			continue;
		if (pod->deletion_ms && pod->node[0]) {
			struct store_op op = {events[i].key, NULL};
			store_commit(w->store, NULL, 0, &op, 1, count_failed, w);
		} else if (pod->node[0] && strcmp(pod->phase, "Pending") == 0) {
			run_pod(w, events[i].key, pod);
		}
	}
}

static void on_ended(void *arg, const struct err *why)
{
	(void)arg;
	fail_msg("%s", why->text);
}

void world_start_agent(struct world *w)
{
	static const struct store_watch_events events = {
		.on_events = on_pods, .on_ended = on_ended};
	assert_int_equal(store_watch(w->store, "core/pods/", 0, &events, w, &w->agent, NULL), 0);
}
