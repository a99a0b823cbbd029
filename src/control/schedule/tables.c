#include "control/schedule/tables.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "control/schedule/nodespec.h"
#include "control/schedule/podspec.h"
#include "control/schedule/sites.h"
#include "model/application.h"

static void free_placed(void *value)
{
	struct placed *x = value;
	free(x->node);
	free(x->component);
	free(x);
}

struct known_node {
	struct object *object;
	bool connected;
	char *problems; /* that were told; null: none */
};

static void free_known_node(void *value)
{
	struct known_node *x = value;
	object_unref(x->object);
	free(x->problems);
	free(x);
}

static void free_graph(void *value)
{
	struct graph *g = value;
	object_unref(g->object);
	map_done(&g->pods);
	free(g->id);
	free(g->problem);
	free(g);
}

static void free_object(void *value)
{
	object_unref(value);
}

struct schedule_tables *schedule_tables_new(void)
{
	struct schedule_tables *t = mem_new(struct schedule_tables);
	t->place = place_new();
	map_init(&t->pods, free_placed);
	map_init(&t->namespaces, free_object);
	map_init(&t->nodes, free_known_node);
	map_init(&t->sites, sites_free_row);
	map_init(&t->graphs, free_graph);
	return t;
}

void schedule_tables_free(struct schedule_tables *t)
{
	if (!t)
		return;
	map_done(&t->graphs);
	map_done(&t->pods);
	map_done(&t->namespaces);
	map_done(&t->nodes);
	map_done(&t->sites);
	place_free(t->place);
	free(t);
}

/* ---- Applications ---- */

/* "namespace/name" of the Application that the pod's labels name. */
static bool graph_id(const struct object *pod, char ret_id[static OBJECT_KEY_MAX])
{
	const char *name = object_label(pod, APPLICATION_PART_OF_LABEL);
	if (!name || !object_label(pod, APPLICATION_COMPONENT_LABEL) ||
		!str_equal(object_label(pod, APPLICATION_MANAGED_BY_LABEL), APPLICATION_MANAGER))
		return false;
	snprintf(ret_id, OBJECT_KEY_MAX, "%.250s/%.250s", pod->namespace, name);
	return true;
}

static struct graph *graph_ensure(struct schedule_tables *t, const char *id)
{
	struct graph *g = map_get(&t->graphs, id);
	if (!g) {
		g = mem_new(struct graph);
		g->id = mem_dup_string(id);
		map_put(&t->graphs, id, g);
	}
	return g;
}

static void graph_drop_if_empty(struct schedule_tables *t, struct graph *g)
{
	if (g->object || g->pods.count > 0)
		return;
	map_take(&t->graphs, g->id);
	free_graph(g);
}

static void change_graph(struct schedule_tables *t, const struct schedule_change *change)
{
	struct graph *g = graph_ensure(t, change->id);
	object_unref(g->object);
	g->object = change->object ? object_ref(change->object) : NULL;
	graph_drop_if_empty(t, g);
}

struct graph *tables_graph_of(struct schedule_tables *t, const struct object *pod)
{
	char id[OBJECT_KEY_MAX];
	struct graph *g = graph_id(pod, id) ? map_get(&t->graphs, id) : NULL;
	return g && g->object ? g : NULL;
}

/* ---- pods ---- */

int tables_shape(struct schedule_tables *t, const json_t *pod, const struct object *object,
	uint32_t *ret_shape, int *ret_priority, struct err *e)
{
	CLEANUP(arena_done) struct arena arena = {0};
	struct place_spec spec;
	int rc = podspec_read(pod, object, &t->namespaces, &arena, &spec, e);
	if (rc != 0)
		return rc;
	*ret_priority = podspec_priority(pod);
	return place_shape(t->place, &spec, ret_shape, e);
}

static void leave_graph(struct schedule_tables *t, const struct placed *x, const char *uid)
{
	if (!x->graph)
		return;
	map_remove(&x->graph->pods, uid);
	graph_drop_if_empty(t, x->graph);
}

void tables_forget_pod(struct schedule_tables *t, const char *uid)
{
	struct placed *x = map_get(&t->pods, uid);
	if (!x)
		return;
	leave_graph(t, x, uid);
	if (x->pod != PLACE_NONE)
		place_pod_remove(t->place, x->pod);
	place_shape_release(t->place, x->shape);
	map_remove(&t->pods, uid);
}

static int put_on_node(struct schedule_tables *t, struct placed *x, struct err *e)
{
	uint32_t node = place_node_find(t->place, x->node);
	if (node == PLACE_NONE)
		return 0;
	return place_pod_put(t->place, x->shape, node, x->priority, &x->pod, e);
}

struct placed *tables_remember_pod(struct schedule_tables *t, const struct object *pod,
	const char *node, uint32_t shape, int priority)
{
	struct placed *x = mem_new(struct placed);
	char id[OBJECT_KEY_MAX];
	*x = (struct placed){.shape = shape,
		.pod = PLACE_NONE,
		.priority = priority,
		.node = mem_dup_string(node),
		.leaving = pod->deletion_ms != 0};
	map_put(&t->pods, pod->uid, x);
	if (graph_id(pod, id)) {
		x->graph = graph_ensure(t, id);
		x->component = mem_dup_string(object_label(pod, APPLICATION_COMPONENT_LABEL));
		map_put(&x->graph->pods, pod->uid, x);
	}
	return x;
}

static bool same_graph(const struct placed *x, const struct object *pod)
{
	char id[OBJECT_KEY_MAX];
	if (!graph_id(pod, id))
		return !x->graph;
	return x->graph && str_equal(x->graph->id, id) &&
	       str_equal(x->component, object_label(pod, APPLICATION_COMPONENT_LABEL));
}

static int change_pod(struct schedule_tables *t, const struct schedule_change *change,
	struct err *e)
{
	const struct object *pod = change->object;
	if (!pod) {
		tables_forget_pod(t, change->id);
		return 0;
	}
	CLEANUP(json_done) json_t *tree = object_tree(pod);
	uint32_t shape;
	int priority;
	int rc = tables_shape(t, tree, pod, &shape, &priority, e);
	if (rc != 0)
		return rc;
	struct placed *have = map_get(&t->pods, change->id);
	if (have && have->shape == shape && str_equal(have->node, pod->node) &&
		same_graph(have, pod)) {
		have->leaving = pod->deletion_ms != 0;
		place_shape_release(t->place, shape);
		return 0;
	}
	tables_forget_pod(t, change->id);
	return put_on_node(t, tables_remember_pod(t, pod, pod->node, shape, priority), e);
}

/* ---- nodes ---- */

static void remove_node(struct schedule_tables *t, const char *name)
{
	uint32_t node = place_node_find(t->place, name);
	if (node == PLACE_NONE)
		return;
	place_node_remove(t->place, node);
	MAP_EACH (&t->pods, entry) {
		struct placed *x = entry->value;
		if (str_equal(x->node, name))
			x->pod = PLACE_NONE;
	}
}

/* What is not news was told before. */
static void tell_problems(struct schedule_job *job, struct known_node *x,
	const struct buf *problems)
{
	const char *text = problems->size ? buf_text(problems) : NULL;
	if (str_equal(text, x->problems))
		return;
	free(x->problems);
	x->problems = text ? mem_dup_string(text) : NULL;
	if (text)
		vec_push(&job->problems,
			(struct schedule_problem){object_ref(x->object), mem_dup_string(text)});
}

static int set_node(struct schedule_job *job, struct known_node *x, struct err *e)
{
	struct schedule_tables *t = job->tables;
	CLEANUP(json_done) json_t *tree = object_tree(x->object);
	CLEANUP(arena_done) struct arena arena = {0};
	CLEANUP(buf_done) struct buf problems = BUF_INIT;
	struct place_node node;
	uint32_t index;
	const char *country = sites_country(&t->sites, nodespec_site(x->object));
	nodespec_read(tree, x->object, x->connected, country, &arena, &node, &problems);
	int rc = place_node_set(t->place, &node, &index, e);
	tell_problems(job, x, &problems);
	return rc;
}

static struct known_node *know_node(struct schedule_tables *t, const struct schedule_change *change)
{
	struct known_node *x = map_get(&t->nodes, change->id);
	if (!x) {
		x = mem_new(struct known_node);
		map_put(&t->nodes, change->id, x);
	}
	object_unref(x->object);
	x->object = object_ref(change->object);
	x->connected = change->connected;
	return x;
}

const char *tables_site_of(const struct schedule_tables *t, const char *node)
{
	const struct known_node *x = map_get(&t->nodes, node);
	return x ? nodespec_site(x->object) : NULL;
}

static int change_node(struct schedule_job *job, const struct schedule_change *change,
	struct err *e)
{
	struct schedule_tables *t = job->tables;
	if (!change->object) {
		remove_node(t, change->id);
		map_remove(&t->nodes, change->id);
		return 0;
	}
	bool known = place_node_find(t->place, change->id) != PLACE_NONE;
	int rc = set_node(job, know_node(t, change), e);
	if (rc != 0 || known)
		return rc;
	MAP_EACH (&t->pods, entry) { /* pods that were there before their node was known */
		struct placed *x = entry->value;
		if (rc == 0 && x->pod == PLACE_NONE && str_equal(x->node, change->id))
			rc = put_on_node(t, x, e);
	}
	return rc;
}

static void change_namespace(struct schedule_tables *t, const struct schedule_change *change)
{
	if (change->object)
		map_put(&t->namespaces, change->id, object_ref(change->object));
	else
		map_remove(&t->namespaces, change->id);
}

static int change(struct schedule_job *job, const struct schedule_change *change, struct err *e)
{
	if (change->what == SCHEDULE_NODE)
		return change_node(job, change, e);
	if (change->what == SCHEDULE_POD)
		return change_pod(job->tables, change, e);
	if (change->what == SCHEDULE_NAMESPACE)
		change_namespace(job->tables, change);
	else if (change->what == SCHEDULE_APPLICATION)
		change_graph(job->tables, change);
	return 0;
}

static void keep_err(struct schedule_job *job, int rc, const char *what, struct err *e)
{
	if (rc == 0)
		return;
	err_prefix(e, "%s", what);
	job->err = *e;
}

/* Before the nodes, whose country they say. */
static void apply_sites(struct schedule_job *job, struct map *ret_moved)
{
	struct schedule_tables *t = job->tables;
	MAP_EACH (&job->changes, entry) {
		const struct schedule_change *change = entry->value;
		struct err e = ERR_INIT;
		bool moved = false;
		if (change->what != SCHEDULE_SITE)
			continue;
		int rc = sites_change(&t->sites, t->place, change->id, change->object, &moved, &e);
		if (moved)
			map_put(ret_moved, change->id, ret_moved);
		keep_err(job, rc, change->id, &e);
	}
}

/* Nodes whose site went into another country. */
static void move_nodes(struct schedule_job *job, const struct map *moved)
{
	if (moved->count == 0)
		return;
	MAP_EACH (&job->tables->nodes, entry) {
		struct known_node *x = entry->value;
		const char *site = nodespec_site(x->object);
		struct err e = ERR_INIT;
		if (site && map_has(moved, site))
			keep_err(job, set_node(job, x, &e), entry->key, &e);
	}
}

void tables_apply(struct schedule_job *job)
{
	struct map moved = {0};
	struct err err = ERR_INIT;
	apply_sites(job, &moved);
	keep_err(job, sites_turn_hour(&job->tables->sites, job->tables->place, job->wall_ms, &err),
		"carbon", &err);
	move_nodes(job, &moved);
	map_done(&moved);
	MAP_EACH (&job->changes, entry) {
		const struct schedule_change *one = entry->value;
		struct err e = ERR_INIT;
		keep_err(job, change(job, one, &e), one->id, &e);
	}
}
