#include "agent/clock.h"

#include "pki/pki.h"

void agent_clock_init(struct agent_clock *c, struct loop *l)
{
	*c = (struct agent_clock){.loop = l, .offset_ms = loop_wall_ms(l) - loop_now_ms(l)};
}

int64_t agent_clock_ms(const struct agent_clock *c)
{
	int64_t wall_ms = loop_now_ms(c->loop) + c->offset_ms;
	return wall_ms > c->floor_ms ? wall_ms : c->floor_ms;
}

int64_t agent_clock_floor_ms(const struct agent_clock *c)
{
	return c->known ? -1 : c->floor_ms;
}

void agent_clock_raise(struct agent_clock *c, int64_t wall_ms)
{
	if (wall_ms > c->floor_ms)
		c->floor_ms = wall_ms;
}

void agent_clock_set(struct agent_clock *c, int64_t wall_ms)
{
	c->offset_ms = wall_ms - loop_now_ms(c->loop);
	c->known = true;
}

void agent_clock_raise_by(struct agent_clock *c, const char *certificate_pem)
{
	struct pki_info info;
	if (certificate_pem && pki_inspect(certificate_pem, &info, NULL) == 0)
		agent_clock_raise(c, info.not_before_ms + PKI_SKEW_MS);
}
