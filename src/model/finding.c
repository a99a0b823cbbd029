#include "model/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

#define FINDINGS_MAX 64 /* errors and warnings of one document; the rest is left out */

static void append_path(const struct path *p, struct buf *b)
{
	if (!p)
		return;
	append_path(p->up, b);
	if (p->name)
		buf_printf(b, "%s%s", b->size ? "." : "", p->name);
	else if (p->key)
		buf_printf(b, "[%.253s]", p->key);
	else
		buf_printf(b, "[%zu]", p->index);
}

const char *path_text(const struct path *p, struct arena *a)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT;
	append_path(p, &b);
	return arena_dup(a, buf_text(&b));
}

static const char *format_text(struct arena *a, const char *format, va_list args)
{
	char *text = NULL;
	if (vasprintf(&text, format, args) < 0)
		abort();
	const char *copy = arena_dup(a, text);
	free(text);
	return copy;
}

void find_error(struct findings *f, const struct path *p, const char *reason, const char *format,
	...)
{
	if (f->errors.count == FINDINGS_MAX)
		return;
	va_list args;
	va_start(args, format);
	const char *text = format_text(&f->arena, format, args);
	va_end(args);
	vec_push(&f->errors, (struct finding){path_text(p, &f->arena), reason, text});
}

void find_warning(struct findings *f, const struct path *p, const char *format, ...)
{
	if (f->warnings.count == FINDINGS_MAX)
		return;
	va_list args;
	va_start(args, format);
	const char *text = format_text(&f->arena, format, args);
	va_end(args);
	vec_push(&f->warnings, (struct finding){path_text(p, &f->arena), "", text});
}

static const char *colon(const char *why)
{
	return *why ? ": " : "";
}

void find_required(struct findings *f, const struct path *p, const char *why)
{
	find_error(f, p, "FieldValueRequired", "Required value%s%s", colon(why), why);
}

void find_invalid(struct findings *f, const struct path *p, const json_t *value, const char *why)
{
	CLEANUP(mem_free_ptr)
	char *text = json_encode_string(value);
	find_error(f, p, "FieldValueInvalid", "Invalid value: %.300s%s%s", text, colon(why), why);
}

void find_invalid_text(struct findings *f, const struct path *p, const char *value, const char *why)
{
	find_error(f, p, "FieldValueInvalid", "Invalid value: \"%.300s\"%s%s", value, colon(why),
		why);
}

void find_duplicate(struct findings *f, const struct path *p, const char *value)
{
	find_error(f, p, "FieldValueDuplicate", "Duplicate value: \"%.300s\"", value);
}

void find_forbidden(struct findings *f, const struct path *p, const char *why)
{
	find_error(f, p, "FieldValueForbidden", "Forbidden%s%s", colon(why), why);
}

void find_not_found(struct findings *f, const struct path *p, const char *value)
{
	find_error(f, p, "FieldValueNotFound", "Not found: \"%.300s\"", value);
}

void find_unsupported(struct findings *f, const struct path *p, const json_t *value,
	const char *const *allowed)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT;
	for (size_t i = 0; allowed[i]; i++)
		buf_printf(&b, "%s\"%s\"", i ? ", " : "", allowed[i]);
	CLEANUP(mem_free_ptr)
	char *text = json_encode_string(value);
	find_error(f, p, "FieldValueNotSupported",
		"Unsupported value: %.300s: supported values: %s", text, buf_text(&b));
}

void findings_done(struct findings *f)
{
	vec_done(&f->errors);
	vec_done(&f->warnings);
	arena_done(&f->arena);
}
