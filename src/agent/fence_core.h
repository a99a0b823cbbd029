/*
 * What a fence decides, apart from how it listens and kills: for continuo-fence (src/main/fence.c)
 * and for the simulator's. A deadline by CLOCK_BOOTTIME moves forward only, and a fence that fired
 * never stands again. Lines on the socket as in fences.h. No allocation, no library.
 */
#ifndef CONTINUO_AGENT_FENCE_CORE_H
#define CONTINUO_AGENT_FENCE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FENCE_LINE_SIZE 64
#define FENCE_AGENTS_MAX 4     /* connections: the agent's, and those that dead agents left */
#define FENCE_AGAIN_MS 50      /* what was being started comes to life after the first kill */
#define FENCE_GONE_ROUNDS 1200 /* a minute with nothing left to guard: the fence ends */

struct fence_core {
	int64_t until_ms;
	bool fired;
};

enum fence_word { FENCE_NO_WORD, FENCE_LATER, FENCE_QUIT };

/* A line of the agent's, without its end. FENCE_LATER: until_ms has moved. */
enum fence_word fence_core_obey(struct fence_core *f, const char *line, int64_t now_ms);
/* Whether it is time to kill; marks the fence as fired. */
bool fence_core_due(struct fence_core *f, int64_t now_ms);
/* What it says to an agent, with the end of the line; its size. */
size_t fence_core_say(const struct fence_core *f, char ret_line[static FENCE_LINE_SIZE]);

/* Takes bytes of a connection into its line. Returns how many were taken; when ret_whole, line
 * holds one without its end: obey it and empty it before going on. What is too long is cut. */
size_t fence_core_take(char line[static FENCE_LINE_SIZE], const char *bytes, size_t size,
	bool *ret_whole);

#endif
