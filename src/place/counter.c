#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "place/tables.h"

/* ---- topologies ---- */

static uint32_t domain_of(struct place *p, struct topology *t, const struct node *n)
{
	uint32_t value = place_pair_value(n->labels.items, n->labels.count, t->key);
	if (value == PLACE_NONE)
		return PLACE_NONE;
	const char *text = place_text(p, value);
	uint32_t domain = place_find_index(&t->domains, text);
	if (domain == PLACE_NONE) {
		domain = (uint32_t)t->domain_values.count;
		vec_push(&t->domain_values, value);
		place_keep_index(&t->domains, text, domain);
	}
	return domain;
}

static void set_domain(struct place *p, struct topology *t, uint32_t node)
{
	while (t->of_node.count <= node)
		vec_push(&t->of_node, PLACE_NONE);
	const struct node *n = &p->nodes.items[node];
	t->of_node.items[node] = n->used ? domain_of(p, t, n) : PLACE_NONE;
}

void place_topology_node_changed(struct place *p, uint32_t node)
{
	VEC_EACH (&p->topologies, struct topology, t)
		set_domain(p, t, node);
}

static uint32_t topology_get(struct place *p, uint32_t key)
{
	for (uint32_t i = 0; i < p->topologies.count; i++)
		if (p->topologies.items[i].key == key)
			return i;
	struct topology *t = vec_add(&p->topologies);
	t->key = key;
	for (uint32_t i = 0; i < p->nodes.count; i++)
		set_domain(p, t, i);
	return (uint32_t)(p->topologies.count - 1);
}

/* ---- counting ---- */

uint32_t place_counter_domain(const struct place *p, const struct counter *c, uint32_t node)
{
	const struct topology *t = &p->topologies.items[c->topology];
	return node < t->of_node.count ? t->of_node.items[node] : PLACE_NONE;
}

struct domain_count place_counter_at(const struct counter *c, uint32_t domain)
{
	return domain < c->domains.count ? c->domains.items[domain] : (struct domain_count){0};
}

static struct domain_count *count_at(struct counter *c, uint32_t domain)
{
	while (c->domains.count <= domain)
		(void)vec_add(&c->domains);
	return &c->domains.items[domain];
}

static void count_matching(struct place *p, struct counter *c, uint32_t node, int64_t count)
{
	uint32_t domain = place_counter_domain(p, c, node);
	if (domain == PLACE_NONE)
		return;
	struct domain_count *d = count_at(c, domain);
	d->matching = (uint32_t)((int64_t)d->matching + count);
	c->matching = (uint64_t)((int64_t)c->matching + count);
}

/* What a pod that is there means for those to come: a required anti-affinity keeps them out, a wish
 * draws or repels; a required affinity draws a little, as in Kubernetes (hardPodAffinityWeight 1).
 */
static void count_holder(struct place *p, const struct shape_term *t, uint32_t node, int64_t count)
{
	struct counter *c = &p->counters.items[t->counter];
	uint32_t domain = place_counter_domain(p, c, node);
	if (domain == PLACE_NONE)
		return;
	struct domain_count *d = count_at(c, domain);
	if (t->required && t->anti) {
		d->holders = (uint32_t)((int64_t)d->holders + count);
		c->holders = (uint64_t)((int64_t)c->holders + count);
		return;
	}
	int64_t weight = t->required ? 1 : t->weight;
	d->pull += count * (t->anti ? -weight : weight);
	c->pulls = (uint64_t)((int64_t)c->pulls + count);
}

void place_counter_add_pods(struct place *p, uint32_t shape, uint32_t node, int64_t count)
{
	const struct shape *s = &p->shapes.items[shape];
	VEC_EACH (&s->matches, uint32_t, m) {
		struct counter *c = &p->counters.items[*m];
		count_matching(p, c, node, count);
		VEC_EACH (&c->tallies, uint32_t, t)
			place_tally_add_pods(p, &p->tallies.items[*t], node, count);
	}
	VEC_EACH (&s->terms, struct shape_term, t)
		count_holder(p, t, node, count);
}

/* ---- counters ---- */

bool place_counter_matches(const struct place *p, const struct counter *c, const struct shape *s)
{
	bool here = c->all_namespaces;
	VEC_EACH (&c->namespaces, uint32_t, n)
		here = here || *n == s->namespace;
	return here && !c->nobody &&
	       place_conjunction_matches(p, &c->selector, s->labels.items, s->labels.count, 0);
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static int compile(struct place *p, const struct counter_want *want, const char *what,
	struct counter *c, struct err *e)
{
	if (want->namespace_count > PLACE_ITEMS_MAX)
		return err_set(e, ERR_TOO_LARGE, "%s: %u namespaces, at most %u are allowed", what,
			want->namespace_count, PLACE_ITEMS_MAX);
	if (!want->topology_key || !*want->topology_key)
		return err_set(e, ERR_INVALID, "%s: the topology key is missing", what);
	int rc = place_conjunction_compile(p, want->selector, false, what, &c->selector, e);
	if (rc != 0)
		return rc;
	c->nobody = want->nobody;
	c->all_namespaces = want->all_namespaces;
	for (uint32_t i = 0; i < want->namespace_count; i++)
		vec_push(&c->namespaces, place_intern(p, want->namespaces[i]));
	if (c->namespaces.count)
		qsort(c->namespaces.items, c->namespaces.count, sizeof(uint32_t), compare_ids);
	return 0;
}

/* Ids instead of text, so that nothing in a name can look like something else. */
static char *canonical(const struct counter *c, uint32_t topology_key)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT;
	buf_printf(&b, "%u %d %d", topology_key, c->nobody, c->all_namespaces);
	VEC_EACH (&c->namespaces, uint32_t, n)
		buf_printf(&b, " %u", *n);
	for (uint32_t i = 0; i < c->selector.count; i++) {
		const struct requirement *r = &c->selector.items[i];
		buf_printf(&b, ";%u %d", r->key, (int)r->operator);
		for (uint32_t k = 0; k < r->value_count; k++)
			buf_printf(&b, ",%u", r->values[k]);
	}
	return buf_take(&b, NULL);
}

static void counter_done(struct counter *c)
{
	place_conjunction_done(&c->selector);
	vec_done(&c->namespaces);
	vec_done(&c->domains);
	vec_done(&c->tallies);
	free(c->key);
	*c = (struct counter){0};
}

static void count_what_runs(struct place *p, uint32_t counter)
{
	struct counter *c = &p->counters.items[counter];
	for (uint32_t i = 0; i < p->shapes.count; i++) {
		struct shape *s = &p->shapes.items[i];
		if (s->used && place_counter_matches(p, c, s))
			vec_push(&s->matches, counter);
		else
			continue;
		for (uint32_t n = 0; n < s->here.size; n++)
			if (s->here.slots[n].count)
				count_matching(p, c, s->here.slots[n].node, s->here.slots[n].count);
	}
}

static uint32_t add(struct place *p, struct counter *c, const char *topology_key)
{
	CLEANUP(buf_done)
	struct buf text = BUF_INIT;
	buf_printf(&text, "%s: ", topology_key);
	place_conjunction_write(p, &c->selector, &text);
	c->text = place_intern(p, buf_text(&text));
	c->topology = topology_get(p, place_intern(p, topology_key));
	c->used = true;
	uint32_t index = p->free_counter;
	if (index == PLACE_NONE) {
		index = (uint32_t)p->counters.count;
		(void)vec_add(&p->counters);
	} else {
		p->free_counter = p->counters.items[index].next_free;
	}
	p->counters.items[index] = *c;
	place_keep_index(&p->counter_ids, c->key, index);
	*c = (struct counter){0};
	count_what_runs(p, index);
	return index;
}

int place_counter_get(struct place *p, const struct counter_want *want, const char *what,
	uint32_t *ret_counter, struct err *e)
{
	CLEANUP(counter_done)
	struct counter c = {0};
	int rc = compile(p, want, what, &c, e);
	if (rc != 0)
		return rc;
	c.key = canonical(&c, place_intern(p, want->topology_key));
	uint32_t index = place_find_index(&p->counter_ids, c.key);
	if (index == PLACE_NONE)
		index = add(p, &c, want->topology_key);
	p->counters.items[index].references++;
	*ret_counter = index;
	return 0;
}

void place_counter_release(struct place *p, uint32_t counter)
{
	struct counter *c = &p->counters.items[counter];
	if (--c->references > 0)
		return;
	VEC_EACH (&p->shapes, struct shape, s) {
		for (size_t i = s->matches.count; i-- > 0;)
			if (s->matches.items[i] == counter)
				vec_remove(&s->matches, i);
	}
	map_remove(&p->counter_ids, c->key);
	counter_done(c);
	c->next_free = p->free_counter;
	p->free_counter = counter;
}
