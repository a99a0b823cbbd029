#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "driver/restart.h"

static void delays_double_up_to_five_minutes(void **state)
{
	(void)state;
	static const int64_t expected_s[] = {0, 10, 20, 40, 80, 160, 300, 300};
	struct restart r = {0};
	for (size_t i = 0; i < sizeof(expected_s) / sizeof(*expected_s); i++)
		assert_int_equal(restart_delay_ms(&r, 1000, true), expected_s[i] * 1000);
}

static void pulls_wait_from_the_first_time(void **state)
{
	(void)state;
	struct restart r = {0};
	assert_int_equal(restart_delay_ms(&r, 0, false), 10000);
	assert_int_equal(restart_delay_ms(&r, 0, false), 20000);
}

static void a_long_run_clears_it(void **state)
{
	(void)state;
	struct restart r = {0};
	for (int i = 0; i < 5; i++)
		(void)restart_delay_ms(&r, 1000, true);
	assert_int_equal(restart_delay_ms(&r, 599999, true), 160000);
	assert_int_equal(restart_delay_ms(&r, 600000, true), 0);
	assert_int_equal(restart_delay_ms(&r, 1000, true), 10000);
}

static void policies_want_what_they_say(void **state)
{
	(void)state;
	assert_true(restart_wanted(restart_policy_parse("Always"), 0));
	assert_false(restart_wanted(restart_policy_parse("OnFailure"), 0));
	assert_true(restart_wanted(restart_policy_parse("OnFailure"), 1));
	assert_false(restart_wanted(restart_policy_parse("Never"), 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delays_double_up_to_five_minutes),
		cmocka_unit_test(pulls_wait_from_the_first_time),
		cmocka_unit_test(a_long_run_clears_it),
		cmocka_unit_test(policies_want_what_they_say),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
