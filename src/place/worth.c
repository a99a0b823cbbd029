#include "place/worth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define OFFERS 32
#define WHOLE_WEIGHT 0.3
#define PRICE_WEIGHT 2.0
#define ONE ((int64_t)1 << WORTH_SHIFT)
#define WHOLE_COUNTS (PLACE_DEVICES_MAX + 1)

/* A pod that does not fit is passed over, and the next one tried with this probability: CPU that
 * only the smallest pods can use counts for less. */
#define TRY_ON 0.9

static int64_t fixed(double value)
{
	return (int64_t)floor(value * (double)ONE + 0.5);
}

/* ---- fill ---- */

struct offer {
	int32_t milli;
	double share; /* of the pods of one device or less */
};
struct offers {
	VEC(struct offer) items;
};

/* One more offer: each usual pod comes with its share, and goes by when it does not fit. */
static void offer_once(const struct offers *offers, double fill[static PLACE_DEVICE + 1])
{
	double next[PLACE_DEVICE + 1];
	memcpy(next, fill, sizeof(next));
	VEC_EACH (&offers->items, struct offer, o)
		for (int left = o->milli; left <= PLACE_DEVICE; left++)
			next[left] += o->share * (o->milli + fill[left - o->milli] - fill[left]);
	memcpy(fill, next, sizeof(next));
}

static void make_fill(struct worth *w, const struct usual *usuals, size_t count)
{
	double share[PLACE_DEVICE + 1] = {0}, fill[PLACE_DEVICE + 1] = {0}, all = 0;
	struct offers offers = {0};
	for (size_t i = 0; i < count; i++) {
		if (usuals[i].devices != 1)
			continue;
		share[usuals[i].milli] += usuals[i].share;
		all += usuals[i].share;
	}
	for (int milli = 1; milli <= PLACE_DEVICE; milli++)
		if (share[milli] > 0)
			vec_push(&offers.items,
				(struct offer){.milli = milli, .share = share[milli] / all});
	for (int i = 0; i < OFFERS; i++)
		offer_once(&offers, fill);
	vec_done(&offers.items);
	for (int left = 0; left <= PLACE_DEVICE; left++)
		w->fill[left] = fixed(fill[left]);
}

/* ---- enough ---- */

typedef double grid[WORTH_POINTS][WORTH_CPU_POINTS];

static double between(const double table[static WORTH_POINTS][WORTH_CPU_POINTS], double left,
	double cpu)
{
	double g = left / WORTH_STEP, c = cpu / WORTH_CPU_STEP;
	int i = g < WORTH_POINTS - 1 ? (int)g : WORTH_POINTS - 2;
	int j = c < WORTH_CPU_POINTS - 1 ? (int)c : WORTH_CPU_POINTS - 2;
	g -= i;
	c = c < WORTH_CPU_POINTS - 1 ? c - j : 1;
	return (1 - g) * ((1 - c) * table[i][j] + c * table[i][j + 1]) +
	       g * ((1 - c) * table[i + 1][j] + c * table[i + 1][j + 1]);
}

/* What usual pods of at most one device take of so much of devices and CPU, all devices seen as
 * one. The table holds what is known of less already. */
static double taken_of(const double table[static WORTH_POINTS][WORTH_CPU_POINTS],
	const struct usual *usuals, size_t count, double left, double cpu)
{
	double sum = 0, fits = 0, all = 0;
	for (const struct usual *u = usuals; u < usuals + count; u++) {
		if (u->devices != 1)
			continue;
		all += u->share;
		if (u->milli > left || (double)u->cpu > cpu)
			continue;
		fits += u->share;
		sum += u->share *
		       (u->milli + between(table, left - u->milli, cpu - (double)u->cpu));
	}
	return all > 0 ? sum / (all - TRY_ON * (all - fits)) : 0;
}

/* The same with CPU without end. */
static double taken_of_devices(const double known[static WORTH_POINTS], const struct usual *usuals,
	size_t count, double left)
{
	double sum = 0, fits = 0, all = 0;
	for (const struct usual *u = usuals; u < usuals + count; u++) {
		if (u->devices != 1)
			continue;
		all += u->share;
		if (u->milli > left)
			continue;
		double rest = (left - u->milli) / WORTH_STEP;
		int i = rest < WORTH_POINTS - 1 ? (int)rest : WORTH_POINTS - 2;
		fits += u->share;
		sum += u->share *
		       (u->milli + (1 - (rest - i)) * known[i] + (rest - i) * known[i + 1]);
	}
	return all > 0 ? sum / (all - TRY_ON * (all - fits)) : 0;
}

/* A pod of less than a step reads the row that is being made, where it counts as the row before. */
static void make_enough(struct worth *w, const struct usual *usuals, size_t count)
{
	double unbound[WORTH_POINTS] = {0};
	grid *table = mem_alloc_array(1, sizeof(*table));
	for (int i = 1; i < WORTH_POINTS; i++) {
		unbound[i] = unbound[i - 1];
		unbound[i] = taken_of_devices(unbound, usuals, count, i * WORTH_STEP);
		for (int j = 0; j < WORTH_CPU_POINTS; j++) {
			(*table)[i][j] = (*table)[i - 1][j];
			(*table)[i][j] =
				taken_of(*table, usuals, count, i * WORTH_STEP, j * WORTH_CPU_STEP);
		}
	}
	for (int i = 1; i < WORTH_POINTS; i++)
		for (int j = 0; j < WORTH_CPU_POINTS; j++)
			w->enough[i][j] =
				(int32_t)(unbound[i] > 0 ? fixed((*table)[i][j] / unbound[i])
							 : ONE);
	memcpy(w->enough[0], w->enough[1], sizeof(w->enough[0]));
	free(table);
}

/* left: up to WORTH_POOL. */
static int64_t enough_at(const struct worth *w, int64_t left, int64_t cpu)
{
	int64_t i = left / WORTH_STEP, j = cpu / WORTH_CPU_STEP;
	i = i < WORTH_POINTS - 1 ? i : WORTH_POINTS - 2;
	int64_t g = left - i * WORTH_STEP, c = cpu - j * WORTH_CPU_STEP;
	if (j >= WORTH_CPU_POINTS - 1) {
		j = WORTH_CPU_POINTS - 2;
		c = WORTH_CPU_STEP;
	}
	const int32_t *low = &w->enough[i][j], *high = &w->enough[i + 1][j];
	int64_t at_low = (WORTH_CPU_STEP - c) * low[0] + c * low[1];
	int64_t at_high = (WORTH_CPU_STEP - c) * high[0] + c * high[1];
	return ((WORTH_STEP - g) * at_low + g * at_high) / (WORTH_STEP * WORTH_CPU_STEP);
}

static int64_t enough(const struct worth *w, int64_t left, int64_t cpu)
{
	if (left <= WORTH_POOL)
		return enough_at(w, left, cpu);
	int64_t most = (int64_t)PLACE_DEVICES_MAX * WORTH_CPU_POINTS * WORTH_CPU_STEP;
	return enough_at(w, WORTH_POOL, (cpu < most ? cpu : most) * WORTH_POOL / left);
}

/* ---- whole ones ---- */

static int compare_cpus(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
	return (left > right) - (left < right);
}

/* Of the usual shapes of several devices: for how many of their CPUs this is enough. */
static size_t cpu_class(const struct worth *w, int64_t cpu_left)
{
	size_t low = 0, high = w->cpus.count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (w->cpus.items[middle] <= cpu_left)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void make_cpus(struct worth *w, const struct usual *usuals, size_t count)
{
	w->cpus.count = 0;
	for (size_t i = 0; i < count; i++)
		if (usuals[i].devices > 1)
			vec_push(&w->cpus, usuals[i].cpu);
	if (!w->cpus.count)
		return;
	qsort(w->cpus.items, w->cpus.count, sizeof(*w->cpus.items), compare_cpus);
	size_t kept = 1;
	for (size_t i = 1; i < w->cpus.count; i++)
		if (w->cpus.items[i] != w->cpus.items[kept - 1])
			w->cpus.items[kept++] = w->cpus.items[i];
	w->cpus.count = kept;
}

static bool is_able(const struct worth_class *c, const struct usual *u)
{
	return u->kind == PLACE_NONE || c->able >> u->kind & 1;
}

static void make_whole(struct worth *w, const struct usual *usuals, size_t count,
	const struct worth_class *classes, size_t class_count)
{
	size_t steps = w->cpus.count + 1;
	free(w->whole);
	w->whole = mem_alloc_array(class_count * steps * WHOLE_COUNTS, sizeof(*w->whole));
	for (size_t row = 0; row < class_count * steps; row++)
		for (const struct usual *u = usuals; u < usuals + count; u++) {
			if (u->devices < 2 || !is_able(&classes[row / steps], u) ||
				cpu_class(w, u->cpu) > row % steps)
				continue;
			for (uint32_t n = (uint32_t)u->devices; n < WHOLE_COUNTS; n++)
				w->whole[row * WHOLE_COUNTS + n] +=
					fixed(WHOLE_WEIGHT * u->share * n * PLACE_DEVICE);
		}
}

/* ---- price ---- */

static double supply_of(const struct worth_class *classes, size_t count, const struct usual *u)
{
	double devices = 0;
	for (size_t i = 0; i < count; i++)
		devices += !u || is_able(&classes[i], u) ? classes[i].devices : 0;
	return devices;
}

static void make_price(struct worth *w, const struct usual *usuals, size_t count,
	const struct worth_class *classes, size_t class_count)
{
	double load = 0, supply = supply_of(classes, class_count, NULL);
	double *price = mem_alloc_array(class_count, sizeof(*price));
	for (size_t i = 0; i < count; i++)
		load += usuals[i].share * usuals[i].devices * usuals[i].milli;
	for (const struct usual *u = usuals; u < usuals + count; u++) {
		double able = supply_of(classes, class_count, u);
		double asked = u->share * u->devices * u->milli / load;
		for (size_t i = 0; able > 0 && i < class_count; i++)
			if (is_able(&classes[i], u))
				price[i] += PRICE_WEIGHT * asked * (supply / able - 1);
	}
	w->price.count = 0;
	for (size_t i = 0; i < class_count; i++)
		vec_push(&w->price, fixed(1 + (price[i] < 1000 ? price[i] : 1000)));
	free(price);
}

/* ---- all of them ---- */

void place_worth_learn(struct worth *w, const struct usual *usuals, size_t count)
{
	make_fill(w, usuals, count);
	make_enough(w, usuals, count);
	make_cpus(w, usuals, count);
}

void place_worth_survey(struct worth *w, const struct usual *usuals, size_t count,
	const struct worth_class *classes, size_t class_count)
{
	make_whole(w, usuals, count, classes, class_count);
	make_price(w, usuals, count, classes, class_count);
}

void place_worth_done(struct worth *w)
{
	vec_done(&w->cpus);
	vec_done(&w->price);
	free(w->whole);
	*w = (struct worth){0};
}

int64_t place_worth_of(const struct worth *w, uint32_t class, int64_t cpu_left, int64_t fill,
	int64_t left, uint32_t whole)
{
	if (left <= 0)
		return 0;
	int64_t cpu = cpu_left > 0 ? cpu_left : 0;
	int64_t worth = fill * enough(w, left, cpu) >> WORTH_SHIFT;
	if (whole > 1)
		worth += w->whole[(class * (w->cpus.count + 1) + cpu_class(w, cpu)) * WHOLE_COUNTS +
				  whole];
	return worth * w->price.items[class] >> WORTH_SHIFT;
}
