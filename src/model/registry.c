#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "model/builtin.h"

struct kind_registry {
	VEC(const struct kind *) kinds;
};

struct kind_registry *kind_registry_new(void)
{
	struct kind_registry *r = mem_new(struct kind_registry);
	for (const struct kind *const *k = kind_builtin; *k; k++)
		vec_push(&r->kinds, *k);
	return r;
}

void kind_registry_free(struct kind_registry *r)
{
	if (!r)
		return;
	vec_done(&r->kinds);
	free(r);
}

const struct kind *kind_by_plural(const struct kind_registry *r, const char *group,
	const char *version, const char *plural)
{
	for (size_t i = 0; i < r->kinds.count; i++) {
		const struct kind *k = r->kinds.items[i];
		if (str_equal(k->plural, plural) && str_equal(k->group, group) &&
			(!version || str_equal(k->version, version)))
			return k;
	}
	return NULL;
}

const struct kind *kind_by_name(const struct kind_registry *r, const char *api_version,
	const char *name)
{
	for (size_t i = 0; i < r->kinds.count; i++) {
		const struct kind *k = r->kinds.items[i];
		char own[128];
		kind_api_version(k, own);
		if (str_equal(k->name, name) && str_equal(own, api_version))
			return k;
	}
	return NULL;
}

static bool has_short_name(const struct kind *k, const char *word, size_t size)
{
	for (const char *const *s = k->short_names; *s; s++)
		if (strlen(*s) == size && strncasecmp(*s, word, size) == 0)
			return true;
	return false;
}

static bool is_word(const char *name, const char *word, size_t size)
{
	return strlen(name) == size && strncasecmp(name, word, size) == 0;
}

/* The part behind "deployments." may be the group or "version.group". */
static bool group_fits(const struct kind *k, const char *rest)
{
	if (strcasecmp(rest, k->group) == 0)
		return true;
	size_t size = strlen(k->version);
	return strncasecmp(rest, k->version, size) == 0 &&
	       (rest[size] == '.' ? strcasecmp(rest + size + 1, k->group) == 0 : !rest[size]);
}

const struct kind *kind_by_word(const struct kind_registry *r, const char *word)
{
	size_t size = strcspn(word, ".");
	for (size_t i = 0; i < r->kinds.count; i++) {
		const struct kind *k = r->kinds.items[i];
		if (word[size] && !group_fits(k, word + size + 1))
			continue;
		if (is_word(k->plural, word, size) || is_word(k->singular, word, size) ||
			has_short_name(k, word, size))
			return k;
	}
	return NULL;
}

const struct kind *kind_next(const struct kind_registry *r, size_t *position)
{
	return *position < r->kinds.count ? r->kinds.items[(*position)++] : NULL;
}

void kind_api_version(const struct kind *k, char ret_text[static 128])
{
	snprintf(ret_text, 128, "%s%s%s", k->group, *k->group ? "/" : "", k->version);
}
