/* The reconcilers and the scheduler together, over the memory store and the real loop. */
#include "control/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

static const char web[] =
	"{'metadata':{'name':'web','namespace':'shop'},'spec':{'replicas':3,"
	"'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'}},"
	"'spec':{'containers':[{'name':'c','image':'r/web:1','ports':[{'name':'http',"
	"'containerPort':8080}],'resources':{'requests':{'cpu':'100m','memory':'64Mi'}}}]}}}}";

static int setup(void **state)
{
	struct world *w = world_new();
	world_namespace(w, "shop");
	world_node(w, "n1", "a", "4");
	world_node(w, "n2", "b", "4");
	world_start(w);
	world_start_agent(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static bool deployment_is(struct world *w, int64_t ready, int64_t updated, bool available)
{
	CLEANUP(json_done) json_t *tree = world_get_tree(w, &kind_deployment, "shop", "web");
	const json_t *status = json_object_get(tree, "status");
	bool is = false;
	size_t i;
	json_t *condition;
	json_array_foreach (json_object_get(status, "conditions"), i, condition)
		if (str_equal(json_text(condition, "", "type"), "Available"))
			is = str_equal(json_text(condition, "", "status"), "True") == available;
	return is && json_int(status, 0, "readyReplicas") == ready &&
	       json_int(status, 0, "updatedReplicas") == updated &&
	       json_int(status, 0, "observedGeneration") ==
		       json_int(tree, -1, "metadata", "generation");
}

static bool three_ready(void *arg)
{
	return deployment_is(arg, 3, 3, true);
}

static void test_deployment_runs(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until_ready(w, "shop", 3);
	world_until(w, three_ready, w);
	assert_int_equal(world_count(w, &kind_replicaset, "shop"), 1);
	world_run_ms(w, 100); /* nothing more comes */
	assert_int_equal(world_count(w, &kind_pod, "shop"), 3);
}

static bool five_ready(void *arg)
{
	return deployment_is(arg, 5, 5, true);
}

static bool one_ready(void *arg)
{
	return deployment_is(arg, 1, 1, true);
}

static void test_scale_up_and_down(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	world_patch(w, &kind_deployment, "shop", "web", "{'spec':{'replicas':5}}");
	world_until(w, five_ready, w);
	world_patch(w, &kind_deployment, "shop", "web", "{'spec':{'replicas':1}}");
	world_until(w, one_ready, w);
	world_until_count(w, &kind_pod, "shop", 1);
}

/* Whether a pod of the new template ran while one of the old was there. */
static bool all_new(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/shop/", NULL, 0, 0, &list, NULL), 0);
	size_t old = 0, new = 0;
	for (size_t i = 0; i < list.count; i++) {
		bool is_new = strstr(list.objects[i]->blob, "\"r/web:2\"");
		new += is_new;
		old += !is_new;
	}
	store_list_done(&list);
	assert_false(old && new);
	return old == 0 && new == 3 && deployment_is(w, 3, 3, true);
}

static void test_template_change_replaces_all(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	world_patch(w, &kind_deployment, "shop", "web",
		"{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'r/web:2'}]}}}}");
	world_until(w, all_new, w);
	assert_int_equal(world_count(w, &kind_replicaset, "shop"), 2);
	CLEANUP(json_done) json_t *tree = world_get_tree(w, &kind_deployment, "shop", "web");
	assert_string_equal(json_text(tree, "", "metadata", "annotations",
				    "deployment.kubernetes.io/revision"),
		"2");
}

static void test_deleted_pod_comes_back(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/shop/", NULL, 0, 0, &list, NULL), 0);
	CLEANUP(mem_free_ptr) char *name = mem_dup_string(list.objects[0]->name);
	store_list_done(&list);
	world_delete(w, &kind_pod, "shop", name);
	world_until_ready(w, "shop", 3);
	assert_null(world_get(w, &kind_pod, "shop", name));
}

static void test_deployment_deletion_takes_all(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	world_delete(w, &kind_deployment, "shop", "web");
	world_until_count(w, &kind_replicaset, "shop", 0);
	world_until_count(w, &kind_pod, "shop", 0);
}

static void test_foreground_deletion(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	world_patch(w, &kind_deployment, "shop", "web",
		"{'metadata':{'deletionTimestamp':'2026-01-01T00:00:00Z',"
		"'deletionGracePeriodSeconds':0,'finalizers':['foregroundDeletion']}}");
	world_until_count(w, &kind_deployment, "shop", 0);
	assert_int_equal(world_count(w, &kind_replicaset, "shop"), 0);
	world_until_count(w, &kind_pod, "shop", 0);
}

static void test_orphan_deletion_and_adoption(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	world_patch(w, &kind_deployment, "shop", "web",
		"{'metadata':{'deletionTimestamp':'2026-01-01T00:00:00Z',"
		"'deletionGracePeriodSeconds':0,'finalizers':['orphan']}}");
	world_until_count(w, &kind_deployment, "shop", 0);
	world_run_ms(w, 50);
	assert_int_equal(world_count(w, &kind_replicaset, "shop"), 1);
	assert_int_equal(world_count(w, &kind_pod, "shop"), 3);
}

static void test_namespace_deletion(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_create(w, &kind_configmap,
		"{'metadata':{'name':'c','namespace':'shop'},'data':{'a':'b'}}");
	world_until(w, three_ready, w);
	world_patch(w, &kind_namespace, "", "shop",
		"{'metadata':{'deletionTimestamp':'2026-01-01T00:00:00Z'},"
		"'status':{'phase':'Terminating'}}");
	world_until_count(w, &kind_namespace, "", 0);
	assert_int_equal(world_count(w, &kind_pod, "shop"), 0);
	assert_int_equal(world_count(w, &kind_configmap, "shop"), 0);
	assert_int_equal(world_count(w, &kind_deployment, "shop"), 0);
}

/* ---- endpoints ---- */

struct slice_wish {
	struct world *world;
	size_t ready, endpoints;
};

static bool slice_has(void *arg)
{
	const struct slice_wish *wish = arg;
	struct store_list list;
	assert_int_equal(store_list(wish->world->store, "discovery.k8s.io/endpointslices/shop/",
				 NULL, 0, 0, &list, NULL),
		0);
	size_t ready = 0, endpoints = 0;
	for (size_t i = 0; i < list.count; i++) {
		CLEANUP(json_done) json_t *tree = object_tree(list.objects[i]);
		size_t k;
		json_t *endpoint;
		json_array_foreach (json_object_get(tree, "endpoints"), k, endpoint) {
			endpoints++;
			ready += json_bool(endpoint, false, "conditions", "ready");
			assert_non_null(json_object_get(endpoint, "zone"));
			assert_int_equal(json_int(json_array_get(json_object_get(tree, "ports"), 0),
						 0, "port"),
				8080);
		}
	}
	store_list_done(&list);
	return ready == wish->ready && endpoints == wish->endpoints;
}

static void test_endpoints_follow_pods(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_service,
		"{'metadata':{'name':'web','namespace':'shop'},'spec':{'selector':{'app':'web'},"
		"'ports':[{'name':'http','port':80,'targetPort':'http'}]}}");
	world_until_count(w, &kind_endpointslice, "shop", 1); /* empty */
	world_create(w, &kind_deployment, web);
	struct slice_wish three = {w, 3, 3}, two = {w, 2, 3}, one = {w, 1, 1};
	world_until(w, slice_has, &three);
	assert_int_equal(world_count(w, &kind_endpointslice, "shop"), 1);
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/shop/", NULL, 0, 0, &list, NULL), 0);
	CLEANUP(mem_free_ptr) char *name = mem_dup_string(list.objects[0]->name);
	store_list_done(&list);
	world_patch(w, &kind_pod, "shop", name,
		"{'status':{'conditions':[{'type':'Ready','status':'False'}]}}");
	world_until(w, slice_has, &two);
	world_patch(w, &kind_pod, "shop", name,
		"{'status':{'conditions':[{'type':'Ready','status':'True'}]}}");
	world_until(w, slice_has, &three);
	world_patch(w, &kind_deployment, "shop", "web", "{'spec':{'replicas':1}}");
	world_until(w, slice_has, &one);
	world_delete(w, &kind_service, "shop", "web");
	world_until_count(w, &kind_endpointslice, "shop", 0);
}

/* ---- scheduling ---- */

static const char picky[] =
	"{'metadata':{'name':'picky','namespace':'shop'},'spec':{'nodeSelector':{'disk':'ssd'},"
	"'containers':[{'name':'c','image':'r/x:1','resources':{'requests':{'cpu':'1'}}}]}}";

static bool is_refused(void *arg)
{
	struct world *w = arg;
	CLEANUP(json_done) json_t *tree = world_get_tree(w, &kind_pod, "shop", "picky");
	const json_t *condition = json_array_get(json_at(tree, "status", "conditions"), 0);
	return str_equal(json_text(condition, "", "reason"), "Unschedulable");
}

static bool is_bound(void *arg)
{
	struct world *w = arg;
	CLEANUP(object_done) struct object *pod = world_get(w, &kind_pod, "shop", "picky");
	return pod->node[0];
}

static void test_refused_until_the_node_fits(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_pod, picky);
	world_until(w, is_refused, w);
	CLEANUP(json_done) json_t *tree = world_get_tree(w, &kind_pod, "shop", "picky");
	const json_t *condition = json_array_get(json_at(tree, "status", "conditions"), 0);
	assert_string_equal(json_text(condition, "", "type"), "PodScheduled");
	assert_string_equal(json_text(condition, "", "status"), "False");
	assert_string_equal(json_text(condition, "", "message"),
		"0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
	json_t *why = control_explain(w->control, "shop", "picky");
	assert_true(json_is_null(json_object_get(why, "node")));
	const json_t *reason = json_array_get(json_object_get(why, "refusals"), 0);
	assert_string_equal(json_text(reason, "", "constraint"), "nodeSelector");
	assert_string_equal(json_text(reason, "", "detail"), "disk=ssd");
	assert_int_equal(json_int(reason, 0, "nodes"), 2);
	assert_true(json_bool(reason, false, "atFault"));
	json_decref(why);
	world_until_count(w, &kind_event, "shop", 1);
	/* What it names is relaxed. */
	world_patch(w, &kind_node, "", "n2", "{'metadata':{'labels':{'disk':'ssd'}}}");
	world_until(w, is_bound, w);
	why = control_explain(w->control, "shop", "picky");
	assert_string_equal(json_text(why, "", "node"), "n2");
	assert_int_equal(json_int(why, 0, "feasible"), 1);
	json_decref(why);
}

/* Never where nobody could end it: it waits. */
static void test_handover_wants_a_fence(void **state)
{
	struct world *w = *state;
	world_patch(w, &kind_node, "", "n1",
		"{'metadata':{'labels':{'continuo.dev/fence':'none'}}}");
	world_patch(w, &kind_node, "", "n2",
		"{'metadata':{'labels':{'continuo.dev/fence':'none'}}}");
	world_create(w, &kind_pod,
		"{'metadata':{'name':'picky','namespace':'shop','annotations':{"
		"'continuo.dev/"
		"singleton':'handover'}},'spec':{'containers':[{'name':'c','image':'i'}]}}");
	world_until(w, is_refused, w);
	CLEANUP(json_done) json_t *tree = world_get_tree(w, &kind_pod, "shop", "picky");
	assert_string_equal(json_text(json_array_get(json_at(tree, "status", "conditions"), 0), "",
				    "message"),
		"0/2 nodes are available: 2 node(s) had no fence for a handover pod.");
	world_patch(w, &kind_node, "", "n2",
		"{'metadata':{'labels':{'continuo.dev/fence':'cgroup'}}}");
	world_until(w, is_bound, w);
	CLEANUP(object_done) struct object *pod = world_get(w, &kind_pod, "shop", "picky");
	assert_string_equal(pod->node, "n2");
}

static void test_explain_survives_a_restart(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/shop/", NULL, 0, 0, &list, NULL), 0);
	control_free(w->control);
	world_start(w);
	json_t *why = control_explain(w->control, "shop", list.objects[0]->name);
	assert_string_equal(json_text(why, "", "node"), list.objects[0]->node);
	assert_int_equal(json_int(why, 0, "nodes"), 2);
	assert_true(json_is_real(json_at(why, "terms", "balance")));
	json_decref(why);
	store_list_done(&list);
	world_run_ms(w, 50);
	assert_int_equal(world_count(w, &kind_pod, "shop"), 3);
}

static bool spread_over_both(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/shop/", NULL, 0, 0, &list, NULL), 0);
	size_t on_n1 = 0, on_n2 = 0;
	for (size_t i = 0; i < list.count; i++) {
		on_n1 += strcmp(list.objects[i]->node, "n1") == 0;
		on_n2 += strcmp(list.objects[i]->node, "n2") == 0;
	}
	store_list_done(&list);
	return on_n1 == 20 && on_n2 == 20;
}

static void test_forty_at_once_never_overcommit(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_patch(w, &kind_deployment, "shop", "web",
		"{'spec':{'replicas':45,'template':{'spec':{'containers':[{'name':'c',"
		"'image':'r/web:1','resources':{'requests':{'cpu':'200m'}}}]}}}}");
	world_until(w, spread_over_both, w);
	world_run_ms(w, 50);
	assert_true(spread_over_both(w));
	assert_int_equal(world_count(w, &kind_pod, "shop"), 45); /* 5 wait */
	world_node(w, "n3", "c", "4");
	world_until_ready(w, "shop", 45);
}

static void test_pods_of_a_deleted_node_move(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	world_delete(w, &kind_node, "", "n1");
	world_until_ready(w, "shop", 3);
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/shop/", NULL, 0, 0, &list, NULL), 0);
	for (size_t i = 0; i < list.count; i++)
		assert_string_equal(list.objects[i]->node, "n2");
	store_list_done(&list);
}

static bool has_failure(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	assert_int_equal(store_list(w->store, "apps/replicasets/shop/", NULL, 0, 0, &list, NULL),
		0);
	bool found = list.count == 1 && strstr(list.objects[0]->blob, "\"ReplicaFailure\"");
	store_list_done(&list);
	return found;
}

static void test_pod_security_is_kept(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment,
		"{'metadata':{'name':'web','namespace':'shop'},'spec':{'replicas':1,"
		"'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':"
		"{'app':'web'}},'spec':{'hostNetwork':true,'containers':[{'name':'c',"
		"'image':'r/web:1'}]}}}}");
	world_until(w, has_failure, w);
	assert_int_equal(world_count(w, &kind_pod, "shop"), 0);
}

static bool counted_up(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/events/shop/", NULL, 0, 0, &list, NULL), 0);
	int64_t count = 0;
	size_t events = 0;
	for (size_t i = 0; i < list.count; i++) {
		CLEANUP(json_done) json_t *tree = object_tree(list.objects[i]);
		if (!str_equal(json_text(tree, "", "reason"), "FailedCreate"))
			continue;
		events++;
		count = json_int(tree, 0, "count");
	}
	store_list_done(&list);
	assert_true(events <= 1);
	return count >= 3;
}

static void test_events_are_counted_not_repeated(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_replicaset,
		"{'metadata':{'name':'r','namespace':'shop'},'spec':{'replicas':1,'selector':"
		"{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':"
		"{'hostPID':true,'containers':[{'name':'c','image':'i'}]}}}}");
	world_until(w, counted_up, w); /* it is tried again with growing delay */
}

/* The commit's answer comes before the watches hear of it: the history is taken from under them. */
static void compact_at_once(void *arg, const struct store_result *result)
{
	struct world *w = arg;
	assert_null(result->err);
	store_compact(w->store, result->revision);
}

static void test_watch_that_fell_behind(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	world_run_ms(w, 20);
	store_watch_free(take_ptr(w->agent)); /* which does not list anew */
	CLEANUP(json_done) json_t *tree = world_get_tree(w, &kind_deployment, "shop", "web");
	json_object_set_new(json_object_get(tree, "spec"), "replicas", json_integer(7));
	struct object *o;
	assert_int_equal(object_from_json(&kind_deployment, tree, &o, NULL), 0);
	struct store_op ops[2] = {{"apps/deployments/shop/web", o}, {"core/nodes//n2", NULL}};
	store_commit(w->store, NULL, 0, ops, 2, compact_at_once, w);
	world_until_count(w, &kind_pod, "shop", 7);
}

/* Each pod changes while it is being placed. Nothing may be counted twice or stay counted. */
static void test_pods_that_change_while_they_are_placed(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_node,
		"{'metadata':{'name':'n3','labels':{'small':'yes'}},'status':{'allocatable':{"
		"'cpu':'4','memory':'8Gi','pods':'12'},'conditions':[{'type':'Ready','status':"
		"'True'}]}}");
	for (int i = 0; i < 12; i++) {
		char text[300], name[16];
		snprintf(name, sizeof(name), "p%d", i);
		snprintf(text, sizeof(text),
			"{'metadata':{'name':'%s','namespace':'shop'},'spec':{'nodeSelector':{"
			"'small':'yes'},'containers':[{'name':'c','image':'i'}]}}",
			name);
		world_create(w, &kind_pod, text);
		world_patch(w, &kind_pod, "shop", name, "{'metadata':{'labels':{'x':'y'}}}");
	}
	world_until_ready(w, "shop", 12);
	world_create(w, &kind_pod,
		"{'metadata':{'name':'picky','namespace':'shop'},'spec':{'nodeSelector':{'small':"
		"'yes'},'containers':[{'name':'c','image':'i'}]}}");
	world_until(w, is_refused, w);
	world_delete(w, &kind_pod, "shop", "p3");
	world_until(w, is_bound, w);
}

/* Another server leads: every commit fails at the fence. That must not become a busy loop. */
static void test_nothing_is_written_past_the_fence(void **state)
{
	struct world *w = *state;
	control_free(w->control);
	world_create(w, &kind_configmap, "{'metadata':{'name':'leader','namespace':'shop'}}");
	const struct control_config config = {.loop = w->loop,
		.log = &w->log,
		.store = w->store,
		.kinds = w->kinds,
		.leader_key = "core/configmaps/shop/leader",
		.leader_create_revision = 1};
	w->control = control_new(&config);
	world_create(w, &kind_deployment, web);
	world_create(w, &kind_pod,
		"{'metadata':{'name':'picky','namespace':'shop'},'spec':{'containers':[{'name':'c',"
		"'image':'i'}]}}");
	world_run_ms(w, 500);
	assert_false(is_bound(w));
	assert_int_equal(world_count(w, &kind_replicaset, "shop"), 0);
	assert_int_equal(world_count(w, &kind_event, "shop"), 0);
	struct store_stats stats;
	store_stats(w->store, &stats);
	assert_true(stats.conflicts < 40);
}

static void test_metrics(void **state)
{
	struct world *w = *state;
	struct buf b = BUF_INIT;
	world_create(w, &kind_deployment, web);
	world_until(w, three_ready, w);
	control_metrics(w->control, &b);
	assert_non_null(strstr(buf_text(&b), "continuo_scheduler_placed_total 3\n"));
	assert_non_null(strstr(buf_text(&b),
		"continuo_reconcile_errors_total{reconciler=\"deployment\"} 0\n"));
	buf_done(&b);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_deployment_runs), TEST(test_scale_up_and_down),
		TEST(test_template_change_replaces_all), TEST(test_deleted_pod_comes_back),
		TEST(test_deployment_deletion_takes_all), TEST(test_foreground_deletion),
		TEST(test_orphan_deletion_and_adoption), TEST(test_namespace_deletion),
		TEST(test_endpoints_follow_pods), TEST(test_refused_until_the_node_fits),
		TEST(test_handover_wants_a_fence), TEST(test_explain_survives_a_restart),
		TEST(test_forty_at_once_never_overcommit), TEST(test_pods_of_a_deleted_node_move),
		TEST(test_pod_security_is_kept), TEST(test_events_are_counted_not_repeated),
		TEST(test_watch_that_fell_behind),
		TEST(test_pods_that_change_while_they_are_placed),
		TEST(test_nothing_is_written_past_the_fence), TEST(test_metrics)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	cmocka_set_test_filter(getenv("CONTROL_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
