#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/finding.h"

static void append_name(const struct kind *k, const char *name, struct buf *b)
{
	buf_printf(b, "%s%s%s \"%s\" is invalid: ", k->name, *k->group ? "." : "", k->group,
		name ? name : "");
}

static void append_message(const struct findings *f, const struct kind *k, const char *name,
	struct buf *b)
{
	append_name(k, name, b);
	bool many = f->errors.count > 1;
	buf_append_string(b, many ? "[" : "");
	for (size_t i = 0; i < f->errors.count; i++)
		buf_printf(b, "%s%s: %s", i ? ", " : "", f->errors.items[i].path,
			f->errors.items[i].text);
	buf_append_string(b, many ? "]" : "");
}

int findings_check(const struct findings *f, const struct kind *k, const char *name, struct err *e)
{
	if (!f->errors.count)
		return 0;
	CLEANUP(buf_done)
	struct buf b = BUF_INIT;
	append_message(f, k, name, &b);
	return err_set(e, ERR_INVALID, "%s", buf_text(&b));
}

static void set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) < 0)
		abort();
}

/* A sentence that was cut to size may end in half a character. */
static json_t *safe_string(const char *text)
{
	size_t size = strlen(text);
	for (size_t cut = 0; cut < 4 && cut <= size; cut++) {
		json_t *json = json_stringn(text, size - cut);
		if (json)
			return json;
	}
	return json_string("(the message is not valid UTF-8)");
}

static json_t *causes_of(const struct findings *f)
{
	json_t *causes = json_array();
	for (size_t i = 0; i < f->errors.count; i++) {
		const struct finding *x = &f->errors.items[i];
		json_t *cause = json_object();
		set(cause, "reason", json_string(x->reason));
		set(cause, "message", safe_string(x->text));
		set(cause, "field", safe_string(x->path));
		json_array_append_new(causes, cause);
	}
	return causes;
}

static json_t *details_of(const struct err *e, const struct kind *k, const char *name,
	const struct findings *f)
{
	json_t *details = json_object();
	if (!str_empty(name))
		set(details, "name", json_string(name));
	if (k && *k->group)
		set(details, "group", json_string(k->group));
	if (k)
		set(details, "kind", json_string(e->code == ERR_INVALID ? k->name : k->plural));
	if (f && f->errors.count)
		set(details, "causes", causes_of(f));
	return details;
}

void model_write_status(const struct err *e, const struct kind *k, const char *name,
	const struct findings *f, struct buf *b)
{
	static const struct err none;
	if (!e)
		e = &none;
	CLEANUP(json_done)
	json_t *status = json_object();
	set(status, "kind", json_string("Status"));
	set(status, "apiVersion", json_string("v1"));
	set(status, "metadata", json_object());
	set(status, "status", json_string(e->code ? "Failure" : "Success"));
	if (e->code) {
		CLEANUP(buf_done)
		struct buf message = BUF_INIT;
		if (f && k && f->errors.count && e->code == ERR_INVALID)
			append_message(f, k, name, &message);
		else
			buf_append_string(&message, e->text);
		set(status, "message", safe_string(buf_text(&message)));
		set(status, "reason", json_string(err_name(e->code)));
	}
	if (k || !str_empty(name))
		set(status, "details", details_of(e, k, name, f));
	if (e->code)
		set(status, "code", json_integer(err_http_status(e->code)));
	json_encode(status, b);
}
