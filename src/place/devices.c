/* Devices that are shared: which of them a pod can have, has and had better have. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "place/tables.h"

/* A free device is broken into when that saves this much at least (5 thousandths). */
#define BETTER ((int64_t)5 << WORTH_SHIFT)

enum { KIND_UNKNOWN, KIND_PLAIN, KIND_SHARED }; /* KIND_SHARED + slot */

/* ---- resources ---- */

static uint8_t *kind_of(struct place *p, uint32_t resource)
{
	while (p->resource_kinds.count <= resource)
		(void)vec_add(&p->resource_kinds);
	return &p->resource_kinds.items[resource];
}

int place_resource_is_shared(struct place *p, uint32_t resource, bool shared, const char *who,
	uint32_t *ret_shared, struct err *e)
{
	uint8_t *kind = kind_of(p, resource);
	const char *name = place_text(p, p->resources.items[resource]);
	if (shared && resource < PLACE_USUAL)
		return err_set(e, ERR_INVALID, "%s: %s is not a device that can be shared", who,
			name);
	if (*kind == KIND_UNKNOWN && shared && p->shared_count == PLACE_SHARED_MAX)
		return err_set(e, ERR_TOO_LARGE,
			"%s: more than %u shared resources, %s is too many", who, PLACE_SHARED_MAX,
			name);
	if (*kind == KIND_UNKNOWN)
		*kind = shared ? (uint8_t)(KIND_SHARED + p->shared_count++) : KIND_PLAIN;
	if (shared != (*kind >= KIND_SHARED))
		return err_set(e, ERR_INVALID, "%s: %s is %s elsewhere, and not here", who, name,
			shared ? "counted whole" : "shared");
	*ret_shared = shared ? *kind - KIND_SHARED + 1u : 0;
	return 0;
}

/* PLACE_NONE: the resource is not shared. */
static uint32_t slot_of(const struct place *p, uint32_t resource)
{
	uint8_t kind = resource < p->resource_kinds.count ? p->resource_kinds.items[resource]
							  : (uint8_t)KIND_UNKNOWN;
	return kind >= KIND_SHARED ? kind - (uint32_t)KIND_SHARED : PLACE_NONE;
}

static uint32_t slot_named(const struct place *p, const char *resource)
{
	uint32_t id = place_find_index(&p->string_ids, resource);
	for (uint32_t i = 0; i < p->resources.count; i++)
		if (p->resources.items[i] == id)
			return slot_of(p, i);
	return PLACE_NONE;
}

/* ---- the devices of a node ---- */

int place_devices_check(struct place *p, const struct place_node *from, struct err *e)
{
	const int64_t most = (int64_t)PLACE_DEVICES_MAX * PLACE_DEVICE;
	CLEANUP(mem_free_ptr)
	char *who = mem_format("node %s", from->name);
	for (uint32_t i = 0; i < from->capacity_count; i++) {
		const struct place_amount *a = &from->capacity[i];
		uint32_t shared, resource = place_resource(p, a->resource);
		if (resource == PLACE_NONE)
			continue;
		int rc = place_resource_is_shared(p, resource, a->shared, who, &shared, e);
		if (rc != 0)
			return rc;
		if (shared && (a->amount % PLACE_DEVICE || a->amount > most))
			return err_set(e, ERR_INVALID,
				"%s: capacity of %lld %s is not 0 to %u devices of %d each", who,
				(long long)a->amount, a->resource, PLACE_DEVICES_MAX, PLACE_DEVICE);
	}
	return 0;
}

static int32_t left_on(const struct device_set *s, uint32_t device)
{
	return PLACE_DEVICE - s->taken[device];
}

static void sum_up(struct device_set *s)
{
	s->whole = 0;
	s->most = s->left = 0;
	for (uint32_t i = 0; i < s->count; i++) {
		int32_t left = left_on(s, i);
		s->whole += left == PLACE_DEVICE;
		s->most = left > s->most ? left : s->most;
		s->left += left > 0 ? left : 0;
	}
}

static bool has_devices(const struct node_devices *d)
{
	for (uint32_t i = 0; i < PLACE_SHARED_MAX; i++)
		if (d->of[i].count)
			return true;
	return false;
}

static struct node_devices *devices_new(struct place *p, struct node *n)
{
	uint32_t index = p->free_devices;
	if (index == PLACE_NONE) {
		index = (uint32_t)p->devices.count;
		(void)vec_add(&p->devices);
	} else {
		p->free_devices = p->devices.items[index].next_free;
	}
	p->devices.items[index] = (struct node_devices){0};
	n->devices = index + 1;
	return &p->devices.items[index];
}

void place_devices_set_capacity(struct place *p, uint32_t node)
{
	struct node *n = &p->nodes.items[node];
	struct node_devices *d = place_devices_of(p, n);
	bool had = d && has_devices(d), changed = false;
	for (uint32_t i = 0; i < p->resources.count; i++) {
		uint32_t slot = slot_of(p, i);
		int64_t count = place_node_capacity(n, i) / PLACE_DEVICE;
		if (slot == PLACE_NONE || (!d && count == 0))
			continue;
		if (!d)
			d = devices_new(p, n);
		changed = changed || d->of[slot].count != (uint32_t)count;
		d->of[slot].count = (uint32_t)count;
		sum_up(&d->of[slot]);
	}
	if (!d)
		return;
	p->device_nodes += (uint32_t)has_devices(d) - (uint32_t)had;
	p->outlook.fleet_changed = p->outlook.fleet_changed || changed;
	place_devices_weigh(p, node);
}

void place_devices_drop(struct place *p, uint32_t node)
{
	struct node *n = &p->nodes.items[node];
	struct node_devices *d = place_devices_of(p, n);
	if (!d)
		return;
	p->device_nodes -= has_devices(d);
	p->outlook.fleet_changed = true;
	d->next_free = p->free_devices;
	p->free_devices = n->devices - 1;
	n->devices = 0;
}

void place_devices_done(struct place *p)
{
	vec_done(&p->devices);
	vec_done(&p->held);
	vec_done(&p->resource_kinds);
}

uint32_t place_node_devices(const struct place *p, uint32_t node, const char *resource,
	int32_t ret_left[static PLACE_DEVICES_MAX])
{
	uint32_t slot = slot_named(p, resource);
	const struct node_devices *d = place_devices_of(p, &p->nodes.items[node]);
	if (!d || slot == PLACE_NONE)
		return 0;
	for (uint32_t i = 0; i < d->of[slot].count; i++)
		ret_left[i] = left_on(&d->of[slot], i);
	return d->of[slot].count;
}

/* ---- what they are worth ---- */

static void weigh(const struct place *p, const struct node *n, struct node_devices *d)
{
	for (uint32_t slot = 0; slot < p->shared_count; slot++) {
		struct device_set *s = &d->of[slot];
		if (s->count)
			s->worth = place_worth_of(&p->outlook.of[slot], d->class,
				place_node_cpu_left(n), s->fill, s->left, s->whole);
	}
}

static void fill_up(const struct worth *w, struct device_set *s)
{
	s->fill = 0;
	for (uint32_t i = 0; i < s->count; i++)
		if (left_on(s, i) > 0)
			s->fill += w->fill[left_on(s, i)];
}

void place_devices_weigh(struct place *p, uint32_t node)
{
	const struct node *n = &p->nodes.items[node];
	struct node_devices *d = place_devices_of(p, n);
	if (!d)
		return;
	if (!p->outlook.ready) {
		for (uint32_t slot = 0; slot < p->shared_count; slot++)
			d->of[slot].fill = d->of[slot].worth = 0;
		d->class = 0;
		return;
	}
	for (uint32_t slot = 0; slot < p->shared_count; slot++)
		fill_up(&p->outlook.of[slot], &d->of[slot]);
	weigh(p, n, d);
}

void place_devices_weigh_all(struct place *p)
{
	for (uint32_t i = 0; i < p->nodes.count; i++)
		place_devices_weigh(p, i);
}

void place_devices_pods_changed(struct place *p, uint32_t node)
{
	const struct node *n = &p->nodes.items[node];
	if (n->devices && p->outlook.ready)
		weigh(p, n, place_devices_of(p, n));
	place_kept_node_changed(p, node);
}

/* ---- choosing ---- */

static bool fits(const struct device_set *s, int64_t amount)
{
	return amount < PLACE_DEVICE ? amount <= s->most
				     : amount <= (int64_t)s->whole * PLACE_DEVICE;
}

bool place_devices_fit(const struct place *p, const struct node *n, const struct want_amount *r)
{
	const struct node_devices *d = place_devices_of(p, n);
	return d && fits(&d->of[r->shared - 1], r->amount);
}

static uint64_t first_whole(const struct device_set *s, int64_t count)
{
	uint64_t chosen = 0;
	for (uint32_t i = 0; i < s->count && count > 0; i++) {
		if (left_on(s, i) != PLACE_DEVICE)
			continue;
		chosen |= (uint64_t)1 << i;
		count--;
	}
	return chosen;
}

/* Of the devices in use the one that loses least of its fill, of equals the fullest; and a free
 * one. PLACE_NONE: there is none. */
static void candidates(const struct device_set *s, const struct worth *w, int32_t amount,
	uint32_t *ret_used, uint32_t *ret_free)
{
	int64_t best = 0;
	*ret_used = *ret_free = PLACE_NONE;
	for (uint32_t i = 0; i < s->count; i++) {
		int32_t left = left_on(s, i);
		if (left < amount)
			continue;
		if (left == PLACE_DEVICE) {
			*ret_free = *ret_free == PLACE_NONE ? i : *ret_free;
			continue;
		}
		int64_t lost = w->fill[left] - w->fill[left - amount];
		if (*ret_used == PLACE_NONE || lost < best ||
			(lost == best && left < left_on(s, *ret_used))) {
			*ret_used = i;
			best = lost;
		}
	}
}

static int64_t worth_without(const struct place *p, const struct node_devices *d, uint32_t slot,
	uint32_t device, int32_t amount, int64_t cpu_left)
{
	const struct device_set *s = &d->of[slot];
	const struct worth *w = &p->outlook.of[slot];
	int32_t left = left_on(s, device);
	return place_worth_of(w, d->class, cpu_left,
		s->fill - w->fill[left] + w->fill[left - amount], s->left - amount,
		s->whole - (left == PLACE_DEVICE));
}

/* One device for a share. */
static uint64_t choose_one(const struct place *p, const struct node_devices *d, uint32_t slot,
	int32_t amount, int64_t cpu_left, int64_t *ret_worth)
{
	const struct device_set *s = &d->of[slot];
	uint32_t used, unused;
	candidates(s, &p->outlook.of[slot], amount, &used, &unused);
	if (used == PLACE_NONE && unused == PLACE_NONE)
		return 0;
	if (!p->outlook.ready)
		return (uint64_t)1 << (used != PLACE_NONE ? used : unused);
	int64_t worth[2] = {0, 0};
	if (used != PLACE_NONE)
		worth[0] = worth_without(p, d, slot, used, amount, cpu_left);
	if (unused != PLACE_NONE)
		worth[1] = worth_without(p, d, slot, unused, amount, cpu_left);
	bool fresh = used == PLACE_NONE || (unused != PLACE_NONE && worth[1] - BETTER > worth[0]);
	*ret_worth = worth[fresh];
	return (uint64_t)1 << (fresh ? unused : used);
}

uint64_t place_devices_choose(const struct place *p, const struct node_devices *d, uint32_t slot,
	int64_t amount, int64_t cpu_left, int64_t *ret_worth)
{
	const struct device_set *s = &d->of[slot];
	const struct worth *w = &p->outlook.of[slot];
	*ret_worth = 0;
	if (!fits(s, amount))
		return 0;
	if (amount < PLACE_DEVICE)
		return choose_one(p, d, slot, (int32_t)amount, cpu_left, ret_worth);
	int64_t count = amount / PLACE_DEVICE;
	if (p->outlook.ready)
		*ret_worth = place_worth_of(w, d->class, cpu_left,
			s->fill - count * w->fill[PLACE_DEVICE], s->left - amount,
			s->whole - (uint32_t)count);
	return first_whole(s, count);
}

/* ---- what pods hold ---- */

static int take_told(const struct place *p, const struct shape *s,
	const struct place_pod_devices *told, struct held *h, struct err *e)
{
	uint32_t slot = slot_named(p, told->resource);
	VEC_EACH (&s->requests, struct want_amount, r) {
		if (!r->shared || r->shared - 1 != slot)
			continue;
		int64_t count = (r->amount + PLACE_DEVICE - 1) / PLACE_DEVICE;
		if (__builtin_popcountll(told->devices) != count)
			break;
		h->devices[slot] = told->devices;
		return 0;
	}
	return err_set(e, ERR_INVALID, "%s: the pod does not ask for %d devices of it",
		told->resource ? told->resource : "(no resource)",
		__builtin_popcountll(told->devices));
}

static void choose_all(const struct place *p, const struct shape *s, const struct node *n,
	struct held *h)
{
	const struct node_devices *d = place_devices_of(p, n);
	int64_t worth, cpu_left = place_node_cpu_left(n);
	VEC_EACH (&s->requests, struct want_amount, r)
		cpu_left -= r->resource == PLACE_CPU ? r->amount : 0;
	VEC_EACH (&s->requests, struct want_amount, r) {
		if (d && r->shared && r->amount && !h->devices[r->shared - 1])
			h->devices[r->shared - 1] = place_devices_choose(p, d, r->shared - 1,
				r->amount, cpu_left, &worth);
	}
}

static uint32_t keep(struct place *p, const struct held *h)
{
	uint32_t index = p->free_held;
	if (index == PLACE_NONE) {
		index = (uint32_t)p->held.count;
		(void)vec_add(&p->held);
	} else {
		p->free_held = p->held.items[index].next_free;
	}
	p->held.items[index] = *h;
	p->held_count++;
	p->outlook.came++;
	return index;
}

int place_held_new(struct place *p, uint32_t shape, uint32_t node,
	const struct place_pod_devices *told, uint32_t told_count, uint32_t *ret_held,
	struct err *e)
{
	const struct shape *s = &p->shapes.items[shape];
	struct held h = {0};
	for (uint32_t i = 0; i < told_count; i++) {
		int rc = take_told(p, s, &told[i], &h, e);
		if (rc != 0)
			return rc;
	}
	*ret_held = PLACE_NONE;
	if (!s->shares)
		return 0;
	choose_all(p, s, &p->nodes.items[node], &h);
	*ret_held = keep(p, &h);
	return 0;
}

void place_held_free(struct place *p, uint32_t held)
{
	p->held.items[held].next_free = p->free_held;
	p->free_held = held;
	p->held_count--;
}

static void count_in(struct device_set *s, const struct worth *w, uint64_t devices, int32_t amount)
{
	for (uint32_t i = 0; devices; i++, devices >>= 1)
		if (devices & 1)
			s->taken[i] += amount;
	sum_up(s);
	fill_up(w, s);
}

void place_held_count(struct place *p, uint32_t held, uint32_t shape, uint32_t node, int sign)
{
	struct node *n = &p->nodes.items[node];
	const struct held *h = &p->held.items[held];
	VEC_EACH (&p->shapes.items[shape].requests, struct want_amount, r) {
		if (!r->shared || !h->devices[r->shared - 1])
			continue;
		/* A pod that was told of devices that the node does not have. */
		struct node_devices *d = n->devices ? place_devices_of(p, n) : devices_new(p, n);
		int64_t each = r->amount < PLACE_DEVICE ? r->amount : PLACE_DEVICE;
		count_in(&d->of[r->shared - 1], &p->outlook.of[r->shared - 1],
			h->devices[r->shared - 1], (int32_t)(sign * each));
	}
}

uint64_t place_pod_devices(const struct place *p, uint32_t pod, const char *resource)
{
	uint32_t slot = slot_named(p, resource);
	if (slot == PLACE_NONE || pod >= p->pods.count || p->pods.items[pod].held == PLACE_NONE)
		return 0;
	return p->held.items[p->pods.items[pod].held].devices[slot];
}
