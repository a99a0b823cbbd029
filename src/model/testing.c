#include "model/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

json_t *testing_parse(const char *text)
{
	struct err e = ERR_INIT;
	json_t *json = NULL;
	if (json_decode(text, strlen(text), &json, &e) < 0)
		fail_msg("%s: %s", e.text, text);
	return json;
}

/* A patch whose "LIST/0" keys reach into lists: "spec.containers.0" is replaced by a merge. */
static void merge(json_t *target, const json_t *patch)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)patch, key, value) {
		json_t *old = json_object_get(target, key);
		if (json_is_array(old) && json_is_object(value) && json_object_get(value, "0"))
			merge(json_array_get(old, 0), json_object_get(value, "0"));
		else if (json_is_object(old) && json_is_object(value))
			merge(old, value);
		else if (json_is_null(value))
			json_object_del(target, key);
		else
			json_object_set(target, key, value);
	}
}

static json_t *document(const struct kind *k, const char *text, const char *patch)
{
	json_t *json = testing_parse(text);
	if (patch) {
		CLEANUP(json_done)
		json_t *change = testing_parse(patch);
		merge(json, change);
	}
	CLEANUP(findings_done)
	struct findings f = {0};
	struct err e = ERR_INIT;
	if (model_prune(k, json, true, &f, &e) < 0)
		fail_msg("%s", e.text);
	model_default(k, json);
	return json;
}

/* The errors of base with the patch on top; update: as a change of base. */
static char *errors_of(const struct kind *k, const char *base, const char *patch, bool update)
{
	CLEANUP(json_done)
	json_t *old = update ? document(k, base, NULL) : NULL;
	CLEANUP(json_done)
	json_t *json = document(k, base, patch);
	CLEANUP(findings_done)
	struct findings f = {0};
	CLEANUP(buf_done)
	struct buf b = BUF_INIT;
	model_validate(k, json, old, &f);
	for (size_t i = 0; i < f.errors.count; i++)
		buf_printf(&b, "%s%s: %s", i ? "; " : "", f.errors.items[i].path,
			f.errors.items[i].text);
	return buf_take(&b, NULL);
}

void testing_check_rows(const struct kind *k, const char *base, const struct row *rows,
	size_t count, bool update)
{
	for (size_t i = 0; i < count; i++) {
		CLEANUP(mem_free_ptr)
		char *text = errors_of(k, base, rows[i].patch, update);
		if (rows[i].error ? !strstr(text, rows[i].error) : *text)
			fail_msg("%s gives \"%s\", not \"%s\"", rows[i].patch, text,
				rows[i].error ? rows[i].error : "");
	}
}
