#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "driver/oom.h"

#define GIB ((int64_t)1 << 30)

static void scores_are_those_of_kubelet(void **state)
{
	(void)state;
	assert_int_equal(oom_score_adj("Guaranteed", GIB, 8 * GIB), -997);
	assert_int_equal(oom_score_adj("BestEffort", 0, 8 * GIB), 1000);
	assert_int_equal(oom_score_adj("Burstable", 4 * GIB, 8 * GIB), 500);
	assert_int_equal(oom_score_adj("Burstable", GIB, 8 * GIB), 875);
	assert_int_equal(oom_score_adj("Burstable", 0, 8 * GIB), 999);
	assert_int_equal(oom_score_adj("Burstable", 1, 8 * GIB), 999);
	assert_int_equal(oom_score_adj("Burstable", 8 * GIB, 8 * GIB), 3);
	assert_int_equal(oom_score_adj("Burstable", INT64_MAX, 8 * GIB), 3);
	assert_int_equal(oom_score_adj("Burstable", GIB, 0), 999);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(scores_are_those_of_kubelet)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
