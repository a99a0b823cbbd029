#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "codec/base64.h"
#include "model/finding.h"
#include "model/quantity.h"

#define LIST_MAX 4096 /* objects in one list: defaults make each of them much larger */

struct pruner {
	const struct kind *kind;
	struct findings *findings;
	bool strict;
	struct err *err;
};

/* Checks one value. *ret_new: what takes its place (a new reference), null when it stays. */
static int prune_value(struct pruner *r, const struct schema *s, const struct path *p, json_t *json,
	json_t **ret_new);

static const char *type_name(const json_t *json)
{
	static const char *const names[] = {[JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "a list",
		[JSON_STRING] = "a string",
		[JSON_INTEGER] = "a number",
		[JSON_REAL] = "a number",
		[JSON_TRUE] = "a boolean",
		[JSON_FALSE] = "a boolean",
		[JSON_NULL] = "null"};
	return names[json_typeof(json)];
}

static int decode_error(struct pruner *r, const struct path *p, const char *what)
{
	char version[128];
	kind_api_version(r->kind, version);
	return err_set(r->err, ERR_DECODE, "%s in version \"%s\" cannot be decoded: %s: %s",
		r->kind->name, version, path_text(p, &r->findings->arena), what);
}

static int wrong_type(struct pruner *r, const struct path *p, const char *wanted,
	const json_t *json)
{
	char what[80];
	snprintf(what, sizeof(what), "expected %s, not %s", wanted, type_name(json));
	return decode_error(r, p, what);
}

/* ---- scalars ---- */

static int prune_quantity(struct pruner *r, const struct path *p, const json_t *json,
	json_t **ret_new)
{
	if (!json_is_string(json) && !json_is_number(json))
		return wrong_type(r, p, "a quantity such as \"100m\" or \"64Mi\"", json);
	CLEANUP(mem_free_ptr)
	char *number = json_is_number(json) ? json_encode_string(json) : NULL;
	const char *text = number ? number : json_string_value(json);
	char canonical[QUANTITY_TEXT_SIZE];
	struct err cause = ERR_INIT;
	if (quantity_canonical(text, canonical, &cause) < 0)
		return decode_error(r, p, cause.text);
	if (number || !str_equal(text, canonical))
		*ret_new = json_string(canonical);
	return 0;
}

static int prune_integer(struct pruner *r, const struct path *p, const json_t *json,
	json_t **ret_new)
{
	if (json_is_integer(json))
		return 0;
	double value = json_is_real(json) ? json_real_value(json) : 0.5;
	if (value != floor(value) || fabs(value) > 1e15)
		return wrong_type(r, p, "an integer", json);
	*ret_new = json_integer((json_int_t)value);
	return 0;
}

/* Line breaks in base64 are left out, as Go's decoder does. */
static int prune_bytes(struct pruner *r, const struct path *p, const json_t *json, json_t **ret_new)
{
	if (!json_is_string(json))
		return wrong_type(r, p, "a base64 string", json);
	CLEANUP(buf_done)
	struct buf plain = BUF_INIT;
	CLEANUP(buf_done)
	struct buf data = BUF_INIT;
	const char *text = json_string_value(json);
	for (const char *c = text; *c; c++)
		if (*c != '\n' && *c != '\r')
			buf_append_char(&plain, *c);
	struct err cause = ERR_INIT;
	if (base64_decode(buf_text(&plain), plain.size, &data, &cause) < 0)
		return decode_error(r, p, cause.text);
	if (plain.size != strlen(text))
		*ret_new = json_string(buf_text(&plain));
	return 0;
}

static int prune_time(struct pruner *r, const struct path *p, const json_t *json)
{
	int64_t wall_ms;
	struct err cause = ERR_INIT;
	if (!json_is_string(json))
		return wrong_type(r, p, "a time", json);
	if (time_parse(json_string_value(json), &wall_ms, &cause) < 0)
		return decode_error(r, p, cause.text);
	return 0;
}

static int prune_scalar(struct pruner *r, const struct schema *s, const struct path *p,
	const json_t *json, json_t **ret_new)
{
	switch (s->type) {
	case SCHEMA_STRING:
		return json_is_string(json) ? 0 : wrong_type(r, p, "a string", json);
	case SCHEMA_BOOLEAN:
		return json_is_boolean(json) ? 0 : wrong_type(r, p, "a boolean", json);
	case SCHEMA_NUMBER:
		return json_is_number(json) ? 0 : wrong_type(r, p, "a number", json);
	case SCHEMA_INT_OR_STRING:
		return json_is_integer(json) || json_is_string(json)
			       ? 0
			       : wrong_type(r, p, "an integer or a string", json);
	case SCHEMA_INTEGER:
		return prune_integer(r, p, json, ret_new);
	case SCHEMA_QUANTITY:
		return prune_quantity(r, p, json, ret_new);
	case SCHEMA_TIME:
		return prune_time(r, p, json);
	case SCHEMA_BYTES:
		return prune_bytes(r, p, json, ret_new);
	default:
		return 0;
	}
}

/* ---- objects ---- */

static bool is_default(const struct schema_field *field, const json_t *json)
{
	if (json_is_false(json) || (json_is_string(json) && !*json_string_value(json)) ||
		(json_is_array(json) && !json_array_size(json)) ||
		(json_is_object(json) && !json_object_size(json)))
		return true;
	if (!field->default_json)
		return false;
	CLEANUP(mem_free_ptr)
	char *text = json_encode_string(json);
	return str_equal(text, field->default_json);
}

static void note_support(struct pruner *r, const struct schema_field *field, const struct path *p,
	const json_t *json)
{
	if (!(field->flags & (FIELD_UNSUPPORTED | FIELD_REFUSED)) || is_default(field, json))
		return;
	if (field->flags & FIELD_REFUSED)
		find_forbidden(r->findings, p,
			"this version does not carry it out, and security depends on it");
	else
		find_warning(r->findings, p, "%s is stored, but this version does not carry it out",
			path_text(p, &r->findings->arena));
}

static void note_unknown(struct pruner *r, const struct path *p)
{
	const char *text = path_text(p, &r->findings->arena);
	if (r->strict)
		find_error(r->findings, p, "FieldValueInvalid",
			"strict decoding error: unknown field \"%s\"", text);
	else
		find_warning(r->findings, p, "unknown field \"%s\"", text);
}

static const struct schema_field *field_of(const struct schema *s, const char *name)
{
	for (size_t i = 0; i < s->field_count; i++)
		if (str_equal(s->fields[i].name, name))
			return &s->fields[i];
	return NULL;
}

static int prune_object(struct pruner *r, const struct schema *s, const struct path *p,
	json_t *json)
{
	if (!json_is_object(json))
		return wrong_type(r, p, "an object", json);
	const char *name;
	json_t *value;
	void *next;
	json_object_foreach_safe (json, next, name, value) {
		const struct schema_field *field = field_of(s, name);
		const struct path *at = PATH_FIELD(p, name);
		if (!field)
			note_unknown(r, at);
		if (!field || json_is_null(value)) {
			json_object_del(json, name);
			continue;
		}
		json_t *replacement = NULL;
		int result = prune_value(r, field->schema, at, value, &replacement);
		if (result < 0)
			return result;
		if (replacement)
			json_object_set_new(json, field->name, replacement);
		note_support(r, field, at, json_object_get(json, field->name));
	}
	return 0;
}

static int prune_map(struct pruner *r, const struct schema *s, const struct path *p, json_t *json)
{
	if (!json_is_object(json))
		return wrong_type(r, p, "an object", json);
	const char *name;
	json_t *value;
	void *next;
	json_object_foreach_safe (json, next, name, value) {
		if (json_is_null(value)) {
			json_object_del(json, name);
			continue;
		}
		json_t *replacement = NULL;
		int result = prune_value(r, s->item, PATH_KEY(p, name), value, &replacement);
		if (result < 0)
			return result;
		if (replacement)
			json_object_set_new(json, name, replacement);
	}
	return 0;
}

static int prune_list(struct pruner *r, const struct schema *s, const struct path *p, json_t *json)
{
	if (!json_is_array(json))
		return wrong_type(r, p, "a list", json);
	if (s->item->type == SCHEMA_OBJECT && json_array_size(json) > LIST_MAX)
		return err_set(r->err, ERR_TOO_LARGE, "%s has %zu items; at most %d are taken",
			path_text(p, &r->findings->arena), json_array_size(json), LIST_MAX);
	for (size_t i = 0; i < json_array_size(json); i++) {
		json_t *replacement = NULL;
		int result = prune_value(r, s->item, PATH_ITEM(p, i), json_array_get(json, i),
			&replacement);
		if (result < 0)
			return result;
		if (replacement)
			json_array_set_new(json, i, replacement);
	}
	return 0;
}

static int prune_value(struct pruner *r, const struct schema *s, const struct path *p, json_t *json,
	json_t **ret_new)
{
	if (s->type == SCHEMA_OBJECT)
		return prune_object(r, s, p, json);
	if (s->type == SCHEMA_MAP)
		return prune_map(r, s, p, json);
	if (s->type == SCHEMA_LIST)
		return prune_list(r, s, p, json);
	return prune_scalar(r, s, p, json, ret_new);
}

int model_prune(const struct kind *k, json_t *json, bool strict, struct findings *f, struct err *e)
{
	struct pruner r = {.kind = k, .findings = f, .strict = strict, .err = e};
	if (!json_is_object(json))
		return err_set(e, ERR_DECODE, "%s must be an object, not %s", k->name,
			type_name(json));
	return prune_object(&r, k->schema, NULL, json);
}
