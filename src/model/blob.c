#include "model/blob.h"

#include "base/str.h"

struct writer {
	struct buf *b;
};

static void write_value(struct writer *w, const struct schema *s, const json_t *json);

static void write_member(struct writer *w, bool *first, const char *name, const struct schema *s,
	const json_t *value)
{
	if (!*first)
		buf_append_char(w->b, ',');
	*first = false;
	json_write_string(w->b, name);
	buf_append_char(w->b, ':');
	write_value(w, s, value);
}

static const struct schema_field *field_of(const struct schema *s, const char *name)
{
	for (size_t i = 0; i < s->field_count; i++)
		if (str_equal(s->fields[i].name, name))
			return &s->fields[i];
	return NULL;
}

/* Members that the schema has no field for. known: how many it had. */
static void write_unknown(struct writer *w, const struct schema *s, const json_t *json,
	size_t known, bool *first)
{
	if (json_object_size(json) == known)
		return;
	const char *name;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)json, name, value) {
		if (!json_is_null(value) && !field_of(s, name))
			write_member(w, first, name, NULL, value);
	}
}

static void write_fields(struct writer *w, const struct schema *s, const json_t *json)
{
	bool first = true;
	size_t known = 0;
	buf_append_char(w->b, '{');
	for (size_t i = 0; i < s->field_count; i++) {
		const struct schema_field *f = &s->fields[i];
		const json_t *value = json_object_get(json, f->name);
		if (!value)
			continue;
		known++;
		if (!json_is_null(value) && !(f->flags & FIELD_UNSTORED))
			write_member(w, &first, f->name, f->schema, value);
	}
	write_unknown(w, s, json, known, &first);
	buf_append_char(w->b, '}');
}

static void write_map(struct writer *w, const struct schema *s, const json_t *json)
{
	bool first = true;
	const char *name;
	json_t *value;
	buf_append_char(w->b, '{');
	json_object_foreach ((json_t *)(uintptr_t)json, name, value) {
		write_member(w, &first, name, s->item, value);
	}
	buf_append_char(w->b, '}');
}

static void write_list(struct writer *w, const struct schema *s, const json_t *json)
{
	buf_append_char(w->b, '[');
	for (size_t i = 0; i < json_array_size(json); i++) {
		if (i)
			buf_append_char(w->b, ',');
		write_value(w, s->item, json_array_get(json, i));
	}
	buf_append_char(w->b, ']');
}

static void write_value(struct writer *w, const struct schema *s, const json_t *json)
{
	if (s && s->type == SCHEMA_OBJECT && json_is_object(json))
		write_fields(w, s, json);
	else if (s && s->type == SCHEMA_MAP && json_is_object(json))
		write_map(w, s, json);
	else if (s && s->type == SCHEMA_LIST && json_is_array(json))
		write_list(w, s, json);
	else
		json_encode(json, w->b);
}

/* resourceVersion is put in front of all members, where a comma always follows: metadata has a
 * name. */
static void write_root_field(struct writer *w, const struct schema_field *f, const json_t *value,
	size_t *ret_offset)
{
	bool first = false;
	size_t before = w->b->size + sizeof("\"metadata\":{");
	write_member(w, &first, f->name, f->schema, value);
	if (str_equal(f->name, "metadata"))
		*ret_offset = before;
}

void blob_write(const struct kind *kind, const json_t *json, struct buf *b,
	size_t *ret_revision_offset)
{
	struct writer w = {.b = b};
	char api_version[128];
	kind_api_version(kind, api_version);
	buf_append_string(b, "{\"apiVersion\":");
	json_write_string(b, api_version);
	buf_append_string(b, ",\"kind\":");
	json_write_string(b, kind->name);
	bool first = false;
	size_t known = json_object_get(json, "apiVersion") ? 1 : 0;
	known += json_object_get(json, "kind") ? 1 : 0;
	for (size_t i = 0; i < kind->schema->field_count; i++) {
		const struct schema_field *f = &kind->schema->fields[i];
		const json_t *value = json_object_get(json, f->name);
		if (!value || str_equal(f->name, "apiVersion") || str_equal(f->name, "kind"))
			continue;
		known++;
		if (!json_is_null(value) && !(f->flags & FIELD_UNSTORED))
			write_root_field(&w, f, value, ret_revision_offset);
	}
	write_unknown(&w, kind->schema, json, known, &first);
	buf_append_char(b, '}');
}
