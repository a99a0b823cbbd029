/*
 * The time by which an agent judges certificates: what a server said, counted on by a clock that
 * does not jump. The machine's own wall clock decides nothing and is never set; it may stand in
 * 1970, or leap by hours.
 *
 * Until a server was heard, the time is not known. Then a server's certificate is forgiven its
 * times, unless it expired before the floor: a moment that is over for certain, since a server
 * issued this node's certificate then. Who has the key of a server certificate that expired since
 * can thus deceive a node that just started, but only about times within that certificate's life:
 * what a server says is refused when its own certificate would not be valid then.
 */
#ifndef CONTINUO_AGENT_CLOCK_H
#define CONTINUO_AGENT_CLOCK_H

#include "sys/loop.h"

struct agent_clock {
	struct loop *loop;
	int64_t offset_ms; /* to loop_now_ms */
	int64_t floor_ms;
	bool known;
};

void agent_clock_init(struct agent_clock *c, struct loop *l);
int64_t agent_clock_ms(const struct agent_clock *c); /* the best guess, since 1970 UTC */
/* For tls_config.floor_ms: -1 once the time is known. */
int64_t agent_clock_floor_ms(const struct agent_clock *c);
/* This moment is over. */
void agent_clock_raise(struct agent_clock *c, int64_t wall_ms);
/* A server said what time it is. */
void agent_clock_set(struct agent_clock *c, int64_t wall_ms);
/* Reads what an identity's certificate says of time. Null is fine. */
void agent_clock_raise_by(struct agent_clock *c, const char *certificate_pem);

#endif
