/* Lost nodes: taints, the brake, eviction. */
#include "control/step_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

/* What the sessions say of every node that is not Ready. */
static struct control_node_state lost;
static const char *away;   /* Ready, but without a session */
static const char *back;   /* Ready again, but lately */
static const char *silent; /* Ready, and gave no sign of life when asked */

static struct control_node_state state_of(void *context, const char *name)
{
	struct bench *b = context;
	const struct object *node = view_get(b->view, &kind_node, "", name);
	if (node && node->ready)
		return (struct control_node_state){.connected = !str_equal(name, away),
			.back_lately = str_equal(name, back),
			.silent = str_equal(name, silent)};
	return lost;
}

static int setup(void **state)
{
	bench_setup(state);
	struct bench *b = *state;
	view_set_node_state(b->view, state_of, b);
	away = back = silent = "";
	lost = (struct control_node_state){.lost_ms = 1000, .evict_ms = 750};
	return 0;
}

static void put_node(struct bench *b, const char *name, const char *site, bool ready,
	const char *taints)
{
	CLEANUP(mem_free_ptr)
	char *text =
		mem_format("{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s','uid':'%s',"
			   "'labels':{'topology.kubernetes.io/zone':'%s'}},'spec':{'taints':[%s]},"
			   "'status':{'conditions':[{'type':'Ready','status':'%s'}]}}",
			name, name, site, taints, ready ? "True" : "Unknown");
	bench_put(b, &kind_node, text);
}

static void put_pod(struct bench *b, const char *name, const char *more_metadata,
	const char *more_spec)
{
	CLEANUP(mem_free_ptr)
	char *text = mem_format("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','"
				"namespace':'d','uid':'%s'%s},"
				"'spec':{'nodeName':'n0','containers':[{'name':'c','image':'i'}]%s}"
				",'status':{'phase':"
				"'Running','conditions':[{'type':'Ready','status':'True'}]}}",
		name, name, more_metadata, more_spec);
	bench_put(b, &kind_pod, text);
}

#define OWNED                                                                                      \
	",'ownerReferences':[{'apiVersion':'apps/v1','kind':'ReplicaSet','name':'r','uid':'r',"    \
	"'controller':true}]"

static const char *const unreachable = "{'key':'node.kubernetes.io/unreachable','effect':"
				       "'NoExecute','timeAdded':'2026-01-01T00:00:00Z'}";

static bool has_taint(const json_t *node, const char *effect)
{
	size_t i;
	json_t *taint;
	json_array_foreach (json_at(node, "spec", "taints"), i, taint)
		if (str_equal(json_text(taint, "", "effect"), effect))
			return true;
	return false;
}

static bool evicts(struct bench *b)
{
	assert_int_equal(bench_run(b, &reconciler_node_lifecycle, "core/nodes//n0"), 0);
	VEC_EACH (&b->out.writes, struct control_write, w)
		if (w->kind == &kind_node && has_taint(w->tree, "NoExecute"))
			return true;
	return false;
}

/* n0 and others of them, of which `gone` are lost, n0 first. */
static void put_nodes(struct bench *b, const char *site, int count, int gone)
{
	char name[16];
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s%d", str_equal(site, "a") ? "n" : site, i);
		put_node(b, name, site, i >= gone, "");
	}
}

static void a_lost_node_is_tainted_and_its_pods_are_not_ready(void **state)
{
	struct bench *b = *state;
	put_nodes(b, "a", 4, 1);
	put_pod(b, "p", OWNED, "");
	lost.lost_ms = 100;
	assert_false(evicts(b)); /* not yet */
	assert_int_equal(b->out.requeue_ms, 650);
	const struct control_write *node = bench_only_write(b, CONTROL_UPDATE, &kind_node);
	assert_true(has_taint(node->tree, "NoSchedule"));
	const struct control_write *pod = bench_only_write(b, CONTROL_STATUS, &kind_pod);
	const json_t *ready = json_array_get(json_at(pod->tree, "status", "conditions"), 0);
	assert_string_equal(json_text(ready, "", "status"), "False");
	lost.lost_ms = 750;
	assert_true(evicts(b));
	assert_int_equal(b->out.requeue_ms, 0);
}

static void a_node_that_is_back_loses_its_taints(void **state)
{
	struct bench *b = *state;
	put_nodes(b, "a", 4, 0);
	put_node(b, "n0", "a", true, unreachable);
	bench_run(b, &reconciler_node_lifecycle, "core/nodes//n0");
	const struct control_write *node = bench_only_write(b, CONTROL_UPDATE, &kind_node);
	assert_null(json_at(node->tree, "spec", "taints"));
	put_node(b, "n0", "a", true, "{'key':'mine','effect':'NoExecute'}");
	bench_run(b, &reconciler_node_lifecycle, "core/nodes//n0");
	assert_int_equal(bench_count_writes(b, CONTROL_UPDATE, &kind_node), 0);
}

static void the_brake_holds_when_half_of_all_is_lost(void **state)
{
	struct bench *b = *state;
	put_nodes(b, "a", 2, 1); /* sites of two do not count by themselves */
	put_nodes(b, "b", 2, 1);
	assert_false(evicts(b));
	assert_true(b->out.requeue_ms > 0);
	put_node(b, "b0", "b", true, "");
	assert_true(evicts(b));
}

static void the_brake_holds_when_half_of_the_site_is_lost(void **state)
{
	struct bench *b = *state;
	put_nodes(b, "b", 10, 0);
	put_nodes(b, "a", 4, 2);
	assert_false(evicts(b));
	put_node(b, "n1", "a", true, "");
	assert_true(evicts(b));
}

/* After a start the store still says of nodes that never came again that they are Ready. */
static void the_brake_counts_sessions(void **state)
{
	struct bench *b = *state;
	put_nodes(b, "a", 4, 1);
	away = "n1";
	assert_false(evicts(b));
	away = "";
	assert_true(evicts(b));
}

/* Two of four were lost, and one is back first. */
static void the_brake_counts_who_came_back_lately(void **state)
{
	struct bench *b = *state;
	put_nodes(b, "a", 4, 1);
	back = "n1";
	assert_false(evicts(b));
	assert_true(b->out.requeue_ms > 0);
	back = "";
	assert_true(evicts(b));
}

static void the_brake_counts_who_gives_no_sign_of_life(void **state)
{
	struct bench *b = *state;
	put_nodes(b, "a", 4, 1);
	silent = "n1";
	assert_false(evicts(b));
	assert_true(b->out.requeue_ms > 0);
	silent = "";
	assert_true(evicts(b));
}

static void a_server_that_began_lately_evicts_nobody(void **state)
{
	struct bench *b = *state;
	put_nodes(b, "a", 4, 1);
	lost.blind_ms = 5000;
	assert_false(evicts(b));
	assert_int_equal(b->out.requeue_ms, 5000);
	lost.blind_ms = 0;
	assert_true(evicts(b));
}

/* ---- who leaves ---- */

/* 0: it is deleted; -1: it stays; else when it is looked at again. */
static int64_t goes_after(struct bench *b, const char *pod)
{
	char key[64];
	snprintf(key, sizeof(key), "core/pods/d/%s", pod);
	assert_int_equal(bench_run(b, &reconciler_taint_eviction, key), 0);
	if (bench_count_writes(b, CONTROL_DELETE, &kind_pod))
		return 0;
	return b->out.requeue_ms ? b->out.requeue_ms : -1;
}

static void pods_that_are_replaced_leave_a_lost_node(void **state)
{
	struct bench *b = *state;
	put_node(b, "n0", "a", false, unreachable);
	put_pod(b, "owned", OWNED, "");
	put_pod(b, "alone", "", "");
	put_pod(b, "keep", OWNED ",'annotations':{'continuo.dev/singleton':'keep'}", "");
	put_pod(b, "lease", OWNED ",'annotations':{'continuo.dev/singleton':'handover'}", "");
	assert_int_equal(goes_after(b, "owned"), 0);
	assert_int_equal(goes_after(b, "alone"), -1);
	assert_int_equal(goes_after(b, "keep"), -1);
	assert_int_equal(goes_after(b, "lease"), -1);
}

static void whoever_is_tainted_by_a_person_is_left_by_all(void **state)
{
	struct bench *b = *state;
	put_node(b, "n0", "a", true, "{'key':'service','value':'due','effect':'NoExecute'}");
	put_pod(b, "alone", "", "");
	put_pod(b, "keep", OWNED ",'annotations':{'continuo.dev/singleton':'keep'}", "");
	put_pod(b, "other", "",
		",'tolerations':[{'key':'service','value':'none','effect':'NoExecute'}]");
	put_pod(b, "stays", "", ",'tolerations':[{'key':'service','value':'due'}]");
	put_pod(b, "schedule", "",
		",'tolerations':[{'key':'service','operator':'Exists','effect':'NoSchedule'}]");
	assert_int_equal(goes_after(b, "alone"), 0);
	assert_int_equal(goes_after(b, "keep"), 0);
	assert_int_equal(goes_after(b, "other"), 0);
	assert_int_equal(goes_after(b, "stays"), -1);
	assert_int_equal(goes_after(b, "schedule"), 0);
}

static void a_toleration_may_end(void **state)
{
	struct bench *b = *state;
	put_node(b, "n0", "a", false, unreachable);
	put_pod(b, "soon", OWNED, ",'tolerations':[{'operator':'Exists','tolerationSeconds':60}]");
	put_pod(b, "never", OWNED, ",'tolerations':[{'operator':'Exists'}]");
	put_pod(b, "shortest", OWNED,
		",'tolerations':[{'operator':'Exists'},{'operator':'Exists','effect':'NoExecute',"
		"'tolerationSeconds':0}]");
	assert_int_equal(goes_after(b, "soon"), 60000);
	assert_int_equal(goes_after(b, "never"), -1);
	assert_int_equal(goes_after(b, "shortest"), 0);
	put_node(b, "n0", "a", false,
		"{'key':'node.kubernetes.io/unreachable','effect':'NoExecute','timeAdded':"
		"'2025-12-31T23:59:00Z'}");
	assert_int_equal(goes_after(b, "soon"), 0);
}

/* The server died while it ran: nobody may go before the node could come back. */
static void a_toleration_does_not_end_while_it_is_we_who_are_blind(void **state)
{
	struct bench *b = *state;
	static const char *const long_ago = "{'key':'node.kubernetes.io/unreachable','effect':"
					    "'NoExecute','timeAdded':'2025-12-31T23:00:00Z'}";
	put_node(b, "n0", "a", false, long_ago);
	put_pod(b, "p", OWNED, ",'tolerations':[{'operator':'Exists','tolerationSeconds':60}]");
	lost.blind_ms = 5000;
	assert_int_equal(goes_after(b, "p"), 5000);
	lost.blind_ms = 0;
	assert_int_equal(goes_after(b, "p"), 0);
	put_node(b, "n0", "a", true, long_ago); /* it is back, and its taint is about to go */
	assert_true(goes_after(b, "p") > 0);
}

static void put_node_with(struct bench *b, const char *spec, const char *pressure)
{
	CLEANUP(mem_free_ptr)
	char *text = mem_format("{'apiVersion':'v1','kind':'Node','metadata':{'name':'n0','uid':"
				"'n0'},'spec':{%s},'status':{'conditions':[{'type':'Ready',"
				"'status':'True'},{'type':'DiskPressure','status':'%s'}]}}",
		spec, pressure);
	bench_put(b, &kind_node, text);
}

static void a_node_without_room_gets_no_pods(void **state)
{
	static const char *const taint = "'taints':[{'key':'node.kubernetes.io/disk-pressure',"
					 "'effect':'NoSchedule'}]";
	struct bench *b = *state;
	put_node_with(b, "", "True");
	assert_int_equal(bench_run(b, &reconciler_node_pressure, "core/nodes//n0"), 0);
	const struct control_write *w = bench_only_write(b, CONTROL_UPDATE, &kind_node);
	assert_true(has_taint(w->tree, "NoSchedule"));
	put_node_with(b, taint, "True"); /* nothing to do */
	assert_int_equal(bench_run(b, &reconciler_node_pressure, "core/nodes//n0"), 0);
	assert_int_equal(bench_count_writes(b, CONTROL_UPDATE, &kind_node), 0);
	put_node_with(b, taint, "False");
	assert_int_equal(bench_run(b, &reconciler_node_pressure, "core/nodes//n0"), 0);
	w = bench_only_write(b, CONTROL_UPDATE, &kind_node);
	assert_false(has_taint(w->tree, "NoSchedule"));
	bench_put(b, &kind_node,
		"{'apiVersion':'v1','kind':'Node','metadata':{'name':'n0','uid':'n0'},'spec':{"
		"'taints':[{'key':'node.kubernetes.io/disk-pressure','effect':'NoSchedule'}]},"
		"'status':{'conditions':[{'type':'DiskPressure','status':'False'},{'type':"
		"'NetworkUnavailable','status':'True'}]}}"); /* one for the other */
	assert_int_equal(bench_run(b, &reconciler_node_pressure, "core/nodes//n0"), 0);
	w = bench_only_write(b, CONTROL_UPDATE, &kind_node);
	assert_int_equal(json_array_size(json_at(w->tree, "spec", "taints")), 1);
	assert_string_equal(json_text(json_array_get(json_at(w->tree, "spec", "taints"), 0), "",
				    "key"),
		"node.kubernetes.io/network-unavailable");
	put_node(b, "n0", "a", true, unreachable); /* says nothing of its disk */
	assert_int_equal(bench_run(b, &reconciler_node_pressure, "core/nodes//n0"), 0);
	assert_int_equal(bench_count_writes(b, CONTROL_UPDATE, &kind_node), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, bench_teardown)
		TEST(a_lost_node_is_tainted_and_its_pods_are_not_ready),
		TEST(a_node_that_is_back_loses_its_taints),
		TEST(the_brake_holds_when_half_of_all_is_lost),
		TEST(the_brake_holds_when_half_of_the_site_is_lost),
		TEST(the_brake_counts_sessions),
		TEST(the_brake_counts_who_came_back_lately),
		TEST(the_brake_counts_who_gives_no_sign_of_life),
		TEST(a_server_that_began_lately_evicts_nobody),
		TEST(pods_that_are_replaced_leave_a_lost_node),
		TEST(whoever_is_tainted_by_a_person_is_left_by_all),
		TEST(a_toleration_may_end),
		TEST(a_toleration_does_not_end_while_it_is_we_who_are_blind),
		TEST(a_node_without_room_gets_no_pods),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
