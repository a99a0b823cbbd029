#include "cli/table.h"

#include <string.h>

#include "base/str.h"

#define GAP 3

void table_done(struct table *t)
{
	vec_done(&t->cells);
	vec_done(&t->widths);
	arena_done(&t->arena);
}

/* C0, DEL, and C1 as UTF-8 has it: 0xc2 0x80 to 0xc2 0x9f. */
void table_plain(const char *text, struct buf *ret_plain)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) {
			buf_append_string(ret_plain, "\xef\xbf\xbd");
			c++;
		} else if (*c == '\n' || *c == '\r' || *c == '\t') {
			buf_append_char(ret_plain, ' ');
		} else if (*c < ' ' || *c == 0x7f) {
			buf_append_char(ret_plain, '^');
			buf_append_char(ret_plain, (char)(*c ^ 0x40));
		} else {
			buf_append_char(ret_plain, (char)*c);
		}
	}
}

void table_add(struct table *t, const char *cell)
{
	CLEANUP(buf_done) struct buf plain = BUF_INIT;
	table_plain(cell ? cell : "<none>", &plain);
	const char *text = arena_dup(&t->arena, buf_text(&plain));
	vec_push(&t->cells, text);
}

/* Terminals count characters: bytes that continue one in UTF-8 take no room. */
static size_t width_of(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void measure(struct table *t, size_t first)
{
	while (t->widths.count < t->columns)
		vec_push(&t->widths, 0);
	for (size_t i = first; i < t->cells.count; i++) {
		size_t width = width_of(t->cells.items[i]);
		if (width > t->widths.items[i % t->columns])
			t->widths.items[i % t->columns] = width;
	}
}

void table_print(struct table *t, bool with_header, FILE *out)
{
	if (t->columns == 0)
		return;
	size_t first = with_header ? 0 : t->columns;
	measure(t, first);
	for (size_t i = first; i < t->cells.count; i++) {
		bool last = (i + 1) % t->columns == 0;
		const char *text = t->cells.items[i];
		fputs(text, out);
		for (size_t n = width_of(text); !last && n < t->widths.items[i % t->columns] + GAP;
			n++)
			fputc(' ', out);
		if (last)
			fputc('\n', out);
	}
	fflush(out);
	t->cells.count = 0;
	arena_done(&t->arena);
}

static void add_cell(struct table *t, const json_t *cell, const char *prefix)
{
	char number[64];
	if (json_is_string(cell)) {
		table_add(t, arena_format(&t->arena, "%s%s", prefix, json_string_value(cell)));
	} else if (json_is_integer(cell)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(cell));
		table_add(t, number);
	} else if (json_is_real(cell)) {
		snprintf(number, sizeof(number), "%g", json_real_value(cell));
		table_add(t, number);
	} else if (json_is_boolean(cell)) {
		table_add(t, json_is_true(cell) ? "true" : "false");
	} else {
		table_add(t, NULL);
	}
}

static char *upper(struct arena *a, const char *text)
{
	char *copy = arena_dup(a, text);
	for (char *c = copy; *c; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	return copy;
}

static bool is_shown(const json_t *column, bool wide)
{
	return wide || json_int(column, 0, "priority") == 0;
}

static void add_header(struct table *t, const json_t *columns, bool namespaces, bool wide)
{
	size_t at;
	json_t *column;
	t->columns = namespaces;
	if (namespaces)
		table_add(t, "NAMESPACE");
	json_array_foreach (columns, at, column) {
		if (!is_shown(column, wide))
			continue;
		table_add(t, upper(&t->arena, json_text(column, "", "name")));
		t->columns++;
	}
}

void table_add_server(struct table *t, const json_t *server_table, const char *prefix,
	bool namespaces, bool wide, bool header)
{
	json_t *columns = json_object_get(server_table, "columnDefinitions");
	json_t *rows = json_object_get(server_table, "rows"), *row, *column;
	size_t at, i;
	if (header)
		add_header(t, columns, namespaces, wide);
	json_array_foreach (rows, at, row) {
		json_t *cells = json_object_get(row, "cells");
		if (namespaces)
			table_add(t, json_text(row, NULL, "object", "metadata", "namespace"));
		json_array_foreach (columns, i, column) {
			if (is_shown(column, wide))
				add_cell(t, json_array_get(cells, i), i == 0 ? prefix : "");
		}
	}
}
