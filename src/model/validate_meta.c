#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "model/application.h"
#include "model/format.h"
#include "model/validate.h"

#define ANNOTATIONS_MAX ((size_t)256 << 10) /* bytes of all keys and values */

static enum schema_format name_format(const struct kind *k)
{
	if (k == &kind_namespace || k == &kind_application) /* it is a label's value too */
		return FORMAT_DNS_LABEL;
	if (k == &kind_service)
		return FORMAT_DNS_1035_LABEL;
	return FORMAT_DNS_SUBDOMAIN;
}

static void check_name(const struct validation *v, const struct path *p, const json_t *metadata)
{
	const char *name = json_text(metadata, "", "name");
	const char *prefix = json_text(metadata, "", "generateName");
	const struct path *at = PATH_FIELD(p, "name");
	if (!*name && !*prefix)
		find_required(v->findings, at, "name or generateName is required");
	const char *why = *name ? format_check(name_format(v->kind), name) : NULL;
	if (why)
		find_invalid_text(v->findings, at, name, why);
	char filled[512];
	/* What the suffix will make of it. */
	if (!*name && *prefix && str_copy(filled, sizeof(filled) - 1, prefix)) {
		strcat(filled, "x");
		why = format_check(name_format(v->kind), filled);
		if (why)
			find_invalid_text(v->findings, PATH_FIELD(p, "generateName"), prefix, why);
	}
}

static void check_namespace(const struct validation *v, const struct path *p,
	const json_t *metadata)
{
	const char *namespace = json_text(metadata, "", "namespace");
	const struct path *at = PATH_FIELD(p, "namespace");
	if (v->kind->namespaced && !*namespace)
		find_required(v->findings, at, "");
	if (!v->kind->namespaced && *namespace)
		find_forbidden(v->findings, at, "not allowed on this type");
	const char *why = *namespace ? format_check(FORMAT_DNS_LABEL, namespace) : NULL;
	if (v->kind->namespaced && why)
		find_invalid_text(v->findings, at, namespace, why);
}

void validate_singleton(struct findings *f, const struct path *p, const json_t *annotations)
{
	static const char *const known[] = {"keep", "handover", NULL};
	const json_t *value = json_object_get(annotations, "continuo.dev/singleton");
	const char *text = json_text_or(value, "");
	if (value && !str_equal(text, known[0]) && !str_equal(text, known[1]))
		find_unsupported(f,
			PATH_FIELD(PATH_FIELD(p, "annotations"), "continuo.dev/singleton"), value,
			known);
}

void validate_countries(struct findings *f, const struct path *p, const json_t *annotations)
{
	const json_t *value = json_object_get(annotations, COUNTRIES_ANNOTATION);
	char list[400], *rest = list;
	bool good = str_copy(list, sizeof(list), json_text_or(value, ""));
	for (char *country; good && (country = strsep(&rest, ","));)
		good = !format_check(FORMAT_COUNTRY, country);
	if (value && !good)
		find_invalid(f, PATH_KEY(PATH_FIELD(p, "annotations"), COUNTRIES_ANNOTATION), value,
			"must be countries of two capital letters each (ISO 3166-1) with commas "
			"between them, such as 'DE,FR'");
}

static void check_annotations(const struct validation *v, const struct path *p,
	const json_t *annotations)
{
	size_t size = 0;
	const char *key;
	json_t *value;
	validate_singleton(v->findings, p, annotations);
	validate_countries(v->findings, p, annotations);
	json_object_foreach ((json_t *)(uintptr_t)annotations, key, value) {
		size += strlen(key) + json_string_length(value);
	}
	if (size > ANNOTATIONS_MAX)
		find_error(v->findings, PATH_FIELD(p, "annotations"), "FieldValueTooLong",
			"Too long: must have at most %zu bytes", ANNOTATIONS_MAX);
}

static void check_owners(const struct validation *v, const struct path *p, const json_t *owners)
{
	size_t i, controllers = 0;
	json_t *owner;
	json_array_foreach (owners, i, owner) {
		controllers += json_bool(owner, false, "controller");
	}
	if (controllers > 1)
		find_invalid(v->findings, PATH_FIELD(p, "ownerReferences"), owners,
			"only one reference can have controller set to true");
}

static void check_finalizers(const struct validation *v, const struct path *p,
	const json_t *finalizers)
{
	const struct path *list = PATH_FIELD(p, "finalizers");
	size_t i;
	json_t *finalizer;
	json_array_foreach (finalizers, i, finalizer) {
		const char *text = json_text_or(finalizer, "");
		const char *why = format_check(FORMAT_LABEL_KEY, text);
		if (why)
			find_invalid_text(v->findings, PATH_ITEM(list, i), text, why);
	}
}

static void check_update(const struct validation *v, const struct path *p, const json_t *metadata)
{
	static const char *const fixed[] = {"name", "namespace", "uid", "creationTimestamp"};
	const json_t *old = json_object_get(v->old, "metadata");
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		const json_t *now = json_object_get(metadata, fixed[i]);
		if (now && !json_equal(now, json_object_get(old, fixed[i])))
			find_invalid(v->findings, PATH_FIELD(p, fixed[i]), now,
				"field is immutable");
	}
	if (!json_object_get(old, "deletionTimestamp"))
		return;
	struct map known = {0};
	size_t i;
	json_t *finalizer;
	json_array_foreach (json_object_get(old, "finalizers"), i, finalizer) {
		map_put(&known, json_text_or(finalizer, ""), &known);
	}
	json_array_foreach (json_object_get(metadata, "finalizers"), i, finalizer) {
		if (!map_has(&known, json_text_or(finalizer, "")))
			find_forbidden(v->findings, PATH_FIELD(p, "finalizers"),
				"no new finalizers can be added if the object is being deleted");
	}
	map_done(&known);
}

void validate_metadata(const struct validation *v)
{
	const json_t *metadata = json_object_get(v->json, "metadata");
	const struct path *p = PATH_FIELD(NULL, "metadata");
	if (!metadata)
		return;
	check_name(v, p, metadata);
	check_namespace(v, p, metadata);
	validate_label_values(v->findings, PATH_FIELD(p, "labels"),
		json_object_get(metadata, "labels"));
	check_annotations(v, p, json_object_get(metadata, "annotations"));
	check_owners(v, p, json_object_get(metadata, "ownerReferences"));
	check_finalizers(v, p, json_object_get(metadata, "finalizers"));
	if (v->old)
		check_update(v, p, metadata);
}
