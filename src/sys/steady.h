/*
 * A wall clock that does not jump: what a server judges and issues certificates by. It begins with
 * the machine's, counts on by loop_now_ms, and follows corrections of the machine's clock at a
 * tenth of the time that passes: a jump of three hours is believed over thirty, and one that is
 * taken back leaves no trace. It never goes backwards. On the loop's thread.
 */
#ifndef CONTINUO_SYS_STEADY_H
#define CONTINUO_SYS_STEADY_H

#include "sys/loop.h"

#define STEADY_FOLLOWS 10 /* at most one millisecond in so many that pass */

struct steady {
	struct loop *loop;
	int64_t now_ms, wall_ms; /* when it was read last */
};

/* floor_ms: a time that is over for certain (the latest that was seen before); 0: none is known. */
void steady_init(struct steady *s, struct loop *l, int64_t floor_ms);
int64_t steady_ms(struct steady *s); /* since 1970 UTC */

#endif
