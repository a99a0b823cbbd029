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
	if (!config.nodes)
		config.nodes = 10;
	if (sim_run(&config, &result, &e) < 0)
		fail_msg("%s", e.text);
	print_message("# %s %s\n", result.line, result.violation);
	return result;
}

static void test_parses_faults(void **state)
{
	(void)state;
	unsigned faults;
	assert_int_equal(sim_faults_parse("all", &faults, NULL), 0);
	assert_int_equal(faults, SIM_FAULT_ALL);
	assert_int_equal(sim_faults_parse("crash,delay", &faults, NULL), 0);
	assert_int_equal(faults, SIM_FAULT_CRASH | SIM_FAULT_DELAY);
	assert_int_equal(sim_faults_parse("disk,clock", &faults, NULL), 0);
	assert_int_equal(faults, SIM_FAULT_DISK | SIM_FAULT_CLOCK);
	assert_int_equal(sim_faults_parse("none", &faults, NULL), 0);
	assert_int_equal(faults, 0);
	struct err e = ERR_INIT;
	assert_int_equal(sim_faults_parse("crash,flood", &faults, &e), -ERR_USAGE);
	assert_non_null(strstr(e.text, "flood"));
}

static void test_refuses_bad_configs(void **state)
{
	(void)state;
	struct sim_result result;
	const struct sim_config none = {.seed = 1, .duration_ms = 1000};
	assert_int_equal(sim_run(&none, &result, NULL), -ERR_USAGE);
	const struct sim_config timeless = {.seed = 1, .nodes = 3};
	assert_int_equal(sim_run(&timeless, &result, NULL), -ERR_USAGE);
}

static void test_without_faults(void **state)
{
	(void)state;
	struct sim_result r = run((struct sim_config){.seed = 1, .duration_ms = 10 * MINUTE_MS});
	assert_true(r.ok);
	assert_true(r.acknowledged > 100);
	assert_true(r.pods_started > 10);
	assert_int_equal(r.crashes + r.partitions + r.delays + r.full_disks + r.clock_jumps, 0);
	assert_true(r.calls_answered > 50);
}

static void test_each_fault_alone(void **state)
{
	(void)state;
	static const unsigned faults[] = {SIM_FAULT_CRASH, SIM_FAULT_PARTITION, SIM_FAULT_DELAY,
		SIM_FAULT_DISK, SIM_FAULT_CLOCK, SIM_FAULT_BLACKOUT, SIM_FAULT_DRIFT};
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		struct sim_result r = run((struct sim_config){
			.seed = 20 + i, .duration_ms = 10 * MINUTE_MS, .faults = faults[i]});
		assert_true(r.ok);
		assert_true(r.crashes + r.partitions + r.delays + r.full_disks + r.clock_jumps +
				    r.blackouts + r.drifts >
			    3);
		assert_true(r.calls_answered > 10);
	}
}

static void test_all_faults(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct sim_result r = run((struct sim_config){
			.seed = seed, .duration_ms = 10 * MINUTE_MS, .faults = SIM_FAULT_ALL});
		assert_true(r.ok);
		assert_true(r.acknowledged > 20);
	}
}

static void test_same_seed_same_hash(void **state)
{
	(void)state;
	const struct sim_config config = {
		.seed = 5, .duration_ms = 5 * MINUTE_MS, .faults = SIM_FAULT_ALL};
	struct sim_result first = run(config), second = run(config);
	assert_string_equal(first.line, second.line);
	struct sim_config other = config;
	other.seed = 6;
	struct sim_result third = run(other);
	assert_string_not_equal(first.hash, third.hash);
}

/* A server whose disk lies about fsync loses what it acknowledged when the power goes. */
static void test_finds_the_planted_bug(void **state)
{
	(void)state;
	bool found = false;
	for (uint64_t seed = 1; seed <= 5 && !found; seed++) {
		struct sim_result r = run((struct sim_config){.seed = seed,
			.duration_ms = 20 * MINUTE_MS,
			.faults = SIM_FAULT_CRASH,
			.plant = SIM_PLANT_LYING_FSYNC});
		found = !r.ok;
	}
	assert_true(found);
}

/* A server that does not seal Secrets writes their text to its disk. */
static void test_finds_plain_secrets(void **state)
{
	(void)state;
	struct sim_result r = run((struct sim_config){
		.seed = 1, .duration_ms = 2 * MINUTE_MS, .plant = SIM_PLANT_PLAIN_SECRETS});
	assert_false(r.ok);
	assert_non_null(strstr(r.violation, "text of a Secret"));
}

/* A hundred blackouts and more, and nobody is given up; but partitions are seen. */
static void test_gives_up_who_is_lost_and_nobody_else(void **state)
{
	(void)state;
	struct sim_result r = run((struct sim_config){.seed = 1,
		.duration_ms = 30 * MINUTE_MS,
		.faults = SIM_FAULT_BLACKOUT | SIM_FAULT_CLOCK});
	assert_true(r.ok);
	assert_true(r.blackouts >= 100);
	assert_int_equal(r.evictions, 0);
	r = run((struct sim_config){
		.seed = 1, .duration_ms = 20 * MINUTE_MS, .faults = SIM_FAULT_PARTITION});
	assert_true(r.ok);
	assert_true(r.evictions > 0);
}

static void test_finds_haste(void **state)
{
	(void)state;
	struct sim_result r = run((struct sim_config){.seed = 1,
		.duration_ms = 30 * MINUTE_MS,
		.faults = SIM_FAULT_BLACKOUT,
		.plant = SIM_PLANT_HASTE});
	assert_false(r.ok);
	assert_non_null(strstr(r.violation, "3 s only"));
}

static void test_finds_a_missing_brake(void **state)
{
	(void)state;
	bool found = false;
	for (uint64_t seed = 1; seed <= 5 && !found; seed++) {
		struct sim_result r = run((struct sim_config){.seed = seed,
			.duration_ms = 30 * MINUTE_MS,
			.faults = SIM_FAULT_CRASH | SIM_FAULT_PARTITION,
			.plant = SIM_PLANT_NO_BRAKE});
		found = strstr(r.violation, "began lately");
	}
	assert_true(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_parses_faults),
		cmocka_unit_test(test_refuses_bad_configs), cmocka_unit_test(test_without_faults),
		cmocka_unit_test(test_each_fault_alone), cmocka_unit_test(test_all_faults),
		cmocka_unit_test(test_same_seed_same_hash),
		cmocka_unit_test(test_finds_the_planted_bug),
		cmocka_unit_test(test_finds_plain_secrets),
		cmocka_unit_test(test_gives_up_who_is_lost_and_nobody_else),
		cmocka_unit_test(test_finds_haste), cmocka_unit_test(test_finds_a_missing_brake)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
