#include <math.h>

#include "base/rand.h"
#include "base/vec.h"
#include "place/assign/sample.h"

#define RESOURCES 3 /* cpu, memory, devices */

struct maker {
	const struct assign_sample *sample;
	struct arena *arena;
	struct rand rand;
	struct assign_problem *p;
	double *carbon, *energy_price; /* by site */
	double *watts, *price;         /* by bin */
	int *trust;
	double balance;
	bool consolidate;
};

static double between(struct maker *m, double low, double high)
{
	return low + (high - low) * rand_unit(&m->rand);
}

static bool chance(struct maker *m, double probability)
{
	return rand_unit(&m->rand) < probability;
}

static uint32_t below(struct maker *m, uint32_t bound)
{
	return (uint32_t)rand_below(&m->rand, bound);
}

static const char *name(struct maker *m, const char *what, uint32_t i)
{
	return arena_format(m->arena, "%s-%u", what, i);
}

static void make_sites(struct maker *m)
{
	uint32_t n = m->sample->sites;
	struct assign_sites *s = &m->p->sites;
	double *x = arena_new_array(m->arena, n, double), *y = arena_new_array(m->arena, n, double);
	double *latency = arena_new_array(m->arena, n * n, double);
	double *price = arena_new_array(m->arena, n * n, double);
	int64_t *limit = arena_new_array(m->arena, n * n, int64_t);
	const char **names = arena_new_array(m->arena, n, const char *);
	m->carbon = arena_new_array(m->arena, n, double);
	m->energy_price = arena_new_array(m->arena, n, double);
	for (uint32_t i = 0; i < n; i++) {
		names[i] = name(m, i ? "edge" : "cloud", i);
		x[i] = i ? between(m, 0, 1) : 2;
		y[i] = i ? between(m, 0, 1) : 0.5;
		m->carbon[i] = between(m, 0.1, 1);
		m->energy_price[i] = between(m, 0.2, 1);
	}
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = 0; j < n; j++) {
			bool out = i != j;
			latency[i * n + j] = out ? 1 + 15 * hypot(x[i] - x[j], y[i] - y[j]) : 0.2;
			price[i * n + j] = out ? between(m, 0.01, 0.09) : 0;
			limit[i * n + j] = chance(m, 0.3)
						   ? rand_between(&m->rand, 40, 200) * 1000000
						   : 10000000000;
		}
	}
	*s = (struct assign_sites){n, names, latency, limit, price};
}

/* How full a node is: three slopes of the greater one of two mixtures of cpu and memory. */
static void make_planes(struct maker *m, struct assign_bin *b, double full)
{
	static const double slopes[] = {0.4, 1, 2.5}, from[] = {0, 0.4, 0.75};
	struct assign_plane *planes = arena_new_array(m->arena, 6, struct assign_plane);
	for (uint32_t k = 0; k < 6; k++) {
		double *slope = arena_new_array(m->arena, RESOURCES, double);
		double steep = slopes[k % 3], base = 0, scale = m->balance * (1 - full);
		for (uint32_t j = 1; j <= k % 3; j++)
			base -= from[j] * (slopes[j] - slopes[j - 1]);
		if (m->consolidate) {
			steep = slopes[2 - k % 3];
			base = k % 3 == 0 ? 0 : k % 3 == 1 ? 0.3 : 0.75;
		}
		slope[0] = scale * steep * (k < 3 ? 5 : 1) / 6 / (double)b->room[0];
		slope[1] = scale * steep * (k < 3 ? 1 : 5) / 6 / (double)b->room[1];
		planes[k] = (struct assign_plane){m->balance * (base + steep * full), slope};
	}
	b->planes = planes;
	b->plane_count = 6;
	b->concave = m->consolidate;
}

static void make_bin(struct maker *m, uint32_t i, struct assign_bin *b, double scale)
{
	static const int64_t cores[] = {4, 8, 16, 32};
	uint32_t site = i < m->sample->sites ? i : below(m, m->sample->sites);
	int64_t size = cores[site ? below(m, 3) : 1 + below(m, 3)];
	double full = between(m, 0, 0.7);
	int64_t *room = arena_new_array(m->arena, RESOURCES, int64_t);
	room[0] = (int64_t)((double)size * 1000 * (1 - full) * scale) + 1;
	room[1] =
		(int64_t)((double)size * between(m, 2, 8) * (1 - full) * scale * 1073741824.0) + 1;
	room[2] = i == 0 || chance(m, 0.3) ? 2 + below(m, 4) : 0;
	m->watts[i] = between(m, 3, 12) * (double)size;
	m->price[i] = between(m, 0.02, 0.06) * (double)size;
	m->trust[i] = site ? (int)below(m, 101) : 90;
	*b = (struct assign_bin){.name = name(m, "node", i),
		.site = site,
		.room = room,
		.occupied = chance(m, 0.5),
		.on_energy = 0.002 * m->watts[i] * m->energy_price[site],
		.on_carbon = 0.003 * m->watts[i] * m->carbon[site],
		.on_money = 0.1 * m->price[i]};
	make_planes(m, b, full);
}

/* Statics by bin: what is proportional to the cpu that is used, and wishes. */
static void make_statics(struct maker *m, struct assign_component *c)
{
	static const enum place_term terms[] = {PLACE_TERM_ENERGY, PLACE_TERM_CARBON,
		PLACE_TERM_MONEY, PLACE_TERM_TRUST, PLACE_TERM_PREFERENCE, PLACE_TERM_IMAGE};
	struct assign_static *statics =
		arena_new_array(m->arena, ARRAY_SIZE(terms), struct assign_static);
	double cores = (double)c->need[0] / 1000;
	for (uint32_t k = 0; k < ARRAY_SIZE(terms); k++) {
		int32_t *by_bin = arena_new_array(m->arena, m->sample->bins, int32_t);
		for (uint32_t b = 0; b < m->sample->bins; b++) {
			uint32_t site = m->p->bins[b].site;
			double cost[] = {0.004 * m->watts[b] * cores * m->energy_price[site] / 8,
				0.006 * m->watts[b] * cores * m->carbon[site] / 8,
				0.2 * m->price[b] * cores, 0.002 * (100 - m->trust[b]),
				chance(m, 0.3) ? 0.1 : 0, chance(m, 0.5) ? 0.05 : 0};
			by_bin[b] = (int32_t)lrint(cost[k] * ASSIGN_FINE);
		}
		statics[k] = (struct assign_static){terms[k], by_bin};
	}
	c->statics = statics;
	c->static_count = ARRAY_SIZE(terms);
}

/* What fits on no node is shrunk to one of them, so that most applications can be placed. */
static void shrink_to_fit(struct maker *m, struct assign_component *c)
{
	const struct assign_bin *b = &m->p->bins[below(m, m->sample->bins)];
	int64_t *need = (int64_t *)c->need;
	for (uint32_t k = 0; k < 2; k++)
		need[k] = need[k] < b->room[k] ? need[k] : b->room[k];
}

/* Some may not go to all sites, or to all nodes. */
static void make_open(struct maker *m, struct assign_component *c)
{
	if (!chance(m, 0.4))
		return;
	uint64_t *bins = arena_new_array(m->arena, m->sample->bins / 64 + 1, uint64_t);
	uint32_t shut = below(m, m->sample->sites);
	double open = between(m, 0.5, 1);
	for (uint32_t b = 0; b < m->sample->bins; b++)
		if (m->p->bins[b].site != shut && chance(m, open))
			bins[b / 64] |= (uint64_t)1 << b % 64;
	c->bins = bins;
}

static void make_kin(struct maker *m, struct assign_component *c)
{
	c->spread_bin = between(m, 0, 0.5);
	c->spread_site = between(m, 0, 0.2);
	c->move_cost = between(m, 0.05, 0.6);
	c->per_bin_max = chance(m, 0.3) ? 1 : 0;
	c->per_site_max = chance(m, 0.1) ? 2 : 0;
	if (!c->per_site_max && chance(m, 0.1))
		c->together = c->per_bin_max || chance(m, 0.5) ? ASSIGN_SAME_SITE : ASSIGN_SAME_BIN;
	if (!chance(m, 0.3))
		return;
	uint32_t *home = arena_new_array(m->arena, c->replicas, uint32_t);
	for (uint32_t i = 0; i < c->replicas; i++)
		home[i] = chance(m, 0.7) ? below(m, m->sample->bins) : ASSIGN_NONE;
	c->home = home;
}

static void make_need(struct maker *m, uint32_t i, struct assign_component *c)
{
	int64_t *need = arena_new_array(m->arena, RESOURCES, int64_t);
	need[0] = rand_between(&m->rand, 1, 30) * 100;
	need[1] = rand_between(&m->rand, 1, 48) << 27;
	need[2] = chance(m, 0.07) ? 1 : 0;
	*c = (struct assign_component){.name = name(m, "part", i),
		.replicas = chance(m, 0.6) ? 1 : 1 + below(m, m->sample->replicas_most),
		.need = need};
}

static void make_link(struct maker *m, uint32_t i, struct assign_link *l)
{
	uint32_t n = m->sample->components;
	uint32_t to = i + 1 < n ? i + 1 : below(m, n), from = to ? below(m, to) : below(m, n);
	double traffic = exp(between(m, 11, 17)); /* 60 kbit/s to 24 Mbit/s */
	*l = (struct assign_link){.from = from,
		.to = to,
		.bits_per_s = (int64_t)traffic,
		.latency_ms = chance(m, 0.4) ? between(m, 3, 30) : 0,
		.cost_per_ms = between(m, 0, 0.02),
		.cost_over = between(m, 0, 0.1),
		.traffic_weight = 2};
	l->hard = l->latency_ms > 8 && chance(m, 0.3);
}

static void make_anchor(struct maker *m, struct assign_anchor *a)
{
	bool data = chance(m, 0.4);
	*a = (struct assign_anchor){.component = below(m, m->sample->components),
		.site = below(m, m->sample->sites),
		.inward = data || chance(m, 0.3)};
	if (data) {
		a->size_bytes = rand_between(&m->rand, 1, 4000) * 1000000;
		a->data_weight = 2;
		a->cost_per_s = between(m, 0, 0.01);
		return;
	}
	a->bits_per_s = (int64_t)exp(between(m, 11, 17));
	a->latency_ms = chance(m, 0.5) ? between(m, 3, 30) : 0;
	a->cost_per_ms = between(m, 0, 0.04);
	a->cost_over = between(m, 0, 0.2);
	a->traffic_weight = 2;
	a->hard = a->latency_ms > 15 && chance(m, 0.3);
}

static double most_filled(const struct assign_problem *p)
{
	double most = 0;
	for (uint32_t k = 0; k < 2; k++) {
		double need = 0, room = 0;
		for (uint32_t c = 0; c < p->component_count; c++)
			need += (double)p->components[c].need[k] * p->components[c].replicas;
		for (uint32_t b = 0; b < p->bin_count; b++)
			room += (double)p->bins[b].room[k];
		most = need / room > most ? need / room : most;
	}
	return most;
}

static void make_bins(struct maker *m, struct assign_bin *bins, double scale)
{
	struct rand again = m->rand;
	for (uint32_t i = 0; i < m->sample->bins; i++)
		make_bin(m, i, &bins[i], scale);
	m->p->bins = bins;
	m->p->bin_count = m->sample->bins;
	if (scale == 1 && m->sample->fill > 0) {
		m->rand = again;
		make_bins(m, bins, most_filled(m->p) / m->sample->fill);
	}
}

/* Small numbers more often: the exact solver's time doubles with every few components. */
static uint32_t small_between(struct rand *r, uint32_t low, uint32_t high)
{
	int64_t a = rand_between(r, low, high), b = rand_between(r, low, high);
	return (uint32_t)(a < b ? a : b);
}

struct assign_sample assign_sample_small(uint64_t seed)
{
	struct rand r;
	rand_init(&r, seed * 7919 + 1);
	struct assign_sample s = {.seed = seed, .replicas_most = 3};
	s.components = small_between(&r, 5, 20);
	s.links = s.components - 1 + small_between(&r, 0, s.components);
	s.sites = small_between(&r, 2, 6);
	s.bins = small_between(&r, s.sites > 5 ? s.sites : 5, 30);
	s.fill = 0.2 + 0.6 * rand_unit(&r);
	return s;
}

struct assign_sample assign_sample_large(uint64_t seed)
{
	return (struct assign_sample){50, 300, 1000, 20, 3, 0, seed};
}

struct assign_problem *assign_sample_make(const struct assign_sample *sample, struct arena *a)
{
	static const char *const resources[] = {"cpu", "memory", "camera"};
	struct maker m = {.sample = sample, .arena = a, .p = arena_new(a, struct assign_problem)};
	struct assign_problem *p = m.p;
	uint32_t anchors = sample->components / 4 + 1;
	struct assign_component *c =
		arena_new_array(a, sample->components, struct assign_component);
	struct assign_link *links = arena_new_array(a, sample->links + 1, struct assign_link);
	struct assign_anchor *ties = arena_new_array(a, anchors, struct assign_anchor);
	rand_init(&m.rand, sample->seed);
	m.watts = arena_new_array(a, sample->bins, double);
	m.price = arena_new_array(a, sample->bins, double);
	m.trust = arena_new_array(a, sample->bins, int);
	m.consolidate = chance(&m, 0.3);
	m.balance = between(&m, 0.1, 1);
	*p = (struct assign_problem){RESOURCES, resources, .seed = sample->seed};
	make_sites(&m);
	for (uint32_t i = 0; i < sample->components; i++)
		make_need(&m, i, &c[i]);
	p->components = c;
	p->component_count = sample->components;
	make_bins(&m, arena_new_array(a, sample->bins, struct assign_bin), 1);
	for (uint32_t i = 0; i < sample->components; i++) {
		if (sample->fill > 0)
			shrink_to_fit(&m, &c[i]);
		make_statics(&m, &c[i]);
		make_open(&m, &c[i]);
		make_kin(&m, &c[i]);
	}
	for (uint32_t i = 0; i < sample->links; i++)
		make_link(&m, i, &links[i]);
	for (uint32_t i = 0; i < anchors; i++)
		make_anchor(&m, &ties[i]);
	p->links = links;
	p->link_count = sample->links;
	p->anchors = ties;
	p->anchor_count = anchors;
	return p;
}
