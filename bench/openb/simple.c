/*
 * The policies that the paper compares with. All are a score of a node; a share takes the tightest
 * device (random: any), whole GPUs are the first free ones.
 */
#include <math.h>

#include "base/mem.h"
#include "base/rand.h"
#include "openb/scored.h"

/* The largest node of the published scores. */
#define CPU_MOST 128000.0
#define GPU_MOST 8000

static uint8_t usual_devices(const struct openb_seat *seat, const struct openb_shape *s)
{
	if (openb_shape_shares(s))
		return openb_seat_tightest(seat, s);
	return openb_seat_first_whole(seat, s->gpus);
}

/* ---- random ---- */

struct draw {
	const struct openb_trace *trace;
	struct rand rand;
};

static void *random_start(const struct openb_setting *setting)
{
	struct draw *d = mem_new(struct draw);
	d->trace = setting->trace;
	rand_init(&d->rand, setting->seed);
	return d;
}

static uint8_t random_devices(struct draw *draw, const struct openb_seat *seat,
	const struct openb_shape *s)
{
	uint8_t chosen = 0;
	uint64_t able = 0;
	if (!openb_shape_shares(s))
		return openb_seat_first_whole(seat, s->gpus);
	for (int d = 0; d < seat->devices; d++)
		if (seat->gpu_left[d] >= s->gpu_milli && rand_below(&draw->rand, ++able) == 0)
			chosen = (uint8_t)(1u << d);
	return chosen;
}

static bool random_choose(void *state, const struct openb_cluster *c, uint32_t shape,
	struct openb_choice *ret_choice)
{
	struct draw *d = state;
	const struct openb_shape *s = &d->trace->shapes.items[shape];
	uint64_t able = 0;
	for (uint32_t i = 0; i < c->count; i++)
		if (openb_seat_fits(&c->seats[i], s) && rand_below(&d->rand, ++able) == 0)
			ret_choice->seat = i;
	if (able)
		ret_choice->devices = random_devices(d, &c->seats[ret_choice->seat], s);
	return able > 0;
}

const struct openb_policy openb_policy_random = {"random", random_start, random_choose, free};

/* ---- scores ---- */

static double bestfit(const void *context, const struct openb_seat *seat,
	const struct openb_shape *s, uint8_t *ret_devices)
{
	(void)context;
	double left = (seat->cpu_left - s->cpu_milli) / CPU_MOST / 2 +
		      (double)(seat->gpu_left_total - openb_shape_gpu_total(s)) / GPU_MOST / 2;
	*ret_devices = usual_devices(seat, s);
	return trunc((1 - left) * 100);
}

static double dotprod(const void *context, const struct openb_seat *seat,
	const struct openb_shape *s, uint8_t *ret_devices)
{
	(void)context;
	double product = seat->cpu_left / CPU_MOST * (s->cpu_milli / CPU_MOST) +
			 (double)seat->gpu_left_total / GPU_MOST *
				 ((double)openb_shape_gpu_total(s) / GPU_MOST);
	*ret_devices = usual_devices(seat, s);
	return trunc((1 - product / 2) * 100);
}

/* Best a node that holds only pods of the same kind, then one that holds some, then an empty one.
 */
static double clustering(const void *context, const struct openb_seat *seat,
	const struct openb_shape *s, uint8_t *ret_devices)
{
	(void)context;
	*ret_devices = usual_devices(seat, s);
	if (!s->gpus)
		return 0;
	int kinds = 0;
	for (int k = 0; k < OPENB_KIND_COUNT; k++)
		kinds += seat->kinds[k] > 0;
	int rank = seat->kinds[openb_shape_kind(s)] ? (kinds == 1 ? 3 : 2) : (kinds == 0 ? 1 : 0);
	return 25 * (GPU_MOST - seat->gpu_left_total) / GPU_MOST + 25 * rank;
}

/* Best on devices in use, by their tightness; then free devices of a used node; then a free node.
 */
static double packing(const void *context, const struct openb_seat *seat,
	const struct openb_shape *s, uint8_t *ret_devices)
{
	(void)context;
	*ret_devices = usual_devices(seat, s);
	uint8_t whole = openb_seat_whole_free(seat);
	if (!s->gpus)
		return 0;
	if (whole == seat->devices)
		return fmax(33 - whole, whole);
	int taken_whole = 0, percent = 0;
	for (int d = 0; d < seat->devices; d++) {
		if (!(*ret_devices >> d & 1))
			continue;
		taken_whole += seat->gpu_left[d] == OPENB_GPU_MILLI;
		percent += seat->gpu_left[d] * 100 / OPENB_GPU_MILLI;
	}
	return taken_whole ? fmax(50 - taken_whole, 33) : fmax(100 - percent / 10, 50);
}

static void *bestfit_start(const struct openb_setting *setting)
{
	return openb_scored_new(setting, bestfit, NULL);
}

static void *dotprod_start(const struct openb_setting *setting)
{
	return openb_scored_new(setting, dotprod, NULL);
}

static void *clustering_start(const struct openb_setting *setting)
{
	return openb_scored_new(setting, clustering, NULL);
}

static void *packing_start(const struct openb_setting *setting)
{
	return openb_scored_new(setting, packing, NULL);
}

static bool scored_choose(void *state, const struct openb_cluster *c, uint32_t shape,
	struct openb_choice *ret_choice)
{
	return openb_scored_choose(state, c, shape, ret_choice);
}

static void scored_end(void *state)
{
	openb_scored_free(state);
}

const struct openb_policy openb_policy_bestfit = {
	"bestfit", bestfit_start, scored_choose, scored_end};
const struct openb_policy openb_policy_dotprod = {
	"dotprod", dotprod_start, scored_choose, scored_end};
const struct openb_policy openb_policy_clustering = {
	"clustering", clustering_start, scored_choose, scored_end};
const struct openb_policy openb_policy_packing = {
	"packing", packing_start, scored_choose, scored_end};
