#include "base/str.h"
#include "openb/policy.h"

const struct openb_policy *const openb_policies[] = {&openb_policy_random, &openb_policy_dotprod,
	&openb_policy_clustering, &openb_policy_packing, &openb_policy_bestfit, &openb_policy_fgd,
	&openb_policy_engine, &openb_policy_told, NULL};

const struct openb_policy *openb_policy_find(const char *name)
{
	for (const struct openb_policy *const *p = openb_policies; *p; p++)
		if (str_equal((*p)->name, name))
			return *p;
	return NULL;
}
