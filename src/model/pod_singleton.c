#include "model/pod_singleton.h"

#include <string.h>

#include "base/str.h"

/* Keys in blobs are never inside a string, where their quotes would be escaped. */
enum pod_singleton pod_singleton(const struct object *pod)
{
	static const char key[] = "\"continuo.dev/singleton\":\"";
	const char *found = pod ? strstr(pod->blob, key) : NULL;
	if (!found)
		return SINGLETON_NONE;
	return str_starts(found + sizeof(key) - 1, "handover\"") ? SINGLETON_HANDOVER
								 : SINGLETON_KEEP;
}
