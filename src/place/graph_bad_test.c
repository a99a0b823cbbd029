/* Applications that are not taken, and those at the limits. */
#include "place/graph_fixture.h"

/* ---- what is not taken ---- */

static void expect_error(struct world *w, int code, const char *text)
{
	struct err e = ERR_INIT;
	struct place_plan plan = {0};
	assert_int_equal(place_solve(w->p, &w->problem, &plan, &e), -code);
	if (!strstr(e.text, text))
		fail_msg("\"%s\" does not say \"%s\"", e.text, text);
	assert_null(plan.assignments);
	assert_int_equal(place_pod_count(w->p), 0);
}

static void bad_links(void **state)
{
	(void)state;
	static const struct {
		struct place_link link;
		int code;
		const char *text;
	} cases[] = {{{0, 4, 0, 0, false}, ERR_INVALID, "link 0 joins a component"},
		{{7, 0, 0, 0, false}, ERR_INVALID, "link 0 joins a component"},
		{{0, 1, NAN, 0, false}, ERR_INVALID, "link camera -> detector"},
		{{0, 1, -1, 0, false}, ERR_INVALID, "link camera -> detector"},
		{{0, 1, 0, INFINITY, false}, ERR_INVALID, "link camera -> detector"},
		{{0, 1, 1e16, 0, false}, ERR_TOO_LARGE, "application app"},
		{{2, 2, 1, 0, false}, ERR_INVALID, "link store -> store: there is only one"}};
	struct world w;
	world_init(&w, 4);
	want(&w, 2, 1);
	w.application.link_count = 1;
	for (size_t i = 0; i < COUNT(cases); i++) {
		w.application.links = &cases[i].link;
		expect_error(&w, cases[i].code, cases[i].text);
	}
	w.application.link_count = 20000;
	expect_error(&w, ERR_TOO_LARGE, "20000 links");
	w.application.link_count = 0;
	w.application.component_count = 5000;
	expect_error(&w, ERR_TOO_LARGE, "5000 components");
	world_done(&w);
}

static void bad_neighbours(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 4);
	struct place_data data[] = {{"model", "", 1, 0}, {"model", "shop", NAN, 0},
		{"model", "shop", -1, 0}, {"model", "shop", 1, 9}};
	struct place_consumer users[] = {{"shop", 9, 0, 0, false}, {NULL, 0, 0, 0, false},
		{"shop", 0, -1, 0, false}, {"shop", 0, 0, NAN, false}};
	struct place_present runs[] = {{9, 0}, {0, 5}};
	want(&w, 2, 1);
	for (size_t i = 0; i < 4; i++) {
		w.application.data = &data[i];
		w.application.data_count = 1;
		expect_error(&w, ERR_INVALID, "data model");
		w.application.data_count = 0;
		w.application.consumers = &users[i];
		w.application.consumer_count = 1;
		expect_error(&w, ERR_INVALID, "consumer");
		w.application.consumer_count = 0;
	}
	for (size_t i = 0; i < 2; i++) {
		w.application.present = &runs[i];
		w.application.present_count = 1;
		expect_error(&w, ERR_INVALID, i ? "pod 5 of component camera is not" : "pod 0");
	}
	w.application.present_count = 0;
	w.wants[0].component = 4;
	expect_error(&w, ERR_INVALID, "want 0");
	w.wants[0].component = 2;
	struct place_present twice[] = {{0, 0}, {1, 0}};
	w.application.present = twice;
	w.application.present_count = 2;
	uint32_t pod, node = node_of(&w, "far-0");
	assert_int_equal(place_pod_put(w.p, w.shape[2], node, 0, &pod, NULL), 0);
	struct place_plan plan = {0};
	assert_int_equal(place_solve(w.p, &w.problem, &plan, NULL), -ERR_INVALID);
	world_done(&w);
}

/* No fleet, no wants, and more replicas than the solver takes. */
static void small_and_large(void **state)
{
	(void)state;
	struct world w;
	world_init(&w, 4);
	CLEANUP(place_plan_done) struct place_plan none = solve(&w);
	assert_int_equal(none.assignment_count + none.refusal_count, 0);
	struct place_link link = {1, 2, 1e6, 5, true};
	w.application.links = &link;
	w.application.link_count = 1;
	want(&w, 1, 500000);
	want(&w, 2, 500000);
	CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
	assert_int_equal(plan.assignment_count, 24); /* all that there is room for */
	assert_int_equal(plan.refusal_count, 2);
	place_plan_undo(w.p, &plan);
	for (uint32_t i = 0; i < 6; i++)
		place_node_remove(w.p, i);
	CLEANUP(place_plan_done) struct place_plan nowhere = solve(&w);
	assert_int_equal(nowhere.assignment_count, 0);
	assert_int_equal(nowhere.refusal_count, 2);
	assert_int_equal(nowhere.refusals[0].reason_count, 0);
	world_done(&w);
}

/* Finite, and beyond all sense: a plan all the same, and no number that is none. */
static void absurd_figures(void **state)
{
	(void)state;
	for (int sign = -1; sign <= 1; sign += 2) {
		struct world w;
		world_init(&w, 4);
		struct place_site s = {"shop", NULL, 1e300, 1e300, 1e300};
		assert_int_equal(place_site_set(w.p, &s, &w.site[0], NULL), 0);
		struct place_amount capacity[] = {{"cpu", 4000, false}, {"pods", 10, false}};
		struct place_node n = {.name = "shop-0",
			.site = "shop",
			.capacity = capacity,
			.capacity_count = 2,
			.idle_watts = 1e300,
			.full_watts = 1.5e308,
			.price_per_hour = 1e308};
		uint32_t node;
		assert_int_equal(place_node_set(w.p, &n, &node, NULL), 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(place_path_set(w.p, w.site[i], w.site[(i + 1) % 3],
						 1.7e308, i ? 1e-300 : 1e308, NULL),
				0);
		struct place_link links[] = {
			{1, 2, 1e14, 1e300, false}, {2, 1, 1e-300, 1e-300, false}};
		struct place_data data = {"model", "shop", 1.7e308, 1};
		w.application.links = links;
		w.application.link_count = 2;
		w.application.data = &data;
		w.application.data_count = 1;
		for (int i = 0; i < PLACE_TERM_COUNT; i++)
			if (i != PLACE_TERM_MOVE && i != PLACE_TERM_FRAGMENTATION)
				w.weights.of[i] = sign * (i % 3 ? 1000 : 0);
		want(&w, 1, 6);
		want(&w, 2, 6);
		CLEANUP(place_plan_done) struct place_plan plan = solve(&w);
		assert_int_equal(plan.assignment_count, 12);
		assert_true(isfinite(plan.cost.total));
		for (int i = 0; i < PLACE_TERM_COUNT; i++)
			assert_true(isfinite(plan.cost.terms[i]));
		world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_links),
		cmocka_unit_test(bad_neighbours),
		cmocka_unit_test(small_and_large),
		cmocka_unit_test(absurd_figures),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
