#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "sim/sim.h"

static void test_three_hundred_bad_days(void **state)
{
	(void)state;
	struct sim_config config = {.seed = 1,
		.nodes = 3,
		.duration_ms = 1,
		.story = SIM_STORY_BAD_DAYS,
		.bad_days = 300};
	struct sim_result r;
	struct err e = ERR_INIT;
	if (sim_run(&config, &r, &e) < 0)
		fail_msg("%s", e.text);
	print_message("# %s %s\n", r.line, r.violation);
	assert_true(r.ok);
	assert_true(r.pods_started >= 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_three_hundred_bad_days)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
