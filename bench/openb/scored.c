#include "openb/scored.h"

#include <math.h>

#include "base/mem.h"

struct kept {
	double score;     /* -INFINITY: it does not fit */
	uint32_t version; /* of the node + 1; 0: never scored */
	uint8_t devices;
};

struct openb_scored {
	const struct openb_trace *trace;
	openb_score *score;
	const void *context;
	struct kept **kept; /* by shape; null until the first pod of it */
	size_t shape_count;
};

struct openb_scored *openb_scored_new(const struct openb_setting *setting, openb_score *score,
	const void *context)
{
	struct openb_scored *s = mem_new(struct openb_scored);
	*s = (struct openb_scored){.trace = setting->trace,
		.score = score,
		.context = context,
		.shape_count = setting->trace->shapes.count};
	s->kept = mem_alloc_array(s->shape_count, sizeof(*s->kept));
	return s;
}

void openb_scored_free(struct openb_scored *s)
{
	for (size_t i = 0; i < s->shape_count; i++)
		free(s->kept[i]);
	free(s->kept);
	free(s);
}

static void refresh(const struct openb_scored *s, const struct openb_cluster *c,
	const struct openb_shape *want, uint32_t seat, struct kept *k)
{
	k->version = c->versions[seat] + 1;
	k->score = openb_seat_fits(&c->seats[seat], want)
			   ? s->score(s->context, &c->seats[seat], want, &k->devices)
			   : -INFINITY;
}

bool openb_scored_choose(struct openb_scored *s, const struct openb_cluster *c, uint32_t shape,
	struct openb_choice *ret_choice)
{
	const struct openb_shape *want = &s->trace->shapes.items[shape];
	struct kept *all = s->kept[shape];
	if (!all)
		all = s->kept[shape] = mem_alloc_array(c->count, sizeof(*all));
	double best = -INFINITY;
	uint32_t first = 0;
	bool any = false;
	for (uint32_t i = 0; i < c->count; i++) {
		if (all[i].version != c->versions[i] + 1)
			refresh(s, c, want, i, &all[i]);
		if (all[i].score <= best)
			continue;
		any = true;
		first = i;
		best = all[i].score;
	}
	if (!any)
		return false;
	*ret_choice = (struct openb_choice){.seat = first, .devices = all[first].devices};
	return true;
}
