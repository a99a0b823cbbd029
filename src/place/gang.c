/* Gangs: wants that stand or fall together. Each of them gets its minimum in one attempt, or all
 * that the attempt put is taken out again. */
#include <stdlib.h>

#include "base/mem.h"
#include "place/solver.h"

/* ---- who is in which ---- */

static bool is_in_any(const struct place_want *w)
{
	return w->gang != 0 || w->gang_minimum > 0;
}

struct member {
	uint32_t gang, turn; /* gang 0: a want that is one by itself */
	uint32_t want;
};

static int compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	if (x->gang != y->gang)
		return x->gang < y->gang ? -1 : 1;
	return x->turn < y->turn ? -1 : x->turn > y->turn;
}

void place_gangs_init(struct solver *s, const struct turn *turns)
{
	VEC(struct member) members = {0};
	for (uint32_t i = 0; i < s->problem->want_count; i++) {
		const struct place_want *w = &s->problem->wants[turns[i].want];
		if (is_in_any(w))
			vec_push(&members, (struct member){w->gang, i, turns[i].want});
	}
	if (members.count == 0)
		return;
	qsort(members.items, members.count, sizeof(*members.items), compare_members);
	s->gang_of = mem_alloc_array(s->problem->want_count, sizeof(*s->gang_of));
	for (uint32_t i = 0; i < s->problem->want_count; i++)
		s->gang_of[i] = PLACE_NONE;
	for (size_t i = 0; i < members.count; i++) {
		const struct member *m = &members.items[i];
		if (i == 0 || m->gang == 0 || m->gang != members.items[i - 1].gang)
			(void)vec_add(&s->gangs);
		struct gang *g = &s->gangs.items[s->gangs.count - 1];
		vec_push(&g->wants, m->want);
		g->minimum += s->problem->wants[m->want].gang_minimum;
		s->gang_of[m->want] = (uint32_t)s->gangs.count - 1;
	}
	vec_done(&members);
}

void place_gangs_done(struct solver *s)
{
	VEC_EACH (&s->gangs, struct gang, g)
		vec_done(&g->wants);
	vec_done(&s->gangs);
	free(s->gang_of);
	s->gang_of = NULL;
}

/* ---- attempts ---- */

/* need: by place in the gang, what its wants lack. Again while somebody was placed: others may seek
 * their company. */
static int place_minimum(struct solver *s, const struct gang *g, uint32_t *need, struct err *e)
{
	size_t before;
	bool lacking;
	do {
		before = s->assignments.count;
		lacking = false;
		for (size_t i = 0; i < g->wants.count; i++) {
			int rc = place_solver_replicas(s, g->wants.items[i], &need[i], e);
			if (rc != 0)
				return rc;
			lacking = lacking || need[i] > 0;
		}
	} while (lacking && s->assignments.count > before);
	return 0;
}

static uint32_t *minima(const struct solver *s, const struct gang *g)
{
	uint32_t *need = mem_alloc_array(g->wants.count, sizeof(*need));
	for (size_t i = 0; i < g->wants.count; i++)
		need[i] = s->problem->wants[g->wants.items[i]].gang_minimum;
	return need;
}

/* The want that lacks a node, as a place in the gang; PLACE_NONE. */
static uint32_t lacking_of(const struct gang *g, const uint32_t *need)
{
	for (uint32_t i = 0; i < g->wants.count; i++)
		if (need[i] > 0)
			return i;
	return PLACE_NONE;
}

/* What was learned in an attempt does not hold without it. */
static void take_back(struct solver *s, const struct gang *g, const struct solver_mark *mark)
{
	place_solver_rollback(s, mark);
	VEC_EACH (&g->wants, uint32_t, want) {
		uint32_t shape = s->problem->wants[*want].shape;
		if (s->surveyed)
			s->surveyed[shape].done = false;
		if (s->spared)
			s->spared[shape].known = false;
	}
}

static bool are_alike(const struct solver *s, const struct gang *a, const struct gang *b)
{
	if (a->wants.count != b->wants.count)
		return false;
	for (size_t i = 0; i < a->wants.count; i++) {
		const struct place_want *x = &s->problem->wants[a->wants.items[i]];
		const struct place_want *y = &s->problem->wants[b->wants.items[i]];
		if (x->shape != y->shape || x->node != y->node || x->priority != y->priority ||
			x->gang_minimum != y->gang_minimum)
			return false;
	}
	return true;
}

/* The gang before this one failed as this one would: nothing changed since. */
static const struct gang *failed_alike(const struct solver *s, const struct gang *g)
{
	const struct gang *other = g - 1;
	if (g == s->gangs.items || other->failed_at != s->assignments.count + 1)
		return NULL;
	return are_alike(s, g, other) ? other : NULL;
}

int place_gang_try(struct solver *s, struct gang *g, uint32_t *left, struct err *e)
{
	if (failed_alike(s, g))
		g->failed_at = s->assignments.count + 1;
	if (g->failed_at == s->assignments.count + 1 || place_solver_exhausted(s))
		return 0;
	struct solver_mark mark = place_solver_mark(s);
	uint32_t *need = minima(s, g);
	int rc = place_minimum(s, g, need, e);
	g->whole = rc == 0 && lacking_of(g, need) == PLACE_NONE;
	for (size_t i = 0; g->whole && i < g->wants.count; i++)
		left[g->wants.items[i]] -= s->problem->wants[g->wants.items[i]].gang_minimum;
	if (!g->whole) {
		take_back(s, g, &mark);
		g->failed_at = s->assignments.count + 1;
	}
	free(need);
	return rc;
}

/* ---- refusals ---- */

static void refuse_all(struct solver *s, struct gang *g, const struct place_refusal *why)
{
	g->refusal = s->refusals.count + 1;
	for (size_t i = 0; i < g->wants.count; i++) {
		struct place_refusal r = *why;
		r.want = g->wants.items[i];
		r.count = s->problem->wants[r.want].count;
		r.gang_minimum = g->minimum;
		r.reasons = NULL;
		place_solver_copy_reasons(&r, why);
		vec_push(&s->refusals, r);
	}
}

/* As the gang before this one was, when nothing changed since: many that are alike are refused as
 * fast as one. */
static bool refuse_alike(struct solver *s, struct gang *g)
{
	const struct gang *other = failed_alike(s, g);
	if (!other || other->refusal == 0)
		return false;
	struct place_refusal why = s->refusals.items[other->refusal - 1];
	for (size_t i = 0; i < g->wants.count; i++)
		if (other->wants.items[i] == why.gang_want) {
			why.gang_want = g->wants.items[i];
			break;
		}
	refuse_all(s, g, &why);
	return true;
}

/* Once more as far as it goes, to see what is in the way then. */
int place_gang_refuse(struct solver *s, struct gang *g, struct err *e)
{
	if (refuse_alike(s, g))
		return 0;
	struct place_refusal why = {.nodes = s->p->node_count, .displaced = PLACE_NONE};
	struct solver_mark mark = place_solver_mark(s);
	uint32_t *need = minima(s, g);
	int rc = place_solver_exhausted(s) ? 0 : place_minimum(s, g, need, e);
	uint32_t lacking = lacking_of(g, need);
	if (lacking == PLACE_NONE)
		lacking = 0;
	const struct place_want *w = &s->problem->wants[g->wants.items[lacking]];
	why.gang_want = g->wants.items[lacking];
	why.gang_placed = (uint32_t)(s->assignments.count - mark.assignments);
	if (rc == 0 && !place_solver_exhausted(s))
		place_explain(s->p, w->shape, w->node, NULL, &why, &s->steps);
	else
		why.undecided = true;
	take_back(s, g, &mark);
	if (rc == 0)
		refuse_all(s, g, &why);
	free(why.reasons);
	free(need);
	return rc;
}
