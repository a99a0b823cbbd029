#include "cli/targets.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void targets_done(struct targets *t)
{
	for (size_t i = 0; i < t->texts.count; i++)
		free(t->texts.items[i]);
	vec_done(&t->texts);
	vec_done(&t->items);
}

static char *keep(struct targets *t, const char *text)
{
	char *copy = mem_dup_string(text);
	vec_push(&t->texts, copy);
	return copy;
}

static void add_category(struct client *c, const char *category, struct targets *t)
{
	size_t position = 0;
	const struct kind *k;
	while ((k = kind_next(client_kinds(c), &position)))
		for (const char *const *one = k->categories; one && *one; one++)
			if (strcmp(*one, category) == 0)
				vec_push(&t->items, (struct target){k, NULL});
}

/* "pods,svc" with the names behind it, for each of the kinds. */
static int add_kinds(struct client *c, const char *list, const cli_words *words, struct targets *t,
	struct err *e)
{
	char *rest = keep(t, list);
	for (char *word; (word = strsep(&rest, ","));) {
		const struct kind *k;
		if (str_equal(word, "all") && words->count == 1) {
			add_category(c, "all", t);
			continue;
		}
		int r = client_kind(c, word, &k, e);
		if (r < 0)
			return r;
		if (words->count == 1)
			vec_push(&t->items, (struct target){k, NULL});
		for (size_t i = 1; i < words->count; i++) {
			r = client_check_name(words->items[i], k->singular, e);
			if (r < 0)
				return r;
			vec_push(&t->items, (struct target){k, words->items[i]});
		}
	}
	return 0;
}

static int add_pair(struct client *c, const char *word, struct targets *t, struct err *e)
{
	char *kind = keep(t, word);
	char *name = strchr(kind, '/');
	const struct kind *k;
	if (!name || !name[1])
		return err_set(e, ERR_USAGE, "\"%.80s\" is not KIND/NAME, as the others are", word);
	*name++ = '\0';
	int r = client_kind(c, kind, &k, e);
	if (r == 0)
		r = client_check_name(name, k->singular, e);
	if (r == 0)
		vec_push(&t->items, (struct target){k, name});
	return r;
}

int targets_parse(struct client *c, const cli_words *words, bool names_required,
	struct targets *ret_targets, struct err *e)
{
	int r = 0;
	if (words->count == 0)
		return err_set(e, ERR_USAGE, "say what: KIND%s", names_required ? " NAME" : "");
	if (!strchr(words->items[0], '/'))
		r = add_kinds(c, words->items[0], words, ret_targets, e);
	else
		for (size_t i = 0; r == 0 && i < words->count; i++)
			r = add_pair(c, words->items[i], ret_targets, e);
	for (size_t i = 0; r == 0 && names_required && i < ret_targets->items.count; i++)
		if (!ret_targets->items.items[i].name)
			r = err_set(e, ERR_USAGE, "say which: %s NAME", words->items[0]);
	return r;
}

/* ---- the pod of a deployment, a service, ... ---- */

/* The text form of a selector: "app=web,tier in (a,b),!x". */
static void write_labels(const json_t *labels, struct buf *b)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)labels, key, value)
		buf_printf(b, "%s%s=%s", b->size ? "," : "", key, json_text_or(value, ""));
}

static void write_expressions(const json_t *expressions, struct buf *b)
{
	static const struct {
		const char *name, *before, *after;
	} operators[] = {{"In", "", " in "}, {"NotIn", "", " notin "}, {"Exists", "", ""},
		{"DoesNotExist", "!", ""}};
	size_t i, j;
	json_t *one, *value;
	json_array_foreach (expressions, i, one) {
		size_t n = 0;
		while (n + 1 < ARRAY_SIZE(operators) &&
			!str_equal(json_text(one, "", "operator"), operators[n].name))
			n++;
		buf_printf(b, "%s%s%s%s", b->size ? "," : "", operators[n].before,
			json_text(one, "", "key"), operators[n].after);
		json_array_foreach (json_object_get(one, "values"), j, value)
			buf_printf(b, "%s%s", j ? "," : "(", json_text_or(value, ""));
		buf_append_string(b, j ? ")" : "");
	}
}

static int selected_pod(struct client *c, const char *word, const char *selector,
	char ret_pod[static 256], struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *list = NULL;
	client_path(&kind_pod, client_namespace(c), NULL, &path);
	buf_append_string(&path, "?labelSelector=");
	client_escape(&path, selector);
	int r = client_get(c, path.data, NULL, &list, e);
	if (r < 0)
		return r;
	size_t i;
	json_t *pod, *best = NULL;
	json_array_foreach (json_object_get(list, "items"), i, pod)
		if (!best || (!str_equal(json_text(best, "", "status", "phase"), "Running") &&
				     str_equal(json_text(pod, "", "status", "phase"), "Running")))
			best = pod;
	if (!best)
		return err_set(e, ERR_NOT_FOUND, "%.200s has no pods", word);
	(void)str_copy(ret_pod, 256, json_text(best, "", "metadata", "name"));
	return 0;
}

int targets_pod(struct client *c, const char *word, char ret_pod[static 256], struct err *e)
{
	CLEANUP(targets_done) struct targets t = {0};
	CLEANUP(buf_done) struct buf path = BUF_INIT, labels = BUF_INIT;
	CLEANUP(json_done) json_t *object = NULL;
	int r = strchr(word, '/') ? add_pair(c, word, &t, e) : client_check_name(word, "pod", e);
	if (r < 0)
		return r;
	const char *name = t.items.count ? t.items.items[0].name : word;
	if (!t.items.count || t.items.items[0].kind == &kind_pod)
		return str_copy(ret_pod, 256, name)
			       ? 0
			       : err_set(e, ERR_USAGE, "the pod's name is too long");
	client_path(t.items.items[0].kind, client_namespace(c), name, &path);
	r = client_get(c, path.data, NULL, &object, e);
	if (r < 0)
		return r;
	const json_t *selector = json_at(object, "spec", "selector");
	bool plain = t.items.items[0].kind == &kind_service;
	write_labels(plain ? selector : json_object_get(selector, "matchLabels"), &labels);
	write_expressions(json_object_get(selector, "matchExpressions"), &labels);
	if (!labels.size)
		return err_set(e, ERR_USAGE, "%.200s selects no pods: name a pod", word);
	return selected_pod(c, word, labels.data, ret_pod, e);
}
