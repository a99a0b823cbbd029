/* Applications: single steps over a view, and a whole one over the memory store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/step_bench.h"
#include "control/testing.h"
#include "model/application.h"
#include "place/place.h"

#define KEY "continuo.dev/applications/s/shop"
#define TEMPLATE(image) "'template':{'spec':{'containers':[{'name':'c','image':'" image "'}]}}"
#define APPLICATION(generation, components)                                                        \
	"{'metadata':{'name':'shop','namespace':'s','uid':'a1','generation':" generation           \
	"},'spec':{'components':[" components "]}}"
#define DB "{'name':'db'," TEMPLATE("db:1") "}"
#define WEB "{'name':'web','replicas':2,'requires':['db']," TEMPLATE("web:1") "}"

static void run(struct bench *b)
{
	assert_int_equal(bench_run(b, &reconciler_application, KEY), 0);
}

/* What the last step created comes into the view, as from the store; status: of the Deployment. */
static void put_created(struct bench *b, const char *uid, const char *status)
{
	const struct control_write *w = bench_only_write(b, CONTROL_CREATE, &kind_deployment);
	CLEANUP(json_done) json_t *tree = json_deep_copy(w->tree);
	json_t *metadata = json_object_get(tree, "metadata");
	json_object_set_new(metadata, "uid", json_string(uid));
	json_object_set_new(metadata, "generation", json_integer(1));
	json_object_set_new(tree, "status", world_tree(status));
	CLEANUP(mem_free_ptr) char *text = json_encode_string(tree);
	bench_put(b, &kind_deployment, text);
}

static const char available_1[] =
	"{'observedGeneration':1,'replicas':1,'updatedReplicas':1,'readyReplicas':1,"
	"'availableReplicas':1,'conditions':[{'type':'Available','status':'True'}]}";
static const char available_2[] =
	"{'observedGeneration':1,'replicas':2,'updatedReplicas':2,'readyReplicas':2,"
	"'availableReplicas':2,'conditions':[{'type':'Available','status':'True'}]}";

static json_t *status_of(struct bench *b)
{
	return json_object_get(bench_only_write(b, CONTROL_STATUS, &kind_application)->tree,
		"status");
}

static json_t *ready_of(struct bench *b)
{
	return json_array_get(json_object_get(status_of(b), "conditions"), 0);
}

static void test_a_component_becomes_a_deployment(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_application, APPLICATION("1", DB));
	run(b);
	const json_t *d = bench_only_write(b, CONTROL_CREATE, &kind_deployment)->tree;
	assert_string_equal(json_text(d, "", "metadata", "name"), "shop-db");
	assert_string_equal(json_text(d, "", "metadata", "namespace"), "s");
	const json_t *owner = json_array_get(json_at(d, "metadata", "ownerReferences"), 0);
	assert_string_equal(json_text(owner, "", "apiVersion"), "continuo.dev/v1alpha1");
	assert_string_equal(json_text(owner, "", "uid"), "a1");
	assert_true(json_bool(owner, false, "controller"));
	const json_t *labels = json_at(d, "spec", "template", "metadata", "labels");
	assert_string_equal(json_text(labels, "", "app.kubernetes.io/part-of"), "shop");
	assert_string_equal(json_text(labels, "", "app.kubernetes.io/component"), "db");
	assert_string_equal(json_text(d, "", "spec", "selector", "matchLabels",
				    "app.kubernetes.io/component"),
		"db");
	CLEANUP(findings_done) struct findings f = {0};
	json_t *whole = json_deep_copy(d);
	model_default(&kind_deployment, whole);
	model_validate(&kind_deployment, whole, NULL, &f); /* it passes no admission */
	assert_int_equal(f.errors.count, 0);
	json_decref(whole);
	assert_string_equal(json_text(ready_of(b), "", "status"), "False");
	assert_int_equal(json_int(status_of(b), 0, "observedGeneration"), 1);
}

static void test_what_is_required_comes_first(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_application, APPLICATION("1", WEB "," DB));
	run(b);
	const char *message = json_text(ready_of(b), "", "message");
	assert_string_equal(message, "0 of 2 components are ready; web waits for db; db: 0 of 1 "
				     "replicas are available");
	assert_string_equal(json_text(json_array_get(json_object_get(status_of(b), "components"),
					      0),
				    "", "name"),
		"web");
	put_created(b, "d1", "{}");
	run(b);
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_deployment), 0);
	bench_put(b, &kind_application, APPLICATION("1", DB));
	bench_drop(b, "apps/deployments/s/shop-db");
	run(b);
	put_created(b, "d1", available_1);
	bench_put(b, &kind_application, APPLICATION("2", WEB "," DB));
	run(b);
	put_created(b, "d2", available_2);
	run(b);
	assert_int_equal(bench_count_writes(b, CONTROL_UPDATE, &kind_deployment), 0);
	assert_string_equal(json_text(ready_of(b), "", "message"), "2 of 2 components are ready");
	assert_string_equal(json_text(ready_of(b), "", "status"), "True");
	assert_int_equal(json_int(status_of(b), 0, "readyComponents"), 2);
	/* What was started stays when what it requires is lost. */
	bench_drop(b, "apps/deployments/s/shop-db");
	run(b);
	bench_only_write(b, CONTROL_CREATE, &kind_deployment);
	assert_int_equal(bench_count_writes(b, CONTROL_DELETE, &kind_deployment), 0);
	assert_string_equal(json_text(ready_of(b), "", "status"), "False");
}

static void test_a_deployment_is_kept_equal(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_application, APPLICATION("1", DB));
	run(b);
	put_created(b, "d1", available_1);
	run(b);
	assert_int_equal(bench_count_writes(b, CONTROL_UPDATE, &kind_deployment), 0);
	bench_put(b, &kind_application,
		APPLICATION("2", "{'name':'db','replicas':3," TEMPLATE("db:2") "}"));
	run(b);
	const json_t *d = bench_only_write(b, CONTROL_UPDATE, &kind_deployment)->tree;
	assert_int_equal(json_int(d, 0, "spec", "replicas"), 3);
	const json_t *container =
		json_array_get(json_at(d, "spec", "template", "spec", "containers"), 0);
	assert_string_equal(json_text(container, "", "image"), "db:2");
	/* The selector must go on to match. */
	assert_string_equal(json_text(d, "", "spec", "template", "metadata", "labels",
				    "app.kubernetes.io/part-of"),
		"shop");
	assert_int_equal(json_int(status_of(b), -1, "readyComponents"), 0);
}

static void test_a_component_that_goes_takes_its_deployment(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_application, APPLICATION("1", DB));
	run(b);
	put_created(b, "d1", available_1);
	bench_put(b, &kind_application,
		APPLICATION("2", "{'name':'cache'," TEMPLATE("cache:1") "}"));
	run(b);
	assert_string_equal(bench_only_write(b, CONTROL_DELETE, &kind_deployment)->base->name,
		"shop-db");
	const json_t *d = bench_only_write(b, CONTROL_CREATE, &kind_deployment)->tree;
	assert_string_equal(json_text(d, "", "metadata", "name"), "shop-cache");
}

static void test_a_taken_name_is_said(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_deployment,
		"{'metadata':{'name':'shop-db','namespace':'s','uid':'x'},'spec':{'selector':"
		"{'matchLabels':{'a':'b'}},'template':{}}}");
	bench_put(b, &kind_application, APPLICATION("1", DB));
	run(b);
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_deployment), 0);
	assert_int_equal(bench_count_writes(b, CONTROL_UPDATE, &kind_deployment), 0);
	assert_string_equal(json_text(ready_of(b), "", "reason"), "NameTaken");
	assert_non_null(strstr(json_text(ready_of(b), "", "message"),
		"db: there is a Deployment shop-db already, which is not its own"));
	assert_int_equal(b->out.events.count, 1);
	assert_true(b->out.events.items[0].warning);
}

static void test_nothing_is_done_about_one_that_goes(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_application,
		"{'metadata':{'name':'shop','namespace':'s','uid':'a1','deletionTimestamp':"
		"'2026-01-01T00:00:00Z','finalizers':['x.y/z']},'spec':{'components':[" DB "]}}");
	run(b);
	assert_int_equal(b->out.writes.count, 0);
}

static void test_objectives_are_the_terms(void **state)
{
	(void)state;
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		assert_string_equal(application_objectives[i], place_term_name((enum place_term)i));
	assert_null(application_objectives[PLACE_TERM_COUNT]);
}

/* ---- over the store ---- */

static int set_up_world(void **state)
{
	struct world *w = world_new();
	world_namespace(w, "s");
	world_node(w, "n1", "a", "4");
	world_start(w);
	world_start_agent(w);
	*state = w;
	return 0;
}

static int tear_down_world(void **state)
{
	world_free(*state);
	return 0;
}

static bool is_ready(void *arg)
{
	CLEANUP(json_done) json_t *tree = world_get_tree(arg, &kind_application, "s", "shop");
	const json_t *ready = json_array_get(json_at(tree, "status", "conditions"), 0);
	return str_equal(json_text(ready, "", "status"), "True") &&
	       json_int(tree, 0, "status", "observedGeneration") ==
		       json_int(tree, -1, "metadata", "generation");
}

/* Its replicas were changed, and changed back. */
static bool is_scaled_back(void *arg)
{
	CLEANUP(json_done) json_t *tree = world_get_tree(arg, &kind_deployment, "s", "shop-web");
	return json_int(tree, 0, "spec", "replicas") == 2 &&
	       json_int(tree, 0, "metadata", "generation") >= 3;
}

static void test_it_runs_changes_and_goes(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_application, APPLICATION("1", DB "," WEB));
	world_until(w, is_ready, w);
	assert_int_equal(world_count(w, &kind_pod, "s"), 3);
	/* Somebody scales what is the application's. */
	world_patch(w, &kind_deployment, "s", "shop-web", "{'spec':{'replicas':5}}");
	world_until(w, is_scaled_back, w);
	world_until_count(w, &kind_pod, "s", 3);
	world_until(w, is_ready, w);
	world_patch(w, &kind_application, "s", "shop", "{'spec':{'components':[" DB "]}}");
	world_until_count(w, &kind_pod, "s", 1);
	world_until(w, is_ready, w);
	int64_t revision = store_revision(w->store);
	world_run_ms(w, 200); /* and all is quiet */
	assert_int_equal(store_revision(w->store), revision);
	world_delete(w, &kind_application, "s", "shop");
	world_until_count(w, &kind_deployment, "s", 0);
	world_until_count(w, &kind_pod, "s", 0);
}

int main(void)
{
#define STEP(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		STEP(test_a_component_becomes_a_deployment),
		STEP(test_what_is_required_comes_first),
		STEP(test_a_deployment_is_kept_equal),
		STEP(test_a_component_that_goes_takes_its_deployment),
		STEP(test_a_taken_name_is_said),
		STEP(test_nothing_is_done_about_one_that_goes),
		cmocka_unit_test(test_objectives_are_the_terms),
		cmocka_unit_test_setup_teardown(test_it_runs_changes_and_goes, set_up_world,
			tear_down_world),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
