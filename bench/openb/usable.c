#include "openb/usable.h"

#include <stdbool.h>

#include "base/mem.h"

/* Both tables have a row for each model and each class of CPU, a class being all amounts that are
 * enough for the same shapes. One-GPU shapes add up by device: what a device of level l
 * (thousandths for which the same shares fit) is worth. Shapes with several GPUs take whole
 * devices: what n whole ones are worth. */
struct openb_usable {
	VEC(int32_t) cpus; /* ascending; class i: enough for the first i */
	uint16_t level[OPENB_GPU_MILLI + 1];
	size_t levels; /* level 0: too small for all */
	double *by_device;
	double (*by_whole)[OPENB_DEVICES_MAX + 1];
};

static int compare_cpus(const void *a, const void *b)
{
	int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
	return (left > right) - (left < right);
}

static void sort_out(struct openb_usable *u, const struct openb_usuals *usuals)
{
	bool asked[OPENB_GPU_MILLI + 1] = {false};
	VEC_EACH (&usuals->items, struct openb_usual, usual) {
		if (!usual->shape.gpus)
			continue;
		vec_push(&u->cpus, usual->shape.cpu_milli);
		asked[usual->shape.gpu_milli] = true;
	}
	if (u->cpus.count)
		qsort(u->cpus.items, u->cpus.count, sizeof(int32_t), compare_cpus);
	for (size_t milli = 0; milli <= OPENB_GPU_MILLI; milli++) {
		u->levels += asked[milli];
		u->level[milli] = (uint16_t)u->levels;
	}
	u->levels++;
}

static size_t cpu_class(const struct openb_usable *u, int32_t cpu_left)
{
	size_t low = 0, high = u->cpus.count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (u->cpus.items[middle] <= cpu_left)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void fill(struct openb_usable *u, const struct openb_usual *usual, size_t row)
{
	const struct openb_shape *s = &usual->shape;
	double *by_device = u->by_device + row * u->levels;
	if (s->gpus == 1)
		for (size_t level = u->level[s->gpu_milli]; level < u->levels; level++)
			by_device[level] += usual->share;
	for (int whole = s->gpus; s->gpus > 1 && whole <= OPENB_DEVICES_MAX; whole++)
		u->by_whole[row][whole] += usual->share * whole * OPENB_GPU_MILLI;
}

struct openb_usable *openb_usable_new(const struct openb_usuals *usuals, size_t model_count)
{
	struct openb_usable *u = mem_new(struct openb_usable);
	sort_out(u, usuals);
	size_t rows = (model_count ? model_count : 1) * (u->cpus.count + 1);
	u->by_device = mem_alloc_array(rows * u->levels, sizeof(*u->by_device));
	u->by_whole = mem_alloc_array(rows, sizeof(*u->by_whole));
	for (size_t row = 0; row < rows; row++)
		VEC_EACH (&usuals->items, struct openb_usual, usual) {
			size_t model = row / (u->cpus.count + 1), class = row % (u->cpus.count + 1);
			bool enough = cpu_class(u, usual->shape.cpu_milli) <= class;
			bool able = !usual->shape.models || usual->shape.models >> model & 1u;
			if (enough && able && usual->shape.gpus)
				fill(u, usual, row);
		}
	return u;
}

void openb_usable_free(struct openb_usable *u)
{
	vec_done(&u->cpus);
	free(u->by_device);
	free(u->by_whole);
	free(u);
}

double openb_usable_of(const struct openb_usable *u, uint8_t model, int32_t cpu_left,
	const int16_t *gpu_left, uint8_t devices)
{
	size_t row = model * (u->cpus.count + 1) + cpu_class(u, cpu_left);
	const double *by_device = u->by_device + row * u->levels;
	double usable = 0;
	int whole = 0;
	for (int d = 0; d < devices; d++) {
		usable += gpu_left[d] * by_device[u->level[gpu_left[d]]];
		whole += gpu_left[d] == OPENB_GPU_MILLI;
	}
	return usable + u->by_whole[row][whole];
}
