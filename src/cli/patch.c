#include "cli/patch.h"

/* Whether current says all that wanted says; it may say more. */
static bool covers(const json_t *current, const json_t *wanted)
{
	const char *key;
	json_t *value;
	size_t at;
	if (json_is_object(wanted)) {
		json_object_foreach ((json_t *)wanted, key, value) {
			if (!json_is_null(value) && !covers(json_object_get(current, key), value))
				return false;
		}
		return json_is_object(current);
	}
	if (!json_is_array(wanted))
		return json_equal(current, wanted);
	if (!json_is_array(current) || json_array_size(current) != json_array_size(wanted))
		return false;
	json_array_foreach (wanted, at, value) {
		if (!covers(json_array_get(current, at), value))
			return false;
	}
	return true;
}

static bool same_value(const json_t *last, const json_t *modified, const json_t *current)
{
	if (!json_is_array(modified))
		return json_equal(modified, current);
	return covers(current, modified) && (!last || json_equal(last, modified));
}

/* What was applied once and is not in the manifest any more. */
static void add_removals(json_t *patch, const json_t *last, const json_t *modified,
	const json_t *current)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)last, key, value) {
		if (!json_is_null(value) && !json_object_get(modified, key) &&
			json_object_get(current, key))
			json_object_set_new(patch, key, json_null());
	}
}

static void add_change(json_t *patch, const char *key, const json_t *last, json_t *modified,
	const json_t *current)
{
	if (json_is_object(modified) && json_is_object(current)) {
		json_t *inner = patch_three_way(last, modified, current);
		if (json_object_size(inner) > 0)
			json_object_set(patch, key, inner);
		json_decref(inner);
	} else if (json_is_null(modified)) {
		if (current)
			json_object_set_new(patch, key, json_null());
	} else if (!current || !same_value(last, modified, current)) {
		json_object_set(patch, key, modified);
	}
}

json_t *patch_three_way(const json_t *last, const json_t *modified, const json_t *current)
{
	json_t *patch = json_object();
	const char *key;
	json_t *value;
	add_removals(patch, last, modified, current);
	json_object_foreach ((json_t *)modified, key, value) {
		add_change(patch, key, json_object_get(last, key), value,
			json_object_get(current, key));
	}
	return patch;
}
