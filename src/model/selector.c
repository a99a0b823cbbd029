#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/model.h"

#define SELECTOR_TEXT_MAX 8192 /* bytes */

enum op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_ABSENT, OP_GREATER, OP_LESS };

struct requirement {
	const char *key;
	enum op op;
	VEC(const char *) values;
};

struct selector {
	VEC(struct requirement) requirements;
	struct arena arena;
};

void selector_free(struct selector *s)
{
	if (!s)
		return;
	VEC_EACH (&s->requirements, struct requirement, r)
		vec_done(&r->values);
	vec_done(&s->requirements);
	arena_done(&s->arena);
	free(s);
}

static void free_selector(struct selector **s)
{
	selector_free(*s);
}

/* ---- from text ---- */

struct reader {
	struct selector *selector;
	const char *text; /* the whole, for errors */
	const char *at;
};

static int bad(const struct reader *r, const char *what, struct err *e)
{
	return err_set(e, ERR_DECODE,
		"unable to parse requirement of selector \"%.100s\" at column %d: %s", r->text,
		(int)(r->at - r->text) + 1, what);
}

static void skip_space(struct reader *r)
{
	while (*r->at == ' ' || *r->at == '\t')
		r->at++;
}

static bool accept(struct reader *r, const char *symbol)
{
	skip_space(r);
	if (!str_starts(r->at, symbol))
		return false;
	r->at += strlen(symbol);
	return true;
}

/* A key or value; empty when there is none. */
static const char *read_word(struct reader *r)
{
	skip_space(r);
	size_t size = strcspn(r->at, " \t,()=!<>");
	char *word = arena_alloc(&r->selector->arena, size + 1);
	memcpy(word, r->at, size);
	r->at += size;
	return word;
}

static bool accept_word(struct reader *r, const char *word)
{
	skip_space(r);
	size_t size = strlen(word);
	if (!str_starts(r->at, word) || (r->at[size] != ' ' && r->at[size] != '('))
		return false;
	r->at += size;
	return true;
}

static int read_set(struct reader *r, struct requirement *q, struct err *e)
{
	if (!accept(r, "("))
		return bad(r, "expected '('", e);
	do {
		vec_push(&q->values, read_word(r));
	} while (accept(r, ","));
	return accept(r, ")") ? 0 : bad(r, "expected ',' or ')'", e);
}

static int read_number(struct reader *r, struct requirement *q, struct err *e)
{
	const char *word = read_word(r);
	int64_t number;
	if (str_to_int64(word, "value", &number, NULL) < 0)
		return bad(r, "for '<' and '>' the value must be an integer", e);
	vec_push(&q->values, word);
	return 0;
}

static int read_requirement(struct reader *r, struct err *e)
{
	struct requirement *q = vec_add(&r->selector->requirements);
	bool absent = accept(r, "!");
	q->key = read_word(r);
	if (!*q->key)
		return bad(r, "expected a label's key", e);
	q->op = absent ? OP_ABSENT : OP_EXISTS;
	if (absent)
		return 0;
	if (accept(r, "!=")) {
		q->op = OP_NOT_IN;
		vec_push(&q->values, read_word(r));
	} else if (accept(r, "==") || accept(r, "=")) {
		q->op = OP_IN;
		vec_push(&q->values, read_word(r));
	} else if (accept(r, ">")) {
		q->op = OP_GREATER;
		return read_number(r, q, e);
	} else if (accept(r, "<")) {
		q->op = OP_LESS;
		return read_number(r, q, e);
	} else if (accept_word(r, "in")) {
		q->op = OP_IN;
		return read_set(r, q, e);
	} else if (accept_word(r, "notin")) {
		q->op = OP_NOT_IN;
		return read_set(r, q, e);
	}
	return 0;
}

int selector_parse(const char *text, struct selector **ret_selector, struct err *e)
{
	if (strlen(text) > SELECTOR_TEXT_MAX)
		return err_set(e, ERR_TOO_LARGE, "the selector is longer than %d bytes",
			SELECTOR_TEXT_MAX);
	CLEANUP(free_selector)
	struct selector *s = mem_new(struct selector);
	struct reader r = {s, text, text};
	skip_space(&r);
	while (*r.at) {
		int result = read_requirement(&r, e);
		if (result < 0)
			return result;
		skip_space(&r);
		if (!*r.at)
			break;
		if (!accept(&r, ","))
			return bad(&r, "expected ','", e);
		skip_space(&r);
		if (!*r.at)
			return bad(&r, "expected a label's key behind ','", e);
	}
	*ret_selector = take_ptr(s);
	return 0;
}

/* ---- from a LabelSelector ---- */

static int operator_of(const char *text, enum op *ret_operator, struct err *e)
{
	static const char *const names[] = {[OP_IN] = "In",
		[OP_NOT_IN] = "NotIn",
		[OP_EXISTS] = "Exists",
		[OP_ABSENT] = "DoesNotExist",
		[OP_GREATER] = "Gt",
		[OP_LESS] = "Lt"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_equal(names[i], text)) {
			*ret_operator = (enum op)i;
			return 0;
		}
	}
	return err_set(e, ERR_DECODE, "\"%.60s\" is not a valid label selector operator", text);
}

static int add_expression(struct selector *s, const json_t *expression, struct err *e)
{
	struct requirement *q = vec_add(&s->requirements);
	q->key = arena_dup(&s->arena, json_text(expression, "", "key"));
	int r = operator_of(json_text(expression, "", "operator"), &q->op, e);
	if (r < 0)
		return r;
	size_t i;
	json_t *value;
	json_array_foreach (json_object_get(expression, "values"), i, value)
		vec_push(&q->values, arena_dup(&s->arena, json_text_or(value, "")));
	bool set = q->op == OP_IN || q->op == OP_NOT_IN;
	if (set != (q->values.count > 0) && q->op <= OP_ABSENT)
		return err_set(e, ERR_DECODE, "values of operator %s for key \"%.60s\" %s",
			json_text(expression, "", "operator"), q->key,
			set ? "are missing" : "must be empty");
	return 0;
}

int selector_from_json(const json_t *label_selector, struct selector **ret_selector, struct err *e)
{
	CLEANUP(free_selector)
	struct selector *s = mem_new(struct selector);
	const char *key;
	json_t *value;
	json_object_foreach (json_object_get(label_selector, "matchLabels"), key, value) {
		struct requirement *q = vec_add(&s->requirements);
		q->key = arena_dup(&s->arena, key);
		vec_push(&q->values, arena_dup(&s->arena, json_text_or(value, "")));
	}
	size_t i;
	json_t *expression;
	json_array_foreach (json_object_get(label_selector, "matchExpressions"), i, expression) {
		int r = add_expression(s, expression, e);
		if (r < 0)
			return r;
	}
	*ret_selector = take_ptr(s);
	return 0;
}

/* ---- matching ---- */

static bool has_value(const struct requirement *q, const char *value)
{
	for (size_t i = 0; i < q->values.count; i++)
		if (str_equal(q->values.items[i], value))
			return true;
	return false;
}

static bool compares(const struct requirement *q, const char *value)
{
	int64_t left, right;
	if (!value || !q->values.count || str_to_int64(value, "label", &left, NULL) < 0 ||
		str_to_int64(q->values.items[0], "value", &right, NULL) < 0)
		return false;
	return q->op == OP_GREATER ? left > right : left < right;
}

static bool requirement_matches(const struct requirement *q, const char *value)
{
	switch (q->op) {
	case OP_IN:
		return value && has_value(q, value);
	case OP_NOT_IN:
		return !value || !has_value(q, value);
	case OP_EXISTS:
		return value;
	case OP_ABSENT:
		return !value;
	case OP_GREATER:
	case OP_LESS:
		return compares(q, value);
	}
	return false;
}

#define FEW_LABELS 16 /* up to here a walk is as quick as a search */

static int compare_keys(const void *key, const void *label)
{
	return strcmp(key, ((const struct label *)label)->key);
}

static const char *value_of(const struct label *labels, size_t count, const char *key)
{
	if (count > FEW_LABELS) {
		const struct label *found =
			bsearch(key, labels, count, sizeof(*labels), compare_keys);
		return found ? found->value : NULL;
	}
	for (size_t i = 0; i < count; i++)
		if (str_equal(labels[i].key, key))
			return labels[i].value;
	return NULL;
}

bool selector_matches(const struct selector *s, const struct label *labels, size_t count)
{
	if (!s)
		return true;
	for (size_t i = 0; i < s->requirements.count; i++) {
		const struct requirement *q = &s->requirements.items[i];
		if (!requirement_matches(q, value_of(labels, count, q->key)))
			return false;
	}
	return true;
}
