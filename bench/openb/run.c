#include "openb/run.h"

#include <math.h>

/* Mean of what is in use while the load rounds to a percentage. */
struct mark {
	double percent, sum;
	size_t count;
};

static void note(struct mark *m, double load_percent, double used_percent)
{
	if (fabs(load_percent - m->percent) > 0.5)
		return;
	m->sum += used_percent;
	m->count++;
}

static double mean(const struct mark *m, double otherwise)
{
	return m->count ? m->sum / (double)m->count : otherwise;
}

static void sum_up(const struct openb_cluster *c, struct openb_result *r)
{
	double cpu = 0, cpu_left = 0, memory = 0, memory_left = 0;
	for (size_t i = 0; i < c->count; i++) {
		cpu += c->seats[i].node->cpu_milli;
		cpu_left += c->seats[i].cpu_left;
		memory += c->seats[i].node->memory_mib;
		memory_left += c->seats[i].memory_left;
	}
	r->cpu_percent = cpu > 0 ? 100 * (1 - cpu_left / cpu) : 0;
	r->memory_percent = memory > 0 ? 100 * (1 - memory_left / memory) : 0;
}

static bool fits_somewhere(const struct openb_cluster *c, const struct openb_shape *s)
{
	for (size_t i = 0; i < c->count; i++)
		if (openb_seat_fits(&c->seats[i], s))
			return true;
	return false;
}

/* Looks whether a pod was dropped with reason. Returns how long that took, which does not count. */
static double check_drop(const struct openb_cluster *c, const struct openb_shape *s,
	double (*now_ms)(void), struct openb_result *r)
{
	double began = now_ms();
	r->dropped++;
	r->wronged += fits_somewhere(c, s);
	return now_ms() - began;
}

void openb_run(const struct openb_trace *t, const struct openb_policy *policy,
	const struct openb_arrivals *arrivals, uint64_t seed, double (*now_ms)(void),
	struct openb_result *ret_result)
{
	struct openb_result r = {.arrived = arrivals->shapes.count};
	struct mark at_100 = {.percent = 100}, at_130 = {.percent = 130};
	struct openb_cluster c;
	const double capacity = t->gpu_milli ? (double)t->gpu_milli : 1;
	double asked = 0, used = 0, checking = 0;
	openb_cluster_init(&c, t, seed);
	double began = now_ms();
	void *state =
		policy->start(&(struct openb_setting){.trace = t, .cluster = &c, .seed = seed});
	VEC_EACH (&arrivals->shapes, uint32_t, shape) {
		const struct openb_shape *s = &t->shapes.items[*shape];
		struct openb_choice choice = {.seat = OPENB_NONE};
		if (policy->choose(state, &c, *shape, &choice))
			openb_cluster_place(&c, s, choice);
		else
			checking += check_drop(&c, s, now_ms, &r);
		asked += openb_shape_gpu_total(s);
		used = 100 * (double)c.gpu_used / capacity;
		note(&at_100, 100 * asked / capacity, used);
		note(&at_130, 100 * asked / capacity, used);
	}
	r.run_ms = now_ms() - began - checking;
	policy->end(state);
	r.allocated_100 = mean(&at_100, used);
	r.allocated_130 = mean(&at_130, used);
	sum_up(&c, &r);
	openb_cluster_done(&c);
	*ret_result = r;
}
