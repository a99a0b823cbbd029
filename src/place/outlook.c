/* What usually comes, learned or told, and what a decision costs it: the term fragmentation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/tables.h"

/* Usual are the most frequent shapes that cover this part of the pods. Rare ones matter: those of
 * several devices are. */
#define COVER 0.99
#define LOOK_AGAIN 2 /* times as many pods, or half of them */
#define CLASSES_MAX 64u
#define STEP ((int64_t)10 << WORTH_SHIFT) /* what differs by less costs the same */

/* A usual shape before shares are known; kind is its profile. */
struct entry {
	uint32_t slot;
	struct usual usual;
};
struct entries {
	VEC(struct entry) items;
};

/* ---- counting ---- */

static void add_shape(const struct place *p, uint32_t shape, double count, struct entries *all)
{
	const struct shape *s = &p->shapes.items[shape];
	int64_t cpu = 0;
	VEC_EACH (&s->requests, struct want_amount, r)
		cpu += r->resource == PLACE_CPU ? r->amount : 0;
	VEC_EACH (&s->requests, struct want_amount, r) {
		if (!r->shared || r->amount == 0)
			continue;
		bool whole = r->amount >= PLACE_DEVICE;
		struct usual u = {cpu, whole ? (int32_t)(r->amount / PLACE_DEVICE) : 1,
			whole ? PLACE_DEVICE : (int32_t)r->amount, s->profile, count};
		if (u.devices <= (int32_t)PLACE_DEVICES_MAX)
			vec_push(&all->items, (struct entry){r->shared - 1, u});
	}
}

static uint64_t count_wants(const struct place *p, const struct place_problem *problem)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < problem->want_count; i++)
		if (p->shapes.items[problem->wants[i].shape].shares)
			count += problem->wants[i].count;
	return count;
}

/* What runs, and what waits when there is a problem. */
static void count_all(const struct place *p, const struct place_problem *problem,
	struct entries *all)
{
	double *counts = mem_alloc_array(p->shapes.count, sizeof(*counts));
	VEC_EACH (&p->pods, struct pod, x) {
		if (x->shape != PLACE_NONE && x->held != PLACE_NONE)
			counts[x->shape]++;
	}
	for (uint32_t i = 0; problem && i < problem->want_count; i++)
		counts[problem->wants[i].shape] += problem->wants[i].count;
	for (uint32_t i = 0; i < p->shapes.count; i++)
		if (counts[i] > 0)
			add_shape(p, i, counts[i], all);
	free(counts);
}

static int compare_values(double a, double b)
{
	return (a > b) - (a < b);
}

/* Those alike come together. */
static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	if (a->slot != b->slot)
		return a->slot < b->slot ? -1 : 1;
	if (a->usual.cpu != b->usual.cpu)
		return a->usual.cpu > b->usual.cpu ? -1 : 1;
	if (a->usual.devices != b->usual.devices)
		return a->usual.devices > b->usual.devices ? -1 : 1;
	if (a->usual.milli != b->usual.milli)
		return a->usual.milli > b->usual.milli ? -1 : 1;
	return (a->usual.kind > b->usual.kind) - (a->usual.kind < b->usual.kind);
}

/* Of one resource the most frequent first; of equals as above. */
static int compare_shares(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	int order = a->slot == b->slot ? compare_values(b->usual.share, a->usual.share) : 0;
	return order ? order : compare_entries(left, right);
}

static void merge(struct entries *all)
{
	size_t kept = 0;
	if (!all->items.count)
		return;
	qsort(all->items.items, all->items.count, sizeof(struct entry), compare_entries);
	for (size_t i = 1; i < all->items.count; i++) {
		struct entry *last = &all->items.items[kept], *next = &all->items.items[i];
		if (compare_entries(last, next) == 0)
			last->usual.share += next->usual.share;
		else
			all->items.items[++kept] = *next;
	}
	all->items.count = kept + 1;
	qsort(all->items.items, all->items.count, sizeof(struct entry), compare_shares);
}

/* The most frequent of one resource, with shares that add up to 1. */
static void keep_usual(struct outlook *o, const struct entries *all, uint32_t slot)
{
	double sum = 0, covered = 0;
	o->usuals[slot].count = 0;
	VEC_EACH (&all->items, struct entry, x)
		sum += x->slot == slot ? x->usual.share : 0;
	VEC_EACH (&all->items, struct entry, x) {
		if (x->slot != slot || covered >= COVER * sum ||
			o->usuals[slot].count == WORTH_USUAL_MAX)
			continue;
		vec_push(&o->usuals[slot], x->usual);
		covered += x->usual.share;
	}
	VEC_EACH (&o->usuals[slot], struct usual, u)
		u->share /= covered;
}

/* ---- kinds: which nodes will do ---- */

static void drop_kinds(struct place *p)
{
	struct outlook *o = &p->outlook;
	while (o->kinds.count)
		place_profile_release(p, o->kinds.items[--o->kinds.count]);
}

/* Turns profiles into kinds. What is beyond the bound counts as if all nodes would do. */
static void number_kinds(struct place *p, struct usual *u)
{
	struct outlook *o = &p->outlook;
	uint32_t profile = u->kind;
	for (uint32_t i = 0; i < o->kinds.count; i++) {
		u->kind = i;
		if (o->kinds.items[i] == profile)
			return;
	}
	u->kind = PLACE_NONE;
	if (o->kinds.count == WORTH_KINDS_MAX)
		return;
	u->kind = (uint32_t)o->kinds.count;
	p->profiles.items[profile].references++;
	vec_push(&o->kinds, profile);
}

static void learn(struct place *p, const struct entries *all)
{
	struct outlook *o = &p->outlook;
	for (uint32_t slot = 0; slot < p->shared_count; slot++)
		keep_usual(o, all, slot);
	VEC(uint32_t) old = {0};
	VEC_EACH (&o->kinds, uint32_t, k)
		vec_push(&old, *k);
	o->kinds.count = 0;
	for (uint32_t slot = 0; slot < p->shared_count; slot++) {
		VEC_EACH (&o->usuals[slot], struct usual, u)
			number_kinds(p, u);
		place_worth_learn(&o->of[slot], o->usuals[slot].items, o->usuals[slot].count);
	}
	VEC_EACH (&old, uint32_t, k)
		place_profile_release(p, *k);
	vec_done(&old);
	o->ready = true;
	o->fleet_changed = true;
}

/* ---- the fleet ---- */

static uint64_t kinds_met(const struct place *p, uint32_t node)
{
	uint64_t met = 0;
	for (uint32_t i = 0; i < p->outlook.kinds.count; i++) {
		const struct profile *x = &p->profiles.items[p->outlook.kinds.items[i]];
		if (place_bits_get(&x->affine, node) && place_bits_get(&x->tolerated, node) &&
			place_bits_get(&x->able, node))
			met |= (uint64_t)1 << i;
	}
	return met;
}

static uint32_t class_of(struct outlook *o, uint32_t shared_count, uint64_t met)
{
	for (uint32_t i = 0; i < o->classes[0].count; i++)
		if (o->classes[0].items[i].able == met)
			return i;
	if (o->classes[0].count == CLASSES_MAX)
		return 0;
	for (uint32_t slot = 0; slot < shared_count; slot++)
		vec_push(&o->classes[slot], (struct worth_class){.able = met});
	return (uint32_t)o->classes[0].count - 1;
}

/* Sorts nodes into classes, and counts what these have. Class 0 is of nodes that meet no demand:
 * they count for no supply. */
static void classify(struct place *p)
{
	struct outlook *o = &p->outlook;
	for (uint32_t slot = 0; slot < p->shared_count; slot++)
		o->classes[slot].count = 0;
	(void)class_of(o, p->shared_count, 0);
	for (uint32_t i = 0; i < p->nodes.count; i++) {
		struct node_devices *d = place_devices_of(p, &p->nodes.items[i]);
		if (!d)
			continue;
		uint64_t met = kinds_met(p, i);
		d->class = class_of(o, p->shared_count, met);
		for (uint32_t slot = 0; met && slot < p->shared_count; slot++)
			o->classes[slot].items[d->class].devices += d->of[slot].count;
	}
}

static void survey(struct place *p)
{
	struct outlook *o = &p->outlook;
	classify(p);
	for (uint32_t slot = 0; slot < p->shared_count; slot++)
		place_worth_survey(&o->of[slot], o->usuals[slot].items, o->usuals[slot].count,
			o->classes[slot].items, o->classes[slot].count);
	place_devices_weigh_all(p);
	o->fleet_changed = false;
	o->version++;
}

void place_outlook_node_changed(struct place *p, uint32_t node)
{
	struct outlook *o = &p->outlook;
	const struct node_devices *d = place_devices_of(p, &p->nodes.items[node]);
	if (d && !o->fleet_changed)
		o->fleet_changed =
			!o->ready || o->classes[0].items[d->class].able != kinds_met(p, node);
	place_kept_node_changed(p, node);
}

/* ---- when to look ---- */

static bool is_time(const struct outlook *o, uint64_t pods)
{
	if (o->told.count || pods == 0)
		return o->told_changed;
	return !o->ready || o->told_changed || pods >= LOOK_AGAIN * o->learned_pods ||
	       pods * LOOK_AGAIN <= o->learned_pods ||
	       o->came >= o->learned_came + (LOOK_AGAIN - 1) * o->learned_pods;
}

/* problem: its wants count too; null. */
static void look(struct place *p, const struct place_problem *problem)
{
	struct outlook *o = &p->outlook;
	struct entries all = {0};
	VEC_EACH (&o->told, struct told, t)
		add_shape(p, t->shape, t->weight, &all);
	if (!o->told.count)
		count_all(p, problem, &all);
	merge(&all);
	learn(p, &all);
	vec_done(&all.items);
	o->told_changed = false;
	o->learned_came = o->came;
	o->learned_pods = p->held_count;
}

struct outlook *place_outlook_prepare(struct place *p, const struct place_problem *problem)
{
	struct outlook *o = &p->outlook, *aside = NULL;
	if (!p->device_nodes)
		return NULL;
	uint64_t waiting = o->told.count ? 0 : count_wants(p, problem);
	if (waiting > 0 && waiting >= p->held_count) {
		aside = mem_new(struct outlook);
		*aside = *o;
		*o = (struct outlook){.came = aside->came, .version = aside->version};
		look(p, problem);
	} else if (is_time(o, p->held_count)) {
		look(p, NULL);
	}
	if (o->ready && o->fleet_changed)
		survey(p);
	return aside;
}

void place_outlook_restore(struct place *p, struct outlook *aside)
{
	struct outlook *o = &p->outlook;
	if (!aside)
		return;
	aside->came = o->came;
	aside->version = o->version + 1;
	place_outlook_done(p);
	*o = *aside;
	free(aside);
	if (o->ready)
		survey(p);
	else
		place_devices_weigh_all(p);
}

int place_outlook_set(struct place *p, const struct place_usual *usuals, uint32_t count,
	struct err *e)
{
	struct outlook *o = &p->outlook;
	for (uint32_t i = 0; i < count; i++) {
		const struct place_usual *u = &usuals[i];
		if (u->shape >= p->shapes.count || !p->shapes.items[u->shape].used)
			return err_set(e, ERR_INVALID, "usual shape %u is not in the tables", i);
		if (!isfinite(u->weight) || u->weight < 0)
			return err_set(e, ERR_INVALID,
				"weight of usual shape %u is no number from 0", i);
	}
	for (uint32_t i = 0; i < count; i++)
		p->shapes.items[usuals[i].shape].references++;
	while (o->told.count)
		place_shape_release(p, o->told.items[--o->told.count].shape);
	for (uint32_t i = 0; i < count; i++)
		vec_push(&o->told, (struct told){usuals[i].shape, usuals[i].weight});
	o->told_changed = true;
	return 0;
}

void place_outlook_done(struct place *p)
{
	struct outlook *o = &p->outlook;
	drop_kinds(p);
	for (uint32_t slot = 0; slot < PLACE_SHARED_MAX; slot++) {
		place_worth_done(&o->of[slot]);
		vec_done(&o->usuals[slot]);
		vec_done(&o->classes[slot]);
	}
	vec_done(&o->kinds);
	vec_done(&o->told);
}

/* ---- the term ---- */

static int64_t divide_down(int64_t a, int64_t b)
{
	return a >= 0 ? a / b : -((-a + b - 1) / b);
}

int64_t place_fragmentation(const struct place *p, const struct shape *s, uint32_t node)
{
	const struct node *n = &p->nodes.items[node];
	const struct node_devices *d = place_devices_of(p, n);
	if (!d || !p->outlook.ready)
		return 0;
	int64_t amount[PLACE_SHARED_MAX] = {0}, cpu_left = place_node_cpu_left(n), most = 1;
	VEC_EACH (&s->requests, struct want_amount, r) {
		if (r->resource == PLACE_CPU)
			cpu_left -= r->amount;
		if (!r->shared)
			continue;
		amount[r->shared - 1] = r->amount;
		most = r->amount / PLACE_DEVICE > most ? r->amount / PLACE_DEVICE : most;
	}
	int64_t lost = 0, worth;
	for (uint32_t slot = 0; slot < p->shared_count; slot++) {
		const struct device_set *set = &d->of[slot];
		if (!set->count)
			continue;
		if (amount[slot])
			(void)place_devices_choose(p, d, slot, amount[slot], cpu_left, &worth);
		else
			worth = place_worth_of(&p->outlook.of[slot], d->class, cpu_left, set->fill,
				set->left, set->whole);
		lost += set->worth - worth;
	}
	return divide_down(lost + STEP / 2, STEP) * (RANK_UNIT / 100) / most;
}
