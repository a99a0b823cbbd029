#include "openb/worth.h"

#include <string.h>

#include "base/mem.h"
#include "openb/usable.h"

#define GPU_OFFERS 32
#define WHOLE_WEIGHT 0.3
#define PRICE_WEIGHT 2.0

/* A pod that does not fit is passed over, and the next one tried with this probability: CPU that
 * only the smallest pods can use counts for less. */
#define TRY_ON 0.9

/* The grid of `enough`: up to two GPUs and 130 cores; between its points it is interpolated. */
#define GPU_POOL 2000
#define GPU_STEP 50
#define CPU_STEP 1000
#define GPU_POINTS (GPU_POOL / GPU_STEP + 1)
#define CPU_POINTS 131

struct openb_worth {
	double fill[OPENB_GPU_MILLI + 1];
	double enough[GPU_POINTS][CPU_POINTS];
	double price[OPENB_MODELS_MAX];
	struct openb_usable *usable; /* for shapes of several GPUs */
};

/* ---- fill ---- */

struct offer {
	int milli;
	double share; /* of the pods of one GPU or less */
};
struct offers {
	VEC(struct offer) items;
};

/* One more offer: each usual pod comes with its share, and goes by when it does not fit. */
static void offer_once(const struct offers *offers, double fill[static OPENB_GPU_MILLI + 1])
{
	double next[OPENB_GPU_MILLI + 1];
	memcpy(next, fill, sizeof(next));
	VEC_EACH (&offers->items, struct offer, o)
		for (int left = o->milli; left <= OPENB_GPU_MILLI; left++)
			next[left] += o->share * (o->milli + fill[left - o->milli] - fill[left]);
	memcpy(fill, next, sizeof(next));
}

static void make_fill(struct openb_worth *w, const struct openb_usuals *usuals)
{
	double share[OPENB_GPU_MILLI + 1] = {0}, all = 0;
	struct offers offers = {0};
	VEC_EACH (&usuals->items, struct openb_usual, usual)
		if (usual->shape.gpus == 1) {
			share[usual->shape.gpu_milli] += usual->share;
			all += usual->share;
		}
	for (int milli = 1; milli <= OPENB_GPU_MILLI; milli++)
		if (share[milli] > 0)
			vec_push(&offers.items,
				(struct offer){.milli = milli, .share = share[milli] / all});
	for (int i = 0; i < GPU_OFFERS; i++)
		offer_once(&offers, w->fill);
	vec_done(&offers.items);
}

/* ---- enough ---- */

static double between(const double table[static GPU_POINTS][CPU_POINTS], double gpu, double cpu)
{
	double g = gpu / GPU_STEP, c = cpu / CPU_STEP;
	int i = g < GPU_POINTS - 1 ? (int)g : GPU_POINTS - 2;
	int j = c < CPU_POINTS - 1 ? (int)c : CPU_POINTS - 2;
	g -= i;
	c = c < CPU_POINTS - 1 ? c - j : 1;
	return (1 - g) * ((1 - c) * table[i][j] + c * table[i][j + 1]) +
	       g * ((1 - c) * table[i + 1][j] + c * table[i + 1][j + 1]);
}

/* What usual pods of at most one GPU take of so much GPU and CPU, all devices seen as one. The
 * table holds what is known of less GPU already. */
static double taken_of(const double table[static GPU_POINTS][CPU_POINTS],
	const struct openb_usuals *usuals, double gpu, double cpu)
{
	double sum = 0, fits = 0, all = 0;
	VEC_EACH (&usuals->items, struct openb_usual, usual) {
		double takes = openb_shape_gpu_total(&usual->shape);
		if (usual->shape.gpus != 1)
			continue;
		all += usual->share;
		if (takes > gpu || usual->shape.cpu_milli > cpu)
			continue;
		fits += usual->share;
		sum += usual->share *
		       (takes + between(table, gpu - takes, cpu - usual->shape.cpu_milli));
	}
	return all > 0 ? sum / (all - TRY_ON * (all - fits)) : 0;
}

/* The same with CPU without end. */
static double taken_of_gpu(const double known[static GPU_POINTS], const struct openb_usuals *usuals,
	double gpu)
{
	double sum = 0, fits = 0, all = 0;
	VEC_EACH (&usuals->items, struct openb_usual, usual) {
		double takes = openb_shape_gpu_total(&usual->shape);
		if (usual->shape.gpus != 1)
			continue;
		all += usual->share;
		if (takes > gpu)
			continue;
		double rest = (gpu - takes) / GPU_STEP;
		int i = rest < GPU_POINTS - 1 ? (int)rest : GPU_POINTS - 2;
		fits += usual->share;
		sum += usual->share *
		       (takes + (1 - (rest - i)) * known[i] + (rest - i) * known[i + 1]);
	}
	return all > 0 ? sum / (all - TRY_ON * (all - fits)) : 0;
}

/* A pod of less than a step reads the row that is being made, where it counts as the row before. */
static void make_enough(struct openb_worth *w, const struct openb_usuals *usuals)
{
	double unbound[GPU_POINTS] = {0};
	for (int i = 1; i < GPU_POINTS; i++) {
		unbound[i] = unbound[i - 1];
		unbound[i] = taken_of_gpu(unbound, usuals, i * GPU_STEP);
		for (int j = 0; j < CPU_POINTS; j++) {
			w->enough[i][j] = w->enough[i - 1][j];
			w->enough[i][j] = taken_of(w->enough, usuals, i * GPU_STEP, j * CPU_STEP);
		}
	}
	for (int i = 1; i < GPU_POINTS; i++)
		for (int j = 0; j < CPU_POINTS; j++)
			w->enough[i][j] = unbound[i] > 0 ? w->enough[i][j] / unbound[i] : 1;
	memcpy(w->enough[0], w->enough[1], sizeof(w->enough[0]));
}

/* ---- price ---- */

static double supply_of(const struct openb_trace *t, uint32_t models)
{
	double devices = 0;
	VEC_EACH (&t->nodes, struct openb_node, node)
		if (!models || models >> node->model & 1u)
			devices += node->devices;
	return devices;
}

static void make_price(struct openb_worth *w, const struct openb_usuals *usuals,
	const struct openb_trace *t)
{
	double load = 0, supply = supply_of(t, 0);
	for (int m = 0; m < OPENB_MODELS_MAX; m++)
		w->price[m] = 1;
	VEC_EACH (&usuals->items, struct openb_usual, usual)
		load += usual->share * openb_shape_gpu_total(&usual->shape);
	VEC_EACH (&usuals->items, struct openb_usual, usual) {
		double able = supply_of(t, usual->shape.models);
		double asked = usual->share * openb_shape_gpu_total(&usual->shape);
		for (int m = 0; m < OPENB_MODELS_MAX && able > 0 && load > 0; m++)
			if (usual->shape.models >> m & 1u)
				w->price[m] += PRICE_WEIGHT * (asked / load) / (able / supply);
	}
}

struct openb_worth *openb_worth_new(const struct openb_usuals *usuals, const struct openb_trace *t)
{
	struct openb_worth *w = mem_new(struct openb_worth);
	make_fill(w, usuals);
	make_enough(w, usuals);
	make_price(w, usuals, t);
	w->usable = openb_usable_new(usuals, t->models.count);
	return w;
}

void openb_worth_free(struct openb_worth *w)
{
	openb_usable_free(w->usable);
	free(w);
}

double openb_worth_fill(const struct openb_worth *w, int16_t gpu_left)
{
	return w->fill[gpu_left];
}

double openb_worth_enough(const struct openb_worth *w, int32_t gpu_left_total, int32_t cpu_left)
{
	if (gpu_left_total <= GPU_POOL)
		return between(w->enough, gpu_left_total, cpu_left);
	return between(w->enough, GPU_POOL, (double)cpu_left * GPU_POOL / gpu_left_total);
}

double openb_worth_price(const struct openb_worth *w, uint8_t model)
{
	return w->price[model];
}

double openb_worth_of(const struct openb_worth *w, uint8_t model, int32_t cpu_left,
	const int16_t *gpu_left, uint8_t devices)
{
	double fill = 0;
	int total = 0, whole = 0;
	for (int d = 0; d < devices; d++) {
		fill += w->fill[gpu_left[d]];
		total += gpu_left[d];
		whole += gpu_left[d] == OPENB_GPU_MILLI;
	}
	if (!total)
		return 0;
	return w->price[model] *
	       (fill * openb_worth_enough(w, total, cpu_left) +
		       WHOLE_WEIGHT * openb_usable_whole(w->usable, model, cpu_left, whole));
}
