#include "model/pod_qos.h"

#include "codec/json.h"
#include "model/model.h"

struct qos {
	bool any, all; /* some request or limit is set; all limits are, and equal the requests */
};

static void qos_resource(struct qos *q, const json_t *container, const char *name)
{
	const char *limit = json_text(container, NULL, "resources", "limits", name);
	const char *request = json_text(container, limit, "resources", "requests", name);
	if (limit || request)
		q->any = true;
	int64_t limit_milli, request_milli;
	if (!limit || quantity_milli(limit, &limit_milli, NULL) < 0 ||
		quantity_milli(request, &request_milli, NULL) < 0 || limit_milli != request_milli)
		q->all = false;
}

const char *pod_qos_class(const json_t *spec)
{
	static const char *const lists[] = {"initContainers", "containers"};
	struct qos q = {.all = true};
	for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++) {
		size_t i;
		json_t *container;
		json_array_foreach (json_at(spec, lists[l]), i, container) {
			qos_resource(&q, container, "cpu");
			qos_resource(&q, container, "memory");
		}
	}
	return !q.any ? "BestEffort" : q.all ? "Guaranteed" : "Burstable";
}
