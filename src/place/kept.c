/* What pods cost at least on each node, kept for those that ask for the same of a node: with shared
 * devices the cost follows no order that a ranking could have, so that all nodes are looked at, but
 * only those anew that have changed. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/tables.h"

#define ENTRIES_MOST ((size_t)4 << 20) /* in all tables together: 32 MiB */
#define TABLES_LEAST 8u
#define TABLES_MOST 512u

/* ---- changes ---- */

static uint64_t now(const struct kept_table *t)
{
	return t->changes_before + t->changes.count;
}

void place_kept_node_changed(struct place *p, uint32_t node)
{
	struct kept_table *t = &p->kept;
	if (!t->items.count)
		return;
	if (t->changes.count > 1024 + p->nodes.count) {
		t->changes_before += t->changes.count;
		t->changes.count = 0;
	}
	while (t->changed_at.count < p->nodes.count)
		(void)vec_add(&t->changed_at);
	vec_push(&t->changes, node);
	t->changed_at.items[node] = now(t);
}

/* ---- one table ---- */

static int64_t least_on(const struct place *p, const struct kept *k, const struct shape *s,
	uint32_t node)
{
	const struct profile *x = &p->profiles.items[k->profile];
	const struct node *n = &p->nodes.items[node];
	if (!n->used || !place_bits_get(&x->affine, node) || !place_bits_get(&x->tolerated, node) ||
		!place_bits_get(&x->able, node))
		return RANK_NEVER;
	VEC_EACH (&k->requests, struct want_amount, r) {
		if (r->amount == 0)
			continue;
		if (r->amount > place_node_capacity(n, r->resource) -
					place_node_taken(n, r->resource) ||
			(r->shared && !place_devices_fit(p, n, r)))
			return RANK_NEVER;
	}
	return place_weigh(k->weights[0], place_balance(s, n)) +
	       place_weigh(k->weights[1], place_fragmentation(p, s, node));
}

static void refresh_all(const struct place *p, struct kept *k, const struct shape *s,
	uint64_t changed_after)
{
	const struct kept_table *t = &p->kept;
	for (uint32_t i = 0; i < p->nodes.count; i++)
		if (!changed_after ||
			(i < t->changed_at.count && t->changed_at.items[i] > changed_after))
			k->least[i] = least_on(p, k, s, i);
}

static void refresh(const struct place *p, struct kept *k, const struct shape *s,
	const int64_t *weights)
{
	const struct kept_table *t = &p->kept;
	if (k->node_count != p->nodes.count) {
		free(k->least);
		k->node_count = (uint32_t)p->nodes.count;
		k->least = mem_alloc_array(k->node_count, sizeof(*k->least));
		k->version = p->outlook.version - 1;
	}
	if (k->version != p->outlook.version || k->weights[0] != weights[PLACE_TERM_BALANCE] ||
		k->weights[1] != weights[PLACE_TERM_FRAGMENTATION]) {
		k->version = p->outlook.version;
		k->weights[0] = weights[PLACE_TERM_BALANCE];
		k->weights[1] = weights[PLACE_TERM_FRAGMENTATION];
		refresh_all(p, k, s, 0);
	} else if (k->seen < t->changes_before) {
		refresh_all(p, k, s, k->seen);
	} else {
		for (uint64_t i = k->seen; i < now(t); i++) {
			uint32_t node = t->changes.items[i - t->changes_before];
			if (t->changed_at.items[node] == i + 1) /* not once more later */
				k->least[node] = least_on(p, k, s, node);
		}
	}
	k->seen = now(t);
}

/* ---- all of them ---- */

static void kept_done(struct kept *k)
{
	vec_done(&k->requests);
	free(k->least);
	*k = (struct kept){0};
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static uint64_t hash_of(const struct shape *s)
{
	uint64_t hash = mix(s->profile + 1u, (uint64_t)s->score_cpu);
	hash = mix(hash, (uint64_t)s->score_memory);
	VEC_EACH (&s->requests, struct want_amount, r)
		hash = mix(mix(hash, r->resource), (uint64_t)r->amount);
	return hash;
}

static bool is_for(const struct kept *k, const struct shape *s, uint64_t hash)
{
	if (!k->used || k->hash != hash || k->profile != s->profile ||
		k->score_cpu != s->score_cpu || k->score_memory != s->score_memory ||
		k->requests.count != s->requests.count)
		return false;
	for (size_t i = 0; i < s->requests.count; i++)
		if (k->requests.items[i].resource != s->requests.items[i].resource ||
			k->requests.items[i].amount != s->requests.items[i].amount)
			return false;
	return true;
}

static size_t tables_most(const struct place *p)
{
	size_t most = ENTRIES_MOST / (p->nodes.count + 1);
	return most < TABLES_LEAST ? TABLES_LEAST : most > TABLES_MOST ? TABLES_MOST : most;
}

/* A free one, or that which was not used for longest. */
static struct kept *take_over(struct place *p, const struct shape *s, uint64_t hash)
{
	struct kept_table *t = &p->kept;
	struct kept *oldest = NULL;
	VEC_EACH (&t->items, struct kept, k) {
		if (!oldest || k->last_used < oldest->last_used)
			oldest = k;
	}
	if (!oldest || (oldest->used && t->items.count < tables_most(p)))
		oldest = vec_add(&t->items);
	kept_done(oldest);
	oldest->used = true;
	oldest->hash = hash;
	oldest->profile = s->profile;
	oldest->score_cpu = s->score_cpu;
	oldest->score_memory = s->score_memory;
	VEC_EACH (&s->requests, struct want_amount, r)
		vec_push(&oldest->requests, *r);
	return oldest;
}

const int64_t *place_kept_least(struct place *p, uint32_t shape, const int64_t *weights)
{
	const struct shape *s = &p->shapes.items[shape];
	uint64_t hash = hash_of(s);
	struct kept *found = NULL;
	VEC_EACH (&p->kept.items, struct kept, k) {
		if (is_for(k, s, hash)) {
			found = k;
			break;
		}
	}
	if (!found)
		found = take_over(p, s, hash);
	found->last_used = ++p->kept.uses;
	refresh(p, found, s, weights);
	return found->least;
}

void place_kept_forget_profile(struct place *p, uint32_t profile)
{
	VEC_EACH (&p->kept.items, struct kept, k) {
		if (k->used && k->profile == profile)
			kept_done(k);
	}
}

void place_kept_done(struct place *p)
{
	VEC_EACH (&p->kept.items, struct kept, k)
		kept_done(k);
	vec_done(&p->kept.items);
	vec_done(&p->kept.changed_at);
	vec_done(&p->kept.changes);
}
