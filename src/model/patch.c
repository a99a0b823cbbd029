#include <stdlib.h>

#include "model/model.h"

static void set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) < 0)
		abort();
}

/* RFC 7386 section 2. A patch for what is not an object yet starts from an empty one, so that its
 * nulls vanish. */
void model_merge_patch(json_t *target, const json_t *patch)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)patch, key, value) {
		if (json_is_null(value)) {
			json_object_del(target, key);
		} else if (json_is_object(value)) {
			/* A member that the target shares with another tree must not change there.
			 */
			json_t *old = json_object_get(target, key);
			json_t *merged = json_is_object(old) ? json_copy(old) : json_object();
			model_merge_patch(merged, value);
			set(target, key, merged);
		} else {
			set(target, key, json_deep_copy(value));
		}
	}
}
