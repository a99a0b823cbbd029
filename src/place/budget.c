/* Which pods may go: budgets and pins of a problem. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/solver.h"

static void index_pods(struct budgets *b, const struct place_problem *problem)
{
	b->first = mem_alloc_array(b->pod_count + 1, sizeof(*b->first));
	b->of_pod = mem_alloc_array(problem->pod_budget_count, sizeof(*b->of_pod));
	for (uint32_t i = 0; i < problem->pod_budget_count; i++)
		b->first[problem->pod_budgets[i].pod + 1]++;
	for (size_t i = 0; i < b->pod_count; i++)
		b->first[i + 1] += b->first[i];
	uint32_t *at = mem_alloc_array(b->pod_count, sizeof(*at));
	memcpy(at, b->first, b->pod_count * sizeof(*at));
	for (uint32_t i = 0; i < problem->pod_budget_count; i++) {
		const struct place_pod_budget *x = &problem->pod_budgets[i];
		b->of_pod[at[x->pod]++] = x->budget;
	}
	free(at);
}

void place_budgets_init(struct solver *s)
{
	const struct place_problem *problem = s->problem;
	struct budgets *b = &s->budgets;
	b->pod_count = s->p->pods.count;
	b->allowed = mem_alloc_array(problem->budget_count, sizeof(*b->allowed));
	for (uint32_t i = 0; i < problem->budget_count; i++)
		b->allowed[i] = problem->budgets[i].allowed;
	for (uint32_t i = 0; i < problem->pinned_count; i++)
		place_bits_set(&b->pinned, problem->pinned[i], true);
	if (problem->pod_budget_count)
		index_pods(b, problem);
}

void place_budgets_done(struct budgets *b)
{
	free(b->allowed);
	free(b->first);
	free(b->of_pod);
	place_bits_done(&b->pinned);
	*b = (struct budgets){0};
}

const uint32_t *place_budgets_of(const struct budgets *b, uint32_t pod, uint32_t *ret_count)
{
	*ret_count = 0;
	if (!b->first || pod >= b->pod_count)
		return NULL;
	*ret_count = b->first[pod + 1] - b->first[pod];
	return b->of_pod + b->first[pod];
}

bool place_budgets_let(const struct budgets *b, uint32_t pod)
{
	uint32_t count;
	const uint32_t *of = place_budgets_of(b, pod, &count);
	for (uint32_t i = 0; i < count; i++)
		if (b->allowed[of[i]] == 0)
			return false;
	return !place_bits_get(&b->pinned, pod);
}

void place_budgets_take(struct budgets *b, uint32_t pod, int64_t count)
{
	uint32_t of_count;
	const uint32_t *of = place_budgets_of(b, pod, &of_count);
	for (uint32_t i = 0; i < of_count; i++)
		b->allowed[of[i]] = (uint32_t)((int64_t)b->allowed[of[i]] - count);
}
