#include "control/schedule/sites.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"

#define HOUR_MS INT64_C(3600000)

struct site_path {
	char *to;
	double latency_ms, bits_per_s;
};

struct site_row {
	uint32_t index; /* in the tables */
	char *country;  /* null: unknown */
	double carbon_now, price_per_kwh, price_per_gigabyte_out;
	double carbon;        /* as it is in the tables */
	int64_t forecast_ms;  /* when its first hour begins */
	VEC(double) forecast; /* g/kWh, by hour; none: there is none */
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
	vec_done(&row->forecast);
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

static void read_forecast(const json_t *json, struct site_row *row)
{
	const char *start = json_text(json, NULL, "start");
	size_t i;
	json_t *grams;
	vec_done(&row->forecast);
	if (!start || time_parse(start, &row->forecast_ms, NULL) != 0)
		return;
	json_array_foreach (json_object_get(json, "gramsPerKWh"), i, grams)
		vec_push(&row->forecast, number(grams));
}

/* True: its country is another one than before. */
static bool read_facts(const json_t *tree, struct site_row *row)
{
	const json_t *electricity = json_at(tree, "spec", "electricity");
	const char *country = json_text(tree, NULL, "spec", "country");
	bool moved = !str_equal(row->country, country);
	free(row->country);
	row->country = country ? mem_dup_string(country) : NULL;
	row->carbon_now = number(json_object_get(electricity, "carbonGramsPerKWh"));
	row->price_per_kwh = number(json_object_get(electricity, "pricePerKWh"));
	row->price_per_gigabyte_out =
		number(json_at(tree, "spec", "traffic", "pricePerGigabyteOut"));
	read_forecast(json_object_get(electricity, "carbonForecast"), row);
	return moved;
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

static double carbon_ahead(const struct site_row *row, int64_t wall_ms)
{
	int64_t hour = (wall_ms - row->forecast_ms) / HOUR_MS - (wall_ms < row->forecast_ms);
	double sum = 0;
	for (int64_t h = hour; h < hour + SITES_CARBON_HOURS; h++)
		sum += h >= 0 && h < (int64_t)row->forecast.count ? row->forecast.items[h]
								  : row->carbon_now;
	return sum / SITES_CARBON_HOURS;
}

static int set_facts(struct place *p, const char *name, struct site_row *row, struct err *e)
{
	const struct place_site site = {.name = name,
		.country = row->country,
		.carbon_g_per_kwh = row->carbon,
		.price_per_kwh = row->price_per_kwh,
		.price_per_gigabyte_out = row->price_per_gigabyte_out};
	return place_site_set(p, &site, &row->index, e);
}

int sites_turn_hour(struct map *sites, struct place *p, int64_t wall_ms, struct err *e)
{
	MAP_EACH (sites, entry) {
		struct site_row *row = entry->value;
		if (!row->forecast.count)
			continue;
		double carbon = carbon_ahead(row, wall_ms);
		if (carbon == row->carbon)
			continue;
		row->carbon = carbon;
		int rc = set_facts(p, entry->key, row, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

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
	const struct site_path *path = path_of(from, to_name);
	if (!path)
		path = path_of(to, from_name);
	if (!path) {
		place_path_remove(p, from->index, to->index);
		return 0;
	}
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
	struct site_row *row = map_get(sites, name);
	if (!row) {
		struct site_row bare = {0};
		int rc = set_facts(p, name, &bare, e);
		if (rc != 0)
			return rc;
		row = mem_new(struct site_row);
		*row = bare;
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
	struct site_row *row;
	*ret_moved = false;
	int rc = ensure_row(sites, p, name, &row, e);
	if (rc != 0)
		return rc;
	*ret_moved = read_facts(tree, row);
	row->carbon = row->carbon_now;
	rc = set_facts(p, name, row, e);
	if (rc != 0)
		return rc;
	struct site_row before = *row;
	row->paths.items = NULL;
	row->paths.count = row->paths.capacity = 0;
	read_paths(tree, row);
	rc = set_paths(sites, p, name, row, &before, e);
	drop_paths(&before);
	return rc;
}
