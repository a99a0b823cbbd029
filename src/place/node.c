#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "place/tables.h"

static bool impossible(double number)
{
	return !isfinite(number) || number < 0;
}

static int check(const struct place_node *from, struct err *e)
{
	const struct {
		const char *what;
		uint32_t count;
	} lists[] = {{"resources", from->capacity_count}, {"labels", from->label_count},
		{"taints", from->taint_count}, {"runtimes", from->runtime_count}};
	if (str_empty(from->name))
		return err_set(e, ERR_INVALID, "a node without a name");
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (lists[i].count > PLACE_ITEMS_MAX)
			return err_set(e, ERR_TOO_LARGE, "node %s: %u %s, at most %u are allowed",
				from->name, lists[i].count, lists[i].what, PLACE_ITEMS_MAX);
	for (uint32_t i = 0; i < from->capacity_count; i++) {
		const struct place_amount *a = &from->capacity[i];
		if (str_empty(a->resource) || a->amount < 0 || a->amount > PLACE_AMOUNT_MAX)
			return err_set(e, ERR_INVALID, "node %s: capacity of %lld %s is impossible",
				from->name, (long long)a->amount, a->resource ? a->resource : "?");
	}
	for (uint32_t i = 0; i < from->taint_count; i++)
		if (str_empty(from->taints[i].key) || from->taints[i].effect >= PLACE_ANY_EFFECT)
			return err_set(e, ERR_INVALID, "node %s: a taint without key or effect",
				from->name);
	if (from->trust < 0 || from->trust > 100)
		return err_set(e, ERR_INVALID, "node %s: trust %d is not 0 to 100", from->name,
			from->trust);
	if (impossible(from->idle_watts) || impossible(from->full_watts) ||
		impossible(from->price_per_hour))
		return err_set(e, ERR_INVALID,
			"node %s: watts or a price that are no number from 0", from->name);
	if (from->flags & PLACE_NODE_OFF)
		return err_set(e, ERR_UNSUPPORTED,
			"node %s: switched off nodes are not supported yet", from->name);
	return 0;
}

static struct stock *stock_of(struct node *n, uint32_t resource)
{
	if (resource < PLACE_USUAL)
		return &n->usual[resource];
	while (n->others.count <= resource - PLACE_USUAL)
		(void)vec_add(&n->others);
	return &n->others.items[resource - PLACE_USUAL];
}

static uint32_t new_slot(struct place *p, const char *name)
{
	uint32_t index = p->free_node;
	if (index == PLACE_NONE) {
		index = (uint32_t)p->nodes.count;
		(void)vec_add(&p->nodes);
		(void)vec_add(&p->machines);
	} else {
		p->free_node = p->nodes.items[index].next_free;
	}
	struct node *n = &p->nodes.items[index];
	*n = (struct node){.used = true, .name = place_intern(p, name), .first_pod = PLACE_NONE};
	place_keep_index(&p->node_ids, name, index);
	p->node_count++;
	return index;
}

static int fill_capacity(struct place *p, struct node *n, const struct place_node *from,
	struct err *e)
{
	for (uint32_t i = 0; i < from->capacity_count; i++)
		if (place_resource(p, from->capacity[i].resource) == PLACE_NONE)
			return err_set(e, ERR_TOO_LARGE,
				"node %s: more than %u different resources, %s is too many",
				from->name, PLACE_RESOURCES_MAX, from->capacity[i].resource);
	for (uint32_t i = 0; i < p->resources.count; i++)
		stock_of(n, i)->capacity = 0;
	for (uint32_t i = 0; i < from->capacity_count; i++)
		stock_of(n, place_resource(p, from->capacity[i].resource))->capacity =
			from->capacity[i].amount;
	n->measure = place_measure(place_node_capacity(n, PLACE_CPU),
		place_node_capacity(n, PLACE_MEMORY));
	return 0;
}

static void fill_taints(struct place *p, struct node *n, const struct place_node *from)
{
	n->taints.count = 0;
	if (from->flags & PLACE_NODE_UNSCHEDULABLE)
		vec_push(&n->taints, PLACE_TAINT_UNSCHEDULABLE);
	if (from->flags & PLACE_NODE_NOT_READY)
		vec_push(&n->taints, PLACE_TAINT_NOT_READY);
	for (uint32_t i = 0; i < from->taint_count; i++) {
		const struct place_taint *t = &from->taints[i];
		uint32_t taint = place_taint_index(p, t->key, t->value, t->effect);
		bool known = false;
		VEC_EACH (&n->taints, uint32_t, have)
			known = known || *have == taint;
		if (!known)
			vec_push(&n->taints, taint);
	}
}

uint32_t place_image(struct place *p, const char *name)
{
	uint32_t index = place_find_index(&p->image_ids, name);
	if (index != PLACE_NONE)
		return index;
	(void)vec_add(&p->images);
	place_keep_index(&p->image_ids, name, (uint32_t)p->images.count - 1);
	return (uint32_t)p->images.count - 1;
}

static void drop_images(struct place *p, struct node *n, uint32_t node)
{
	VEC_EACH (&n->images, uint32_t, image) {
		struct holders *h = &p->images.items[*image];
		for (size_t i = h->nodes.count; i-- > 0;)
			if (h->nodes.items[i] == node)
				vec_remove(&h->nodes, i);
	}
	n->images.count = 0;
}

static void fill_images(struct place *p, struct node *n, const struct place_node *from,
	uint32_t node)
{
	drop_images(p, n, node);
	for (uint32_t i = 0; i < from->image_count; i++) {
		uint32_t image = place_image(p, from->images[i]);
		bool known = false;
		VEC_EACH (&n->images, uint32_t, have)
			known = known || *have == image;
		if (known)
			continue;
		vec_push(&n->images, image);
		vec_push(&p->images.items[image].nodes, node);
	}
}

static void fill_rest(struct place *p, struct node *n, const struct place_node *from)
{
	n->flags = from->flags;
	n->labels.count = 0;
	for (uint32_t i = 0; i < from->label_count; i++)
		(void)vec_add(&n->labels);
	if (from->label_count)
		place_pairs_compile(p, from->labels, from->label_count, n->labels.items);
	fill_taints(p, n, from);
	n->trust = from->trust;
	n->runtimes.count = 0;
	for (uint32_t i = 0; i < from->runtime_count; i++)
		vec_push(&n->runtimes, place_intern(p, from->runtimes[i]));
}

static void count_at_site(struct place *p, uint32_t node, uint32_t shape, int64_t count)
{
	uint32_t site = p->nodes.items[node].site;
	struct shape *s = &p->shapes.items[shape];
	if (site == PLACE_NONE)
		return;
	while (s->at_site.count <= site)
		(void)vec_add(&s->at_site);
	s->at_site.items[site] = (uint32_t)((int64_t)s->at_site.items[site] + count);
}

/* Takes the node's pods out of all counts before it changes, and puts them in again. */
static void recount(struct place *p, uint32_t node, int sign)
{
	if (sign > 0)
		place_tallies_add_node(p, node, sign);
	VEC_EACH (&p->nodes.items[node].shapes, struct node_shape, s) {
		place_counter_add_pods(p, s->shape, node, sign * (int64_t)s->count);
		count_at_site(p, node, s->shape, sign * (int64_t)s->count);
	}
	if (sign < 0)
		place_tallies_add_node(p, node, sign);
}

static void profiles_learn(struct place *p, uint32_t node)
{
	struct node *n = &p->nodes.items[node];
	n->full = place_fullness_of_node(n);
	VEC_EACH (&p->profiles, struct profile, x) {
		if (x->used)
			place_profile_node_changed(p, x, node);
	}
	place_groups_node_changed(p, node);
	place_outlook_node_changed(p, node);
}

int place_node_set(struct place *p, const struct place_node *from, uint32_t *ret_node,
	struct err *e)
{
	int rc = check(from, e);
	if (rc != 0)
		return rc;
	rc = place_devices_check(p, from, e);
	if (rc != 0)
		return rc;
	uint32_t site = PLACE_NONE;
	if (!str_empty(from->site)) {
		struct place_site named = {.name = from->site};
		site = place_find_index(&p->site_ids, from->site);
		if (site == PLACE_NONE && (rc = place_site_set(p, &named, &site, e)) != 0)
			return rc;
	}
	uint32_t index = place_node_find(p, from->name);
	if (index == PLACE_NONE && p->node_count >= PLACE_NODES_MAX)
		return err_set(e, ERR_TOO_LARGE, "node %s: more than %u nodes", from->name,
			PLACE_NODES_MAX);
	if (index == PLACE_NONE)
		index = new_slot(p, from->name);
	struct node *n = &p->nodes.items[index];
	recount(p, index, -1);
	rc = fill_capacity(p, n, from, e);
	if (rc == 0) {
		n->site = site;
		fill_rest(p, n, from);
		p->machines.items[index] =
			(struct machine){from->idle_watts, from->full_watts, from->price_per_hour};
		fill_images(p, n, from, index);
		place_devices_set_capacity(p, index);
	}
	place_topology_node_changed(p, index);
	profiles_learn(p, index);
	recount(p, index, 1);
	*ret_node = index;
	return rc;
}

void place_node_done(struct node *n)
{
	vec_done(&n->others);
	vec_done(&n->labels);
	vec_done(&n->taints);
	vec_done(&n->images);
	vec_done(&n->runtimes);
	vec_done(&n->shapes);
	vec_done(&n->ports);
	*n = (struct node){0};
}

void place_node_remove(struct place *p, uint32_t node)
{
	struct node *n = &p->nodes.items[node];
	while (n->first_pod != PLACE_NONE)
		place_pod_remove(p, n->first_pod);
	map_remove(&p->node_ids, place_text(p, n->name));
	place_tallies_add_node(p, node, -1);
	drop_images(p, n, node);
	place_devices_drop(p, node);
	place_node_done(n);
	place_topology_node_changed(p, node);
	profiles_learn(p, node);
	n->next_free = p->free_node;
	p->free_node = node;
	p->node_count--;
}

/* ---- for a while ---- */

static void learn_node(struct place *p, uint32_t node)
{
	place_topology_node_changed(p, node);
	profiles_learn(p, node);
}

void place_node_hide(struct place *p, uint32_t node)
{
	place_tallies_add_node(p, node, -1);
	p->nodes.items[node].used = false;
	p->node_count--;
	learn_node(p, node);
}

void place_node_show(struct place *p, uint32_t node)
{
	p->nodes.items[node].used = true;
	p->node_count++;
	learn_node(p, node);
	place_tallies_add_node(p, node, 1);
}

static bool has_taint(const struct node *n, uint32_t taint)
{
	VEC_EACH (&n->taints, uint32_t, t) {
		if (*t == taint)
			return true;
	}
	return false;
}

void place_node_drain(struct place *p, uint32_t node, bool drained)
{
	struct node *n = &p->nodes.items[node];
	recount(p, node, -1);
	if (n->drained && n->drain_taint)
		n->taints.count--;
	n->drain_taint = drained && !has_taint(n, PLACE_TAINT_UNSCHEDULABLE);
	if (n->drain_taint)
		vec_push(&n->taints, PLACE_TAINT_UNSCHEDULABLE);
	n->drained = drained;
	profiles_learn(p, node);
	recount(p, node, 1);
}

uint32_t place_node_find(const struct place *p, const char *name)
{
	return place_find_index(&p->node_ids, name);
}

const char *place_node_name(const struct place *p, uint32_t node)
{
	return place_text(p, p->nodes.items[node].name);
}

uint32_t place_node_count(const struct place *p)
{
	return p->node_count;
}

int64_t place_node_free(const struct place *p, uint32_t node, const char *resource)
{
	uint32_t id = place_find_index(&p->string_ids, resource);
	const struct node *n = &p->nodes.items[node];
	for (uint32_t i = 0; i < p->resources.count; i++)
		if (p->resources.items[i] == id)
			return place_node_capacity(n, i) - place_node_taken(n, i);
	return 0;
}

/* ---- pods on a node ---- */

uint32_t place_node_matching(const struct place *p, uint32_t counter, const struct node *n)
{
	uint32_t count = 0;
	VEC_EACH (&n->shapes, struct node_shape, on) {
		const struct shape *s = &p->shapes.items[on->shape];
		VEC_EACH (&s->matches, uint32_t, c)
			count += *c == counter ? on->count : 0;
	}
	return count;
}

static void count_shape(struct node *n, uint32_t shape, int64_t count)
{
	for (size_t i = 0; i < n->shapes.count; i++) {
		struct node_shape *s = &n->shapes.items[i];
		if (s->shape != shape)
			continue;
		s->count = (uint32_t)((int64_t)s->count + count);
		if (s->count == 0)
			vec_remove(&n->shapes, i);
		return;
	}
	vec_push(&n->shapes, (struct node_shape){shape, (uint32_t)count});
}

static void count_port(struct node *n, const struct shape_port *port, int64_t count)
{
	for (size_t i = 0; i < n->ports.count; i++) {
		struct node_port *have = &n->ports.items[i];
		if (have->port != port->port || have->protocol != port->protocol ||
			have->address != port->address)
			continue;
		have->count = (uint32_t)((int64_t)have->count + count);
		if (have->count == 0)
			vec_remove(&n->ports, i);
		return;
	}
	vec_push(&n->ports,
		(struct node_port){port->protocol, port->address, port->port, (uint32_t)count});
}

void place_node_count_pods(struct place *p, uint32_t node, uint32_t shape, int64_t count)
{
	struct node *n = &p->nodes.items[node];
	const struct shape *s = &p->shapes.items[shape];
	/* None of it is near when a pod goes from any node. */
	__builtin_prefetch(n->shapes.items);
	place_counts_prefetch(&s->here, node);
	place_groups_prefetch(p, node);
	VEC_EACH (&s->requests, struct want_amount, r)
		stock_of(n, r->resource)->taken += count * r->amount;
	n->score_cpu += count * s->score_cpu;
	n->score_memory += count * s->score_memory;
	VEC_EACH (&s->ports, struct shape_port, port)
		count_port(n, port, count);
	n->full = place_fullness_of_node(n);
	count_shape(n, shape, count);
	(void)place_counts_add(&p->shapes.items[shape].here, node, count);
	count_at_site(p, node, shape, count);
	place_counter_add_pods(p, shape, node, count);
	place_groups_pods_changed(p, node);
	if (p->device_nodes)
		place_devices_pods_changed(p, node);
}
