#include "driver/restart.h"

#include "base/str.h"

enum restart_policy restart_policy_parse(const char *text)
{
	if (str_equal(text, "OnFailure"))
		return RESTART_ON_FAILURE;
	return str_equal(text, "Never") ? RESTART_NEVER : RESTART_ALWAYS;
}

bool restart_wanted(enum restart_policy policy, int exit_code)
{
	return policy == RESTART_ALWAYS || (policy == RESTART_ON_FAILURE && exit_code != 0);
}

int64_t restart_delay_ms(struct restart *r, int64_t ran_ms, bool at_once)
{
	int64_t base_ms = r->base_ms > 0 ? r->base_ms : RESTART_BASE_MS;
	if (ran_ms >= RESTART_CLEAR_STEPS * base_ms)
		r->failures = 0;
	int step = r->failures++ - (at_once ? 1 : 0);
	if (step < 0)
		return 0;
	if (step >= RESTART_STEPS_MAX)
		return 30 * base_ms;
	return base_ms << step;
}
