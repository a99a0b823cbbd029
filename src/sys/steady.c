#include "sys/steady.h"

void steady_init(struct steady *s, struct loop *l, int64_t floor_ms)
{
	int64_t wall_ms = loop_wall_ms(l);
	*s = (struct steady){l, loop_now_ms(l), wall_ms > floor_ms ? wall_ms : floor_ms};
}

int64_t steady_ms(struct steady *s)
{
	int64_t now_ms = loop_now_ms(s->loop), passed_ms = now_ms - s->now_ms;
	int64_t step_ms = passed_ms / STEADY_FOLLOWS;
	int64_t wrong_ms = loop_wall_ms(s->loop) - (s->wall_ms + passed_ms);
	if (step_ms == 0)
		return s->wall_ms + passed_ms; /* many looks in a row must not add up to nothing */
	if (wrong_ms > step_ms)
		wrong_ms = step_ms;
	if (wrong_ms < -step_ms)
		wrong_ms = -step_ms;
	s->now_ms = now_ms;
	s->wall_ms += passed_ms + wrong_ms;
	return s->wall_ms;
}
