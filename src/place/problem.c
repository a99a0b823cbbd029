/* Whether a problem asks for what can be: gangs, budgets, pins, moves and changes. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "place/solver.h"

static bool is_pod(const struct place *p, uint32_t pod)
{
	return pod < p->pods.count && p->pods.items[pod].node != PLACE_NONE;
}

static bool is_node(const struct place *p, uint32_t node)
{
	return node < p->nodes.count && p->nodes.items[node].used;
}

static int compare_pod_budgets(const void *a, const void *b)
{
	const struct place_pod_budget *x = a, *y = b;
	if (x->pod != y->pod)
		return x->pod < y->pod ? -1 : 1;
	return x->budget < y->budget ? -1 : x->budget > y->budget;
}

/* A pod that were counted twice in a budget would hold back others. */
static int check_twice(const struct place_problem *problem, struct err *e)
{
	uint32_t count = problem->pod_budget_count;
	struct place_pod_budget *sorted = mem_alloc_array(count, sizeof(*sorted));
	int rc = 0;
	for (uint32_t i = 0; i < count; i++)
		sorted[i] = problem->pod_budgets[i];
	if (count)
		qsort(sorted, count, sizeof(*sorted), compare_pod_budgets);
	for (uint32_t i = 1; i < count && rc == 0; i++)
		if (compare_pod_budgets(&sorted[i - 1], &sorted[i]) == 0)
			rc = err_set(e, ERR_INVALID, "pod %u is in budget %s twice", sorted[i].pod,
				problem->budgets[sorted[i].budget].name);
	free(sorted);
	return rc;
}

static int check_budgets(const struct place *p, const struct place_problem *problem, struct err *e)
{
	bool takes = problem->mode == PLACE_PREEMPT || problem->mode == PLACE_REBALANCE;
	if (!takes && (problem->budget_count || problem->pod_budget_count))
		return err_set(e, ERR_INVALID, "budgets are for preempt and rebalance only");
	if (!takes && problem->mode != PLACE_WHAT_IF && problem->pinned_count)
		return err_set(e, ERR_INVALID, "no pods move or go in this mode, none are pinned");
	for (uint32_t i = 0; i < problem->budget_count; i++)
		if (str_empty(problem->budgets[i].name))
			return err_set(e, ERR_INVALID, "budget %u has no name", i);
	for (uint32_t i = 0; i < problem->pod_budget_count; i++) {
		const struct place_pod_budget *x = &problem->pod_budgets[i];
		if (x->budget >= problem->budget_count)
			return err_set(e, ERR_INVALID, "pod %u is said to be in budget %u, of %u",
				x->pod, x->budget, problem->budget_count);
		if (!is_pod(p, x->pod))
			return err_set(e, ERR_INVALID,
				"budget %s: there is no pod %u in the tables",
				problem->budgets[x->budget].name, x->pod);
	}
	for (uint32_t i = 0; i < problem->pinned_count; i++)
		if (!is_pod(p, problem->pinned[i]))
			return err_set(e, ERR_INVALID, "pinned: there is no pod %u in the tables",
				problem->pinned[i]);
	return check_twice(problem, e);
}

static int check_rebalance(const struct place_problem *problem, struct err *e)
{
	bool rebalances = problem->mode == PLACE_REBALANCE;
	if (!rebalances && (problem->moves_max || problem->gain_min != 0))
		return err_set(e, ERR_INVALID, "moves_max and gain_min are for a rebalance only");
	if (!rebalances)
		return 0;
	if (problem->want_count)
		return err_set(e, ERR_INVALID, "a rebalance places no wants, here are %u",
			problem->want_count);
	if (problem->weights && problem->weights->of[PLACE_TERM_MOVE] < 0)
		return err_set(e, ERR_INVALID, "weight of move is below 0");
	if (problem->moves_max == 0)
		return err_set(e, ERR_INVALID, "a rebalance with moves_max 0");
	if (!isfinite(problem->gain_min) || problem->gain_min < 0)
		return err_set(e, ERR_INVALID, "gain_min is no number from 0");
	return 0;
}

static int check_change(const struct place *p, const struct place_change *c, uint32_t i,
	struct err *e)
{
	if ((unsigned)c->kind > PLACE_DRAIN)
		return err_set(e, ERR_INVALID, "change %u is of no known kind", i);
	if (c->kind != PLACE_ADD)
		return is_node(p, c->node) ? 0
					   : err_set(e, ERR_INVALID,
						     "change %u: there is no node %u", i, c->node);
	if (!c->add || str_empty(c->add->name))
		return err_set(e, ERR_INVALID, "change %u adds a node without a name", i);
	if (place_node_find(p, c->add->name) != PLACE_NONE)
		return err_set(e, ERR_INVALID, "change %u adds node %s, which is there", i,
			c->add->name);
	return 0;
}

static int check_changes(const struct place *p, const struct place_problem *problem, struct err *e)
{
	if (problem->mode != PLACE_WHAT_IF)
		return problem->change_count
			       ? err_set(e, ERR_INVALID, "changes of nodes are for a what-if only")
			       : 0;
	if (problem->apply)
		return err_set(e, ERR_INVALID, "a what-if is not applied");
	if (problem->change_count > PLACE_NODES_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %u changes", PLACE_NODES_MAX);
	CLEANUP(place_bits_done)
	struct bits gone = {0};
	for (uint32_t i = 0; i < problem->change_count; i++) {
		const struct place_change *c = &problem->changes[i];
		int rc = check_change(p, c, i, e);
		if (rc != 0)
			return rc;
		if (c->kind == PLACE_ADD)
			continue;
		if (place_bits_get(&gone, c->node))
			return err_set(e, ERR_INVALID, "change %u: node %s was removed before", i,
				place_node_name(p, c->node));
		if (c->kind == PLACE_REMOVE)
			place_bits_set(&gone, c->node, true);
	}
	for (uint32_t i = 0; i < problem->want_count; i++)
		if (problem->wants[i].node != PLACE_NONE &&
			place_bits_get(&gone, problem->wants[i].node))
			return err_set(e, ERR_INVALID, "want %u is for node %s, which is removed",
				i, place_node_name(p, problem->wants[i].node));
	return 0;
}

int place_problem_check_modes(const struct place *p, const struct place_problem *problem,
	struct err *e)
{
	for (uint32_t i = 0; i < problem->want_count; i++) {
		const struct place_want *w = &problem->wants[i];
		if (w->gang_minimum > w->count)
			return err_set(e, ERR_INVALID,
				"want %u: a gang of %u or more with %u replicas", i,
				w->gang_minimum, w->count);
	}
	int rc = check_rebalance(problem, e);
	if (rc == 0)
		rc = check_changes(p, problem, e);
	return rc == 0 ? check_budgets(p, problem, e) : rc;
}
