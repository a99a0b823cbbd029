#include "base/str.h"
#include "model/format.h"
#include "model/validate.h"

static void check_items(struct findings *f, const struct path *p, const json_t *source)
{
	const struct path *list = PATH_FIELD(p, "items");
	size_t i;
	json_t *item;
	json_array_foreach (json_object_get(source, "items"), i, item) {
		const char *path = json_text(item, "", "path");
		const char *why = format_check_relative_path(path);
		if (why)
			find_invalid_text(f, PATH_FIELD(PATH_ITEM(list, i), "path"), path, why);
	}
}

static void check_named(struct findings *f, const struct path *p, const json_t *volume,
	const char *type, const char *name)
{
	const json_t *source = json_object_get(volume, type);
	if (!source)
		return;
	const struct path *at = PATH_FIELD(p, type);
	if (str_empty(json_text(source, "", name)))
		find_required(f, PATH_FIELD(at, name), "");
	check_items(f, at, source);
}

static void check_host_path(struct findings *f, const struct path *p, const json_t *source)
{
	const char *path = json_text(source, "", "path");
	/* An absolute path is usual; ".." is what hides where it leads. */
	const char *why = format_check_relative_path(*path == '/' ? path + 1 : path);
	if (why && *path)
		find_invalid_text(f, PATH_FIELD(PATH_FIELD(p, "hostPath"), "path"), path,
			"must not contain '..'");
}

static void check_volume(struct findings *f, const struct path *p, const json_t *volume)
{
	size_t sources = 0;
	const char *type;
	json_t *source;
	json_object_foreach ((json_t *)(uintptr_t)volume, type, source) {
		if (!str_equal(type, "name") && ++sources > 1)
			find_forbidden(f, PATH_FIELD(p, type),
				"may not specify more than 1 volume type");
	}
	if (!sources)
		find_required(f, p, "must specify a volume type");
	check_named(f, p, volume, "configMap", "name");
	check_named(f, p, volume, "secret", "secretName");
	check_host_path(f, p, json_object_get(volume, "hostPath"));
}

void validate_volumes(struct findings *f, const struct path *p, const json_t *spec)
{
	const struct path *list = PATH_FIELD(p, "volumes");
	const json_t *volumes = json_object_get(spec, "volumes");
	validate_unique(f, list, volumes, "name");
	size_t i;
	json_t *volume;
	json_array_foreach (volumes, i, volume) {
		check_volume(f, PATH_ITEM(list, i), volume);
	}
}
