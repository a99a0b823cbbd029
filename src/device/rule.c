/* The configuration's `devices`. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "device/device.h"

#define PATTERN_MAX 255 /* bytes of one */
#define PAIRS_MAX 16
#define NAME_SIZE_MAX 63 /* behind the prefix, as the API has it */

/* ---- patterns ---- */

bool device_pattern_matches(const char *pattern, const char *text)
{
	char one[PATTERN_MAX + 1];
	for (const char *at = pattern;; at++) {
		size_t size = strcspn(at, "|");
		if (size >= sizeof(one))
			return false;
		memcpy(one, at, size);
		one[size] = '\0';
		if (fnmatch(one, text, 0) == 0)
			return true;
		at += size;
		if (!*at)
			return false;
	}
}

/* fnmatch takes a bracket that does not end for itself, which is never what was meant. */
static bool has_open_bracket(const char *pattern)
{
	for (const char *at = pattern; *at; at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (*at == '[') {
			const char *first = at[1] == '!' || at[1] == '^' ? at + 2 : at + 1;
			const char *end = *first ? strchr(first + 1, ']') : NULL;
			const char *bar = strchr(at, '|');
			if (!end || (bar && bar < end))
				return true;
			at = end;
		}
	}
	return false;
}

/* ---- parsing ---- */

struct parsing {
	struct arena *arena;
	struct err *e;
	char where[160]; /* "devices[2] (camera).match" */
};

static int parse_pattern(struct parsing *p, const char *key, const json_t *value,
	const char **ret_pattern)
{
	if (json_is_integer(value) || json_is_real(value) || json_is_boolean(value))
		return err_set(p->e, ERR_INVALID,
			"%s.%s: want a text; put it in quotes, as YAML takes it for a number",
			p->where, key);
	const char *text = json_text_or(value, NULL);
	if (!text || !*text || strlen(text) > PATTERN_MAX)
		return err_set(p->e, ERR_INVALID, "%s.%s: want a pattern of 1 to %d bytes",
			p->where, key, PATTERN_MAX);
	if (has_open_bracket(text))
		return err_set(p->e, ERR_INVALID, "%s.%s: in the pattern \"%.60s\" a [ has no ]",
			p->where, key, text);
	*ret_pattern = arena_dup(p->arena, text);
	return 0;
}

static int parse_pairs(struct parsing *p, const char *what, const json_t *map,
	const struct device_pair **ret_pairs, size_t *ret_count)
{
	struct parsing inner = {.arena = p->arena, .e = p->e};
	size_t count = json_object_size(map);
	const char *key;
	json_t *value;
	if (!json_is_object(map) || count == 0 || count > PAIRS_MAX)
		return err_set(p->e, ERR_INVALID, "%s.%s: want a map of 1 to %d patterns", p->where,
			what, PAIRS_MAX);
	struct device_pair *pairs = arena_new_array(p->arena, count, struct device_pair);
	(void)snprintf(inner.where, sizeof(inner.where), "%.130s.%.20s", p->where, what);
	*ret_count = 0;
	json_object_foreach ((json_t *)map, key, value) {
		struct device_pair *pair = &pairs[(*ret_count)++];
		if (!*key || *key == '/' || strstr(key, "..") || strlen(key) > PATTERN_MAX)
			return err_set(p->e, ERR_INVALID, "%s: \"%.60s\" is no name", inner.where,
				key);
		int r = parse_pattern(&inner, key, value, &pair->pattern);
		if (r < 0)
			return r;
		pair->key = arena_dup(p->arena, key);
	}
	*ret_pairs = pairs;
	return 0;
}

static bool is_below_dev(const char *path)
{
	return str_starts(path, "/dev/") && path[5] && !strstr(path, "/../") &&
	       !str_ends(path, "/..");
}

static int parse_condition(struct parsing *p, struct device_match *m, const char *key,
	const json_t *value)
{
	const struct {
		const char *key;
		const char **pattern;
	} patterns[] = {{"subsystem", &m->subsystem}, {"kernel", &m->kernel},
		{"devtype", &m->devtype}, {"driver", &m->driver}, {"path", &m->path}};
	if (str_equal(key, "attr"))
		return parse_pairs(p, key, value, &m->attrs, &m->attr_count);
	if (str_equal(key, "property"))
		return parse_pairs(p, key, value, &m->properties, &m->property_count);
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (!str_equal(key, patterns[i].key))
			continue;
		int r = parse_pattern(p, key, value, patterns[i].pattern);
		if (r == 0 && m->path && (!is_below_dev(m->path) || strchr(m->path, '|')))
			return err_set(p->e, ERR_INVALID,
				"%s.path: want one glob below /dev, such as /dev/serial/by-id/*",
				p->where);
		return r;
	}
	return err_set(p->e, ERR_INVALID,
		"%s: unknown condition \"%.60s\"; want subsystem, kernel, devtype, driver, attr, "
		"property or path",
		p->where, key);
}

static int parse_match(struct parsing *p, const json_t *match, const struct device_match **ret)
{
	struct device_match *m = arena_alloc(p->arena, sizeof(*m));
	const char *key;
	json_t *value;
	if (!json_is_object(match) || json_object_size(match) == 0)
		return err_set(p->e, ERR_INVALID,
			"%s: want at least one condition: subsystem, kernel, devtype, driver, "
			"attr, "
			"property or path",
			p->where);
	json_object_foreach ((json_t *)match, key, value) {
		int r = parse_condition(p, m, key, value);
		if (r < 0)
			return r;
	}
	*ret = m;
	return 0;
}

static int check_keys(struct parsing *p, const json_t *item)
{
	static const char *const known[] = {
		"name", "path", "match", "containerPath", "permissions", "count"};
	const char *key;
	json_t *value;
	if (!json_is_object(item))
		return err_set(p->e, ERR_INVALID, "%s: want a map with a name", p->where);
	json_object_foreach ((json_t *)item, key, value) {
		bool found = false;
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			found = found || str_equal(known[i], key);
		bool text = !str_equal(key, "match") && !str_equal(key, "count");
		if (found && text && !json_is_string(value) && !json_is_null(value))
			return err_set(p->e, ERR_INVALID,
				"%s.%s: want a text; YAML takes what looks like a number, yes or "
				"no for one unless it is in quotes",
				p->where, key);
		if (!found)
			return err_set(p->e, ERR_INVALID,
				"%s: unknown key \"%.60s\"; want name, path or match, "
				"containerPath, permissions and count",
				p->where, key);
	}
	return 0;
}

/* Letters, digits, and - _ . between them: what a resource of the API may be called. */
static bool is_name(const char *name)
{
	static const char ends[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t size = strlen(name);
	return size > 0 && size <= NAME_SIZE_MAX && strchr(ends, name[0]) &&
	       strchr(ends, name[size - 1]) &&
	       name[strspn(name,
		       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] ==
		       '\0';
}

static int parse_rule(struct parsing *p, const json_t *item, struct device_rule *r)
{
	int rc = check_keys(p, item);
	if (rc < 0)
		return rc;
	const json_t *match = json_object_get(item, "match");
	r->name = arena_dup(p->arena, json_text(item, "", "name"));
	r->path = arena_dup(p->arena, json_text(item, NULL, "path"));
	r->container_path = arena_dup(p->arena, json_text(item, NULL, "containerPath"));
	r->permissions = arena_dup(p->arena, json_text(item, NULL, "permissions"));
	r->count = json_int(item, json_object_get(item, "count") ? -1 : 1, "count");
	if (!is_name(r->name))
		return err_set(p->e, ERR_INVALID,
			"%s: want a name of letters, digits, -, _ and . (at most %d)", p->where,
			NAME_SIZE_MAX);
	if (r->path && match)
		return err_set(p->e, ERR_INVALID, "%s (%s): want a path or a match, not both",
			p->where, r->name);
	if (!match && (!r->path || r->path[0] != '/'))
		return err_set(p->e, ERR_INVALID,
			"%s (%s): want a path that begins with /, or a match", p->where, r->name);
	if (r->container_path && (r->container_path[0] != '/' || strstr(r->container_path, "..")))
		return err_set(p->e, ERR_INVALID, "%s (%s): containerPath must begin with /",
			p->where, r->name);
	if (r->permissions &&
		(!*r->permissions || strspn(r->permissions, "rwm") != strlen(r->permissions)))
		return err_set(p->e, ERR_INVALID, "%s (%s): permissions are letters of \"rwm\"",
			p->where, r->name);
	if (r->count < 1 || r->count > DEVICE_COUNT_MAX)
		return err_set(p->e, ERR_INVALID, "%s (%s): count is not within 1 to %d", p->where,
			r->name, DEVICE_COUNT_MAX);
	size_t end = strlen(p->where);
	(void)snprintf(p->where + end, sizeof(p->where) - end, " (%s).match", r->name);
	return match ? parse_match(p, match, &r->match) : 0;
}

int device_rules_parse(const json_t *list, struct arena *a, const struct device_rule **ret_rules,
	size_t *ret_count, struct err *e)
{
	size_t i, count = json_array_size(list);
	json_t *item;
	if (count > DEVICE_RULES_MAX)
		return err_set(e, ERR_INVALID, "devices: at most %d", DEVICE_RULES_MAX);
	struct device_rule *rules = arena_new_array(a, count + 1, struct device_rule);
	json_array_foreach (list, i, item) {
		struct parsing p = {.arena = a, .e = e};
		(void)snprintf(p.where, sizeof(p.where), "devices[%zu]", i);
		int r = parse_rule(&p, item, &rules[i]);
		if (r < 0)
			return r;
	}
	*ret_rules = rules;
	*ret_count = count;
	return 0;
}
