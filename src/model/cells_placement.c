#include <stdio.h>

#include "base/str.h"
#include "model/cells.h"

/* ---- sites ---- */

json_t *cell_site_paths(const json_t *tree, int64_t wall_ms UNUSED)
{
	return json_integer((json_int_t)json_array_size(json_at(tree, "spec", "paths")));
}

json_t *cell_site_destinations(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	size_t i, count = 0;
	json_t *path;
	json_array_foreach (json_at(tree, "spec", "paths"), i, path) {
		cells_append_some(&b, &count, json_text(path, "", "to"));
	}
	return cells_some(&b, count, "<none>");
}

/* ---- applications ---- */

json_t *cell_application_ready(const json_t *tree, int64_t wall_ms UNUSED)
{
	char text[64];
	snprintf(text, sizeof(text), "%lld/%zu",
		(long long)json_int(tree, 0, "status", "readyComponents"),
		json_array_size(json_at(tree, "spec", "components")));
	return json_string(text);
}

json_t *cell_application_status(const json_t *tree, int64_t wall_ms UNUSED)
{
	size_t i;
	json_t *condition;
	if (json_at(tree, "metadata", "deletionTimestamp"))
		return json_string("Terminating");
	json_array_foreach (json_at(tree, "status", "conditions"), i, condition) {
		if (!str_equal(json_text(condition, "", "type"), "Ready"))
			continue;
		bool ready = str_equal(json_text(condition, "", "status"), "True");
		return json_string(ready ? "Ready" : json_text(condition, "", "reason"));
	}
	return json_string("Pending");
}

json_t *cell_application_components(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	size_t i, count = 0;
	json_t *component;
	json_array_foreach (json_at(tree, "spec", "components"), i, component) {
		cells_append_some(&b, &count, json_text(component, "", "name"));
	}
	return cells_some(&b, count, "<none>");
}
