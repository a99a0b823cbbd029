#include "base/str.h"
#include "model/format.h"
#include "model/quantity.h"
#include "model/validate.h"

#define LATENCY_MAX_MS 3600000.0

void validate_latency(struct findings *f, const struct path *p, const json_t *latency)
{
	double ms;
	if (latency && duration_ms(json_text_or(latency, ""), &ms, NULL) == 0 &&
		ms > LATENCY_MAX_MS)
		find_invalid(f, p, latency, "must be at most one hour");
}

void validate_not_negative(struct findings *f, const struct path *p, const json_t *quantity)
{
	struct quantity q;
	enum quantity_format format;
	const struct quantity nothing = {0, 0};
	struct err e = ERR_INIT;
	if (!quantity)
		return;
	if (quantity_parse(json_text_or(quantity, ""), &q, &format, &e) < 0)
		find_invalid(f, p, quantity, e.text);
	else if (quantity_compare(q, nothing) < 0)
		find_invalid(f, p, quantity, "must be greater than or equal to 0");
}

static void check_path(const struct validation *v, const struct path *p, const json_t *path)
{
	const char *own = json_text(v->json, "", "metadata", "name");
	const char *to = json_text(path, "", "to");
	if (*own && str_equal(own, to))
		find_invalid_text(v->findings, PATH_FIELD(p, "to"), to,
			"a path leads to another site, not to its own");
	validate_latency(v->findings, PATH_FIELD(p, "latency"), json_object_get(path, "latency"));
	validate_not_negative(v->findings, PATH_FIELD(p, "bandwidth"),
		json_object_get(path, "bandwidth"));
}

void validate_site(const struct validation *v)
{
	const json_t *metadata = json_object_get(v->json, "metadata");
	const json_t *list = json_at(v->json, "spec", "paths");
	const struct path *paths = PATH_FIELD(PATH_FIELD(NULL, "spec"), "paths");
	const char *name = json_text(metadata, "", "name");
	const char *why = format_check(FORMAT_LABEL_VALUE, name);
	size_t i;
	json_t *path;
	if (why) /* of nodes, by which they name their site */
		find_invalid_text(v->findings, PATH_FIELD(PATH_FIELD(NULL, "metadata"), "name"),
			name, why);
	validate_unique(v->findings, paths, list, "to");
	json_array_foreach (list, i, path) {
		check_path(v, PATH_ITEM(paths, i), path);
	}
}
