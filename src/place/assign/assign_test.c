/* The assignment solver by example: what it chooses, what it refuses and why, what it does not
 * take. */
#include "base/buf.h"
#include "place/assign/assign.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SITES 3
#define BINS 6
#define COMPONENTS 3

/* Three sites with two nodes each; components a, b and c of one replica, linked in a row. */
struct world {
	double latency[SITES * SITES], price[SITES * SITES];
	int64_t bandwidth[SITES * SITES];
	int64_t room[BINS][1], need[COMPONENTS][1];
	uint64_t open[COMPONENTS];
	uint32_t home[COMPONENTS];
	int32_t fixed[COMPONENTS][BINS];
	struct assign_static statics[COMPONENTS];
	struct assign_bin bins[BINS];
	struct assign_component components[COMPONENTS];
	struct assign_link links[2];
	struct assign_anchor anchor;
	struct assign_problem problem;
};
static const char *const site_names[] = {"here", "there", "far"};
static const char *const resources[] = {"memory"};
static const char *const component_names[] = {"web", "api", "db"};

static void world_init(struct world *w)
{
	*w = (struct world){0};
	for (uint32_t i = 0; i < SITES * SITES; i++) {
		w->latency[i] = i / SITES == i % SITES ? 0 : 10;
		w->bandwidth[i] = 1000;
	}
	for (uint32_t b = 0; b < BINS; b++) {
		w->room[b][0] = 10;
		w->bins[b] = (struct assign_bin){.site = b / 2, .room = w->room[b]};
	}
	for (uint32_t c = 0; c < COMPONENTS; c++) {
		w->need[c][0] = 4;
		w->open[c] = (1u << BINS) - 1;
		w->home[c] = ASSIGN_NONE;
		w->statics[c] = (struct assign_static){PLACE_TERM_MONEY, w->fixed[c]};
		w->components[c] = (struct assign_component){.name = component_names[c],
			.replicas = 1,
			.need = w->need[c],
			.bins = &w->open[c],
			.statics = &w->statics[c],
			.static_count = 1,
			.home = &w->home[c]};
	}
	for (uint32_t l = 0; l < 2; l++)
		w->links[l] = (struct assign_link){
			.from = l, .to = l + 1, .bits_per_s = 100, .cost_per_ms = 1};
	w->problem = (struct assign_problem){.resource_count = 1,
		.resources = resources,
		.sites = {SITES, site_names, w->latency, w->bandwidth, w->price},
		.bins = w->bins,
		.bin_count = BINS,
		.components = w->components,
		.component_count = COMPONENTS,
		.links = w->links,
		.link_count = 2,
		.anchors = &w->anchor,
		.seed = 1,
		.steps = 3000};
}

static struct assign_result solve(const struct world *w)
{
	struct assign_result result = {0};
	struct err e = ERR_INIT;
	if (assign_solve(&w->problem, &result, &e) != 0)
		fail_msg("%s", e.text);
	return result;
}

static uint32_t site_of(const struct world *w, const struct assign_result *r, uint32_t item)
{
	return w->bins[r->bin_of[item]].site;
}

static void linked_components_share_a_site(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	w.fixed[1][4] = w.fixed[1][5] = -ASSIGN_FINE; /* api is cheaper far away: all go there */
	CLEANUP(assign_result_done) struct assign_result r = solve(&w);
	assert_true(r.feasible);
	for (uint32_t i = 0; i < COMPONENTS; i++)
		assert_int_equal(site_of(&w, &r, i), 2);
	assert_int_equal(r.cost.terms[PLACE_TERM_MONEY], -ASSIGN_UNIT);
	assert_int_equal(r.cost.terms[PLACE_TERM_LATENCY], 0);
	assert_int_equal(r.cost.total, -ASSIGN_UNIT);
	assert_int_equal(r.bound, -ASSIGN_UNIT);
}

static void what_runs_stays_unless_moving_pays(void **state)
{
	(void)state;
	for (int dear = 0; dear < 2; dear++) {
		struct world w;
		world_init(&w);
		w.home[0] = 0;
		w.home[1] = 2;
		w.home[2] = 2;
		w.components[0].move_cost = dear ? 11 : 9;
		w.components[1].move_cost = w.components[2].move_cost = 100;
		CLEANUP(assign_result_done) struct assign_result r = solve(&w);
		assert_int_equal(site_of(&w, &r, 0), dear ? 0 : 1);
		assert_int_equal(r.cost.terms[PLACE_TERM_MOVE], dear ? 0 : 9 * ASSIGN_UNIT);
	}
}

static void users_and_data_pull(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	w.problem.anchor_count = 1;
	w.anchor = (struct assign_anchor){.component = 0,
		.site = 1,
		.inward = true,
		.size_bytes = 1000000000,
		.data_weight = 1,
		.cost_per_s = 1e-6};
	for (uint32_t i = 0; i < SITES * SITES; i++)
		w.price[i] = 2;
	w.open[0] = 1; /* web is here, its gigabyte there */
	CLEANUP(assign_result_done) struct assign_result r = solve(&w);
	/* 2 for the gigabyte, 8 million seconds at 1,000 bit/s */
	assert_int_equal(r.cost.terms[PLACE_TERM_DATA], 10 * ASSIGN_UNIT);
	assert_int_equal(site_of(&w, &r, 2), 0);
}

static void switching_on_is_shared(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	for (uint32_t b = 0; b < BINS; b++)
		w.bins[b].on_energy = w.bins[b].on_carbon = w.bins[b].on_money = 1;
	w.need[2][0] = 2;
	CLEANUP(assign_result_done) struct assign_result r = solve(&w);
	assert_int_equal(r.cost.terms[PLACE_TERM_ENERGY], ASSIGN_UNIT);
	assert_int_equal(r.cost.total, 3 * ASSIGN_UNIT);
	assert_int_equal(r.bin_of[0], r.bin_of[1]);
}

static void replicas_spread_and_keep_apart(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	w.problem.component_count = 1;
	w.problem.link_count = 0;
	w.components[0].replicas = 4;
	w.components[0].home = NULL;
	w.components[0].spread_site = 1;
	w.components[0].per_bin_max = 1;
	CLEANUP(assign_result_done) struct assign_result r = solve(&w);
	assert_true(r.feasible); /* 2, 1 and 1 of them: one pair at a site */
	assert_int_equal(r.cost.terms[PLACE_TERM_SPREAD], ASSIGN_UNIT);
}

static void bounds_and_bandwidth_hold(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	w.open[0] = 3;      /* web is here */
	w.open[2] = 3 << 4; /* db is far */
	w.links[0].cost_per_ms = 2;
	w.bandwidth[0 * SITES + 2] = 99; /* what api sends must not go from here to far */
	w.bandwidth[1 * SITES + 2] = 100;
	CLEANUP(assign_result_done) struct assign_result r = solve(&w);
	assert_true(r.feasible);
	assert_int_not_equal(site_of(&w, &r, 1), 0);
	w.links[0].latency_ms = 5; /* and must be near the web: no plan */
	w.links[0].hard = true;
	CLEANUP(assign_result_done) struct assign_result none = solve(&w);
	assert_false(none.feasible);
	assert_false(none.proven);
	assert_true(none.reason_count == 1);
	assert_true(none.reasons[0].constraint == ASSIGN_C_LATENCY ||
		    none.reasons[0].constraint == ASSIGN_C_BANDWIDTH);
}

static void says(const struct world *w, const char *text)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	CLEANUP(assign_result_done) struct assign_result r = solve(w);
	assert_false(r.feasible);
	assert_true(r.proven);
	assert_int_equal(r.reason_count, 1);
	assign_reason_write(&w->problem, &r.reasons[0], &b);
	assert_string_equal(b.data, text);
}

static void refusals_name_what_is_in_the_way(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	w.open[1] = 0;
	says(&w, "component api has no node that it may go to");
	world_init(&w);
	w.need[2][0] = 11;
	says(&w, "component db needs more memory than any node that it may go to has");
	world_init(&w);
	w.components[1].replicas = 20;
	w.components[1].home = NULL;
	says(&w, "all replicas together need more memory than there is");
	w.components[1].per_bin_max = 3;
	says(&w, "component api has more replicas than may be on the nodes");
	world_init(&w);
	w.open[0] = 3;
	w.open[1] = 3 << 4;
	w.links[0].latency_ms = 5;
	w.links[0].hard = true;
	says(&w,
		"the link between component web and component api is longer than its latency bound "
		"wherever they may go");
	world_init(&w);
	w.problem.anchor_count = 1;
	w.anchor = (struct assign_anchor){.component = 0, .site = 2, .size_bytes = 1};
	w.open[0] = 3;
	w.bandwidth[2 * SITES] = 0;
	says(&w, "the link between component web and site far has no path for its data");
}

static void wants(const struct world *w, int code, const char *text)
{
	struct assign_result result;
	struct err e = ERR_INIT;
	memset(&result, 7, sizeof(result));
	assert_int_equal(assign_solve(&w->problem, &result, &e), -code);
	if (!strstr(e.text, text))
		fail_msg("'%s' does not say '%s'", e.text, text);
	assert_int_equal(result.reason_count, 0x07070707);
}

static void impossible_numbers_are_named(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	w.links[1].cost_per_ms = NAN;
	wants(&w, ERR_INVALID, "link 1: cost of a ms is nan");
	world_init(&w);
	w.links[0].to = 7;
	wants(&w, ERR_INVALID, "link 0: component 7 is unknown; there are 3");
	world_init(&w);
	w.latency[1] = -1;
	wants(&w, ERR_INVALID, "site 0 (here): latency to site 1 is -1");
	world_init(&w);
	w.need[1][0] = INT64_MIN;
	wants(&w, ERR_INVALID, "component 1 (api): memory is -9223372036854775808");
	world_init(&w);
	w.bins[3].site = 3;
	wants(&w, ERR_INVALID, "node 3: site 3 is unknown");
	world_init(&w);
	w.problem.bin_count = 0;
	wants(&w, ERR_INVALID, "0 nodes");
	world_init(&w);
	w.components[0].replicas = UINT32_MAX;
	wants(&w, ERR_TOO_LARGE, "replicas");
	world_init(&w);
	w.home[2] = BINS;
	wants(&w, ERR_INVALID, "component 2 (db): runs on a node that: node 6 is unknown");
	world_init(&w);
	w.latency[1] = w.links[0].cost_per_ms = 1e6;
	wants(&w, ERR_TOO_LARGE, "the costs of the application could come to");
	world_init(&w);
	double slope = INFINITY;
	struct assign_plane plane = {0, &slope};
	w.bins[0].planes = &plane;
	w.bins[0].plane_count = 1;
	wants(&w, ERR_INVALID, "node 0: plane 0 comes to inf");
}

static void traffic_that_cannot_be_added_up_is_refused(void **state)
{
	(void)state;
	struct world w;
	struct assign_link many[1100];
	world_init(&w);
	for (uint32_t l = 0; l < ARRAY_SIZE(many); l++)
		many[l] = (struct assign_link){0, 1, .bits_per_s = ASSIGN_AMOUNT_MAX};
	w.problem.links = many;
	w.problem.link_count = ARRAY_SIZE(many);
	wants(&w, ERR_TOO_LARGE, "the traffic of all links comes to");
}

/* A link to itself, in a circle and twice the same: nothing that a plan could not be made for. */
static void circles_are_harmless(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	w.links[0] = (struct assign_link){.from = 0, .to = 1, .cost_per_ms = 1};
	w.links[1] = (struct assign_link){.from = 1, .to = 0, .cost_per_ms = 1};
	CLEANUP(assign_result_done) struct assign_result r = solve(&w);
	assert_int_equal(r.cost.total, 0);
	w.links[0].to = 0;
	CLEANUP(assign_result_done) struct assign_result self = solve(&w);
	assert_int_equal(self.cost.total, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linked_components_share_a_site),
		cmocka_unit_test(what_runs_stays_unless_moving_pays),
		cmocka_unit_test(users_and_data_pull),
		cmocka_unit_test(switching_on_is_shared),
		cmocka_unit_test(replicas_spread_and_keep_apart),
		cmocka_unit_test(bounds_and_bandwidth_hold),
		cmocka_unit_test(refusals_name_what_is_in_the_way),
		cmocka_unit_test(impossible_numbers_are_named),
		cmocka_unit_test(traffic_that_cannot_be_added_up_is_refused),
		cmocka_unit_test(circles_are_harmless),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("place/assign", tests, NULL, NULL);
}
