/* Applications by example: bounds that hold, what pulls, what is planned with, what is refused and
 * why. */
#include "place/graph_fixture.h"

/* ---- what is decided ---- */

static void a_bound_holds_for_every_pair(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 2);
	struct place_link link = {0, 1, 1e6, 5, true};
	w.application.links = &link;
	w.application.link_count = 1;
	want(&w, 0, 2);
	want(&w, 1, 3);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_false(is_at(&w, &plan, i, "far"));
	world_done(&w);
}

static void an_application_goes_near_its_data(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 8);
	struct place_link links[] = {{0, 1, 2e7, 0, false}, {1, 2, 1e5, 0, false}};
	struct place_data data = {"model", "near", 1e9, 2};
	w.application.links = links;
	w.application.link_count = 2;
	w.application.data = &data;
	w.application.data_count = 1;
	want(&w, 0, 1);
	want(&w, 1, 1);
	want(&w, 2, 1);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 3);
	assert_true(is_at(&w, &plan, 0, "shop"));
	assert_true(is_at(&w, &plan, 1, "shop")); /* most of the traffic is with the camera */
	assert_true(is_at(&w, &plan, 2, "near"));
	/* Detector and store are 5 ms apart: each has half of 5 / 100. */
	assert_near(plan.assignments[1].cost.terms[PLACE_TERM_LATENCY], 0.025, 1e-9);
	assert_near(plan.assignments[2].cost.terms[PLACE_TERM_LATENCY], 0.025, 1e-9);
	assert_near(plan.assignments[2].cost.terms[PLACE_TERM_TRAFFIC], 0.0005, 1e-9);
	assert_near(plan.cost.terms[PLACE_TERM_TRAFFIC], 0.001, 1e-9);
	assert_near(plan.cost.terms[PLACE_TERM_DATA], 0, 1e-9);
	for (uint32_t i = 1; i < 3; i++) {
		assert_int_not_equal(plan.assignments[i].alternative, PLACE_NONE);
		assert_true(plan.assignments[i].alternative_cost.total >=
			    plan.assignments[i].cost.total - 1e-6);
	}
	world_done(&w);
}

static void users_and_what_runs_attract(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct world w;
		world_init(&w, 8);
		struct place_link link = {0, 1, 1e6, 20, false};
		struct place_consumer users = {"far", 1, 1e6, 20, false};
		struct place_present runs = {.component = 0};
		uint32_t far = node_of(&w, "far-1");
		assert_int_equal(place_pod_put(w.p, w.shape[3], far, 0, &runs.pod, NULL), 0);
		if (i == 0) {
			w.application.links = &link;
			w.application.link_count = 1;
			w.application.present = &runs;
			w.application.present_count = 1;
		} else {
			w.application.consumers = &users;
			w.application.consumer_count = 1;
		}
		want(&w, 1, 2);
		CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
		assert_int_equal(plan.assignment_count, 2);
		for (uint32_t k = 0; k < 2; k++) {
			assert_true(is_at(&w, &plan, k, "far"));
			assert_near(plan.assignments[k].cost.terms[PLACE_TERM_LATENCY], 0, 1e-9);
			uint32_t other = plan.assignments[k].alternative;
			assert_true(strncmp(place_node_name(w.p, other), "far", 3) == 0);
		}
		world_done(&w);
	}
}

static void what_is_expected_is_planned_with(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 8);
	struct place_link link = {1, 0, 2e7, 5, false};
	w.application.links = &link;
	w.application.link_count = 1;
	want(&w, 1, 1);
	want(&w, 0, 1)->expected = true; /* a camera is at the shop only */
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 2);
	assert_true(is_at(&w, &plan, 0, "shop"));
	assert_int_not_equal(plan.assignments[0].pod, PLACE_NONE);
	assert_true(is_at(&w, &plan, 1, "shop"));
	assert_int_equal(plan.assignments[1].pod, PLACE_NONE);
	assert_int_equal(place_pod_count(w.p), 1);
	place_plan_undo(w.p, &plan);
	assert_int_equal(place_pod_count(w.p), 0);
	world_done(&w);
}

static void a_path_that_is_not_known_is_far(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 8);
	place_path_remove(w.p, w.site[1], w.site[0]);
	place_path_remove(w.p, w.site[1], w.site[0]);                                /* nothing */
	assert_int_equal(place_path_set(w.p, w.site[2], w.site[0], 80, 0, NULL), 0); /* none */
	struct place_consumer users = {"shop", 1, 1e6, 1000, true};
	w.application.consumers = &users;
	w.application.consumer_count = 1;
	want(&w, 1, 40);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 16); /* room at the shop */
	assert_int_equal(plan.refusal_count, 1);
	place_plan_undo(w.p, &plan);
	users.required = false;
	CLEANUP(place_plan_done) struct place_plan soft = solve(&w);
	assert_int_equal(soft.assignment_count, 40);
	/* 24 of 40 are PLACE_FAR_MS away. */
	assert_near(soft.cost.terms[PLACE_TERM_LATENCY], 24 * 5.0, 1e-6);
	world_done(&w);
}

static void nodes_without_a_site_are_together(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 8);
	add_node(&w, "lone-0", NULL, 8);
	add_node(&w, "lone-1", NULL, 8);
	struct place_link link = {1, 2, 1e6, 1, true};
	w.application.links = &link;
	w.application.link_count = 1;
	want(&w, 1, 1)->node = node_of(&w, "lone-0");
	want(&w, 2, 3);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_true(is_at(&w, &plan, i, "lone"));
	world_done(&w);
}

static void bandwidth_is_shared(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 8);
	struct place_link link = {0, 1, 1.5e8, 0, true};
	w.application.links = &link;
	w.application.link_count = 1;
	want(&w, 0, 1);
	want(&w, 1, 1)->node = node_of(&w, "near-0"); /* the path takes 1e8 */
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 1);
	assert_int_equal(plan.refusal_count, 1);
	const struct place_refusal *r = &plan.refusals[0];
	bool named = false;
	for (uint32_t i = 0; i < r->reason_count; i++)
		named = named || (r->reasons[i].constraint == PLACE_C_BANDWIDTH &&
					 strcmp(r->reasons[i].detail,
						 "link camera -> detector: 1.5e+08 bit/s") == 0);
	assert_true(named);
	place_plan_undo(w.p, &plan);
	link.bits_per_s = 9e7;
	CLEANUP(place_plan_done) struct place_plan fits = solve(&w);
	assert_int_equal(fits.assignment_count, 2);
	place_plan_undo(w.p, &fits);
	link.bits_per_s = 1.5e8;
	link.required = false;
	CLEANUP(place_plan_done) struct place_plan soft = solve(&w);
	assert_int_equal(soft.assignment_count, 2);
	assert_near(soft.cost.terms[PLACE_TERM_LATENCY], 5, 1e-9); /* as if far */
	world_done(&w);
}

static void a_refusal_names_the_link(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 8);
	struct place_link link = {3, 2, 0, 5, true};
	struct place_present runs = {.component = 2};
	uint32_t node = node_of(&w, "far-0");
	assert_int_equal(place_pod_put(w.p, w.shape[2], node, 0, &runs.pod, NULL), 0);
	w.application.links = &link;
	w.application.link_count = 1;
	w.application.present = &runs;
	w.application.present_count = 1;
	want(&w, 3, 20);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 15);
	assert_int_equal(plan.refusal_count, 1);
	assert_int_equal(plan.refusals[0].count, 5);
	const struct place_reason *found = NULL;
	for (uint32_t i = 0; i < plan.refusals[0].reason_count; i++)
		if (plan.refusals[0].reasons[i].constraint == PLACE_C_LATENCY)
			found = &plan.refusals[0].reasons[i];
	assert_non_null(found);
	assert_string_equal(found->detail, "link web -> store: 5 ms");
	assert_int_equal(found->nodes, 4);
	assert_int_equal(found->alone, 4);
	assert_true(found->at_fault);
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	place_refusal_write(&plan.refusals[0], &text);
	assert_string_equal(buf_text(&text),
		"0/6 nodes are available: 2 Insufficient cpu, 4 node(s) were too far away for the "
		"application's links.");
	world_done(&w);
}

/* What is left out is what matters least. */
static void as_many_as_possible_by_priority(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 2);
	struct place_link link = {1, 2, 1e6, 5, true};
	w.application.links = &link;
	w.application.link_count = 1;
	want(&w, 1, 6)->priority = 1;
	want(&w, 2, 6)->priority = 2;
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	uint32_t by_want[2] = {0};
	for (uint32_t i = 0; i < plan.assignment_count; i++)
		by_want[plan.assignments[i].want]++;
	assert_int_equal(by_want[1], 6);
	assert_int_equal(by_want[0], 2); /* 8 fit at shop and near */
	assert_int_equal(plan.refusal_count, 1);
	assert_int_equal(plan.refusals[0].want, 0);
	assert_int_equal(plan.refusals[0].count, 4);
	world_done(&w);
}

/* Rules between pods that the solver does not know hold all the same. */
static void rules_between_pods_hold(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 8);
	struct place_label labels[] = {{"app", "web"}};
	const char *values[] = {"web"};
	struct place_requirement same = {"app", PLACE_IN, values, 1, false};
	struct place_spread spread = {.topology_key = "topology.kubernetes.io/zone",
		.max_skew = 1,
		.required = true,
		.selector = {&same, 1}};
	struct place_amount cpu = {"cpu", 1000, false};
	struct place_spec spec = {.namespace = "ns",
		.labels = labels,
		.label_count = 1,
		.requests = &cpu,
		.request_count = 1,
		.spreads = &spread,
		.spread_count = 1};
	place_shape_release(w.p, w.shape[3]);
	assert_int_equal(place_shape(w.p, &spec, &w.shape[3], NULL), 0);
	struct place_consumer users = {"far", 3, 1e6, 0, false};
	w.application.consumers = &users;
	w.application.consumer_count = 1;
	want(&w, 3, 7);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 7);
	uint32_t there[3] = {0};
	for (uint32_t i = 0; i < 7; i++)
		for (int s = 0; s < 3; s++)
			there[s] += is_at(&w, &plan, i, sites[s]);
	for (int s = 0; s < 3; s++)
		assert_in_range(there[s], 2, 3);
	assert_int_equal(there[2], 3);
	world_done(&w);
}

/* Those at a site need a want that must be where another is, which is placed at the same time. */
static void keep_company(const char *site)
{
	struct world w;
	world_init(&w, 8);
	struct place_label labels[] = {{"app", "web"}};
	const char *values[] = {"store"};
	struct place_requirement stores = {"app", PLACE_IN, values, 1, false};
	struct place_pod_term term = {.required = true,
		.topology_key = "kubernetes.io/hostname",
		.selector = {&stores, 1}};
	struct place_amount cpu = {"cpu", 1000, false};
	struct place_spec spec = {.namespace = "ns",
		.labels = labels,
		.label_count = 1,
		.requests = &cpu,
		.request_count = 1,
		.pod_terms = &term,
		.pod_term_count = 1};
	place_shape_release(w.p, w.shape[3]);
	assert_int_equal(place_shape(w.p, &spec, &w.shape[3], NULL), 0);
	struct place_consumer users = {site, 3, 1e6, 1, true};
	w.application.consumers = &users;
	w.application.consumer_count = 1;
	want(&w, 3, 2);
	want(&w, 2, 1);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(is_at(&w, &plan, i, site));
		assert_int_equal(plan.assignments[i].node, plan.assignments[2].node);
	}
	world_done(&w);
}

static void company_is_waited_for(void **state)
{
	(void)state;
	for (int at = 0; at < 3; at++)
		keep_company(sites[at]);
}

/* Those that like to be together count on each other, and one node is switched on, not four. */
static void energy_fills_few_nodes(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 8);
	struct place_amount capacity[] = {
		{"cpu", 8000, false}, {"memory", (int64_t)8 << 30, false}, {"pods", 20, false}};
	for (int i = 0; i < 6; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%s-%d", sites[i / 2], i % 2);
		struct place_node n = {.name = name,
			.site = sites[i / 2],
			.capacity = capacity,
			.capacity_count = 3,
			.idle_watts = i / 2 == 1 ? 50 : 200,
			.full_watts = i / 2 == 1 ? 130 : 500};
		uint32_t node;
		assert_int_equal(place_node_set(w.p, &n, &node, NULL), 0);
	}
	w.weights.of[PLACE_TERM_ENERGY] = 10;
	want(&w, 1, 2);
	want(&w, 3, 2);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(plan.assignments[i].node, plan.assignments[0].node);
		assert_true(is_at(&w, &plan, i, "near"));
	}
	/* 50 W for the node and 10 W a core. */
	assert_near(plan.cost.terms[PLACE_TERM_ENERGY], 0.9, 1e-6);
	world_done(&w);
}

/* ---- the same again ---- */

static void undone_it_is_as_before(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 4);
	struct place_link links[] = {{0, 1, 2e7, 10, true}, {1, 2, 1e6, 0, false}};
	w.application.links = links;
	w.application.link_count = 2;
	want(&w, 0, 2);
	want(&w, 1, 5);
	want(&w, 2, 3)->expected = true;
	w.problem.apply = false;
	CLEANUP(place_plan_done) struct place_plan first = solve(&w);
	assert_int_equal(place_pod_count(w.p), 0);
	w.problem.apply = true;
	CLEANUP(place_plan_done) struct place_plan second = solve(&w);
	assert_int_equal(place_pod_count(w.p), 7);
	assert_int_equal(first.assignment_count, second.assignment_count);
	for (uint32_t i = 0; i < first.assignment_count; i++) {
		assert_int_equal(first.assignments[i].node, second.assignments[i].node);
		assert_int_equal(first.assignments[i].pod, PLACE_NONE);
		assert_memory_equal(&first.assignments[i].cost, &second.assignments[i].cost,
			sizeof(struct place_cost));
	}
	place_plan_undo(w.p, &second);
	assert_int_equal(place_pod_count(w.p), 0);
	for (uint32_t i = 0; i < place_node_count(w.p); i++)
		assert_int_equal(place_node_free(w.p, i, "cpu"), 4000);
	world_done(&w);
}

/* 2,400 nodes at 300 sites in a row, each 2 ms from the next; the solver sees some of them. */
static void a_large_fleet_is_cut_down(void **state)
{
	(void)state;
	enum { FLEET = 300 };
	struct world w;
	world_init(&w, 1);
	uint32_t site[FLEET];
	for (int i = 0; i < FLEET; i++) {
		char name[32];
		snprintf(name, sizeof(name), "row-%d", i);
		struct place_site s = {.name = name};
		assert_int_equal(place_site_set(w.p, &s, &site[i], NULL), 0);
		for (int k = 0; k < 8; k++) {
			snprintf(name, sizeof(name), "row-%d-%d", i, k);
			char at[16];
			snprintf(at, sizeof(at), "row-%d", i);
			add_node(&w, name, at, 1);
		}
	}
	for (int i = 0; i < FLEET; i++)
		for (int k = i - 4; k <= i + 4; k++)
			if (k >= 0 && k < FLEET && k != i)
				assert_int_equal(place_path_set(w.p, site[i], site[k],
							 2 * abs(i - k), 1e9, NULL),
					0);
	struct place_link links[] = {{1, 2, 1e6, 4, true}, {2, 3, 1e6, 4, true}};
	struct place_consumer users = {"row-250", 3, 1e6, 2, true};
	w.application.links = links;
	w.application.link_count = 2;
	w.application.consumers = &users;
	w.application.consumer_count = 1;
	for (uint32_t i = 1; i < 4; i++)
		want(&w, i, 6);
	w.problem.explain = false;
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 18); /* 8 fit at a site */
	for (uint32_t i = 0; i < 18; i++) {
		int at = atoi(place_node_name(w.p, plan.assignments[i].node) + 4);
		assert_in_range(at, 247, 253);
	}
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bound_holds_for_every_pair),
		cmocka_unit_test(an_application_goes_near_its_data),
		cmocka_unit_test(users_and_what_runs_attract),
		cmocka_unit_test(what_is_expected_is_planned_with),
		cmocka_unit_test(a_path_that_is_not_known_is_far),
		cmocka_unit_test(nodes_without_a_site_are_together),
		cmocka_unit_test(bandwidth_is_shared),
		cmocka_unit_test(a_refusal_names_the_link),
		cmocka_unit_test(as_many_as_possible_by_priority),
		cmocka_unit_test(rules_between_pods_hold),
		cmocka_unit_test(company_is_waited_for),
		cmocka_unit_test(energy_fills_few_nodes),
		cmocka_unit_test(undone_it_is_as_before),
		cmocka_unit_test(a_large_fleet_is_cut_down),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
