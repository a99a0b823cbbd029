/* The loop over libuv: real time, real sockets, a pool of threads. Made by main and by tests only.
 */
#ifndef CONTINUO_SYS_LOOP_UV_H
#define CONTINUO_SYS_LOOP_UV_H

#include "sys/loop.h"

/* threads: size of the job pool (1 to 16). Aborts when the system refuses a loop. */
struct loop *loop_uv_new(int threads) MUST_CHECK;
void loop_uv_run(struct loop *l);  /* until loop_uv_stop; callable again */
void loop_uv_stop(struct loop *l); /* from a callback on the loop */
bool loop_uv_run_until(struct loop *l, bool (*condition)(void *arg), void *arg,
	int64_t timeout_ms); /* for tests */
void loop_uv_free(
	struct loop *l); /* everything made on it must be freed before; runs the last closes */

/* SIGTERM, SIGINT and the like, delivered on the loop. */
struct loop_signal;
struct loop_signal *loop_uv_signal(struct loop *l, int signal, void (*cb)(void *arg, int signal),
	void *arg) MUST_CHECK;
void loop_signal_free(struct loop_signal *s);

#endif
