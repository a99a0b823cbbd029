#include <stdio.h>

#include "base/map.h"
#include "base/str.h"
#include "model/validate.h"

static void check_taints(struct findings *f, const struct path *p, const json_t *taints)
{
	struct map seen = {0};
	size_t i;
	json_t *taint;
	json_array_foreach (taints, i, taint) {
		char key[400];
		snprintf(key, sizeof(key), "%.330s:%.40s", json_text(taint, "", "key"),
			json_text(taint, "", "effect"));
		if (map_has(&seen, key))
			find_duplicate(f, PATH_ITEM(p, i), key);
		map_put(&seen, key, &seen);
	}
	map_done(&seen);
}

void validate_node(const struct validation *v)
{
	const json_t *spec = json_object_get(v->json, "spec");
	const struct path *p = PATH_FIELD(NULL, "spec");
	check_taints(v->findings, PATH_FIELD(p, "taints"), json_object_get(spec, "taints"));
	const char *before = json_text(v->old, "", "spec", "podCIDR");
	const json_t *range = json_object_get(spec, "podCIDR");
	if (*before && !str_equal(before, json_text_or(range, "")))
		find_forbidden(v->findings, PATH_FIELD(p, "podCIDR"),
			"node updates may not change podCIDR except from \"\" to valid");
}

void validate_event(const struct validation *v)
{
	const char *own = json_text(v->json, "", "metadata", "namespace");
	const char *about = json_text(v->json, "", "involvedObject", "namespace");
	const struct path *p = PATH_FIELD(PATH_FIELD(NULL, "involvedObject"), "namespace");
	/* What is about an object of the whole domain lives in "default". */
	if (*about ? !str_equal(own, about) : !str_equal(own, "default"))
		find_invalid_text(v->findings, p, about, "does not match event.namespace");
}
