#include "model/validate.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/map.h"
#include "base/str.h"
#include "model/format.h"

/* ---- rules of the schema ---- */

static void check_value(struct findings *f, const struct path *p, const struct schema *s,
	const json_t *json, const json_t *old);

static bool is_empty(const json_t *json)
{
	return !json || (json_is_string(json) && !*json_string_value(json)) ||
	       (json_is_array(json) && !json_array_size(json));
}

static void check_fields(struct findings *f, const struct path *p, const struct schema *s,
	const json_t *json, const json_t *old)
{
	for (size_t i = 0; i < s->field_count; i++) {
		const struct schema_field *field = &s->fields[i];
		const json_t *value = json_object_get(json, field->name);
		const json_t *before = json_object_get(old, field->name);
		const struct path *at = PATH_FIELD(p, field->name);
		if (field->flags & FIELD_STATUS)
			continue;
		if ((field->flags & FIELD_REQUIRED) && is_empty(value))
			find_required(f, at, "");
		else if (value)
			check_value(f, at, field->schema, value, before);
		if ((field->flags & FIELD_IMMUTABLE) && old && !json_equal(value, before))
			find_invalid(f, at, value, "field is immutable");
	}
}

static void check_map(struct findings *f, const struct path *p, const struct schema *s,
	const json_t *json)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)json, key, value) {
		const char *why = s->key ? format_check(s->key->format, key) : NULL;
		bool config = s->key && s->key->format == FORMAT_CONFIG_KEY;
		if (why)
			find_invalid_text(f, config ? PATH_KEY(p, key) : p, key, why);
		check_value(f, PATH_KEY(p, key), s->item, value, NULL);
	}
}

static void check_list(struct findings *f, const struct path *p, const struct schema *s,
	const json_t *json)
{
	size_t count = json_array_size(json);
	if (s->has_minimum && (int64_t)count < s->minimum)
		find_required(f, p, "");
	if (s->has_maximum && (int64_t)count > s->maximum)
		find_error(f, p, "FieldValueTooMany",
			"Too many: %zu: must have at most %" PRId64 " items", count, s->maximum);
	for (size_t i = 0; i < count; i++)
		check_value(f, PATH_ITEM(p, i), s->item, json_array_get(json, i), NULL);
}

static void check_string(struct findings *f, const struct path *p, const struct schema *s,
	const json_t *json)
{
	const char *text = json_string_value(json);
	bool allowed = !s->values;
	for (size_t i = 0; s->values && s->values[i]; i++)
		allowed |= str_equal(s->values[i], text);
	if (!allowed)
		find_unsupported(f, p, json, s->values);
	const char *why = *text ? format_check(s->format, text) : NULL;
	if (why)
		find_invalid(f, p, json, why);
}

static void check_number(struct findings *f, const struct path *p, const struct schema *s,
	const json_t *json)
{
	bool port = s->format == FORMAT_PORT;
	bool low = s->has_minimum || port, high = s->has_maximum || port;
	int64_t minimum = port ? 1 : s->minimum, maximum = port ? 65535 : s->maximum;
	int64_t value = json_int_or(json, 0);
	char why[100];
	/* The end of 32 bits is no limit that anybody has in mind. */
	high = high && (maximum != INT32_MAX || value > maximum);
	low = low && (minimum != INT32_MIN || value < minimum);
	if (low && high && (value < minimum || value > maximum))
		snprintf(why, sizeof(why), "must be between %" PRId64 " and %" PRId64 ", inclusive",
			minimum, maximum);
	else if (low && value < minimum)
		snprintf(why, sizeof(why), "must be greater than or equal to %" PRId64, minimum);
	else if (high && value > maximum)
		snprintf(why, sizeof(why), "must be less than or equal to %" PRId64, maximum);
	else
		return;
	find_invalid(f, p, json, why);
}

static void check_real(struct findings *f, const struct path *p, const struct schema *s,
	const json_t *json)
{
	double value = json_number_value(json);
	char why[100];
	if (s->has_minimum && s->has_maximum &&
		!(value >= (double)s->minimum && value <= (double)s->maximum))
		snprintf(why, sizeof(why), "must be between %" PRId64 " and %" PRId64 ", inclusive",
			s->minimum, s->maximum);
	else if (s->has_minimum && !(value >= (double)s->minimum))
		snprintf(why, sizeof(why), "must be greater than or equal to %" PRId64, s->minimum);
	else if (s->has_maximum && !(value <= (double)s->maximum))
		snprintf(why, sizeof(why), "must be less than or equal to %" PRId64, s->maximum);
	else
		return;
	find_invalid(f, p, json, why);
}

static void check_value(struct findings *f, const struct path *p, const struct schema *s,
	const json_t *json, const json_t *old)
{
	if (s->type == SCHEMA_OBJECT)
		check_fields(f, p, s, json, old);
	else if (s->type == SCHEMA_MAP)
		check_map(f, p, s, json);
	else if (s->type == SCHEMA_LIST)
		check_list(f, p, s, json);
	else if (s->type == SCHEMA_STRING)
		check_string(f, p, s, json);
	else if (s->type == SCHEMA_INTEGER)
		check_number(f, p, s, json);
	else if (s->type == SCHEMA_NUMBER)
		check_real(f, p, s, json);
}

/* ---- shared by the kinds ---- */

void validate_unique(struct findings *f, const struct path *p, const json_t *list, const char *name)
{
	struct map seen = {0};
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		const char *text = json_text_or(name ? json_object_get(item, name) : item, "");
		const struct path *at = PATH_ITEM(p, i);
		if (!*text)
			continue;
		if (map_has(&seen, text))
			find_duplicate(f, name ? PATH_FIELD(at, name) : at, text);
		map_put(&seen, text, &seen);
	}
	map_done(&seen);
}

void validate_label_values(struct findings *f, const struct path *p, const json_t *labels)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		const char *why = format_check(FORMAT_LABEL_VALUE, json_text_or(value, ""));
		if (why)
			find_invalid(f, p, value, why);
	}
}

/* ---- rules of the kinds ---- */

static const struct {
	const struct kind *kind;
	void (*check)(const struct validation *v);
} rules[] = {
	{&kind_pod, validate_pod},
	{&kind_deployment, validate_deployment},
	{&kind_replicaset, validate_replicaset},
	{&kind_service, validate_service},
	{&kind_endpointslice, validate_endpointslice},
	{&kind_configmap, validate_configmap},
	{&kind_secret, validate_secret},
	{&kind_node, validate_node},
	{&kind_event, validate_event},
	{&kind_site, validate_site},
	{&kind_application, validate_application},
};

void model_validate(const struct kind *k, const json_t *json, const json_t *old, struct findings *f)
{
	const struct validation v = {k, json, old, f};
	validate_metadata(&v);
	check_fields(f, NULL, k->schema, json, old);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].kind == k)
			rules[i].check(&v);
}
