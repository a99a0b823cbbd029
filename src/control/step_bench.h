/* What the tests of single steps share: a view, and what one step wants written. No store, no loop.
 * Only tests include this. */
#ifndef CONTINUO_CONTROL_STEP_BENCH_H
#define CONTINUO_CONTROL_STEP_BENCH_H

#include "control/runtime.h"
#include "control/step.h"

#define NOW_MS ((int64_t)1767225600000) /* 2026-01-01T00:00:00Z */

struct bench {
	struct kind_registry *kinds;
	struct control_view *view;
	struct arena arena;
	struct rand rand;
	struct control_out out;
	int64_t revision;
};

int bench_setup(void **state);
int bench_teardown(void **state);
/* JSON with ' for ". */
void bench_put(struct bench *b, const struct kind *k, const char *text);
void bench_drop(struct bench *b, const char *key);
/* One step; what it wants is in b->out. */
int bench_run(struct bench *b, const struct reconciler *r, const char *key);
void bench_clear(struct bench *b);
size_t bench_count_writes(const struct bench *b, int verb, const struct kind *k);
/* Fails unless there is exactly one. */
const struct control_write *bench_only_write(const struct bench *b, int verb, const struct kind *k);

#endif
