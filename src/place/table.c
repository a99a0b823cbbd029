#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "place/tables.h"

struct place *place_new(void)
{
	struct place *p = mem_new(struct place);
	p->free_node = p->free_profile = p->free_shape = p->free_pod = p->free_counter = PLACE_NONE;
	p->free_devices = p->free_held = PLACE_NONE;
	vec_push(&p->strings, mem_dup_string(""));
	(void)place_resource(p, "cpu");
	(void)place_resource(p, "memory");
	(void)place_resource(p, "pods");
	(void)place_taint_index(p, "node.kubernetes.io/not-ready", NULL, PLACE_NO_SCHEDULE);
	(void)place_taint_index(p, "node.kubernetes.io/unschedulable", NULL, PLACE_NO_SCHEDULE);
	return p;
}

void place_free(struct place *p)
{
	if (!p)
		return;
	place_outlook_done(p);
	place_kept_done(p);
	VEC_EACH (&p->shapes, struct shape, s)
		place_shape_done(p, s);
	place_devices_done(p);
	place_tallies_done(p);
	place_profiles_done(p);
	VEC_EACH (&p->nodes, struct node, n)
		place_node_done(n);
	VEC_EACH (&p->images, struct holders, h)
		vec_done(&h->nodes);
	vec_done(&p->images);
	map_done(&p->image_ids);
	VEC_EACH (&p->topologies, struct topology, t) {
		map_done(&t->domains);
		vec_done(&t->domain_values);
		vec_done(&t->of_node);
	}
	VEC_EACH (&p->strings, char *, text)
		free(*text);
	map_done(&p->string_ids);
	map_done(&p->node_ids);
	map_done(&p->shape_ids);
	map_done(&p->counter_ids);
	map_done(&p->site_ids);
	vec_done(&p->strings);
	vec_done(&p->resources);
	VEC_EACH (&p->sites, struct site, site)
		vec_done(&site->paths);
	vec_done(&p->sites);
	vec_done(&p->paths);
	vec_done(&p->taints);
	vec_done(&p->topologies);
	vec_done(&p->counters);
	vec_done(&p->nodes);
	vec_done(&p->machines);
	vec_done(&p->ranked);
	vec_done(&p->shapes);
	vec_done(&p->pods);
	free(p);
}

/* ---- sites ---- */

static bool impossible(double number)
{
	return !isfinite(number) || number < 0;
}

int place_site_set(struct place *p, const struct place_site *site, uint32_t *ret_site,
	struct err *e)
{
	if (str_empty(site->name))
		return err_set(e, ERR_INVALID, "a site without a name");
	if (impossible(site->carbon_g_per_kwh) || impossible(site->price_per_kwh) ||
		impossible(site->price_per_gigabyte_out))
		return err_set(e, ERR_INVALID,
			"site %s: a price or carbon figure is no number from 0", site->name);
	uint32_t index = place_find_index(&p->site_ids, site->name);
	if (index == PLACE_NONE) {
		index = (uint32_t)p->sites.count;
		(void)vec_add(&p->sites);
		place_keep_index(&p->site_ids, site->name, index);
	}
	struct site *s = &p->sites.items[index];
	s->name = place_intern(p, site->name);
	s->facts = *site;
	s->facts.name = place_text(p, s->name);
	s->facts.country = site->country ? place_text(p, place_intern(p, site->country)) : NULL;
	*ret_site = index;
	return 0;
}

/* Where the path to a site is, or would be. */
static size_t path_slot(const struct site *s, uint32_t to)
{
	size_t low = 0, high = s->paths.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s->paths.items[middle].to < to)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct path_index *find_path(const struct place *p, uint32_t from, uint32_t to)
{
	if (from >= p->sites.count)
		return NULL;
	const struct site *s = &p->sites.items[from];
	size_t at = path_slot(s, to);
	return at < s->paths.count && s->paths.items[at].to == to ? &s->paths.items[at] : NULL;
}

const struct path *place_path_find(const struct place *p, uint32_t from, uint32_t to)
{
	const struct path_index *found = find_path(p, from, to);
	return found ? &p->paths.items[found->path] : NULL;
}

int place_path_set(struct place *p, uint32_t from, uint32_t to, double latency_ms,
	double bits_per_s, struct err *e)
{
	if (from >= p->sites.count || to >= p->sites.count)
		return err_set(e, ERR_INVALID, "a path between sites that are not in the tables");
	if (impossible(latency_ms) || impossible(bits_per_s))
		return err_set(e, ERR_INVALID,
			"path from %s to %s: latency or bandwidth is impossible",
			p->sites.items[from].facts.name, p->sites.items[to].facts.name);
	struct path path = {from, to, latency_ms, bits_per_s};
	const struct path_index *known = find_path(p, from, to);
	if (known) {
		p->paths.items[known->path] = path;
		return 0;
	}
	struct site *s = &p->sites.items[from];
	size_t at = path_slot(s, to);
	(void)vec_add(&s->paths);
	memmove(s->paths.items + at + 1, s->paths.items + at,
		(s->paths.count - 1 - at) * sizeof(*s->paths.items));
	s->paths.items[at] = (struct path_index){to, (uint32_t)p->paths.count};
	vec_push(&p->paths, path);
	return 0;
}

/* The last one takes its number. */
void place_path_remove(struct place *p, uint32_t from, uint32_t to)
{
	const struct path_index *known = find_path(p, from, to);
	if (!known)
		return;
	uint32_t number = known->path;
	struct path last = p->paths.items[--p->paths.count];
	p->paths.items[number] = last;
	find_path(p, last.from, last.to)->path = number;
	struct site *s = &p->sites.items[from];
	vec_remove(&s->paths, path_slot(s, to));
}

/* ---- pods ---- */

int place_pod_put_with(struct place *p, uint32_t shape, uint32_t node, int priority,
	const struct place_pod_devices *devices, uint32_t count, uint32_t *ret_pod, struct err *e)
{
	if (shape >= p->shapes.count || !p->shapes.items[shape].used || node >= p->nodes.count ||
		!p->nodes.items[node].used)
		return err_set(e, ERR_INVALID, "a pod of an unknown shape or on an unknown node");
	if (p->pod_count >= PLACE_PODS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %u pods", PLACE_PODS_MAX);
	uint32_t held = PLACE_NONE;
	if (p->shapes.items[shape].shares || count) {
		int rc = place_held_new(p, shape, node, devices, count, &held, e);
		if (rc != 0)
			return rc;
	}
	uint32_t index = p->free_pod;
	if (index == PLACE_NONE) {
		index = (uint32_t)p->pods.count;
		(void)vec_add(&p->pods);
	} else {
		p->free_pod = p->pods.items[index].next;
	}
	struct node *n = &p->nodes.items[node];
	p->pods.items[index] = (struct pod){shape, node, n->first_pod, PLACE_NONE, priority, held};
	if (n->first_pod != PLACE_NONE)
		p->pods.items[n->first_pod].previous = index;
	n->first_pod = index;
	p->pod_count++;
	p->shapes.items[shape].references++;
	if (held != PLACE_NONE)
		place_held_count(p, held, shape, node, 1);
	place_node_count_pods(p, node, shape, 1);
	*ret_pod = index;
	return 0;
}

int place_pod_put(struct place *p, uint32_t shape, uint32_t node, int priority, uint32_t *ret_pod,
	struct err *e)
{
	return place_pod_put_with(p, shape, node, priority, NULL, 0, ret_pod, e);
}

void place_pod_remove(struct place *p, uint32_t pod)
{
	struct pod *x = &p->pods.items[pod];
	uint32_t shape = x->shape;
	__builtin_prefetch(&p->nodes.items[x->node]);
	if (x->next != PLACE_NONE)
		__builtin_prefetch(&p->pods.items[x->next]);
	if (x->previous != PLACE_NONE)
		__builtin_prefetch(&p->pods.items[x->previous]);
	if (x->held != PLACE_NONE) {
		place_held_count(p, x->held, shape, x->node, -1);
		place_held_free(p, x->held);
	}
	place_node_count_pods(p, x->node, shape, -1);
	if (x->previous == PLACE_NONE)
		p->nodes.items[x->node].first_pod = x->next;
	else
		p->pods.items[x->previous].next = x->next;
	if (x->next != PLACE_NONE)
		p->pods.items[x->next].previous = x->previous;
	*x = (struct pod){PLACE_NONE, PLACE_NONE, p->free_pod, PLACE_NONE, 0, PLACE_NONE};
	p->free_pod = pod;
	p->pod_count--;
	place_shape_release(p, shape);
}

void place_pod_undo(struct place *p, uint32_t pod)
{
	p->outlook.came -= p->pods.items[pod].held != PLACE_NONE;
	place_pod_remove(p, pod);
}

uint32_t place_pod_node(const struct place *p, uint32_t pod)
{
	return pod < p->pods.count ? p->pods.items[pod].node : PLACE_NONE;
}

uint32_t place_pod_count(const struct place *p)
{
	return p->pod_count;
}
