/* From an assignment to a better one.
 *
 * Descent tries all that can be done to an item, a pair, a component or a bin and takes what is
 * better until nothing is. Annealing draws lots instead and takes what is worse too, less and less
 * of it. Hard constraints cost `strict` for what they are broken by; annealing makes it dearer
 * while they are broken and cheaper while they hold, so that it walks along the edge of what is
 * possible, where the best assignments are. */
#include <string.h>

#include "base/mem.h"
#include "place/assign/tables.h"

#define STAGES 128
#define COOLING 0.951 /* a stage; 1/600 at the end */

void assign_note(struct search *x)
{
	const struct state *s = x->s;
	if (s->over > x->best.over || (s->over == x->best.over && s->cost >= x->best.cost))
		return;
	memcpy(x->best.bin_of, s->bin_of, s->t->items * sizeof(*s->bin_of));
	x->best.cost = s->cost;
	x->best.over = s->over;
}

static double value_of(const struct search *x)
{
	return (double)x->s->cost + x->strict * (double)x->s->over;
}

/* -ln of a number drawn between 0 and 1, by arithmetic that is the same everywhere. */
static double draw_exponential(struct rand *rand)
{
	uint64_t bits = rand_next(rand) | 1;
	int zeros = __builtin_clzll(bits);
	double m = (double)(bits << zeros >> 11) / (double)((uint64_t)1 << 53); /* 1/2 to 1 */
	double q = (1 - m) / (1 + m);
	return 0.6931471805599453 * zeros + 2 * q * (1 + q * q / 3);
}

/* ---- moves that can be taken back ---- */

static void do_move(struct search *x, uint32_t item, uint32_t bin)
{
	if (x->s->bin_of[item] == bin)
		return;
	x->undo_item[x->undo_count] = item;
	x->undo_bin[x->undo_count++] = x->s->bin_of[item];
	assign_move(x->s, item, bin);
	x->s->steps++;
}

/* Keeps what was done since the last call if it is not worse by more than slack. */
static bool settle(struct search *x, double before, double slack)
{
	bool keep = x->undo_count > 0 && value_of(x) <= before + slack;
	if (keep)
		assign_note(x);
	else
		while (x->undo_count > 0) {
			x->undo_count--;
			assign_move(x->s, x->undo_item[x->undo_count], x->undo_bin[x->undo_count]);
		}
	x->undo_count = 0;
	return keep;
}

static bool is_open(const struct state *s, uint32_t item, uint32_t bin)
{
	const struct tables *t = s->t;
	return t->fixed[(size_t)t->component_of[item] * t->bins + bin] != ASSIGN_NEVER;
}

/* Puts the item on the best bin of the site, or on `bin` when that is one. */
static bool try_move(struct search *x, uint32_t item, uint32_t site, uint32_t bin, double slack)
{
	struct state *s = x->s;
	uint32_t old = s->bin_of[item];
	double before = value_of(x);
	struct price at_bin, at_site;
	assign_lift(s, item);
	if (bin == ASSIGN_NONE) {
		bin = assign_best_bin(s, item, site, x->strict, old, &at_bin);
	} else {
		at_bin = assign_price_bin(s, item, bin);
		s->steps++;
	}
	bool taken = false;
	if (bin != ASSIGN_NONE) {
		at_site = assign_price_site(s, item, s->t->bin[bin].site);
		double after = value_of(x) + (double)(at_site.cost + at_bin.cost) +
			       x->strict * (double)(at_site.over + at_bin.over);
		taken = after <= before + slack;
	}
	assign_drop(s, item, taken ? bin : old);
	if (taken)
		assign_note(x);
	return taken;
}

static bool try_swap(struct search *x, uint32_t i, uint32_t j, double slack)
{
	struct state *s = x->s;
	uint32_t a = s->bin_of[i], b = s->bin_of[j];
	if (a == b || !is_open(s, i, b) || !is_open(s, j, a) ||
		s->t->component_of[i] == s->t->component_of[j])
		return false;
	double before = value_of(x);
	do_move(x, i, b);
	do_move(x, j, a);
	return settle(x, before, slack);
}

/* One item to the other's site, and the other one to the site of the first: the best bins there. */
static bool try_exchange(struct search *x, uint32_t i, uint32_t j, double slack)
{
	struct state *s = x->s;
	uint32_t a = s->t->bin[s->bin_of[i]].site, b = s->t->bin[s->bin_of[j]].site;
	struct price price;
	double before = value_of(x);
	uint32_t old = s->bin_of[i];
	assign_lift(s, i);
	uint32_t bin = assign_best_bin(s, i, b, x->strict, s->bin_of[j], &price);
	assign_drop(s, i, old);
	do_move(x, i, is_open(s, i, s->bin_of[j]) || bin == ASSIGN_NONE ? old : bin);
	old = s->bin_of[j];
	assign_lift(s, j);
	bin = assign_best_bin(s, j, a, x->strict, ASSIGN_NONE, &price);
	assign_drop(s, j, old);
	if (bin != ASSIGN_NONE)
		do_move(x, j, bin);
	return settle(x, before, slack);
}

static void move_to_site(struct search *x, uint32_t item, uint32_t site, uint32_t not )
{
	struct state *s = x->s;
	struct price price;
	uint32_t old = s->bin_of[item];
	assign_lift(s, item);
	uint32_t bin = assign_best_bin(s, item, site, x->strict, not, &price);
	assign_drop(s, item, old);
	if (bin != ASSIGN_NONE)
		do_move(x, item, bin);
}

static void move_component(struct search *x, uint32_t c, uint32_t site)
{
	const struct component *k = &x->s->t->component[c];
	for (uint32_t i = 0; i < k->replicas; i++) {
		uint32_t item = k->first + i;
		if (x->s->t->bin[x->s->bin_of[item]].site != site)
			move_to_site(x, item, site, ASSIGN_NONE);
	}
}

static void move_component_to_bin(struct search *x, uint32_t c, uint32_t bin)
{
	const struct component *k = &x->s->t->component[c];
	for (uint32_t i = 0; i < k->replicas; i++)
		if (is_open(x->s, k->first + i, bin))
			do_move(x, k->first + i, bin);
}

/* A component and the one at the other end of one of its links, both to one site. partner: none. */
static bool try_group(struct search *x, uint32_t c, uint32_t partner, uint32_t site, double slack)
{
	double before = value_of(x);
	if (x->s->t->component[c].given->together == ASSIGN_SAME_BIN) {
		struct price price;
		uint32_t first = x->s->t->component[c].first, old = x->s->bin_of[first];
		assign_lift(x->s, first);
		uint32_t bin = assign_best_bin(x->s, first, site, x->strict, old, &price);
		assign_drop(x->s, first, old);
		if (bin != ASSIGN_NONE)
			move_component_to_bin(x, c, bin);
	} else {
		move_component(x, c, site);
	}
	if (partner != ASSIGN_NONE && partner != c)
		move_component(x, partner, site);
	return settle(x, before, slack);
}

/* All items of a bin to where they cost least but here; site: or there. */
static bool try_emptying(struct search *x, uint32_t bin, uint32_t site, double slack)
{
	struct state *s = x->s;
	double before = value_of(x);
	for (uint32_t i = 0; i < s->t->items; i++) {
		if (s->bin_of[i] != bin)
			continue;
		if (site != ASSIGN_NONE) {
			move_to_site(x, i, site, bin);
			continue;
		}
		struct price price;
		assign_lift(s, i);
		uint32_t to = assign_best(s, i, x->strict, bin, &price);
		assign_drop(s, i, bin);
		if (to != ASSIGN_NONE)
			do_move(x, i, to);
	}
	return settle(x, before, slack);
}

/* All that is at one site to another: a cluster that is at the wrong place moves as a whole. */
static bool try_site(struct search *x, uint32_t from, uint32_t to, double slack)
{
	struct state *s = x->s;
	double before = value_of(x);
	for (uint32_t i = 0; i < s->t->items && from != to; i++)
		if (s->t->bin[s->bin_of[i]].site == from)
			move_to_site(x, i, to, ASSIGN_NONE);
	return settle(x, before, slack);
}

/* The item takes the place of those on the bin that stand in its way: they go to the best bins that
 * remain. */
static bool try_ejection(struct search *x, uint32_t item, uint32_t bin, double slack)
{
	struct state *s = x->s;
	uint32_t other = ASSIGN_NONE;
	double before = value_of(x);
	if (!is_open(s, item, bin) || s->bin_of[item] == bin)
		return false;
	do_move(x, item, bin);
	uint32_t start = (uint32_t)rand_below(&x->rand, s->t->items);
	for (uint32_t k = 0; k < s->t->items && other == ASSIGN_NONE; k++) {
		uint32_t i = (start + k) % s->t->items;
		if (s->bin_of[i] == bin && i != item)
			other = i;
	}
	if (other != ASSIGN_NONE) {
		struct price price;
		assign_lift(s, other);
		uint32_t to = assign_best(s, other, x->strict, bin, &price);
		assign_drop(s, other, bin);
		if (to != ASSIGN_NONE)
			do_move(x, other, to);
	}
	return settle(x, before, slack);
}

/* ---- descent ---- */

bool assign_descend_items(struct search *x, uint64_t until)
{
	struct state *s = x->s;
	bool better = false;
	for (uint32_t n = 0, i = 0; n < s->t->items && s->steps < until; n++) {
		struct price price;
		uint32_t old = s->bin_of[i];
		double before = value_of(x);
		assign_lift(s, i);
		uint32_t bin = assign_best(s, i, x->strict, old, &price);
		double after = value_of(x) + (double)price.cost + x->strict * (double)price.over;
		bool take = bin != ASSIGN_NONE && after < before;
		assign_drop(s, i, take ? bin : old);
		if (take) {
			assign_note(x);
			better = true;
			n = 0;
		}
		i = i + 1 < s->t->items ? i + 1 : 0;
	}
	return better;
}

static bool descend_pairs(struct search *x, uint64_t until)
{
	uint32_t items = x->s->t->items;
	bool better = false;
	for (uint32_t i = 0; i < items; i++)
		for (uint32_t j = i + 1; j < items && x->s->steps < until; j++)
			better |= try_swap(x, i, j, -1);
	return better;
}

static bool descend_groups(struct search *x, uint64_t until)
{
	const struct tables *t = x->s->t;
	bool better = false;
	for (uint32_t c = 0; c < t->components; c++) {
		for (uint32_t i = t->open_site[c]; i < t->open_site[c + 1] && x->s->steps < until;
			i++)
			better |= try_group(x, c, ASSIGN_NONE, t->open_sites[i], -1);
	}
	for (uint32_t i = 0; i < t->items && x->s->steps < until; i++)
		better |= try_emptying(x, x->s->bin_of[i], ASSIGN_NONE, -1);
	for (uint32_t from = 0; from < t->sites; from++)
		for (uint32_t to = 0; x->s->busy_count[from] && to < t->sites; to++)
			if (x->s->steps < until)
				better |= try_site(x, from, to, -1);
	return better;
}

const char *assign_step_name(enum assign_step step)
{
	static const char *const names[] = {[ASSIGN_STEP_COARSE] = "coarse",
		[ASSIGN_STEP_STARTS] = "starts",
		[ASSIGN_STEP_ANNEAL] = "anneal",
		[ASSIGN_STEP_SWAP] = "swap",
		[ASSIGN_STEP_EXCHANGE] = "exchange",
		[ASSIGN_STEP_GROUP] = "group",
		[ASSIGN_STEP_EJECTION] = "ejection",
		[ASSIGN_STEP_EMPTYING] = "emptying",
		[ASSIGN_STEP_SITE] = "site",
		[ASSIGN_STEP_DESCENT] = "descent"};
	return (unsigned)step < ARRAY_SIZE(names) ? names[step] : "unknown";
}

bool assign_is_without(const struct search *x, enum assign_step step)
{
	return x->s->t->problem->without >> step & 1;
}

void assign_descend(struct search *x, uint64_t until)
{
	bool better = true;
	while (better && x->s->steps < until) {
		assign_descend_items(x, until);
		if (assign_is_without(x, ASSIGN_STEP_DESCENT))
			break;
		better = descend_pairs(x, until);
		better |= descend_groups(x, until);
	}
	assign_note(x);
}

/* ---- annealing ---- */

static uint32_t draw_site(struct search *x, uint32_t c)
{
	const struct tables *t = x->s->t;
	const struct component *k = &t->component[c];
	if (k->edge_count && rand_next(&x->rand) & 1) {
		const struct edge *e =
			&t->edges[k->edge_first + rand_below(&x->rand, k->edge_count)];
		const struct component *p = &t->component[e->partner];
		return t->bin[x->s->bin_of[p->first + rand_below(&x->rand, p->replicas)]].site;
	}
	uint32_t count = t->open_site[c + 1] - t->open_site[c];
	return t->open_sites[t->open_site[c] + rand_below(&x->rand, count)];
}

static uint32_t draw_partner(struct search *x, uint32_t c)
{
	const struct component *k = &x->s->t->component[c];
	if (k->edge_count == 0 || rand_next(&x->rand) & 1)
		return ASSIGN_NONE;
	return x->s->t->edges[k->edge_first + rand_below(&x->rand, k->edge_count)].partner;
}

static bool kind_is_left_out(const struct search *x, uint32_t kind)
{
	enum assign_step step = ASSIGN_STEP_COUNT;
	if (kind == 0)
		step = ASSIGN_STEP_SITE;
	else if (kind >= 96)
		step = kind < 110   ? ASSIGN_STEP_SWAP
		       : kind < 115 ? ASSIGN_STEP_EXCHANGE
		       : kind < 121 ? ASSIGN_STEP_GROUP
		       : kind < 124 ? ASSIGN_STEP_EJECTION
				    : ASSIGN_STEP_EMPTYING;
	return x->s->t->problem->without && step != ASSIGN_STEP_COUNT && assign_is_without(x, step);
}

static void propose(struct search *x, double heat)
{
	struct state *s = x->s;
	uint32_t items = s->t->items;
	uint32_t i = (uint32_t)rand_below(&x->rand, items),
		 j = (uint32_t)rand_below(&x->rand, items);
	uint32_t c = s->t->component_of[i], kind = (uint32_t)rand_below(&x->rand, 128);
	double slack = heat * draw_exponential(&x->rand);
	s->steps++;
	if (kind_is_left_out(x, kind))
		kind = 1;
	if (kind == 0 && rand_next(&x->rand) % 4 == 0)
		try_site(x, s->t->bin[s->bin_of[i]].site, draw_site(x, c), slack);
	else if (kind < 76)
		try_move(x, i, draw_site(x, c), ASSIGN_NONE, slack);
	else if (kind < 84)
		try_move(x, i, s->t->bin[s->bin_of[i]].site, ASSIGN_NONE, slack);
	else if (kind < 96 && is_open(s, i, s->bin_of[j]))
		try_move(x, i, 0, s->bin_of[j], slack);
	else if (kind < 110)
		try_swap(x, i, j, slack);
	else if (kind < 115)
		try_exchange(x, i, j, slack);
	else if (kind < 121)
		try_group(x, c, draw_partner(x, c), draw_site(x, c), slack);
	else if (kind < 124)
		try_ejection(x, i, s->bin_of[j], slack);
	else
		try_emptying(x, s->bin_of[i], kind < 126 ? draw_site(x, c) : ASSIGN_NONE, slack);
}

void assign_anneal(struct search *x, uint64_t until, double heat)
{
	double usual = x->strict;
	if (assign_is_without(x, ASSIGN_STEP_ANNEAL))
		heat = 0;
	uint64_t begun = x->s->steps, all = until > begun ? until - begun : 0;
	for (uint32_t stage = 1; stage <= STAGES; stage++) {
		while (x->s->steps < begun + all * stage / STAGES)
			propose(x, heat);
		heat *= COOLING;
		if (x->s->over > 0 && x->strict < usual * 1e4)
			x->strict *= 1.3;
		else if (x->s->over == 0 && x->strict > usual / 32 && stage < STAGES * 3 / 4)
			x->strict *= 0.9;
	}
	x->strict = usual;
}
