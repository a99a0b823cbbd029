/* Pods over an engine of this test's, which answers when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "driver/container.h"
#include "net/test_loop.h"

#define UID "u1"
#define PID 42
#define BACKOFF_MS 1000

struct call {
	void (*done)(void *arg, int pid, const struct err *e);
	void *arg;
};

struct world {
	struct container_engine base;
	struct loop *l;
	struct log log;
	struct driver_config config;
	struct driver *driver;
	struct container_events events;
	struct call run; /* the one that has no answer yet */
	char run_id[CONTAINER_ID_SIZE], killed_id[CONTAINER_ID_SIZE];
	char *spec, *record;
	struct err sandbox, update; /* what these end with */
	int runs, updates, revision;
	bool ready, holds_pulls, told_unusable;
	void (*pulled)(void *arg, const struct image_ready *image, const struct err *e);
	void *pull;
};

static struct world *world_of(struct container_engine *x)
{
	return CONTAINER_OF(x, struct world, base);
}

/* ---- the engine ---- */

struct answer {
	void (*started)(void *arg, const char *netns_path, const struct err *e);
	container_done *done;
	void *arg;
	struct err e;
};

static void answer(void *arg)
{
	struct answer *a = arg;
	const struct err *e = a->e.code ? &a->e : NULL;
	if (a->started)
		a->started(a->arg, "", e);
	else if (a->done)
		a->done(a->arg, e);
	free(a);
}

static void answer_later(struct world *w, const struct answer *what)
{
	struct answer *a = mem_new(struct answer);
	*a = *what;
	loop_defer(w->l, answer, a);
}

static void set_events(struct container_engine *x, const struct container_events *events)
{
	world_of(x)->events = *events;
}

static void sandbox_start(struct container_engine *x, const struct container_pod *pod,
	void (*done)(void *arg, const char *netns_path, const struct err *e), void *arg)
{
	(void)pod;
	struct world *w = world_of(x);
	answer_later(w, &(struct answer){.started = done, .arg = arg, .e = w->sandbox});
}

static void end(struct container_engine *x, const char *uid, container_done *done, void *arg)
{
	(void)uid;
	answer_later(world_of(x), &(struct answer){.done = done, .arg = arg});
}

static void run(struct container_engine *x, const struct container_spec *spec,
	void (*done)(void *arg, int pid, const struct err *e), void *arg)
{
	struct world *w = world_of(x);
	assert_null(w->run.done);
	w->run = (struct call){done, arg};
	w->runs++;
	memcpy(w->run_id, spec->id, sizeof(w->run_id));
}

static int send_signal(struct container_engine *x, const char *id, int number, struct err *e)
{
	(void)number;
	(void)e;
	return str_copy(world_of(x)->killed_id, CONTAINER_ID_SIZE, id) ? 0 : -1;
}

static int list(struct container_engine *x,
	void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record),
	void (*each_container)(void *arg, const struct container_status *status), void *arg,
	struct err *e)
{
	struct world *w = world_of(x);
	const struct container_status status = {
		.id = w->run_id, .pod_uid = UID, .running = true, .pid = PID};
	(void)e;
	if (!w->record)
		return 0;
	each_pod(arg, UID, w->spec, w->record);
	each_container(arg, &status);
	return 0;
}

static int keep(struct container_engine *x, const char *uid, const char *spec, const char *record,
	struct err *e)
{
	struct world *w = world_of(x);
	(void)uid;
	(void)e;
	if (spec) {
		free(w->spec);
		w->spec = mem_dup_string(spec);
	}
	free(w->record);
	w->record = mem_dup_string(record);
	return 0;
}

static void update(struct container_engine *x, const struct container_pod *pod,
	container_done *done, void *arg)
{
	struct world *w = world_of(x);
	(void)pod;
	w->updates++;
	answer_later(w, &(struct answer){.done = done, .arg = arg, .e = w->update});
}

static void engine_free(struct container_engine *x)
{
	(void)x;
}

static const struct container_engine_ops ops = {.name = "test",
	.set_events = set_events,
	.sandbox_start = sandbox_start,
	.sandbox_stop = end,
	.run = run,
	.signal = send_signal,
	.remove = end,
	.list = list,
	.keep = keep,
	.update = update,
	.free = engine_free};

/* ---- the driver over it ---- */

static int64_t log_clock(void *context)
{
	return loop_wall_ms(((struct world *)context)->l);
}

static void log_write(void *context, const char *line)
{
	struct world *w = context;
	w->told_unusable = w->told_unusable || strstr(line, "pod_record_unusable");
}

static void pull_ends(void *context)
{
	static const char *const none[] = {NULL};
	const struct image_ready image = {
		.id = "sha256:0", .digest = "sha256:0", .layers = none, .config_json = "{}"};
	struct world *w = context;
	w->pulled(w->pull, &image, NULL);
}

static void image_pull(void *context, const char *ref, const char *policy,
	const char *docker_config_json, const char *pod_uid,
	void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes),
	void (*done)(void *arg, const struct image_ready *image, const struct err *e), void *arg)
{
	struct world *w = context;
	(void)ref, (void)policy, (void)docker_config_json, (void)pod_uid, (void)progress;
	w->pulled = done;
	w->pull = arg;
	if (!w->holds_pulls)
		loop_defer(w->l, pull_ends, w);
}

static void on_changed(void *context, const struct driver_state *state)
{
	((struct world *)context)->ready = state->containers_ready;
}

static void open_driver(struct world *w)
{
	struct err e = ERR_INIT;
	assert_int_equal(pods_new(&w->config, &w->base, 0, &w->driver, &e), 0);
}

static void close_driver(struct world *w)
{
	w->driver->ops->free(w->driver);
}

static int set_up(void **state)
{
	struct world *w = mem_new(struct world);
	w->base.ops = &ops;
	w->l = test_loop_new();
	w->log = (struct log){.level = LOG_WARN,
		.context = w,
		.role = "agent",
		.wall_ms = log_clock,
		.write = log_write};
	w->config = (struct driver_config){.loop = w->l,
		.log = &w->log,
		.host = {.changed = on_changed, .image_pull = image_pull, .context = w},
		.node_name = "node1",
		.backoff_ms = BACKOFF_MS};
	open_driver(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	close_driver(w);
	test_loop_run(w->l, 10);
	test_loop_free(w->l);
	free(w->spec);
	free(w->record);
	free(w);
	return 0;
}

/* The same pod, and each time another ConfigMap beside it. */
static void hand_over(struct world *w, bool start)
{
	static const char pod_text[] =
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"n\","
		"\"name\":"
		"\"p\",\"uid\":\"" UID "\"},\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":"
		"\"i\"}]}}";
	static const char map_text[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":"
				       "{\"namespace\":\"n\",\"name\":\"c\",\"uid\":\"u2\"}}";
	struct object *pod = NULL, *map = NULL;
	json_t *pod_tree CLEANUP(json_done) = json_loads(pod_text, 0, NULL);
	json_t *map_tree CLEANUP(json_done) = json_loads(map_text, 0, NULL);
	assert_int_equal(object_from_json(&kind_pod, pod_tree, &pod, NULL), 0);
	assert_int_equal(object_from_json(&kind_configmap, map_tree, &map, NULL), 0);
	object_stamp(pod, 1, 0);
	object_stamp(map, ++w->revision, 0);
	static const char *const none[] = {NULL};
	const struct object *const objects[] = {map};
	const struct driver_pod p = {.pod = pod,
		.objects = objects,
		.object_count = 1,
		.cluster_dns = "",
		.dns_search = none,
		.service_env = none,
		.privilege = "baseline"};
	if (start)
		w->driver->ops->start(w->driver, &p, NULL, NULL);
	else
		w->driver->ops->update(w->driver, &p, NULL, NULL);
	object_unref(pod);
	object_unref(map);
	test_loop_run(w->l, 10);
}

static void made(struct world *w)
{
	struct call call = w->run;
	w->run = (struct call){0};
	assert_non_null(call.done);
	call.done(call.arg, PID, NULL);
	test_loop_run(w->l, 10);
}

static void ends(struct world *w, const char *id)
{
	const struct container_status status = {.id = id, .pod_uid = UID, .exit_code = 137};
	w->events.on_exit(w->events.arg, &status);
	test_loop_run(w->l, 10);
}

/* ---- what holds ---- */

static void failed_updates_are_tried_again(void **state)
{
	struct world *w = *state;
	hand_over(w, true);
	made(w);
	(void)err_set(&w->update, ERR_IO, "the disk is full");
	hand_over(w, false);
	assert_int_equal(w->updates, 1);
	test_loop_run(w->l, 10 * BACKOFF_MS);
	int tries = w->updates;
	assert_true(tries >= 3 && tries <= 6);
	w->update = (struct err)ERR_INIT;
	test_loop_run(w->l, 30 * BACKOFF_MS);
	assert_int_equal(w->updates, tries + 1);
	(void)err_set(&w->update, ERR_NOT_FOUND, "there is no such ConfigMap");
	hand_over(w, false); /* until there is one */
	test_loop_run(w->l, 60 * BACKOFF_MS);
	assert_int_equal(w->updates, tries + 2);
}

static void what_was_kept_is_handed_on_after_a_restart(void **state)
{
	struct world *w = *state;
	hand_over(w, true);
	made(w);
	(void)err_set(&w->update, ERR_IO, "the agent is killed");
	hand_over(w, false);
	close_driver(w);
	test_loop_run(w->l, 10);
	w->update = (struct err)ERR_INIT;
	w->updates = 0;
	open_driver(w);
	test_loop_run(w->l, 10);
	assert_int_equal(w->updates, 1);
	assert_int_equal(w->runs, 1);
}

/* The run folder is ours, but disks fail and packages are taken back. */
static void records_that_are_unusable_are_told(void **state)
{
	struct world *w = *state;
	hand_over(w, true);
	made(w);
	close_driver(w);
	test_loop_run(w->l, 10);
	assert_false(w->told_unusable);
	free(w->record);
	w->record = mem_dup_string("{\"version\": 1");
	open_driver(w);
	test_loop_run(w->l, 10);
	assert_true(w->told_unusable);
}

/* The pod's namespaces go while a container is made that has joined them already. */
static void what_was_made_in_lost_namespaces_is_made_again(void **state)
{
	struct world *w = *state;
	char first[CONTAINER_ID_SIZE];
	hand_over(w, true);
	memcpy(first, w->run_id, sizeof(first));
	w->events.on_sandbox_lost(w->events.arg, UID);
	test_loop_run(w->l, 10);
	made(w);
	assert_string_equal(w->killed_id, first);
	assert_false(w->ready);
	ends(w, first);
	made(w);
	assert_int_equal(w->runs, 2);
	assert_true(w->ready);
	assert_string_equal(w->killed_id, first);
}

/* They go while its image is fetched: nothing is made before there are others. */
static void images_wait_for_namespaces(void **state)
{
	struct world *w = *state;
	w->holds_pulls = true;
	hand_over(w, true);
	(void)err_set(&w->sandbox, ERR_IO, "no namespaces");
	w->events.on_sandbox_lost(w->events.arg, UID);
	w->holds_pulls = false;
	pull_ends(w);
	test_loop_run(w->l, 10);
	assert_int_equal(w->runs, 0);
	w->sandbox = (struct err)ERR_INIT;
	test_loop_run(w->l, 2 * BACKOFF_MS);
	assert_int_equal(w->runs, 1);
	made(w);
	assert_true(w->ready);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(failed_updates_are_tried_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_kept_is_handed_on_after_a_restart, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(records_that_are_unusable_are_told, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(what_was_made_in_lost_namespaces_is_made_again,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(images_wait_for_namespaces, set_up, tear_down),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("pods", tests, NULL, NULL);
}
