#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/model.h"

#define TERMS_MAX 16

/* Fields of the index record first; the others are read from the blob. */
static const char *const fields[] = {"metadata.name", "metadata.namespace", "spec.nodeName",
	"status.phase", "type", "reason", "involvedObject.kind", "involvedObject.namespace",
	"involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
	"involvedObject.resourceVersion", "involvedObject.fieldPath", "reportingComponent",
	"source", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
	"status.podIP", "spec.unschedulable", "status.replicas"};

struct term {
	const char *field; /* of the table above */
	char *value;
	bool differs;
};

struct field_selector {
	struct term terms[TERMS_MAX];
	size_t count;
};

void field_selector_free(struct field_selector *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++)
		free(s->terms[i].value);
	free(s);
}

static void free_selector(struct field_selector **s)
{
	field_selector_free(*s);
}

static int read_term(struct field_selector *s, const char *text, size_t size, struct err *e)
{
	if (s->count == TERMS_MAX)
		return err_set(e, ERR_DECODE, "a field selector has at most %d terms", TERMS_MAX);
	size_t name = strcspn(text, "=!,");
	const char *op = text + name;
	size_t skip = str_starts(op, "!=") || str_starts(op, "==") ? 2 : 1;
	if (name >= size || (*op != '=' && skip != 2))
		return err_set(e, ERR_DECODE,
			"invalid field selector \"%.*s\"; use FIELD=VALUE or FIELD!=VALUE",
			(int)(size < 100 ? size : 100), text);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (strlen(fields[i]) != name || memcmp(fields[i], text, name) != 0)
			continue;
		struct term *t = &s->terms[s->count++];
		t->field = fields[i];
		t->differs = *op == '!';
		t->value = mem_dup_bytes(op + skip, size - name - skip);
		return 0;
	}
	return err_set(e, ERR_DECODE, "\"%.*s\" is not a known field selector",
		(int)(name < 100 ? name : 100), text);
}

int field_selector_parse(const char *text, struct field_selector **ret_selector, struct err *e)
{
	CLEANUP(free_selector)
	struct field_selector *s = mem_new(struct field_selector);
	while (*text) {
		size_t size = strcspn(text, ",");
		int r = size ? read_term(s, text, size, e) : 0;
		if (r < 0)
			return r;
		text += size + (text[size] == ',');
	}
	*ret_selector = take_ptr(s);
	return 0;
}

/* A field of the record, or null when the blob has to be asked. */
static const char *record_field(const struct object *o, const char *field)
{
	const char *const values[] = {o->name, o->namespace, o->node, o->phase};
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (field == fields[i])
			return values[i];
	return NULL;
}

static const char *tree_field(const json_t *tree, const char *field)
{
	if (str_equal(field, "source"))
		return json_text(tree, "", "source", "component");
	if (str_equal(field, "spec.unschedulable"))
		return json_bool(tree, false, "spec", "unschedulable") ? "true" : "false";
	const char *dot = strchr(field, '.');
	if (!dot)
		return json_text(tree, "", field);
	char first[32];
	memcpy(first, field, (size_t)(dot - field));
	first[dot - field] = '\0';
	return json_text(tree, "", first, dot + 1);
}

bool field_selector_matches(const struct field_selector *s, const struct object *o)
{
	CLEANUP(json_done)
	json_t *tree = NULL;
	for (size_t i = 0; s && i < s->count; i++) {
		const struct term *t = &s->terms[i];
		const char *value = record_field(o, t->field);
		if (!value && !tree)
			tree = object_tree(o);
		if (!value)
			value = tree_field(tree, t->field);
		if (str_equal(value, t->value) == t->differs)
			return false;
	}
	return true;
}
