#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/attr.h"
#include "sim/sim.h"

#define MINUTE_MS INT64_C(60000)

static struct sim_result run(struct sim_config config)
{
	struct sim_result result;
	struct err e = ERR_INIT;
	config.duration_ms = config.duration_ms ? config.duration_ms : 1;
	if (sim_run(&config, &result, &e) < 0)
		fail_msg("%s", e.text);
	print_message("# %s %s\n", result.line, result.violation);
	return result;
}

/* ---- singletons: bugs that are put in are found ---- */

static void expect_found(enum sim_plant plant, unsigned faults)
{
	bool found = false;
	for (uint64_t seed = 1; seed <= 8 && !found; seed++) {
		struct sim_result r = run((struct sim_config){.seed = seed,
			.nodes = 5,
			.duration_ms = 30 * MINUTE_MS,
			.faults = faults,
			.plant = plant});
		found = strstr(r.violation, "only-") != NULL;
	}
	assert_true(found);
}

static void test_finds_late_fences(void **state)
{
	(void)state;
	expect_found(SIM_PLANT_FENCE_LATE, SIM_FAULT_CRASH);
}

static void test_finds_fences_that_kill_nothing(void **state)
{
	(void)state;
	expect_found(SIM_PLANT_NO_FENCE, SIM_FAULT_CRASH | SIM_FAULT_PARTITION);
}

static void test_finds_an_early_handover(void **state)
{
	(void)state;
	expect_found(SIM_PLANT_EARLY_HANDOVER, SIM_FAULT_CRASH | SIM_FAULT_PARTITION);
}

static void test_finds_clocks_beyond_the_bound(void **state)
{
	(void)state;
	expect_found(SIM_PLANT_WILD_DRIFT, SIM_FAULT_CRASH | SIM_FAULT_PARTITION | SIM_FAULT_DRIFT);
}

/* ---- stories ---- */

static void tell_of(enum sim_story story, int nodes, uint64_t seed)
{
	struct sim_result r =
		run((struct sim_config){.seed = seed, .nodes = nodes, .story = story});
	assert_true(r.ok);
	assert_int_equal(r.evictions, 0);
}

static void tell(enum sim_story story, int nodes)
{
	tell_of(story, nodes, 1);
}

static void test_half_of_all_nodes_gone_evicts_nobody(void **state)
{
	(void)state;
	tell(SIM_STORY_HALF, 10);
}

static void test_an_island_lives_and_merges(void **state)
{
	(void)state;
	tell(SIM_STORY_ISLAND, 10);
}

static void test_an_old_copy_with_a_new_epoch_restarts_nothing(void **state)
{
	(void)state;
	/* In some of them a handover pod had moved since the copy was made. */
	for (uint64_t seed = 15; seed < 25; seed++)
		tell_of(SIM_STORY_RESTORE, 10, seed);
}

static void test_a_server_s_restart_under_a_thousand_nodes(void **state)
{
	(void)state;
	tell(SIM_STORY_STORM, SIM_NODES_MAX);
}

static void test_an_application_amid_trouble(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct sim_result r = run((struct sim_config){
			.seed = seed, .nodes = 10, .story = SIM_STORY_APPLICATION});
		assert_true(r.ok);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_finds_late_fences),
		cmocka_unit_test(test_finds_fences_that_kill_nothing),
		cmocka_unit_test(test_finds_an_early_handover),
		cmocka_unit_test(test_finds_clocks_beyond_the_bound),
		cmocka_unit_test(test_half_of_all_nodes_gone_evicts_nobody),
		cmocka_unit_test(test_an_application_amid_trouble),
		cmocka_unit_test(test_an_island_lives_and_merges),
		cmocka_unit_test(test_an_old_copy_with_a_new_epoch_restarts_nothing),
		cmocka_unit_test(test_a_server_s_restart_under_a_thousand_nodes)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
