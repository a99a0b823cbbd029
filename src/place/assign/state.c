/* An assignment that is changed an item at a time. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/assign/tables.h"

void assign_state_init(struct state *s, const struct tables *t)
{
	size_t kin = (size_t)t->components * t->sites;
	*s = (struct state){.t = t};
	s->bin_of = mem_alloc_array(t->items, sizeof(*s->bin_of));
	s->site_of = mem_alloc_array(t->items, sizeof(*s->site_of));
	memset(s->bin_of, 0xff, t->items * sizeof(*s->bin_of));
	memset(s->site_of, 0xff, t->items * sizeof(*s->site_of));
	s->used = mem_alloc_array((size_t)t->bins * t->r + 1, sizeof(*s->used));
	s->on_bin = mem_alloc_array(t->bins, sizeof(*s->on_bin));
	s->kin_bin = mem_alloc_array((size_t)t->components * t->bins, sizeof(*s->kin_bin));
	s->kin_site = mem_alloc_array(kin, sizeof(*s->kin_site));
	s->placed = mem_alloc_array(t->components, sizeof(*s->placed));
	s->pull = mem_alloc_array(kin, sizeof(*s->pull));
	memcpy(s->pull, t->tied, kin * sizeof(*s->pull));
	s->pull_over = mem_alloc_array(kin, sizeof(*s->pull_over));
	s->out = mem_alloc_array(kin, sizeof(*s->out));
	s->in = mem_alloc_array(kin, sizeof(*s->in));
	memcpy(s->out, t->tied_out, kin * sizeof(*s->out));
	memcpy(s->in, t->tied_in, kin * sizeof(*s->in));
	s->load = mem_alloc_array((size_t)t->sites * t->sites, sizeof(*s->load));
	s->level = mem_alloc_array(t->bins, sizeof(*s->level));
	for (uint32_t b = 0; b < t->bins; b++)
		s->level[b] = t->bin[b].base;
	s->busy = mem_alloc_array(t->bins, sizeof(*s->busy));
	s->busy_at = mem_alloc_array(t->bins, sizeof(*s->busy_at));
	s->busy_count = mem_alloc_array(t->sites, sizeof(*s->busy_count));
}

void assign_state_done(struct state *s)
{
	void *all[] = {s->bin_of, s->site_of, s->used, s->on_bin, s->kin_bin, s->kin_site,
		s->placed, s->pull, s->pull_over, s->out, s->in, s->load, s->level, s->busy,
		s->busy_at, s->busy_count};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		free(all[i]);
	*s = (struct state){0};
}

/* ---- prices ---- */

static int64_t above(int64_t amount, int64_t limit, double inverse)
{
	if (amount <= limit)
		return 0;
	double over = (double)(amount - limit) * inverse;
	return over < (double)OVER_MOST ? (int64_t)over + 1 : OVER_MOST;
}

/* How much more a path is overloaded with so much more on it. */
static int64_t more_above(const struct state *s, size_t path, int64_t more)
{
	int64_t limit = s->t->limit[path], load = s->load[path];
	if (load + more <= limit)
		return 0;
	double inverse = s->t->limit_inverse[path];
	return above(load + more, limit, inverse) - above(load, limit, inverse);
}

/* What the replicas of the item's own component send to each other does not count for itself. */
static int64_t own_share(const struct state *s, uint32_t c, bool outward)
{
	const struct component *k = &s->t->component[c];
	int64_t share = 0;
	for (uint32_t i = 0; i < k->edge_count; i++) {
		const struct edge *e = &s->t->edges[k->edge_first + i];
		if (e->partner == c && e->outward == outward)
			share += e->share;
	}
	return share;
}

static int64_t price_paths(const struct state *s, uint32_t item, uint32_t site)
{
	uint32_t c = s->t->component_of[item], sites = s->t->sites;
	const int64_t *out = &s->out[(size_t)c * sites], *in = &s->in[(size_t)c * sites];
	uint32_t self = s->t->component[c].inner ? s->site_of[item] : ASSIGN_NONE;
	int64_t own_out = self != ASSIGN_NONE ? own_share(s, c, true) : 0;
	int64_t own_in = self != ASSIGN_NONE ? own_share(s, c, false) : 0;
	int64_t over = 0;
	for (uint32_t u = 0; u < sites; u++) {
		if (u == site)
			continue;
		int64_t to = out[u] - (u == self ? own_out : 0);
		int64_t from = in[u] - (u == self ? own_in : 0);
		if (to)
			over += more_above(s, (size_t)site * sites + u, to);
		if (from)
			over += more_above(s, (size_t)u * sites + site, from);
	}
	return over;
}

static void without_self(const struct state *s, uint32_t item, uint32_t site, struct price *price)
{
	const struct tables *t = s->t;
	uint32_t c = t->component_of[item], self = s->site_of[item];
	const struct component *k = &t->component[c];
	if (self == ASSIGN_NONE)
		return;
	for (uint32_t i = 0; i < k->edge_count; i++) {
		const struct edge *e = &t->edges[k->edge_first + i];
		if (e->partner != c)
			continue;
		price->cost -= e->rows[(size_t)self * t->sites + site];
		if (e->over)
			price->over -= e->over[(size_t)self * t->sites + site];
	}
}

struct price assign_price_site(const struct state *s, uint32_t item, uint32_t site)
{
	const struct tables *t = s->t;
	uint32_t c = t->component_of[item];
	const struct component *k = &t->component[c];
	const struct assign_component *given = k->given;
	size_t cell = (size_t)c * t->sites + site;
	uint32_t kin = s->kin_site[cell];
	struct price price = {s->pull[cell] + k->spread_site * kin, s->pull_over[cell]};
	if (k->inner)
		without_self(s, item, site, &price);
	if (t->has_limits)
		price.over += price_paths(s, item, site);
	if (given->per_site_max && kin >= given->per_site_max)
		price.over += OVER_ONE;
	if (given->together == ASSIGN_SAME_SITE)
		price.over += (int64_t)(s->placed[c] - kin) * (OVER_ONE / 4);
	return price;
}

struct price assign_price_bin(const struct state *s, uint32_t item, uint32_t bin)
{
	const struct tables *t = s->t;
	uint32_t c = t->component_of[item], kin = s->kin_bin[(size_t)c * t->bins + bin];
	const struct component *k = &t->component[c];
	const struct bin *b = &t->bin[bin];
	const int64_t *used = &s->used[(size_t)bin * t->r], *room = &t->room[(size_t)bin * t->r];
	int64_t with[ASSIGN_RESOURCES_MAX];
	struct price price = {t->fixed[(size_t)c * t->bins + bin], 0};
	for (uint32_t i = 0; i < t->r; i++) {
		with[i] = used[i] + t->need[c * t->r + i];
		if (with[i] > room[i]) {
			double inverse = t->inverse[(size_t)bin * t->r + i];
			price.over +=
				above(with[i], room[i], inverse) - above(used[i], room[i], inverse);
		}
	}
	if (b->plane_count)
		price.cost += assign_potential(t, b, with) - s->level[bin];
	if (s->on_bin[bin] == 0)
		price.cost += b->on;
	if (t->home[item] != ASSIGN_NONE && t->home[item] != bin)
		price.cost += k->move;
	price.cost += k->spread_bin * kin;
	if (k->given->per_bin_max && kin >= k->given->per_bin_max)
		price.over += OVER_ONE;
	if (k->given->together == ASSIGN_SAME_BIN)
		price.over += (int64_t)(s->placed[c] - kin) * (OVER_ONE / 4);
	return price;
}

/* ---- changes ---- */

static void set_busy(struct state *s, uint32_t bin, bool busy)
{
	uint32_t site = s->t->bin[bin].site;
	uint32_t *list = &s->busy[s->t->site_bin[site]];
	if (busy) {
		s->busy_at[bin] = s->busy_count[site];
		list[s->busy_count[site]++] = bin;
	} else {
		uint32_t last = list[--s->busy_count[site]];
		list[s->busy_at[bin]] = last;
		s->busy_at[last] = s->busy_at[bin];
	}
}

static void count_on_bin(struct state *s, uint32_t item, uint32_t bin, int sign)
{
	const struct tables *t = s->t;
	uint32_t c = t->component_of[item];
	int64_t *used = &s->used[(size_t)bin * t->r];
	for (uint32_t i = 0; i < t->r; i++)
		used[i] += sign * t->need[c * t->r + i];
	if (s->on_bin[bin] == 0)
		set_busy(s, bin, true);
	s->on_bin[bin] = s->on_bin[bin] + (uint32_t)sign;
	if (s->on_bin[bin] == 0)
		set_busy(s, bin, false);
	uint16_t *kin = &s->kin_bin[(size_t)c * t->bins + bin];
	*kin = (uint16_t)(*kin + sign);
	s->kin_site[(size_t)c * t->sites + t->bin[bin].site] += (uint32_t)sign;
	s->placed[c] += (uint32_t)sign;
	if (t->bin[bin].plane_count)
		s->level[bin] = assign_potential(t, &t->bin[bin], used);
}

/* Puts the traffic of the item on the paths, or takes it away. */
static void count_on_paths(struct state *s, uint32_t item, uint32_t site, int sign)
{
	uint32_t c = s->t->component_of[item], sites = s->t->sites;
	const int64_t *out = &s->out[(size_t)c * sites], *in = &s->in[(size_t)c * sites];
	bool inner = s->t->component[c].inner;
	for (uint32_t u = 0; u < sites; u++) {
		bool self = inner && u == s->site_of[item];
		int64_t to = out[u] - (self ? own_share(s, c, true) : 0);
		int64_t from = in[u] - (self ? own_share(s, c, false) : 0);
		s->load[(size_t)site * sites + u] += sign * to;
		s->load[(size_t)u * sites + site] += sign * from;
	}
}

/* Tells the partners that the item is elsewhere; ASSIGN_NONE: nowhere. */
static void announce(struct state *s, uint32_t item, uint32_t site)
{
	const struct tables *t = s->t;
	uint32_t c = t->component_of[item], old = s->site_of[item], sites = t->sites;
	const struct component *k = &t->component[c];
	static const int64_t nothing[ASSIGN_SITES_MAX];
	for (uint32_t i = 0; i < k->edge_count; i++) {
		const struct edge *e = &t->edges[k->edge_first + i];
		/* What a partner pays by where this one is: the rows of the link's other end. */
		const int64_t *rows =
			t->matrices + (2 * (size_t)e->link + (e->outward ? 1 : 0)) * sites * sites;
		size_t to = (size_t)e->partner * sites;
		const int64_t *add = site == ASSIGN_NONE ? nothing : rows + (size_t)site * sites;
		const int64_t *take = old == ASSIGN_NONE ? nothing : rows + (size_t)old * sites;
		int64_t *pull = &s->pull[to];
		for (uint32_t u = 0; u < sites; u++)
			pull[u] += add[u] - take[u];
		int64_t *flow = e->outward ? &s->in[to] : &s->out[to];
		if (site != ASSIGN_NONE)
			flow[site] += e->share;
		if (old != ASSIGN_NONE)
			flow[old] -= e->share;
		if (!e->over)
			continue;
		const int32_t *over = t->over_matrices +
				      (2 * (size_t)e->link + (e->outward ? 1 : 0)) * sites * sites;
		for (uint32_t u = 0; u < sites; u++)
			s->pull_over[to + u] +=
				(site == ASSIGN_NONE ? 0 : over[(size_t)site * sites + u]) -
				(old == ASSIGN_NONE ? 0 : over[(size_t)old * sites + u]);
	}
	s->site_of[item] = site;
}

void assign_lift(struct state *s, uint32_t item)
{
	uint32_t bin = s->bin_of[item], site = s->t->bin[bin].site;
	count_on_bin(s, item, bin, -1);
	if (s->t->has_limits)
		count_on_paths(s, item, site, -1);
	struct price at_site = assign_price_site(s, item, site);
	struct price at_bin = assign_price_bin(s, item, bin);
	s->cost -= at_site.cost + at_bin.cost;
	s->over -= at_site.over + at_bin.over;
	s->bin_of[item] = ASSIGN_NONE;
}

void assign_forget(struct state *s, uint32_t item)
{
	assign_lift(s, item);
	announce(s, item, ASSIGN_NONE);
}

void assign_drop(struct state *s, uint32_t item, uint32_t bin)
{
	uint32_t site = s->t->bin[bin].site;
	struct price at_site = assign_price_site(s, item, site);
	struct price at_bin = assign_price_bin(s, item, bin);
	s->cost += at_site.cost + at_bin.cost;
	s->over += at_site.over + at_bin.over;
	if (s->t->has_limits)
		count_on_paths(s, item, site, 1);
	count_on_bin(s, item, bin, 1);
	s->bin_of[item] = bin;
	if (s->site_of[item] != site)
		announce(s, item, site);
}

void assign_restore(struct state *s, const uint32_t *bin_of)
{
	for (uint32_t i = 0; i < s->t->items; i++) {
		if (s->bin_of[i] == bin_of[i])
			continue;
		if (s->bin_of[i] == ASSIGN_NONE)
			assign_drop(s, i, bin_of[i]);
		else
			assign_move(s, i, bin_of[i]);
	}
}

/* ---- the best bin ---- */

struct choice {
	double value;
	uint32_t bin;
	struct price price;
};

static void consider(const struct state *s, uint32_t item, uint32_t bin, double strict,
	struct choice *best)
{
	struct price price = assign_price_bin(s, item, bin);
	double value = (double)price.cost + strict * (double)price.over;
	if (best->bin == ASSIGN_NONE || value < best->value)
		*best = (struct choice){value, bin, price};
}

/* Of the bins with nobody on them the first of the price list is the best, as they all cost what
 * the list says; but where the item runs already it may stay for less. */
static void consider_empty(const struct state *s, uint32_t item, uint32_t site, double strict,
	uint32_t not, struct choice *best)
{
	const struct tables *t = s->t;
	uint32_t c = t->component_of[item], home = t->home[item];
	size_t row = (size_t)c * t->sites + site;
	const struct priced *list = &t->list[row * PRICE_LIST];
	if (home != ASSIGN_NONE && home != not &&t->bin[home].site == site &&
		s->on_bin[home] == 0 && t->fixed[(size_t)c * t->bins + home] != ASSIGN_NEVER)
		consider(s, item, home, strict, best);
	for (uint32_t i = 0; i < PRICE_LIST; i++) {
		if (list[i].bin == ASSIGN_NONE)
			return;
		if (s->on_bin[list[i].bin] == 0 && list[i].bin != not ) {
			consider(s, item, list[i].bin, strict, best);
			return;
		}
	}
	if (t->list_total[row] <= PRICE_LIST)
		return;
	for (uint32_t i = t->site_bin[site]; i < t->site_bin[site + 1]; i++) {
		uint32_t b = t->site_bins[i];
		if (s->on_bin[b] == 0 &&
			b != not &&t->fixed[(size_t)c * t->bins + b] != ASSIGN_NEVER)
			consider(s, item, b, strict, best);
	}
}

uint32_t assign_best_bin(struct state *s, uint32_t item, uint32_t site, double strict, uint32_t not,
	struct price *ret_price)
{
	const struct tables *t = s->t;
	const int64_t *fixed = &t->fixed[(size_t)t->component_of[item] * t->bins];
	const uint32_t *busy = &s->busy[t->site_bin[site]];
	struct choice best = {.bin = ASSIGN_NONE};
	s->steps++;
	for (uint32_t i = 0; i < s->busy_count[site]; i++)
		if (busy[i] != not &&fixed[busy[i]] != ASSIGN_NEVER)
			consider(s, item, busy[i], strict, &best);
	consider_empty(s, item, site, strict, not, &best);
	*ret_price = best.price;
	return best.bin;
}

uint32_t assign_best(struct state *s, uint32_t item, double strict, uint32_t not,
	struct price *ret_price)
{
	const struct tables *t = s->t;
	uint32_t c = t->component_of[item];
	struct choice best = {.bin = ASSIGN_NONE};
	for (uint32_t i = t->open_site[c]; i < t->open_site[c + 1]; i++) {
		uint32_t site = t->open_sites[i];
		struct price at_bin, price = assign_price_site(s, item, site);
		uint32_t bin = assign_best_bin(s, item, site, strict, not, &at_bin);
		if (bin == ASSIGN_NONE)
			continue;
		price.cost += at_bin.cost;
		price.over += at_bin.over;
		double value = (double)price.cost + strict * (double)price.over;
		if (best.bin == ASSIGN_NONE || value < best.value)
			best = (struct choice){value, bin, price};
	}
	*ret_price = best.price;
	return best.bin;
}
