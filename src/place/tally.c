/* How the pods that a topology spread counts lie over its domains, kept as pods come and go. */
#include "place/tables.h"

static bool counts_node(const struct place *p, const struct tally *t, uint32_t node)
{
	const struct profile *x = &p->profiles.items[t->profile];
	return p->nodes.items[node].used &&
	       (t->ignore_affinity || place_bits_get(&x->affine, node)) &&
	       (!t->honor_taints || place_bits_get(&x->tolerated, node));
}

static uint32_t *domains_with(struct tally *t, uint32_t pods)
{
	while (t->by_pods.count <= pods)
		(void)vec_add(&t->by_pods);
	return &t->by_pods.items[pods];
}

static void change(struct tally *t, uint32_t domain, int64_t nodes, int64_t pods)
{
	while (t->domains.count <= domain)
		(void)vec_add(&t->domains);
	struct tally_domain *d = &t->domains.items[domain];
	if (d->nodes > 0) {
		--*domains_with(t, d->pods);
		t->domain_count--;
	}
	d->nodes = (uint32_t)((int64_t)d->nodes + nodes);
	d->pods = (uint32_t)((int64_t)d->pods + pods);
	if (d->nodes == 0)
		return;
	++*domains_with(t, d->pods);
	t->domain_count++;
	t->least = d->pods < t->least ? d->pods : t->least;
	t->most = d->pods > t->most ? d->pods : t->most;
}

void place_tally_bounds(struct tally *t, uint32_t *ret_least, uint32_t *ret_most)
{
	*ret_least = *ret_most = 0;
	if (t->domain_count == 0)
		return;
	while (t->by_pods.items[t->least] == 0)
		t->least++;
	while (t->by_pods.items[t->most] == 0)
		t->most--;
	*ret_least = t->least;
	*ret_most = t->most;
}

void place_tally_add_pods(struct place *p, struct tally *t, uint32_t node, int64_t count)
{
	uint32_t domain = place_counter_domain(p, &p->counters.items[t->counter], node);
	if (domain != PLACE_NONE && counts_node(p, t, node))
		change(t, domain, 0, count);
}

void place_tallies_add_node(struct place *p, uint32_t node, int sign)
{
	VEC_EACH (&p->tallies, struct tally, t) {
		if (!t->references)
			continue;
		uint32_t domain = place_counter_domain(p, &p->counters.items[t->counter], node);
		if (domain != PLACE_NONE && counts_node(p, t, node))
			change(t, domain, sign, 0);
	}
}

static void count_what_is(struct place *p, uint32_t tally)
{
	struct tally *t = &p->tallies.items[tally];
	for (uint32_t i = 0; i < p->nodes.count; i++) {
		const struct node *n = &p->nodes.items[i];
		uint32_t domain = place_counter_domain(p, &p->counters.items[t->counter], i);
		if (domain == PLACE_NONE || !counts_node(p, t, i))
			continue;
		change(t, domain, 1, place_node_matching(p, t->counter, n));
	}
}

uint32_t place_tally_get(struct place *p, const struct tally *want)
{
	uint32_t index = PLACE_NONE;
	for (uint32_t i = 0; i < p->tallies.count; i++) {
		struct tally *t = &p->tallies.items[i];
		if (!t->references) {
			index = i;
			continue;
		}
		if (t->counter != want->counter || t->profile != want->profile ||
			t->ignore_affinity != want->ignore_affinity ||
			t->honor_taints != want->honor_taints)
			continue;
		t->references++;
		return i;
	}
	if (index == PLACE_NONE) {
		index = (uint32_t)p->tallies.count;
		(void)vec_add(&p->tallies);
	}
	p->tallies.items[index] = (struct tally){.references = 1,
		.counter = want->counter,
		.profile = want->profile,
		.ignore_affinity = want->ignore_affinity,
		.honor_taints = want->honor_taints};
	vec_push(&p->counters.items[want->counter].tallies, index);
	count_what_is(p, index);
	return index;
}

static void tally_done(struct tally *t)
{
	vec_done(&t->domains);
	vec_done(&t->by_pods);
	*t = (struct tally){0};
}

void place_tally_release(struct place *p, uint32_t tally)
{
	struct tally *t = &p->tallies.items[tally];
	if (--t->references > 0)
		return;
	struct counter *c = &p->counters.items[t->counter];
	for (size_t i = c->tallies.count; i-- > 0;)
		if (c->tallies.items[i] == tally)
			vec_remove(&c->tallies, i);
	tally_done(t);
}

void place_tallies_done(struct place *p)
{
	VEC_EACH (&p->tallies, struct tally, t)
		tally_done(t);
	vec_done(&p->tallies);
}
