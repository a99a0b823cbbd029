/* The same problem with one bin a site: what is decided first when there are many bins. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/assign/tables.h"

static void coarsen_bins(const struct tables *t, struct tables *ret)
{
	ret->bins = t->sites;
	ret->bin = mem_alloc_array(t->sites, sizeof(*ret->bin));
	ret->room = mem_alloc_array((size_t)t->sites * t->r + 1, sizeof(*ret->room));
	ret->inverse = mem_alloc_array((size_t)t->sites * t->r + 1, sizeof(*ret->inverse));
	ret->site_bin = mem_alloc_array(t->sites + 1, sizeof(*ret->site_bin));
	ret->site_bins = mem_alloc_array(t->sites, sizeof(*ret->site_bins));
	for (uint32_t s = 0; s < t->sites; s++) {
		ret->bin[s].site = ret->site_bin[s] = ret->site_bins[s] = s;
		for (uint32_t i = t->site_bin[s]; i < t->site_bin[s + 1]; i++)
			for (uint32_t k = 0; k < t->r; k++) {
				int64_t *sum = &ret->room[(size_t)s * t->r + k];
				int64_t room = t->room[(size_t)t->site_bins[i] * t->r + k];
				*sum += room < ASSIGN_AMOUNT_MAX - *sum ? room
									: ASSIGN_AMOUNT_MAX - *sum;
			}
		for (uint32_t k = 0; k < t->r; k++) {
			int64_t room = ret->room[(size_t)s * t->r + k];
			ret->inverse[(size_t)s * t->r + k] =
				(double)OVER_ONE / (double)(room > 0 ? room : 1);
		}
	}
	ret->site_bin[t->sites] = t->sites;
}

/* What is said of bins does not count, or counts for the site. */
static void coarsen_components(const struct tables *t, struct tables *ret)
{
	struct assign_component *given = mem_alloc_array(t->components, sizeof(*given));
	ret->coarse = given;
	ret->component = mem_alloc_array(t->components, sizeof(*ret->component));
	ret->home = mem_alloc_array(t->items, sizeof(*ret->home));
	memcpy(ret->component, t->component, t->components * sizeof(*ret->component));
	for (uint32_t c = 0; c < t->components; c++) {
		given[c] = *t->component[c].given;
		given[c].per_bin_max = 0;
		if (given[c].together == ASSIGN_SAME_BIN)
			given[c].together = ASSIGN_SAME_SITE;
		ret->component[c].given = &given[c];
		ret->component[c].spread_bin = 0;
	}
	for (uint32_t i = 0; i < t->items; i++)
		ret->home[i] = t->home[i] == ASSIGN_NONE ? ASSIGN_NONE : t->bin[t->home[i]].site;
}

/* At a site a replica costs the mean of what it costs alone on the best few bins there, as others
 * want those too. */
static void coarsen_prices(const struct tables *t, uint32_t crowd, struct tables *ret)
{
	size_t rows = (size_t)t->components * t->sites;
	ret->fixed = mem_alloc_array(rows, sizeof(*ret->fixed));
	ret->list = mem_alloc_array(rows * PRICE_LIST, sizeof(*ret->list));
	ret->list_total = mem_alloc_array(rows, sizeof(*ret->list_total));
	for (size_t row = 0; row < rows; row++) {
		const struct priced *list = &t->list[row * PRICE_LIST];
		int64_t sum = 0, count = 0;
		while (count < crowd && count < PRICE_LIST && list[count].bin != ASSIGN_NONE)
			sum += list[count++].cost;
		bool open = count > 0;
		ret->fixed[row] = open ? sum / count : ASSIGN_NEVER;
		ret->list_total[row] = open;
		for (uint32_t i = 0; i < PRICE_LIST; i++)
			ret->list[row * PRICE_LIST + i].bin = ASSIGN_NONE;
		if (open)
			ret->list[row * PRICE_LIST] =
				(struct priced){ret->fixed[row], (uint32_t)(row % t->sites)};
	}
}

void assign_coarsen(const struct tables *t, uint32_t crowd, struct tables *ret)
{
	*ret = *t;
	coarsen_bins(t, ret);
	coarsen_components(t, ret);
	coarsen_prices(t, crowd, ret);
}

void assign_coarse_done(struct tables *t)
{
	void *own[] = {t->bin, t->room, t->inverse, t->site_bin, t->site_bins, t->coarse,
		t->component, t->home, t->fixed, t->list, t->list_total};
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		free(own[i]);
	*t = (struct tables){0};
}
