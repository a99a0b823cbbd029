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
		for (size_t i = 1; i < words->count; i++)
			vec_push(&t->items, (struct target){k, words->items[i]});
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
