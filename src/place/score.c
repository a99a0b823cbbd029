/* What a pod costs on a node, in integers (RANK_UNIT is 1), so that a bound of the cost can be
 * compared with the cost itself. */
#include <math.h>
#include <string.h>

#include "place/tables.h"

/* With shared devices balance decides between equals alone. */
#define SHARED_SHIFT 6

/* 0 for none, 1/2 for `half`, towards 1: more always counts for more, the first most. */
static int64_t saturate(int64_t count, int64_t half)
{
	return count ? count * RANK_UNIT / (count + half) : 0;
}

/* The greater the capacity, the smaller its measure: a share of the largest is a bound. */
struct measure place_measure(int64_t cpu, int64_t memory)
{
	return (struct measure){cpu > 0 ? (double)RANK_FULL / (double)cpu : 0,
		memory > 0 ? (double)RANK_FULL / (double)memory : 0};
}

/* Overcommitted further than RANK_FULL_MOST is all the same. */
static int64_t share(int64_t amount, double measure)
{
	double s = (double)amount * measure;
	return s < RANK_FULL_MOST ? (int64_t)s : RANK_FULL_MOST;
}

static struct fullness mix(int64_t cpu, int64_t memory)
{
	return (struct fullness){
		(int32_t)((5 * cpu + memory) >> 3), (int32_t)((cpu + 5 * memory) >> 3)};
}

struct fullness place_fullness_of_node(const struct node *n)
{
	const struct measure *m = &n->measure;
	return mix(m->cpu > 0 ? share(n->score_cpu, m->cpu) : RANK_FULL,
		m->memory > 0 ? share(n->score_memory, m->memory) : RANK_FULL);
}

static inline struct fullness of_pod(const struct shape *s, const struct measure *m)
{
	return mix(share(s->score_cpu, m->cpu), share(s->score_memory, m->memory));
}

struct fullness place_fullness_of_pod(const struct shape *s, const struct measure *m)
{
	return of_pod(s, m);
}

/* How full cpu and memory become (Kubernetes' LeastAllocated) and how far apart the two are
 * (BalancedAllocation), three to one: 3/8 (x + y) + 1/4 |x - y| is the greater one of two sums. */
static inline int64_t balance(const struct shape *s, const struct node *n)
{
	struct fullness pod = of_pod(s, &n->measure);
	int32_t u = n->full.u + pod.u, v = n->full.v + pod.v;
	return (int64_t)(u > v ? u : v) << (RANK_FULL_SHIFT - (s->shares ? SHARED_SHIFT : 0));
}

int64_t place_balance(const struct shape *s, const struct node *n)
{
	return balance(s, n);
}

/* Weights of the node affinities that the pod wishes and this node does not have. */
uint32_t place_profile_open(const struct place *p, const struct profile *x, const struct node *n)
{
	uint32_t open = 0;
	VEC_EACH (&x->preferred, struct shape_preference, f) {
		if (!place_conjunction_matches(p, &f->term, n->labels.items, n->labels.count,
			    n->name))
			open += (uint32_t)f->weight;
	}
	return open;
}

uint32_t place_profile_soft_taints(const struct place *p, const struct profile *x,
	const struct node *n)
{
	uint32_t soft = 0;
	VEC_EACH (&n->taints, uint32_t, t) {
		const struct taint *taint = &p->taints.items[*t];
		soft += taint->effect == PLACE_PREFER_NO_SCHEDULE &&
			!place_profile_tolerates(x, taint);
	}
	return soft;
}

/* What a wish leaves open in a domain. */
static int64_t open_of(const struct shape_term *t, const struct counter *c, uint32_t domain)
{
	int64_t pods = domain == PLACE_NONE ? 0 : place_counter_at(c, domain).matching;
	int64_t some = saturate(pods, 1);
	return t->weight * (t->anti ? some : RANK_UNIT - some);
}

/* The share of the pod's own wishes that this node leaves open. */
static int64_t own_wishes(const struct look *l, uint32_t node, uint32_t open_here)
{
	int64_t open = open_here * RANK_UNIT;
	VEC_EACH (&l->shape->terms, struct shape_term, t) {
		const struct counter *c = &l->p->counters.items[t->counter];
		if (!t->required)
			open += open_of(t, c, place_counter_domain(l->p, c, node));
	}
	return l->preference_sum > 0 ? open / l->preference_sum : 0;
}

/* What pods that are there wish of this one: 0 drawn, 1/2 nothing, 1 repelled. */
static int64_t others_wishes(const struct look *l, uint32_t node)
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
	int64_t strength = saturate(pull < 0 ? -pull : pull, 100) / 2;
	return pull < 0 ? RANK_UNIT / 2 + strength : RANK_UNIT / 2 - strength;
}

static int64_t preference(const struct look *l, uint32_t node, const struct node *n)
{
	uint32_t open = l->profile->preferred.count ? place_profile_open(l->p, l->profile, n) : 0;
	uint32_t soft = n->taints.count ? place_profile_soft_taints(l->p, l->profile, n) : 0;
	return own_wishes(l, node, open) + others_wishes(l, node) / 2 + saturate(soft, 1);
}

/* Of the group's site and wishes; what hangs on a node's pods comes to it. */
int64_t place_look_preference_least(const struct look *l, const struct node_group *g)
{
	int64_t open = g->open * RANK_UNIT;
	if (l->preference_sum == 0)
		return saturate(g->soft, 1);
	VEC_EACH (&l->shape->terms, struct shape_term, t) {
		const struct counter *c = &l->p->counters.items[t->counter];
		uint32_t domain = place_group_domain(l->profile, g, c->topology);
		if (!t->required && domain != PLACE_NONE)
			open += open_of(t, c, domain);
	}
	return open / l->preference_sum + saturate(g->soft, 1);
}

static int64_t at_site(const struct shape *s, uint32_t site)
{
	return site < s->at_site.count ? saturate(s->at_site.items[site], 4) : 0;
}

/* How full a domain is of what the fullest is. */
static int64_t lean(const struct spread_view *v, uint32_t domain)
{
	return domain == PLACE_NONE ? RANK_UNIT
				    : place_spread_count(v, domain) * RANK_UNIT / (v->most + 1);
}

static int64_t alone(int64_t here)
{
	return 3 * saturate(here, 1) / 4;
}

int64_t place_look_spread_least(const struct look *l, const struct node_group *g)
{
	int64_t cost = g->site == PLACE_NONE ? 0 : at_site(l->shape, g->site) / 4;
	for (uint32_t i = 0; i < l->shape->spreads.count; i++) {
		const struct shape_spread *s = &l->shape->spreads.items[i];
		uint32_t domain = place_group_domain(l->profile, g,
			l->p->counters.items[s->counter].topology);
		if (!s->required && domain != PLACE_NONE)
			cost += lean(&l->spreads[i], domain);
	}
	return cost;
}

int64_t place_look_here_least(const struct look *l, uint32_t node)
{
	uint32_t here = place_counts_get(&l->shape->here, node);
	if (here == 0)
		return 0;
	if (l->repels && place_counter_domain(l->p, l->repels, node) != PLACE_NONE)
		return RANK_NEVER / 2;
	return place_weigh(l->weights[PLACE_TERM_SPREAD], alone(here));
}

static int64_t spread(const struct look *l, uint32_t node, const struct node *n)
{
	int64_t cost = alone(place_counts_get(&l->shape->here, node)) +
		       (n->site == PLACE_NONE ? 0 : at_site(l->shape, n->site) / 4);
	for (uint32_t i = 0; i < l->shape->spreads.count; i++) {
		const struct shape_spread *s = &l->shape->spreads.items[i];
		const struct counter *c = &l->p->counters.items[s->counter];
		if (!s->required)
			cost += lean(&l->spreads[i], place_counter_domain(l->p, c, node));
	}
	return cost;
}

static int64_t image(const struct look *l, const struct node *n)
{
	int64_t missing = 0;
	VEC_EACH (&l->shape->images, uint32_t, want) {
		bool have = false;
		for (size_t i = 0; i < n->images.count && !have; i++)
			have = n->images.items[i] == *want;
		missing += !have;
	}
	return missing ? missing * RANK_UNIT / (int64_t)l->shape->images.count : 0;
}

double place_cost_bound(double cost)
{
	return cost < 65536 ? cost : 65536;
}

int64_t place_cost_fix(double cost)
{
	double most = 1048576;
	cost = cost < most ? (cost > -most ? cost : -most) : most;
	return (int64_t)llround(cost * (double)RANK_UNIT);
}

static double requested(const struct shape *s, uint32_t resource)
{
	VEC_EACH (&s->requests, struct want_amount, r) {
		if (r->resource == resource)
			return (double)r->amount;
	}
	return 0;
}

static double share_of(const struct look *l, const struct node *n, uint32_t resource)
{
	int64_t capacity = place_node_capacity(n, resource);
	double most = 1,
	       share = capacity > 0 ? requested(l->shape, resource) / (double)capacity : 0;
	return share < most ? share : most;
}

void place_look_weigh(struct look *l, const int64_t *weights)
{
	int64_t all = 0;
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		all |= weights[i];
	l->weights = weights;
	l->negative = all < 0;
	l->upkeep = (weights[PLACE_TERM_ENERGY] | weights[PLACE_TERM_CARBON] |
			    weights[PLACE_TERM_MONEY] | weights[PLACE_TERM_TRUST]) != 0;
}

static const struct machine *machine_of(const struct look *l, const struct node *n)
{
	return &l->p->machines.items[n - l->p->nodes.items];
}

/* What watts cost, and what the machine itself does, in the terms' own scales. */
static void score_watts(const struct look *l, const struct node *n, double watts, double *terms)
{
	static const struct place_site nowhere = {0};
	const struct place_site *site =
		n->site == PLACE_NONE ? &nowhere : &l->p->sites.items[n->site].facts;
	double kilowatts = watts / 1000;
	terms[PLACE_TERM_ENERGY] += place_cost_bound(watts / PLACE_ENERGY_WATTS);
	terms[PLACE_TERM_CARBON] +=
		place_cost_bound(kilowatts * site->carbon_g_per_kwh / PLACE_CARBON_G_PER_HOUR);
	terms[PLACE_TERM_MONEY] +=
		place_cost_bound(kilowatts * site->price_per_kwh / PLACE_MONEY_PER_HOUR);
}

void place_look_add_idle(const struct look *l, uint32_t node, double share, double *terms)
{
	const struct node *n = &l->p->nodes.items[node];
	if (l->upkeep)
		score_watts(l, n, share * machine_of(l, n)->idle_watts, terms);
}

/* Watts that come with the pod: its share of cpu, and those of an empty node that it is the first
 * on. */
static void score_upkeep(const struct look *l, const struct node *n, int64_t *ret_terms)
{
	const struct machine *m = machine_of(l, n);
	double slope = m->full_watts > m->idle_watts ? m->full_watts - m->idle_watts : 0;
	double cpu = share_of(l, n, PLACE_CPU), memory = share_of(l, n, PLACE_MEMORY);
	double terms[PLACE_TERM_COUNT] = {0};
	score_watts(l, n, slope * cpu + (n->first_pod == PLACE_NONE ? m->idle_watts : 0), terms);
	terms[PLACE_TERM_MONEY] +=
		m->price_per_hour * (cpu > memory ? cpu : memory) / PLACE_MONEY_PER_HOUR;
	for (int i = PLACE_TERM_ENERGY; i <= PLACE_TERM_MONEY; i++)
		ret_terms[i] = place_cost_fix(place_cost_bound(terms[i]));
	ret_terms[PLACE_TERM_TRUST] = (100 - n->trust) * RANK_UNIT / 100;
}

/* As place_weigh, for terms of up to 2^48: the product may need more than 64 bits. */
static int64_t weigh_large(int64_t weight, int64_t term)
{
	int64_t high = term >> RANK_WEIGHT_SHIFT, low = term - (high << RANK_WEIGHT_SHIFT);
	return weight * high + place_weigh(weight, low);
}

/* Apart from what every decision looks at. */
static __attribute__((noinline)) int64_t upkeep(const struct look *l, const struct node *n,
	int64_t *ret_terms)
{
	int64_t terms[PLACE_TERM_COUNT] = {0}, total = 0;
	score_upkeep(l, n, terms);
	for (int i = PLACE_TERM_ENERGY; i <= PLACE_TERM_TRUST; i++) {
		total += weigh_large(l->weights[i], terms[i]);
		if (ret_terms)
			ret_terms[i] = terms[i];
	}
	return total;
}

int64_t place_look_total(const struct look *l, uint32_t node, int64_t *ret_terms)
{
	const struct node *n = &l->p->nodes.items[node];
	const int64_t *w = l->weights;
	int64_t terms[PLACE_TERM_IMAGE + 1] = {0}, lost = 0, total = 0;
	terms[PLACE_TERM_BALANCE] = w[PLACE_TERM_BALANCE] ? balance(l->shape, n) : 0;
	terms[PLACE_TERM_PREFERENCE] = w[PLACE_TERM_PREFERENCE] ? preference(l, node, n) : 0;
	terms[PLACE_TERM_SPREAD] = w[PLACE_TERM_SPREAD] ? spread(l, node, n) : 0;
	terms[PLACE_TERM_IMAGE] = w[PLACE_TERM_IMAGE] && l->shape->images.count ? image(l, n) : 0;
	for (int i = 0; i <= PLACE_TERM_IMAGE; i++)
		total += place_weigh(w[i], terms[i]);
	if (n->devices && w[PLACE_TERM_FRAGMENTATION]) {
		lost = place_fragmentation(l->p, l->shape, node);
		total += place_weigh(w[PLACE_TERM_FRAGMENTATION], lost);
	}
	if (ret_terms)
		memcpy(ret_terms, terms, sizeof(terms));
	total += l->upkeep ? upkeep(l, n, ret_terms) : 0;
	if (ret_terms)
		ret_terms[PLACE_TERM_FRAGMENTATION] = lost;
	return total;
}

void place_look_score(const struct look *l, uint32_t node, struct place_cost *ret_cost)
{
	int64_t terms[PLACE_TERM_COUNT];
	*ret_cost = (struct place_cost){
		.total = (double)place_look_total(l, node, terms) / (double)RANK_UNIT};
	for (int i = 0; i <= PLACE_TERM_IMAGE; i++)
		ret_cost->terms[i] = (double)terms[i] / (double)RANK_UNIT;
	for (int i = PLACE_TERM_ENERGY; l->upkeep && i <= PLACE_TERM_TRUST; i++)
		ret_cost->terms[i] = (double)terms[i] / (double)RANK_UNIT;
	ret_cost->terms[PLACE_TERM_FRAGMENTATION] =
		(double)terms[PLACE_TERM_FRAGMENTATION] / (double)RANK_UNIT;
}

struct place_weights place_weights_default(void)
{
	struct place_weights w = {0};
	w.of[PLACE_TERM_BALANCE] = 1;
	w.of[PLACE_TERM_PREFERENCE] = 2;
	w.of[PLACE_TERM_SPREAD] = 1;
	w.of[PLACE_TERM_IMAGE] = 0.25;
	w.of[PLACE_TERM_LATENCY] = w.of[PLACE_TERM_TRAFFIC] = w.of[PLACE_TERM_DATA] = 1;
	w.of[PLACE_TERM_FRAGMENTATION] = 4;
	w.of[PLACE_TERM_MOVE] = 0.05;
	return w;
}

void place_weights_fix(const struct place_weights *w, int64_t *ret_weights)
{
	for (int i = 0; i < PLACE_TERM_COUNT; i++)
		ret_weights[i] = (int64_t)lround(w->of[i] * (1 << RANK_WEIGHT_SHIFT));
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
