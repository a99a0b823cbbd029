#include "place/tables.h"

/* 0 for none, 1/2 for one, towards 1: more always counts for more, the first most. */
static double saturate(double count)
{
	return count / (count + 1);
}

static double share(int64_t taken, int64_t capacity)
{
	if (capacity <= 0)
		return 1;
	double s = (double)taken / (double)capacity;
	return s > 1 ? 1 : s;
}

/* How full cpu and memory become (Kubernetes' LeastAllocated) and how far apart the two are
 * (BalancedAllocation), three to one. */
static double balance(const struct look *l, const struct node *n)
{
	double cpu = share(n->score_cpu + l->shape->score_cpu, place_node_capacity(n, PLACE_CPU));
	double memory = share(n->score_memory + l->shape->score_memory,
		place_node_capacity(n, PLACE_MEMORY));
	double apart = cpu > memory ? cpu - memory : memory - cpu;
	return 0.75 * (cpu + memory) / 2 + 0.25 * apart;
}

/* The share of the pod's own wishes that this node leaves open. */
static double own_wishes(const struct look *l, uint32_t node, const struct node *n)
{
	double open = 0;
	VEC_EACH (&l->shape->preferred, struct shape_preference, f) {
		if (!place_conjunction_matches(l->p, &f->term, n->labels.items, n->labels.count,
			    n->name))
			open += f->weight;
	}
	VEC_EACH (&l->shape->terms, struct shape_term, t) {
		if (t->required)
			continue;
		const struct counter *c = &l->p->counters.items[t->counter];
		uint32_t domain = place_counter_domain(l->p, c, node);
		double pods = domain == PLACE_NONE ? 0 : place_counter_at(c, domain).matching;
		open += t->weight * (t->anti ? saturate(pods) : 1 - saturate(pods));
	}
	return l->preference_sum > 0 ? open / l->preference_sum : 0;
}

/* What pods that are there wish of this one: 0 drawn, 1/2 nothing, 1 repelled. */
static double others_wishes(const struct look *l, uint32_t node)
{
	int64_t pull = 0;
	bool any = false;
	VEC_EACH (&l->shape->matches, uint32_t, m) {
		const struct counter *c = &l->p->counters.items[*m];
		if (c->pulls == 0)
			continue;
		any = true;
		uint32_t domain = place_counter_domain(l->p, c, node);
		if (domain != PLACE_NONE)
			pull += place_counter_at(c, domain).pull;
	}
	if (!any)
		return 0;
	double strength = saturate((double)(pull < 0 ? -pull : pull) / 100) / 2;
	return pull < 0 ? 0.5 + strength : 0.5 - strength;
}

static double preference(const struct look *l, uint32_t node, const struct node *n)
{
	double soft_taints = 0;
	VEC_EACH (&n->taints, uint32_t, t) {
		const struct taint *taint = &l->p->taints.items[*t];
		if (taint->effect == PLACE_PREFER_NO_SCHEDULE &&
			!place_shape_tolerates(l->p, l->shape, taint))
			soft_taints++;
	}
	return own_wishes(l, node, n) + 0.5 * others_wishes(l, node) + saturate(soft_taints);
}

static double spread(const struct look *l, uint32_t node, const struct node *n)
{
	double here = place_node_shape_count(n, l->shape_index);
	double at_site = n->site == PLACE_NONE ? 0 : l->site_alike[n->site];
	double cost = 0.75 * saturate(here) + 0.25 * saturate(at_site / 4);
	for (uint32_t i = 0; i < l->shape->spreads.count; i++) {
		const struct shape_spread *s = &l->shape->spreads.items[i];
		const struct spread_view *v = &l->spreads[i];
		if (s->required)
			continue;
		uint32_t domain =
			place_counter_domain(l->p, &l->p->counters.items[s->counter], node);
		cost += domain == PLACE_NONE ? 1 : v->counts[domain] / (v->most + 1.0);
	}
	return cost;
}

static double image(const struct look *l, const struct node *n)
{
	size_t missing = 0;
	VEC_EACH (&l->shape->images, uint32_t, want) {
		bool have = false;
		for (size_t i = 0; i < n->images.count && !have; i++)
			have = n->images.items[i] == *want;
		missing += !have;
	}
	return missing ? (double)missing / (double)l->shape->images.count : 0;
}

void place_look_score(const struct look *l, uint32_t node, const struct place_weights *weights,
	struct place_cost *ret_cost)
{
	const struct node *n = &l->p->nodes.items[node];
	const double *w = weights->of;
	struct place_cost c = {0};
	c.terms[PLACE_TERM_BALANCE] = w[PLACE_TERM_BALANCE] != 0 ? balance(l, n) : 0;
	c.terms[PLACE_TERM_PREFERENCE] = w[PLACE_TERM_PREFERENCE] != 0 ? preference(l, node, n) : 0;
	c.terms[PLACE_TERM_SPREAD] = w[PLACE_TERM_SPREAD] != 0 ? spread(l, node, n) : 0;
	c.terms[PLACE_TERM_IMAGE] = w[PLACE_TERM_IMAGE] != 0 ? image(l, n) : 0;
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		c.total += c.terms[i] * w[i];
	*ret_cost = c;
}

struct place_weights place_weights_default(void)
{
	struct place_weights w = {0};
	w.of[PLACE_TERM_BALANCE] = 1;
	w.of[PLACE_TERM_PREFERENCE] = 2;
	w.of[PLACE_TERM_SPREAD] = 1;
	w.of[PLACE_TERM_IMAGE] = 0.25;
	return w;
}

const char *place_term_name(enum place_term term)
{
	static const char *const names[] = {[PLACE_TERM_BALANCE] = "balance",
		[PLACE_TERM_PREFERENCE] = "preference",
		[PLACE_TERM_SPREAD] = "spread",
		[PLACE_TERM_IMAGE] = "image",
		[PLACE_TERM_LATENCY] = "latency",
		[PLACE_TERM_TRAFFIC] = "traffic",
		[PLACE_TERM_DATA] = "data",
		[PLACE_TERM_ENERGY] = "energy",
		[PLACE_TERM_CARBON] = "carbon",
		[PLACE_TERM_MONEY] = "money",
		[PLACE_TERM_FRAGMENTATION] = "fragmentation",
		[PLACE_TERM_TRUST] = "trust",
		[PLACE_TERM_MOVE] = "move"};
	return (unsigned)term < ARRAY_SIZE(names) ? names[term] : "unknown";
}
