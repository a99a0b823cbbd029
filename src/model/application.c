#include "model/application.h"

#include "base/buf.h"
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

/* ---- what is made of a component ---- */

void application_set_labels(const json_t *application, const json_t *component, json_t *metadata)
{
	json_t *labels = json_ensure_object(metadata, "labels");
	json_object_set_new(labels, APPLICATION_PART_OF_LABEL,
		json_string(json_text(application, "", "metadata", "name")));
	json_object_set_new(labels, APPLICATION_COMPONENT_LABEL,
		json_string(json_text(component, "", "name")));
	json_object_set_new(labels, APPLICATION_MANAGED_BY_LABEL, json_string(APPLICATION_MANAGER));
}

static void set_countries(const json_t *application, const json_t *component, json_t *metadata)
{
	CLEANUP(json_done)
	json_t *countries = application_countries(application, json_text(component, "", "name"));
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	size_t i;
	json_t *country;
	if (!countries)
		return;
	json_array_foreach (countries, i, country)
		buf_printf(&text, "%s%s", i ? "," : "", json_text_or(country, ""));
	json_object_set_new(json_ensure_object(metadata, "annotations"), COUNTRIES_ANNOTATION,
		json_string(buf_text(&text)));
}

json_t *application_template(const json_t *application, const json_t *component)
{
	json_t *template = json_deep_copy(json_object_get(component, "template"));
	json_t *metadata = json_ensure_object(template, "metadata");
	application_set_labels(application, component, metadata);
	set_countries(application, component, metadata);
	return template;
}
