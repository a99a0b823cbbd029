#include <stdlib.h>

#include "base/mem.h"
#include "place/tables.h"

static bool taints_pass(const struct look *l, const struct node *n, struct failures *f);
static bool affinity_passes(const struct look *l, const struct node *n, struct failures *f);

/* ---- a decision's view ---- */

/* Which nodes a spread counts hangs on the affinity, as far as that is not relaxed. */
static bool spread_counts_node(const struct look *l, const struct shape_spread *s, uint32_t node)
{
	const struct node *n = &l->p->nodes.items[node];
	if (!n->used)
		return false;
	if (!s->ignore_affinity && !(l->relaxed ? affinity_passes(l, n, NULL)
						: place_bits_get(&l->profile->affine, node)))
		return false;
	return !s->honor_taints || (l->relaxed ? taints_pass(l, n, NULL)
					       : place_bits_get(&l->profile->tolerated, node));
}

/* With constraints relaxed other nodes count than the tally has. */
static void view_relaxed(const struct look *l, const struct shape_spread *s, struct spread_view *v)
{
	const struct place *p = l->p;
	const struct counter *c = &p->counters.items[s->counter];
	v->domain_count = (uint32_t)p->topologies.items[c->topology].domain_values.count;
	v->counts = mem_alloc_array(v->domain_count, sizeof(*v->counts));
	CLEANUP(place_bits_done)
	struct bits seen = {0};
	uint32_t domains = 0;
	for (uint32_t i = 0; i < p->nodes.count; i++) {
		uint32_t domain = place_counter_domain(p, c, i);
		if (domain == PLACE_NONE || !spread_counts_node(l, s, i))
			continue;
		domains += !place_bits_get(&seen, domain);
		place_bits_set(&seen, domain, true);
		v->counts[domain] += place_node_matching(p, s->counter, &p->nodes.items[i]);
	}
	v->least = domains ? UINT32_MAX : 0;
	for (uint32_t d = 0; d < v->domain_count; d++) {
		if (!place_bits_get(&seen, d))
			continue;
		v->least = v->counts[d] < v->least ? v->counts[d] : v->least;
		v->most = v->counts[d] > v->most ? v->counts[d] : v->most;
	}
	if (domains < (uint32_t)s->min_domains)
		v->least = 0;
}

static void view_spread(struct place *p, const struct shape_spread *s, struct spread_view *v)
{
	struct tally *t = &p->tallies.items[s->tally];
	v->tally = t;
	place_tally_bounds(t, &v->least, &v->most);
	if (t->domain_count < (uint32_t)s->min_domains)
		v->least = 0;
}

/* The first of pods that want to be together has nobody to be with: it may go anywhere. */
static bool is_first_of_its_kind(const struct look *l)
{
	for (uint32_t i = 0; i < l->shape->terms.count; i++) {
		const struct shape_term *t = &l->shape->terms.items[i];
		if (!t->required || t->anti ||
			place_failures_have(l->relaxed, PLACE_C_POD_AFFINITY, i))
			continue;
		if (!t->matches_self || l->p->counters.items[t->counter].matching > 0)
			return false;
	}
	return true;
}

void place_look_init(struct look *l, struct place *p, uint32_t shape, uint32_t node,
	const struct failures *relaxed)
{
	struct shape *s = &p->shapes.items[shape];
	*l = (struct look){.p = p,
		.shape = s,
		.profile = place_profile_of(p, s),
		.shape_index = shape,
		.node = node,
		.relaxed = relaxed};
	l->first_of_its_kind = is_first_of_its_kind(l);
	if (s->spreads.count)
		l->spreads = mem_alloc_array(s->spreads.count, sizeof(*l->spreads));
	for (size_t i = 0; i < s->spreads.count; i++) {
		if (relaxed)
			view_relaxed(l, &s->spreads.items[i], &l->spreads[i]);
		else
			view_spread(p, &s->spreads.items[i], &l->spreads[i]);
	}
	VEC_EACH (&l->profile->preferred, struct shape_preference, f)
		l->preference_sum += f->weight;
	VEC_EACH (&s->terms, struct shape_term, t) {
		l->preference_sum += t->required ? 0 : t->weight;
		if (t->required && t->anti && t->matches_self)
			l->repels = &p->counters.items[t->counter];
	}
}

void place_look_done(struct look *l)
{
	for (size_t i = 0; l->spreads && i < l->shape->spreads.count; i++)
		free(l->spreads[i].counts);
	free(l->spreads);
	*l = (struct look){0};
}

/* ---- what speaks against a node ---- */

bool place_failures_have(const struct failures *f, enum place_constraint constraint, uint32_t index)
{
	for (size_t i = 0; f && i < f->items.count; i++)
		if (f->items.items[i].constraint == constraint && f->items.items[i].index == index)
			return true;
	return false;
}

/* One check's verdict against the node. Returns whether looking on makes sense: the constraint is
 * relaxed, or all reasons are wanted. */
static bool against(const struct look *l, struct failures *f, enum place_constraint constraint,
	uint32_t index, uint32_t text)
{
	if (place_failures_have(l->relaxed, constraint, index))
		return true;
	if (!f)
		return false;
	bool first = f->items.count == 0 ||
		     (constraint == PLACE_C_RESOURCE && f->items.items[0].constraint == constraint);
	vec_push(&f->items, (struct failure){constraint, index, text, first});
	return true;
}

static bool taints_pass(const struct look *l, const struct node *n, struct failures *f)
{
	static const enum place_constraint flags[] = {[PLACE_TAINT_NOT_READY] = PLACE_C_NOT_READY,
		[PLACE_TAINT_UNSCHEDULABLE] = PLACE_C_UNSCHEDULABLE};
	VEC_EACH (&n->taints, uint32_t, t) {
		const struct taint *taint = &l->p->taints.items[*t];
		if (taint->effect == PLACE_PREFER_NO_SCHEDULE ||
			place_profile_tolerates(l->profile, taint))
			continue;
		enum place_constraint c = *t < ARRAY_SIZE(flags) ? flags[*t] : PLACE_C_TAINT;
		if (!against(l, f, c, *t, taint->text))
			return false;
	}
	return true;
}

static bool affinity_passes(const struct look *l, const struct node *n, struct failures *f)
{
	const struct profile *s = l->profile;
	for (uint32_t i = 0; i < s->selector.count; i++) {
		const struct shape_selector *want = &s->selector.items[i];
		uint32_t value =
			place_pair_value(n->labels.items, n->labels.count, want->label.key);
		if (value != want->label.value && !against(l, f, PLACE_C_SELECTOR, i, want->text))
			return false;
	}
	for (uint32_t i = 0; i < s->required.count; i++) {
		const struct shape_required *r = &s->required.items[i];
		if (!place_profile_required_holds(l->p, r, n) &&
			!against(l, f, r->constraint, i, r->text))
			return false;
	}
	return true;
}

static bool abilities_pass(const struct look *l, const struct node *n, struct failures *f)
{
	const struct profile *x = l->profile;
	const struct taint *cordon = &l->p->taints.items[PLACE_TAINT_UNSCHEDULABLE];
	if (n->drained && place_profile_tolerates(x, cordon) && /* else it has the taint */
		!against(l, f, PLACE_C_UNSCHEDULABLE, PLACE_TAINT_UNSCHEDULABLE, cordon->text))
		return false;
	if (n->trust < x->trust_min && !against(l, f, PLACE_C_TRUST, 0, 0))
		return false;
	return place_profile_has_runtime(x, n) || against(l, f, PLACE_C_RUNTIME, 0, x->runtime);
}

static bool port_taken(const struct node *n, const struct shape_port *port)
{
	VEC_EACH (&n->ports, struct node_port, have) {
		if (have->port == port->port && have->protocol == port->protocol &&
			(have->address == port->address || !have->address || !port->address))
			return true;
	}
	return false;
}

static bool resources_pass(const struct look *l, const struct node *n, struct failures *f)
{
	const struct place *p = l->p;
	const struct shape *s = l->shape;
	for (uint32_t i = 0; i < s->ports.count; i++) {
		const struct shape_port *port = &s->ports.items[i];
		if (port_taken(n, port) && !against(l, f, PLACE_C_PORT, i, port->text))
			return false;
	}
	for (uint32_t i = 0; i < s->requests.count; i++) {
		const struct want_amount *r = &s->requests.items[i];
		if (r->amount == 0)
			continue;
		int64_t left =
			place_node_capacity(n, r->resource) - place_node_taken(n, r->resource);
		if ((r->amount > left || (r->shared && !place_devices_fit(p, n, r))) &&
			!against(l, f, PLACE_C_RESOURCE, i, p->resources.items[r->resource]))
			return false;
	}
	return true;
}

/* Pods of the i-th spread's selector in the domain, this one too, are not too many. */
static bool spread_fits(const struct look *l, uint32_t i, uint32_t domain)
{
	const struct shape_spread *t = &l->shape->spreads.items[i];
	const struct spread_view *v = &l->spreads[i];
	return domain != PLACE_NONE &&
	       (int64_t)place_spread_count(v, domain) + t->matches_self - v->least <= t->max_skew;
}

static bool spread_passes(const struct look *l, uint32_t node, struct failures *f)
{
	const struct shape *s = l->shape;
	for (uint32_t i = 0; i < s->spreads.count; i++) {
		const struct shape_spread *t = &s->spreads.items[i];
		const struct counter *c = &l->p->counters.items[t->counter];
		if (!t->required)
			continue;
		bool fits = spread_fits(l, i, place_counter_domain(l->p, c, node));
		if (!fits && !against(l, f, PLACE_C_SPREAD, i, c->text))
			return false;
	}
	return true;
}

/* The i-th term, a required one. */
static bool term_fits(const struct look *l, uint32_t i, uint32_t domain)
{
	const struct shape_term *t = &l->shape->terms.items[i];
	const struct counter *c = &l->p->counters.items[t->counter];
	bool some = domain != PLACE_NONE && place_counter_at(c, domain).matching > 0;
	if (t->anti)
		return !some;
	return some || (domain != PLACE_NONE && l->first_of_its_kind);
}

/* Nobody there wants to be without pods of this kind. */
static bool is_welcome(const struct counter *c, uint32_t domain)
{
	return domain == PLACE_NONE || place_counter_at(c, domain).holders == 0;
}

static bool neighbours_pass(const struct look *l, uint32_t node, struct failures *f)
{
	const struct shape *s = l->shape;
	for (uint32_t i = 0; i < s->matches.count; i++) {
		uint32_t counter = s->matches.items[i];
		const struct counter *c = &l->p->counters.items[counter];
		if (c->holders == 0)
			continue;
		if (!is_welcome(c, place_counter_domain(l->p, c, node)) &&
			!against(l, f, PLACE_C_EXISTING_ANTI_AFFINITY, counter, c->text))
			return false;
	}
	for (uint32_t i = 0; i < s->terms.count; i++) {
		const struct shape_term *t = &s->terms.items[i];
		if (!t->required)
			continue;
		const struct counter *c = &l->p->counters.items[t->counter];
		bool fits = term_fits(l, i, place_counter_domain(l->p, c, node));
		enum place_constraint constraint =
			t->anti ? PLACE_C_POD_ANTI_AFFINITY : PLACE_C_POD_AFFINITY;
		if (!fits && !against(l, f, constraint, i, c->text))
			return false;
	}
	return true;
}

bool place_look_fits(const struct look *l, uint32_t node, struct failures *ret_failures)
{
	const struct node *n = &l->p->nodes.items[node];
	struct failures *f = ret_failures;
	if (!n->used)
		return false;
	if (!f && !l->relaxed &&
		!(place_bits_get(&l->profile->affine, node) &&
			place_bits_get(&l->profile->tolerated, node) &&
			place_bits_get(&l->profile->able, node)))
		return false;
	size_t before = f ? f->items.count : 0;
	if (l->node != PLACE_NONE && l->node != node && !against(l, f, PLACE_C_NODE_NAME, 0, 0))
		return false;
	if ((f || l->relaxed) &&
		!(taints_pass(l, n, f) && affinity_passes(l, n, f) && abilities_pass(l, n, f)))
		return false;
	return resources_pass(l, n, f) && spread_passes(l, node, f) &&
	       neighbours_pass(l, node, f) && (!f || f->items.count == before);
}

bool place_look_bars(const struct look *l, const struct site_bars *bars, uint32_t node,
	struct failures *f)
{
	uint32_t place = l->p->nodes.items[node].site + 1; /* PLACE_NONE + 1 is 0 */
	size_t before = f->items.count;
	for (size_t i = 0; bars && i < bars->items.count; i++) {
		const struct site_bar *bar = &bars->items.items[i];
		if (bar->place == place)
			(void)against(l, f, bar->constraint, bar->index, bar->text);
	}
	return f->items.count == before;
}

/* ---- what speaks against a group ---- */

static uint32_t domain_of(const struct look *l, const struct node_group *g, uint32_t counter)
{
	return place_group_domain(l->profile, g, l->p->counters.items[counter].topology);
}

bool place_look_group_fits(const struct look *l, const struct node_group *g)
{
	const struct shape *s = l->shape;
	for (uint32_t i = 0; i < s->spreads.count; i++) {
		const struct shape_spread *t = &s->spreads.items[i];
		uint32_t domain = domain_of(l, g, t->counter);
		if (t->required && domain != PLACE_NONE && !spread_fits(l, i, domain))
			return false;
	}
	for (uint32_t i = 0; i < s->terms.count; i++) {
		const struct shape_term *t = &s->terms.items[i];
		uint32_t domain = domain_of(l, g, t->counter);
		if (t->required && domain != PLACE_NONE && !term_fits(l, i, domain))
			return false;
	}
	VEC_EACH (&s->matches, uint32_t, m) {
		const struct counter *c = &l->p->counters.items[*m];
		if (c->holders > 0 && !is_welcome(c, domain_of(l, g, *m)))
			return false;
	}
	return true;
}
