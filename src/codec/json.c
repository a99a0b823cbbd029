#include "codec/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* Where a byte stands, counted as editors do: lines and columns from 1. */
static void position_of(const char *text, size_t offset, int *ret_line, int *ret_column)
{
	*ret_line = 1;
	*ret_column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			++*ret_line;
			*ret_column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			++*ret_column;
		}
	}
}

/* jansson's parser recurses, so the depth is measured before it sees the text. */
static int check_depth(const char *text, size_t size, struct err *e)
{
	int depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < size; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth <= JSON_DEPTH_MAX)
				continue;
			int line, column;
			position_of(text, i, &line, &column);
			return err_set(e, ERR_DECODE,
				"line %d, column %d: nested deeper than %d levels", line, column,
				JSON_DEPTH_MAX);
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return 0;
}

int json_decode(const char *text, size_t size, json_t **ret_json, struct err *e)
{
	if (size > JSON_SIZE_MAX)
		return err_set(e, ERR_TOO_LARGE,
			"the document has %zu bytes; at most %zu are taken", size, JSON_SIZE_MAX);
	int r = check_depth(text, size, e);
	if (r < 0)
		return r;
	json_error_t error;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!json) {
		int line = 1, column = 1;
		if (error.position > 0 && (size_t)error.position <= size)
			position_of(text, (size_t)error.position - 1, &line, &column);
		return err_set(e, ERR_DECODE, "line %d, column %d: %s", line, column, error.text);
	}
	*ret_json = json;
	return 0;
}

/* The fewest digits that read back as the same number. */
static void write_real(double value, struct buf *b)
{
	char text[40];
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_append_string(b, text);
	if (!strpbrk(text, ".eE"))
		buf_append_string(b, ".0");
}

static void write_array(const json_t *json, struct buf *b)
{
	buf_append_char(b, '[');
	for (size_t i = 0; i < json_array_size(json); i++) {
		if (i)
			buf_append_char(b, ',');
		json_encode(json_array_get(json, i), b);
	}
	buf_append_char(b, ']');
}

static void write_object(const json_t *json, struct buf *b)
{
	buf_append_char(b, '{');
	const char *key;
	json_t *value;
	bool first = true;
	json_object_foreach ((json_t *)(uintptr_t)json, key, value) {
		if (!first)
			buf_append_char(b, ',');
		first = false;
		json_write_string(b, key);
		buf_append_char(b, ':');
		json_encode(value, b);
	}
	buf_append_char(b, '}');
}

void json_encode(const json_t *json, struct buf *b)
{
	switch (json ? json_typeof(json) : JSON_NULL) {
	case JSON_OBJECT:
		write_object(json, b);
		break;
	case JSON_ARRAY:
		write_array(json, b);
		break;
	case JSON_STRING:
		json_write_string(b, json_string_value(json));
		break;
	case JSON_INTEGER:
		buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
		break;
	case JSON_REAL:
		write_real(json_real_value(json), b);
		break;
	case JSON_TRUE:
		buf_append_string(b, "true");
		break;
	case JSON_FALSE:
		buf_append_string(b, "false");
		break;
	case JSON_NULL:
		buf_append_string(b, "null");
		break;
	}
}

char *json_encode_string(const json_t *json)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT;
	json_encode(json, &b);
	return buf_take(&b, NULL);
}

static void write_escaped(struct buf *b, unsigned char c)
{
	static const char names[] = {['"'] = '"',
		['\\'] = '\\',
		['\n'] = 'n',
		['\r'] = 'r',
		['\t'] = 't',
		['\b'] = 'b',
		['\f'] = 'f'};
	if (c < sizeof(names) && names[c]) {
		const char pair[2] = {'\\', names[c]};
		buf_append(b, pair, 2);
	} else {
		buf_printf(b, "\\u%04x", c);
	}
}

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static bool is_plain(unsigned char c)
{
	return c >= ' ' && c < 0x80 && c != '"' && c != '\\';
}

/* Appends the character at p, which is not plain; gives how many bytes it has. */
static size_t write_special(struct buf *b, const char *p, size_t size)
{
	if ((unsigned char)*p < 0x80) {
		write_escaped(b, (unsigned char)*p);
		return 1;
	}
	bool valid;
	size_t used = str_character(p, size, &valid);
	if (valid)
		buf_append(b, p, used);
	else
		buf_append_string(b, REPLACEMENT);
	return used;
}

void json_write_string(struct buf *b, const char *text)
{
	const char *p = text, *end = text + strlen(text);
	buf_append_char(b, '"');
	while (p < end) {
		const char *start = p;
		while (p < end && is_plain((unsigned char)*p))
			p++;
		buf_append(b, start, (size_t)(p - start));
		if (p < end)
			p += write_special(b, p, (size_t)(end - p));
	}
	buf_append_char(b, '"');
}

json_t *json_string_of(const char *text)
{
	json_t *value = json_string(text);
	if (value)
		return value;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	json_write_string(&b, text);
	if (json_decode(b.data, b.size, &value, NULL) < 0)
		abort(); /* what was written just now */
	return value;
}

void json_done(json_t **json)
{
	json_decref(*json);
	*json = NULL;
}

json_t *json_at_keys(const json_t *json, const char *const *keys)
{
	for (; json && *keys; keys++)
		json = json_object_get(json, *keys);
	return (json_t *)(uintptr_t)json;
}

const char *json_text_or(const json_t *json, const char *fallback)
{
	return json_is_string(json) ? json_string_value(json) : fallback;
}

int64_t json_int_or(const json_t *json, int64_t fallback)
{
	return json_is_integer(json) ? json_integer_value(json) : fallback;
}

bool json_bool_or(const json_t *json, bool fallback)
{
	return json_is_boolean(json) ? json_boolean_value(json) : fallback;
}

json_t *json_ensure_object(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);
	if (json_is_object(value))
		return value;
	value = json_object();
	if (!value || json_object_set_new(object, key, value) < 0)
		abort();
	return value;
}
