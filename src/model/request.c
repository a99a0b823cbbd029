#include "base/str.h"
#include "model/model.h"

static int64_t amount_of(const json_t *container, const char *resource)
{
	const char *text = json_text(container, "0", "resources", "requests", resource);
	int64_t amount = 0;
	int r = str_equal(resource, "cpu") ? quantity_milli(text, &amount, NULL)
					   : quantity_units(text, &amount, NULL);
	return r < 0 ? 0 : amount;
}

/* Kubernetes: resource.PodRequests; init containers run one after the other, before the rest. */
int64_t model_pod_request(const json_t *pod, const char *resource)
{
	if (!resource)
		return 1;
	const json_t *spec = json_object_get(pod, "spec");
	int64_t sum = 0;
	size_t i;
	json_t *container;
	json_array_foreach (json_object_get(spec, "containers"), i, container) {
		if (__builtin_add_overflow(sum, amount_of(container, resource), &sum))
			sum = INT64_MAX;
	}
	json_array_foreach (json_object_get(spec, "initContainers"), i, container) {
		int64_t amount = amount_of(container, resource);
		if (amount > sum)
			sum = amount;
	}
	return sum;
}
