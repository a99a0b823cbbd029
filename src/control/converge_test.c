/* Many at once: 100 deployments of 10 replicas on 20 nodes come up, scale, change and go. */
#include "control/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define DEPLOYMENTS 100
#define REPLICAS 10
#define NODES 20

static int setup(void **state)
{
	struct world *w = world_new();
	world_namespace(w, "many");
	for (int i = 0; i < NODES; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%02d", i);
		world_node(w, name, i % 2 ? "a" : "b", "16");
	}
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

static void create(struct world *w, int number)
{
	CLEANUP(mem_free_ptr)
	char *text = mem_format(
		"{'metadata':{'name':'d%d','namespace':'many'},'spec':{'replicas':%d,"
		"'selector':{'matchLabels':{'app':'d%d'}},'template':{'metadata':{'labels':"
		"{'app':'d%d'}},'spec':{'containers':[{'name':'c','image':'r/d:1','resources':"
		"{'requests':{'cpu':'100m','memory':'64Mi'}}}]}}}}",
		number, REPLICAS, number, number);
	world_create(w, &kind_deployment, text);
}

/* No node has more pods than fit, and the pods are spread. */
static void assert_placed(struct world *w, size_t pods)
{
	struct store_list list;
	int64_t cpu[NODES] = {0};
	assert_int_equal(store_list(w->store, "core/pods/many/", NULL, 0, 0, &list, NULL), 0);
	assert_int_equal(list.count, pods);
	for (size_t i = 0; i < list.count; i++)
		cpu[atoi(list.objects[i]->node + 1)] += list.objects[i]->cpu_milli;
	for (int i = 0; i < NODES; i++) {
		assert_true(cpu[i] <= 16000);
		assert_true(cpu[i] >= (int64_t)pods * 100 / NODES * 8 / 10);
	}
	store_list_done(&list);
}

static void report(struct world *w, const char *what, int64_t since_ms)
{
	print_message("# %s: %lld ms\n", what, (long long)(loop_now_ms(w->loop) - since_ms));
}

static void test_a_thousand_pods(void **state)
{
	struct world *w = *state;
	int64_t start_ms = loop_now_ms(w->loop);
	for (int i = 0; i < DEPLOYMENTS; i++)
		create(w, i);
	world_until_ready(w, "many", DEPLOYMENTS * REPLICAS);
	report(w, "1000 pods ready", start_ms);
	assert_placed(w, DEPLOYMENTS * REPLICAS);
	start_ms = loop_now_ms(w->loop);
	for (int i = 0; i < DEPLOYMENTS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "d%d", i);
		world_patch(w, &kind_deployment, "many", name, "{'spec':{'replicas':5}}");
	}
	world_until_ready(w, "many", DEPLOYMENTS * REPLICAS / 2);
	report(w, "500 pods left", start_ms);
	start_ms = loop_now_ms(w->loop);
	world_patch(w, &kind_namespace, "", "many",
		"{'metadata':{'deletionTimestamp':'2026-01-01T00:00:00Z'},"
		"'status':{'phase':'Terminating'}}");
	world_until_count(w, &kind_namespace, "", 0);
	report(w, "namespace gone", start_ms);
	assert_int_equal(world_count(w, &kind_pod, "many"), 0);
	assert_int_equal(world_count(w, &kind_replicaset, "many"), 0);
}

static bool ready_30(void *arg)
{
	struct world *w = arg;
	CLEANUP(json_done) json_t *tree = world_get_tree(w, &kind_deployment, "many", "d30");
	return json_int(tree, 0, "status", "readyReplicas") == 30;
}

static void test_thirty_replicas(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_deployment,
		"{'metadata':{'name':'d30','namespace':'many'},'spec':{'replicas':30,"
		"'selector':{'matchLabels':{'app':'d30'}},'template':{'metadata':{'labels':"
		"{'app':'d30'}},'spec':{'containers':[{'name':'c','image':'r/d:1'}]}}}}");
	int64_t start_ms = loop_now_ms(w->loop);
	world_until_ready(w, "many", 30);
	report(w, "30 replicas ready", start_ms);
	world_until(w, ready_30, w);
	report(w, "and told", start_ms);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_a_thousand_pods), TEST(test_thirty_replicas)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
