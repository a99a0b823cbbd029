/* Why there is no plan: what can be seen without a search, and the words for it. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "place/assign/tables.h"

const char *assign_constraint_name(enum assign_constraint constraint)
{
	static const char *const names[ASSIGN_C_COUNT] = {
		"bins", "room", "latency", "bandwidth", "data", "per bin", "per site", "together"};
	return constraint < ASSIGN_C_COUNT ? names[constraint] : "unknown";
}

static struct assign_reason reason_of(enum assign_constraint constraint, uint32_t component)
{
	struct assign_reason reason = ASSIGN_REASON_NONE;
	reason.constraint = constraint;
	reason.component = component;
	return reason;
}

/* ---- one component ---- */

static bool fits(const struct tables *t, uint32_t c, uint32_t bin, uint32_t resource)
{
	return t->need[c * t->r + resource] <= t->room[(size_t)bin * t->r + resource];
}

static bool anchor_lets(const struct tables *t, uint32_t a, uint32_t bin,
	enum assign_constraint *ret_broken)
{
	return assign_anchor_holds(t->problem, &t->problem->anchors[a], t->bin[bin].site,
		ret_broken);
}

/* A resource or an anchor that by itself rules out all bins that the component may go to. */
static bool ruled_out_by_one(const struct tables *t, uint32_t c, struct assign_reason *ret_reason)
{
	const struct assign_component *given = t->component[c].given;
	for (uint32_t k = 0; k < t->r; k++) {
		uint32_t b = 0;
		while (b < t->bins && !(assign_allows(given, b) && fits(t, c, b, k)))
			b++;
		*ret_reason = reason_of(ASSIGN_C_ROOM, c);
		ret_reason->resource = k;
		if (b == t->bins)
			return true;
	}
	for (uint32_t a = 0; a < t->problem->anchor_count; a++) {
		enum assign_constraint broken = ASSIGN_C_LATENCY;
		uint32_t b = 0;
		if (t->problem->anchors[a].component != c)
			continue;
		while (b < t->bins && !(assign_allows(given, b) && anchor_lets(t, a, b, &broken)))
			b++;
		*ret_reason = reason_of(broken, c);
		ret_reason->anchor = a;
		if (b == t->bins)
			return true;
	}
	return false;
}

/* A component without a bin: because of one constraint, or of several together. */
static bool component_is_shut_out(const struct tables *t, uint32_t c,
	struct assign_reason *ret_reason)
{
	if (t->open_site[c] < t->open_site[c + 1])
		return false;
	const struct assign_component *given = t->component[c].given;
	uint32_t b = 0;
	while (b < t->bins && !assign_allows(given, b))
		b++;
	if (b == t->bins || !ruled_out_by_one(t, c, ret_reason))
		*ret_reason = reason_of(ASSIGN_C_BINS, c);
	return true;
}

/* ---- counts ---- */

static bool too_many_replicas(const struct tables *t, uint32_t c, struct assign_reason *ret_reason)
{
	const struct assign_component *given = t->component[c].given;
	uint64_t bins = 0, sites = t->open_site[c + 1] - t->open_site[c];
	for (uint32_t s = 0; s < t->sites; s++)
		bins += t->list_total[(size_t)c * t->sites + s];
	*ret_reason = reason_of(ASSIGN_C_PER_BIN, c);
	if (given->per_bin_max && bins * given->per_bin_max < given->replicas)
		return true;
	*ret_reason = reason_of(ASSIGN_C_PER_SITE, c);
	if (given->per_site_max && sites * given->per_site_max < given->replicas)
		return true;
	*ret_reason = reason_of(ASSIGN_C_TOGETHER, c);
	return given->together == ASSIGN_SAME_BIN && given->per_bin_max &&
	       given->per_bin_max < given->replicas;
}

/* All replicas need more of a resource than there is on the bins that are open to any of them. */
static bool too_little_room(const struct tables *t, uint32_t resource)
{
	double need = 0, room = 0;
	for (uint32_t i = 0; i < t->items; i++)
		need += (double)t->need[t->component_of[i] * t->r + resource];
	for (uint32_t b = 0; b < t->bins; b++) {
		uint32_t c = 0;
		while (c < t->components && (t->fixed[(size_t)c * t->bins + b] == ASSIGN_NEVER ||
						    t->need[c * t->r + resource] == 0))
			c++;
		if (c < t->components)
			room += (double)t->room[(size_t)b * t->r + resource];
	}
	return need > room * (1 + 1e-9);
}

/* ---- links ---- */

static bool link_cannot_hold(const struct tables *t, uint32_t index)
{
	const struct assign_link *l = &t->problem->links[index];
	if (!l->hard || l->latency_ms == 0 || assign_pairs(t->problem, l) == 0)
		return false;
	for (uint32_t i = t->open_site[l->from]; i < t->open_site[l->from + 1]; i++)
		for (uint32_t j = t->open_site[l->to]; j < t->open_site[l->to + 1]; j++)
			if (assign_link_holds(t->problem, l, t->open_sites[i], t->open_sites[j]))
				return false;
	return true;
}

bool assign_impossible(const struct tables *t, struct assign_reason *ret_reason)
{
	for (uint32_t c = 0; c < t->components; c++)
		if (component_is_shut_out(t, c, ret_reason))
			return true;
	for (uint32_t c = 0; c < t->components; c++)
		if (too_many_replicas(t, c, ret_reason))
			return true;
	for (uint32_t k = 0; k < t->r; k++) {
		*ret_reason = reason_of(ASSIGN_C_ROOM, ASSIGN_NONE);
		ret_reason->resource = k;
		if (too_little_room(t, k))
			return true;
	}
	for (uint32_t l = 0; l < t->problem->link_count; l++) {
		*ret_reason = reason_of(ASSIGN_C_LATENCY, ASSIGN_NONE);
		ret_reason->link = l;
		if (link_cannot_hold(t, l))
			return true;
	}
	return false;
}

/* ---- words ---- */

static void write_name(struct buf *b, const char *what, const char *name, uint32_t index)
{
	if (name)
		buf_printf(b, "%s %s", what, name);
	else
		buf_printf(b, "%s %u", what, index);
}

static void write_component(const struct assign_problem *p, uint32_t c, struct buf *b)
{
	write_name(b, "component", p->components[c].name, c);
}

static void write_site(const struct assign_problem *p, uint32_t s, struct buf *b)
{
	write_name(b, "site", p->sites.names ? p->sites.names[s] : NULL, s);
}

static void write_room(const struct assign_problem *p, const struct assign_reason *r, struct buf *b)
{
	const char *resource = p->resources ? p->resources[r->resource] : "room";
	if (r->component != ASSIGN_NONE) {
		write_component(p, r->component, b);
		buf_printf(b, " needs more %s than any node that it may go to has", resource);
	} else if (r->bin != ASSIGN_NONE) {
		write_name(b, "node", p->bins[r->bin].name, r->bin);
		buf_printf(b, " has too little %s", resource);
	} else {
		buf_printf(b, "all replicas together need more %s than there is", resource);
	}
}

static void write_ends(const struct assign_problem *p, const struct assign_reason *r, struct buf *b)
{
	uint32_t first =
		r->link != ASSIGN_NONE ? p->links[r->link].from : p->anchors[r->anchor].component;
	buf_append_string(b, "the link between ");
	write_component(p, first, b);
	buf_append_string(b, " and ");
	if (r->link != ASSIGN_NONE)
		write_component(p, p->links[r->link].to, b);
	else
		write_site(p, p->anchors[r->anchor].site, b);
}

static void write_path(const struct assign_problem *p, const struct assign_reason *r, struct buf *b)
{
	buf_append_string(b, "the path from ");
	write_site(p, r->from_site, b);
	buf_append_string(b, " to ");
	write_site(p, r->to_site, b);
	buf_append_string(b, " has too little bandwidth for the traffic");
}

void assign_reason_write(const struct assign_problem *p, const struct assign_reason *r,
	struct buf *b)
{
	switch (r->constraint) {
	case ASSIGN_C_ROOM:
		write_room(p, r, b);
		return;
	case ASSIGN_C_LATENCY:
		write_ends(p, r, b);
		buf_append_string(b, " is longer than its latency bound wherever they may go");
		return;
	case ASSIGN_C_DATA:
		write_ends(p, r, b);
		buf_append_string(b, " has no path for its data");
		return;
	case ASSIGN_C_BANDWIDTH:
		write_path(p, r, b);
		return;
	default:
		write_component(p, r->component, b);
	}
	static const char *const rest[ASSIGN_C_COUNT] = {
		[ASSIGN_C_BINS] = " has no node that it may go to",
		[ASSIGN_C_PER_BIN] = " has more replicas than may be on the nodes",
		[ASSIGN_C_PER_SITE] = " has more replicas than may be at the sites",
		[ASSIGN_C_TOGETHER] = " cannot be kept together"};
	buf_append_string(b, rest[r->constraint] ? rest[r->constraint] : " is in the way");
}
