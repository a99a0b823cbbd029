#include "control/schedule/sites.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct site_path {
	char *to;
	double latency_ms, bits_per_s;
};

struct site_row {
	uint32_t index; /* in the tables */
	char *country;  /* null: unknown */
	VEC(struct site_path) paths;
};

static void drop_paths(struct site_row *row)
{
	VEC_EACH (&row->paths, struct site_path, path)
		free(path->to);
	vec_done(&row->paths);
}

void sites_free_row(void *value)
{
	struct site_row *row = value;
	drop_paths(row);
	free(row->country);
	free(row);
}

const char *sites_country(const struct map *sites, const char *name)
{
	const struct site_row *row = name ? map_get(sites, name) : NULL;
	return row ? row->country : NULL;
}

/* ---- from the object ---- */

static double number(const json_t *json)
{
	return json_is_number(json) ? json_number_value(json) : 0;
}

static void read_site(const char *name, const json_t *tree, struct place_site *ret_site)
{
	const json_t *electricity = json_at(tree, "spec", "electricity");
	*ret_site = (struct place_site){.name = name,
		.country = json_text(tree, NULL, "spec", "country"),
		.carbon_g_per_kwh = number(json_object_get(electricity, "carbonGramsPerKWh")),
		.price_per_kwh = number(json_object_get(electricity, "pricePerKWh")),
		.price_per_gigabyte_out =
			number(json_at(tree, "spec", "traffic", "pricePerGigabyteOut"))};
}

static void read_paths(const json_t *tree, struct site_row *row)
{
	size_t i;
	json_t *json;
	json_array_foreach (json_at(tree, "spec", "paths"), i, json) {
		struct site_path path = {.bits_per_s = SITES_UNLIMITED};
		const char *latency = json_text(json, NULL, "latency");
		const char *bandwidth = json_text(json, NULL, "bandwidth");
		if (latency && duration_ms(latency, &path.latency_ms, NULL) < 0)
			path.latency_ms = 0;
		if (bandwidth && quantity_number(bandwidth, &path.bits_per_s, NULL) < 0)
			path.bits_per_s = SITES_UNLIMITED;
		path.to = mem_dup_string(json_text(json, "", "to"));
		vec_push(&row->paths, path);
	}
}

/* ---- into the tables ---- */

static const struct site_path *path_of(const struct site_row *from, const char *to)
{
	VEC_EACH (&from->paths, struct site_path, path) {
		if (str_equal(path->to, to))
			return path;
	}
	return NULL;
}

static int set_path(struct place *p, const struct site_row *from, const char *from_name,
	const struct site_row *to, const char *to_name, struct err *e)
{
	static const struct site_path none = {.bits_per_s = 0};
	const struct site_path *path = path_of(from, to_name);
	if (!path)
		path = path_of(to, from_name);
	if (!path)
		path = &none;
	return place_path_set(p, from->index, to->index, path->latency_ms, path->bits_per_s, e);
}

static int set_both(struct place *p, const struct site_row *a, const char *a_name,
	const struct site_row *b, const char *b_name, struct err *e)
{
	int rc = set_path(p, a, a_name, b, b_name, e);
	return rc ? rc : set_path(p, b, b_name, a, a_name, e);
}

/* The row of a site, with nothing in it when it is new. */
static int ensure_row(struct map *sites, struct place *p, const char *name,
	struct site_row **ret_row, struct err *e)
{
	const struct place_site bare = {.name = name};
	struct site_row *row = map_get(sites, name);
	if (!row) {
		uint32_t index;
		int rc = place_site_set(p, &bare, &index, e);
		if (rc != 0)
			return rc;
		row = mem_new(struct site_row);
		row->index = index;
		map_put(sites, name, row);
	}
	*ret_row = row;
	return 0;
}

/* All paths that the site states now or did before, and those that lead to it. */
static int set_paths(struct map *sites, struct place *p, const char *name, struct site_row *row,
	const struct site_row *before, struct err *e)
{
	const struct site_row *stated[] = {before, row};
	int rc = 0;
	for (size_t i = 0; i < ARRAY_SIZE(stated); i++)
		for (size_t k = 0; k < stated[i]->paths.count && rc == 0; k++) {
			const char *to = stated[i]->paths.items[k].to;
			struct site_row *other;
			rc = ensure_row(sites, p, to, &other, e);
			if (rc == 0)
				rc = set_both(p, row, name, other, to, e);
		}
	MAP_EACH (sites, entry) {
		const struct site_row *other = entry->value;
		if (rc == 0 && other != row && path_of(other, name))
			rc = set_both(p, row, name, other, entry->key, e);
	}
	return rc;
}

int sites_change(struct map *sites, struct place *p, const char *name, const struct object *object,
	bool *ret_moved, struct err *e)
{
	CLEANUP(json_done) json_t *tree = object ? object_tree(object) : NULL;
	struct place_site site;
	struct site_row *row;
	uint32_t index;
	*ret_moved = false;
	read_site(name, tree, &site);
	int rc = ensure_row(sites, p, name, &row, e);
	if (rc == 0)
		rc = place_site_set(p, &site, &index, e);
	if (rc != 0)
		return rc;
	*ret_moved = !str_equal(row->country, site.country);
	free(row->country);
	row->country = site.country ? mem_dup_string(site.country) : NULL;
	struct site_row before = *row;
	row->paths.items = NULL;
	row->paths.count = row->paths.capacity = 0;
	read_paths(tree, row);
	rc = set_paths(sites, p, name, row, &before, e);
	drop_paths(&before);
	return rc;
}
