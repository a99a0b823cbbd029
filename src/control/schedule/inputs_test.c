/* What placement is told: Sites, nodes' figures, the countries of data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "control/schedule/nodespec.h"
#include "control/schedule/sites.h"
#include "control/testing.h"
#include "model/application.h"
#include "model/node_figures.h"
#include "place/tables.h"

/* ---- sites ---- */

struct ground {
	struct place *place;
	struct map sites;
};

static int set_up_ground(void **state)
{
	struct ground *g = mem_new(struct ground);
	g->place = place_new();
	map_init(&g->sites, sites_free_row);
	*state = g;
	return 0;
}

static int tear_down_ground(void **state)
{
	struct ground *g = *state;
	map_done(&g->sites);
	place_free(g->place);
	free(g);
	return 0;
}

static bool put_site(struct ground *g, const char *name, const char *spec)
{
	CLEANUP(mem_free_ptr)
	char *text = mem_format("{'metadata':{'name':'%s'},'spec':%s}", name, spec);
	CLEANUP(json_done) json_t *tree = world_tree(text);
	CLEANUP(object_done) struct object *o = NULL;
	struct err e = ERR_INIT;
	bool moved;
	assert_int_equal(object_from_json(&kind_site, tree, &o, NULL), 0);
	if (sites_change(&g->sites, g->place, name, o, &moved, &e) != 0)
		fail_msg("%s", e.text);
	return moved;
}

static uint32_t site_index(struct ground *g, const char *name)
{
	for (uint32_t i = 0; i < g->place->sites.count; i++)
		if (str_equal(g->place->sites.items[i].facts.name, name))
			return i;
	fail_msg("no site %s", name);
	return 0;
}

static void expect_path(struct ground *g, const char *from, const char *to, double latency_ms,
	double bits_per_s)
{
	const struct path *path = place_path_find(g->place, site_index(g, from), site_index(g, to));
	if (!path)
		fail_msg("no path from %s to %s", from, to);
	else if (path->latency_ms != latency_ms || path->bits_per_s != bits_per_s)
		fail_msg("%s to %s: %g ms, %g bit/s", from, to, path->latency_ms, path->bits_per_s);
}

static void expect_no_path(struct ground *g, const char *from, const char *to)
{
	assert_null(place_path_find(g->place, site_index(g, from), site_index(g, to)));
}

static void test_a_site_is_in_the_tables(void **state)
{
	struct ground *g = *state;
	assert_true(put_site(g, "a",
		"{'country':'DE','electricity':{'pricePerKWh':0.28,'carbonGramsPerKWh':350},"
		"'traffic':{'pricePerGigabyteOut':0.02}}"));
	const struct place_site *site = &g->place->sites.items[site_index(g, "a")].facts;
	assert_string_equal(site->country, "DE");
	assert_true(site->price_per_kwh == 0.28 && site->carbon_g_per_kwh == 350);
	assert_true(site->price_per_gigabyte_out == 0.02);
	assert_string_equal(sites_country(&g->sites, "a"), "DE");
	assert_false(put_site(g, "a", "{'country':'DE'}"));
	site = &g->place->sites.items[site_index(g, "a")].facts;
	assert_true(site->price_per_kwh == 0);
	assert_true(put_site(g, "a", "{}"));
	assert_null(sites_country(&g->sites, "a"));
	assert_null(sites_country(&g->sites, "b"));
	assert_null(sites_country(&g->sites, NULL));
}

static void test_paths_hold_both_ways_unless_stated(void **state)
{
	struct ground *g = *state;
	put_site(g, "a", "{'paths':[{'to':'b','latency':'9ms','bandwidth':'1G'},{'to':'c'}]}");
	expect_path(g, "a", "b", 9, 1e9);
	expect_path(g, "b", "a", 9, 1e9);
	expect_path(g, "c", "a", 0, SITES_UNLIMITED);
	put_site(g, "b", "{'paths':[{'to':'a','latency':'12ms'}]}");
	expect_path(g, "a", "b", 9, 1e9);
	expect_path(g, "b", "a", 12, SITES_UNLIMITED);
	/* What a no longer says, b's statement stands for. */
	put_site(g, "a", "{}");
	expect_path(g, "a", "b", 12, SITES_UNLIMITED);
	expect_no_path(g, "a", "c");
	bool moved;
	assert_int_equal(sites_change(&g->sites, g->place, "b", NULL, &moved, NULL), 0);
	expect_no_path(g, "a", "b");
	expect_no_path(g, "b", "a");
}

static void expect_carbon(struct ground *g, const char *at, double carbon)
{
	int64_t wall_ms = 0;
	assert_int_equal(time_parse(at, &wall_ms, NULL), 0);
	assert_int_equal(sites_turn_hour(&g->sites, g->place, wall_ms, NULL), 0);
	assert_true(g->place->sites.items[site_index(g, "a")].facts.carbon_g_per_kwh == carbon);
}

static void test_carbon_is_that_of_the_day_ahead(void **state)
{
	struct ground *g = *state;
	put_site(g, "a",
		"{'electricity':{'carbonGramsPerKWh':300,'carbonForecast':{'start':'2026-12-01T12:"
		"00:00Z',"
		"'gramsPerKWh':[0,0,0,0,0,0,120,120,120,120,120,120]}}}");
	expect_carbon(g, "2026-12-01T12:59:00Z", 180);
	expect_carbon(g, "2026-12-01T18:00:00Z", 255);
	expect_carbon(g, "2026-11-30T18:59:59Z", 225);
	expect_carbon(g, "2026-11-30T12:00:00Z", 300);
	expect_carbon(g, "2026-12-03T00:00:00Z", 300);
	put_site(g, "a", "{'electricity':{'carbonGramsPerKWh':50}}");
	expect_carbon(g, "2026-12-01T12:00:00Z", 50);
}

/* ---- nodes ---- */

static void test_figures(void **state)
{
	(void)state;
	static const struct {
		const char *annotations, *trust;
		double idle, full, price;
		int rank;
		const char *problem;
	} rows[] = {{"'a':'b'", "", 0, 0, 0, 0, ""},
		{"'continuo.dev/idle-watts':'12.5','continuo.dev/full-watts':'90',"
		 "'continuo.dev/price-per-hour':'0.0004'",
			"'continuo.dev/trust':'80'", 12.5, 90, 0.0004, 80, ""},
		{"'continuo.dev/full-watts':'1k'", "", 0, 1000, 0, 0, ""},
		{"'continuo.dev/idle-watts':'NaN'", "", 0, 0, 0, 0,
			"annotation continuo.dev/idle-watts: \"NaN\" is no number of 0 or more"},
		{"'continuo.dev/idle-watts':''", "", 0, 0, 0, 0, "\"\" is no number"},
		{"'continuo.dev/price-per-hour':'-1'", "", 0, 0, 0, 0, "\"-1\" is no number"},
		{"'continuo.dev/price-per-hour':'1e9'", "", 0, 0, 1000000, 0,
			"\"1e9\" is more than there can be"},
		{"'continuo.dev/price-per-hour':'1e90'", "", 0, 0, 0, 0, "\"1e90\" is no number"},
		{"'continuo.dev/idle-watts':'9','continuo.dev/full-watts':'8'", "", 9, 9, 0, 0,
			"\"8\" is less than continuo.dev/idle-watts"},
		{"", "'continuo.dev/trust':'101'", 0, 0, 0, 100,
			"label continuo.dev/trust: \"101\" is no whole number from 0 to 100"},
		{"", "'continuo.dev/trust':'-1'", 0, 0, 0, 0, "\"-1\""},
		{"", "'continuo.dev/trust':'high'", 0, 0, 0, 0, "\"high\""}};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(mem_free_ptr)
		char *text = mem_format("{'metadata':{'annotations':{%s},'labels':{%s}}}",
			rows[i].annotations, rows[i].trust);
		CLEANUP(json_done) json_t *node = world_tree(text);
		CLEANUP(buf_done) struct buf problems = BUF_INIT;
		struct node_figures f;
		node_figures_read(node, &f, &problems);
		if (*rows[i].problem ? !strstr(buf_text(&problems), rows[i].problem)
				     : problems.size)
			fail_msg("%s: %s", text, buf_text(&problems));
		assert_true(f.idle_watts == rows[i].idle && f.full_watts == rows[i].full);
		assert_true(f.price_per_hour == rows[i].price);
		assert_int_equal(f.trust, rows[i].rank);
	}
}

struct reading {
	struct arena arena;
	struct buf problems;
	struct object *object;
	json_t *tree;
	struct place_node node;
};

static void read_node(struct reading *r, json_t *tree, const char *country)
{
	*r = (struct reading){.tree = tree};
	assert_int_equal(object_from_json(&kind_node, tree, &r->object, NULL), 0);
	nodespec_read(tree, r->object, true, country, &r->arena, &r->node, &r->problems);
	struct place *p = place_new();
	struct err e = ERR_INIT;
	uint32_t index;
	if (place_node_set(p, &r->node, &index, &e) != 0) /* whatever it was */
		fail_msg("%s", e.text);
	place_free(p);
}

static void reading_done(struct reading *r)
{
	object_unref(r->object);
	json_decref(r->tree);
	buf_done(&r->problems);
	arena_done(&r->arena);
}

static const char *label_of(const struct reading *r, const char *key)
{
	for (uint32_t i = 0; i < r->node.label_count; i++)
		if (str_equal(r->node.labels[i].key, key))
			return r->node.labels[i].value;
	return NULL;
}

static void test_a_node_says_what_it_is(void **state)
{
	(void)state;
	CLEANUP(reading_done) struct reading r;
	read_node(&r,
		world_tree("{'metadata':{'name':'n','labels':{'topology.kubernetes.io/region':'FR',"
			   "'topology.kubernetes.io/zone':'paris','continuo.dev/country':'XX',"
			   "'continuo.dev/trust':'70'}},'status':{'nodeInfo':{"
			   "'containerRuntimeVersion':'oci://"
			   "crun-1.8.1'},'allocatable':{'cpu':'2'}}}"),
		NULL);
	assert_string_equal(label_of(&r, NODESPEC_COUNTRY_LABEL), "FR");
	assert_string_equal(label_of(&r, "kubernetes.io/hostname"), "n");
	assert_string_equal(r.node.site, "paris");
	assert_int_equal(r.node.trust, 70);
	assert_int_equal(r.node.runtime_count, 2);
	assert_string_equal(r.node.runtimes[0], "oci");
	assert_string_equal(r.node.runtimes[1], "crun");
	assert_int_equal(r.problems.size, 0);
}

static void test_the_site_says_the_country(void **state)
{
	(void)state;
	CLEANUP(reading_done) struct reading r;
	read_node(&r,
		world_tree("{'metadata':{'name':'n','labels':{'topology.kubernetes.io/"
			   "region':'FR'}}}"),
		"DE");
	assert_string_equal(label_of(&r, NODESPEC_COUNTRY_LABEL), "DE");
	CLEANUP(reading_done) struct reading other;
	read_node(&other,
		world_tree("{'metadata':{'name':'n','labels':{'topology.kubernetes.io/region':"
			   "'eu-west-1','continuo.dev/country':'DE'}}}"),
		NULL);
	assert_null(label_of(&other, NODESPEC_COUNTRY_LABEL));
}

static void test_what_the_engine_cannot_take_is_told(void **state)
{
	(void)state;
	json_t *tree =
		world_tree("{'metadata':{'name':'n','labels':{},'annotations':{"
			   "'continuo.dev/idle-watts':'much'}},'spec':{'taints':[]},"
			   "'status':{'allocatable':{'cpu':'-1','memory':'9Ei','pods':'x'}}}");
	char name[40];
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		json_object_set_new(json_at(tree, "metadata", "labels"), name, json_string("v"));
		json_array_append_new(json_at(tree, "spec", "taints"),
			json_pack("{s:s, s:s}", "key", name, "effect", "NoSchedule"));
		snprintf(name, sizeof(name), "example.com/r%d", i);
		json_object_set_new(json_at(tree, "status", "allocatable"), name, json_string("1"));
	}
	CLEANUP(reading_done) struct reading r;
	read_node(&r, tree, "DE");
	static const char *const told[] = {"continuo.dev/idle-watts: \"much\" is no number",
		"302 labels, of which placement looks at the first 256",
		"300 taints, of which placement looks at the first 256",
		"303 resources, of which placement looks at the first 256",
		"cpu \"-1\" is no amount", "memory \"9Ei\" is more than placement counts",
		"pods \"x\" is no amount"};
	for (size_t i = 0; i < ARRAY_SIZE(told); i++)
		if (!strstr(buf_text(&r.problems), told[i]))
			fail_msg("not \"%s\": %s", told[i], buf_text(&r.problems));
	assert_string_equal(label_of(&r, NODESPEC_COUNTRY_LABEL), "DE");
	assert_true(r.node.flags & PLACE_NODE_UNSCHEDULABLE); /* what else is tainted is unknown */
}

/* ---- the whole of it ---- */

static int set_up_world(void **state)
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

static int tear_down_world(void **state)
{
	world_free(*state);
	return 0;
}

#define READER                                                                                     \
	"{'metadata':{'name':'shop','namespace':'s','uid':'a1','generation':1},'spec':{"           \
	"'components':[{'name':'db','template':{'spec':{'containers':[{'name':'c','image':'i:1'"   \
	"}]}}}],'data':[{'name':'x','site':'a','size':'1','readers':['db'],'privacy':{"            \
	"'countries':['DE','FR']}},{'name':'y','site':'a','size':'1','readers':['db'],'privacy':{" \
	"'countries':['FR']}}]}}"

static bool is_refused(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/s/", NULL, 0, 0, &list, NULL), 0);
	bool refused = list.count == 1 && strstr(list.objects[0]->blob, "data residency");
	store_list_done(&list);
	return refused;
}

static bool is_on_n2(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	assert_int_equal(store_list(w->store, "core/pods/s/", NULL, 0, 0, &list, NULL), 0);
	bool on = list.count == 1 && str_equal(list.objects[0]->node, "n2");
	if (list.count == 1)
		assert_string_not_equal(list.objects[0]->node, "n1");
	store_list_done(&list);
	return on;
}

static void test_data_stays_in_its_countries(void **state)
{
	struct world *w = *state;
	world_create(w, &kind_site, "{'metadata':{'name':'a'},'spec':{'country':'DE'}}");
	world_create(w, &kind_application, READER);
	world_until(w, is_refused, w);
	CLEANUP(json_done) json_t *d = world_get_tree(w, &kind_deployment, "s", "shop-db");
	assert_string_equal(json_text(d, "", "spec", "template", "metadata", "annotations",
				    COUNTRIES_ANNOTATION),
		"FR");
	/* The nodes of a site that comes later are tried again. */
	world_create(w, &kind_site, "{'metadata':{'name':'b'},'spec':{'country':'FR'}}");
	world_until(w, is_on_n2, w);
}

static bool is_told(void *arg)
{
	struct world *w = arg;
	struct store_list list;
	bool told = false;
	assert_int_equal(store_list(w->store, "core/events/", NULL, 0, 0, &list, NULL), 0);
	for (size_t i = 0; i < list.count; i++)
		told |= strstr(list.objects[i]->blob, "InvalidPlacementInput") &&
			strstr(list.objects[i]->blob, "continuo.dev/trust: \\\"most\\\" is no");
	store_list_done(&list);
	return told;
}

static void test_bad_figures_are_an_event(void **state)
{
	struct world *w = *state;
	world_patch(w, &kind_node, "", "n1",
		"{'metadata':{'labels':{'continuo.dev/trust':'most'}}}");
	world_until(w, is_told, w);
}

int main(void)
{
#define GROUND(name) cmocka_unit_test_setup_teardown(name, set_up_ground, tear_down_ground)
#define WORLD(name) cmocka_unit_test_setup_teardown(name, set_up_world, tear_down_world)
	const struct CMUnitTest tests[] = {
		GROUND(test_a_site_is_in_the_tables),
		GROUND(test_paths_hold_both_ways_unless_stated),
		GROUND(test_carbon_is_that_of_the_day_ahead),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_a_node_says_what_it_is),
		cmocka_unit_test(test_the_site_says_the_country),
		cmocka_unit_test(test_what_the_engine_cannot_take_is_told),
		WORLD(test_data_stays_in_its_countries),
		WORLD(test_bad_figures_are_an_event),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
