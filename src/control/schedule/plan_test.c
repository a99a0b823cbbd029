/* Plans that are only shown, and Applications that are placed as a whole, over the memory store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/testing.h"

#define CONTAINER(image, cpu)                                                                      \
	"{'name':'c','image':'" image "','resources':{'requests':{'cpu':'" cpu "'}}}"
#define DEPLOYMENT(replicas, image, cpu)                                                           \
	"{'metadata':{'name':'web','namespace':'s'},'spec':{'replicas':" replicas                  \
	",'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'"  \
	"}},'spec':{'containers':[" CONTAINER(image, cpu) "]}}}}"

static int set_up(void **state)
{
	struct world *w = world_new();
	world_namespace(w, "s");
	world_node(w, "n1", "a", "4");
	world_node(w, "n2", "b", "4");
	world_start(w);
	world_start_agent(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

/* ---- plans ---- */

struct answer {
	bool done;
	json_t *result;
	struct err err;
};

static void on_plan(void *arg, const json_t *result, const struct err *e)
{
	struct answer *a = arg;
	assert_false(a->done);
	a->done = true;
	a->result = result ? json_deep_copy(result) : NULL;
	if (e)
		a->err = *e;
}

static bool is_done(void *arg)
{
	return ((struct answer *)arg)->done;
}

static void answer_done(struct answer *a)
{
	json_decref(a->result);
}

static int ask(struct world *w, const struct kind *k, const char *text, struct answer *a,
	struct err *e)
{
	CLEANUP(json_done) json_t *tree = world_tree(text);
	char version[128];
	kind_api_version(k, version);
	json_object_set_new(tree, "apiVersion", json_string(version));
	json_object_set_new(tree, "kind", json_string(k->name));
	model_default(k, tree);
	return control_plan(w->control, &tree, &k, 1, on_plan, a, e);
}

/* The first workload of the answer. */
static const json_t *plan(struct world *w, const struct kind *k, const char *text, struct answer *a)
{
	struct err e = ERR_INIT;
	*a = (struct answer){0};
	if (ask(w, k, text, a, &e) != 0)
		fail_msg("%s", e.text);
	world_until(w, is_done, a);
	if (!a->result)
		fail_msg("%s", a->err.text);
	return json_array_get(json_object_get(a->result, "workloads"), 0);
}

static int running(const json_t *workload)
{
	int count = 0;
	size_t i;
	json_t *pod;
	json_array_foreach (json_object_get(workload, "pods"), i, pod)
		count += json_bool(pod, false, "running");
	return count;
}

static void expect(const json_t *workload, int runs, int pods, int replaced)
{
	assert_int_equal(running(workload), runs);
	assert_int_equal(json_array_size(json_object_get(workload, "pods")), pods);
	assert_int_equal(json_int(workload, -1, "replaced"), replaced);
}

static void test_a_plan_changes_nothing(void **state)
{
	struct world *w = *state;
	CLEANUP(answer_done) struct answer a = {0};
	for (int i = 0; i < 3; i++) { /* each finds the room that the one before did not take */
		int64_t revision = store_revision(w->store);
		const json_t *workload =
			plan(w, &kind_deployment, DEPLOYMENT("8", "web:1", "1"), &a);
		expect(workload, 0, 8, 0);
		const json_t *pod = json_array_get(json_object_get(workload, "pods"), 0);
		assert_true(json_is_real(json_at(pod, "terms", "balance")));
		assert_string_equal(json_text(pod, "", "site"),
			str_equal(json_text(pod, "", "node"), "n1") ? "a" : "b");
		assert_true(json_is_real(json_at(pod, "alternative", "cost")));
		world_run_ms(w, 20);
		assert_int_equal(store_revision(w->store), revision);
		answer_done(&a);
		a = (struct answer){0};
	}
}

static void test_a_plan_says_what_finds_no_node(void **state)
{
	struct world *w = *state;
	CLEANUP(answer_done) struct answer a = {0};
	const json_t *workload = plan(w, &kind_deployment, DEPLOYMENT("9", "web:1", "1"), &a);
	expect(workload, 0, 8, 0);
	const json_t *refused = json_array_get(json_object_get(workload, "refused"), 0);
	assert_int_equal(json_int(refused, 0, "replicas"), 1);
	assert_string_equal(json_text(refused, "", "message"),
		"0/2 nodes are available: 2 Insufficient cpu.");
	assert_string_equal(json_text(json_array_get(json_object_get(refused, "refusals"), 0), "",
				    "constraint"),
		"resource");
}

static bool are_eight_bound(void *arg)
{
	struct world *w = arg;
	size_t bound = 0;
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/s/", NULL, 0, 0, &list, NULL), 0);
	for (size_t i = 0; i < list.count; i++)
		bound += list.objects[i]->node[0] != '\0';
	store_list_done(&list);
	return bound == 8;
}

static void test_what_runs_stays_and_what_changes_goes(void **state)
{
	struct world *w = *state;
	CLEANUP(answer_done) struct answer a = {0};
	world_create(w, &kind_deployment, DEPLOYMENT("6", "web:1", "1"));
	world_until_ready(w, "s", 6);
	expect(plan(w, &kind_deployment, DEPLOYMENT("8", "web:1", "1"), &a), 6, 8, 0);
	answer_done(&a);
	expect(plan(w, &kind_deployment, DEPLOYMENT("4", "web:1", "1"), &a), 4, 4, 2);
	answer_done(&a);
	/* Eight of two: only where the old ones are thought away. */
	expect(plan(w, &kind_deployment, DEPLOYMENT("4", "web:2", "2"), &a), 0, 4, 6);
	answer_done(&a);
	a = (struct answer){0};
	assert_int_equal(world_count(w, &kind_pod, "s"), 6);
	/* And they still have their room. */
	world_patch(w, &kind_deployment, "s", "web", "{'spec':{'replicas':9}}");
	world_until_count(w, &kind_pod, "s", 9);
	world_until(w, are_eight_bound, w);
	world_run_ms(w, 100);
	assert_true(are_eight_bound(w));
}

static void test_impossible_plans_are_refused(void **state)
{
	struct world *w = *state;
	struct answer a = {0};
	struct err e = ERR_INIT;
	assert_int_equal(ask(w, &kind_configmap, "{'metadata':{'name':'c','namespace':'s'}}", &a,
				 &e),
		-ERR_UNSUPPORTED);
	assert_string_equal(e.text, "a ConfigMap has no pods");
	assert_int_equal(ask(w, &kind_deployment, DEPLOYMENT("10001", "web:1", "1"), &a, &e),
		-ERR_TOO_LARGE);
	assert_int_equal(ask(w, &kind_deployment, DEPLOYMENT("2147483647", "web:1", "1"), &a, &e),
		-ERR_TOO_LARGE);
	world_run_ms(w, 50);
	assert_false(a.done);
	/* One that waits when the server stops is told of it, once. */
	assert_int_equal(ask(w, &kind_deployment, DEPLOYMENT("1", "web:1", "1"), &a, &e), 0);
	control_free(take_ptr(w->control));
	assert_true(a.done);
	assert_int_equal(a.err.code, ERR_CANCELLED);
}

/* ---- Applications ---- */

#define COMPONENT(name, replicas, cpu, more)                                                       \
	"{'name':'" name "','replicas':" replicas more                                             \
	",'template':{'spec':{'containers':[" CONTAINER("i:1", cpu) "]}}}"
#define SHOP(components, more)                                                                     \
	"{'metadata':{'name':'shop','namespace':'s'},'spec':{'components':[" components "]" more   \
	"}}"
#define LINKED                                                                                     \
	SHOP(COMPONENT("web", "2", "1", "") "," COMPONENT("db", "1", "1", ",'requires':['web']"),  \
		",'links':[{'from':'web','to':'db','bandwidth':'1M','latency':'5ms','required':"   \
		"true}],'consumers':[{'site':'b','component':'web','latency':'5ms','required':"    \
		"true}]")

/* Two sites, 20 ms apart. */
static void put_sites(struct world *w)
{
	world_create(w, &kind_site,
		"{'metadata':{'name':'a'},'spec':{'paths':[{'to':'b','latency':'20ms'}]}}");
	world_create(w, &kind_site, "{'metadata':{'name':'b'},'spec':{}}");
}

static bool three_run_at_b(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	size_t at_b = 0;
	assert_int_equal(store_list(w->store, "core/pods/s/", NULL, 0, 0, &list, NULL), 0);
	for (size_t i = 0; i < list.count; i++) {
		at_b += strcmp(list.objects[i]->node, "n2") == 0;
		assert_true(strcmp(list.objects[i]->node, "n1") != 0);
	}
	store_list_done(&list);
	return at_b == 3;
}

/* Nothing but users at b and the links keeps them from n1, which is as good. */
static void test_links_and_users_decide(void **state)
{
	struct world *w = *state;
	CLEANUP(answer_done) struct answer a = {0};
	put_sites(w);
	world_run_ms(w, 20);
	const json_t *workload = plan(w, &kind_application, LINKED, &a);
	size_t i;
	json_t *pod;
	expect(workload, 0, 3, 0);
	json_array_foreach (json_object_get(workload, "pods"), i, pod)
		assert_string_equal(json_text(pod, "", "node"), "n2");
	assert_string_equal(json_text(json_array_get(json_object_get(workload, "links"), 0), "",
				    "from"),
		"web");
	world_create(w, &kind_application, LINKED);
	world_until(w, three_run_at_b, w);
	world_until_ready(w, "s", 3);
	answer_done(&a);
	expect(plan(w, &kind_application, LINKED, &a), 3, 3, 0);
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/s/", NULL, 0, 0, &list, NULL), 0);
	CLEANUP(json_done) json_t *why = control_explain(w->control, "s", list.objects[0]->name);
	assert_string_equal(json_text(why, "", "application"), "shop");
	assert_true(json_is_real(json_at(why, "terms", "balance")));
	assert_null(json_at(why, "terms", "latency")); /* all of it is at one site */
	assert_null(json_at(why, "terms", "move"));
	store_list_done(&list);
}

/* Besides "big", which is elsewhere. */
static bool two_are_at_b(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	size_t at_b = 0;
	assert_int_equal(store_list(w->store, "core/pods/s/", NULL, 0, 0, &list, NULL), 0);
	for (size_t i = 0; i < list.count; i++) {
		const struct object *o = list.objects[i];
		at_b += strcmp(o->node, "n2") == 0;
		assert_true(!o->node[0] || strcmp(o->node, "n2") == 0 ||
			    strcmp(o->name, "big") == 0);
	}
	store_list_done(&list);
	return at_b == 2;
}

/* The one that comes first leaves room for what it must be near to. */
static void test_what_is_to_come_is_planned_with(void **state)
{
	struct world *w = *state;
	CLEANUP(answer_done) struct answer a = {0};
	put_sites(w);
	/* n2 has room for three only. */
	world_create(w, &kind_pod,
		"{'metadata':{'name':'big','namespace':'s'},'spec':{'nodeName':'n1','containers':"
		"[" CONTAINER("i:1", "2") "]}}");
	world_run_ms(w, 50);
	world_create(w, &kind_application,
		SHOP(COMPONENT("web", "1", "1", "") "," COMPONENT("db", "1", "3",
			     ",'requires':['web']"),
			",'links':[{'from':'web','to':'db','latency':'5ms','required':true}]"));
	world_until(w, two_are_at_b, w);
}

static bool is_told(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	bool told = false;
	assert_int_equal(store_list(w->store, "core/pods/s/", NULL, 0, 0, &list, NULL), 0);
	for (size_t i = 0; i < list.count; i++) {
		CLEANUP(json_done)
		json_t *why = control_explain(w->control, "s", list.objects[i]->name);
		size_t k;
		json_t *reason;
		json_array_foreach (json_object_get(why, "refusals"), k, reason)
			told |= str_equal(json_text(reason, "", "constraint"), "latency") &&
				strstr(json_text(reason, "", "detail"), "web -> db");
	}
	store_list_done(&list);
	return told;
}

/* Until the sites are nearer to each other. */
static void test_a_bound_that_cannot_hold_is_named(void **state)
{
	struct world *w = *state;
	put_sites(w);
	world_run_ms(w, 20);
	world_create(w, &kind_application,
		SHOP(COMPONENT("web", "1", "3", "") "," COMPONENT("db", "1", "3", ""),
			",'links':[{'from':'web','to':'db','latency':'5ms','required':true}]"));
	world_until(w, is_told, w);
	world_patch(w, &kind_site, "", "a", "{'spec':{'paths':[{'to':'b','latency':'4ms'}]}}");
	world_until_ready(w, "s", 2);
}

int main(void)
{
#define WORLD(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WORLD(test_a_plan_changes_nothing),
		WORLD(test_a_plan_says_what_finds_no_node),
		WORLD(test_what_runs_stays_and_what_changes_goes),
		WORLD(test_impossible_plans_are_refused),
		WORLD(test_links_and_users_decide),
		WORLD(test_what_is_to_come_is_planned_with),
		WORLD(test_a_bound_that_cannot_hold_is_named),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
