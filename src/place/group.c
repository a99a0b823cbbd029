/* The groups of a profile's nodes, and how each of them is ranked. */
#include <math.h>

#include "place/tables.h"

#define SITES_APART 64u    /* with more sites than that, groups are not split by site */
#define DOMAINS_APART 64u  /* nor by a topology of which there are more domains */
#define GROUPS_APART 1024u /* nor by either when there are so many groups */
#define IDLE_CHANGES_LEAST 1000u

static int size_class(int64_t capacity)
{
	return capacity > 0 ? (int)(8 * log2((double)capacity)) : -1;
}

static struct node_group group_key(const struct place *p, const struct profile *x, uint32_t node)
{
	const struct node *n = &p->nodes.items[node];
	bool apart = x->groups.count < GROUPS_APART;
	struct node_group g = {
		.site = apart && p->sites.count <= SITES_APART ? n->site : PLACE_NONE,
		.cpu_class = size_class(place_node_capacity(n, PLACE_CPU)),
		.memory_class = size_class(place_node_capacity(n, PLACE_MEMORY)),
		.open = place_profile_open(p, x, n),
		.soft = place_profile_soft_taints(p, x, n)};
	for (uint32_t i = 0; i < PLACE_AXES; i++) {
		g.domains[i] = PLACE_NONE;
		if (!apart || i >= x->axis_count)
			continue;
		uint32_t domain = p->topologies.items[x->axes[i]].of_node.items[node];
		if (domain < DOMAINS_APART)
			g.domains[i] = domain;
	}
	return g;
}

static bool is_same(const struct node_group *a, const struct node_group *b)
{
	for (uint32_t i = 0; i < PLACE_AXES; i++)
		if (a->domains[i] != b->domains[i])
			return false;
	return a->site == b->site && a->cpu_class == b->cpu_class &&
	       a->memory_class == b->memory_class && a->open == b->open && a->soft == b->soft;
}

static uint32_t find_group(struct profile *x, const struct node_group *key)
{
	for (uint32_t i = 0; i < x->groups.count; i++)
		if (is_same(&x->groups.items[i], key))
			return i;
	vec_push(&x->groups, *key);
	return (uint32_t)x->groups.count - 1;
}

uint32_t place_group_domain(const struct profile *x, const struct node_group *g, uint32_t topology)
{
	for (uint32_t i = 0; i < x->axis_count; i++)
		if (x->axes[i] == topology)
			return g->domains[i];
	return PLACE_NONE;
}

/* ---- rows ---- */

int32_t place_coarse(int64_t amount, uint32_t resource, bool up)
{
	if (resource == PLACE_MEMORY)
		amount = (amount + (up ? ((int64_t)1 << 20) - 1 : 0)) >> 20;
	if (amount > INT32_MAX)
		return INT32_MAX;
	return (int32_t)(amount < -INT32_MAX ? -INT32_MAX : amount);
}

static int32_t free_of(const struct node *n, uint32_t resource)
{
	return resource == PLACE_NONE ? 0
				      : place_coarse(place_node_capacity(n, resource) -
							     place_node_taken(n, resource),
						resource, true);
}

static struct rank_row row_of(const struct profile *x, const struct node *n, uint32_t node)
{
	return (struct rank_row){.u = n->full.u,
		.v = n->full.v,
		.free = {free_of(n, PLACE_CPU), free_of(n, PLACE_MEMORY), free_of(n, PLACE_PODS),
			free_of(n, x->scarce)},
		.order = place_order_of(node)};
}

static bool complies(const struct profile *x, const struct node *n, uint32_t node)
{
	return place_bits_get(&x->affine, node) && place_bits_get(&x->tolerated, node) &&
	       place_bits_get(&x->able, node) &&
	       (x->scarce == PLACE_NONE || place_node_capacity(n, x->scarce) > 0);
}

static void rank_node(struct place *p, struct profile *x, uint32_t node)
{
	const struct node *n = &p->nodes.items[node];
	if (!complies(x, n, node)) {
		ranking_remove(&x->ranking, node);
		return;
	}
	struct node_group key = group_key(p, x, node);
	uint32_t group = find_group(x, &key);
	struct node_group *g = &x->groups.items[group];
	bool first = ranking_is_empty(&x->ranking, group);
	if (first || n->measure.cpu < g->measure.cpu)
		g->measure.cpu = n->measure.cpu;
	if (first || n->measure.memory < g->measure.memory)
		g->measure.memory = n->measure.memory;
	struct rank_row row = row_of(x, n, node);
	ranking_set(&x->ranking, node, group, &row);
}

/* Those with domains of several nodes. */
static void choose_axes(const struct place *p, struct profile *x)
{
	x->axis_count = 0;
	VEC_EACH (&x->topologies, uint32_t, t) {
		size_t domains = p->topologies.items[*t].domain_values.count;
		if (x->axis_count < PLACE_AXES && domains <= DOMAINS_APART &&
			2 * domains <= p->node_count)
			x->axes[x->axis_count++] = *t;
	}
}

void place_profile_rank(struct place *p, struct profile *x)
{
	x->idle_changes = 0;
	if (x->ranked)
		return;
	choose_axes(p, x);
	for (uint32_t i = 0; i < p->nodes.count; i++)
		rank_node(p, x, i);
	x->ranked = true;
	vec_push(&p->ranked, (uint32_t)(x - p->profiles.items));
}

void place_profile_unrank(struct place *p, struct profile *x)
{
	for (size_t i = p->ranked.count; i-- > 0;)
		if (p->ranked.items[i] == (uint32_t)(x - p->profiles.items))
			vec_remove(&p->ranked, i);
	ranking_done(&x->ranking);
	vec_done(&x->groups);
	x->ranked = false;
}

void place_profile_add_topology(struct place *p, struct profile *x, uint32_t topology)
{
	VEC_EACH (&x->topologies, uint32_t, t) {
		if (*t == topology)
			return;
	}
	vec_push(&x->topologies, topology);
	place_profile_unrank(p, x);
}

void place_groups_node_changed(struct place *p, uint32_t node)
{
	VEC_EACH (&p->ranked, uint32_t, i)
		rank_node(p, &p->profiles.items[*i], node);
}

void place_groups_prefetch(const struct place *p, uint32_t node)
{
	VEC_EACH (&p->ranked, uint32_t, i)
		ranking_prefetch(&p->profiles.items[*i].ranking, node);
}

void place_groups_pods_changed(struct place *p, uint32_t node)
{
	const struct node *n = &p->nodes.items[node];
	for (size_t i = p->ranked.count; i-- > 0;) {
		struct profile *x = &p->profiles.items[p->ranked.items[i]];
		if (!ranking_has(&x->ranking, node))
			continue;
		if (++x->idle_changes > IDLE_CHANGES_LEAST + 4 * (uint64_t)p->node_count) {
			place_profile_unrank(p, x);
			continue;
		}
		struct rank_row row = row_of(x, n, node);
		ranking_update(&x->ranking, node, &row);
	}
}
