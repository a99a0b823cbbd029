/*
 * Ours: a pod goes where it costs least of what the usual workload could still take (worth.h). What
 * it costs counts in steps of a hundredth of a GPU; of equals any node. Its devices are those that
 * cost least on that node. Outlook is told what usually comes, as FGD is; learner takes for usual
 * what came so far, and looks again whenever that has grown fourfold.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "openb/scored.h"
#include "openb/worth.h"

#define STEP 10.0 /* thousandths */

/* More of the usual shapes than FGD looks at: those of several GPUs are rare. */
#define COVER 0.99

#define LOOK_AGAIN 4

struct outlook {
	struct openb_worth *worth;
	struct openb_scored *scored;
	/* The learner: */
	struct openb_setting setting;
	struct openb_trace seen; /* the setting's trace, with what has come as its counts */
	size_t look_at;          /* arrivals at which it looks again */
};

static double worth_with(const struct outlook *o, const struct openb_seat *seat,
	const struct openb_shape *s, uint8_t devices)
{
	int16_t left[OPENB_DEVICES_MAX];
	memcpy(left, seat->gpu_left, sizeof(left));
	for (int d = 0; d < seat->devices; d++)
		if (devices >> d & 1)
			left[d] = (int16_t)(left[d] - s->gpu_milli);
	return openb_worth_of(o->worth, seat->model, seat->cpu_left - s->cpu_milli, left,
		seat->devices);
}

/* A device that is as full as one before it need not be tried. */
static bool tried(const struct openb_seat *seat, int device)
{
	for (int d = 0; d < device; d++)
		if (seat->gpu_left[d] == seat->gpu_left[device])
			return true;
	return false;
}

static double score(const void *context, const struct openb_seat *seat, const struct openb_shape *s,
	uint8_t *ret_devices)
{
	const struct outlook *o = context;
	double before = openb_worth_of(o->worth, seat->model, seat->cpu_left, seat->gpu_left,
		seat->devices);
	double most = -INFINITY;
	if (!openb_shape_shares(s)) {
		*ret_devices = openb_seat_first_whole(seat, s->gpus);
		most = worth_with(o, seat, s, *ret_devices);
	}
	for (int d = 0; openb_shape_shares(s) && d < seat->devices; d++) {
		if (seat->gpu_left[d] < s->gpu_milli || tried(seat, d))
			continue;
		double here = worth_with(o, seat, s, (uint8_t)(1u << d));
		if (here > most) {
			most = here;
			*ret_devices = (uint8_t)(1u << d);
		}
	}
	return -floor((before - most) / STEP + 0.5);
}

/* Takes what trace counts for usual, and begins all scores anew. */
static void look(struct outlook *o, const struct openb_trace *trace)
{
	struct openb_usuals usuals;
	if (o->worth) {
		openb_worth_free(o->worth);
		openb_scored_free(o->scored);
	}
	openb_usuals_make(trace, COVER, &usuals);
	o->worth = openb_worth_new(&usuals, trace);
	openb_usuals_done(&usuals);
	o->scored = openb_scored_new(&o->setting, score, o, true);
	o->setting.seed++;
}

static void *start(const struct openb_setting *setting)
{
	struct outlook *o = mem_new(struct outlook);
	o->setting = *setting;
	look(o, setting->trace);
	return o;
}

static bool choose(void *state, const struct openb_cluster *c, uint32_t shape,
	struct openb_choice *ret_choice)
{
	return openb_scored_choose(((struct outlook *)state)->scored, c, shape, ret_choice);
}

static void end(void *state)
{
	struct outlook *o = state;
	openb_scored_free(o->scored);
	openb_worth_free(o->worth);
	free(o);
}

const struct openb_policy openb_policy_outlook = {"outlook", start, choose, end};

/* ---- learner ---- */

static void *learner_start(const struct openb_setting *setting)
{
	struct outlook *o = mem_new(struct outlook);
	o->setting = *setting;
	o->seen = *setting->trace;
	size_t size = o->seen.shapes.count * sizeof(*o->seen.shapes.items);
	o->seen.shapes.items = (void *)mem_dup_bytes(o->seen.shapes.items, size);
	VEC_EACH (&o->seen.shapes, struct openb_shape, shape)
		shape->count = 0;
	o->seen.pods.count = 0;
	o->look_at = 1;
	return o;
}

static bool learner_choose(void *state, const struct openb_cluster *c, uint32_t shape,
	struct openb_choice *ret_choice)
{
	struct outlook *o = state;
	o->seen.shapes.items[shape].count++;
	o->seen.pods.count++;
	if (o->seen.pods.count == o->look_at) {
		look(o, &o->seen);
		o->look_at *= LOOK_AGAIN;
	}
	return choose(state, c, shape, ret_choice);
}

static void learner_end(void *state)
{
	struct outlook *o = state;
	free(o->seen.shapes.items);
	if (o->worth)
		end(o);
	else
		free(o);
}

const struct openb_policy openb_policy_learner = {
	"learner", learner_start, learner_choose, learner_end};
