#include "control/schedule/graph_problem.h"

#include <stdlib.h>

#include "base/str.h"
#include "control/schedule/podspec.h"
#include "model/application.h"
#include "model/model.h"

static json_t *list_of(const struct graph_problem *g, const char *name)
{
	return json_at(g->tree, "spec", name);
}

void graph_problem_init(struct graph_problem *g, const struct graph *graph)
{
	size_t i;
	json_t *component;
	*g = (struct graph_problem){.tree = object_tree(graph->object)};
	g->weights = place_weights_default();
	json_array_foreach (list_of(g, "components"), i, component)
		map_put(&g->numbers, json_text(component, "", "name"), (void *)(uintptr_t)(i + 1));
}

void graph_problem_done(struct graph_problem *g, struct schedule_tables *t)
{
	for (size_t i = g->waiting; i < g->wants.count; i++)
		place_shape_release(t->place, g->wants.items[i].shape);
	vec_done(&g->wants);
	map_done(&g->numbers);
	arena_done(&g->arena);
	json_decref(g->tree);
}

/* PLACE_NONE: there is no such component. */
static uint32_t number_of(const struct graph_problem *g, const char *component)
{
	return (uint32_t)(uintptr_t)map_get(&g->numbers, component) - 1;
}

bool graph_problem_add(struct graph_problem *g, const struct object *pod,
	const struct place_want *want)
{
	uint32_t number = number_of(g, object_label(pod, APPLICATION_COMPONENT_LABEL));
	if (number == PLACE_NONE)
		return false;
	struct place_want *added = vec_add(&g->wants);
	*added = *want;
	added->component = number;
	g->waiting++;
	return true;
}

/* ---- replicas ---- */

/* Those that leave are no company for those that come. */
static void read_present(struct graph_problem *g, const struct graph *graph)
{
	struct place_present *present =
		arena_new_array(&g->arena, graph->pods.count, struct place_present);
	uint32_t count = 0;
	MAP_EACH (&graph->pods, entry) {
		const struct placed *x = entry->value;
		uint32_t number = number_of(g, x->component);
		if (number == PLACE_NONE || x->pod == PLACE_NONE || x->leaving)
			continue;
		present[count++] = (struct place_present){number, x->pod};
	}
	g->application.present = present;
	g->application.present_count = count;
}

static int template_shape(struct graph_problem *g, const struct graph *graph,
	struct schedule_tables *t, const json_t *component, struct place_want *want, struct err *e)
{
	CLEANUP(json_done) json_t *pod = application_template(g->tree, component);
	CLEANUP(object_done) struct object *o = NULL;
	json_t *metadata = json_ensure_object(pod, "metadata");
	json_object_set_new(metadata, "name", json_string(json_text(component, "", "name")));
	json_object_set_new(metadata, "namespace", json_string(graph->object->namespace));
	int rc = object_from_json(&kind_pod, pod, &o, e);
	if (rc == 0)
		rc = tables_shape(t, pod, o, &want->shape, &want->priority, e);
	return rc;
}

/* What the reconcilers will still make, when its time has come. */
static int expect_replicas(struct graph_problem *g, const struct graph *graph,
	struct schedule_tables *t, struct err *e)
{
	uint32_t count = g->application.component_count;
	int64_t *missing = arena_new_array(&g->arena, count, int64_t);
	for (uint32_t i = 0; i < count; i++)
		missing[i] = json_int(json_array_get(list_of(g, "components"), i), 1, "replicas");
	for (uint32_t i = 0; i < g->waiting; i++)
		missing[g->wants.items[i].component]--;
	for (uint32_t i = 0; i < g->application.present_count; i++)
		missing[g->application.present[i].component]--;
	for (uint32_t i = 0; i < count; i++) {
		struct place_want want = {.count = (uint32_t)missing[i],
			.node = PLACE_NONE,
			.component = i,
			.expected = !g->put_expected};
		if (missing[i] <= 0)
			continue;
		int rc = template_shape(g, graph, t, json_array_get(list_of(g, "components"), i),
			&want, e);
		if (rc != 0)
			return rc;
		vec_push(&g->wants, want);
	}
	return 0;
}

/* ---- what is between them ---- */

static void read_components(struct graph_problem *g)
{
	const json_t *list = list_of(g, "components");
	const char **names = arena_new_array(&g->arena, json_array_size(list), const char *);
	size_t i;
	json_t *component;
	json_array_foreach (list, i, component)
		names[i] = json_text(component, "", "name");
	g->application.name = json_text(g->tree, "", "metadata", "name");
	g->application.components = names;
	g->application.component_count = (uint32_t)json_array_size(list);
}

/* 0: not said. The server has checked the texts. */
static double bits_per_s(const json_t *json)
{
	const char *text = json_text(json, NULL, "bandwidth");
	double number;
	return text && quantity_number(text, &number, NULL) == 0 ? number : 0;
}

static double latency_ms(const json_t *json)
{
	const char *text = json_text(json, NULL, "latency");
	double ms;
	return text && duration_ms(text, &ms, NULL) == 0 ? ms : 0;
}

static void read_links(struct graph_problem *g)
{
	const json_t *list = list_of(g, "links");
	struct place_link *links =
		arena_new_array(&g->arena, json_array_size(list), struct place_link);
	size_t i;
	json_t *json;
	json_array_foreach (list, i, json)
		links[i] = (struct place_link){.from = number_of(g, json_text(json, "", "from")),
			.to = number_of(g, json_text(json, "", "to")),
			.bits_per_s = bits_per_s(json),
			.latency_ms = latency_ms(json),
			.required = json_bool(json, false, "required")};
	g->application.links = links;
	g->application.link_count = (uint32_t)json_array_size(list);
}

static void read_consumers(struct graph_problem *g)
{
	const json_t *list = list_of(g, "consumers");
	struct place_consumer *consumers =
		arena_new_array(&g->arena, json_array_size(list), struct place_consumer);
	size_t i;
	json_t *json;
	json_array_foreach (list, i, json)
		consumers[i] = (struct place_consumer){.site = json_text(json, "", "site"),
			.component = number_of(g, json_text(json, "", "component")),
			.bits_per_s = bits_per_s(json),
			.latency_ms = latency_ms(json),
			.required = json_bool(json, false, "required")};
	g->application.consumers = consumers;
	g->application.consumer_count = (uint32_t)json_array_size(list);
}

/* One for each reader. */
static void read_data(struct graph_problem *g)
{
	const json_t *list = list_of(g, "data");
	size_t i, k, count = 0;
	json_t *json, *reader;
	json_array_foreach (list, i, json)
		count += json_array_size(json_object_get(json, "readers"));
	struct place_data *data = arena_new_array(&g->arena, count, struct place_data);
	count = 0;
	json_array_foreach (list, i, json) {
		const char *size = json_text(json, NULL, "size");
		double bytes = 0;
		if (size && quantity_number(size, &bytes, NULL) != 0)
			bytes = 0;
		json_array_foreach (json_object_get(json, "readers"), k, reader)
			data[count++] = (struct place_data){.name = json_text(json, "", "name"),
				.site = json_text(json, "", "site"),
				.size_bytes = bytes,
				.reader = number_of(g, json_text_or(reader, ""))};
	}
	g->application.data = data;
	g->application.data_count = (uint32_t)count;
}

static void read_objectives(struct graph_problem *g)
{
	const json_t *objectives = list_of(g, "objectives");
	for (int i = 0; i < PLACE_TERM_COUNT; i++) {
		const json_t *weight =
			json_object_get(objectives, place_term_name((enum place_term)i));
		if (json_is_number(weight))
			g->weights.of[i] = json_number_value(weight);
	}
}

int graph_problem_finish(struct graph_problem *g, const struct graph *graph,
	struct schedule_tables *t, struct err *e)
{
	read_components(g);
	read_present(g, graph);
	read_links(g);
	read_data(g);
	read_consumers(g);
	read_objectives(g);
	return expect_replicas(g, graph, t, e);
}
