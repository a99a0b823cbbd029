/*
 * FGD, the paper's policy: where the pod adds least fragmentation. The score is the integer part of
 * 100 times a logistic function of what fragmentation falls by, in GPUs; that coarse step is part
 * of the policy, since equals go to the node of the smallest number. A share takes the device of
 * the best score, the first of equals; whole GPUs are the first free ones.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "openb/scored.h"
#include "openb/usable.h"

struct fgd {
	struct openb_usable *usable;
	struct openb_scored *scored;
};

/* Fragmentation is what is free less what is usable, and all of the pod's part becomes taken. */
static double step(double usable_lost, const struct openb_shape *s)
{
	double falls_by = (openb_shape_gpu_total(s) - usable_lost) / OPENB_GPU_MILLI;
	return floor(100 / (1 + exp(-falls_by)));
}

static double usable_with(const struct fgd *f, const struct openb_seat *seat,
	const struct openb_shape *s, uint8_t devices)
{
	int16_t left[OPENB_DEVICES_MAX];
	memcpy(left, seat->gpu_left, sizeof(left));
	for (int d = 0; d < seat->devices; d++)
		if (devices >> d & 1)
			left[d] = (int16_t)(left[d] - s->gpu_milli);
	return openb_usable_of(f->usable, seat->model, seat->cpu_left - s->cpu_milli, left,
		seat->devices);
}

static double score(const void *context, const struct openb_seat *seat, const struct openb_shape *s,
	uint8_t *ret_devices)
{
	const struct fgd *f = context;
	double before = openb_usable_of(f->usable, seat->model, seat->cpu_left, seat->gpu_left,
		seat->devices);
	double best = -1;
	if (!openb_shape_shares(s)) {
		*ret_devices = openb_seat_first_whole(seat, s->gpus);
		return step(before - usable_with(f, seat, s, *ret_devices), s);
	}
	for (int d = 0; d < seat->devices; d++) {
		if (seat->gpu_left[d] < s->gpu_milli)
			continue;
		double here = step(before - usable_with(f, seat, s, (uint8_t)(1u << d)), s);
		if (here > best) {
			best = here;
			*ret_devices = (uint8_t)(1u << d);
		}
	}
	return best;
}

static void *start(const struct openb_setting *setting)
{
	struct fgd *f = mem_new(struct fgd);
	struct openb_usuals usuals;
	openb_usuals_make(setting->trace, OPENB_USUAL_COVER, &usuals);
	f->usable = openb_usable_new(&usuals, setting->trace->models.count);
	openb_usuals_done(&usuals);
	f->scored = openb_scored_new(setting, score, f);
	return f;
}

static bool choose(void *state, const struct openb_cluster *c, uint32_t shape,
	struct openb_choice *ret_choice)
{
	return openb_scored_choose(((struct fgd *)state)->scored, c, shape, ret_choice);
}

static void end(void *state)
{
	struct fgd *f = state;
	openb_scored_free(f->scored);
	openb_usable_free(f->usable);
	free(f);
}

const struct openb_policy openb_policy_fgd = {"fgd", start, choose, end};
