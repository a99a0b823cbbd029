#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "codec/yaml.h"
#include "codec/yaml_scalar.h"

static void write_value(struct buf *b, const json_t *json, int indent, bool in_list);

static void write_indent(struct buf *b, int indent)
{
	buf_printf(b, "%*s", indent, "");
}

/* ---- strings ---- */

/* Characters that YAML readers refuse unless escaped: controls, and in UTF-8 U+0080 to U+009F
 * (c2 80 to c2 9f) and U+FEFF (ef bb bf). Line separators U+2028 and U+2029 (e2 80 a8/a9) break
 * lines. */
static bool is_unprintable(const unsigned char *c)
{
	return c[0] < ' ' || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0) ||
	       (c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf) ||
	       (c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe) ||
	       (c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9));
}

static bool has_unprintable(const char *text, const char *allowed)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (is_unprintable(c) && !strchr(allowed, *c))
			return true;
	return false;
}

/* JSON's quoting, with what YAML cannot read escaped as well. */
static void write_quoted(struct buf *b, const char *text)
{
	CLEANUP(buf_done) struct buf quoted = BUF_INIT;
	json_write_string(&quoted, text);
	for (const unsigned char *c = (const unsigned char *)buf_text(&quoted); *c; c++) {
		if (!is_unprintable(c)) {
			buf_append_char(b, (char)*c);
		} else if (*c == 0x7f) {
			buf_append_string(b, "\\u007f");
		} else if (*c == 0xc2) {
			buf_printf(b, "\\u00%02x", *++c);
		} else {
			unsigned code = (unsigned)(c[0] & 0x0f) << 12 |
					(unsigned)(c[1] & 0x3f) << 6 | (c[2] & 0x3fu);
			buf_printf(b, "\\u%04x", code);
			c += 2;
		}
	}
}

static bool resolves_to_string(const char *text)
{
	CLEANUP(json_done) json_t *json = yaml_resolve(text, strlen(text));
	return json_is_string(json);
}

static bool is_plain(const char *text)
{
	size_t size = strlen(text);
	if (!size || strchr("-?:,[]{}#&*!|>'\"%@`= ", *text) || text[size - 1] == ' ' ||
		text[size - 1] == ':' || str_equal(text, "<<") || str_starts(text, "..."))
		return false;
	if (strstr(text, ": ") || strstr(text, " #") || has_unprintable(text, ""))
		return false;
	return resolves_to_string(text);
}

static void write_scalar_string(struct buf *b, const char *text)
{
	if (is_plain(text))
		buf_append_string(b, text);
	else
		write_quoted(b, text);
}

/* A literal block keeps lines readable. Lines of only spaces, a first line that starts with a
 * space, and characters that need escapes are left to quotes. */
static bool is_block(const char *text)
{
	if (!strchr(text, '\n') || strchr(" \t\n", *text) || has_unprintable(text, "\n\t"))
		return false;
	for (const char *line = text; *line;) {
		size_t size = strcspn(line, "\n");
		if (size && strspn(line, " \t") >= size)
			return false;
		line += size + (line[size] == '\n');
	}
	return true;
}

static void write_block(struct buf *b, const char *text, int indent)
{
	size_t size = strlen(text);
	bool ends = text[size - 1] == '\n';
	bool more = ends && size > 1 && text[size - 2] == '\n';
	buf_append_string(b, more ? "|+" : ends ? "|" : "|-");
	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");
		buf_append_char(b, '\n');
		if (length)
			write_indent(b, indent);
		buf_append(b, line, length);
		line += length + (line[length] == '\n');
	}
	buf_append_char(b, '\n');
}

/* ---- values ---- */

static void write_mapping(struct buf *b, const json_t *json, int indent, bool in_list)
{
	const char *key;
	json_t *value;
	bool first = true;
	json_object_foreach ((json_t *)(uintptr_t)json, key, value) {
		if (!first || !in_list)
			write_indent(b, indent);
		first = false;
		write_scalar_string(b, key);
		buf_append_char(b, ':');
		bool nested = (json_is_object(value) && json_object_size(value)) ||
			      (json_is_array(value) && json_array_size(value));
		buf_append_char(b, nested ? '\n' : ' ');
		write_value(b, value, json_is_array(value) ? indent : indent + 2, false);
	}
}

static void write_list(struct buf *b, const json_t *json, int indent, bool in_list)
{
	for (size_t i = 0; i < json_array_size(json); i++) {
		if (i || !in_list)
			write_indent(b, indent);
		buf_append_string(b, "- ");
		write_value(b, json_array_get(json, i), indent + 2, true);
	}
}

/* Ends with a new line. indent: of the lines that it starts itself. */
static void write_value(struct buf *b, const json_t *json, int indent, bool in_list)
{
	if (json_is_object(json) && json_object_size(json)) {
		write_mapping(b, json, indent, in_list);
	} else if (json_is_array(json) && json_array_size(json)) {
		write_list(b, json, indent, in_list);
	} else if (json_is_string(json) && is_block(json_string_value(json))) {
		write_block(b, json_string_value(json), indent ? indent : 2);
	} else {
		if (json_is_string(json))
			write_scalar_string(b, json_string_value(json));
		else
			json_encode(json, b);
		buf_append_char(b, '\n');
	}
}

void yaml_encode(const json_t *json, struct buf *b)
{
	write_value(b, json, 0, false);
}
