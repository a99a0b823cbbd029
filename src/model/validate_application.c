/* Applications: components, and what the rest of the document says about them by name. */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/application.h"
#include "model/validate.h"

#define WEIGHT_MAX 1000

struct check {
	struct findings *findings;
	const json_t *components;
	struct map names; /* of components -> index + 1 */
};

static void check_known(const struct check *c, const struct path *p, const json_t *name)
{
	const char *text = json_text_or(name, "");
	if (*text && !map_has(&c->names, text))
		find_not_found(c->findings, p, text);
}

/* Items of a list that say the same in both members. */
static void check_pairs(const struct check *c, const struct path *p, const json_t *list,
	const char *first, const char *second)
{
	struct map seen = {0};
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		CLEANUP(mem_free_ptr)
		char *pair = mem_format("%s, %s", json_text(item, "", first),
			json_text(item, "", second));
		if (map_has(&seen, pair))
			find_duplicate(c->findings, PATH_ITEM(p, i), pair);
		map_put(&seen, pair, &seen);
	}
	map_done(&seen);
}

/* ---- requires ---- */

enum mark { NEW, OPEN, CLOSED };

struct walk {
	const struct check *check;
	enum mark *marks;
	size_t *way; /* the components from the root of the walk to here */
	size_t depth;
};

static void tell_cycle(const struct walk *w, size_t again)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	const json_t *list = w->check->components;
	size_t from = 0, last = w->way[w->depth - 1];
	while (w->way[from] != again)
		from++;
	for (size_t i = from; i < w->depth; i++)
		buf_printf(&b, "%s -> ", json_text(json_array_get(list, w->way[i]), "", "name"));
	buf_append_string(&b, json_text(json_array_get(list, again), "", "name"));
	const struct path *components = PATH_FIELD(PATH_FIELD(NULL, "spec"), "components");
	find_invalid_text(w->check->findings, PATH_FIELD(PATH_ITEM(components, last), "requires"),
		buf_text(&b), "components must not require each other in a circle");
}

/* Depth is bounded by the number of components. */
static void visit(struct walk *w, size_t component)
{
	const json_t *list = w->check->components;
	size_t i;
	json_t *name;
	w->marks[component] = OPEN;
	w->way[w->depth++] = component;
	json_array_foreach (json_object_get(json_array_get(list, component), "requires"), i, name) {
		size_t next = (size_t)(uintptr_t)map_get(&w->check->names, json_text_or(name, ""));
		if (!next--)
			continue;
		if (w->marks[next] == OPEN)
			tell_cycle(w, next);
		else if (w->marks[next] == NEW)
			visit(w, next);
	}
	w->depth--;
	w->marks[component] = CLOSED;
}

static void check_cycles(const struct check *c)
{
	size_t count = json_array_size(c->components);
	struct walk w = {.check = c};
	w.marks = mem_alloc_array(count, sizeof(*w.marks));
	w.way = mem_alloc_array(count, sizeof(*w.way));
	memset(w.marks, 0, count * sizeof(*w.marks));
	for (size_t i = 0; i < count; i++)
		if (w.marks[i] == NEW)
			visit(&w, i);
	free(w.marks);
	free(w.way);
}

static void check_components(struct check *c, const struct path *p)
{
	size_t i, k;
	json_t *component, *name;
	validate_unique(c->findings, p, c->components, "name");
	json_array_foreach (c->components, i, component) {
		const struct path *at = PATH_ITEM(p, i);
		const struct path *required = PATH_FIELD(at, "requires");
		validate_template(c->findings, at, component);
		json_array_foreach (json_object_get(component, "requires"), k, name) {
			check_known(c, PATH_ITEM(required, k), name);
		}
		validate_unique(c->findings, required, json_object_get(component, "requires"),
			NULL);
	}
	check_cycles(c);
}

/* ---- the graph ---- */

static void check_links(const struct check *c, const struct path *p, const json_t *list)
{
	size_t i;
	json_t *link;
	check_pairs(c, p, list, "from", "to");
	json_array_foreach (list, i, link) {
		const struct path *at = PATH_ITEM(p, i);
		const json_t *from = json_object_get(link, "from"),
			     *to = json_object_get(link, "to");
		check_known(c, PATH_FIELD(at, "from"), from);
		check_known(c, PATH_FIELD(at, "to"), to);
		if (from && json_equal(from, to))
			find_invalid(c->findings, PATH_FIELD(at, "to"), to,
				"a link leads to another component");
		validate_latency(c->findings, PATH_FIELD(at, "latency"),
			json_object_get(link, "latency"));
		validate_not_negative(c->findings, PATH_FIELD(at, "bandwidth"),
			json_object_get(link, "bandwidth"));
	}
}

static void check_data(const struct check *c, const struct path *p, const json_t *list)
{
	size_t i, k;
	json_t *data, *name;
	validate_unique(c->findings, p, list, "name");
	json_array_foreach (list, i, data) {
		const struct path *at = PATH_ITEM(p, i);
		const struct path *readers = PATH_FIELD(at, "readers");
		const struct path *countries = PATH_FIELD(PATH_FIELD(at, "privacy"), "countries");
		validate_not_negative(c->findings, PATH_FIELD(at, "size"),
			json_object_get(data, "size"));
		json_array_foreach (json_object_get(data, "readers"), k, name) {
			check_known(c, PATH_ITEM(readers, k), name);
		}
		validate_unique(c->findings, readers, json_object_get(data, "readers"), NULL);
		validate_unique(c->findings, countries, json_at(data, "privacy", "countries"),
			NULL);
	}
}

/* Where a component may run at all, by the privacy of the data that it reads. */
static void check_countries(const struct check *c, const struct path *p, const json_t *application)
{
	size_t i;
	json_t *component;
	json_array_foreach (c->components, i, component) {
		const char *name = json_text(component, "", "name");
		CLEANUP(json_done) json_t *countries = application_countries(application, name);
		const struct path *template = PATH_FIELD(PATH_ITEM(p, i), "template");
		if (!countries)
			continue;
		if (json_array_size(countries) == 0)
			find_invalid_text(c->findings, PATH_FIELD(PATH_ITEM(p, i), "name"), name,
				"reads data that may be processed in no country in common");
		if (json_at(component, "template", "metadata", "annotations", COUNTRIES_ANNOTATION))
			find_forbidden(c->findings,
				PATH_KEY(PATH_FIELD(PATH_FIELD(template, "metadata"),
						 "annotations"),
					COUNTRIES_ANNOTATION),
				"the privacy of the data that it reads says this");
	}
}

static void check_consumers(const struct check *c, const struct path *p, const json_t *list)
{
	size_t i;
	json_t *consumer;
	check_pairs(c, p, list, "site", "component");
	json_array_foreach (list, i, consumer) {
		const struct path *at = PATH_ITEM(p, i);
		check_known(c, PATH_FIELD(at, "component"), json_object_get(consumer, "component"));
		validate_latency(c->findings, PATH_FIELD(at, "latency"),
			json_object_get(consumer, "latency"));
		validate_not_negative(c->findings, PATH_FIELD(at, "bandwidth"),
			json_object_get(consumer, "bandwidth"));
	}
}

static void check_objectives(const struct check *c, const struct path *p, const json_t *weights)
{
	const char *name;
	json_t *weight;
	json_object_foreach ((json_t *)(uintptr_t)weights, name, weight) {
		double value = json_number_value(weight);
		bool known = false;
		for (size_t i = 0; application_objectives[i]; i++)
			known |= str_equal(name, application_objectives[i]);
		if (!known) {
			CLEANUP(json_done) json_t *text = json_string(name);
			find_unsupported(c->findings, p, text, application_objectives);
		} else if (!(value >= -WEIGHT_MAX && value <= WEIGHT_MAX)) {
			find_invalid(c->findings, PATH_KEY(p, name), weight,
				"must be between -1000 and 1000, inclusive");
		}
	}
}

void validate_application(const struct validation *v)
{
	const json_t *spec = json_object_get(v->json, "spec");
	const struct path *p = PATH_FIELD(NULL, "spec");
	struct check c = {v->findings, json_object_get(spec, "components"), {0}};
	size_t i;
	json_t *component;
	json_array_foreach (c.components, i, component) {
		const char *name = json_text(component, "", "name");
		if (*name && !map_has(&c.names, name))
			map_put(&c.names, name, (void *)(uintptr_t)(i + 1));
	}
	check_components(&c, PATH_FIELD(p, "components"));
	check_links(&c, PATH_FIELD(p, "links"), json_object_get(spec, "links"));
	check_data(&c, PATH_FIELD(p, "data"), json_object_get(spec, "data"));
	check_countries(&c, PATH_FIELD(p, "components"), v->json);
	check_consumers(&c, PATH_FIELD(p, "consumers"), json_object_get(spec, "consumers"));
	check_objectives(&c, PATH_FIELD(p, "objectives"), json_object_get(spec, "objectives"));
	map_done(&c.names);
}
