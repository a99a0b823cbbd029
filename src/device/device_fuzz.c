/* Any bytes as a uevent, as rules and as the file of who has which device. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/device.h"
#include "device/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_rules(const uint8_t *data, size_t size)
{
	CLEANUP(arena_done) struct arena a = {0};
	CLEANUP(json_done) json_t *list = NULL;
	const struct device_rule *rules;
	size_t count;
	if (json_decode((const char *)data, size, &list, NULL) == 0 &&
		device_rules_parse(list, &a, &rules, &count, NULL) == 0)
		for (size_t i = 0; i < count; i++)
			if (rules[i].match && rules[i].match->kernel)
				(void)device_pattern_matches(rules[i].match->kernel, "video0");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct device_pool pool;
	(void)device_uevent_concerns(data, size);
	as_rules(data, size);
	device_pool_init(&pool, NULL, 0);
	if (device_pool_decode(&pool, (const char *)data, size, "boot", NULL) == 0) {
		CLEANUP(mem_free_ptr) char *text = device_pool_encode(&pool, "boot");
		struct device_pool again;
		device_pool_init(&again, NULL, 0);
		if (device_pool_decode(&again, text, strlen(text), "boot", NULL) < 0)
			abort(); /* what we write, we read */
		device_pool_done(&again);
	}
	device_pool_done(&pool);
	return 0;
}
