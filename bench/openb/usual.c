#include "openb/usual.h"

#include <stdbool.h>

#include "base/mem.h"

static bool alike(const struct openb_shape *a, const struct openb_shape *b)
{
	return a->cpu_milli == b->cpu_milli && a->gpus == b->gpus && a->gpu_milli == b->gpu_milli &&
	       a->models == b->models;
}

/* Most frequent first; of equals the larger one. */
static int compare(const void *left, const void *right)
{
	const struct openb_usual *a = left, *b = right;
	if (a->share != b->share)
		return a->share > b->share ? -1 : 1;
	if (a->shape.cpu_milli != b->shape.cpu_milli)
		return a->shape.cpu_milli > b->shape.cpu_milli ? -1 : 1;
	if (a->shape.gpu_milli != b->shape.gpu_milli)
		return a->shape.gpu_milli > b->shape.gpu_milli ? -1 : 1;
	if (a->shape.gpus != b->shape.gpus)
		return a->shape.gpus > b->shape.gpus ? -1 : 1;
	return a->shape.models > b->shape.models ? -1 : a->shape.models < b->shape.models;
}

static void count_in(struct openb_usuals *u, const struct openb_shape *s)
{
	struct openb_usual *at = NULL;
	VEC_EACH (&u->items, struct openb_usual, known)
		at = alike(&known->shape, s) ? known : at;
	if (!at) {
		at = vec_add(&u->items);
		at->shape = *s;
		at->shape.memory_mib = 0;
		at->shape.count = 0;
	}
	at->share += s->count;
}

void openb_usuals_make(const struct openb_trace *t, double cover, struct openb_usuals *ret_usuals)
{
	struct openb_usuals u = {0};
	VEC_EACH (&t->shapes, struct openb_shape, shape)
		count_in(&u, shape);
	if (u.items.count)
		qsort(u.items.items, u.items.count, sizeof(*u.items.items), compare);
	double covered = 0;
	size_t kept = 0;
	while (kept < u.items.count && covered < cover * (double)t->pods.count)
		covered += u.items.items[kept++].share;
	u.items.count = kept;
	VEC_EACH (&u.items, struct openb_usual, usual)
		usual->share /= covered;
	*ret_usuals = u;
}

void openb_usuals_done(struct openb_usuals *u)
{
	vec_done(&u->items);
}
