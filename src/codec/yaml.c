#include "codec/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/map.h"
#include "base/str.h"
#include "codec/base64.h"
#include "codec/yaml_scalar.h"

#define STREAM_SIZE_MAX ((size_t)32 << 20) /* bytes of all documents */
#define NODE_COST 16                       /* what an expanded node counts besides its text */

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the current one, owned */
	struct map anchors; /* of this document: json_t, null while it is still being read */
	size_t budget;      /* bytes that aliases may still expand to, in this document */
	struct err *err;
};

static int read_node(struct reader *r, int depth, json_t **ret_json);

/* ---- errors ---- */

static int fail_at(struct reader *r, const yaml_mark_t *mark, const char *what)
{
	return err_set(r->err, ERR_DECODE, "line %zu, column %zu: %s", mark->line + 1,
		mark->column + 1, what);
}

static int fail(struct reader *r, const char *what)
{
	return fail_at(r, &r->event.start_mark, what);
}

static int parser_error(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem ? p->problem : "not valid YAML";
	if (p->error == YAML_READER_ERROR)
		return err_set(r->err, ERR_DECODE, "line %zu, column %zu: %s (at byte %zu)",
			p->mark.line + 1, p->mark.column + 1, problem, p->problem_offset);
	return err_set(r->err, ERR_DECODE, "line %zu, column %zu: %s%s%s", p->problem_mark.line + 1,
		p->problem_mark.column + 1, problem, p->context ? " " : "",
		p->context ? p->context : "");
}

static int next(struct reader *r)
{
	yaml_event_delete(&r->event);
	return yaml_parser_parse(&r->parser, &r->event) ? 0 : parser_error(r);
}

/* ---- anchors ---- */

static void free_json(void *json)
{
	json_decref(json);
}

/* A copy that counts against the budget. Null: too deep or too much. */
static json_t *expand(struct reader *r, const json_t *json, int depth)
{
	size_t cost = NODE_COST + json_string_length(json);
	if (depth > JSON_DEPTH_MAX || cost > r->budget)
		return NULL;
	r->budget -= cost;
	CLEANUP(json_done) json_t *copy = NULL;
	if (json_is_array(json)) {
		copy = json_array();
		for (size_t i = 0; i < json_array_size(json); i++)
			if (json_array_append_new(copy,
				    expand(r, json_array_get(json, i), depth + 1)) < 0)
				return NULL;
	} else if (json_is_object(json)) {
		const char *key;
		json_t *value;
		copy = json_object();
		json_object_foreach ((json_t *)(uintptr_t)json, key, value) {
			size_t size = strlen(key);
			if (size > r->budget)
				return NULL;
			r->budget -= size;
			if (json_object_set_new(copy, key, expand(r, value, depth + 1)) < 0)
				return NULL;
		}
	} else {
		return json_deep_copy(json);
	}
	return json_incref(copy);
}

static int read_alias(struct reader *r, int depth, json_t **ret_json)
{
	const char *name = (const char *)r->event.data.alias.anchor;
	if (!map_has(&r->anchors, name))
		return fail(r, "unknown anchor");
	const json_t *json = map_get(&r->anchors, name);
	if (!json)
		return fail(r, "the value of this anchor contains itself");
	*ret_json = expand(r, json, depth);
	return *ret_json ? 0 : fail(r, "aliases expand to more than this document may hold");
}

static void set_anchor(struct reader *r, const char *name, json_t *json)
{
	map_put(&r->anchors, name, json ? json_incref(json) : NULL);
}

/* ---- scalars ---- */

static json_t *decode_binary(const char *text, size_t size)
{
	CLEANUP(buf_done) struct buf plain = BUF_INIT;
	CLEANUP(buf_done) struct buf data = BUF_INIT;
	for (size_t i = 0; i < size; i++)
		if (!strchr(" \t\r\n", text[i]))
			buf_append_char(&plain, text[i]);
	if (base64_decode(buf_text(&plain), plain.size, &data, NULL) < 0)
		return NULL;
	return memchr(buf_text(&data), '\0', data.size) ? NULL
							: json_stringn(buf_text(&data), data.size);
}

/* The value of a scalar by its tag, or by its form when it is plain. Null: none. */
static json_t *scalar_value(const yaml_event_t *event)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	const char *text = (const char *)event->data.scalar.value;
	size_t size = event->data.scalar.length;
	const char *tag = (const char *)event->data.scalar.tag;
	if (!tag)
		return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
			       ? yaml_resolve(text, size)
			       : json_stringn(text, size);
	const char *type = str_starts(tag, prefix) ? tag + strlen(prefix) : "str";
	if (str_equal(type, "binary"))
		return decode_binary(text, size);
	if (str_equal(type, "str") || str_equal(type, "timestamp"))
		return json_stringn(text, size);
	json_t *json = yaml_resolve(text, size);
	if ((str_equal(type, "int") && json_is_integer(json)) ||
		(str_equal(type, "float") && json_is_number(json)) ||
		(str_equal(type, "bool") && json_is_boolean(json)) ||
		(str_equal(type, "null") && json_is_null(json)))
		return json;
	json_decref(json);
	return NULL;
}

static int read_scalar(struct reader *r, json_t **ret_json)
{
	const char *text = (const char *)r->event.data.scalar.value;
	if (memchr(text, '\0', r->event.data.scalar.length))
		return fail(r, "NUL bytes are not allowed");
	*ret_json = scalar_value(&r->event);
	return *ret_json ? 0 : fail(r, "this value cannot be decoded");
}

/* ---- collections ---- */

static int read_sequence(struct reader *r, int depth, json_t **ret_json)
{
	CLEANUP(json_done) json_t *list = json_array();
	for (;;) {
		json_t *item = NULL;
		int result = next(r);
		if (result < 0)
			return result;
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		result = read_node(r, depth + 1, &item);
		if (result < 0)
			return result;
		json_array_append_new(list, item);
	}
	*ret_json = json_incref(list);
	return 0;
}

/* Keys are strings in JSON: numbers and booleans become their text. */
static int key_text(struct reader *r, struct buf *ret_key)
{
	CLEANUP(json_done) json_t *json = NULL;
	if (r->event.type != YAML_SCALAR_EVENT)
		return fail(r, "a key must be a string");
	int result = read_scalar(r, &json);
	if (result < 0)
		return result;
	if (json_is_null(json))
		return fail(r, "a key must not be null");
	if (json_is_string(json))
		buf_append_string(ret_key, json_string_value(json));
	else
		json_encode(json, ret_key);
	return 0;
}

static bool is_merge_key(const yaml_event_t *event)
{
	return event->type == YAML_SCALAR_EVENT && !event->data.scalar.tag &&
	       event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       strcmp((const char *)event->data.scalar.value, "<<") == 0;
}

/* Collects what "<<" names: one map or a list of maps, the first winning. */
static int read_merge(struct reader *r, int depth, json_t *merges)
{
	CLEANUP(json_done) json_t *value = NULL;
	yaml_mark_t mark = r->event.start_mark;
	int result = next(r);
	if (result < 0)
		return result;
	result = read_node(r, depth + 1, &value);
	if (result < 0)
		return result;
	if (json_is_object(value)) {
		json_array_append(merges, value);
		return 0;
	}
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!json_is_object(json_array_get(value, i)))
			return fail_at(r, &mark,
				"map merge requires map or sequence of maps as the value");
	if (!json_is_array(value))
		return fail_at(r, &mark, "map merge requires map or sequence of maps as the value");
	json_array_extend(merges, value);
	return 0;
}

static int read_member(struct reader *r, int depth, json_t *object)
{
	CLEANUP(buf_done) struct buf key = BUF_INIT;
	int result = key_text(r, &key);
	if (result < 0)
		return result;
	if (json_object_get(object, buf_text(&key)))
		return err_set(r->err, ERR_DECODE, "line %zu, column %zu: duplicate key \"%.80s\"",
			r->event.start_mark.line + 1, r->event.start_mark.column + 1,
			buf_text(&key));
	if (r->event.data.scalar.anchor) {
		CLEANUP(json_done) json_t *text = json_string(buf_text(&key));
		set_anchor(r, (const char *)r->event.data.scalar.anchor, text);
	}
	json_t *value = NULL;
	result = next(r);
	if (result < 0)
		return result;
	result = read_node(r, depth + 1, &value);
	if (result < 0)
		return result;
	json_object_set_new(object, buf_text(&key), value);
	return 0;
}

static int read_mapping(struct reader *r, int depth, json_t **ret_json)
{
	CLEANUP(json_done) json_t *object = json_object();
	CLEANUP(json_done) json_t *merges = json_array();
	for (;;) {
		int result = next(r);
		if (result < 0)
			return result;
		if (r->event.type == YAML_MAPPING_END_EVENT)
			break;
		result = is_merge_key(&r->event) ? read_merge(r, depth, merges)
						 : read_member(r, depth, object);
		if (result < 0)
			return result;
	}
	for (size_t i = 0; i < json_array_size(merges); i++)
		json_object_update_missing(object, json_array_get(merges, i));
	*ret_json = json_incref(object);
	return 0;
}

static const char *anchor_of(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return (const char *)event->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return (const char *)event->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return (const char *)event->data.mapping_start.anchor;
	default:
		return NULL;
	}
}

/* The node that the current event starts. */
static int read_node(struct reader *r, int depth, json_t **ret_json)
{
	if (r->event.type == YAML_ALIAS_EVENT)
		return read_alias(r, depth, ret_json);
	if (depth > JSON_DEPTH_MAX && r->event.type != YAML_SCALAR_EVENT)
		return fail(r, "nested deeper than 64 levels");
	CLEANUP(buf_done) struct buf anchor = BUF_INIT;
	if (anchor_of(&r->event)) {
		buf_append_string(&anchor, anchor_of(&r->event));
		set_anchor(r, buf_text(&anchor), NULL);
	}
	int result = 0;
	if (r->event.type == YAML_SEQUENCE_START_EVENT)
		result = read_sequence(r, depth, ret_json);
	else if (r->event.type == YAML_MAPPING_START_EVENT)
		result = read_mapping(r, depth, ret_json);
	else
		result = read_scalar(r, ret_json);
	if (result == 0 && anchor.size)
		set_anchor(r, buf_text(&anchor), *ret_json);
	return result;
}

/* ---- documents ---- */

static int read_document(struct reader *r, yaml_document_cb *cb, void *arg)
{
	CLEANUP(json_done) json_t *json = NULL;
	map_done(&r->anchors);
	map_init(&r->anchors, free_json);
	r->budget = JSON_SIZE_MAX;
	int result = next(r);
	if (result < 0)
		return result;
	yaml_mark_t start = r->event.start_mark;
	result = read_node(r, 1, &json);
	if (result < 0)
		return result;
	result = next(r); /* the end of the document */
	if (result < 0)
		return result;
	if (r->event.end_mark.index - start.index > JSON_SIZE_MAX)
		return err_set(r->err, ERR_TOO_LARGE,
			"line %zu: the document has more than %zu bytes", start.line + 1,
			JSON_SIZE_MAX);
	return json_is_null(json) ? 0 : cb(arg, json, (int)start.line + 1, r->err);
}

static int read_stream(struct reader *r, yaml_document_cb *cb, void *arg)
{
	for (;;) {
		int result = next(r);
		if (result < 0)
			return result;
		if (r->event.type == YAML_STREAM_END_EVENT)
			return 0;
		if (r->event.type != YAML_DOCUMENT_START_EVENT)
			continue;
		result = read_document(r, cb, arg);
		if (result != 0)
			return result;
	}
}

/* Escapes such as "\ud83d\ude00" are JSON but not YAML. */
static bool is_json(const char *text, size_t size, json_t **ret_json, int *ret_line)
{
	*ret_line = 1;
	size_t at = 0;
	while (at < size && strchr(" \t\r\n", text[at]) && text[at])
		*ret_line += text[at++] == '\n';
	return at < size && text[at] == '{' && json_decode(text, size, ret_json, NULL) == 0;
}

int yaml_decode(const char *text, size_t size, yaml_document_cb *cb, void *arg, struct err *e)
{
	CLEANUP(json_done) json_t *json = NULL;
	int line;
	if (size > STREAM_SIZE_MAX)
		return err_set(e, ERR_TOO_LARGE, "the file has %zu bytes; at most %zu are taken",
			size, STREAM_SIZE_MAX);
	if (is_json(text, size, &json, &line))
		return cb(arg, json, line, e);
	struct reader r = {.err = e};
	if (!yaml_parser_initialize(&r.parser))
		abort();
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
	int result = read_stream(&r, cb, arg);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	map_done(&r.anchors);
	return result;
}
