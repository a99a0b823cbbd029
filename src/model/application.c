#include "model/application.h"

#include "base/str.h"

const char *const application_objectives[] = {"balance", "preference", "spread", "image", "latency",
	"traffic", "data", "energy", "carbon", "money", "fragmentation", "trust", "move", NULL};

static bool has_text(const json_t *list, const char *text)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item)
		if (str_equal(json_text_or(item, NULL), text))
			return true;
	return false;
}

json_t *application_countries(const json_t *application, const char *component)
{
	json_t *all = NULL, *data;
	size_t i;
	json_array_foreach (json_at(application, "spec", "data"), i, data) {
		const json_t *countries = json_at(data, "privacy", "countries");
		if (!countries || !has_text(json_object_get(data, "readers"), component))
			continue;
		if (!all) {
			all = json_deep_copy(countries);
			continue;
		}
		for (size_t k = json_array_size(all); k-- > 0;)
			if (!has_text(countries, json_text_or(json_array_get(all, k), "")))
				json_array_remove(all, k);
	}
	return all;
}
