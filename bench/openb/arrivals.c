#include "openb/arrivals.h"

#include <string.h>

#include "base/mem.h"
#include "base/rand.h"

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const struct openb_pod *const *)a)->name,
		(*(const struct openb_pod *const *)b)->name);
}

static const struct openb_pod **sort_by_name(const struct openb_trace *t)
{
	const struct openb_pod **sorted = mem_alloc_array(t->pods.count, sizeof(*sorted));
	for (size_t i = 0; i < t->pods.count; i++)
		sorted[i] = &t->pods.items[i];
	qsort(sorted, t->pods.count, sizeof(*sorted), compare_names);
	return sorted;
}

static void shuffle(struct openb_arrivals *a, struct rand *r)
{
	for (size_t i = a->shapes.count; i > 1; i--) {
		size_t j = (size_t)rand_below(r, i);
		uint32_t shape = a->shapes.items[i - 1];
		a->shapes.items[i - 1] = a->shapes.items[j];
		a->shapes.items[j] = shape;
	}
}

static void remove_some(const struct openb_trace *t, struct openb_arrivals *a, struct rand *r,
	double most)
{
	while ((double)a->gpu_milli > most) {
		size_t i = (size_t)rand_below(r, a->shapes.count);
		a->gpu_milli -= openb_shape_gpu_total(&t->shapes.items[a->shapes.items[i]]);
		vec_remove(&a->shapes, i);
	}
}

static void append_some(const struct openb_trace *t, const struct openb_pod *const *pods,
	struct openb_arrivals *a, struct rand *r, double most)
{
	for (;;) {
		uint32_t shape = pods[rand_below(r, t->pods.count)]->shape;
		const struct openb_shape *s = &t->shapes.items[shape];
		if ((double)(a->gpu_milli + s->gpu_milli) > most)
			return;
		vec_push(&a->shapes, shape);
		a->gpu_milli += openb_shape_gpu_total(s);
	}
}

int openb_arrivals_make(const struct openb_trace *t, uint64_t seed, double load,
	struct openb_arrivals *ret_arrivals, struct err *e)
{
	struct openb_arrivals a = {0};
	const double most = load * (double)t->gpu_milli;
	CLEANUP(mem_free_ptr) const struct openb_pod **sorted = sort_by_name(t);
	for (size_t i = 0; i < t->pods.count; i++) {
		vec_push(&a.shapes, sorted[i]->shape);
		a.gpu_milli += openb_shape_gpu_total(&t->shapes.items[sorted[i]->shape]);
	}
	if (!a.gpu_milli) {
		openb_arrivals_done(&a);
		return err_set(e, ERR_INVALID,
			"no pod of the trace asks for a GPU: no load could be reached");
	}
	struct rand r;
	rand_init(&r, seed);
	shuffle(&a, &r);
	if ((double)a.gpu_milli > most)
		remove_some(t, &a, &r, most);
	else
		append_some(t, sorted, &a, &r, most);
	*ret_arrivals = a;
	return 0;
}

void openb_arrivals_done(struct openb_arrivals *a)
{
	vec_done(&a->shapes);
	a->gpu_milli = 0;
}
