/* Each reconciler as what it is: a function of a view. No store, no loop. */
#include "control/step_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

/* ---- the view ---- */

static void test_view_reads_its_writes(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_configmap, "{'metadata':{'name':'a','namespace':'x','uid':'u1'}}");
	const struct object *o = view_get(b->view, &kind_configmap, "x", "a");
	assert_non_null(o);
	struct object *kept = object_ref(o), *previous = NULL;
	const char *key = "core/configmaps/x/a";
	/* The commit's own answer: deleted at 5. The watch still brings 3, then 5. */
	assert_true(view_apply(b->view, key, NULL, 5, &previous));
	object_unref(previous);
	assert_null(view_get_key(b->view, key));
	assert_false(view_apply(b->view, key, kept, 3, &previous));
	view_delivered(b->view, key, 3);
	assert_null(view_get_key(b->view, key));
	assert_false(view_apply(b->view, key, NULL, 5, &previous));
	view_delivered(b->view, key, 5);
	assert_int_equal(view_count(b->view), 0);
	assert_true(view_apply(b->view, key, kept, 6, &previous));
	assert_null(previous);
	assert_int_equal(view_list(b->view, &kind_configmap, "x").count, 1);
	assert_ptr_equal(view_get_uid(b->view, "u1"), kept);
	object_unref(kept);
}

/* ---- deployment ---- */

#define DEPLOYMENT(replicas, image)                                                                \
	"{'metadata':{'name':'web','namespace':'s','uid':'d1','generation':1},'spec':{"            \
	"'replicas':" replicas ",'selector':{'matchLabels':{'app':'web'}},'template':{"            \
	"'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c','image':'" image    \
	"'}]}}}}"

static const char *created_name(struct bench *b)
{
	const struct control_write *w = bench_only_write(b, CONTROL_CREATE, &kind_replicaset);
	return json_text(w->tree, "", "metadata", "name");
}

static void test_deployment_creates_one_set(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_deployment, DEPLOYMENT("3", "i:1"));
	assert_int_equal(bench_run(b, &reconciler_deployment, "apps/deployments/s/web"), 0);
	const struct control_write *w = bench_only_write(b, CONTROL_CREATE, &kind_replicaset);
	assert_int_equal(json_int(w->tree, 0, "spec", "replicas"), 3);
	const char *hash = json_text(w->tree, "", "metadata", "labels", "pod-template-hash");
	char first[64], name[80];
	str_copy(first, sizeof(first), hash);
	snprintf(name, sizeof(name), "web-%s", first);
	assert_string_equal(json_text(w->tree, "", "metadata", "name"), name);
	assert_string_equal(json_text(w->tree, "", "spec", "selector", "matchLabels",
				    "pod-template-hash"),
		first);
	assert_string_equal(json_text(w->tree, "", "spec", "template", "metadata", "labels",
				    "pod-template-hash"),
		first);
	bench_put(b, &kind_deployment,
		DEPLOYMENT("9", "i:1")); /* the same template: the same hash */
	bench_run(b, &reconciler_deployment, "apps/deployments/s/web");
	assert_string_equal(created_name(b), name);
	bench_put(b, &kind_deployment, DEPLOYMENT("9", "i:2"));
	bench_run(b, &reconciler_deployment, "apps/deployments/s/web");
	assert_string_not_equal(created_name(b), name);
}

static void put_set(struct bench *b, const char *name, const char *hash, int replicas)
{
	CLEANUP(mem_free_ptr)
	char *text = mem_format(
		"{'metadata':{'name':'%s','namespace':'s','uid':'%s','generation':1,'labels':{"
		"'app':'web','pod-template-hash':'%s'},'annotations':{"
		"'deployment.kubernetes.io/revision':'1'},'ownerReferences':[{'apiVersion':"
		"'apps/v1','kind':'Deployment','name':'web','uid':'d1','controller':true}]},"
		"'spec':{'replicas':%d,'selector':{'matchLabels':{'app':'web'}},'template':{"
		"'metadata':{'labels':{'app':'web','pod-template-hash':'%s'}},'spec':{"
		"'containers':[{'name':'c','image':'i:0'}]}}},'status':{'replicas':%d,"
		"'readyReplicas':%d,'availableReplicas':%d}}",
		name, name, hash, replicas, hash, replicas, replicas, replicas);
	bench_put(b, &kind_replicaset, text);
}

static void put_pod(struct bench *b, const char *name, const char *owner, const char *rest)
{
	CLEANUP(mem_free_ptr)
	char *text = mem_format("{'metadata':{'name':'%s','namespace':'s','uid':'%s','labels':{'"
				"app':'web'}%s%s%s%s}",
		name, name,
		*owner ? ",'ownerReferences':[{'apiVersion':'apps/v1','kind':'ReplicaSet',"
			 "'name':'r','controller':true,'uid':'"
		       : "",
		owner, *owner ? "'}]" : "", rest);
	bench_put(b, &kind_pod, text);
}

static void test_deployment_waits_for_old_pods(void **state)
{
	struct bench *b = *state;
	const char *key = "apps/deployments/s/web";
	bench_put(b, &kind_deployment, DEPLOYMENT("2", "i:1"));
	put_set(b, "old", "oldhash", 2);
	put_pod(b, "p1", "old", "},'spec':{'nodeName':'n'}");
	bench_run(b, &reconciler_deployment, key);
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_replicaset), 0);
	const struct control_write *w = bench_only_write(b, CONTROL_UPDATE, &kind_replicaset);
	assert_int_equal(json_int(w->tree, -1, "spec", "replicas"), 0);
	put_set(b, "old", "oldhash", 0);
	bench_run(b, &reconciler_deployment, key);
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_replicaset), 0);
	bench_drop(b, "core/pods/s/p1");
	bench_run(b, &reconciler_deployment, key);
	w = bench_only_write(b, CONTROL_CREATE, &kind_replicaset);
	assert_string_equal(json_text(w->tree, "", "metadata", "annotations",
				    "deployment.kubernetes.io/revision"),
		"2");
}

static void test_deployment_status(void **state)
{
	struct bench *b = *state;
	const char *key = "apps/deployments/s/web";
	bench_put(b, &kind_deployment, DEPLOYMENT("2", "i:1"));
	bench_run(b, &reconciler_deployment, key);
	char hash[64];
	const struct control_write *w = bench_only_write(b, CONTROL_CREATE, &kind_replicaset);
	str_copy(hash, sizeof(hash),
		json_text(w->tree, "", "metadata", "labels", "pod-template-hash"));
	put_set(b, "web-x", hash, 2);
	bench_run(b, &reconciler_deployment, key);
	w = bench_only_write(b, CONTROL_STATUS, &kind_deployment);
	assert_int_equal(json_int(w->tree, 0, "status", "readyReplicas"), 2);
	assert_int_equal(json_int(w->tree, 0, "status", "updatedReplicas"), 2);
	assert_int_equal(json_int(w->tree, 0, "status", "observedGeneration"), 1);
	const json_t *conditions = json_at(w->tree, "status", "conditions");
	assert_string_equal(json_text(json_array_get(conditions, 0), "", "status"), "True");
	assert_string_equal(json_text(json_array_get(conditions, 1), "", "reason"),
		"NewReplicaSetAvailable");
	CLEANUP(mem_free_ptr) char *text = json_dumps(w->tree, JSON_COMPACT);
	bench_put(b, &kind_deployment, text);
	bench_run(b, &reconciler_deployment, key);
	assert_int_equal(b->out.writes.count, 0); /* it converged */
}

/* ---- replicaset ---- */

static const char set_key[] = "apps/replicasets/s/r";

static void test_replicaset_creates_in_bursts(void **state)
{
	struct bench *b = *state;
	put_set(b, "r", "h", 1000);
	bench_run(b, &reconciler_replicaset, set_key);
	size_t pods = bench_count_writes(b, CONTROL_CREATE, &kind_pod);
	assert_in_range(pods, 10, 99);
	const json_t *pod = b->out.writes.items[0].tree;
	assert_string_equal(json_text(pod, "", "metadata", "generateName"), "r-");
	assert_string_equal(json_text(pod, "", "metadata", "labels", "pod-template-hash"), "h");
	const json_t *owner = json_array_get(json_at(pod, "metadata", "ownerReferences"), 0);
	assert_string_equal(json_text(owner, "", "uid"), "r");
	assert_true(json_bool(owner, false, "controller"));
	assert_true(json_bool(owner, false, "blockOwnerDeletion"));
}

static void test_replicaset_deletes_the_right_ones(void **state)
{
	struct bench *b = *state;
	put_set(b, "r", "h", 2);
	put_pod(b, "ready", "r",
		"},'spec':{'nodeName':'n'},'status':{'phase':'Running','conditions':[{'type':"
		"'Ready','status':'True'}]}");
	put_pod(b, "unready", "r", "},'spec':{'nodeName':'n'},'status':{'phase':'Running'}");
	put_pod(b, "starting", "r", "},'spec':{'nodeName':'n'}");
	put_pod(b, "waiting", "r", "}");
	put_pod(b, "going", "r", ",'deletionTimestamp':'2026-01-01T00:00:00Z'}");
	put_pod(b, "over", "r", "},'status':{'phase':'Failed'}");
	bench_run(b, &reconciler_replicaset, set_key);
	assert_int_equal(bench_count_writes(b, CONTROL_DELETE, &kind_pod), 2);
	assert_string_equal(b->out.writes.items[0].base->name, "waiting");
	assert_string_equal(b->out.writes.items[1].base->name, "starting");
	put_set(b, "r", "h", 5);
	bench_run(b, &reconciler_replicaset, set_key);
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_pod), 1);
	const struct control_write *w = bench_only_write(b, CONTROL_STATUS, &kind_replicaset);
	assert_int_equal(json_int(w->tree, 0, "status", "replicas"), 4);
	assert_int_equal(json_int(w->tree, 0, "status", "readyReplicas"), 1);
}

static void test_replicaset_adopts(void **state)
{
	struct bench *b = *state;
	put_set(b, "r", "h", 1);
	put_pod(b, "mine", "", "}");
	bench_put(b, &kind_pod,
		"{'metadata':{'name':'other','namespace':'s','uid':'o','labels':{'app':'db'}}}");
	bench_run(b, &reconciler_replicaset, set_key);
	const struct control_write *w = bench_only_write(b, CONTROL_UPDATE, &kind_pod);
	assert_string_equal(w->base->name, "mine");
	/* It counts at once: none is made beside it. */
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_pod), 0);
}

static void test_replicaset_keeps_pod_security(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_replicaset,
		"{'metadata':{'name':'r','namespace':'s','uid':'r'},'spec':{'replicas':1,"
		"'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},"
		"'spec':{'hostPID':true,'containers':[{'name':'c','image':'i'}]}}}}");
	assert_int_equal(bench_run(b, &reconciler_replicaset, set_key), -ERR_FORBIDDEN);
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_pod), 0);
	assert_string_equal(b->out.events.items[0].reason, "FailedCreate");
	bench_put(b, &kind_namespace,
		"{'metadata':{'name':'s','labels':{'pod-security.kubernetes.io/enforce':"
		"'privileged'}}}");
	assert_int_equal(bench_run(b, &reconciler_replicaset, set_key), 0);
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_pod), 1);
}

/* ---- endpoints ---- */

static void test_endpoints_conditions_and_ports(void **state)
{
	struct bench *b = *state;
	const char *key = "core/services/s/web";
	bench_put(b, &kind_service,
		"{'metadata':{'name':'web','namespace':'s','uid':'svc'},'spec':{'selector':{'app':"
		"'web'},'ports':[{'name':'h','port':80,'targetPort':'http'},{'name':'m','port':"
		"9100}]}}");
	bench_put(b, &kind_node,
		"{'metadata':{'name':'n','labels':{'topology.kubernetes.io/zone':'z1'}}}");
	const char *ready = ",'conditions':[{'type':'Ready','status':'True'}]";
	for (int i = 0; i < 3; i++) {
		CLEANUP(mem_free_ptr) char *name = mem_format("p%d", i);
		CLEANUP(mem_free_ptr)
		char *rest = mem_format(
			"%s},'spec':{'nodeName':'n','containers':[{'name':'c','image':'i','ports':["
			"{"
			"'name':'http','containerPort':%d}]}]},'status':{'phase':'Running','podIP':"
			"'10.0.0.%d'%s}",
			i == 2 ? ",'deletionTimestamp':'2026-01-01T00:00:00Z'" : "",
			i == 1 ? 8081 : 8080, i + 1, i == 1 ? "" : ready);
		put_pod(b, name, "", rest);
	}
	bench_run(b, &reconciler_endpoints, key);
	assert_int_equal(bench_count_writes(b, CONTROL_CREATE, &kind_endpointslice), 2);
	const json_t *slice = b->out.writes.items[0].tree;
	assert_string_equal(json_text(slice, "", "metadata", "labels",
				    "kubernetes.io/service-name"),
		"web");
	const json_t *ports = json_object_get(slice, "ports");
	assert_int_equal(json_int(json_array_get(ports, 0), 0, "port"), 8080);
	assert_int_equal(json_int(json_array_get(ports, 1), 0, "port"), 9100);
	const json_t *list = json_object_get(slice, "endpoints");
	assert_int_equal(json_array_size(list), 2);
	const json_t *first = json_array_get(list, 0), *going = json_array_get(list, 1);
	assert_string_equal(json_text(first, "", "zone"), "z1");
	assert_string_equal(json_text(first, "", "nodeName"), "n");
	assert_true(json_bool(first, false, "conditions", "ready"));
	assert_false(json_bool(going, true, "conditions", "ready"));
	assert_true(json_bool(going, false, "conditions", "serving"));
	assert_true(json_bool(going, false, "conditions", "terminating"));
}

static void test_service_without_selector_is_left_alone(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_service,
		"{'metadata':{'name':'web','namespace':'s','uid':'svc'},'spec':{'ports':[{'port':"
		"80}]}}");
	bench_run(b, &reconciler_endpoints, "core/services/s/web");
	assert_int_equal(b->out.writes.count, 0);
}

/* ---- garbage, namespace, nodes ---- */

static void test_garbage_without_owner_goes(void **state)
{
	struct bench *b = *state;
	put_pod(b, "p", "gone", "}");
	bench_run(b, &reconciler_garbage, "core/pods/s/p");
	assert_string_equal(bench_only_write(b, CONTROL_DELETE, &kind_pod)->base->name, "p");
	bench_put(b, &kind_configmap, "{'metadata':{'name':'owner','namespace':'s','uid':'gone'}}");
	bench_run(b, &reconciler_garbage, "core/pods/s/p");
	assert_int_equal(b->out.writes.count, 0);
}

static void test_garbage_keeps_what_has_another_owner(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_configmap, "{'metadata':{'name':'owner','namespace':'s','uid':'here'}}");
	bench_put(b, &kind_secret,
		"{'metadata':{'name':'x','namespace':'s','uid':'x','ownerReferences':[{"
		"'apiVersion':'v1','kind':'ConfigMap','name':'a','uid':'gone'},{'apiVersion':'v1',"
		"'kind':'ConfigMap','name':'owner','uid':'here'}]}}");
	bench_run(b, &reconciler_garbage, "core/secrets/s/x");
	const struct control_write *w = bench_only_write(b, CONTROL_UPDATE, &kind_secret);
	const json_t *owners = json_at(w->tree, "metadata", "ownerReferences");
	assert_int_equal(json_array_size(owners), 1);
	assert_string_equal(json_text(json_array_get(owners, 0), "", "uid"), "here");
}

static void test_foreground_waits_for_blocking_dependents(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_configmap,
		"{'metadata':{'name':'o','namespace':'s','uid':'own','deletionTimestamp':"
		"'2026-01-01T00:00:00Z','finalizers':['foregroundDeletion','x.io/keep']}}");
	bench_put(b, &kind_secret,
		"{'metadata':{'name':'x','namespace':'s','uid':'x','finalizers':['x.io/y'],"
		"'ownerReferences':[{'apiVersion':'v1','kind':'ConfigMap','name':'o','uid':'own',"
		"'blockOwnerDeletion':true}]}}");
	const char *key = "core/configmaps/s/o";
	bench_run(b, &reconciler_garbage, key);
	assert_int_equal(b->out.writes.count, 1);
	bench_only_write(b, CONTROL_DELETE, &kind_secret);
	bench_drop(b, "core/secrets/s/x");
	bench_run(b, &reconciler_garbage, key);
	const struct control_write *w = bench_only_write(b, CONTROL_UPDATE, &kind_configmap);
	const json_t *finalizers = json_at(w->tree, "metadata", "finalizers");
	assert_int_equal(json_array_size(finalizers), 1);
	assert_string_equal(json_string_value(json_array_get(finalizers, 0)), "x.io/keep");
}

static void test_namespace_goes_last(void **state)
{
	struct bench *b = *state;
	bench_put(b, &kind_namespace,
		"{'metadata':{'name':'s','uid':'ns','deletionTimestamp':'2026-01-01T00:00:00Z'},"
		"'spec':{'finalizers':['kubernetes']}}");
	put_pod(b, "p", "", "}");
	bench_put(b, &kind_configmap, "{'metadata':{'name':'c','namespace':'s','uid':'c'}}");
	bench_put(b, &kind_configmap, "{'metadata':{'name':'c','namespace':'t','uid':'c2'}}");
	bench_run(b, &reconciler_namespace, "core/namespaces//s");
	assert_int_equal(b->out.writes.count, 2);
	assert_int_equal(bench_count_writes(b, CONTROL_DELETE, &kind_pod), 1);
	bench_drop(b, "core/pods/s/p");
	bench_drop(b, "core/configmaps/s/c");
	bench_run(b, &reconciler_namespace, "core/namespaces//s");
	bench_only_write(b, CONTROL_DELETE, &kind_namespace);
}

static void test_pod_of_an_unknown_node(void **state)
{
	struct bench *b = *state;
	put_pod(b, "young", "",
		",'creationTimestamp':'2025-12-31T23:59:50Z'},'spec':{'nodeName':'nowhere'}");
	put_pod(b, "old", "",
		",'creationTimestamp':'2025-12-31T23:58:00Z'},'spec':{'nodeName':'nowhere'}");
	bench_run(b, &reconciler_nodes, "core/pods/s/young");
	assert_int_equal(b->out.writes.count, 0);
	assert_int_equal(b->out.requeue_ms, 30000);
	bench_run(b, &reconciler_nodes, "core/pods/s/old");
	bench_only_write(b, CONTROL_REMOVE, &kind_pod);
	bench_run(b, &reconciler_nodes, "core/nodes//nowhere"); /* deleted by somebody */
	assert_int_equal(bench_count_writes(b, CONTROL_REMOVE, &kind_pod), 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_view_reads_its_writes),
		TEST(test_deployment_creates_one_set), TEST(test_deployment_waits_for_old_pods),
		TEST(test_deployment_status), TEST(test_replicaset_creates_in_bursts),
		TEST(test_replicaset_deletes_the_right_ones), TEST(test_replicaset_adopts),
		TEST(test_replicaset_keeps_pod_security), TEST(test_endpoints_conditions_and_ports),
		TEST(test_service_without_selector_is_left_alone),
		TEST(test_garbage_without_owner_goes),
		TEST(test_garbage_keeps_what_has_another_owner),
		TEST(test_foreground_waits_for_blocking_dependents), TEST(test_namespace_goes_last),
		TEST(test_pod_of_an_unknown_node)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
